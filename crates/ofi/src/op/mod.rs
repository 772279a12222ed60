//! Operations: one struct that says what is wanted, one way to post it, one way it ends.
//!
//! ```text
//! ep.send(buf, peer).tag(7)      Operation: inert
//!     .post()                    Op, or the buffer back at once
//!     .submit()                  Op, which may wait for room
//!     .await                     queues under backpressure, then as an Op
//!     .wait(timeout)             the same, blocking this thread
//!     .inject()                  copied by the provider, nothing to wait for
//! ```
//!
//! An operation owns its buffer from the post to its completion. Dropping, forgetting or timing out
//! an [`Op`] frees nothing that the provider may still touch.
//!
//! # Safety
//!
//! The slot's rules are in [`slot`]; here an [`Op`] is the `OP` half of one.

use std::{
    ffi::c_void,
    fmt,
    marker::PhantomData,
    mem::ManuallyDrop,
    pin::Pin,
    ptr::NonNull,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use libc::iovec;

use crate::{
    Address, Error, ErrorKind, Place, Result,
    buf::Segments,
    endpoint::Core,
    mr::KeyKind,
    threading::{Accepts, Shared, Threading, Word},
    wait::{self, Source},
};

mod atomic;
mod batch;
mod chain;
mod collective;
pub(crate) mod deferred;
mod failed;
mod inject;
pub(crate) mod lane;
pub(crate) mod many;
#[cfg(all(test, loom))]
mod models;
mod notify;
mod options;
pub(crate) mod overflow;
pub(crate) mod peek;
mod post;
pub(crate) mod prefix;
mod recv;
mod rma;
mod send;
pub(crate) mod slot;
pub(crate) mod slots;
pub(crate) mod tally;

pub use atomic::{
    Applied, AtomicApply, AtomicCompare, AtomicFetch, AtomicVerb, CompareVerb, FetchVerb,
};
pub(crate) use atomic::{Form, Validity};
pub use batch::{Batch, Batched, Ended, Unended};
pub use collective::{
    AllgatherVerb, AllreduceVerb, AlltoallVerb, Barrier, BarrierVerb, Broadcast, BroadcastVerb,
    Collected, Exchange, GatherVerb, ReduceScatterVerb, ReduceVerb, ScatterVerb,
};
pub use deferred::{When, Work, WorkError};
pub use failed::{Failed, Held, Returned};
pub(crate) use many::recv_many;
pub use many::{MultiRecv, MultiRecvMessage, MultiRecvOp, NextMessage};
pub use notify::{Notify, NotifyFailed};
pub use options::CompletionLevel;
pub(crate) use options::Data;
pub use peek::{Claim, ClaimOp, ClaimVerb, Claimed, Peek, PeekOp, PeekVerb, Probe, Unclaimed};
pub use prefix::Prefixed;
pub(crate) use recv::Matches;
pub use recv::{Received, RecvOp, RecvVerb};
pub use rma::{Read, ReadOp, ReadVerb, WriteOp, WriteVerb, Written};
pub use send::{SendOp, SendVerb, Sent};
use slot::{Body, DONE, Left, OP, Outcome, Part, QUEUED, Slot};

/// What the provider is told about memory.
#[derive(Clone, Copy, Debug)]
pub enum Memory {
    /// One piece and its descriptor.
    One(iovec, *mut c_void),
    /// Pieces and descriptors (or none), as long as each other.
    Many(*const iovec, *mut *mut c_void, usize),
}

impl Memory {
    /// The list of pieces and descriptors for a call that takes one; that of one piece lives as long
    /// as the call.
    fn as_list<R>(self, call: impl FnOnce(*const iovec, *mut *mut c_void, usize) -> R) -> R {
        match self {
            Memory::One(piece, mut desc) => {
                let descriptors = if desc.is_null() { std::ptr::null_mut() } else { &raw mut desc };
                call(&raw const piece, descriptors, 1)
            }
            Memory::Many(iov, desc, count) => call(iov, desc, count),
        }
    }
}

/// A `bool` as wide as what is beside it, so that verbs are copied in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Wide {
    No,
    Yes,
}

