//! Address vectors: many at once, by service, by number, and what every way in has in common.

use std::net::ToSocketAddrs;

use ofi::{Address, AddressFormat, Caps, Connectionless, ErrorKind, FabricAddress};

use crate::harness::{LIMIT, List, Mode, Rig, Stop, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, connectionless:
        a_service_is_reachable
        numbered_hosts_are_inserted_in_order
        many_at_once_have_their_own_results
        names_are_checked_before_the_provider_sees_them
        an_address_has_a_text
        numbered_names_are_resolved_one_by_one
        quirk_10_symmetric_overwrites
    );
}

/// The endpoint's port, where its address is of IP; the case ends elsewhere.
fn port(address: &FabricAddress) -> Result<u16, Stop> {
    match address.socket_addr() {
        Some(socket) => Ok(socket.port()),
        None => Err(Stop::Unsupported("addresses are not of IP".into())),
    }
}

/// `Unsupported` where the provider resolves nothing, which must be an error and no crash.
fn resolved<X>(result: ofi::Result<X>) -> Result<X, Stop> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            Err(Stop::Unsupported(error.to_string()))
        }
        other => Ok(other?),
    }
}

/// Peers 7: names went to C without their NUL.
// rule: A1, A5, H7
fn a_service_is_reachable<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (a, b) = (rig.endpoint::<K>()?, rig.endpoint::<K>()?);
    let name = b.name()?;
    let to = resolved(match port(&name) {
        Ok(port) => rig.av.insert_service("127.0.0.1", &port.to_string()),
        // Whatever the form of its addresses, the call itself must be safe.
        Err(_) => rig.av.insert_service("127.0.0.1", "7471"),
    })?;
    assert_eq!(rig.av.lookup(to)?, name);
    let receive = b.recv(vec![0; 8]).post()?;
    a.send(vec![4; 8], to).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, [4; 8]);
    // The same peer by its address is the same entry.
    assert_eq!(rig.av.insert(&name)?, to);
    assert_eq!(rig.av.insert_service("127.0.0.1", &port(&name)?.to_string())?, to);
    assert_eq!(rig.av.len(), 1);
    rig.av.remove(to)?;
    rig.av.remove(to)?;
    rig.av.remove(to)?;
    assert!(rig.av.is_empty() && rig.av.lookup(to).is_err());
    // And can come again.
    let again = rig.av.insert_service("127.0.0.1", &port(&name)?.to_string())?;
    assert_ne!(again, to, "another generation");
    assert_eq!(rig.av.lookup(again)?, name);
    Ok(())
}

// rule: A5
fn numbered_hosts_are_inserted_in_order<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let inserted = resolved(rig.av.insert_symmetric("127.0.0.1", 3, 7000, 2))?;
    assert_eq!(inserted.len(), 6);
    let mut expected = Vec::new();
    for host in 1..=3 {
        for port in 7000..7002 {
            expected.push(format!("127.0.0.{host}:{port}"));
        }
    }
    let mut found = Vec::new();
    for address in inserted {
        let socket = rig.av.lookup(address?)?.socket_addr();
        found.push(socket.expect("an address of IP").to_string());
    }
    assert_eq!(found, expected);
    assert_eq!(rig.av.len(), 6);
    Ok(())
}

/// Fault 24: the count that inserting returns was ignored. Each address has a result of its own,
/// and one that cannot be right keeps out no other.
// rule: A3, A4, A5, F24
fn many_at_once_have_their_own_results<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (a, b, c) = (rig.endpoint::<K>()?, rig.endpoint::<K>()?, rig.endpoint::<K>()?);
    let names = [a.name()?, b.name()?, c.name()?];
    let first = rig.av.insert(&names[1])?;
    let list = [&names[0], &names[1], &names[2], &names[0]];
    let inserted: Vec<Address> = rig.av.insert_all(list).into_iter().collect::<Result<_, _>>()?;
    assert_eq!(inserted[0], inserted[3], "the same address twice is one entry");
    assert_eq!(inserted[1], first, "one that was in it before too");
    assert_eq!(rig.av.len(), 3);
    for (address, name) in inserted.iter().zip(list) {
        assert_eq!(rig.av.lookup(*address)?, *name);
    }
    // Every one of them leads to its own endpoint.
    for (address, at, byte) in [(inserted[1], &b, 1), (inserted[2], &c, 2)] {
        let receive = at.recv(vec![0; 8]).post()?;
        a.send(vec![byte; 8], address).wait(LIMIT)?;
        assert_eq!(receive.wait(LIMIT)?.1, vec![byte; 8]);
    }
    // Removed as often as inserted.
    for address in inserted {
        rig.av.remove(address)?;
    }
    rig.av.remove(first)?;
    assert!(rig.av.is_empty());
    assert!(rig.av.remove(first).is_err());
    // One of another form among right ones.
    let odd = FabricAddress::new(AddressFormat::Efa, &[1; 32])?;
    let results = rig.av.insert_all([&names[0], &odd, &names[1]]);
    let kinds: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(kinds, [true, false, true]);
    assert_eq!(*results[1].as_ref().unwrap_err().kind(), ErrorKind::Invalid);
    assert!(rig.av.insert_all([]).is_empty());
    Ok(())
}

