//! Batches: operations that leave no entry each, and are waited for together.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use ofi::{
    Access, BindFlags, Caps, CompletionLevel, Connectionless, Endpoint, ErrorKind, ExposedRegion,
    Memory, Op, RecvVerb, SendVerb, Shared, Unended, block_on,
};

use crate::harness::{
    LIMIT, List, Mode, Rig, Stop, Target, Tracked, Verdict, cases, pattern, progress_until,
};

/// The batch of a wait that expired.
macro_rules! in_flight {
    ($wait:expr) => {
        match $wait {
            Err(Unended { error, batch }) => {
                assert_eq!(*error.kind(), ofi::ErrorKind::TimedOut, "{error}");
                batch
            }
            Ok(_) => panic!("it was not to end yet"),
        }
    };
}

mod peers;

use peers::{killed_peer_of_a_batch, stopped_peer_of_a_batch};

pub fn register(list: &mut List) {
    cases!(list, connectionless: sends_in_batches);
    cases!(list, rdm:
        writes_in_batches
        reads_in_batches
        levels_tags_and_vectors
        other_classes_go_on_one_by_one
        what_a_batch_is_not_for
        several_batches_at_once
        no_room_in_the_middle
        a_batch_is_a_future
        dropped_batch_in_flight
        forgotten_batch_in_flight
        expired_batch_in_flight
        closed_batch_in_flight
        closed_with_ended_batches
        an_address_in_a_batch_stays
        failed_operations_are_told
        stopped_peer_of_a_batch
        killed_peer_of_a_batch
    );
    cases!(list, rdm_shared: batches_of_several_threads);
    for case in ["forgotten_batch_in_flight", "closed_batch_in_flight", "killed_peer_of_a_batch"] {
        list.leaks(&format!("batches::{case}"));
    }
    for case in ["stopped_peer_of_a_batch", "killed_peer_of_a_batch", "sends_in_batches"] {
        list.limit(&format!("batches::{case}"), 120);
    }
}

const REMOTE: Access = Access::REMOTE_READ.union(Access::REMOTE_WRITE);
const RMA: Caps = Caps::MSG.union(Caps::RMA);
const MOMENT: Duration = Duration::from_millis(20);
/// More than sockets, segments and windows hold.
const LONG: usize = 32 << 20;
const SIZES: [usize; 3] = [1, 64, 1000];

/// An endpoint that posts these classes in batches, or the case ends where the provider has no
/// counters.
fn batching<K: Connectionless, T: Mode>(
    rig: &Rig<T>,
    classes: BindFlags,
) -> Result<Endpoint<K, T>, Stop> {
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    match builder.completion_queue(&rig.cq).batches(classes).enable() {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            Err(Stop::Unsupported(error.to_string()))
        }
        made => Ok(made?),
    }
}

/// Two endpoints on one queue, of which `a` posts in batches.
struct Two<K: Connectionless, T: Mode> {
    a: Endpoint<K, T>,
    b: Endpoint<K, T>,
    to_a: ofi::Address,
    to_b: ofi::Address,
    rig: Rig<T>,
}

impl<K: Connectionless, T: Mode> Two<K, T> {
    fn open(t: &Target, caps: Caps, classes: BindFlags) -> Result<Self, Stop> {
        let rig = Rig::<T>::open(t, caps)?;
        let a = batching::<K, T>(&rig, classes)?;
        let b = rig.endpoint()?;
        let (to_a, to_b) = (rig.av.insert(&a.name()?)?, rig.av.insert(&b.name()?)?);
        Ok(Two { a, b, to_a, to_b, rig })
    }

    /// No entry came that nobody had asked for.
    fn quiet(&self) -> Verdict {
        while self.rig.cq.progress()? > 0 {}
        let counts = self.rig.cq.counts();
        assert_eq!((counts.unasked, counts.stray), (0, 0), "entries that nobody asked for");
        assert!(self.rig.cq.unsolicited().is_none());
        Ok(())
    }
}

