//! Operations that the provider starts by itself, when a counter is reached: deferred work,
//! `fi_trigger(3)`.
//!
//! An operation that is deferred has a slot like any other, and an [`Op`] that waits for it; only how
//! it is posted and how its end is seen is different. The provider is given a [`Block`] in place of
//! the slot, and tells of the end by a counter that belongs to the block ([`Own`]). The lane keeps the
//! blocks, and looks at their counters whenever it looks after its posts that wait for room
//! ([`Works::sweep`]), which is after every progress call while there are blocks. Failures come as
//! entries of the queue, which name the block ([`unwrap`]).
//!
//! Receives are not deferred: on the only provider that can be tried, they can stop it for good
//! (quirk 62). Nor is there `FI_TRIGGER` with `fi_triggered_context` on an ordinary post: deferred work
//! does the same, can be cancelled, and may count its end wherever it is wanted.
//!
//! # Safety
//!
//! A block stays in the lane's list, and so where it is, until its operation has ended; whoever takes
//! it out of the list, under its lock, is the one who completes its slot. It holds the counters, the
//! domain and, by its slot, the lane. The endpoint closes with blocks in the list only as one that is
//! leaked.

use std::{
    ffi::c_void,
    fmt,
    mem::offset_of,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use ofi_sys::fi_deferred_work;

use super::{
    Failed, Op, Operation, Returned, Uses, Verb, WaitError,
    lane::Lane,
    post,
    slot::{Outcome, Slot},
};
use crate::{
    Counter, Errno, Error, ErrorKind, Result,
    counter::{
        CounterCore, Role, Threshold,
        work::{Own, Relay, cancel, check_threshold, control, take_role},
    },
    cq,
    domain::DomainCore,
    endpoint::Core,
    error::Needs,
    mr::KeyKind,
    object::forked,
    quirks::{self, Defect, quirk},
    sync::Guarded,
    threading::{Accepts, Lock, Shared, Threading, Word},
};

mod pinned;

pub(crate) use pinned::Defers;
use pinned::Pinned;

/// An operation that is to be deferred: what [`Operation::when`] returns. Inert until it is queued.
#[must_use = "an operation does nothing until it is queued"]
pub struct When<'ep, V: Verb, B, T: Threading = Shared> {
    operation: Operation<'ep, V, B, T>,
    trigger: Arc<CounterCore<T>>,
    threshold: u64,
    then: Option<Arc<CounterCore<T>>>,
}

/// An operation that waits for its counter, or has been started. Resolves as an [`Op`] does.
///
/// Its end makes no descriptor readable: who sleeps on that of its completion queue looks again after a
/// while, as [`wait`](Self::wait) and [`block_on`](crate::block_on) do. Where a failure of what it waits for means that its counter will never be reached, nobody notices
/// but the caller, who cancels it then, or changes the counter.
///
/// # Cancel safety
///
/// Dropping it cancels it where the provider can do that; elsewhere it is done when it is due, and its
/// buffer is dropped then. An endpoint that closes with work that may still be started is leaked, and
/// its buffers, see [`leaked`](crate::leaked).
#[must_use = "dropping it gives up the buffer"]
pub struct Work<V: Verb, B, T: Threading = Shared> {
    op: Op<V, B, T>,
    block: Weak<Block<T>>,
}

/// Why [`Work::wait`] did not end in success.
pub enum WorkError<V: Verb, B, T: Threading = Shared> {
    /// The timeout passed; the operation waits on, or goes on.
    Expired(Work<V, B, T>),
    /// It failed.
    Failed(Failed<B>),
}

