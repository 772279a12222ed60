//! What providers do with messages that are too long for a multi-receive, and how they release it.

use std::ffi::c_void;

use ofi::{
    CqFlags, CqFormat, Defect, RawCompletion, RawCompletionQueue, RawEndpoint, RawRead, quirk,
};

use super::*;
use crate::whose::Context;

/// One endpoint that sends to itself, and what it told.
struct Raw<T: Mode> {
    ep: RawEndpoint<T>,
    to: u64,
    cq: RawCompletionQueue<T>,
    _rig: Rig<T>,
}

impl<T: Mode> Raw<T> {
    fn open(t: &Target, least: usize) -> Result<Raw<T>, Stop> {
        let rig = Rig::<T>::open(t, CAPS)?;
        let cq = rig.domain.raw_completion_queue().format(CqFormat::Data).open()?;
        let builder = rig.domain.raw_endpoint(&rig.info);
        let builder = builder.address_vector(&rig.av).completion_queue(&cq).min_multi_recv(least);
        // SAFETY: the process ends with it, or all that was posted has ended.
        let ep = unsafe { builder.enable() }?;
        // The first number is one that some take for none.
        rig.av.insert(&ep.name()?)?;
        let to = rig.av.insert(&ep.name()?)?.as_raw();
        Ok(Raw { ep, to, cq, _rig: rig })
    }

    /// Posts `room` for many messages, for good.
    fn post(&self, room: &'static mut [u8]) -> *mut c_void {
        let context = Box::leak(Box::new(Context::new())).pointer();
        let piece = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        let message = ofi_sys::fi_msg {
            msg_iov: &raw const piece,
            desc: std::ptr::null_mut(),
            iov_count: 1,
            addr: ofi_sys::FI_ADDR_UNSPEC,
            context,
            data: 0,
        };
        let flags = ofi_sys::FI_MULTI_RECV | ofi_sys::FI_COMPLETION;
        // SAFETY: room and context are for good.
        let status = unsafe { ofi_sys::fi_recvmsg(self.ep.as_raw(), &raw const message, flags) };
        assert_eq!(status, 0);
        context
    }

    /// Sends so many bytes, and waits for an entry of `receive` (or two) after it.
    fn send(&self, bytes: &'static [u8], receive: *mut c_void) -> Vec<Entry> {
        let context = Box::leak(Box::new(Context::new())).pointer();
        let deadline = Instant::now() + LIMIT;
        let (mut posted, mut seen) = (false, Vec::new());
        let none = std::ptr::null_mut();
        loop {
            // SAFETY: bytes and context are for good.
            posted = posted
                || unsafe { self.ep.send(bytes.as_ptr(), bytes.len(), none, self.to, context) }
                    .is_ok();
            let mut entries = Vec::new();
            match self.cq.read(&mut entries, 8).expect("healthy") {
                RawRead::Failed(failure) => {
                    if failure.entry.context == receive {
                        seen.push(Entry::Failed(failure.entry.flags));
                    }
                }
                RawRead::Entries(_) => seen.extend(
                    entries
                        .iter()
                        .filter(|entry| entry.context == receive)
                        .map(|e| Entry::Came(*e)),
                ),
            }
            if !seen.is_empty() && posted && entries.is_empty() {
                return seen;
            }
            assert!(Instant::now() < deadline, "no entry");
        }
    }
}

#[derive(Debug)]
enum Entry {
    Came(RawCompletion),
    Failed(CqFlags),
}

/// Which of the two ways a provider releases a buffer: with its last message, or by an entry of its own.
// rule: B23
pub(super) fn release_styles<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let raw = Raw::<T>::open(t, MIN)?;
    let receive = raw.post(vec![0_u8; MIN + 50].leak());
    let mut entries = raw.send(vec![1_u8; 100].leak(), receive);
    let deadline = Instant::now() + LIMIT;
    let is_last = |entry: &Entry| match entry {
        Entry::Came(entry) => entry.flags.contains(CqFlags::MULTI_RECV),
        Entry::Failed(flags) => panic!("it failed: {flags:?}"),
    };
    while !entries.iter().any(is_last) {
        assert!(Instant::now() < deadline, "it is not released");
        let mut more = Vec::new();
        let _ = raw.cq.read(&mut more, 8)?;
        entries.extend(more.into_iter().map(Entry::Came));
    }
    let own_entry = ofi::version() >= ofi::Version::new(2, 0) && t.has_layer("ofi_rxm")
        || ["shm", "sm2"].contains(&t.provider.as_str());
    assert_eq!(entries.len(), if own_entry { 2 } else { 1 }, "{entries:?}");
    if let [_, Entry::Came(last)] = &entries[..] {
        assert_eq!((last.flags, last.len), (CqFlags::MULTI_RECV, 0));
    }
    std::process::exit(0)
}