fn exposed<T: Mode>(rig: &Rig<T>, bytes: Vec<u8>) -> Result<ExposedRegion<T>, Stop> {
    let memory = Memory::new(bytes).expect("one piece");
    Ok(rig.domain.expose(&memory).access(REMOTE).open()?)
}

fn message(n: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![n as u8; len];
    bytes[..4].copy_from_slice(&(n as u32).to_ne_bytes());
    bytes
}

/// Receives that are posted ahead of the messages, a window of them, and checked as they end.
struct Receives<'ep, K: Connectionless, T: Mode> {
    at: &'ep Endpoint<K, T>,
    len: usize,
    posted: VecDeque<Op<RecvVerb, Vec<u8>, T>>,
    seen: Vec<bool>,
}

impl<'ep, K: Connectionless, T: Mode> Receives<'ep, K, T> {
    fn of(at: &'ep Endpoint<K, T>, count: usize, len: usize) -> Self {
        Receives { at, len, posted: VecDeque::new(), seen: vec![false; count] }
    }

    fn post(&mut self) -> Verdict {
        if self.posted.len() == 32 {
            self.take()?;
        }
        self.posted.push_back(self.at.recv(vec![0; self.len]).post()?);
        Ok(())
    }

    fn take(&mut self) -> Verdict {
        let Some(receive) = self.posted.pop_front() else { return Ok(()) };
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), self.len);
        let n = u32::from_ne_bytes(buffer[..4].try_into()?) as usize;
        assert!(buffer == message(n, self.len), "message {n}");
        assert!(!std::mem::replace(&mut self.seen[n], true), "message {n} twice");
        Ok(())
    }

    fn all(mut self) -> Verdict {
        while !self.posted.is_empty() {
            self.take()?;
        }
        assert!(self.seen.iter().all(|seen| *seen));
        Ok(())
    }
}

/// Messages of every way that they travel arrive once each; all buffers come back, in order; no entry
/// comes.
// rule: B1, B8, B22, W8, W9
fn sends_in_batches<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    for len in [64, 1000, 40_000, 200_000] {
        if len > p.a.max_message_size() || (len > 1000 && K::TYPE == ofi::EndpointType::Dgram) {
            continue;
        }
        for count in SIZES {
            let count = count.min((8 << 20) / len);
            let mut receives = Receives::of(&p.b, count, len);
            let mut batch = p.a.batch()?;
            let mut pointers = Vec::new();
            for n in 0..count {
                receives.post()?;
                let buffer = message(n, len);
                pointers.push(buffer.as_ptr());
                batch.post_wait(p.a.send(buffer, p.to_b), LIMIT)?;
            }
            assert_eq!(batch.len(), count);
            receives.all()?;
            let ended = batch.wait(LIMIT)?;
            assert_eq!(ended.len(), count);
            for (n, (buffer, pointer)) in ended.zip(pointers).enumerate() {
                let buffer = buffer?;
                assert_eq!(buffer.as_ptr(), pointer, "in the order of the posts");
                assert!(buffer == message(n, len));
            }
            p.quiet()?;
            assert_eq!(p.a.in_flight(), 0);
        }
    }
    // The other way, one by one: the queue hands out what is asked for.
    let receive = p.a.recv(vec![0; 8]).post()?;
    p.b.send(vec![3; 8], p.to_a).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![3; 8]);
    Ok(())
}

/// What a batch has written is in the peer's memory.
// rule: B1, B22, W8
fn writes_in_batches<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, RMA, BindFlags::WRITE)?;
    for len in [64, 4096, 70_000] {
        for count in SIZES {
            let count = count.min((8 << 20) / len);
            let region = exposed(&p.rig, vec![0xEE; count * len])?;
            let remote = region.remote();
            let mut batch = p.a.batch()?;
            for n in 0..count {
                let target = remote.slice(n * len..(n + 1) * len)?;
                let write = p.a.write(message(n, len), p.to_b, target);
                batch.post_wait(write.level(CompletionLevel::Delivery), LIMIT)?;
            }
            let buffers = batch.wait(LIMIT)?.into_buffers()?;
            assert_eq!(buffers.len(), count);
            let want: Vec<u8> = (0..count).flat_map(|n| message(n, len)).collect();
            progress_until(&p.rig.cq, "the bytes", || region.memory().to_vec() == want);
            p.quiet()?;
        }
    }
    Ok(())
}

