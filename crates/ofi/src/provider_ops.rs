//! What single providers offer beyond libfabric's own interface: tables of functions and variables,
//! by name.
//!
//! # Safety
//!
//! Only the provider knows what is behind a name, so that every call here is the caller's word on
//! it. This module adds that the object is open, and that what is missing is an error.

use std::{
    ffi::{CStr, c_int, c_void},
    mem::MaybeUninit,
    ptr::NonNull,
};

use crate::{
    AddressVector, CompletionQueue, Counter, Domain, Endpoint, EventQueue, ExposedRegion, Fabric,
    PassiveEndpoint, Result,
    endpoint::Kind,
    error::{Needs, check},
    threading::Threading,
};

const MISSING: Needs = Needs::Property("a provider that has this by name");

/// The provider's own functions and variables of an object. Sealed.
///
/// Where this crate has a wrapper for a name, take that: [`Domain::open_with_hmem`] for
/// `FI_SET_OPS_HMEM_OVERRIDE`, [`Endpoint::profile`] for profiling. The rest is in the headers that a
/// provider installs: `rdma/fi_ext_efa.h`, `rdma/fi_cxi_ext.h`, `rdma/fi_ext_usnic.h`,
/// `rdma/fi_ext_psm2.h`.
///
/// See `fi_domain(3)`, `fi_control(3)`.
pub trait ProviderOps: sealed::Object {
    /// The table of functions behind a name. The man page says nothing of its life: it is good for as
    /// long as the object is open.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the provider has no such table; what else it says.
    ///
    /// # Safety
    ///
    /// The name is one that the provider's documentation has for this kind of object, and what that
    /// documentation asks for holds. No other call that changes the object runs at the same time
    /// (rule L8).
    #[doc(alias = "fi_open_ops")]
    unsafe fn open_ops(&self, name: &CStr, flags: u64) -> Result<NonNull<c_void>> {
        let mut ops = std::ptr::null_mut();
        // SAFETY: the object is open; the caller answers for name and flags; one pointer is written.
        let status = unsafe {
            let fid = self.fid();
            ofi_sys::fi_open_ops(fid, name.as_ptr(), flags, &raw mut ops, std::ptr::null_mut())
        };
        done(status, "fi_open_ops", name)?;
        NonNull::new(ops).ok_or_else(|| crate::Error::unsupported("fi_open_ops", MISSING))
    }

    /// Has the provider call the functions of `ops` in place of its own.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the provider lets nobody replace them; what else it says.
    ///
    /// # Safety
    ///
    /// As [`open_ops`](Self::open_ops); and `ops` is the table that the name stands for, complete, and
    /// stays for as long as the object is open. What it points to is called on any thread, from
    /// within libfabric, and does not unwind.
    #[doc(alias = "fi_set_ops")]
    unsafe fn set_ops(&self, name: &CStr, flags: u64, ops: NonNull<c_void>) -> Result<()> {
        // SAFETY: the object is open; the caller answers for the rest.
        let status = unsafe {
            let (fid, ops) = (self.fid(), ops.as_ptr());
            ofi_sys::fi_set_ops(fid, name.as_ptr(), flags, ops, std::ptr::null_mut())
        };
        done(status, "fi_set_ops", name)
    }

    /// The value of a variable of the provider's.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the provider has no variables; what else it says.
    ///
    /// # Safety
    ///
    /// The provider has a variable of this number for this kind of object, it writes a whole `V`, and
    /// what it writes is one. No other call that changes the object runs at the same time (rule L8).
    #[doc(alias = "fi_get_val")]
    #[doc(alias = "FI_GET_VAL")]
    unsafe fn value<V: Copy>(&self, name: c_int) -> Result<V> {
        let mut value = MaybeUninit::<V>::zeroed();
        // SAFETY: the object is open; the caller answers for name and type.
        let status = unsafe { ofi_sys::fi_get_val(self.fid(), name, value.as_mut_ptr().cast()) };
        check(i64::from(status), "fi_get_val").map_err(|error| error.absent(MISSING))?;
        // SAFETY: the caller's word: the provider wrote a whole one.
        Ok(unsafe { value.assume_init() })
    }

    /// Changes a variable of the provider's.
    ///
    /// # Errors
    ///
    /// As [`value`](Self::value).
    ///
    /// # Safety
    ///
    /// As [`value`](Self::value), with `V` as what the provider reads; nothing that the provider does
    /// with the new value breaks what this crate relies on.
    #[doc(alias = "fi_set_val")]
    #[doc(alias = "FI_SET_VAL")]
    unsafe fn set_value<V: Copy>(&self, name: c_int, mut value: V) -> Result<()> {
        // SAFETY: the object is open; the caller answers for name, type and value.
        let status = unsafe { ofi_sys::fi_set_val(self.fid(), name, (&raw mut value).cast()) };
        check(i64::from(status), "fi_set_val").map(drop).map_err(|error| error.absent(MISSING))
    }

    /// Runs a control command that this crate has no wrapper for.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the object knows no such command; what else the provider says.
    ///
    /// # Safety
    ///
    /// The provider has this command for this kind of object (of others some crash: queues of shm do),
    /// `argument` is what it takes, and nothing that the command does
    /// breaks what this crate relies on: it neither enables nor closes anything. No other call that
    /// changes the object runs at the same time (rule L8).
    #[doc(alias = "fi_control")]
    unsafe fn control(&self, command: c_int, argument: *mut c_void) -> Result<()> {
        // SAFETY: the object is open; the caller answers for command and argument.
        let status = unsafe { ofi_sys::fi_control(self.fid(), command, argument) };
        check(i64::from(status), "fi_control").map(drop).map_err(|error| error.absent(MISSING))
    }
}

fn done(status: i32, attempted: &'static str, name: &CStr) -> Result<()> {
    check(i64::from(status), attempted)
        .map(drop)
        .map_err(|error| error.absent(MISSING).detail(name.to_string_lossy()))
}

mod sealed {
    /// An open object. Public in name only.
    pub trait Object {
        fn fid(&self) -> *mut ofi_sys::fid;
    }
}

macro_rules! objects {
    ($([$($generics:tt)*] $object:ty;)*) => {$(
        impl<$($generics)*> sealed::Object for $object {
            fn fid(&self) -> *mut ofi_sys::fid {
                self.as_raw().cast()
            }
        }
        impl<$($generics)*> ProviderOps for $object {}
    )*};
}

objects! {
    [] Fabric;
    [T: Threading] Domain<T>;
    [K: Kind, T: Threading] Endpoint<K, T>;
    [T: Threading] PassiveEndpoint<T>;
    [T: Threading] AddressVector<T>;
    [T: Threading] CompletionQueue<T>;
    [T: Threading] EventQueue<T>;
    [T: Threading] Counter<T>;
    [T: Threading] ExposedRegion<T>;
}
