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
    explore(|| {
        let parker = Arc::new(Parker::new().unwrap());
        let done = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let threads = [0, 1].map(|i| {
            let (parker, done) = (Arc::clone(&parker), Arc::clone(&done));
            thread::spawn(move || {
                done[i].store(true, Ordering::Relaxed);
                parker.unpark();
            })
        });
        wait_for(&parker, || done.iter().all(|done| done.load(Ordering::Relaxed)));
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
