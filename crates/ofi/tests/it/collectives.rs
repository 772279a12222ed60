//! Collectives: in one process and in two, results beside those of the host, and what is refused.

use ofi::{
    Access, Address, AtomicOp, AvSet, BindFlags, Caps, Collective, CollectiveGroup, Confined,
    Datatype, Defect, Endpoint, ErrorKind, EventQueue, FabricAddress, Join, Op, Rdm, Returned,
    SetFlags, quirk,
};

use crate::harness::{
    LIMIT, List, Mode, Parent, Peer, Rig, Stop, Target, Verdict, cases, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, rdm_confined:
        all_results
        barriers_wait
        messages_beside_collectives
        registered_buffers
        no_batches_beside_collectives
        wrong_counts
        what_there_is
        as_futures
        two_processes
        quirk_53_stray_contexts
        quirk_54_broadcast_overruns
        quirk_55_root_is_rank
    );
}

pub(crate) const CAPS: Caps = Caps::MSG.union(Caps::TAGGED).union(Caps::COLLECTIVE);

/// Endpoints that know each other, on one queue of each kind.
pub(crate) struct Members<T: Mode> {
    pub endpoints: Vec<Endpoint<Rdm, T>>,
    pub addresses: Vec<Address>,
    pub events: EventQueue<T>,
    pub rig: Rig<T>,
}

impl<T: Mode> Members<T> {
    pub fn open(t: &Target, count: usize) -> Result<Members<T>, Stop> {
        let rig = Rig::<T>::open(t, CAPS)?;
        let events = rig.fabric.event_queue().open()?;
        let mut endpoints: Vec<Endpoint<Rdm, T>> = Vec::new();
        for _ in 0..count {
            let builder = rig.domain.endpoint::<Rdm>(&rig.info).address_vector(&rig.av);
            endpoints.push(builder.completion_queue(&rig.cq).event_queue(&events).enable()?);
        }
        // Nobody has the number of its rank.
        let names = endpoints.iter().rev();
        let mut addresses =
            names.map(|ep| Ok(rig.av.insert(&ep.name()?)?)).collect::<Result<Vec<_>, Stop>>()?;
        addresses.reverse();
        Ok(Members { endpoints, addresses, events, rig })
    }

    pub fn set(&self) -> Result<AvSet<T>, Stop> {
        let mut set = self.rig.av.set().count(self.addresses.len()).open()?;
        for address in &self.addresses {
            set.insert(*address)?;
        }
        Ok(set)
    }

    pub fn begin(&self) -> Result<Vec<Join<CollectiveGroup<T>>>, Stop> {
        let sets = self.endpoints.iter().map(|_| self.set()).collect::<Result<Vec<_>, _>>()?;
        let joins = self.endpoints.iter().zip(sets).map(|(ep, set)| Ok(ep.join_collective(set)?));
        joins.collect()
    }

    pub fn join(&self) -> Result<Vec<CollectiveGroup<T>>, Stop> {
        self.begin()?.into_iter().map(|join| Ok(join.wait(LIMIT)?)).collect()
    }

    /// Drives the queues for a while, in which something could happen that must not.
    pub fn drive(&self) -> Verdict {
        for _ in 0..1000 {
            self.rig.cq.progress()?;
            self.events.progress()?;
        }
        Ok(())
    }
}

pub(crate) fn u64s(count: usize, value: impl Fn(usize) -> u64) -> Vec<u8> {
    (0..count).flat_map(|i| value(i).to_ne_bytes()).collect()
}

/// Posts an operation on each group.
macro_rules! posted {
    ($groups:expr, |$group:ident, $rank:ident| $op:expr) => {
        $groups
            .iter()
            .enumerate()
            .map(|($rank, $group)| Ok($op.post()?))
            .collect::<Result<Vec<_>, Stop>>()?
    };
}

pub(crate) use posted;

/// The buffers of operations that end.
macro_rules! ended {
    ($ops:expr) => {
        $ops.into_iter().map(|op| Ok(op.wait(LIMIT)?.1)).collect::<Result<Vec<_>, Stop>>()?
    };
}

pub(crate) use ended;

