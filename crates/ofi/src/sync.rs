//! One facade over the atomics and locks that threads meet at, so that loom can model them.

#[cfg(not(loom))]
mod real {
    pub(crate) use std::sync::{Mutex, MutexGuard, atomic};

    /// Storage that the state word next to it guards.
    #[derive(Debug)]
    pub(crate) struct Guarded<X>(std::cell::UnsafeCell<X>);

    impl<X> Guarded<X> {
        pub(crate) const fn new(value: X) -> Self {
            Guarded(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut X) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(loom)]
mod real {
    pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};

    /// Storage that the state word next to it guards; loom checks that nobody races for it.
    #[derive(Debug)]
    pub(crate) struct Guarded<X>(loom::cell::UnsafeCell<X>);

    impl<X> Guarded<X> {
        pub(crate) fn new(value: X) -> Self {
            Guarded(loom::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut X) -> R) -> R {
            self.0.with_mut(f)
        }
    }
}

pub(crate) use real::*;
