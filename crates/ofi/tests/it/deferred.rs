//! Work that the provider starts by itself when a counter is reached: when it is started, what it
//! does, and what keeps its memory.

use std::{sync::atomic::Ordering, time::Duration};

use ofi::{
    Accepts, Access, AtomicOp, BindFlags, Caps, CloseError, Connectionless, Counter, Datatype,
    Defect, ErrorKind, ExposedRegion, Memory, Rdm, Returned, Shared, WorkError, quirk,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Stop, Target, Tracked, Verdict, cases, pattern, progress_until,
};

mod meeting;
mod work_quirks;

pub fn register(list: &mut List) {
    work_quirks::register(list);
    meeting::register(list);
    cases!(list, rdm:
        started_at_the_threshold
        every_kind_of_work
        counters_change_counters
        started_by_what_arrives
        chained
        dropped_work
        cancelled_work
        forgotten_work
        abandoned_work
        closed_with_work
        any_order_of_drops
        failed_work
        awaited_work
        many_at_once
        refused_work
        counters_for_one_thing
        refused_elsewhere
    );
    list.leaks("deferred::forgotten_work");
    list.leaks("deferred::closed_with_work");
    list.leaks("deferred::any_order_of_drops");
}

const CAPS: Caps = Caps::MSG.union(Caps::TAGGED).union(Caps::RMA).union(Caps::ATOMIC);
const REMOTE: Access = Access::REMOTE_READ.union(Access::REMOTE_WRITE);
/// Rounds in which what is to come would have come, on a host that has nothing else to do.
const ROUNDS: usize = 2000;

/// A pair whose endpoints have deferred work, or the case ends.
fn pair<K: Connectionless, T: Mode>(t: &Target) -> Result<Pair<K, T>, Stop> {
    let info = t.query(CAPS | Caps::TRIGGER)?;
    let known = ["sockets", "ofitest"].contains(&info.provider());
    t.require(known, "deferred work that is known to be safe")?;
    let p = Pair::<K, T>::on(Rig::on(info)?)?;
    p.warm()?;
    Ok(p)
}

fn exposed<T: Mode>(rig: &Rig<T>, bytes: Vec<u8>) -> Result<ExposedRegion<T>, Stop> {
    let memory = Memory::new(bytes).map_err(|failed| failed.error)?;
    Ok(rig.domain.expose(&memory).access(REMOTE).open()?)
}

/// Nothing of it happens below the threshold, all of it at it; a threshold that is passed is one that
/// is reached.
// rule: X11
fn started_at_the_threshold<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let (counter, done) = (p.rig.domain.counter()?, p.rig.domain.counter()?);
    let receive = p.b.recv(vec![0; 100]).post()?;
    let work = p.a.send(pattern(100, 1), p.to_b).when(counter.at(3)).then(&done).queue()?;
    for count in 0..3 {
        for _ in 0..ROUNDS / 3 {
            p.rig.cq.progress()?;
            assert_eq!(counter.read(), count);
            assert!(!receive.is_done() && !work.is_done(), "it was started at {count}");
        }
        assert_eq!((done.read(), p.a.in_flight()), (0, 1));
        counter.add(1)?;
    }
    let (_, buffer) = work.wait(LIMIT)?;
    assert_eq!(buffer, pattern(100, 1));
    assert_eq!(done.read(), 1, "it is seen done with what it changes");
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), buffer), (100, pattern(100, 1)));
    assert_eq!((p.a.in_flight(), p.b.in_flight()), (0, 0));
    // It is passed already.
    let receive = p.b.recv(vec![0; 100]).post()?;
    p.a.send(pattern(90, 2), p.to_b).when(counter.at(2)).queue()?.wait(LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), &buffer[..90]), (90, &pattern(90, 2)[..]));
    // With the last of its operations the counter is free.
    done.close()?;
    counter.close()?;
    Ok(())
}

