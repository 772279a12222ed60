//! What becomes of an operation that is dropped, forgotten, given up, cancelled, or outlived.

use std::{
    future::Future,
    pin::pin,
    sync::atomic::Ordering,
    task::{Context, Waker},
    time::Duration,
};

use ofi::{Caps, Connectionless, ErrorKind, Returned, WaitError};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Target, Tracked, Verdict, cases, expired, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, connectionless: dropped_receive forgotten_receive expired_wait abandoned_receive);
    cases!(list, connectionless: closed_with_receives cancelled abandoned_when_done inert_until_posted);
    cases!(list, connectionless: dropped_future cancels_only_its_own outlives_everything);
    cases!(list, connectionless: closed_by_the_last_handle a_spent_future);
    cases!(list, rdm: dropped_send abandoned_send closed_with_sends many_dropped);
    list.limit("ops::outlives_everything", 240);
    list.leaks("ops::forgotten_receive");
    list.leaks("ops::closed_with_sends");
}

const MOMENT: Duration = Duration::from_millis(10);
/// More than any provider takes without a receive.
const LONG: usize = 16 << 20;

/// A message through, to show that all is well.
fn works<K: Connectionless, T: Mode>(p: &Pair<K, T>) -> Verdict {
    let receive = p.b.recv(vec![0; 100]).post()?;
    p.a.send(pattern(100, 0x5A), p.to_b).wait(LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), buffer), (100, pattern(100, 0x5A)));
    Ok(())
}

/// Whether the provider can cancel a receive. udp cannot: its receive ends with a message.
fn cancels(t: &Target) -> bool {
    t.provider != "udp"
}

/// What has resolved as a future is done; there is nothing left to wait for, to cancel or to give up.
fn a_spent_future<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let panics =
        |f: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err();
    for wait in [true, false] {
        let mut receive = p.b.recv(vec![0; 8]).post()?;
        let mut send = p.a.send(vec![1; 8], p.to_b).post()?;
        ofi::block_on(&mut send)?;
        ofi::block_on(&mut receive)?;
        assert!(send.is_done() && receive.is_done());
        send.cancel()?;
        receive.cancel()?;
        let mut both = Some((send, receive));
        assert!(panics(&mut || {
            let (send, receive) = both.take().expect("once");
            if wait {
                drop((send.wait(LIMIT), receive));
            } else {
                drop((receive.abandon(), send));
            }
        }));
    }
    works(&p)
}

/// A dropped receive keeps its buffer until the provider is done with it: it is cancelled, or takes
/// the next message into memory that is still there.
///
/// Peers' holes 1, 2 (bytes in memory that is somebody else's by now); fault 9.
// rule: B1, B2, F9, H1, H2
fn dropped_receive<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let (buffer, gone) = Tracked::new(vec![0; 100]);
    drop(p.b.recv(buffer).post()?);
    if !cancels(t) {
        assert!(!gone.load(Ordering::SeqCst), "the provider still has it");
        p.a.send(pattern(100, 1), p.to_b).wait(LIMIT)?;
    }
    progress_until(&p.rig.cq, "the end of the dropped receive", || gone.load(Ordering::SeqCst));
    assert_eq!(p.b.in_flight(), 0);
    works(&p)
}

/// A receive whose future was forgotten is just one that nobody asks about; its memory stays.
// rule: B1, B2
fn forgotten_receive<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let (buffer, gone) = Tracked::new(vec![0; 100]);
    std::mem::forget(p.b.recv(buffer).post()?);
    p.a.send(pattern(100, 1), p.to_b).wait(LIMIT)?;
    progress_until(&p.rig.cq, "the message into it", || p.b.in_flight() == 0);
    works(&p)?;
    drop(p);
    assert!(!gone.load(Ordering::SeqCst), "nobody can have dropped it");
    Ok(())
}

