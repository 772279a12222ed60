//! What providers may demand of their callers, on a provider that demands it and looks at every call
//! (`crates/ofi-test-provider`): it ends the process where a rule is broken.
//!
//! The cases of other modules run over it with all demands at once that this crate serves, and with
//! plans that delay, reorder and refuse. Here is what they do not do: each demand by itself, registered
//! memory throughout, failures, operations that never end, and the demands that take callers of their own
//! kind.

use std::{ffi::c_void, time::Duration};

use ofi::{
    Access, AtomicOp, Caps, Datatype, ErrorKind, ExposedRegion, Memory, OpFlags, Prefixed, Rdm,
    Received, RegionSlice, Returned, Shared, WaitError,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Parent, Probe, Rig, Stop, Target, Tracked, Verdict, detector, expired,
    pattern, progress_until, rerun, wanted_case,
};

const DEMAND: &str = "OFI_TEST_DEMAND";
const PLAN: &str = "OFI_TEST_PLAN";

/// The demands that this crate serves whatever the caller does.
const SERVED: [&str; 8] = [
    "context",
    "context2",
    "async_iov",
    "rx_cq_data",
    "mr_local",
    "mr_virt_addr",
    "mr_prov_key",
    "mr_local,mr_virt_addr,mr_allocated,mr_prov_key,context2,async_iov,rx_cq_data",
];

/// Modules whose cases run again.
const AGAIN: [&str; 14] = [
    "addresses::",
    "atomics::",
    "backpressure::",
    "counters::",
    "deferred::",
    "local::",
    "messages::",
    "mr::",
    "notify::",
    "ops::",
    "reentrancy::",
    "rma::",
    "tagged::",
    "threads::",
];

/// Of them, those that need another process.
const ACROSS: [&str; 2] = ["rma::two_processes", "atomics::counted_up_by_many"];

pub fn register(list: &mut List) {
    fn both(
        list: &mut List,
        name: &str,
        env: &[(&str, &str)],
        bodies: [fn(&Target) -> Verdict; 2],
    ) {
        list.provided(module_path!(), name, "shared", env, bodies[0]);
        list.provided(module_path!(), name, "confined", env, bodies[1]);
    }
    macro_rules! both {
        ($name:expr, $env:expr, $body:ident) => {
            both(list, $name, $env, [$body::<Shared>, $body::<ofi::Confined>])
        };
    }
    for demand in SERVED {
        both!(&format!("served::{demand}"), &[(DEMAND, demand)], everything);
    }
    for demand in ["msg_prefix", "mr_endpoint", "mr_raw"] {
        let env = [(DEMAND, demand)];
        list.provided(
            module_path!(),
            &format!("done_its_way::{demand}"),
            "shared",
            &env,
            done_its_way,
        );
    }
    both!("never_ends", &[(DEMAND, "context2,exclusive"), (PLAN, "never:1")], never_ends);
    both!("some_fail", &[(DEMAND, "context2,exclusive"), (PLAN, "fail:3")], some_fail);
    for (rule, demand, _) in DISOBEDIENT {
        let env = [(DEMAND, *demand)];
        list.provided(module_path!(), &format!("noticed::{rule}"), "shared", &env, noticed);
    }
    list.provided(module_path!(), "written_down", "shared", &[], written_down);

    // What a provider does wrong this one does not.
    let again = |name: &str| {
        AGAIN.iter().any(|module| name.starts_with(module))
            && !ACROSS.contains(&name)
            && !name.contains("::quirk_")
    };
    let demands = (DEMAND, "context2,async_iov,mr_virt_addr,mr_allocated,mr_prov_key");
    let plan = (PLAN, "slow:3;seed:1");
    list.provided_again(module_path!(), "again", &[demands, plan], again);
}

/// Some registered memory of a rig's, with a region over all of it.
struct Board<T: Mode> {
    region: ExposedRegion<T>,
}

impl<T: Mode> Board<T> {
    const PLACE: usize = 4096;

    fn new(p: &Pair<Rdm, T>) -> Result<Board<T>, Stop> {
        let memory = Memory::new(vec![0; 16 * Self::PLACE])?;
        let access = Access::REMOTE_READ | Access::REMOTE_WRITE;
        let access = access | Access::SEND | Access::RECV | Access::READ | Access::WRITE;
        Ok(Board { region: p.rig.domain.expose(&memory).access(access).open()? })
    }

