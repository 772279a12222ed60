//! fi_errno.h: the codes, positive. Calls return them negated: `fi_errno(3)`.
//!
//! Codes below 256 are the platform's own, so they come from `libc` for each target.

use core::ffi::c_int;

/// No error.
pub const FI_SUCCESS: c_int = 0;

/// Takes each code from `libc`.
macro_rules! platform {
    ($($fi:ident = $errno:ident, $text:literal;)*) => {
        $(#[doc = $text] pub const $fi: c_int = libc::$errno;)*
    };
}

platform! {
    FI_EPERM = EPERM, "Operation not permitted.";
    FI_ENOENT = ENOENT, "No such file or directory.";
    FI_EINTR = EINTR, "Interrupted system call.";
    FI_EIO = EIO, "I/O error.";
    FI_E2BIG = E2BIG, "Argument list too long.";
    FI_EBADF = EBADF, "Bad file number.";
    FI_EAGAIN = EAGAIN, "Try again.";
    FI_ENOMEM = ENOMEM, "Out of memory.";
    FI_EACCES = EACCES, "Permission denied.";
    FI_EFAULT = EFAULT, "Bad address.";
    FI_EBUSY = EBUSY, "Device or resource busy.";
    FI_ENODEV = ENODEV, "No such device.";
    FI_EINVAL = EINVAL, "Invalid argument.";
    FI_EMFILE = EMFILE, "Too many open files.";
    FI_ENOSPC = ENOSPC, "No space left on device.";
    FI_ENOSYS = ENOSYS, "Function not implemented.";
    FI_EWOULDBLOCK = EWOULDBLOCK, "Operation would block.";
    FI_ENOMSG = ENOMSG, "No message of desired type.";
    FI_ENODATA = ENODATA, "No data available.";
    FI_EPROTO = EPROTO, "Protocol error (2.0).";
    FI_EOVERFLOW = EOVERFLOW, "Value too large for defined data type.";
    FI_EMSGSIZE = EMSGSIZE, "Message too long.";
    FI_ENOPROTOOPT = ENOPROTOOPT, "Protocol not available.";
    FI_EOPNOTSUPP = EOPNOTSUPP, "Operation not supported on transport endpoint.";
    FI_EADDRINUSE = EADDRINUSE, "Address already in use.";
    FI_EADDRNOTAVAIL = EADDRNOTAVAIL, "Cannot assign requested address.";
    FI_ENETDOWN = ENETDOWN, "Network is down.";
    FI_ENETUNREACH = ENETUNREACH, "Network is unreachable.";
    FI_ECONNABORTED = ECONNABORTED, "Software caused connection abort.";
    FI_ECONNRESET = ECONNRESET, "Connection reset by peer.";
    FI_ENOBUFS = ENOBUFS, "No buffer space available.";
    FI_EISCONN = EISCONN, "Transport endpoint is already connected.";
    FI_ENOTCONN = ENOTCONN, "Transport endpoint is not connected.";
    FI_ESHUTDOWN = ESHUTDOWN, "Cannot send after transport endpoint shutdown.";
    FI_ETIMEDOUT = ETIMEDOUT, "Connection timed out.";
    FI_ECONNREFUSED = ECONNREFUSED, "Connection refused.";
    FI_EHOSTDOWN = EHOSTDOWN, "Host is down.";
    FI_EHOSTUNREACH = EHOSTUNREACH, "No route to host.";
    FI_EALREADY = EALREADY, "Operation already in progress.";
    FI_EINPROGRESS = EINPROGRESS, "Operation now in progress.";
    FI_ECANCELED = ECANCELED, "Operation canceled.";
}

/// Remote I/O error.
#[cfg(target_os = "linux")]
pub const FI_EREMOTEIO: c_int = libc::EREMOTEIO;
/// Key was rejected by service.
#[cfg(target_os = "linux")]
pub const FI_EKEYREJECTED: c_int = libc::EKEYREJECTED;

/// Remote I/O error. The platform has no such code, so this is Linux's, which nothing here uses.
#[cfg(not(target_os = "linux"))]
pub const FI_EREMOTEIO: c_int = 121;
/// Key was rejected by service. The platform has no such code, so this is Linux's.
#[cfg(not(target_os = "linux"))]
pub const FI_EKEYREJECTED: c_int = 129;

/// The first code that is libfabric's own.
pub const FI_ERRNO_OFFSET: c_int = 256;
/// Unspecified error.
pub const FI_EOTHER: c_int = 256;
/// Provided buffer is too small.
pub const FI_ETOOSMALL: c_int = 257;
/// Operation not permitted in current state.
pub const FI_EOPBADSTATE: c_int = 258;
/// Error available.
pub const FI_EAVAIL: c_int = 259;
/// Flags not supported.
pub const FI_EBADFLAGS: c_int = 260;
/// Missing or unavailable event queue.
pub const FI_ENOEQ: c_int = 261;
/// Invalid resource domain.
pub const FI_EDOMAIN: c_int = 262;
/// Missing or unavailable completion queue.
pub const FI_ENOCQ: c_int = 263;
/// CRC error.
pub const FI_ECRC: c_int = 264;
/// Truncation error.
pub const FI_ETRUNC: c_int = 265;
/// Required key not available.
pub const FI_ENOKEY: c_int = 266;
/// Missing or unavailable address vector.
pub const FI_ENOAV: c_int = 267;
/// Queue has been overrun.
pub const FI_EOVERRUN: c_int = 268;
/// Receiver not ready, no receive buffers available.
pub const FI_ENORX: c_int = 269;
/// No more memory registrations available (1.19.1).
pub const FI_ENOMR: c_int = 270;
/// Host unreachable because it is behind a firewall (2.2).
pub const FI_EFIREWALLADDR: c_int = 271;
/// One more than the newest code that this crate knows; a newer library may return it and more.
pub const FI_ERRNO_MAX: c_int = 272;
