//! Poll sets: what they tell of, what they keep open.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use ofi::{
    BindFlags, Caps, CloseError, CompletionQueue, Connectionless, Counter, Endpoint, ErrorKind,
    PollSet, Ready, Shared, Threading,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Stop, Target, Verdict, cases, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, connectionless:
        queues_with_entries_are_told
        counters_that_moved_are_told
        what_is_in_a_set_stays_open
        what_is_wrong_is_refused
    );
    cases!(list, rdm_shared: polled_while_endpoints_close);
}

fn poll_set<T: Mode>(rig: &Rig<T>) -> Result<PollSet<T>, Stop> {
    match rig.domain.poll_set() {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            Err(Stop::Unsupported(error.to_string()))
        }
        other => Ok(other?),
    }
}

/// Polls until `object` is told of; panics after [`LIMIT`].
#[track_caller]
fn told<T: Threading>(set: &PollSet<T>, object: &impl ofi::Pollable<T>) {
    let deadline = Instant::now() + LIMIT;
    while !set.poll().unwrap().iter().any(|ready| ready.is(object)) {
        assert!(Instant::now() < deadline, "it was not told of");
        std::thread::yield_now();
    }
}

/// Two queues: the one with an entry is told, and goes on being told until it is read.
// rule: W9
fn queues_with_entries_are_told<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let mut set = poll_set(&rig)?;
    let (sends, receives): (CompletionQueue<T>, CompletionQueue<T>) =
        (rig.domain.completion_queue().open()?, rig.domain.completion_queue().open()?);
    assert!(set.poll()?.is_empty(), "nothing is in the set");
    set.add(&sends)?;
    set.add(&receives)?;
    assert!(set.poll()?.is_empty(), "no endpoint is bound yet");
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let b: Endpoint<K, T> = builder.transmit_queue(&sends).receive_queue(&receives).enable()?;
    let a = rig.endpoint::<K>()?;
    let to = rig.av.insert(&b.name()?)?;
    assert!(set.poll()?.is_empty(), "nothing has happened yet");
    for round in 0..4 {
        let receive = b.recv(vec![0; 64]).post()?;
        let mut send = Some(a.send(pattern(64, round), to).post());
        // The set drives the receiver, the sender drives itself.
        let deadline = Instant::now() + LIMIT;
        while !set.poll()?.iter().any(|ready| ready.is(&receives)) {
            if let Some(Err(failed)) = send.take_if(|send| send.is_err()) {
                // Connecting takes time.
                assert_eq!(*failed.error.kind(), ErrorKind::Busy, "{}", failed.error);
                send = Some(a.send(pattern(64, round), to).post());
            }
            rig.cq.progress()?;
            assert!(Instant::now() < deadline, "the message was not told of");
        }
        assert!(!receive.is_done(), "a set reads nothing");
        let ready = set.poll()?;
        assert!(ready.iter().any(|ready| ready.is(&receives)), "not read yet: {ready:?}");
        assert!(!ready.iter().any(|ready| ready.is(&sends)), "b has sent nothing: {ready:?}");
        let (received, bytes) = receive.wait(LIMIT)?;
        assert_eq!((received.len(), bytes), (64, pattern(64, round)));
        send.expect("posted")?.wait(LIMIT)?;
        assert!(!set.poll()?.iter().any(|ready| ready.is(&receives)), "all is read");
    }
    // What was taken out is not told of any more.
    assert!(set.remove(&receives)?);
    assert!(!set.remove(&receives)?);
    let receive = b.recv(vec![0; 64]).post()?;
    let send = a.send(pattern(64, 9), to).post()?;
    progress_until(&receives, "the message", || {
        rig.cq.progress().expect("healthy");
        let ready = set.poll().expect("it goes on");
        assert!(!ready.iter().any(|ready| ready.is(&receives)), "it is not in the set");
        receive.is_done() && send.is_done()
    });
    assert_eq!(receive.wait(LIMIT)?.1, pattern(64, 9));
    send.wait(LIMIT)?;
    Ok(())
}

