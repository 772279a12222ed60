//! Counters.

use std::ffi::{c_int, c_void};

use ofi_sys::*;

use crate::{
    deferred,
    domain::{basics, no_bind, no_control},
    world::{World, begin, broken, give, object, table, world},
};

pub(crate) struct Cntr {
    pub(crate) domain: usize,
    bytes: bool,
    value: u64,
    errors: u64,
}

static CNTR: fi_ops = basics(close, no_bind, no_control);
static OPS: fi_ops_cntr = fi_ops_cntr {
    size: size_of::<fi_ops_cntr>(),
    read: Some(read),
    readerr: Some(readerr),
    add: Some(add),
    set: Some(set),
    wait: Some(wait),
    adderr: Some(adderr),
    seterr: Some(seterr),
};

pub(crate) unsafe extern "C" fn open(
    domain: *mut fid_domain,
    attr: *mut fi_cntr_attr,
    cntr: *mut *mut fid_cntr,
    context: *mut c_void,
) -> c_int {
    let mut world = world();
    let _ = object!(world.domains, domain);
    // SAFETY: null or whole.
    let attr = unsafe { attr.as_ref() };
    if attr.is_some_and(|attr| ![FI_WAIT_UNSPEC, FI_WAIT_NONE].contains(&attr.wait_obj)) {
        return -FI_ENOSYS;
    }
    let events = attr.map_or(FI_CNTR_EVENTS_COMP, |attr| attr.events);
    if events != FI_CNTR_EVENTS_COMP {
        let flags = attr.map_or(0, |attr| attr.flags);
        world.record(format!("cntr_open events={events} flags={flags:#x}"));
    }
    let object = give(fid_cntr { fid: begin(FI_CLASS_CNTR, context, &CNTR), ops: table(&OPS) });
    let bytes = events == FI_CNTR_EVENTS_BYTES;
    world
        .cntrs
        .insert(object as usize, Cntr { domain: domain as usize, bytes, value: 0, errors: 0 });
    // SAFETY: the caller's: it may be written.
    unsafe { *cntr = object };
    0
}

unsafe extern "C" fn close(fid: *mut fid) -> c_int {
    let mut world = world();
    let _ = object!(world.cntrs, fid);
    if world.eps.values().any(|ep| ep.cntrs.iter().any(|(at, _)| *at == fid as usize)) {
        broken("L1", "a counter is closed before its endpoints");
    }
    world.end_work(fid as usize);
    world.cntrs.remove(&(fid as usize));
    0
}

impl Cntr {
    /// Whether work that waits for this count is due.
    pub(crate) fn reached(&self, threshold: u64) -> bool {
        self.value + self.errors >= threshold
    }

    /// Sets the count, or adds to it.
    pub(crate) fn change(&mut self, set: bool, value: u64) {
        self.value = if set { value } else { self.value + value };
    }
}

impl World {
    /// Counts an operation of this class on an endpoint.
    pub(crate) fn count(&mut self, ep: usize, class: u64, len: usize, good: bool) {
        let Some(ep) = self.eps.get(&ep) else { return };
        for (at, classes) in ep.cntrs.clone() {
            if classes & class != 0 {
                let cntr = object!(self.cntrs, at);
                match good {
                    true => cntr.value += if cntr.bytes { len as u64 } else { 1 },
                    false => cntr.errors += 1,
                }
            }
        }
    }
}

/// Moves what can move, and looks.
fn look(cntr: *mut fid_cntr) -> (u64, u64) {
    deferred::fire();
    let mut world = world();
    let domain = object!(world.cntrs, cntr).domain;
    world.progress(domain);
    let cntr = object!(world.cntrs, cntr);
    (cntr.value, cntr.errors)
}

fn change(cntr: *mut fid_cntr, change: impl FnOnce(&mut Cntr)) -> c_int {
    {
        let mut world = world();
        change(object!(world.cntrs, cntr));
    }
    deferred::fire();
    0
}

unsafe extern "C" fn read(cntr: *mut fid_cntr) -> u64 {
    look(cntr).0
}

unsafe extern "C" fn readerr(cntr: *mut fid_cntr) -> u64 {
    look(cntr).1
}

unsafe extern "C" fn add(cntr: *mut fid_cntr, value: u64) -> c_int {
    change(cntr, |cntr| cntr.value += value)
}

unsafe extern "C" fn set(cntr: *mut fid_cntr, value: u64) -> c_int {
    change(cntr, |cntr| cntr.value = value)
}

unsafe extern "C" fn adderr(cntr: *mut fid_cntr, value: u64) -> c_int {
    change(cntr, |cntr| cntr.errors += value)
}

unsafe extern "C" fn seterr(cntr: *mut fid_cntr, value: u64) -> c_int {
    change(cntr, |cntr| cntr.errors = value)
}

unsafe extern "C" fn wait(_cntr: *mut fid_cntr, _threshold: u64, _timeout: c_int) -> c_int {
    // It has no wait object.
    -FI_ENOSYS
}