/// Defects 58 to 60: a message that is longer than what is left, and the one after it.
pub(super) fn quirk_58_overrun<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 2048;
    let raw = Raw::<T>::open(t, 64)?;
    let known = quirk(&t.provider, Defect::ManyOverrun);
    let all = vec![0_u8; 1 << 16].leak();
    let (start, len) = (all.as_mut_ptr(), all.len());
    // SAFETY: a part of what was leaked, which nobody looks at by reference.
    let room = unsafe { std::slice::from_raw_parts_mut(start, LEN) };
    let behind = || {
        (LEN..len).any(|at| {
            // SAFETY: within what was leaked.
            unsafe { start.add(at).read_volatile() != 0 }
        })
    };
    let waits = t.provider == "sockets";
    let receive = if waits {
        // One after the other, and all before there is a receive.
        let none = std::ptr::null_mut();
        for bytes in [&*vec![1_u8; 1500].leak(), vec![2_u8; 1000].leak()] {
            let context = Box::leak(Box::new(Context::new())).pointer();
            let deadline = Instant::now() + LIMIT;
            // SAFETY: bytes and context are for good.
            while unsafe { raw.ep.send(bytes.as_ptr(), bytes.len(), none, raw.to, context) }
                .is_err()
            {
                assert!(Instant::now() < deadline);
            }
            let mut entries = Vec::new();
            while entries.is_empty() {
                let _ = raw.cq.read(&mut entries, 1)?;
                assert!(Instant::now() < deadline);
            }
        }
        let receive = raw.post(room);
        let deadline = Instant::now() + LIMIT;
        let mut seen = 0;
        while seen < 2 {
            let mut entries = Vec::new();
            match raw.cq.read(&mut entries, 8)? {
                RawRead::Failed(_) => seen += 1,
                RawRead::Entries(count) => seen += count,
            }
            assert!(Instant::now() < deadline);
        }
        receive
    } else {
        let receive = raw.post(room);
        raw.send(vec![1_u8; 500].leak(), receive);
        let long = raw.send(vec![2_u8; 1900].leak(), receive);
        eprintln!("of the long one: {long:?}");
        receive
    };
    if !behind() && known.is_some() {
        let next = raw.send(vec![3_u8; 300].leak(), receive);
        eprintln!("of the one after it: {next:?}");
    }
    assert_eq!(behind(), known.is_some(), "{known:?}");
    std::process::exit(0)
}

/// Defect 61: a cancel that is accepted, with an entry, while a message is on its way into the buffer.
pub(super) fn quirk_61_forgotten<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const LONG: usize = 1 << 20;
    let raw = Raw::<T>::open(t, MIN)?;
    let known = quirk(&t.provider, Defect::ManyForgotten);
    // Connections are made.
    let first = raw.post(vec![0_u8; 1 << 16].leak());
    raw.send(vec![1_u8; 10].leak(), first);
    // SAFETY: the context of a receive.
    unsafe { raw.ep.cancel(first)? };
    let room = vec![0_u8; 4 * LONG].leak();
    let start = room.as_mut_ptr();
    let receive = raw.post(room);
    let (bytes, none) = (vec![7_u8; LONG].leak(), std::ptr::null_mut());
    let context = Box::leak(Box::new(Context::new())).pointer();
    let deadline = Instant::now() + LIMIT;
    let (mut posted, mut cancelled, mut message) = (false, None, false);
    let mut forgotten = false;
    while !message && Instant::now() < deadline {
        // SAFETY: bytes and context are for good.
        posted =
            posted || unsafe { raw.ep.send(bytes.as_ptr(), LONG, none, raw.to, context) }.is_ok();
        let mut entries = Vec::new();
        match raw.cq.read(&mut entries, 1)? {
            RawRead::Failed(failure) if failure.entry.context == receive => {
                let last = failure.entry.flags.contains(CqFlags::MULTI_RECV);
                eprintln!("ended: {failure:?}");
                // That of tcp says by its flags that the buffer is in use.
                // SAFETY: within what was leaked.
                let over = unsafe { start.add(LONG - 1).read_volatile() } != 0;
                forgotten |= !over && (last || t.provider != "tcp");
                if forgotten {
                    break;
                }
            }
            _ => message = entries.iter().any(|entry| entry.context == receive),
        }
        // SAFETY: within what was leaked.
        let [begun, over] = [0, LONG - 1].map(|at| unsafe { start.add(at).read_volatile() } != 0);
        if begun && !over && cancelled.is_none() {
            // SAFETY: the context of a receive.
            cancelled = Some(unsafe { raw.ep.cancel(receive) }.is_ok());
        }
    }
    eprintln!("cancelled in the middle: {cancelled:?}");
    // Some write all of it at once, and a thread of the provider's may be done in the meantime.
    assert!(!forgotten || known.is_some(), "in the middle of a message");
    assert!(forgotten || message, "nothing comes");
    if known.is_some() && ["udp;ofi_rxd", "tcp;ofi_rxm"].contains(&t.provider.as_str()) {
        assert!(forgotten, "the defect is gone");
    }
    std::process::exit(0)
}
