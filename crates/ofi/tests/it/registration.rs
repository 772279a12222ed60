//! Registrations beyond the plain one: what can be asked of a region, and what the domain asks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ofi::{
    Access, BindFlags, Caps, Connectionless, Defect, Dmabuf, Errno, Error, ErrorKind,
    ExposedRegion, ExternalMemory, HmemIface, Memory, MrMode, Needs, RegionSlice, RemoteRegion,
    Version, quirk, version,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Stop, Target, Verdict, cases, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, rdm:
        two_regions_over_one_buffer
        a_key_of_ones_own
        pieces_are_sent_and_received
        exposed_pieces quirk_33_only_the_first_piece
        parts_of_a_region
        basic_registration
        a_region_with_a_counter
        what_is_newer_is_gated
        devices_are_refused
        devices_that_are_not_there
        what_a_region_tells
        registered_on_an_endpoint
        refreshed
    );
}

const REMOTE: Access = Access::REMOTE_READ.union(Access::REMOTE_WRITE);
const RMA: Caps = Caps::MSG.union(Caps::RMA);

fn memory(bytes: Vec<u8>) -> Memory {
    Memory::new(bytes).expect("one piece")
}

/// Counts its drops.
struct Owner(Arc<AtomicUsize>, #[expect(dead_code, reason = "it is owned")] Vec<u8>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Memory whose owner is dropped as often as the counter says.
fn owned(len: usize) -> (Memory, Arc<AtomicUsize>) {
    let drops = Arc::new(AtomicUsize::new(0));
    let mut bytes = vec![0; len];
    let start = bytes.as_mut_ptr();
    let owner = Owner(Arc::clone(&drops), bytes);
    // SAFETY: the owner keeps the bytes, and nobody else looks at them.
    let memory = unsafe { ExternalMemory::new(start, len, HmemIface::System, owner) };
    (memory.expect("there is memory").into(), drops)
}

/// That a write of these bytes arrives.
fn write<K: Connectionless, T: Mode>(
    p: &Pair<K, T>,
    bytes: &[u8],
    remote: &RemoteRegion,
    memory: &Memory,
) -> Verdict {
    p.a.write(bytes.to_vec(), p.to_b, remote.slice(..bytes.len())?).wait(LIMIT)?;
    progress_until(&p.rig.cq, "the bytes", || memory.to_vec()[..bytes.len()] == *bytes);
    Ok(())
}

/// One buffer, a region that peers may read and one that they may write. Either goes on when the
/// other is closed, and the owner is dropped once, when the domain is.
// rule: M1, M2, M15
fn two_regions_over_one_buffer<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    for first_to_go in ["readable", "writable"] {
        let (memory, drops) = owned(256);
        let expose = |access| p.rig.domain.expose(&memory).access(access).open();
        let (readable, writable) = (expose(Access::REMOTE_READ)?, expose(Access::REMOTE_WRITE)?);
        let read = |remote: &RemoteRegion| {
            p.a.read(vec![0; 256], p.to_b, remote).wait(LIMIT).map(|(_, bytes)| bytes)
        };
        let (may_read, may_write) = (readable.remote(), writable.remote());
        assert_eq!(may_read.access(), Access::REMOTE_READ);
        assert_eq!(may_write.access(), Access::REMOTE_WRITE);
        // What is not permitted is refused here already.
        assert!(p.a.write(vec![1; 4], p.to_b, &may_read).post().is_err());
        assert!(p.a.read(vec![0; 4], p.to_b, &may_write).post().is_err());
        write(&p, &pattern(256, 1), &may_write, &memory)?;
        assert_eq!(read(&may_read)?, pattern(256, 1));
        if first_to_go == "readable" {
            readable.close()?;
            write(&p, &pattern(256, 2), &may_write, &memory)?;
            writable.close()?;
        } else {
            writable.close()?;
            memory.write(0, &pattern(256, 2))?;
            assert_eq!(read(&may_read)?, pattern(256, 2));
            readable.close()?;
        }
        assert_eq!(memory.to_vec(), pattern(256, 2));
        drop(memory);
        assert_eq!(drops.load(Ordering::SeqCst), 0, "peers could reach it");
        if first_to_go == "writable" {
            let Pair { a, b, rig, .. } = p;
            a.close(LIMIT)?;
            b.close(LIMIT)?;
            let Rig { cq, av, domain, .. } = rig;
            cq.close()?;
            av.close()?;
            domain.close()?;
            assert_eq!(drops.load(Ordering::SeqCst), 1);
            return Ok(());
        }
    }
    Ok(())
}

