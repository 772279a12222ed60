//! What providers are known to do wrong, by provider and version. Every entry has a test, in a
//! child process, that reproduces it and fails when it is gone.

use crate::{Info, Version, version};

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
    /// Closing an endpoint crashes that could not be enabled.
    UnenabledCloseCrashes,
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
    /// Counters count failures in another class.
    FailuresMiscounted,
    /// Counters do not count what ends with its connection.
    FailuresUncounted,
    /// Counters of what peers do count next to nothing of it.
    PeersUncounted,
    /// Counters of bytes are granted, and count operations.
    BytesNotCounted,
    /// The progress of collectives takes no lock: calls on other threads change its lists meanwhile.
    CollectivesUnlocked,
    /// Intersections and differences of sets of addresses are wrong, removing changes the order, and
    /// ranges are read out of an array that may be shorter.
    SetsGarbled,
    /// A collective's own messages, where they fail or are longer than an eager one, end as entries of
    /// the completion queue, with a context that is none of the caller's.
    StrayContexts,
    /// A broadcast reads and writes behind the buffer, where its values are no multiple of the members.
    BroadcastOverruns,
    /// The root of a collective is taken for a rank, not for an address.
    RootIsRank,
    /// The number of a group is never given back, two joins at once get the same, and behind the last
    /// one memory is changed that is not the endpoint's.
    GroupsRunOut,
    /// A message in segments, the first of which is longer than its receive, crashes.
    ShortReceiveCrashes,
    /// A message that is longer than what is left of a multi-receive buffer is written behind its end, or
    /// the one after it is.
    ManyOverrun,
    /// A multi-receive buffer is released, or its cancel accepted, while earlier messages are still
    /// being written to it.
    ManyForgotten,
    /// Work that a counter starts is started under locks that the work needs.
    StartsUnderLock,
    /// Deferred work for which there is no room when it is to start waits until its counter changes
    /// once more, and all that comes after it.
    StartsStall,
    /// Deferred work that cannot be started is dropped without a word.
    StartsLost,
    /// A threshold beyond 31 bits counts as reached.
    ThresholdWraps,
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

mod table;

pub use table::QUIRKS;

const V1_17: Version = Version::OLDEST;
const V1_18: Version = Version::new(1, 18);
const V1_20: Version = Version::new(1, 20);
const V1_21: Version = Version::new(1, 21);
const V1_22: Version = Version::new(1, 22);
const V2_0: Version = Version::new(2, 0);
const V2_1: Version = Version::new(2, 1);
const V2_5: Version = Version::new(2, 5);

/// Whether a provider never writes behind a multi-receive buffer, however long messages are, releases
/// it when the last of them is in, and marks the end of a cancelled one. Known of these: before 1.20 tcp
/// released it when the last message was matched, before 2.1 it did not mark the cancel of a fresh one.
pub(crate) fn checks_many(provider: &str) -> bool {
    // `ofitest` is the provider of this crate's own tests.
    let known = |layer| layer == "tcp" && version() >= V2_1 || layer == "ofitest";
    provider.split(';').all(known)
}

/// Whether the same is known of a provider if no message is longer than what is always left. Not of
/// sockets, whose errors, and so the end of a cancel, overtake the entries of messages.
pub(crate) fn holds_many(provider: &str) -> bool {
    const KNOWN: &[&str] = &["tcp", "shm", "sm2", "udp", "ofi_rxm", "ofi_rxd"];
    version() >= V2_1 && provider.split(';').all(|layer| KNOWN.contains(&layer))
}

/// How long messages may be that a provider takes in at once, in bytes, where it forgets those that it
/// does not (quirks 61, 72 and 73).
pub(crate) fn taken_at_once(provider: &str, info: &Info) -> usize {
    match quirk(provider, Defect::ManyForgotten).map(|quirk| quirk.provider) {
        None => usize::MAX,
        // What comes in several reads of the connection's socket is written as it comes.
        Some("ofi_rxm") => 0,
        // One packet, one command.
        Some(_) => info.tx().inject_size(),
    }
}

