//! Memory regions: registering, parts, and operations that use them.

use std::sync::Arc;

use ofi::{
    Access, Caps, CloseError, Connectionless, Domain, ErrorKind, FrozenRegion, MemoryRegion,
    Returned, WaitError,
};

use crate::harness::{LIMIT, List, Mode, Pair, Rig, Target, Verdict, cases, pattern};

pub fn register(list: &mut List) {
    cases!(list, connectionless:
        received_bytes_are_in_the_region
        parts_are_sent_and_received_side_by_side
        a_region_dropped_under_an_operation_is_harmless
    );
    cases!(list, rdm:
        many_regions_have_their_own_keys
        the_buffer_comes_back
        frozen_memory_is_sent_many_times_at_once
        what_cannot_be_registered_is_refused
        a_region_of_another_domain_is_refused
        a_region_keeps_its_domain_open
        keys_that_are_taken_are_passed_over
    );
}

const LOCAL: Access = Access::SEND.union(Access::RECV);

fn region<T: Mode>(domain: &Domain<T>, bytes: Vec<u8>) -> MemoryRegion<Vec<u8>, T> {
    domain.register(bytes, LOCAL).expect("it can be registered")
}

/// Fault 2: a receive into registered memory gave the length and zeros. Fault 8: descriptors are
/// carried along and never looked into.
// rule: M3, M15, B1, F2, F8
fn received_bytes_are_in_the_region<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<MemoryRegion<Vec<u8>, T>>,
{
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let from = region(&p.rig.domain, pattern(1000, 3));
    let into = region(&p.rig.domain, vec![0xEE; 1200]);
    let (start, key) = (into.as_ptr(), into.key());
    let receive = p.b.recv(into).post()?;
    let (_, from) = p.a.send(from, p.to_b).wait(LIMIT)?;
    let (received, into) = receive.wait(LIMIT)?;
    assert_eq!(received.len(), 1000);
    assert_eq!(into[..1000], pattern(1000, 3));
    assert!(into[1000..].iter().all(|byte| *byte == 0xEE));
    assert_eq!((into.as_ptr(), into.key()), (start, key), "the same region comes back");
    // And as plain memory once the registration has ended.
    let buffer = into.into_buffer()?;
    assert_eq!((buffer.as_ptr(), buffer.len()), (start, 1200));
    assert_eq!(from.into_buffer()?, pattern(1000, 3));
    Ok(())
}

/// Parts of one region are operation buffers of their own; what is written to one is not in another.
// rule: M2, M3
fn parts_are_sent_and_received_side_by_side<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<MemoryRegion<Vec<u8>, T>>,
{
    const PART: usize = 64;
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let mut rest = region(&p.rig.domain, vec![0; 4 * PART]);
    let mut receives = Vec::new();
    for _ in 0..4 {
        let tail = rest.split_off(PART);
        receives.push(p.b.recv(std::mem::replace(&mut rest, tail)).post()?);
    }
    assert!(rest.is_empty());
    for i in 0..4 {
        p.a.send(pattern(PART, i), p.to_b).wait(LIMIT)?;
    }
    let mut parts = Vec::new();
    for receive in receives {
        let (received, part) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), PART);
        parts.push(part);
    }
    let mut seen: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
    seen.sort();
    let mut sent: Vec<Vec<u8>> = (0..4).map(|i| pattern(PART, i)).collect();
    sent.sort();
    assert_eq!(seen, sent);
    // Together again they are the buffer.
    let mut whole = parts.remove(0);
    let whole = loop {
        match parts.pop() {
            None => break whole,
            Some(part) => match whole.unsplit(part) {
                Ok(()) => {}
                Err(part) => parts.insert(0, part),
            },
        }
    };
    assert_eq!(whole.len(), 4 * PART);
    let Err(CloseError::InUse(whole)) = whole.into_buffer() else {
        panic!("the empty rest still is a part");
    };
    drop(rest);
    assert_eq!(whole.into_buffer()?.len(), 4 * PART);
    Ok(())
}

