//! What 2.2 to 2.6 added to libfabric's headers, by hand.
//!
//! The headers behind `generated` are those of 2.1. Structs that grew since are here in their
//! newest layout; the tests compare them with the figures of 2.6 and with the installed headers.

#![allow(
    missing_debug_implementations,
    reason = "nothing here knows which member of a union counts"
)]

use core::ffi::{c_char, c_int, c_void};

use libc::iovec;

use crate::generated::{
    fi_av_type, fi_hmem_iface, fi_mr_dmabuf, fi_progress, fi_resource_mgmt, fi_threading, fi_type,
    fid_domain, fid_mr,
};

/// The newest major version whose types this crate has.
pub const FI_MAJOR_VERSION: u32 = 2;
/// The newest minor version whose types this crate has.
pub const FI_MINOR_VERSION: u32 = 6;
/// The revision that goes with [`FI_MINOR_VERSION`].
pub const FI_REVISION_VERSION: u32 = 0;

/// `fi_getinfo` flag (2.2): scan the network interfaces again, which may take long.
pub const FI_RESCAN: u64 = 1 << 35;
/// `fi_av_insert` flag (2.2): the address is behind a firewall and cannot be connected to.
pub const FI_FIREWALL_ADDR: u64 = 1 << 42;
/// Address format (2.3): `sockaddr_in` or `sockaddr_in6`.
pub const FI_SOCKADDR_IP: u32 = 17;
/// Control command (2.2): the file descriptor of an endpoint; argument `int *`.
pub const FI_GET_FD: c_int = 20;
/// Endpoint option (2.2), get only: whether addresses may be behind a firewall. The tcp provider
/// wants and writes an `int`.
pub const FI_OPT_FIREWALL_ADDR: c_int = 20;
/// Argument of `fi_tostr` (2.5): `enum fi_cq_wait_cond`.
pub const FI_TYPE_CQ_WAIT_COND: fi_type = 34;
/// Argument of `fi_tostr` (2.5): `enum fi_wait_obj`.
pub const FI_TYPE_WAIT_OBJ: fi_type = 35;
/// Option of the efa provider (2.2): every peer is of the same kind; `bool`, set only.
pub const FI_OPT_EFA_HOMOGENEOUS_PEERS: c_int = crate::FI_OPT_EFA_RNR_RETRY + 7;
/// Option of the efa provider (2.5): writes with data need no posted receive; `bool`, set only.
pub const FI_OPT_EFA_USE_UNSOLICITED_WRITE_RECV: c_int = crate::FI_OPT_EFA_RNR_RETRY + 8;

/// Attributes of a domain: `fi_domain(3)`. Made by libfabric only, so what stands beyond the
/// running library's own size must not be touched (ABI rule A).
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct fi_domain_attr {
    /// An opened domain, or null.
    pub domain: *mut fid_domain,
    /// The domain's name.
    pub name: *mut c_char,
    /// Who may call at the same time.
    pub threading: fi_threading,
    /// Ignored since 2.0: set it as `data_progress`.
    pub control_progress: fi_progress,
    /// Who drives operations; C 2.0 and later also call it `progress`.
    pub data_progress: fi_progress,
    /// Whether libfabric guards against overruns.
    pub resource_mgmt: fi_resource_mgmt,
    /// Map or table.
    pub av_type: fi_av_type,
    /// Bits `FI_MR_*`.
    pub mr_mode: c_int,
    /// Bytes of a memory key.
    pub mr_key_size: usize,
    /// Bytes of remote CQ data.
    pub cq_data_size: usize,
    /// Completion queues that fit.
    pub cq_cnt: usize,
    /// Endpoints that fit.
    pub ep_cnt: usize,
    /// Transmit contexts that fit.
    pub tx_ctx_cnt: usize,
    /// Receive contexts that fit.
    pub rx_ctx_cnt: usize,
    /// Transmit contexts of one endpoint.
    pub max_ep_tx_ctx: usize,
    /// Receive contexts of one endpoint.
    pub max_ep_rx_ctx: usize,
    /// Endpoints that may share one transmit context.
    pub max_ep_stx_ctx: usize,
    /// Endpoints that may share one receive context.
    pub max_ep_srx_ctx: usize,
    /// Counters that fit.
    pub cntr_cnt: usize,
    /// Vectors of one memory registration.
    pub mr_iov_limit: usize,
    /// Capabilities of the domain.
    pub caps: u64,
    /// What the provider asks of the caller.
    pub mode: u64,
    /// The domain's key, or null.
    pub auth_key: *mut u8,
    /// Bytes of `auth_key`, or `FI_AV_AUTH_KEY`.
    pub auth_key_size: usize,
    /// Bytes of provider data in an error entry.
    pub max_err_data: usize,
    /// Memory regions that fit.
    pub mr_cnt: usize,
    /// Traffic class, `FI_TC_*`.
    pub tclass: u32,
    /// Authorization keys of one endpoint (1.20).
    pub max_ep_auth_key: usize,
    /// The largest group id (2.0).
    pub max_group_id: u32,
    /// The largest value of a counter (2.5).
    pub max_cntr_value: u64,
    /// The largest value of a counter's error count (2.5).
    pub max_err_cntr_value: u64,
}

/// What a memory registration covers: `fi_mr(3)`.
#[repr(C)]
#[derive(Copy, Clone)]
pub union fi_mr_attr_mem {
    /// Ranges of virtual addresses.
    pub mr_iov: *const iovec,
    /// With `FI_MR_DMABUF` (1.20): dma-buf ranges.
    pub dmabuf: *const fi_mr_dmabuf,
}

/// Which device holds the memory, by `fi_mr_attr.iface`.
#[repr(C)]
#[derive(Copy, Clone)]
pub union fi_mr_attr_device {
    /// The whole of the union: zero it first.
    pub reserved: u64,
    /// Device number of CUDA.
    pub cuda: c_int,
    /// Driver and device of Level Zero: `fi_hmem_ze_device`.
    pub ze: c_int,
    /// Device number of Neuron.
    pub neuron: c_int,
    /// Device number of SynapseAI.
    pub synapseai: c_int,
    /// Device number of ROCm (2.5).
    pub rocr: c_int,
}

/// Attributes of a memory registration: `fi_mr(3)`. Made by the application, always in this
/// layout, zeroed first: providers copy it at their own size (ABI rule B).
#[repr(C)]
#[derive(Copy, Clone)]
pub struct fi_mr_attr {
    /// What to register.
    pub mem: fi_mr_attr_mem,
    /// Entries of `mem`.
    pub iov_count: usize,
    /// `FI_SEND`, `FI_RECV`, `FI_READ`, `FI_WRITE`, `FI_REMOTE_READ`, `FI_REMOTE_WRITE`.
    pub access: u64,
    /// Where remote addresses start.
    pub offset: u64,
    /// The key that is wanted, unless `FI_MR_PROV_KEY`.
    pub requested_key: u64,
    /// Given back in events.
    pub context: *mut c_void,
    /// Bytes of `auth_key`.
    pub auth_key_size: usize,
    /// Authorization key, or null.
    pub auth_key: *mut u8,
    /// Which kind of memory.
    pub iface: fi_hmem_iface,
    /// Which device of that kind.
    pub device: fi_mr_attr_device,
    /// Data of the interface (1.19).
    pub hmem_data: *mut c_void,
    /// Bytes of a page, 0 for the default (1.22).
    pub page_size: usize,
    /// The region of which this is a part (2.0).
    pub base_mr: *const fid_mr,
    /// Parts that this region shall have (2.0).
    pub sub_mr_cnt: usize,
}
