//! Profiles: absent nearly everywhere, and where they are there (tcp, built with `--enable-profile`),
//! only what has something behind it is read.

use ofi::{Caps, Connectionless, ErrorKind, ProfileVariable};

use crate::harness::{
    LIMIT, List, Mode, Pair, Parent, Peer, Rig, Stop, Target, Verdict, cases, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, rdm: profiles_are_there_or_refused quirk_37_profiles_list_more);
    list.leaks("profile::profiles_are_there_or_refused");
    list.leaks("profile::quirk_37_profiles_list_more");
}

/// Opened where the provider was built with it, `Unsupported` everywhere else; every variable is
/// either read or refused, whatever the order; and it counts.
// rule: X14
fn profiles_are_there_or_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let pair = Pair::<K, T>::open(t, Caps::MSG | Caps::TAGGED)?;
    let error = pair.rig.domain.profile().map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    let profile = match pair.b.profile() {
        Ok(profile) => profile,
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
            return Ok(());
        }
    };
    let variables = profile.variables()?;
    assert!(!variables.is_empty());
    assert!(variables.iter().all(|v| !v.name.is_empty()), "{variables:?}");
    assert!(!profile.events()?.is_empty());
    let read_all = || {
        for variable in &variables {
            if let Err(error) = profile.read(variable) {
                let kind = error.kind();
                assert!(
                    matches!(kind, ErrorKind::Unsupported { .. } | ErrorKind::Invalid),
                    "{error}"
                );
            }
        }
    };
    read_all();
    profile.snapshot(|_| read_all());
    profile.reset();
    read_all();
    let mut made_up: ProfileVariable = variables[0].clone();
    made_up.id = 4711;
    assert_eq!(*profile.read(&made_up).unwrap_err().kind(), ErrorKind::Invalid);
    let unexpected =
        variables.iter().find(|v| v.id == ofi_sys::FI_VAR_UNEXP_MSG_CNT).expect("what tcp counts");
    assert_eq!(profile.read(unexpected)?, 0);
    pair.warm()?;
    let before = profile.read(unexpected)?;
    let send = pair.a.send(vec![1; 8], pair.to_b).tag(7).post()?;
    progress_until(&pair.rig.cq, "an unexpected tagged message", || {
        profile.read(unexpected).expect("read before") == before + 1
    });
    let (received, _) = pair.b.recv(vec![0; 8]).tag(7).wait(LIMIT)?;
    assert_eq!(received.len(), 8);
    send.wait(LIMIT)?;
    assert_eq!(profile.read(unexpected)?, before);
    // The endpoint cannot close before; a second profile takes over the counting.
    drop(profile);
    let again = pair.b.profile()?;
    assert_eq!(again.read(unexpected)?, 0);
    drop(again);
    Ok(())
}

/// Defect 37: reading what is listed and has nothing behind it crashes.
fn quirk_37_profiles_list_more<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let ep = rig.endpoint::<K>()?;
    let Ok(profile) = ep.profile() else { return Ok(()) };
    if Parent::role().is_none() {
        let mut peer = Peer::start("read")?;
        assert_eq!(peer.hear()?, "now");
        return match peer.finish() {
            Err(Stop::Failed(how)) if how.contains("signal: 11") => Ok(()),
            other => panic!("it does not crash any more: {other:?}"),
        };
    }
    Parent::new().say("now")?;
    let mut value = 0;
    // SAFETY: the profile is open, the variable is in its list. Where it crashes regardless, this
    // process was started for it.
    let status = unsafe {
        let id = ofi_sys::FI_VAR_CONN_ACCEPT;
        ofi_sys::fi_profile_read_u64(profile.as_raw(), id, &raw mut value)
    };
    println!("{status} {value}");
    Ok(())
}