/// What each member gives in the cases below: different for each, and each place.
pub(crate) fn given(rank: usize, i: usize) -> u64 {
    ((rank + 1) * 1000 + i * 7) as u64
}

/// Every collective that there is, of one to five members, every root, beside what the host computes.
// rule: X6, X8, X9
fn all_results(t: &Target) -> Verdict {
    const COUNT: usize = 60;
    for n in 1..=5 {
        let members = Members::<Confined>::open(t, n)?;
        let groups = members.join()?;
        for (rank, group) in groups.iter().enumerate() {
            assert_eq!((group.rank(), group.members()), (rank, &members.addresses[..]));
            assert_eq!(group.rank_of(members.addresses[rank]), Some(rank));
        }
        for round in 0..3 {
            ended!(posted!(groups, |group, _rank| group.barrier()));
            let value = |rank, i| given(rank, i) + round;
            let whole = |rank| u64s(COUNT, |i| value(rank, i));

            for (root, address) in members.addresses.iter().enumerate() {
                let data = |rank| if rank == root { whole(rank) } else { vec![9; COUNT * 8] };
                let ops = posted!(groups, |group, rank| {
                    group.broadcast(data(rank), *address, Datatype::Uint64)
                });
                ended!(ops).iter().for_each(|buffer| assert_eq!(*buffer, whole(root)));

                let data = |rank| {
                    let all = u64s(COUNT * n, |i| value(root, i));
                    if rank == root { all } else { Vec::new() }
                };
                let ops = posted!(groups, |group, rank| {
                    group.scatter((data(rank), vec![9; COUNT * 8]), *address, Datatype::Uint64)
                });
                for (rank, (_, result)) in ended!(ops).into_iter().enumerate() {
                    assert_eq!(result, u64s(COUNT, |i| value(root, rank * COUNT + i)));
                }
            }

            let ops = posted!(groups, |group, rank| {
                group.all_gather((whole(rank), vec![9; COUNT * 8 * n]), Datatype::Uint64)
            });
            for (rank, (own, result)) in ended!(ops).into_iter().enumerate() {
                assert_eq!(own, whole(rank));
                assert_eq!(result, (0..n).flat_map(whole).collect::<Vec<u8>>());
            }

            let sum = u64s(COUNT, |i| (0..n).map(|rank| value(rank, i)).sum());
            let ops = posted!(groups, |group, rank| {
                let room = vec![9; COUNT * 8];
                group.all_reduce((whole(rank), room), Datatype::Uint64, AtomicOp::Sum)
            });
            for (rank, (own, result)) in ended!(ops).into_iter().enumerate() {
                assert_eq!((own, result), (whole(rank), sum.clone()));
            }
        }
        reductions(&groups)?;
        groups.into_iter().try_for_each(CollectiveGroup::close)?;
        let Members { endpoints, rig, .. } = members;
        endpoints.into_iter().try_for_each(|endpoint| endpoint.close(LIMIT))?;
        assert_eq!(rig.cq.counts().stray, 0);
    }
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// Every operation on every type of value that the provider says it has.
fn reductions(groups: &[CollectiveGroup<Confined>]) -> Verdict {
    macro_rules! integers {
        ($($datatype:ident $ty:ty;)*) => {$({
            let value = |rank: usize| ((rank * 5 + 3) % 7) as $ty;
            let folds: [(AtomicOp, fn($ty, $ty) -> $ty); 10] = [
                (AtomicOp::Min, Ord::min),
                (AtomicOp::Max, Ord::max),
                (AtomicOp::Sum, |a, b| a.wrapping_add(b)),
                (AtomicOp::Prod, |a, b| a.wrapping_mul(b)),
                (AtomicOp::Lor, |a, b| <$ty>::from(a != 0 || b != 0)),
                (AtomicOp::Land, |a, b| <$ty>::from(a != 0 && b != 0)),
                (AtomicOp::Lxor, |a, b| <$ty>::from((a != 0) != (b != 0))),
                (AtomicOp::Bor, |a, b| a | b),
                (AtomicOp::Band, |a, b| a & b),
                (AtomicOp::Bxor, |a, b| a ^ b),
            ];
            for (op, fold) in folds {
                let expected = (0..groups.len()).map(value).reduce(fold).unwrap();
                if groups.len() > 1 || matches!(op, AtomicOp::Min | AtomicOp::Sum) {
                    reduced(groups, Datatype::$datatype, op, |rank| value(rank).to_ne_bytes().to_vec(),
                        &expected.to_ne_bytes())?;
                }
            }
        })*};
    }
    integers! {
        Int8 i8; Uint8 u8; Int16 i16; Uint16 u16; Int32 i32; Uint32 u32; Int64 i64; Uint64 u64;
    }
    macro_rules! floats {
        ($($datatype:ident $ty:ty;)*) => {$({
            let value = |rank: usize| (rank * 5 + 3) as $ty;
            let folds: [(AtomicOp, fn($ty, $ty) -> $ty); 4] = [
                (AtomicOp::Min, <$ty>::min),
                (AtomicOp::Max, <$ty>::max),
                (AtomicOp::Sum, |a, b| a + b),
                (AtomicOp::Prod, |a, b| a * b),
            ];
            for (op, fold) in folds {
                let expected = (0..groups.len()).map(value).reduce(fold).unwrap();
                reduced(groups, Datatype::$datatype, op, |rank| value(rank).to_ne_bytes().to_vec(),
                    &expected.to_ne_bytes())?;
            }
        })*};
    }
    floats! { Float f32; Double f64; }
    // (1 + i) + (2 + 2i) + ...
    let complex = |x: usize| [x as f32, x as f32].map(f32::to_ne_bytes).concat();
    let sum = (1..=groups.len()).sum();
    reduced(groups, Datatype::FloatComplex, AtomicOp::Sum, |rank| complex(rank + 1), &complex(sum))
}

fn reduced(
    groups: &[CollectiveGroup<Confined>],
    datatype: Datatype,
    op: AtomicOp,
    value: impl Fn(usize) -> Vec<u8>,
    expected: &[u8],
) -> Verdict {
    const COUNT: usize = 5;
    let ops = posted!(groups, |group, rank| {
        let own = value(rank).repeat(COUNT);
        let room = vec![0x55; own.len()];
        group.all_reduce((own, room), datatype, op)
    });
    for (_, result) in ended!(ops) {
        assert_eq!(result, expected.repeat(COUNT), "{op} of {datatype}");
    }
    Ok(())
}

/// A barrier ends on nobody before all have called it; what is posted in one order ends so.
// rule: X6
fn barriers_wait(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 4)?;
    let mut groups = members.join()?;
    let last = groups.pop().expect("four");
    let early = posted!(groups, |group, _rank| group.barrier());
    // Several may be under way.
    let more = posted!(groups, |group, rank| {
        group.all_gather((u64s(1, |_| rank as u64), vec![0; 32]), Datatype::Uint64)
    });
    members.drive()?;
    assert!(!early.iter().any(Op::is_done) && !more.iter().any(Op::is_done));
    let op = last.barrier().post()?;
    let gathered = last.all_gather((u64s(1, |_| 3), vec![0; 32]), Datatype::Uint64).post()?;
    let expected = u64s(4, |i| i as u64);
    ended!(early);
    op.wait(LIMIT)?;
    assert_eq!(gathered.wait(LIMIT)?.1.1, expected);
    ended!(more).into_iter().for_each(|(_, result)| assert_eq!(result, expected));
    Ok(())
}