// rule: B1, B22, W8
fn reads_in_batches<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, RMA, BindFlags::READ)?;
    for len in [64, 4096, 70_000] {
        for count in SIZES {
            let count = count.min((8 << 20) / len);
            let all: Vec<u8> = (0..count).flat_map(|n| message(n, len)).collect();
            let region = exposed(&p.rig, all)?;
            let remote = region.remote();
            let mut batch = p.a.batch()?;
            for n in 0..count {
                let source = remote.slice(n * len..(n + 1) * len)?;
                batch.post_wait(p.a.read(vec![0; len], p.to_b, source), LIMIT)?;
            }
            for (n, buffer) in batch.wait(LIMIT)?.enumerate() {
                assert!(buffer? == message(n, len), "{n} of {count}, {len} bytes");
            }
            p.quiet()?;
        }
    }
    Ok(())
}

/// Options of single operations hold in batches; every level of completion is as quiet.
// rule: B9, B22, B28
fn levels_tags_and_vectors<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let caps = Caps::MSG | Caps::TAGGED;
    let p = Two::<K, T>::open(t, caps, BindFlags::TRANSMIT)?;
    let levels = [CompletionLevel::Inject, CompletionLevel::Transmit, CompletionLevel::Delivery];
    let mut batch = p.a.batch()?;
    let mut receives = Vec::new();
    for (tag, level) in levels.into_iter().enumerate() {
        receives.push(p.b.recv(vec![0; 64]).tag(tag as u64).post()?);
        let send = p.a.send(vec![tag as u8; 64], p.to_b).tag(tag as u64).level(level);
        batch.post_wait(send, LIMIT)?;
    }
    for (tag, receive) in receives.into_iter().enumerate() {
        assert_eq!(receive.wait(LIMIT)?.1, vec![tag as u8; 64]);
    }
    assert_eq!(batch.wait(LIMIT)?.into_buffers()?.len(), levels.len());
    p.quiet()?;
    // Pieces, and an empty message.
    let mut batch = p.a.batch()?;
    let pieces = p.rig.info.tx().iov_limit().min(4);
    let receive = p.b.recv(vec![0; 64]).post()?;
    batch.post_wait(p.a.send(vec![vec![7_u8; 10]; pieces], p.to_b), LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), &buffer[..10]), (10 * pieces, &[7; 10][..]));
    assert_eq!(batch.wait(LIMIT)?.into_buffers()?, [vec![vec![7_u8; 10]; pieces]]);
    let mut batch = p.a.batch()?;
    let receive = p.b.recv(vec![0; 64]).post()?;
    batch.post_wait(p.a.send(Vec::<u8>::new(), p.to_b), LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.0.len(), 0);
    assert_eq!(batch.wait(LIMIT)?.into_buffers()?, [Vec::<u8>::new()]);
    p.quiet()
}

