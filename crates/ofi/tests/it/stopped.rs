//! Two processes: messages between them, and a peer that stops, goes on, or dies.

use std::time::{Duration, Instant};

use ofi::{Caps, Connectionless, ErrorKind, Returned, WaitError};

use crate::harness::{
    LIMIT, List, Mode, Parent, Peer, Rig, Target, Verdict, cases, expired, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, connectionless: across_processes);
    cases!(list, rdm: stopped_then_continued stopped_then_killed receiver_outlives_its_sender);
    // Where closing then is known to crash, what is left goes with the process.
    list.leaks("stopped::stopped_then_killed");
    for case in ["stopped_then_continued", "stopped_then_killed"] {
        list.limit(&format!("stopped::{case}"), 120);
    }
}

const DEADLINE: Duration = Duration::from_millis(50);
/// More than sockets, segments and windows hold between two processes.
const LONG: usize = 32 << 20;

/// Echoes: the other process receives what we send and sends it back.
fn across_processes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_some() {
        return echo::<K, T>(t);
    }
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let a = rig.endpoint::<K>()?;
    let mut peer = Peer::start("echo")?;
    let to = rig.av.insert(&peer.hear_address()?)?;
    peer.say_address(&a.name()?)?;
    let limit = a.max_message_size();
    for len in [1, 64, 1024, 65_536, 1 << 20] {
        if len > limit.min(1 << 30) || (len > 1024 && K::TYPE == ofi::EndpointType::Dgram) {
            continue;
        }
        let receive = a.recv(vec![0; len]).post()?;
        peer.say(&len.to_string())?;
        assert_eq!(peer.hear()?, "ready");
        let (_, sent) = a.send(pattern(len, 7), to).wait(LIMIT)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), len);
        assert!(buffer == sent, "{len} bytes came back otherwise");
    }
    peer.say("0")?;
    peer.finish()
}

fn echo<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let parent = Parent::new();
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let endpoint = rig.endpoint::<K>()?;
    parent.say_address(&endpoint.name()?)?;
    let to = rig.av.insert(&parent.hear_address()?)?;
    loop {
        let len: usize = parent.hear()?.parse()?;
        if len == 0 {
            return Ok(());
        }
        let receive = endpoint.recv(vec![0; len]).post()?;
        parent.say("ready")?;
        let (_, buffer) = receive.wait(LIMIT)?;
        endpoint.send(buffer, to).wait(LIMIT)?;
    }
}

/// The peer of the cases below: it is connected, then receives when told to.
fn sleeper<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let parent = Parent::new();
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let endpoint = rig.endpoint::<K>()?;
    parent.say_address(&endpoint.name()?)?;
    let to = rig.av.insert(&parent.hear_address()?)?;
    // Both ways are connected.
    let receive = endpoint.recv(vec![0; 8]).post()?;
    endpoint.send(vec![1; 8], to).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    parent.say("connected")?;
    if parent.hear()? == "receive" {
        let (received, buffer) = endpoint.recv(vec![0; LONG]).wait(LIMIT)?;
        assert_eq!(received.len(), LONG);
        assert!(buffer == pattern(LONG, 9));
        parent.say("received")?;
        // Until the other side has seen its completion, somebody must answer it.
        let closed = std::thread::spawn(move || parent.until_closed());
        while !closed.is_finished() {
            rig.cq.wait(Duration::from_millis(10))?;
        }
    }
    Ok(())
}

/// A peer that is connected, with an endpoint and its address of ours.
struct Connected<K: Connectionless, T: Mode> {
    peer: Peer,
    a: ofi::Endpoint<K, T>,
    to: ofi::Address,
    rig: Rig<T>,
}

