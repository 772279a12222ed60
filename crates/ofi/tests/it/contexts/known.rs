//! What providers do wrong with contexts, each shown by calls that this crate avoids. Quirk 41 is a race
//! that no test shows: it stands on the provider's source.

use std::{ffi::c_void, time::Instant};

use ofi::{Caps, Connectionless, Defect, Endpoint, ErrorKind, Hints, Scaled, quirk};

use super::query;
use crate::{
    harness::{LIMIT, List, Mode, Parent, Peer, Rig, Stop, Target, Verdict, cases},
    whose::{Context, shown},
};

pub fn register(list: &mut List) {
    cases!(list, rdm:
        quirk_38_close_crashes quirk_39_closed_endpoint_is_followed quirk_40_cancel_is_silent
        quirk_42_acknowledgement_follows manual_progress_is_refused
    );
    // What is freed does not look as it did.
    const PERTURBED: &[(&str, &str)] =
        &[("GLIBC_TUNABLES", "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0")];
    list.env("known::quirk_39_closed_endpoint_is_followed", PERTURBED);
    list.env("known::quirk_42_acknowledgement_follows", PERTURBED);
}

fn context() -> *mut c_void {
    Box::leak(Box::new(Context::new())).pointer()
}

/// A shared receive context that nobody closes.
fn shared_receive<T: Mode>(rig: &Rig<T>) -> Result<*mut ofi_sys::fid_ep, i32> {
    let mut context = std::ptr::null_mut();
    // SAFETY: domain and info are alive for the rest of the process.
    let status = unsafe {
        let attr = (*rig.info.as_raw()).rx_attr;
        ofi_sys::fi_srx_context(rig.domain.as_raw(), attr, &raw mut context, std::ptr::null_mut())
    };
    if status == 0 { Ok(context) } else { Err(status) }
}

/// The contexts of the entries that are there.
fn read(cq: *mut ofi_sys::fid_cq) -> Vec<*mut c_void> {
    let mut entries = [ofi_sys::fi_cq_entry { op_context: std::ptr::null_mut() }; 8];
    // SAFETY: the queue is open, of the narrowest format, and nobody else reads it.
    let count = unsafe { ofi_sys::fi_cq_read(cq, entries.as_mut_ptr().cast(), 8) };
    entries[..count.max(0) as usize].iter().map(|entry| entry.op_context).collect()
}

/// Defect 27: shm opens a shared receive context, and crashes when it closes.
fn quirk_38_close_crashes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::SharedReceiveCrashes).is_some(), libc::SIGSEGV);
    }
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    Parent::new().say("now")?;
    if let Ok(context) = shared_receive(&rig) {
        // SAFETY: just opened, and nobody else's.
        unsafe { ofi_sys::fi_close(context.cast()) };
    }
    std::process::exit(0)
}

/// An endpoint on `context`, by calls of its own, that nobody closes; its queue.
fn endpoint_on<T: Mode>(
    rig: &Rig<T>,
    context: *mut ofi_sys::fid_ep,
) -> Result<(*mut ofi_sys::fid_ep, *mut ofi_sys::fid_cq), Stop> {
    let cq = rig.domain.raw_completion_queue().format(ofi::CqFormat::Context).open()?;
    let cq = Box::leak(Box::new(cq)).as_raw();
    let (mut ep, none) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: all of it is open for the rest of the process, or until the case closes it.
    unsafe {
        let (domain, info) = (rig.domain.as_raw(), rig.info.as_raw().cast_mut());
        assert_eq!(ofi_sys::fi_endpoint(domain, info, &raw mut ep, none), 0);
        let both = ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV;
        assert_eq!(ofi_sys::fi_ep_bind(ep, rig.av.as_raw().cast(), 0), 0);
        assert_eq!(ofi_sys::fi_ep_bind(ep, cq.cast(), both), 0);
        assert_eq!(ofi_sys::fi_ep_bind(ep, context.cast(), 0), 0);
        assert_eq!(ofi_sys::fi_enable(ep), 0);
    }
    Ok((ep, cq))
}