/// Keys that peers know beforehand.
// rule: M7
fn a_key_of_ones_own<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    let memory = memory(vec![0; 64]);
    let open = |key| p.rig.domain.expose(&memory).access(REMOTE).key(key).open();
    let key = 0x5EED;
    let region = open(key)?;
    assert_eq!((region.key(), region.remote().key()), (Some(key), key));
    write(&p, &[7; 64], &region.remote(), &memory)?;
    let error = open(key).expect_err("it is in use");
    assert_eq!(error.errno(), Some(Errno::ENOKEY), "{error}");
    let error = open(u64::MAX).expect_err("that is no key");
    assert_eq!(error.errno(), Some(Errno::EKEYREJECTED), "{error}");
    region.close()?;
    let region = open(key)?;
    // Those that the domain chooses pass over it.
    let others: Vec<ExposedRegion<T>> = (0..50)
        .map(|_| p.rig.domain.expose(&memory).access(REMOTE).open())
        .collect::<Result<_, _>>()?;
    assert!(others.iter().all(|other| other.key() != region.key()));
    Ok(())
}

/// Slices of a region of several pieces are vectors, in its order.
// rule: M3, M17
fn pieces_are_sent_and_received<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<RegionSlice<T>>,
{
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let limit = p.rig.info.domain().mr_iov_limit().max(1);
    let (one, two) = (memory(pattern(100, 1)), memory(pattern(50, 2)));
    let builder = p.rig.domain.expose(&one).range(20..).and(&two).range(..40);
    let builder = builder.access(Access::SEND | Access::RECV);
    if limit < 2 {
        let error = builder.open().expect_err("too many");
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 1 }, "{error}");
        return Ok(());
    }
    let region = builder.open()?;
    assert_eq!(region.len(), 120);
    let all = [&pattern(100, 1)[20..], &pattern(50, 2)[..40]].concat();
    for range in [0..120, 0..80, 80..120, 70..90, 119..120] {
        let receive = p.b.recv(vec![0; 200]).post()?;
        p.a.send(region.slice(range.clone())?, p.to_b).wait(LIMIT)?;
        let (received, bytes) = receive.wait(LIMIT)?;
        assert_eq!(bytes[..received.len()], all[range]);
    }
    if p.b.max_receive_segments() > 1 {
        let receive = p.b.recv(region.slice(60..100)?).post()?;
        p.a.send(vec![0xAB; 40], p.to_b).wait(LIMIT)?;
        let (received, slice) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), 40);
        let mut bytes = vec![0; 40];
        slice.copy_to(&mut bytes)?;
        assert_eq!(bytes, vec![0xAB; 40]);
        assert_eq!((one.to_vec()[79], one.to_vec()[80]), (all[59], 0xAB));
        assert_eq!((two.to_vec()[19], two.to_vec()[20]), (0xAB, pattern(50, 2)[20]));
        slice.copy_from(&[0xCD; 40])?;
        assert_eq!((one.to_vec()[99], two.to_vec()[0]), (0xCD, 0xCD));
    }
    // One more than can be.
    let pieces: Vec<Memory> = (0..=limit.min(64)).map(|_| memory(vec![0; 8])).collect();
    let builder = p.rig.domain.expose(&pieces[0]).access(Access::SEND);
    let builder = pieces[1..].iter().fold(builder, |builder, piece| builder.and(piece));
    if limit < 64 {
        let error = builder.open().expect_err("too many");
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit }, "{error}");
    }
    Ok(())
}