/// Fault 12: closing a region under an operation. Here the operation owns its part: dropping every
/// other one, the operation itself and then the endpoint leaves nothing behind.
// rule: M2, B1, B2, F12
fn a_region_dropped_under_an_operation_is_harmless<K: Connectionless, T: Mode>(
    t: &Target,
) -> Verdict
where
    T: ofi::Accepts<MemoryRegion<Vec<u8>, T>>,
{
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let mut whole = region(&p.rig.domain, vec![0; 128]);
    let part = whole.split_off(64);
    let receive = p.b.recv(part).post()?;
    drop(whole);
    p.a.send(pattern(64, 9), p.to_b).wait(LIMIT)?;
    let (_, part) = receive.wait(LIMIT)?;
    assert_eq!(*part, *pattern(64, 9));
    // Given up in flight: the endpoint's close ends it, and the region with it.
    let abandoned = p.b.recv(part).post()?;
    drop(abandoned);
    let expired = p.b.recv(region(&p.rig.domain, vec![0; 64])).post()?;
    let held = match expired.wait(std::time::Duration::ZERO) {
        Err(WaitError::Expired(op)) => op.abandon(),
        other => panic!("nothing was sent: {other:?}"),
    };
    let Pair { a, b, rig, .. } = p;
    b.close(LIMIT)?;
    a.close(LIMIT)?;
    let region = match held {
        Returned::Back(region) => region,
        Returned::Held(mut held) => held.try_take().expect("the endpoint is closed"),
    };
    region.into_buffer()?;
    rig.cq.close()?;
    rig.av.close()?;
    rig.domain.close()?;
    assert_eq!((ofi::leaked().objects, ofi::leaked().operations), (0, 0));
    Ok(())
}

/// Fault 1: the second registration failed, because the requested key was always 0.
// rule: M7, F1
fn many_regions_have_their_own_keys<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let size = rig.info.domain().mr_key_size();
    let mut keys = std::collections::HashSet::new();
    let mut regions = Vec::new();
    for i in 0..100 {
        let region = region(&rig.domain, vec![i; 64]);
        let key = region.key().expect("a key of 64 bits");
        assert!(keys.insert(key), "key {key} twice");
        assert!(size == 0 || size >= 8 || key >> (8 * size) == 0, "{key:#x} in {size} bytes");
        regions.push(region);
    }
    // Two over the same memory.
    let shared: Arc<[u8]> = vec![7; 64].into();
    let one = rig.domain.register_frozen(Arc::clone(&shared), Access::SEND)?;
    let two = rig.domain.register_frozen(shared, Access::SEND)?;
    assert_ne!(one.key(), two.key());
    assert_eq!(one.as_ptr(), two.as_ptr());
    drop(regions);
    region(&rig.domain, vec![0; 1]);
    Ok(())
}

/// A key that somebody else uses in the same domain is no failure.
// rule: M7
fn keys_that_are_taken_are_passed_over<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    if rig.info.domain().mr_mode().contains(ofi::MrMode::PROV_KEY) {
        let (one, two) = (region(&rig.domain, vec![0; 8]), region(&rig.domain, vec![0; 8]));
        assert_ne!(one.key(), two.key());
        return Ok(());
    }
    let first = region(&rig.domain, vec![0; 8]).key().expect("a key");
    let memory = [0_u8; 64];
    let mut taken = Vec::new();
    for key in first + 1..first + 4 {
        let mut mr = std::ptr::null_mut();
        // SAFETY: the domain is open; the memory outlives the regions, which are closed below.
        let status = unsafe {
            ofi_sys::fi_mr_reg(
                rig.domain.as_raw(),
                memory.as_ptr().cast(),
                memory.len(),
                ofi_sys::FI_SEND,
                0,
                key,
                0,
                &raw mut mr,
                std::ptr::null_mut(),
            )
        };
        assert_eq!(status, 0);
        taken.push((mr, key));
    }
    let regions: Vec<_> = (0..4).map(|_| region(&rig.domain, vec![0; 8])).collect();
    for region in &regions {
        assert!(taken.iter().all(|(_, key)| Some(*key) != region.key()));
    }
    for (mr, _) in taken {
        // SAFETY: opened above, closed once.
        assert_eq!(unsafe { ofi_sys::fi_close(mr.cast()) }, 0);
    }
    Ok(())
}

