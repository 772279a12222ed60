//! Tags in the form that MPI has for them.

/// A tag for endpoints whose tags are of the form `FI_TAG_MPI` (2.0): what MPI calls the tag, and what
/// kind of message it is of. Which form an endpoint has, see
/// [`EndpointAttr::mem_tag_format`](crate::EndpointAttr::mem_tag_format).
///
/// Elsewhere it is a tag like any other.
///
/// See `fi_endpoint(3)`.
///
/// ```
/// use ofi::{MPI_IGNORE_TAG, mpi_tag};
///
/// let any_tag = |got: u64| got | MPI_IGNORE_TAG;
/// assert_eq!(any_tag(mpi_tag(-1, 3)), any_tag(mpi_tag(7, 3)));
/// assert_ne!(any_tag(mpi_tag(7, 2)), any_tag(mpi_tag(7, 3)));
/// ```
#[doc(alias = "fi_tag_mpi")]
#[doc(alias = "FI_TAG_MPI")]
#[must_use]
pub const fn mpi_tag(tag: i32, payload: u8) -> u64 {
    ofi_sys::fi_tag_mpi(tag, payload)
}

/// What [`RecvOp::ignore`](crate::RecvOp::ignore) takes for messages of any tag.
#[doc(alias = "FI_MPI_IGNORE_TAG")]
pub const MPI_IGNORE_TAG: u64 = ofi_sys::FI_MPI_IGNORE_TAG;

/// What [`RecvOp::ignore`](crate::RecvOp::ignore) takes for messages of any kind.
#[doc(alias = "FI_MPI_IGNORE_PAYLOAD")]
pub const MPI_IGNORE_PAYLOAD: u64 = ofi_sys::FI_MPI_IGNORE_PAYLOAD;