/// What the endpoint does not post in batches has its entry each, on the same queue.
// rule: B22, L6
fn other_classes_go_on_one_by_one<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, RMA, BindFlags::WRITE)?;
    let region = exposed(&p.rig, vec![0; 64])?;
    for round in 1..=20_u8 {
        let mut batch = p.a.batch()?;
        let write = p.a.write(vec![round; 64], p.to_b, region.remote());
        batch.post_wait(write.level(CompletionLevel::Delivery), LIMIT)?;
        let receive = p.b.recv(vec![0; 64]).post()?;
        p.a.send(vec![round; 64], p.to_b).wait(LIMIT)?;
        assert_eq!(receive.wait(LIMIT)?.1, vec![round; 64]);
        let receive = p.b.recv(vec![0; 64]).post()?;
        let pieces = [vec![round; 4], vec![round; 4]];
        p.a.send(pieces, p.to_b).wait(LIMIT)?;
        assert_eq!(receive.wait(LIMIT)?.0.len(), 8);
        batch.wait(LIMIT)?.into_buffers()?;
        let (_, back) = p.a.read(vec![0; 64], p.to_b, region.remote()).wait(LIMIT)?;
        assert_eq!(back, vec![round; 64], "it was delivered");
        // A receive, and an inject.
        let receive = p.a.recv(vec![0; 8]).post()?;
        p.b.send(vec![round; 8], p.to_a).wait(LIMIT)?;
        receive.wait(LIMIT)?;
        let receive = p.b.recv(vec![0; 8]).post()?;
        progress_until(&p.rig.cq, "room", || p.a.send([round; 8], p.to_b).inject().is_ok());
        assert_eq!(receive.wait(LIMIT)?.1, vec![round; 8]);
    }
    p.quiet()
}

/// Refused before the provider hears of it, with the buffer.
// rule: L6, W14
fn what_a_batch_is_not_for<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let invalid = |error: &ofi::Error| assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    // By itself, or as a copy: it would be counted, too.
    let failed = p.a.send(vec![1; 8], p.to_b).post().expect_err("it is for batches");
    invalid(&failed.error);
    assert_eq!(failed.buf.into_buffer(), Some(vec![1; 8]));
    invalid(&p.a.send([1; 8], p.to_b).inject().expect_err("it is for batches").error);
    // A batch of another endpoint, or class.
    invalid(&p.b.batch::<SendVerb, Vec<u8>>().expect_err("it is not for batches"));
    invalid(&p.a.batch::<ofi::WriteVerb, Vec<u8>>().expect_err("it is for sends"));
    let other = batching::<K, T>(&p.rig, BindFlags::TRANSMIT)?;
    let mut batch = other.batch()?;
    for operation in [p.a.send(vec![2; 8], p.to_b), p.b.send(vec![2; 8], p.to_b)] {
        let failed = batch.post(operation).expect_err("another's");
        invalid(&failed.error);
        assert_eq!(failed.buf.into_buffer(), Some(vec![2; 8]));
    }
    let stale = other.send(vec![2; 8], removed(&p)?);
    assert_eq!(*batch.post(stale).expect_err("removed").error.kind(), ErrorKind::StaleAddress);
    // Nothing was posted: it has ended.
    assert!(batch.is_empty());
    assert_eq!(batch.wait(Duration::ZERO)?.len(), 0);
    // Classes that have no batches, and a counter of one that has.
    let builder = || {
        let builder = p.rig.domain.endpoint::<K>(&p.rig.info);
        builder.address_vector(&p.rig.av).completion_queue(&p.rig.cq)
    };
    for classes in [BindFlags::RECV, BindFlags::REMOTE_WRITE | BindFlags::WRITE] {
        invalid(&builder().batches(classes).enable().expect_err("no batches of these"));
    }
    let counter = p.rig.domain.counter()?;
    let both = builder().counter(&counter, BindFlags::TRANSMIT).batches(BindFlags::TRANSMIT);
    invalid(&both.enable().expect_err("one counter for each class"));
    // One of another class counts beside it.
    let ep: Endpoint<K, T> =
        builder().counter(&counter, BindFlags::RECV).batches(BindFlags::TRANSMIT).enable()?;
    let to = p.rig.av.insert(&ep.name()?)?;
    let receive = ep.recv(vec![0; 8]).post()?;
    let mut batch = ep.batch()?;
    batch.post_wait(ep.send(vec![9; 8], to), LIMIT)?;
    receive.wait(LIMIT)?;
    batch.wait(LIMIT)?.into_buffers()?;
    assert!(counter.wait(1, LIMIT)?);
    assert_eq!(counter.read(), 1);
    Ok(())
}

