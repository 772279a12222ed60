//! Remote memory: exposed regions, reads and writes, from this process and from another.

use std::time::{Duration, Instant};

use ofi::{
    Access, Caps, CloseError, CompletionLevel, Connectionless, ErrorKind, ExposedRegion, Memory,
    RegionSlice, RemoteRegion, Returned, WaitError,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Parent, Peer, Rig, Stop, Target, Verdict, cases, pattern,
    progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, rdm:
        written_and_read
        vectors_on_both_sides
        written_with_data
        injected
        levels_of_completion
        regions_with_different_rights
        refused_before_the_call
        memory_outlives_its_region
        region_slices_are_buffers
        dropped_write_in_flight
        dropped_read_in_flight
        two_processes
        foreign_keys_change_nothing
        closed_under_a_write
        without_the_capability
    );
}

const REMOTE: Access = Access::REMOTE_READ.union(Access::REMOTE_WRITE);
const RMA: Caps = Caps::MSG.union(Caps::RMA);

fn memory(bytes: Vec<u8>) -> Memory {
    Memory::new(bytes).expect("one piece")
}

/// A region of so many bytes, with both rights.
fn exposed<T: Mode>(rig: &Rig<T>, bytes: Vec<u8>) -> Result<ExposedRegion<T>, Stop> {
    Ok(rig.domain.expose(&memory(bytes)).access(REMOTE).open()?)
}

/// Bytes go over and come back, of every size that travels in a way of its own.
// rule: B1, B28, M1, M6, M7
fn written_and_read<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    for (n, len) in [1_usize, 64, 4096, 70_000, 1 << 20].into_iter().enumerate() {
        let region = exposed(&p.rig, vec![0xEE; len + 32])?;
        let remote = region.remote();
        let target = remote.slice(16..16 + len)?;
        let sent = pattern(len, n as u8);
        let (_, buffer) = p.a.write(sent.clone(), p.to_b, target).wait(LIMIT)?;
        assert_eq!(buffer.len(), len);
        // Transmit completes before the bytes are visible there; a read that follows them tells.
        let (read, back) = p.a.read(vec![0; len], p.to_b, target).wait(LIMIT)?;
        assert_eq!(read.len, len);
        if back != sent {
            // Not every provider orders a read behind a write (FI_ORDER_RAW).
            progress_until(&p.rig.cq, "the bytes", || {
                region.memory().to_vec()[16..16 + len] == sent[..]
            });
        }
        let all = region.memory().to_vec();
        assert!(all[16..16 + len] == sent[..], "{len} bytes");
        assert!(all[..16].iter().chain(&all[16 + len..]).all(|byte| *byte == 0xEE));
        // Less than all of the slice, from its beginning.
        let (_, back) = p.a.read(vec![0; 1], p.to_b, target).wait(LIMIT)?;
        assert_eq!(back, sent[..1]);
    }
    Ok(())
}

// rule: B9, B32
fn vectors_on_both_sides<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    let region = exposed(&p.rig, vec![0; 300])?;
    let remote = region.remote();
    let limits = p.rig.info.tx();
    let until = |what: &str, bytes: &dyn Fn(&[u8]) -> bool| {
        progress_until(&p.rig.cq, what, || bytes(&region.memory().to_vec()));
    };
    if limits.iov_limit() >= 2 {
        let pieces = [vec![1_u8; 10], vec![2; 20]];
        p.a.write(pieces, p.to_b, remote.slice(..30)?).wait(LIMIT)?;
        until("a vector", &|all| all[..30] == [vec![1; 10], vec![2; 20]].concat());
        let (_, back) =
            p.a.read([vec![0_u8; 15], vec![0; 15]], p.to_b, remote.slice(..30)?).wait(LIMIT)?;
        assert_eq!(back.concat(), [vec![1; 10], vec![2; 20]].concat());
    }
    let first = remote.slice(100..110)?;
    let write = p.a.write(vec![3_u8; 30], p.to_b, first).and(remote.slice(200..220)?);
    if limits.rma_iov_limit() < 2 {
        let failed = write.post().expect_err("too many");
        assert_eq!(*failed.error.kind(), ErrorKind::TooLarge { limit: 1 });
        return Ok(());
    }
    write.wait(LIMIT)?;
    until("two pieces", &|all| {
        all[100..110].iter().chain(&all[200..220]).all(|byte| *byte == 3) && all[110] == 0
    });
    let read = p.a.read(vec![0_u8; 30], p.to_b, first).and(remote.slice(200..220)?);
    assert_eq!(read.wait(LIMIT)?.1, vec![3; 30]);
    // Here all has to be used.
    let write = p.a.write(vec![3_u8; 29], p.to_b, first).and(remote.slice(200..220)?);
    assert_eq!(*write.post().expect_err("too few").error.kind(), ErrorKind::Invalid);
    // Copies go to one place.
    let write = p.a.write([3_u8; 30], p.to_b, first).and(remote.slice(200..220)?);
    assert!(write.inject().is_err());
    Ok(())
}

