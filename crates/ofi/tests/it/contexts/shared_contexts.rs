//! Receives that several connectionless endpoints share, and a transmit context that they share.

use std::{sync::atomic::Ordering, time::Duration};

use ofi::{
    Address, Caps, CloseError, Connectionless, Endpoint, ErrorKind, Hints, SharedReceive,
    SharedTransmit,
};

use super::query;
use crate::harness::{
    LIMIT, List, Mode, Parent, Peer, Rig, Stop, Target, Tracked, Verdict, cases, pattern,
    progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, rdm:
        any_endpoint_fills_the_next_receive shared_receives_are_cancelled
        shared_receives_dropped_in_flight closed_in_any_order_in_flight
        messages_wait_while_their_endpoint_closes closed_in_the_middle_in_flight
        what_does_not_fit_together a_failed_endpoint_leaves_its_context
        shared_receive_of_two_processes
        sends_share_a_context sends_closed_in_any_order_in_flight
        work_that_outlives_its_context
    );
    list.leaks("shared_contexts::work_that_outlives_its_context");
    // sockets keeps the ring of the transmit context that each endpoint has besides (see quirk 39).
    list.leaks("shared_contexts::sends_share_a_context");
    list.leaks("shared_contexts::sends_closed_in_any_order_in_flight");
}

/// Two endpoints on one shared receive context, and one that sends to them.
struct Trio<K: Connectionless, T: Mode> {
    context: SharedReceive<T>,
    ends: [Endpoint<K, T>; 2],
    from: Endpoint<K, T>,
    to: [Address; 2],
    rig: Rig<T>,
}

impl<K: Connectionless, T: Mode> Trio<K, T> {
    fn open(t: &Target) -> Result<Self, Stop> {
        let rig = Rig::<T>::on(query(t, Caps::MSG | Caps::TAGGED, Hints::share_rx_context)?)?;
        let context = rig.domain.shared_receive(&rig.info, &rig.cq)?;
        let end = || -> Result<Endpoint<K, T>, Stop> {
            let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
            Ok(builder.transmit_queue(&rig.cq).shared_receive(&context).enable()?)
        };
        let ends = [end()?, end()?];
        // The sender has receives of its own: it is opened as another info says.
        let own = t.query(Caps::MSG | Caps::TAGGED)?;
        let builder = rig.domain.endpoint::<K>(&own).address_vector(&rig.av);
        let from = builder.completion_queue(&rig.cq).enable()?;
        let to = [rig.av.insert(&ends[0].name()?)?, rig.av.insert(&ends[1].name()?)?];
        Ok(Trio { context, ends, from, to, rig })
    }
}

/// Whichever endpoint a message is for, it lands in the context's next receive; the endpoints have no
/// receives of their own.
// rule: L4, L14
fn any_endpoint_fills_the_next_receive<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let trio = Trio::<K, T>::open(t)?;
    for (round, len) in [1_usize, 100, 1 << 16, 1 << 20].into_iter().enumerate() {
        for to in trio.to {
            let receive = trio.context.recv(vec![0; len]).post()?;
            trio.from.send(pattern(len, round as u8), to).wait(LIMIT)?;
            let (received, buffer) = receive.wait(LIMIT)?;
            assert_eq!(received.len(), len);
            assert!(buffer == pattern(len, round as u8));
        }
    }
    // Tagged ones, posted before and after the message came.
    for (tag, to) in [(7, trio.to[1]), (8, trio.to[0])] {
        let sending = trio.from.send(pattern(64, 1), to).tag(tag).post()?;
        let (received, buffer) = trio.context.recv(vec![0; 64]).tag(tag).wait(LIMIT)?;
        sending.wait(LIMIT)?;
        assert_eq!((received.tag(), buffer), (Some(tag), pattern(64, 1)));
    }
    for end in &trio.ends {
        let failed = end.recv(vec![9; 8]).post().unwrap_err();
        let unsupported = matches!(failed.error.kind(), ErrorKind::Unsupported { .. });
        assert!(unsupported, "{}", failed.error);
        // They send as any other.
        let back = trio.rig.av.insert(&trio.from.name()?)?;
        let receive = trio.from.recv(vec![0; 8]).post()?;
        end.send(vec![5; 8], back).wait(LIMIT)?;
        assert_eq!(receive.wait(LIMIT)?.1, vec![5; 8]);
    }
    // Directed receives need a vector, which the context has not.
    let failed = trio.context.recv(vec![9; 8]).from(trio.to[0]).post().unwrap_err();
    assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }), "{}", failed.error);
    assert_eq!(trio.context.in_flight(), 0);
    Ok(())
}

