//! The lane: what all operations on one postable object share. Its slots, the posts that wait for
//! room, the queues they complete on.
//!
//! A lane's memory outlives its endpoint for as long as a slot is away: with the provider, in limbo
//! or with an `Op`. The last slot home frees the lane; nothing is counted per operation.
//!
//! # Safety
//!
//! A `NonNull<Lane>` is valid while its endpoint is open, or while the holder owns a half of one of
//! its slots.

use std::{collections::VecDeque, ptr::NonNull, sync::Arc};

use super::{
    deferred::Works,
    overflow::Overflow,
    slot::{DONE, EXTRA, OP, Outcome, PROVIDER, Part, QUEUED, Slot},
    slots,
};
use crate::{
    Errno, Error,
    cq::{CqCore, Deferred},
    object::forked,
    sync::{
        Watch,
        atomic::{Ordering, fence},
    },
    threading::{Lock, Threading, Word},
};

/// Slots of the first chunk; each further chunk is twice the one before.
const FIRST_CHUNK: u32 = if cfg!(loom) { 2 } else { 64 };
const CHUNKS: usize = if cfg!(loom) { 2 } else { 24 };
/// The free list of a closed lane: whoever brings a slot home counts it instead.
const CLOSED: u64 = u64::MAX;

/// See the module.
pub(crate) struct Lane<T: Threading> {
    pub(crate) fid: NonNull<ofi_sys::fid_ep>,
    pub(crate) transmit: Arc<CqCore<T>>,
    pub(crate) receive: Arc<CqCore<T>>,
    pub(crate) habits: Habits,
    /// Free list: the address of the first free slot; where threads meet its index + 1, with a tag
    /// against ABA in the high half. 0 if there is none.
    free: T::Word,
    chunks: [T::Word; CHUNKS],
    /// Slots there are; growing holds it.
    total: T::Lock<u32>,
    /// Slots still away once the lane is closed.
    away: T::Word,
    /// Whether `fid` may still be used; a cancel holds it for its call.
    open: T::Lock<State>,
    /// Not 0 once the endpoint is gone and operations are left that nothing will end.
    lost: T::Word,
    backlog: T::Lock<Vec<Waiting<T>>>,
    /// Operations that the provider starts by itself.
    pub(crate) works: Works<T>,
    /// Operations in `backlog`, read without its lock.
    pub(crate) backlogged: T::Word,
    /// Entries of failed operations, on a lane of batches.
    pub(crate) failed: T::Word,
    watch: Watch,
}

/// What is particular to the operations of a lane.
#[derive(Clone, Copy, Default)]
pub(crate) struct Habits {
    /// What goes behind the memory of every receive, where short ones never end.
    pub(crate) overflow: Option<&'static Overflow>,
    /// A receive that `fi_cancel` has ended has no entry.
    pub(crate) silent_cancel: bool,
    /// A claimed message is let go of by `FI_DISCARD`.
    pub(crate) discards_by_flag: bool,
    /// They leave an entry only where they fail, see [`Tally`](super::Tally).
    pub(crate) batched: bool,
}

/// What may be done with the endpoint of a lane.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Cancels alone.
    Closing,
    Shut,
}

/// Posts to one destination that wait for room, in order.
struct Waiting<T: Threading> {
    class: u64,
    posts: VecDeque<NonNull<Slot<T>>>,
}

/// The backlog class of a receive: receives wait for each other, not for sends.
pub(crate) const RECEIVES: u64 = u64::MAX;

impl<T: Threading> Lane<T> {
    pub(crate) fn new(
        fid: NonNull<ofi_sys::fid_ep>,
        transmit: Arc<CqCore<T>>,
        receive: Arc<CqCore<T>>,
        habits: Habits,
    ) -> NonNull<Lane<T>> {
        let lane = Box::new(Lane {
            fid,
            transmit,
            receive,
            habits,
            free: T::Word::new(0),
            chunks: std::array::from_fn(|_| T::Word::new(0)),
            total: T::Lock::new(0),
            away: T::Word::new(0),
            open: T::Lock::new(State::Open),
            lost: T::Word::new(0),
            backlog: T::Lock::new(Vec::new()),
            works: Works::new(),
            backlogged: T::Word::new(0),
            failed: T::Word::new(0),
            watch: Watch::new(),
        });
        NonNull::from(Box::leak(lane))
    }

