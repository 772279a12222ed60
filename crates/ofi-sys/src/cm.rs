//! The functions of `rdma/fi_cm.h`, in its order.
//!
//! # Safety
//! As the crate's documentation states for all: live objects of the classes named, arguments as the
//! man page asks.
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract is one for all: see the crate's documentation"
)]

use core::ffi::{c_int, c_void};

use crate::ops::{counted, sized};
use crate::{fi_addr_t, fi_ops_cm, fid_ep, fid_mc, fid_pep, fid_t};

/// Sets the local address: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_setname(fid: fid_t, addr: *mut c_void, addrlen: usize) -> c_int {
    let ep = fid.cast::<fid_ep>();
    sized!(fi_ops_cm, ep->cm->setname(fid, addr, addrlen))
}

/// Reads the local address: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_getname(fid: fid_t, addr: *mut c_void, addrlen: *mut usize) -> c_int {
    let ep = fid.cast::<fid_ep>();
    sized!(fi_ops_cm, ep->cm->getname(fid, addr, addrlen))
}

/// Reads the peer's address: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_getpeer(ep: *mut fid_ep, addr: *mut c_void, addrlen: *mut usize) -> c_int {
    sized!(fi_ops_cm, ep->cm->getpeer(ep, addr, addrlen))
}

/// Starts listening for connections: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_listen(pep: *mut fid_pep) -> c_int {
    sized!(fi_ops_cm, pep->cm->listen(pep))
}

/// Asks for a connection: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_connect(
    ep: *mut fid_ep,
    addr: *const c_void,
    param: *const c_void,
    paramlen: usize,
) -> c_int {
    sized!(fi_ops_cm, ep->cm->connect(ep, addr, param, paramlen))
}

/// Accepts a connection request: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_accept(ep: *mut fid_ep, param: *const c_void, paramlen: usize) -> c_int {
    sized!(fi_ops_cm, ep->cm->accept(ep, param, paramlen))
}

/// Rejects a connection request: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_reject(
    pep: *mut fid_pep,
    handle: fid_t,
    param: *const c_void,
    paramlen: usize,
) -> c_int {
    sized!(fi_ops_cm, pep->cm->reject(pep, handle, param, paramlen))
}

/// Ends a connection: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_shutdown(ep: *mut fid_ep, flags: u64) -> c_int {
    sized!(fi_ops_cm, ep->cm->shutdown(ep, flags))
}

/// Joins a multicast group: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_join(
    ep: *mut fid_ep,
    addr: *const c_void,
    flags: u64,
    mc: *mut *mut fid_mc,
    context: *mut c_void,
) -> c_int {
    sized!(fi_ops_cm, ep->cm->join(ep, addr, flags, mc, context))
}

/// The address to send to a multicast group: `fi_cm(3)`.
#[inline]
pub unsafe fn fi_mc_addr(mc: *mut fid_mc) -> fi_addr_t {
    // SAFETY: the caller's live group.
    counted!(unsafe { (*mc).fi_addr })
}
