//! Cases that a provider is known not to support, on which versions, and why. A case that reports
//! itself unsupported and is not here fails, and so does one that is here and passes.

use ofi::Version;

use super::Unsupported;

const V1_17: Version = Version::new(1, 17);
const V2_0: Version = Version::new(2, 0);
const V2_6: Version = Version::new(2, 6);
const ALL: (Version, Option<Version>) = (V1_17, None);
const BEFORE_2: (Version, Option<Version>) = (V1_17, Some(V2_0));
const BEFORE_2_6: (Version, Option<Version>) = (V1_17, Some(V2_6));
const SINCE_2: (Version, Option<Version>) = (V2_0, None);

const fn no(
    case: &'static str,
    target: &'static str,
    versions: (Version, Option<Version>),
    reason: &'static str,
) -> Unsupported {
    Unsupported { case, target, versions, reason }
}

const NO_TAGS: &str = "udp has no tagged messages";
const NO_FD: &str = "the provider has no descriptor for its queues";
const UNBOUNDED: &str = "the provider queues posts without bound";
const DATA_WITHOUT_FLAG: &str = "sm2 delivers immediate data without FI_REMOTE_CQ_DATA";

const NO_IDS: &str = "the provider does not report the user's numbers";
const IDS_LOST: &str = "the user's numbers are lost (quirk 36)";
const NOT_SHARED: &str = "only sockets shares vectors by name";
const NO_COUNTERS: &str = "udp has no counters";
const RESOLVES_NOTHING: &str = "its addresses are not of hosts and services";

const NO_ALIASES: &str = "sockets alone has aliases of endpoints";

const NO_CONTEXTS: &str = "sockets alone has such contexts, tcp only for connections";

const NO_RMA: &str = "sm2 has no remote memory";

const NO_ATOMICS: &str =
    "tcp by itself has no atomic operations, and sm2 only what needs remote memory";

const PEEK_RECEIVES: &str = "a peek receives the message (quirk 4)";
const CLAIMS_CORRUPT: &str = "claims of messages corrupt memory (quirk 27)";

const CLAIMS_RACE: &str = "claims race with the provider's thread";

const FETCHES_CRASH: &str = "fetching atomic operations crash (quirk 26)";

const NO_SETS: &str = "its completion queues cannot be in wait sets";
const SETS_FILL: &str = "its wait sets fill (quirk 31)";
const NO_GROUPS: &str = "sockets has no multicast";
const NO_BASIC: &str = "registration as of old is without any check there";
const NO_COUNTED_REGIONS: &str = "it counts by endpoints alone";
const NO_DEVICES: &str = "it has no memory of devices";