    /// The beginning of a place.
    fn at(&self, place: usize, len: usize) -> RegionSlice<T> {
        let start = place * Self::PLACE;
        self.region.slice(start..start + len).expect("within it")
    }

    /// The same, with these bytes in it.
    fn with(&self, place: usize, bytes: &[u8]) -> RegionSlice<T> {
        let slice = self.at(place, bytes.len());
        slice.copy_from(bytes).expect("as long");
        slice
    }
}

fn bytes<T: Mode>(slice: &RegionSlice<T>) -> Vec<u8> {
    let mut bytes = vec![0; slice.len()];
    slice.copy_to(&mut bytes).expect("as long");
    bytes
}

/// Every kind of operation, in registered memory.
// rule: B7, B9, B11, B31, D7, M3, M6, M7
fn everything<T>(t: &Target) -> Verdict
where
    T: Mode + ofi::Accepts<RegionSlice<T>> + ofi::Accepts<[RegionSlice<T>; 3]>,
    T: ofi::Accepts<Vec<RegionSlice<T>>> + ofi::Accepts<(RegionSlice<T>, RegionSlice<T>)>,
{
    let p = Pair::<Rdm, T>::open(t, Caps::MSG | Caps::TAGGED | Caps::RMA | Caps::ATOMIC)?;
    let board = Board::new(&p)?;
    let demands = std::env::var(DEMAND).unwrap_or_default();

    // Messages: in one piece, in several, in more than a slot has room for.
    for (n, len) in [0_usize, 1, 100, 4096].into_iter().enumerate() {
        let receive = p.b.recv(board.at(0, len)).post()?;
        p.a.send(board.with(1, &pattern(len, n as u8)), p.to_b).wait(LIMIT)?;
        let (received, slice) = receive.wait(LIMIT)?;
        assert_eq!((received.len(), bytes(&slice)), (len, pattern(len, n as u8)));
        let receive = p.b.recv(board.at(0, len)).tag(7).ignore(8).post()?;
        p.a.send(board.with(1, &pattern(len, 9)), p.to_b).tag(15).data(3).wait(LIMIT)?;
        let (received, slice) = receive.wait(LIMIT)?;
        assert_eq!((received.tag(), received.data()), (Some(15), Some(3)));
        assert_eq!(bytes(&slice), pattern(len, 9));
    }
    for tagged in [false, true] {
        let three = |at: usize, seed: u8| {
            [10, 20, 30].map(|len| board.with(at + len / 10, &pattern(len, seed + len as u8)))
        };
        let receive = p.b.recv(three(0, 100));
        let receive = if tagged { receive.tag(1) } else { receive }.post()?;
        let send = p.a.send(three(4, 0), p.to_b);
        if tagged { send.tag(1) } else { send }.wait(LIMIT)?;
        let (received, slices) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), 60);
        for (slice, len) in slices.iter().zip([10, 20, 30]) {
            assert_eq!(bytes(slice), pattern(len, len as u8));
        }
        let eight = |seed: u8| -> Vec<_> {
            (0..8).map(|n| board.with(n + usize::from(seed), &pattern(8, seed + n as u8))).collect()
        };
        let receive = p.b.recv(eight(8));
        let receive = if tagged { receive.tag(2) } else { receive }.post()?;
        // Several at once, so that they are under way together.
        let send = p.a.send(eight(0), p.to_b);
        let send = if tagged { send.tag(2) } else { send }.post()?;
        let (_, slices) = receive.wait(LIMIT)?;
        send.wait(LIMIT)?;
        for (n, slice) in slices.iter().enumerate() {
            assert_eq!(bytes(slice), pattern(8, n as u8));
        }
    }
    p.a.send([5_u8; 64], p.to_b).data(9).inject()?;
    let (received, slice) = p.b.recv(board.at(0, 64)).wait(LIMIT)?;
    assert_eq!((received.data(), bytes(&slice)), (Some(9), vec![5; 64]));
    let receives = [0, 1].map(|n| p.b.recv(board.at(n, 8)).post());
    let more = p.a.send(board.with(2, &[1; 8]), p.to_b).flags(OpFlags::MORE).post()?;
    let last = p.a.send(board.with(3, &[2; 8]), p.to_b).post()?;
    more.wait(LIMIT)?;
    last.wait(LIMIT)?;
    for (n, receive) in receives.into_iter().enumerate() {
        assert_eq!(bytes(&receive?.wait(LIMIT)?.1), [n as u8 + 1; 8]);
    }

    // Remote memory.
    let remote = board.region.remote();
    let place =
        |n: usize, len: usize| remote.slice(n * Board::<T>::PLACE..n * Board::<T>::PLACE + len);
    p.a.write(board.with(1, &pattern(100, 1)), p.to_b, place(2, 100)?).wait(LIMIT)?;
    assert_eq!(bytes(&board.at(2, 100)), pattern(100, 1));
    p.a.read(board.at(3, 100), p.to_b, place(2, 100)?).wait(LIMIT)?;
    assert_eq!(bytes(&board.at(3, 100)), pattern(100, 1));
    let three = [10, 20, 30].map(|len| board.with(4 + len / 10, &pattern(len, 8)));
    p.a.write(three.clone(), p.to_b, place(8, 20)?).and(place(9, 40)?).wait(LIMIT)?;
    p.a.read(three.clone(), p.to_b, place(8, 20)?).and(place(9, 40)?).wait(LIMIT)?;
    let all = three.iter().flat_map(bytes).collect::<Vec<_>>();
    assert_eq!(all, [pattern(10, 8), pattern(20, 8), pattern(30, 8)].concat());
    let receive = p.b.recv(board.at(10, 64)).post()?;
    p.a.write(board.with(1, &[6; 32]), p.to_b, place(2, 32)?).data(77).wait(LIMIT)?;
    if demands.contains("rx_cq_data") {
        let (received, _) = receive.wait(LIMIT)?;
        assert!(
            matches!(received, Received::RemoteWrite { data: 77, len: 32, .. }),
            "{received:?}"
        );
    } else {
        progress_until(&p.rig.cq, "the data", || {
            let Some(notice) = p.rig.cq.unsolicited() else { return false };
            assert_eq!(notice.data, Some(77));
            true
        });
        drop(receive);
    }
    let word = |n: u64, at: usize| board.with(at, &n.to_ne_bytes());
    word(40, 11);
    let sum = (Datatype::Uint64, AtomicOp::Sum);
    let (place, kind) = (place(11, 8)?, sum);
    p.a.atomic(word(1, 1), p.to_b, place, kind.0, kind.1).wait(LIMIT)?;
    let (_, (_, before)) =
        p.a.fetch_atomic((word(1, 1), board.at(3, 8)), p.to_b, place, kind.0, kind.1)
            .wait(LIMIT)?;
    assert_eq!(bytes(&before), 41_u64.to_ne_bytes());
    assert_eq!(bytes(&board.at(11, 8)), 42_u64.to_ne_bytes());

    // Ends of other kinds.
    let cancelled = p.b.recv(board.at(12, 64)).post()?;
    cancelled.cancel()?;
    let Err(WaitError::Failed(failed)) = cancelled.wait(LIMIT) else { panic!("nothing came") };
    assert_eq!(*failed.error.kind(), ErrorKind::Cancelled);
    drop(p.b.recv(board.at(12, 64)).post()?);
    let held = p.b.recv(board.at(13, 64)).tag(5).post()?.abandon();
    let open = p.b.recv(vec![board.at(14, 8), board.at(15, 8)]).tag(6).post();
    let Pair { a, b, rig, .. } = p;
    b.close(LIMIT)?;
    assert!(matches!(held, Returned::Held(_)));
    assert!(open?.wait(LIMIT).is_err());
    a.close(LIMIT)?;
    drop((board, rig));
    assert_eq!(Probe::get().counts().held, 0);
    Ok(())
}