/// A receive that is cancelled ends so, with its buffer, also where no entry tells of it.
// rule: B26
// quirk: 40
fn shared_receives_are_cancelled<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let trio = Trio::<K, T>::open(t)?;
    let other = trio.context.recv(vec![0; 8]).post()?;
    let receive = trio.context.recv(vec![3; 16]).post()?;
    receive.cancel()?;
    let Err(ofi::WaitError::Failed(failed)) = receive.wait(LIMIT) else {
        panic!("it was cancelled");
    };
    assert_eq!(*failed.error.kind(), ErrorKind::Cancelled, "{}", failed.error);
    assert_eq!(failed.buf.into_buffer(), Some(vec![3; 16]));
    // As a future, given up, and dropped.
    let (tracked, dropped) = Tracked::new(vec![0; 8]);
    let receive = trio.context.recv(tracked).post()?;
    let given_up = receive.abandon();
    assert!(!dropped.load(Ordering::SeqCst));
    let buffer = match given_up {
        ofi::Returned::Held(mut held) => held.try_take(),
        ofi::Returned::Back(buffer) => Some(buffer),
    };
    assert!(buffer.is_some(), "it was cancelled");
    let (tracked, dropped) = Tracked::new(vec![0; 8]);
    drop(trio.context.recv(tracked).post()?);
    progress_until(&trio.rig.cq, "the dropped receive", || dropped.load(Ordering::SeqCst));
    // The one before them is still there for the next message.
    trio.from.send(vec![4; 8], trio.to[1]).wait(LIMIT)?;
    assert_eq!(other.wait(LIMIT)?.1, vec![4; 8]);
    Ok(())
}

/// Receives that nobody waits for keep their buffers until the context lets go of them.
// rule: B1
fn shared_receives_dropped_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 4 << 20;
    let trio = Trio::<K, T>::open(t)?;
    for n in 0..4_u8 {
        let (tracked, dropped) = Tracked::new(vec![0; LEN]);
        let receive = trio.context.recv(tracked).post()?;
        let sending = trio.from.send(pattern(LEN, n), trio.to[usize::from(n % 2)]).post()?;
        for _ in 0..n {
            trio.rig.cq.progress()?;
        }
        drop(receive);
        progress_until(&trio.rig.cq, "the dropped receive", || dropped.load(Ordering::SeqCst));
        // Where it was cancelled before the message began, that waits for the next receive.
        if sending.is_done() {
            sending.wait(LIMIT)?;
            continue;
        }
        let next = trio.context.recv(vec![0; LEN]).post()?;
        sending.wait(LIMIT)?;
        drop(next);
    }
    Ok(())
}