/// An address that was removed.
fn removed<K: Connectionless, T: Mode>(p: &Two<K, T>) -> Result<ofi::Address, Stop> {
    let gone = p.rig.endpoint::<K>()?;
    let address = p.rig.av.insert(&gone.name()?)?;
    p.rig.av.remove(address)?;
    Ok(address)
}

/// Batches of one class end together; each has its own buffers.
// rule: W14
fn several_batches_at_once<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let mut receives = Receives::of(&p.b, 30, 64);
    let mut batches = [p.a.batch()?, p.a.batch()?, p.a.batch()?];
    for n in 0..30 {
        receives.post()?;
        batches[n % 3].post_wait(p.a.send(message(n, 64), p.to_b), LIMIT)?;
    }
    receives.all()?;
    for (i, batch) in batches.into_iter().enumerate() {
        let want: Vec<_> = (0..10).map(|n| message(3 * n + i, 64)).collect();
        assert_eq!(batch.wait(LIMIT)?.into_buffers()?, want);
    }
    // One that was not waited for to its last buffer.
    let (buffer, gone) = Tracked::new(vec![1; 64]);
    let receive = p.b.recv(vec![0; 64]).post()?;
    let mut batch = p.a.batch()?;
    batch.post_wait(p.a.send(buffer, p.to_b), LIMIT)?;
    receive.wait(LIMIT)?;
    let ended = batch.wait(LIMIT)?;
    assert!(!gone.load(Ordering::SeqCst));
    drop(ended);
    assert!(gone.load(Ordering::SeqCst));
    p.quiet()
}

/// A post that finds no room takes nothing; the others of its batch go on.
// rule: B4
fn no_room_in_the_middle<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const MANY: usize = 70_000;
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let mut batch = p.a.batch()?;
    let mut busy = false;
    for n in 0..MANY {
        let buffer = message(n, 64);
        let pointer = buffer.as_ptr();
        if let Err(failed) = batch.post(p.a.send(buffer, p.to_b)) {
            assert!(failed.error.is_busy() && !failed.error.was_posted(), "{}", failed.error);
            let buffer = failed.buf.into_buffer().expect("it was not posted");
            assert_eq!((buffer.as_ptr(), &buffer), (pointer, &message(n, 64)));
            if n > 0 {
                busy = true;
                break;
            }
            // The first finds no connection where those are made by it.
            batch.post_wait(p.a.send(buffer, p.to_b), LIMIT)?;
        }
    }
    if !busy {
        return Err(Stop::Unsupported(format!("there is room for {MANY} messages")));
    }
    let posted = batch.len();
    for n in 0..posted {
        let (_, buffer) = p.b.recv(vec![0; 64]).wait(LIMIT)?;
        assert_eq!(buffer, message(n, 64), "in the order they were sent");
        // With room again it goes on.
        if n == 0 {
            batch.post_wait(p.a.send(message(posted, 64), p.to_b), LIMIT)?;
        }
    }
    let (_, buffer) = p.b.recv(vec![0; 64]).wait(LIMIT)?;
    assert_eq!(buffer, message(posted, 64));
    assert_eq!(batch.wait(LIMIT)?.into_buffers()?.len(), posted + 1);
    p.quiet()
}

