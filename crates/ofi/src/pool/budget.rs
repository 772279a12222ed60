//! The budget: a number of bytes that pools, and whoever else reserves some, share.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    ledger::{Grant, Ledger, Want},
    todo::Todo,
    usage::Usage,
};
use crate::{
    Error, ErrorKind, Result,
    object::forked,
    threading::{Lock, Mode, Shared},
    wait::{self, Parker, Source},
};

/// A number of bytes that any number of pools draw their memory from, on any threads and domains,
/// and that others may reserve parts of.
///
/// A clone is another handle to the same budget. Every byte that is charged is somebody's, and
/// [`usage`](Self::usage) says whose. A budget is never exceeded.
///
/// Who asks for more than there is waits in line: first come, first served. The one in front is not
/// overtaken by those who want less, so that a large request is served, too; idle buffers of other
/// classes and pools are freed for it where that makes the room that it needs. A request that the
/// budget could never grant fails at once, as [`TooLarge`](ErrorKind::TooLarge).
///
/// As with any such line, who waits for more while holding some may wait for himself: take what
/// belongs together as one buffer, and [`split`](crate::PoolBuf::split) it.
///
/// ```
/// use std::time::Duration;
///
/// use ofi::{Budget, ErrorKind};
///
/// let budget = Budget::new(1 << 20);
/// let half = budget.reserve(1 << 19).wait(Duration::ZERO)?;
/// assert_eq!(budget.usage().reserved, half.bytes());
/// let more = budget.try_reserve(1 << 20).unwrap_err();
/// assert_eq!(*more.kind(), ErrorKind::Busy);
/// let never = budget.try_reserve(1 << 21).unwrap_err();
/// assert_eq!(*never.kind(), ErrorKind::TooLarge { limit: 1 << 20 });
/// drop(half);
/// assert_eq!(budget.usage().used(), 0);
/// # Ok::<(), ofi::Error>(())
/// ```
#[derive(Clone)]
pub struct Budget(Arc<<Shared as Mode>::Lock<Ledger>>);

impl Budget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Budget {
        Budget(Arc::new(Lock::new(Ledger::new(limit))))
    }

    /// The most that there may be, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.lock().limit
    }

    /// Whose its bytes are just now. Looks at every buffer that there is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.lock().usage(None)
    }

    /// Charges bytes for memory that no pool has, once there is room: a future, or
    /// [`Reserve::wait`].
    pub fn reserve(&self, bytes: usize) -> Reserve {
        Reserve(Claim::new(self, Want::Bytes(bytes)))
    }

    /// Charges bytes if there is room now, and nobody waits for it.
    ///
    /// # Errors
    ///
    /// `Busy` if not; `TooLarge` beyond what the budget can ever give.
    pub fn try_reserve(&self, bytes: usize) -> Result<Reservation> {
        match self.reserve(bytes).0.look(None) {
            Some(grant) => self.reservation(grant),
            None => Err(busy()),
        }
    }

    fn reservation(&self, grant: Grant) -> Result<Reservation> {
        match grant {
            Grant::Bytes(bytes) => Ok(Reservation { budget: self.clone(), bytes }),
            Grant::Never { limit } => {
                Err(Error::new(ErrorKind::TooLarge { limit }, "Budget::reserve"))
            }
            Grant::Idle { .. } | Grant::New { .. } => unreachable!("bytes were asked for"),
        }
    }

    /// Changes the ledger, and does what is to be done then; what a panicking waker says goes on.
    pub(super) fn change<R>(&self, f: impl FnOnce(&mut Ledger, &mut Todo) -> R) -> R {
        let (result, todo) = self.note(f);
        todo.run();
        result
    }

    /// As [`change`](Self::change), in a drop.
    pub(super) fn change_in_drop<R>(&self, f: impl FnOnce(&mut Ledger, &mut Todo) -> R) -> R {
        let (result, todo) = self.note(f);
        todo.run_in_drop();
        result
    }

    fn note<R>(&self, f: impl FnOnce(&mut Ledger, &mut Todo) -> R) -> (R, Todo) {
        let mut todo = Todo::default();
        let result = f(&mut self.0.lock(), &mut todo);
        (result, todo)
    }

    pub(super) fn usage_of(&self, pool: usize) -> Usage {
        self.0.lock().usage(Some(pool))
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.0.lock().waiting()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("usage", &self.usage()).finish()
    }
}

/// The shared value for what is not there now: asking must not allocate.
pub(super) fn busy() -> Error {
    static BUSY: LazyLock<Error> = LazyLock::new(|| {
        let error = Error::new(ErrorKind::Busy, "taking from a budget");
        error.hint("await it, or wait for it: `take`, `reserve`")
    });
    BUSY.clone()
}

/// Bytes of a [`Budget`] that are charged until this is dropped.
#[must_use = "dropping it gives the bytes back"]
pub struct Reservation {
    budget: Budget,
    bytes: usize,
}

