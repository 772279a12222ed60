//! Fabrics and domains.

use std::{
    collections::HashMap,
    ffi::{c_int, c_void},
};

use ofi_sys::*;

use crate::{
    av, cntr,
    config::{Demand, Plan},
    cq, ep, mr,
    world::{absent, begin, broken, give, object, table, world},
};

pub(crate) struct Domain {
    pub(crate) fabric: usize,
    pub(crate) demand: Demand,
    /// Raw keys of others: the number here, the key there.
    pub(crate) mapped: HashMap<u64, u64>,
}

absent! {
    bind(*mut fid, *mut fid, u64) -> c_int;
    control_fabric(*mut fid, c_int, *mut c_void) -> c_int;
    passive_ep(*mut fid_fabric, *mut fi_info, *mut *mut fid_pep, *mut c_void) -> c_int;
    eq_open(*mut fid_fabric, *mut fi_eq_attr, *mut *mut fid_eq, *mut c_void) -> c_int;
    wait_open(*mut fid_fabric, *mut fi_wait_attr, *mut *mut fid_wait) -> c_int;
    trywait(*mut fid_fabric, *mut *mut fid, c_int) -> c_int;
    scalable_ep(*mut fid_domain, *mut fi_info, *mut *mut fid_ep, *mut c_void) -> c_int;
    poll_open(*mut fid_domain, *mut fi_poll_attr, *mut *mut fid_poll) -> c_int;
    stx_ctx(*mut fid_domain, *mut fi_tx_attr, *mut *mut fid_stx, *mut c_void) -> c_int;
    srx_ctx(*mut fid_domain, *mut fi_rx_attr, *mut *mut fid_ep, *mut c_void) -> c_int;
}

/// What every object has, with its own `close`, `bind` and `control`.
pub(crate) const fn basics(
    close: unsafe extern "C" fn(*mut fid) -> c_int,
    bind: unsafe extern "C" fn(*mut fid, *mut fid, u64) -> c_int,
    control: unsafe extern "C" fn(*mut fid, c_int, *mut c_void) -> c_int,
) -> fi_ops {
    fi_ops {
        size: size_of::<fi_ops>(),
        close: Some(close),
        bind: Some(bind),
        control: Some(control),
        ops_open: None,
        tostr: None,
        ops_set: None,
    }
}

pub(crate) unsafe extern "C" fn no_bind(fid: *mut fid, other: *mut fid, flags: u64) -> c_int {
    // SAFETY: it only answers.
    unsafe { bind(fid, other, flags) }
}

pub(crate) unsafe extern "C" fn no_control(fid: *mut fid, command: c_int, _: *mut c_void) -> c_int {
    let _ = (fid, command);
    -FI_ENOSYS
}

static FABRIC: fi_ops = basics(close_fabric, bind, control_fabric);
static FABRIC_OPS: fi_ops_fabric = fi_ops_fabric {
    size: size_of::<fi_ops_fabric>(),
    domain: Some(open),
    passive_ep: Some(passive_ep),
    eq_open: Some(eq_open),
    wait_open: Some(wait_open),
    trywait: Some(trywait),
    domain2: None,
};
static DOMAIN: fi_ops = basics(close, bind, mr::control_domain);
static DOMAIN_OPS: fi_ops_domain = fi_ops_domain {
    size: size_of::<fi_ops_domain>(),
    av_open: Some(av::open),
    cq_open: Some(cq::open),
    endpoint: Some(ep::open),
    scalable_ep: Some(scalable_ep),
    cntr_open: Some(cntr::open),
    poll_open: Some(poll_open),
    stx_ctx: Some(stx_ctx),
    srx_ctx: Some(srx_ctx),
    query_atomic: None,
    query_collective: None,
    endpoint2: None,
};

pub(crate) unsafe extern "C" fn fabric(
    _attr: *mut fi_fabric_attr,
    fabric: *mut *mut fid_fabric,
    context: *mut c_void,
) -> c_int {
    let object = give(fid_fabric {
        fid: begin(FI_CLASS_FABRIC, context, &FABRIC),
        ops: table(&FABRIC_OPS),
        api_version: 0,
    });
    let mut world = world();
    if world.fabrics.is_empty() {
        world.plan = Plan::of_environment();
    }
    world.fabrics.insert(object as usize, 0);
    // SAFETY: the caller's: it may be written.
    unsafe { *fabric = object };
    0
}

unsafe extern "C" fn close_fabric(fid: *mut fid) -> c_int {
    let mut world = world();
    let _: &mut usize = object!(world.fabrics, fid);
    if world.domains.values().any(|domain| domain.fabric == fid as usize) {
        broken("L1", "a fabric is closed before its domains");
    }
    world.fabrics.remove(&(fid as usize));
    0
}

unsafe extern "C" fn open(
    fabric: *mut fid_fabric,
    info: *mut fi_info,
    domain: *mut *mut fid_domain,
    context: *mut c_void,
) -> c_int {
    let demand = Demand::of_environment();
    // SAFETY: the info is one of `fi_getinfo`'s, or a copy, so its attributes are there.
    let (mode, mr_mode) = unsafe { ((*info).mode, (*(*info).domain_attr).mr_mode) };
    if demand.mode & !mode != 0 || demand.mr_mode & !mr_mode != 0 {
        broken("D7", format_args!("of {demand:x?} only {mode:#x} and {mr_mode:#x} are agreed to"));
    }
    let mut world = world();
    let _: &mut usize = object!(world.fabrics, fabric);
    let object = give(fid_domain {
        fid: begin(FI_CLASS_DOMAIN, context, &DOMAIN),
        ops: table(&DOMAIN_OPS),
        mr: table(&mr::OPS),
    });
    let fabric = fabric as usize;
    world.domains.insert(object as usize, Domain { fabric, demand, mapped: HashMap::new() });
    // SAFETY: the caller's: it may be written.
    unsafe { *domain = object };
    0
}

unsafe extern "C" fn close(fid: *mut fid) -> c_int {
    let mut world = world();
    let at = fid as usize;
    let domain = object!(world.domains, fid);
    if !domain.mapped.is_empty() {
        broken("M8", "a domain is closed with mapped keys");
    }
    let used = world.eps.values().any(|ep| ep.domain == at)
        || world.cqs.values().any(|cq| cq.domain == at)
        || world.avs.values().any(|av| av.domain == at)
        || world.cntrs.values().any(|cntr| cntr.domain == at)
        || world.mrs.values().any(|mr| mr.domain == at);
    if used {
        broken("L1", "a domain is closed before what is on it");
    }
    world.domains.remove(&at);
    0
}
