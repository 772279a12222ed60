//! Poll sets and wait sets: what they tell of, what they keep open.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use ofi::{
    BindFlags, Caps, CloseError, CompletionQueue, Connectionless, Counter, Defect, Endpoint,
    ErrorKind, PollSet, Ready, Shared, Threading, WaitObject, WaitSet, quirk,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Parent, Rig, Stop, Target, Verdict, cases, own_network, pattern,
    progress_until,
};
use crate::whose::shown;

pub fn register(list: &mut List) {
    cases!(list, connectionless:
        queues_with_entries_are_told
        counters_that_moved_are_told
        what_is_in_a_set_stays_open
        what_is_wrong_is_refused
    );
    cases!(list, connectionless:
        a_wait_set_wakes_for_its_queues
        a_wait_set_outlives_its_endpoints
        wait_sets_close_last
    );
    cases!(list, dgram: a_wait_set_wakes_for_events);
    cases!(list, rdm: quirk_31_wait_set_fills);
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

fn unsupported<X>(result: ofi::Result<X>) -> Result<X, Stop> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            Err(Stop::Unsupported(error.to_string()))
        }
        other => Ok(other?),
    }
}

/// A wait set with a descriptor, a queue in it, and an endpoint on that.
fn waiting<K: Connectionless, T: Mode>(
    rig: &Rig<T>,
) -> Result<(WaitSet<T>, CompletionQueue<T>, Endpoint<K, T>), Stop> {
    let set = unsupported(rig.fabric.wait_set::<T>(WaitObject::Fd))?;
    let queue = unsupported(rig.domain.completion_queue().wait_set(&set).open())?;
    assert!(queue.fd().is_none(), "the set has it");
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let ep = builder.completion_queue(&queue).enable()?;
    Ok((set, queue, ep))
}

/// Sends to what waits in `set`, which tells of it, until it is received.
fn waited<K: Connectionless, T: Mode>(
    rig: &Rig<T>,
    (set, queue, b): (&WaitSet<T>, &CompletionQueue<T>, &Endpoint<K, T>),
    a: &Endpoint<K, T>,
    seed: u8,
) -> Verdict {
    let to = rig.av.insert(&b.name()?)?;
    let receive = b.recv(vec![0; 64]).post()?;
    let mut send =
        std::pin::pin!(std::future::IntoFuture::into_future(a.send(pattern(64, seed), to)));
    let deadline = Instant::now() + LIMIT;
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut sent = false;
    while !(receive.is_done() && sent) {
        sent = sent || send.as_mut().poll(&mut context).is_ready();
        if set.wait(Duration::from_millis(1))? && receive.is_done() {
            panic!("a wait reads nothing");
        }
        // Told of, and now read.
        if set.wait(Duration::ZERO)? {
            queue.progress()?;
        }
        assert!(Instant::now() < deadline, "the set did not tell of the message");
    }
    assert_eq!(receive.wait(LIMIT)?.1, pattern(64, seed));
    rig.av.remove(to)?;
    Ok(())
}

/// A message ends a wait, and so does a signal; the timeout is kept; the descriptor tells, too.
// rule: W2
fn a_wait_set_wakes_for_its_queues<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (set, queue, b) = waiting::<K, T>(&rig)?;
    let a = rig.endpoint::<K>()?;
    assert!(!set.wait(Duration::from_millis(20))?, "nothing was sent");
    for seed in 0..4 {
        waited(&rig, (&set, &queue, &b), &a, seed)?;
    }
    queue.progress()?;
    assert!(!set.wait(Duration::from_millis(1))?, "all is read");
    assert!(set.fd().is_some(), "it was opened for one");
    progress_until(&queue, "a set that may be slept on", || set.try_wait());
    let other = WaitObject::MutexCond;
    assert_eq!(*rig.fabric.wait_set::<T>(other).unwrap_err().kind(), ErrorKind::Invalid);
    Ok(())
}

/// Endpoints come and go; some providers keep pointers to them in the set, which are not followed.
// quirk: 12, 29
fn a_wait_set_outlives_its_endpoints<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (set, queue, b) = waiting::<K, T>(&rig)?;
    let a = rig.endpoint::<K>()?;
    waited(&rig, (&set, &queue, &b), &a, 1)?;
    drop(b);
    assert!(!set.wait(Duration::from_millis(20))?, "nothing was sent");
    for seed in 2..5 {
        let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
        let b = builder.completion_queue(&queue).enable()?;
        waited(&rig, (&set, &queue, &b), &a, seed)?;
        let _ = set.try_wait();
    }
    let _ = set.try_wait();
    Ok(())
}

