//! The functions of `rdma/fabric.h`, in its order.
//!
//! # Safety
//! As the crate's documentation states for all: live objects of the classes named, arguments as the
//! man page asks.
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract is one for all: see the crate's documentation"
)]

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

use crate::generated::fi_alias;
use crate::ops::{call, checked, counted, sized};
use crate::{
    FI_ALIAS, FI_EINVAL, FI_GET_VAL, FI_SET_VAL, FI_TC_DSCP, fi_dupinfo, fi_fabric, fi_fid_var,
    fi_info, fi_ops, fid, fid_fabric,
};

/// Makes a traffic class of a DSCP value: `fi_endpoint(3)`.
#[inline]
pub const fn fi_tc_dscp_set(dscp: u8) -> u32 {
    dscp as u32 | FI_TC_DSCP
}

/// The DSCP value inside a traffic class, or 0 where it holds none: `fi_endpoint(3)`.
#[inline]
pub const fn fi_tc_dscp_get(tclass: u32) -> u8 {
    if tclass & FI_TC_DSCP != 0 { tclass as u8 } else { 0 }
}

/// Allocates an empty `fi_info` with all its attributes, to be freed with `fi_freeinfo`; NULL
/// without memory: `fi_getinfo(3)`.
#[inline]
pub unsafe fn fi_allocinfo() -> *mut fi_info {
    // SAFETY: fi_dupinfo(3) allocates an empty fi_info for NULL.
    counted!(unsafe { fi_dupinfo(ptr::null()) })
}

/// Opens a fabric from an info, as `fi_fabric` does from its attribute: `fi_fabric(3)`.
///
/// libfabric exports it since 2.0; written out here, it is there with 1.17 too.
#[inline]
pub unsafe fn fi_fabric2(
    info: *mut fi_info,
    fabric: *mut *mut fid_fabric,
    flags: u64,
    context: *mut c_void,
) -> c_int {
    if flags != 0 || info.is_null() {
        return -FI_EINVAL;
    }
    // SAFETY: the caller's info, not NULL, and his out-parameter.
    counted!(unsafe { fi_fabric((*info).fabric_attr, fabric, context) })
}

/// Closes an object, whatever its class: `fi_fabric(3)`.
#[inline]
pub unsafe fn fi_close(fid: *mut fid) -> c_int {
    call!(fid->ops->close(fid))
}

/// Runs a control command on an object: `fi_control(3)`.
#[inline]
pub unsafe fn fi_control(fid: *mut fid, command: c_int, arg: *mut c_void) -> c_int {
    checked!(fid->ops->control(fid, command, arg))
}

/// Opens a second fid of an endpoint, with operation flags of its own: `fi_endpoint(3)`.
#[inline]
pub unsafe fn fi_alias(fid: *mut fid, alias_fid: *mut *mut fid, flags: u64) -> c_int {
    let mut alias = fi_alias { fid: alias_fid, flags };
    // SAFETY: the caller's fid; FI_ALIAS takes a `fi_alias`, which outlives the call.
    counted!(unsafe { fi_control(fid, FI_ALIAS, (&raw mut alias).cast()) })
}

/// Reads a provider variable of an object: `fi_control(3)`.
#[inline]
pub unsafe fn fi_get_val(fid: *mut fid, name: c_int, val: *mut c_void) -> c_int {
    let mut var = fi_fid_var { name, val };
    // SAFETY: the caller's fid; FI_GET_VAL takes a `fi_fid_var`, which outlives the call.
    counted!(unsafe { fi_control(fid, FI_GET_VAL, (&raw mut var).cast()) })
}

/// Writes a provider variable of an object: `fi_control(3)`.
#[inline]
pub unsafe fn fi_set_val(fid: *mut fid, name: c_int, val: *mut c_void) -> c_int {
    let mut var = fi_fid_var { name, val };
    // SAFETY: the caller's fid; FI_SET_VAL takes a `fi_fid_var`, which outlives the call.
    counted!(unsafe { fi_control(fid, FI_SET_VAL, (&raw mut var).cast()) })
}

/// Fetches a provider-specific table of operations: `fi_domain(3)`.
#[inline]
pub unsafe fn fi_open_ops(
    fid: *mut fid,
    name: *const c_char,
    flags: u64,
    ops: *mut *mut c_void,
    context: *mut c_void,
) -> c_int {
    checked!(fid->ops->ops_open(fid, name, flags, ops, context))
}

/// Replaces a table of operations by the caller's: `fi_domain(3)`.
#[inline]
pub unsafe fn fi_set_ops(
    fid: *mut fid,
    name: *const c_char,
    flags: u64,
    ops: *mut c_void,
    context: *mut c_void,
) -> c_int {
    sized!(fi_ops, fid->ops->ops_set(fid, name, flags, ops, context))
}