fn the_buffer_comes_back<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let buffer = pattern(64, 1).into_boxed_slice();
    let start = buffer.as_ptr();
    let mut region = rig.domain.register(buffer, LOCAL)?;
    region[0] = 0xAA;
    let tail = region.split_off(32);
    let region = match region.into_buffer() {
        Err(CloseError::InUse(region)) => region,
        other => panic!("a part was left: {:?}", other.map(|_| ())),
    };
    drop(tail);
    let buffer = region.into_buffer()?;
    assert_eq!((buffer.as_ptr(), buffer[0], buffer.len()), (start, 0xAA, 64));
    Ok(())
}

/// Read-only handles overlap as they like.
// rule: B1
fn frozen_memory_is_sent_many_times_at_once<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<FrozenRegion<Vec<u8>, T>>,
{
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let frozen = region(&p.rig.domain, pattern(256, 5)).freeze();
    let slices = [frozen.clone(), frozen.slice(10..200), frozen.slice(100..), frozen.slice(..=9)];
    // Until there is a connection there is no room.
    p.warm()?;
    let mut receives = Vec::new();
    for slice in &slices {
        receives.push((p.b.recv(vec![0; 256]).post()?, slice.len()));
    }
    let mut sends = Vec::new();
    for slice in &slices {
        sends.push(p.a.send(slice.clone(), p.to_b).post()?);
    }
    for (receive, len) in receives {
        let (received, _) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), len);
    }
    for send in sends {
        send.wait(LIMIT)?;
    }
    let Err(CloseError::InUse(frozen)) = frozen.into_buffer() else {
        panic!("slices were left");
    };
    drop(slices);
    assert_eq!(frozen.into_buffer()?, pattern(256, 5));
    Ok(())
}

/// Every refusal gives the buffer back.
// rule: M1, M14, M15
fn what_cannot_be_registered_is_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let invalid = |bytes: Vec<u8>, access| {
        let failed = rig.domain.register(bytes, access).unwrap_err();
        let Returned::Back(buffer) = failed.buf else {
            panic!("the provider never had it");
        };
        (failed.error, buffer)
    };
    let (error, _) = invalid(Vec::new(), LOCAL);
    assert_eq!(*error.kind(), ErrorKind::Invalid, "empty: {error}");
    let (error, buffer) = invalid(vec![3; 8], Access::empty());
    assert_eq!((error.kind(), buffer), (&ErrorKind::Invalid, vec![3; 8]));
    for remote in [Access::REMOTE_READ, Access::REMOTE_WRITE] {
        let (error, _) = invalid(vec![3; 8], LOCAL | remote);
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    }
    let failed = rig.domain.register([vec![1_u8; 8], vec![2; 8]], LOCAL).unwrap_err();
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "scattered");
    let failed = rig.domain.register_frozen("text", Access::RECV).unwrap_err();
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "read-only");
    Ok(())
}

/// A descriptor means something in its own domain only.
// rule: M3
fn a_region_of_another_domain_is_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<MemoryRegion<Vec<u8>, T>> + ofi::Accepts<[MemoryRegion<Vec<u8>, T>; 2]>,
{
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let other = Rig::<T>::on(p.rig.info.clone())?;
    let failed = p.a.send(region(&other.domain, vec![5; 8]), p.to_b).post().unwrap_err();
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "{}", failed.error);
    let foreign = failed.buf.into_buffer().expect("never posted");
    let mixed = [region(&p.rig.domain, vec![6; 8]), foreign];
    let failed = p.b.recv(mixed).post().unwrap_err();
    assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "{}", failed.error);
    Ok(())
}

// rule: L1
fn a_region_keeps_its_domain_open<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let region = region(&rig.domain, pattern(16, 2));
    let Rig { domain, cq, av, fabric, .. } = rig;
    drop((cq, av));
    let Err(CloseError::InUse(domain)) = domain.close() else {
        panic!("closed under its region");
    };
    drop((domain, fabric));
    assert_eq!(region.into_buffer()?, pattern(16, 2));
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}