/// The peer hears of it in its completion queue, with the data.
// rule: B11, B12, B30, B39
fn written_with_data<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    let region = exposed(&p.rig, vec![0; 64])?;
    let bytes = p.rig.info.domain().cq_data_size();
    if bytes == 0 {
        return Err(Stop::Unsupported("immediate data".into()));
    }
    for value in [7, u64::MAX >> (64 - 8 * bytes.min(8))] {
        p.a.write(vec![value as u8; 64], p.to_b, region.remote()).data(value).wait(LIMIT)?;
        let deadline = Instant::now() + LIMIT;
        let told = loop {
            p.rig.cq.progress()?;
            if let Some(told) = p.rig.cq.unsolicited() {
                break told;
            }
            assert!(Instant::now() < deadline, "the peer does not hear of it");
        };
        assert_eq!((told.data, told.error.is_none()), (Some(value), true));
        // What was written is there by then.
        assert_eq!(region.memory().to_vec(), vec![value as u8; 64]);
    }
    let write = p.a.write(vec![1; 4], p.to_b, region.remote());
    if bytes < 8 {
        let failed = write.data(u64::MAX).post().expect_err("it does not fit");
        assert_eq!(*failed.error.kind(), ErrorKind::Invalid);
    }
    Ok(())
}

// rule: B5
fn injected<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    p.warm()?;
    let region = exposed(&p.rig, vec![0; 64])?;
    let limit = p.a.inject_size();
    let len = limit.min(8);
    let deadline = Instant::now() + LIMIT;
    while let Err(failed) = p.a.write([9_u8; 8], p.to_b, region.remote()).inject() {
        if limit < 8 {
            assert_eq!(*failed.error.kind(), ErrorKind::TooLarge { limit });
            return Ok(());
        }
        assert!(failed.error.is_busy() && Instant::now() < deadline, "{}", failed.error);
        p.rig.cq.progress()?;
    }
    progress_until(&p.rig.cq, "the bytes", || region.memory().to_vec()[..len] == [9; 8][..len]);
    if let Some(beyond) = limit.checked_add(1).filter(|beyond| *beyond < 1 << 20) {
        let failed =
            p.a.write(vec![1_u8; beyond], p.to_b, region.remote()).inject().expect_err("long");
        assert_eq!(*failed.error.kind(), ErrorKind::TooLarge { limit });
    }
    Ok(())
}

/// A message sent behind a delivered write finds the bytes there.
// rule: B28, B39
fn levels_of_completion<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    p.warm()?;
    let region = exposed(&p.rig, vec![0; 5000])?;
    for n in 1..20_u8 {
        let receive = p.b.recv(vec![0; 1]).post()?;
        let write = p.a.write(vec![n; 5000], p.to_b, region.remote());
        match write.level(CompletionLevel::Delivery).wait(LIMIT) {
            Ok(_) => {}
            // Offered for messages only.
            Err(WaitError::Failed(failed)) if failed.error.errno().is_some() && n == 1 => {
                return Err(Stop::Unsupported(failed.error.to_string()));
            }
            Err(error) => return Err(error.into()),
        }
        p.a.send(vec![n], p.to_b).wait(LIMIT)?;
        receive.wait(LIMIT)?;
        assert!(region.memory().to_vec().iter().all(|byte| *byte == n), "{n} is not there");
    }
    Ok(())
}