/// What takes a caller of its own kind: what is not done that way is refused, and what is done that way
/// goes through.
// rule: D7, B10, M8, M9
fn done_its_way(t: &Target) -> Verdict {
    let caps = Caps::MSG | Caps::RMA;
    let info = match std::env::var(DEMAND).as_deref() {
        Ok("msg_prefix") => {
            // Not offered unless the application says that it leaves room.
            let error = t.hints(caps).query().expect_err("it was not offered");
            assert_eq!(*error.kind(), ErrorKind::NotFound);
            t.hints(caps).message_prefix().query()?.into_best()
        }
        _ => t.query(caps)?,
    };
    let p = Pair::<Rdm, Shared>::on(Rig::on(info)?)?;
    match std::env::var(DEMAND).as_deref() {
        Ok("msg_prefix") => prefixed(&p),
        Ok("mr_endpoint") => bound(&p),
        Ok("mr_raw") => mapped(&p),
        other => panic!("{other:?}"),
    }
}

fn prefixed(p: &Pair<Rdm, Shared>) -> Verdict {
    let room = p.a.prefix_size();
    assert!(room > 0);
    let refused = p.a.send(vec![1; 64], p.to_b).post().expect_err("there is no room");
    let error = refused.error;
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    let refused = p.b.recv(vec![1; 64]).post().expect_err("there is no room");
    let error = refused.error;
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    let receive = p.b.recv(Prefixed::new(vec![0; room], vec![0; 64])).post()?;
    p.a.send(Prefixed::new(vec![0; room], pattern(50, 3)), p.to_b).wait(LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), &buffer.body[..50]), (50, &pattern(50, 3)[..]));
    Ok(())
}