/// Messages and collectives on one endpoint keep out of each other's way: also a receive that ignores
/// every bit of the tag.
// rule: B33
fn messages_beside_collectives(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 2)?;
    let groups = members.join()?;
    let [a, b] = &members.endpoints[..] else { panic!("two") };
    let to_b = members.addresses[1];
    let odd = a.send(vec![1; 8], to_b).tag(1 << 63).post().expect_err("not for messages");
    assert_eq!(*odd.error.kind(), ErrorKind::Invalid);
    for round in 0..20_u64 {
        let any = b.recv(vec![0; 64]).tag(0).ignore(u64::MAX).post()?;
        let plain = b.recv(vec![0; 64]).post()?;
        let ops = posted!(groups, |group, rank| {
            group.all_reduce(
                (u64s(1, |_| rank as u64 + round), vec![0; 8]),
                Datatype::Uint64,
                AtomicOp::Sum,
            )
        });
        for (_, sum) in ended!(ops) {
            assert_eq!(sum, u64s(1, |_| 2 * round + 1));
        }
        assert!(!any.is_done() && !plain.is_done(), "nothing was sent to them");
        a.send(vec![round as u8; 8], to_b).tag(round).wait(LIMIT)?;
        a.send(vec![round as u8; 16], to_b).wait(LIMIT)?;
        let (received, buffer) = any.wait(LIMIT)?;
        assert_eq!((received.len(), &buffer[..8]), (8, &[round as u8; 8][..]));
        let (received, buffer) = plain.wait(LIMIT)?;
        assert_eq!((received.len(), &buffer[..16]), (16, &[round as u8; 16][..]));
    }
    Ok(())
}

