//! Quirks 62 to 65: what sockets makes of deferred work, by calls that this crate avoids.

use std::ffi::c_void;

use ofi::{BindFlags, Caps, Connectionless, Counter, Defect, RawEndpoint, quirk};
use ofi_sys::{fi_deferred_work, fi_op_cntr, fi_op_msg, fi_op_rma, fid_ep};

use super::{exposed, pair};
use crate::{
    harness::{LIMIT, List, Mode, Parent, Rig, Stop, Target, Verdict, cases, progress_until},
    whose::shown,
};

pub fn register(list: &mut List) {
    cases!(list, rdm:
        quirk_62_sends_start_nothing
        quirk_62_receives_are_not_started
        quirk_63_starts_stall
        quirk_64_threshold_wraps
        quirk_65_starts_lost
    );
    for case in ["63_starts_stall", "64_threshold_wraps", "65_starts_lost"] {
        list.leaks(&format!("work_quirks::quirk_{case}"));
    }
}

/// Memory for the rest of the process.
fn forever<X>(value: X) -> *mut X {
    Box::into_raw(Box::new(value))
}

/// Work of this kind, and its structure's address to be filled in.
fn work<T: Mode>(on: &Counter<T>, threshold: u64, kind: u32) -> *mut fi_deferred_work {
    // SAFETY: a plain C structure.
    let work = forever(unsafe { std::mem::zeroed::<fi_deferred_work>() });
    // SAFETY: just made.
    unsafe {
        (*work).threshold = threshold;
        (*work).triggering_cntr = on.as_raw();
        (*work).op_type = kind;
    }
    work
}

/// # Safety
///
/// The work is whole, of open objects, and is never freed.
unsafe fn queue<T: Mode>(rig: &Rig<T>, work: *mut fi_deferred_work) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { ofi_sys::fi_control(rig.domain.as_raw().cast(), ofi_sys::FI_QUEUE_WORK, work.cast()) }
}

/// A message of one byte to or from `peer`.
///
/// # Safety
///
/// Endpoint and counters stay open.
unsafe fn message<T: Mode>(
    on: &Counter<T>,
    done: &Counter<T>,
    kind: u32,
    ep: *mut fid_ep,
    addr: u64,
) -> *mut fi_deferred_work {
    let work = work(on, 1, kind);
    let byte = forever([7_u8]);
    let msg_iov = forever(libc::iovec { iov_base: byte.cast(), iov_len: 1 });
    let (desc, context) = (std::ptr::null_mut(), work.cast::<c_void>());
    let msg = ofi_sys::fi_msg { msg_iov, desc, iov_count: 1, addr, context, data: 0 };
    // SAFETY: just made.
    unsafe {
        (*work).completion_cntr = done.as_raw();
        (*work).op.msg = forever(fi_op_msg { ep, msg, flags: 0 });
    }
    work
}

/// One raw endpoint with a counter for a class, that knows itself.
struct One<T: Mode> {
    ep: RawEndpoint<T>,
    to: u64,
    counts: Counter<T>,
    done: Counter<T>,
    rig: Rig<T>,
}

impl<T: Mode> One<T> {
    fn open(t: &Target, class: BindFlags) -> Result<One<T>, Stop> {
        let rig = Rig::<T>::open(t, Caps::MSG | Caps::TRIGGER)?;
        let (counts, done) = (rig.domain.counter()?, rig.domain.counter()?);
        let cq = rig.domain.raw_completion_queue().open()?;
        let builder = rig.domain.raw_endpoint(&rig.info).address_vector(&rig.av);
        // SAFETY: this process ends without closing it.
        let ep = unsafe { builder.completion_queue(&cq).counter(&counts, class).enable()? };
        let to = rig.av.insert(&ep.name()?)?.as_raw();
        std::mem::forget(cq);
        Ok(One { ep, to, counts, done, rig })
    }

    /// Reads the counter of the end of work, until it has ended. Where that hangs, the signal ends this
    /// process.
    fn watch(&self) -> ! {
        // SAFETY: a number.
        unsafe { libc::alarm(5) };
        while self.done.read() == 0 {
            std::thread::yield_now();
        }
        std::process::exit(0)
    }
}

/// Whether the provider has deferred work at all.
fn has_work(t: &Target) -> bool {
    t.query(Caps::MSG | Caps::TRIGGER).is_ok()
}

/// Defect 62: the counter of what is sent is changed under the lock that a send needs.
fn quirk_62_sends_start_nothing<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::StartsUnderLock).is_some(), libc::SIGALRM);
    }
    if !has_work(t) {
        return Parent::new().say("now");
    }
    let one = One::<T>::open(t, BindFlags::TRANSMIT)?;
    let ep = one.ep.as_raw();
    // SAFETY: all stays open for as long as this process. Where it hangs, it was started for that.
    unsafe {
        let work = message(&one.counts, &one.done, ofi_sys::FI_OP_SEND, ep, one.to);
        assert_eq!(queue(&one.rig, work), 0);
        Parent::new().say("now")?;
        assert_eq!(ofi_sys::fi_inject(ep, [7_u8].as_ptr().cast(), 1, one.to), 0);
    }
    one.watch()
}