/// Whoever drives the queue wakes it; spent, it is an empty batch.
// rule: W8
fn a_batch_is_a_future<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let mut batch = p.a.batch()?;
    for round in 0..3 {
        let mut receives = Receives::of(&p.b, 20, 64);
        for n in 0..20 {
            receives.post()?;
            batch.post_wait(p.a.send(message(n, 64), p.to_b), LIMIT)?;
        }
        let ended = block_on(&mut batch)?;
        assert_eq!(ended.into_buffers()?.len(), 20, "round {round}");
        receives.all()?;
        assert!(batch.is_empty());
    }
    // Pending, then ended by others who drive the queue.
    let flag = Arc::new(Flag::default());
    let waker = std::task::Waker::from(Arc::clone(&flag));
    let mut context = std::task::Context::from_waker(&waker);
    batch.post_wait(p.a.send(pattern(LONG, 1), p.to_b), LIMIT)?;
    let polled = std::pin::Pin::new(&mut batch).poll(&mut context);
    if polled.is_pending() {
        assert!(!p.rig.cq.try_wait(), "its end makes no descriptor readable");
        let receive = p.b.recv(vec![0; LONG]).post()?;
        progress_until(&p.rig.cq, "the waker", || flag.0.load(Ordering::SeqCst));
        receive.wait(LIMIT)?;
        assert_eq!(block_on(batch)?.into_buffers()?, [pattern(LONG, 1)]);
    }
    Ok(())
}

#[derive(Default)]
struct Flag(std::sync::atomic::AtomicBool);

impl std::task::Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Long messages to an endpoint that has no receive for them: how many bytes each, and how many.
fn long_sends<K: Connectionless, T: Mode>(
    p: &Two<K, T>,
) -> Result<(ofi::Batch<SendVerb, Tracked, T>, Vec<Arc<std::sync::atomic::AtomicBool>>), Stop> {
    let mut batch = p.a.batch()?;
    let mut gone = Vec::new();
    for n in 0..3 {
        let (buffer, dropped) = Tracked::new(pattern(LONG, n));
        batch.post_wait(p.a.send(buffer, p.to_b), LIMIT)?;
        gone.push(dropped);
    }
    Ok((batch, gone))
}

fn receive_long<K: Connectionless, T: Mode>(p: &Two<K, T>) -> Verdict {
    let mut left: Vec<u8> = (0..3).collect();
    for _ in 0..3 {
        let (_, buffer) = p.b.recv(vec![0; LONG]).wait(LIMIT)?;
        let at = left.iter().position(|n| buffer == pattern(LONG, *n));
        left.swap_remove(at.expect("what was sent, once"));
    }
    Ok(())
}

/// Dropped in flight, its memory stays for the provider: the peer receives what was sent. It is freed
/// when all has ended, by whoever drives the queue.
// rule: B1, B2, B22
fn dropped_batch_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let (batch, gone) = long_sends(&p)?;
    // sockets takes in what nobody receives.
    let early = t.provider == "sockets";
    let batch = match batch.wait(MOMENT) {
        Ok(_) if early => return Ok(()),
        waited => in_flight!(waited),
    };
    drop(batch);
    assert!(early || gone.iter().all(|gone| !gone.load(Ordering::SeqCst)));
    receive_long(&p)?;
    progress_until(&p.rig.cq, "the buffers", || {
        gone.iter().all(|gone| gone.load(Ordering::SeqCst))
    });
    assert_eq!(p.a.in_flight(), 0);
    p.quiet()
}

/// Forgotten, it is never freed, and the peer receives what was sent.
// rule: B2
fn forgotten_batch_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let (batch, gone) = long_sends(&p)?;
    std::mem::forget(batch);
    receive_long(&p)?;
    // The next one is not held up by it.
    let mut batch = p.a.batch()?;
    let receive = p.b.recv(vec![0; 8]).post()?;
    batch.post_wait(p.a.send(vec![1; 8], p.to_b), LIMIT)?;
    receive.wait(LIMIT)?;
    batch.wait(LIMIT)?.into_buffers()?;
    assert!(gone.iter().all(|gone| !gone.load(Ordering::SeqCst)));
    p.a.close(LIMIT)?;
    assert!(gone.iter().all(|gone| !gone.load(Ordering::SeqCst)));
    Ok(())
}

