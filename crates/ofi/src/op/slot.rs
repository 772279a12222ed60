//! The slot: what an operation leaves with the provider, and how it comes back.
//!
//! A slot's address is the `op_context` of its operation; its first 64 bytes belong to the provider
//! (rule B7). It has two owners, each with one bit in the state word: the provider (`PROVIDER`: an
//! entry naming this slot may still come) and the [`Op`](super::Op) (`OP`). Whoever finds the other
//! gone brings the slot home. Because the `Op`'s half keeps the slot from being used again, no
//! `Op`, cancel or timer can ever meet a later operation in its slot.
//!
//! | state | meaning | completion | the `Op` is dropped |
//! |---|---|---|---|
//! | `0` | free, in the lane's list | counted as stray | |
//! | `QUEUED\|OP` | waits in the backlog, the provider has never seen it | | leaves the backlog, buffer dropped, home |
//! | `PROVIDER\|OP` | in flight | outcome written, `DONE\|OP`, waker called | receives are cancelled, then `PROVIDER` |
//! | `PROVIDER` | orphaned | `DONE` | |
//! | `DONE` | an orphan's end: whoever completed it drops the buffer (or hands it to its `Held`), then home | counted as stray | |
//! | `DONE\|OP` | finished; buffer and outcome are the `Op`'s | | buffer dropped, home |
//! | `PROVIDER\|DONE\|OP` | limbo: the endpoint closed, an entry may still be in the queue | counted as stray | buffer dropped, `PROVIDER\|DONE` |
//! | `PROVIDER\|DONE` | limbo, nobody waits | counted as stray | |
//!
//! Limbo ends when the queue's reader has seen the queue empty, or the queue is closed.
//!
//! `WAKER` is set while the body holds a waker that the completer may take. Completing first claims
//! the waker (clears the bit), then hands the slot over: it never touches a slot it gave away.
//!
//! # Safety
//!
//! The body is written by the poster before `PROVIDER` or `QUEUED` is set, by the completer before
//! `DONE` is set, and read by the owner the table above names. The state word orders these.

use std::{ffi::c_void, mem::MaybeUninit, ptr::NonNull, task::Waker};

use libc::iovec;

use super::lane::Lane;
use crate::{
    Error,
    buf::INLINE_SEGMENTS,
    cq::Deferred,
    sync::{Guarded, Watch},
    threading::{Threading, Word},
};

/// The provider may still produce an entry that names this slot.
pub(crate) const PROVIDER: u64 = 1;
/// An `Op` holds this slot.
pub(crate) const OP: u64 = 2;
/// The outcome is written.
pub(crate) const DONE: u64 = 4;
/// The body holds a waker for the completer to take.
pub(crate) const WAKER: u64 = 8;
/// In the backlog; the provider has never seen it.
pub(crate) const QUEUED: u64 = 16;

/// A slot. One cache line for the provider, one for the hand-over, the rest for the operation.
#[repr(C, align(64))]
pub(crate) struct Slot<T: Threading> {
    /// The union of `fi_context2` and `fi_triggered_context2`: the provider's.
    context: Guarded<MaybeUninit<[u64; 8]>>,
    pub(crate) state: T::Word,
    /// Free list: index + 1 of the next free slot. Backlog and orphans: address of the next slot.
    pub(crate) next: T::Word,
    /// Address of the `av::Entry` this operation names, 0 if none (rule A2).
    pub(crate) destination: T::Word,
    pub(crate) index: u32,
    pub(crate) lane: NonNull<Lane<T>>,
    body: Guarded<Body<T>>,
    watch: [Watch; 4],
}

/// Parts of the body that have an owner of their own at times: loom checks each by itself.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// `outcome` and `error`.
    Outcome,
    /// The buffer, the verb, and what belongs to them.
    Buffer,
    /// `orphan` and `ticket`.
    Ticket,
    /// `waker`.
    Waker,
    /// All of it.
    Whole,
}

