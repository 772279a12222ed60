//! Events that belong to no object of ours.

use crate::Error;

/// An event that no open object of this crate waits for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// What went wrong, for [`EventKind::Failed`].
    pub error: Option<Error>,
    /// The bytes that came with it.
    pub data: Vec<u8>,
}

/// What an [`Event`] tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// Something about the fabric or the domain.
    #[doc(alias = "FI_NOTIFY")]
    Notify,
    /// A connection request to a passive endpoint that is closed.
    #[doc(alias = "FI_CONNREQ")]
    ConnectionRequest,
    /// A connection of an endpoint that is closed.
    #[doc(alias = "FI_CONNECTED")]
    Connected,
    /// The end of a connection of an endpoint that is closed.
    #[doc(alias = "FI_SHUTDOWN")]
    Shutdown,
    /// A registration has been done.
    #[doc(alias = "FI_MR_COMPLETE")]
    Registered,
    /// Addresses have been inserted.
    #[doc(alias = "FI_AV_COMPLETE")]
    Inserted,
    /// A multicast or collective group has been joined.
    #[doc(alias = "FI_JOIN_COMPLETE")]
    Joined,
    /// An error.
    Failed,
    /// A kind that this crate does not know.
    Unknown(u32),
}

impl EventKind {
    pub(super) fn from_raw(event: u32) -> EventKind {
        match event {
            ofi_sys::FI_NOTIFY => EventKind::Notify,
            ofi_sys::FI_CONNREQ => EventKind::ConnectionRequest,
            ofi_sys::FI_CONNECTED => EventKind::Connected,
            ofi_sys::FI_SHUTDOWN => EventKind::Shutdown,
            ofi_sys::FI_MR_COMPLETE => EventKind::Registered,
            ofi_sys::FI_AV_COMPLETE => EventKind::Inserted,
            ofi_sys::FI_JOIN_COMPLETE => EventKind::Joined,
            other => EventKind::Unknown(other),
        }
    }
}
