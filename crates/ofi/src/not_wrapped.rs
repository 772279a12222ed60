//! What of libfabric's application interface this crate has no wrapper for, and why.
//!
//! `cargo xtask coverage` compares this with libfabric's headers and with the aliases that wrappers
//! carry (`#[doc(alias = "fi_…")]`): a name that is neither here nor there is an error, and so is one
//! that is both. Everything here can be called through [`ofi_sys`], on what `as_raw` gives.

/// A function or option without a wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotWrapped {
    /// Its C name.
    pub name: &'static str,
    /// Why.
    pub reason: &'static str,
    /// Whether a wrapper is planned; the others stay raw.
    pub planned: bool,
}

const fn raw(name: &'static str, reason: &'static str) -> NotWrapped {
    NotWrapped { name, reason, planned: false }
}

const fn planned(name: &'static str, reason: &'static str) -> NotWrapped {
    NotWrapped { name, reason, planned: true }
}

const ALIASES: &str = "aliases of endpoints";
const AUTH_KEYS: &str = "authorization keys";
const CONTEXTS: &str = "scalable endpoints and shared contexts";
const MULTICAST: &str = "multicast";
const POLL_SETS: &str = "poll sets and wait sets";
const PROFILING: &str = "profiling";
const PROVIDER_OPS: &str = "operations that a provider opens by name";
const REGIONS: &str = "regions of several pieces, bound to endpoints, refreshed, or with long keys";
const DEVICES: &str = "memory of devices";

const PEERS: &str = "part of the peer interface, between providers";
const OBJECTS: &str = "memory monitors and other objects that are imported into libfabric itself";
const BUFFERED: &str = "buffered receives are gone from libfabric 2";
const NO_TYPE: &str = "no type is defined for its value";

/// All of them.
pub const NOT_WRAPPED: &[NotWrapped] = &[
    planned("fi_alias", ALIASES),
    planned("fi_ep_alias", ALIASES),
    planned("fi_av_insert_auth_key", AUTH_KEYS),
    planned("fi_av_lookup_auth_key", AUTH_KEYS),
    planned("fi_rx_addr", CONTEXTS),
    planned("fi_rx_context", CONTEXTS),
    planned("fi_scalable_ep", CONTEXTS),
    planned("fi_scalable_ep_bind", CONTEXTS),
    planned("fi_srx_context", CONTEXTS),
    planned("fi_stx_context", CONTEXTS),
    planned("fi_tx_context", CONTEXTS),
    planned("fi_join", MULTICAST),
    planned("fi_mc_addr", MULTICAST),
    planned("fi_poll", POLL_SETS),
    planned("fi_poll_add", POLL_SETS),
    planned("fi_poll_del", POLL_SETS),
    planned("fi_poll_open", POLL_SETS),
    planned("fi_wait", POLL_SETS),
    planned("fi_wait_open", POLL_SETS),
    planned("fi_profile_close", PROFILING),
    planned("fi_profile_end_reads", PROFILING),
    planned("fi_profile_open", PROFILING),
    planned("fi_profile_query_events", PROFILING),
    planned("fi_profile_query_vars", PROFILING),
    planned("fi_profile_read_u64", PROFILING),
    planned("fi_profile_register_callback", PROFILING),
    planned("fi_profile_reset", PROFILING),
    planned("fi_profile_start_reads", PROFILING),
    planned("fi_get_val", PROVIDER_OPS),
    planned("fi_open_ops", PROVIDER_OPS),
    planned("fi_set_ops", PROVIDER_OPS),
    planned("fi_set_val", PROVIDER_OPS),
    planned("fi_mr_bind", REGIONS),
    planned("fi_mr_enable", REGIONS),
    planned("fi_mr_map_raw", REGIONS),
    planned("fi_mr_raw_attr", REGIONS),
    planned("fi_mr_refresh", REGIONS),
    planned("fi_mr_regv", REGIONS),
    planned("fi_mr_unmap_key", REGIONS),
    planned("fi_hmem_ze_device", DEVICES),
    planned("fi_av_set_user_id", "identifiers of the user's own in address vectors"),
    planned("fi_domain_bind", "an event queue for a domain"),
    planned("fi_group_addr", "groups of peers"),
    planned("fi_setname", "the address of an endpoint that is not enabled yet"),
    planned("fi_tag_mpi", "tags in the form of MPI"),
    planned("FI_OPT_XPU_TRIGGER", "triggered operations of devices"),
    planned("FI_OPT_EFA_EMULATED_ATOMICS", "which operations the device does by itself"),
    planned("FI_OPT_EFA_EMULATED_READ", "which operations the device does by itself"),
    planned("FI_OPT_EFA_EMULATED_WRITE", "which operations the device does by itself"),
    planned("FI_OPT_EFA_RNR_RETRY", "settings of EFA"),
    planned("FI_OPT_EFA_SENDRECV_IN_ORDER_ALIGNED_128_BYTES", "settings of EFA"),
    planned("FI_OPT_EFA_USE_DEVICE_RDMA", "settings of EFA"),
    planned("FI_OPT_EFA_WRITE_IN_ORDER_ALIGNED_128_BYTES", "settings of EFA"),
    raw("fi_av_bind", "insertion into address vectors is synchronous here"),
    raw("fi_domain2", PEERS),
    raw("fi_endpoint2", PEERS),
    raw("fi_export_fid", PEERS),
    raw("fi_import_fid", PEERS),
    raw("fi_import", OBJECTS),
    raw("fi_open", OBJECTS),
    raw("fi_eq_write", "an event of one's own could name objects and requests that there are not"),
    raw("fi_rx_size_left", "deprecated since 1.0: what it says is out of date when it returns"),
    raw("fi_tx_size_left", "deprecated since 1.0: what it says is out of date when it returns"),
    raw("FI_OPT_BUFFERED_LIMIT", BUFFERED),
    raw("FI_OPT_BUFFERED_MIN", BUFFERED),
    raw("FI_OPT_ENDPOINT", "the level of all options, no option"),
    raw("FI_OPT_RECV_BUF_SIZE", NO_TYPE),
    raw("FI_OPT_SEND_BUF_SIZE", NO_TYPE),
    raw("FI_OPT_RX_SIZE", NO_TYPE),
    raw("FI_OPT_TX_SIZE", NO_TYPE),
];
