//! Waking a thread that parks, in every order that loom finds.

use loom::thread;

use super::*;

fn explore(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// As `park_until` does it: looks, and sleeps only after a look that followed the last `take`.
fn wait_for(parker: &Parker, there: impl Fn() -> bool) {
    loop {
        parker.take();
        if there() {
            return;
        }
        sleep_on(&[], parker, Duration::MAX);
    }
}

/// What happened before a wake-up is seen by the look that follows it, however many come.
#[test]
fn unpark_against_park() {
    const STEPS: [u64; 2] = [2, 1];
    explore(|| {
        let parker = Arc::new(Parker::new().unwrap());
        let steps = Arc::new(STEPS.map(|_| AtomicU64::new(0)));
        let threads = [0, 1].map(|i| {
            let (parker, steps) = (Arc::clone(&parker), Arc::clone(&steps));
            thread::spawn(move || {
                for step in 1..=STEPS[i] {
                    steps[i].store(step, Ordering::Relaxed);
                    parker.unpark();
                }
            })
        });
        let seen = || [0, 1].map(|i| steps[i].load(Ordering::Relaxed));
        wait_for(&parker, || seen() == STEPS);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// A signal wakes whoever has entered, or is counted before it enters.
#[test]
fn signal_against_enter() {
    explore(|| {
        let parker = Arc::new(Parker::new().unwrap());
        let parkers = Arc::new(Parkers::default());
        let before = parkers.signals();
        let other = Arc::clone(&parkers);
        let other = thread::spawn(move || other.signal());
        parkers.enter(&parker);
        wait_for(&parker, || parkers.signals() != before);
        parkers.leave(&parker);
        other.join().unwrap();
    });
}
