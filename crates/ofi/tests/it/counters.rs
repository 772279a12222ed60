//! Counters: what they count, how they are waited for, what they are bound to.

use std::time::{Duration, Instant};

use ofi::{BindFlags, Caps, CloseError, Connectionless, Counter, Endpoint, ErrorKind};

use crate::harness::{LIMIT, List, Mode, Rig, Stop, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, connectionless: sends_and_receives_are_counted a_bound_counter_stays_open);
    cases!(list, rdm:
        waiting_ends_at_the_threshold_or_the_timeout
        waiting_reports_failures_once
        a_count_can_be_set
        one_counter_for_each_class
        counting_peers_needs_the_capability
        a_counter_of_another_domain_is_refused
    );
}

/// A counter, or the case ends where the provider has none.
fn counter<T: Mode>(rig: &Rig<T>) -> Result<Counter<T>, Stop> {
    match rig.domain.counter() {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            Err(Stop::Unsupported(error.to_string()))
        }
        other => Ok(other?),
    }
}

/// An endpoint with a counter for its sends and one for its receives.
fn counted<K: Connectionless, T: Mode>(
    rig: &Rig<T>,
) -> Result<(Endpoint<K, T>, Counter<T>, Counter<T>), Stop> {
    let (sent, received) = (counter(rig)?, counter(rig)?);
    let endpoint = rig
        .domain
        .endpoint::<K>(&rig.info)
        .address_vector(&rig.av)
        .completion_queue(&rig.cq)
        .counter(&sent, BindFlags::TRANSMIT)
        .counter(&received, BindFlags::RECV)
        .enable()?;
    Ok((endpoint, sent, received))
}

/// Each successful operation counts once, in its class alone, besides its completion.
// rule: W9, L6
fn sends_and_receives_are_counted<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const MESSAGES: usize = 5;
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (a, sent, _) = counted::<K, T>(&rig)?;
    let (b, sent_by_b, received) = counted::<K, T>(&rig)?;
    let to = rig.av.insert(&b.name()?)?;
    for round in 1..=MESSAGES {
        let receive = b.recv(vec![0; 64]).post()?;
        a.send(vec![round as u8; 64], to).wait(LIMIT)?;
        let (_, buffer) = receive.wait(LIMIT)?;
        assert_eq!(buffer, vec![round as u8; 64]);
    }
    // Seen late, perhaps, but seen (rule W14).
    assert!(sent.wait(MESSAGES as u64, LIMIT)?);
    assert!(received.wait(MESSAGES as u64, LIMIT)?);
    assert_eq!((sent.read(), received.read()), (MESSAGES as u64, MESSAGES as u64));
    assert_eq!(sent_by_b.read(), 0, "b has sent nothing");
    assert_eq!((sent.read_errors(), received.read_errors()), (0, 0));
    Ok(())
}

/// A counter without a wait object is waited for without `fi_cntr_wait`, which would crash on rxd:
/// the timeout is kept, and a count that is there is seen at once.
// rule: W1
fn waiting_ends_at_the_threshold_or_the_timeout<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (_ep, sent, received) = counted::<K, T>(&rig)?;
    let start = Instant::now();
    assert!(!sent.wait(1, Duration::from_millis(30))?, "nothing was sent");
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert!(sent.wait(0, Duration::ZERO)?, "zero is always reached");
    received.add(3)?;
    assert!(received.wait(3, Duration::ZERO)?);
    assert!(!received.wait(4, Duration::ZERO)?);
    Ok(())
}

