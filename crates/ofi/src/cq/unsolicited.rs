//! Entries that belong to no operation.

use super::Outcome;
use crate::{CqFlags, Error};

/// A completion that names no operation: the data of a remote write, or the failure of an injected
/// message. Nothing in it says which endpoint it came through.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Unsolicited {
    /// What the provider says it was.
    pub flags: CqFlags,
    /// Bytes written by the peer, for a remote write.
    pub len: usize,
    /// Immediate data, where the flags have `REMOTE_CQ_DATA`.
    pub data: Option<u64>,
    /// Why it failed, if it did.
    pub error: Option<Error>,
}

impl Unsolicited {
    pub(super) fn new(outcome: Outcome, error: Option<Error>) -> Unsolicited {
        let flags = CqFlags::from_bits_retain(outcome.flags);
        Unsolicited {
            flags,
            len: outcome.len,
            data: flags.contains(CqFlags::REMOTE_CQ_DATA).then_some(outcome.data),
            error,
        }
    }
}
