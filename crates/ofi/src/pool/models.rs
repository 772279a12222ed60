//! Who waits for a budget's bytes against who gives them back, in every order that loom finds.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
};

use loom::{sync::Notify, thread};

use super::{Budget, budget::Claim, fake::Fake, ledger::Want};

fn explore(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// Blocks a loom thread until it is woken. A lost wake-up is a deadlock, which loom reports.
struct Flag(Notify);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.notify();
    }
}

fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let flag = Arc::new(Flag(Notify::new()));
    let waker = Waker::from(Arc::clone(&flag));
    loop {
        match Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => {
                drop((future, waker));
                assert_eq!(Arc::strong_count(&flag), 1, "users of a waker");
                return output;
            }
            Poll::Pending => flag.0.wait(),
        }
    }
}

/// Polls once, then gives up.
fn look_once(claim: &mut Claim) -> bool {
    claim.look(Some(Waker::noop())).is_some()
}

#[test]
fn waiter_against_release() {
    explore(|| {
        let budget = Budget::new(1);
        let taken = budget.try_reserve(1).unwrap();
        let other = budget.clone();
        let waiter = thread::spawn(move || block_on(other.reserve(1)).unwrap());
        drop(taken);
        drop(waiter.join().unwrap());
        assert_eq!((budget.usage().used(), budget.waiting()), (0, 0));
    });
}

/// Whether it was granted before, during or never: the bytes go to the one behind.
#[test]
fn waiter_dropped_against_grant() {
    explore(|| {
        let budget = Budget::new(2);
        let taken = budget.try_reserve(2).unwrap();
        let mut first = Claim::new(&budget, Want::Bytes(2));
        assert!(!look_once(&mut first));
        let other = budget.clone();
        let second = thread::spawn(move || block_on(other.reserve(1)).unwrap());
        let release = thread::spawn(move || drop(taken));
        drop(first);
        release.join().unwrap();
        drop(second.join().unwrap());
        assert_eq!((budget.usage().used(), budget.waiting()), (0, 0));
    });
}

/// The room that one waiter needs is another pool's idle buffer, which comes back just then.
#[test]
fn waiter_against_idle_buffer_elsewhere() {
    explore(|| {
        let budget = Budget::new(2);
        let (here, there) = (Fake::open(&budget, 2, 0, &[2]), Fake::open(&budget, 2, 0, &[1]));
        let buffer = there.try_take(0).unwrap();
        let waiter = Arc::clone(&here);
        let waiter = thread::spawn(move || {
            let flag = Arc::new(Flag(Notify::new()));
            let waker = Waker::from(Arc::clone(&flag));
            let mut claim = waiter.claim(0);
            let grant = loop {
                match claim.look(Some(&waker)) {
                    Some(grant) => break grant,
                    None => flag.0.wait(),
                }
            };
            drop(waiter.lend(grant));
        });
        drop(buffer);
        waiter.join().unwrap();
        let usage = budget.usage();
        assert_eq!((usage.idle, usage.used(), budget.waiting()), (2, 2, 0));
    });
}

/// Two threads take turns with one buffer: each has it alone, and it is never lost.
#[test]
fn one_buffer_for_two() {
    explore(|| {
        let budget = Budget::new(1);
        let pool = Fake::open(&budget, 1, 0, &[1]);
        let alone = Arc::new(Mutex::new(()));
        let threads = [0, 1].map(|_| {
            let (pool, alone) = (Arc::clone(&pool), Arc::clone(&alone));
            thread::spawn(move || {
                let flag = Arc::new(Flag(Notify::new()));
                let waker = Waker::from(Arc::clone(&flag));
                let mut claim = pool.claim(0);
                let grant = loop {
                    match claim.look(Some(&waker)) {
                        Some(grant) => break grant,
                        None => flag.0.wait(),
                    }
                };
                let buffer = pool.lend(grant);
                drop(alone.try_lock().expect("it is one buffer"));
                drop(buffer);
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let usage = budget.usage();
        assert_eq!((usage.idle, usage.used(), budget.waiting()), (1, 1, 0));
    });
}