/// Failures end a wait, once; reading them counts as having been told.
// rule: W14
fn waiting_reports_failures_once<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (_ep, sent, _) = counted::<K, T>(&rig)?;
    sent.add_errors(2)?;
    let error = sent.wait(1, LIMIT).unwrap_err();
    assert_eq!(error.errno(), Some(ofi::Errno::EAVAIL));
    assert!(error.to_string().contains("2 more operations"), "{error}");
    assert!(!sent.wait(1, Duration::from_millis(5))?, "told already");
    sent.add_errors(1)?;
    assert_eq!(sent.read_errors(), 3);
    assert!(!sent.wait(1, Duration::from_millis(5))?, "read already");
    // A count that is reached is a success, failures or not.
    sent.add_errors(1)?;
    sent.add(1)?;
    assert!(sent.wait(1, LIMIT)?);
    Ok(())
}

/// Setting takes the counter exclusively.
// rule: W14
fn a_count_can_be_set<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (_ep, mut sent, _) = counted::<K, T>(&rig)?;
    sent.add(40)?;
    sent.add(2)?;
    assert!(sent.wait(42, LIMIT)?);
    sent.set(7)?;
    sent.set_errors(3)?;
    assert_eq!((sent.read(), sent.read_errors()), (7, 3));
    sent.set(0)?;
    sent.set_errors(0)?;
    assert!(!sent.wait(1, Duration::ZERO)?);
    Ok(())
}

/// Two counters for one class, flags that are no class, none at all.
// rule: L6
fn one_counter_for_each_class<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (one, two) = (counter(&rig)?, counter(&rig)?);
    let builder = || {
        let builder = rig.domain.endpoint::<K>(&rig.info);
        builder.address_vector(&rig.av).completion_queue(&rig.cq)
    };
    let wrong = [
        builder()
            .counter(&one, BindFlags::TRANSMIT | BindFlags::RECV)
            .counter(&two, BindFlags::RECV),
        builder().counter(&one, BindFlags::SELECTIVE_COMPLETION),
        builder().counter(&one, BindFlags::empty()),
    ];
    for builder in wrong {
        assert_eq!(*builder.enable().unwrap_err().kind(), ErrorKind::Invalid);
    }
    // One counter may count several classes.
    let both = BindFlags::TRANSMIT | BindFlags::RECV;
    let ep: Endpoint<K, T> = builder().counter(&one, both).enable()?;
    let to = rig.av.insert(&ep.name()?)?;
    let receive = ep.recv(vec![0; 8]).post()?;
    ep.send(vec![1; 8], to).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    assert!(one.wait(2, LIMIT)?);
    assert_eq!(one.read(), 2);
    Ok(())
}

// rule: W14
fn counting_peers_needs_the_capability<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let counter = counter(&rig)?;
    if rig.info.caps().contains(Caps::RMA_EVENT) {
        // Some have it without being asked; then it works.
        let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
        let classes = BindFlags::REMOTE_WRITE | BindFlags::REMOTE_READ;
        builder.completion_queue(&rig.cq).counter(&counter, classes).enable()?;
        assert_eq!(counter.read(), 0);
        return Ok(());
    }
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let error = builder
        .completion_queue(&rig.cq)
        .counter(&counter, BindFlags::REMOTE_WRITE)
        .enable()
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("FI_RMA_EVENT"), "{error}");
    Ok(())
}

fn a_counter_of_another_domain_is_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let other = Rig::<T>::on(rig.info.clone())?;
    let foreign = counter(&other)?;
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let error =
        builder.completion_queue(&rig.cq).counter(&foreign, BindFlags::RECV).enable().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

/// Closing a counter that an endpoint is bound to gives it back; any order of drops is harmless.
// rule: L1
fn a_bound_counter_stays_open<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (ep, sent, received) = counted::<K, T>(&rig)?;
    let Err(CloseError::InUse(sent)) = sent.close() else {
        panic!("closed under its endpoint");
    };
    // The handles and the domain go first, the endpoint last.
    drop((sent, received));
    let Rig { domain, cq, av, fabric, .. } = rig;
    let Err(CloseError::InUse(domain)) = domain.close() else {
        panic!("closed under its endpoint");
    };
    drop((domain, cq, av, fabric));
    ep.close(LIMIT)?;
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}
