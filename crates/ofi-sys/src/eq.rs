//! The functions of `rdma/fi_eq.h`, in its order.
//!
//! # Safety
//! As the crate's documentation states for all: live objects of the classes named, arguments as the
//! man page asks.
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract is one for all: see the crate's documentation"
)]

use core::ffi::{c_char, c_int, c_void};

use crate::ops::{call, checked, sized};
use crate::{
    FI_ADDR_NOTAVAIL, fi_addr_t, fi_cq_err_entry, fi_eq_attr, fi_eq_err_entry, fi_ops_cntr, fid,
    fid_cntr, fid_cq, fid_eq, fid_fabric, fid_poll, fid_wait,
};

/// Whether the fids' wait objects may be waited on: 0 yes, `-FI_EAGAIN` read them first:
/// `fi_poll(3)`.
#[inline]
pub unsafe fn fi_trywait(fabric: *mut fid_fabric, fids: *mut *mut fid, count: c_int) -> c_int {
    checked!(fabric->ops->trywait(fabric, fids, count))
}

/// Waits on a wait set, at most `timeout` milliseconds (negative: without end): `fi_poll(3)`.
#[inline]
#[deprecated = "libfabric marks it so: wait objects of queues do the same"]
pub unsafe fn fi_wait(waitset: *mut fid_wait, timeout: c_int) -> c_int {
    call!(waitset->ops->wait(waitset, timeout))
}

/// The contexts of the poll set's members that may have events: `fi_poll(3)`.
#[inline]
#[deprecated = "libfabric marks it so: read the queues themselves"]
pub unsafe fn fi_poll(pollset: *mut fid_poll, context: *mut *mut c_void, count: c_int) -> c_int {
    call!(pollset->ops->poll(pollset, context, count))
}

/// Adds a queue or counter to a poll set: `fi_poll(3)`.
#[inline]
#[deprecated = "libfabric marks it so: read the queues themselves"]
pub unsafe fn fi_poll_add(pollset: *mut fid_poll, event_fid: *mut fid, flags: u64) -> c_int {
    call!(pollset->ops->poll_add(pollset, event_fid, flags))
}

/// Takes a queue or counter out of a poll set: `fi_poll(3)`.
#[inline]
#[deprecated = "libfabric marks it so: read the queues themselves"]
pub unsafe fn fi_poll_del(pollset: *mut fid_poll, event_fid: *mut fid, flags: u64) -> c_int {
    call!(pollset->ops->poll_del(pollset, event_fid, flags))
}

/// Opens an event queue: `fi_eq(3)`.
#[inline]
pub unsafe fn fi_eq_open(
    fabric: *mut fid_fabric,
    attr: *mut fi_eq_attr,
    eq: *mut *mut fid_eq,
    context: *mut c_void,
) -> c_int {
    call!(fabric->ops->eq_open(fabric, attr, eq, context))
}

/// Reads one event: `fi_eq(3)`.
#[inline]
pub unsafe fn fi_eq_read(
    eq: *mut fid_eq,
    event: *mut u32,
    buf: *mut c_void,
    len: usize,
    flags: u64,
) -> isize {
    call!(eq->ops->read(eq, event, buf, len, flags))
}

/// Reads one error event: `fi_eq(3)`.
#[inline]
pub unsafe fn fi_eq_readerr(eq: *mut fid_eq, buf: *mut fi_eq_err_entry, flags: u64) -> isize {
    call!(eq->ops->readerr(eq, buf, flags))
}

/// Writes an event: `fi_eq(3)`.
#[inline]
pub unsafe fn fi_eq_write(
    eq: *mut fid_eq,
    event: u32,
    buf: *const c_void,
    len: usize,
    flags: u64,
) -> isize {
    call!(eq->ops->write(eq, event, buf, len, flags))
}

/// Reads one event, waiting at most `timeout` milliseconds (negative: without end): `fi_eq(3)`.
#[inline]
pub unsafe fn fi_eq_sread(
    eq: *mut fid_eq,
    event: *mut u32,
    buf: *mut c_void,
    len: usize,
    timeout: c_int,
    flags: u64,
) -> isize {
    call!(eq->ops->sread(eq, event, buf, len, timeout, flags))
}

/// The provider's text for an error event: `fi_eq(3)`.
#[inline]
pub unsafe fn fi_eq_strerror(
    eq: *mut fid_eq,
    prov_errno: c_int,
    err_data: *const c_void,
    buf: *mut c_char,
    len: usize,
) -> *const c_char {
    call!(eq->ops->strerror(eq, prov_errno, err_data, buf, len))
}