/// Slices of regions that were registered for collectives: what is given is only read.
// rule: M13
fn registered_buffers(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 2)?;
    let groups = members.join()?;
    let domain = &members.rig.domain;
    let (given_to, gotten_by) =
        (Access::COLLECTIVE | Access::SEND, Access::COLLECTIVE | Access::RECV);
    let ops = posted!(groups, |group, rank| {
        let own = domain.register_frozen(u64s(8, |i| given(rank, i)), given_to);
        let room = domain.register(vec![0; 64], gotten_by | given_to).map_err(|f| f.error)?;
        group.all_reduce((own.map_err(|f| f.error)?, room), Datatype::Uint64, AtomicOp::Max)
    });
    for (_, result) in ended!(ops) {
        assert_eq!(result[..], u64s(8, |i| given(1, i))[..]);
    }
    let alone = domain.register(vec![0; 64], Access::COLLECTIVE).map_err(|f| f.error);
    assert_eq!(*alone.expect_err("for which side?").kind(), ErrorKind::Invalid);
    Ok(())
}

/// What follows batches counts what the provider has sent, and a collective's messages may be among that.
fn no_batches_beside_collectives(t: &Target) -> Verdict {
    let rig = Rig::<Confined>::open(t, CAPS)?;
    let builder = rig.domain.endpoint::<Rdm>(&rig.info).address_vector(&rig.av);
    let made = builder.completion_queue(&rig.cq).batches(BindFlags::TRANSMIT).enable();
    assert!(matches!(made.unwrap_err().kind(), ErrorKind::Unsupported { .. }));
    Ok(())
}