impl<'ep, V: Defers, B, T: Threading> Operation<'ep, V, B, T> {
    /// Leaves it to the provider to start the operation, at the moment when a counter is reached:
    /// at once, if it is by now.
    ///
    /// For sends, writes, reads and atomic operations, on endpoints with `FI_TRIGGER`. What is
    /// deferred is counted by no counter of its endpoint, only by [`When::then`].
    #[doc(alias = "FI_TRIGGER")]
    #[doc(alias = "fi_deferred_work")]
    pub fn when(self, at: Threshold<'_, T>) -> When<'ep, V, B, T> {
        let (trigger, threshold) = (Arc::clone(&at.counter.0), at.value);
        When { operation: self, trigger, threshold, then: None }
    }
}

impl<V, B, T> When<'_, V, B, T>
where
    V: Defers + Uses<B>,
    B: 'static,
    T: Accepts<B>,
{
    /// Has the provider add one to `counter` when the operation is done, which may be what other work
    /// waits for. On sockets that cannot be so after a send (quirk 62).
    pub fn then(mut self, counter: &Counter<T>) -> Self {
        self.then = Some(Arc::clone(&counter.0));
        self
    }

    /// Queues it. The buffer belongs to it until it has ended.
    ///
    /// # Errors
    ///
    /// With the buffer, and nothing queued: `Unsupported` where the provider has no deferred work, or
    /// is not known to do it safely, and on endpoints without `FI_TRIGGER`; `Invalid` for counters of
    /// another domain; what a post of the operation would have failed with.
    #[doc(alias = "FI_QUEUE_WORK")]
    #[doc(alias = "FI_OP_SEND")]
    #[doc(alias = "FI_OP_TSEND")]
    #[doc(alias = "FI_OP_WRITE")]
    #[doc(alias = "FI_OP_READ")]
    #[doc(alias = "FI_OP_ATOMIC")]
    #[doc(alias = "FI_OP_FETCH_ATOMIC")]
    #[doc(alias = "FI_OP_COMPARE_ATOMIC")]
    pub fn queue(self) -> Result<Work<V, B, T>, Failed<B>> {
        let When { operation, trigger, threshold, then } = self;
        let Operation { core, verb, buffer, to, fault } = operation;
        let checked = fault.map_or(Ok(()), Err);
        let checked = checked.and_then(|()| check_work(core, &verb, &trigger, threshold, &then));
        let domain = core.domain_core();
        let relay = then.map(|then| Relay::new(&then, ofi_sys::FI_OP_CNTR_ADD, 1));
        let own = match checked.and_then(|()| Own::open(domain, relay)) {
            Ok(own) => own,
            Err(error) => return Err(Failed::back(error, buffer)),
        };
        let lane = core.lane();
        let laid = post::lay::<V, B, T>(lane, buffer);
        if let Err(error) = post::check(core, core.limits.caps, verb, &laid.list, to) {
            return Err(laid.lift(error));
        }
        let block = Arc::new(Block {
            slot: laid.slot(),
            _room: [0; 3],
            // SAFETY: a plain C structure.
            work: Guarded::new(unsafe { std::mem::zeroed() }),
            pinned: Guarded::new(Pinned::new(&laid.list)),
            own,
            trigger,
            domain: Arc::clone(domain),
        });
        if let Err(error) = block.own.queue_relay() {
            return Err(laid.lift(error));
        }
        // SAFETY: `check` found the arguments right, and the endpoint is open: it is borrowed.
        let op = unsafe {
            laid.launch_by(verb, to, |_| {
                let (work, pinned) = (block.work.get(), block.pinned.get());
                (*work).threshold = threshold;
                (*work).triggering_cntr = block.trigger.as_ptr();
                (*work).completion_cntr = block.own.as_ptr();
                ((*work).op_type, (*work).op) = verb.pin(pinned, core.fid.as_ptr(), work.cast());
                // Before the call: it may have ended when that returns.
                lane.works.add(lane, &block);
                let status = control(&block.domain, ofi_sys::FI_QUEUE_WORK, work);
                if status < 0 {
                    lane.works.take_out(lane, Arc::as_ptr(&block));
                }
                status as isize
            })?
        };
        Ok(Work { op, block: Arc::downgrade(&block) })
    }
}

/// What must hold besides what every operation needs.
fn check_work<V: Defers, T: Threading>(
    core: &Core<T>,
    verb: &V,
    trigger: &CounterCore<T>,
    threshold: u64,
    then: &Option<Arc<CounterCore<T>>>,
) -> Result<()> {
    let domain = core.domain_core();
    if core.limits.caps & ofi_sys::FI_TRIGGER == 0 {
        return Err(Error::unsupported(V::NAME, Needs::Capability("FI_TRIGGER"))
            .hint("ask for the capability in the hints"));
    }
    if verb.keys() == KeyKind::Mapped as u64 {
        return Err(Error::unsupported(V::NAME, Needs::Property("keys that need not be mapped")));
    }
    if verb.work_flags() & (ofi_sys::FI_MORE | ofi_sys::FI_MULTICAST) != 0 {
        return Err(Error::invalid(V::NAME, "neither MORE nor a group goes with deferred work"));
    }
    check_threshold(domain, trigger, threshold)?;
    match then {
        Some(then) if !then.on(domain) => {
            Err(Error::invalid(V::NAME, "the counter is of another domain"))
        }
        Some(then) if V::SENDS => take_role(core.provider(), then, Role::CountsSends),
        _ => Ok(()),
    }
}

/// What the provider has of a deferred operation. The operation's context is the work structure's
/// address, which is no slot's: slots begin where a multiple of 64 is.
#[repr(C, align(64))]
pub(crate) struct Block<T: Threading> {
    slot: *const Slot<T>,
    _room: [u64; 3],
    work: Guarded<fi_deferred_work>,
    pinned: Guarded<Pinned>,
    own: Own<T>,
    trigger: Arc<CounterCore<T>>,
    domain: Arc<DomainCore<T>>,
}

/// Where the work structure is in its block.
const AT: usize = 32;

// SAFETY: libfabric's own locks guard counters and domains, under FI_THREAD_SAFE; the C structures are
// written before they are queued, and by the provider after; the slot is used as slots are.
unsafe impl Send for Block<Shared> {}
// SAFETY: as above.
unsafe impl Sync for Block<Shared> {}

/// The blocks of a lane.
pub(crate) struct Works<T: Threading>(T::Lock<Vec<Arc<Block<T>>>>);

impl<T: Threading> Works<T> {
    pub(crate) fn new() -> Self {
        const {
            assert!(offset_of!(Block<T>, work) == AT, "a context that is no slot's");
            assert!(align_of::<Slot<T>>() == 64, "slots begin at multiples of 64");
        }
        Works(T::Lock::new(Vec::new()))
    }