/// Peers reach every piece, or the region is refused.
// rule: M6, M17
// quirk: 33, 28
fn exposed_pieces<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    let (one, two) = (memory(vec![0; 64]), memory(vec![0; 64]));
    let region = match p.rig.domain.expose(&one).and(&two).access(REMOTE).open() {
        Err(error) => {
            let refused = matches!(
                error.kind(),
                ErrorKind::TooLarge { limit: 1 } | ErrorKind::Unsupported { .. }
            );
            assert!(refused, "{error}");
            return Ok(());
        }
        Ok(region) => region,
    };
    for (remote, memory) in region.remote_pieces().iter().zip([&one, &two]) {
        write(&p, &pattern(64, 3), remote, memory)?;
    }
    Ok(())
}

/// Defects 27, 28: shm and sockets take several pieces, and peers reach the first.
fn quirk_33_only_the_first_piece<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    if p.rig.info.domain().mr_iov_limit() < 2 {
        return Ok(());
    }
    let (one, two) = (memory(vec![0; 64]), memory(vec![0; 64]));
    let piece = |memory: &Memory| libc::iovec { iov_base: memory.as_ptr().cast(), iov_len: 64 };
    let (pieces, mut mr) = ([piece(&one), piece(&two)], std::ptr::null_mut());
    let (key, rights) = (0x5EED_u64, REMOTE.raw());
    // SAFETY: the domain is open; the memory outlives the region, which is closed below.
    let status = unsafe {
        let (domain, none) = (p.rig.domain.as_raw(), std::ptr::null_mut());
        ofi_sys::fi_mr_regv(domain, pieces.as_ptr(), 2, rights, 0, key, 0, &raw mut mr, none)
    };
    assert_eq!(status, 0);
    // The pieces, as a peer would be told of them.
    let remote = |base: u64| {
        let numbers = [base, 64, key].map(u64::to_le_bytes);
        RemoteRegion::from_bytes(&[&[1, 3], numbers.as_flattened()].concat())
    };
    // On shm it is said to have worked; so the first one is written to after it.
    let said = p.a.write(vec![7; 64], p.to_b, &remote(64)?).wait(LIMIT).is_ok();
    write(&p, &[9; 64], &remote(0)?, &one)?;
    let reached = two.to_vec() == [7; 64];
    assert!(reached || two.to_vec() == [0; 64]);
    assert!(said || !reached);
    assert_eq!(reached, quirk(&t.provider, Defect::OnlyFirstPiece).is_none());
    let Pair { a, b, .. } = p;
    drop((a, b));
    // SAFETY: opened above, closed once; both endpoints are gone.
    assert_eq!(unsafe { ofi_sys::fi_close(mr.cast()) }, 0);
    Ok(())
}

/// A region of a region, with other rights.
// rule: L3, M16
fn parts_of_a_region<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, RMA)?;
    let memory = memory(vec![0; 256]);
    let open = || p.rig.domain.expose(&memory).access(REMOTE);
    let part = |region: &ExposedRegion<T>| region.part(64..192).access(Access::REMOTE_WRITE).open();
    if version() < Version::new(2, 0) {
        let needs = |error: Error| {
            let expected = Needs::Version(Version::new(2, 0));
            assert_eq!(*error.kind(), ErrorKind::Unsupported { needs: expected }, "{error}");
        };
        needs(part(&open().open()?).expect_err("older than such regions"));
        needs(open().expected_parts(1).open().expect_err("older than such regions"));
        return Ok(());
    }
    let region = open().expected_parts(2).open()?;
    let part = part(&region)?;
    assert_eq!((part.len(), part.access()), (128, Access::REMOTE_WRITE));
    assert_ne!(part.key(), region.key());
    p.a.write(vec![9; 128], p.to_b, part.remote()).wait(LIMIT)?;
    let expected = [vec![0; 64], vec![9; 128], vec![0; 64]].concat();
    progress_until(&p.rig.cq, "the bytes", || memory.to_vec() == expected);
    // Parts of parts.
    let inner = part.part(..10).access(REMOTE).open()?;
    assert_eq!(p.a.read(vec![0; 10], p.to_b, inner.remote()).wait(LIMIT)?.1, vec![9; 10]);
    assert_eq!(*region.part(200..300).open().expect_err("beyond").kind(), ErrorKind::Invalid);
    let other = self::memory(vec![0; 8]);
    let mixed = region.part(..8).and(&other).open().expect_err("other memory");
    assert_eq!(*mixed.kind(), ErrorKind::Invalid);
    // The base stays while it has parts.
    let Err(ofi::CloseError::InUse(region)) = region.close() else { panic!("it has parts") };
    drop(region);
    assert_eq!(p.a.read(vec![0; 10], p.to_b, inner.remote()).wait(LIMIT)?.1, vec![9; 10]);
    drop((part, inner));
    assert_eq!(p.rig.domain.parked_bytes(), 256);
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

