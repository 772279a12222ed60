//! Address vectors: what may be inserted, what an address is good for, what a removed one is.

use ofi::{AddressFormat, Caps, Connectionless, ErrorKind, FabricAddress};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Target, Verdict, cases, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, connectionless: first_address_is_an_address removed_is_refused of_another_vector_is_refused);
    cases!(list, connectionless: twice_inserted wrong_forms_are_refused looked_up used_again outlives_its_vector);
    cases!(list, rdm: removed_while_named removed_by_another_handle);
}

/// The number 0 is a valid address, not "any" and not oneself (fault 32).
fn first_address_is_an_address<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (a, b) = (rig.endpoint::<K>()?, rig.endpoint::<K>()?);
    assert!(rig.av.is_empty());
    let to_b = rig.av.insert(&b.name()?)?;
    assert_eq!(rig.av.len(), 1);
    let receive = b.recv(vec![0; 32]).post()?;
    a.send(pattern(32, 1), to_b).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, pattern(32, 1));
    Ok(())
}

/// A removed address is refused where it would be a wild pointer in the provider.
// rule: A1, A2
fn removed_is_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    p.rig.av.remove(p.to_b)?;
    let failed = p.a.send(pattern(9, 9), p.to_b).post().expect_err("removed");
    assert_eq!(*failed.error.kind(), ErrorKind::StaleAddress);
    assert_eq!(failed.buf.into_buffer(), Some(pattern(9, 9)));
    let failed = p.a.send(&b"x"[..], p.to_b).inject().expect_err("removed");
    assert_eq!(*failed.error.kind(), ErrorKind::StaleAddress);
    for result in [p.rig.av.remove(p.to_b), p.rig.av.lookup(p.to_b).map(drop)] {
        assert_eq!(*result.expect_err("removed").kind(), ErrorKind::StaleAddress);
    }
    // The other one is as good as before.
    let receive = p.a.recv(vec![0; 8]).post()?;
    p.b.send(vec![1; 8], p.to_a).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    Ok(())
}

/// An address is good in its own vector only, even where another one has as many.
// rule: A1
fn of_another_vector_is_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let other = p.rig.domain.address_vector().open()?;
    let foreign = other.insert(&p.b.name()?)?;
    let failed = p.a.send(vec![1; 4], foreign).post().expect_err("another vector's");
    assert_eq!(*failed.error.kind(), ErrorKind::StaleAddress);
    assert_eq!(failed.buf.into_buffer(), Some(vec![1; 4]));
    assert!(p.a.send(&b"x"[..], foreign).inject().is_err());
    assert!(p.rig.av.remove(foreign).is_err());
    assert!(p.rig.av.lookup(foreign).is_err());
    Ok(())
}

/// The same, when the other vector is gone and its memory may be something else.
// rule: A1
fn outlives_its_vector<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let other = p.rig.domain.address_vector().open()?;
    let foreign = other.insert(&p.b.name()?)?;
    other.close()?;
    let failed = p.a.send(vec![1; 4], foreign).post().expect_err("its vector is closed");
    assert_eq!(*failed.error.kind(), ErrorKind::StaleAddress);
    Ok(())
}

/// Inserting twice is one entry in the provider, and is to be removed twice.
// rule: A3, A5
fn twice_inserted<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    assert_eq!(p.rig.av.insert(&p.b.name()?)?, p.to_b);
    assert_eq!(p.rig.av.len(), 2);
    p.rig.av.remove(p.to_b)?;
    p.warm()?;
    p.rig.av.remove(p.to_b)?;
    assert_eq!(p.rig.av.len(), 1);
    assert!(p.a.send(vec![0], p.to_b).post().is_err());
    Ok(())
}

