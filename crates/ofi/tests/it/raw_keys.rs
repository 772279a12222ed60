//! Keys that are longer than 64 bits: two rails of `tcp;ofi_rxm` under `ofi_mrail`, which demands
//! `FI_MR_RAW`.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use ofi::{
    Access, Caps, Confined, Defect, EndpointType, ErrorKind, ExposedRegion, Hints, Info, Memory,
    MrMode, Rdm, RemoteRegion, RemoteSlice, Shared, WaitError, quirk,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Target, Tracked, Verdict, cases, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, once:
        mapped_and_used mapped_and_used_confined
        only_mapped_keys_are_used
        a_mapping_outlives_its_operations
        keys_of_a_wrong_length_are_refused
        quirk_35_any_length_is_mapped
        rails_that_ask_for_nothing
    );
    for case in [
        "mapped_and_used",
        "mapped_and_used_confined",
        "only_mapped_keys_are_used",
        "a_mapping_outlives_its_operations",
        "keys_of_a_wrong_length_are_refused",
        "quirk_35_any_length_is_mapped",
    ] {
        list.env(&format!("raw_keys::{case}"), RAILS);
    }
}

/// What makes the provider show up.
pub const RAILS: &[(&str, &str)] = &[("FI_OFI_MRAIL_ADDR", "127.0.0.1,127.0.0.1")];

const PROVIDER: &str = "tcp;ofi_rxm;ofi_mrail";

const REMOTE: Access = Access::REMOTE_READ.union(Access::REMOTE_WRITE);

pub fn info() -> Result<Info, ofi::Error> {
    let hints = Hints::new().provider(PROVIDER).endpoint_type(EndpointType::Rdm);
    let hints = hints.caps(Caps::MSG | Caps::RMA);
    Ok(hints.query()?.into_best())
}

fn pair<T: Mode>() -> Result<Pair<Rdm, T>, crate::harness::Stop> {
    let info = info()?;
    assert!(info.domain().mr_mode().contains(MrMode::RAW), "{}", info.domain().mr_mode());
    Pair::on(Rig::on(info)?)
}

fn exposed<T: Mode>(rig: &Rig<T>, len: usize) -> Result<ExposedRegion<T>, ofi::Error> {
    let memory = Memory::new(vec![0; len]).expect("one piece");
    rig.domain.expose(&memory).access(REMOTE).open()
}

/// There and back, over the bytes that a peer would be sent.
// rule: M8
fn mapped_and_used(_: &Target) -> Verdict {
    there_and_back::<Shared>()
}

// rule: M8
fn mapped_and_used_confined(_: &Target) -> Verdict {
    there_and_back::<Confined>()
}

fn there_and_back<T: Mode>() -> Verdict {
    let p = pair::<T>()?;
    for len in [64, 5000, 200_000] {
        let region = exposed(&p.rig, len)?;
        assert_eq!(region.key(), None);
        let remote = RemoteRegion::from_bytes(&region.remote().to_bytes())?;
        assert_eq!(remote.raw_key().map(<[u8]>::len), Some(p.rig.info.domain().mr_key_size()));
        let mapped = p.rig.domain.map(&remote)?;
        assert_eq!((mapped.len(), mapped.access()), (len, REMOTE));
        p.a.write(pattern(len, 3), p.to_b, &mapped).wait(LIMIT)?;
        progress_until(&p.rig.cq, "the bytes", || region.memory().to_vec() == pattern(len, 3));
        let (_, back) = p.a.read(vec![0; len], p.to_b, &mapped).wait(LIMIT)?;
        assert_eq!(back, pattern(len, 3));
        let some = mapped.slice(16..48)?;
        p.a.write(vec![0xAA; 32], p.to_b, some).inject()?;
        progress_until(&p.rig.cq, "a copy", || region.memory().to_vec()[16..48] == [0xAA; 32]);
    }
    Ok(())
}

/// A number that is no mapped key would be followed by the provider.
// rule: M8
fn only_mapped_keys_are_used(_: &Target) -> Verdict {
    let p = pair::<Shared>()?;
    let region = exposed(&p.rig, 64)?;
    let remote = region.remote();
    let refused = |slice: RemoteSlice, why: &str| {
        for failed in [
            p.a.write(vec![1; 8], p.to_b, slice).post().err().map(|failed| failed.error),
            p.a.read(vec![1; 8], p.to_b, slice).post().err().map(|failed| failed.error),
            p.a.write(vec![1; 8], p.to_b, slice).inject().err().map(|failed| failed.error),
        ] {
            let error = failed.expect(why);
            assert_eq!(*error.kind(), ErrorKind::Invalid, "{why}: {error}");
        }
    };
    refused((&remote).into(), "not mapped");
    // A plain key, as any peer may claim to have.
    let mut bytes = vec![1, 3];
    for number in [0_u64, 64, 0x7FFF_FFFF_F000] {
        bytes.extend(number.to_le_bytes());
    }
    let plain = RemoteRegion::from_bytes(&bytes)?;
    refused((&plain).into(), "a plain key");
    assert_eq!(*p.rig.domain.map(&plain).expect_err("plain").kind(), ErrorKind::Invalid);
    // Mapped elsewhere.
    let other = Rig::<Shared>::on(p.rig.info.clone())?;
    let foreign = other.domain.map(&remote)?;
    refused((&foreign).into(), "mapped on another domain");
    // Not any more.
    let mapped = p.rig.domain.map(&remote)?;
    let slice = mapped.slice(..8)?;
    let again = mapped.clone();
    drop(mapped);
    p.a.write(vec![1; 8], p.to_b, slice).wait(LIMIT)?;
    drop(again);
    refused(slice, "unmapped");
    // Pieces of different regions.
    let (one, two) = (p.rig.domain.map(&remote)?, p.rig.domain.map(&remote)?);
    let mixed = p.a.write(vec![1; 16], p.to_b, one.slice(..8)?).and(remote.slice(..8)?);
    assert!(mixed.post().is_err());
    let stale = two.slice(..8)?;
    drop(two);
    let stale = p.a.write(vec![1; 16], p.to_b, one.slice(..8)?).and(stale);
    assert!(stale.post().is_err());
    Ok(())
}