/// The registration of old: virtual addresses, and keys of the provider's choice. Shared memory has it
/// without any check, so that safe hints never get it there.
// rule: M4, M6, M7
fn basic_registration<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let Ok(list) = t.hints(RMA).mr_mode(MrMode::BASIC).query() else {
        return Err(Stop::Unsupported("registration as of old".into()));
    };
    let info = list.iter().find(|info| info.provider() == t.provider);
    let info = info.ok_or_else(|| Stop::Unsupported("registration as of old".into()))?.clone();
    assert!(!info.domain().mr_mode().contains(MrMode::BASIC) || t.core() != "shm");
    t.require(info.domain().mr_mode().contains(MrMode::BASIC), "registration as of old")?;
    let p = Pair::<K, T>::on(Rig::<T>::on(info)?)?;
    let memory = memory(vec![0; 128]);
    let open = || p.rig.domain.expose(&memory).range(32..96).access(REMOTE);
    let region = open().open()?;
    let other = open().open()?;
    assert_ne!(region.key(), other.key());
    let remote = region.remote();
    p.a.write(vec![5; 16], p.to_b, remote.slice(8..24)?).wait(LIMIT)?;
    let expected = [vec![0; 40], vec![5; 16], vec![0; 72]].concat();
    progress_until(&p.rig.cq, "the bytes", || memory.to_vec() == expected);
    assert_eq!(p.a.read(vec![0; 16], p.to_b, remote.slice(8..24)?).wait(LIMIT)?.1, vec![5; 16]);
    // The address is the owner's.
    let bytes = remote.to_bytes();
    let base = u64::from_le_bytes(*bytes[2..].first_chunk().expect("a word"));
    assert_eq!(base, memory.as_ptr().addr() as u64 + 32);
    let error = open().key(77).open().expect_err("the provider chooses");
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    Ok(())
}

/// What peers write to one region is counted; to another it is not.
// rule: M10, L1
fn a_region_with_a_counter<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let events = RMA | Caps::RMA_EVENT;
    let p = Pair::<K, T>::open(t, events)?;
    let memory = memory(vec![0; 64]);
    let counter = p.rig.domain.counter()?;
    let counted = || p.rig.domain.expose(&memory).access(REMOTE);
    let error = counted().counter(&counter, BindFlags::RECV).open().expect_err("not a region's");
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    let region = match counted().counter(&counter, BindFlags::REMOTE_WRITE).open() {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            // What was half made is gone.
            counter.close()?;
            assert_eq!(ofi::leaked().objects, 0);
            return Err(Stop::Unsupported("counters of regions".into()));
        }
        region => region?,
    };
    let plain = counted().open()?;
    for round in 1..=3_u8 {
        p.a.write(vec![round; 64], p.to_b, plain.remote()).wait(LIMIT)?;
        progress_until(&p.rig.cq, "the bytes", || memory.to_vec() == [round; 64]);
    }
    for round in 11..=15_u8 {
        p.a.write(vec![round; 64], p.to_b, region.remote()).wait(LIMIT)?;
    }
    assert!(counter.wait(5, LIMIT)?);
    assert_eq!((counter.read(), counter.read_errors()), (5, 0));
    // The region keeps it open.
    let Err(ofi::CloseError::InUse(counter)) = counter.close() else { panic!("it is bound") };
    let other = Rig::<T>::on(p.rig.info.clone())?;
    let foreign = other.domain.expose(&memory).access(REMOTE);
    let error = foreign.counter(&counter, BindFlags::REMOTE_WRITE).open().expect_err("foreign");
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    region.close()?;
    counter.close()?;
    Ok(())
}

