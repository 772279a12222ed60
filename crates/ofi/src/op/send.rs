//! Sends: `fi_msg(3)`, `fi_tagged(3)`.

use std::ffi::c_void;

use super::{
    Memory, Operation, Outcome, Uses, Verb, Wide,
    inject::Injects,
    options::{Carries, Data, Flagged, told, with},
};
use crate::{
    Access, Error,
    buf::{Buf, Place, Segments},
    endpoint::SINGLE_SENDS,
    threading::{Shared, Threading},
};

/// A message to be sent: what [`Endpoint::send`](crate::Endpoint::send) returns.
pub type SendOp<'ep, B, T = Shared> = Operation<'ep, SendVerb, B, T>;

/// What a send says.
#[derive(Clone, Copy, Debug)]
pub struct SendVerb {
    /// The provider's address; ignored on a connected endpoint.
    pub(crate) to: u64,
    pub(crate) tag: u64,
    pub(crate) data: Data,
    pub(crate) flags: u64,
    pub(crate) tagged: Wide,
}

/// That a message was sent, as far as its [`CompletionLevel`](crate::CompletionLevel) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent;

impl<'ep, B, T: Threading> SendOp<'ep, B, T> {
    /// Sends it as a tagged message, for a receive with this tag.
    #[doc(alias = "fi_tsend")]
    #[doc(alias = "fi_tsendv")]
    #[doc(alias = "fi_tsendmsg")]
    pub fn tag(mut self, tag: u64) -> Self {
        if let Some(error) = self.core.limits.refuse_tag(tag) {
            self.fault(error);
        }
        if self.verb.flags & ofi_sys::FI_MULTICAST != 0 {
            // There is no such flag for tagged messages: the group would be taken for a peer.
            self.fault(Error::invalid("fi_tsend", "messages to a group have no tag"));
        }
        self.verb.tag = tag;
        self.verb.tagged = Wide::Yes;
        self
    }
}

impl Flagged for SendVerb {
    fn flags(&self) -> u64 {
        self.flags
    }

    fn flags_mut(&mut self) -> &mut u64 {
        &mut self.flags
    }
}

impl Carries for SendVerb {
    fn carry(&mut self, data: u64) {
        self.data = Data::of(data);
    }
}

impl Injects for SendVerb {
    const INJECT: &'static str = "fi_inject";

    unsafe fn inject(&self, ep: *mut ofi_sys::fid_ep, buf: *const c_void, len: usize) -> isize {
        let SendVerb { to, tag, data: Data { value: data, there }, .. } = *self;
        // SAFETY: the caller's promise for each of them.
        unsafe {
            match (self.tagged.is_yes(), there.is_yes()) {
                (false, false) => ofi_sys::fi_inject(ep, buf, len, to),
                (false, true) => ofi_sys::fi_injectdata(ep, buf, len, data, to),
                (true, false) => ofi_sys::fi_tinject(ep, buf, len, to, tag),
                (true, true) => ofi_sys::fi_tinjectdata(ep, buf, len, data, to, tag),
            }
        }
    }
}

impl Verb for SendVerb {
    type Output = Sent;
    type Note = ();
    const NAME: &'static str = "fi_send";
    const RECEIVES: bool = false;
    const HEADED: bool = true;
    const ACCESS: Access = Access::SEND;

    #[inline]
    fn class(&self) -> u64 {
        self.to
    }

    #[inline]
    fn needs(&self) -> u64 {
        let kind = if self.tagged.is_yes() { ofi_sys::FI_TAGGED } else { ofi_sys::FI_MSG };
        kind | SINGLE_SENDS
    }

    fn add_flags(&mut self, flags: u64, level: u64) {
        self.flags = with(self.flags, flags, level);
    }

    #[inline(always)]
    unsafe fn issue(
        &self,
        ep: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        let SendVerb { to, tag, data: Data { value: data, .. }, .. } = *self;
        // SAFETY: the caller's promise for each of them: the endpoint is open with the capability,
        // the address is its own, memory and context stay until the completion.
        unsafe {
            match (memory, self.flags, self.tagged.is_yes(), self.data.there.is_yes()) {
                (Memory::One(v, desc), 0, false, false) => {
                    ofi_sys::fi_send(ep, v.iov_base, v.iov_len, desc, to, context)
                }
                (Memory::One(v, desc), 0, true, false) => {
                    ofi_sys::fi_tsend(ep, v.iov_base, v.iov_len, desc, to, tag, context)
                }
                (Memory::One(v, desc), 0, false, true) => {
                    ofi_sys::fi_senddata(ep, v.iov_base, v.iov_len, desc, data, to, context)
                }
                (Memory::One(v, desc), 0, true, true) => {
                    ofi_sys::fi_tsenddata(ep, v.iov_base, v.iov_len, desc, data, to, tag, context)
                }
                (memory, ..) => SendVerb::issue_message(*self, ep, memory, context),
            }
        }
    }

    #[inline]
    fn note(&self, _: &Segments) {}

    #[inline]
    fn finish((): (), _: &Outcome) -> Sent {
        Sent
    }
}

impl SendVerb {
    /// Vectors and flags go by `fi_sendmsg`. Takes itself by value: a reference would keep the verb of
    /// every send in memory.
    ///
    /// # Safety
    ///
    /// As [`Verb::issue`].
    #[cold]
    unsafe fn issue_message(
        self,
        ep: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        let mut flags = told(self.flags);
        if self.data.there.is_yes() {
            flags |= ofi_sys::FI_REMOTE_CQ_DATA;
        }
        let (addr, data) = (self.to, self.data.value);
        // SAFETY: as the caller promises; the message structures are read during the call only,
        // lists of more than one segment live in the slot (rule B9).
        memory.as_list(|msg_iov, desc, iov_count| unsafe {
            if self.tagged.is_yes() {
                let message = ofi_sys::fi_msg_tagged {
                    msg_iov,
                    desc,
                    iov_count,
                    addr,
                    tag: self.tag,
                    ignore: 0,
                    context,
                    data,
                };
                ofi_sys::fi_tsendmsg(ep, &raw const message, flags)
            } else {
                let message = ofi_sys::fi_msg { msg_iov, desc, iov_count, addr, context, data };
                ofi_sys::fi_sendmsg(ep, &raw const message, flags)
            }
        })
    }
}

impl<B: Buf> Uses<B> for SendVerb {
    #[inline]
    fn list(buffer: &mut B, list: &mut Segments) {
        buffer.segments(list);
    }

    #[inline]
    fn moved(buffer: &mut B, to: Place) {
        buffer.moved(to);
    }
}