/// Context, endpoints, queue and operations go in any order, with receives posted: every buffer comes
/// back, and nothing is leaked.
// rule: L1, B1, B3
fn closed_in_any_order_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for order in 0..6 {
        let Trio { context, ends: [a, b], from, to, rig } = Trio::<K, T>::open(t)?;
        let (tracked, dropped) = Tracked::new(vec![0; 1000]);
        let orphan = context.recv(tracked).post()?;
        let receive = context.recv(vec![6; 1000]).post()?;
        from.send(pattern(1000, 2), to[0]).wait(LIMIT)?;
        let Err(CloseError::InUse(context)) = context.close(LIMIT) else {
            panic!("closed under its endpoints");
        };
        match order {
            0 => drop((a, b, context)),
            1 => drop((context, a, b)),
            2 => drop((a, context, b)),
            3 => {
                drop((a, b));
                context.close(LIMIT).map_err(|error| Stop::Failed(error.to_string()))?;
            }
            4 => {
                drop(context);
                a.close(LIMIT)?;
                b.close(LIMIT)?;
            }
            _ => {
                let Rig { domain, av, fabric, .. } = rig;
                drop((domain, av, fabric, from, a, b, context));
                let (received, tracked) = orphan.wait(LIMIT)?;
                assert_eq!(received.len(), 1000);
                assert!(tracked.bytes() == pattern(1000, 2));
                assert!(receive.wait(LIMIT).is_err());
                continue;
            }
        }
        // The first receive has the message, the second was still posted.
        let (_, tracked) = orphan.wait(LIMIT)?;
        assert!(tracked.bytes() == pattern(1000, 2));
        assert!(!dropped.load(Ordering::SeqCst));
        let Err(ofi::WaitError::Failed(failed)) = receive.wait(LIMIT) else {
            panic!("its context is closed");
        };
        let kind = failed.error.kind();
        assert!(matches!(kind, ErrorKind::Closed | ErrorKind::Cancelled), "{}", failed.error);
        assert_eq!(failed.buf.into_buffer(), Some(vec![6; 1000]));
        drop(from);
        rig.av.close().map_err(|error| Stop::Failed(error.to_string()))?;
        rig.cq.close().map_err(|error| Stop::Failed(error.to_string()))?;
    }
    assert_eq!((ofi::leaked().objects, ofi::leaked().operations), (0, 0));
    Ok(())
}

/// A message waits for a receive while the endpoint that it came to closes: a receive that is posted
/// afterwards may have it, and nobody follows what is gone.
// quirk: 39
fn messages_wait_while_their_endpoint_closes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let Trio { context, ends: [a, b], from, to, rig } = Trio::<K, T>::open(t)?;
    for n in 0..3 {
        from.send(vec![n; 100], to[0]).wait(LIMIT)?;
    }
    a.close(LIMIT)?;
    // Freed memory is used again.
    let churn: Vec<Vec<u8>> = (0..200).map(|n| vec![0x5a; 64 * (n + 1)]).collect();
    from.send(vec![9; 100], to[1]).wait(LIMIT)?;
    let mut seen = 0;
    while seen != 9 {
        let (received, buffer) = context.recv(vec![0; 100]).wait(LIMIT)?;
        assert_eq!(buffer, vec![buffer[0]; received.len()]);
        seen = buffer[0];
    }
    drop(churn);
    drop((b, from, rig));
    assert_eq!(context.in_flight(), 0);
    Ok(())
}

/// An endpoint, or the context, goes in the middle of a message.
// rule: B1
fn closed_in_the_middle_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 16 << 20;
    for round in 0..6 {
        let Trio { context, ends: [a, b], from, to, rig } = Trio::<K, T>::open(t)?;
        let receive = context.recv(vec![0; LEN]).post()?;
        let sending = from.send(pattern(LEN, 1), to[0]).post()?;
        for _ in 0..10 * round {
            rig.cq.progress()?;
        }
        if round % 2 == 0 {
            a.close(Duration::ZERO)?;
            // The other endpoint and the context go on.
            let next = context.recv(vec![0; 8]).post()?;
            from.send(vec![1; 8], to[1]).wait(LIMIT)?;
            match receive.wait(LIMIT) {
                Ok((received, buffer)) => assert!(received.len() <= buffer.len()),
                Err(ofi::WaitError::Failed(failed)) => assert!(failed.buf.into_buffer().is_some()),
                Err(ofi::WaitError::Expired(_)) => panic!("nothing ends it"),
            }
            drop((next, sending, b, context, from));
        } else {
            drop((a, b, context));
            match receive.wait(LIMIT) {
                Ok((_, buffer)) => assert!(buffer == pattern(LEN, 1)),
                Err(ofi::WaitError::Failed(failed)) => assert!(failed.buf.into_buffer().is_some()),
                Err(ofi::WaitError::Expired(_)) => panic!("it is closed"),
            }
            drop((sending, from));
        }
    }
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

