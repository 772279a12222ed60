//! Multi-receives: what comes, where it is, when the buffer comes back.

use std::time::{Duration, Instant};

use ofi::{
    Accepts, Access, Budget, Buf, BufMut, Caps, Connectionless, Endpoint, ErrorKind, Held, Kind,
    Memory, MemoryRegion, MultiRecv, MultiRecvMessage, Needs, PoolBuf, Rdm, Segments, Shared,
    block_on,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Parent, Peer, Rig, Stop, Target, Tracked, Verdict, cases, pattern,
    progress_until,
};

mod connected;
mod defects;
mod provided;

use connected::over_a_connection;
use defects::{quirk_58_overrun, quirk_61_forgotten, release_styles};
use provided::written_down;

pub fn register(list: &mut List) {
    cases!(list, rdm: filled filled_by_pieces sizes_and_order empty_messages awaited whole_where_it_can_be);
    cases!(list, rdm: outlive_all kept_until_the_last cancelled dropped forgotten closed_with_it_posted);
    cases!(list, rdm: minimum refused missing_capability too_long two_processes registered pooled);
    let shared: [(&str, fn(&Target) -> Verdict); 2] =
        [("read_on_two_threads", read_on_two_threads), ("woken", woken)];
    for (name, body) in shared {
        list.push(module_path!(), name, crate::harness::Kinds::RDM, "shared", body);
    }
    list.leaks("multi_recv::forgotten");
    cases!(list, rdm: release_styles quirk_58_overrun quirk_61_forgotten);
    // Long messages come in parts then, and not from the other's memory.
    list.env("multi_recv::quirk_61_forgotten", &[("FI_SHM_DISABLE_CMA", "1")]);
    cases!(list, msg: over_a_connection);
    list.provided(module_path!(), "written_down", "shared", &[], written_down);
}

const CAPS: Caps = Caps::MSG.union(Caps::MULTI_RECV);
/// What is kept free, and longer than any message; what every provider takes in at once.
const MIN: usize = 1024;
const LONGEST: usize = 1000;

/// Two endpoints that keep [`MIN`] free.
fn pair<K: Connectionless, T: Mode>(t: &Target) -> Result<Pair<K, T>, Stop> {
    let rig = Rig::<T>::open(t, CAPS)?;
    let endpoint = || -> Result<Endpoint<K, T>, Stop> { least_on(&rig, MIN) };
    let (a, b) = (endpoint()?, endpoint()?);
    let to_a = rig.av.insert(&a.name()?)?;
    let to_b = rig.av.insert(&b.name()?)?;
    Ok(Pair { a, b, to_a, to_b, rig })
}

fn least_on<K: Connectionless, T: Mode>(
    rig: &Rig<T>,
    least: usize,
) -> Result<Endpoint<K, T>, Stop> {
    let builder = rig.domain.endpoint::<K>(&rig.info).min_multi_recv(least);
    Ok(builder.address_vector(&rig.av).completion_queue(&rig.cq).enable()?)
}

/// Posted as one, where `whole`.
fn post<K: Kind, B: BufMut + 'static, T: Accepts<B>>(
    ep: &Endpoint<K, T>,
    buffer: B,
    whole: bool,
) -> Result<MultiRecv<B, T>, Stop> {
    let op = ep.recv_many(buffer);
    // SAFETY: the cases that want it whole send nothing longer.
    let op = if whole { unsafe { op.no_longer_than(LONGEST) } } else { op };
    let receive = op.post().map_err(ofi::Error::from)?;
    let can = can_be_whole(ep.info().provider());
    assert!(receive.is_whole() || !whole || !can, "it is not posted as one");
    Ok(receive)
}

/// Whether the provider is given buffers as one, if nothing long comes.
fn can_be_whole(provider: &str) -> bool {
    provider != "sockets" && ofi::version() >= ofi::Version::new(2, 1)
}

