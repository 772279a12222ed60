//! The functions of `rdma/fi_ext.h`, in its order.
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

use crate::ops::{checked, counted};
use crate::{
    FI_CLASS_LOG, FI_EXPORT_FID, FI_SUCCESS, fi_close, fi_control, fi_fid_export, fi_open,
    fi_ops_log, fid, fid_logging,
};

/// Exports an object for another provider's use: `fi_provider(3)`.
#[inline]
pub unsafe fn fi_export_fid(
    fid: *mut fid,
    flags: u64,
    expfid: *mut *mut fid,
    context: *mut c_void,
) -> c_int {
    let mut exp = fi_fid_export { fid: expfid, flags, context };
    // SAFETY: the caller's fid; FI_EXPORT_FID takes a `fi_fid_export`, which outlives the call.
    counted!(unsafe { fi_control(fid, FI_EXPORT_FID, (&raw mut exp).cast()) })
}

/// Imports an object made by the caller or another provider: `fi_provider(3)`.
#[inline]
pub unsafe fn fi_import_fid(fid: *mut fid, expfid: *mut fid, flags: u64) -> c_int {
    checked!(fid->ops->bind(fid, expfid, flags))
}

/// Opens a named object of the library and imports the caller's into it: `fi_provider(3)`.
#[inline]
pub unsafe fn fi_import(
    version: u32,
    name: *const c_char,
    attr: *mut c_void,
    attr_len: usize,
    flags: u64,
    fid: *mut fid,
    context: *mut c_void,
) -> c_int {
    let mut open_fid = ptr::null_mut();
    // SAFETY: the caller's arguments; `open_fid` outlives the call.
    let ret = unsafe { fi_open(version, name, attr, attr_len, flags, &raw mut open_fid, context) };
    if ret != FI_SUCCESS {
        return ret;
    }
    // SAFETY: `fi_open` has just opened it, and nobody else holds it.
    unsafe {
        let ret = fi_import_fid(open_fid, fid, flags);
        fi_close(open_fid);
        ret
    }
}

/// Makes the library log through the caller's functions: `fi_provider(3)`.
#[inline]
pub unsafe fn fi_import_log(version: u32, flags: u64, log_fid: *mut fid_logging) -> c_int {
    // SAFETY: the caller's logging object and its table.
    unsafe {
        (*log_fid).fid.fclass = FI_CLASS_LOG;
        (*(*log_fid).ops).size = size_of::<fi_ops_log>();
        let (name, fid) = (c"logging".as_ptr(), log_fid.cast());
        counted!(fi_import(version, name, ptr::null_mut(), 0, flags, fid, fid.cast()))
    }
}
