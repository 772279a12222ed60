//! The operation of a buffer that is posted as one.

use std::{ffi::c_void, sync::Arc};

use super::{
    super::{Memory, Outcome, Uses, Verb, Wide, lane::RECEIVES, recv::RecvVerb},
    block::Rest,
    inbox::Inbox,
};
use crate::{Access, Buf, Place, buf::Segments, threading::Threading};

/// What a multi-receive says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MultiRecvVerb {
    matching: RecvVerb,
    /// The [`Inbox`], which the buffer of the operation holds.
    inbox: *const (),
}

impl MultiRecvVerb {
    pub(super) fn new(matching: RecvVerb) -> MultiRecvVerb {
        MultiRecvVerb { matching, inbox: std::ptr::null() }
    }

    /// To be posted with a buffer that holds this inbox.
    pub(super) fn with_inbox<T: Threading>(matching: RecvVerb, inbox: &Arc<Inbox<T>>) -> Self {
        MultiRecvVerb { matching, inbox: Arc::as_ptr(inbox).cast() }
    }
}

/// The buffer of the operation, and what its messages are put in.
pub(super) struct Posted<B, T: Threading> {
    pub(super) rest: Rest<B>,
    #[expect(dead_code, reason = "the completer reads it by the verb's note, while this holds it")]
    pub(super) inbox: Arc<Inbox<T>>,
}

impl Verb for MultiRecvVerb {
    type Output = ();
    /// The inbox.
    type Note = *const ();
    const NAME: &'static str = "fi_recvmsg";
    const RECEIVES: bool = true;
    const MANY: bool = true;
    // Nothing can be behind it.
    const FILLS: bool = false;
    const ACCESS: Access = Access::RECV;

    fn class(&self) -> u64 {
        RECEIVES
    }

    fn needs(&self) -> u64 {
        let many = match self.matching.tagged {
            Wide::No => ofi_sys::FI_MULTI_RECV,
            Wide::Yes => ofi_sys::FI_TAGGED_MULTI_RECV,
        };
        self.matching.needs() | many
    }

    unsafe fn issue(
        &self,
        ep: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        const FLAGS: u64 = ofi_sys::FI_MULTI_RECV | ofi_sys::FI_COMPLETION;
        let RecvVerb { from: addr, tag, ignore, tagged, .. } = self.matching;
        // SAFETY: the caller's promise; the structures are read during the calls only.
        memory.as_list(|msg_iov, desc, iov_count| unsafe {
            match tagged {
                Wide::No => {
                    let message =
                        ofi_sys::fi_msg { msg_iov, desc, iov_count, addr, context, data: 0 };
                    ofi_sys::fi_recvmsg(ep, &raw const message, FLAGS)
                }
                Wide::Yes => {
                    let message = ofi_sys::fi_msg_tagged {
                        msg_iov,
                        desc,
                        iov_count,
                        addr,
                        tag,
                        ignore,
                        context,
                        data: 0,
                    };
                    ofi_sys::fi_trecvmsg(ep, &raw const message, FLAGS)
                }
            }
        })
    }

    fn note(&self, _: &Segments) -> *const () {
        self.inbox
    }

    fn finish(_: *const (), _: &Outcome) {}
}

impl<B: 'static, T: Threading> Uses<Posted<B, T>> for MultiRecvVerb {
    fn list(buffer: &mut Posted<B, T>, list: &mut Segments) {
        buffer.rest.segments(list);
    }

    // The buffer cannot be told while messages in it are read.
    fn moved(_: &mut Posted<B, T>, _: Place) {}
}