    /// The queue that an operation completes on.
    pub(crate) fn queue(&self, receives: bool) -> &Arc<CqCore<T>> {
        if receives { &self.receive } else { &self.transmit }
    }

    /// A free slot.
    #[inline]
    pub(crate) fn acquire(&self) -> &Slot<T> {
        loop {
            let head = self.free.load();
            let Some(slot) = self.linked(head) else {
                self.grow();
                continue;
            };
            let next = slot.next.load();
            if !T::SHARED {
                self.free.store(next);
                return slot;
            }
            let tag = (head >> 32).wrapping_add(1) << 32;
            if self.free.replace(head, tag | u64::from(next as u32)).is_ok() {
                return slot;
            }
        }
    }

    /// The slot that a word of the free list names.
    #[inline(always)]
    fn linked(&self, link: u64) -> Option<&Slot<T>> {
        if T::SHARED {
            return (link as u32).checked_sub(1).map(|index| self.slot(index));
        }
        // SAFETY: `push` wrote the address of a slot of this lane, which lives as long as the lane.
        unsafe { (link as usize as *const Slot<T>).as_ref() }
    }

    #[inline]
    fn slot(&self, index: u32) -> &Slot<T> {
        // The first chunk serves most endpoints for all their life.
        let (chunk, offset) = if index < FIRST_CHUNK {
            (0, index)
        } else {
            let chunk = (index + FIRST_CHUNK).ilog2() - FIRST_CHUNK.ilog2();
            (chunk, index + FIRST_CHUNK - (FIRST_CHUNK << chunk))
        };
        let base = self.chunks[chunk as usize].load() as usize as *const Slot<T>;
        // SAFETY: `grow` published this chunk with FIRST_CHUNK << chunk slots before it gave out
        // any index in it, and chunks live as long as the lane.
        unsafe { &*base.add(offset as usize) }
    }

    #[cold]
    #[inline(never)]
    fn grow(&self) {
        let mut total = self.total.lock();
        if self.linked(self.free.load()).is_some() {
            return;
        }
        let chunk = ((*total + FIRST_CHUNK).ilog2() - FIRST_CHUNK.ilog2()) as usize;
        assert!(chunk < CHUNKS, "more than 2^29 operations in flight on one endpoint");
        let len = FIRST_CHUNK << chunk;
        let slots: Box<[Slot<T>]> =
            (*total..*total + len).map(|index| Slot::new(index, NonNull::from(self))).collect();
        slots::add(slots.as_ptr(), slots.len());
        self.chunks[chunk].store(Box::into_raw(slots).cast::<Slot<T>>() as usize as u64);
        for index in (*total..*total + len).rev() {
            let slot = self.slot(index);
            self.push(slot);
        }
        *total += len;
    }

    #[inline]
    fn push(&self, slot: &Slot<T>) -> bool {
        self.watch.reads();
        loop {
            let head = self.free.load();
            if head == CLOSED {
                return false;
            }
            if !T::SHARED {
                slot.next.store(head);
                self.free.store(slot.context() as usize as u64);
                return true;
            }
            slot.next.store(u64::from(head as u32));
            let new = (head >> 32) << 32 | u64::from(slot.index + 1);
            if self.free.replace(head, new).is_ok() {
                return true;
            }
        }
    }

    /// Brings a slot home. May free the lane: neither is touched afterwards.
    ///
    /// # Safety
    ///
    /// The caller owns the slot alone, and nothing in its body needs dropping.
    #[inline]
    pub(crate) unsafe fn home(slot: &Slot<T>) {
        slot.state.store(0);
        // SAFETY: the caller's promise.
        unsafe { Lane::home_done(slot) }
    }

    /// Brings a slot home that says by itself that nothing is in flight.
    ///
    /// # Safety
    ///
    /// As [`home`](Self::home), and the slot is `DONE`.
    #[inline]
    pub(crate) unsafe fn home_done(slot: &Slot<T>) {
        // SAFETY: the slot was away until now, so its lane exists.
        let lane = unsafe { slot.lane.as_ref() };
        if !lane.push(slot) {
            // SAFETY: the lane is closed and this slot was counted as away.
            unsafe { Lane::count_home(slot.lane, u64::MAX) };
        }
    }

