//! How an object may be used by threads: the second type parameter of every object below a domain.

use std::{
    cell::{Cell, RefCell, RefMut},
    fmt::Debug,
    marker::PhantomData,
    ops::DerefMut,
    sync::{Arc, Weak},
};

use crate::{
    av::{AvCore, local},
    cq::CqCore,
    pool::{Evictor, PoolCore},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    wait::SharedSource,
};

/// Objects may be used from any thread at once: `Send + Sync`, over `FI_THREAD_SAFE`. The default.
#[derive(Debug)]
#[non_exhaustive]
pub struct Shared;

/// Objects stay on the thread that made them: neither `Send` nor `Sync`, over `FI_THREAD_DOMAIN`,
/// with no atomic operation on the way of a message.
#[derive(Debug)]
#[non_exhaustive]
pub struct Confined(PhantomData<*const ()>);

/// [`Shared`] or [`Confined`]. Sealed.
#[doc(alias = "fi_threading")]
pub trait Threading: modes::Mode {}

impl Threading for Shared {}
impl Threading for Confined {}

/// That buffers of type `B` may be used with this threading: [`Shared`] takes what is `Send`,
/// because whichever thread reads the queue may drop an orphaned buffer; [`Confined`] takes all.
pub trait Accepts<B>: Threading {}

impl<B: Send> Accepts<B> for Shared {}
impl<B> Accepts<B> for Confined {}

pub(crate) mod modes {
    use std::sync::{Arc, Weak};

    use super::{Debug, DerefMut};
    use crate::{
        av::AvCore,
        cq::CqCore,
        pool::{Evictor, PoolCore},
        wait::SharedSource,
    };

    /// What the two threadings do differently. Public in name only.
    pub trait Mode: Debug + Sized + 'static {
        /// A state word.
        type Word: Word;
        /// A lock around cold state.
        type Lock<X>: Lock<X>;
        /// libfabric's name for it.
        const MODEL: ofi_sys::fi_threading;
        /// Whether two threads may be inside the same object.
        const SHARED: bool;
        /// A handle that drives the queue from whichever thread a [`Held`](crate::Held) is on.
        fn shared_source(queue: &Arc<CqCore<Self>>) -> Option<Arc<dyn SharedSource>>
        where
            Self: super::Threading;
        /// Notes a vector of shared memory, see `av::local`.
        fn remember(av: &Arc<AvCore<Self>>)
        where
            Self: super::Threading;
        /// Where the slabs of a pool may be freed.
        fn evictor(pool: Weak<PoolCore<Self>>) -> Evictor
        where
            Self: super::Threading;
    }

    /// A word that owners hand over through: acquire on read, release on write.
    pub trait Word: Debug {
        fn new(value: u64) -> Self;
        fn load(&self) -> u64;
        fn store(&self, value: u64);
        /// Stores with a full fence: what follows is not seen before it.
        fn store_fenced(&self, value: u64);
        /// Stores `new` if the word is `old`; the value found otherwise.
        fn replace(&self, old: u64, new: u64) -> Result<(), u64>;
        fn fetch_or(&self, bits: u64) -> u64;
        fn fetch_and(&self, bits: u64) -> u64;
        /// Wrapping.
        fn fetch_add(&self, value: u64) -> u64;
    }

    pub trait Lock<X> {
        type Guard<'a>: DerefMut<Target = X>
        where
            Self: 'a,
            X: 'a;
        fn new(value: X) -> Self;
        fn lock(&self) -> Self::Guard<'_>;
        fn try_lock(&self) -> Option<Self::Guard<'_>>;
    }
}

pub(crate) use modes::{Lock, Mode, Word};

impl Mode for Shared {
    type Word = AtomicWord;
    type Lock<X> = Exclusive<X>;
    const MODEL: ofi_sys::fi_threading = ofi_sys::FI_THREAD_SAFE;
    const SHARED: bool = true;

    fn shared_source(queue: &Arc<CqCore<Shared>>) -> Option<Arc<dyn SharedSource>> {
        Some(Arc::clone(queue) as Arc<dyn SharedSource>)
    }

    fn remember(av: &Arc<AvCore<Shared>>) {
        local::remember_shared(av);
    }

    fn evictor(pool: Weak<PoolCore<Shared>>) -> Evictor {
        Evictor::Anywhere(pool)
    }
}