// rule: A5
fn names_are_checked_before_the_provider_sees_them<K: Connectionless, T: Mode>(
    t: &Target,
) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let long = "h".repeat(64);
    for (node, service) in [("", "1"), ("127.0.0.1", ""), ("a\0b", "1"), (long.as_str(), "1")] {
        let error = rig.av.insert_service(node, service).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{node:?} {service:?}: {error}");
    }
    for (node, nodes, service, services) in [
        ("127.0.0.1", 0, 7000, 1),
        ("127.0.0.1", 1, 7000, 0),
        ("127.0.0.1", 1, 65535, 2),
        ("", 1, 7000, 1),
        (long.as_str(), 1, 7000, 1),
    ] {
        let error = rig.av.insert_symmetric(node, nodes, service, services).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{node:?} {nodes} {service}: {error}");
    }
    let error = rig.av.insert_symmetric("127.0.0.1", usize::MAX, 1, 2).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error}");
    assert!(rig.av.is_empty());
    Ok(())
}

// rule: A6
fn an_address_has_a_text<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let ep = rig.endpoint::<K>()?;
    let name = ep.name()?;
    let text = rig.av.text(&name)?;
    match name.socket_addr() {
        Some(socket) => {
            assert!(text.contains("127.0.0.1"), "{text}");
            assert!(text.contains(&socket.port().to_string()), "{text}");
        }
        None => assert!(text.contains(&name.to_string()), "{text} of {name}"),
    }
    let odd = FabricAddress::new(AddressFormat::Efa, &[1; 32])?;
    assert_eq!(*rig.av.text(&odd).unwrap_err().kind(), ErrorKind::Invalid);
    Ok(())
}

/// The first of them is this host, if it knows its own name; the others are none.
// rule: A5
fn numbered_names_are_resolved_one_by_one<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let known = |host: &str| {
        let mut found = (host, 7000).to_socket_addrs().into_iter().flatten();
        found.any(|socket| socket.is_ipv4())
    };
    let inserted = resolved(rig.av.insert_symmetric("localhost", 2, 7000, 2))?;
    let here: Vec<bool> = inserted.iter().map(Result::is_ok).collect();
    let (first, second) = (known("localhost"), known("localhost1"));
    assert_eq!(here, [first, first, second, second], "{inserted:?}");
    for (i, result) in inserted.into_iter().enumerate() {
        match result {
            Ok(address) => {
                let socket = rig.av.lookup(address)?.socket_addr();
                assert_eq!(socket.map(|socket| socket.port()), Some(7000 + i as u16 % 2));
            }
            Err(error) => assert_eq!(*error.kind(), ErrorKind::NotFound, "{error}"),
        }
    }
    // Digits alone: providers look before the beginning for where they begin.
    let _ = rig.av.insert_service("2130706433", "7471");
    Ok(())
}

/// Defect 10: sockets writes every number to the first place. Others fill the array.
fn quirk_10_symmetric_overwrites<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let mut raws = [ofi_sys::FI_ADDR_NOTAVAIL; 2];
    // SAFETY: the vector is open, the texts end in NUL, there is room for both numbers.
    let status = unsafe {
        ofi_sys::fi_av_insertsym(
            rig.av.as_raw(),
            c"127.0.0.1".as_ptr(),
            1,
            c"7000".as_ptr(),
            2,
            raws.as_mut_ptr(),
            0,
            std::ptr::null_mut(),
        )
    };
    t.require(status != -ofi_sys::FI_ENOSYS, "no symmetric addresses")?;
    assert_eq!(status, 2);
    let overwrites = raws[1] == ofi_sys::FI_ADDR_NOTAVAIL;
    let known = ofi::quirk(&t.provider, ofi::Defect::SymmetricOverwrites);
    assert_eq!(overwrites, known.is_some(), "{raws:?}");
    Ok(())
}