/// A region to read and one to write over the same memory: closing one leaves the other working, and
/// the buffer comes back once.
// rule: M1, M2, M15
fn regions_with_different_rights<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    let memory = memory(pattern(256, 1));
    let readable = p.rig.domain.expose(&memory).access(Access::REMOTE_READ).open()?;
    let writable = p.rig.domain.expose(&memory).access(Access::REMOTE_WRITE).range(128..).open()?;
    assert_eq!((readable.len(), writable.len()), (256, 128));
    let failed = p.a.write(vec![0; 4], p.to_b, readable.remote()).post().expect_err("no right");
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid);
    let failed = p.a.read(vec![0; 4], p.to_b, writable.remote()).post().expect_err("no right");
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid);
    let expected = [&pattern(256, 1)[..128], &[9; 128]].concat();
    p.a.write(vec![9; 128], p.to_b, writable.remote()).wait(LIMIT)?;
    progress_until(&p.rig.cq, "the bytes", || memory.to_vec() == expected);
    writable.close()?;
    let (_, back) = p.a.read(vec![0; 256], p.to_b, readable.remote()).wait(LIMIT)?;
    assert_eq!(back, expected);
    readable.close()?;
    // The domain keeps it: once, for both.
    assert_eq!(p.rig.domain.parked_bytes(), 256);
    let memory = memory.into_buffer::<Vec<u8>>().expect_err("the domain has it");
    let Pair { a, b, rig, .. } = p;
    drop((a, b, rig));
    assert_eq!(memory.into_buffer::<Vec<u8>>().expect("the only handle"), expected);
    Ok(())
}

// rule: M6, M14, M15, B32
fn refused_before_the_call<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    let memory = memory(vec![0; 64]);
    let expose = || p.rig.domain.expose(&memory);
    for odd in [expose().range(60..70), expose().range(8..8), expose().access(Access::empty())] {
        assert_eq!(*odd.open().expect_err("nothing to expose").kind(), ErrorKind::Invalid);
    }
    let region = expose().access(REMOTE).open()?;
    let remote = region.remote();
    assert!(remote.slice(60..70).is_err());
    assert!(region.slice(60..70).is_err());
    // Nor does it become a slice of bytes in a region of one's own.
    let refused = |error: ofi::Error| assert_eq!(*error.kind(), ErrorKind::Invalid);
    refused(p.rig.domain.register(memory.clone(), Access::RECV).expect_err("shared").error);
    refused(p.rig.domain.register([memory.clone()], Access::RECV).expect_err("shared").error);
    refused(p.rig.domain.register_frozen(memory.clone(), Access::SEND).expect_err("shared").error);
    refused(p.rig.domain.register(region.slice(..)?, Access::RECV).expect_err("shared").error);
    let failed = p.a.write(vec![0; 65], p.to_b, &remote).post().expect_err("too long");
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid);
    let Returned::Back(buffer) = failed.buf else { panic!("it was never posted") };
    assert_eq!(buffer.len(), 65);
    let failed = p.a.read(vec![0; 10], p.to_b, remote.slice(60..)?).post().expect_err("too long");
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid);
    Ok(())
}

/// What peers may still reach is not freed with its region, but with the domain; unless whoever
/// knows says that there are none.
// rule: M1, M2
fn memory_outlives_its_region<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, RMA)?;
    drop(exposed(&rig, vec![0; 100])?);
    assert_eq!(rig.domain.parked_bytes(), 100);
    let region = exposed(&rig, vec![0; 50])?;
    let slice = region.slice(..)?;
    let Err(CloseError::InUse(region)) = region.close() else { panic!("a slice is in use") };
    drop(slice);
    let memory = region.memory().clone();
    // SAFETY: no peer has heard of it.
    unsafe { region.reclaim()? };
    assert_eq!(rig.domain.parked_bytes(), 100);
    assert_eq!(memory.into_buffer::<Vec<u8>>().expect("the only handle").len(), 50);
    // For use here alone nothing has to be kept.
    let memory = self::memory(vec![0; 30]);
    drop(rig.domain.expose(&memory).access(Access::SEND).open()?);
    assert!(memory.into_buffer::<Vec<u8>>().is_ok());
    Ok(())
}

