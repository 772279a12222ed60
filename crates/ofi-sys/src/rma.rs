//! The functions of `rdma/fi_rma.h`, in its order.
//!
//! # Safety
//! As the crate's documentation states for all: live objects of the classes named, arguments as the
//! man page asks.
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract is one for all: see the crate's documentation"
)]
#![allow(clippy::too_many_arguments, reason = "the C signatures")]

use core::ffi::c_void;

use libc::iovec;

use crate::ops::{checked, offered};
use crate::{fi_addr_t, fi_msg_rma, fid_ep};

/// Reads remote memory into a buffer: `fi_rma(3)`.
#[inline]
pub unsafe fn fi_read(
    ep: *mut fid_ep,
    buf: *mut c_void,
    len: usize,
    desc: *mut c_void,
    src_addr: fi_addr_t,
    addr: u64,
    key: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->rma->read(ep, buf, len, desc, src_addr, addr, key, context))
}

/// Reads remote memory into an array of buffers: `fi_rma(3)`.
#[inline]
pub unsafe fn fi_readv(
    ep: *mut fid_ep,
    iov: *const iovec,
    desc: *mut *mut c_void,
    count: usize,
    src_addr: fi_addr_t,
    addr: u64,
    key: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->rma->readv(ep, iov, desc, count, src_addr, addr, key, context))
}

/// Reads what a `fi_msg_rma` describes, with flags: `fi_rma(3)`.
#[inline]
pub unsafe fn fi_readmsg(ep: *mut fid_ep, msg: *const fi_msg_rma, flags: u64) -> isize {
    offered!(ep->rma->readmsg(ep, msg, flags))
}

/// Writes a buffer to remote memory: `fi_rma(3)`.
#[inline]
pub unsafe fn fi_write(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    desc: *mut c_void,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->rma->write(ep, buf, len, desc, dest_addr, addr, key, context))
}

/// Writes an array of buffers to remote memory: `fi_rma(3)`.
#[inline]
pub unsafe fn fi_writev(
    ep: *mut fid_ep,
    iov: *const iovec,
    desc: *mut *mut c_void,
    count: usize,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->rma->writev(ep, iov, desc, count, dest_addr, addr, key, context))
}

/// Writes what a `fi_msg_rma` describes, with flags: `fi_rma(3)`.
#[inline]
pub unsafe fn fi_writemsg(ep: *mut fid_ep, msg: *const fi_msg_rma, flags: u64) -> isize {
    offered!(ep->rma->writemsg(ep, msg, flags))
}

/// Writes a buffer that may be reused on return, without a completion: `fi_rma(3)`.
#[inline]
pub unsafe fn fi_inject_write(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
) -> isize {
    offered!(ep->rma->inject(ep, buf, len, dest_addr, addr, key))
}

/// Writes a buffer, with remote CQ data: `fi_rma(3)`.
#[inline]
pub unsafe fn fi_writedata(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    desc: *mut c_void,
    data: u64,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->rma->writedata(ep, buf, len, desc, data, dest_addr, addr, key, context))
}

/// Writes a buffer that may be reused on return, with remote CQ data and without a completion:
/// `fi_rma(3)`.
#[inline]
pub unsafe fn fi_inject_writedata(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    data: u64,
    dest_addr: fi_addr_t,
    addr: u64,
    key: u64,
) -> isize {
    checked!(ep->rma->injectdata(ep, buf, len, data, dest_addr, addr, key))
}
