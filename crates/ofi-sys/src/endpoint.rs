//! The functions of `rdma/fi_endpoint.h`, in its order.
//!
//! # Safety
//! As the crate's documentation states for all: live objects of the classes named, arguments as the
//! man page asks.
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract is one for all: see the crate's documentation"
)]

use core::ffi::{c_int, c_void};
use core::ptr;

use libc::iovec;

use crate::ops::{call, checked, counted, sized};
use crate::{
    FI_ENABLE, fi_addr_t, fi_alias, fi_info, fi_msg, fi_ops_domain, fi_rx_attr, fi_tx_attr, fid,
    fid_domain, fid_ep, fid_fabric, fid_pep, fid_stx, fid_t,
};

/// Opens a passive endpoint: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_passive_ep(
    fabric: *mut fid_fabric,
    info: *mut fi_info,
    pep: *mut *mut fid_pep,
    context: *mut c_void,
) -> c_int {
    call!(fabric->ops->passive_ep(fabric, info, pep, context))
}

/// Opens an endpoint: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_endpoint(
    domain: *mut fid_domain,
    info: *mut fi_info,
    ep: *mut *mut fid_ep,
    context: *mut c_void,
) -> c_int {
    call!(domain->ops->endpoint(domain, info, ep, context))
}

/// Opens an endpoint, with flags; without them this is `fi_endpoint`: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_endpoint2(
    domain: *mut fid_domain,
    info: *mut fi_info,
    ep: *mut *mut fid_ep,
    flags: u64,
    context: *mut c_void,
) -> c_int {
    if flags == 0 {
        // SAFETY: the same contract, the same object.
        return unsafe { fi_endpoint(domain, info, ep, context) };
    }
    sized!(fi_ops_domain, domain->ops->endpoint2(domain, info, ep, flags, context))
}

/// Opens a scalable endpoint: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_scalable_ep(
    domain: *mut fid_domain,
    info: *mut fi_info,
    sep: *mut *mut fid_ep,
    context: *mut c_void,
) -> c_int {
    call!(domain->ops->scalable_ep(domain, info, sep, context))
}

/// Binds a queue, counter, address vector or shared context to an endpoint: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_ep_bind(ep: *mut fid_ep, bfid: *mut fid, flags: u64) -> c_int {
    checked!(ep->fid.ops->bind(ep.cast(), bfid, flags))
}

/// Binds an event queue to a passive endpoint: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_pep_bind(pep: *mut fid_pep, bfid: *mut fid, flags: u64) -> c_int {
    checked!(pep->fid.ops->bind(pep.cast(), bfid, flags))
}

/// Binds an address vector to a scalable endpoint: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_scalable_ep_bind(sep: *mut fid_ep, bfid: *mut fid, flags: u64) -> c_int {
    checked!(sep->fid.ops->bind(sep.cast(), bfid, flags))
}

/// Enables an endpoint for transfers: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_enable(ep: *mut fid_ep) -> c_int {
    checked!(ep->fid.ops->control(ep.cast(), FI_ENABLE, ptr::null_mut()))
}

/// Asks for an operation to be cancelled, by its context: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_cancel(fid: fid_t, context: *mut c_void) -> isize {
    let ep = fid.cast::<fid_ep>();
    checked!(ep->ops->cancel(fid, context))
}

/// Sets an endpoint option: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_setopt(
    fid: fid_t,
    level: c_int,
    optname: c_int,
    optval: *const c_void,
    optlen: usize,
) -> c_int {
    let ep = fid.cast::<fid_ep>();
    call!(ep->ops->setopt(fid, level, optname, optval, optlen))
}

/// Reads an endpoint option: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_getopt(
    fid: fid_t,
    level: c_int,
    optname: c_int,
    optval: *mut c_void,
    optlen: *mut usize,
) -> c_int {
    let ep = fid.cast::<fid_ep>();
    call!(ep->ops->getopt(fid, level, optname, optval, optlen))
}

/// Opens a second `fid_ep` of an endpoint, with operation flags of its own: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_ep_alias(ep: *mut fid_ep, alias_ep: *mut *mut fid_ep, flags: u64) -> c_int {
    let mut fid = ptr::null_mut();
    // SAFETY: an endpoint starts with its fid; `fid` outlives the call.
    let ret = counted!(unsafe { fi_alias(ep.cast(), &raw mut fid, flags) });
    if ret == 0 {
        // SAFETY: the caller's out-parameter; the alias of an endpoint is an endpoint.
        unsafe { *alias_ep = fid.cast() };
    }
    ret
}

/// Opens a transmit context of a scalable endpoint: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_tx_context(
    ep: *mut fid_ep,
    idx: c_int,
    attr: *mut fi_tx_attr,
    tx_ep: *mut *mut fid_ep,
    context: *mut c_void,
) -> c_int {
    call!(ep->ops->tx_ctx(ep, idx, attr, tx_ep, context))
}