fn take<B: 'static, T: Mode>(receive: &mut MultiRecv<B, T>) -> Result<MultiRecvMessage<B>, Stop> {
    Ok(receive.wait(LIMIT)?.expect("it is not over"))
}

/// The buffer of a claim that nothing holds up.
fn back<B, T: Mode>(p: &Rig<T>, mut held: Held<B>) -> B {
    let mut buffer = None;
    progress_until(&p.cq, "the buffer", || {
        buffer = held.try_take();
        buffer.is_some()
    });
    buffer.expect("seen")
}

/// The length of the `n`th message.
fn length(n: usize) -> usize {
    [1, 64, 999, 8, 0, 300, LONGEST, 17][n % 8]
}

/// What is sent, and the ends of the sends.
fn send<K: Connectionless, T: Mode>(p: &Pair<K, T>, n: usize) -> Verdict {
    p.a.send(pattern(length(n), n as u8), p.to_b).wait(LIMIT)?;
    Ok(())
}

/// Hundreds of messages in buffer after buffer, several of which are posted: each is filled before the
/// next one is begun, no message is torn or lost, and every buffer comes back when it is full.
// rule: B23, B24
fn filled<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 16_384;
    let p = pair::<K, T>(t)?;
    let mut posted = std::collections::VecDeque::new();
    // Several would be filled in turns if they were received into by pieces.
    let several = if can_be_whole(&t.provider) { 3 } else { 1 };
    for _ in 0..several {
        posted.push_back(post(&p.b, vec![0xEE; LEN], true)?);
    }
    let mut full = 0;
    for n in 0..600 {
        send(&p, n)?;
        let message = loop {
            if let Some(message) = posted[0].wait(LIMIT)? {
                break message;
            }
            full += 1;
            let receive = posted.pop_front().expect("one");
            let buffer = back(&p.rig, receive.into_buffer());
            posted.push_back(post(&p.b, buffer, true)?);
        };
        assert!(*message == pattern(length(n), n as u8), "message {n}: {message:?}");
        assert!(message.is_empty() || message.offset() + message.len() <= LEN);
    }
    assert!(full >= 6, "{full} buffers were filled");
    for receive in posted {
        back(&p.rig, receive.into_buffer());
    }
    assert_eq!((p.b.in_flight(), p.rig.cq.counts().stray), (0, 0));
    Ok(())
}

/// The same, one receive at a time for what is left.
fn filled_by_pieces<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 16_384;
    let p = pair::<K, T>(t)?;
    let mut receive = post(&p.b, vec![0xEE; LEN], false)?;
    let mut at = 0;
    for n in 0..200 {
        send(&p, n)?;
        let message = loop {
            if let Some(message) = receive.wait(LIMIT)? {
                break message;
            }
            at = 0;
            receive = post(&p.b, back(&p.rig, receive.into_buffer()), false)?;
        };
        assert!(*message == pattern(length(n), n as u8), "message {n}: {message:?}");
        if !receive.is_whole() {
            assert_eq!(message.offset(), at, "one behind the other");
            at += message.len();
        }
    }
    back(&p.rig, receive.into_buffer());
    assert_eq!((p.b.in_flight(), p.rig.cq.counts().stray), (0, 0));
    Ok(())
}

/// All are there before anybody looks, and come in the order they were sent in.
fn sizes_and_order<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    for whole in [true, false] {
        let mut receive = post(&p.b, vec![0; 65_536], whole)?;
        for n in 0..40 {
            send(&p, n)?;
        }
        let messages: Vec<_> = (0..40).map(|_| take(&mut receive)).collect::<Result<_, _>>()?;
        for (n, message) in messages.iter().enumerate() {
            assert!(**message == pattern(length(n), n as u8), "message {n}");
            assert_eq!((message.tag(), message.data()), (None, None));
        }
        assert!(receive.try_next().is_none());
        drop(messages);
        back(&p.rig, receive.into_buffer());
    }
    Ok(())
}