/// Messages, remote memory and atomic operations, in all their forms, with the data looked at.
// rule: X11, X1
fn every_kind_of_work<K: Connectionless, T>(t: &Target) -> Verdict
where
    T: Mode + Accepts<[Box<[u8]>; 2]> + Accepts<(Box<[u8]>, Box<[u8]>)>,
    T: Accepts<(Box<[u8]>, Box<[u8]>, Box<[u8]>)>,
{
    let p = pair::<K, T>(t)?;
    let go = p.rig.domain.counter()?;
    let mut round = 0;
    let mut next = || {
        round += 1;
        round
    };
    // Tagged, with data, in pieces.
    let receive = p.b.recv(vec![0; 200]).tag(7).post()?;
    let work = p.a.send([vec![1; 10], vec![2; 20]], p.to_b).tag(7).data(0x55);
    let work = work.when(go.at(next())).queue()?;
    go.add(1)?;
    work.wait(LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), received.data()), (30, Some(0x55)));
    assert_eq!(buffer[..30], [vec![1; 10], vec![2; 20]].concat());
    // Nothing at all, and what takes a while.
    for len in [0, 1 << 20] {
        let receive = p.b.recv(vec![0; len]).post()?;
        let work = p.a.send(pattern(len, 9), p.to_b).when(go.at(next())).queue()?;
        go.add(1)?;
        assert_eq!(work.wait(LIMIT)?.1.len(), len);
        let (received, buffer) = receive.wait(LIMIT)?;
        assert!(received.len() == len && buffer == pattern(len, 9));
    }
    // Written, to two places at once where that goes; read back.
    let region = exposed(&p.rig, vec![0; 4096])?;
    let remote = region.remote();
    let write = p.a.write(pattern(600, 3), p.to_b, remote.slice(..400)?);
    let work = write.and(remote.slice(1000..1200)?).when(go.at(next())).queue()?;
    assert_eq!(region.memory().to_vec(), vec![0; 4096]);
    go.add(1)?;
    work.wait(LIMIT)?;
    let read = p.a.read(vec![0; 600], p.to_b, remote.slice(..400)?);
    let work = read.and(remote.slice(1000..1200)?).when(go.at(next())).queue()?;
    go.add(1)?;
    let (read, buffer) = work.wait(LIMIT)?;
    assert_eq!((read.len, buffer), (600, pattern(600, 3)));
    let all = region.memory().to_vec();
    assert_eq!(all[..400], pattern(600, 3)[..400]);
    assert_eq!(all[1000..1200], pattern(600, 3)[400..]);
    let told = p.a.write(vec![4; 8], p.to_b, remote.slice(2000..2008)?).data(0x77);
    let work = told.when(go.at(next())).queue()?;
    go.add(1)?;
    work.wait(LIMIT)?;
    let mut told = None;
    progress_until(&p.rig.cq, "the data", || {
        told = told.take().or_else(|| p.rig.cq.unsolicited());
        told.is_some()
    });
    assert_eq!(told.and_then(|told| told.data), Some(0x77));
    assert_eq!(region.memory().to_vec()[2000..2008], [4; 8]);
    // Values.
    let value = |value: u64| -> Box<[u8]> { value.to_ne_bytes().into() };
    let two = |a: u64, b: u64| -> Box<[u8]> { [a.to_ne_bytes(), b.to_ne_bytes()].concat().into() };
    let place = remote.slice(3000..3008)?;
    let places = remote.slice(3000..3016)?;
    let word = Datatype::Uint64;
    let work = p.a.atomic([value(30), value(40)], p.to_b, places, word, AtomicOp::Sum);
    let work = work.when(go.at(next())).queue()?;
    go.add(1)?;
    work.wait(LIMIT)?;
    let fetch = p.a.fetch_atomic((two(2, 3), two(0, 0)), p.to_b, places, word, AtomicOp::Sum);
    let work = fetch.when(go.at(next())).queue()?;
    go.add(1)?;
    assert_eq!(work.wait(LIMIT)?.1.1, two(30, 40));
    let empty: Box<[u8]> = Box::default();
    let look = p.a.fetch_atomic((empty, two(0, 0)), p.to_b, places, word, AtomicOp::Read);
    let work = look.when(go.at(next())).queue()?;
    go.add(1)?;
    assert_eq!(work.wait(LIMIT)?.1.1, two(32, 43));
    for (expected, there) in [(31, 32), (32, 7)] {
        let parts = (value(7), value(expected), value(0));
        let swap = p.a.compare_atomic(parts, p.to_b, place, word, AtomicOp::Cswap);
        let work = swap.when(go.at(next())).queue()?;
        go.add(1)?;
        assert_eq!(work.wait(LIMIT)?.1.2, value(32));
        assert_eq!(region.memory().load_u64(3000)?, there);
    }
    assert_eq!(region.memory().load_u64(3008)?, 43);
    Ok(())
}

