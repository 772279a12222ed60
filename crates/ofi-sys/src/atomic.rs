//! The functions of `rdma/fi_atomic.h`, in its order.
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

use crate::ops::{offered, sized};
use crate::{
    fi_addr_t, fi_atomic_attr, fi_datatype, fi_ioc, fi_msg_atomic, fi_op, fi_ops_atomic,
    fi_ops_domain, fid_domain, fid_ep,
};

/// Applies an operation to remote memory: `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_atomic(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    datatype: fi_datatype,
    op: fi_op,
    context: *mut c_void,
) -> isize {
    offered!(ep->atomic->write(ep, buf, count, desc, dest_addr, addr, key, datatype, op, context))
}

/// Applies an operation to remote memory, its operands in an array of buffers: `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_atomicv(
    ep: *mut fid_ep,
    iov: *const fi_ioc,
    desc: *mut *mut c_void,
    count: usize,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    datatype: fi_datatype,
    op: fi_op,
    context: *mut c_void,
) -> isize {
    offered!(ep->atomic->writev(ep, iov, desc, count, dest_addr, addr, key, datatype, op, context))
}

/// Applies what a `fi_msg_atomic` describes, with flags: `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_atomicmsg(ep: *mut fid_ep, msg: *const fi_msg_atomic, flags: u64) -> isize {
    offered!(ep->atomic->writemsg(ep, msg, flags))
}

/// Applies an operation to remote memory; the operands may be reused on return, without a
/// completion: `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_inject_atomic(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    datatype: fi_datatype,
    op: fi_op,
) -> isize {
    offered!(ep->atomic->inject(ep, buf, count, dest_addr, addr, key, datatype, op))
}

/// Applies an operation to remote memory and fetches what was there: `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_fetch_atomic(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    datatype: fi_datatype,
    op: fi_op,
    context: *mut c_void,
) -> isize {
    offered!(ep->atomic->readwrite(
        ep, buf, count, desc, result, result_desc, dest_addr, addr, key, datatype, op, context
    ))
}

/// Applies an operation to remote memory and fetches what was there, in arrays of buffers:
/// `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_fetch_atomicv(
    ep: *mut fid_ep,
    iov: *const fi_ioc,
    desc: *mut *mut c_void,
    count: usize,
    resultv: *mut fi_ioc,
    result_desc: *mut *mut c_void,
    result_count: usize,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    datatype: fi_datatype,
    op: fi_op,
    context: *mut c_void,
) -> isize {
    offered!(ep->atomic->readwritev(
        ep, iov, desc, count, resultv, result_desc, result_count, dest_addr, addr, key,
        datatype, op, context
    ))
}

/// Applies what a `fi_msg_atomic` describes and fetches what was there, with flags: `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_fetch_atomicmsg(
    ep: *mut fid_ep,
    msg: *const fi_msg_atomic,
    resultv: *mut fi_ioc,
    result_desc: *mut *mut c_void,
    result_count: usize,
    flags: u64,
) -> isize {
    offered!(ep->atomic->readwritemsg(ep, msg, resultv, result_desc, result_count, flags))
}

/// Compares remote memory, swaps it, and fetches what was there: `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_compare_atomic(
    ep: *mut fid_ep,
    buf: *const c_void,
    count: usize,
    desc: *mut c_void,
    compare: *const c_void,
    compare_desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    datatype: fi_datatype,
    op: fi_op,
    context: *mut c_void,
) -> isize {
    offered!(ep->atomic->compwrite(
        ep, buf, count, desc, compare, compare_desc, result, result_desc, dest_addr, addr, key,
        datatype, op, context
    ))
}

/// Compares remote memory, swaps it, and fetches what was there, in arrays of buffers:
/// `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_compare_atomicv(
    ep: *mut fid_ep,
    iov: *const fi_ioc,
    desc: *mut *mut c_void,
    count: usize,
    comparev: *const fi_ioc,
    compare_desc: *mut *mut c_void,
    compare_count: usize,
    resultv: *mut fi_ioc,
    result_desc: *mut *mut c_void,
    result_count: usize,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    datatype: fi_datatype,
    op: fi_op,
    context: *mut c_void,
) -> isize {
    offered!(ep->atomic->compwritev(
        ep, iov, desc, count, comparev, compare_desc, compare_count, resultv, result_desc,
        result_count, dest_addr, addr, key, datatype, op, context
    ))
}

/// Compares and swaps as a `fi_msg_atomic` describes and fetches what was there, with flags:
/// `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_compare_atomicmsg(
    ep: *mut fid_ep,
    msg: *const fi_msg_atomic,
    comparev: *const fi_ioc,
    compare_desc: *mut *mut c_void,
    compare_count: usize,
    resultv: *mut fi_ioc,
    result_desc: *mut *mut c_void,
    result_count: usize,
    flags: u64,
) -> isize {
    offered!(ep->atomic->compwritemsg(
        ep, msg, comparev, compare_desc, compare_count, resultv, result_desc, result_count,
        flags
    ))
}

/// Whether an endpoint supports an operation on a type, and on how many elements: `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_atomicvalid(
    ep: *mut fid_ep,
    datatype: fi_datatype,
    op: fi_op,
    count: *mut usize,
) -> c_int {
    sized!(fi_ops_atomic, ep->atomic->writevalid(ep, datatype, op, count))
}

/// Whether an endpoint supports a fetching operation on a type, and on how many elements:
/// `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_fetch_atomicvalid(
    ep: *mut fid_ep,
    datatype: fi_datatype,
    op: fi_op,
    count: *mut usize,
) -> c_int {
    sized!(fi_ops_atomic, ep->atomic->readwritevalid(ep, datatype, op, count))
}

/// Whether an endpoint supports a comparing operation on a type, and on how many elements:
/// `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_compare_atomicvalid(
    ep: *mut fid_ep,
    datatype: fi_datatype,
    op: fi_op,
    count: *mut usize,
) -> c_int {
    sized!(fi_ops_atomic, ep->atomic->compwritevalid(ep, datatype, op, count))
}

/// Whether a domain supports an operation on a type, and on how many elements: `fi_atomic(3)`.
#[inline]
pub unsafe fn fi_query_atomic(
    domain: *mut fid_domain,
    datatype: fi_datatype,
    op: fi_op,
    attr: *mut fi_atomic_attr,
    flags: u64,
) -> c_int {
    sized!(fi_ops_domain, domain->ops->query_atomic(domain, datatype, op, attr, flags))
}
