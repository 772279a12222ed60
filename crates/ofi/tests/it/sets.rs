//! Sets of addresses: what is in them, in which order, and what they keep.

use ofi::{
    Address, AvSet, Caps, Connectionless, Defect, Domain, ErrorKind, FabricAddress, SetFlags, quirk,
};

use crate::harness::{List, Mode, Rig, Stop, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, rdm: as_sets_on_the_host ranges removed_while_in_a_set odd_sets);
    cases!(list, rdm: quirk_52_sets_garbled);
}

/// A rig for collectives, and so many addresses in its vector that nobody is at.
fn addresses<T: Mode>(t: &Target, count: u16) -> Result<(Rig<T>, Vec<Address>), Stop> {
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::TAGGED | Caps::COLLECTIVE)?;
    let peers: Vec<FabricAddress> = (0..count)
        .map(|i| FabricAddress::from(std::net::SocketAddr::from(([127, 0, 0, 1], 20000 + i))))
        .collect();
    let known = peers.iter().map(|peer| rig.av.insert(peer)).collect::<Result<_, _>>()?;
    Ok((rig, known))
}

fn set_of<T: Mode>(rig: &Rig<T>, members: &[Address]) -> Result<AvSet<T>, Stop> {
    let mut set = rig.av.set().count(32).open()?;
    for member in members {
        set.insert(*member)?;
    }
    Ok(set)
}

/// What the provider has in the set, by taking out (and putting back) each that may be: in no order.
fn really_in<T: Mode>(set: &AvSet<T>, known: &[Address]) -> Vec<Address> {
    let here = |address: &&Address| {
        // SAFETY: the set is open, the address is in its vector; what is taken out is put back.
        unsafe {
            let gone = ofi_sys::fi_av_set_remove(set.as_raw(), address.as_raw()) == 0;
            gone && ofi_sys::fi_av_set_insert(set.as_raw(), address.as_raw()) == 0
        }
    };
    known.iter().filter(here).copied().collect()
}

/// Random sequences of all operations on two sets, beside the same on vectors of the host.
fn as_sets_on_the_host<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let (rig, known) = addresses::<T>(t, 12)?;
    let mut seed = 7_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..200 {
        let (mut set, mut host) = (set_of(&rig, &[])?, Vec::<Address>::new());
        for _ in 0..12 {
            let one = known[random(known.len())];
            let some: Vec<Address> = known.iter().copied().filter(|_| random(2) == 0).collect();
            let other = {
                let mut some = some.clone();
                let turned = random(some.len().max(1));
                some.rotate_left(turned);
                set_of(&rig, &some)?
            };
            match random(5) {
                0 if host.contains(&one) => {
                    assert_eq!(*set.insert(one).unwrap_err().kind(), ErrorKind::Invalid);
                }
                0 => {
                    set.insert(one)?;
                    host.push(one);
                }
                1 if !host.contains(&one) => {
                    assert_eq!(*set.remove(one).unwrap_err().kind(), ErrorKind::NotFound);
                }
                1 => {
                    set.remove(one)?;
                    host.retain(|other| *other != one);
                }
                2 => {
                    set.union(&other)?;
                    let new = other.members().iter().filter(|new| !host.contains(new));
                    host.extend(new.copied().collect::<Vec<_>>());
                }
                3 => {
                    set.intersect(&other)?;
                    host.retain(|one| some.contains(one));
                }
                _ => {
                    set.difference(&other)?;
                    host.retain(|one| !some.contains(one));
                }
            }
            assert_eq!(set.members(), host);
            assert_eq!((set.len(), set.is_empty()), (host.len(), host.is_empty()));
            assert_eq!(set.contains(one), host.contains(&one));
        }
        // In the provider, too.
        let mut real = really_in(&set, &known);
        real.sort_by_key(Address::as_raw);
        host.sort_by_key(Address::as_raw);
        assert_eq!(real, host);
        assert_ne!(set.raw_address()?, ofi_sys::FI_ADDR_NOTAVAIL);
    }
    Ok(())
}

/// Sets that begin with a range of the vector's addresses: those that were inserted after another set
/// was made, too, and without those that were removed.
// rule: X7
fn ranges<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let (rig, mut known) = addresses::<T>(t, 3)?;
    drop(set_of(&rig, &known)?);
    for i in 0..50 {
        let peer = std::net::SocketAddr::from(([127, 0, 0, 2], 20000 + i));
        known.push(rig.av.insert(&peer.into())?);
    }
    known.sort_by_key(Address::as_raw);
    let (first, last) = (known[0], known[52]);
    let all = rig.av.set().range(first, last, 1).flags(SetFlags::BARRIER_SET).open()?;
    assert_eq!(all.members(), known);
    assert_eq!(really_in(&all, &known), known);
    rig.av.remove(known[6])?;
    let some = rig.av.set().count(20).range(known[2], known[17], 2).open()?;
    let expected: Vec<Address> =
        (2..=17).step_by(2).filter(|i| *i != 6).map(|i| known[i]).collect();
    assert_eq!(some.members(), expected);
    let error = rig.av.set().range(first, last, 0).open().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid);
    let error = rig.av.set().range(first, known[6], 1).open().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::StaleAddress);
    Ok(())
}

