//! Looking for a tagged message without receiving it, and keeping the one that was found:
//! `fi_tagged(3)`, `FI_PEEK` and `FI_CLAIM`.
//!
//! A claimed message is named by the context that it was claimed under (rule B34), so its slot stays
//! away from then on: in a [`Claimed`], later in the receive that takes it. Where nobody takes it, the
//! message is received into the room that belongs to nobody (`op::overflow`). `FI_DISCARD` is for
//! providers that want all memory registered: on rxm it leaves the senders of long messages waiting, on
//! sm2 it hangs, on tcp it can end the connection.
//!
//! # Safety
//!
//! A slot whose operation claimed a message is brought home by nothing but the completion of the
//! receive that takes the message.

use std::{
    ffi::c_void,
    fmt,
    mem::ManuallyDrop,
    pin::Pin,
    ptr::NonNull,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use super::{
    Failed, Matches, Memory, Op, Operation, Outcome, Received, RecvVerb, Submit, Uses, Verb, Wide,
    lane::{Lane, RECEIVES},
    overflow::Overflow,
    post,
    recv::RecvNote,
    slot::Slot,
};
use crate::{
    Access, Address, Errno, Error, Progress, Result,
    buf::{Buf, BufMut, Place, Segments},
    endpoint::Core,
    error::Needs,
    object::count_leaked_operations,
    quirks::{Defect, quirk},
    threading::{Accepts, Shared, Threading},
};

/// A look for a message: what [`Endpoint::peek`](crate::Endpoint::peek) returns. Inert until it is
/// awaited or waited for; `None` comes of it where no such message has arrived.
///
/// # Cancel safety
///
/// Dropped before its end, it changes nothing.
#[must_use = "a look does nothing until it is awaited or waited for"]
pub struct PeekOp<'ep, T: Threading = Shared>(Operation<'ep, PeekVerb<false>, (), T>);

/// A look for a message that keeps what it finds: what [`PeekOp::claim`] returns.
///
/// # Cancel safety
///
/// Dropped before its end, a message that it finds nevertheless is discarded.
#[must_use = "a look does nothing until it is awaited or waited for"]
pub struct ClaimOp<'ep, T: Threading = Shared>(Operation<'ep, PeekVerb<true>, (), T>);

/// What is known of a message that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Probe {
    /// Its length in bytes.
    pub len: usize,
    /// Its tag.
    pub tag: u64,
    /// Immediate data, if it came with any.
    pub data: Option<u64>,
    /// The sender's address as the provider numbers it, with `FI_SOURCE`; see
    /// [`AddressVector::source`](crate::AddressVector::source).
    pub source: Option<u64>,
}

/// A message that nothing but this receives any more. Dropping it discards the message.
#[must_use = "the message is discarded when this is dropped"]
pub struct Claimed<'ep, T: Threading = Shared> {
    core: &'ep Core<T>,
    slot: NonNull<Slot<T>>,
    probe: Probe,
}

/// Why a claimed message could not be received into a buffer: both come back.
#[non_exhaustive]
pub struct Unclaimed<'ep, B, T: Threading = Shared> {
    /// What went wrong.
    pub error: Error,
    /// The message, still claimed. `None` where the provider has lost it.
    pub claimed: Option<Claimed<'ep, T>>,
    /// The buffer.
    pub buf: B,
}

/// What a look says.
#[derive(Clone, Copy, Debug)]
pub struct PeekVerb<const CLAIMS: bool>(RecvVerb);

/// What the receive of a claimed message says.
#[derive(Clone, Copy, Debug)]
pub struct ClaimVerb {
    tag: u64,
    flags: u64,
}

/// The next message of anybody, with any tag.
pub(crate) fn peek<T: Threading>(core: &Core<T>) -> PeekOp<'_, T> {
    // Bits that tags cannot have are the provider's own: messages of its collectives have them.
    let any = RecvVerb { ignore: core.limits.tag_bits, tagged: Wide::Yes, ..RecvVerb::ANY };
    let mut operation = Operation::new(core, PeekVerb(any), (), None);
    if quirk(core.provider(), Defect::PeekReceives).is_some() {
        let error = Error::unsupported("fi_trecvmsg", Needs::Property("looks for messages"));
        operation.fault(error.detail("this version of the provider would receive the message"));
    }
    PeekOp(operation)
}

