//! The functions of `rdma/fi_domain.h`, in its order.
//!
//! # Safety
//! As the crate's documentation states for all: live objects of the classes named, arguments as the
//! man page asks.
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract is one for all: see the crate's documentation"
)]
#![allow(clippy::too_many_arguments, reason = "the C signatures")]

use core::ffi::{c_char, c_int, c_void};
use core::mem;
use core::ptr;

use libc::iovec;

use crate::generated::{fi_mr_map_raw, fi_mr_raw_attr};
use crate::ops::{call, checked, counted, sized};
use crate::{
    FI_ENABLE, FI_GET_RAW_MR, FI_MAP_RAW_MR, FI_REFRESH, FI_UNMAP_KEY, fi_addr_t, fi_av_attr,
    fi_cntr_attr, fi_cq_attr, fi_info, fi_mr_attr, fi_mr_modify, fi_ops_av, fi_ops_fabric,
    fi_poll_attr, fi_wait_attr, fid, fid_av, fid_cntr, fid_cq, fid_domain, fid_fabric, fid_mr,
    fid_poll, fid_wait,
};

/// The device id of a oneAPI Level Zero driver and device: `fi_mr(3)`.
#[inline]
pub const fn fi_hmem_ze_device(driver_index: c_int, device_index: c_int) -> c_int {
    (driver_index << 16) | device_index
}

/// Opens a domain: `fi_domain(3)`.
#[inline]
pub unsafe fn fi_domain(
    fabric: *mut fid_fabric,
    info: *mut fi_info,
    domain: *mut *mut fid_domain,
    context: *mut c_void,
) -> c_int {
    call!(fabric->ops->domain(fabric, info, domain, context))
}

/// Opens a domain, with flags; without them this is `fi_domain`: `fi_domain(3)`.
#[inline]
pub unsafe fn fi_domain2(
    fabric: *mut fid_fabric,
    info: *mut fi_info,
    domain: *mut *mut fid_domain,
    flags: u64,
    context: *mut c_void,
) -> c_int {
    if flags == 0 {
        // SAFETY: the same contract, the same object.
        return unsafe { fi_domain(fabric, info, domain, context) };
    }
    sized!(fi_ops_fabric, fabric->ops->domain2(fabric, info, domain, flags, context))
}

/// Binds an event queue to a domain: `fi_domain(3)`.
#[inline]
pub unsafe fn fi_domain_bind(domain: *mut fid_domain, fid: *mut fid, flags: u64) -> c_int {
    checked!(domain->fid.ops->bind(domain.cast(), fid, flags))
}

/// Opens a completion queue: `fi_cq(3)`.
#[inline]
pub unsafe fn fi_cq_open(
    domain: *mut fid_domain,
    attr: *mut fi_cq_attr,
    cq: *mut *mut fid_cq,
    context: *mut c_void,
) -> c_int {
    call!(domain->ops->cq_open(domain, attr, cq, context))
}

/// Opens a counter: `fi_cntr(3)`.
#[inline]
pub unsafe fn fi_cntr_open(
    domain: *mut fid_domain,
    attr: *mut fi_cntr_attr,
    cntr: *mut *mut fid_cntr,
    context: *mut c_void,
) -> c_int {
    checked!(domain->ops->cntr_open(domain, attr, cntr, context))
}

/// Opens a wait set: `fi_poll(3)`.
#[inline]
#[deprecated = "libfabric marks it so: wait objects of queues do the same"]
pub unsafe fn fi_wait_open(
    fabric: *mut fid_fabric,
    attr: *mut fi_wait_attr,
    waitset: *mut *mut fid_wait,
) -> c_int {
    checked!(fabric->ops->wait_open(fabric, attr, waitset))
}

/// Opens a poll set: `fi_poll(3)`.
#[inline]
#[deprecated = "libfabric marks it so: read the queues themselves"]
pub unsafe fn fi_poll_open(
    domain: *mut fid_domain,
    attr: *mut fi_poll_attr,
    pollset: *mut *mut fid_poll,
) -> c_int {
    call!(domain->ops->poll_open(domain, attr, pollset))
}

