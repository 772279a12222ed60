//! Completion queues: waiting, waking, descriptors, closing, and who uses them.

use std::{
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use ofi::{Caps, CloseError, Connectionless, ErrorKind, Rdm, Shared, block_on};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Target, Verdict, cases, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, connectionless: wait_ends_at_its_deadline wait_sees_a_completion descriptor close_while_bound);
    cases!(list, connectionless: without_descriptor driven half_made wrong_parents);
    cases!(list, rdm_shared: signal_wakes another_thread_completes);
}

/// A wait without an event ends; it does not spin inside the provider for ever.
///
/// Fault 31 (waiting at all), W5: shm 1.17 ignores the timeout of `fi_cq_sread`.
// rule: W1, W5
fn wait_ends_at_its_deadline<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let begun = Instant::now();
    let timeout = Duration::from_millis(30);
    assert!(!p.rig.cq.wait(timeout)?, "nothing can happen");
    assert!(begun.elapsed() >= timeout && begun.elapsed() < LIMIT);
    Ok(())
}

fn wait_sees_a_completion<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let receive = p.b.recv(vec![0; 8]).post()?;
    p.a.send(vec![1; 8], p.to_b).wait(LIMIT)?;
    while !receive.is_done() {
        assert!(p.rig.cq.wait(LIMIT)?, "the receive is still to come");
    }
    receive.wait(LIMIT)?;
    Ok(())
}

/// Another thread's signal wakes a blocked wait, also one that was sent before it blocked again.
///
/// Peers' hole 10 (a signal that can never wake the reader it is for).
// rule: W6, H10
fn signal_wakes<K: Connectionless>(t: &Target) -> Verdict {
    let p = Pair::<K, Shared>::open(t, Caps::MSG)?;
    let cq = p.rig.cq.clone();
    for _ in 0..20 {
        let waiter = std::thread::spawn({
            let cq = cq.clone();
            move || cq.wait(LIMIT)
        });
        while !waiter.is_finished() {
            cq.signal();
            std::thread::yield_now();
        }
        assert!(waiter.join().expect("no panic")?, "it was the signal, not the deadline");
    }
    Ok(())
}

/// A thread that sleeps in a wait is woken by the completion that another thread dispatches.
// rule: W8
fn another_thread_completes<K: Connectionless>(t: &Target) -> Verdict {
    let p = Pair::<K, Shared>::open(t, Caps::MSG)?;
    p.warm()?;
    for n in 0..20 {
        let receive = p.b.recv(vec![0; 32]).post()?;
        let waiter = std::thread::spawn(move || receive.wait(LIMIT));
        p.a.send(pattern(32, n), p.to_b).wait(LIMIT)?;
        while !waiter.is_finished() {
            p.rig.cq.progress()?;
            std::thread::yield_now();
        }
        let (_, buffer) = waiter.join().expect("no panic")?;
        assert_eq!(buffer, pattern(32, n));
    }
    Ok(())
}

/// Where there is a descriptor, sleeping on it after `try_wait` misses nothing.
///
/// Peers: a `BorrowedFd<'static>` of a queue that may close; ours borrows the queue.
// rule: W2, W3, W4, W7
fn descriptor<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    t.require(p.rig.cq.fd().is_some(), "a descriptor to wait on")?;
    p.warm()?;
    for n in 0..10 {
        let receive = p.b.recv(vec![0; 32]).post()?;
        let send = p.a.send(pattern(32, n), p.to_b).post()?;
        let deadline = Instant::now() + LIMIT;
        while !(receive.is_done() && send.is_done()) {
            assert!(Instant::now() < deadline);
            if p.rig.cq.progress()? == 0 && p.rig.cq.try_wait() {
                let fd = p.rig.cq.fd().expect("as above").as_raw_fd();
                let mut polled = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
                // Not for ever: manual progress needs a look now and then (rule W4).
                // SAFETY: one descriptor, which the queue keeps open.
                unsafe { libc::poll(&raw mut polled, 1, 100) };
            }
        }
        receive.wait(LIMIT)?;
        send.wait(LIMIT)?;
    }
    Ok(())
}

