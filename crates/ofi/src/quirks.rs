//! What providers are known to do wrong, by provider and version. Every entry has a test, in a
//! child process, that reproduces it and fails when it is gone.

use crate::{Version, version};

/// A known defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Defect {
    /// Closing an endpoint with operations in flight crashes this process, or the peer's endpoint.
    CloseInFlight,
    /// `fi_cq_sread` ignores its timeout.
    SreadIgnoresTimeout,
    /// A peek posts an ordinary receive.
    PeekReceives,
    /// `fi_setopt` and `fi_getopt` crash on an endpoint that is not enabled yet; options can be set
    /// after.
    OptionBeforeEnable,
    /// `fi_shutdown` closes the connection's descriptor, and `fi_close` closes the same number once
    /// more, whatever it names by then.
    ShutdownClosesTwice,
    /// No FI_SHUTDOWN for a connection whose peer goes while it is being accepted.
    ShutdownLost,
    /// Reading the event queue crashes when a request comes in for a listener that was closed after
    /// the connection was accepted by the system.
    ListenerDangles,
    /// `fi_trywait` on a completion queue crashes once an endpoint bound to it has closed.
    TrywaitAfterClose,
    /// Vectors keep pointers into endpoints of their own process that have closed.
    ClosedStaysMapped,
    /// `fi_av_insertsym` writes the number of every address to the same place.
    SymmetricOverwrites,
    /// Receives of untagged messages ignore which peer they are for, FI_DIRECTED_RECV or not.
    DirectedIgnored,
    /// FI_SOURCE is granted, and every message is said to be from address 0.
    SourceUnknown,
    /// Closing an endpoint hangs or crashes while messages wait for a receive there.
    CloseWithMessages,
    /// `fi_av_insert` follows connections that are gone, where messages wait for a receive.
    InsertFollowsGone,
    /// A receive that matches a long message whose sender is gone crashes, where that was the only
    /// connection.
    LastConnectionDangles,
    /// A fetching atomic operation crashes the peer, where another was shortly before it.
    FetchesCrash,
    /// The end of a connection in the middle of a message in segments crashes.
    SegmentsDangle,
    /// A request for a connection, from an endpoint that has closed since, crashes whoever reads it.
    RequestDangles,
    /// `fi_cq_strerror` follows the queue's first endpoint, whether it has one or not.
    ErrorTextCrashes,
    /// A receive that is shorter than its message never ends, nor does the call that finds it so.
    ShortReceiveHangs,
    /// Entries of a closed endpoint come after its queue was seen empty, whenever peers have looked.
    EntriesComeLate,
    /// A claimed message corrupts memory when it is received.
    ClaimCorrupts,
    /// Claiming a message in segments leaves those behind that have arrived.
    SegmentsUnclaimable,
    /// Joining a multicast group that fails is reported as done, and can be left no more, nor can its
    /// endpoint be closed.
    FailedJoinStays,
    /// A wait set keeps a byte of every completion until `fi_wait` has read it, and the provider stops
    /// where there is no more room.
    WaitSetFills,
    /// Peers reach the first piece of a region of several, and no other.
    OnlyFirstPiece,
    /// A raw key that is shorter than the provider's own is read beyond its end.
    RawKeyUnchecked,
    /// The user's number for an address is lost: completions report the provider's own.
    UserIdLost,
    /// A profile lists variables that have nothing behind them, and cannot be closed.
    ProfileIncomplete,
    /// A shared receive context can be opened, and crashes when it is closed.
    SharedReceiveCrashes,
    /// A shared receive context is used by two threads at once, where a connection ends in the middle
    /// of a message.
    SharedReceiveRaces,
    /// Shared contexts keep pointers into endpoints that have closed.
    SharedContextDangles,
    /// What comes for a context of a scalable endpoint follows it, or stops its connection, when it has
    /// closed.
    ContextDangles,
    /// `fi_cancel` ends a receive of a shared receive context, and no entry says so.
    SilentCancel,
    /// The provider as a whole is not usable: it offers what it has not, and crashes.
    Unusable,
}

/// An entry of the table.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Quirk {
    /// Its number, for reports.
    pub id: u32,
    /// The provider layer that has it.
    pub provider: &'static str,
    /// First version that has it.
    pub from: Version,
    /// First version that has it no more, where known.
    pub until: Option<Version>,
    /// What is wrong.
    pub defect: Defect,
    /// In words.
    pub text: &'static str,
}

const V1_17: Version = Version::OLDEST;
const V1_18: Version = Version::new(1, 18);
const V1_20: Version = Version::new(1, 20);
const V1_21: Version = Version::new(1, 21);
const V2_0: Version = Version::new(2, 0);
const V2_1: Version = Version::new(2, 1);
const V2_5: Version = Version::new(2, 5);