/// A counter that is reached adds to one and sets another, and these go on.
// rule: X11
fn counters_change_counters<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let counters: Vec<Counter<T>> =
        (0..4).map(|_| p.rig.domain.counter()).collect::<ofi::Result<_>>()?;
    let [first, second, third, fourth] = &counters[..] else { unreachable!() };
    let add = first.at(2).add(second, 5)?;
    let set = second.at(5).set(third, 100)?;
    let last = third.at(100).add(fourth, 1)?;
    let send = p.a.send(pattern(64, 1), p.to_b).when(fourth.at(1)).queue()?;
    let receive = p.b.recv(vec![0; 64]).post()?;
    first.add(1)?;
    for _ in 0..ROUNDS {
        p.rig.cq.progress()?;
        assert_eq!([second.read(), third.read(), fourth.read()], [0; 3]);
    }
    assert!(!add.is_done() && !add.wait(Duration::ZERO) && !send.is_done());
    first.add(1)?;
    assert!(add.wait(LIMIT) && set.wait(LIMIT) && last.wait(LIMIT));
    assert_eq!([second.read(), third.read(), fourth.read()], [5, 100, 1]);
    send.wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, pattern(64, 1));
    // What was done can be taken back no more, and that is no failure.
    add.cancel()?;
    assert!(add.is_done());
    // At once, where the counter is there.
    assert!(first.at(1).add(second, 1)?.is_done());
    assert_eq!(second.read(), 6);
    // A change that is never due goes with its counter.
    let never = first.at(1000).add(second, 1)?;
    assert!(!never.is_done());
    match never.cancel() {
        Ok(()) => assert!(!never.is_done()),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
        }
    }
    drop((never, add));
    let mut counters = counters;
    counters.remove(0).close()?;
    assert_eq!(counters[0].read(), 6);
    drop((set, last));
    counters.remove(0).close()?;
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// The counter of what arrives starts the answer, without anybody looking.
// rule: X11
fn started_by_what_arrives<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let arrived = p.rig.domain.counter()?;
    let builder = p.rig.domain.endpoint::<K>(&p.rig.info).address_vector(&p.rig.av);
    let c = builder.completion_queue(&p.rig.cq).counter(&arrived, BindFlags::RECV).enable()?;
    let to_c = p.rig.av.insert(&c.name()?)?;
    let receives = [c.recv(vec![0; 64]).post()?, c.recv(vec![0; 64]).post()?];
    let answer = c.send(pattern(64, 9), p.to_a).when(arrived.at(2)).queue()?;
    let receive = p.a.recv(vec![0; 64]).post()?;
    p.a.send(pattern(64, 1), to_c).wait(LIMIT)?;
    progress_until(&p.rig.cq, "the first message", || arrived.read() == 1);
    for _ in 0..ROUNDS {
        p.rig.cq.progress()?;
        assert!(!receive.is_done() && !answer.is_done());
    }
    p.b.send(pattern(64, 2), to_c).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, pattern(64, 9));
    answer.wait(LIMIT)?;
    for receive in receives {
        receive.wait(LIMIT)?;
    }
    drop(c);
    arrived.close()?;
    Ok(())
}

/// Each one waits for the one before: written, read back changed, written elsewhere.
// rule: X11
fn chained<K: Connectionless, T>(t: &Target) -> Verdict
where
    T: Mode + Accepts<Box<[u8]>>,
{
    let p = pair::<K, T>(t)?;
    let region = exposed(&p.rig, vec![0; 256])?;
    let remote = region.remote();
    let go = p.rig.domain.counter()?;
    let steps = p.rig.domain.counter()?;
    let add = |value: u64| -> Box<[u8]> { value.to_ne_bytes().into() };
    let value = remote.slice(..8)?;
    // Queued from the last to the first.
    let read = p.a.read(vec![0; 8], p.to_b, value).when(steps.at(2)).then(&steps).queue()?;
    let sum = p.a.atomic(add(5), p.to_b, value, Datatype::Uint64, AtomicOp::Sum);
    let sum = sum.when(steps.at(1)).then(&steps).queue()?;
    let write = p.a.write(100_u64.to_ne_bytes().to_vec(), p.to_b, value);
    let write = write.when(go.at(1)).then(&steps).queue()?;
    for _ in 0..ROUNDS {
        p.rig.cq.progress()?;
        assert_eq!(steps.read(), 0);
    }
    go.add(1)?;
    let (_, read) = read.wait(LIMIT)?;
    assert_eq!(read, 105_u64.to_ne_bytes());
    sum.wait(LIMIT)?;
    write.wait(LIMIT)?;
    assert_eq!(steps.read(), 3);
    Ok(())
}

