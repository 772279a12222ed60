//! Multicast groups: joining, what reaches the members, leaving, what is refused.

use std::net::{Ipv4Addr, SocketAddr};

use ofi::{
    Caps, CloseError, Connectionless, Endpoint, ErrorKind, EventQueue, FabricAddress, Info,
    MulticastGroup, OpFlags, Received,
};

use crate::harness::{
    LIMIT, List, Mode, Parent, Peer, Rig, Stop, Target, Verdict, cases, own_network, pattern,
    progress_until, share_ports,
};

pub fn register(list: &mut List) {
    cases!(list, dgram:
        sent_to_all_members
        left_and_joined_again
        groups_close_before_their_endpoints
        dropped_join
        refused_joins
        refused_sends
    );
    cases!(list, connectionless: needs_the_capability addresses_of_groups_as_peers);
}

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 7, 7, 7);

fn group(port: u16) -> FabricAddress {
    SocketAddr::from((GROUP, port)).into()
}

/// An info with groups whose endpoints are at this port of all addresses; 0 for any.
fn info(t: &Target, caps: Caps, port: u16) -> Result<Info, Stop> {
    // The addresses of the loopback device alone hear no group.
    let hints = t.hints(caps).node("0.0.0.0").service(port.to_string());
    match hints.query() {
        Ok(list) => Ok(list.into_best()),
        Err(error) if *error.kind() == ErrorKind::NotFound => {
            Err(Stop::Unsupported(format!("{} has no multicast", t.provider)))
        }
        Err(error) => Err(error.into()),
    }
}

/// A rig in a network of its own, with an event queue.
struct Net<T: Mode> {
    events: EventQueue<T>,
    rig: Rig<T>,
}

impl<T: Mode> Net<T> {
    fn open(t: &Target, port: u16) -> Result<Net<T>, Stop> {
        let rig = Rig::<T>::on(info(t, Caps::MSG | Caps::MULTICAST, port)?)?;
        assert!(rig.info.caps().contains(Caps::MULTICAST));
        Ok(Net { events: rig.fabric.event_queue().open()?, rig })
    }

    fn endpoint<K: Connectionless>(&self) -> Result<Endpoint<K, T>, Stop> {
        let builder = self.rig.domain.endpoint::<K>(&self.rig.info);
        let builder = builder.address_vector(&self.rig.av).completion_queue(&self.rig.cq);
        Ok(builder.event_queue(&self.events).enable()?)
    }
}

fn port<K: Connectionless, T: Mode>(ep: &Endpoint<K, T>) -> Result<u16, Stop> {
    Ok(ep.name()?.socket_addr().expect("an IP address").port())
}

fn heard(received: (Received, Vec<u8>), seed: u8) {
    let (received, bytes) = received;
    assert_eq!((received.len(), &bytes[..received.len()]), (100, &*pattern(100, seed)));
}

/// What one endpoint sends to the group is heard by two in its own process and by two other processes.
// rule: C8, A9
fn sent_to_all_members<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    share_ports();
    if Parent::role().is_some() {
        let parent = Parent::new();
        let port: u16 = parent.hear()?.parse()?;
        let net = Net::<T>::open(t, port)?;
        let ep = net.endpoint::<K>()?;
        let _member = ep.join(&group(port))?.wait(LIMIT)?;
        let receive = ep.recv(vec![0; 200]).post()?;
        parent.say("ready")?;
        heard(receive.wait(LIMIT)?, 1);
        parent.say("heard")?;
        return parent.until_closed();
    }
    own_network()?;
    let net = Net::<T>::open(t, 0)?;
    let first = net.endpoint::<K>()?;
    let port = port(&first)?;
    let same = Net::<T>::open(t, port)?;
    let second = same.endpoint::<K>()?;
    let one = first.join(&group(port))?.wait(LIMIT)?;
    let two = second.join(&group(port))?.wait(LIMIT)?;
    assert_eq!((one.address(), two.address()), (&group(port), &group(port)));
    let mut members = [Peer::start("first")?, Peer::start("second")?];
    for peer in &mut members {
        peer.say(&port.to_string())?;
        assert_eq!(peer.hear()?, "ready");
    }
    let receives = (first.recv(vec![0; 200]).post()?, second.recv(vec![0; 200]).post()?);
    // It is in the group, too, at another port, where it hears nothing of this.
    let sender = Net::<T>::open(t, 0)?;
    let third = sender.endpoint::<K>()?;
    let to = third.join(&group(port))?.wait(LIMIT)?;
    third.send(pattern(100, 1), &to).wait(LIMIT)?;
    heard(receives.0.wait(LIMIT)?, 1);
    heard(receives.1.wait(LIMIT)?, 1);
    for peer in &mut members {
        assert_eq!(peer.hear()?, "heard");
    }
    members.into_iter().try_for_each(Peer::finish)
}