/// The name of an endpoint.
fn name_of(
    ep: *mut ofi_sys::fid_ep,
    format: ofi::AddressFormat,
) -> Result<ofi::FabricAddress, Stop> {
    let mut bytes = [0_u8; 64];
    let mut len = bytes.len();
    // SAFETY: the endpoint is open and enabled; there is room for that many bytes.
    let status = unsafe { ofi_sys::fi_getname(ep.cast(), bytes.as_mut_ptr().cast(), &raw mut len) };
    assert_eq!(status, 0);
    Ok(ofi::FabricAddress::new(format, &bytes[..len])?)
}

/// Defect 28: a message that waited when its endpoint closed is given to the next receive by way of the
/// endpoint.
fn quirk_39_closed_endpoint_is_followed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let info = query(t, Caps::MSG, Hints::share_rx_context)?;
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::SharedContextDangles).is_some(), libc::SIGSEGV);
    }
    let rig = Box::leak(Box::new(Rig::<T>::on(info)?));
    let Ok(shared) = shared_receive(rig) else { panic!("there are such contexts") };
    let (closing, cq) = endpoint_on(rig, shared)?;
    let builder = rig.domain.endpoint::<K>(&t.query(Caps::MSG)?).address_vector(&rig.av);
    let from: Endpoint<K, T> = builder.completion_queue(&rig.cq).enable()?;
    let to = rig.av.insert(&name_of(closing, rig.info.address_format())?)?;
    let (room, mine) = (Box::leak(Box::new([0_u8; 8])), context());
    let mut receive = || {
        // SAFETY: room and context are never freed, and the context is open.
        let status = unsafe {
            let (desc, anybody) = (std::ptr::null_mut(), ofi_sys::FI_ADDR_UNSPEC);
            ofi_sys::fi_recv(shared, room.as_mut_ptr().cast(), 8, desc, anybody, mine)
        };
        assert_eq!(status, 0);
    };
    // What the first receive allocates is not to be where the endpoint was.
    receive();
    // SAFETY: the context is open; the receive is its own.
    assert_eq!(unsafe { ofi_sys::fi_cancel(shared.cast(), mine) }, 0);
    from.send(vec![1; 8], to).wait(LIMIT)?;
    Parent::new().say("now")?;
    // SAFETY: open until now, and not used again here.
    assert_eq!(unsafe { ofi_sys::fi_close(closing.cast()) }, 0);
    receive();
    let deadline = Instant::now() + LIMIT / 4;
    while Instant::now() < deadline && !read(cq).contains(&mine) {
        std::thread::yield_now();
    }
    std::process::exit(0)
}

/// Reading a queue would follow what dangles.
// quirk: 39, 42
fn manual_progress_is_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let manual = |hints: Hints| hints.progress(ofi::Progress::Manual);
    let rig = Rig::<T>::on(query(t, Caps::MSG, |hints| manual(hints.tx_contexts(2)))?)?;
    let refused = |error: ofi::Error| {
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    };
    refused(rig.domain.shared_receive(&rig.info, &rig.cq).unwrap_err());
    refused(rig.domain.shared_transmit(&rig.info).unwrap_err());
    let builder = rig.domain.scalable_endpoint::<K>(&rig.info).address_vector(&rig.av);
    let builder = builder.transmit_context(&rig.cq).receive_context(&rig.cq);
    refused(builder.enable().unwrap_err());
    Ok(())
}