// rule: M3, M15
fn region_slices_are_buffers<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<RegionSlice<T>>,
{
    let p = Pair::<K, T>::open(t, RMA)?;
    let all = Access::SEND | Access::RECV | Access::READ | Access::WRITE | REMOTE;
    let here = p.rig.domain.expose(&memory(vec![0; 100])).access(all).open()?;
    let there = p.rig.domain.expose(&memory(vec![0; 100])).access(all).open()?;
    let source = here.slice(10..20)?;
    source.copy_from(&[5; 10])?;
    assert!(source.copy_from(&[5; 11]).is_err());
    let (_, source) = p.a.write(source, p.to_b, there.remote().slice(30..40)?).wait(LIMIT)?;
    progress_until(&p.rig.cq, "the bytes", || there.memory().to_vec()[30..40] == [5; 10]);
    let into = here.slice(50..60)?;
    let (_, into) = p.a.read(into, p.to_b, there.remote().slice(30..40)?).wait(LIMIT)?;
    let mut bytes = [0; 10];
    into.copy_to(&mut bytes)?;
    assert_eq!(bytes, [5; 10]);
    // And messages.
    let receive = p.b.recv(there.slice(80..)?).post()?;
    p.a.send(source.slice(..5)?, p.to_b).wait(LIMIT)?;
    let (received, landed) = receive.wait(LIMIT)?;
    landed.copy_to(&mut bytes[..5])?;
    assert_eq!((received.len(), &bytes[..5]), (5, &[5; 5][..]));
    assert_eq!(there.memory().to_vec()[80..85], [5; 5]);
    Ok(())
}

/// An operation that is given up keeps its memory until it has ended.
// rule: B1, B2
fn dropped_write_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    p.warm()?;
    let region = exposed(&p.rig, vec![0; 1 << 20])?;
    for n in 1..5 {
        match p.a.write(pattern(1 << 20, n), p.to_b, region.remote()).wait(Duration::ZERO) {
            Err(WaitError::Expired(op)) => drop(op),
            done => drop(done?),
        }
    }
    progress_until(&p.rig.cq, "what was dropped", || p.a.in_flight() == 0);
    progress_until(&p.rig.cq, "the bytes", || region.memory().to_vec() == pattern(1 << 20, 4));
    Ok(())
}

// rule: B1, B2
fn dropped_read_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    p.warm()?;
    let region = exposed(&p.rig, pattern(1 << 20, 3))?;
    for _ in 0..4 {
        match p.a.read(vec![0; 1 << 20], p.to_b, region.remote()).wait(Duration::ZERO) {
            Err(WaitError::Expired(op)) => match op.abandon() {
                Returned::Held(mut held) => {
                    let mut back = None;
                    progress_until(&p.rig.cq, "the buffer", || {
                        back = back.take().or_else(|| held.try_take());
                        back.is_some()
                    });
                    assert!(back.is_some_and(|bytes| bytes == pattern(1 << 20, 3)));
                }
                Returned::Back(bytes) => assert!(bytes == pattern(1 << 20, 3)),
            },
            done => drop(done?),
        }
    }
    Ok(())
}

/// The bytes of a region, from another process, which also writes to it.
// rule: M1, M6, W4
fn two_processes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 100_000;
    if Parent::role().is_some() {
        let parent = Parent::new();
        let rig = Rig::<T>::open(t, RMA)?;
        let ep = rig.endpoint::<K>()?;
        parent.say_address(&ep.name()?)?;
        let to = rig.av.insert(&parent.hear_address()?)?;
        let bytes: Vec<u8> = parent.hear()?.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let remote = RemoteRegion::from_bytes(&bytes)?;
        let (_, read) = ep.read(vec![0; LEN], to, remote.slice(..LEN)?).wait(LIMIT)?;
        assert!(read == pattern(LEN, 1), "read");
        ep.write(pattern(LEN, 2), to, remote.slice(LEN..)?).wait(LIMIT)?;
        parent.say("written")?;
        return parent.until_closed();
    }
    let rig = Rig::<T>::open(t, RMA)?;
    let ep = rig.endpoint::<K>()?;
    let region = exposed(&rig, [pattern(LEN, 1), vec![0; LEN]].concat())?;
    let mut peer = Peer::start("initiator")?;
    rig.av.insert(&peer.hear_address()?)?;
    peer.say_address(&ep.name()?)?;
    let words: Vec<String> =
        region.remote().to_bytes().iter().map(|byte| byte.to_string()).collect();
    peer.say(&words.join(" "))?;
    // The target's own calls serve what is done to it (rule W4).
    let deadline = Instant::now() + 2 * LIMIT;
    while peer.hear_within(Duration::from_millis(1))?.is_none() {
        while rig.cq.progress()? > 0 {}
        assert!(Instant::now() < deadline, "the initiator is not done");
    }
    progress_until(&rig.cq, "the bytes", || {
        region.memory().to_vec() == [pattern(LEN, 1), pattern(LEN, 2)].concat()
    });
    peer.finish()
}

