//! Listeners at addresses that are not their infos'.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use ofi::{AddressFormat, ErrorKind};

use super::{Rig, talk};
use crate::harness::{Mode, Stop, Target, Verdict};

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The address is the listener's before anybody connects, nobody else's meanwhile, and free after.
// rule: A7
pub(super) fn listening_at_a_chosen_port<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listen = |address| {
        let builder = rig.fabric.passive_endpoint(&rig.info).event_queue(&rig.eq);
        builder.name(address).listen()
    };
    let mut tries = 0;
    let (port, listener) = loop {
        // Free just now; somebody else may be quicker.
        let port = TcpListener::bind(local(0))?.local_addr()?.port();
        match listen(local(port)) {
            Ok(listener) => break (port, listener),
            Err(error) if tries == 20 => return Err(error.into()),
            Err(_) => tries += 1,
        }
    };
    assert_eq!(listener.name()?.socket_addr(), Some(local(port)));
    let [a, b] = rig.pair(&listener)?;
    talk(&a, &b, 100)?;
    assert!(listen(local(port)).is_err(), "it is in use");
    let other = listen(local(0))?;
    let chosen = other.name()?.socket_addr().ok_or_else(|| Stop::Failed("no name".into()))?;
    assert!(chosen.port() != 0 && chosen.port() != port, "{chosen}");
    let [c, d] = rig.pair(&other)?;
    talk(&c, &d, 100)?;
    drop((a, b, c, d));
    listener.close()?;
    if t.provider == "tcp" {
        // The connections of before are in the way of a bind, and not of who takes the listener over.
        let again = listen(local(port))?;
        let [a, b] = rig.pair(&again)?;
        talk(&a, &b, 100)?;
    }
    Ok(())
}

/// An address of another family than the info's.
pub(super) fn names_of_another_family<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let address: SocketAddr = match rig.info.address_format() {
        AddressFormat::SockaddrIn => (Ipv6Addr::LOCALHOST, 0).into(),
        AddressFormat::SockaddrIn6 => local(0),
        // Both go.
        _ => return Ok(()),
    };
    let builder = rig.fabric.passive_endpoint(&rig.info).event_queue(&rig.eq);
    let error = builder.name(address).listen().expect_err("of another family");
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("fi_setname"), "{error}");
    Ok(())
}
