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

const UNRELEASED: &str = "of libfabric 2.7, which is not released";
const CALLBACKS: &str = "it would run inside of libfabric, where it may call next to nothing";
const DOMAIN_EVENTS: &str = "endpoints have their own event queues; registration is synchronous";
const PEERS: &str = "part of the peer interface, between providers";
const OBJECTS: &str = "memory monitors and caches, imported into libfabric itself";
const BUFFERED: &str = "buffered receives are gone from libfabric 2";
const NO_TYPE: &str = "no type is defined for its value";

/// All of them.
pub const NOT_WRAPPED: &[NotWrapped] = &[
    planned("fi_av_lookup2", UNRELEASED),
    planned("fi_xpu_ctx", UNRELEASED),
    planned("fi_xpu_ctx_query", UNRELEASED),
    planned("fi_ep_export_xpu", UNRELEASED),
    planned("fi_cq_export_xpu", UNRELEASED),
    planned("fi_cntr_export_xpu", UNRELEASED),
    planned("fi_mr_get_xpu_desc", UNRELEASED),
    raw("fi_av_bind", "insertion into address vectors is synchronous here"),
    raw("fi_domain_bind", DOMAIN_EVENTS),
    raw("fi_domain2", PEERS),
    raw("fi_endpoint2", PEERS),
    raw("fi_export_fid", PEERS),
    raw("fi_import_fid", PEERS),
    raw("FI_EXPORT_FID", PEERS),
    raw("FI_DUP", "copies the card in an fi_info, as fi_dupinfo does"),
    raw("FI_GETFIDFLAG", "no object of any provider has such flags"),
    raw("FI_SETFIDFLAG", "no object of any provider has such flags"),
    raw("fi_import", OBJECTS),
    raw("fi_open", OBJECTS),
    raw("fi_eq_write", "an event of one's own could name objects and requests that there are not"),
    raw("fi_profile_register_callback", CALLBACKS),
    raw("fi_rx_size_left", "deprecated since 1.0: what it says is out of date when it returns"),
    raw("FI_FLUSH_WORK", "it does not say which operations it ended, and whose memory is free"),
    raw("FI_OP_RECV", "a receive that a counter starts can stop the provider (quirk 62)"),
    raw("FI_OP_TRECV", "a receive that a counter starts can stop the provider (quirk 62)"),
    raw("FI_TRIGGER_XPU", "no provider has it"),
    raw("fi_tx_size_left", "deprecated since 1.0: what it says is out of date when it returns"),
    raw("FI_OPT_BUFFERED_LIMIT", BUFFERED),
    raw("FI_OPT_BUFFERED_MIN", BUFFERED),
    raw("FI_OPT_ENDPOINT", "the level of all options, no option"),
    raw("FI_OPT_RECV_BUF_SIZE", NO_TYPE),
    raw("FI_OPT_SEND_BUF_SIZE", NO_TYPE),
    raw("FI_OPT_RX_SIZE", NO_TYPE),
    raw("FI_OPT_TX_SIZE", NO_TYPE),
    raw("FI_OPT_XPU_TRIGGER", "no provider has it; libfabric 1.21 dropped it"),
];