fn bound(p: &Pair<Rdm, Shared>) -> Verdict {
    let access = Access::SEND | Access::RECV;
    p.rig.domain.register(vec![0; 64], access).expect_err("no endpoint is named");
    let region = p.a.register(pattern(64, 5), access).map_err(|failed| failed.error)?;
    let receive = p.b.recv(vec![0; 64]).post()?;
    p.a.send(region, p.to_b).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, pattern(64, 5));
    Ok(())
}

fn mapped(p: &Pair<Rdm, Shared>) -> Verdict {
    let memory = Memory::new(vec![0; 64]).map_err(|failed| failed.error)?;
    let region = p.rig.domain.expose(&memory).access(Access::REMOTE_WRITE).open()?;
    let remote = region.remote();
    let refused = p.a.write(vec![1; 8], p.to_b, &remote).post().expect_err("it is not mapped");
    assert_eq!(*refused.error.kind(), ErrorKind::Invalid, "{}", refused.error);
    let mapped = p.rig.domain.map(&remote)?;
    p.a.write(pattern(64, 9), p.to_b, &mapped).wait(LIMIT)?;
    assert_eq!(memory.to_vec(), pattern(64, 9));
    Ok(())
}

/// An operation that never ends is held until its endpoint is closed, whatever is done to it.
// rule: B1, B3, B26, L2
fn never_ends<T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<Rdm, T>::open(t, Caps::MSG)?;
    let probe = Probe::get();
    let [(first, dropped), (second, abandoned), (third, kept), (fourth, sent)] =
        [1, 2, 3, 4].map(|n| Tracked::new(vec![n; 64]));
    let is = |flag: &std::sync::atomic::AtomicBool| flag.load(std::sync::atomic::Ordering::SeqCst);
    drop(p.b.recv(first).post()?);
    let Returned::Held(mut held) = p.b.recv(second).post()?.abandon() else { panic!("it is held") };
    let receive = p.b.recv(third).post()?;
    receive.cancel()?;
    let receive = expired!(receive.wait(Duration::from_millis(5)));
    let send = p.a.send(fourth, p.to_b).post()?;
    let send = expired!(send.wait(Duration::from_millis(5)));
    assert_eq!((probe.counts().held, probe.counts().never), (4, 4));
    assert!(held.try_take().is_none());
    assert!(![&dropped, &abandoned, &kept, &sent].into_iter().any(|flag| is(flag)));
    let Pair { a, b, rig, .. } = p;
    b.close(Duration::from_millis(5))?;
    assert_eq!(probe.counts().held, 1);
    let Err(WaitError::Failed(failed)) = receive.wait(LIMIT) else { panic!("it cannot end well") };
    assert_eq!(*failed.error.kind(), ErrorKind::Closed);
    let buffer = failed.buf.into_buffer().expect("the endpoint is closed");
    assert_eq!(buffer.bytes(), [3; 64]);
    assert!(is(&dropped) && held.try_take().is_some_and(|buffer| buffer.bytes() == [2; 64]));
    a.close(Duration::from_millis(5))?;
    assert!(matches!(send.wait(LIMIT), Err(WaitError::Failed(_))) && is(&sent));
    drop(rig);
    Ok(())
}

