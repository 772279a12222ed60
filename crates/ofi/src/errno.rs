//! libfabric's error numbers.

use std::{borrow::Cow, ffi::CStr, fmt};

/// An error number of libfabric: the platform's `errno` values and libfabric's own above 255.
///
/// Always positive. A code that this crate does not know is kept as it is, never an error or a
/// panic: newer libraries may add some.
///
/// See `fi_errno(3)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[doc(alias = "fi_errno")]
pub struct Errno(i32);

macro_rules! errnos {
    ($($name:ident = $c:ident, $doc:literal;)*) => {
        impl Errno {
            $(
                #[doc = $doc]
                pub const $name: Errno = Errno(ofi_sys::$c as i32);
            )*

            /// The C name without its `FI_` prefix (`"EAGAIN"`), where this crate knows the code.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                // `EWOULDBLOCK` repeats `EAGAIN` on most platforms, so this is no match.
                $(if self == Self::$name {
                    return Some(stringify!($name));
                })*
                None
            }
        }
    };
}

errnos! {
    EPERM = FI_EPERM, "Operation not permitted.";
    ENOENT = FI_ENOENT, "No such file or directory.";
    EINTR = FI_EINTR, "Interrupted system call.";
    EIO = FI_EIO, "Input/output error.";
    E2BIG = FI_E2BIG, "Argument list too long.";
    EBADF = FI_EBADF, "Bad file number.";
    EAGAIN = FI_EAGAIN, "Try again: nothing was queued, make progress first.";
    ENOMEM = FI_ENOMEM, "Out of memory.";
    EACCES = FI_EACCES, "Permission denied.";
    EFAULT = FI_EFAULT, "Bad address.";
    EBUSY = FI_EBUSY, "Device or resource busy.";
    ENODEV = FI_ENODEV, "No such device.";
    EINVAL = FI_EINVAL, "Invalid argument.";
    EMFILE = FI_EMFILE, "Too many open files.";
    ENOSPC = FI_ENOSPC, "No space left on device.";
    ENOSYS = FI_ENOSYS, "Function not implemented.";
    EWOULDBLOCK = FI_EWOULDBLOCK, "Operation would block.";
    ENOMSG = FI_ENOMSG, "No message of the desired type.";
    ENODATA = FI_ENODATA, "No data available.";
    EOVERFLOW = FI_EOVERFLOW, "Value too large for the data type.";
    EPROTO = FI_EPROTO, "Protocol error.";
    EMSGSIZE = FI_EMSGSIZE, "Message too long.";
    ENOPROTOOPT = FI_ENOPROTOOPT, "Protocol option not available.";
    EOPNOTSUPP = FI_EOPNOTSUPP, "Operation not supported on this endpoint.";
    EADDRINUSE = FI_EADDRINUSE, "Address already in use.";
    EADDRNOTAVAIL = FI_EADDRNOTAVAIL, "Cannot assign the requested address.";
    ENETDOWN = FI_ENETDOWN, "Network is down.";
    ENETUNREACH = FI_ENETUNREACH, "Network is unreachable.";
    ECONNABORTED = FI_ECONNABORTED, "Software caused the connection to abort.";
    ECONNRESET = FI_ECONNRESET, "Connection reset by the peer.";
    ENOBUFS = FI_ENOBUFS, "No buffer space available.";
    EISCONN = FI_EISCONN, "Endpoint is already connected.";
    ENOTCONN = FI_ENOTCONN, "Endpoint is not connected.";
    ESHUTDOWN = FI_ESHUTDOWN, "Cannot send after the endpoint was shut down.";
    ETIMEDOUT = FI_ETIMEDOUT, "Operation timed out.";
    ECONNREFUSED = FI_ECONNREFUSED, "Connection refused.";
    EHOSTDOWN = FI_EHOSTDOWN, "Host is down.";
    EHOSTUNREACH = FI_EHOSTUNREACH, "No route to host.";
    EALREADY = FI_EALREADY, "Operation already in progress.";
    EINPROGRESS = FI_EINPROGRESS, "Operation now in progress.";
    EREMOTEIO = FI_EREMOTEIO, "Remote I/O error.";
    ECANCELED = FI_ECANCELED, "Operation cancelled.";
    EKEYREJECTED = FI_EKEYREJECTED, "Key was rejected by the service.";
    EOTHER = FI_EOTHER, "Unspecified error.";
    ETOOSMALL = FI_ETOOSMALL, "Provided buffer is too small.";
    EOPBADSTATE = FI_EOPBADSTATE, "Operation not permitted in the object's current state.";
    EAVAIL = FI_EAVAIL, "An error entry is available.";
    EBADFLAGS = FI_EBADFLAGS, "Flags are not supported.";
    ENOEQ = FI_ENOEQ, "Missing or unavailable event queue.";
    EDOMAIN = FI_EDOMAIN, "Invalid resource domain.";
    ENOCQ = FI_ENOCQ, "Missing or unavailable completion queue.";
    ECRC = FI_ECRC, "CRC error.";
    ETRUNC = FI_ETRUNC, "Message was truncated.";
    ENOKEY = FI_ENOKEY, "Required key is not available.";
    ENOAV = FI_ENOAV, "Missing or unavailable address vector.";
    EOVERRUN = FI_EOVERRUN, "Queue has been overrun.";
    ENORX = FI_ENORX, "Receiver not ready, no receive buffers available.";
    ENOMR = FI_ENOMR, "No memory registrations available.";
    EFIREWALLADDR = FI_EFIREWALLADDR, "Host is behind a firewall: its address cannot be reached.";
}

impl Errno {
    /// The error number for `code`; libfabric's return values carry it negated, either sign is
    /// taken.
    #[must_use]
    pub const fn from_raw(code: i32) -> Errno {
        // `i32::MIN` has no positive twin; no library returns it.
        Errno(if code == i32::MIN { i32::MAX } else { code.abs() })
    }

    /// The positive number.
    #[must_use]
    pub const fn raw(self) -> i32 {
        self.0
    }

    /// The library's own words for this code.
    #[doc(alias = "fi_strerror")]
    #[must_use]
    pub fn message(self) -> Cow<'static, str> {
        // SAFETY: fi_strerror takes any value and returns NULL or a NUL-terminated string of the
        // library's read-only data (src/fabric.c); it is copied before anything else runs.
        let text = unsafe { ofi_sys::fi_strerror(self.0) };
        if text.is_null() {
            return Cow::Borrowed("unknown error");
        }
        // SAFETY: not NULL, checked above; NUL-terminated as fi_errno(3) says.
        Cow::Owned(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({}): {}", self.0, self.message()),
            None => write!(f, "error {}: {}", self.0, self.message()),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // fault 22 of the predecessor: error numbers were not public.
    // rule: F22
    #[test]
    fn names_and_messages() {
        assert_eq!(Errno::EAGAIN.name(), Some("EAGAIN"));
        assert_eq!(Errno::from_raw(-Errno::ETRUNC.raw()), Errno::ETRUNC);
        assert!(!Errno::ENODATA.message().is_empty());
    }

    #[test]
    fn an_unknown_code_is_kept() {
        let odd = Errno::from_raw(-99_999);
        assert_eq!((odd.raw(), odd.name()), (99_999, None));
        assert!(odd.to_string().contains("99999"));
        assert_eq!(Errno::from_raw(i32::MIN).raw(), i32::MAX);
    }
}
