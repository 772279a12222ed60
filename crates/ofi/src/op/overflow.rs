//! Room for what does not fit: where a receive that is shorter than its message would never end
//! (quirks 19 and 20), or crash (quirk 57), every receive has this behind its own memory. What lands here
//! is nobody's.
//!
//! # Safety
//!
//! Any number of receives name the same memory at once, and the peers' messages run into each other
//! in it. No reference to it is ever made: only the kernel and the provider write there, and nobody
//! reads.

use std::sync::OnceLock;

use libc::iovec;

use crate::{Errno, Error, Result};

/// The room of this process: address space, of which only what is written to becomes memory.
#[derive(Debug)]
pub(crate) struct Overflow {
    start: usize,
    len: usize,
}

/// Longer than any message, if there is so much; where the system limits address space, as much as
/// can be had down to the least. `OFI_OVERFLOW` in the environment says how many bytes instead: valgrind
/// looks at each of them whenever a message is copied.
const MOST: usize = if usize::BITS > 32 { (1_u64 << 36) as usize } else { 1 << 28 };
const LEAST: usize = 1 << 28;

impl Overflow {
    /// The one there is; made when it is first asked for.
    ///
    /// # Errors
    ///
    /// `ENOMEM` where the system's limits leave no such room.
    pub(crate) fn get() -> Result<&'static Overflow> {
        static ROOM: OnceLock<Option<Overflow>> = OnceLock::new();
        ROOM.get_or_init(Overflow::new).as_ref().ok_or_else(|| {
            Error::from_errno(Errno::ENOMEM, "fi_endpoint")
                .detail("there is no address space for messages longer than their receive")
                .hint("raise the limit of address space (ulimit -v)")
        })
    }

    fn new() -> Option<Overflow> {
        let (access, kind) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
        );
        let wished = std::env::var("OFI_OVERFLOW").ok().and_then(|text| text.parse().ok());
        let mut len = wished.filter(|bytes| *bytes > 0).unwrap_or(MOST);
        let least = len.min(LEAST);
        while len >= least {
            // SAFETY: a new mapping, wherever the system likes.
            let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, kind, -1, 0) };
            if start != libc::MAP_FAILED {
                #[cfg(target_os = "linux")]
                // SAFETY: the mapping just made. A child of a fork has no use for it.
                unsafe {
                    libc::madvise(start, len, libc::MADV_DONTFORK)
                };
                return Some(Overflow { start: start as usize, len });
            }
            len /= 2;
        }
        None
    }

    /// What the provider is told.
    #[inline]
    pub(crate) fn segment(&self) -> iovec {
        iovec { iov_base: self.start as *mut libc::c_void, iov_len: self.len }
    }

    /// Gives the system back the memory of what landed here.
    #[cold]
    pub(crate) fn clear(&self, bytes: usize) {
        // SAFETY: the mapping is never unmapped, and what is in it is of no use to anybody.
        unsafe { libc::madvise(self.segment().iov_base, bytes.min(self.len), libc::MADV_DONTNEED) };
    }
}