/// What the owner of the moment reads and writes.
pub(crate) struct Body<T: Threading> {
    pub(crate) table: &'static Table<T>,
    pub(crate) outcome: Outcome,
    /// Why it failed, if it did. `None` in a free slot.
    pub(crate) error: Option<Error>,
    /// How many bytes were offered.
    pub(crate) posted: usize,
    /// The buffer's handle, or a box of it.
    pub(crate) buffer: Storage,
    /// The verb's arguments, for the first post and every later try.
    pub(crate) verb: VerbStorage,
    /// What the completer does with the buffer of an orphan: drop it, or hand it to its ticket.
    orphan: unsafe fn(*mut Body<T>),
    pub(crate) ticket: *const (),
    waker: MaybeUninit<Waker>,
    /// Vectors live here until the completion (rule B9, FI_ASYNC_IOV).
    pub(crate) iov: [MaybeUninit<iovec>; INLINE_SEGMENTS],
    pub(crate) desc: [MaybeUninit<*mut c_void>; INLINE_SEGMENTS],
    pub(crate) spilled: Option<Box<(Vec<iovec>, Vec<*mut c_void>)>>,
}

/// Room for a verb: reads and writes name up to three pieces of remote memory.
pub(crate) type VerbStorage = MaybeUninit<[u64; 16]>;

/// Room for a buffer's handle.
pub(crate) type Storage = MaybeUninit<[u64; 8]>;

/// What is known about a verb and a buffer type at compile time.
pub(crate) struct Table<T: Threading> {
    /// The C call, for error texts.
    pub(crate) name: &'static str,
    /// Whether it completes on the receive queue.
    pub(crate) receives: bool,
    /// Drops the buffer in place.
    pub(crate) drop_buffer: unsafe fn(*mut Storage),
    /// Hands the operation to the provider: the value of the C call.
    pub(crate) issue: unsafe fn(&Slot<T>) -> isize,
}

/// What the queue's entry says of an operation that ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub(crate) flags: u64,
    pub(crate) len: usize,
    pub(crate) data: u64,
    pub(crate) tag: u64,
    pub(crate) source: u64,
}

/// What is left to do for a completed slot once the batch is over and no lock is held.
pub(crate) enum After {
    /// The entry named a slot that waits for nothing.
    Stray,
    /// The `Op` has it; call the waker if there is one.
    Done(Option<Waker>),
    /// Nobody waits: see to the buffer, then bring the slot home. Who waited until just now may
    /// have left a waker, whose drop is user code.
    Orphan(Option<Waker>),
    /// Nobody waits and the slot stays in limbo: see to the buffer only.
    OrphanInLimbo(Option<Waker>),
}

/// What became of a waker that was to be left.
pub(crate) enum Left {
    /// The completer will call it.
    Waker,
    /// Nothing: the operation has ended.
    Done,
    /// Nothing: the completer has an earlier one, and the operation ends any moment. Look again.
    Claimed,
}

impl<T: Threading> Slot<T> {
    pub(crate) fn new(index: u32, lane: NonNull<Lane<T>>) -> Slot<T> {
        unsafe fn nothing(_: *mut Storage) {}
        unsafe fn never<T: Threading>(_: &Slot<T>) -> isize {
            unreachable!("a free slot is not issued")
        }
        struct Free<T>(T);
        impl<T: Threading> Free<T> {
            const TABLE: Table<T> =
                Table { name: "", receives: false, drop_buffer: nothing, issue: never::<T> };
        }
        Slot {
            context: Guarded::new(MaybeUninit::zeroed()),
            state: T::Word::new(0),
            next: T::Word::new(0),
            destination: T::Word::new(0),
            index,
            lane,
            body: Guarded::new(Body {
                table: &Free::<T>::TABLE,
                outcome: Outcome::default(),
                error: None,
                posted: 0,
                buffer: MaybeUninit::uninit(),
                verb: MaybeUninit::uninit(),
                orphan: Body::drop_buffer,
                ticket: std::ptr::null(),
                waker: MaybeUninit::uninit(),
                iov: [MaybeUninit::uninit(); INLINE_SEGMENTS],
                desc: [MaybeUninit::uninit(); INLINE_SEGMENTS],
                spilled: None,
            }),
            watch: std::array::from_fn(|_| Watch::new()),
        }
    }

