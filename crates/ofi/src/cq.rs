//! Completion queues: one reader at a time hands every completion to the operation it belongs to.
//!
//! Whoever waits for an operation may read the queue; nobody can take another's completion, because
//! reading *is* dispatching. The reader's lock is held for one batch: `fi_cq_read`, the slots'
//! state changes, the retry of waiting posts. Wakers and the drops of orphaned buffers, which are
//! the user's code, run after it, outside all locks.
//!
//! # Safety
//!
//! Every context that a dispatching queue can return is a live slot's: only [`crate::op`] posts to
//! the endpoints bound to it, and a slot comes home only when no entry can name it any more.

use std::{
    collections::VecDeque,
    fmt,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, RawFd},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    ptr::NonNull,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use ofi_sys::{fi_cq_err_entry, fid_cq};

use crate::{
    Errno, Error, Result,
    abi::Roomy,
    domain::DomainCore,
    error::check,
    fabric::FabricCore,
    object::{CloseError, Owned, forked},
    op::{
        lane::Lane,
        many::Taken,
        peek,
        slot::{After, Outcome, Slot},
        slots,
        tally::Tally,
    },
    threading::{Lock, Shared, Threading, Word},
    wait::{self, Parkers, Source},
    wait_set::WaitCore,
};

mod dispatch;
mod open;
mod unsolicited;

pub(crate) use dispatch::Deferred;
pub use open::CompletionQueueBuilder;
pub(crate) use open::Shape;
pub use unsolicited::Unsolicited;

/// Entries read at once.
const BATCH: usize = 16;

/// A completion queue that hands each completion to its operation.
///
/// A clone is another handle to the same queue. It closes with its last handle and the last
/// endpoint bound to it.
///
/// See `fi_cq(3)`.
#[doc(alias = "fid_cq")]
pub struct CompletionQueue<T: Threading = Shared>(pub(crate) Arc<CqOpen<T>>);

impl<T: Threading> Clone for CompletionQueue<T> {
    fn clone(&self) -> Self {
        CompletionQueue(Arc::clone(&self.0))
    }
}

/// What keeps a queue open: its handles and the endpoints bound to it.
pub(crate) struct CqOpen<T: Threading> {
    pub(crate) core: Arc<CqCore<T>>,
    pub(crate) size: usize,
    /// Its context, see `poll`.
    pub(crate) number: usize,
    /// Closed in `Drop`, before the domain that it holds.
    domain: Arc<DomainCore<T>>,
}

/// What operations in flight keep in memory; closed or not.
#[expect(missing_debug_implementations, reason = "public in name only")]
pub struct CqCore<T: Threading> {
    fid: Owned<fid_cq, T>,
    shape: Shape,
    fabric: Arc<FabricCore>,
    reader: T::Lock<Reader<T>>,
    /// The endpoints bound to this queue.
    lanes: T::Lock<Vec<NonNull<Lane<T>>>>,
    /// Not 0 if entries may have contexts that are no slots (quirks 29 and 53).
    guarded: T::Word,
    /// Posts that wait for room on those, and batches that somebody should look at.
    pub(crate) backlogged: T::Word,
    /// What counts the operations of batches whose failures come here.
    tallies: T::Lock<Vec<Arc<Tally<T>>>>,
    unsolicited: Mutex<VecDeque<Unsolicited>>,
    unsolicited_lost: AtomicU64,
    /// Messages that closing endpoints took in for nobody (quirks 16 and 17).
    swallowed: AtomicU64,
    stray: AtomicU64,
    unasked: AtomicU64,
    parkers: Parkers,
    /// The descriptor can be waited on no more (quirk 12).
    fd_lost: AtomicBool,
    /// What it was opened with, and what closes after it.
    set: Option<Arc<WaitCore<T>>>,
}

/// What only the reader of the moment touches.
pub(crate) struct Reader<T: Threading> {
    open: bool,
    /// Lanes of closed endpoints: an entry of theirs may still be in the queue.
    limbo: Vec<Arc<LimboClaim<T>>>,
    error_data: Vec<u8>,
    /// Where sources are read to: all `FI_ADDR_NOTAVAIL` between two reads.
    sources: [u64; BATCH],
    /// The queue is beyond use: what reading it said.
    fatal: Option<Error>,
}

/// A closed endpoint's claim on its slots in limbo, held by each of its queues until that queue was
/// seen empty. The last one to let go brings the slots home.
pub(crate) struct LimboClaim<T: Threading>(NonNull<Lane<T>>);