/// Registers a buffer: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_reg(
    domain: *mut fid_domain,
    buf: *const c_void,
    len: usize,
    acs: u64,
    offset: u64,
    requested_key: u64,
    flags: u64,
    mr: *mut *mut fid_mr,
    context: *mut c_void,
) -> c_int {
    call!(domain->mr->reg(domain.cast(), buf, len, acs, offset, requested_key, flags, mr, context))
}

/// Registers an array of buffers as one region: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_regv(
    domain: *mut fid_domain,
    iov: *const iovec,
    count: usize,
    acs: u64,
    offset: u64,
    requested_key: u64,
    flags: u64,
    mr: *mut *mut fid_mr,
    context: *mut c_void,
) -> c_int {
    call!(domain->mr->regv(
        domain.cast(), iov, count, acs, offset, requested_key, flags, mr, context
    ))
}

/// Registers the memory that a `fi_mr_attr` describes, with flags: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_regattr(
    domain: *mut fid_domain,
    attr: *const fi_mr_attr,
    flags: u64,
    mr: *mut *mut fid_mr,
) -> c_int {
    call!(domain->mr->regattr(domain.cast(), attr, flags, mr))
}

/// The local descriptor of a region: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_desc(mr: *mut fid_mr) -> *mut c_void {
    // SAFETY: the caller's live region.
    counted!(unsafe { (*mr).mem_desc })
}

/// The remote key of a region; `FI_KEY_NOTAVAIL` where it is longer than 64 bits: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_key(mr: *mut fid_mr) -> u64 {
    // SAFETY: the caller's live region.
    counted!(unsafe { (*mr).key })
}

/// Reads the raw key of a region: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_raw_attr(
    mr: *mut fid_mr,
    base_addr: *mut u64,
    raw_key: *mut u8,
    key_size: *mut usize,
    flags: u64,
) -> c_int {
    let mut attr = fi_mr_raw_attr { flags, base_addr, raw_key, key_size };
    checked!(mr->fid.ops->control(mr.cast(), FI_GET_RAW_MR, (&raw mut attr).cast()))
}

/// Maps a peer's raw key to a 64-bit one: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_map_raw(
    domain: *mut fid_domain,
    base_addr: u64,
    raw_key: *mut u8,
    key_size: usize,
    key: *mut u64,
    flags: u64,
) -> c_int {
    let mut map = fi_mr_map_raw { flags, base_addr, raw_key, key_size, key };
    checked!(domain->fid.ops->control(domain.cast(), FI_MAP_RAW_MR, (&raw mut map).cast()))
}

/// Releases a key made by `fi_mr_map_raw`: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_unmap_key(domain: *mut fid_domain, key: u64) -> c_int {
    let mut key = key;
    checked!(domain->fid.ops->control(domain.cast(), FI_UNMAP_KEY, (&raw mut key).cast()))
}

/// Binds a counter or an endpoint to a region: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_bind(mr: *mut fid_mr, bfid: *mut fid, flags: u64) -> c_int {
    checked!(mr->fid.ops->bind(mr.cast(), bfid, flags))
}

/// Tells the provider that the pages behind a region have changed: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_refresh(mr: *mut fid_mr, iov: *const iovec, count: usize, flags: u64) -> c_int {
    // SAFETY: plain C data: numbers, and pointers that may be NULL.
    let mut modify: fi_mr_modify = unsafe { mem::zeroed() };
    modify.flags = flags;
    modify.attr.mem.mr_iov = iov;
    modify.attr.iov_count = count;
    checked!(mr->fid.ops->control(mr.cast(), FI_REFRESH, (&raw mut modify).cast()))
}

/// Enables a region that was bound to an endpoint or counter: `fi_mr(3)`.
#[inline]
pub unsafe fn fi_mr_enable(mr: *mut fid_mr) -> c_int {
    checked!(mr->fid.ops->control(mr.cast(), FI_ENABLE, ptr::null_mut()))
}

/// Opens an address vector: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_open(
    domain: *mut fid_domain,
    attr: *mut fi_av_attr,
    av: *mut *mut fid_av,
    context: *mut c_void,
) -> c_int {
    call!(domain->ops->av_open(domain, attr, av, context))
}