/// Reads completions; with `count` 0 it only drives progress: `fi_cq(3)`.
#[inline]
pub unsafe fn fi_cq_read(cq: *mut fid_cq, buf: *mut c_void, count: usize) -> isize {
    call!(cq->ops->read(cq, buf, count))
}

/// Reads completions and their source addresses: `fi_cq(3)`.
#[inline]
pub unsafe fn fi_cq_readfrom(
    cq: *mut fid_cq,
    buf: *mut c_void,
    count: usize,
    src_addr: *mut fi_addr_t,
) -> isize {
    call!(cq->ops->readfrom(cq, buf, count, src_addr))
}

/// Reads one error completion: `fi_cq(3)`.
#[inline]
pub unsafe fn fi_cq_readerr(cq: *mut fid_cq, buf: *mut fi_cq_err_entry, flags: u64) -> isize {
    // Providers older than 1.20 do not write the field.
    if !buf.is_null() {
        // SAFETY: the caller's entry, of the size of this crate's `fi_cq_err_entry`.
        unsafe { (*buf).src_addr = FI_ADDR_NOTAVAIL };
    }
    call!(cq->ops->readerr(cq, buf, flags))
}

/// Reads completions, waiting for one at most `timeout` milliseconds (negative: without end):
/// `fi_cq(3)`.
#[inline]
pub unsafe fn fi_cq_sread(
    cq: *mut fid_cq,
    buf: *mut c_void,
    count: usize,
    cond: *const c_void,
    timeout: c_int,
) -> isize {
    call!(cq->ops->sread(cq, buf, count, cond, timeout))
}

/// Reads completions and their source addresses, waiting at most `timeout` milliseconds (negative:
/// without end): `fi_cq(3)`.
#[inline]
pub unsafe fn fi_cq_sreadfrom(
    cq: *mut fid_cq,
    buf: *mut c_void,
    count: usize,
    src_addr: *mut fi_addr_t,
    cond: *const c_void,
    timeout: c_int,
) -> isize {
    call!(cq->ops->sreadfrom(cq, buf, count, src_addr, cond, timeout))
}

/// Wakes a thread that waits in `fi_cq_sread` or `fi_cq_sreadfrom`: `fi_cq(3)`.
#[inline]
pub unsafe fn fi_cq_signal(cq: *mut fid_cq) -> c_int {
    call!(cq->ops->signal(cq))
}

/// The provider's text for an error completion: `fi_cq(3)`.
#[inline]
pub unsafe fn fi_cq_strerror(
    cq: *mut fid_cq,
    prov_errno: c_int,
    err_data: *const c_void,
    buf: *mut c_char,
    len: usize,
) -> *const c_char {
    call!(cq->ops->strerror(cq, prov_errno, err_data, buf, len))
}

/// The counter's value: `fi_cntr(3)`.
#[inline]
pub unsafe fn fi_cntr_read(cntr: *mut fid_cntr) -> u64 {
    call!(cntr->ops->read(cntr))
}

/// The counter's error value: `fi_cntr(3)`.
#[inline]
pub unsafe fn fi_cntr_readerr(cntr: *mut fid_cntr) -> u64 {
    call!(cntr->ops->readerr(cntr))
}

/// Adds to the counter: `fi_cntr(3)`.
#[inline]
pub unsafe fn fi_cntr_add(cntr: *mut fid_cntr, value: u64) -> c_int {
    call!(cntr->ops->add(cntr, value))
}

/// Adds to the counter's error value: `fi_cntr(3)`.
#[inline]
pub unsafe fn fi_cntr_adderr(cntr: *mut fid_cntr, value: u64) -> c_int {
    sized!(fi_ops_cntr, cntr->ops->adderr(cntr, value))
}

/// Sets the counter: `fi_cntr(3)`.
#[inline]
pub unsafe fn fi_cntr_set(cntr: *mut fid_cntr, value: u64) -> c_int {
    call!(cntr->ops->set(cntr, value))
}

/// Sets the counter's error value: `fi_cntr(3)`.
#[inline]
pub unsafe fn fi_cntr_seterr(cntr: *mut fid_cntr, value: u64) -> c_int {
    sized!(fi_ops_cntr, cntr->ops->seterr(cntr, value))
}

/// Waits until the counter reaches `threshold`, at most `timeout` milliseconds (negative: without
/// end): `fi_cntr(3)`.
#[inline]
pub unsafe fn fi_cntr_wait(cntr: *mut fid_cntr, threshold: u64, timeout: c_int) -> c_int {
    call!(cntr->ops->wait(cntr, threshold, timeout))
}
