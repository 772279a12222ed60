//! Groups: what can be joined, and everything closed and dropped under what is under way.

use std::time::Duration;

use ofi::{
    AtomicOp, Caps, CloseError, Confined, Connectionless, Datatype, Defect, Endpoint, ErrorKind,
    EventQueue, JoinError, Rdm, Returned, Shared, quirk,
};

use crate::{
    collectives::{CAPS, Members, ended, forever, given, posted, u64s},
    harness::{
        LIMIT, List, Mode, Pair, Parent, Peer, Rig, Stop, Target, Tracked, Verdict, cases, expired,
        progress_until,
    },
    whose::{Two, shown},
};

pub fn register(list: &mut List) {
    cases!(list, rdm_confined:
        dropped_collective_in_flight
        group_closed_in_flight
        endpoint_closed_in_flight
        endpoint_closed_with_a_group
        dropped_join
        dropped_with_its_endpoint
        odd_joins
        groups_run_out
        a_member_dies
        mismatched_calls
        a_member_sends_too_much
    );
    cases!(list, rdm:
        several_threads_are_refused short_receives quirk_57_short_receive_crashes
    );
    for name in [
        "group_closed_in_flight",
        "endpoint_closed_in_flight",
        "dropped_collective_in_flight",
        "a_member_dies",
        "dropped_with_its_endpoint",
        "mismatched_calls",
        "a_member_sends_too_much",
    ] {
        list.leaks(&format!("groups::{name}"));
    }
}

/// A collective whose operation is dropped goes on: the others end, and its buffers are dropped after.
// rule: B1, X3
fn dropped_collective_in_flight(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 2)?;
    let groups = members.join()?;
    let (own, own_dropped) = Tracked::new(u64s(4, |i| given(0, i)));
    let (room, room_dropped) = Tracked::new(vec![0; 32]);
    let op = groups[0].all_reduce((own, room), Datatype::Uint64, AtomicOp::Sum).post()?;
    drop(op);
    members.drive()?;
    let gone = || {
        use std::sync::atomic::Ordering::SeqCst;
        (own_dropped.load(SeqCst), room_dropped.load(SeqCst))
    };
    assert_eq!(gone(), (false, false), "the provider has them");
    let pair = (u64s(4, |i| given(1, i)), vec![0; 32]);
    let (_, (_, sum)) = groups[1].all_reduce(pair, Datatype::Uint64, AtomicOp::Sum).wait(LIMIT)?;
    assert_eq!(sum, u64s(4, |i| given(0, i) + given(1, i)));
    progress_until(&members.rig.cq, "the dropped one's end", || gone() == (true, true));
    // Given up with a claim: the buffers come with the end.
    let pair = (u64s(1, |_| 1), vec![0; 8]);
    let op = groups[0].all_reduce(pair, Datatype::Uint64, AtomicOp::Sum).post()?;
    let op = expired!(op.wait(Duration::ZERO));
    let Returned::Held(mut held) = op.abandon() else { panic!("it cannot be done") };
    assert!(held.try_take().is_none());
    groups[1]
        .all_reduce((u64s(1, |_| 2), vec![0; 8]), Datatype::Uint64, AtomicOp::Sum)
        .wait(LIMIT)?;
    let mut back = None;
    progress_until(&members.rig.cq, "the buffers", || {
        back = back.take().or_else(|| held.try_take());
        back.is_some()
    });
    assert_eq!(back.expect("there").1, u64s(1, |_| 3));
    ended!(posted!(groups, |group, _rank| group.barrier()));
    Ok(())
}

/// A group whose handle goes while operations are in flight: they go on, and it closes after them.
// rule: X6, C8
fn group_closed_in_flight(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 2)?;
    let mut groups = members.join()?;
    let (last, first) = (groups.pop().expect("two"), groups.pop().expect("two"));
    let pair = (u64s(4, |i| given(0, i)), vec![0; 32]);
    let op = first.all_reduce(pair, Datatype::Uint64, AtomicOp::Sum).post()?;
    let Err(CloseError::InUse(first)) = first.close() else { panic!("closed under its operation") };
    drop(first);
    members.drive()?;
    assert!(!op.is_done());
    let pair = (u64s(4, |i| given(1, i)), vec![0; 32]);
    last.all_reduce(pair, Datatype::Uint64, AtomicOp::Sum).wait(LIMIT)?;
    assert_eq!(op.wait(LIMIT)?.1.1, u64s(4, |i| given(0, i) + given(1, i)));
    last.close()?;
    // And the next groups are whole.
    let groups = members.join()?;
    ended!(posted!(groups, |group, _rank| group.barrier()));
    // Everything closes, whatever is under way.
    let barrier = groups[0].barrier().post()?;
    drop(groups);
    drop(members);
    match barrier.wait(LIMIT) {
        Err(ofi::WaitError::Failed(failed)) => assert_eq!(*failed.error.kind(), ErrorKind::Closed),
        other => panic!("{:?}", other.map(|_| ()).map_err(|_| ())),
    }
    Ok(())
}