/// A wait that expires gives the operation back; it is as good as before.
///
/// Fault 9 (the timed-out receive that stays posted, its buffer returned).
// rule: B1, F9
fn expired_wait<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let buffer = vec![0; 100];
    let pointer = buffer.as_ptr();
    let receive = expired!(p.b.recv(buffer).wait(MOMENT));
    let receive = expired!(receive.wait(MOMENT));
    assert!(!receive.is_done());
    p.a.send(pattern(100, 2), p.to_b).wait(LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), buffer.as_ptr()), (100, pointer));
    assert_eq!(buffer, pattern(100, 2));
    Ok(())
}

/// An abandoned receive leaves a claim that yields the very buffer, once.
// rule: B1, B26
fn abandoned_receive<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let buffer = vec![0; 100];
    let pointer = buffer.as_ptr();
    let Returned::Held(mut held) = p.b.recv(buffer).post()?.abandon() else {
        panic!("a posted receive is the provider's")
    };
    if !cancels(t) {
        assert!(held.try_take().is_none(), "no cancel and no message");
        p.a.send(pattern(100, 1), p.to_b).wait(LIMIT)?;
    }
    let mut back = None;
    progress_until(&p.rig.cq, "the claim", || {
        back = held.try_take();
        back.is_some()
    });
    assert_eq!(back.map(|buffer| buffer.as_ptr()), Some(pointer));
    assert!(held.try_take().is_none(), "it is given once");
    works(&p)
}

/// A claim that is dropped frees the memory when the provider is done with it, no sooner.
// rule: B1, B2
fn dropped_send<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    for abandon in [false, true] {
        let (buffer, gone) = Tracked::new(pattern(LONG, 3));
        let send = expired!(p.a.send(buffer, p.to_b).wait(Duration::ZERO));
        if abandon {
            drop(send.abandon());
        } else {
            drop(send);
        }
        assert!(!gone.load(Ordering::SeqCst), "the send is still under way");
        let (_, buffer) = p.b.recv(vec![0; LONG]).wait(LIMIT)?;
        assert!(buffer == pattern(LONG, 3), "it arrives whole");
        progress_until(&p.rig.cq, "the end of the send", || gone.load(Ordering::SeqCst));
    }
    works(&p)
}

/// As for receives: the claim on a send yields the very buffer.
// rule: B1
fn abandoned_send<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let buffer = pattern(LONG, 4);
    let pointer = buffer.as_ptr();
    let send = expired!(p.a.send(buffer, p.to_b).wait(Duration::ZERO));
    let Returned::Held(mut held) = send.abandon() else { panic!("it cannot be done") };
    assert!(held.try_take().is_none());
    let (_, received) = p.b.recv(vec![0; LONG]).wait(LIMIT)?;
    assert!(received == pattern(LONG, 4));
    let mut back = None;
    progress_until(&p.rig.cq, "the claim", || {
        back = held.try_take();
        back.is_some()
    });
    assert_eq!(back.map(|buffer| buffer.as_ptr()), Some(pointer));
    Ok(())
}

/// What is done already is simply given back.
fn abandoned_when_done<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let buffer = vec![0; 10];
    let pointer = buffer.as_ptr();
    let receive = p.b.recv(buffer).post()?;
    p.a.send(vec![1; 10], p.to_b).wait(LIMIT)?;
    progress_until(&p.rig.cq, "the receive", || receive.is_done());
    let Returned::Back(buffer) = receive.abandon() else { panic!("it is done") };
    assert_eq!((buffer.as_ptr(), buffer), (pointer, vec![1; 10]));
    Ok(())
}

/// Closing ends every receive and gives every buffer back: nothing hangs.
///
/// Fault 21 (futures that hang after a close).
// rule: B3, B27, F21
fn closed_with_receives<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let posted = (0..5)
        .map(|n| {
            let buffer = vec![n; 100];
            (buffer.as_ptr(), p.b.recv(buffer).post())
        })
        .collect::<Vec<_>>();
    let Pair { a, b, to_b, rig, .. } = p;
    b.close(Duration::from_secs(1))?;
    for (n, (pointer, receive)) in (0..).zip(posted) {
        let Err(WaitError::Failed(failed)) = receive?.wait(LIMIT) else {
            panic!("nothing came, and nothing can come")
        };
        let kind = failed.error.kind();
        assert!(matches!(kind, ErrorKind::Closed | ErrorKind::Cancelled), "{}", failed.error);
        let Returned::Back(buffer) = failed.buf else { panic!("the endpoint is closed") };
        assert_eq!((buffer.as_ptr(), buffer), (pointer, vec![n; 100]));
    }
    // The other one lives on, alone.
    let again = rig.endpoint::<K>()?;
    if let Err(error) = rig.av.remove(to_b) {
        // There it went with the endpoint (quirk 13).
        assert!(t.provider == "shm" && *error.kind() == ErrorKind::StaleAddress, "{error}");
    }
    let to = rig.av.insert(&again.name()?)?;
    let receive = again.recv(vec![0; 8]).post()?;
    a.send(vec![1; 8], to).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    Ok(())
}

