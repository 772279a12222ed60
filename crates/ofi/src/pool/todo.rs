//! What is left to do when a budget's lock is gone: memory to be freed, wakers to be called.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    // Not the models' atomics: this one orders nothing.
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::Waker,
};

/// What frees a pool's slabs.
pub trait Evict {
    /// Lets go of a slab that nobody uses.
    fn evict(&self, slab: usize);
}

/// Where a pool's slabs may be freed.
#[derive(Clone)]
pub enum Evictor {
    /// On any thread.
    Anywhere(Weak<dyn Evict + Send + Sync>),
    /// On the thread of this number, which knows the pool by that.
    Here(u64, u64),
}

thread_local! {
    /// The pools of `Confined` domains on this thread, by their numbers.
    static CONFINED: RefCell<Vec<(u64, Weak<dyn Evict>)>> = const { RefCell::new(Vec::new()) };
    /// The number of this thread, once it has such a pool. There also when the thread ends.
    static THREAD: Cell<u64> = const { Cell::new(0) };
}

impl Evictor {
    /// That of a pool which stays on this thread.
    pub(crate) fn confined(pool: Weak<dyn Evict>) -> Evictor {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        if THREAD.get() == 0 {
            THREAD.set(number);
        }
        CONFINED.with_borrow_mut(|pools| {
            pools.retain(|(_, pool)| pool.strong_count() > 0);
            pools.push((number, pool));
        });
        Evictor::Here(THREAD.get(), number)
    }

    pub(super) fn is_here(&self) -> bool {
        match self {
            Evictor::Anywhere(_) => true,
            Evictor::Here(thread, _) => *thread == THREAD.get(),
        }
    }

    fn evict(&self, slab: usize) {
        match self {
            Evictor::Anywhere(pool) => {
                if let Some(pool) = pool.upgrade() {
                    pool.evict(slab);
                }
            }
            Evictor::Here(_, number) => {
                let pool = CONFINED.try_with(|pools| {
                    let pools = pools.borrow();
                    let found = pools.iter().find(|(known, _)| known == number);
                    found.and_then(|(_, pool)| pool.upgrade())
                });
                // The thread is ending if there is none: its last handles go, and the slabs with
                // them.
                if let Ok(Some(pool)) = pool {
                    pool.evict(slab);
                }
            }
        }
    }
}

impl std::fmt::Debug for Evictor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evictor").field("here", &self.is_here()).finish_non_exhaustive()
    }
}

/// See the module. To be run without any lock: what it calls may come back here.
#[derive(Debug, Default)]
#[must_use = "somebody waits for it"]
pub(super) struct Todo {
    /// Slabs that are leaving.
    pub(super) evictions: Vec<(Evictor, usize)>,
    pub(super) wakers: Vec<Waker>,
    /// Wakers that are not wanted: their drop is user code, too.
    pub(super) dropped: Vec<Waker>,
}

impl Todo {
    /// Does all of it. A panic in a waker loses none of the others: it goes on when all are done.
    pub(super) fn run(self) {
        if let Some(panic) = self.run_all() {
            resume_unwind(panic);
        }
    }

    /// As [`run`](Self::run), in a drop: a panic of a waker, which was told where it arose, ends here.
    pub(super) fn run_in_drop(self) {
        // Its own drop might panic again.
        std::mem::forget(self.run_all());
    }

    fn run_all(self) -> Option<Box<dyn Any + Send>> {
        let Todo { evictions, wakers, dropped } = self;
        let mut panic = None;
        let mut guarded = |f: &mut dyn FnMut()| {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
                panic.get_or_insert(payload);
            }
        };
        for (evictor, slab) in evictions {
            guarded(&mut || evictor.evict(slab));
        }
        for waker in wakers {
            let mut waker = Some(waker);
            guarded(&mut || waker.take().into_iter().for_each(Waker::wake));
        }
        for waker in dropped {
            let mut waker = Some(waker);
            guarded(&mut || drop(waker.take()));
        }
        panic
    }
}