/// Defect 29: a receive of a shared context is cancelled without an entry.
fn quirk_40_cancel_is_silent<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Box::leak(Box::new(Rig::<T>::on(query(t, Caps::MSG, Hints::share_rx_context)?)?));
    let Ok(shared) = shared_receive(rig) else { panic!("there are such contexts") };
    let (at, cq) = endpoint_on(rig, shared)?;
    let room = Box::leak(Box::new([[0_u8; 8]; 2]));
    let (cancelled, next) = (context(), context());
    // SAFETY: room and contexts are never freed.
    unsafe {
        let (desc, anybody) = (std::ptr::null_mut(), ofi_sys::FI_ADDR_UNSPEC);
        let post = |n: usize, context| {
            let room = (&raw mut room[n]).cast();
            assert_eq!(ofi_sys::fi_recv(shared, room, 8, desc, anybody, context), 0);
        };
        let mut post = post;
        post(0, cancelled);
        assert_eq!(ofi_sys::fi_cancel(shared.cast(), cancelled), 0);
        post(1, next);
    }
    let builder = rig.domain.endpoint::<K>(&t.query(Caps::MSG)?).address_vector(&rig.av);
    let from: Endpoint<K, T> = builder.completion_queue(&rig.cq).enable()?;
    let to = rig.av.insert(&name_of(at, rig.info.address_format())?)?;
    from.send(vec![1; 8], to).wait(LIMIT)?;
    // Entries are in order: had there been one for the first, it would come before, as an error.
    let deadline = Instant::now() + LIMIT;
    let silent = loop {
        match read(cq) {
            entries if entries.contains(&next) => break true,
            _ => assert!(Instant::now() < deadline, "the message does not come"),
        }
        // SAFETY: the queue is open; an all-zero entry is one to be written to, with room behind it.
        let count = unsafe {
            let mut error = [0_u64; 64];
            ofi_sys::fi_cq_readerr(cq, error.as_mut_ptr().cast(), 0)
        };
        if count == 1 {
            break false;
        }
    };
    assert_eq!(silent, quirk(&t.provider, Defect::SilentCancel).is_some());
    // The objects that were leaked would fail to close.
    std::process::exit(0)
}

/// Defect 31: what acknowledges a message follows the transmit context that it was sent through.
fn quirk_42_acknowledgement_follows<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let info = query(t, Caps::MSG, |hints| hints.tx_contexts(2).rx_contexts(2))?;
    let role = Parent::role();
    if role.is_none() {
        return shown(quirk(&t.provider, Defect::ContextDangles).is_some(), libc::SIGSEGV);
    }
    let rig = Box::leak(Box::new(Rig::<T>::on(info)?));
    if role.as_deref() == Some("receiver") {
        let (parent, at) = (Parent::new(), Rig::<T>::open(t, Caps::MSG)?);
        let at = at.endpoint::<K>()?;
        parent.say_address(&at.name()?)?;
        for _ in 0..2 {
            at.recv(vec![0; 8]).wait(LIMIT)?;
            parent.say("received")?;
        }
        return parent.until_closed();
    }
    let builder = rig.domain.scalable_endpoint::<K>(&rig.info).address_vector(&rig.av);
    let builder = builder.transmit_context(&rig.cq).transmit_context(&rig.cq);
    let Scaled { transmit, .. } = Box::leak(Box::new(builder.receive_context(&rig.cq).enable()?));
    let mut peer = Peer::start("receiver")?;
    let to = rig.av.insert(&peer.hear_address()?)?;
    transmit[0].send(vec![1; 8], to).wait(LIMIT)?;
    assert_eq!(peer.hear()?, "received");
    peer.stop();
    let sending = transmit[0].send(vec![2; 8], to).post()?;
    // It leaves this process, by the provider's own thread.
    let pause = Instant::now() + LIMIT / 40;
    while Instant::now() < pause {
        rig.cq.progress()?;
    }
    std::mem::forget(sending);
    // SAFETY: open until now, and not used again here.
    assert_eq!(unsafe { ofi_sys::fi_close(transmit[0].as_raw().cast()) }, 0);
    Parent::new().say("now")?;
    peer.signal(libc::SIGCONT);
    assert_eq!(peer.hear()?, "received");
    let deadline = Instant::now() + LIMIT / 4;
    while Instant::now() < deadline {
        rig.cq.progress()?;
    }
    std::process::exit(0)
}