impl Reservation {
    /// How many.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let bytes = self.bytes;
        if forked() {
            // The lock may have been held by a thread that the fork left behind.
            return;
        }
        self.budget.change_in_drop(|ledger, todo| ledger.release(bytes, todo));
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A request for bytes: what [`Budget::reserve`] returns. Inert until it is polled or waited for.
///
/// # Cancel safety
///
/// Dropping it gives the place in the line to the next, and what was granted meanwhile back.
#[must_use = "it does nothing until it is awaited or waited for"]
pub struct Reserve(Claim);

impl Reserve {
    /// Blocks until the bytes are charged.
    ///
    /// # Errors
    ///
    /// `TooLarge`, at once, beyond what the budget can ever give; `TimedOut` when `timeout` has
    /// passed: nothing is charged then.
    pub fn wait(mut self, timeout: Duration) -> Result<Reservation> {
        match self.0.wait(timeout, None) {
            Some(grant) => self.0.budget.reservation(grant),
            None => Err(Error::new(ErrorKind::TimedOut, "Budget::reserve")),
        }
    }
}

impl Future for Reserve {
    type Output = Result<Reservation>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.look(Some(context.waker())) {
            Some(grant) => Poll::Ready(self.0.budget.reservation(grant)),
            None => Poll::Pending,
        }
    }
}

impl fmt::Debug for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserve").finish_non_exhaustive()
    }
}

/// Somebody's place in the line.
///
/// What is granted stays in the ledger or in here until it is fetched, so that neither a panicking
/// waker nor a drop at any moment loses it.
pub(super) struct Claim {
    pub(super) budget: Budget,
    want: Want,
    state: State,
}

enum State {
    New,
    Waiting(u64),
    Granted(Grant),
    Over,
}

impl Claim {
    pub(super) fn new(budget: &Budget, want: Want) -> Claim {
        Claim { budget: budget.clone(), want, state: State::New }
    }