/// Opens a receive context of a scalable endpoint: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_rx_context(
    ep: *mut fid_ep,
    idx: c_int,
    attr: *mut fi_rx_attr,
    rx_ep: *mut *mut fid_ep,
    context: *mut c_void,
) -> c_int {
    call!(ep->ops->rx_ctx(ep, idx, attr, rx_ep, context))
}

/// How many receives can still be posted: `fi_endpoint(3)`.
#[inline]
#[deprecated = "libfabric marks it so: a post that does not fit says so"]
pub unsafe fn fi_rx_size_left(ep: *mut fid_ep) -> isize {
    checked!(ep->ops->rx_size_left(ep))
}

/// How many transmits can still be posted: `fi_endpoint(3)`.
#[inline]
#[deprecated = "libfabric marks it so: a post that does not fit says so"]
pub unsafe fn fi_tx_size_left(ep: *mut fid_ep) -> isize {
    checked!(ep->ops->tx_size_left(ep))
}

/// Opens a shared transmit context: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_stx_context(
    domain: *mut fid_domain,
    attr: *mut fi_tx_attr,
    stx: *mut *mut fid_stx,
    context: *mut c_void,
) -> c_int {
    call!(domain->ops->stx_ctx(domain, attr, stx, context))
}

/// Opens a shared receive context: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_srx_context(
    domain: *mut fid_domain,
    attr: *mut fi_rx_attr,
    rx_ep: *mut *mut fid_ep,
    context: *mut c_void,
) -> c_int {
    call!(domain->ops->srx_ctx(domain, attr, rx_ep, context))
}

/// Posts a buffer to receive into: `fi_msg(3)`.
#[inline]
pub unsafe fn fi_recv(
    ep: *mut fid_ep,
    buf: *mut c_void,
    len: usize,
    desc: *mut c_void,
    src_addr: fi_addr_t,
    context: *mut c_void,
) -> isize {
    call!(ep->msg->recv(ep, buf, len, desc, src_addr, context))
}

/// Posts an array of buffers to receive into: `fi_msg(3)`.
#[inline]
pub unsafe fn fi_recvv(
    ep: *mut fid_ep,
    iov: *const iovec,
    desc: *mut *mut c_void,
    count: usize,
    src_addr: fi_addr_t,
    context: *mut c_void,
) -> isize {
    call!(ep->msg->recvv(ep, iov, desc, count, src_addr, context))
}

/// Posts a receive described by a `fi_msg`, with flags: `fi_msg(3)`.
#[inline]
pub unsafe fn fi_recvmsg(ep: *mut fid_ep, msg: *const fi_msg, flags: u64) -> isize {
    call!(ep->msg->recvmsg(ep, msg, flags))
}

/// Sends a buffer: `fi_msg(3)`.
#[inline]
pub unsafe fn fi_send(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    desc: *mut c_void,
    dest_addr: fi_addr_t,
    context: *mut c_void,
) -> isize {
    call!(ep->msg->send(ep, buf, len, desc, dest_addr, context))
}

/// Sends an array of buffers as one message: `fi_msg(3)`.
#[inline]
pub unsafe fn fi_sendv(
    ep: *mut fid_ep,
    iov: *const iovec,
    desc: *mut *mut c_void,
    count: usize,
    dest_addr: fi_addr_t,
    context: *mut c_void,
) -> isize {
    call!(ep->msg->sendv(ep, iov, desc, count, dest_addr, context))
}

/// Sends what a `fi_msg` describes, with flags: `fi_msg(3)`.
#[inline]
pub unsafe fn fi_sendmsg(ep: *mut fid_ep, msg: *const fi_msg, flags: u64) -> isize {
    call!(ep->msg->sendmsg(ep, msg, flags))
}

/// Sends a buffer that may be reused on return, without a completion: `fi_msg(3)`.
#[inline]
pub unsafe fn fi_inject(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    dest_addr: fi_addr_t,
) -> isize {
    call!(ep->msg->inject(ep, buf, len, dest_addr))
}

/// Sends a buffer with remote CQ data: `fi_msg(3)`.
#[inline]
pub unsafe fn fi_senddata(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    desc: *mut c_void,
    data: u64,
    dest_addr: fi_addr_t,
    context: *mut c_void,
) -> isize {
    call!(ep->msg->senddata(ep, buf, len, desc, data, dest_addr, context))
}

/// Sends a buffer that may be reused on return, with remote CQ data and without a completion:
/// `fi_msg(3)`.
#[inline]
pub unsafe fn fi_injectdata(
    ep: *mut fid_ep,
    buf: *const c_void,
    len: usize,
    data: u64,
    dest_addr: fi_addr_t,
) -> isize {
    call!(ep->msg->injectdata(ep, buf, len, data, dest_addr))
}