impl Wide {
    #[inline]
    pub(crate) fn is_yes(self) -> bool {
        self == Wide::Yes
    }
}

pub(crate) mod sealed {
    use super::{Memory, Outcome, Segments};
    use crate::{Access, Place, Result};

    /// A verb: its arguments, its call, its end. Public in name only.
    pub trait Verb: Copy + 'static {
        type Output;
        /// What is kept of its arguments until its end; at most two words.
        type Note: Copy;
        /// The C call, for error texts.
        const NAME: &'static str;
        /// Whether it completes on the receive queue.
        const RECEIVES: bool;
        /// Whether it keeps the message that it finds: a successful one that nobody waits for has to
        /// let go of it.
        const CLAIMS: bool = false;
        /// Whether it takes a message that was kept: while it waits for room it cannot be given up.
        const TAKES: bool = false;
        /// Whether there are entries for it before its end (see `op::many`).
        const MANY: bool = false;
        /// Whether messages come into its memory.
        const FILLS: bool = Self::RECEIVES;
        /// What a registration of its memory must permit.
        const ACCESS: Access;
        /// Whether its pieces of memory are different things, and no vector.
        const PARTS: bool = false;
        /// Whether it is a message, before which the provider may need room.
        const HEADED: bool = false;
        /// Posts with the same class keep their order.
        fn class(&self) -> u64;
        /// Capabilities that the endpoint must have been opened with (rule D8).
        fn needs(&self) -> u64;
        /// Adds flags of the C call, where it has such, and a level where it says none.
        fn add_flags(&mut self, _flags: u64, _level: u64) {}
        /// What the keys of the remote memory are that it names: bits of `KeyKind`, 0 for no key.
        #[inline]
        fn keys(&self) -> u64 {
            0
        }
        /// Changes each of those keys.
        fn change_keys(&mut self, _change: &mut dyn FnMut(&mut u64) -> Result<()>) -> Result<()> {
            Ok(())
        }
        /// That it can be done with this memory, where an operation may name so many pieces of remote
        /// memory.
        fn fits(&self, _list: &Segments, _remote_iov: usize) -> Result<()> {
            Ok(())
        }
        /// Hands the operation to the provider.
        ///
        /// # Safety
        ///
        /// `fid` is an open endpoint with the capabilities of `needs`, an address in `self` is in
        /// its vector, and memory and context stay valid until the completion.
        unsafe fn issue(
            &self,
            fid: *mut ofi_sys::fid_ep,
            memory: Memory,
            context: *mut std::ffi::c_void,
        ) -> isize;
        /// What `finish` will need to know of the arguments, and of the memory that was offered.
        fn note(&self, list: &Segments) -> Self::Note;
        /// Bytes of the message that did not fit in the buffer.
        #[inline]
        fn excess(_: Self::Note, _: &Outcome) -> usize {
            0
        }
        /// What a successful completion says.
        fn finish(note: Self::Note, outcome: &Outcome) -> Self::Output;
    }

    /// That a verb can use buffers of type `B`, and how it lists their memory.
    pub trait Uses<B>: Verb {
        fn list(buffer: &mut B, list: &mut Segments);
        /// Tells a buffer whose it is now.
        fn moved(buffer: &mut B, to: Place);
    }
}

pub(crate) use sealed::{Uses, Verb};

/// Something to be posted. Inert: nothing happens until [`post`](Self::post), the first poll of its
/// future, [`wait`](Self::wait) or `inject`. Posts are made in the order of those calls.
#[must_use = "an operation does nothing until it is posted, awaited or waited for"]
pub struct Operation<'ep, V: Verb, B, T: Threading = Shared> {
    core: &'ep Core<T>,
    verb: V,
    buffer: B,
    to: Option<Address>,
    /// An option that cannot be had; reported when posted, with the buffer.
    fault: Option<Error>,
}

impl<'ep, V: Verb, B, T: Threading> Operation<'ep, V, B, T> {
    pub(crate) fn new(core: &'ep Core<T>, verb: V, buffer: B, to: Option<Address>) -> Self {
        Operation { core, verb, buffer, to, fault: None }
    }