impl Mode for Confined {
    type Word = Cell<u64>;
    type Lock<X> = RefCell<X>;
    const MODEL: ofi_sys::fi_threading = ofi_sys::FI_THREAD_DOMAIN;
    const SHARED: bool = false;

    fn shared_source(_: &Arc<CqCore<Confined>>) -> Option<Arc<dyn SharedSource>> {
        None
    }

    fn remember(av: &Arc<AvCore<Confined>>) {
        local::remember_confined(av);
    }

    fn evictor(pool: Weak<PoolCore<Confined>>) -> Evictor {
        Evictor::confined(pool)
    }
}

#[derive(Debug)]
pub struct AtomicWord(AtomicU64);

impl Word for AtomicWord {
    #[inline]
    fn new(value: u64) -> Self {
        AtomicWord(AtomicU64::new(value))
    }

    #[inline]
    fn load(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    #[inline]
    fn store(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    #[inline]
    fn store_fenced(&self, value: u64) {
        // With a `SeqCst` load after it, as strong as with a fence in between, and on x86 the one
        // instruction that a fence would be.
        self.0.swap(value, Ordering::SeqCst);
        // loom knows the order of `SeqCst` of fences alone, and would find what cannot be.
        #[cfg(loom)]
        crate::sync::atomic::fence(Ordering::SeqCst);
    }

    #[inline]
    fn replace(&self, old: u64, new: u64) -> Result<(), u64> {
        self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }

    #[inline]
    fn fetch_or(&self, bits: u64) -> u64 {
        self.0.fetch_or(bits, Ordering::AcqRel)
    }

    #[inline]
    fn fetch_and(&self, bits: u64) -> u64 {
        self.0.fetch_and(bits, Ordering::AcqRel)
    }

    #[inline]
    fn fetch_add(&self, value: u64) -> u64 {
        self.0.fetch_add(value, Ordering::AcqRel)
    }
}

impl Word for Cell<u64> {
    #[inline]
    fn new(value: u64) -> Self {
        Cell::new(value)
    }

    #[inline]
    fn load(&self) -> u64 {
        self.get()
    }

    #[inline]
    fn store(&self, value: u64) {
        self.set(value);
    }

    #[inline]
    fn store_fenced(&self, value: u64) {
        self.set(value);
    }

    #[inline]
    fn replace(&self, old: u64, new: u64) -> Result<(), u64> {
        let found = self.get();
        if found != old {
            return Err(found);
        }
        self.set(new);
        Ok(())
    }

    #[inline]
    fn fetch_or(&self, bits: u64) -> u64 {
        self.replace(self.get() | bits)
    }

    #[inline]
    fn fetch_and(&self, bits: u64) -> u64 {
        self.replace(self.get() & bits)
    }

    #[inline]
    fn fetch_add(&self, value: u64) -> u64 {
        self.replace(self.get().wrapping_add(value))
    }
}

/// A mutex that does not care about poison: what it guards is valid between any two statements.
#[derive(Debug)]
pub struct Exclusive<X>(Mutex<X>);

impl<X> Lock<X> for Exclusive<X> {
    type Guard<'a>
        = MutexGuard<'a, X>
    where
        X: 'a;

    fn new(value: X) -> Self {
        Exclusive(Mutex::new(value))
    }

    #[inline]
    fn lock(&self) -> MutexGuard<'_, X> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cfg(not(loom))]
    #[inline]
    fn try_lock(&self) -> Option<MutexGuard<'_, X>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }

    #[cfg(loom)]
    fn try_lock(&self) -> Option<MutexGuard<'_, X>> {
        self.0.try_lock().ok()
    }
}

impl<X> Lock<X> for RefCell<X> {
    type Guard<'a>
        = RefMut<'a, X>
    where
        X: 'a;

    fn new(value: X) -> Self {
        RefCell::new(value)
    }

    /// # Panics
    ///
    /// If the same thread is already inside. No user code runs under these locks, so it cannot be.
    #[inline]
    fn lock(&self) -> RefMut<'_, X> {
        self.borrow_mut()
    }

    #[inline]
    fn try_lock(&self) -> Option<RefMut<'_, X>> {
        self.try_borrow_mut().ok()
    }
}
