//! A batch whose peer stops, goes on, or dies.

use std::time::Duration;

use ofi::{BindFlags, Caps, Connectionless, Endpoint, SendVerb, Unended};

use super::{LONG, MOMENT, batching};
use crate::harness::{LIMIT, Mode, Parent, Peer, Rig, Stop, Target, Verdict, pattern};

/// The peer of the cases below: it is connected, then receives what it is told to.
fn sleeper<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let parent = Parent::new();
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let endpoint = rig.endpoint::<K>()?;
    parent.say_address(&endpoint.name()?)?;
    let receive = endpoint.recv(vec![0; 8]).post()?;
    receive.wait(LIMIT)?;
    parent.say("connected")?;
    if parent.hear()? == "receive" {
        for _ in 0..2 {
            let (received, _) = endpoint.recv(vec![0; LONG]).wait(LIMIT)?;
            assert_eq!(received.len(), LONG);
        }
        parent.say("received")?;
        // Until the other side has seen its end, somebody must answer it.
        let closed = std::thread::spawn(move || parent.until_closed());
        while !closed.is_finished() {
            rig.cq.wait(Duration::from_millis(10))?;
        }
    }
    Ok(())
}

/// A peer that is stopped, and a batch of two long sends on its way to it.
#[expect(clippy::type_complexity, reason = "what was made together")]
fn stopped<K: Connectionless, T: Mode>(
    t: &Target,
) -> Result<(Peer, Endpoint<K, T>, ofi::Batch<SendVerb, Vec<u8>, T>, Rig<T>), Stop> {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let a = batching::<K, T>(&rig, BindFlags::TRANSMIT)?;
    let mut peer = Peer::start("sleeper")?;
    let to = rig.av.insert(&peer.hear_address()?)?;
    let mut batch = a.batch()?;
    batch.post_wait(a.send(vec![1; 8], to), LIMIT)?;
    batch.wait(LIMIT)?.into_buffers()?;
    assert_eq!(peer.hear()?, "connected");
    peer.stop();
    let mut batch = a.batch()?;
    for n in 0..2 {
        batch.post_wait(a.send(pattern(LONG, n), to), LIMIT)?;
    }
    let batch = in_flight!(batch.wait(MOMENT));
    Ok((peer, a, batch, rig))
}

/// While the peer is stopped a wait returns control; when it goes on, the batch ends.
// rule: B1
pub(super) fn stopped_peer_of_a_batch<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_some() {
        return sleeper::<K, T>(t);
    }
    let (mut peer, _a, batch, _rig) = stopped::<K, T>(t)?;
    peer.signal(libc::SIGCONT);
    peer.say("receive")?;
    let back = batch.wait(LIMIT)?.into_buffers()?;
    assert!(back[0] == pattern(LONG, 0) && back[1] == pattern(LONG, 1));
    assert_eq!(peer.hear()?, "received");
    peer.finish()
}

/// When the peer is gone for good, the batch fails, or goes on until its endpoint is closed; where
/// closing is known to crash its memory is left alone.
// rule: B1, B3
pub(super) fn killed_peer_of_a_batch<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_some() {
        return sleeper::<K, T>(t);
    }
    let (mut peer, a, batch, _rig) = stopped::<K, T>(t)?;
    peer.kill()?;
    let ended = match batch.wait(Duration::from_millis(500)) {
        Ok(ended) => ended,
        Err(Unended { batch, .. }) => {
            let closed = a.close(MOMENT);
            match batch.wait(LIMIT) {
                Ok(ended) => ended,
                Err(Unended { .. }) => {
                    let known = ofi::quirk(&t.provider, ofi::Defect::CloseInFlight);
                    assert!(known.is_some() && closed.is_err(), "{closed:?}");
                    return Ok(());
                }
            }
        }
    };
    for (n, outcome) in ended.enumerate() {
        let failed = outcome.expect_err("nobody received it");
        let buffer = failed.buf.into_buffer().expect("it has ended");
        assert!(buffer == pattern(LONG, n as u8));
    }
    Ok(())
}
