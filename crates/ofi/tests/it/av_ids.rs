//! Address vectors: numbers of the user's own, authorization keys, groups, vectors that processes share.

use ofi::{Address, AddressVector, Caps, Connectionless, Endpoint, ErrorKind, Version};

use crate::harness::{LIMIT, List, Mode, Parent, Peer, Rig, Stop, Target, Verdict, cases};

pub fn register(list: &mut List) {
    cases!(list, rdm: messages_carry_the_users_number numbers_are_kept_apart);
    cases!(list, connectionless: keys_and_groups_are_refused_where_there_are_none);
    cases!(list, rdm: quirk_36_user_id_lost shared_by_name);
}

/// Two endpoints on a vector with numbers.
struct Numbered<K: Connectionless, T: Mode> {
    a: Endpoint<K, T>,
    b: Endpoint<K, T>,
    av: AddressVector<T>,
    rig: Rig<T>,
}

impl<K: Connectionless, T: Mode> Numbered<K, T> {
    fn open(t: &Target, caps: Caps) -> Result<Self, Stop> {
        let rig = Rig::<T>::open(t, caps)?;
        let av = match rig.domain.address_vector().user_ids().open() {
            Ok(av) => av,
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
                return Err(Stop::Unsupported(error.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let endpoint = || {
            let builder = rig.domain.endpoint::<K>(&rig.info);
            builder.address_vector(&av).completion_queue(&rig.cq).enable()
        };
        Ok(Numbered { a: endpoint()?, b: endpoint()?, av, rig })
    }
}

/// The source that a receive reports is the number, whatever it is; it leads back to the handle, and a
/// receive from that peer alone takes its messages.
// rule: A11, B37
fn messages_carry_the_users_number<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let n =
        Numbered::<K, T>::open(t, Caps::MSG | Caps::TAGGED | Caps::SOURCE | Caps::DIRECTED_RECV)?;
    let to_a = n.av.insert_with_id(&n.a.name()?, 70_000)?;
    let to_b = n.av.insert_with_id(&n.b.name()?, 0)?;
    assert_eq!((n.av.reported(to_a)?, n.av.reported(to_b)?), (70_000, 0));
    assert_eq!((n.av.source(70_000), n.av.source(0)), (Some(to_a), Some(to_b)));
    let pass = |from: &Endpoint<K, T>, to: Address, at: &Endpoint<K, T>, expected: Address| {
        let receive = at.recv(vec![0; 8]).post()?;
        from.send(vec![3; 8], to).wait(LIMIT)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!(buffer, [3; 8]);
        assert_eq!(received.source().and_then(|source| n.av.source(source)), Some(expected));
        Ok::<_, Stop>(())
    };
    pass(&n.a, to_b, &n.b, to_a)?;
    pass(&n.b, to_a, &n.a, to_b)?;
    // Waits for itself first, then for the other one.
    let from_b = n.b.recv(vec![0; 8]).tag(5).from(to_b).post()?;
    let from_a = n.b.recv(vec![0; 8]).tag(5).from(to_a).post()?;
    n.a.send(vec![1; 8], to_b).tag(5).wait(LIMIT)?;
    assert_eq!(from_a.wait(LIMIT)?.1, [1; 8]);
    n.b.send(vec![2; 8], to_b).tag(5).wait(LIMIT)?;
    assert_eq!(from_b.wait(LIMIT)?.1, [2; 8]);
    // One that has arrived before.
    let sent = n.a.send(vec![4; 8], to_b).tag(6).post()?;
    let receive = n.b.recv(vec![0; 8]).tag(6).from(to_a);
    assert_eq!(receive.wait(LIMIT)?.1, [4; 8]);
    sent.wait(LIMIT)?;
    Ok(())
}

/// One number for one address: what would make two of them is refused, and a vector is of one kind.
// rule: A11
fn numbers_are_kept_apart<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let n = Numbered::<K, T>::open(t, Caps::MSG)?;
    let (a, b) = (n.a.name()?, n.b.name()?);
    let to_a = n.av.insert_with_id(&a, 7)?;
    let invalid = |result: ofi::Result<Address>| {
        let error = result.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    };
    invalid(n.av.insert_with_id(&b, 7));
    invalid(n.av.insert_with_id(&a, 8));
    invalid(n.av.insert(&b));
    invalid(n.av.insert_service("127.0.0.1", "7471"));
    invalid(n.av.insert_symmetric("127.0.0.1", 1, 7000, 1).map(|_| to_a));
    n.av.insert_all([&b, &b]).into_iter().for_each(invalid);
    invalid(n.rig.av.insert_with_id(&b, 7));
    let error = n.av.insert_with_id(&b, u64::MAX).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error}");
    // What the provider's own number may be is nobody's.
    assert_eq!((n.av.source(0), n.av.source(8), n.av.len()), (None, None, 1));
    assert_eq!(n.av.insert_with_id(&a, 7)?, to_a);
    n.av.remove(to_a)?;
    assert_eq!(n.av.source(7), Some(to_a));
    n.av.remove(to_a)?;
    assert_eq!(n.av.source(7), None);
    assert!(n.av.reported(to_a).is_err());
    // The number is free again, for another.
    let to_b = n.av.insert_with_id(&b, 7)?;
    assert_eq!(n.av.source(7), Some(to_b));
    let to_a = n.av.insert_with_id(&a, 8)?;
    let error = n.av.set_user_id(to_a, 9).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    let receive = n.a.recv(vec![0; 8]).post()?;
    n.b.send(vec![6; 8], to_a).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, [6; 8]);
    Ok(())
}