/// Dropping the last handle while operations use the key unmaps nothing yet; nor does dropping those.
// rule: M8, L3, B2
fn a_mapping_outlives_its_operations(_: &Target) -> Verdict {
    let p = pair::<Shared>()?;
    let region = exposed(&p.rig, 4 << 20)?;
    let mapped = p.rig.domain.map(&region.remote())?;
    let mut writes = Vec::new();
    let (tracked, dropped) = Tracked::new(vec![0; 1 << 20]);
    let orphan = match p.a.write(tracked, p.to_b, mapped.slice(..1 << 20)?).wait(Duration::ZERO) {
        Err(WaitError::Expired(op)) => Some(op),
        Ok(_) => None,
        Err(WaitError::Failed(failed)) => return Err(failed.error.into()),
    };
    for n in 0..3_u8 {
        let at = usize::from(n) << 20;
        let target = mapped.slice(at..at + (1 << 20))?;
        match p.a.write(vec![n + 1; 1 << 20], p.to_b, target).wait(Duration::ZERO) {
            Err(WaitError::Expired(op)) => writes.push(op),
            Ok(_) => {}
            Err(WaitError::Failed(failed)) => return Err(failed.error.into()),
        }
    }
    drop((mapped, orphan));
    for write in writes {
        write.wait(LIMIT)?;
    }
    let expected = |n: u8| vec![n + 1; 1 << 20];
    let deadline = Instant::now() + LIMIT;
    while !dropped.load(Ordering::SeqCst)
        || (0..3_u8).any(|n| {
            let at = usize::from(n) << 20;
            region.memory().to_vec()[at..at + (1 << 20)] != expected(n)
        })
    {
        p.rig.cq.progress()?;
        assert!(Instant::now() < deadline, "the bytes do not arrive");
    }
    // Nothing of them keeps the domain open.
    drop(region);
    let Pair { a, b, rig, .. } = p;
    a.close(LIMIT)?;
    b.close(LIMIT)?;
    let Rig { cq, av, domain, .. } = rig;
    cq.close()?;
    av.close()?;
    domain.close()?;
    Ok(())
}

/// The provider reads as much of a key as its own have, whatever a peer sent.
// rule: M8
// quirk: 35
fn keys_of_a_wrong_length_are_refused(_: &Target) -> Verdict {
    let p = pair::<Shared>()?;
    let region = exposed(&p.rig, 64)?;
    let bytes = region.remote().to_bytes();
    for change in [-31_isize, -1, 1, 1000] {
        let mut changed = bytes.clone();
        changed.resize(bytes.len().checked_add_signed(change).expect("some"), 0);
        let remote = RemoteRegion::from_bytes(&changed)?;
        let error = p.rig.domain.map(&remote).expect_err("not a key of this provider");
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    }
    Ok(())
}

/// Defect 35: a key of one byte is mapped. An operation with it would read what is behind.
fn quirk_35_any_length_is_mapped(_: &Target) -> Verdict {
    let rig = Rig::<Shared>::on(info()?)?;
    let (mut short, mut key) = ([7_u8], 0);
    let domain = rig.domain.as_raw();
    // SAFETY: the domain is open; one byte is read, one number written.
    let status =
        unsafe { ofi_sys::fi_mr_map_raw(domain, 0, short.as_mut_ptr(), 1, &raw mut key, 0) };
    let known = quirk(PROVIDER, Defect::RawKeyUnchecked).is_some();
    assert_eq!(status == 0, known, "{status}");
    if status == 0 {
        // SAFETY: it was mapped, and nothing uses it.
        assert_eq!(unsafe { ofi_sys::fi_mr_unmap_key(domain, key) }, 0);
    }
    Ok(())
}

/// Elsewhere mapping changes nothing, and a key that is raw cannot be used.
// rule: M8
fn rails_that_ask_for_nothing(_: &Target) -> Verdict {
    let hints = Hints::new().provider("sockets").endpoint_type(EndpointType::Rdm);
    let hints = hints.caps(Caps::MSG | Caps::RMA).node("127.0.0.1").service("0").source();
    let p = Pair::<Rdm, Shared>::on(Rig::on(hints.query()?.into_best())?)?;
    let region = exposed(&p.rig, 64)?;
    let mapped = p.rig.domain.map(&region.remote())?;
    assert_eq!(RemoteSlice::from(&mapped), RemoteSlice::from(region.remote()));
    p.a.write(vec![5; 64], p.to_b, &mapped).wait(LIMIT)?;
    progress_until(&p.rig.cq, "the bytes", || region.memory().to_vec() == [5; 64]);
    let mut bytes = region.remote().to_bytes();
    bytes[0] = 2;
    bytes.extend([7; 32]);
    let raw = RemoteRegion::from_bytes(&bytes)?;
    assert!(p.rig.domain.map(&raw).is_err());
    assert!(p.a.write(vec![5; 64], p.to_b, &raw).post().is_err());
    Ok(())
}