impl<T: Threading> Drop for LimboClaim<T> {
    fn drop(&mut self) {
        // SAFETY: made once per lane, after `end_in_limbo`; every queue of the lane has let go of it
        // because it was seen empty or is closed.
        unsafe { Lane::end_limbo(self.0) }
    }
}

impl<T: Threading> CompletionQueue<T> {
    /// Reads and dispatches one batch of completions, and tries waiting posts again. Returns how
    /// many completions there were; 0 also when another thread is reading just now.
    ///
    /// Never blocks. Wakers of the operations that completed are called before it returns.
    ///
    /// # Errors
    ///
    /// If the queue itself failed (an overrun, a lost device): nothing more will complete on it.
    #[doc(alias = "fi_cq_read")]
    #[doc(alias = "fi_cq_readerr")]
    pub fn progress(&self) -> Result<usize> {
        let count = self.0.core.progress();
        if count == 0 {
            self.0.core.healthy()?;
        }
        Ok(count)
    }

    /// A future that drives this queue for everybody for as long as it is polled: it never
    /// resolves unless the queue fails.
    ///
    /// It knows no runtime, so it asks to be polled again at once; to sleep until something
    /// happens, wait for [`fd`](Self::fd) in your runtime after [`try_wait`](Self::try_wait) said
    /// `true`, or use [`block_on`](crate::block_on).
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing; somebody else has to drive the queue then.
    pub fn driver(&self) -> Driver<'_, T> {
        Driver(self)
    }

    /// Blocks until at least one completion was dispatched, [`signal`](Self::signal) was called
    /// (both `true`), or `timeout` has passed (`false`).
    ///
    /// # Errors
    ///
    /// If the queue itself failed.
    #[doc(alias = "fi_cq_sread")]
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        let core = &*self.0.core;
        let signals = core.parkers.signals();
        let mut seen = 0;
        let moved = wait::park_until(
            &[core],
            &mut |driven| {
                seen += driven;
                seen > 0 || core.parkers.signals() != signals || core.healthy().is_err()
            },
            Instant::now().checked_add(timeout),
        );
        core.healthy()?;
        Ok(moved)
    }

    /// Wakes every thread that blocks on this queue.
    #[doc(alias = "fi_cq_signal")]
    pub fn signal(&self) {
        self.0.core.parkers.signal();
    }

    /// The descriptor that becomes readable when there may be something to read, where the
    /// provider has one. Only meaningful after [`try_wait`](Self::try_wait) said `true`.
    #[doc(alias = "fi_control")]
    #[doc(alias = "FI_GETWAIT")]
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the descriptor belongs to the queue, which stays open while it is borrowed.
        self.0.core.shape.fd.map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Whether it is safe to sleep on [`fd`](Self::fd) now (rule W2): `false` means read first.
    /// Posts that wait for room are tried again first, because connecting providers make room
    /// without any completion. `false` also while the future of a [`Batch`](crate::Batch) waits: its end
    /// makes no descriptor readable.
    #[doc(alias = "fi_trywait")]
    #[must_use]
    pub fn try_wait(&self) -> bool {
        let core = &self.0.core;
        core.may_park() && (core.backlogged.load() == 0 || !core.awaits_batches())
    }

    /// The oldest entry that belongs to no operation of ours: a remote write with data, or the
    /// failure of an injected message.
    #[must_use]
    pub fn unsolicited(&self) -> Option<Unsolicited> {
        lock(&self.0.core.unsolicited).pop_front()
    }

    /// Counters of what this queue had to set aside.
    #[must_use]
    pub fn counts(&self) -> QueueCounts {
        let core = &self.0.core;
        QueueCounts {
            stray: core.stray.load(Ordering::Relaxed),
            unasked: core.unasked.load(Ordering::Relaxed),
            unsolicited_lost: core.unsolicited_lost.load(Ordering::Relaxed),
        }
    }

    /// How many entries the queue was opened for.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// Closes the queue now.
    ///
    /// # Errors
    ///
    /// Gives the handle back if others hold the queue, or endpoints are bound to it.
    pub fn close(self) -> Result<(), CloseError<CompletionQueue<T>>> {
        CloseError::close(self.0, CompletionQueue, |open| open.close())
    }

    /// The C object, for calls that this crate does not wrap. Reading entries from it takes them
    /// away from their operations, whose buffers are then never given back.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_cq {
        self.0.core.fid.as_ptr()
    }
}

