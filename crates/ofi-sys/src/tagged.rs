//! The functions of `rdma/fi_tagged.h`, in its order.
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

use libc::iovec;

use crate::ops::offered;
use crate::{fi_addr_t, fi_msg_tagged, fid_ep};

/// The tag of an MPI message, for `FI_TAG_MPI`: `fi_tagged(3)`.
#[inline]
pub const fn fi_tag_mpi(tag: c_int, payload_id: u8) -> u64 {
    ((payload_id as u64) << 32) | (tag as u32 as u64)
}

/// Posts a buffer to receive a tagged message into: `fi_tagged(3)`.
#[inline]
pub unsafe fn fi_trecv(
    ep: *mut fid_ep,
    buf: *mut c_void,
    len: usize,
    desc: *mut c_void,
    src_addr: fi_addr_t,
    tag: u64,
    ignore: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->tagged->recv(ep, buf, len, desc, src_addr, tag, ignore, context))
}

/// Posts an array of buffers to receive a tagged message into: `fi_tagged(3)`.
#[inline]
pub unsafe fn fi_trecvv(
    ep: *mut fid_ep,
    iov: *const iovec,
    desc: *mut *mut c_void,
    count: usize,
    src_addr: fi_addr_t,
    tag: u64,
    ignore: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->tagged->recvv(ep, iov, desc, count, src_addr, tag, ignore, context))
}

/// Posts a receive described by a `fi_msg_tagged`, with flags: `fi_tagged(3)`.
#[inline]
pub unsafe fn fi_trecvmsg(ep: *mut fid_ep, msg: *const fi_msg_tagged, flags: u64) -> isize {
    offered!(ep->tagged->recvmsg(ep, msg, flags))
}

/// Sends a buffer with a tag: `fi_tagged(3)`.
#[inline]
pub unsafe fn fi_tsend(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    desc: *mut c_void,
    dest_addr: fi_addr_t,
    tag: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->tagged->send(ep, buf, len, desc, dest_addr, tag, context))
}

/// Sends an array of buffers as one tagged message: `fi_tagged(3)`.
#[inline]
pub unsafe fn fi_tsendv(
    ep: *mut fid_ep,
    iov: *const iovec,
    desc: *mut *mut c_void,
    count: usize,
    dest_addr: fi_addr_t,
    tag: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->tagged->sendv(ep, iov, desc, count, dest_addr, tag, context))
}

/// Sends what a `fi_msg_tagged` describes, with flags: `fi_tagged(3)`.
#[inline]
pub unsafe fn fi_tsendmsg(ep: *mut fid_ep, msg: *const fi_msg_tagged, flags: u64) -> isize {
    offered!(ep->tagged->sendmsg(ep, msg, flags))
}

/// Sends a buffer with a tag; the buffer may be reused on return, without a completion:
/// `fi_tagged(3)`.
#[inline]
pub unsafe fn fi_tinject(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    dest_addr: fi_addr_t,
    tag: u64,
) -> isize {
    offered!(ep->tagged->inject(ep, buf, len, dest_addr, tag))
}

/// Sends a buffer with a tag and remote CQ data: `fi_tagged(3)`.
#[inline]
pub unsafe fn fi_tsenddata(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    desc: *mut c_void,
    data: u64,
    dest_addr: fi_addr_t,
    tag: u64,
    context: *mut c_void,
) -> isize {
    offered!(ep->tagged->senddata(ep, buf, len, desc, data, dest_addr, tag, context))
}

/// Sends a buffer with a tag and remote CQ data; the buffer may be reused on return, without a
/// completion: `fi_tagged(3)`.
#[inline]
pub unsafe fn fi_tinjectdata(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    data: u64,
    dest_addr: fi_addr_t,
    tag: u64,
) -> isize {
    offered!(ep->tagged->injectdata(ep, buf, len, data, dest_addr, tag))
}