    fn add(&self, lane: &Lane<T>, block: &Arc<Block<T>>) {
        self.0.lock().push(Arc::clone(block));
        // The queue looks after the lane from here on.
        lane.transmit.backlogged.fetch_add(1);
    }

    /// Takes a block out, if it is there.
    fn take_out(&self, lane: &Lane<T>, block: *const Block<T>) -> Option<Arc<Block<T>>> {
        let mut works = self.0.lock();
        let at = works.iter().position(|other| Arc::as_ptr(other) == block)?;
        lane.transmit.backlogged.fetch_add(u64::MAX);
        Some(works.swap_remove(at))
    }

    /// Whether there is work that may be started still, or is under way.
    pub(crate) fn are_queued(&self) -> bool {
        !self.0.lock().is_empty()
    }

    /// Completes the operations whose counters say so. Returns how many.
    pub(crate) fn sweep(&self, lane: &Lane<T>, after: &mut cq::Deferred<T>) -> usize {
        if cfg!(loom) {
            return 0;
        }
        let mut ended = Vec::new();
        let mut works = self.0.lock();
        let mut last = None;
        works.retain(|block| {
            if !block.own.is_done() {
                block.nudge(&mut last);
                return true;
            }
            lane.transmit.backlogged.fetch_add(u64::MAX);
            // SAFETY: it is taken out of the list, whose lock is held.
            unsafe { block.complete(None, after) };
            ended.push(Arc::clone(block));
            false
        });
        drop(works);
        ended.len()
    }

