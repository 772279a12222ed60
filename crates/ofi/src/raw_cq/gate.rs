//! Who reads a raw queue, and who makes or closes an endpoint on it: never both at once.
//!
//! Most providers walk the endpoints that are bound to a queue when it is read, and look into what only
//! an enabled one has; rxm and rxd take down what they look into before an endpoint leaves the queue.
//! Readers are many, and some of them block, so this is no lock of theirs: whoever makes or closes wakes
//! them until the last has gone, and lets them in again afterwards.

use crate::threading::{Threading, Word};

/// How many read, and whether somebody makes or closes, in one word.
#[derive(Debug)]
pub(super) struct Gate<T: Threading>(T::Word);

/// The highest bit: nobody else comes in.
const SHUT: u64 = 1 << 63;

/// A reader, until it is dropped.
pub(crate) struct Inside<'a, T: Threading>(&'a Gate<T>);

/// Nobody reads, until it is dropped.
pub(crate) struct Shut<'a, T: Threading>(&'a Gate<T>);

impl<T: Threading> Gate<T> {
    pub(super) fn new() -> Gate<T> {
        Gate(T::Word::new(0))
    }

    /// Comes in; where it is shut, once it is open again.
    #[inline]
    pub(super) fn enter(&self) -> Inside<'_, T> {
        while self.0.fetch_add(1) & SHUT != 0 {
            self.leave();
            self.until_open();
        }
        Inside(self)
    }

    /// Shuts it, and calls `wake` until nobody is left inside.
    pub(super) fn shut(&self, wake: impl Fn()) -> Shut<'_, T> {
        while self.0.fetch_or(SHUT) & SHUT != 0 {
            self.until_open();
        }
        while self.0.load() != SHUT {
            wake();
            std::thread::yield_now();
        }
        Shut(self)
    }

    fn leave(&self) {
        self.0.fetch_add(u64::MAX);
    }

    #[cold]
    fn until_open(&self) {
        // On one thread nobody would open it.
        assert!(T::SHARED, "the queue is used while an endpoint on it is made or closed");
        while self.0.load() & SHUT != 0 {
            std::thread::yield_now();
        }
    }
}

impl<T: Threading> Drop for Inside<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<T: Threading> Drop for Shut<'_, T> {
    fn drop(&mut self) {
        self.0.0.fetch_and(!SHUT);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{Confined, Shared};

    #[test]
    fn nobody_reads_while_it_is_shut() {
        let gate = Gate::<Shared>::new();
        let (inside, begun) = (AtomicUsize::new(0), Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    begun.wait();
                    for _ in 0..2000 {
                        let _in = gate.enter();
                        inside.fetch_add(1, Ordering::Relaxed);
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
                scope.spawn(|| {
                    begun.wait();
                    for _ in 0..200 {
                        let _shut = gate.shut(|| ());
                        // Two of these never meet, either.
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(gate.0.load(), 0);
    }

    #[test]
    fn who_blocks_inside_is_woken() {
        let gate = Gate::<Shared>::new();
        let (woken, inside) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _in = gate.enter();
                inside.store(true, Ordering::Release);
                while !woken.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            });
            while !inside.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            drop(gate.shut(|| woken.store(true, Ordering::Release)));
        });
    }

    #[test]
    fn on_one_thread_it_is_no_deadlock() {
        let gate = Gate::<Confined>::new();
        drop(gate.enter());
        let shut = gate.shut(|| ());
        let entered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(gate.enter())));
        assert!(entered.is_err());
        drop(shut);
        drop(gate.enter());
    }
}