/// Messages without bytes are messages, and use no room.
fn empty_messages<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    for whole in [true, false] {
        let mut receive = post(&p.b, vec![0; 4096], whole)?;
        for n in 0..200_u8 {
            let len = usize::from(n % 20 == 19);
            p.a.send(vec![n; len], p.to_b).wait(LIMIT)?;
            assert_eq!(*take(&mut receive)?, vec![n; len]);
        }
        back(&p.rig, receive.into_buffer());
    }
    Ok(())
}

/// As futures; one that is dropped loses nothing.
fn awaited<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    for whole in [true, false] {
        let mut receive = post(&p.b, vec![0; 4096], whole)?;
        assert!(crate::harness::poll_once(receive.next_message()).is_none());
        assert!(crate::harness::poll_once(receive.next_message()).is_none());
        block_on(async {
            for n in 0..100 {
                let (sent, message) =
                    (p.a.send(vec![n; 20], p.to_b).await, receive.next_message().await);
                sent?;
                assert_eq!(*message.expect("room for all")?, [n; 20]);
            }
            Ok::<(), ofi::Error>(())
        })?;
        back(&p.rig, receive.into_buffer());
    }
    Ok(())
}

/// Without a word of the caller's only where the provider looks at lengths itself.
// quirk: 58, 59, 60, 61
fn whole_where_it_can_be<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let whole = |longest: Option<usize>| -> Result<bool, Stop> {
        let op = p.b.recv_many(vec![0; 65_536]);
        let op = match longest {
            // SAFETY: nothing at all is sent.
            Some(longest) => unsafe { op.no_longer_than(longest) },
            None => op,
        };
        let receive = op.post().map_err(ofi::Error::from)?;
        let whole = receive.is_whole();
        back(&p.rig, receive.into_buffer());
        Ok(whole)
    };
    let checks = t.provider == "tcp";
    assert_eq!(whole(None)?, checks);
    assert_eq!(whole(Some(MIN + 1))?, checks, "more than is kept free");
    assert_eq!(whole(Some(LONGEST))?, can_be_whole(&t.provider));
    Ok(())
}

/// Messages stay when the receive, the endpoint, the queue and the domain are gone.
fn outlive_all<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for whole in [true, false] {
        let p = pair::<K, T>(t)?;
        let (buffer, dropped) = Tracked::new(vec![0; 8192]);
        let mut receive = post(&p.b, buffer, whole)?;
        send(&p, 2)?;
        send(&p, 3)?;
        let (one, two) = (take(&mut receive)?, take(&mut receive)?);
        let again = one.clone();
        drop(receive);
        let Pair { a, b, rig, .. } = p;
        a.close(LIMIT)?;
        b.close(LIMIT)?;
        drop(rig);
        assert_eq!((&*one, &*two), (&pattern(length(2), 2)[..], &pattern(length(3), 3)[..]));
        drop((one, two));
        let dropped = || dropped.load(std::sync::atomic::Ordering::SeqCst);
        assert!(!dropped());
        assert_eq!(*again, pattern(length(2), 2));
        drop(again);
        assert!(dropped());
    }
    Ok(())
}

/// The buffer comes back when the last message is gone, and no earlier.
fn kept_until_the_last<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    for whole in [true, false] {
        let mut receive = post(&p.b, vec![0_u8; 8192], whole)?;
        send(&p, 1)?;
        let message = take(&mut receive)?;
        let start = message.as_ptr();
        let mut held = receive.into_buffer();
        progress_until(&p.rig.cq, "the receive's end", || p.b.in_flight() == 0);
        assert!(held.try_take().is_none());
        assert_eq!(*message, pattern(length(1), 1));
        drop(message.clone());
        assert!(held.try_take().is_none());
        drop(message);
        let buffer = held.try_take().expect("nobody has it any more");
        assert_eq!((buffer.as_ptr(), buffer.len()), (start, 8192));
        assert_eq!(buffer[..length(1)], pattern(length(1), 1));
    }
    Ok(())
}