/// Bytes of another form, or another length, never reach the provider.
///
/// Fault 24 (the count is checked), peers' hole 7 (text without a NUL).
// rule: A4, A5, F24, H7
fn wrong_forms_are_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let own = p.b.name()?;
    let other = match own.format() {
        AddressFormat::Str => FabricAddress::from(std::net::SocketAddr::from(([127, 0, 0, 1], 9))),
        _ => FabricAddress::new(AddressFormat::Str, b"fi_addr_none://nowhere")?,
    };
    let error = p.rig.av.insert(&other).expect_err("another form");
    assert_eq!(*error.kind(), ErrorKind::Invalid);
    match own.format() {
        AddressFormat::Str => {
            // Text may end in a NUL or not.
            let mut text = own.bytes().to_vec();
            assert!(!text.contains(&0));
            text.push(0);
            assert_eq!(p.rig.av.insert(&FabricAddress::new(own.format(), &text)?)?, p.to_b);
        }
        format => {
            for length in [0, 1, own.bytes().len() - 1, own.bytes().len() + 1, 4096] {
                let mut bytes = own.bytes().to_vec();
                bytes.resize(length, 0);
                let wrong = FabricAddress::new(format, &bytes);
                let refused = wrong.and_then(|address| p.rig.av.insert(&address));
                assert!(refused.is_err(), "{length} bytes");
            }
        }
    }
    assert_eq!(p.rig.av.len(), 2);
    Ok(())
}

/// A handle leads back to the address it was made from.
// rule: A6, A7
fn looked_up<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    assert_eq!(p.rig.av.lookup(p.to_a)?, p.a.name()?);
    assert_eq!(p.rig.av.lookup(p.to_b)?, p.b.name()?);
    assert_ne!(p.a.name()?, p.b.name()?);
    Ok(())
}

/// A place that is used again makes no old handle good.
// rule: A1, A2
fn used_again<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let name = p.b.name()?;
    let mut old = vec![p.to_b];
    p.rig.av.remove(p.to_b)?;
    for _ in 0..20 {
        let again = p.rig.av.insert(&name)?;
        for stale in &old {
            assert_ne!(*stale, again);
            assert!(p.a.send(vec![0], *stale).post().is_err());
        }
        p.rig.av.remove(again)?;
        old.push(again);
    }
    let fresh = p.rig.av.insert(&name)?;
    let receive = p.b.recv(vec![0; 8]).post()?;
    p.a.send(vec![7; 8], fresh).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![7; 8]);
    Ok(())
}

/// More than a provider takes on trust: the send is not done before there is a receive.
const LONG: usize = 16 << 20;

/// Removing an address that an operation in flight names: new posts are refused at once, the
/// operation ends as if nothing were.
// rule: A2
fn removed_while_named<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    // No receive is posted yet: a long message cannot be done.
    let send = match p.a.send(pattern(LONG, 3), p.to_b).wait(std::time::Duration::ZERO) {
        Err(ofi::WaitError::Expired(send)) => send,
        other => panic!("a long message without a receive: {:?}", other.map(drop)),
    };
    p.rig.av.remove(p.to_b)?;
    assert!(p.a.send(vec![0], p.to_b).post().is_err());
    let receive = p.b.recv(vec![0; LONG]).post()?;
    progress_until(&p.rig.cq, "both ends", || send.is_done() && receive.is_done());
    send.wait(LIMIT)?;
    assert!(receive.wait(LIMIT)?.1 == pattern(LONG, 3));
    // Now that nothing names it, the place may be used again.
    let again = p.rig.av.insert(&p.b.name()?)?;
    let receive = p.b.recv(vec![0; 8]).post()?;
    p.a.send(vec![7; 8], again).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    Ok(())
}

/// Handles of a vector are one vector.
fn removed_by_another_handle<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.rig.av.clone().remove(p.to_b)?;
    assert!(p.a.send(vec![0], p.to_b).post().is_err());
    let ofi::CloseError::InUse(av) = p.rig.av.clone().close().expect_err("still in use") else {
        panic!("it was not to be closed")
    };
    assert_eq!(av.len(), 1);
    Ok(())
}
