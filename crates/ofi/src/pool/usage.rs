//! Who has how many of a budget's bytes.

use std::fmt;

use crate::{
    Place,
    sync::atomic::{AtomicU32, Ordering},
};

/// Whose the bytes of a budget, or of one pool, are at one moment. Each byte is counted once: the sum
/// of all but `limit` is what is charged ([`used`](Self::used)).
///
/// A buffer that is in pieces, or shared, is counted as a whole: as quarantined if any handle to it
/// is, else as held, else as in flight, else as leased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The most that there may be.
    pub limit: usize,
    /// In buffers that nobody has: the next to ask for one gets it, and they are freed where
    /// somebody waits for room.
    pub idle: usize,
    /// In buffers that the program has, or is just being given.
    pub leased: usize,
    /// In buffers that are an operation's: from the post to its end, queued ones included, and also
    /// where the operation was dropped or forgotten meanwhile.
    pub in_flight: usize,
    /// In buffers of operations that were given up, until they come back through their
    /// [`Held`](crate::Held).
    pub held: usize,
    /// In buffers of operations that nothing will end (their endpoint was leaked, see
    /// [`leaked`](crate::leaked)), and in memory whose registration could not be ended: neither is
    /// used again unless the operation ends after all.
    pub quarantined: usize,
    /// Reserved by [`Budget::reserve`](crate::Budget::reserve). No pool's.
    pub reserved: usize,
}

impl Usage {
    /// All that is charged.
    #[must_use]
    pub fn used(&self) -> usize {
        self.idle + self.leased + self.in_flight + self.held + self.quarantined + self.reserved
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage { limit, idle, leased, in_flight, held, quarantined, reserved } = self;
        write!(
            f,
            "{} of {limit} bytes: {idle} idle, {leased} leased, {in_flight} in flight, {held} held, \
             {quarantined} quarantined, {reserved} reserved",
            self.used()
        )
    }
}

/// Where the handles to one buffer are. Written by whoever has the handle, with nobody to wait for;
/// read by who asks for the [`Usage`].
#[derive(Debug)]
pub(super) struct Unit {
    in_flight: AtomicU32,
    held: AtomicU32,
    lost: AtomicU32,
}

impl Unit {
    pub(super) fn new() -> Unit {
        let none = || AtomicU32::new(0);
        Unit { in_flight: none(), held: none(), lost: none() }
    }

    fn count(&self, place: Place) -> Option<&AtomicU32> {
        match place {
            Place::Caller => None,
            Place::Operation => Some(&self.in_flight),
            Place::Held => Some(&self.held),
            Place::Lost => Some(&self.lost),
        }
    }

    /// A handle goes from one place to another.
    #[inline]
    pub(super) fn moved(&self, from: &mut Place, to: Place) {
        let from = std::mem::replace(from, to);
        if from == to {
            return;
        }
        if let Some(count) = self.count(to) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(count) = self.count(from) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Counts the buffer's bytes where its handles are.
    pub(super) fn add_to(&self, usage: &mut Usage, bytes: usize) {
        let any = |count: &AtomicU32| count.load(Ordering::Relaxed) != 0;
        if any(&self.lost) {
            usage.quarantined += bytes;
        } else if any(&self.held) {
            usage.held += bytes;
        } else if any(&self.in_flight) {
            usage.in_flight += bytes;
        }
    }
}