impl<'ep, T: Threading> PeekOp<'ep, T> {
    /// Messages with this tag only.
    pub fn tag(mut self, tag: u64) -> Self {
        self.0.verb.0.ignore = 0;
        PeekOp(self.0.tag(tag))
    }

    /// Bits of the tag that do not matter. After [`tag`](Self::tag).
    pub fn ignore(self, mask: u64) -> Self {
        PeekOp(self.0.ignore(mask))
    }

    /// Messages from this peer only. Needs `FI_DIRECTED_RECV` (rule B36).
    pub fn from(self, peer: Address) -> Self {
        PeekOp(self.0.from(peer))
    }

    /// Keeps the message that is found.
    #[doc(alias = "FI_CLAIM")]
    pub fn claim(self) -> ClaimOp<'ep, T> {
        let Operation { core, verb: PeekVerb(what), to, fault, .. } = self.0;
        let fault = fault.or_else(|| refuse_claims(core));
        ClaimOp(Operation { core, verb: PeekVerb(what), buffer: (), to, fault })
    }
}

/// Why messages cannot be claimed on this endpoint.
fn refuse_claims<T: Threading>(core: &Core<T>) -> Option<Error> {
    let one_thread = !T::SHARED && core.info.domain().data_progress() == Progress::Manual;
    let hint = if core.limits.prefix > 0 {
        "receive the message by its tag, behind its prefix"
    } else if quirk(core.provider(), Defect::ClaimCorrupts).is_some() {
        "look, and receive the message by its tag"
    } else if core.info.core_provider() == "sockets" && !one_thread {
        // It frees the message when it is received, while the thread that delivered it may still look
        // at it.
        "ask for manual progress and a confined domain: no thread but yours then"
    } else if core.lane().habits.discards_by_flag {
        return None;
    } else {
        // What is not wanted in the end is received there.
        return Overflow::get().err();
    };
    let error = Error::unsupported("fi_trecvmsg", Needs::Property("claims of messages"));
    Some(error.hint(hint))
}

impl<'ep, T: Accepts<()>> PeekOp<'ep, T> {
    /// Looks, and blocks until it is known whether there is such a message.
    ///
    /// # Errors
    ///
    /// `TimedOut` if that took longer than `timeout`; `Unsupported` where the provider cannot look.
    #[doc(alias = "FI_PEEK")]
    pub fn wait(self, timeout: Duration) -> Result<Option<Probe>> {
        found(self.0.wait(timeout).map(|(probe, ())| probe).map_err(Error::from))
    }
}

impl<'ep, T: Accepts<()>> ClaimOp<'ep, T> {
    /// Looks, and blocks until it is known whether there is such a message.
    ///
    /// # Errors
    ///
    /// As [`PeekOp::wait`]. A message that is found after the timeout is discarded.
    pub fn wait(self, timeout: Duration) -> Result<Option<Claimed<'ep, T>>> {
        let deadline = Instant::now().checked_add(timeout);
        if let Some(look) = self.look_first() {
            if !is_whole(look.wait(timeout)?)? {
                return Ok(None);
            }
        }
        let core = self.0.core;
        let op = self.0.start(true)?.wait_done(deadline).map_err(Error::from)?;
        found(Claimed::of(op, core))
    }
}

impl<'ep, T: Threading> ClaimOp<'ep, T> {
    /// A look at what would be claimed, where not every message can be (quirk 28).
    fn look_first(&self) -> Option<PeekOp<'ep, T>> {
        let Operation { core, verb: PeekVerb(what), to, ref fault, .. } = self.0;
        quirk(core.provider(), Defect::SegmentsUnclaimable)?;
        let fault = fault.clone();
        Some(PeekOp(Operation { core, verb: PeekVerb(what), buffer: (), to, fault }))
    }
}

/// Whether there is a message, which arrived as a whole. rxm sends longer ones in segments, up to
/// where it makes them a rendezvous.
fn is_whole(found: Option<Probe>) -> Result<bool> {
    const SEGMENTS: std::ops::RangeInclusive<usize> = (16 << 10) + 1..=128 << 10;
    match found {
        Some(probe) if SEGMENTS.contains(&probe.len) => {
            let what = Needs::Property("claims of messages in segments");
            let error = Error::unsupported("fi_trecvmsg", what);
            Err(error.hint("receive the message by its tag"))
        }
        found => Ok(found.is_some()),
    }
}