fn connect<K: Connectionless, T: Mode>(
    t: &Target,
) -> Result<Connected<K, T>, crate::harness::Stop> {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let a = rig.endpoint::<K>()?;
    let mut peer = Peer::start("sleeper")?;
    let to = rig.av.insert(&peer.hear_address()?)?;
    let receive = a.recv(vec![0; 8]).post()?;
    peer.say_address(&a.name()?)?;
    a.send(vec![2; 8], to).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    // The peer's side is done when it says so; until then it may need our progress.
    let said = std::thread::scope(|scope| {
        let heard = scope.spawn(|| peer.hear().map_err(|stop| format!("{stop:?}")));
        while !heard.is_finished() {
            rig.cq.progress().expect("the queue is healthy");
            std::thread::yield_now();
        }
        heard.join().expect("no panic")
    });
    assert_eq!(said.as_deref(), Ok("connected"));
    Ok(Connected { peer, a, to, rig })
}

/// While the peer is stopped, a deadline returns control; when it goes on, the claim on the buffer
/// yields the very buffer.
// rule: B1
fn stopped_then_continued<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_some() {
        return sleeper::<K, T>(t);
    }
    let Connected { mut peer, a, to, rig } = connect::<K, T>(t)?;
    peer.stop();
    let buffer = pattern(LONG, 9);
    let pointer = buffer.as_ptr();
    let begun = Instant::now();
    let send = expired!(a.send(buffer, to).wait(DEADLINE));
    assert!(begun.elapsed() < LIMIT, "control came back");
    let Returned::Held(mut held) = send.abandon() else { panic!("nobody received it") };
    assert!(held.try_take().is_none(), "the peer is stopped");
    peer.signal(libc::SIGCONT);
    peer.say("receive")?;
    let mut back = None;
    progress_until(&rig.cq, "the claim", || {
        back = held.try_take();
        back.is_some()
    });
    let back = back.expect("as above");
    assert_eq!(back.as_ptr(), pointer);
    assert!(back == pattern(LONG, 9), "and nobody wrote to it");
    assert_eq!(peer.hear()?, "received");
    peer.finish()
}

/// After the peer was killed the claim resolves when the endpoint is closed, or stays a claim on
/// memory that is left alone, where closing is known to crash.
// rule: B1, B3
fn stopped_then_killed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_some() {
        return sleeper::<K, T>(t);
    }
    let Connected { mut peer, a, to, rig } = connect::<K, T>(t)?;
    peer.stop();
    let buffer = pattern(LONG, 9);
    let pointer = buffer.as_ptr();
    let send = expired!(a.send(buffer, to).wait(DEADLINE));
    peer.kill()?;
    let mut held = match send.abandon() {
        Returned::Held(held) => held,
        // Some notice at once.
        Returned::Back(buffer) => {
            assert_eq!(buffer.as_ptr(), pointer);
            return Ok(());
        }
    };
    let closed = a.close(DEADLINE);
    match held.try_take() {
        Some(buffer) => assert_eq!(buffer.as_ptr(), pointer),
        None => {
            assert!(t.leaks_what_is_in_flight() && closed.is_err(), "{closed:?}");
            assert_eq!(ofi::leaked().operations, 1);
        }
    }
    drop(rig);
    Ok(())
}

/// A receive whose sender dies waits on, and ends with its endpoint.
///
/// Faults 21, 25 (clients that wait for ever).
// rule: B27
fn receiver_outlives_its_sender<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_some() {
        return sleeper::<K, T>(t);
    }
    let Connected { mut peer, a, .. } = connect::<K, T>(t)?;
    let receive = a.recv(vec![0; 64]).post()?;
    peer.kill()?;
    let receive = match receive.wait(DEADLINE) {
        Err(WaitError::Expired(receive)) => receive,
        Err(WaitError::Failed(failed)) => {
            assert!(failed.buf.into_buffer().is_some());
            return Ok(());
        }
        Ok(_) => panic!("nothing was sent"),
    };
    a.close(LIMIT)?;
    let Err(WaitError::Failed(failed)) = receive.wait(LIMIT) else { panic!("it is closed") };
    let kind = failed.error.kind();
    assert!(matches!(kind, ErrorKind::Closed | ErrorKind::Cancelled), "{}", failed.error);
    assert_eq!(failed.buf.into_buffer(), Some(vec![0; 64]));
    Ok(())
}