/// An endpoint that closes in the middle of a collective gives the buffers back, or keeps them.
// rule: B1, X6
fn endpoint_closed_in_flight(t: &Target) -> Verdict {
    for len in [8, 16000] {
        let Members { mut endpoints, addresses, events, rig } = Members::<Confined>::open(t, 2)?;
        let members = Members { endpoints: endpoints.clone(), addresses, events, rig };
        let mut groups = members.join()?;
        let pair = (vec![1_u8; len], vec![0_u8; len]);
        let op = groups[0].all_reduce(pair, Datatype::Uint8, AtomicOp::Sum).post()?;
        members.drive()?;
        drop(groups.remove(0));
        let Members { endpoints: others, addresses, events, rig } = members;
        drop(others);
        let closed = endpoints.remove(0).close(Duration::from_millis(20));
        let leaks = quirk(&t.provider, Defect::CloseInFlight).is_some();
        assert_eq!(closed.is_err(), leaks, "{closed:?}");
        match op.wait(LIMIT) {
            Err(ofi::WaitError::Failed(failed)) => {
                assert_eq!(*failed.error.kind(), ErrorKind::Closed);
                assert_eq!(failed.buf.is_held(), leaks);
            }
            other => panic!("{:?}", other.map(|_| ()).map_err(|_| ())),
        }
        // What the provider says of the closed endpoint's parts of collectives is nobody's.
        for _ in 0..1000 {
            rig.cq.progress()?;
            events.progress()?;
        }
        drop((groups, endpoints, addresses));
    }
    Ok(())
}

/// A group keeps its endpoint open; in any order of drops nothing is left.
// rule: L1, C8
fn endpoint_closed_with_a_group(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 2)?;
    let groups = members.join()?;
    let Members { mut endpoints, addresses, events, rig } = members;
    let Err(CloseError::InUse(first)) = endpoints.remove(0).close(LIMIT) else {
        panic!("closed under its group");
    };
    drop((first, endpoints));
    // The groups are all that is left of the endpoints.
    ended!(posted!(groups, |group, _rank| group.barrier()));
    for address in &addresses {
        rig.av.remove(*address)?;
    }
    let root = groups[0].members()[1];
    let ops =
        posted!(groups, |group, rank| group.broadcast(vec![rank as u8; 64], root, Datatype::Uint8));
    ended!(ops).into_iter().for_each(|buffer| assert_eq!(buffer, vec![1; 64]));
    let Rig { av, cq, domain, .. } = rig;
    let Err(CloseError::InUse(events)) = events.close() else { panic!("closed under endpoints") };
    let Err(CloseError::InUse(av)) = av.close() else { panic!("closed under endpoints") };
    drop((events, av, cq, domain));
    drop(groups);
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// A join that is dropped half-way ends for the others; what it holds goes with the next join.
// rule: X6, C8
fn dropped_join(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 2)?;
    let (a, b) = (&members.endpoints[0], &members.endpoints[1]);
    drop(a.join_collective(members.set()?)?);
    members.drive()?;
    // It is still under way.
    let busy = a.join_collective(members.set()?).expect_err("one at a time");
    assert!(busy.error.is_busy(), "{}", busy.error);
    let group = b.join_collective(members.set()?)?.wait(LIMIT)?;
    group.close()?;
    progress_until(&members.rig.cq, "its end", || {
        // The event is nobody's, and reaches nobody.
        members.events.progress().is_ok() && a.join_is_over(&members)
    });
    assert!(members.events.unsolicited().is_none());
    let groups = members.join()?;
    ended!(posted!(groups, |group, _rank| group.barrier()));
    Ok(())
}

trait Over {
    fn join_is_over(&self, members: &Members<Confined>) -> bool;
}

