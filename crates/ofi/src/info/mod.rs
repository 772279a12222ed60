//! Discovery: what to ask for ([`Hints`]), what there is ([`Info`]), and why something is missing
//! ([`Explanation`]).
//!
//! See `fi_getinfo(3)`.
//!
//! # Safety
//!
//! This module reads and writes `fi_info` structures. They are allocated by libfabric alone
//! (`fi_dupinfo`, `fi_getinfo`), because it knows their size (rule D2); strings, addresses and keys
//! in them come from the C allocator, because `fi_freeinfo` frees them (rule D3). No reference to a
//! whole attribute structure is ever made: a running library older than this crate allocates less
//! than the newest layout, so members are read one by one, and those appended after 1.17 only where
//! the running version has them (rule A of the ABI).

mod address;
mod attrs;
mod display;
mod explain;
mod hints;
mod hints_fields;
#[expect(
    clippy::module_inception,
    reason = "`info.rs` holds `Info`, as its neighbours their types"
)]
mod info;
mod nic;
mod query;
mod raw;
mod word;

#[cfg(test)]
mod tests;

pub(crate) use address::{CheckedAddress, decode, encode};
pub use attrs::{DomainAttr, EndpointAttr, FabricAttr, RxAttr, TxAttr};
pub use explain::{Excluded, Explanation, HintSet};
pub use hints::Hints;
pub use info::{Info, InfoList};
pub use nic::{Link, Nic, PciAddress};

#[cfg(feature = "tracing")]
pub(crate) use hints::{SERVED_MODES, SERVED_MR_MODES};
pub(crate) use info::core_name;
pub(crate) use query::load;