    /// Something is wrong with it; the first such error is reported.
    #[cold]
    pub(crate) fn fault(&mut self, error: Error) {
        self.fault.get_or_insert(error);
    }
}

impl<'ep, V, B, T> Operation<'ep, V, B, T>
where
    V: Uses<B>,
    B: 'static,
    T: Accepts<B>,
{
    /// Posts the operation. The buffer belongs to it until the [`Op`] resolves.
    ///
    /// # Errors
    ///
    /// With the buffer, and nothing posted: [`ErrorKind::Busy`] where there is no room now or an
    /// earlier post to the same destination still waits; what else the provider says.
    #[inline(always)]
    pub fn post(self) -> Result<Op<V, B, T>, Failed<B>> {
        self.start(false)
    }

    /// Posts the operation, or puts it at the end of the line for its destination where there is no
    /// room: whoever drives the queue posts it then. As `.await` begins, without waiting.
    ///
    /// # Errors
    ///
    /// With the buffer, and nothing posted: as [`post`](Self::post), but never `Busy`.
    #[inline(always)]
    pub fn submit(self) -> Result<Op<V, B, T>, Failed<B>> {
        self.start(true)
    }

    /// Posts the operation, waiting for room if need be, and blocks until it is done.
    ///
    /// # Errors
    ///
    /// [`WaitError::Expired`] with the operation, still on its way, when `timeout` has passed;
    /// [`WaitError::Failed`] otherwise.
    pub fn wait(self, timeout: Duration) -> Result<(V::Output, B), WaitError<V, B, T>> {
        let deadline = Instant::now().checked_add(timeout);
        self.start(true).map_err(WaitError::Failed)?.wait_deadline(deadline)
    }

    /// Posts, or queues if `queue` and there is no room.
    #[inline(always)]
    fn start(self, queue: bool) -> Result<Op<V, B, T>, Failed<B>> {
        let Operation { core, mut verb, buffer, to, fault } = self;
        if let Some(fault) = fault {
            return Err(Failed::back(fault, buffer));
        }
        if core.limits.selective {
            verb.add_flags(ofi_sys::FI_COMPLETION, core.limits.level);
        }
        let lane = core.lane();
        if !queue && lane.must_wait(verb.class()) {
            return Err(Failed::back(Error::busy(), buffer));
        }
        let laid = post::lay::<V, B, T>(lane, buffer);
        if let Err(error) = post::check(core, core.limits.caps, verb, &laid.list, to) {
            return Err(laid.lift(error));
        }
        let mapped = verb.keys() == KeyKind::Mapped as u64;
        if mapped {
            if let Err(error) = laid.map_keys(core, &mut verb) {
                return Err(laid.lift(error));
            }
        }
        // SAFETY: `check` found the arguments right, and the endpoint is open: it is borrowed.
        unsafe { laid.launch(verb, to, queue, mapped) }
    }
}

/// An operation on its way. Resolves to what came of it, and its buffer.
///
/// A future, and something to [`wait`](Self::wait) for. Whoever polls it drives its completion
/// queue for one batch; if it stays pending it is woken when somebody dispatches its completion.
///
/// # Cancel safety
///
/// Dropping an `Op` frees nothing that the provider may still touch: a receive is cancelled, a send
/// goes on, and the buffer is dropped when the completion has come (or the endpoint has closed). A
/// message that a dropped receive had already matched is lost with its buffer. To get the buffer
/// back later, use [`abandon`](Self::abandon) instead.
#[must_use = "dropping it cancels a receive and gives up the buffer"]
pub struct Op<V: Verb, B, T: Threading = Shared> {
    slot: NonNull<Slot<T>>,
    kind: PhantomData<(V, B, T)>,
}

// SAFETY: an Op is one half of a slot of a `Shared` lane, whose state word is atomic and whose
// queues may be read on any thread; the buffer moves with it, and it is `Send`.
unsafe impl<V: Verb, B: Send> Send for Op<V, B, Shared> {}
// SAFETY: `&Op` allows only `cancel` and `is_done`, which are safe on any thread.
unsafe impl<V: Verb, B: Send> Sync for Op<V, B, Shared> {}