const YIELD_FOLLOWS: &str = "the completion queue's wait object keeps an entry of every endpoint that was \
                             bound to it, and fi_cq_sread follows it after the endpoint was closed";
const FIRST_PIECE: &str = "a region of several pieces is registered whole, and only its first piece can \
                           be reached by peers; access to the others fails, which shm does not say";

/// All known defects.
pub const QUIRKS: &[Quirk] = &[
    Quirk {
        id: 1,
        provider: "shm",
        from: V1_17,
        until: None,
        defect: Defect::CloseInFlight,
        text: "closing an endpoint in the middle of a transfer crashes the other endpoint, or \
               leaves a segment that makes the next fi_enable fail",
    },
    Quirk {
        id: 2,
        provider: "ofi_rxm",
        from: V1_17,
        until: Some(V2_0),
        defect: Defect::CloseInFlight,
        text: "closing an endpoint with a half-received message crashes",
    },
    Quirk {
        id: 3,
        provider: "shm",
        from: V1_17,
        until: Some(V2_0),
        defect: Defect::SreadIgnoresTimeout,
        text: "fi_cq_sread spins until something completes, whatever its timeout",
    },
    Quirk {
        id: 4,
        provider: "shm",
        from: V1_17,
        until: Some(V2_0),
        defect: Defect::PeekReceives,
        text: "FI_PEEK is ignored and an ordinary receive is posted",
    },
    Quirk {
        id: 5,
        provider: "net",
        from: V1_17,
        until: Some(Version::new(1, 18)),
        defect: Defect::Unusable,
        text: "the net provider claims atomics that it has not, and crashes on FI_CLAIM",
    },
    Quirk {
        id: 6,
        provider: "shm",
        from: V1_17,
        until: Some(V2_0),
        defect: Defect::OptionBeforeEnable,
        text: "fi_setopt on an endpoint that is not enabled crashes",
    },
    Quirk {
        id: 7,
        provider: "sm2",
        from: V1_17,
        until: None,
        defect: Defect::OptionBeforeEnable,
        text: "fi_setopt on an endpoint that is not enabled crashes",
    },
    Quirk {
        id: 8,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::ShutdownClosesTwice,
        text: "after fi_shutdown, fi_close closes the connection's descriptor number a second time, \
               which may be another file's by then",
    },
    Quirk {
        id: 9,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::ShutdownLost,
        text: "a connection whose peer goes while fi_accept runs is reported as made, and its end \
               never",
    },
    Quirk {
        id: 10,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::SymmetricOverwrites,
        text: "fi_av_insertsym writes the number of each address over that of the one before",
    },
    Quirk {
        id: 11,
        provider: "tcp",
        from: V1_17,
        until: None,
        defect: Defect::ListenerDangles,
        text: "after fi_close of a listener, reading its event queue uses the freed listener when a \
               request arrives on a connection that was begun before",
    },
    Quirk {
        id: 12,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::TrywaitAfterClose,
        text: "the completion queue's wait object keeps an entry of every endpoint that was bound \
               to it, and fi_trywait follows it after the endpoint was closed",
    },
    Quirk {
        id: 13,
        provider: "shm",
        from: V1_17,
        until: None,
        defect: Defect::ClosedStaysMapped,
        text: "an address vector keeps pointers into endpoints of its own process; after such an \
               endpoint closed, sending to it, or enabling another one, follows them",
    },
    Quirk {
        id: 14,
        provider: "tcp",
        from: V1_18,
        until: None,
        defect: Defect::DirectedIgnored,
        text: "endpoints of type FI_EP_RDM claim FI_DIRECTED_RECV, but fi_recv ignores the address; \
               fi_trecv does not",
    },
    Quirk {
        id: 15,
        provider: "ofi_rxd",
        from: V1_17,
        until: None,
        defect: Defect::SourceUnknown,
        text: "FI_SOURCE is claimed, but the source of every entry is 0",
    },
    Quirk {
        id: 16,
        provider: "sm2",
        from: V1_17,
        until: None,
        defect: Defect::CloseWithMessages,
        text: "fi_close of an endpoint that a message is waiting in takes a lock that it holds, where \
               the domain's threading needs locks",
    },
    Quirk {
        id: 17,
        provider: "shm",
        from: V1_21,
        until: Some(V2_5),
        defect: Defect::CloseWithMessages,
        text: "fi_close of an endpoint that messages are waiting in writes to their senders' memory, \
               which may be gone or in use",
    },
    Quirk {
        id: 18,
        provider: "ofi_rxm",
        from: V2_1,
        until: Some(V2_5),
        defect: Defect::InsertFollowsGone,
        text: "fi_av_insert looks for the sender of every message that waits for a receive, by a \
               pointer that is not set, or to a connection that is gone; fi_av_insertsvc does not",
    },
    Quirk {
        id: 19,
        provider: "shm",
        from: V1_17,
        until: None,
        defect: Defect::ShortReceiveHangs,
        text: "copying a long message from the sender's memory into a shorter receive never ends",
    },
    Quirk {
        id: 20,
        provider: "sm2",
        from: V1_17,
        until: None,
        defect: Defect::ShortReceiveHangs,
        text: "copying a long message from the sender's memory into a shorter receive never ends",
    },
    Quirk {
        id: 21,
        provider: "ofi_rxd",
        from: V1_17,
        until: None,
        defect: Defect::ErrorTextCrashes,
        text: "fi_cq_strerror asks the first endpoint of the queue, and crashes where none is left",
    },
    Quirk {
        id: 22,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::ErrorTextCrashes,
        text: "fi_cq_strerror asks the first endpoint of the queue, and crashes where none is left",
    },
    Quirk {
        id: 23,
        provider: "ofi_rxm",
        from: V2_1,
        until: None,
        defect: Defect::SegmentsDangle,
        text: "the end of a connection in the middle of a message in segments (17 to 128 KiB) crashes, \
               a peer's death too; FI_OFI_RXM_SAR_LIMIT=0 in the environment of the senders makes \
               these messages go another way",
    },
    Quirk {
        id: 24,
        provider: "shm",
        from: V1_17,
        until: None,
        defect: Defect::RequestDangles,
        text: "the first message to an endpoint asks it to map the sender; where the sender has \
               closed by the time that is read, reading it crashes",
    },
    Quirk {
        id: 25,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::LastConnectionDangles,
        text: "a receive looks for the connection of the long message that it matches in a table that \
               is gone with its last connection; while the endpoint has another, the receive fails",
    },
    Quirk {
        id: 26,
        provider: "ofi_rxd",
        from: V1_17,
        until: None,
        defect: Defect::FetchesCrash,
        text: "the answer to a fetching or comparing atomic operation that is not acknowledged yet when \
               the next one comes is used after it was freed",
    },
    Quirk {
        id: 27,
        provider: "ofi_rxd",
        from: V1_17,
        until: None,
        defect: Defect::ClaimCorrupts,
        text: "receiving a claimed message frees it twice where others were claimed besides",
    },
    Quirk {
        id: 28,
        provider: "ofi_rxm",
        from: V1_17,
        until: Some(V2_0),
        defect: Defect::SegmentsUnclaimable,
        text: "a claim takes the first segment of a message of 17 to 128 KiB; the others that are there \
               stay, and are found as messages of their own",
    },
    Quirk {
        id: 29,
        provider: "sm2",
        from: V2_0,
        until: None,
        defect: Defect::EntriesComeLate,
        text: "a send whose endpoint has closed ends when its peer has read the message, in the queue of \
               whichever endpoint has its place by then",
    },
    Quirk {
        id: 30,
        provider: "udp",
        from: V1_17,
        until: None,
        defect: Defect::FailedJoinStays,
        text: "a join that the system refuses, and every join of an endpoint that only sends, makes a \
               group that cannot be closed, and so an endpoint that cannot be closed; the refusal is \
               an ordinary FI_JOIN_COMPLETE, longer than others, with its errno below zero",
    },
    Quirk {
        id: 31,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::WaitSetFills,
        text: "every completion writes a byte to its wait set, fi_wait reads one, and when some hundred \
               are unread, the writing blocks and with it the provider",
    },
    Quirk {
        id: 32,
        provider: "ofi_rxd",
        from: V1_17,
        until: None,
        defect: Defect::TrywaitAfterClose,
        text: "the completion queue's wait object keeps an entry of every endpoint that was bound to \
               it, and fi_trywait follows it after the endpoint was closed",
    },
    Quirk {
        id: 33,
        provider: "shm",
        from: V1_17,
        until: None,
        defect: Defect::OnlyFirstPiece,
        text: FIRST_PIECE,
    },
    Quirk {
        id: 34,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::OnlyFirstPiece,
        text: FIRST_PIECE,
    },
    Quirk {
        id: 35,
        provider: "ofi_mrail",
        from: V1_17,
        until: None,
        defect: Defect::RawKeyUnchecked,
        text: "fi_mr_map_raw takes a key of any length, and operations read as much of it as the \
               provider's own have",
    },
    Quirk {
        id: 36,
        provider: "shm",
        from: V1_17,
        until: Some(V1_18),
        defect: Defect::UserIdLost,
        text: "fi_av_insert with FI_AV_USER_ID writes the number of the new entry over the user's \
               before it reads that",
    },
    Quirk {
        id: 37,
        provider: "tcp",
        from: V1_20,
        until: None,
        defect: Defect::ProfileIncomplete,
        text: "a profile lists all of libfabric's variables, and reading any but the number of \
               unexpected messages follows a null pointer, as does fi_profile_close",
    },
    Quirk {
        id: 38,
        provider: "shm",
        from: V1_17,
        until: Some(V2_0),
        defect: Defect::SharedReceiveCrashes,
        text: "fi_close of what fi_srx_context opened crashes",
    },
    Quirk {
        id: 39,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::SharedContextDangles,
        text: "messages that wait in a shared receive context, and sends of a shared transmit context, \
               point into the endpoint they go through, closed or not; so here endpoints close with \
               their contexts",
    },
    Quirk {
        id: 40,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::SilentCancel,
        text: "fi_cancel of a receive of a shared receive context ends it without an entry",
    },
    Quirk {
        id: 41,
        provider: "tcp",
        from: V1_17,
        until: Some(V1_18),
        defect: Defect::SharedReceiveRaces,
        text: "a connection that ends in the middle of a message gives the receive back to its shared \
               context without the context's lock, while other threads may post there",
    },
    Quirk {
        id: 42,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::ContextDangles,
        text: "an acknowledgement follows its transmit context, closed or not, and a message for a \
               receive context that is closed stops its connection; so contexts close with their \
               scalable endpoint",
    },
    Quirk {
        id: 66,
        provider: "shm",
        from: V1_17,
        until: None,
        defect: Defect::TrywaitAfterClose,
        text: YIELD_FOLLOWS,
    },
    Quirk {
        id: 67,
        provider: "sm2",
        from: V1_20,
        until: None,
        defect: Defect::TrywaitAfterClose,
        text: YIELD_FOLLOWS,
    },
];