/// With a key of nobody, beyond the region, without the right, or after its end: whatever the
/// provider says of it, no byte changes. (A write need not fail.)
// rule: M2, M7
fn foreign_keys_change_nothing<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 256;
    if Parent::role().is_some() {
        let parent = Parent::new();
        let rig = Rig::<T>::open(t, RMA)?;
        let ep = rig.endpoint::<K>()?;
        parent.say_address(&ep.name()?)?;
        let to = rig.av.insert(&parent.hear_address()?)?;
        loop {
            let line = parent.hear()?;
            if line == "end" {
                return Ok(());
            }
            let bytes: Vec<u8> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
            let remote = RemoteRegion::from_bytes(&bytes)?;
            // It fails, or it is said to have worked, or nothing is ever heard of it.
            let _ = ep.write(vec![0xAA; 64], to, remote).wait(Duration::from_millis(200));
            parent.say("tried")?;
        }
    }
    let rig = Rig::<T>::open(t, RMA)?;
    let ep = rig.endpoint::<K>()?;
    let memory = memory(vec![0x11; LEN]);
    let open = |access| rig.domain.expose(&memory).access(access).range(64..128).open();
    let good = open(REMOTE)?;
    let readable = open(Access::REMOTE_READ)?;
    let closed = open(REMOTE)?;
    let gone = closed.remote();
    closed.close()?;
    // As another process may make them: bytes.
    let changed = |region: RemoteRegion, at: usize, add: u64| {
        let mut bytes = region.to_bytes();
        let word = bytes[at..at + 8].first_chunk::<8>().expect("a word");
        let value = u64::from_le_bytes(*word).wrapping_add(add);
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        bytes[1] = 3;
        bytes
    };
    let (base, key) = (2, 18);
    let attempts = [
        changed(good.remote(), key, 0x0BAD),
        changed(good.remote(), base, 32),
        changed(good.remote(), base, 4096),
        changed(readable.remote(), key, 0),
        changed(gone, key, 0),
    ];
    let mut peer = Peer::start("attacker")?;
    rig.av.insert(&peer.hear_address()?)?;
    peer.say_address(&ep.name()?)?;
    for (n, attempt) in attempts.iter().enumerate() {
        let words: Vec<String> = attempt.iter().map(|byte| byte.to_string()).collect();
        peer.say(&words.join(" "))?;
        let deadline = Instant::now() + LIMIT;
        while peer.hear_within(Duration::from_millis(1))?.is_none() {
            rig.cq.progress()?;
            assert!(Instant::now() < deadline, "attempt {n} does not end");
        }
        for _ in 0..1000 {
            rig.cq.progress()?;
        }
        assert!(memory.to_vec().iter().all(|byte| *byte == 0x11), "attempt {n} changed memory");
    }
    peer.say("end")?;
    peer.finish()
}

/// The region goes while a write to it is under way: the memory stays where it is.
// rule: M2
fn closed_under_a_write<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    p.warm()?;
    let region = exposed(&p.rig, vec![0; 4 << 20])?;
    let remote = region.remote();
    let write = p.a.write(vec![1; 4 << 20], p.to_b, remote).wait(Duration::ZERO);
    let memory = region.memory().clone();
    drop(region);
    // Something else would be there now if it had been freed.
    let others: Vec<Vec<u8>> = (0..8).map(|_| vec![7; 4 << 20]).collect();
    if let Err(WaitError::Expired(op)) = write {
        let _ = op.wait(Duration::from_secs(1));
    }
    for _ in 0..1000 {
        p.rig.cq.progress()?;
    }
    assert!(others.iter().flatten().all(|byte| *byte == 7));
    assert!(memory.to_vec().iter().all(|byte| *byte < 2));
    Ok(())
}

// rule: D8
fn without_the_capability<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    if p.rig.info.caps().contains(Caps::RMA) {
        return Ok(());
    }
    let memory = memory(vec![0; 64]);
    let refused = p.rig.domain.expose(&memory).open().expect_err("not asked for");
    assert!(matches!(refused.kind(), ErrorKind::Unsupported { .. }), "{refused}");
    let with = Rig::<T>::open(t, RMA)?;
    let region = exposed(&with, vec![0; 64])?;
    let failed = p.a.write(vec![1; 4], p.to_b, region.remote()).post().expect_err("not asked for");
    assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }), "{}", failed.error);
    Ok(())
}