impl<V: Verb, B, T: Threading> Unpin for Op<V, B, T> {}

/// Why [`Op::wait`] did not end in success.
pub enum WaitError<V: Verb, B, T: Threading = Shared> {
    /// The timeout passed; the operation goes on.
    Expired(Op<V, B, T>),
    /// It failed.
    Failed(Failed<B>),
}

impl<V: Verb, B, T: Threading> Op<V, B, T> {
    fn slot(&self) -> &Slot<T> {
        // SAFETY: our half keeps the slot, and thereby its lane, in memory.
        unsafe { self.slot.as_ref() }
    }

    fn lane(&self) -> &lane::Lane<T> {
        // SAFETY: as above.
        unsafe { self.slot().lane.as_ref() }
    }

    fn queue(&self) -> &Arc<crate::cq::CqCore<T>> {
        self.lane().queue(V::RECEIVES)
    }

    /// Whether its half was given away: the slot must not be looked at.
    fn is_spent(&self) -> bool {
        self.slot == NonNull::dangling()
    }
}

impl<V: Uses<B>, B: 'static, T: Threading> Op<V, B, T> {
    /// Whether it has ended, so that [`wait`](Self::wait) or `.await` return at once.
    #[must_use]
    #[inline]
    pub fn is_done(&self) -> bool {
        self.is_spent() || self.slot().state.load() & DONE != 0
    }

    /// Asks the provider to end the operation early. Not a way to the buffer: the operation then
    /// resolves, as [`ErrorKind::Cancelled`] or as if it had not been cancelled (rule B26).
    ///
    /// # Errors
    ///
    /// The provider cannot cancel this (udp, most sends), or the endpoint is closed. An operation
    /// that waits for room is not the provider's yet: drop it instead.
    #[doc(alias = "fi_cancel")]
    pub fn cancel(&self) -> Result<()> {
        if self.is_spent() || self.slot().state.load() & (DONE | QUEUED) != 0 {
            return Ok(());
        }
        self.lane().cancel(self.slot())
    }

    /// Blocks until the operation has ended, driving its completion queue.
    ///
    /// # Errors
    ///
    /// [`WaitError::Expired`] gives the operation back when `timeout` has passed: nothing is lost,
    /// wait again, or [`abandon`](Self::abandon) it.
    ///
    /// # Panics
    ///
    /// Where it has resolved as a future.
    #[inline(always)]
    pub fn wait(self, timeout: Duration) -> Result<(V::Output, B), WaitError<V, B, T>> {
        assert!(!self.is_spent(), "waited for after it had resolved");
        match self.reap() {
            Ok(done) => Ok(done),
            Err(op) => op.wait_timeout(timeout),
        }
    }

    #[cold]
    #[inline(never)]
    fn wait_timeout(self, timeout: Duration) -> Result<(V::Output, B), WaitError<V, B, T>> {
        self.wait_deadline(Instant::now().checked_add(timeout))
    }

    fn wait_deadline(
        self,
        deadline: Option<Instant>,
    ) -> Result<(V::Output, B), WaitError<V, B, T>> {
        self.wait_done(deadline)?.finish().map_err(WaitError::Failed)
    }

    /// The operation itself, once it is done.
    fn wait_done(self, deadline: Option<Instant>) -> Result<Self, WaitError<V, B, T>> {
        if self.is_done() {
            return Ok(self);
        }
        let queue = Arc::clone(self.queue());
        let (_, waker) = wait::Parker::current();
        // Another thread may dispatch our completion while we sleep: it wakes us. An operation
        // that finished meanwhile is seen by the first look.
        // SAFETY: we are the slot's Op.
        let left = unsafe { self.slot().register(&waker) };
        let mut broken = false;
        let done = wait::park_until(
            &[&*queue as &dyn Source],
            &mut |_| {
                broken = self.is_stuck(&queue);
                if let Left::Claimed = left {
                    // Nobody will wake us: no sleep.
                    waker.wake_by_ref();
                }
                self.is_done() || broken
            },
            deadline,
        );
        self.deregister();
        match done {
            _ if self.is_done() => Ok(self),
            true => Err(WaitError::Failed(self.give_up())),
            false => Err(WaitError::Expired(self)),
        }
    }

    /// Gives the operation up, keeping a claim on its buffer: receives are cancelled, and the
    /// [`Held`] yields the buffer once the provider is done with it.
    ///
    /// # Panics
    ///
    /// Where it has resolved as a future.
    pub fn abandon(self) -> Returned<B> {
        assert!(!self.is_spent(), "given up after it had resolved");
        self.deregister();
        if self.unqueue() || self.is_done() {
            return Returned::Back(self.take());
        }
        if V::RECEIVES {
            // Best effort: where it cannot be cancelled, the completion or the close frees it.
            let _ = self.lane().cancel(self.slot());
        }
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is forgotten, so the half is given up once; its waker was taken back.
        match unsafe { failed::hold::<V, B, T>(this.slot) } {
            Ok(held) => Returned::Held(held),
            Err(buffer) => Returned::Back(buffer),
        }
    }

    /// The operation itself, once it is done; what is stuck fails. The future is spent then.
    #[inline(always)]
    fn poll_done(&mut self, context: &mut Context<'_>) -> Poll<Result<Self, Failed<B>>> {
        assert!(self.slot != NonNull::dangling(), "polled after it had resolved");
        if !self.is_done() {
            // Our half keeps the lane, and it the queue, whatever the wakers do that are called.
            self.queue().progress();
            if !self.is_done() && !self.leave_waker(context.waker()) {
                return match self.is_stuck(self.queue()) {
                    true => Poll::Ready(Err(self.hand_over().give_up())),
                    false => Poll::Pending,
                };
            }
        }
        self.deregister();
        Poll::Ready(Ok(self.hand_over()))
    }

    /// The result of what [`poll_done`](Self::poll_done) said.
    #[inline(always)]
    fn end(ended: Result<Self, Failed<B>>) -> Result<(V::Output, B), Failed<B>> {
        match ended.map(Op::reap) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(op)) => op.finish(),
            Err(failed) => Err(failed),
        }
    }

    /// Leaves a waker for the completer. `true` if the operation has ended meanwhile.
    #[inline(never)]
    fn leave_waker(&self, waker: &Waker) -> bool {
        // SAFETY: we are the slot's Op.
        match unsafe { self.slot().register(waker) } {
            Left::Done => return true,
            Left::Waker => {}
            Left::Claimed => waker.wake_by_ref(),
        }
        wait::note_source(self.queue());
        false
    }

    /// Whether nothing will end this operation: its queue is beyond use, or its endpoint is gone
    /// and could not be closed.
    fn is_stuck(&self, queue: &crate::cq::CqCore<T>) -> bool {
        self.lane().is_lost() || queue.healthy().is_err()
    }

    /// The end of an operation that is stuck.
    #[cold]
    fn give_up(self) -> Failed<B> {
        let error = self.queue().healthy().err();
        let error = error.unwrap_or_else(|| Error::closed("endpoint").posted());
        let buf = self.abandon();
        Failed { error, buf }
    }

    /// Takes the waker back.
    fn deregister(&self) {
        // SAFETY: we are the slot's Op.
        unsafe { self.slot().take_back() }
    }

    /// Takes the slot out of the backlog, so that it is ours alone.
    fn unqueue(&self) -> bool {
        !V::TAKES
            && self.slot().state.load() & QUEUED != 0
            && self.lane().unqueue(self.slot(), V::RECEIVES)
    }

    /// The result of an operation that has ended the usual way: well, and with nothing left that has
    /// to be seen to.
    #[inline(always)]
    fn reap(self) -> Result<(V::Output, B), Self> {
        if self.slot().state.load() != OP | DONE {
            return Err(self);
        }
        let body = self.slot().body(Part::Whole, |b| b);
        // SAFETY: DONE, so the body is the Op's; `launch` wrote the note, the completer the outcome.
        let (note, outcome) = unsafe { (slot::noted::<V, T>(body), &(*body).outcome) };
        if V::excess(note, outcome) != 0 {
            return Err(self);
        }
        let output = V::finish(note, outcome);
        let this = ManuallyDrop::new(self);
        // SAFETY: `launch` stored a `B`, and nothing else is in the body. The slot is ours alone:
        // `this` is forgotten, so it is brought home once.
        unsafe {
            let mut buffer = slot::take::<B>(&raw mut (*body).buffer);
            lane::Lane::home_done(this.slot());
            V::moved(&mut buffer, Place::Caller);
            Ok((output, buffer))
        }
    }

    /// The result of an operation that is `DONE`.
    #[cold]
    #[inline(never)]
    fn finish(self) -> Result<(V::Output, B), Failed<B>> {
        debug_assert!(self.is_done());
        let body = self.slot().body(Part::Whole, |b| b);
        // SAFETY: DONE, so the body is the Op's; `launch` wrote the note, the completer the outcome.
        let (note, outcome, error) =
            unsafe { (slot::noted::<V, T>(body), &(*body).outcome, (*body).error.take()) };
        let over = V::excess(note, outcome);
        if error.is_none() && over == 0 {
            return Ok((V::finish(note, outcome), self.take()));
        }
        let error = error.unwrap_or_else(|| {
            if let Some(overflow) = self.lane().habits.overflow {
                overflow.clear(over);
            }
            Error::from_errno(crate::Errno::ETRUNC, V::NAME)
                .posted()
                .detail(format!("{over} bytes did not fit"))
        });
        Err(Failed::back(error, self.take()))
    }

    /// Leaves the operation to itself, without a cancel.
    fn forgo(self) {
        let this = ManuallyDrop::new(self);
        let slot = this.slot();
        // SAFETY: `this` is forgotten, so the half is given up once; no waker of its is left.
        unsafe {
            if slot.leave_unless_done() {
                return;
            }
            slot.dispose();
            if slot.leave() {
                lane::Lane::home(slot);
            }
        }
    }

    /// Takes the buffer out of a slot that is `DONE` or never was the provider's, and leaves it.
    #[inline(never)]
    fn take(self) -> B {
        let this = ManuallyDrop::new(self);
        let slot = this.slot();
        let mut buffer = slot.body(Part::Whole, |b| {
            // SAFETY: the body is the Op's; `launch` stored a `B`. Nothing is left in it that the
            // slot's next use would have to drop.
            unsafe {
                Body::clear_extra(b);
                slot::take::<B>(&raw mut (*b).buffer)
            }
        });
        // SAFETY: `this` is forgotten, so the half is given up once, with no waker in the slot.
        unsafe {
            if slot.leave() {
                lane::Lane::home(slot);
            }
        }
        V::moved(&mut buffer, Place::Caller);
        buffer
    }
}