/// That there is no message is no failure.
fn found<X>(result: Result<X>) -> Result<Option<X>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.errno() == Some(Errno::ENOMSG) => Ok(None),
        Err(error) => Err(error),
    }
}

impl<'ep, T: Accepts<()>> IntoFuture for PeekOp<'ep, T> {
    type Output = Result<Option<Probe>>;
    type IntoFuture = Peek<'ep, T>;

    fn into_future(self) -> Peek<'ep, T> {
        Peek(self.0.into_future())
    }
}

impl<'ep, T: Accepts<()>> IntoFuture for ClaimOp<'ep, T> {
    type Output = Result<Option<Claimed<'ep, T>>>;
    type IntoFuture = Claim<'ep, T>;

    fn into_future(self) -> Claim<'ep, T> {
        let first = self.look_first().map(PeekOp::into_future);
        Claim { core: self.0.core, first, claim: self.0.into_future() }
    }
}

/// The future of a [`PeekOp`].
#[must_use = "futures do nothing unless polled"]
pub struct Peek<'ep, T: Threading = Shared>(Submit<'ep, PeekVerb<false>, (), T>);

/// The future of a [`ClaimOp`].
#[must_use = "futures do nothing unless polled"]
pub struct Claim<'ep, T: Threading = Shared> {
    core: &'ep Core<T>,
    first: Option<Peek<'ep, T>>,
    claim: Submit<'ep, PeekVerb<true>, (), T>,
}

impl<T: Accepts<()>> Future for Peek<'_, T> {
    type Output = Result<Option<Probe>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let looked = ready!(Pin::new(&mut self.0).poll(context));
        Poll::Ready(found(looked.map(|(probe, ())| probe).map_err(Error::from)))
    }
}

impl<'ep, T: Accepts<()>> Future for Claim<'ep, T> {
    type Output = Result<Option<Claimed<'ep, T>>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(first) = &mut self.first {
            match ready!(Pin::new(first).poll(context)).and_then(is_whole) {
                Ok(true) => self.first = None,
                Ok(false) => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let done = ready!(self.claim.poll_done(context)).map_err(Error::from);
        Poll::Ready(found(done.and_then(|op| Claimed::of(op, self.core))))
    }
}

// Nothing is ever pinned in place.
impl<T: Threading> Unpin for Peek<'_, T> {}
impl<T: Threading> Unpin for Claim<'_, T> {}

impl<'ep, T: Threading> Claimed<'ep, T> {
    /// The message that a look which is done has found, and its slot.
    fn of(op: Op<PeekVerb<true>, (), T>, core: &'ep Core<T>) -> Result<Self> {
        // SAFETY: done, and the op is ours.
        if !unsafe { op.slot().keeps_message() } {
            return Err(op.finish().err().map_or_else(|| Error::closed("endpoint"), Error::from));
        }
        // From here on the slot is ours, and the op's drop does nothing to it.
        let op = ManuallyDrop::new(op);
        // SAFETY: DONE, so the outcome is ours to read.
        let probe = unsafe { op.slot().outcome() }.into();
        Ok(Claimed { core, slot: op.slot, probe })
    }

    /// What is known of the message.
    #[must_use]
    pub fn probe(&self) -> Probe {
        self.probe
    }

    /// Receives the message into `buffer`. Posted at once; where there is no room, it waits for it.
    ///
    /// # Errors
    ///
    /// With the message and the buffer, if the buffer cannot be used.
    #[doc(alias = "FI_CLAIM")]
    pub fn recv<B: BufMut>(self, buffer: B) -> Result<Op<ClaimVerb, B, T>, Unclaimed<'ep, B, T>>
    where
        T: Accepts<B>,
    {
        let verb = ClaimVerb { tag: self.probe.tag, flags: ofi_sys::FI_CLAIM };
        // SAFETY: the slot is ours alone, and its op had no buffer.
        let laid = unsafe {
            post::lay_in::<ClaimVerb, B, T>(self.core.lane(), self.slot.as_ref(), buffer)
        };
        if let Err(error) = post::check(self.core, self.core.limits.caps, verb, &laid.list, None) {
            return Err(Unclaimed { error, buf: laid.take_out(), claimed: Some(self) });
        }
        // The slot is the operation's now.
        std::mem::forget(self);
        // SAFETY: `check` found the arguments right; the endpoint is open, as it is borrowed.
        unsafe { laid.launch(verb, None, true, false) }.map_err(|Failed { error, buf }| {
            let buf = buf.into_buffer().expect("what was not posted comes back");
            Unclaimed { error, buf, claimed: None }
        })
    }

