//! Sends: `fi_msg(3)`, `fi_tagged(3)`.

use std::ffi::c_void;

use super::{
    Failed, Memory, Operation, Outcome, Uses, Verb, Wide,
    lane::Lane,
    slot::{PROVIDER, Slot},
};
use crate::{
    Error, ErrorKind, OpFlags,
    buf::{Buf, Segments},
    error::Needs,
    threading::{Shared, Threading, Word},
};

/// A message to be sent: what [`Endpoint::send`](crate::Endpoint::send) returns.
pub type SendOp<'ep, B, T = Shared> = Operation<'ep, SendVerb, B, T>;

/// What a send says.
#[derive(Clone, Copy, Debug)]
pub struct SendVerb {
    /// The provider's address; ignored on a connected endpoint.
    pub(crate) to: u64,
    pub(crate) tag: u64,
    pub(crate) data: u64,
    pub(crate) flags: u64,
    pub(crate) tagged: Wide,
    pub(crate) with_data: Wide,
}

/// That a message was sent, as far as its [`CompletionLevel`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent;

/// What the completion of a send means (rule B28).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompletionLevel {
    /// The buffer may be used again; nothing is said about the peer.
    Inject,
    /// On a reliable endpoint the message reached the peer's side, on an unreliable one it left
    /// this host. The default of most providers.
    Transmit,
    /// The message is in the peer's buffer, visible to the peer once it completes there.
    Delivery,
    /// The message was matched with a receive. Best effort: most providers take the flag and do
    /// nothing for it (rule B29).
    Match,
}

impl<'ep, B, T: Threading> SendOp<'ep, B, T> {
    /// Sends it as a tagged message, for a receive with this tag.
    #[doc(alias = "fi_tsend")]
    #[doc(alias = "fi_tsendv")]
    #[doc(alias = "fi_tsendmsg")]
    pub fn tag(mut self, tag: u64) -> Self {
        if let Some(error) = self.core.limits.refuse_tag(tag) {
            self.fault(error);
        }
        self.verb.tag = tag;
        self.verb.tagged = Wide::Yes;
        self
    }

    /// Sends `data` along, in the peer's completion entry.
    ///
    /// The value must fit in the domain's `cq_data_size` bytes (rule B30), else posting fails.
    #[doc(alias = "fi_senddata")]
    #[doc(alias = "fi_tsenddata")]
    #[doc(alias = "FI_REMOTE_CQ_DATA")]
    pub fn data(mut self, data: u64) -> Self {
        let bytes = self.core.limits.data_bytes;
        if bytes == 0 {
            self.fault(
                Error::unsupported("send", Needs::Property("immediate data"))
                    .detail("the provider's cq_data_size is 0"),
            );
        } else if bytes < 8 && data >> (8 * bytes) != 0 {
            self.fault(Error::invalid("send", format!("{data:#x} does not fit in {bytes} bytes")));
        }
        self.verb.data = data;
        self.verb.with_data = Wide::Yes;
        self
    }

    /// What the completion shall mean.
    #[doc(alias = "FI_TRANSMIT_COMPLETE")]
    #[doc(alias = "FI_DELIVERY_COMPLETE")]
    pub fn level(self, level: CompletionLevel) -> Self {
        self.flags(match level {
            CompletionLevel::Inject => OpFlags::INJECT_COMPLETE,
            CompletionLevel::Transmit => OpFlags::TRANSMIT_COMPLETE,
            CompletionLevel::Delivery => OpFlags::DELIVERY_COMPLETE,
            CompletionLevel::Match => OpFlags::MATCH_COMPLETE,
        })
    }

    /// Adds operation flags: those of a message that say nothing about memory (`FENCE`, `MORE`,
    /// levels). Others are refused when it is posted.
    #[doc(alias = "fi_sendmsg")]
    pub fn flags(mut self, flags: OpFlags) -> Self {
        let plain = OpFlags::FENCE
            | OpFlags::MORE
            | OpFlags::INJECT_COMPLETE
            | OpFlags::TRANSMIT_COMPLETE
            | OpFlags::DELIVERY_COMPLETE
            | OpFlags::MATCH_COMPLETE;
        let odd = flags.difference(plain);
        if !odd.is_empty() {
            self.fault(Error::invalid("send", format!("the flags {odd} are not a send's to set")));
        }
        if flags.contains(OpFlags::FENCE) && self.core.limits.caps & ofi_sys::FI_FENCE == 0 {
            self.fault(Error::unsupported("send", Needs::Capability("FI_FENCE")));
        }
        self.verb.flags |= flags.raw();
        self
    }
}

impl<'ep, B: AsRef<[u8]>, T: Threading> SendOp<'ep, B, T> {
    /// Sends a copy: the provider has taken the bytes when this returns, and there is nothing to
    /// wait for. Takes any slice, borrowed ones too.
    ///
    /// A later failure shows as an entry in
    /// [`CompletionQueue::unsolicited`](crate::CompletionQueue::unsolicited) (rule B5).
    ///
    /// # Errors
    ///
    /// With the buffer: [`ErrorKind::TooLarge`] beyond the endpoint's inject size,
    /// [`ErrorKind::Busy`] where there is no room, `Invalid` with flags, what the provider says.
    #[doc(alias = "fi_inject")]
    #[doc(alias = "fi_injectdata")]
    #[doc(alias = "fi_tinject")]
    #[doc(alias = "fi_tinjectdata")]
    pub fn inject(self) -> Result<B, Failed<B>> {
        let Operation { core, verb, buffer, to, fault } = self;
        match fault.map_or_else(|| inject(core, &verb, buffer.as_ref(), to), Err) {
            Ok(()) => Ok(buffer),
            Err(error) => Err(Failed::back(error, buffer)),
        }
    }
}