/// No software provider has keys in its vectors, nor groups: each says so, also where the domain was
/// asked for with such keys, and nothing reaches the provider that it would take for something else.
// rule: A8, A12
fn keys_and_groups_are_refused_where_there_are_none<K: Connectionless, T: Mode>(
    t: &Target,
) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let ep = rig.endpoint::<K>()?;
    let to = rig.av.insert(&ep.name()?)?;
    let unsupported = |error: ofi::Error| {
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    };
    unsupported(rig.av.insert_auth_key(b"a key").unwrap_err());
    unsupported(rig.av.auth_key_of(to).unwrap_err());
    unsupported(rig.av.in_group(to, 1).unwrap_err());
    assert_eq!(*rig.av.set_user_id(to, 1).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(rig.av.reported(to)?, to.as_raw());
    let list = t.hints(Caps::MSG).auth_keys_in_vectors().query();
    if ofi::version() < Version::new(1, 20) {
        unsupported(list.unwrap_err());
        return Ok(());
    }
    // Some promise them to whoever asks.
    let found = list.ok().and_then(|l| l.iter().find(|i| i.provider() == t.provider).cloned());
    if let Some(info) = found {
        let rig = Rig::<T>::on(info)?;
        let ep = rig.endpoint::<K>()?;
        let to = rig.av.insert(&ep.name()?)?;
        unsupported(rig.av.insert_auth_key(b"a key").unwrap_err());
        unsupported(rig.av.auth_key_of(to).unwrap_err());
    }
    Ok(())
}

/// Defect 36: shm before 2.0 reports its own number in place of the user's.
fn quirk_36_user_id_lost<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let lost = ofi::quirk(&t.provider, ofi::Defect::UserIdLost).is_some();
    if !lost && !["shm", "sm2"].contains(&t.core()) {
        // Others refuse the flag, or take and forget it: see `Ids`.
        return Ok(());
    }
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::SOURCE)?;
    let (a, b) = (rig.endpoint::<K>()?, rig.endpoint::<K>()?);
    let to_b = rig.av.insert(&b.name()?)?;
    let mut name = a.name()?.bytes().to_vec();
    name.push(0);
    let mut raw = 4711;
    // SAFETY: the vector is open; the name is one of its form and ends in NUL; one number is read and
    // written.
    let count = unsafe {
        ofi_sys::fi_av_insert(
            rig.av.as_raw(),
            name.as_ptr().cast(),
            1,
            &raw mut raw,
            ofi_sys::FI_AV_USER_ID,
            std::ptr::null_mut(),
        )
    };
    assert_eq!(count, 1);
    let receive = b.recv(vec![0; 8]).post()?;
    a.send(vec![5; 8], to_b).wait(LIMIT)?;
    let (received, _) = receive.wait(LIMIT)?;
    assert_eq!(received.source(), Some(if lost { raw } else { 4711 }));
    Ok(())
}

/// Two processes share a vector by name: the second finds what the first has inserted, by address and
/// by place, sends to it, and changes nothing.
// rule: A10
fn shared_by_name<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const COUNT: usize = 16;
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::SHARED_AV)?;
    let endpoint = |av: &AddressVector<T>| {
        let builder = rig.domain.endpoint::<K>(&rig.info);
        builder.address_vector(av).completion_queue(&rig.cq).enable()
    };
    if Parent::role().is_some() {
        let parent = Parent::new();
        let name = parent.hear()?;
        let builder = rig.domain.address_vector().count(COUNT);
        // SAFETY: both processes are this case's, and of one library; the other one alone changes it.
        let av = unsafe { builder.shared_read_only(&name) }.open()?;
        let ep = endpoint(&av)?;
        let there = parent.hear_address()?;
        let to = av.insert(&there)?;
        assert_eq!(to.as_raw().to_string(), parent.hear()?);
        assert_eq!(av.address_at(to.as_raw())?, to);
        assert_eq!(av.lookup(to)?, there);
        assert_eq!(*av.address_at(9).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(av.insert(&ep.name()?).is_err(), "nobody has inserted it");
        ep.send(b"across".as_slice(), to).wait(LIMIT)?;
        // Forgotten here, and still there.
        av.remove(to)?;
        av.remove(to)?;
        assert!(av.is_empty());
        let again = av.address_at(to.as_raw())?;
        assert_eq!(av.lookup(again)?, there);
        parent.say("done")?;
        return parent.hear().map(drop);
    }
    let name = format!("ofi-test-{}", std::process::id());
    let builder = || rig.domain.address_vector().count(COUNT);
    // SAFETY: both processes are this case's, and of one library; this one alone changes it.
    let av = unsafe { builder().shared(&name) }.open()?;
    // SAFETY: refused before anything is opened.
    let bad = unsafe {
        [builder().shared(""), builder().shared("a\0b"), builder().user_ids().shared("x")]
    };
    for builder in bad {
        assert_eq!(*builder.open().unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert_eq!(*rig.av.address_at(0).unwrap_err().kind(), ErrorKind::Invalid);
    let ep = endpoint(&av)?;
    let own = av.insert(&ep.name()?)?;
    let receive = ep.recv(vec![0; 16]).post()?;
    let mut peer = Peer::start("read only")?;
    peer.say(&name)?;
    peer.say_address(&ep.name()?)?;
    peer.say(&own.as_raw().to_string())?;
    // The provider makes progress by itself.
    assert_eq!(peer.hear()?, "done");
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!(&buffer[..received.len()], b"across");
    peer.say("go")?;
    peer.finish()?;
    assert_eq!(av.lookup(own)?, ep.name()?);
    Ok(())
}