    /// Has the provider let go of what was not started, where it does that.
    pub(crate) fn cancel_all(&self, lane: &Lane<T>, after: &mut cq::Deferred<T>) {
        let works: Vec<_> = self.0.lock().clone();
        for block in works {
            // What cannot be cancelled stays.
            let _ = self.cancel(lane, &block, after);
        }
    }

    fn cancel(
        &self,
        lane: &Lane<T>,
        block: &Arc<Block<T>>,
        after: &mut cq::Deferred<T>,
    ) -> Result<()> {
        let mut works = self.0.lock();
        let Some(at) = works.iter().position(|other| Arc::ptr_eq(other, block)) else {
            return Ok(());
        };
        // SAFETY: it is in the list, so it was queued and has not ended.
        unsafe { cancel(&block.domain, block.work.get())? };
        if !quirks::cancels_work(block.domain.info.provider()) {
            return Ok(());
        }
        block.own.cancel_relay();
        works.swap_remove(at);
        lane.transmit.backlogged.fetch_add(u64::MAX);
        // SAFETY: it is taken out of the list, whose lock is held.
        unsafe {
            // Written before it was queued.
            let name = (*block.slot).table().name;
            block.complete(Some(Error::from_errno(Errno::ECANCELED, name).posted()), after);
        }
        Ok(())
    }
}

impl<T: Threading> Block<T> {
    /// Ends the operation.
    ///
    /// # Safety
    ///
    /// The caller has just taken the block out of its lane's list, and holds the list's lock.
    unsafe fn complete(&self, error: Option<Error>, after: &mut cq::Deferred<T>) {
        // SAFETY: the slot is away until its operation is completed, which is done here alone: whoever
        // does it by an entry of the queue takes the block out of the list first.
        unsafe {
            let slot = &*self.slot;
            after.push(slot, slot.complete(Outcome::default(), error, false));
        }
    }

    /// Has the provider look again whether it can start what waits, where it forgets to (quirk 63);
    /// once for each counter in a row.
    fn nudge(&self, last: &mut Option<*const CounterCore<T>>) {
        let trigger = Arc::as_ptr(&self.trigger);
        if *last != Some(trigger)
            && quirk(self.domain.info.provider(), Defect::StartsStall).is_some()
        {
            *last = Some(trigger);
            // SAFETY: the counter is open.
            let _ = unsafe { ofi_sys::fi_cntr_add(self.trigger.as_ptr(), 0) };
        }
    }
}

/// The slot's context that an error entry means: it is the slot's own, or names a block. `None` if
/// its operation has ended.
///
/// # Safety
///
/// The context is null or one that this crate gave a dispatching queue's endpoint, and the queue's
/// reader lock is held.
pub(crate) unsafe fn unwrap<T: Threading>(context: *mut c_void) -> Option<*mut c_void> {
    if context.addr() % align_of::<Slot<T>>() == 0 {
        return Some(context);
    }
    let block = context.wrapping_byte_sub(AT).cast::<Block<T>>().cast_const();
    // SAFETY: it is no slot's, so it is a block's; the provider has it, so it is in its lane's list,
    // and the slot is away.
    unsafe {
        let slot = (*block).slot;
        let lane = (*slot).lane.as_ref();
        lane.works.take_out(lane, block)?;
        Some((*slot).context())
    }
}

impl<V: Uses<B>, B: 'static, T: Threading> Work<V, B, T> {
    /// Whether it has ended, so that [`wait`](Self::wait) or `.await` return at once. Seen when its
    /// completion queue is driven.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.op.is_done()
    }

    /// Takes the operation back, unless it was started: it then resolves as
    /// [`ErrorKind::Cancelled`], with its buffer.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider cannot (sockets); what it says, of work that was started, too.
    #[doc(alias = "FI_CANCEL_WORK")]
    pub fn cancel(&self) -> Result<()> {
        if forked() {
            return Err(Error::new(ErrorKind::Forked, "fi_control"));
        }
        if self.op.is_spent() {
            return Ok(());
        }
        let Some(block) = self.block.upgrade() else { return Ok(()) };
        let lane = self.op.lane();
        let mut after = cq::Deferred::new();
        let result = lane.works.cancel(lane, &block, &mut after);
        after.run();
        result
    }

    /// Blocks until the operation has ended, driving its completion queue.
    ///
    /// # Errors
    ///
    /// [`WorkError::Expired`] gives it back when `timeout` has passed.
    pub fn wait(self, timeout: Duration) -> Result<(V::Output, B), WorkError<V, B, T>> {
        let block = self.block.clone();
        self.into_op().wait(timeout).map_err(|error| match error {
            WaitError::Expired(op) => WorkError::Expired(Work { op, block }),
            WaitError::Failed(failed) => WorkError::Failed(failed),
        })
    }

    /// Gives the operation up, keeping a claim on its buffer: it is cancelled, if that can be, and the
    /// claim yields the buffer when it has ended.
    pub fn abandon(self) -> Returned<B> {
        // Best effort.
        let _ = self.cancel();
        self.into_op().abandon()
    }
}