/// Dropped, it is cancelled where that can be; elsewhere it is done when it is due, from memory that
/// is still there.
// rule: B1, X11
fn dropped_work<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let counter = p.rig.domain.counter()?;
    let (buffer, gone) = Tracked::new(pattern(100, 7));
    let work = p.a.send(buffer, p.to_b).when(counter.at(1)).queue()?;
    let cancels = work.cancel().is_ok();
    assert_eq!(cancels, t.provider != "sockets");
    drop(work);
    assert_eq!(gone.load(Ordering::SeqCst), cancels);
    if !cancels {
        let receive = p.b.recv(vec![0; 100]).post()?;
        for _ in 0..ROUNDS {
            p.rig.cq.progress()?;
        }
        assert!(!gone.load(Ordering::SeqCst) && !receive.is_done());
        counter.add(1)?;
        assert_eq!(receive.wait(LIMIT)?.1, pattern(100, 7));
    }
    progress_until(&p.rig.cq, "its end", || gone.load(Ordering::SeqCst));
    assert_eq!(p.a.in_flight(), 0);
    counter.close()?;
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// What was not started is cancelled, what was started goes on; the answer is believed where it is known
/// to be true.
// rule: B26, X11
fn cancelled_work<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let (counter, done) = (p.rig.domain.counter()?, p.rig.domain.counter()?);
    let receive = p.b.recv(vec![0; 100]).post()?;
    let work = p.a.send(pattern(100, 1), p.to_b).when(counter.at(1)).then(&done).queue()?;
    match work.cancel() {
        Ok(()) => {
            assert!(work.is_done());
            work.cancel()?;
            let Err(WorkError::Failed(failed)) = work.wait(LIMIT) else { panic!("cancelled") };
            assert_eq!(*failed.error.kind(), ErrorKind::Cancelled, "{}", failed.error);
            assert_eq!(failed.buf.into_buffer(), Some(pattern(100, 1)));
            assert_eq!(p.a.in_flight(), 0);
            counter.add(1)?;
            for _ in 0..ROUNDS {
                p.rig.cq.progress()?;
                assert!(!receive.is_done() && done.read() == 0);
            }
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
            assert!(!work.is_done());
            counter.add(1)?;
            work.wait(LIMIT)?;
            assert_eq!(receive.wait(LIMIT)?.1, pattern(100, 1));
            p.a.send(vec![1; 8], p.to_b).inject()?;
            let receive = p.b.recv(vec![0; 8]).post()?;
            receive.wait(LIMIT)?;
            return Ok(());
        }
    }
    // It has been started, and waits for its receive: longer messages do.
    let before = p.a.send(pattern(1 << 20, 2), p.to_b).when(counter.at(1)).queue()?;
    let first = receive.is_done();
    assert!(!first && before.cancel().is_err());
    let receive_long = p.b.recv(vec![0; 1 << 20]).post()?;
    drop(receive);
    let mut before = before;
    for _ in 0..ROUNDS {
        match before.wait(Duration::ZERO) {
            Err(WorkError::Expired(work)) => before = work,
            done => {
                let Ok((_, buffer)) = done else { panic!("it was not cancelled") };
                assert_eq!(buffer.len(), 1 << 20);
                drop(receive_long);
                // A change of a counter, too.
                let change = counter.at(5).add(&done_counter(&p)?, 1)?;
                change.cancel()?;
                counter.add(5)?;
                assert!(!change.is_done());
                return Ok(());
            }
        }
    }
    panic!("it does not end")
}

/// A counter that is opened after those there are.
fn done_counter<K: Connectionless, T: Mode>(p: &Pair<K, T>) -> Result<Counter<T>, Stop> {
    Ok(p.rig.domain.counter()?)
}

// rule: B1
fn forgotten_work<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let counter = p.rig.domain.counter()?;
    let (buffer, gone) = Tracked::new(pattern(100, 7));
    std::mem::forget(p.a.send(buffer, p.to_b).when(counter.at(1)).queue()?);
    let receive = p.b.recv(vec![0; 100]).post()?;
    counter.add(1)?;
    assert_eq!(receive.wait(LIMIT)?.1, pattern(100, 7));
    progress_until(&p.rig.cq, "its end", || p.a.in_flight() == 0);
    counter.close()?;
    drop(p);
    assert!(!gone.load(Ordering::SeqCst), "nobody can have dropped it");
    Ok(())
}

