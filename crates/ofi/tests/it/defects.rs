//! Entries of the quirk table that no other module is about, each shown in a process of its own by
//! calls that this crate avoids.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use ofi::{
    Access, Caps, Connectionless, CqFormat, Defect, Memory, RawCompletionQueue, RawEndpoint,
    RawWait, WaitError, quirk,
};

use crate::{
    harness::{LIMIT, List, Mode, Pair, Parent, Rig, Stop, Target, Verdict, cases},
    whose::{Context, Two, shown},
};

pub fn register(list: &mut List) {
    cases!(list, rdm: quirk_18_insert_crashes quirk_19_short_receive_hangs);
    cases!(list, rdm: quirk_21_error_text_crashes quirk_23_segments_dangle quirk_24_request_dangles);
    cases!(list, rdm: quirk_25_last_connection_dangles received_from_a_closed_sender);
    cases!(list, rdm: quirk_26_fetches_crash quirk_29_entries_come_late);
    cases!(list, dgram: quirk_30_failed_join_stays);
    cases!(list, rdm: quirk_66_sread_follows_closed);
    cases!(list, rdm: closed_while_somebody_connects inserted_while_messages_wait);
    cases!(list, rdm: closed_before_the_peer_looks);
    cases!(list, rdm: quirk_69_unenabled_close_crashes);
    list.leaks("defects::quirk_30_failed_join_stays");
}

/// Memory for the rest of the process.
fn forever<X>(value: X) -> &'static mut X {
    Box::leak(Box::new(value))
}

fn context() -> *mut std::ffi::c_void {
    forever(Context::new()).pointer()
}

/// Has the second endpoint a message from the first that nobody received; until the send ended.
fn send_unexpected<T: Mode>(two: &Two<T>, len: usize) -> Verdict {
    let (bytes, sent) = (vec![7_u8; len].leak(), context());
    // SAFETY: bytes and context are never freed; the address was just inserted.
    let post = || unsafe { two.a.send(bytes.as_ptr(), len, std::ptr::null_mut(), two.to_b, sent) };
    two.until_posted(&post)?;
    let deadline = Instant::now() + LIMIT;
    while !two.read().iter().any(|(ended, _)| *ended == sent) {
        assert!(Instant::now() < deadline, "it is not sent");
    }
    // What was sent is read from the connection.
    for _ in 0..1000 {
        assert!(two.read().is_empty());
    }
    Ok(())
}

/// Defect 18: rxm looks at who sent each message that waits, and it does not know.
fn quirk_18_insert_crashes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::InsertFollowsGone).is_some(), libc::SIGSEGV);
    }
    let two = Two::<T>::open(t, Caps::MSG)?;
    send_unexpected(&two, 8)?;
    let other: RawEndpoint<T> = two.another()?;
    let mut name = other.name()?.bytes().to_vec();
    name.resize(512, 0);
    Parent::new().say("now")?;
    let mut raw = 0;
    // SAFETY: the vector is open; an address of its form, with zeroes behind it. Where it crashes
    // regardless, this process was started for it.
    unsafe {
        let (av, none) = (two.rig.av.as_raw(), std::ptr::null_mut());
        ofi_sys::fi_av_insert(av, name.as_ptr().cast(), 1, &raw mut raw, 0, none);
    }
    std::process::exit(0)
}

/// Addresses go in while messages wait that nobody received.
// quirk: 18
fn inserted_while_messages_wait<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    for n in 0..3 {
        p.a.send(vec![n; 8], p.to_b).inject()?;
    }
    for _ in 0..1000 {
        p.rig.cq.progress()?;
    }
    let Pair { a, b, rig, .. } = p;
    for _ in 0..2 {
        let other = rig.endpoint::<K>()?;
        let address = rig.av.insert(&other.name()?)?;
        assert_eq!(rig.av.lookup(address)?, other.name()?);
        other.send(vec![1; 8], rig.av.insert(&b.name()?)?).wait(LIMIT)?;
    }
    // On tcp what nobody receives holds up all that follows, and goes with its connection.
    let _kept = (t.provider == "tcp").then_some(a);
    let other = rig.endpoint::<K>()?;
    rig.av.insert(&other.name()?)?;
    let mut all = Vec::new();
    for _ in 0..5 {
        let (received, buffer) = b.recv(vec![9; 8]).wait(LIMIT)?;
        assert_eq!((received.len(), &buffer), (8, &vec![buffer[0]; 8]));
        all.push(buffer[0]);
    }
    // Those of one sender are in order; not those of several.
    all.sort_unstable();
    assert_eq!(all, [0, 1, 1, 1, 2]);
    Ok(())
}