/// Queues keep their set open, in any order of drops; sets without a descriptor are looked at.
// rule: L1
fn wait_sets_close_last<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let set = unsupported(rig.fabric.wait_set::<T>(WaitObject::Unspec))?;
    let other = Rig::<T>::on(rig.info.clone())?;
    let error = other.domain.completion_queue().wait_set(&set).open().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    let events = unsupported(rig.fabric.event_queue::<T>().wait_set(&set).open())?;
    let queue = rig.domain.completion_queue().wait_set(&set).open();
    assert!(!set.wait(Duration::from_millis(5))?);
    let Err(CloseError::InUse(set)) = set.close() else { panic!("closed under a queue") };
    set.signal();
    drop(queue);
    assert!(!set.wait(Duration::from_millis(5))?, "signals are for who waits");
    assert!(!set.try_wait() && set.fd().is_none());
    drop(events);
    set.close()?;
    let set = unsupported(rig.fabric.wait_set::<T>(WaitObject::Fd))?;
    let events = rig.fabric.event_queue::<T>().wait_set(&set).open()?;
    drop((rig, other, set));
    events.progress()?;
    drop(events);
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

/// An event ends a wait.
fn a_wait_set_wakes_for_events<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    own_network()?;
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::MULTICAST)?;
    let set = unsupported(rig.fabric.wait_set::<T>(WaitObject::Fd))?;
    let events = unsupported(rig.fabric.event_queue::<T>().wait_set(&set).open())?;
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let ep: Endpoint<K, T> = builder.completion_queue(&rig.cq).event_queue(&events).enable()?;
    assert!(!set.wait(Duration::from_millis(5))?, "nothing has happened");
    let join = ep.join(&std::net::SocketAddr::from(([239, 1, 2, 3], 4)).into())?;
    assert!(set.wait(LIMIT)? && !join.is_done(), "a wait reads nothing");
    assert!(!set.try_wait(), "it is to be read");
    events.progress()?;
    assert!(join.is_done() && !set.wait(Duration::from_millis(5))?);
    progress_until(&rig.cq, "a set that may be slept on", || set.try_wait());
    Ok(())
}

/// Defect 31: completions that nobody waits for fill the set's socket, and the provider stops.
fn quirk_31_wait_set_fills<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    /// More than a socket has room for.
    const MESSAGES: usize = 4000;
    if quirk(&t.provider, Defect::WaitSetFills).is_none() {
        return Ok(());
    }
    if Parent::role().is_none() {
        return shown(true, libc::SIGALRM);
    }
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let error = rig.fabric.wait_set::<T>(WaitObject::Fd).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    // SAFETY: plain C structures, to all of which zero is a value; fabric and domain are open. What is
    // opened here is never closed.
    let queue = unsafe {
        let mut attr: ofi_sys::fi_wait_attr = std::mem::zeroed();
        attr.wait_obj = ofi_sys::FI_WAIT_FD;
        let mut set = std::ptr::null_mut();
        #[allow(deprecated, reason = "what is shown to be wrong with it")]
        let opened = ofi_sys::fi_wait_open(rig.fabric.as_raw(), &raw mut attr, &raw mut set);
        assert_eq!(opened, 0);
        let mut attr: ofi_sys::fi_cq_attr = std::mem::zeroed();
        (attr.wait_obj, attr.wait_set) = (ofi_sys::FI_WAIT_SET, set);
        (attr.format, attr.size) = (ofi_sys::FI_CQ_FORMAT_TAGGED, 2 * MESSAGES);
        let (mut queue, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        let opened = ofi_sys::fi_cq_open(rig.domain.as_raw(), &raw mut attr, &raw mut queue, none);
        assert_eq!(opened, 0);
        queue
    };
    // SAFETY: as above; the endpoint is bound to all it needs before it is enabled.
    let ep = unsafe {
        let (mut ep, none) = (std::ptr::null_mut(), std::ptr::null_mut());
        let info = ofi_sys::fi_dupinfo(rig.info.as_raw());
        assert_eq!(ofi_sys::fi_endpoint(rig.domain.as_raw(), info, &raw mut ep, none), 0);
        let both = ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV;
        assert_eq!(ofi_sys::fi_ep_bind(ep, rig.av.as_raw().cast(), 0), 0);
        assert_eq!(ofi_sys::fi_ep_bind(ep, queue.cast(), both), 0);
        assert_eq!(ofi_sys::fi_enable(ep), 0);
        ep
    };
    let to = rig.av.insert(&rig.endpoint::<K>()?.name()?)?;
    Parent::new().say("now")?;
    // SAFETY: a number.
    unsafe { libc::alarm(8) };
    let (bytes, mut entry) = (vec![0_u8; 8].leak(), std::mem::MaybeUninit::<[u64; 8]>::zeroed());
    let mut done = 0;
    while done < MESSAGES {
        // SAFETY: the endpoint and the queue are open, the bytes are never freed, there is room for an
        // entry of the queue's format.
        unsafe {
            let (none, to) = (std::ptr::null_mut(), to.as_raw());
            ofi_sys::fi_send(ep, bytes.as_ptr().cast(), bytes.len(), none, to, none);
            done += usize::from(ofi_sys::fi_cq_read(queue, entry.as_mut_ptr().cast(), 1) == 1);
        }
    }
    std::process::exit(0)
}