/// Closing with a send under way: where that is safe, its buffer comes back; where the provider is
/// known to crash, endpoint and buffer are left alone, and counted.
// rule: B1, B3, L2
fn closed_with_sends<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let (buffer, gone) = Tracked::new(pattern(LONG, 5));
    let pointer = buffer.bytes().as_ptr();
    let send = expired!(p.a.send(buffer, p.to_b).wait(Duration::ZERO));
    let Pair { a, b, rig, .. } = p;
    let crashes = t.leaks_what_is_in_flight();
    let before = ofi::leaked();
    let closed = a.close(MOMENT);
    let failed = match send.wait(LIMIT) {
        // sockets takes it all in before there is a receive.
        Ok((_, buffer)) if t.provider == "sockets" => {
            assert_eq!(buffer.bytes().as_ptr(), pointer);
            return Ok(closed?);
        }
        Err(WaitError::Failed(failed)) => failed,
        other => panic!("nobody received it: {:?}", other.map(drop)),
    };
    match failed.buf {
        Returned::Back(buffer) => assert_eq!(buffer.bytes().as_ptr(), pointer),
        Returned::Held(mut held) => {
            assert!(crashes && closed.is_err(), "only a leaked endpoint holds: {closed:?}");
            assert!(held.try_take().is_none());
            drop(held);
            assert!(!gone.load(Ordering::SeqCst), "the provider may still read it");
            assert_eq!(ofi::leaked().operations, before.operations + 1);
            return Ok(());
        }
    }
    closed?;
    progress_until(&rig.cq, "the receiver to settle", || b.in_flight() == 0);
    Ok(())
}

/// Cancelling is asking: the operation ends as cancelled or as if it had not been, and until it has
/// ended its buffer stays.
// rule: B26
fn cancelled<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let buffer = vec![0; 100];
    let pointer = buffer.as_ptr();
    let receive = p.b.recv(buffer).post()?;
    match receive.cancel() {
        Ok(()) => {}
        Err(error) if !cancels(t) => {
            assert_eq!(error.errno(), Some(ofi::Errno::ENOSYS));
            p.a.send(vec![1; 100], p.to_b).wait(LIMIT)?;
        }
        Err(error) => return Err(error.into()),
    }
    match receive.wait(LIMIT) {
        Ok((_, buffer)) => assert_eq!(buffer.as_ptr(), pointer),
        Err(WaitError::Failed(failed)) => {
            assert_eq!(*failed.error.kind(), ErrorKind::Cancelled);
            assert_eq!(failed.buf.into_buffer().map(|buffer| buffer.as_ptr()), Some(pointer));
        }
        Err(expired) => return Err(expired.into()),
    }
    works(&p)
}

/// An operation that has completed, dropped or cancelled late, never touches one posted since.
// rule: B26
fn cancels_only_its_own<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    for round in 0..50 {
        let first = p.b.recv(vec![0; 16]).post()?;
        p.a.send(vec![round; 16], p.to_b).wait(LIMIT)?;
        progress_until(&p.rig.cq, "the first receive", || first.is_done());
        let second = p.b.recv(vec![0; 16]).post()?;
        if round % 2 == 0 {
            first.cancel()?;
        }
        drop(first);
        p.a.send(vec![round + 1; 16], p.to_b).wait(LIMIT)?;
        assert_eq!(second.wait(LIMIT)?.1, vec![round + 1; 16]);
    }
    Ok(())
}