impl Over for Endpoint<Rdm, Confined> {
    /// Whether a join of this endpoint would begin: with a set of nobody, so that none does.
    fn join_is_over(&self, members: &Members<Confined>) -> bool {
        let mut set = members.set().expect("a set");
        set.remove(members.addresses[1]).expect("a member");
        match self.join_collective(set) {
            Ok(join) => {
                // Of itself alone.
                join.wait(LIMIT).expect("it has all its members");
                true
            }
            Err(failed) => {
                assert!(failed.error.is_busy(), "{}", failed.error);
                false
            }
        }
    }
}

/// The endpoint closes with its join, the event queue with both.
// rule: X6
fn dropped_with_its_endpoint(t: &Target) -> Verdict {
    for early in [false, true] {
        let members = Members::<Confined>::open(t, 2)?;
        let mut joins = members.begin()?;
        if early {
            members.drive()?;
        }
        let Members { mut endpoints, addresses, events, rig } = members;
        let left = joins.remove(0);
        let Err(CloseError::InUse(first)) = endpoints.remove(0).close(LIMIT) else {
            panic!("closed under its join");
        };
        drop(left);
        first.close(Duration::from_millis(10))?;
        for _ in 0..1000 {
            rig.cq.progress()?;
            events.progress()?;
        }
        drop((joins, endpoints, addresses, events, rig));
    }
    // In the middle of one.
    let members = Members::<Confined>::open(t, 3)?;
    let join = members.endpoints[0].join_collective(members.set()?)?;
    members.drive()?;
    let Err(JoinError::Expired(join)) = join.wait(Duration::from_millis(1)) else {
        panic!("nobody else has joined");
    };
    assert!(!join.is_done());
    let Members { endpoints, events, rig, .. } = members;
    drop(endpoints);
    drop(join);
    events.close()?;
    drop(rig);
    assert_eq!(ofi::leaked().operations, 0);
    Ok(())
}

/// What cannot be joined: without an event queue, a place in the set, the capability.
// rule: X6, L5, D8
fn odd_joins(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 2)?;
    let rig = &members.rig;
    let builder =
        || rig.domain.endpoint::<Rdm>(&rig.info).address_vector(&rig.av).completion_queue(&rig.cq);
    let refused = |ep: &Endpoint<Rdm, Confined>, set| {
        let failed = ep.join_collective(set).expect_err("it cannot be joined");
        assert!(!failed.buf.is_held(), "the set comes back");
        (failed.error.kind().clone(), failed.error.to_string())
    };
    let deaf = builder().enable()?;
    rig.av.insert(&deaf.name()?)?;
    let (kind, text) = refused(&deaf, members.set()?);
    assert!(kind == ErrorKind::Invalid && text.contains("event queue"), "{text}");
    let stranger = builder().event_queue(&members.events).enable()?;
    let (kind, text) = refused(&stranger, members.set()?);
    assert!(kind == ErrorKind::Invalid && text.contains("not in the set"), "{text}");
    let (kind, _) = refused(&members.endpoints[0], rig.av.set().open()?);
    assert_eq!(kind, ErrorKind::Invalid);
    // A vector of the same domain with the same addresses is another one.
    let other = rig.domain.address_vector().open()?;
    let mut set = other.set().count(2).open()?;
    for ep in &members.endpoints {
        set.insert(other.insert(&ep.name()?)?)?;
    }
    let (kind, text) = refused(&members.endpoints[0], set);
    assert!(kind == ErrorKind::Invalid && text.contains("another vector"), "{text}");
    // An event queue of another fabric.
    let info = t.query(CAPS)?;
    let far: EventQueue<Confined> = ofi::Fabric::open(&info)?.event_queue().open()?;
    assert_eq!(*builder().event_queue(&far).enable().unwrap_err().kind(), ErrorKind::Invalid);
    // An endpoint without the capability.
    let plain = Rig::<Confined>::open(t, Caps::MSG)?;
    let ep = plain.endpoint::<Rdm>()?;
    if let Ok(set) = plain.av.set().open() {
        let (kind, _) = refused(&ep, set);
        assert!(matches!(kind, ErrorKind::Unsupported { .. }));
    }
    Ok(())
}