/// Whether a multi-receive buffer whose cancel has an entry is free: the entry does not always say it.
/// It does on rxm, where a message that ends with its connection has such an entry, too.
pub(crate) fn cancel_is_last(provider: &str) -> bool {
    const KNOWN: &[&str] = &["shm", "sm2", "ofi_rxd"];
    provider.rsplit(';').next().is_some_and(|layer| KNOWN.contains(&layer))
}

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

/// The layers of a provider that may have a defect: the outermost one matches the receives, and counts.
fn layers(provider: &str, defect: Defect) -> impl Iterator<Item = &str> {
    let skipped = match defect {
        Defect::DirectedIgnored
        | Defect::FailuresUncounted
        | Defect::LastConnectionDangles
        | Defect::InsertFollowsGone => provider.matches(';').count(),
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

/// The longest message of a collective, in bytes, that ends as a part of it (quirk 53).
pub(crate) fn collective_message(provider: &str) -> usize {
    /// What rxm takes where nobody says otherwise.
    const EAGER: usize = 16384;
    if quirk(provider, Defect::StrayContexts).is_none() {
        return usize::MAX;
    }
    match std::env::var("FI_OFI_RXM_BUFFER_SIZE") {
        // As rxm understands it: a number, and never less than room for its headers.
        Ok(text) => text.trim().parse().map_or(0, |bytes: usize| bytes.min(EAGER)),
        Err(_) => EAGER,
    }
}

/// Whether a receive that is shorter than its message may crash (quirk 57), where that can be helped:
/// room behind it, which is not registered.
pub(crate) fn short_receives_crash(info: &crate::Info) -> bool {
    let asked = info.caps().intersects(crate::Caps::COLLECTIVE | crate::Caps::HMEM);
    let set = || std::env::var_os("FI_OFI_RXM_ENABLE_DYN_RBUF").is_some();
    let segments = version() >= V2_0 || asked || set();
    segments
        && quirk(info.provider(), Defect::ShortReceiveCrashes).is_some()
        && !info.domain().mr_mode().contains(crate::MrMode::LOCAL)
}

/// Whether the provider may run a thread of its own that looks for messages (quirk 51).
pub(crate) fn has_thread(info: &crate::Info) -> bool {
    let forced = std::env::var("FI_OFI_RXM_DATA_AUTO_PROGRESS").is_ok_and(|text| {
        !matches!(text.to_ascii_lowercase().as_str(), "" | "0" | "no" | "n" | "false" | "f" | "off")
    });
    forced || info.domain().data_progress() == crate::Progress::Auto
}

/// Whether it is known what deferred work does with its memory: it lets go of it before it changes the
/// counter that tells of its end; what that counter sets off is done under the lock that changing it
/// takes; and it ends with the counter that would start it.
///
/// Read in the source for the first, which is the only one of them that can be run everywhere.
pub(crate) fn defers(provider: &str) -> bool {
    // The last is the provider of this crate's own tests.
    ["sockets", "ofitest"].contains(&provider)
}

/// Whether `FI_CANCEL_WORK` means what it says. sockets has none.
pub(crate) fn cancels_work(provider: &str) -> bool {
    provider == "ofitest"
}

/// Whether `fi_close(ep) == 0` is known to mean that the provider touches no buffer any more.
///
/// Measured for these; any other provider's buffers are leaked where they could not be drained.
pub(crate) fn close_returns_memory(provider: &str) -> bool {
    const MEASURED: &[&str] =
        // The last is the provider of this crate's own tests.
        &["tcp", "sockets", "shm", "udp", "ofi_rxm", "ofi_rxd", "ofitest"];
    provider.split(';').all(|layer| MEASURED.contains(&layer))
}

/// Whether the provider is known to count every successful operation once, when its entry would be
/// written, and nothing else in its class: what batches stand on.
///
/// Measured for these, and read: each counts in the one place that writes the entry. Where that may be
/// of an endpoint that has closed, the next one's counter counts it (quirk 29).
pub(crate) fn counts_each_success(provider: &str) -> bool {
    const MEASURED: &[&str] = &["tcp", "sockets", "shm", "udp", "ofi_rxm", "ofi_rxd"];
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