/// An address that is removed from the vector stays in the provider while a set has it, and goes with
/// the last.
// rule: A2, X7
fn removed_while_in_a_set<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let (rig, known) = addresses::<T>(t, 4)?;
    let mut one = set_of(&rig, &known)?;
    let two = set_of(&rig, &known[..2])?;
    let in_provider = |address: Address| {
        let (mut bytes, mut len) = ([0_u8; 64], 64);
        // SAFETY: the vector is open; so many bytes may be written.
        let status = unsafe {
            let to = bytes.as_mut_ptr().cast();
            ofi_sys::fi_av_lookup(rig.av.as_raw(), address.as_raw(), to, &raw mut len)
        };
        status == 0
    };
    rig.av.remove(known[0])?;
    rig.av.remove(known[3])?;
    assert_eq!(*rig.av.lookup(known[0]).unwrap_err().kind(), ErrorKind::StaleAddress);
    assert!(in_provider(known[0]) && in_provider(known[3]), "sets have them");
    assert_eq!(one.members(), known, "they are still members");
    // What is removed does not go into another set, but by a union with one that has it.
    let mut three = set_of(&rig, &[])?;
    assert_eq!(*three.insert(known[0]).unwrap_err().kind(), ErrorKind::StaleAddress);
    three.union(&two)?;
    assert_eq!(three.members(), &known[..2]);
    one.remove(known[0])?;
    one.close()?;
    drop(two);
    assert!(in_provider(known[0]), "the third has it");
    three.close()?;
    // The same address again is a new handle.
    let again = rig.av.insert(&std::net::SocketAddr::from(([127, 0, 0, 1], 20000)).into())?;
    assert_ne!(again, known[0]);
    Ok(())
}

/// What is refused: other vectors' addresses and sets, more than fits, what closes under a set.
fn odd_sets<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let (rig, known) = addresses::<T>(t, 4)?;
    let (other, foreign) = addresses::<T>(t, 1)?;
    let mut set = set_of(&rig, &known[..1])?;
    assert_eq!(*set.insert(foreign[0]).unwrap_err().kind(), ErrorKind::StaleAddress);
    assert_eq!(*set.remove(foreign[0]).unwrap_err().kind(), ErrorKind::NotFound);
    let strange = set_of(&other, &foreign)?;
    for error in [set.union(&strange), set.intersect(&strange), set.difference(&strange)] {
        assert_eq!(*error.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(set.members(), &known[..1]);
    // A set of one place is full with one; the union that does not fit leaves nothing to go on with.
    let mut small = rig.av.set().count(1).open()?;
    small.insert(known[0])?;
    assert_eq!(small.insert(known[1]).unwrap_err().errno(), Some(ofi::Errno::ENOMEM));
    assert_eq!(small.members(), &known[..1]);
    let both = set_of(&rig, &known)?;
    assert_eq!(small.union(&both).unwrap_err().errno(), Some(ofi::Errno::ENOMEM));
    assert_eq!(*small.remove(known[0]).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(*set.union(&small).unwrap_err().kind(), ErrorKind::Invalid);
    // The vector stays open under its sets, and closes after them.
    let Rig { av, domain, cq, .. } = rig;
    let Err(ofi::CloseError::InUse(av)) = av.close() else { panic!("closed under its sets") };
    drop((set, small, both));
    av.close()?;
    drop((cq, domain));
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

/// Defect 52: the provider's own arithmetic.
// quirk: 52
fn quirk_52_sets_garbled<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let (rig, known) = addresses::<T>(t, 4)?;
    let known_garbled = quirk(&t.provider, Defect::SetsGarbled).is_some();
    let (set, other) = (set_of(&rig, &known[..2])?, set_of(&rig, &known[..1])?);
    // SAFETY: both are open.
    assert_eq!(unsafe { ofi_sys::fi_av_set_diff(set.as_raw(), other.as_raw()) }, 0);
    assert_eq!(really_in(&set, &known) != known[1..2], known_garbled, "the defect is gone");
    let (set, other) = (set_of(&rig, &known[..2])?, set_of(&rig, &[known[1], known[0]])?);
    // SAFETY: both are open.
    assert_eq!(unsafe { ofi_sys::fi_av_set_intersect(set.as_raw(), other.as_raw()) }, 0);
    assert_eq!(really_in(&set, &known) != known[..2], known_garbled, "the defect is gone");
    // Without the capability there are none.
    let info = t.query(Caps::MSG)?;
    let domain: Domain<T> = rig.fabric.domain(&info)?;
    if let Err(error) = domain.address_vector().open()?.set().open() {
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    }
    Ok(())
}
