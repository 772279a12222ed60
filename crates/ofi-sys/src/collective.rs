//! The functions of `rdma/fi_collective.h`, in its order.
//!
//! # Safety
//! As the crate's documentation states for all: live objects of the classes named, arguments as the
//! man page asks.
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract is one for all: see the crate's documentation"
)]
#![allow(clippy::too_many_arguments, reason = "the C signatures")]

use core::ffi::{c_int, c_void};

use crate::ops::{checked, counted, sized};
use crate::{
    FI_COLLECTIVE, fi_addr_t, fi_av_set_attr, fi_collective_addr, fi_collective_attr,
    fi_collective_op, fi_datatype, fi_join, fi_op, fi_ops_av, fi_ops_collective, fi_ops_domain,
    fid_av, fid_av_set, fid_domain, fid_ep, fid_mc,
};

/// Opens a set of addresses: `fi_av_set(3)`.
#[inline]
pub unsafe fn fi_av_set(
    av: *mut fid_av,
    attr: *mut fi_av_set_attr,
    set: *mut *mut fid_av_set,
    context: *mut c_void,
) -> c_int {
    sized!(fi_ops_av, av->ops->av_set(av, attr, set, context))
}

/// Adds the members of another set: `fi_av_set(3)`.
#[inline]
pub unsafe fn fi_av_set_union(dst: *mut fid_av_set, src: *const fid_av_set) -> c_int {
    checked!(dst->ops->set_union(dst, src))
}

/// Keeps the members that another set has too: `fi_av_set(3)`.
#[inline]
pub unsafe fn fi_av_set_intersect(dst: *mut fid_av_set, src: *const fid_av_set) -> c_int {
    checked!(dst->ops->intersect(dst, src))
}

/// Removes the members of another set: `fi_av_set(3)`.
#[inline]
pub unsafe fn fi_av_set_diff(dst: *mut fid_av_set, src: *const fid_av_set) -> c_int {
    checked!(dst->ops->diff(dst, src))
}

/// Adds one address to a set: `fi_av_set(3)`.
#[inline]
pub unsafe fn fi_av_set_insert(set: *mut fid_av_set, addr: fi_addr_t) -> c_int {
    checked!(set->ops->insert(set, addr))
}

/// Removes one address from a set: `fi_av_set(3)`.
#[inline]
pub unsafe fn fi_av_set_remove(set: *mut fid_av_set, addr: fi_addr_t) -> c_int {
    checked!(set->ops->remove(set, addr))
}

/// The collective address of a set: `fi_av_set(3)`.
#[inline]
pub unsafe fn fi_av_set_addr(set: *mut fid_av_set, coll_addr: *mut fi_addr_t) -> c_int {
    checked!(set->ops->addr(set, coll_addr))
}

/// Joins a collective group: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_join_collective(
    ep: *mut fid_ep,
    coll_addr: fi_addr_t,
    set: *const fid_av_set,
    flags: u64,
    mc: *mut *mut fid_mc,
    context: *mut c_void,
) -> c_int {
    let addr = fi_collective_addr { set, coll_addr };
    // SAFETY: the caller's endpoint; with FI_COLLECTIVE the address is a `fi_collective_addr`.
    counted!(unsafe { fi_join(ep, (&raw const addr).cast(), flags | FI_COLLECTIVE, mc, context) })
}

/// Waits for all members of a group: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_barrier(ep: *mut fid_ep, coll_addr: fi_addr_t, context: *mut c_void) -> isize {
    sized!(fi_ops_collective, ep->collective->barrier(ep, coll_addr, context))
}

/// Waits for all members of a group, with flags; without them this is `fi_barrier`:
/// `fi_collective(3)`.
#[inline]
pub unsafe fn fi_barrier2(
    ep: *mut fid_ep,
    coll_addr: fi_addr_t,
    flags: u64,
    context: *mut c_void,
) -> isize {
    if flags == 0 {
        // SAFETY: the same contract, the same object.
        return unsafe { fi_barrier(ep, coll_addr, context) };
    }
    sized!(fi_ops_collective, ep->collective->barrier2(ep, coll_addr, flags, context))
}