    /// Discards the message, as dropping it does.
    #[doc(alias = "FI_DISCARD")]
    pub fn discard(self) {}
}

impl<T: Threading> Drop for Claimed<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the slot is ours alone, and empty; nobody uses it after this.
        unsafe { discard(self.slot.as_ref()) }
    }
}

/// Brings the slot of an operation home that nobody waited for; what it has claimed it lets go of
/// first.
///
/// # Safety
///
/// The caller owns the slot alone, and nothing in its body needs dropping. `keeps` is what
/// [`Slot::keeps_message`] said before.
pub(crate) unsafe fn home_orphan<T: Threading>(slot: &Slot<T>, keeps: bool) {
    // SAFETY: the caller's promise.
    unsafe { if keeps { discard(slot) } else { Lane::home(slot) } }
}

/// Lets go of a claimed message. The completion of that brings the slot home.
///
/// # Safety
///
/// The caller owns the slot alone, nothing in its body needs dropping, and it claimed a message.
#[cold]
unsafe fn discard<T: Threading>(slot: &Slot<T>) {
    // SAFETY: the slot is away, so its lane exists; its claim has ended well.
    let (lane, found) = unsafe { (slot.lane.as_ref(), slot.outcome()) };
    let (flags, room) = if lane.habits.discards_by_flag {
        (ofi_sys::FI_CLAIM | ofi_sys::FI_DISCARD, Nowhere(None))
    } else if let Ok(room) = Overflow::get() {
        (ofi_sys::FI_CLAIM, Nowhere(Some((room, found.len))))
    } else {
        // `claim` saw that there is such room.
        return count_leaked_operations(1);
    };
    let posted = lane.while_open(|| {
        // SAFETY: the slot is ours alone and empty.
        let laid = unsafe { post::lay_in::<ClaimVerb, Nowhere, T>(lane, slot, room) };
        // SAFETY: the endpoint is open and cannot close meanwhile; it can receive tagged messages, as
        // it has found one.
        unsafe { laid.launch(ClaimVerb { tag: found.tag, flags }, None, true, false) }
    });
    match posted {
        Some(Ok(op)) => op.forgo(),
        // The provider has lost the message, and the slot is home.
        Some(Err(_)) => {}
        // SAFETY: the caller's promise; the endpoint is closed, and its messages with it.
        None => unsafe { Lane::home(slot) },
    }
}

