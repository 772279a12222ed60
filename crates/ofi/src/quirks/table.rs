//! The table, in the order of the numbers by which tests and comments name its entries.

use super::{Defect, Quirk, V1_17, V1_18, V1_20, V1_21, V1_22, V2_0, V2_1, V2_5};

const SRX_OVERRUN: &str = "a message that is longer than what is left of a multi-receive buffer makes the \
                           provider write the next one behind the buffer";
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
        until: Some(V1_18),
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
        text: "receiving a claimed message leaves its neighbours, freed, in the list of messages that wait",
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
               whichever endpoint has its place by then, of another process even",
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
        until: Some(V1_22),
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
        id: 43,
        provider: "tcp",
        from: V1_21,
        until: None,
        defect: Defect::BytesNotCounted,
        text: "a counter that is opened for bytes counts operations",
    },
    Quirk {
        id: 44,
        provider: "shm",
        from: V1_21,
        until: None,
        defect: Defect::BytesNotCounted,
        text: "a counter that is opened for bytes counts operations",
    },
    Quirk {
        id: 45,
        provider: "sm2",
        from: V1_21,
        until: None,
        defect: Defect::BytesNotCounted,
        text: "a counter that is opened for bytes counts operations",
    },
    Quirk {
        id: 46,
        provider: "ofi_rxm",
        from: V1_21,
        until: None,
        defect: Defect::BytesNotCounted,
        text: "a counter that is opened for bytes counts operations",
    },
    Quirk {
        id: 47,
        provider: "ofi_rxd",
        from: V1_21,
        until: None,
        defect: Defect::BytesNotCounted,
        text: "a counter that is opened for bytes counts operations",
    },
    Quirk {
        id: 48,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::FailuresMiscounted,
        text: "reads and writes that fail are counted as sends that failed",
    },
    Quirk {
        id: 49,
        provider: "tcp",
        from: V1_17,
        until: None,
        defect: Defect::FailuresUncounted,
        text: "operations that fail because their connection ends are not counted as failures",
    },
    Quirk {
        id: 50,
        provider: "tcp",
        from: V1_17,
        until: None,
        defect: Defect::PeersUncounted,
        text: "FI_RMA_EVENT is granted, but of what peers do only writes with immediate data are counted",
    },
    Quirk {
        id: 51,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::CollectivesUnlocked,
        text: "reading a queue goes on with collectives without the endpoint's lock, while other calls \
               (collectives, sends that find no room) change the same lists",
    },
    Quirk {
        id: 52,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::SetsGarbled,
        text: "fi_av_set_diff takes out the wrong addresses, fi_av_set_intersect loses some unless both \
               sets have them in one order, fi_av_set_remove moves the last to the place of the removed",
    },
    Quirk {
        id: 53,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::StrayContexts,
        text: "messages of a collective that are longer than an eager one, or fail, are reported to the \
               application with a pointer of the provider's own as context, and the collective never \
               ends",
    },
    Quirk {
        id: 54,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::BroadcastOverruns,
        text: "fi_broadcast rounds the count up to a multiple of the members, and reads and writes so \
               many values",
    },
    Quirk {
        id: 55,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::RootIsRank,
        text: "fi_broadcast and fi_scatter take root_addr for the place in the set",
    },
    Quirk {
        id: 56,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::GroupsRunOut,
        text: "an endpoint has 255 numbers for groups; closing a group gives none back, joins that \
               overlap get the same one, and the join behind the last changes memory behind its list",
    },
    Quirk {
        id: 57,
        provider: "ofi_rxm",
        from: V1_17,
        until: None,
        defect: Defect::ShortReceiveCrashes,
        text: "a receive of less than the first segment of a message in segments (17 to 128 KiB) is \
               taken out of a list that it is not in (1.17), or freed and left in one (2.1), where the \
               close of the connection finds it; over tcp, 1.x has segments where collectives or device \
               memory were asked for, or FI_OFI_RXM_ENABLE_DYN_RBUF is 0",
    },
    Quirk {
        id: 58,
        provider: "shm",
        from: V1_17,
        until: None,
        defect: Defect::ManyOverrun,
        text: SRX_OVERRUN,
    },
    Quirk {
        id: 59,
        provider: "ofi_rxd",
        from: V1_17,
        until: None,
        defect: Defect::ManyOverrun,
        text: "a message that is longer than what is left of a multi-receive buffer is written to the \
               end, whatever is behind the buffer",
    },
    Quirk {
        id: 60,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::ManyOverrun,
        text: "a message that has waited, and is longer than what is left of a multi-receive buffer, is \
               written as if the whole buffer were left",
    },
    Quirk {
        id: 61,
        provider: "ofi_rxm",
        from: V1_17,
        until: Some(V2_0),
        defect: Defect::ManyForgotten,
        text: "a multi-receive buffer is released by its last message, and its cancel accepted, while \
               messages before are still on their way into it",
    },
    Quirk {
        id: 62,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::StartsUnderLock,
        text: "deferred work is started by whoever changes its counter, under the locks that are held then: work on a counter that counts sends waits for a lock of its own thread, and a receive for that of the other",
    },
    Quirk {
        id: 63,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::StartsStall,
        text: "deferred work for which there is no room when it is to start waits until its counter is changed again, and with it all that was queued after it",
    },
    Quirk {
        id: 64,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::ThresholdWraps,
        text: "thresholds are compared as signed numbers of 32 bits: those beyond are reached at once",
    },
    Quirk {
        id: 65,
        provider: "sockets",
        from: V1_17,
        until: None,
        defect: Defect::StartsLost,
        text: "deferred work whose peer cannot be connected to when it is to start is dropped, and nothing says so",
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
    Quirk {
        id: 69,
        provider: "sm2",
        from: V2_0,
        until: None,
        defect: Defect::UnenabledCloseCrashes,
        text: "fi_close of an endpoint whose fi_enable failed (another has its name, or all 256 places of \
               the machine are taken) follows what only enabling sets",
    },
    Quirk {
        id: 70,
        provider: "sm2",
        from: V2_0,
        until: None,
        defect: Defect::ManyOverrun,
        text: SRX_OVERRUN,
    },
    Quirk {
        id: 71,
        provider: "ofi_rxm",
        from: V2_0,
        until: None,
        defect: Defect::ManyOverrun,
        text: SRX_OVERRUN,
    },
    Quirk {
        id: 72,
        provider: "ofi_rxd",
        from: V1_17,
        until: None,
        defect: Defect::ManyForgotten,
        text: "a multi-receive buffer is released by its last message, and its cancel accepted, while \
               messages of several packets are still on their way into it",
    },
    Quirk {
        id: 73,
        provider: "shm",
        from: V1_17,
        until: Some(V2_1),
        defect: Defect::ManyForgotten,
        text: "the cancel of a multi-receive buffer is accepted while a longer message is on its way into \
               it, whose end then uses what was freed",
    },
];
