//! The functions of `rdma/fi_profile.h`, in its order.
//!
//! # Safety
//! As the crate's documentation states for all: live objects of the classes named, arguments as the
//! man page asks.
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract is one for all: see the crate's documentation"
)]

use core::ffi::{c_int, c_void};
use core::mem;
use core::ptr;

use crate::ops::{call, counted, sized};
use crate::{fi_open_ops, fi_profile_desc, fi_profile_ops, fid, fid_profile};

/// Sets the profile's variables back to 0: `fi_profile(3)`.
#[inline]
pub unsafe fn fi_profile_reset(prof_fid: *mut fid_profile, flags: u64) {
    sized!(fi_profile_ops, prof_fid->ops->reset(prof_fid, flags), else ())
}

/// Lists the variables; `count` goes in as room and comes out as number: `fi_profile(3)`.
#[inline]
pub unsafe fn fi_profile_query_vars(
    prof_fid: *mut fid_profile,
    varlist: *mut fi_profile_desc,
    count: *mut usize,
) -> isize {
    sized!(fi_profile_ops, prof_fid->ops->query_vars(prof_fid, varlist, count))
}

/// Lists the events; `count` goes in as room and comes out as number: `fi_profile(3)`.
#[inline]
pub unsafe fn fi_profile_query_events(
    prof_fid: *mut fid_profile,
    eventlist: *mut fi_profile_desc,
    count: *mut usize,
) -> isize {
    sized!(fi_profile_ops, prof_fid->ops->query_events(prof_fid, eventlist, count))
}

/// Reads a 64-bit variable: `fi_profile(3)`.
#[inline]
pub unsafe fn fi_profile_read_u64(
    prof_fid: *mut fid_profile,
    var_id: u32,
    data: *mut u64,
) -> isize {
    let mut size = size_of::<u64>();
    let ret: isize = sized!(fi_profile_ops, prof_fid->ops->read_var(
        prof_fid, var_id, data.cast(), &raw mut size
    ));
    ret.min(0)
}

/// Registers a function to be called on an event: `fi_profile(3)`.
#[inline]
pub unsafe fn fi_profile_register_callback(
    prof_fid: *mut fid_profile,
    event_id: u32,
    callback: Option<
        unsafe extern "C" fn(
            prof_fid: *mut fid_profile,
            event: *mut fi_profile_desc,
            param: *mut c_void,
            size: usize,
            context: *mut c_void,
        ) -> c_int,
    >,
    context: *mut c_void,
) -> c_int {
    sized!(fi_profile_ops, prof_fid->ops->reg_callback(prof_fid, event_id, callback, context))
}

/// Starts a batch of reads that belong together: `fi_profile(3)`.
#[inline]
pub unsafe fn fi_profile_start_reads(prof_fid: *mut fid_profile, flags: u64) {
    sized!(fi_profile_ops, prof_fid->ops->start_reads(prof_fid, flags), else ())
}

/// Ends a batch of reads: `fi_profile(3)`.
#[inline]
pub unsafe fn fi_profile_end_reads(prof_fid: *mut fid_profile, flags: u64) {
    sized!(fi_profile_ops, prof_fid->ops->end_reads(prof_fid, flags), else ())
}

/// Opens the profile of an endpoint or domain: `fi_profile(3)`.
#[inline]
pub unsafe fn fi_profile_open(
    fid: *mut fid,
    flags: u64,
    prof_fid: *mut *mut fid_profile,
    context: *mut c_void,
) -> c_int {
    let mut ops = ptr::null_mut();
    // SAFETY: the caller's fid and context; `ops` outlives the call.
    let ret = counted!(unsafe {
        fi_open_ops(fid, c"fi_profile_ops".as_ptr(), flags, &raw mut ops, context)
    });
    if ret == 0 {
        // SAFETY: fi_profile(3): the pointer is that of the `ops` field inside a `fid_profile`.
        unsafe { *prof_fid = ops.byte_sub(mem::offset_of!(fid_profile, ops)).cast() };
    }
    ret
}

/// Closes a profile: `fi_profile(3)`.
#[inline]
pub unsafe fn fi_profile_close(prof_fid: *mut fid_profile) -> c_int {
    call!(prof_fid->fid.ops->close(prof_fid.cast()))
}
