//! No room is no error: posts come back or queue, in order, and nobody waits for another's peer.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use ofi::{Caps, Connectionless, ErrorKind, Op, SendVerb, block_on};

use crate::harness::{LIMIT, List, Mode, Pair, Stop, Target, Verdict, cases, progress_until};

pub fn register(list: &mut List) {
    cases!(list, rdm: busy_gives_the_buffer_back queued_in_order dead_peer_delays_nobody);
    cases!(list, rdm: submitted_in_order queued_and_dropped queued_and_closed);
}

/// Far more posts than any queue has room for.
const MANY: u32 = 70_000;

fn message(n: u32) -> Vec<u8> {
    let mut bytes = vec![0xBB; 64];
    bytes[..4].copy_from_slice(&n.to_ne_bytes());
    bytes
}

/// Posts until there is no room. What was posted, and the buffer that was refused.
fn fill<K: Connectionless, T: Mode>(
    p: &Pair<K, T>,
) -> Result<(Vec<Op<SendVerb, Vec<u8>, T>>, Vec<u8>), Stop> {
    let mut posted = Vec::new();
    for n in 0..MANY {
        let buffer = message(n);
        let pointer = buffer.as_ptr();
        match p.a.send(buffer, p.to_b).post() {
            Ok(op) => posted.push(op),
            Err(failed) => {
                assert!(failed.error.is_busy(), "{}", failed.error);
                assert!(!failed.error.was_posted());
                let buffer = failed.buf.into_buffer().expect("it was not posted");
                assert_eq!((buffer.as_ptr(), &buffer), (pointer, &message(n)));
                return Ok((posted, buffer));
            }
        }
    }
    Err(Stop::Unsupported(format!("there is room for {MANY} messages")))
}

/// Receives `count` messages, which must come in order, while everything moves.
fn receive_in_order<K: Connectionless, T: Mode>(p: &Pair<K, T>, count: u32) -> Verdict {
    for n in 0..count {
        let (_, buffer) = p.b.recv(vec![0; 64]).wait(LIMIT)?;
        assert_eq!(u32::from_ne_bytes(buffer[..4].try_into()?), n, "in the order they were sent");
    }
    Ok(())
}

/// Without room a post is refused, its buffer untouched; with room again everything arrives.
///
/// Faults 5 (the buffer is overwritten), 19 (a hard error).
// rule: B4, F5, F19, B20
fn busy_gives_the_buffer_back<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let (posted, _) = fill(&p)?;
    receive_in_order(&p, posted.len() as u32)?;
    for send in posted {
        send.wait(LIMIT)?;
    }
    Ok(())
}

/// Submitted posts wait in the line, without a future, and arrive in their order.
// rule: B4, B38
fn submitted_in_order<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let (mut posted, refused) = fill(&p)?;
    let first = posted.len() as u32;
    posted.push(p.a.send(refused, p.to_b).submit()?);
    for n in first + 1..first + 40 {
        posted.push(p.a.send(message(n), p.to_b).submit()?);
    }
    receive_in_order(&p, first + 40)?;
    for send in posted {
        send.wait(LIMIT)?;
    }
    Ok(())
}

/// Awaited posts queue where there is no room; a post that does not queue never overtakes them.
// rule: B4, B38
fn queued_in_order<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let (posted, refused) = fill(&p)?;
    let first = posted.len() as u32;
    let mut context = Context::from_waker(Waker::noop());
    let mut queued = Vec::new();
    let mut next = Some(refused);
    for n in first..first + 40 {
        let mut send = p.a.send(next.take().unwrap_or_else(|| message(n)), p.to_b).into_future();
        // Some find room: each poll is a progress call.
        match Pin::new(&mut send).poll(&mut context) {
            std::task::Poll::Pending => queued.push(send),
            std::task::Poll::Ready(done) => drop(done?),
        }
    }
    // Posted synchronously, it is last, or refused because others wait.
    let last = first + 40;
    let sync = match p.a.send(message(last), p.to_b).post() {
        Ok(op) => Some(op),
        Err(failed) => {
            assert!(failed.error.is_busy());
            None
        }
    };
    receive_in_order(&p, last + u32::from(sync.is_some()))?;
    block_on(async {
        for send in queued {
            send.await?;
        }
        Ok::<_, Stop>(())
    })?;
    for send in posted.into_iter().chain(sync) {
        send.wait(LIMIT)?;
    }
    Ok(())
}

/// A queued post that is dropped was never sent, and holds nobody up.
fn queued_and_dropped<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let (posted, _) = fill(&p)?;
    let count = posted.len() as u32;
    let busy = p.a.send(message(u32::MAX), p.to_b).wait(Duration::ZERO);
    if let Err(ofi::WaitError::Expired(op)) = busy {
        drop(op);
    }
    for send in posted {
        drop(send);
    }
    receive_in_order(&p, count)?;
    progress_until(&p.rig.cq, "all sends", || p.a.in_flight() == 0);
    Ok(())
}

/// Closing ends what is queued, as never posted, with its buffer.
///
/// Fault 21.
// rule: B3, F21
fn queued_and_closed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let (posted, refused) = fill(&p)?;
    let pointer = refused.as_ptr();
    let queued = match p.a.send(refused, p.to_b).wait(Duration::ZERO) {
        Err(ofi::WaitError::Expired(op)) => op,
        // Waiting makes progress, and progress may make room.
        Ok(_) => return Ok(()),
        Err(failed) => return Err(failed.into()),
    };
    drop(posted);
    let Pair { a, b, rig, .. } = p;
    drop(a);
    match queued.wait(LIMIT) {
        Err(ofi::WaitError::Failed(failed)) => {
            let kind = failed.error.kind();
            assert!(matches!(kind, ErrorKind::Closed | ErrorKind::Cancelled), "{}", failed.error);
            if let Some(buffer) = failed.buf.into_buffer() {
                assert_eq!(buffer.as_ptr(), pointer);
            }
        }
        Ok((_, buffer)) => assert_eq!(buffer.as_ptr(), pointer),
        Err(expired) => return Err(expired.into()),
    }
    drop((b, rig));
    Ok(())
}

/// A destination that accepts nothing delays no other.
// rule: B4
fn dead_peer_delays_nobody<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let dead = p.rig.endpoint::<K>()?;
    let to_dead = p.rig.av.insert(&dead.name()?)?;
    dead.close(LIMIT)?;
    let begun = Instant::now();
    let mut hopeless = Vec::new();
    for _ in 0..8 {
        match p.a.send(vec![0; 64], to_dead).wait(Duration::ZERO) {
            Err(ofi::WaitError::Expired(op)) => hopeless.push(op),
            // Providers without connections do not notice, others do at once.
            Ok(_) | Err(ofi::WaitError::Failed(_)) => {}
        }
    }
    for n in 0..20 {
        let receive = p.b.recv(vec![0; 64]).post()?;
        p.a.send(message(n), p.to_b).wait(LIMIT)?;
        assert_eq!(receive.wait(LIMIT)?.1, message(n));
    }
    assert!(begun.elapsed() < LIMIT, "twenty messages waited for a dead peer");
    drop(hopeless);
    Ok(())
}