/// Defect 62: the counter of what is received is changed under the lock that a receive needs.
fn quirk_62_receives_are_not_started<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(quirk(&t.provider, Defect::StartsUnderLock).is_some(), libc::SIGALRM);
    }
    if !has_work(t) {
        return Parent::new().say("now");
    }
    let one = One::<T>::open(t, BindFlags::RECV)?;
    let ep = one.ep.as_raw();
    let (anybody, none) = (ofi_sys::FI_ADDR_UNSPEC, std::ptr::null_mut::<c_void>());
    let look = ofi_sys::fi_msg {
        msg_iov: none.cast(),
        desc: none.cast(),
        iov_count: 0,
        addr: anybody,
        context: forever([0_u64; 8]).cast(),
        data: 0,
    };
    // SAFETY: as above.
    unsafe {
        let work = message(&one.counts, &one.done, ofi_sys::FI_OP_RECV, ep, anybody);
        assert_eq!(queue(&one.rig, work), 0);
        assert_eq!(ofi_sys::fi_inject(ep, [7_u8].as_ptr().cast(), 1, one.to), 0);
        Parent::new().say("now")?;
        libc::alarm(5);
        // A look that finds the message counts, under the lock of what it looks at.
        while one.counts.read() == 0 {
            ofi_sys::fi_recvmsg(ep, &raw const look, ofi_sys::FI_PEEK);
            std::thread::yield_now();
        }
    }
    one.watch()
}

/// Defect 63: what there is no room for is not tried again.
fn quirk_63_starts_stall<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const MANY: usize = 10_000;
    let p = pair::<K, T>(t)?;
    let (go, done) = (p.rig.domain.counter()?, p.rig.domain.counter()?);
    let region = exposed(&p.rig, vec![0; 8])?;
    // SAFETY: the region is open.
    let key = unsafe { ofi_sys::fi_mr_key(region.as_raw()) };
    let word = forever(7_u64);
    for _ in 0..MANY {
        let work = work(&go, 1, ofi_sys::FI_OP_WRITE);
        let msg = ofi_sys::fi_msg_rma {
            msg_iov: forever(libc::iovec { iov_base: word.cast(), iov_len: 8 }),
            desc: std::ptr::null_mut(),
            iov_count: 1,
            addr: p.to_b.as_raw(),
            rma_iov: forever(ofi_sys::fi_rma_iov { addr: 0, len: 8, key }),
            rma_iov_count: 1,
            context: work.cast(),
            data: 0,
        };
        // SAFETY: just made; none of it is ever freed.
        unsafe {
            (*work).completion_cntr = done.as_raw();
            (*work).op.rma = forever(fi_op_rma { ep: p.a.as_raw(), msg, flags: 0 });
            assert_eq!(queue(&p.rig, work), 0);
        }
    }
    go.add(1)?;
    let mut looks = 0;
    loop {
        // Behind what was started.
        p.a.write(vec![7; 8], p.to_b, region.remote()).wait(LIMIT)?;
        let ended = done.read();
        if ended == MANY as u64 {
            break;
        }
        looks += 1;
        // As good as a change.
        go.add(0)?;
    }
    assert_eq!(looks > 0, quirk(&t.provider, Defect::StartsStall).is_some());
    Ok(())
}

/// Defect 64: thresholds are cut to 32 bits, with a sign.
fn quirk_64_threshold_wraps<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let (go, target) = (p.rig.domain.counter()?, p.rig.domain.counter()?);
    let work = work(&go, 1 << 31, ofi_sys::FI_OP_CNTR_ADD);
    // SAFETY: just made; none of it is ever freed, and the counters outlive it.
    unsafe {
        (*work).op.cntr = forever(fi_op_cntr { cntr: target.as_raw(), value: 1 });
        assert_eq!(queue(&p.rig, work), 0);
    }
    assert_eq!(target.read() == 1, quirk(&t.provider, Defect::ThresholdWraps).is_some());
    Ok(())
}

/// Defect 65: what cannot be started is forgotten. Nobody but its deadline tells.
fn quirk_65_starts_lost<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = pair::<K, T>(t)?;
    let (go, done) = (p.rig.domain.counter()?, p.rig.domain.counter()?);
    let c = p.rig.endpoint::<K>()?;
    let to_c = p.rig.av.insert(&c.name()?)?;
    drop(c.recv(vec![0; 8]).post()?.abandon());
    p.a.send(vec![1; 8], to_c).wait(LIMIT)?;
    let work = p.a.send(vec![1; 8], to_c).when(go.at(1)).then(&done).queue()?;
    c.close(LIMIT)?;
    // Until its end was seen.
    progress_until(&p.rig.cq, "a failure", || p.a.send(vec![1; 8], to_c).post().is_err());
    go.add(1)?;
    // What was started before is behind.
    p.warm()?;
    let lost = !work.is_done() && done.read() == 0;
    assert_eq!(lost, quirk(&t.provider, Defect::StartsLost).is_some());
    drop(work);
    Ok(())
}