    /// Adds `change` to the slots that are away from a closed lane; at zero the lane goes.
    ///
    /// # Safety
    ///
    /// The lane's list is closed; `change` is -1 for a slot of the caller's, or their number.
    #[cold]
    unsafe fn count_home(lane: NonNull<Lane<T>>, change: u64) {
        // SAFETY: the lane exists until the count is zero, and the caller's part is in it.
        let before = unsafe { lane.as_ref() }.away.fetch_add(change);
        if before.wrapping_add(change) != 0 {
            return;
        }
        // SAFETY: every slot is home and the endpoint is gone: this is the last owner. Chunks and
        // lane came from `Box::into_raw` and `Box::leak`.
        unsafe {
            let lane = Box::from_raw(lane.as_ptr());
            lane.watch.writes();
            let mut left = *lane.total.lock();
            for (chunk, base) in lane.chunks.iter().enumerate() {
                let len = FIRST_CHUNK << chunk;
                if left < len {
                    break;
                }
                left -= len;
                let base = base.load() as usize as *mut Slot<T>;
                slots::remove(base);
                drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(base, len as usize)));
            }
        }
    }

    /// The endpoint lets go of the lane: it lives on while slots are away.
    ///
    /// # Safety
    ///
    /// The endpoint posts nothing more and does not touch the lane again.
    pub(crate) unsafe fn retire(this: NonNull<Lane<T>>) {
        // SAFETY: the endpoint kept it until now.
        let lane = unsafe { this.as_ref() };
        let mut head = lane.free.load();
        while let Err(found) = lane.free.replace(head, CLOSED) {
            head = found;
        }
        let mut home = 0;
        let mut next = head;
        while let Some(slot) = lane.linked(next) {
            home += 1;
            next = slot.next.load();
        }
        lane.watch.reads();
        let away = *lane.total.lock() - home;
        // SAFETY: the list is closed; from here on slots count themselves home.
        unsafe { Lane::count_home(this, u64::from(away)) };
    }

    /// Every slot that was ever used, in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot<T>> {
        let total = *self.total.lock();
        (0..total).map(|index| self.slot(index))
    }

    /// Whether an operation that names `entry` may still reach the provider.
    ///
    /// Asked after the entry's generation was raised: either the post sees that, or this the post.
    pub(crate) fn names(&self, entry: u64) -> bool {
        // The other half is in a slot's mark, `store_fenced`.
        fence(Ordering::SeqCst);
        self.slots().any(|slot| slot.is_in_flight() && slot.destination.load() == entry)
    }

    /// Operations that are queued or with the provider.
    pub(crate) fn in_flight(&self) -> usize {
        self.slots().filter(|slot| slot.is_in_flight()).count()
    }

    /// Whether receives are among them.
    pub(crate) fn receives_in_flight(&self) -> bool {
        // SAFETY: the table is written before the slot is marked, and stays until it is used again.
        self.slots().any(|slot| slot.is_in_flight() && unsafe { slot.table() }.receives)
    }

    /// Asks the provider to cancel what is in `slot` (rule B26: the completion decides).
    pub(crate) fn cancel(&self, slot: &Slot<T>) -> Result<(), Error> {
        if forked() {
            // The lock may have been held by a thread that the fork left behind.
            return Err(Error::new(crate::ErrorKind::Forked, "fi_cancel"));
        }
        let open = self.open.lock();
        if *open == State::Shut {
            return Err(Error::closed("fi_cancel"));
        }
        // SAFETY: `open` holds off the close, so the fid is valid; the context is this slot's, and
        // the caller's half of it keeps it from naming a later operation.
        let status = unsafe { ofi_sys::fi_cancel(self.fid.as_ptr().cast(), slot.context()) };
        crate::error::check(status as i64, "fi_cancel")?;
        if self.habits.silent_cancel {
            let mut after = Deferred::new();
            self.end_cancelled(slot, &mut after);
            drop(open);
            after.run();
        }
        Ok(())
    }

    /// Asks once more for the end of a receive that goes on after an entry, though nobody has it any
    /// more: the cancel of a multi-receive may be refused while a message is on its way into it.
    ///
    /// The caller holds the reader of the receive's queue.
    #[cold]
    pub(crate) fn cancel_again(&self, slot: &Slot<T>) {
        if slot.state.load() & OP == 0 && !self.habits.silent_cancel {
            let _ = self.cancel(slot);
        }
    }

    /// Ends a receive that was cancelled, where no entry says so. The caller holds `open`.
    #[cold]
    fn end_cancelled(&self, slot: &Slot<T>, after: &mut Deferred<T>) {
        // SAFETY: whoever cancels has the slot's half, or is the close that ends what is left.
        let name = unsafe { slot.table() }.name;
        let error = Some(Error::from_errno(Errno::ECANCELED, name).posted());
        // SAFETY: the provider let go of the receive when it was cancelled, and has no entry for it;
        // the close, which completes, too, is held off by `open`.
        after.push(slot, unsafe { slot.complete(Outcome::default(), error, false) });
    }

    /// Runs `f` if the endpoint is open, which holds off its close.
    pub(crate) fn while_open<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let open = self.open.lock();
        (*open == State::Open).then(f)
    }

    /// From here on nothing new is posted through [`while_open`](Self::while_open): the endpoint is about
    /// to look what is in flight.
    pub(crate) fn closing(&self) {
        let mut open = self.open.lock();
        if *open == State::Open {
            *open = State::Closing;
        }
    }

    /// From here on nothing is cancelled, retried or posted: the fid is about to close.
    pub(crate) fn shut(&self) {
        *self.open.lock() = State::Shut;
    }

    /// Whether a new post of this class would overtake one that waits.
    #[inline]
    pub(crate) fn must_wait(&self, class: u64) -> bool {
        self.backlogged.load() != 0 && self.waits(class)
    }

    #[cold]
    fn waits(&self, class: u64) -> bool {
        self.backlog.lock().iter().any(|w| w.class == class && !w.posts.is_empty())
    }

    /// Puts a prepared slot at the end of its line.
    pub(crate) fn enqueue(&self, slot: &Slot<T>, class: u64, receives: bool) {
        let mut backlog = self.backlog.lock();
        // Under the lock: `retry` clears the bit of a slot that may have come home meanwhile. Until
        // here the slot is marked as if it were posted, so that it names its address.
        slot.state.store(QUEUED | slot.state.load() & (OP | EXTRA));
        let post = NonNull::from(slot);
        match backlog.iter_mut().find(|w| w.class == class) {
            Some(waiting) => waiting.posts.push_back(post),
            None => backlog.push(Waiting { class, posts: VecDeque::from([post]) }),
        }
        self.backlogged.fetch_add(1);
        self.queue(receives).backlogged.fetch_add(1);
    }

    /// Takes a slot out of its line. `false` if it is not there: it was posted meanwhile.
    pub(crate) fn unqueue(&self, slot: &Slot<T>, receives: bool) -> bool {
        if forked() {
            return false;
        }
        let mut backlog = self.backlog.lock();
        if slot.state.load() & QUEUED == 0 {
            return false;
        }
        for waiting in backlog.iter_mut() {
            waiting.posts.retain(|post| *post != NonNull::from(slot));
        }
        slot.state.fetch_and(!QUEUED);
        self.backlogged.fetch_add(u64::MAX);
        self.queue(receives).backlogged.fetch_add(u64::MAX);
        true
    }

    /// Tries the first of every line again: a destination that accepts nothing delays no other.
    ///
    /// # Safety
    ///
    /// The endpoint is open and cannot close meanwhile: the caller found the lane in the queue's
    /// list and holds that list.
    pub(crate) unsafe fn retry(&self, after: &mut Deferred<T>) -> usize {
        let mut posted = self.works.sweep(self, after);
        let mut backlog = self.backlog.lock();
        for waiting in backlog.iter_mut() {
            while let Some(&post) = waiting.posts.front() {
                // SAFETY: a queued slot is its Op's and the backlog's; the Op leaves only through
                // `unqueue`, which needs the lock held here.
                let slot = unsafe { post.as_ref() };
                // SAFETY: the poster wrote the table before it queued the slot.
                let table = unsafe { slot.table() };
                // The entry may be read on another thread before `issue` returns. QUEUED stays
                // until it has: an Op that is dropped meanwhile waits for the lock held here.
                slot.state.fetch_or(PROVIDER);
                // SAFETY: the slot is prepared, and its endpoint open.
                let status = unsafe { (table.issue)(slot) };
                if status == -(ofi_sys::FI_EAGAIN as isize) {
                    slot.state.fetch_and(!PROVIDER);
                    break;
                }
                if status >= 0 {
                    // It may be done, home and posted again by now; it cannot be queued again.
                    slot.state.fetch_and(!QUEUED);
                }
                waiting.posts.pop_front();
                self.backlogged.fetch_add(u64::MAX);
                self.queue(table.receives).backlogged.fetch_add(u64::MAX);
                posted += 1;
                if status < 0 {
                    let error = Error::from_errno(Errno::from_raw(status as i32), table.name);
                    let error = Some(error);
                    // SAFETY: the provider refused it, so no entry comes: we complete it alone.
                    after.push(slot, unsafe { slot.complete(Outcome::default(), error, false) });
                }
            }
        }
        posted
    }

    /// Ends every queued operation with `error`: they were never posted.
    pub(crate) fn fail_backlog(&self, error: &Error, after: &mut Deferred<T>) {
        let mut backlog = self.backlog.lock();
        for waiting in backlog.drain(..) {
            for post in waiting.posts {
                // SAFETY: as in `retry`.
                let slot = unsafe { post.as_ref() };
                // SAFETY: the poster wrote the table before it queued the slot.
                let receives = unsafe { slot.table() }.receives;
                self.backlogged.fetch_add(u64::MAX);
                self.queue(receives).backlogged.fetch_add(u64::MAX);
                let error = Some(error.clone());
                // SAFETY: it is in no provider's hands; the backlog's lock makes us alone.
                after.push(slot, unsafe { slot.complete(Outcome::default(), error, false) });
            }
        }
    }

    /// Ends every operation the provider still had, buffers back: `fi_close` has returned 0, so
    /// the provider touches none of them (rule B1). Their slots go to limbo. `true` if any did.
    ///
    /// # Safety
    ///
    /// The endpoint's `fi_close` returned 0 on a provider known to give memory back then, and the
    /// caller holds the reader locks of both queues.
    pub(crate) unsafe fn end_in_limbo(&self, error: &Error, after: &mut Deferred<T>) -> bool {
        let mut any = false;
        for slot in self.slots() {
            let state = slot.state.load();
            if state & PROVIDER != 0 && state & DONE == 0 {
                any = true;
                let error = Some(error.clone());
                // SAFETY: the reader locks make us the only completer.
                after.push(slot, unsafe { slot.complete(Outcome::default(), error, true) });
            }
        }
        any
    }

    /// The endpoint is gone and what remains in flight may never end: whoever waits for it is told,
    /// and keeps a claim on the buffer.
    pub(crate) fn give_up(&self, queues: &[&CqCore<T>]) {
        self.lost.store(1);
        let mut after = Deferred::new();
        {
            // Keeps completers away: wakers and orphans are theirs otherwise. In the order of their
            // addresses, as whoever closes an endpoint holds them.
            let mut queues = queues.to_vec();
            queues.sort_by_key(|queue| std::ptr::from_ref(*queue) as usize);
            queues.dedup_by_key(|queue| std::ptr::from_ref(*queue));
            let _readers: Vec<_> = queues.iter().map(|queue| queue.hold()).collect();
            for slot in self.slots() {
                slot.wake(&mut after);
                if slot.state.load() & (PROVIDER | OP | DONE) == PROVIDER {
                    // SAFETY: nobody else has an orphan now, and its buffer is in it. One with an
                    // `Op` is told by that, when it goes or gives up.
                    slot.body(Part::Buffer, |b| unsafe {
                        ((*b).table.lose_buffer)(&raw mut (*b).buffer);
                    });
                }
            }
        }
        after.run();
    }

    /// Whether [`give_up`](Self::give_up) was called.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load() != 0
    }

    /// Brings the slots in limbo home: the queues cannot name them any more. May free the lane.
    ///
    /// # Safety
    ///
    /// As [`Lane::end_in_limbo`], after both queues were seen empty or closed; once.
    pub(crate) unsafe fn end_limbo(this: NonNull<Lane<T>>) {
        // The walk must not end in a freed lane: collect first, then bring home.
        // SAFETY: slots in limbo are away, so the lane exists.
        let limbo: Vec<NonNull<Slot<T>>> = unsafe { this.as_ref() }
            .slots()
            .filter(|slot| slot.state.load() & (PROVIDER | DONE) == PROVIDER | DONE)
            .map(NonNull::from)
            .collect();
        for slot in limbo {
            // SAFETY: still in limbo, so still away; nobody but us ends it.
            let slot = unsafe { slot.as_ref() };
            // SAFETY: the caller's promise; `end_limbo` says when the slot is ours alone, and its
            // buffer and error were taken when its Op left or the orphan was disposed of.
            unsafe {
                if slot.end_limbo() {
                    Lane::home(slot);
                }
            }
        }
    }
}