    /// The `op_context`.
    #[inline]
    pub(crate) fn context(&self) -> *mut c_void {
        std::ptr::from_ref(self).cast_mut().cast()
    }

    /// The slot an `op_context` names.
    ///
    /// # Safety
    ///
    /// `context` came from [`Slot::context`] of a slot whose lane still exists.
    #[inline]
    pub(crate) unsafe fn from_context<'a>(context: *mut c_void) -> &'a Slot<T> {
        // SAFETY: the caller's promise.
        unsafe { &*context.cast::<Slot<T>>() }
    }

    /// Whether an operation is in it that has not ended: queued, or with the provider.
    pub(crate) fn is_in_flight(&self) -> bool {
        let state = self.state.load();
        state & (PROVIDER | QUEUED) != 0 && state & DONE == 0
    }

    /// The body, for the owner of the moment (see the table above).
    #[inline]
    pub(crate) fn body<R>(&self, part: Part, f: impl FnOnce(*mut Body<T>) -> R) -> R {
        match part {
            Part::Whole => self.watch.iter().for_each(Watch::writes),
            part => self.watch[part as usize].writes(),
        }
        f(self.body.get())
    }

    /// What is known of the operation in the slot; of the last one while the slot is free.
    ///
    /// # Safety
    ///
    /// Nobody is writing it: the poster does, before it marks the slot.
    #[inline]
    pub(crate) unsafe fn table(&self) -> &'static Table<T> {
        self.watch[Part::Buffer as usize].reads();
        // SAFETY: the caller's promise; the table is always one.
        unsafe { (*self.body.get()).table }
    }

    /// Ends the operation: `limbo` if the endpoint is closed and its entry may still come.
    ///
    /// # Safety
    ///
    /// The caller is the only completer: it holds the reader lock of the slot's queue, or the
    /// backlog's lock for a slot that is `QUEUED`.
    #[inline(always)]
    pub(crate) unsafe fn complete(
        &self,
        outcome: Outcome,
        error: Option<Error>,
        limbo: bool,
    ) -> After {
        let mut state = self.state.load();
        if state & DONE != 0 || state & (PROVIDER | QUEUED) == 0 {
            return After::Stray;
        }
        // SAFETY: until DONE is set both are the completer's; the caller is the only one. There is
        // no earlier error to be dropped: it is taken before a slot comes home.
        self.body(Part::Outcome, |b| unsafe {
            // Field by field: copied as a whole it would go through memory, and reading in wider
            // pieces what was just written in words has to wait for the store buffer.
            let Outcome { flags, len, data, tag, source } = outcome;
            let to = &raw mut (*b).outcome;
            (&raw mut (*to).flags).write(flags);
            (&raw mut (*to).len).write(len);
            (&raw mut (*to).data).write(data);
            (&raw mut (*to).tag).write(tag);
            (&raw mut (*to).source).write(source);
            if let Some(error) = error {
                (&raw mut (*b).error).write(Some(error));
            }
        });
        let mut waker = None;
        loop {
            if state & OP == 0 {
                // The `Op` left for good: nobody else touches the state now.
                if limbo {
                    self.state.store(PROVIDER | DONE);
                    return After::OrphanInLimbo(waker);
                }
                // The buffer is seen to after the locks are gone. An endpoint that closes until
                // then must not find the slot in flight.
                self.state.store(DONE);
                return After::Orphan(waker);
            }
            if state & WAKER != 0 {
                if self.state.fetch_and(!WAKER) & WAKER != 0 {
                    // SAFETY: the bit said the waker is there, and clearing it made it ours.
                    waker =
                        Some(self.body(Part::Waker, |b| unsafe { (*b).waker.assume_init_read() }));
                }
                state = self.state.load();
                continue;
            }
            let kept = if limbo { PROVIDER } else { 0 };
            match self.state.replace(state, OP | DONE | kept) {
                Ok(()) => return After::Done(waker),
                Err(found) => state = found,
            }
        }
    }

    /// Takes the waker of an operation that will not complete soon.
    ///
    /// The caller holds the reader lock of the slot's queue.
    pub(crate) fn wake(&self, after: &mut Deferred<T>) {
        // Without a look before: who leaves one after this has seen what was done before it.
        if self.state.fetch_and(!WAKER) & WAKER != 0 {
            // SAFETY: the bit said the waker is there, and clearing it made it ours.
            after.push_waker(self.body(Part::Waker, |b| unsafe { (*b).waker.assume_init_read() }));
        }
    }

    /// Leaves `waker` for the completer.
    ///
    /// # Safety
    ///
    /// The caller is the slot's `Op`; `registered` is as the last call here left it, at first
    /// `false`.
    pub(crate) unsafe fn register(&self, waker: &Waker, registered: &mut bool) -> Left {
        // SAFETY: the caller's promise.
        if *registered && !unsafe { self.deregister(registered) } {
            // Until it has finished the completer may be reading the field, so nothing is left in
            // it again.
            let done = self.state.load() & DONE != 0;
            return if done { Left::Done } else { Left::Claimed };
        }
        if self.state.load() & DONE != 0 {
            return Left::Done;
        }
        // SAFETY: WAKER is clear and was not claimed, so the field is the Op's.
        self.body(Part::Waker, |b| unsafe { (*b).waker.write(waker.clone()) });
        let found = self.state.fetch_or(WAKER);
        *registered = true;
        if found & DONE != 0 {
            // Completed before it could see the bit: nobody will take it.
            // SAFETY: the completer is gone; the bit is ours to clear.
            unsafe { self.deregister(registered) };
            return Left::Done;
        }
        Left::Waker
    }

    /// Takes the waker back. `false` if the completer claimed it: the field stays the completer's,
    /// and `registered` as it is.
    ///
    /// # Safety
    ///
    /// The caller is the slot's `Op`, and it left a waker.
    pub(crate) unsafe fn deregister(&self, registered: &mut bool) -> bool {
        if self.state.fetch_and(!WAKER) & WAKER == 0 {
            return false;
        }
        *registered = false;
        // SAFETY: the bit said the waker is there, and clearing it made it ours.
        drop(self.body(Part::Waker, |b| unsafe { (*b).waker.assume_init_read() }));
        true
    }

    /// The `Op` goes. `true` if the completer was gone already, so that the slot is the caller's to
    /// bring home (its buffer included, unless the `Op` took it).
    ///
    /// # Safety
    ///
    /// The caller is the slot's `Op`, holds no waker in it, and does not touch it again if `false`.
    pub(crate) unsafe fn leave(&self) -> bool {
        self.state.fetch_and(!OP) & PROVIDER == 0
    }

    /// The `Op` goes, unless the operation is `DONE` (`false`: then everything is still its own).
    ///
    /// # Safety
    ///
    /// The caller is the slot's `Op`, holds no waker in it, and does not touch it again if `true`.
    pub(crate) unsafe fn leave_unless_done(&self) -> bool {
        let mut state = self.state.load();
        while state & DONE == 0 {
            match self.state.replace(state, state & !OP) {
                Ok(()) => return true,
                Err(found) => state = found,
            }
        }
        false
    }

    /// An entry for this slot can no longer come. `true` if it is now the caller's to bring home.
    ///
    /// # Safety
    ///
    /// The slot is in limbo and the caller holds its queue's reader lock.
    pub(crate) unsafe fn end_limbo(&self) -> bool {
        self.state.fetch_and(!PROVIDER) & OP == 0
    }

    /// Leaves a ticket for the buffer: [`dispose`](Self::dispose) calls `orphan` instead of
    /// dropping. `None` takes it back.
    ///
    /// # Safety
    ///
    /// The caller is the slot's `Op`; `orphan` takes the buffer and the ticket out of the body.
    pub(crate) unsafe fn leave_ticket(
        &self,
        orphan: Option<unsafe fn(*mut Body<T>)>,
        ticket: *const (),
    ) {
        self.body(Part::Ticket, |b| {
            // SAFETY: both fields are the Op's until it leaves; the completer reads them after.
            unsafe {
                (*b).orphan = orphan.unwrap_or(Body::drop_buffer);
                (*b).ticket = ticket;
            }
        });
    }

    /// Sees to the buffer of an operation that nobody waits for: drops it, or hands it to its
    /// ticket. Empties the rest of the body. Runs user code.
    ///
    /// # Safety
    ///
    /// The body is the caller's alone ([`Slot::complete`] said `Orphan` or `OrphanInLimbo`, or the
    /// caller is the `Op` of a slot that is `DONE` or was never posted), the buffer is in it, and
    /// this is called once.
    pub(crate) unsafe fn dispose(&self) {
        // Out of the closure, so that user code never runs inside it.
        let body = self.body(Part::Whole, |b| b);
        // SAFETY: the caller's promise; `orphan` is `drop_buffer` or the ticket's.
        unsafe {
            (*body).error = None;
            (*body).spilled = None;
            let orphan = std::mem::replace(&mut (*body).orphan, Body::drop_buffer);
            orphan(body);
        }
    }
}