/// A wait that expires gives it back, and a later one its very buffers.
// rule: B1
fn expired_batch_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let buffers = [pattern(LONG, 1), pattern(LONG, 2)];
    let pointers = buffers.each_ref().map(|buffer| buffer.as_ptr());
    let mut batch = p.a.batch()?;
    for buffer in buffers {
        batch.post_wait(p.a.send(buffer, p.to_b), LIMIT)?;
    }
    let batch = match batch.wait(Duration::ZERO) {
        Ok(_) if t.provider == "sockets" => return Ok(()),
        waited => in_flight!(waited),
    };
    for _ in 0..2 {
        p.b.recv(vec![0; LONG]).wait(LIMIT)?;
    }
    let back = batch.wait(LIMIT)?.into_buffers()?;
    assert_eq!([back[0].as_ptr(), back[1].as_ptr()], pointers);
    assert!(back[0] == pattern(LONG, 1) && back[1] == pattern(LONG, 2), "nobody wrote to them");
    Ok(())
}

/// Closing with a batch in flight: where that is safe its buffers come back; where the provider is
/// known to crash, endpoint and buffers are left alone, and counted.
// rule: B1, B3, L2
fn closed_batch_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let (batch, gone) = long_sends(&p)?;
    let (left, left_gone) = long_sends(&p)?;
    let in_flight = p.a.in_flight();
    drop(left);
    let Two { a, b, rig, .. } = p;
    let crashes = ofi::quirk(&t.provider, ofi::Defect::CloseInFlight).is_some();
    let before = ofi::leaked();
    let closed = a.close(MOMENT);
    let all = || gone.iter().chain(&left_gone).map(|gone| gone.load(Ordering::SeqCst));
    match batch.wait(LIMIT) {
        Ok(ended) => {
            closed?;
            assert!(left_gone.iter().all(|gone| gone.load(Ordering::SeqCst)), "nobody wants them");
            for (n, outcome) in ended.enumerate() {
                // sockets takes in what nobody receives.
                let buffer = match outcome {
                    Ok(buffer) if t.provider == "sockets" => buffer,
                    Ok(_) => panic!("nobody received it"),
                    Err(failed) => {
                        let kind = failed.error.kind();
                        assert!(
                            matches!(kind, ErrorKind::Closed | ErrorKind::Cancelled),
                            "{}",
                            failed.error
                        );
                        failed.buf.into_buffer().expect("the endpoint is closed")
                    }
                };
                assert!(buffer.bytes() == pattern(LONG, n as u8), "nobody wrote to it");
            }
            assert!(all().all(|gone| gone));
            progress_until(&rig.cq, "the receiver to settle", || b.in_flight() == 0);
        }
        Err(Unended { error, batch }) => {
            assert!(crashes && closed.is_err(), "only a leaked endpoint holds: {closed:?}");
            assert_eq!(*error.kind(), ErrorKind::Closed, "{error}");
            drop(batch);
            assert!(all().all(|gone| !gone), "the provider may still read them");
            let leaked = ofi::leaked().operations - before.operations;
            assert!(leaked > 0 && leaked <= in_flight as u64, "{leaked}");
        }
    }
    Ok(())
}

/// What had ended before the close is a success after it.
// rule: B3
fn closed_with_ended_batches<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let mut receives = Receives::of(&p.b, 20, 64);
    let mut batches = [p.a.batch()?, p.a.batch()?];
    for n in 0..20 {
        receives.post()?;
        batches[n % 2].post_wait(p.a.send(message(n, 64), p.to_b), LIMIT)?;
    }
    receives.all()?;
    progress_until(&p.rig.cq, "their end", || p.a.in_flight() == 0);
    let Two { a, b, rig, .. } = p;
    let [first, second] = batches;
    a.close(LIMIT)?;
    assert_eq!(first.wait(Duration::ZERO)?.into_buffers()?.len(), 10);
    // The objects go before the buffers.
    drop((b, rig));
    assert_eq!(block_on(second)?.into_buffers()?.len(), 10);
    assert_eq!(ofi::leaked().operations, 0);
    Ok(())
}