/// Buffers that do not fit each other, or the provider, are refused before the call, and come back.
// rule: X1
fn wrong_counts(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 3)?;
    let groups = members.join()?;
    let (group, root, other) = (&groups[0], members.addresses[0], members.addresses[1]);
    let bytes = |len| vec![1_u8; len];
    let u = Datatype::Uint64;
    macro_rules! refused {
        ($op:expr) => {{
            let failed = $op.post().err().expect("refused");
            assert!(matches!(failed.buf, Returned::Back(_)), "{}", failed.error);
            failed.error.kind().clone()
        }};
    }
    let invalid = [
        refused!(group.all_reduce((bytes(8), bytes(16)), u, AtomicOp::Sum)),
        refused!(group.all_reduce((bytes(12), bytes(12)), u, AtomicOp::Sum)),
        refused!(group.all_reduce((bytes(0), bytes(0)), u, AtomicOp::Sum)),
        refused!(group.all_reduce((vec![bytes(8), bytes(8)], bytes(16)), u, AtomicOp::Sum)),
        refused!(group.all_reduce((vec![bytes(8); 2], bytes(8)), u, AtomicOp::Sum)),
        refused!(group.all_gather((bytes(8), bytes(8)), u)),
        refused!(group.all_gather((bytes(8), bytes(32)), u)),
        refused!(group.all_gather((bytes(0), bytes(24)), u)),
        refused!(group.scatter((bytes(8), bytes(8)), root, u)),
        refused!(group.scatter((bytes(32), bytes(8)), root, u)),
        refused!(group.scatter((bytes(0), bytes(8)), root, u)),
        refused!(group.scatter((bytes(8), bytes(8)), other, u)),
        refused!(group.scatter((bytes(0), bytes(0)), other, u)),
        refused!(group.broadcast(bytes(12), root, u)),
        refused!(group.broadcast(bytes(0), root, u)),
        refused!(group.broadcast(vec![bytes(24), bytes(24)], root, u)),
    ];
    assert!(invalid.iter().all(|kind| *kind == ErrorKind::Invalid), "{invalid:?}");
    let crooked = {
        let region = members
            .rig
            .domain
            .register(bytes(32), Access::COLLECTIVE | Access::SEND | Access::RECV);
        let mut rest = region.map_err(|f| f.error)?.split_off(1);
        drop(rest.split_off(24));
        refused!(group.broadcast(rest, root, u))
    };
    assert_eq!(crooked, ErrorKind::Invalid);
    // Four values among three: the provider would take six.
    let four = refused!(group.broadcast(bytes(32), root, u));
    assert_eq!(four == ErrorKind::Invalid, quirk(&t.provider, Defect::BroadcastOverruns).is_some());
    // A root that is no member.
    let stranger: FabricAddress = std::net::SocketAddr::from(([127, 0, 0, 1], 9)).into();
    let stranger = members.rig.av.insert(&stranger)?;
    assert_eq!(refused!(group.broadcast(bytes(24), stranger, u)), ErrorKind::Invalid);
    // Longer than what ends (quirk 53).
    let long = 24 * 1024;
    let too_large = [
        refused!(group.all_reduce((bytes(long), bytes(long)), u, AtomicOp::Sum)),
        refused!(group.all_gather((bytes(long), bytes(3 * long)), u)),
        refused!(group.broadcast(bytes(3 * long), root, u)),
        refused!(group.scatter((bytes(3 * long), bytes(long)), root, u)),
    ];
    let is_large = |kind: &ErrorKind| matches!(kind, ErrorKind::TooLarge { .. });
    assert!(too_large.iter().all(is_large), "{too_large:?}");
    // And what does.
    let ops = posted!(groups, |group, _rank| group.all_reduce(
        (bytes(16000), bytes(16000)),
        u,
        AtomicOp::Bor
    ));
    ended!(ops).into_iter().for_each(|(own, result)| assert_eq!(own, result));
    let ops = posted!(groups, |group, _rank| group.broadcast(bytes(3 * 16384), root, u));
    ended!(ops).into_iter().for_each(|result| assert_eq!(result, bytes(3 * 16384)));
    assert_eq!(members.rig.cq.counts().stray, 0);
    Ok(())
}

/// What the provider says it has is had, and the rest refused, with the buffers.
// rule: X9, D8
fn what_there_is(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 2)?;
    let (domain, u) = (&members.rig.domain, Datatype::Uint64);
    for collective in
        [Collective::Barrier, Collective::Broadcast, Collective::Allgather, Collective::Scatter]
    {
        assert!(domain.query_collective(collective, u, None)?.members >= 2);
    }
    let unsupported = |collective, datatype, op| {
        let error = domain.query_collective(collective, datatype, op).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    };
    let sum = Some(AtomicOp::Sum);
    assert!(domain.query_collective(Collective::Allreduce, u, sum)?.count.is_some());
    unsupported(Collective::Allreduce, u, None);
    unsupported(Collective::Allreduce, u, Some(AtomicOp::Cswap));
    unsupported(Collective::Allreduce, Datatype::Float, Some(AtomicOp::Bor));
    unsupported(Collective::Allreduce, Datatype::Uint128, sum);
    unsupported(Collective::Unknown(77), u, None);
    for collective in [Collective::ReduceScatter, Collective::Reduce] {
        unsupported(collective, u, sum);
    }
    for collective in [Collective::Alltoall, Collective::Gather] {
        unsupported(collective, u, None);
    }
    let groups = members.join()?;
    let (group, root) = (&groups[0], members.addresses[0]);
    let pair = || (vec![1_u8; 16], vec![1_u8; 16]);
    let errors = [
        group.all_to_all(pair(), u).post().err().map(|f| f.error),
        group
            .reduce_scatter((vec![1; 16], vec![1; 8]), u, AtomicOp::Sum)
            .post()
            .err()
            .map(|f| f.error),
        group.reduce(pair(), root, u, AtomicOp::Sum).post().err().map(|f| f.error),
        group.gather((vec![1; 8], vec![1; 16]), root, u).post().err().map(|f| f.error),
        group.all_reduce(pair(), Datatype::Double, AtomicOp::Bxor).post().err().map(|f| f.error),
    ];
    for error in errors {
        let error = error.expect("there is none such");
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    }
    // On a domain without the capability: nothing, and no crash.
    let info = t.query(Caps::MSG)?;
    let plain: ofi::Domain<Confined> = members.rig.fabric.domain(&info)?;
    assert!(plain.query_collective(Collective::Barrier, u, None).is_err());
    Ok(())
}