/// An endpoint that has joined, and one that sends to it.
fn two<K: Connectionless, T: Mode>(
    net: &Net<T>,
) -> Result<(Endpoint<K, T>, MulticastGroup<T>, Endpoint<K, T>, MulticastGroup<T>), Stop> {
    let (hears, sends) = (net.endpoint::<K>()?, net.endpoint::<K>()?);
    let at = group(port(&hears)?);
    let joined = hears.join(&at)?.wait(LIMIT)?;
    let to = sends.join(&at)?.wait(LIMIT)?;
    Ok((hears, joined, sends, to))
}

/// After `leave`, and after a drop, nothing of the group is heard; after another join it is.
///
/// Sent by one that is in no group: Linux has endpoints at the unspecified address hear what anybody
/// on the host has joined.
// rule: C8
fn left_and_joined_again<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    own_network()?;
    let net = Net::<T>::open(t, 0)?;
    let (hears, sends) = (net.endpoint::<K>()?, net.endpoint::<K>()?);
    let port = port(&hears)?;
    let to = net.rig.av.insert(&group(port))?;
    let own = net.rig.av.insert(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    // What is not heard is followed by what is, in the order of their sending.
    let unheard = |seed: u8| -> Verdict {
        let receive = hears.recv(vec![0; 200]).post()?;
        sends.send(pattern(100, seed), to).wait(LIMIT)?;
        sends.send(pattern(100, seed + 1), own).wait(LIMIT)?;
        heard(receive.wait(LIMIT)?, seed + 1);
        Ok(())
    };
    unheard(1)?;
    let joined = hears.join(&group(port))?.wait(LIMIT)?;
    let receive = hears.recv(vec![0; 200]).post()?;
    sends.send(pattern(100, 3), to).wait(LIMIT)?;
    heard(receive.wait(LIMIT)?, 3);
    joined.leave(LIMIT)?;
    unheard(4)?;
    let again = ofi::block_on(hears.join(&group(port))?)?;
    let receive = hears.recv(vec![0; 200]).post()?;
    sends
        .send(vec![pattern(100, 6)[..60].to_vec(), pattern(100, 6)[60..].to_vec()], to)
        .wait(LIMIT)?;
    heard(receive.wait(LIMIT)?, 6);
    // Members hear what they send themselves.
    let receive = hears.recv(vec![0; 200]).post()?;
    let parts = [pattern(100, 7)[..60].to_vec(), pattern(100, 7)[60..].to_vec()];
    hears.send(parts, &again).wait(LIMIT)?;
    heard(receive.wait(LIMIT)?, 7);
    drop(again);
    unheard(8)
}