/// Room for so many bytes that nobody wants.
struct Nowhere(Option<(&'static Overflow, usize)>);

// SAFETY: the room is never unmapped, and nobody ever has a reference to it.
unsafe impl Buf for Nowhere {
    fn segments(&self, list: &mut Segments) {
        if let Some((room, len)) = self.0 {
            let segment = room.segment();
            list.push_shared(segment.iov_base.cast(), segment.iov_len.min(len));
        }
    }
}

// SAFETY: as above.
unsafe impl BufMut for Nowhere {
    fn segments_mut(&mut self, list: &mut Segments) {
        self.segments(list);
    }
}

impl<const CLAIMS: bool> Matches for PeekVerb<CLAIMS> {
    fn matching(&mut self) -> &mut RecvVerb {
        &mut self.0
    }
}

impl<const CLAIMS: bool> Verb for PeekVerb<CLAIMS> {
    type Output = Probe;
    type Note = ();
    const NAME: &'static str = "fi_trecvmsg";
    const RECEIVES: bool = true;
    const CLAIMS: bool = CLAIMS;
    const FILLS: bool = false;
    const ACCESS: Access = Access::RECV;

    fn class(&self) -> u64 {
        RECEIVES
    }

    fn needs(&self) -> u64 {
        self.0.needs()
    }

    unsafe fn issue(&self, ep: *mut ofi_sys::fid_ep, _: Memory, context: *mut c_void) -> isize {
        let keep = if CLAIMS { ofi_sys::FI_CLAIM } else { 0 };
        let RecvVerb { from, tag, ignore, .. } = self.0;
        let nothing = (std::ptr::null(), std::ptr::null_mut(), 0);
        // SAFETY: the caller's promise; a look takes no memory.
        unsafe { message(ep, nothing, (from, tag, ignore), context, ofi_sys::FI_PEEK | keep) }
    }

    fn note(&self, _: &Segments) {}

    fn finish((): (), outcome: &Outcome) -> Probe {
        (*outcome).into()
    }
}

impl<const CLAIMS: bool> Uses<()> for PeekVerb<CLAIMS> {
    fn list((): &mut (), _: &mut Segments) {}

    fn moved((): &mut (), _: Place) {}
}

impl Verb for ClaimVerb {
    type Output = Received;
    type Note = RecvNote;
    const NAME: &'static str = "fi_trecvmsg";
    const RECEIVES: bool = true;
    const TAKES: bool = true;
    const ACCESS: Access = Access::RECV;

    fn class(&self) -> u64 {
        RECEIVES
    }

    fn needs(&self) -> u64 {
        ofi_sys::FI_TAGGED
    }

    unsafe fn issue(
        &self,
        ep: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        // Whom it is from is known by the context, and may not be in the vector any more.
        let what = (ofi_sys::FI_ADDR_UNSPEC, self.tag, 0);
        // SAFETY: the caller's promise.
        memory.as_list(|iov, desc, count| unsafe {
            message(ep, (iov, desc, count), what, context, self.flags)
        })
    }

    fn note(&self, list: &Segments) -> RecvNote {
        RecvVerb { tagged: Wide::Yes, ..RecvVerb::ANY }.note(list)
    }

    fn excess(note: RecvNote, outcome: &Outcome) -> usize {
        RecvVerb::excess(note, outcome)
    }

    fn finish(note: RecvNote, outcome: &Outcome) -> Received {
        RecvVerb::finish(note, outcome)
    }
}

impl<B: BufMut> Uses<B> for ClaimVerb {
    fn list(buffer: &mut B, list: &mut Segments) {
        buffer.segments_mut(list);
    }

    fn moved(buffer: &mut B, to: Place) {
        buffer.moved(to);
    }
}

/// `fi_trecvmsg`, of `memory` as pieces and descriptors, for a message of `what` as source, tag and
/// bits that do not matter.
///
/// # Safety
///
/// As [`Verb::issue`].
unsafe fn message(
    ep: *mut ofi_sys::fid_ep,
    memory: (*const libc::iovec, *mut *mut c_void, usize),
    what: (u64, u64, u64),
    context: *mut c_void,
    flags: u64,
) -> isize {
    let ((msg_iov, desc, iov_count), (addr, tag, ignore)) = (memory, what);
    let message =
        ofi_sys::fi_msg_tagged { msg_iov, desc, iov_count, addr, tag, ignore, context, data: 0 };
    // SAFETY: the caller's promise; the structure is read during the call only.
    unsafe { ofi_sys::fi_trecvmsg(ep, &raw const message, flags | ofi_sys::FI_COMPLETION) }
}

impl From<Outcome> for Probe {
    fn from(outcome: Outcome) -> Probe {
        let (data, source) = (outcome.data(), outcome.source());
        Probe { len: outcome.len, tag: outcome.tag, data, source }
    }
}

impl<B, T: Threading> From<Unclaimed<'_, B, T>> for Error {
    /// The message is discarded, the buffer dropped.
    fn from(unclaimed: Unclaimed<'_, B, T>) -> Error {
        unclaimed.error
    }
}

impl<B, T: Threading> fmt::Display for Unclaimed<'_, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<B, T: Threading> std::error::Error for Unclaimed<'_, B, T> {}

impl<T: Threading> fmt::Debug for PeekOp<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PeekOp").field(&self.0.verb.0).finish()
    }
}

impl<T: Threading> fmt::Debug for ClaimOp<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ClaimOp").field(&self.0.verb.0).finish()
    }
}

impl<T: Threading> fmt::Debug for Peek<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peek").finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for Claim<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for Claimed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Claimed").field(&self.probe).finish()
    }
}

impl<B, T: Threading> fmt::Debug for Unclaimed<'_, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unclaimed")
            .field("error", &self.error)
            .field("claimed", &self.claimed)
            .finish_non_exhaustive()
    }
}
