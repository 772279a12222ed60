//! The raw ABI of [libfabric](https://ofiwg.github.io/libfabric/), usable from 1.17 to 2.x.
//!
//! Types, constants and functions carry their C names and stand flat at the crate's root. The
//! types and constants are those of 2.6, checked in: a build needs neither clang nor a C compiler.
//! libfabric exports a dozen functions; all others are `static inline` in its headers and are
//! written again here over the same tables of functions. What a library older than these types
//! lacks returns `-FI_ENOSYS`.
//!
//! For a safe interface use the crate `ofi`. There is no logic here, and no `Result`.
//!
//! ```
//! use ofi_sys::*;
//!
//! // SAFETY: no strings, no hints; the list is freed once.
//! unsafe {
//!     let mut info = std::ptr::null_mut();
//!     let version = fi_version().min(NEWEST_VERSION); // rule C
//!     let ret = fi_getinfo(version, std::ptr::null(), std::ptr::null(), 0, std::ptr::null(), &mut info);
//!     assert_eq!(ret, FI_SUCCESS);
//!     fi_freeinfo(info);
//! }
//! ```
//!
//! # Three rules
//!
//! libfabric only ever appends members to its structs, so the newest layout serves every version,
//! if:
//!
//! - **A.** What libfabric allocates (`fi_info` and its attributes) is made by `fi_getinfo`,
//!   `fi_allocinfo` and `fi_dupinfo` only, and members that the *running* library
//!   ([`fi_version`]) does not have are not touched: they lie beyond its allocation.
//!   [`fi_domain_attr::max_ep_auth_key`] came with 1.20, `max_group_id` with 2.0,
//!   `max_cntr_value` and `max_err_cntr_value` with 2.5. A program linked to an older libfabric
//!   than it runs on ([`LINKED_VERSION`]) loses such members of its hints.
//! - **B.** What the application allocates ([`fi_mr_attr`], [`fi_cq_err_entry`] …) is always
//!   allocated in this crate's layout, zeroed, with room to spare: providers copy it at *their*
//!   size.
//! - **C.** The version asked of [`fi_getinfo`] is `min(NEWEST_VERSION, fi_version())`: it decides
//!   the layout of everything that follows.
//!
//! # Safety of the inline functions
//!
//! Who calls one states that
//!
//! - the object is live, was made by libfabric (or has tables of functions of its own), and is of
//!   the class named, so that its fields up to the table exist;
//! - the arguments are what the function's manual page asks for, and memory that an operation uses
//!   stays valid until its completion;
//! - threads meet only as the domain's threading mode allows.
//!
//! What providers may leave out answers `-FI_ENOSYS`: every function newer than 1.17, those of
//! `fi_cm.h`, `fi_collective.h`, and of the tables that an endpoint has only for a capability it
//! was opened with (tagged, RMA, atomic). C crashes in most of these.
//!
//! # Finding libfabric
//!
//! By default pkg-config finds it when the program is built, and the program runs with that
//! version or a newer one. The feature `vendored` builds libfabric 1.22 from source and links it
//! into the program (autotools are needed; `OFI_SYS_CONFIGURE` holds more arguments for
//! configure). The feature `dlopen` builds without any, and loads it at run time: see [`load`].
//! Of several, `dlopen` wins over `vendored` over pkg-config.

#![allow(
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    reason = "the names are libfabric's, so that its manual pages hold"
)]

mod additions;
#[cfg(feature = "count-calls")]
#[doc(hidden)]
pub mod calls;
mod compat;
mod errno;
mod generated;
mod ops;
mod symbols;

// One file per C header, its functions in the header's order; fi_trigger.h has none.
mod atomic;
mod cm;
mod collective;
mod domain;
mod endpoint;
mod eq;
mod ext;
mod fabric;
mod profile;
mod rma;
mod tagged;

pub use additions::*;
pub use atomic::*;
pub use cm::*;
pub use collective::*;
pub use compat::*;
pub use domain::*;
pub use endpoint::*;
pub use eq::*;
pub use errno::*;
pub use ext::*;
pub use fabric::*;
pub use generated::*;
pub use profile::*;
pub use rma::*;
pub use symbols::*;
pub use tagged::*;

pub use libc::{iovec, pollfd, pthread_cond_t, pthread_mutex_t, sockaddr, socklen_t};