// rule: L14
fn what_does_not_fit_together<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let trio = Trio::<K, T>::open(t)?;
    let (rig, context) = (&trio.rig, &trio.context);
    let invalid = |builder: ofi::EndpointBuilder<K, T>| {
        let error = builder.enable().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    };
    let builder = || rig.domain.endpoint::<K>(&rig.info).transmit_queue(&rig.cq);
    // Another vector than the others', another queue than the context's, none at all.
    let av = rig.domain.address_vector().open()?;
    invalid(builder().address_vector(&av).shared_receive(context));
    let cq = rig.domain.completion_queue().open()?;
    invalid(builder().address_vector(&rig.av).receive_queue(&cq).shared_receive(context));
    invalid(builder().address_vector(&rig.av).receive_queue(&rig.cq));
    // Of another domain.
    let other = Rig::<T>::on(rig.info.clone())?;
    let foreign = other.domain.shared_receive(&other.info, &other.cq)?;
    invalid(builder().address_vector(&rig.av).shared_receive(&foreign));
    let error = rig.domain.shared_receive(&rig.info, &other.cq).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

/// An endpoint that fails after it was bound leaves nothing behind in its context.
// quirk: 39
fn a_failed_endpoint_leaves_its_context<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let trio = Trio::<K, T>::open(t)?;
    let rig = &trio.rig;
    for _ in 0..3 {
        let builder = rig.domain.endpoint::<K>(&rig.info).transmit_queue(&rig.cq);
        let builder = builder.address_vector(&rig.av).shared_receive(&trio.context);
        // An option that the provider does not have.
        assert!(builder.max_tagged_size(1).enable().is_err());
    }
    let receive = trio.context.recv(vec![0; 8]).post()?;
    trio.from.send(vec![1; 8], trio.to[0]).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![1; 8]);
    drop(trio);
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

/// Another process sends to both endpoints.
fn shared_receive_of_two_processes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 100_000;
    if Parent::role().is_some() {
        let rig = Rig::<T>::open(t, Caps::MSG)?;
        let (parent, from) = (Parent::new(), rig.endpoint::<K>()?);
        for seed in 0..2 {
            let to = rig.av.insert(&parent.hear_address()?)?;
            from.send(pattern(LEN, seed), to).wait(LIMIT)?;
        }
        return parent.until_closed();
    }
    let trio = Trio::<K, T>::open(t)?;
    let mut peer = Peer::start("sender")?;
    for (seed, end) in trio.ends.iter().enumerate() {
        let receive = trio.context.recv(vec![0; LEN]).post()?;
        peer.say_address(&end.name()?)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), LEN);
        assert!(buffer == pattern(LEN, seed as u8));
    }
    peer.finish()
}

/// Endpoints on one shared transmit context, and one that they send to.
fn senders<K: Connectionless, T: Mode>(
    t: &Target,
) -> Result<(SharedTransmit<T>, [Endpoint<K, T>; 2], Endpoint<K, T>, Rig<T>), Stop> {
    let rig = Rig::<T>::on(query(t, Caps::MSG, Hints::share_tx_context)?)?;
    let context = rig.domain.shared_transmit(&rig.info)?;
    let end = || -> Result<Endpoint<K, T>, Stop> {
        let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
        Ok(builder.completion_queue(&rig.cq).shared_transmit(&context).enable()?)
    };
    let ends = [end()?, end()?];
    let builder = rig.domain.endpoint::<K>(&t.query(Caps::MSG)?.clone()).address_vector(&rig.av);
    let at = builder.completion_queue(&rig.cq).enable()?;
    Ok((context, ends, at, rig))
}