pub(in super::super) const UNSUPPORTED: &[Unsupported] = &[
    no("peek::claimed_and_received", "sockets::rdm::shared", ALL, CLAIMS_RACE),
    no("peek::claimed_in_any_order", "sockets::rdm::shared", ALL, CLAIMS_RACE),
    no("peek::discarded_by_drop", "sockets::rdm::shared", ALL, CLAIMS_RACE),
    no("peek::claims_dropped_in_flight", "sockets::rdm::shared", ALL, CLAIMS_RACE),
    no("peek::closed_with_discards_in_flight", "sockets::rdm::shared", ALL, CLAIMS_RACE),
    no("peek::claimed_into_too_little", "sockets::rdm::shared", ALL, CLAIMS_RACE),
    no("peek::nothing_to_find", "shm", BEFORE_2, PEEK_RECEIVES),
    no("peek::found_and_received", "shm", BEFORE_2, PEEK_RECEIVES),
    no("peek::segments_are_not_claimed", "shm", BEFORE_2, PEEK_RECEIVES),
    no("peek::claimed_and_received", "shm", BEFORE_2, PEEK_RECEIVES),
    no("peek::claimed_in_any_order", "shm", BEFORE_2, PEEK_RECEIVES),
    no("peek::discarded_by_drop", "shm", BEFORE_2, PEEK_RECEIVES),
    no("peek::claims_dropped_in_flight", "shm", BEFORE_2, PEEK_RECEIVES),
    no("peek::closed_with_discards_in_flight", "shm", BEFORE_2, PEEK_RECEIVES),
    no("peek::claimed_into_too_little", "shm", BEFORE_2, PEEK_RECEIVES),
    no("peek::claimed_and_received", "udp;ofi_rxd", ALL, CLAIMS_CORRUPT),
    no("peek::claimed_in_any_order", "udp;ofi_rxd", ALL, CLAIMS_CORRUPT),
    no("peek::discarded_by_drop", "udp;ofi_rxd", ALL, CLAIMS_CORRUPT),
    no("peek::claims_dropped_in_flight", "udp;ofi_rxd", ALL, CLAIMS_CORRUPT),
    no("peek::closed_with_discards_in_flight", "udp;ofi_rxd", ALL, CLAIMS_CORRUPT),
    no("peek::claimed_into_too_little", "udp;ofi_rxd", ALL, CLAIMS_CORRUPT),
    no("defects::quirk_30_failed_join_stays", "sockets", ALL, NO_GROUPS),
    no("multicast::sent_to_all_members", "sockets", ALL, NO_GROUPS),
    no("multicast::left_and_joined_again", "sockets", ALL, NO_GROUPS),
    no("multicast::groups_close_before_their_endpoints", "sockets", ALL, NO_GROUPS),
    no("multicast::dropped_join", "sockets", ALL, NO_GROUPS),
    no("multicast::refused_joins", "sockets", ALL, NO_GROUPS),
    no("multicast::refused_sends", "sockets", ALL, NO_GROUPS),
    no("polls::a_wait_set_wakes_for_its_queues", "shm", ALL, NO_SETS),
    no("polls::a_wait_set_wakes_for_its_queues", "sm2", SINCE_2, NO_SETS),
    no("polls::a_wait_set_wakes_for_its_queues", "sockets", ALL, SETS_FILL),
    no("polls::a_wait_set_outlives_its_endpoints", "shm", ALL, NO_SETS),
    no("polls::a_wait_set_outlives_its_endpoints", "sm2", SINCE_2, NO_SETS),
    no("polls::a_wait_set_outlives_its_endpoints", "sockets", ALL, SETS_FILL),
    no("polls::wait_sets_close_last", "sockets", ALL, SETS_FILL),
    no("polls::a_wait_set_wakes_for_events", "sockets", ALL, NO_GROUPS),
    no("polls::counters_that_moved_are_told", "udp", ALL, NO_COUNTERS),
    no("atomics::counted_up_by_many", "udp;ofi_rxd", ALL, FETCHES_CRASH),
    no("atomics::vectors_and_flags", "udp;ofi_rxd", ALL, FETCHES_CRASH),
    no("atomics::dropped_fetch_in_flight", "udp;ofi_rxd", ALL, FETCHES_CRASH),
    no("atomics::every_type_and_operation", "tcp::rdm", SINCE_2, NO_ATOMICS),
    no("atomics::every_type_and_operation", "sm2", SINCE_2, NO_ATOMICS),
    no("atomics::counted_up_by_many", "tcp::rdm", SINCE_2, NO_ATOMICS),
    no("atomics::counted_up_by_many", "sm2", SINCE_2, NO_ATOMICS),
    no("atomics::vectors_and_flags", "tcp::rdm", SINCE_2, NO_ATOMICS),
    no("atomics::vectors_and_flags", "sm2", SINCE_2, NO_ATOMICS),
    no("atomics::injected_atomics", "tcp::rdm", SINCE_2, NO_ATOMICS),
    no("atomics::injected_atomics", "sm2", SINCE_2, NO_ATOMICS),
    no("atomics::refused_before_the_call_of_atomics", "tcp::rdm", SINCE_2, NO_ATOMICS),
    no("atomics::refused_before_the_call_of_atomics", "sm2", SINCE_2, NO_ATOMICS),
    no("atomics::dropped_fetch_in_flight", "tcp::rdm", SINCE_2, NO_ATOMICS),
    no("atomics::dropped_fetch_in_flight", "sm2", SINCE_2, NO_ATOMICS),
    no("pool::reads_and_writes", "sm2", SINCE_2, NO_RMA),
    no("rma::written_and_read", "sm2", SINCE_2, NO_RMA),
    no("rma::vectors_on_both_sides", "sm2", SINCE_2, NO_RMA),
    no("rma::written_with_data", "sm2", SINCE_2, NO_RMA),
    no("rma::injected", "sm2", SINCE_2, NO_RMA),
    no("rma::levels_of_completion", "sm2", SINCE_2, NO_RMA),
    no("rma::regions_with_different_rights", "sm2", SINCE_2, NO_RMA),
    no("rma::refused_before_the_call", "sm2", SINCE_2, NO_RMA),
    no("rma::memory_outlives_its_region", "sm2", SINCE_2, NO_RMA),
    no("rma::region_slices_are_buffers", "sm2", SINCE_2, NO_RMA),
    no("rma::dropped_write_in_flight", "sm2", SINCE_2, NO_RMA),
    no("rma::dropped_read_in_flight", "sm2", SINCE_2, NO_RMA),
    no("rma::two_processes", "sm2", SINCE_2, NO_RMA),
    no("rma::foreign_keys_change_nothing", "sm2", SINCE_2, NO_RMA),
    no("rma::closed_under_a_write", "sm2", SINCE_2, NO_RMA),
    no("rma::without_the_capability", "sm2", SINCE_2, NO_RMA),
    no("aliases::*", "tcp;ofi_rxm", ALL, NO_ALIASES),
    no("aliases::*", "udp;ofi_rxd", ALL, NO_ALIASES),
    no("aliases::*", "shm", ALL, NO_ALIASES),
    no("aliases::*", "sm2", SINCE_2, NO_ALIASES),
    no("aliases::*", "tcp::rdm", SINCE_2, NO_ALIASES),
    no("aliases::*", "udp::dgram", ALL, NO_ALIASES),
    no("known::quirk_39_closed_endpoint_is_followed", "tcp;ofi_rxm", ALL, NO_CONTEXTS),
    no("known::quirk_39_closed_endpoint_is_followed", "udp;ofi_rxd", ALL, NO_CONTEXTS),
    no("known::quirk_39_closed_endpoint_is_followed", "shm", ALL, NO_CONTEXTS),
    no("known::quirk_39_closed_endpoint_is_followed", "sm2", SINCE_2, NO_CONTEXTS),
    no("known::quirk_39_closed_endpoint_is_followed", "tcp::rdm", SINCE_2, NO_CONTEXTS),
    no("known::quirk_40_cancel_is_silent", "tcp;ofi_rxm", ALL, NO_CONTEXTS),
    no("known::quirk_40_cancel_is_silent", "udp;ofi_rxd", ALL, NO_CONTEXTS),
    no("known::quirk_40_cancel_is_silent", "shm", ALL, NO_CONTEXTS),
    no("known::quirk_40_cancel_is_silent", "sm2", SINCE_2, NO_CONTEXTS),
    no("known::quirk_40_cancel_is_silent", "tcp::rdm", SINCE_2, NO_CONTEXTS),
    no("known::quirk_42_acknowledgement_follows", "tcp;ofi_rxm", ALL, NO_CONTEXTS),
    no("known::quirk_42_acknowledgement_follows", "udp;ofi_rxd", ALL, NO_CONTEXTS),
    no("known::quirk_42_acknowledgement_follows", "shm", ALL, NO_CONTEXTS),
    no("known::quirk_42_acknowledgement_follows", "sm2", SINCE_2, NO_CONTEXTS),
    no("known::quirk_42_acknowledgement_follows", "tcp::rdm", SINCE_2, NO_CONTEXTS),
    no("known::manual_progress_is_refused", "tcp;ofi_rxm", ALL, NO_CONTEXTS),
    no("known::manual_progress_is_refused", "udp;ofi_rxd", ALL, NO_CONTEXTS),
    no("known::manual_progress_is_refused", "shm", ALL, NO_CONTEXTS),
    no("known::manual_progress_is_refused", "sm2", SINCE_2, NO_CONTEXTS),
    no("known::manual_progress_is_refused", "tcp::rdm", SINCE_2, NO_CONTEXTS),
    no("scalable::*", "tcp;ofi_rxm", ALL, NO_CONTEXTS),
    no("scalable::*", "udp;ofi_rxd", ALL, NO_CONTEXTS),
    no("scalable::*", "shm", ALL, NO_CONTEXTS),
    no("scalable::*", "sm2", SINCE_2, NO_CONTEXTS),
    no("scalable::*", "tcp::rdm", SINCE_2, NO_CONTEXTS),
    no("shared_contexts::*", "tcp;ofi_rxm", ALL, NO_CONTEXTS),
    no("shared_contexts::*", "udp;ofi_rxd", ALL, NO_CONTEXTS),
    no("shared_contexts::*", "shm", ALL, NO_CONTEXTS),
    no("shared_contexts::*", "sm2", SINCE_2, NO_CONTEXTS),
    no("shared_contexts::*", "tcp::rdm", SINCE_2, NO_CONTEXTS),
    no("queues::descriptor", "shm", ALL, NO_FD),
    no("queues::descriptor", "sm2", SINCE_2, NO_FD),
    no("queues::descriptor", "udp;ofi_rxd", ALL, NO_FD),
    no("backpressure::busy_gives_the_buffer_back", "udp;ofi_rxd", ALL, UNBOUNDED),
    no("backpressure::busy_gives_the_buffer_back", "tcp::rdm", SINCE_2, UNBOUNDED),
    no("backpressure::submitted_in_order", "udp;ofi_rxd", ALL, UNBOUNDED),
    no("backpressure::submitted_in_order", "tcp::rdm", SINCE_2, UNBOUNDED),
    no("backpressure::queued_in_order", "udp;ofi_rxd", ALL, UNBOUNDED),
    no("backpressure::queued_in_order", "tcp::rdm", SINCE_2, UNBOUNDED),
    no("backpressure::queued_and_dropped", "udp;ofi_rxd", ALL, UNBOUNDED),
    no("backpressure::queued_and_dropped", "tcp::rdm", SINCE_2, UNBOUNDED),
    no("backpressure::queued_and_closed", "udp;ofi_rxd", ALL, UNBOUNDED),
    no("backpressure::queued_and_closed", "tcp::rdm", SINCE_2, UNBOUNDED),
    no("messages::immediate_data", "udp::dgram", ALL, "cq_data_size is 0"),
    no("messages::immediate_data", "sm2", SINCE_2, DATA_WITHOUT_FLAG),
    no("messages::directed", "udp::dgram", ALL, "udp has no FI_DIRECTED_RECV"),
    no("messages::too_long", "sockets::dgram", ALL, "its datagrams have no limit"),
    no("tagged::by_tag", "udp::dgram", ALL, NO_TAGS),
    no("tagged::ignored_bits", "udp::dgram", ALL, NO_TAGS),
    no("tagged::injected_with_tag", "udp::dgram", ALL, NO_TAGS),
    no("tagged::injected_with_tag", "sm2", SINCE_2, DATA_WITHOUT_FLAG),
    no("tagged::tagged_vectors", "udp::dgram", ALL, NO_TAGS),
    no("tagged::with_everything", "udp::dgram", ALL, NO_TAGS),
    no("tagged::with_everything", "sm2", SINCE_2, DATA_WITHOUT_FLAG),
    no("counters::sends_and_receives_are_counted", "udp::dgram", ALL, NO_COUNTERS),
    no("counters::a_bound_counter_stays_open", "udp::dgram", ALL, NO_COUNTERS),
    no("av_ids::messages_carry_the_users_number", "shm", BEFORE_2, IDS_LOST),
    no("av_ids::messages_carry_the_users_number", "tcp;ofi_rxm", BEFORE_2_6, NO_IDS),
    no("av_ids::messages_carry_the_users_number", "tcp::rdm", SINCE_2, NO_IDS),
    no("av_ids::messages_carry_the_users_number", "udp;ofi_rxd", ALL, NO_IDS),
    no("av_ids::messages_carry_the_users_number", "sockets", ALL, NO_IDS),
    no("av_ids::numbers_are_kept_apart", "shm", BEFORE_2, IDS_LOST),
    no("av_ids::numbers_are_kept_apart", "tcp;ofi_rxm", BEFORE_2_6, NO_IDS),
    no("av_ids::numbers_are_kept_apart", "tcp::rdm", SINCE_2, NO_IDS),
    no("av_ids::numbers_are_kept_apart", "udp;ofi_rxd", ALL, NO_IDS),
    no("av_ids::numbers_are_kept_apart", "sockets", ALL, NO_IDS),
    no("av_ids::shared_by_name", "shm", ALL, NOT_SHARED),
    no("av_ids::shared_by_name", "tcp;ofi_rxm", ALL, NOT_SHARED),
    no("av_ids::shared_by_name", "tcp::rdm", SINCE_2, NOT_SHARED),
    no("av_ids::shared_by_name", "sm2", SINCE_2, NOT_SHARED),
    no("av_ids::shared_by_name", "udp;ofi_rxd", ALL, NOT_SHARED),
    no("av_extra::a_service_is_reachable", "shm", ALL, RESOLVES_NOTHING),
    no("av_extra::a_service_is_reachable", "sm2", SINCE_2, RESOLVES_NOTHING),
    no("av_extra::a_service_is_reachable", "udp;ofi_rxd", ALL, RESOLVES_NOTHING),
    no("av_extra::numbered_hosts_are_inserted_in_order", "shm", ALL, RESOLVES_NOTHING),
    no("av_extra::numbered_hosts_are_inserted_in_order", "sm2", SINCE_2, RESOLVES_NOTHING),
    no("av_extra::numbered_hosts_are_inserted_in_order", "udp;ofi_rxd", ALL, RESOLVES_NOTHING),
    no("av_extra::numbered_names_are_resolved_one_by_one", "shm", ALL, RESOLVES_NOTHING),
    no("av_extra::numbered_names_are_resolved_one_by_one", "sm2", SINCE_2, RESOLVES_NOTHING),
    no("av_extra::numbered_names_are_resolved_one_by_one", "udp;ofi_rxd", ALL, RESOLVES_NOTHING),
    no("av_extra::quirk_10_symmetric_overwrites", "shm", ALL, RESOLVES_NOTHING),
    no("av_extra::quirk_10_symmetric_overwrites", "sm2", SINCE_2, RESOLVES_NOTHING),
    no("av_extra::quirk_10_symmetric_overwrites", "udp;ofi_rxd", ALL, RESOLVES_NOTHING),
    no("registration::two_regions_over_one_buffer", "sm2", SINCE_2, NO_RMA),
    no("registration::a_key_of_ones_own", "sm2", SINCE_2, NO_RMA),
    no("registration::exposed_pieces", "sm2", SINCE_2, NO_RMA),
    no("registration::quirk_33_only_the_first_piece", "sm2", SINCE_2, NO_RMA),
    no("registration::parts_of_a_region", "sm2", SINCE_2, NO_RMA),
    no("registration::what_is_newer_is_gated", "sm2", SINCE_2, NO_RMA),
    no("registration::devices_are_refused", "sm2", SINCE_2, NO_RMA),
    no("registration::what_a_region_tells", "sm2", SINCE_2, NO_RMA),
    no("registration::refreshed", "sm2", SINCE_2, NO_RMA),
    no("registration::basic_registration", "shm", ALL, NO_BASIC),
    no("registration::basic_registration", "sm2", SINCE_2, NO_RMA),
    no("registration::a_region_with_a_counter", "tcp;ofi_rxm", ALL, NO_COUNTED_REGIONS),
    no("registration::a_region_with_a_counter", "shm", ALL, NO_COUNTED_REGIONS),
    no("registration::a_region_with_a_counter", "udp;ofi_rxd", ALL, NO_COUNTED_REGIONS),
    no("registration::a_region_with_a_counter", "sm2", SINCE_2, NO_RMA),
    no("registration::devices_that_are_not_there", "tcp;ofi_rxm", ALL, NO_DEVICES),
    no("registration::devices_that_are_not_there", "udp;ofi_rxd", ALL, NO_DEVICES),
    no("registration::devices_that_are_not_there", "sockets", ALL, NO_DEVICES),
    no("registration::devices_that_are_not_there", "tcp::rdm", SINCE_2, NO_DEVICES),
    no("registration::devices_that_are_not_there", "sm2", SINCE_2, NO_RMA),
    no("registration::a_region_with_a_counter", "tcp::rdm", SINCE_2, NO_COUNTED_REGIONS),
];