/// An address stays in the provider while an operation of a batch names it.
// rule: A2
fn an_address_in_a_batch_stays<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    let mut batch = p.a.batch()?;
    batch.post_wait(p.a.send(pattern(LONG, 1), p.to_b), LIMIT)?;
    p.rig.av.remove(p.to_b)?;
    let failed = batch.post(p.a.send(vec![0; 8], p.to_b)).expect_err("it was removed");
    assert_eq!(*failed.error.kind(), ErrorKind::StaleAddress, "{}", failed.error);
    let (_, buffer) = p.b.recv(vec![0; LONG]).wait(LIMIT)?;
    assert!(buffer == pattern(LONG, 1));
    assert_eq!(batch.wait(LIMIT)?.into_buffers()?.len(), 1);
    Ok(())
}

/// Writes to memory that is not there: each fails with its buffer, or the provider says nothing of
/// it, and the close ends it. None comes back as somebody else's failure.
// rule: B22, W14
fn failed_operations_are_told<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Two::<K, T>::open(t, RMA, BindFlags::WRITE | BindFlags::TRANSMIT)?;
    let region = exposed(&p.rig, vec![0; 64])?;
    let remote = region.remote();
    region.close()?;
    let mut batch = p.a.batch()?;
    let mut pointers = Vec::new();
    for n in 0..4 {
        let buffer = message(n, 64);
        pointers.push(buffer.as_ptr());
        let write = p.a.write(buffer, p.to_b, &remote);
        if let Err(failed) = batch.post_wait(write.level(CompletionLevel::Delivery), MOMENT) {
            // The connection may be gone by now.
            assert!(failed.buf.into_buffer().is_some());
            pointers.pop();
        }
    }
    let (ended, told) = match batch.wait(Duration::from_secs(1)) {
        Ok(ended) => (ended, true),
        Err(Unended { batch, .. }) => {
            let closed = p.a.close(MOMENT);
            match batch.wait(LIMIT) {
                Ok(ended) => (ended, false),
                Err(_) => {
                    assert!(closed.is_err(), "{closed:?}");
                    return Ok(());
                }
            }
        }
    };
    let mut failures = 0;
    for (outcome, pointer) in ended.zip(pointers) {
        let buffer = outcome.or_else(|failed| {
            failures += 1;
            failed.buf.into_buffer().ok_or(())
        });
        let buffer = buffer.expect("it has ended");
        assert_eq!(buffer.as_ptr(), pointer);
    }
    // What was told of the end without the close is the truth; of the others nothing is known.
    assert!(failures > 0 || told, "the close ended them");
    Ok(())
}

/// Each thread has batches of its own; all of them count together.
// rule: W14
fn batches_of_several_threads<K: Connectionless + Sync>(t: &Target) -> Verdict {
    const THREADS: usize = 4;
    const EACH: usize = 100;
    let p = Two::<K, Shared>::open(t, Caps::MSG, BindFlags::TRANSMIT)?;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let p = &p;
                scope.spawn(move || -> Result<(), String> {
                    for round in 0..EACH / 10 {
                        let mut batch = p.a.batch().map_err(|e| e.to_string())?;
                        for n in 0..10 {
                            let n = thread * EACH + round * 10 + n;
                            let send = p.a.send(message(n, 64), p.to_b);
                            batch.post_wait(send, LIMIT).map_err(|e| e.to_string())?;
                        }
                        if round % 3 == 0 {
                            // Dropped, it goes on.
                            continue;
                        }
                        let ended = batch.wait(LIMIT).map_err(|e| e.to_string())?;
                        for (n, buffer) in ended.enumerate() {
                            let n = thread * EACH + round * 10 + n;
                            assert_eq!(buffer.map_err(|e| e.to_string())?, message(n, 64));
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        let mut receives = Receives::of(&p.b, THREADS * EACH, 64);
        for _ in 0..THREADS * EACH {
            receives.post()?;
        }
        receives.all()?;
        for thread in threads {
            thread.join().expect("no panic").map_err(Stop::Failed)?;
        }
        Ok(())
    })
}