fn inject<T: Threading>(
    core: &crate::endpoint::Core<T>,
    verb: &SendVerb,
    bytes: &[u8],
    to: Option<crate::Address>,
) -> Result<(), Error> {
    const NAME: &str = "fi_inject";
    let limit = core.limits.inject;
    let missing = verb.needs() & !core.limits.caps;
    if bytes.len() > limit {
        return Err(Error::new(ErrorKind::TooLarge { limit }, NAME));
    }
    if missing != 0 || to.is_some_and(|address| !core.knows(address)) {
        return Err(super::post::refusal::<SendVerb>(1, 1, false, 0, missing, missing == 0));
    }
    if verb.flags != 0 {
        return Err(Error::invalid(NAME, "an injected message takes no flags"));
    }
    if core.lane().must_wait(verb.class()) {
        return Err(Error::busy());
    }
    let Some(_named) = Named::new(core, to) else {
        return Err(Error::new(ErrorKind::StaleAddress, NAME));
    };
    let (ep, buf, len) = (core.lane().fid.as_ptr(), bytes.as_ptr().cast::<c_void>(), bytes.len());
    // SAFETY: the endpoint is open and has the capability; the address is in its vector and stays
    // (`_named`); the bytes are read during the call only (rule B5) and within the inject size.
    let status = unsafe {
        match (verb.tagged.is_yes(), verb.with_data.is_yes()) {
            (false, false) => ofi_sys::fi_inject(ep, buf, len, verb.to),
            (false, true) => ofi_sys::fi_injectdata(ep, buf, len, verb.data, verb.to),
            (true, false) => ofi_sys::fi_tinject(ep, buf, len, verb.to, verb.tag),
            (true, true) => ofi_sys::fi_tinjectdata(ep, buf, len, verb.data, verb.to, verb.tag),
        }
    };
    if status < 0 { Err(super::post::refused::<SendVerb>(status)) } else { Ok(()) }
}

/// Names an address through a slot for as long as a call runs that leaves no slot behind, so that
/// another thread cannot remove the address meanwhile (rule A2).
struct Named<'a, T: Threading>(Option<&'a Slot<T>>);

impl<'a, T: Threading> Named<'a, T> {
    /// `None` if the address was removed.
    fn new(core: &'a crate::endpoint::Core<T>, to: Option<crate::Address>) -> Option<Self> {
        // Where only one thread may be here, nobody can remove it during the call.
        let Some(address) = to.filter(|_| T::SHARED) else {
            return Some(Named(None));
        };
        let slot = core.lane().acquire();
        slot.destination.store(address.entry_word());
        slot.state.store_fenced(PROVIDER);
        let named = Named(Some(slot));
        address.is_current().then_some(named)
    }
}

impl<T: Threading> Drop for Named<'_, T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            // SAFETY: taken from the free list by us and never posted.
            unsafe { Lane::home(slot) };
        }
    }
}

impl Verb for SendVerb {
    type Output = Sent;
    const NAME: &'static str = "fi_send";
    const RECEIVES: bool = false;

    #[inline]
    fn class(&self) -> u64 {
        self.to
    }

    #[inline]
    fn needs(&self) -> u64 {
        if self.tagged.is_yes() { ofi_sys::FI_TAGGED } else { ofi_sys::FI_MSG }
    }

    #[inline]
    unsafe fn issue(
        &self,
        ep: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        let SendVerb { to, tag, data, .. } = *self;
        // SAFETY: the caller's promise for each of them: the endpoint is open with the capability,
        // the address is its own, memory and context stay until the completion.
        unsafe {
            match (memory, self.flags, self.tagged.is_yes(), self.with_data.is_yes()) {
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
                (memory, ..) => self.issue_message(ep, memory, context),
            }
        }
    }

    #[inline]
    fn finish(&self, _: &Outcome, _: usize) -> Sent {
        Sent
    }
}

impl SendVerb {
    /// Vectors and flags go by `fi_sendmsg`.
    ///
    /// # Safety
    ///
    /// As [`Verb::issue`].
    #[cold]
    unsafe fn issue_message(
        &self,
        ep: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        let (mut one, mut one_desc);
        let (msg_iov, desc, iov_count) = match memory {
            Memory::One(v, d) => {
                one = v;
                one_desc = d;
                let desc = if d.is_null() { std::ptr::null_mut() } else { &raw mut one_desc };
                ((&raw mut one).cast_const(), desc, 1)
            }
            Memory::Many(iov, desc, count) => (iov, desc, count),
        };
        let mut flags = self.flags | ofi_sys::FI_COMPLETION;
        if self.with_data.is_yes() {
            flags |= ofi_sys::FI_REMOTE_CQ_DATA;
        }
        let (addr, data) = (self.to, self.data);
        // SAFETY: as the caller promises; the message structures are read during the call only,
        // lists of more than one segment live in the slot (rule B9).
        unsafe {
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
        }
    }
}

impl<B: Buf> Uses<B> for SendVerb {
    #[inline]
    fn list(buffer: &mut B, list: &mut Segments) {
        buffer.segments(list);
    }
}
