//! Blocking without losing anything: sources that are driven, and threads that park.
//!
//! A thread that waits reads the queue itself, and parks on the queue's own descriptor together
//! with one of its own (an eventfd). Its waker is registered before it looks for the last time and
//! its descriptor stays readable until it looked, so a completion that another thread dispatches
//! cannot slip through. Because every waiter parks on the queue itself, no role has to be handed on
//! when one of them leaves. Where a provider has no descriptor, waiting means bounded looks.

use std::{
    cell::RefCell,
    os::fd::RawFd,
    pin::pin,
    sync::{Arc, PoisonError, Weak},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use crate::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
    thread, thread_local,
};

#[cfg_attr(loom, path = "wait/bell_model.rs")]
pub(crate) mod bell;
#[cfg(all(test, loom))]
mod models;

use bell::Bell;

/// A queue that can be driven and waited on.
pub trait Source {
    /// One progress call. Returns how many entries it dispatched.
    fn drive(&self) -> usize;
    fn fd(&self) -> Option<RawFd>;
    /// Whether nothing is there to be read, so that the descriptor will tell of the next entry.
    fn may_park(&self) -> bool;
    /// The longest sleep between two looks.
    fn park_limit(&self) -> Duration;
    fn parkers(&self) -> &Parkers;
}

/// A source that any thread may drive.
pub trait SharedSource: Source + Send + Sync {
    /// The same source as any other; the language does it by itself only since Rust 1.86.
    fn into_source(self: Arc<Self>) -> Arc<dyn Source>;
}

impl<S: Source + Send + Sync + 'static> SharedSource for S {
    fn into_source(self: Arc<Self>) -> Arc<dyn Source> {
        self
    }
}

/// The threads that are parked on a source.
#[derive(Debug, Default)]
pub struct Parkers {
    signals: AtomicU64,
    parked: Mutex<Vec<Weak<Parker>>>,
}

impl Parkers {
    /// How often [`signal`](Self::signal) was called.
    pub(crate) fn signals(&self) -> u64 {
        self.signals.load(Ordering::Acquire)
    }

    /// Wakes every thread parked here.
    pub(crate) fn signal(&self) {
        self.signals.fetch_add(1, Ordering::AcqRel);
        let parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        parked.iter().filter_map(Weak::upgrade).for_each(|parker| parker.unpark());
    }

    fn enter(&self, parker: &Arc<Parker>) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        parked.push(Arc::downgrade(parker));
    }

    fn leave(&self, parker: &Arc<Parker>) {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = parked.iter().position(|p| std::ptr::eq(p.as_ptr(), &raw const **parker))
        {
            parked.swap_remove(at);
        }
    }
}

/// One thread's means of being woken. Also the waker that it leaves in slots.
#[derive(Debug)]
pub(crate) struct Parker {
    woken: AtomicBool,
    bell: Bell,
}

impl Parker {
    fn new() -> std::io::Result<Parker> {
        Ok(Parker { woken: AtomicBool::new(false), bell: Bell::new()? })
    }

    /// This thread's parker, with its waker.
    pub(crate) fn current() -> (Arc<Parker>, Waker) {
        thread_local! {
            static CURRENT: Arc<Parker> =
                Arc::new(Parker::new().expect("a descriptor for this thread to wait on"));
        }
        let parker = CURRENT.with(Arc::clone);
        let waker = Waker::from(Arc::clone(&parker));
        (parker, waker)
    }

    fn unpark(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }

    /// Whether it was woken since the last call.
    pub(crate) fn take(&self) -> bool {
        if !self.woken.load(Ordering::Acquire) {
            return false;
        }
        self.bell.drain();
        // A wake-up between the read and this saw the flag up and wrote nothing. It is not lost:
        // this acquires what its caller had done before, and the look that follows sees it.
        self.woken.swap(false, Ordering::AcqRel);
        true
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.unpark();
    }
}

/// Drives `sources` until `done` says so (`true`) or the deadline has passed (`false`).
///
/// `done` is told how many entries each round dispatched. Whatever can make it true besides the
/// sources must wake this thread's [`Parker`].
pub(crate) fn park_until(
    sources: &[&dyn Source],
    done: &mut dyn FnMut(usize) -> bool,
    deadline: Option<Instant>,
) -> bool {
    let (parker, _) = Parker::current();
    let entered = Entered::new(sources, &parker);
    let mut idle = Idle::default();
    loop {
        parker.take();
        let driven = sources.iter().map(|source| source.drive()).sum();
        if done(driven) {
            return true;
        }
        let left = match deadline {
            Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => left,
                _ => return false,
            },
            None => Duration::MAX,
        };
        if driven > 0 {
            idle = Idle::default();
            continue;
        }
        idle.rest(sources, &entered, left);
    }
}