// rule: L4, L14
fn sends_share_a_context<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let (context, ends, at, rig) = senders::<K, T>(t)?;
    let to = rig.av.insert(&at.name()?)?;
    for (seed, len) in [1_usize, 1000, 1 << 20].into_iter().enumerate() {
        for end in &ends {
            let receive = at.recv(vec![0; len]).post()?;
            end.send(pattern(len, seed as u8), to).wait(LIMIT)?;
            assert!(receive.wait(LIMIT)?.1 == pattern(len, seed as u8));
            // They receive as any other.
            let receive = end.recv(vec![0; 8]).post()?;
            at.send(vec![2; 8], rig.av.insert(&end.name()?)?).wait(LIMIT)?;
            assert_eq!(receive.wait(LIMIT)?.1, vec![2; 8]);
        }
    }
    let Err(CloseError::InUse(context)) = context.close() else {
        panic!("closed under its endpoints");
    };
    drop(ends);
    context.close().map_err(|error| Stop::Failed(error.to_string()))?;
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

/// Work that was not started when its endpoint's handles, and then those of its transmit context, went:
/// both stay for it.
// rule: X11
// quirk: 39
fn work_that_outlives_its_context<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let caps = Caps::MSG | Caps::TAGGED | Caps::TRIGGER;
    let rig = Rig::<T>::on(query(t, caps, Hints::share_tx_context)?)?;
    let context = rig.domain.shared_transmit(&rig.info)?;
    let end = || -> Result<Endpoint<K, T>, Stop> {
        let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
        Ok(builder.completion_queue(&rig.cq).shared_transmit(&context).enable()?)
    };
    let (from, at) = (end()?, end()?);
    let to = rig.av.insert(&at.name()?)?;
    let counter = rig.domain.counter()?;
    let receive = at.recv(vec![0; 64]).post()?;
    let work = from.send(pattern(64, 3), to).when(counter.at(1)).queue()?;
    drop((from, work, context));
    counter.add(1)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), buffer), (64, pattern(64, 3)));
    Ok(())
}

/// Endpoints, context and what they send go in any order, in the middle of it.
// rule: B1
// quirk: 39
fn sends_closed_in_any_order_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 8 << 20;
    for order in 0..4 {
        let (context, [a, b], at, rig) = senders::<K, T>(t)?;
        let to = rig.av.insert(&at.name()?)?;
        let receive = at.recv(vec![0; LEN]).post()?;
        let (tracked, dropped) = Tracked::new(pattern(LEN, 1));
        let sending = a.send(tracked, to).post()?;
        b.send(vec![1; 8], to).inject()?;
        match order {
            0 => {
                a.close(Duration::ZERO)?;
                drop((b, context));
            }
            1 => drop((context, b, a)),
            2 => drop((a, context, b)),
            _ => {
                a.close(Duration::ZERO)?;
                // The context goes on with what was sent through the endpoint.
                sending.wait(LIMIT)?;
                assert!(receive.wait(LIMIT)?.1 == pattern(LEN, 1));
                drop((b, context));
                continue;
            }
        }
        match sending.wait(LIMIT) {
            Ok((_, tracked)) => drop(tracked),
            Err(ofi::WaitError::Failed(failed)) => assert!(failed.buf.into_buffer().is_some()),
            Err(ofi::WaitError::Expired(_)) => panic!("its endpoint is closed"),
        }
        assert!(dropped.load(Ordering::SeqCst));
        drop(receive);
        drop((at, rig));
    }
    assert_eq!((ofi::leaked().objects, ofi::leaked().operations), (0, 0));
    Ok(())
}