impl<V: Uses<B>, B: 'static, T: Threading> Future for Op<V, B, T> {
    type Output = Result<(V::Output, B), Failed<B>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_done(context).map(Op::end)
    }
}

impl<V: Verb, B, T: Threading> Op<V, B, T> {
    /// Moves the half out of a borrowed future, which is spent.
    fn hand_over(&mut self) -> Op<V, B, T> {
        let slot = std::mem::replace(&mut self.slot, NonNull::dangling());
        Op { slot, kind: PhantomData }
    }
}

impl<V: Verb, B, T: Threading> Drop for Op<V, B, T> {
    fn drop(&mut self) {
        if self.is_spent() {
            return;
        }
        // SAFETY: our half keeps the slot and its lane in memory.
        let slot = unsafe { self.slot.as_ref() };
        // SAFETY: as above.
        let lane = unsafe { slot.lane.as_ref() };
        // SAFETY: we are the slot's Op.
        unsafe { slot.take_back() };
        let queued = slot.state.load() & QUEUED != 0 && !V::TAKES;
        if queued && lane.unqueue(slot, V::RECEIVES) {
            // SAFETY: never posted and out of the backlog: ours alone. The buffer's Drop, user
            // code, runs before the slot is home.
            unsafe {
                slot.dispose();
                lane::Lane::home(slot);
            }
            return;
        }
        if V::RECEIVES && slot.state.load() & DONE == 0 {
            // Before the half is given up: while it is held the context names this operation.
            let _ = lane.cancel(slot);
        }
        // SAFETY: the Op is gone after this; no waker of its is left. The buffer is the Op's until
        // then.
        unsafe {
            if lane.is_lost() {
                slot.body(Part::Buffer, |b| ((*b).table.lose_buffer)(&raw mut (*b).buffer));
            }
            if slot.leave_unless_done() {
                return;
            }
            let keeps = slot.keeps_message();
            slot.dispose();
            if slot.leave() {
                peek::home_orphan(slot, keeps);
            }
        }
    }
}