/// What [`CompletionQueue::counts`] tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueCounts {
    /// Entries for operations that had ended when their endpoint closed.
    pub stray: u64,
    /// Entries of operations that had asked for none ([`Batch`](crate::Batch)) and succeeded.
    pub unasked: u64,
    /// Entries without an operation that nobody fetched in time.
    pub unsolicited_lost: u64,
}

impl<T: Threading> fmt::Debug for CompletionQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletionQueue")
            .field("size", &self.0.size)
            .field("shape", &self.0.core.shape)
            .finish_non_exhaustive()
    }
}

/// See [`CompletionQueue::driver`].
#[derive(Debug)]
#[must_use = "a driver does nothing unless polled"]
pub struct Driver<'a, T: Threading>(&'a CompletionQueue<T>);

impl<T: Threading> Future for Driver<'_, T> {
    type Output = Error;

    fn poll(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Error> {
        if let Err(error) = self.0.progress() {
            return std::task::Poll::Ready(error);
        }
        wait::note_source(&self.0.0.core);
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    }
}

impl<T: Threading> CqCore<T> {
    /// One batch, and the waiting posts.
    #[inline]
    pub(crate) fn progress(&self) -> usize {
        let mut after = Deferred::new();
        let count = match self.reader.try_lock() {
            Some(mut reader) => self.read_batch(&mut reader, &mut after),
            None => 0,
        };
        if self.backlogged.load() != 0 {
            self.retry(&mut after);
        }
        after.run();
        count
    }

    /// Tries the waiting posts of every endpoint on this queue, and looks at their batches. Returns how
    /// many posts went out.
    #[cold]
    fn retry(&self, after: &mut Deferred<T>) -> usize {
        self.tallies.lock().iter().for_each(|tally| tally.tend(after));
        let lanes = self.lanes.lock();
        // SAFETY: an endpoint leaves the list, under this lock, before it closes.
        lanes.iter().map(|lane| unsafe { lane.as_ref().retry(after) }).sum()
    }

    /// What broke the queue, if anything did.
    pub(crate) fn healthy(&self) -> Result<()> {
        match self.reader.try_lock().and_then(|reader| reader.fatal.clone()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub(crate) fn attach(&self, lane: NonNull<Lane<T>>) {
        self.lanes.lock().push(lane);
    }

    /// From here on every context is looked at before it is followed.
    pub(crate) fn guard(&self) {
        self.guarded.store(1);
    }

    /// Whether entries have to be looked at for contexts that are no slots.
    #[inline]
    fn sifts(&self) -> bool {
        self.guarded.load() != 0
    }

    pub(crate) fn attach_tally(&self, tally: &Arc<Tally<T>>) {
        self.tallies.lock().push(Arc::clone(tally));
    }

    /// After this nobody tends it.
    pub(crate) fn detach_tally(&self, tally: &Arc<Tally<T>>) {
        self.tallies.lock().retain(|other| !Arc::ptr_eq(other, tally));
    }

    fn awaits_batches(&self) -> bool {
        self.tallies.lock().iter().any(|tally| tally.is_awaited())
    }

    /// How many messages closing endpoints took in for nobody.
    pub(crate) fn swallowed(&self) -> u64 {
        self.swallowed.load(Ordering::Relaxed)
    }

    pub(crate) fn note_unasked(&self) {
        self.unasked.fetch_add(1, Ordering::Relaxed);
    }

    /// The descriptor is not to be waited on any more. The caller holds the reader's lock.
    pub(crate) fn lose_fd(&self) {
        self.fd_lost.store(true, Ordering::Release);
        if let Some(set) = &self.set {
            set.lose_fd();
        }
    }

    /// After this nothing is retried for the lane.
    pub(crate) fn detach(&self, lane: NonNull<Lane<T>>) {
        self.lanes.lock().retain(|other| *other != lane);
    }

    /// Keeps everybody else from reading.
    pub(crate) fn hold(&self) -> <T::Lock<Reader<T>> as Lock<Reader<T>>>::Guard<'_> {
        self.reader.lock()
    }

    /// As [`hold`](Self::hold), unless somebody has it.
    pub(crate) fn try_hold(&self) -> Option<impl Sized + '_> {
        self.reader.try_lock()
    }