/// A failure is its operation's, with the provider's words, and no other's.
// rule: B17, B18, B19
fn some_fail<T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<Rdm, T>::open(t, Caps::MSG)?;
    let mut outcomes = Vec::new();
    for n in 0..12 {
        let send = p.a.send(pattern(64, n), p.to_b).post()?;
        match send.wait(LIMIT) {
            Ok((_, buffer)) => {
                assert_eq!(buffer, pattern(64, n));
                outcomes.push(true);
            }
            Err(WaitError::Failed(failed)) => {
                assert!(failed.error.to_string().contains("as planned (5005)"), "{}", failed.error);
                assert_eq!(failed.error.errno(), Some(ofi::Errno::EIO));
                assert_eq!(failed.buf.into_buffer().expect("done with"), pattern(64, n));
                outcomes.push(false);
            }
            Err(expired) => panic!("{expired}"),
        }
    }
    assert_eq!(outcomes, [true, true, false].repeat(4));
    Ok(())
}

/// What a disobedient caller does: the rule, what is demanded, and the deed.
const DISOBEDIENT: &[(&str, &str, fn(&Pair<Rdm, Shared>))] = &[
    ("B7_no_context", "context2", |p| post(p, std::ptr::null_mut())),
    ("B7_twice_the_same", "context", |p| {
        let context = context();
        post(p, context);
        post(p, context);
    }),
    ("B7_written_to", "context2", |p| {
        let context = context();
        post(p, context);
        // SAFETY: it is leaked. The deed.
        unsafe { context.cast::<u64>().add(7).write(1) };
        let _ = p.rig.cq.progress();
    }),
    ("B9_vector_reused", "async_iov", |p| {
        let piece = || libc::iovec { iov_base: room(8).cast(), iov_len: 8 };
        let list = Box::leak(Box::new([piece(), piece()]));
        let (ep, none) = (p.b.as_raw(), std::ptr::null_mut());
        // SAFETY: all of it is leaked.
        let status = unsafe { ofi_sys::fi_recvv(ep, list.as_ptr(), none, 2, UNSPEC, context()) };
        assert_eq!(status, 0);
        list[1].iov_len = 4;
        let _ = p.rig.cq.progress();
    }),
    ("B31_batch_left_open", "", |p| {
        let piece = libc::iovec { iov_base: room(8).cast(), iov_len: 8 };
        let message = ofi_sys::fi_msg {
            msg_iov: &raw const piece,
            desc: std::ptr::null_mut(),
            iov_count: 1,
            addr: UNSPEC,
            context: context(),
            data: 0,
        };
        // SAFETY: the memory is leaked, and the message lives during the call.
        let status =
            unsafe { ofi_sys::fi_recvmsg(p.b.as_raw(), &raw const message, ofi_sys::FI_MORE) };
        assert_eq!(status, 0);
        for _ in 0..1000 {
            let _ = p.rig.cq.progress();
        }
    }),
    ("M3_no_descriptor", "mr_local", |p| post(p, context())),
    ("A2_unknown_address", "", |p| {
        // SAFETY: the bytes are static.
        unsafe { ofi_sys::fi_inject(p.a.as_raw(), b"x".as_ptr().cast(), 1, 999) };
    }),
    ("B1_two_at_once", "exclusive", |p| {
        let (ep, room, none) = (p.b.as_raw(), room(8), std::ptr::null_mut());
        for _ in 0..2 {
            // SAFETY: the memory is leaked.
            unsafe { ofi_sys::fi_recv(ep, room.cast(), 8, none, UNSPEC, context()) };
        }
    }),
    ("L1_closed_in_use", "", |p| {
        // SAFETY: it is open. The deed.
        unsafe { ofi_sys::fi_close(p.rig.av.as_raw().cast()) };
    }),
];

const UNSPEC: u64 = ofi_sys::FI_ADDR_UNSPEC;

/// Memory for one operation, leaked.
fn room(len: usize) -> *mut u8 {
    vec![0_u8; len].leak().as_mut_ptr()
}

fn context() -> *mut c_void {
    vec![0_u64; 16].leak().as_mut_ptr().cast()
}

