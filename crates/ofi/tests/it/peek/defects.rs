//! What providers do wrong with claimed messages, by raw calls.

use std::{ffi::c_void, ptr::null_mut};

use ofi::{Caps, Connectionless, Defect, Errno, RawRead, quirk};

use crate::{
    harness::{LIMIT, List, Mode, Parent, Peer, Stop, Target, Verdict, cases},
    whose::{Context, Two},
};

pub fn register(list: &mut List) {
    cases!(list, rdm: quirk_27_claim_corrupts);
}

/// The case in a process of its own must end well, unless the table says that it does not.
fn shown(known: bool) -> Verdict {
    match Peer::start("shown")?.finish() {
        Ok(()) => assert!(!known, "the defect is gone"),
        Err(Stop::Failed(how)) => assert!(known, "{how}"),
        Err(stop) => return Err(stop),
    }
    Ok(())
}

fn context() -> *mut c_void {
    Box::leak(Box::new(Context::new())).pointer()
}

/// `fi_trecvmsg` without flags of its own.
fn receive<T: Mode>(two: &Two<T>, room: &mut [u8], tag: u64, context: *mut c_void, flags: u64) {
    let piece = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let message = ofi_sys::fi_msg_tagged {
        msg_iov: &raw const piece,
        desc: null_mut(),
        iov_count: usize::from(!room.is_empty()),
        addr: ofi_sys::FI_ADDR_UNSPEC,
        tag,
        ignore: 0,
        context,
        data: 0,
    };
    let flags = flags | ofi_sys::FI_COMPLETION;
    // SAFETY: the endpoint is open; the caller never frees what is named here.
    let status = unsafe { ofi_sys::fi_trecvmsg(two.b.as_raw(), &raw const message, flags) };
    assert_eq!(status, 0, "fi_trecvmsg");
}

/// Reads until all of these have ended; `false` if there was no message for one of them.
fn ended<T: Mode>(two: &Two<T>, seen: &mut Vec<*mut c_void>, all: &[*mut c_void]) -> bool {
    while !all.iter().all(|context| seen.contains(context)) {
        let mut entries = Vec::new();
        if let RawRead::Failed(failure) = two.cq.read(&mut entries, 8).expect("a healthy queue") {
            assert_eq!(failure.error.errno(), Some(Errno::ENOMSG), "{}", failure.error);
            return false;
        }
        seen.extend(entries.iter().map(|entry| entry.context));
    }
    true
}

fn claim<T: Mode>(two: &Two<T>, seen: &mut Vec<*mut c_void>, tag: u64) -> *mut c_void {
    let found = context();
    loop {
        receive(two, &mut [], tag, found, ofi_sys::FI_PEEK | ofi_sys::FI_CLAIM);
        if ended(two, seen, &[found]) {
            seen.retain(|context| *context != found);
            return found;
        }
    }
}

fn send<T: Mode>(two: &Two<T>, seen: &mut Vec<*mut c_void>, len: usize, tag: u64) -> *mut c_void {
    let (bytes, sent) = (vec![7_u8; len].leak(), context());
    // SAFETY: bytes and context are never freed; the address was just inserted.
    let post = || unsafe { two.a.tsend(bytes.as_ptr(), len, null_mut(), two.to_b, tag, sent) };
    while let Err(error) = post() {
        assert!(error.is_busy(), "{error}");
        let mut entries = Vec::new();
        let _ = two.cq.read(&mut entries, 8).expect("a healthy queue");
        seen.extend(entries.iter().map(|entry| entry.context));
    }
    sent
}

fn open<T: Mode>(t: &Target) -> Result<Two<T>, Stop> {
    let two = Two::<T>::open(t, Caps::TAGGED)?;
    // SAFETY: a signal that ends this process.
    unsafe { libc::alarm(LIMIT.as_secs() as u32 / 4) };
    Ok(two)
}

/// Defect 27: rxd takes what was claimed from its list twice.
fn quirk_27_claim_corrupts<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if quirk(&t.provider, Defect::PeekReceives).is_some() {
        return Ok(());
    }
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::ClaimCorrupts).is_some());
    }
    let two = open::<T>(t)?;
    let mut seen = Vec::new();
    for _ in 0..50 {
        let tags = [1, 2, 3, 4];
        let sends = tags.map(|tag| send(&two, &mut seen, 3000, tag));
        let claims = tags.map(|tag| (tag, claim(&two, &mut seen, tag)));
        for (tag, found) in claims.into_iter().rev() {
            let room = vec![0; 3000].leak();
            receive(&two, room, tag, found, ofi_sys::FI_CLAIM);
            assert!(ended(&two, &mut seen, &[found]));
            assert_eq!(room, [7; 3000]);
        }
        assert!(ended(&two, &mut seen, &sends));
        for tag in tags {
            // Those that are freed are in the list again.
            let probe = context();
            receive(&two, &mut [], tag, probe, ofi_sys::FI_PEEK);
            assert!(!ended(&two, &mut seen, &[probe]), "message {tag} is there after its receive");
        }
        seen.clear();
    }
    std::process::exit(0)
}