/// What has come is there after a cancel, then comes the end.
// rule: B26
fn cancelled<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    for whole in [true, false] {
        let mut receive = post(&p.b, vec![0; 8192], whole)?;
        send(&p, 0)?;
        send(&p, 1)?;
        if whole {
            // Both are in it by now, so that nothing is on its way.
            for n in 0..2 {
                assert_eq!(*take(&mut receive)?, pattern(length(n), n as u8));
            }
        }
        receive.cancel()?;
        let mut came = Vec::new();
        while let Some(message) = receive.wait(LIMIT)? {
            came.push(message);
        }
        assert!(came.len() <= 2 && came.iter().all(|message| !message.is_empty()));
        assert!(receive.wait(LIMIT)?.is_none());
        drop(came);
        back(&p.rig, receive.into_buffer());
        // What the cancel was earlier than is received by the next.
        let mut next = post(&p.b, vec![0; 8192], whole)?;
        p.a.send(b"the last".to_vec(), p.to_b).wait(LIMIT)?;
        while *take(&mut next)? != *b"the last" {}
        back(&p.rig, next.into_buffer());
    }
    Ok(())
}

/// Dropped with messages in it, taken or not: the buffer goes once.
fn dropped<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for (whole, taken) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        let p = pair::<K, T>(t)?;
        let (buffer, dropped) = Tracked::new(vec![0; 8192]);
        let mut receive = post(&p.b, buffer, whole)?;
        for n in 0..3 {
            send(&p, n)?;
        }
        for _ in 0..taken {
            take(&mut receive)?;
        }
        drop(receive);
        progress_until(&p.rig.cq, "the drop of the buffer", || {
            dropped.load(std::sync::atomic::Ordering::SeqCst)
        });
        assert_eq!(p.b.in_flight(), 0);
        p.b.close(LIMIT)?;
    }
    Ok(())
}

/// A receive or a message that is forgotten keeps its buffer for good, and nothing else.
fn forgotten<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for whole in [true, false] {
        let p = pair::<K, T>(t)?;
        let mut receive = post(&p.b, vec![0_u8; 8192], whole)?;
        send(&p, 1)?;
        let message = take(&mut receive)?;
        std::mem::forget(message.clone());
        let mut held = receive.into_buffer();
        drop(message);
        progress_until(&p.rig.cq, "the receive's end", || p.b.in_flight() == 0);
        assert!(held.try_take().is_none());
        std::mem::forget(post(&p.b, vec![0_u8; 8192], whole)?);
        p.b.close(LIMIT)?;
    }
    Ok(())
}

/// The end of the endpoint is the end of the receive; what came before stays.
// rule: B1, B3
fn closed_with_it_posted<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for whole in [true, false] {
        let p = pair::<K, T>(t)?;
        let mut first = post(&p.b, vec![0; 8192], whole)?;
        let second = post(&p.b, vec![0; 8192], whole)?;
        send(&p, 5)?;
        let came = loop {
            if let Some(message) = first.try_next() {
                break message?;
            }
        };
        let Pair { a: _sender, b, rig, .. } = p;
        b.close(LIMIT)?;
        assert_eq!(*came, pattern(length(5), 5));
        let mut error = None;
        loop {
            match first.wait(LIMIT) {
                Ok(None) => break,
                Ok(Some(_)) => {}
                Err(ended) => error = Some(ended),
            }
        }
        let kind = error.map(|error| error.kind().clone());
        assert!(matches!(kind, Some(ErrorKind::Cancelled | ErrorKind::Closed)), "{kind:?}");
        drop(came);
        back(&rig, first.into_buffer());
        back(&rig, second.into_buffer());
    }
    Ok(())
}

