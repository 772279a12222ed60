//! What a self-test consists of: cells, and what comes of each.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use ofi::Caps;
use serde::{Deserialize, Serialize};

/// One check of one provider's endpoints: what a child process runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) target: Target,
    pub(super) check: Check,
    pub(super) place: Place,
    /// This side's address, where the provider's addresses are IP addresses.
    pub(super) source: IpAddr,
    /// How long one step may take, in milliseconds.
    pub(super) patience: u64,
}

/// A provider, layers included, and a kind of endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Target {
    pub(super) provider: String,
    pub(super) kind: EndpointKind,
}

/// The kinds of endpoint that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EndpointKind {
    Msg,
    Rdm,
    Dgram,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    /// Everything opens, and closes.
    Open,
    /// The peer's address is taken and given back, or a connection is made.
    Reach,
    /// A message of the inject size, injected.
    Inject,
    /// A short message.
    Eager,
    /// A message of 1 MiB.
    Large,
    /// Tagged messages are matched by their tags.
    Tagged,
    /// The peer's memory is read and written.
    Remote,
    /// A word of the peer's memory is counted up.
    Atomic,
    /// Many messages come into one buffer.
    Many,
    /// Counters tell how many messages were sent and received.
    Counters,
    /// A group has barriers, and sums over its members.
    Collectives,
    /// Private data go with connecting, accepting and rejecting.
    PrivateData,
}

/// Where the two endpoints are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// Both in one process.
    OneProcess,
    /// In two processes, of one host or two.
    TwoProcesses,
}

/// Which part of a cell a child plays.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// Both.
    Both,
    /// The side that waits for the other at this address (port 0: any).
    Listen(SocketAddr),
    /// The side that comes to the other.
    Connect(SocketAddr),
}

/// What a side says that the other left alone.
pub(super) const LEFT: &str = "the other side left";

/// What came of a cell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(super) enum Verdict {
    /// It works.
    Ok,
    /// A query or a limit says that it is not offered.
    Unsupported { reason: String },
    /// A known defect of the provider.
    BrokenUpstream { number: u32, reason: String },
    /// Anything else.
    Failed { reason: String, log: Vec<String> },
}

/// A line of the report.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    #[serde(flatten)]
    pub(super) target: Target,
    pub(super) check: Check,
    pub(super) place: Place,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
    pub(super) milliseconds: u64,
}

impl EndpointKind {
    pub(super) fn from_type(kind: ofi::EndpointType) -> Option<EndpointKind> {
        match kind {
            ofi::EndpointType::Msg => Some(EndpointKind::Msg),
            ofi::EndpointType::Rdm => Some(EndpointKind::Rdm),
            ofi::EndpointType::Dgram => Some(EndpointKind::Dgram),
            _ => None,
        }
    }

    pub(super) fn endpoint_type(self) -> ofi::EndpointType {
        match self {
            EndpointKind::Msg => ofi::EndpointType::Msg,
            EndpointKind::Rdm => ofi::EndpointType::Rdm,
            EndpointKind::Dgram => ofi::EndpointType::Dgram,
        }
    }
}

impl Check {
    /// All of them, in the order of the report.
    pub(super) const ALL: [Check; 12] = [
        Check::Open,
        Check::Reach,
        Check::Inject,
        Check::Eager,
        Check::Large,
        Check::Tagged,
        Check::Remote,
        Check::Atomic,
        Check::Many,
        Check::Counters,
        Check::Collectives,
        Check::PrivateData,
    ];

    /// Whether there is such a thing for these endpoints there.
    pub(super) fn applies(self, kind: EndpointKind, place: Place) -> bool {
        match self {
            Check::Open => place == Place::OneProcess,
            Check::PrivateData => kind == EndpointKind::Msg,
            Check::Collectives => kind == EndpointKind::Rdm,
            _ => true,
        }
    }

