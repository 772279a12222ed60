//! Options that several verbs have.

use super::{Operation, Verb, Wide};
use crate::{Error, OpFlags, error::Needs, threading::Threading};

/// What the completion of a send, a write or an atomic operation means (rule B28).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CompletionLevel {
    /// The buffer may be used again; nothing is said about the peer.
    Inject,
    /// On a reliable endpoint the data reached the peer's side, on an unreliable one they left
    /// this host. The default of most providers.
    Transmit,
    /// The data are in the peer's memory; for a message, visible to the peer once it completes there.
    Delivery,
    /// The message was matched with a receive. Best effort: most providers take the flag and do
    /// nothing for it (rule B29).
    Match,
    /// The data are in the peer's persistent memory.
    Commit,
}

/// A flag of our own, in a bit that libfabric's operation flags do not use: no entry for a success.
pub(crate) const QUIET: u64 = 1;

/// What libfabric is told, for the flags of a verb: an entry is asked for unless it is [`QUIET`].
#[inline]
pub(crate) fn told(flags: u64) -> u64 {
    if flags & QUIET == 0 { flags | ofi_sys::FI_COMPLETION } else { flags & !QUIET }
}

/// Flags of a verb with `more`, and with the endpoint's level if they say none: no call that takes flags
/// looks at those which operations have without asking.
#[inline]
pub(crate) fn with(flags: u64, more: u64, level: u64) -> u64 {
    const LEVELS: u64 = ofi_sys::FI_INJECT_COMPLETE
        | ofi_sys::FI_TRANSMIT_COMPLETE
        | ofi_sys::FI_DELIVERY_COMPLETE
        | ofi_sys::FI_MATCH_COMPLETE
        | ofi_sys::FI_COMMIT_COMPLETE;
    flags | more | if flags & LEVELS == 0 { level } else { 0 }
}

impl CompletionLevel {
    pub(crate) fn flag(self) -> OpFlags {
        match self {
            CompletionLevel::Inject => OpFlags::INJECT_COMPLETE,
            CompletionLevel::Transmit => OpFlags::TRANSMIT_COMPLETE,
            CompletionLevel::Delivery => OpFlags::DELIVERY_COMPLETE,
            CompletionLevel::Match => OpFlags::MATCH_COMPLETE,
            CompletionLevel::Commit => OpFlags::COMMIT_COMPLETE,
        }
    }
}

/// A verb that takes flags. Public in name only.
pub trait Flagged: Verb {
    fn flags(&self) -> u64;
    fn flags_mut(&mut self) -> &mut u64;
}

/// A verb that carries immediate data. Public in name only.
pub trait Carries: Verb {
    fn carry(&mut self, data: u64);
}

impl<V: Flagged, B, T: Threading> Operation<'_, V, B, T> {
    /// What the completion shall mean.
    #[doc(alias = "FI_INJECT_COMPLETE")]
    #[doc(alias = "FI_TRANSMIT_COMPLETE")]
    #[doc(alias = "FI_DELIVERY_COMPLETE")]
    #[doc(alias = "FI_MATCH_COMPLETE")]
    #[doc(alias = "FI_COMMIT_COMPLETE")]
    pub fn level(self, level: CompletionLevel) -> Self {
        self.flags(level.flag())
    }

    /// Adds operation flags: those that say nothing about memory (`FENCE`, `MORE`, levels). Others
    /// are refused when it is posted.
    pub fn flags(mut self, flags: OpFlags) -> Self {
        let plain = OpFlags::FENCE
            | OpFlags::MORE
            | OpFlags::INJECT_COMPLETE
            | OpFlags::TRANSMIT_COMPLETE
            | OpFlags::DELIVERY_COMPLETE
            | OpFlags::MATCH_COMPLETE
            | OpFlags::COMMIT_COMPLETE;
        let odd = flags.difference(plain);
        if !odd.is_empty() {
            self.fault(Error::invalid(V::NAME, format!("the flags {odd} are not for you to set")));
        }
        if flags.contains(OpFlags::FENCE) && self.core.limits.caps & ofi_sys::FI_FENCE == 0 {
            self.fault(Error::unsupported(V::NAME, Needs::Capability("FI_FENCE")));
        }
        *self.verb.flags_mut() |= flags.raw();
        self
    }
}

impl<V: Carries, B, T: Threading> Operation<'_, V, B, T> {
    /// Sends `data` along, in the peer's completion entry.
    ///
    /// The value must fit in the domain's `cq_data_size` bytes (rule B30), else posting fails.
    #[doc(alias = "fi_senddata")]
    #[doc(alias = "fi_tsenddata")]
    #[doc(alias = "fi_writedata")]
    #[doc(alias = "FI_REMOTE_CQ_DATA")]
    pub fn data(mut self, data: u64) -> Self {
        let bytes = self.core.limits.data_bytes;
        if bytes == 0 {
            self.fault(
                Error::unsupported(V::NAME, Needs::Property("immediate data"))
                    .detail("the provider's cq_data_size is 0"),
            );
        } else if bytes < 8 && data >> (8 * bytes) != 0 {
            self.fault(Error::invalid(V::NAME, format!("{data:#x} does not fit in {bytes} bytes")));
        }
        self.verb.carry(data);
        self
    }
}

/// Immediate data, if there are any, as a field of a verb.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Data {
    pub(crate) value: u64,
    pub(crate) there: Wide,
}

impl Data {
    pub(crate) const NONE: Data = Data { value: 0, there: Wide::No };

    pub(crate) fn of(value: u64) -> Data {
        Data { value, there: Wide::Yes }
    }
}