/// Defects 19 and 20: shm and sm2 do not come back from copying into too short a receive.
fn quirk_19_short_receive_hangs<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::ShortReceiveHangs).is_some(), libc::SIGALRM);
    }
    let two = Two::<T>::open(t, Caps::MSG)?;
    let (room, bytes) = (forever([0_u8; 16]), vec![7_u8; 1 << 20].leak());
    let (received, sent, none) = (context(), context(), std::ptr::null_mut());
    // SAFETY: what the operations name is never freed.
    unsafe {
        two.b.recv(room.as_mut_ptr(), room.len(), none, None, received)?;
        two.until_posted(&|| two.a.send(bytes.as_ptr(), bytes.len(), none, two.to_b, sent))?;
        Parent::new().say("now")?;
        libc::alarm(5);
    }
    let deadline = Instant::now() + LIMIT;
    let (cq, mut entry) = (two.cq.as_raw(), std::mem::MaybeUninit::<[u64; 32]>::zeroed());
    loop {
        // SAFETY: the queue is open, and there is room for an entry of any format, of errors too.
        let ended = unsafe {
            match ofi_sys::fi_cq_read(cq, entry.as_mut_ptr().cast(), 1) {
                1 => *entry.as_ptr().cast::<*mut std::ffi::c_void>() == received,
                _ => ofi_sys::fi_cq_readerr(cq, entry.as_mut_ptr().cast(), 0) == 1,
            }
        };
        if ended {
            std::process::exit(0);
        }
        assert!(Instant::now() < deadline, "neither cut nor hanging");
    }
}

/// Defects 21 and 22: rxd and rxm ask an endpoint that the queue has not.
fn quirk_21_error_text_crashes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::ErrorTextCrashes).is_some(), libc::SIGSEGV);
    }
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let cq: RawCompletionQueue<T> =
        rig.domain.raw_completion_queue().format(CqFormat::Context).open()?;
    let mut text = [0_i8; 64];
    Parent::new().say("now")?;
    // SAFETY: the queue is open, the room as long as stated. Where it crashes regardless, this
    // process was started for it.
    unsafe {
        ofi_sys::fi_cq_strerror(cq.as_raw(), 5, std::ptr::null(), text.as_mut_ptr().cast(), 64);
    }
    std::process::exit(0)
}

/// Defect 23: rxm ends no connection in the middle of a message in segments.
fn quirk_23_segments_dangle<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::SegmentsDangle).is_some(), libc::SIGSEGV);
    }
    let two = Two::<T>::open(t, Caps::MSG)?;
    // Others have no such messages, and some may not be closed with messages that wait.
    if t.provider.ends_with("ofi_rxm") {
        send_unexpected(&two, 8)?;
        let (bytes, sent, none) = (vec![7_u8; 120_000].leak(), context(), std::ptr::null_mut());
        // SAFETY: bytes and context are never freed; the address was just inserted.
        let post = || unsafe { two.a.send(bytes.as_ptr(), bytes.len(), none, two.to_b, sent) };
        two.until_posted(&post)?;
        // Each look takes in one segment.
        for _ in 0..3 {
            two.read();
        }
    }
    Parent::new().say("now")?;
    // SAFETY: it is open. Where it crashes regardless, this process was started for it.
    unsafe { ofi_sys::fi_close(two.b.as_raw().cast()) };
    // The objects would close it again.
    std::process::exit(0)
}