/// Registers a thread with its sources for as long as it waits.
struct Entered<'a> {
    sources: &'a [&'a dyn Source],
    parker: &'a Arc<Parker>,
}

impl<'a> Entered<'a> {
    fn new(sources: &'a [&'a dyn Source], parker: &'a Arc<Parker>) -> Self {
        sources.iter().for_each(|source| source.parkers().enter(parker));
        Entered { sources, parker }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.sources.iter().for_each(|source| source.parkers().leave(self.parker));
    }
}

/// How long nothing has happened.
#[derive(Default)]
struct Idle {
    since: Option<Instant>,
}

impl Idle {
    /// Looks spin for this long, then yield for this long, then sleep, where there is no fd.
    const SPIN: Duration = Duration::from_micros(20);
    const YIELD: Duration = Duration::from_millis(1);
    /// The sleep between two looks then.
    const NAP: Duration = Duration::from_millis(1);

    fn rest(&mut self, sources: &[&dyn Source], entered: &Entered<'_>, left: Duration) {
        let fds: Option<Vec<RawFd>> = sources.iter().map(|source| source.fd()).collect();
        let Some(fds) = fds else {
            let idle = self.since.get_or_insert_with(Instant::now).elapsed();
            if idle < Self::SPIN && cpus() > 1 {
                std::hint::spin_loop();
            } else if idle < Self::YIELD {
                thread::yield_now();
            } else {
                sleep_on(&[], entered.parker, left.min(Self::NAP));
            }
            return;
        };
        if sources.iter().all(|source| source.may_park()) {
            let limit = sources.iter().map(|source| source.park_limit()).min();
            sleep_on(&fds, entered.parker, left.min(limit.unwrap_or(Duration::MAX)));
        } else {
            // Something is there to be read, or somebody else is reading it just now.
            thread::yield_now();
        }
    }
}

fn cpus() -> usize {
    use std::sync::OnceLock;
    static CPUS: OnceLock<usize> = OnceLock::new();
    *CPUS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Sleeps until one of `fds` or the parker has something, for at most `limit`.
fn sleep_on(fds: &[RawFd], parker: &Parker, limit: Duration) {
    if parker.bell.wait(fds, limit) {
        // The flag may have been taken before its ring arrived here.
        parker.bell.drain();
    }
}

std::thread_local! {
    /// The sources that the future inside [`block_on`] of this thread waits for.
    static WAITED: RefCell<Option<Vec<Arc<dyn Source>>>> = const { RefCell::new(None) };
}

/// Tells the [`block_on`] of this thread, if there is one, what a pending future waits for.
pub(crate) fn note_source<S: Source + 'static>(source: &Arc<S>) {
    WAITED.with_borrow_mut(|waited| {
        if let Some(waited) = waited {
            let known =
                |s: &Arc<dyn Source>| std::ptr::addr_eq(Arc::as_ptr(s), Arc::as_ptr(source));
            if !waited.iter().any(known) {
                waited.push(Arc::clone(source) as Arc<dyn Source>);
            }
        }
    });
}

/// As [`note_source`].
pub(crate) fn note_shared(source: &Arc<dyn SharedSource>) {
    WAITED.with_borrow_mut(|waited| {
        if let Some(waited) = waited {
            waited.push(Arc::clone(source).into_source());
        }
    });
}

/// Runs a future to its end on this thread, driving the queues that its operations wait for and
/// sleeping when there is nothing to do.
///
/// # Panics
///
/// Where the future panics.
pub fn block_on<F: Future>(future: F) -> F::Output {
    /// Restores the list of an outer `block_on`.
    struct Outer(Option<Vec<Arc<dyn Source>>>);
    impl Drop for Outer {
        fn drop(&mut self) {
            WAITED.set(self.0.take());
        }
    }
    let mut future = pin!(future);
    let (parker, waker) = Parker::current();
    let _outer = Outer(WAITED.replace(Some(Vec::new())));
    loop {
        WAITED.with_borrow_mut(|waited| waited.get_or_insert_default().clear());
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let waited = WAITED.with_borrow(|waited| waited.clone().unwrap_or_default());
        let sources: Vec<&dyn Source> = waited.iter().map(|source| &**source).collect();
        wait_woken(&sources, &parker);
    }
}

/// Drives `sources` until this thread's waker was called.
fn wait_woken(sources: &[&dyn Source], parker: &Arc<Parker>) {
    let entered = Entered::new(sources, parker);
    let mut idle = Idle::default();
    while !parker.take() {
        let driven: usize = sources.iter().map(|source| source.drive()).sum();
        if sources.is_empty() {
            sleep_on(&[], parker, Duration::MAX);
        } else if driven > 0 {
            idle = Idle::default();
        } else if !parker.woken.load(Ordering::Acquire) {
            idle.rest(sources, &entered, Duration::MAX);
        }
    }
}