/// What the running libfabric does not know is not asked of it.
// rule: D1, D12
fn what_is_newer_is_gated<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, RMA)?;
    let memory = memory(vec![0; 8192]);
    let expose = || rig.domain.expose(&memory).access(REMOTE);
    let gated = |result: Result<ExposedRegion<T>, Error>, since: Version| match result {
        Ok(_) => assert!(version() >= since),
        Err(error) => {
            let expected = ErrorKind::Unsupported { needs: Needs::Version(since) };
            assert!(version() < since && *error.kind() == expected, "{error}");
        }
    };
    gated(expose().page_size(4096).open(), Version::new(1, 22));
    gated(expose().single_use().open(), Version::new(2, 0));
    gated(expose().expected_parts(3).open(), Version::new(2, 0));
    // Some grant more than was asked for.
    let granted = |result: Result<ExposedRegion<T>, Error>, cap: Caps, name| match result {
        Ok(_) => assert!(rig.info.caps().contains(cap)),
        Err(error) => {
            let expected = ErrorKind::Unsupported { needs: Needs::Capability(name) };
            assert!(!rig.info.caps().contains(cap) && *error.kind() == expected, "{error}");
        }
    };
    granted(expose().rma_event().open(), Caps::RMA_EVENT, "FI_RMA_EVENT");
    let collective = expose().access(Access::SEND | Access::COLLECTIVE).open();
    granted(collective, Caps::COLLECTIVE, "FI_COLLECTIVE");
    let error = expose().access(Access::COLLECTIVE).open().expect_err("alone");
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

/// Memory of a device that this process cannot reach.
fn device(drops: &Arc<AtomicUsize>) -> Memory {
    let owner = Owner(Arc::clone(drops), Vec::new());
    let nowhere = std::ptr::without_provenance_mut(0x7000_0000_0000);
    // SAFETY: nobody may look there, and nobody does: that is what is tested.
    unsafe { ExternalMemory::new(nowhere, 4096, HmemIface::Cuda(0), owner) }
        .expect("a range")
        .into()
}

/// On an endpoint without `FI_HMEM` memory of devices goes nowhere, registered or not.
// rule: M12, D8
fn devices_are_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<Memory> + ofi::Accepts<(Vec<u8>, Memory)>,
{
    let p = Pair::<K, T>::open(t, RMA)?;
    let drops = Arc::new(AtomicUsize::new(0));
    let memory = device(&drops);
    let needs_hmem = |error: &Error| {
        let expected = ErrorKind::Unsupported { needs: Needs::Capability("FI_HMEM") };
        assert_eq!(*error.kind(), expected, "{error}");
    };
    needs_hmem(&p.rig.domain.expose(&memory).open().expect_err("no such capability"));
    let dmabuf = Dmabuf { fd: -1, offset: 0, len: 64, base: std::ptr::null_mut() };
    // SAFETY: nobody looks at it.
    let dmabuf = unsafe { ExternalMemory::from_dmabuf(dmabuf, HmemIface::Cuda(0), ()) }?;
    let dmabuf = Memory::from(dmabuf);
    let refused = p.rig.domain.expose(&dmabuf).open().expect_err("no such capability");
    assert!(matches!(refused.kind(), ErrorKind::Unsupported { .. }), "{refused}");
    let unsupported = |error: &Error| {
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    };
    for memory in [&memory, &dmabuf] {
        unsupported(&p.a.send(memory.clone(), p.to_b).post().expect_err("a device's").error);
        unsupported(&p.b.recv(memory.clone()).post().expect_err("a device's").error);
        let both = (vec![0_u8; 4], memory.clone());
        unsupported(&p.a.send(both, p.to_b).post().expect_err("in part").error);
        let waited = p.a.send(memory.clone(), p.to_b).wait(Duration::ZERO);
        assert!(waited.is_err());
    }
    let failed = p.rig.domain.register(memory.clone(), Access::SEND).expect_err("no slice");
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid);
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    drop((failed, memory));
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    Ok(())
}