/// Defect 24: shm maps who asked for it, gone or not.
fn quirk_24_request_dangles<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::RequestDangles).is_some(), libc::SIGSEGV);
    }
    let two = Two::<T>::open(t, Caps::MSG)?;
    let (byte, sent) = (forever([7_u8]), context());
    // SAFETY: byte and context are never freed; the address was just inserted. Where it crashes
    // regardless, this process was started for it.
    unsafe {
        let _ = two.a.send(byte.as_ptr(), 1, std::ptr::null_mut(), two.to_b, sent);
        Parent::new().say("now")?;
        ofi_sys::fi_close(two.a.as_raw().cast());
        ofi_sys::fi_cq_read(two.cq.as_raw(), std::ptr::null_mut(), 0);
    }
    // The objects would close it again.
    std::process::exit(0)
}

/// Defect 25: rxm looks for a connection in a table that went with the last one.
fn quirk_25_last_connection_dangles<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        let known = quirk(&t.provider, Defect::LastConnectionDangles).is_some();
        return shown(known, libc::SIGSEGV);
    }
    let two = Two::<T>::open(t, Caps::MSG)?;
    let parent = Parent::new();
    if !t.provider.ends_with("ofi_rxm") {
        // Only rxm has such a table; not all may do what comes now.
        return parent.say("now");
    }
    // One that has not connected to itself, as those of this crate do.
    let bare = BareEndpoint::open(&two)?;
    let (bytes, sent, none) = (vec![7_u8; 1 << 20].leak(), context(), std::ptr::null_mut());
    // SAFETY: what the operations name is never freed; the address was just inserted. Where it crashes
    // regardless, this process was started for it.
    unsafe {
        let post = || two.a.send(bytes.as_ptr(), bytes.len(), none, bare.to, sent);
        two.until_posted(&post)?;
        for _ in 0..2000 {
            assert!(two.read().is_empty(), "it ends before it is received");
        }
        parent.say("now")?;
        ofi_sys::fi_close(two.a.as_raw().cast());
        // rxm looks at its connections every 10 ms.
        let until = Instant::now() + Duration::from_millis(200);
        while Instant::now() < until {
            ofi_sys::fi_cq_read(two.cq.as_raw(), none, 0);
        }
        ofi_sys::fi_recv(bare.ep, bytes.as_mut_ptr().cast(), 8, none, u64::MAX, context());
    }
    // The objects would close it again.
    std::process::exit(0)
}

/// Defect 26: rxd uses the answers to fetching operations after they were freed.
fn quirk_26_fetches_crash<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::FetchesCrash).is_some(), libc::SIGSEGV);
    }
    let caps = Caps::MSG | Caps::RMA | Caps::ATOMIC;
    if t.query(caps).is_err() {
        return Parent::new().say("now");
    }
    let two = Two::<T>::open(t, caps)?;
    send_unexpected(&two, 8)?;
    let memory = Memory::new(vec![0_u8; 64]).map_err(|failed| failed.error)?;
    let rights = Access::REMOTE_READ | Access::REMOTE_WRITE;
    let region = two.rig.domain.expose(&memory).access(rights).open()?;
    // SAFETY: the region is open.
    let key = unsafe { ofi_sys::fi_mr_key(region.as_raw()) };
    Parent::new().say("now")?;
    let (ep, none, word) = (two.a.as_raw(), std::ptr::null_mut(), ofi_sys::FI_UINT64);
    for _ in 0..10 {
        let (operand, result) = (forever(1_u64), forever(0_u64));
        // SAFETY: operands, results and contexts are never freed. Where it crashes regardless, this
        // process was started for it.
        unsafe {
            let (operand, result) = ((&raw mut *operand).cast(), (&raw mut *result).cast());
            let (to, sum, context) = (two.to_b, ofi_sys::FI_SUM, context());
            ofi_sys::fi_fetch_atomic(
                ep, operand, 1, none, result, none, to, 0, key, word, sum, context,
            );
        }
    }
    let deadline = Instant::now() + LIMIT;
    while memory.load_u64(0)? == 0 {
        two.read();
        assert!(Instant::now() < deadline, "nothing was added");
    }
    for _ in 0..1000 {
        two.read();
    }
    // The objects would close with operations in flight.
    std::process::exit(0)
}

/// An endpoint opened by C calls alone.
struct BareEndpoint {
    ep: *mut ofi_sys::fid_ep,
    to: u64,
}