/// A group keeps its endpoint open, what is sent to a group keeps that open, any order of drops is
/// harmless.
// rule: L3, C8, L1
fn groups_close_before_their_endpoints<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    own_network()?;
    let net = Net::<T>::open(t, 0)?;
    let (hears, joined, sends, to) = two::<K, T>(&net)?;
    let Err(CloseError::InUse(sends)) = sends.close(LIMIT) else { panic!("closed under a group") };
    // Posted, and its completion read by nobody: leaving sees to that.
    let receive = hears.recv(vec![0; 200]).post()?;
    let send = sends.send(pattern(100, 1), &to).post()?;
    let at = to.address().clone();
    to.leave(LIMIT)?;
    assert!(send.is_done(), "the group was left under a send");
    send.wait(LIMIT)?;
    heard(receive.wait(LIMIT)?, 1);
    // The same by a drop, with the operation dropped before or after.
    for first in [true, false] {
        let to = sends.join(&at)?.wait(LIMIT)?;
        let receive = hears.recv(vec![0; 200]).post()?;
        let mut send = Some(sends.send(pattern(100, 2), &to).post()?);
        drop(send.take_if(|_| first));
        drop(to);
        drop(send);
        heard(receive.wait(LIMIT)?, 2);
    }
    // The queue, the domain and the endpoint's own handle go first.
    let to = sends.join(&at)?.wait(LIMIT)?;
    let send = sends.send(pattern(100, 3), &to).post()?;
    drop((net, sends, hears));
    drop(to);
    drop((send, joined));
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// A join that is dropped leaves the group, done or not.
fn dropped_join<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    own_network()?;
    let net = Net::<T>::open(t, 0)?;
    let ep = net.endpoint::<K>()?;
    for port in 1..100 {
        // More than one endpoint may be in at a time.
        let join = ep.join(&group(port))?;
        if port % 2 == 0 {
            progress_until(&net.rig.cq, "the join", || {
                net.events.progress().expect("healthy");
                join.is_done()
            });
        }
    }
    assert!(net.events.unsolicited().is_none(), "an event for nobody");
    ep.close(LIMIT)?;
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// What the system does not let one join, and what is no group: refused, and the endpoint closes.
// rule: C8
fn refused_joins<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    own_network()?;
    let net = Net::<T>::open(t, 0)?;
    let ep = net.endpoint::<K>()?;
    for (address, kind) in [
        ("127.0.0.1:1", ErrorKind::Invalid),
        ("0.0.0.0:1", ErrorKind::Invalid),
        ("[ff02::7]:1", ErrorKind::Invalid),
    ] {
        let error = ep.join(&address.parse::<SocketAddr>()?.into()).unwrap_err();
        assert_eq!(*error.kind(), kind, "{error}");
    }
    let joined = ep.join(&group(1))?.wait(LIMIT)?;
    // A group is an address without its port, as the system sees it.
    for port in [1, 2] {
        let error = ep.join(&group(port)).unwrap_err();
        assert_eq!(error.errno().map(ofi::Errno::raw), Some(libc::EADDRINUSE), "{error}");
    }
    // As many as the system allows, and no more.
    let mut all = vec![joined];
    let error = loop {
        let address = SocketAddr::from((Ipv4Addr::new(239, 8, 0, all.len() as u8), 1));
        match ep.join(&address.into()) {
            Ok(join) => all.push(join.wait(LIMIT)?),
            Err(error) => break error,
        }
    };
    assert_eq!(error.errno().map(ofi::Errno::raw), Some(libc::ENOBUFS), "{error}");
    // There is room again.
    all.pop();
    all.push(ep.join(&SocketAddr::from((Ipv4Addr::new(239, 9, 0, 0), 1)).into())?.wait(LIMIT)?);
    drop(all);
    ep.close(LIMIT)?;
    // Without an event queue.
    let error = net.rig.endpoint::<K>()?.join(&group(1)).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    // To send alone: the provider could not take it back (quirk 30).
    let info = info(t, Caps::MSG | Caps::MULTICAST | Caps::SEND, 0)?;
    let rig = Rig::<T>::on(info)?;
    let net = Net { events: rig.fabric.event_queue().open()?, rig };
    let ep = net.endpoint::<K>()?;
    let error = ep.join(&group(1)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    ep.close(LIMIT)?;
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// A group is a destination for its own endpoint alone, and for what has the flag.
// rule: A9
fn refused_sends<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    own_network()?;
    let net = Net::<T>::open(t, 0)?;
    let (hears, joined, sends, to) = two::<K, T>(&net)?;
    let refused = |kind: &ErrorKind| matches!(kind, ErrorKind::Invalid);
    let failed = sends.send(vec![1; 8], &joined).post().unwrap_err();
    assert!(refused(failed.error.kind()), "{}", failed.error);
    let failed = sends.send(vec![1; 8], &to).tag(7).post().unwrap_err();
    assert!(!matches!(failed.error.kind(), ErrorKind::Busy), "{}", failed.error);
    let failed = sends.send(vec![1; 8], &to).inject().unwrap_err();
    assert!(refused(failed.error.kind()), "{}", failed.error);
    let failed = sends.send(vec![1; 8], &to).flags(OpFlags::MULTICAST).post().unwrap_err();
    assert!(refused(failed.error.kind()), "{}", failed.error);
    drop((hears, joined));
    Ok(())
}

/// Without FI_MULTICAST there are no groups; as a flag of all messages it is refused, because every
/// number of a peer would be a pointer then.
// rule: A9, D8
fn needs_the_capability<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let ep = rig.endpoint::<K>()?;
    let error = ep.join(&group(1)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("FI_MULTICAST"), "{error}");
    let always = t.hints(Caps::MSG).tx_op_flags(OpFlags::MULTICAST);
    if let Ok(list) = always.query() {
        let rig = Rig::<T>::on(list.into_best())?;
        if rig.info.tx().op_flags().contains(OpFlags::MULTICAST) {
            let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
            let error = builder.completion_queue(&rig.cq).enable().unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
        }
    }
    Ok(())
}

/// The address of a group in a vector is refused, or an ordinary one: what is sent there goes out or
/// fails, with the capability and without.
// rule: A9
fn addresses_of_groups_as_peers<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    own_network()?;
    for caps in [Caps::MSG, Caps::MSG | Caps::MULTICAST] {
        let Ok(rig) = Rig::<T>::open(t, caps) else {
            assert!(caps.contains(Caps::MULTICAST));
            continue;
        };
        let ep = rig.endpoint::<K>()?;
        let Ok(to) = rig.av.insert(&group(7777)) else { continue };
        let limit = std::time::Duration::from_millis(100);
        let _ = ep.send(vec![1; 64], to).wait(limit);
        let _ = ep.send(vec![1; 8], to).inject();
    }
    Ok(())
}
