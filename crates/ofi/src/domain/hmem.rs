//! The user's own functions for copying from and to device memory.

use std::ffi::c_void;

use ofi_sys::{fi_hmem_iface, fi_hmem_override_ops};

use super::Domain;
use crate::{
    Error, Fabric, Info, Result,
    error::{Needs, check},
    threading::Threading,
};

/// Copies from device memory, described by the second half of the arguments, to the host's: returns
/// the bytes copied, or a negative errno.
pub type CopyFromHmem = unsafe extern "C" fn(
    dest: *mut c_void,
    size: usize,
    iface: fi_hmem_iface,
    device: u64,
    hmem_iov: *const libc::iovec,
    hmem_iov_count: usize,
    hmem_iov_offset: u64,
) -> isize;

/// Copies from the host's memory to device memory, which the first half of the arguments describes:
/// returns the bytes copied, or a negative errno.
pub type CopyToHmem = unsafe extern "C" fn(
    iface: fi_hmem_iface,
    device: u64,
    hmem_iov: *const libc::iovec,
    hmem_iov_count: usize,
    hmem_iov_offset: u64,
    src: *const c_void,
    size: usize,
) -> isize;

impl<T: Threading> Domain<T> {
    /// Opens the domain of `info`, and has the provider copy from and to device memory through these
    /// functions. All objects of the domain do.
    ///
    /// See `fi_domain(3)`, `FI_SET_OPS_HMEM_OVERRIDE`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); `Unsupported` if the provider lets nobody replace its functions (all
    /// but cxi).
    ///
    /// # Safety
    ///
    /// Both copy exactly what the arguments describe, between memory that the provider names, for
    /// every interface that buffers of this domain may be of, host memory among them. They may be
    /// called on any thread, from within libfabric, until the domain is closed; they call nothing of
    /// libfabric and do not unwind.
    // Before any other object can be made on it (rule X12).
    #[doc(alias = "fi_set_ops")]
    #[doc(alias = "FI_SET_OPS_HMEM_OVERRIDE")]
    #[doc(alias = "fi_hmem_override_ops")]
    pub unsafe fn open_with_hmem(
        fabric: &Fabric,
        info: &Info,
        from: CopyFromHmem,
        to: CopyToHmem,
    ) -> Result<Domain<T>> {
        const NAME: &str = "fi_set_ops";
        let domain = Domain::open(fabric, info)?;
        let mut ops = Box::new(fi_hmem_override_ops {
            size: size_of::<fi_hmem_override_ops>(),
            copy_from_hmem_iov: Some(from),
            copy_to_hmem_iov: Some(to),
        });
        // SAFETY: the domain is open and nobody else has it; the table is complete and stays; the
        // caller answers for what its functions do.
        let status = unsafe {
            ofi_sys::fi_set_ops(
                domain.as_raw().cast(),
                ofi_sys::FI_SET_OPS_HMEM_OVERRIDE.as_ptr(),
                0,
                (&raw mut *ops).cast(),
                std::ptr::null_mut(),
            )
        };
        check(i64::from(status), NAME).map_err(|error: Error| {
            error.absent(Needs::Property("a provider whose copies can be replaced"))
        })?;
        // The man page does not say whether the provider keeps the pointer.
        Box::leak(ops);
        Ok(domain)
    }
}