/// Given up, its buffer is still to be had.
// rule: B1
fn abandoned_work<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let counter = p.rig.domain.counter()?;
    let work = p.a.send(pattern(100, 7), p.to_b).when(counter.at(1)).queue()?;
    let mut held = match work.abandon() {
        Returned::Back(buffer) => {
            assert_eq!((buffer, t.provider.as_str()), (pattern(100, 7), "ofitest"));
            return Ok(());
        }
        Returned::Held(held) => held,
    };
    for _ in 0..ROUNDS {
        p.rig.cq.progress()?;
        assert!(held.try_take().is_none());
    }
    let receive = p.b.recv(vec![0; 100]).post()?;
    counter.add(1)?;
    receive.wait(LIMIT)?;
    let mut back = None;
    progress_until(&p.rig.cq, "the buffer", || {
        back = back.take().or_else(|| held.try_take());
        back.is_some()
    });
    assert_eq!(back, Some(pattern(100, 7)));
    // What is done is given up with nothing lost.
    let receive = p.b.recv(vec![0; 100]).post()?;
    let work = p.a.send(pattern(100, 8), p.to_b).when(counter.at(1)).queue()?;
    receive.wait(LIMIT)?;
    progress_until(&p.rig.cq, "its end", || work.is_done());
    let Returned::Back(buffer) = work.abandon() else { panic!("it is done") };
    assert_eq!(buffer, pattern(100, 8));
    Ok(())
}

/// An endpoint whose work may still be started is not closed under it.
// rule: B1, L1
fn closed_with_work<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let counter = p.rig.domain.counter()?;
    let (buffer, gone) = Tracked::new(pattern(100, 7));
    let work = p.a.send(buffer, p.to_b).when(counter.at(1)).queue()?;
    let Pair { a, b, rig, .. } = p;
    if t.provider == "ofitest" {
        a.close(LIMIT)?;
        let Err(WorkError::Failed(failed)) = work.wait(LIMIT) else { panic!("it was cancelled") };
        assert_eq!(*failed.error.kind(), ErrorKind::Cancelled, "{}", failed.error);
        assert_eq!(ofi::leaked(), ofi::Leaked::default());
        return Ok(());
    }
    let Err(CloseError::Failed(error)) = a.close(Duration::from_millis(20)) else {
        panic!("closed under its work");
    };
    assert_eq!(*error.kind(), ErrorKind::Closed, "{error}");
    assert_eq!((ofi::leaked().objects, ofi::leaked().operations), (2, 1));
    // It is started all the same, and touches nothing that is gone.
    let receive = b.recv(vec![0; 100]).post()?;
    counter.add(1)?;
    assert_eq!(receive.wait(LIMIT)?.1, pattern(100, 7));
    let Err(WorkError::Failed(failed)) = work.wait(LIMIT) else { panic!("nobody can know") };
    assert_eq!(*failed.error.kind(), ErrorKind::Closed, "{}", failed.error);
    assert!(failed.buf.is_held());
    drop((failed, counter, b, rig));
    assert!(!gone.load(Ordering::SeqCst));
    Ok(())
}

/// Whatever goes first, with work that is done, under way, or was never started.
// rule: L1
fn any_order_of_drops<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for order in 0..24_usize {
        for count in 0..2 {
            let p = pair::<K, T>(t)?;
            let counter = p.rig.domain.counter()?;
            let done = p.rig.domain.counter()?;
            let change = counter.at(1).add(&done, 1)?;
            let work = p.a.send(vec![order as u8; 100], p.to_b).when(counter.at(1)).queue()?;
            counter.add(count)?;
            let Pair { a, b, rig, .. } = p;
            let mut things: Vec<Box<dyn std::any::Any>> = vec![
                Box::new(work),
                Box::new((counter, change)),
                Box::new((a, done)),
                Box::new((b, rig)),
            ];
            let mut rest = order;
            for left in (1..=4).rev() {
                drop(things.swap_remove(rest % left));
                rest /= left;
            }
        }
    }
    Ok(())
}