    /// The capabilities that it needs, and the name of the one that not all providers have.
    pub(super) fn needs(self) -> (Caps, Option<&'static str>) {
        match self {
            Check::Tagged => (Caps::MSG | Caps::TAGGED, Some("FI_TAGGED")),
            Check::Remote => (Caps::MSG | Caps::RMA, Some("FI_RMA")),
            Check::Atomic => (Caps::MSG | Caps::RMA | Caps::ATOMIC, Some("FI_ATOMIC")),
            Check::Many => (Caps::MSG | Caps::MULTI_RECV, Some("FI_MULTI_RECV")),
            Check::Collectives => {
                (Caps::MSG | Caps::TAGGED | Caps::COLLECTIVE, Some("FI_COLLECTIVE"))
            }
            _ => (Caps::MSG, None),
        }
    }
}

impl Cell {
    /// What it is, in words.
    pub(super) fn title(&self) -> String {
        let place = match self.place {
            Place::OneProcess => "in one process",
            Place::TwoProcesses => "across two processes",
        };
        format!("{}: {} {place}", self.target, self.check)
    }
}

impl Verdict {
    pub(super) fn failed(reason: impl fmt::Display) -> Verdict {
        Verdict::Failed { reason: reason.to_string(), log: Vec::new() }
    }

    pub(super) fn unsupported(reason: impl fmt::Display) -> Verdict {
        Verdict::Unsupported { reason: reason.to_string() }
    }

    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Verdict::Failed { .. })
    }

    /// Whether it is only that the other side left.
    fn was_left(&self) -> bool {
        matches!(self, Verdict::Failed { reason, .. } if reason.contains(LEFT))
    }

    /// The worse of the two sides' verdicts. One side that has a reason not to play leaves the other
    /// alone.
    pub(super) fn or(self, other: Verdict) -> Verdict {
        match (&self, &other) {
            (Verdict::Unsupported { .. }, _) if other.was_left() => return self,
            (_, Verdict::Unsupported { .. }) if self.was_left() => return other,
            _ => {}
        }
        let badness = |verdict: &Verdict| match verdict {
            Verdict::Ok => 0,
            Verdict::Unsupported { .. } => 1,
            Verdict::BrokenUpstream { .. } => 2,
            Verdict::Failed { .. } => 3,
        };
        match (self, other) {
            (
                Verdict::Failed { reason, mut log },
                Verdict::Failed { reason: other, log: others },
            ) => {
                log.extend(others);
                Verdict::Failed { reason: format!("{reason}; the other side: {other}"), log }
            }
            (one, other) if badness(&other) > badness(&one) => other,
            (one, _) => one,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Check::Open => "open",
            Check::Reach => "reach",
            Check::Inject => "inject",
            Check::Eager => "eager",
            Check::Large => "1 MiB",
            Check::Tagged => "tagged",
            Check::Remote => "RMA",
            Check::Atomic => "atomics",
            Check::Many => "multi-recv",
            Check::Counters => "counters",
            Check::Collectives => "collectives",
            Check::PrivateData => "CM data",
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Place::OneProcess => "1 process",
            Place::TwoProcesses => "2 processes",
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.provider, self.kind.endpoint_type())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worse_verdict_counts() {
        let unsupported = Verdict::unsupported("too long");
        assert_eq!(Verdict::Ok.or(unsupported.clone()), unsupported);
        assert_eq!(unsupported.clone().or(Verdict::Ok), unsupported);
        let both = Verdict::failed("lost").or(Verdict::failed("late"));
        assert_eq!(both, Verdict::failed("lost; the other side: late"));
        assert_eq!(Verdict::failed(LEFT).or(unsupported.clone()), unsupported);
        assert!(Verdict::failed("lost").or(unsupported).is_failure());
    }

    #[test]
    fn only_connections_have_private_data() {
        let cm = Check::PrivateData;
        assert!(cm.applies(EndpointKind::Msg, Place::TwoProcesses));
        assert!(!cm.applies(EndpointKind::Rdm, Place::OneProcess));
        assert!(!Check::Open.applies(EndpointKind::Rdm, Place::TwoProcesses));
    }
}