impl<V: Verb, B, T: Threading> Work<V, B, T> {
    /// The operation, without the work's drop.
    fn into_op(mut self) -> Op<V, B, T> {
        self.op.hand_over()
    }
}

impl<V: Verb, B, T: Threading> Unpin for Work<V, B, T> {}

impl<V: Uses<B>, B: 'static, T: Threading> Future for Work<V, B, T> {
    type Output = Result<(V::Output, B), Failed<B>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.op).poll(context)
    }
}

impl<V: Verb, B, T: Threading> Drop for Work<V, B, T> {
    fn drop(&mut self) {
        // Not of a future that is spent, or was handed over: its slot may be another's by now.
        if self.op.is_spent() || forked() {
            return;
        }
        let Some(block) = self.block.upgrade() else { return };
        if quirks::cancels_work(block.domain.info.provider()) {
            let lane = self.op.lane();
            let mut after = cq::Deferred::new();
            // What was started goes on; its buffer is dropped when it has ended.
            let _ = lane.works.cancel(lane, &block, &mut after);
            after.run();
        }
    }
}

impl<V: Verb, B, T: Threading> fmt::Debug for When<'_, V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("When")
            .field("operation", &self.operation)
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}

impl<V: Verb, B, T: Threading> fmt::Debug for Work<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").field("verb", &V::NAME).finish_non_exhaustive()
    }
}

impl<V: Verb, B, T: Threading> fmt::Debug for WorkError<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkError::Expired(_) => f.write_str("Expired"),
            WorkError::Failed(failed) => write!(f, "Failed({failed:?})"),
        }
    }
}

impl<V: Verb, B, T: Threading> fmt::Display for WorkError<V, B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkError::Expired(_) => write!(f, "{}: the timeout passed, it waits on", V::NAME),
            WorkError::Failed(failed) => failed.fmt(f),
        }
    }
}

impl<V: Verb, B, T: Threading> std::error::Error for WorkError<V, B, T> {}

impl<V: Verb, B, T: Threading> From<WorkError<V, B, T>> for Error {
    /// Work that expired is dropped.
    fn from(error: WorkError<V, B, T>) -> Error {
        match error {
            WorkError::Expired(_) => Error::new(ErrorKind::TimedOut, V::NAME).posted(),
            WorkError::Failed(failed) => failed.error,
        }
    }
}