/// Posts a receive into leaked memory.
fn post(p: &Pair<Rdm, Shared>, context: *mut c_void) {
    let none = std::ptr::null_mut();
    // SAFETY: the memory is leaked; whatever the context is, the provider alone looks at it.
    let status =
        unsafe { ofi_sys::fi_recv(p.b.as_raw(), room(8).cast(), 8, none, UNSPEC, context) };
    assert_eq!(status, 0);
}

/// The provider notices who does not obey: everything above rests on that.
fn noticed(t: &Target) -> Verdict {
    if let Some(role) = Parent::role() {
        let (_, _, deed) =
            DISOBEDIENT.iter().find(|(name, ..)| *name == role).expect("one of them");
        let p = Pair::<Rdm, Shared>::open(t, Caps::MSG)?;
        deed(&p);
        return Ok(());
    }
    let case = wanted_case();
    let (name, ..) = DISOBEDIENT
        .iter()
        .find(|(name, ..)| case.contains(&format!("::{name}::")))
        .expect("listed");
    let rule = name.split('_').next().unwrap_or_default();
    let said = format!("ofitest: rule {rule} is broken");
    match rerun(name, detector())? {
        Err(text) if text.contains(&said) => Ok(()),
        other => Err(Stop::Failed(format!("not {said}: {other:?}"))),
    }
}

/// What the provider does not do it writes down.
fn written_down(t: &Target) -> Verdict {
    let p = Pair::<Rdm, Shared>::open(t, Caps::MSG | Caps::RMA)?;
    let probe = Probe::get();
    assert!(probe.records().is_empty());
    let memory = room(64);
    let piece = libc::iovec { iov_base: memory.cast(), iov_len: 64 };
    let mut key = *b"secret";
    // SAFETY: all of it lives during the calls, and the memory is leaked.
    unsafe {
        let mut attr: ofi_sys::fi_mr_attr = std::mem::zeroed();
        attr.mem.mr_iov = &raw const piece;
        attr.iov_count = 1;
        attr.access = ofi_sys::FI_REMOTE_READ;
        attr.requested_key = 0x77;
        attr.iface = ofi_sys::FI_HMEM_CUDA;
        attr.device.cuda = 3;
        attr.auth_key = key.as_mut_ptr();
        attr.auth_key_size = key.len();
        let mut mr = std::ptr::null_mut();
        let domain = p.rig.domain.as_raw();
        assert_eq!(ofi_sys::fi_mr_regattr(domain, &raw const attr, 0, &raw mut mr), 0);
        assert_eq!(ofi_sys::fi_mr_refresh(mr, &raw const piece, 1, 0), 0);
        assert_eq!(ofi_sys::fi_close(mr.cast()), 0);
    }
    let records = probe.records();
    let base = memory as usize;
    assert_eq!(
        records,
        [
            format!(
                "mr_regattr iov({base:#x},64) access={:#x} offset=0 requested_key=0x77 \
                 auth_key=736563726574 iface=1 device=3 page_size=0 base_mr=0x0 sub_mr_cnt=0 \
                 flags=0x0",
                ofi_sys::FI_REMOTE_READ
            ),
            format!("mr_refresh iov({base:#x},64) flags=0x0"),
        ]
    );
    drop(p);
    let p = Pair::<Rdm, Shared>::open(t, Caps::MSG | Caps::COLLECTIVE)?;
    let (ep, none) = (p.a.as_raw(), std::ptr::null_mut());
    let (u32s, sum) = (ofi_sys::FI_UINT32, ofi_sys::FI_SUM);
    let there = memory.wrapping_add(32).cast();
    // SAFETY: the memory is leaked, and nothing reads it.
    let status = unsafe {
        let (from, context) = (memory.cast(), context());
        ofi_sys::fi_reduce(ep, from, 4, none, there, none, 7, 8, u32s, sum, 0, context)
    };
    assert_eq!(status, 0);
    let expected = format!(
        "reduce buf={base:#x} count=0x4 desc=0x0 result={there:p} result_desc=0x0 coll_addr=0x7 \
         root_addr=0x8 datatype={u32s:#x} op={sum:#x} flags=0x0"
    );
    assert_eq!(probe.records(), [expected]);
    // The entry would name no operation of the endpoint's: it is not to be read.
    std::process::exit(0)
}
