//! Macros of libfabric's headers that are casts, take arguments, or are deprecated.

use core::ffi::c_int;

use crate::additions::{FI_MAJOR_VERSION, FI_MINOR_VERSION};
use crate::generated::{FI_EP_UNSPEC, fi_addr_t, fi_ep_type};

/// No address given, or any source.
pub const FI_ADDR_UNSPEC: fi_addr_t = fi_addr_t::MAX;
/// No address known.
pub const FI_ADDR_NOTAVAIL: fi_addr_t = fi_addr_t::MAX;
/// The key does not fit in 64 bits: `fi_mr_raw_attr(3)`.
pub const FI_KEY_NOTAVAIL: u64 = u64::MAX;
/// Count of transmit or receive contexts: use a shared one.
pub const FI_SHARED_CONTEXT: usize = usize::MAX;
/// Size of a domain's authorization key: keys come from the address vector (1.20).
pub const FI_AV_AUTH_KEY: usize = usize::MAX;

/// Ignore mask: any tag of an MPI-formatted tag (2.0).
pub const FI_MPI_IGNORE_TAG: u64 = u32::MAX as u64;
/// Ignore mask: any payload id of an MPI-formatted tag (2.0).
pub const FI_MPI_IGNORE_PAYLOAD: u64 = (u8::MAX as u64) << 32;

/// Packs a version: `fi_version(3)`.
#[must_use]
pub const fn FI_VERSION(major: u32, minor: u32) -> u32 {
    (major << 16) | minor
}

/// The major part of a packed version.
#[must_use]
pub const fn FI_MAJOR(version: u32) -> u32 {
    version >> 16
}

/// The minor part of a packed version.
#[must_use]
pub const fn FI_MINOR(version: u32) -> u32 {
    version & 0xffff
}

/// Whether `v1` is `v2` or newer.
#[must_use]
pub const fn FI_VERSION_GE(v1: u32, v2: u32) -> bool {
    v1 >= v2
}

/// Whether `v1` is older than `v2`.
#[must_use]
pub const fn FI_VERSION_LT(v1: u32, v2: u32) -> bool {
    v1 < v2
}

/// The newest version whose structs this crate defines: never ask `fi_getinfo` for more (ABI
/// rule C).
pub const NEWEST_VERSION: u32 = FI_VERSION(FI_MAJOR_VERSION, FI_MINOR_VERSION);

/// The oldest version that this crate runs on.
pub const OLDEST_VERSION: u32 = FI_VERSION(1, 17);

/// No memory registration mode chosen. Deprecated since 2.0.
pub const FI_MR_UNSPEC: c_int = 0;
/// Keys by the provider, virtual addresses, allocated pages. Deprecated since 2.0.
pub const FI_MR_BASIC: c_int = 1 << 0;
/// Keys by the caller, offsets. Deprecated since 2.0.
pub const FI_MR_SCALABLE: c_int = 1 << 1;
/// Mode bit: buffers must be registered. Deprecated since 2.0, ignored since 1.5.
pub const FI_LOCAL_MR: u64 = 1 << 55;
/// No order asked for. Deprecated since 2.0.
pub const FI_ORDER_NONE: u64 = 0;
/// The nine orders of messages. Deprecated since 2.0.
pub const FI_ORDER_STRICT: u64 = 0x1ff;
/// Data arrives in order within a transfer. Deprecated since 2.0.
pub const FI_ORDER_DATA: u64 = 1 << 16;
/// Domain bind flag: registrations complete on the event queue. Deprecated since 2.0.
pub const FI_REG_MR: u64 = 1 << 59;

/// Removed from libfabric, 0 in 2.x.
pub const FI_VARIABLE_MSG: u64 = 0;
/// Removed from libfabric, 0 in 2.x.
pub const FI_NOTIFY_FLAGS_ONLY: u64 = 0;
/// Removed from libfabric, 0 in 2.x.
pub const FI_RESTRICTED_COMP: u64 = 0;
/// Removed from libfabric, an alias in 2.x.
pub const FI_EP_SOCK_STREAM: fi_ep_type = FI_EP_UNSPEC;