/// The minimum is what was set; a buffer that is shorter is refused, and one that is not is given back
/// once less is left.
// rule: B24, L4
fn minimum<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, CAPS)?;
    let ep: Endpoint<K, T> = least_on(&rig, 2000)?;
    let to = rig.av.insert(&ep.name()?)?;
    assert_eq!(ep.min_multi_recv()?, Some(2000));
    let failed = ep.recv_many(vec![0; 1999]).post().expect_err("too short");
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid);
    assert!(failed.error.to_string().contains("2000"), "{}", failed.error);
    assert_eq!(failed.buf.into_buffer().map(|buffer| buffer.len()), Some(1999));
    for whole in [true, false] {
        let mut receive = post(&ep, vec![0; 4000], whole)?;
        for n in 0..3 {
            ep.send(vec![n; 1000], to).wait(LIMIT)?;
            assert_eq!(*take(&mut receive)?, [n; 1000]);
        }
        assert!(receive.wait(LIMIT)?.is_none(), "1000 bytes are left");
        back(&rig, receive.into_buffer());
    }
    Ok(())
}

/// What cannot be one buffer for many messages comes back at once.
fn refused<K: Connectionless, T: Mode + Accepts<Memory>>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let scattered =
        p.b.recv_many([vec![0_u8; 4000], vec![0; 4000]]).post().expect_err("two pieces");
    assert_eq!(*scattered.error.kind(), ErrorKind::Invalid);
    assert!(!scattered.buf.is_held());
    let empty = p.b.recv_many(Vec::<u8>::new()).post().expect_err("nothing");
    assert_eq!(*empty.error.kind(), ErrorKind::Invalid);
    // Peers may write to it, so that nobody may be lent its bytes.
    let shared = p.b.recv_many(Memory::new(vec![0; 8192])?).post().expect_err("shared memory");
    assert_eq!(*shared.error.kind(), ErrorKind::Invalid);
    let tagged = p.b.recv_many(vec![0; 8192]).tag(1).post().expect_err("no such capability");
    assert!(matches!(tagged.error.kind(), ErrorKind::Unsupported { needs: Needs::Capability(_) }));
    assert_eq!(p.b.in_flight(), 0);
    Ok(())
}

// rule: D8
fn missing_capability<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let mut info = t.query(CAPS)?;
    if t.query(Caps::MSG)?.caps().contains(Caps::MULTI_RECV) {
        // It is granted unasked; then it is there.
        info = t.query(Caps::MSG)?;
        let p = Pair::<K, T>::on(Rig::on(info)?)?;
        drop(p.b.recv_many(vec![0; 1 << 20]).post().map_err(ofi::Error::from)?);
        return Ok(());
    }
    drop(info);
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let failed = p.b.recv_many(vec![0; 1 << 20]).post().expect_err("not asked for");
    let needs = Needs::Capability("MULTI_RECV");
    assert_eq!(*failed.error.kind(), ErrorKind::Unsupported { needs });
    assert_eq!(failed.buf.into_buffer().map(|buffer| buffer.len()), Some(1 << 20));
    Ok(())
}

/// A buffer with bytes behind it that are not listed.
#[derive(Debug)]
struct Guarded(Box<[u8]>);

impl Guarded {
    const LEN: usize = 2048;

    fn new() -> Guarded {
        Guarded(vec![0xA5; 1 << 16].into())
    }

    #[track_caller]
    fn check(&self) {
        assert!(self.0[Self::LEN..].iter().all(|byte| *byte == 0xA5), "written behind its end");
    }
}

// SAFETY: the bytes are on the heap, initialised, and owned by this value alone.
unsafe impl Buf for Guarded {
    fn segments(&self, list: &mut Segments) {
        list.push(self.0.as_ptr().cast_mut(), Self::LEN);
    }
}

// SAFETY: as for `Buf`; nobody else has the bytes.
unsafe impl BufMut for Guarded {
    fn segments_mut(&mut self, list: &mut Segments) {
        list.push(self.0.as_mut_ptr(), Self::LEN);
    }
}