impl BareEndpoint {
    fn open<T: Mode>(two: &Two<T>) -> Result<BareEndpoint, Stop> {
        let (mut ep, mut to) = (std::ptr::null_mut(), 0);
        let mut name = [0_u8; 512];
        let mut len = name.len();
        let none = std::ptr::null_mut();
        // SAFETY: domain, vector and queue are open, and outlive the endpoint; `name` has `len` bytes.
        unsafe {
            let (domain, info) = (two.rig.domain.as_raw(), two.a.info().as_raw().cast_mut());
            assert_eq!(ofi_sys::fi_endpoint(domain, info, &raw mut ep, none), 0);
            assert_eq!(ofi_sys::fi_ep_bind(ep, two.rig.av.as_raw().cast(), 0), 0);
            let both = ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV;
            assert_eq!(ofi_sys::fi_ep_bind(ep, two.cq.as_raw().cast(), both), 0);
            assert_eq!(ofi_sys::fi_enable(ep), 0);
            assert_eq!(ofi_sys::fi_getname(ep.cast(), name.as_mut_ptr().cast(), &raw mut len), 0);
            let (av, address) = (two.rig.av.as_raw(), name.as_ptr().cast());
            assert_eq!(ofi_sys::fi_av_insert(av, address, 1, &raw mut to, 0, none), 1);
        }
        Ok(BareEndpoint { ep, to })
    }
}

/// A receive that matches a long message whose sender has closed ends, in one way or another.
// quirk: 25
fn received_from_a_closed_sender<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let other = Rig::<T>::open(t, Caps::MSG)?;
    let b = other.endpoint::<K>()?;
    let a = rig.endpoint::<K>()?;
    let to = rig.av.insert(&b.name()?)?;
    let mut send = match a.send(vec![1; 1 << 20], to).wait(Duration::ZERO) {
        Err(WaitError::Expired(op)) => Some(op),
        done => {
            drop(done);
            None
        }
    };
    for _ in 0..2000 {
        rig.cq.progress()?;
        other.cq.progress()?;
    }
    drop(send.take());
    let _ = a.close(Duration::from_millis(1));
    for _ in 0..2000 {
        other.cq.progress()?;
    }
    match b.recv(vec![0; 1 << 20]).wait(Duration::from_millis(100)) {
        Ok((received, _)) => assert!(received.len() <= 1 << 20),
        Err(WaitError::Failed(failed)) => drop(failed),
        Err(WaitError::Expired(op)) => drop(op),
    }
    Ok(())
}

/// An endpoint closes before the one it has sent to looks: that goes on, and hears from others.
// quirk: 24
fn closed_before_the_peer_looks<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let other = Rig::<T>::open(t, Caps::MSG)?;
    let b = other.endpoint::<K>()?;
    let first = rig.endpoint::<K>()?;
    let _ = first.send(vec![1; 8], rig.av.insert(&b.name()?)?).post().map(drop);
    first.close(LIMIT)?;
    for _ in 0..100 {
        other.cq.progress()?;
    }
    let second = rig.endpoint::<K>()?;
    let send = second.send(vec![2; 8], rig.av.insert(&b.name()?)?).wait(Duration::ZERO);
    let receive = b.recv(vec![0; 8]).post()?;
    let deadline = Instant::now() + LIMIT;
    while !receive.is_done() {
        rig.cq.progress()?;
        other.cq.progress()?;
        assert!(Instant::now() < deadline, "nothing comes");
    }
    drop(send);
    assert_eq!(receive.wait(LIMIT)?.0.len(), 8);
    Ok(())
}