/// Joins and collectives as futures, driven by whoever polls them.
fn as_futures(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 2)?;
    let mut joins = members.begin()?;
    let (second, first) = (joins.pop().expect("two"), joins.pop().expect("two"));
    ofi::block_on(async {
        let (first, second) = (first.await?, second.await?);
        let (a, b) = (first.barrier().post()?, second.barrier().post()?);
        a.await?;
        b.await?;
        let root = members.addresses[0];
        let a = first.broadcast(vec![5; 64], root, Datatype::Uint8).post()?;
        let (_, buffer) = second.broadcast(vec![0; 64], root, Datatype::Uint8).await?;
        assert_eq!(buffer, vec![5; 64]);
        a.await?;
        Ok(())
    })
}

/// Two processes with one member each.
// rule: X6
fn two_processes(t: &Target) -> Verdict {
    let members = Members::<Confined>::open(t, 1)?;
    let own = members.endpoints[0].name()?;
    let mut peer = None;
    let other = if Parent::role().is_some() {
        let parent = Parent::new();
        parent.say_address(&own)?;
        parent.hear_address()?
    } else {
        let peer = peer.insert(Peer::start("member")?);
        peer.say_address(&own)?;
        peer.hear_address()?
    };
    let rank = usize::from(peer.is_none());
    let other = members.rig.av.insert(&other)?;
    let mut order = [members.addresses[0], other];
    if rank == 1 {
        order.reverse();
    }
    let mut set = members.rig.av.set().count(2).flags(SetFlags::BARRIER_SET).open()?;
    order.iter().try_for_each(|address| set.insert(*address))?;
    let group = members.endpoints[0].join_collective(set)?.wait(LIMIT)?;
    assert_eq!(group.rank(), rank);
    for round in 0..50_u64 {
        group.barrier().wait(LIMIT)?;
        let own = u64s(16, |i| given(rank, i) + round);
        let (_, (_, sum)) = group
            .all_reduce((own.clone(), vec![0; 128]), Datatype::Uint64, AtomicOp::Sum)
            .wait(LIMIT)?;
        assert_eq!(sum, u64s(16, |i| given(0, i) + given(1, i) + 2 * round));
        let (_, (_, both)) = group.all_gather((own, vec![0; 256]), Datatype::Uint64).wait(LIMIT)?;
        let expected = |i: usize| given(i / 16, i % 16) + round;
        assert_eq!(both, u64s(32, expected));
        let root = order[round as usize % 2];
        let data =
            if group.rank_of(root) == Some(rank) { vec![round as u8; 64] } else { vec![0; 64] };
        let (_, data) = group.broadcast(data, root, Datatype::Uint8).wait(LIMIT)?;
        assert_eq!(data, vec![round as u8; 64]);
    }
    group.barrier().wait(LIMIT)?;
    match peer {
        // So that the last barrier's messages are read before either goes.
        Some(mut peer) => {
            peer.say("done")?;
            assert_eq!(peer.hear()?, "done");
            peer.finish()
        }
        None => {
            let parent = Parent::new();
            parent.say("done")?;
            assert_eq!(parent.hear()?, "done");
            Ok(())
        }
    }
}

/// Memory for the rest of the process.
pub(crate) fn forever(bytes: Vec<u8>) -> *mut std::ffi::c_void {
    Box::leak(bytes.into_boxed_slice()).as_mut_ptr().cast()
}

/// Two members whose groups are used by raw calls: what these report are strays here.
fn two_raw(t: &Target) -> Result<(Members<Confined>, Vec<CollectiveGroup<Confined>>), Stop> {
    let members = Members::<Confined>::open(t, 2)?;
    let groups = members.join()?;
    ended!(posted!(groups, |group, _rank| group.barrier()));
    Ok((members, groups))
}

