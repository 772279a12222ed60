//! What a batch holds: slots that were posted together.
//!
//! # Safety
//!
//! A chain is the `OP` half of each of its slots, see [`tally`](super::tally).

use std::ptr::NonNull;

use super::{
    lane::Lane,
    slot::{self, Body, DONE, Part, Slot},
};
use crate::{
    Error,
    threading::{Threading, Word},
};

/// Slots in the order in which they were posted, linked through their `next`. Leaks them when it is
/// dropped.
pub(crate) struct Chain<T: Threading> {
    pub(super) first: Option<NonNull<Slot<T>>>,
    pub(super) last: Option<NonNull<Slot<T>>>,
    pub(super) count: usize,
    /// The number of its last post.
    pub(super) upto: u64,
}

impl<T: Threading> Default for Chain<T> {
    fn default() -> Self {
        Chain { first: None, last: None, count: 0, upto: 0 }
    }
}

impl<T: Threading> Chain<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Takes the first slot out.
    pub(super) fn pop(&mut self) -> Option<NonNull<Slot<T>>> {
        let slot = self.first?;
        // SAFETY: the chain's half keeps the slot.
        let next = unsafe { slot.as_ref() }.next.load();
        self.first = NonNull::new(next as usize as *mut Slot<T>);
        if self.first.is_none() {
            self.last = None;
        }
        self.count -= 1;
        Some(slot)
    }

    /// Takes the buffer of the first slot, and why its operation failed if it did; brings the slot home.
    ///
    /// # Safety
    ///
    /// The chain has ended, and each of its slots holds a `B`.
    pub(super) unsafe fn take<B>(&mut self) -> Option<(B, Option<Error>, &'static str)> {
        let slot = self.pop()?;
        // SAFETY: it has ended, so the body is ours; `home` is told that nothing is left in it. The
        // slot is not touched after that.
        unsafe {
            let slot = slot.as_ref();
            let body = slot.body(Part::Whole, |b| b);
            // Only a completer writes it, and brings it to DONE.
            let error = if slot.state.load() & DONE == 0 {
                None
            } else {
                let error = (*body).error.take();
                // A close has no entry, see `Tally::sweep`.
                if error.is_none() && (*body).outcome.flags != 0 {
                    slot.lane.as_ref().transmit.note_unasked();
                }
                error
            };
            Body::clear_extra(body);
            let buffer = slot::take::<B>(&raw mut (*body).buffer);
            let name = (*body).table.name;
            home(slot);
            Some((buffer, error, name))
        }
    }

    /// Tells every buffer that nothing will end its operation. The slots stay away for good.
    pub(super) fn lose(mut self) {
        while let Some(slot) = self.pop() {
            // SAFETY: the chain's half keeps the slot, and the buffer in it is the chain's until it is
            // given up, which it never is: the completer touches the outcome alone.
            unsafe { slot.as_ref() }.body(Part::Buffer, |b| unsafe {
                ((*b).table.lose_buffer)(&raw mut (*b).buffer);
            });
        }
    }

    /// Drops every buffer, brings the slots home. A panic in one drop loses none of the others.
    ///
    /// # Safety
    ///
    /// The chain has ended.
    pub(super) unsafe fn discard(&mut self) {
        let mut panic = None;
        while let Some(slot) = self.pop() {
            // SAFETY: it has ended, so the body is ours, and disposed of once.
            unsafe {
                let slot = slot.as_ref();
                let dispose = std::panic::AssertUnwindSafe(|| slot.dispose());
                if let Err(payload) = std::panic::catch_unwind(dispose) {
                    panic.get_or_insert(payload);
                }
                home(slot);
            }
        }
        if let Some(payload) = panic {
            std::panic::resume_unwind(payload);
        }
    }
}

/// Gives the `OP` half of an ended operation's slot up; it may stay in limbo.
///
/// # Safety
///
/// The half is the caller's, the operation has ended and its body is empty.
unsafe fn home<T: Threading>(slot: &Slot<T>) {
    // SAFETY: without DONE nobody but us has it: no entry comes for it, and its counter has counted it.
    // With DONE `leave` says whether it is ours alone. No waker is ever in it.
    unsafe {
        if slot.state.load() & DONE == 0 || slot.leave() {
            Lane::home(slot);
        }
    }
}