/// The numbers of groups run out, and that is said (quirk 56).
// quirk: 56
fn groups_run_out(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 1)?;
    for _ in 0..255 {
        let groups = members.join()?;
        groups[0].barrier().wait(LIMIT)?;
    }
    let more = members.endpoints[0].join_collective(members.set()?);
    match more {
        Ok(join) => {
            assert!(quirk(&t.provider, Defect::GroupsRunOut).is_none());
            join.wait(LIMIT)?;
        }
        Err(failed) => {
            assert!(quirk(&t.provider, Defect::GroupsRunOut).is_some());
            assert!(
                matches!(failed.error.kind(), ErrorKind::Unsupported { .. }),
                "{}",
                failed.error
            );
        }
    }
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// A member that dies in the middle of a collective: the others wait for as long as they like, and
/// close.
// rule: X6
fn a_member_dies(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 1)?;
    let own = members.endpoints[0].name()?;
    let parent = Parent::role().map(|_| Parent::new());
    let mut peer = None;
    let other = match &parent {
        Some(parent) => {
            parent.say_address(&own)?;
            parent.hear_address()?
        }
        None => {
            let peer = peer.insert(Peer::start("member")?);
            peer.say_address(&own)?;
            peer.hear_address()?
        }
    };
    let other = members.rig.av.insert(&other)?;
    let mut order = [members.addresses[0], other];
    if parent.is_some() {
        order.reverse();
    }
    let mut set = members.rig.av.set().count(2).open()?;
    order.iter().try_for_each(|address| set.insert(*address))?;
    let group = members.endpoints[0].join_collective(set)?.wait(LIMIT)?;
    group.barrier().wait(LIMIT)?;
    if let Some(parent) = parent {
        parent.say("joined")?;
        return parent.until_closed();
    }
    let mut peer = peer.expect("started");
    assert_eq!(peer.hear()?, "joined");
    members.drive()?;
    peer.kill()?;
    // Several, so that some are posted after the end was seen.
    let mut ops = Vec::new();
    for _ in 0..20 {
        let pair = (u64s(64, |i| given(0, i)), vec![0; 512]);
        ops.push(group.all_reduce(pair, Datatype::Uint64, AtomicOp::Sum).post()?);
        members.drive()?;
    }
    assert!(!ops.iter().any(|op| op.is_done()), "there was no other member");
    let op = expired!(ops.pop().expect("posted").wait(Duration::from_millis(50)));
    drop(op);
    drop(group);
    drop(members);
    Ok(())
}

/// Where collectives are safe on one thread alone, several are refused.
// quirk: 51
fn several_threads_are_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let info = t.query(CAPS)?;
    let members = Members::<Shared>::open(t, 1)?;
    let join = members.endpoints[0].join_collective(members.set()?);
    if quirk(info.provider(), Defect::CollectivesUnlocked).is_some() {
        let failed = join.expect_err("refused");
        assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }), "{}", failed.error);
    } else {
        join?.wait(LIMIT)?;
    }
    Ok(())
}

/// Members that do not call the same: what comes of it nobody knows, but it comes to an end.
fn mismatched_calls(t: &Target) -> Verdict {
    for case in 0..4 {
        let members = Members::<Confined>::open(t, 2)?;
        let groups = members.join()?;
        let (a, b, root) = (&groups[0], &groups[1], members.addresses[0]);
        let pair = |count: usize| (vec![1_u8; count], vec![0_u8; count]);
        let sum = |group: &ofi::CollectiveGroup<Confined>, count: usize| {
            let op = group.all_reduce(pair(count), Datatype::Uint8, AtomicOp::Sum).post();
            op.map(drop).map_err(|failed| failed.error)
        };
        match case {
            0 => {
                drop(a.barrier().post()?);
                sum(b, 1000)?;
            }
            1 => {
                sum(a, 8)?;
                sum(b, 16000)?;
            }
            2 => {
                sum(a, 16000)?;
                sum(b, 8)?;
            }
            _ => {
                drop(a.broadcast(vec![1; 4000], root, Datatype::Uint8).post()?);
                drop(b.all_gather((vec![2; 16], vec![0; 32]), Datatype::Uint8).post()?);
                sum(a, 64)?;
                sum(b, 64)?;
            }
        }
        members.drive()?;
        drop(groups);
        drop(members);
    }
    Ok(())
}