/// A counter is told of when it has moved, once.
// rule: W14
fn counters_that_moved_are_told<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let counter: Counter<T> = match rig.domain.counter() {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            return Err(Stop::Unsupported(error.to_string()));
        }
        other => other?,
    };
    let mut set = poll_set(&rig)?;
    set.add(&counter)?;
    set.add(&rig.cq)?;
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let builder = builder.completion_queue(&rig.cq).counter(&counter, BindFlags::RECV);
    let ep: Endpoint<K, T> = builder.enable()?;
    let to = rig.av.insert(&ep.name()?)?;
    assert!(set.poll()?.is_empty());
    let receive = ep.recv(vec![0; 16]).post()?;
    ep.send(vec![3; 16], to).wait(LIMIT)?;
    told(&set, &counter);
    assert_eq!(receive.wait(LIMIT)?.1, vec![3; 16]);
    assert_eq!(counter.read(), 1);
    assert!(set.poll()?.is_empty(), "nothing moved since");
    let receive = ep.recv(vec![0; 16]).post()?;
    ep.send(vec![4; 16], to).wait(LIMIT)?;
    told(&set, &counter);
    assert_eq!(receive.wait(LIMIT)?.1, vec![4; 16]);
    assert!(set.poll()?.is_empty(), "nothing moved since");
    Ok(())
}

/// Members stay open, in any order of drops; what a set said of one that is gone means no other.
// rule: L1
fn what_is_in_a_set_stays_open<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let Pair { a, b, to_b, rig, .. } = Pair::<K, T>::open(t, Caps::MSG)?;
    let mut set = poll_set(&rig)?;
    set.add(&rig.cq)?;
    let receive = b.recv(vec![0; 8]).post()?;
    a.send(vec![1; 8], to_b).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    let last = b.recv(vec![0; 8]).post()?;
    a.send(vec![2; 8], to_b).wait(LIMIT)?;
    // Not asked whether it is there: the endpoints go with whatever they have.
    let stale: Vec<Ready> = set.poll()?;
    drop((a, b, last));
    let Rig { cq, av, domain, fabric, .. } = rig;
    let Err(CloseError::InUse(cq)) = cq.close() else { panic!("closed while in a set") };
    let raw = cq.as_raw();
    drop(cq);
    assert_eq!(set.len(), 1);
    // Only the set has it now.
    set.poll()?;
    let Err(CloseError::InUse(domain)) = domain.close() else { panic!("closed under a set") };
    let other = domain.completion_queue().open()?;
    assert!(other.as_raw() != raw && !stale.iter().any(|ready| ready.is(&other)));
    set.add(&other)?;
    drop((av, domain, fabric, other));
    set.poll()?;
    set.close()?;
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

fn what_is_wrong_is_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let mut set = poll_set(&rig)?;
    let other = Rig::<T>::on(rig.info.clone())?;
    assert_eq!(*set.add(&other.cq).unwrap_err().kind(), ErrorKind::Invalid);
    set.add(&rig.cq)?;
    assert_eq!(*set.add(&rig.cq).unwrap_err().kind(), ErrorKind::Invalid);
    let raw = rig.domain.raw_completion_queue().open()?;
    set.add(&raw)?;
    assert!(set.contains(&raw) && set.contains(&rig.cq) && !set.contains(&other.cq));
    assert!(set.poll()?.is_empty());
    assert!(!set.remove(&other.cq)? && set.remove(&rig.cq)?);
    assert_eq!((set.len(), set.is_empty()), (1, false));
    // One queue may be in several sets.
    let mut second = poll_set(&rig)?;
    second.add(&raw)?;
    drop(set);
    assert!(second.poll()?.is_empty());
    drop(second);
    raw.close()?;
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

/// One thread polls while others send, receive and close what is bound to the queue.
// rule: W10
fn polled_while_endpoints_close<K: Connectionless>(t: &Target) -> Verdict {
    let rig = Rig::<Shared>::open(t, Caps::MSG)?;
    let mut set = poll_set(&rig)?;
    set.add(&rig.cq)?;
    let (set, done) = (set, AtomicBool::new(false));
    std::thread::scope(|scope| -> Verdict {
        let poller = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                set.poll().expect("it goes on");
            }
        });
        let run = || -> Verdict {
            for round in 0..8 {
                let (a, b) = (rig.endpoint::<K>()?, rig.endpoint::<K>()?);
                let to = rig.av.insert(&b.name()?)?;
                let receive = b.recv(vec![0; 32]).post()?;
                a.send(pattern(32, round), to).wait(LIMIT)?;
                assert_eq!(receive.wait(LIMIT)?.1, pattern(32, round));
                rig.av.remove(to)?;
            }
            Ok(())
        };
        let result = run();
        done.store(true, Ordering::Relaxed);
        poller.join().expect("the poller ends");
        result
    })
}