/// The entry for `defect` that applies to a provider (`core;utility`) on the running version.
#[must_use]
pub fn quirk(provider: &str, defect: Defect) -> Option<&'static Quirk> {
    quirk_on(provider, defect, version())
}

fn quirk_on(provider: &str, defect: Defect, running: Version) -> Option<&'static Quirk> {
    QUIRKS.iter().find(|quirk| {
        quirk.defect == defect
            && layers(provider, defect).any(|layer| layer == quirk.provider)
            && quirk.from <= running
            && quirk.until.is_none_or(|until| running < until)
    })
}

/// The layers of a provider that may have a defect: the outermost one matches the receives.
fn layers(provider: &str, defect: Defect) -> impl Iterator<Item = &str> {
    let skipped = match defect {
        Defect::DirectedIgnored | Defect::LastConnectionDangles | Defect::InsertFollowsGone => {
            provider.matches(';').count()
        }
        _ => 0,
    };
    provider.split(';').skip(skipped)
}

/// Whether messages may be on their way whose end by a close crashes (quirk 23).
pub(crate) fn has_segments(provider: &str) -> bool {
    // As rxm understands it: a number.
    let limit = std::env::var("FI_OFI_RXM_SAR_LIMIT");
    quirk(provider, Defect::SegmentsDangle).is_some() && limit.ok().as_deref() != Some("0")
}