    /// What was granted, once. Leaves the waker otherwise.
    ///
    /// # Panics
    ///
    /// After it was granted; with what another's waker panicked with: then it can be called again.
    pub(super) fn look(&mut self, waker: Option<&Waker>) -> Option<Grant> {
        assert!(!matches!(self.state, State::Over), "polled after it had resolved");
        // Clones and drops of wakers are user code: not under the lock.
        let mut waker = waker.cloned();
        let (_, todo) = self.budget.note(|ledger, todo| match self.state {
            State::New => {
                self.state = match ledger.ask(self.want, &mut waker, todo) {
                    Ok(grant) => State::Granted(grant),
                    Err(number) => State::Waiting(number),
                };
            }
            State::Waiting(number) => {
                if let Some(grant) = ledger.ask_again(number, &mut waker) {
                    self.state = State::Granted(grant);
                }
            }
            State::Granted(_) | State::Over => {}
        });
        let evicts = !todo.evictions.is_empty();
        drop(waker);
        todo.run();
        if let State::Waiting(number) = self.state {
            if evicts {
                // What was freed is ours, mostly.
                let granted = self.budget.0.lock().ask_again(number, &mut None);
                if let Some(grant) = granted {
                    self.state = State::Granted(grant);
                }
            }
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Granted(grant) => Some(grant),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Blocks until it is granted; `None` when `timeout` has passed. Drives `source` meanwhile.
    pub(super) fn wait(&mut self, timeout: Duration, source: Option<&dyn Source>) -> Option<Grant> {
        if let Some(grant) = self.look(None) {
            return Some(grant);
        }
        let deadline = Instant::now().checked_add(timeout);
        let (_, waker) = Parker::current();
        let mut granted = None;
        let sources = source.as_slice();
        wait::park_until(
            sources,
            &mut |_| {
                granted = self.look(Some(&waker));
                granted.is_some()
            },
            deadline,
        );
        granted
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if forked() {
            return;
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(number) => {
                self.budget.change_in_drop(|ledger, todo| ledger.leave(number, todo));
            }
            State::Granted(grant) => {
                self.budget.change_in_drop(|ledger, todo| ledger.give_back(grant, todo));
            }
            State::New | State::Over => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        task::Wake,
    };

    use super::*;

    /// Counts how often it is called; may panic.
    struct Calls(AtomicUsize, bool);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            assert!(!self.1, "a waker that panics");
        }
    }

    fn calls(panics: bool) -> (Arc<Calls>, Waker) {
        let calls = Arc::new(Calls(AtomicUsize::new(0), panics));
        (Arc::clone(&calls), Waker::from(calls))
    }

    fn poll(future: &mut Reserve, waker: &Waker) -> Poll<Result<Reservation>> {
        Pin::new(future).poll(&mut Context::from_waker(waker))
    }

    fn granted(future: &mut Reserve) -> Reservation {
        match poll(future, Waker::noop()) {
            Poll::Ready(done) => done.unwrap(),
            Poll::Pending => panic!("there is room"),
        }
    }

    fn pends(future: &mut Reserve) -> bool {
        poll(future, Waker::noop()).is_pending()
    }

    #[test]
    fn a_large_request_is_not_overtaken() {
        let budget = Budget::new(100);
        let one = budget.try_reserve(60).unwrap();
        let mut large = budget.reserve(100);
        assert!(pends(&mut large));
        // There is room for it, and yet it waits behind the large one.
        assert_eq!(*budget.try_reserve(10).unwrap_err().kind(), ErrorKind::Busy);
        let mut small = budget.reserve(10);
        assert!(pends(&mut small));
        drop(one);
        let large = granted(&mut large);
        assert!(pends(&mut small));
        drop(large);
        drop(granted(&mut small));
        assert_eq!(budget.usage().used(), 0);
    }

    #[test]
    fn a_dropped_waiter_passes_its_place_on() {
        let budget = Budget::new(100);
        let one = budget.try_reserve(60).unwrap();
        let mut large = budget.reserve(100);
        assert!(pends(&mut large));
        let (calls, waker) = calls(false);
        let mut small = budget.reserve(40);
        assert!(poll(&mut small, &waker).is_pending());
        drop(large);
        assert_eq!(calls.0.load(Ordering::SeqCst), 1);
        drop((one, granted(&mut small)));
        assert_eq!(budget.usage().used(), 0);
    }

    #[test]
    fn a_grant_that_nobody_fetches_goes_to_the_next() {
        let budget = Budget::new(100);
        let one = budget.try_reserve(100).unwrap();
        let (mut first, mut second) = (budget.reserve(80), budget.reserve(90));
        assert!(pends(&mut first) && pends(&mut second));
        drop(one);
        assert_eq!(budget.usage().reserved, 80);
        drop(first);
        assert_eq!(budget.usage().reserved, 90);
        drop(granted(&mut second));
        assert_eq!((budget.usage().used(), budget.waiting()), (0, 0));
    }

    #[test]
    fn more_than_the_budget_is_too_large_at_once() {
        let budget = Budget::new(100);
        let all = budget.try_reserve(100).unwrap();
        let mut waits = budget.reserve(1);
        assert!(pends(&mut waits));
        let too_large = ErrorKind::TooLarge { limit: 100 };
        assert_eq!(*budget.try_reserve(101).unwrap_err().kind(), too_large);
        let error = budget.reserve(usize::MAX).wait(Duration::MAX).unwrap_err();
        assert_eq!(*error.kind(), too_large);
        drop((all, waits));
        // Nothing at all, and all of it, can be had.
        let nothing = budget.try_reserve(0).unwrap();
        drop((budget.try_reserve(100).unwrap(), nothing));
        assert_eq!(budget.usage().used(), 0);
    }

    #[test]
    fn a_panicking_waker_loses_nothing() {
        let budget = Budget::new(100);
        let one = budget.try_reserve(100).unwrap();
        let (bad, panics) = calls(true);
        let (good, counts) = calls(false);
        let (mut first, mut second) = (budget.reserve(50), budget.reserve(50));
        assert!(poll(&mut first, &panics).is_pending());
        assert!(poll(&mut second, &counts).is_pending());
        drop(one);
        assert_eq!((bad.0.load(Ordering::SeqCst), good.0.load(Ordering::SeqCst)), (1, 1));
        drop((granted(&mut first), granted(&mut second)));
        assert_eq!(budget.usage().used(), 0);
    }

    #[test]
    fn a_wait_ends_with_its_deadline() {
        let budget = Budget::new(10);
        let all = budget.reserve(10).wait(Duration::ZERO).unwrap();
        let error = budget.reserve(1).wait(Duration::from_millis(1)).unwrap_err();
        assert_eq!((error.kind(), budget.waiting()), (&ErrorKind::TimedOut, 0));
        let other = budget.clone();
        let waiter = std::thread::spawn(move || other.reserve(10).wait(Duration::MAX).unwrap());
        while budget.waiting() == 0 {
            std::thread::yield_now();
        }
        drop(all);
        assert_eq!(waiter.join().unwrap().bytes(), 10);
        assert_eq!(budget.usage().used(), 0);
    }

    #[test]
    fn a_future_is_driven_by_whoever_gives_back() {
        let budget = Budget::new(10);
        let all = budget.try_reserve(10).unwrap();
        let other = budget.clone();
        let waiter = std::thread::spawn(move || crate::block_on(other.reserve(4)).unwrap());
        while budget.waiting() == 0 {
            std::thread::yield_now();
        }
        drop(all);
        drop(waiter.join().unwrap());
        assert_eq!(budget.usage(), Usage { limit: 10, ..Usage::default() });
    }
}