/// An endpoint closes while somebody has begun to connect to it and not yet said why: what comes
/// then meets nothing.
// quirk: 11
fn closed_while_somebody_connects<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let Pair { a, b, rig, .. } = p;
    let Some(address) = b.name()?.socket_addr().filter(|_| t.provider != "udp;ofi_rxd") else {
        // Nothing connects to it.
        return Ok(());
    };
    let mut early: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(address)).collect::<Result<_, _>>()?;
    for _ in 0..100 {
        rig.cq.progress()?;
    }
    b.close(LIMIT)?;
    // It is closed for good.
    if t.provider != "sockets" {
        assert!(TcpStream::connect(address).is_err());
    }
    for stream in &mut early {
        // To nobody.
        let _ = stream.write_all(&[0xAA; 512]);
    }
    for _ in 0..100 {
        rig.cq.progress()?;
    }
    drop(early);
    // The other one goes on.
    let c = rig.endpoint::<K>()?;
    let receive = c.recv(vec![0; 8]).post()?;
    a.send(vec![3; 8], rig.av.insert(&c.name()?)?).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![3; 8]);
    Ok(())
}

/// Defect 29: what sm2 had on its way for a closed endpoint ends for another one later. Elsewhere
/// nothing comes once the queue was seen empty, which is what the slots in limbo wait for.
fn quirk_29_entries_come_late<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if quirk(&t.provider, Defect::CloseInFlight).is_some() {
        return Ok(());
    }
    let known = quirk(&t.provider, Defect::EntriesComeLate).is_some();
    // The place may go to an endpoint of another process, which has the entry then.
    for _ in 0..5 {
        let late = comes_late::<T>(t)?;
        assert!(known || !late);
        if late == known {
            std::process::exit(0);
        }
    }
    panic!("the defect is gone");
}

fn comes_late<T: Mode>(t: &Target) -> Result<bool, Stop> {
    let two = Two::<T>::open(t, Caps::MSG)?;
    let sender = two.another()?;
    let none = std::ptr::null_mut();
    let room = forever([0_u8; 1 << 16]);
    let mut receive = |len| {
        let received = context();
        // SAFETY: room and context are never freed.
        unsafe { two.b.recv(room.as_mut_ptr(), len, none, None, received) }.map(|()| received)
    };
    let first = receive(8)?;
    let (bytes, sent) = (vec![7_u8; 8].leak(), context());
    // SAFETY: bytes and context are never freed; the address was inserted.
    two.until_posted(&|| unsafe { sender.send(bytes.as_ptr(), 8, none, two.to_b, sent) })?;
    let mut seen = Vec::new();
    let mut until = |context: *mut std::ffi::c_void, most: usize| {
        let mut ended = Vec::new();
        for _ in 0..most {
            ended.extend(two.read().into_iter().map(|(context, _)| context));
            if ended.contains(&context) {
                break;
            }
        }
        seen.extend(ended);
        seen.contains(&context)
    };
    assert!(until(first, 1_000_000));
    let (bytes, sent) = (vec![7_u8; 8210].leak(), context());
    // SAFETY: bytes and context are never freed; the address was inserted.
    unsafe { sender.send(bytes.as_ptr(), bytes.len(), none, two.to_b, sent) }?;
    let early = until(sent, 1000);
    sender.close()?;
    let in_its_place = two.another()?;
    let early = early || until(sent, 1000);
    // The message may be gone with its sender.
    let second = receive(8210)?;
    until(second, 100_000);
    let late = !early && until(sent, 1000);
    std::mem::forget((two, in_its_place));
    Ok(late)
}

/// Defect 30: a join that fails is told as if it had not, and keeps its endpoint from being closed.
fn quirk_30_failed_join_stays<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::MULTICAST)?;
    let events = rig.fabric.event_queue::<T>().open()?;
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let builder = builder.completion_queue(&rig.cq).event_queue(&events);
    let ep: ofi::Endpoint<K, T> = builder.enable()?;
    // Its own address is that of no group.
    let mut name = ep.name()?.bytes().to_vec();
    name.resize(512, 0);
    let (mut mc, mut event) = (std::ptr::null_mut(), 0);
    // SAFETY: all-zero is a value of a C structure.
    let mut entry: ofi_sys::fi_eq_err_entry = unsafe { std::mem::zeroed() };
    let room = size_of_val(&entry);
    // SAFETY: endpoint and queue are open; the address has zeroes behind it; the event goes to an entry
    // that is as long as stated.
    let (joined, length) = unsafe {
        let (address, none) = (name.as_ptr().cast(), std::ptr::null_mut());
        let joined = ofi_sys::fi_join(ep.as_raw(), address, 0, &raw mut mc, none);
        let to = (&raw mut entry).cast();
        (joined, ofi_sys::fi_eq_read(events.as_raw(), &raw mut event, to, room, 0))
    };
    assert!(quirk(&t.provider, Defect::FailedJoinStays).is_some());
    assert_eq!((joined, event), (0, ofi_sys::FI_JOIN_COMPLETE), "it is gone");
    assert_eq!((length, entry.err), (room as isize, -libc::EINVAL), "it is gone");
    // SAFETY: the group is open, and nobody uses it any more.
    let closed = unsafe { ofi_sys::fi_close(mc.cast()) };
    assert_eq!(closed, -libc::EADDRNOTAVAIL, "it is gone");
    let Err(ofi::CloseError::Failed(_)) = ep.close(LIMIT) else { panic!("it is gone") };
    assert!(ofi::leaked().objects > 0);
    Ok(())
}