    /// Drives the queue, and looks whether it has entries, or had some that are dispatched now.
    pub(crate) fn has_news(&self) -> bool {
        if self.backlogged.load() != 0 {
            return self.progress() > 0;
        }
        let Some(reader) = self.reader.try_lock() else { return false };
        // SAFETY: the queue is open; no entry is asked for (rule W9).
        reader.open
            && unsafe { ofi_sys::fi_cq_read(self.fid.as_ptr(), std::ptr::null_mut(), 0) }
                != -(ofi_sys::FI_EAGAIN as isize)
    }

    /// Drives the provider, and leaves every entry where it is. Waits for the reader of the moment.
    pub(crate) fn poke(&self) {
        let reader = self.reader.lock();
        if reader.open {
            // SAFETY: the queue is open; no entry is asked for (rule W9).
            unsafe { ofi_sys::fi_cq_read(self.fid.as_ptr(), std::ptr::null_mut(), 0) };
        }
    }

    /// Whether entries say where in its buffer a message is.
    pub(crate) fn tells_place(&self) -> bool {
        self.shape.has_data
    }

    pub(crate) fn raw(&self) -> *mut ofi_sys::fid {
        self.fid.as_fid()
    }
}

impl<T: Threading> Source for CqCore<T> {
    fn drive(&self) -> usize {
        self.progress()
    }

    fn fd(&self) -> Option<RawFd> {
        self.shape.fd.filter(|_| !self.fd_lost.load(Ordering::Acquire))
    }

    fn may_park(&self) -> bool {
        if self.shape.fd.is_none() {
            return false;
        }
        let clear = {
            // Closing the queue takes the reader's lock, so the fid is open while it is held.
            let Some(reader) = self.reader.try_lock() else {
                return false;
            };
            let mut fid: *mut ofi_sys::fid = self.fid.as_fid();
            // SAFETY: fabric and queue are open; the array has one entry (rule W2). Where the provider
            // goes on looking into closed endpoints, that was noted under the lock held here.
            reader.open
                && !self.fd_lost.load(Ordering::Acquire)
                && unsafe { ofi_sys::fi_trywait(self.fabric.as_ptr(), &raw mut fid, 1) } == 0
        };
        // `fi_trywait` is a progress call: room may have come with it and nothing else.
        if clear && self.backlogged.load() != 0 {
            let mut after = Deferred::new();
            let posted = self.retry(&mut after);
            after.run();
            return posted == 0;
        }
        clear
    }

    fn park_limit(&self) -> Duration {
        // A post that waits may find room without any event (rxm, tcp while they connect).
        if self.backlogged.load() != 0 { Duration::from_millis(1) } else { self.shape.park_limit }
    }

    fn parkers(&self) -> &Parkers {
        &self.parkers
    }
}

impl<T: Threading> CqOpen<T> {
    /// Whether the queue is of this domain.
    pub(crate) fn on(&self, domain: &Arc<DomainCore<T>>) -> bool {
        Arc::ptr_eq(&self.domain, domain)
    }

    fn close(&self) -> Result<()> {
        if forked() {
            // A thread that the fork left behind may hold the locks; nothing is ours to release.
            self.core.fid.leak();
            return Err(Error::new(crate::ErrorKind::Forked, "fi_close"));
        }
        let (result, limbo) = {
            let mut reader = self.core.reader.lock();
            reader.open = false;
            // The queue is gone then, and with it every entry: limbo ends.
            (self.core.fid.close(), std::mem::take(&mut reader.limbo))
        };
        drop(limbo);
        self.core.parkers.signal();
        result
    }
}

impl<T: Threading> Drop for CqOpen<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.close();
    }
}

// SAFETY: everything in it is atomic or behind a lock of `Shared`; lanes are used under theirs.
unsafe impl Send for CqCore<Shared> {}
// SAFETY: as above.
unsafe impl Sync for CqCore<Shared> {}

impl<T: Threading> Reader<T> {
    /// Keeps a closed endpoint's slots until the queue was seen empty.
    pub(crate) fn claim(&mut self, claim: Arc<LimboClaim<T>>) {
        self.limbo.push(claim);
    }
}

impl<T: Threading> LimboClaim<T> {
    /// # Safety
    ///
    /// `Lane::end_in_limbo` was called for this lane, and this is called once for it.
    pub(crate) unsafe fn new(lane: NonNull<Lane<T>>) -> LimboClaim<T> {
        LimboClaim(lane)
    }
}

fn lock<X>(mutex: &Mutex<X>) -> std::sync::MutexGuard<'_, X> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