/// Whether `fi_close(ep) == 0` is known to mean that the provider touches no buffer any more.
///
/// Measured for these; any other provider's buffers are leaked where they could not be drained.
pub(crate) fn close_returns_memory(provider: &str) -> bool {
    const MEASURED: &[&str] =
        // The last is the provider of this crate's own tests.
        &["tcp", "sockets", "shm", "sm2", "udp", "ofi_rxm", "ofi_rxd", "ofitest"];
    provider.split(';').all(|layer| MEASURED.contains(&layer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quirk_applies_to_its_layer_and_versions() {
        let hit = |p, v| quirk_on(p, Defect::CloseInFlight, v).map(|q| q.id);
        assert_eq!(hit("tcp;ofi_rxm", V1_17), Some(2));
        assert_eq!(hit("tcp;ofi_rxm", V2_0), None);
        assert_eq!(hit("shm", Version::new(2, 6)), Some(1));
        assert_eq!(hit("tcp", V1_17), None);
    }

    #[test]
    fn the_outermost_layer_matches_receives() {
        let hit = |p| quirk_on(p, Defect::DirectedIgnored, V2_0).map(|q| q.id);
        assert_eq!(hit("tcp"), Some(14));
        assert_eq!(hit("tcp;ofi_rxm"), None);
        // What keeps a connection of rxm would be a message to who stands on it.
        let dangles = |p| quirk_on(p, Defect::LastConnectionDangles, V2_0).map(|q| q.id);
        assert_eq!(dangles("tcp;ofi_rxm"), Some(25));
        assert_eq!(dangles("tcp;ofi_rxm;ofi_mrail"), None);
    }

    #[test]
    fn only_measured_layers_give_memory_back() {
        assert!(close_returns_memory("udp;ofi_rxd"));
        assert!(!close_returns_memory("verbs;ofi_rxm"));
    }
}
