//! Scalable endpoints: contexts with queues of their own behind one address.

use std::{sync::atomic::Ordering, time::Duration};

use ofi::{
    Access, Address, AddressVector, AtomicOp, Caps, CloseError, CompletionQueue, Connectionless,
    Datatype, ErrorKind, Fabric, Memory, Scaled,
};

use super::query;
use crate::harness::{
    LIMIT, List, Mode, Parent, Peer, Rig, Stop, Target, Tracked, Verdict, cases, pattern,
};

pub fn register(list: &mut List) {
    cases!(list, rdm:
        each_context_gets_what_names_it transmit_contexts_reach_memory
        contexts_closed_in_any_order_in_flight contexts_dropped_in_flight named_contexts
        too_many_contexts contexts_of_two_processes closed_before_the_peer_acknowledges
    );
    // Where an acknowledgement may still come, nothing is closed.
    list.leaks("scalable::closed_before_the_peer_acknowledges");
}

const SENDS: usize = 2;
const RECEIVES: usize = 3;
const CAPS: Caps = Caps::MSG.union(Caps::NAMED_RX_CTX);

/// A fabric with a vector whose addresses name contexts.
struct Scale<T: Mode> {
    av: AddressVector<T>,
    rig: Rig<T>,
}

/// A scalable endpoint, and the queues of its contexts.
struct Many<K: Connectionless, T: Mode> {
    all: Scaled<K, T>,
    sends: Vec<CompletionQueue<T>>,
    receives: Vec<CompletionQueue<T>>,
}

impl<T: Mode> Scale<T> {
    fn open(t: &Target, caps: Caps) -> Result<Scale<T>, Stop> {
        let info = query(t, caps, |hints| hints.tx_contexts(SENDS).rx_contexts(RECEIVES))?;
        let rig = Rig::<T>::on(info)?;
        Ok(Scale { av: rig.domain.address_vector().receive_contexts(RECEIVES).open()?, rig })
    }

    fn endpoint<K: Connectionless>(&self) -> Result<Many<K, T>, Stop> {
        let queues = |count: usize| -> Result<Vec<CompletionQueue<T>>, ofi::Error> {
            (0..count).map(|_| self.rig.domain.completion_queue().open()).collect()
        };
        let (sends, receives) = (queues(SENDS)?, queues(RECEIVES)?);
        let mut builder = self.rig.domain.scalable_endpoint::<K>(&self.rig.info);
        builder = builder.address_vector(&self.av);
        for queue in &sends {
            builder = builder.transmit_context(queue);
        }
        for queue in &receives {
            builder = builder.receive_context(queue);
        }
        Ok(Many { all: builder.enable()?, sends, receives })
    }
}

impl<K: Connectionless, T: Mode> Many<K, T> {
    /// The address of each of its receive contexts.
    fn named(&self, av: &AddressVector<T>) -> Result<Vec<Address>, Stop> {
        let peer = av.insert(&self.all.endpoint.name()?)?;
        Ok((0..RECEIVES).map(|n| av.receive_context(peer, n)).collect::<Result<_, _>>()?)
    }
}

/// What is sent to a context comes there, whichever context it was sent through, and to no other; each
/// completes on its own queue.
// rule: A8, L4, L14
fn each_context_gets_what_names_it<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let scale = Scale::<T>::open(t, CAPS)?;
    let (a, b) = (scale.endpoint::<K>()?, scale.endpoint::<K>()?);
    assert_eq!((b.all.transmit.len(), b.all.receive.len()), (SENDS, RECEIVES));
    let to_b = b.named(&scale.av)?;
    for (round, len) in [1_usize, 1000, 1 << 20].into_iter().enumerate() {
        for from in &a.all.transmit {
            let receives: Result<Vec<_>, _> =
                b.all.receive.iter().map(|context| context.recv(vec![0; len]).post()).collect();
            // The other way round than they were posted.
            for (n, to) in to_b.iter().enumerate().rev() {
                from.send(pattern(len, (10 * round + n) as u8), *to).wait(LIMIT)?;
            }
            for (n, receive) in receives?.into_iter().enumerate() {
                let (received, buffer) = receive.wait(LIMIT)?;
                assert_eq!(received.len(), len);
                assert!(buffer == pattern(len, (10 * round + n) as u8), "context {n}");
            }
        }
    }
    // The peer by itself is its first context.
    let receive = b.all.receive[0].recv(vec![0; 8]).post()?;
    let peer = scale.av.insert(&b.all.endpoint.name()?)?;
    a.all.transmit[1].send(vec![7; 8], peer).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![7; 8]);
    // A plain endpoint sends there, too.
    let plain = scale.rig.domain.endpoint::<K>(&t.query(Caps::MSG)?).address_vector(&scale.av);
    let plain = plain.completion_queue(&scale.rig.cq).enable()?;
    let receive = b.all.receive[2].recv(vec![0; 8]).post()?;
    plain.send(vec![8; 8], to_b[2]).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![8; 8]);
    for (transmit, queue) in a.all.transmit.iter().zip(&a.sends) {
        queue.progress()?;
        assert_eq!(transmit.in_flight(), 0);
    }
    assert_eq!(b.receives.iter().map(|queue| queue.counts().stray).sum::<u64>(), 0);
    Ok(())
}

