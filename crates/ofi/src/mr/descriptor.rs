//! What can be said of a region's descriptor.

/// What a region's descriptor is: what goes with its memory into operations, and means something to
/// the provider alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias = "fi_mr_desc")]
pub struct Descriptor<'a> {
    /// Whether there is one. Some providers need none, and give none.
    pub present: bool,
    /// Whose it is.
    pub provider: &'a str,
    /// Bytes of memory that it is good for.
    pub len: usize,
}