/// A message that is longer than what is left is lost, nothing is written behind the buffer, and others
/// come as before.
// rule: B16
fn too_long<K: Connectionless, T: Mode + Accepts<Guarded>>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let mut receive = post(&p.b, Guarded::new(), false)?;
    p.a.send(vec![1; 500], p.to_b).wait(LIMIT)?;
    assert_eq!(*take(&mut receive)?, [1; 500]);
    let long = p.a.send(vec![2; 4000], p.to_b).post()?;
    match receive.wait(LIMIT) {
        Err(error) => assert_eq!(*error.kind(), ErrorKind::Truncated, "{error}"),
        // It is cut, and nobody told.
        Ok(Some(cut)) if t.has_layer("ofi_rxd") => assert_eq!(*cut, [2; Guarded::LEN - 500]),
        Ok(other) => panic!("{other:?}"),
    }
    // Some tell the sender; on others its connection is lost, and the next message with that.
    let _ = long.wait(LIMIT);
    let deadline = Instant::now() + LIMIT;
    loop {
        assert!(Instant::now() < deadline, "nothing comes any more");
        let _ = p.a.send(vec![3; 300], p.to_b).wait(LIMIT);
        match receive.wait(Duration::from_secs(1)) {
            Ok(Some(message)) => {
                assert_eq!(*message, [3; 300]);
                break;
            }
            Ok(None) => {
                back(&p.rig, receive.into_buffer()).check();
                receive = post(&p.b, Guarded::new(), false)?;
            }
            Err(_) => {}
        }
    }
    back(&p.rig, receive.into_buffer()).check();
    Ok(())
}

/// Three processes send at once.
fn two_processes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const EACH: usize = 200;
    if let Some(role) = Parent::role() {
        let seed: u8 = role.parse()?;
        let parent = Parent::new();
        let rig = Rig::<T>::open(t, CAPS)?;
        let ep = least_on::<K, T>(&rig, MIN)?;
        parent.say_address(&ep.name()?)?;
        let to = rig.av.insert(&parent.hear_address()?)?;
        for n in 0..EACH {
            let mut bytes = pattern(3 + length(n).min(900), n as u8 ^ seed);
            bytes[..3].copy_from_slice(&[seed, n as u8, (n >> 8) as u8]);
            ep.send(bytes, to).wait(LIMIT)?;
        }
        parent.say("sent")?;
        // It serves the last of them.
        while parent_waits(&rig)? {}
        return Ok(());
    }
    let rig = Rig::<T>::open(t, CAPS)?;
    let ep = least_on::<K, T>(&rig, MIN)?;
    let mut receive = post(&ep, vec![0; 32_768], true)?;
    let mut peers = Vec::new();
    for seed in 1..=3 {
        let mut peer = Peer::start(&seed.to_string())?;
        rig.av.insert(&peer.hear_address()?)?;
        peer.say_address(&ep.name()?)?;
        peers.push(peer);
    }
    let mut next = [0_usize; 4];
    while next[1..] != [EACH; 3] {
        let Some(message) = receive.wait(LIMIT)? else {
            let buffer = back(&rig, receive.into_buffer());
            receive = post(&ep, buffer, true)?;
            continue;
        };
        let (seed, n) = (message[0], usize::from(message[1]) + 256 * usize::from(message[2]));
        assert_eq!(n, next[usize::from(seed)], "of {seed}");
        next[usize::from(seed)] += 1;
        let mut bytes = pattern(3 + length(n).min(900), n as u8 ^ seed);
        bytes[..3].copy_from_slice(&message[..3]);
        assert!(*message == bytes, "message {n} of {seed}");
    }
    for mut peer in peers {
        while peer.hear_within(Duration::from_millis(1))?.is_none() {
            rig.cq.progress()?;
        }
        peer.finish()?;
    }
    back(&rig, receive.into_buffer());
    Ok(())
}

/// Whether our input is still open.
fn parent_waits<T: Mode>(rig: &Rig<T>) -> Result<bool, Stop> {
    rig.cq.progress()?;
    let mut ready = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor, and room for its answer.
    Ok(unsafe { libc::poll(&raw mut ready, 1, 1) } == 0)
}