/// Remote memory and atomic operations, through each transmit context.
fn transmit_contexts_reach_memory<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let scale = Scale::<T>::open(t, CAPS | Caps::RMA | Caps::ATOMIC)?;
    let (a, b) = (scale.endpoint::<K>()?, scale.endpoint::<K>()?);
    let to_b = scale.av.insert(&b.all.endpoint.name()?)?;
    let memory = Memory::new(vec![0; 1 << 16])?;
    let remote = Access::REMOTE_READ | Access::REMOTE_WRITE;
    let region = scale.rig.domain.expose(&memory).access(remote).open()?;
    for (n, from) in a.all.transmit.iter().enumerate() {
        let sent = pattern(1 << 16, n as u8);
        from.write(sent.clone(), to_b, region.remote()).wait(LIMIT)?;
        let (_, back) = from.read(vec![0; 1 << 16], to_b, region.remote()).wait(LIMIT)?;
        assert!(back == sent);
        assert!(from.max_atomic(Datatype::Uint8, AtomicOp::Sum) >= 8);
        let target = region.remote().slice(..8)?;
        from.atomic(vec![1; 8], to_b, target, Datatype::Uint8, AtomicOp::Sum).wait(LIMIT)?;
        let (_, back) = from.read(vec![0; 8], to_b, target).wait(LIMIT)?;
        let sums: Vec<u8> = sent[..8].iter().map(|byte| byte.wrapping_add(1)).collect();
        assert_eq!(back, sums);
    }
    Ok(())
}

/// Contexts, endpoint, queues and operations go in any order.
// rule: L1, B1
// quirk: 42
fn contexts_closed_in_any_order_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for order in 0..5 {
        let scale = Scale::<T>::open(t, CAPS)?;
        let (a, b) = (scale.endpoint::<K>()?, scale.endpoint::<K>()?);
        let to_b = b.named(&scale.av)?;
        let posted = b.all.receive[1].recv(vec![6; 100]).post()?;
        let receive = b.all.receive[2].recv(vec![0; 100]).post()?;
        a.all.transmit[0].send(pattern(100, 2), to_b[2]).wait(LIMIT)?;
        a.all.transmit[1].send(vec![1; 8], to_b[0]).inject()?;
        assert_eq!(receive.wait(LIMIT)?.1, pattern(100, 2));
        let Many { all: Scaled { endpoint, transmit, receive, .. }, sends, receives } = b;
        let Err(CloseError::InUse(endpoint)) = endpoint.close() else {
            panic!("closed under its contexts");
        };
        match order {
            0 => drop((endpoint, transmit, receive)),
            1 => drop((receive, transmit, endpoint)),
            2 => {
                let Scale { av, rig } = scale;
                drop((av, rig, sends, receives, endpoint, transmit, receive));
                assert!(posted.wait(LIMIT).is_err());
                drop(a);
                continue;
            }
            3 => {
                for context in receive {
                    context.close(LIMIT)?;
                }
                // The others still work.
                let back = a.named(&scale.av)?;
                let receive = a.all.receive[1].recv(vec![0; 8]).post()?;
                transmit[1].send(vec![3; 8], back[1]).wait(LIMIT)?;
                assert_eq!(receive.wait(LIMIT)?.1, vec![3; 8]);
                for context in transmit {
                    context.close(LIMIT)?;
                }
                endpoint.close().map_err(|error| Stop::Failed(error.to_string()))?;
            }
            _ => {
                drop(a);
                drop((transmit, endpoint, receive));
            }
        }
        let Err(ofi::WaitError::Failed(failed)) = posted.wait(LIMIT) else {
            panic!("its context is closed");
        };
        let kind = failed.error.kind();
        assert!(matches!(kind, ErrorKind::Closed | ErrorKind::Cancelled), "{}", failed.error);
        assert_eq!(failed.buf.into_buffer(), Some(vec![6; 100]));
        for queue in sends.into_iter().chain(receives) {
            queue.close().map_err(|error| Stop::Failed(error.to_string()))?;
        }
    }
    assert_eq!((ofi::leaked().objects, ofi::leaked().operations), (0, 0));
    Ok(())
}