/// What the peer does not permit fails, with the buffer.
// rule: X11, B17
fn failed_work<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let (counter, done) = (p.rig.domain.counter()?, p.rig.domain.counter()?);
    let region = exposed(&p.rig, vec![0; 64])?;
    let target = region.remote().slice(..)?;
    let write = p.a.write(pattern(64, 1), p.to_b, target);
    let work = write.when(counter.at(1)).then(&done).queue()?;
    drop(region);
    // Another endpoint of the peer's may keep it open no longer.
    counter.add(1)?;
    let Err(WorkError::Failed(failed)) = work.wait(LIMIT) else {
        panic!("the key is nobody's");
    };
    assert!(failed.error.errno().is_some(), "{}", failed.error);
    assert_eq!(failed.buf.into_buffer(), Some(pattern(64, 1)));
    assert_eq!((done.read(), p.a.in_flight()), (0, 0));
    done.close()?;
    counter.close()?;
    p.warm()
}

/// As a future: woken by whoever drives the queue.
fn awaited_work<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let counter = p.rig.domain.counter()?;
    let receive = p.b.recv(vec![0; 100]).post()?;
    let mut work = p.a.send(pattern(100, 1), p.to_b).when(counter.at(1)).queue()?;
    for _ in 0..10 {
        assert!(crate::harness::poll_once(&mut work).is_none());
    }
    counter.add(1)?;
    let (_, buffer) = ofi::block_on(&mut work)?;
    assert_eq!(buffer, pattern(100, 1));
    // A future that is spent has nothing left to be cancelled.
    work.cancel()?;
    drop(work);
    assert_eq!(ofi::block_on(receive)?.1, pattern(100, 1));
    Ok(())
}

/// More than there is room for, all at once: what does not fit at first goes later (quirk 63).
// quirk: 63
fn many_at_once<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let many = if t.provider == "sockets" { 10_000 } else { 600 };
    let region = exposed(&p.rig, vec![0; many * 8])?;
    let counter = p.rig.domain.counter()?;
    let mut works = Vec::new();
    for i in 0..many {
        let target = region.remote().slice(i * 8..i * 8 + 8)?;
        let write = p.a.write((i as u64).to_ne_bytes().to_vec(), p.to_b, target);
        works.push(write.when(counter.at(1)).queue()?);
    }
    counter.add(1)?;
    for work in works {
        work.wait(LIMIT)?;
    }
    for i in 0..many {
        assert_eq!(region.memory().load_u64(i * 8)?, i as u64);
    }
    assert_eq!(p.a.in_flight(), 0);
    Ok(())
}

/// What cannot be is said before the provider hears of it, with the buffer.
// rule: X10, X11
fn refused_work<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let other = Rig::<T>::on(p.rig.info.clone())?;
    let (counter, foreign) = (p.rig.domain.counter()?, other.domain.counter()?);
    let later = p.rig.domain.counter()?;
    let send = || p.a.send(vec![1; 8], p.to_b);
    for work in [send().when(foreign.at(1)), send().when(counter.at(1)).then(&foreign)] {
        let failed = work.queue().expect_err("of another domain");
        assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "{}", failed.error);
        assert_eq!(failed.buf.into_buffer(), Some(vec![1; 8]));
    }
    let failed = send().flags(ofi::OpFlags::MORE).when(counter.at(1)).queue().expect_err("more");
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "{}", failed.error);
    let long = vec![0; 9 << 20];
    if long.len() > p.a.max_message_size() {
        let failed = p.a.send(long, p.to_b).when(counter.at(1)).queue().expect_err("too long");
        assert!(matches!(failed.error.kind(), ErrorKind::TooLarge { .. }), "{}", failed.error);
    }
    for wrong in [later.at(1).add(&counter, 1), counter.at(1).add(&counter, 1)] {
        assert_eq!(*wrong.expect_err("a circle").kind(), ErrorKind::Invalid);
    }
    let wrong = counter.at(1).set(&foreign, 1).expect_err("of another domain");
    assert_eq!(*wrong.kind(), ErrorKind::Invalid);
    if quirk(&t.provider, Defect::ThresholdWraps).is_some() {
        let beyond = 1 << 31;
        let failed = send().when(counter.at(beyond)).queue().expect_err("it wraps");
        assert!(matches!(failed.error.kind(), ErrorKind::TooLarge { .. }), "{}", failed.error);
        assert!(counter.at(u64::MAX).add(&later, 1).is_err());
    }
    assert_eq!(p.a.in_flight(), 0);
    // An endpoint that was opened without the capability.
    let info = t.query(Caps::MSG)?;
    if !info.caps().contains(Caps::TRIGGER) {
        let plain = Pair::<K, T>::on(Rig::on(info)?)?;
        let counter = plain.rig.domain.counter()?;
        let work = plain.a.send(vec![1; 8], plain.to_b).when(counter.at(1));
        let failed = work.queue().expect_err("without the capability");
        let error = failed.error.to_string();
        assert!(error.contains("FI_TRIGGER"), "{error}");
    }
    Ok(())
}