/// Defect 53: a collective of messages longer than an eager one does not end.
// quirk: 53
fn quirk_53_stray_contexts(t: &Target) -> Verdict {
    const LEN: usize = 20 << 10;
    let (members, groups) = two_raw(t)?;
    let results: Vec<_> = (0..2).map(|_| forever(vec![0; LEN])).collect();
    for (i, group) in groups.iter().enumerate() {
        // SAFETY: memory and context are never freed, and as long as the call says.
        let status = unsafe {
            ofi_sys::fi_allreduce(
                members.endpoints[i].as_raw(),
                forever(vec![1; LEN]),
                LEN,
                std::ptr::null_mut(),
                results[i],
                std::ptr::null_mut(),
                group.as_raw_address(),
                ofi_sys::FI_UINT8,
                ofi_sys::FI_SUM,
                0,
                forever(vec![0; 64]),
            )
        };
        assert_eq!(status, 0);
    }
    let cq = &members.rig.cq;
    progress_until(cq, "two strays", || cq.counts().stray >= 2);
    members.drive()?;
    // SAFETY: the provider writes it, on this thread alone.
    let first = unsafe { results[0].cast::<u8>().read_volatile() };
    assert_eq!(
        first != 2,
        quirk(&t.provider, Defect::StrayContexts).is_some(),
        "the defect is gone"
    );
    // Nothing of this can be closed.
    std::process::exit(0)
}

/// Defect 54: a broadcast of three values to two members changes the fourth.
// quirk: 54
fn quirk_54_broadcast_overruns(t: &Target) -> Verdict {
    let (members, groups) = two_raw(t)?;
    let buffers = [forever(vec![1; 8]), forever(vec![2; 8])];
    raw_broadcast(&members, &groups, buffers, 3, address_or_rank(t, &members, 0))?;
    // SAFETY: the provider is done with it; eight bytes.
    let second = unsafe { buffers[1].cast::<[u8; 8]>().read_volatile() };
    assert_eq!(second[..3], [1; 3]);
    assert_eq!(second[3] != 2, quirk(&t.provider, Defect::BroadcastOverruns).is_some());
    assert_eq!(second[4..], [2; 4]);
    Ok(())
}

/// Defect 55: the number of an address, taken for a rank, names another member.
// quirk: 55
fn quirk_55_root_is_rank(t: &Target) -> Verdict {
    let (members, groups) = two_raw(t)?;
    let root = members.addresses[0].as_raw();
    assert_eq!(
        (root, members.addresses[1].as_raw()),
        (1, 0),
        "the other way round than their ranks"
    );
    let buffers = [forever(vec![1; 8]), forever(vec![2; 8])];
    raw_broadcast(&members, &groups, buffers, 8, root)?;
    // SAFETY: the provider is done with it; eight bytes.
    let first = unsafe { buffers[0].cast::<[u8; 8]>().read_volatile() };
    assert_eq!(first != [1; 8], quirk(&t.provider, Defect::RootIsRank).is_some());
    Ok(())
}

fn address_or_rank(t: &Target, members: &Members<Confined>, rank: usize) -> u64 {
    if quirk(&t.provider, Defect::RootIsRank).is_some() {
        return rank as u64;
    }
    members.addresses[rank].as_raw()
}

fn raw_broadcast(
    members: &Members<Confined>,
    groups: &[CollectiveGroup<Confined>],
    buffers: [*mut std::ffi::c_void; 2],
    count: usize,
    root: u64,
) -> Verdict {
    for (i, group) in groups.iter().enumerate() {
        // SAFETY: memory and context are never freed, and longer than the count rounded up.
        let status = unsafe {
            ofi_sys::fi_broadcast(
                members.endpoints[i].as_raw(),
                buffers[i],
                count,
                std::ptr::null_mut(),
                group.as_raw_address(),
                root,
                ofi_sys::FI_UINT8,
                0,
                forever(vec![0; 64]),
            )
        };
        assert_eq!(status, 0);
    }
    let cq = &members.rig.cq;
    progress_until(cq, "both ends", || cq.counts().stray >= 2);
    Ok(())
}
