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
//! | `0`, or `DONE\|OP` still | free, in the lane's list | counted as stray | |
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
//! `EXTRA` is set while the body holds an error or lists of its own, so that one look at the word
//! says whether an operation went the usual way: from `PROVIDER|OP` straight to `DONE|OP`.
//!
//! # Safety
//!
//! The body is written by the poster before `PROVIDER` or `QUEUED` is set, by the completer before
//! `DONE` is set, and read by the owner the table above names. The state word orders these.

use std::{ffi::c_void, mem::MaybeUninit, ptr::NonNull, sync::Arc, task::Waker};

use libc::iovec;

use super::{
    Verb,
    lane::Lane,
    many::{Inbox, MultiRecvVerb, Taken},
};
use crate::{
    Errno, Error,
    buf::INLINE_SEGMENTS,
    cq::Deferred,
    mr::Mapping,
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
/// There is something in the body besides the buffer that has to be dropped.
pub(crate) const EXTRA: u64 = 32;
/// The `Op` left a waker and has not taken it back: without `WAKER`, the completer has claimed it.
pub(crate) const LEFT: u64 = 64;
/// It has entries before its end: they go to the inbox that its note names.
pub(crate) const MANY: u64 = 128;

/// A slot. One cache line for the provider, one for the hand-over, the rest for the operation.
#[repr(C, align(64))]
pub(crate) struct Slot<T: Threading> {
    /// The union of `fi_context2` and `fi_triggered_context2`: the provider's.
    context: Guarded<MaybeUninit<[u64; 8]>>,
    pub(crate) state: T::Word,
    /// Free list: the next free slot, see `Lane`. Orphans: address of the next slot.
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

/// What the owner of the moment reads and writes. In this order what an operation in one piece needs
/// is in two cache lines, the first of them shared with the words above; in three, where receives
/// have a second piece.
#[repr(C)]
pub(crate) struct Body<T: Threading> {
    pub(crate) table: &'static Table<T>,
    /// What the verb noted for its end.
    note: MaybeUninit<[u64; 2]>,
    pub(crate) outcome: Outcome,
    /// The buffer's handle, or a box of it.
    pub(crate) buffer: Storage,
    /// Why it failed, if it did. `None` in a free slot.
    pub(crate) error: Option<Error>,
    pub(crate) spilled: Option<Box<Spilled<T>>>,
    pub(crate) ticket: *const (),
    /// Vectors live here until the completion (rule B9, FI_ASYNC_IOV).
    pub(crate) desc: [MaybeUninit<*mut c_void>; INLINE_SEGMENTS],
    pub(crate) iov: [MaybeUninit<iovec>; INLINE_SEGMENTS],
    /// What the completer does with the buffer of an orphan: drop it, or hand it to its ticket.
    orphan: unsafe fn(*mut Body<T>),
    waker: MaybeUninit<Waker>,
    /// The verb's arguments, where it waits to be posted.
    pub(crate) verb: VerbStorage,
}

/// What an operation needs until its end that has no room in its slot.
pub(crate) struct Spilled<T: Threading> {
    /// Lists of more segments than fit.
    pub(crate) lists: (Vec<iovec>, Vec<*mut c_void>),
    /// What the keys are of that it uses (rule M8).
    pub(crate) mappings: Vec<Arc<Mapping<T>>>,
}

impl<T: Threading> Default for Spilled<T> {
    fn default() -> Self {
        Spilled { lists: (Vec::new(), Vec::new()), mappings: Vec::new() }
    }
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
    /// Whether it keeps the message that it finds.
    pub(crate) claims: bool,
    /// Drops the buffer in place.
    pub(crate) drop_buffer: unsafe fn(*mut Storage),
    /// Tells the buffer that nothing will end its operation.
    pub(crate) lose_buffer: unsafe fn(*mut Storage),
    /// Hands the operation to the provider: the value of the C call.
    pub(crate) issue: unsafe fn(&Slot<T>) -> isize,
}

/// What the queue's entry says of an operation that ended.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
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
            const TABLE: Table<T> = Table {
                name: "",
                receives: false,
                claims: false,
                drop_buffer: nothing,
                lose_buffer: nothing,
                issue: never::<T>,
            };
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
                note: MaybeUninit::uninit(),
                outcome: Outcome::default(),
                buffer: MaybeUninit::uninit(),
                error: None,
                spilled: None,
                ticket: std::ptr::null(),
                desc: [MaybeUninit::uninit(); INLINE_SEGMENTS],
                iov: [MaybeUninit::uninit(); INLINE_SEGMENTS],
                orphan: Body::drop_buffer,
                waker: MaybeUninit::uninit(),
                verb: MaybeUninit::uninit(),
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

    /// What the entry said of the operation that ended here.
    ///
    /// # Safety
    ///
    /// The slot is `DONE` and the caller's.
    pub(crate) unsafe fn outcome(&self) -> Outcome {
        // SAFETY: the caller's promise.
        self.body(Part::Outcome, |b| unsafe { (*b).outcome })
    }

    /// Whether the operation that ended here keeps the message that it found.
    ///
    /// # Safety
    ///
    /// The slot is `DONE` and the caller's, and was not disposed of.
    pub(crate) unsafe fn keeps_message(&self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.table() }.claims
            && self.body(Part::Outcome, |b| unsafe { (*b).error.is_none() })
    }

    /// Ends an operation that succeeded and whose `Op` is there without a waker, which is the usual
    /// way. `false` if it is not so: then [`complete`](Self::complete) has still to be called.
    ///
    /// # Safety
    ///
    /// As [`complete`](Self::complete).
    #[inline(always)]
    pub(crate) unsafe fn succeed(&self, outcome: impl FnOnce() -> Outcome) -> bool {
        if self.state.load() != PROVIDER | OP {
            return false;
        }
        // SAFETY: until DONE is set it is the completer's; the caller is the only one.
        self.body(Part::Outcome, |b| unsafe { outcome().write_to(&raw mut (*b).outcome) });
        self.state.replace(PROVIDER | OP, OP | DONE).is_ok()
    }

    /// Ends the operation: `limbo` if the endpoint is closed and its entry may still come.
    ///
    /// # Safety
    ///
    /// The caller is the only completer: it holds the reader lock of the slot's queue, or the
    /// backlog's lock for a slot that is `QUEUED`.
    #[inline(never)]
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
        let failed = if error.is_some() { EXTRA } else { 0 };
        // SAFETY: until DONE is set both are the completer's; the caller is the only one. There is
        // no earlier error to be dropped: it is taken before a slot comes home.
        self.body(Part::Outcome, |b| unsafe {
            outcome.write_to(&raw mut (*b).outcome);
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
            let kept = (state & (EXTRA | LEFT)) | if limbo { PROVIDER } else { 0 };
            match self.state.replace(state, OP | DONE | kept | failed) {
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
            // The field is the Op's again, which may leave another one.
            self.state.fetch_and(!LEFT);
        }
    }

    /// What an entry means for its operation, which may have several.
    ///
    /// # Safety
    ///
    /// As [`complete`](Self::complete).
    pub(crate) unsafe fn take_in(
        &self,
        outcome: &Outcome,
        place: *const c_void,
        error: Option<Error>,
    ) -> Taken {
        let state = self.state.load();
        if state & MANY == 0 || state & PROVIDER == 0 || state & DONE != 0 {
            return Taken::Ended(error);
        }
        // SAFETY: the poster wrote it, and it stays until DONE is set, which the caller alone does; the
        // operation's buffer, which holds the inbox, stays as long.
        let inbox = self
            .body(Part::Outcome, |b| unsafe { &*noted::<MultiRecvVerb, T>(b).cast::<Inbox<T>>() });
        inbox.take_in(outcome, place, error, state & OP != 0)
    }

    /// Whether there are entries for its operation before its end.
    #[inline]
    pub(crate) fn has_many(&self) -> bool {
        self.state.load() & MANY != 0
    }

    /// What has come of the operation `V`, or why not.
    ///
    /// # Safety
    ///
    /// The slot is `DONE` and the caller's, and was launched with a `V`.
    pub(crate) unsafe fn ended<V: Verb>(&self) -> Result<V::Output, Errno> {
        // SAFETY: the caller's promise.
        self.body(Part::Whole, |b| unsafe {
            if let Some(error) = &(*b).error {
                return Err(error.errno().unwrap_or(Errno::EOTHER));
            }
            let note = noted::<V, T>(b);
            match V::excess(note, &(*b).outcome) {
                0 => Ok(V::finish(note, &(*b).outcome)),
                _ => Err(Errno::ETRUNC),
            }
        })
    }

    /// Leaves `waker` for the completer.
    ///
    /// # Safety
    ///
    /// The caller is the slot's `Op`.
    pub(crate) unsafe fn register(&self, waker: &Waker) -> Left {
        // SAFETY: the caller's promise.
        if self.state.load() & LEFT != 0 && !unsafe { self.deregister() } {
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
        if self.state.fetch_or(WAKER | LEFT) & DONE != 0 {
            // Completed before it could see the bit: nobody will take it.
            // SAFETY: the completer is gone; the bit is ours to clear.
            unsafe { self.deregister() };
            return Left::Done;
        }
        Left::Waker
    }

    /// Takes the waker back, if there is one.
    ///
    /// # Safety
    ///
    /// The caller is the slot's `Op`.
    #[inline(always)]
    pub(crate) unsafe fn take_back(&self) {
        if self.state.load() & LEFT != 0 {
            // SAFETY: the caller's promise.
            unsafe { self.take_back_left() }
        }
    }

    #[inline(never)]
    unsafe fn take_back_left(&self) {
        // SAFETY: the caller's promise.
        if !unsafe { self.deregister() } && self.state.load() & DONE != 0 {
            self.state.fetch_and(!LEFT);
        }
    }

    /// Takes the waker back. `false` if the completer claimed it: the field stays the completer's,
    /// and `LEFT` says so.
    ///
    /// # Safety
    ///
    /// The caller is the slot's `Op`, and `LEFT` is set.
    unsafe fn deregister(&self) -> bool {
        if self.state.fetch_and(!WAKER) & WAKER == 0 {
            return false;
        }
        self.state.fetch_and(!LEFT);
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
            Body::clear_extra(body);
            let orphan = std::mem::replace(&mut (*body).orphan, Body::drop_buffer);
            orphan(body);
        }
    }
}

impl Outcome {
    /// Immediate data, if the entry says that there are any.
    pub(crate) fn data(&self) -> Option<u64> {
        (self.flags & ofi_sys::FI_REMOTE_CQ_DATA != 0).then_some(self.data)
    }

    /// Who sent it, as the provider numbers peers, if the queue and the provider tell.
    pub(crate) fn source(&self) -> Option<u64> {
        (self.source != ofi_sys::FI_ADDR_NOTAVAIL).then_some(self.source)
    }

    /// Writes it field by field: copied as a whole it would go through memory, and reading in wider
    /// pieces what was just written in words has to wait for the store buffer.
    ///
    /// # Safety
    ///
    /// `to` is valid for writes.
    #[inline(always)]
    unsafe fn write_to(self, to: *mut Outcome) {
        let Outcome { flags, len, data, tag, source } = self;
        // SAFETY: the caller's promise.
        unsafe {
            (&raw mut (*to).flags).write(flags);
            (&raw mut (*to).len).write(len);
            (&raw mut (*to).data).write(data);
            (&raw mut (*to).tag).write(tag);
            (&raw mut (*to).source).write(source);
        }
    }
}

impl<T: Threading> Body<T> {
    /// Empties it of all but the buffer.
    ///
    /// # Safety
    ///
    /// `body` is the caller's.
    pub(crate) unsafe fn clear_extra(body: *mut Body<T>) {
        // SAFETY: the caller's promise.
        unsafe {
            (*body).error = None;
            (*body).spilled = None;
        }
    }

    /// Numbers an operation of a batch, in place of its verb's note: those end without a `finish`.
    ///
    /// # Safety
    ///
    /// The slot is the poster's or a batch's.
    pub(crate) unsafe fn number(body: *mut Body<T>, number: u64) {
        // SAFETY: the caller's promise; it fits.
        unsafe { (&raw mut (*body).note).cast::<u64>().write(number) }
    }

    /// The number that [`number`](Self::number) gave it.
    ///
    /// # Safety
    ///
    /// It did, and nobody is at it just now.
    pub(crate) unsafe fn numbered(body: *mut Body<T>) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { (&raw const (*body).note).cast::<u64>().read() }
    }

    /// Drops the buffer in place: what happens to an orphan without a ticket.
    unsafe fn drop_buffer(body: *mut Body<T>) {
        // SAFETY: the caller owns the body and the buffer is still in it.
        unsafe { ((*body).table.drop_buffer)(&raw mut (*body).buffer) }
    }
}

/// Writes down what the verb's end needs to know.
///
/// # Safety
///
/// The body is the caller's.
#[inline(always)]
pub(crate) unsafe fn note<V: Verb, T: Threading>(body: *mut Body<T>, note: V::Note) {
    const {
        assert!(
            size_of::<V::Note>() <= 16 && align_of::<V::Note>() <= 8,
            "notes fit in their slot"
        );
    }
    // SAFETY: the caller's promise; it fits.
    unsafe { (&raw mut (*body).note).cast::<V::Note>().write(note) }
}

/// What the verb wrote down.
///
/// # Safety
///
/// The body is the caller's, and [`note`] was called for this verb.
#[inline(always)]
pub(crate) unsafe fn noted<V: Verb, T: Threading>(body: *mut Body<T>) -> V::Note {
    // SAFETY: the caller's promise.
    unsafe { (&raw const (*body).note).cast::<V::Note>().read() }
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
