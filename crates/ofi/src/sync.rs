//! One facade over the atomics and locks that threads meet at, so that loom can model them.

#[cfg(not(loom))]
mod real {
    pub(crate) use std::{
        sync::{Mutex, MutexGuard, atomic},
        thread, thread_local,
    };

    /// Says nothing to nobody; what loom is told of accesses to [`Guarded`](super::Guarded).
    #[derive(Debug)]
    pub(crate) struct Watch;

    impl Watch {
        pub(crate) const fn new() -> Self {
            Watch
        }

        #[inline(always)]
        pub(crate) fn reads(&self) {}

        #[inline(always)]
        pub(crate) fn writes(&self) {}
    }
}

#[cfg(loom)]
mod real {
    pub(crate) use loom::{
        sync::{Mutex, MutexGuard, atomic},
        thread, thread_local,
    };

    /// Tells loom of accesses to [`Guarded`](super::Guarded): two that no hand-over puts in order
    /// are a failure, unless both read.
    #[derive(Debug)]
    pub(crate) struct Watch(loom::cell::UnsafeCell<()>);

    impl Watch {
        pub(crate) fn new() -> Self {
            Watch(loom::cell::UnsafeCell::new(()))
        }

        pub(crate) fn reads(&self) {
            self.0.with(drop);
        }

        pub(crate) fn writes(&self) {
            self.0.with_mut(drop);
        }
    }
}

pub(crate) use real::*;

/// Storage that the state word next to it guards.
#[derive(Debug)]
pub(crate) struct Guarded<X>(std::cell::UnsafeCell<X>);

impl<X> Guarded<X> {
    pub(crate) const fn new(value: X) -> Self {
        Guarded(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> *mut X {
        self.0.get()
    }
}