/// Operations that nobody waits for, and contexts that go in the middle of a message, at both ends.
// rule: B1
fn contexts_dropped_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 8 << 20;
    for round in 0..4 {
        let scale = Scale::<T>::open(t, CAPS)?;
        let (a, b) = (scale.endpoint::<K>()?, scale.endpoint::<K>()?);
        let to_b = b.named(&scale.av)?;
        let (tracked, dropped) = Tracked::new(vec![0; LEN]);
        let receive = b.all.receive[1].recv(tracked).post()?;
        let sending = a.all.transmit[1].send(pattern(LEN, 1), to_b[1]).post()?;
        let Scaled { endpoint, transmit, receive: mut receive_contexts, .. } = b.all;
        match round {
            0 => drop(receive),
            1 => drop((receive, receive_contexts.remove(1))),
            2 => {
                receive_contexts.remove(1).close(Duration::ZERO)?;
                match receive.wait(LIMIT) {
                    Ok((_, tracked)) => assert!(tracked.bytes() == pattern(LEN, 1)),
                    Err(ofi::WaitError::Failed(failed)) => {
                        assert!(failed.buf.into_buffer().is_some());
                    }
                    Err(ofi::WaitError::Expired(op)) => drop(op),
                }
            }
            _ => {
                drop((transmit, receive_contexts, endpoint));
                match receive.wait(LIMIT) {
                    Ok((_, tracked)) => assert!(tracked.bytes() == pattern(LEN, 1)),
                    Err(ofi::WaitError::Failed(failed)) => {
                        assert!(failed.buf.into_buffer().is_some());
                    }
                    Err(ofi::WaitError::Expired(_)) => panic!("it is closed"),
                }
                assert!(dropped.load(Ordering::SeqCst));
                drop(sending);
                continue;
            }
        }
        // Another context of the same endpoint goes on.
        let next = receive_contexts[0].recv(vec![0; 8]).post()?;
        a.all.transmit[0].send(vec![4; 8], to_b[0]).wait(LIMIT)?;
        assert_eq!(next.wait(LIMIT)?.1, vec![4; 8]);
        drop((sending, transmit, receive_contexts, endpoint));
    }
    Ok(())
}

/// Addresses of contexts belong to their peer's.
// rule: A8, A1, A2
fn named_contexts<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let scale = Scale::<T>::open(t, CAPS)?;
    let (a, b) = (scale.endpoint::<K>()?, scale.endpoint::<K>()?);
    let name = b.all.endpoint.name()?;
    let peer = scale.av.insert(&name)?;
    let third = scale.av.receive_context(peer, 2)?;
    assert_ne!(third, peer);
    assert_eq!(scale.av.receive_context(third, 0)?, peer);
    assert_eq!(scale.av.lookup(third)?, name);
    // Two bits name four; how many the peer has is not known here.
    assert!(scale.av.receive_context(peer, 3).is_ok());
    let error = scale.av.receive_context(peer, 4).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    // A vector that was not opened for contexts knows the first only.
    let own = scale.rig.av.insert(&name)?;
    assert_eq!(scale.rig.av.receive_context(own, 0)?, own);
    let error = scale.rig.av.receive_context(own, 1).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    let error = scale.rig.av.receive_context(peer, 0).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::StaleAddress, "{error}");
    // One is removed with the other.
    scale.av.remove(third)?;
    for stale in [peer, third] {
        let failed = a.all.transmit[0].send(vec![1; 8], stale).post().unwrap_err();
        assert_eq!(*failed.error.kind(), ErrorKind::StaleAddress, "{}", failed.error);
        let error = scale.av.receive_context(stale, 1).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::StaleAddress, "{error}");
    }
    // Without the capability there are no such addresses.
    let plain = Rig::<T>::open(t, Caps::MSG)?;
    if !plain.info.caps().contains(Caps::NAMED_RX_CTX) {
        let error = plain.domain.address_vector().receive_contexts(2).open().unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    }
    Ok(())
}