impl<T: Threading> Body<T> {
    /// Drops the buffer in place: what happens to an orphan without a ticket.
    unsafe fn drop_buffer(body: *mut Body<T>) {
        // SAFETY: the caller owns the body and the buffer is still in it.
        unsafe { ((*body).table.drop_buffer)(&raw mut (*body).buffer) }
    }
}

/// Moves a buffer's handle into `storage`: inline up to 64 bytes, beyond that in one allocation.
///
/// # Safety
///
/// `storage` is valid for writes and holds nothing that needs dropping.
#[inline]
pub(crate) unsafe fn store<B>(storage: *mut Storage, buffer: B) {
    if const { fits::<B>() } {
        // SAFETY: B fits in size and alignment, `fits` says; the caller promises the rest.
        unsafe { storage.cast::<B>().write(buffer) }
    } else {
        // SAFETY: a pointer fits.
        unsafe { storage.cast::<*mut B>().write(Box::into_raw(Box::new(buffer))) }
    }
}

/// The buffer in `storage`.
///
/// # Safety
///
/// [`store`] put a `B` there and nothing has taken it out.
#[inline]
pub(crate) unsafe fn stored<B>(storage: *mut Storage) -> *mut B {
    if const { fits::<B>() } {
        storage.cast()
    } else {
        // SAFETY: `store` wrote this pointer.
        unsafe { storage.cast::<*mut B>().read() }
    }
}

/// Moves the buffer out of `storage`.
///
/// # Safety
///
/// As [`stored`]; the storage is empty afterwards.
#[inline]
pub(crate) unsafe fn take<B>(storage: *mut Storage) -> B {
    // SAFETY: the caller's promise; a boxed one came from `Box::into_raw`.
    unsafe {
        let place = stored::<B>(storage);
        if const { fits::<B>() } { place.read() } else { *Box::from_raw(place) }
    }
}

const fn fits<B>() -> bool {
    size_of::<B>() <= size_of::<Storage>() && align_of::<B>() <= align_of::<Storage>()
}