/// Sends the root's buffer to all members: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_broadcast(
    ep: *mut fid_ep,
    buf: *mut c_void,
    count: usize,
    desc: *mut c_void,
    coll_addr: fi_addr_t,
    root_addr: fi_addr_t,
    datatype: fi_datatype,
    flags: u64,
    context: *mut c_void,
) -> isize {
    sized!(fi_ops_collective, ep->collective->broadcast(
        ep, buf, count, desc, coll_addr, root_addr, datatype, flags, context
    ))
}

/// Sends a part of the buffer to every member and receives theirs: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_alltoall(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    coll_addr: fi_addr_t,
    datatype: fi_datatype,
    flags: u64,
    context: *mut c_void,
) -> isize {
    sized!(fi_ops_collective, ep->collective->alltoall(
        ep, buf, count, desc, result, result_desc, coll_addr, datatype, flags, context
    ))
}

/// Reduces the members' buffers; all get the result: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_allreduce(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    coll_addr: fi_addr_t,
    datatype: fi_datatype,
    op: fi_op,
    flags: u64,
    context: *mut c_void,
) -> isize {
    sized!(fi_ops_collective, ep->collective->allreduce(
        ep, buf, count, desc, result, result_desc, coll_addr, datatype, op, flags, context
    ))
}

/// Gathers the members' buffers; all get the result: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_allgather(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    coll_addr: fi_addr_t,
    datatype: fi_datatype,
    flags: u64,
    context: *mut c_void,
) -> isize {
    sized!(fi_ops_collective, ep->collective->allgather(
        ep, buf, count, desc, result, result_desc, coll_addr, datatype, flags, context
    ))
}

/// Reduces the members' buffers; each gets a part of the result: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_reduce_scatter(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    coll_addr: fi_addr_t,
    datatype: fi_datatype,
    op: fi_op,
    flags: u64,
    context: *mut c_void,
) -> isize {
    sized!(fi_ops_collective, ep->collective->reduce_scatter(
        ep, buf, count, desc, result, result_desc, coll_addr, datatype, op, flags, context
    ))
}

/// Reduces the members' buffers; the root gets the result: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_reduce(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    coll_addr: fi_addr_t,
    root_addr: fi_addr_t,
    datatype: fi_datatype,
    op: fi_op,
    flags: u64,
    context: *mut c_void,
) -> isize {
    sized!(fi_ops_collective, ep->collective->reduce(
        ep, buf, count, desc, result, result_desc, coll_addr, root_addr, datatype, op, flags,
        context
    ))
}

/// Sends each member its part of the root's buffer: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_scatter(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    coll_addr: fi_addr_t,
    root_addr: fi_addr_t,
    datatype: fi_datatype,
    flags: u64,
    context: *mut c_void,
) -> isize {
    sized!(fi_ops_collective, ep->collective->scatter(
        ep, buf, count, desc, result, result_desc, coll_addr, root_addr, datatype, flags,
        context
    ))
}

/// Gathers the members' buffers; the root gets the result: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_gather(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    coll_addr: fi_addr_t,
    root_addr: fi_addr_t,
    datatype: fi_datatype,
    flags: u64,
    context: *mut c_void,
) -> isize {
    sized!(fi_ops_collective, ep->collective->gather(
        ep, buf, count, desc, result, result_desc, coll_addr, root_addr, datatype, flags,
        context
    ))
}

/// Whether a domain supports a collective: `fi_collective(3)`.
#[inline]
pub unsafe fn fi_query_collective(
    domain: *mut fid_domain,
    coll: fi_collective_op,
    attr: *mut fi_collective_attr,
    flags: u64,
) -> c_int {
    sized!(fi_ops_domain, domain->ops->query_collective(domain, coll, attr, flags))
}