/// A member whose messages are longer than this one's room: another program, in another language. The
/// room is not exceeded, and what the provider says of the messages reaches no operation. Where such
/// messages crash (quirk 57) nothing here can keep them away.
// quirk: 53, 57
fn a_member_sends_too_much(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        t.query(CAPS)?;
        // On 2.x they leave something behind that seldom matters.
        let known = ofi::version() < ofi::Version::new(2, 0);
        return shown(known, libc::SIGSEGV);
    }
    for len in [1 << 20, 64 << 10] {
        let members = Members::<Confined>::open(t, 2)?;
        let groups = members.join()?;
        ended!(posted!(groups, |group, _rank| group.barrier()));
        let pair = (vec![1_u8; 64], vec![0_u8; 64]);
        let op = groups[0].all_reduce(pair, Datatype::Uint8, AtomicOp::Sum).post()?;
        // SAFETY: memory and context are never freed, and as long as the call says.
        let status = unsafe {
            ofi_sys::fi_allreduce(
                members.endpoints[1].as_raw(),
                forever(vec![1; len]),
                len,
                std::ptr::null_mut(),
                forever(vec![0; len]),
                std::ptr::null_mut(),
                groups[1].as_raw_address(),
                ofi_sys::FI_UINT8,
                ofi_sys::FI_SUM,
                0,
                forever(vec![0; 64]),
            )
        };
        assert_eq!(status, 0);
        if len < 1 << 20 {
            Parent::new().say("now")?;
        }
        for _ in 0..20 {
            members.drive()?;
        }
        drop(op);
        drop((groups, members));
    }
    std::process::exit(0)
}

/// Messages in segments, longer than their receives, on an endpoint for collectives.
// rule: B15
// quirk: 57
fn short_receives<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, CAPS)?;
    p.warm()?;
    for len in [20 << 10, 64 << 10, 1 << 20] {
        for tag in [None, Some(3)] {
            let (mut receive, mut send) =
                (p.b.recv(vec![0xAA; 16]), p.a.send(vec![1_u8; len], p.to_b));
            if let Some(tag) = tag {
                (receive, send) = (receive.tag(tag), send.tag(tag));
            }
            let (receive, send) = (receive.post()?, send.post()?);
            match receive.wait(LIMIT) {
                Err(ofi::WaitError::Failed(failed)) => {
                    assert_eq!(*failed.error.kind(), ErrorKind::Truncated, "{}", failed.error);
                }
                Err(expired) => return Err(expired.into()),
                Ok(_) => panic!("it did not fit"),
            }
            send.wait(LIMIT)?;
        }
    }
    p.warm()
}

/// Defect 57, by calls that this crate avoids.
fn quirk_57_short_receive_crashes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        t.query(CAPS)?;
        let mut peer = Peer::start("shown")?;
        assert_eq!(peer.hear()?, "now");
        // On 1.x it crashes; on 2.x that is as likely as that its close never ends.
        let how = match peer.finish() {
            Err(Stop::Failed(how)) => how,
            other => return other.map(|()| panic!("the defect is gone")),
        };
        let known = quirk(&t.provider, Defect::ShortReceiveCrashes).is_some();
        assert!(known && how.contains("signal: "), "{how}");
        return Ok(());
    }
    // SAFETY: its default ends the process.
    unsafe { libc::alarm(10) };
    let two = Two::<T>::open(t, CAPS)?;
    let none = std::ptr::null_mut();
    Parent::new().say("now")?;
    for len in [20 << 10, 64 << 10, 20 << 10, 64 << 10] {
        let (received, sent) = (forever(vec![0; 64]), forever(vec![0; 64]));
        let bytes = forever(vec![1; len]).cast();
        // SAFETY: what the operations name is never freed.
        unsafe { two.b.recv(forever(vec![0; 16]).cast(), 16, none, None, received)? };
        // Reading crashes on 1.x, the close of the connection on 2.x.
        // On 2.x some of it never ends.
        let (mut posted, mut ends, mut tries) = (false, 0, 0);
        while ends < 2 && tries < 1_000_000 {
            tries += 1;
            // SAFETY: as above; the address was just inserted; the queue is open, and there is room for
            // an entry of its format, or an error.
            unsafe {
                posted = posted || two.a.send(bytes, len, none, two.to_b, sent).is_ok();
                let cq = two.cq.as_raw();
                let mut entry: ofi_sys::fi_cq_tagged_entry = std::mem::zeroed();
                let status = ofi_sys::fi_cq_read(cq, (&raw mut entry).cast(), 1);
                ends += usize::from(status == 1);
                if status == -(ofi_sys::FI_EAVAIL as isize) {
                    let mut error: [ofi_sys::fi_cq_err_entry; 2] = std::mem::zeroed();
                    ends += usize::from(ofi_sys::fi_cq_readerr(cq, error.as_mut_ptr(), 0) == 1);
                }
            }
        }
    }
    drop(two);
    std::process::exit(0)
}