/// With `FI_HMEM`, but no such device: an error, and nothing is touched. The host's memory works.
// rule: M12, D12
fn devices_that_are_not_there<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let Ok(info) = t.query(RMA | Caps::HMEM) else {
        return Err(Stop::Unsupported("memory of devices".into()));
    };
    let p = Pair::<K, T>::on(Rig::<T>::on(info)?)?;
    let drops = Arc::new(AtomicUsize::new(0));
    let memory = device(&drops);
    let error = p.rig.domain.expose(&memory).access(REMOTE).open().expect_err("no device");
    assert!(error.errno().is_some() || matches!(error.kind(), ErrorKind::Unsupported { .. }));
    drop(memory);
    assert_eq!(drops.load(Ordering::SeqCst), 1);
    let (memory, drops) = owned(64);
    let region = p.rig.domain.expose(&memory).access(REMOTE).open()?;
    write(&p, &[3; 64], &region.remote(), &memory)?;
    drop((memory, region));
    assert_eq!(drops.load(Ordering::SeqCst), 0);
    Ok(())
}

/// Keys and descriptors can be looked at.
// rule: F8
fn what_a_region_tells<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, RMA)?;
    let memory = memory(vec![0; 100]);
    let exposed = rig.domain.expose(&memory).range(..60).open()?;
    assert_eq!(exposed.key(), Some(exposed.remote().key()));
    let descriptor = exposed.descriptor();
    assert_eq!((descriptor.provider, descriptor.len), (t.provider.as_str(), 60));
    // SAFETY: the region is open.
    let raw = unsafe { ofi_sys::fi_mr_desc(exposed.as_raw()) };
    assert_eq!(descriptor.present, !raw.is_null());
    let mut local = rig.domain.register(vec![0; 50], Access::SEND)?;
    let tail = local.split_off(20);
    assert_eq!(local.descriptor(), tail.descriptor());
    assert_eq!(local.descriptor().len, 50);
    Ok(())
}

/// Where nobody asks for it, registering on an endpoint is registering on its domain: regions outlive
/// the endpoint, and others use them.
// rule: M9
fn registered_on_an_endpoint<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<ofi::MemoryRegion<Vec<u8>, T>>
        + ofi::Accepts<ofi::FrozenRegion<&'static str, T>>,
{
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    assert!(!p.rig.info.domain().mr_mode().contains(MrMode::ENDPOINT));
    let into = p.a.register(vec![0; 64], Access::SEND | Access::RECV)?;
    let from = p.b.register_frozen("hello", Access::SEND)?;
    let receive = p.b.recv(into).post()?;
    p.a.send(from, p.to_b).wait(LIMIT)?;
    let (received, into) = receive.wait(LIMIT)?;
    assert_eq!(&into[..received.len()], b"hello");
    let Pair { a, b, .. } = p;
    a.close(LIMIT)?;
    b.close(LIMIT)?;
    assert_eq!(into.into_buffer()?[..5], *b"hello");
    Ok(())
}

/// A call that few providers have: it says so.
// rule: M11
fn refreshed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, RMA)?;
    let memory = memory(vec![0; 8192]);
    let mut region = rig.domain.expose(&memory).open()?;
    // Nobody asks for it here, so that slices may be in use.
    let _slice = region.slice(..10)?;
    let mut local = rig.domain.register(vec![0; 64], Access::RECV)?;
    for result in [region.refresh(..), region.refresh(10..20), local.refresh()] {
        match result {
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
            }
        }
    }
    region.refresh(5..5)?;
    assert_eq!(*region.refresh(5..9000).expect_err("beyond").kind(), ErrorKind::Invalid);
    Ok(())
}