/// A counter of sends starts nothing, where that stops the provider.
// quirk: 62
fn counters_for_one_thing<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    if quirk(&t.provider, Defect::StartsUnderLock).is_none() {
        // One send after the other.
        let (go, next) = (p.rig.domain.counter()?, p.rig.domain.counter()?);
        let receives = [p.b.recv(vec![0; 8]).post()?, p.b.recv(vec![0; 8]).post()?];
        let second = p.a.send(vec![2; 8], p.to_b).when(next.at(1)).queue()?;
        let first = p.a.send(vec![1; 8], p.to_b).when(go.at(1)).then(&next).queue()?;
        go.add(1)?;
        first.wait(LIMIT)?;
        second.wait(LIMIT)?;
        for (n, receive) in (1..).zip(receives) {
            assert_eq!(receive.wait(LIMIT)?.1, vec![n; 8]);
        }
        return Ok(());
    }
    let counter = || p.rig.domain.counter();
    let builder = || {
        let builder = p.rig.domain.endpoint::<K>(&p.rig.info).address_vector(&p.rig.av);
        builder.completion_queue(&p.rig.cq)
    };
    let (sent, target, go) = (counter()?, counter()?, counter()?);
    let _c = builder().counter(&sent, BindFlags::TRANSMIT).enable()?;
    let failed =
        p.a.send(vec![1; 8], p.to_b).when(sent.at(1)).queue().expect_err("it counts sends");
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "{}", failed.error);
    assert!(sent.at(1).add(&target, 1).is_err());
    let receive = p.b.recv(vec![0; 8]).post()?;
    let work = p.a.send(vec![1; 8], p.to_b).when(go.at(1)).then(&target).queue()?;
    assert!(builder().counter(&go, BindFlags::TRANSMIT | BindFlags::RECV).enable().is_err());
    assert!(p.a.send(vec![1; 8], p.to_b).when(target.at(1)).queue().is_err());
    let again = p.a.send(vec![1; 8], p.to_b).when(go.at(1)).then(&go).queue();
    assert_eq!(*again.expect_err("it starts work").error.kind(), ErrorKind::Invalid);
    // What arrives, and what is read or written, does no harm.
    let d =
        builder().counter(&go, BindFlags::RECV | BindFlags::READ | BindFlags::WRITE).enable()?;
    go.add(1)?;
    work.wait(LIMIT)?;
    receive.wait(LIMIT)?;
    drop(d);
    Ok(())
}

/// Everywhere else it is refused, with the reason and the buffer.
fn refused_elsewhere<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let counter = p.rig.domain.counter()?;
    let work = p.a.send(vec![1; 8], p.to_b).when(counter.at(1)).queue();
    if ["sockets", "ofitest"].contains(&t.provider.as_str()) {
        // With the capability, asked for or not.
        assert_eq!(work.is_ok(), p.rig.info.caps().contains(Caps::TRIGGER));
        counter.add(1)?;
        if let Ok(work) = work {
            let receive = p.b.recv(vec![0; 8]).post()?;
            work.wait(LIMIT)?;
            receive.wait(LIMIT)?;
        }
        return Ok(());
    }
    let failed = work.expect_err("it has none");
    let error = &failed.error;
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    assert_eq!(failed.buf.into_buffer(), Some(vec![1; 8]));
    let error = counter.at(1).add(&p.rig.domain.counter()?, 1).expect_err("it has none");
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    Ok(())
}

#[allow(dead_code, reason = "that it holds is all that is asked")]
fn both_threads() {
    fn sent<X: Send + Sync>() {}
    sent::<ofi::Work<ofi::SendVerb, Vec<u8>, Shared>>();
    sent::<ofi::CounterWork<Shared>>();
    let _: fn(&Target) -> Verdict = started_at_the_threshold::<Rdm, Shared>;
}