/// Registered memory is used as it is, and buffers of a pool come back to it.
// rule: M3
fn registered<K: Connectionless, T>(t: &Target) -> Verdict
where
    T: Mode + Accepts<MemoryRegion<Vec<u8>, T>>,
{
    let p = pair::<K, T>(t)?;
    for whole in [true, false] {
        let region = p.rig.domain.register(vec![0_u8; 8192], Access::RECV);
        let region = region.map_err(ofi::Error::from)?;
        let mut receive = post(&p.b, region, whole)?;
        for n in 0..4 {
            send(&p, n)?;
            assert_eq!(*take(&mut receive)?, pattern(length(n), n as u8));
        }
        back(&p.rig, receive.into_buffer());
    }
    Ok(())
}

/// Buffers of a pool come back to it when the last message is gone.
fn pooled<K: Connectionless, T>(t: &Target) -> Verdict
where
    T: Mode + Accepts<PoolBuf<T>>,
{
    let p = pair::<K, T>(t)?;
    let budget = Budget::new(1 << 20);
    let pool = p.rig.domain.pool(&budget).classes([8192]).open()?;
    for whole in [true, false] {
        let buffer = pool.try_take(8192)?;
        let start = buffer.as_ptr();
        let mut receive = post(&p.b, buffer, whole)?;
        for n in 0..4 {
            send(&p, n)?;
        }
        let messages: Vec<_> = (0..4).map(|_| take(&mut receive)).collect::<Result<_, _>>()?;
        drop(receive);
        progress_until(&p.rig.cq, "the receive's end", || p.b.in_flight() == 0);
        assert_ne!(pool.try_take(8192)?.as_ptr(), start, "messages are in it");
        for (n, message) in messages.into_iter().enumerate() {
            assert_eq!(*message, pattern(length(n), n as u8));
        }
        let usage = pool.usage();
        assert_eq!((usage.leased, usage.in_flight, usage.quarantined), (0, 0, 0), "{usage}");
    }
    Ok(())
}

/// Two threads read the queue, one takes the messages, two more read them.
fn read_on_two_threads(t: &Target) -> Verdict {
    let p = pair::<Rdm, Shared>(t)?;
    for whole in [true, false] {
        let mut receive = post(&p.b, vec![0; 1 << 20], whole)?;
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| -> Verdict {
            let reader = scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    p.rig.cq.progress().expect("healthy");
                }
            });
            let sender = scope.spawn(|| (0..300).try_for_each(|n| send(&p, n)));
            let mut readers = Vec::new();
            for n in 0..300 {
                let message = take(&mut receive)?;
                let copy = message.clone();
                let check = move || assert!(*copy == pattern(length(n), n as u8), "message {n}");
                if n % 50 == 0 {
                    readers.push(scope.spawn(check));
                } else {
                    check();
                }
            }
            for reader in readers {
                reader.join().expect("it is whole");
            }
            sender.join().expect("no panic")?;
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            reader.join().expect("no panic");
            Ok(())
        })?;
        back(&p.rig, receive.into_buffer());
    }
    Ok(())
}

/// A pending future is woken by whoever drives the queue, for each message and for the end.
fn woken(t: &Target) -> Verdict {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Poll, Wake, Waker},
    };
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let p = pair::<Rdm, Shared>(t)?;
    let mut receive = post(&p.b, vec![0; MIN + 64], true)?;
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    for n in 0..3 {
        let mut next = pin!(receive.next_message());
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        p.a.send(vec![7; 30], p.to_b).wait(LIMIT)?;
        progress_until(&p.rig.cq, "the waker", || count.0.load(Ordering::SeqCst) > n);
        match next.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(message)) => assert_eq!(*message?, [7; 30]),
            other => panic!("{other:?}"),
        }
        count.0.store(n + 1, Ordering::SeqCst);
    }
    // Less than the minimum is left.
    assert!(receive.wait(LIMIT)?.is_none());
    Ok(())
}