/// A queue opened without a descriptor has none, and waiting on it works all the same.
// rule: W1
fn without_descriptor<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let cq = rig.domain.completion_queue().wait_fd(false).open()?;
    assert!(cq.fd().is_none());
    assert!(!cq.try_wait());
    let p = Pair::<K, T>::on(Rig { cq, ..rig })?;
    p.warm()?;
    assert!(!p.rig.cq.wait(Duration::from_millis(5))?);
    p.rig.cq.signal();
    Ok(())
}

/// What is still used is not closed: the handle comes back, and everything goes on.
///
/// Fault 20 (EBUSY is ignored).
// rule: L1, L2, F20
fn close_while_bound<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let Rig { cq, av, domain, info, fabric } = p.rig;
    let Err(CloseError::InUse(cq)) = cq.close() else { panic!("endpoints are bound to it") };
    let Err(CloseError::InUse(av)) = av.close() else { panic!("endpoints are bound to it") };
    let Err(CloseError::InUse(domain)) = domain.close() else { panic!("all is on it") };
    let p = Pair { rig: Rig { cq, av, domain, info, fabric }, ..p };
    p.warm()?;
    p.a.close(LIMIT)?;
    p.b.close(LIMIT)?;
    p.rig.cq.close()?;
    p.rig.av.close()?;
    p.rig.domain.close()?;
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

/// The driver moves everything for futures that do not.
fn driven<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    use std::{future::Future, pin::pin, task::Poll};
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let receive = p.b.recv(vec![0; 16]).post()?;
    let send = p.a.send(vec![1; 16], p.to_b).post()?;
    let mut driver = pin!(p.rig.cq.driver());
    block_on(std::future::poll_fn(|context| {
        if let Poll::Ready(error) = driver.as_mut().poll(context) {
            panic!("{error}");
        }
        if receive.is_done() && send.is_done() { Poll::Ready(()) } else { Poll::Pending }
    }));
    receive.wait(LIMIT)?;
    send.wait(LIMIT)?;
    Ok(())
}

/// An endpoint without what it must have is never made: the builder says what is missing.
///
/// Fault 27 (enabled before its vector is bound: a crash on tcp), 15 (NULL attributes).
// rule: L4, L5, F27, F15
fn half_made<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let builder = || rig.domain.endpoint::<K>(&rig.info);
    for error in [
        builder().completion_queue(&rig.cq).enable().err(),
        builder().address_vector(&rig.av).enable().err(),
        builder().address_vector(&rig.av).transmit_queue(&rig.cq).enable().err(),
        builder().address_vector(&rig.av).receive_queue(&rig.cq).enable().err(),
    ] {
        assert_eq!(*error.expect("something is missing").kind(), ErrorKind::Invalid);
    }
    // Nothing of it is left behind: the same objects make a good one.
    let endpoint = rig.endpoint::<K>()?;
    assert!(endpoint.name().is_ok());
    Ok(())
}

/// Objects of another domain, or an info of another kind, are refused before libfabric sees them.
fn wrong_parents<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let other = Rig::<T>::open(t, Caps::MSG)?;
    let builder = || rig.domain.endpoint::<K>(&rig.info);
    for error in [
        builder().address_vector(&other.av).completion_queue(&rig.cq).enable().err(),
        builder().address_vector(&rig.av).completion_queue(&other.cq).enable().err(),
    ] {
        assert_eq!(*error.expect("of another domain").kind(), ErrorKind::Invalid);
    }
    let error = match K::TYPE {
        ofi::EndpointType::Rdm => {
            let wrong = rig.domain.endpoint::<ofi::Dgram>(&rig.info);
            wrong.address_vector(&rig.av).completion_queue(&rig.cq).enable().err()
        }
        _ => {
            let wrong = rig.domain.endpoint::<Rdm>(&rig.info);
            wrong.address_vector(&rig.av).completion_queue(&rig.cq).enable().err()
        }
    };
    assert_eq!(*error.expect("of another kind").kind(), ErrorKind::Invalid);
    progress_until(&rig.cq, "nothing", || true);
    Ok(())
}
