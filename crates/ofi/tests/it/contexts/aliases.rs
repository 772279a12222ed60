//! Aliases: the same endpoint with other flags.

use std::{sync::atomic::Ordering, time::Duration};

use ofi::{Caps, CloseError, CompletionLevel, Connectionless, Endpoint, ErrorKind};

use crate::harness::{
    LIMIT, List, Mode, Parent, Peer, Rig, Stop, Target, Tracked, Verdict, cases, pattern,
    progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, connectionless: aliases_are_the_same_endpoint);
    cases!(list, rdm: aliases_closed_in_any_order_in_flight alias_of_a_stopped_peer);
    list.leaks("aliases::alias_of_a_stopped_peer");
    // sockets never frees what it allocates for an alias.
    list.leaks("aliases::aliases_are_the_same_endpoint");
    list.leaks("aliases::aliases_closed_in_any_order_in_flight");
}

const LEVELS: [CompletionLevel; 2] = [CompletionLevel::Inject, CompletionLevel::Delivery];

fn aliased<K: Connectionless, T: Mode>(
    rig: &Rig<T>,
) -> Result<(Endpoint<K, T>, Vec<Endpoint<K, T>>), Stop> {
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    match builder.completion_queue(&rig.cq).enable_with_aliases(&LEVELS) {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            Err(Stop::Unsupported(error.to_string()))
        }
        other => Ok(other?),
    }
}

/// The flags that operations have by default.
fn transmit_flags<K: Connectionless, T: Mode>(endpoint: &Endpoint<K, T>) -> u64 {
    let mut flags = ofi_sys::FI_TRANSMIT;
    // SAFETY: the endpoint is open, and nothing else is called on it; one word is read and written.
    let status = unsafe {
        let fid = endpoint.as_raw().cast();
        ofi_sys::fi_control(fid, ofi_sys::FI_GETOPSFLAG, (&raw mut flags).cast())
    };
    assert_eq!(status, 0);
    flags
}

/// One address, one set of receives; each with the level that it was made for.
// rule: L3, L8
fn aliases_are_the_same_endpoint<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (a, aliases) = aliased::<K, T>(&rig)?;
    let (b, _) = aliased::<K, T>(&rig)?;
    let flags = [ofi_sys::FI_INJECT_COMPLETE, ofi_sys::FI_DELIVERY_COMPLETE];
    for (alias, flag) in aliases.iter().zip(flags) {
        assert_eq!(transmit_flags(alias) & flag, flag);
        assert_eq!(alias.name()?, a.name()?);
    }
    assert_eq!(transmit_flags(&a) & flags[0], 0);
    let (to_a, to_b) = (rig.av.insert(&a.name()?)?, rig.av.insert(&b.name()?)?);
    for (n, from) in aliases.iter().chain([&a]).enumerate() {
        let receive = b.recv(vec![0; 1000]).post()?;
        from.send(pattern(1000, n as u8), to_b).wait(LIMIT)?;
        assert_eq!(receive.wait(LIMIT)?.1, pattern(1000, n as u8));
        // A receive of any of them takes what comes to the endpoint.
        let receive = from.recv(vec![0; 8]).post()?;
        b.send(vec![n as u8; 8], to_a).wait(LIMIT)?;
        assert_eq!(receive.wait(LIMIT)?.1, vec![n as u8; 8]);
    }
    let receive = aliases[0].recv(vec![5; 8]).post()?;
    receive.cancel()?;
    let Err(ofi::WaitError::Failed(failed)) = receive.wait(LIMIT) else { panic!("cancelled") };
    assert_eq!(failed.buf.into_buffer(), Some(vec![5; 8]));
    Ok(())
}

/// Aliases and their endpoint go in any order, with operations in flight.
// rule: L3, B1
fn aliases_closed_in_any_order_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for order in 0..4 {
        let rig = Rig::<T>::open(t, Caps::MSG)?;
        let (a, mut aliases) = aliased::<K, T>(&rig)?;
        let b = rig.endpoint::<K>()?;
        let to_b = rig.av.insert(&b.name()?)?;
        let (tracked, dropped) = Tracked::new(vec![6; 100]);
        let posted = aliases[0].recv(tracked).post()?;
        let receive = b.recv(vec![0; 1 << 20]).post()?;
        let sending = aliases[1].send(pattern(1 << 20, 1), to_b).post()?;
        let Err(CloseError::InUse(a)) = a.close(LIMIT) else { panic!("closed under its aliases") };
        if order < 3 {
            // A drop waits for so long; what is in flight is the receive.
            progress_until(&rig.cq, "the send", || sending.is_done());
        }
        match order {
            0 => drop((a, aliases)),
            1 => {
                drop(aliases);
                a.close(LIMIT)?;
            }
            2 => {
                aliases.remove(0).close(LIMIT)?;
                drop(a);
                drop(aliases);
            }
            _ => {
                aliases.remove(1).close(Duration::ZERO)?;
                // What it sent goes on.
                assert!(receive.wait(LIMIT)?.1 == pattern(1 << 20, 1));
                sending.wait(LIMIT)?;
                drop((aliases, a));
                assert!(posted.wait(LIMIT).is_err());
                continue;
            }
        }
        drop(sending.wait(LIMIT));
        drop(receive);
        let Err(ofi::WaitError::Failed(failed)) = posted.wait(LIMIT) else { panic!("cancelled") };
        assert!(failed.buf.into_buffer().is_some());
        assert!(dropped.load(Ordering::SeqCst));
        drop(b);
        rig.av.close().map_err(|error| Stop::Failed(error.to_string()))?;
        rig.cq.close().map_err(|error| Stop::Failed(error.to_string()))?;
    }
    assert_eq!((ofi::leaked().objects, ofi::leaked().operations), (0, 0));
    Ok(())
}

/// An alias goes with a send in flight, which its endpoint keeps; the endpoint, which cannot know what
/// became of it, is left open with the buffer.
// rule: L3, B1
fn alias_of_a_stopped_peer<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 16 << 20;
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    if Parent::role().is_some() {
        let (parent, at) = (Parent::new(), rig.endpoint::<K>()?);
        parent.say_address(&at.name()?)?;
        return parent.until_closed();
    }
    let (a, aliases) = aliased::<K, T>(&rig)?;
    let mut peer = Peer::start("receiver")?;
    let to = rig.av.insert(&peer.hear_address()?)?;
    peer.stop();
    let (tracked, dropped) = Tracked::new(pattern(LEN, 1));
    let sending = aliases[1].send(tracked, to).post()?;
    drop(aliases);
    assert!(!sending.is_done() && ofi::leaked().operations == 0);
    let error = match a.close(Duration::from_millis(10)) {
        Err(CloseError::Failed(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(*error.kind(), ErrorKind::Closed, "{error}");
    assert!(ofi::leaked().operations >= 1);
    let expired = sending.wait(Duration::from_millis(20));
    assert!(expired.is_err() && !dropped.load(Ordering::SeqCst));
    peer.signal(libc::SIGCONT);
    peer.finish()
}
