//! Owners of `fi_info` memory, and writing to it.

use std::{ffi::CStr, ptr::NonNull};

use ofi_sys::fi_info;

use crate::error::{Error, Result};

/// A list of `fi_info` as libfabric made it; freed once, from its head (rule D4).
#[derive(Debug)]
pub(crate) struct RawList(NonNull<fi_info>);

// SAFETY: nothing in an fi_info belongs to a thread: it is plain memory of the C allocator, and its
// `nic` is an object of its own that fi_dupinfo and fi_freeinfo alone call into. Once it is in a
// `RawList` that is shared, this crate only reads it.
unsafe impl Send for RawList {}
// SAFETY: as above.
unsafe impl Sync for RawList {}

impl RawList {
    /// Takes over a list.
    ///
    /// # Safety
    ///
    /// `head` comes from `fi_getinfo` or `fi_dupinfo`, or with a connection request, and nobody
    /// else frees it.
    pub(crate) unsafe fn from_raw(head: NonNull<fi_info>) -> RawList {
        RawList(head)
    }

    /// An empty entry with all its attribute structures, for hints (rule D2).
    pub(crate) fn empty() -> Result<RawList> {
        // SAFETY: fi_allocinfo takes nothing and returns an entry that the caller frees.
        let head = NonNull::new(unsafe { ofi_sys::fi_allocinfo() });
        let head = head.ok_or_else(|| out_of_memory("fi_allocinfo"))?;
        // SAFETY: just allocated, and given to nobody else.
        Ok(unsafe { RawList::from_raw(head) })
    }

    /// A copy of one entry.
    ///
    /// # Safety
    ///
    /// `entry` points to a live entry that libfabric allocated.
    pub(crate) unsafe fn duplicate(entry: NonNull<fi_info>) -> Result<RawList> {
        // SAFETY: the caller's word on `entry`; fi_dupinfo only reads it.
        let head = NonNull::new(unsafe { ofi_sys::fi_dupinfo(entry.as_ptr()) });
        let head = head.ok_or_else(|| out_of_memory("fi_dupinfo"))?;
        // SAFETY: just allocated, and given to nobody else.
        Ok(unsafe { RawList::from_raw(head) })
    }

    pub(crate) fn head(&self) -> NonNull<fi_info> {
        self.0
    }

    /// Every entry of the list, in its order. They live as long as the list.
    pub(crate) fn entries(&self) -> impl Iterator<Item = NonNull<fi_info>> + '_ {
        std::iter::successors(Some(self.0), |entry| {
            // SAFETY: an entry of this list, which is not freed before `self`.
            NonNull::new(unsafe { (*entry.as_ptr()).next })
        })
    }
}

impl Drop for RawList {
    fn drop(&mut self) {
        // SAFETY: `from_raw`'s contract: this is the head of the list, and only we free it.
        unsafe { ofi_sys::fi_freeinfo(self.0.as_ptr()) }
    }
}

/// Puts a copy of `text` where `fi_freeinfo` frees it (rule D3), in place of what was there.
///
/// # Safety
///
/// `slot` is a string member of an entry that libfabric allocated: null or from the C allocator.
pub(crate) unsafe fn replace_string(slot: *mut *mut libc::c_char, text: &CStr) -> Result<()> {
    // SAFETY: `text` ends with a NUL.
    let copy = unsafe { libc::strdup(text.as_ptr()) };
    if copy.is_null() {
        return Err(out_of_memory("strdup"));
    }
    // SAFETY: the caller's word on `slot`; free takes null.
    unsafe {
        libc::free((*slot).cast());
        *slot = copy;
    }
    Ok(())
}

/// Puts a copy of `bytes`, which are not empty, where `fi_freeinfo` frees it (rule D3).
///
/// # Safety
///
/// `slot` and `length` are such a pair of members of an entry that libfabric allocated: null or from
/// the C allocator.
pub(crate) unsafe fn replace_bytes<T>(
    slot: *mut *mut T,
    length: *mut usize,
    bytes: &[u8],
) -> Result<()> {
    // SAFETY: malloc takes any size.
    let copy = unsafe { libc::malloc(bytes.len()) };
    if copy.is_null() {
        return Err(out_of_memory("malloc"));
    }
    // SAFETY: `copy` has the length of `bytes` and is new, so they do not overlap; the caller's word
    // on `slot` and `length`; free takes null.
    unsafe {
        copy.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        libc::free((*slot).cast());
        *slot = copy.cast();
        *length = bytes.len();
    }
    Ok(())
}

fn out_of_memory(attempted: &'static str) -> Error {
    Error::from_errno(crate::Errno::ENOMEM, attempted)
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule: D2 D3
    #[test]
    fn strings_and_keys_are_freed_by_libfabric() {
        let list = RawList::empty().unwrap();
        let entry = list.head().as_ptr();
        // SAFETY: a fresh entry of libfabric with all its attributes; the slots are its members.
        unsafe {
            let domain = (*entry).domain_attr;
            replace_string(&raw mut (*domain).name, c"first").unwrap();
            replace_string(&raw mut (*domain).name, c"second").unwrap();
            assert_eq!(CStr::from_ptr((*domain).name), c"second");
            let endpoint = (*entry).ep_attr;
            replace_bytes(
                &raw mut (*endpoint).auth_key,
                &raw mut (*endpoint).auth_key_size,
                b"secret",
            )
            .unwrap();
            assert_eq!((*endpoint).auth_key_size, 6);
        }
        // A copy holds its own strings.
        // SAFETY: the entry is alive.
        let copy = unsafe { RawList::duplicate(list.head()) }.unwrap();
        drop(list);
        // SAFETY: the copy is alive and has a domain name, copied from the original.
        let name = unsafe { CStr::from_ptr((*(*copy.head().as_ptr()).domain_attr).name) };
        assert_eq!(name, c"second");
    }
}