// rule: L14
fn too_many_contexts<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let scale = Scale::<T>::open(t, CAPS)?;
    let rig = &scale.rig;
    let builder = || rig.domain.scalable_endpoint::<K>(&rig.info).address_vector(&scale.av);
    let mut many = builder().receive_context(&rig.cq);
    for _ in 0..=rig.info.domain().max_ep_tx_ctx() {
        many = many.transmit_context(&rig.cq);
    }
    let error = many.enable().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    let other = Rig::<T>::on(rig.info.clone())?;
    let wrong = [
        builder().receive_context(&rig.cq),
        builder().transmit_context(&rig.cq),
        builder().transmit_context(&rig.cq).receive_context(&other.cq),
        builder().transmit_context(&rig.cq).receive_context(&rig.cq).address_vector(&other.av),
    ];
    for builder in wrong {
        let error = builder.enable().unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    }
    // All on one queue.
    let one = builder().transmit_context(&rig.cq).receive_context(&rig.cq).enable()?;
    let me = scale.av.insert(&one.endpoint.name()?)?;
    let receive = one.receive[0].recv(vec![0; 8]).post()?;
    one.transmit[0].send(vec![1; 8], me).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![1; 8]);
    Ok(())
}

/// Another process sends to each context.
fn contexts_of_two_processes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 100_000;
    let scale = Scale::<T>::open(t, CAPS)?;
    let many = scale.endpoint::<K>()?;
    if Parent::role().is_some() {
        let parent = Parent::new();
        let peer = scale.av.insert(&parent.hear_address()?)?;
        for n in 0..RECEIVES {
            let to = scale.av.receive_context(peer, n)?;
            many.all.transmit[n % SENDS].send(pattern(LEN, n as u8), to).wait(LIMIT)?;
        }
        return parent.until_closed();
    }
    let mut peer = Peer::start("sender")?;
    let receives: Result<Vec<_>, _> =
        many.all.receive.iter().map(|context| context.recv(vec![0; LEN]).post()).collect();
    peer.say_address(&many.all.endpoint.name()?)?;
    for (n, receive) in receives?.into_iter().enumerate() {
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), LEN);
        assert!(buffer == pattern(LEN, n as u8));
    }
    peer.finish()
}

/// Transmit contexts go while their peer is stopped, before it has acknowledged what they sent: its
/// acknowledgement, which comes later, finds nothing that is gone. Their buffers stay out of reach.
// quirk: 42
fn closed_before_the_peer_acknowledges<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 16 << 20;
    let scale = Scale::<T>::open(t, CAPS)?;
    let many = scale.endpoint::<K>()?;
    if Parent::role().is_some() {
        let parent = Parent::new();
        let receive = many.all.receive[0].recv(vec![0; LEN]).post()?;
        parent.say_address(&many.all.endpoint.name()?)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        assert!(received.len() == LEN && buffer == pattern(LEN, 1));
        parent.say("received")?;
        return parent.until_closed();
    }
    let mut peer = Peer::start("receiver")?;
    let to = scale.av.insert(&peer.hear_address()?)?;
    // The connection is made.
    let Many { all: Scaled { endpoint, transmit, receive, .. }, .. } = many;
    peer.stop();
    let (tracked, dropped) = Tracked::new(pattern(LEN, 1));
    let sending = transmit[0].send(tracked, to).post()?;
    drop(transmit);
    assert!(!sending.is_done());
    peer.signal(libc::SIGCONT);
    assert_eq!(peer.hear()?, "received");
    let (_, tracked) = sending.wait(LIMIT)?;
    assert!(!dropped.load(Ordering::SeqCst));
    drop(tracked);
    // Stopped again, and now all of it goes. A second message, that nobody receives.
    let again = scale.endpoint::<K>()?;
    let Many { all: Scaled { endpoint: e, transmit, receive: r, .. }, .. } = again;
    peer.stop();
    let (tracked, dropped) = Tracked::new(pattern(LEN, 2));
    let sending = transmit[0].send(tracked, to).post()?;
    drop((transmit, r, e));
    let expired = sending.wait(Duration::from_millis(20));
    assert!(expired.is_err(), "nobody can have received it");
    assert!(!dropped.load(Ordering::SeqCst), "the provider may still send from there");
    assert!(ofi::leaked().operations >= 1);
    peer.signal(libc::SIGCONT);
    drop((endpoint, receive));
    let _: Fabric = scale.rig.fabric;
    peer.finish()
}