/// Nothing happens before the first poll.
fn inert_until_posted<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    drop(p.b.recv(vec![0; 16]));
    drop(p.a.send(vec![0; 16], p.to_b).into_future());
    let never = p.b.recv(vec![0; 16]).into_future();
    p.rig.cq.progress()?;
    assert_eq!((p.a.in_flight(), p.b.in_flight()), (0, 0));
    drop(never);
    works(&p)
}

/// A future dropped after its first poll: as a dropped operation (`select!`, a timeout).
///
/// Peers' hole 2.
// rule: B2, H2
fn dropped_future<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let (buffer, gone) = Tracked::new(vec![0; 100]);
    {
        let mut receive = pin!(p.b.recv(buffer).into_future());
        let mut context = Context::from_waker(Waker::noop());
        assert!(receive.as_mut().poll(&mut context).is_pending());
        assert_eq!(p.b.in_flight(), 1);
    }
    if !cancels(t) {
        p.a.send(vec![1; 100], p.to_b).wait(LIMIT)?;
    }
    progress_until(&p.rig.cq, "the end of the dropped receive", || gone.load(Ordering::SeqCst));
    works(&p)
}

/// Thousands of dropped receives use the same few slots again.
fn many_dropped<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    for _ in 0..2_000 {
        drop(p.b.recv(vec![0; 16]).post()?);
        p.rig.cq.progress()?;
    }
    progress_until(&p.rig.cq, "all cancels", || p.b.in_flight() == 0);
    works(&p)
}

/// An endpoint closes with its last handle; an operation that is left then ends.
// rule: L1
fn closed_by_the_last_handle<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let receive = p.b.recv(vec![0; 16]).post()?;
    let other = p.b.clone();
    let Err(ofi::CloseError::InUse(b)) = p.b.close(LIMIT) else {
        panic!("there is another handle")
    };
    drop(b);
    let receive = expired!(receive.wait(MOMENT));
    drop(other);
    let Err(WaitError::Failed(failed)) = receive.wait(LIMIT) else { panic!("it is closed") };
    assert!(failed.buf.into_buffer().is_some());
    Ok(())
}

/// An operation may outlive its endpoint, queue, vector, domain and fabric, whatever goes first.
///
/// Fault 20 (closing in the wrong order), peers' hole 9.
// rule: L1, B3, F20, H9
fn outlives_everything<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for order in orders([0, 1, 2, 3, 4]) {
        let rig = Rig::<T>::open(t, Caps::MSG)?;
        let endpoint = rig.endpoint::<K>()?;
        let (buffer, gone) = Tracked::new(vec![0; 64]);
        let receive = endpoint.recv(buffer).post()?;
        let Rig { cq, av, domain, fabric, .. } = rig;
        drop(fabric);
        let mut things: [Option<Box<dyn FnOnce() + '_>>; 5] = [
            Some(Box::new(|| drop(endpoint))),
            Some(Box::new(|| drop(cq))),
            Some(Box::new(|| drop(av))),
            Some(Box::new(|| drop(domain))),
            Some(Box::new(|| match receive.wait(LIMIT) {
                Err(WaitError::Failed(failed)) => drop(failed),
                other => panic!("{order:?}: {:?}", other.map(drop)),
            })),
        ];
        // The operation is asked last, or dropped where its turn comes earlier.
        for (turn, place) in order.iter().enumerate() {
            let thing = things[*place].take().expect("once each");
            if *place != 4 || turn == 4 {
                thing();
            }
        }
        assert!(gone.load(Ordering::SeqCst), "{order:?}: closed, so the buffer is free");
    }
    Ok(())
}

/// Every order of five.
fn orders(first: [usize; 5]) -> Vec<[usize; 5]> {
    fn permute(at: usize, order: &mut [usize; 5], all: &mut Vec<[usize; 5]>) {
        if at == order.len() {
            all.push(*order);
            return;
        }
        for other in at..order.len() {
            order.swap(at, other);
            permute(at + 1, order, all);
            order.swap(at, other);
        }
    }
    let mut all = Vec::new();
    permute(0, &mut first.clone(), &mut all);
    assert_eq!(all.len(), 120);
    all
}