impl<'ep, V, B, T> IntoFuture for Operation<'ep, V, B, T>
where
    V: Uses<B>,
    B: 'static,
    T: Accepts<B>,
{
    type Output = Result<(V::Output, B), Failed<B>>;
    type IntoFuture = Submit<'ep, V, B, T>;

    fn into_future(self) -> Self::IntoFuture {
        Submit(State::Inert(Some(self)))
    }
}

/// The future of an [`Operation`]: posts at its first poll (queueing where there is no room), then
/// waits.
///
/// # Cancel safety
///
/// As [`Op`]; dropped before the first poll, or while it waits for room, nothing was posted.
#[must_use = "futures do nothing unless polled"]
pub struct Submit<'ep, V: Verb, B, T: Threading = Shared>(State<'ep, V, B, T>);

enum State<'ep, V: Verb, B, T: Threading> {
    Inert(Option<Operation<'ep, V, B, T>>),
    Posted(Op<V, B, T>),
}

// Nothing is ever pinned in place: the buffer's memory is elsewhere, the operation is in its slot.
impl<V: Verb, B, T: Threading> Unpin for Submit<'_, V, B, T> {}

impl<V, B, T> Future for Submit<'_, V, B, T>
where
    V: Uses<B>,
    B: 'static,
    T: Accepts<B>,
{
    type Output = Result<(V::Output, B), Failed<B>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_done(context).map(Op::end)
    }
}