/// Defect 69: sm2 closes an endpoint that could not be enabled by what enabling would have set.
// rule: L4
fn quirk_69_unenabled_close_crashes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        let known = quirk(&t.provider, Defect::UnenabledCloseCrashes).is_some();
        return shown(known, libc::SIGSEGV);
    }
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let first = rig.endpoint::<K>()?;
    let (name, mut fid) = (first.name()?, std::ptr::null_mut());
    Parent::new().say("now")?;
    let queue = rig.domain.completion_queue().open()?;
    let vector = rig.domain.address_vector().open()?;
    let both = ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV;
    // SAFETY: all are open; the name's bytes are as long as stated; the endpoint is used no more after
    // its close.
    unsafe {
        let (domain, info) = (rig.domain.as_raw(), rig.info.as_raw().cast_mut());
        assert_eq!(ofi_sys::fi_endpoint(domain, info, &raw mut fid, std::ptr::null_mut()), 0);
        let mut bytes = name.bytes().to_vec();
        // As text it ends with a zero.
        bytes.push(0);
        let len = bytes.len() - usize::from(name.format() != ofi::AddressFormat::Str);
        let named = ofi_sys::fi_setname(fid.cast(), bytes.as_mut_ptr().cast(), len);
        if named == 0 {
            assert_eq!(ofi_sys::fi_ep_bind(fid, vector.as_raw().cast(), 0), 0);
            assert_eq!(ofi_sys::fi_ep_bind(fid, queue.as_raw().cast(), both), 0);
            // Its name is taken.
            if ofi_sys::fi_enable(fid) != 0 {
                ofi_sys::fi_close(fid.cast());
            }
        }
    }
    std::process::exit(0)
}

/// Defects 66 and 67: a thread that blocks on a queue looks after endpoints that were closed.
fn quirk_66_sread_follows_closed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    // On 1.17 the call would not come back by itself.
    let concerned = ["shm", "sm2"].contains(&t.provider.as_str());
    if !concerned || quirk(&t.provider, Defect::SreadIgnoresTimeout).is_some() {
        return Ok(());
    }
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::TrywaitAfterClose).is_some(), libc::SIGSEGV);
    }
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let queue = rig.domain.raw_completion_queue().wait(RawWait::Blocking).open()?;
    let open = || {
        let builder = rig.domain.raw_endpoint(&rig.info).address_vector(&rig.av);
        // SAFETY: nobody sends anything to it.
        unsafe { builder.completion_queue(&queue).enable() }
    };
    let stays = open()?;
    for _ in 0..4 {
        open()?.close()?;
    }
    Parent::new().say("now")?;
    let mut room = [0_u8; 256];
    // SAFETY: the queue is open, has a wait object, and the room is for several entries; what was
    // allocated is never freed.
    unsafe {
        // Whatever has the memory of the closed ones by then.
        for size in (64..16384).step_by(16).flat_map(|size| [size; 3]) {
            libc::memset(libc::malloc(size), 0x5A, size);
        }
        let (fid, none) = (queue.as_raw(), std::ptr::null());
        ofi_sys::fi_cq_sread(fid, room.as_mut_ptr().cast(), 1, none, 20);
    }
    drop(stays);
    Ok(())
}
