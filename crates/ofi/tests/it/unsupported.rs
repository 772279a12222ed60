//! Cases that a provider is known not to support, on which versions, and why. A case that reports
//! itself unsupported and is not here fails, and so does one that is here and passes.

use ofi::Version;

use super::Unsupported;

const V1_17: Version = Version::new(1, 17);
const V2_0: Version = Version::new(2, 0);
const ALL: (Version, Option<Version>) = (V1_17, None);
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

const NO_COUNTERS: &str = "udp has no counters";
const RESOLVES_NOTHING: &str = "its addresses are not of hosts and services";

const NO_RMA: &str = "sm2 has no remote memory";

const NO_ATOMICS: &str =
    "tcp by itself has no atomic operations, and sm2 only what needs remote memory";

const NO_COLLECTIVES: &str = "only rxm has collectives";
const ALL_BUT_RXM: &str = "!tcp;ofi_rxm";

const FETCHES_CRASH: &str = "fetching atomic operations crash (quirk 26)";

pub(in super::super) const UNSUPPORTED: &[Unsupported] = &[
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
    no("queues::descriptor", "shm", ALL, NO_FD),
    no("queues::descriptor", "sm2", SINCE_2, NO_FD),
    no("queues::descriptor", "udp;ofi_rxd", ALL, NO_FD),
    no("backpressure::busy_gives_the_buffer_back", "udp;ofi_rxd", ALL, UNBOUNDED),
    no("backpressure::busy_gives_the_buffer_back", "tcp::rdm", SINCE_2, UNBOUNDED),
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
    no("collectives::all_results", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::barriers_wait", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::messages_beside_collectives", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::registered_buffers", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::wrong_counts", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::what_there_is", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::dropped_collective_in_flight", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::group_closed_in_flight", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::endpoint_closed_in_flight", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::endpoint_closed_with_a_group", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::dropped_join", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::dropped_with_its_endpoint", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::odd_joins", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::as_futures", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::groups_run_out", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::two_processes", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::a_member_dies", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::quirk_29_stray_contexts", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::quirk_30_broadcast_overruns", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("collectives::quirk_31_root_is_rank", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::several_threads_are_refused", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::mismatched_calls", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::a_member_sends_too_much", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::short_receives", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("groups::quirk_33_short_receive_crashes", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("sets::as_sets_on_the_host", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("sets::ranges", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("sets::removed_while_in_a_set", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("sets::odd_sets", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
    no("sets::quirk_28_sets_garbled", ALL_BUT_RXM, ALL, NO_COLLECTIVES),
];