impl<V, B, T> Submit<'_, V, B, T>
where
    V: Uses<B>,
    B: 'static,
    T: Accepts<B>,
{
    /// As [`Op::poll_done`]; posts the operation first.
    fn poll_done(&mut self, context: &mut Context<'_>) -> Poll<Result<Op<V, B, T>, Failed<B>>> {
        if let State::Inert(operation) = &mut self.0 {
            let operation = operation.take().expect("polled after it had resolved");
            match operation.start(true) {
                Ok(op) => self.0 = State::Posted(op),
                Err(failed) => return Poll::Ready(Err(failed)),
            }
        }
        match &mut self.0 {
            State::Posted(op) => op.poll_done(context),
            State::Inert(_) => unreachable!("posted above"),
        }
    }
}

impl<V: Verb, B, T: Threading> fmt::Debug for Operation<'_, V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(V::NAME).field("to", &self.to).finish_non_exhaustive()
    }
}

impl<V: Verb, B, T: Threading> fmt::Debug for Op<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op").field("verb", &V::NAME).finish_non_exhaustive()
    }
}

impl<V: Verb, B, T: Threading> fmt::Debug for Submit<'_, V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submit").field("verb", &V::NAME).finish_non_exhaustive()
    }
}

impl<V: Verb, B, T: Threading> fmt::Debug for WaitError<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Expired(_) => f.write_str("Expired"),
            WaitError::Failed(failed) => write!(f, "Failed({failed:?})"),
        }
    }
}

impl<V: Verb, B, T: Threading> fmt::Display for WaitError<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WaitError::Expired(_) => write!(f, "{}: the timeout passed, it goes on", V::NAME),
            WaitError::Failed(failed) => failed.fmt(f),
        }
    }
}

impl<V: Verb, B, T: Threading> std::error::Error for WaitError<V, B, T> {}

impl<V: Verb, B, T: Threading> From<WaitError<V, B, T>> for Error {
    /// An expired operation is dropped (receives are cancelled), its buffer with it.
    fn from(error: WaitError<V, B, T>) -> Error {
        match error {
            WaitError::Expired(_) => Error::new(ErrorKind::TimedOut, V::NAME).posted(),
            WaitError::Failed(failed) => failed.error,
        }
    }
}