/// Binds an event queue to an address vector: `fi_av(3)`.
#[inline]
#[deprecated = "libfabric marks it so: insertion is synchronous"]
pub unsafe fn fi_av_bind(av: *mut fid_av, fid: *mut fid, flags: u64) -> c_int {
    checked!(av->fid.ops->bind(av.cast(), fid, flags))
}

/// Inserts raw addresses; returns how many: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_insert(
    av: *mut fid_av,
    addr: *const c_void,
    count: usize,
    fi_addr: *mut fi_addr_t,
    flags: u64,
    context: *mut c_void,
) -> c_int {
    call!(av->ops->insert(av, addr, count, fi_addr, flags, context))
}

/// Resolves a node and service and inserts the address; returns how many: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_insertsvc(
    av: *mut fid_av,
    node: *const c_char,
    service: *const c_char,
    fi_addr: *mut fi_addr_t,
    flags: u64,
    context: *mut c_void,
) -> c_int {
    call!(av->ops->insertsvc(av, node, service, fi_addr, flags, context))
}

/// Resolves and inserts a range of nodes and services; returns how many: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_insertsym(
    av: *mut fid_av,
    node: *const c_char,
    nodecnt: usize,
    service: *const c_char,
    svccnt: usize,
    fi_addr: *mut fi_addr_t,
    flags: u64,
    context: *mut c_void,
) -> c_int {
    call!(av->ops->insertsym(av, node, nodecnt, service, svccnt, fi_addr, flags, context))
}

/// Removes addresses: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_remove(
    av: *mut fid_av,
    fi_addr: *mut fi_addr_t,
    count: usize,
    flags: u64,
) -> c_int {
    call!(av->ops->remove(av, fi_addr, count, flags))
}

/// Reads the raw address behind a `fi_addr_t`: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_lookup(
    av: *mut fid_av,
    fi_addr: fi_addr_t,
    addr: *mut c_void,
    addrlen: *mut usize,
) -> c_int {
    call!(av->ops->lookup(av, fi_addr, addr, addrlen))
}

/// Writes a raw address as text: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_straddr(
    av: *mut fid_av,
    addr: *const c_void,
    buf: *mut c_char,
    len: *mut usize,
) -> *const c_char {
    call!(av->ops->straddr(av, addr, buf, len))
}

/// Inserts an authorization key: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_insert_auth_key(
    av: *mut fid_av,
    auth_key: *const c_void,
    auth_key_size: usize,
    fi_addr: *mut fi_addr_t,
    flags: u64,
) -> c_int {
    sized!(fi_ops_av, av->ops->insert_auth_key(av, auth_key, auth_key_size, fi_addr, flags))
}

/// Reads an authorization key back: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_lookup_auth_key(
    av: *mut fid_av,
    addr: fi_addr_t,
    auth_key: *mut c_void,
    auth_key_size: *mut usize,
) -> c_int {
    sized!(fi_ops_av, av->ops->lookup_auth_key(av, addr, auth_key, auth_key_size))
}

/// Sets the number that completions report for an address: `fi_av(3)`.
#[inline]
pub unsafe fn fi_av_set_user_id(
    av: *mut fid_av,
    fi_addr: fi_addr_t,
    user_id: fi_addr_t,
    flags: u64,
) -> c_int {
    sized!(fi_ops_av, av->ops->set_user_id(av, fi_addr, user_id, flags))
}

/// The address of a receive context of a scalable endpoint: `fi_av(3)`.
#[inline]
pub const fn fi_rx_addr(fi_addr: fi_addr_t, rx_index: c_int, rx_ctx_bits: c_int) -> fi_addr_t {
    // C leaves a shift by 64 (no receive contexts) undefined; here it adds nothing.
    match (rx_index as u64).checked_shl((64 - rx_ctx_bits) as u32) {
        Some(index) => index | fi_addr,
        None => fi_addr,
    }
}

/// The address of a peer within a group: `fi_av(3)`.
#[inline]
pub const fn fi_group_addr(fi_addr: fi_addr_t, group_id: u32) -> fi_addr_t {
    ((group_id as u64) << 32) | fi_addr
}
