//! `fi_getinfo`: one entry, if the hints fit.

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use ofi_sys::*;

use crate::config::Demand;

pub(crate) const TRANSFERS: u64 = FI_MSG | FI_TAGGED | FI_RMA | FI_ATOMIC;
const SUPPORTED: u64 = TRANSFERS
    | FI_SEND
    | FI_RECV
    | FI_READ
    | FI_WRITE
    | FI_REMOTE_READ
    | FI_REMOTE_WRITE
    | FI_RMA_EVENT
    | FI_SOURCE
    | FI_DIRECTED_RECV
    | FI_LOCAL_COMM
    | FI_TRIGGER
    | FI_COLLECTIVE
    | MANY;

/// Written down alone.
const MANY: u64 = FI_MULTI_RECV | FI_TAGGED_MULTI_RECV;

pub(crate) const MAX_MESSAGE: usize = 1 << 26;
pub(crate) const INJECT: usize = 64;
pub(crate) const IOV_LIMIT: usize = 8;
pub(crate) const RMA_IOV_LIMIT: usize = 3;
/// Operations of one endpoint in each direction.
pub(crate) const CONTEXTS: usize = 256;
/// Bytes of a raw key.
pub(crate) const RAW_KEY: usize = 24;

pub(crate) unsafe extern "C" fn getinfo(
    _version: u32,
    node: *const c_char,
    service: *const c_char,
    _flags: u64,
    hints: *const fi_info,
    info: *mut *mut fi_info,
) -> c_int {
    // Its addresses are not names of hosts.
    if !node.is_null() || !service.is_null() {
        return -FI_ENODATA;
    }
    let demand = Demand::of_environment();
    // SAFETY: the hints are null or whole, says fi_getinfo.3; `info` may be written.
    unsafe {
        if !hints.is_null() && !fits(&*hints, &demand) {
            return -FI_ENODATA;
        }
        *info = entry(hints.as_ref(), &demand);
    }
    0
}

/// Whether the entry would be what is asked for.
///
/// # Safety
///
/// The attributes are null or valid.
unsafe fn fits(hints: &fi_info, demand: &Demand) -> bool {
    // SAFETY: the caller's promise.
    let (ep, domain, fabric, tx, rx) = unsafe {
        (
            hints.ep_attr.as_ref(),
            hints.domain_attr.as_ref(),
            hints.fabric_attr.as_ref(),
            hints.tx_attr.as_ref(),
            hints.rx_attr.as_ref(),
        )
    };
    let named = |name: *const c_char, own: &CStr| {
        // SAFETY: the caller's promise: null or a C string.
        name.is_null() || unsafe { CStr::from_ptr(name) } == own
    };
    let mr_mode = domain.map_or(0, |domain| domain.mr_mode);
    hints.caps & !SUPPORTED == 0
        && demand.mode & !hints.mode == 0
        && demand.mr_mode & !mr_mode == 0
        && [0, FI_ADDR_STR].contains(&hints.addr_format)
        && ep.is_none_or(|ep| {
            [FI_EP_UNSPEC, FI_EP_RDM].contains(&ep.type_)
                && ep.protocol == FI_PROTO_UNSPEC
                && ep.max_msg_size <= MAX_MESSAGE
                && ep.tx_ctx_cnt <= 1
                && ep.rx_ctx_cnt <= 1
        })
        && domain.is_none_or(|domain| {
            // No thread of its own.
            domain.data_progress != FI_PROGRESS_AUTO && named(domain.name, c"loop")
        })
        && fabric.is_none_or(|fabric| named(fabric.name, c"ofitest"))
        && tx.is_none_or(|tx| {
            tx.inject_size <= INJECT
                && tx.iov_limit <= IOV_LIMIT
                && tx.rma_iov_limit <= RMA_IOV_LIMIT
                && tx.size <= CONTEXTS
        })
        && rx.is_none_or(|rx| rx.iov_limit <= IOV_LIMIT && rx.size <= CONTEXTS)
}

/// An attribute as libfabric frees it, with the members of the newest layout.
fn zeroed<T>() -> *mut T {
    // SAFETY: a size that is not 0.
    let memory = unsafe { libc::calloc(1, size_of::<T>()) };
    assert!(!memory.is_null(), "no memory");
    memory.cast()
}

/// # Safety
///
/// The attributes of the hints are null or valid.
unsafe fn entry(hints: Option<&fi_info>, demand: &Demand) -> *mut fi_info {
    let caps = hints.map_or(0, |hints| hints.caps);
    let asked = FI_COLLECTIVE | FI_TRIGGER | MANY;
    let caps = if caps == 0 { SUPPORTED & !asked } else { caps | FI_LOCAL_COMM };
    // SAFETY: the caller's promise.
    let wanted = hints.and_then(|hints| unsafe { hints.domain_attr.as_ref() });
    let info: *mut fi_info = zeroed();
    // SAFETY: all of it is new, zeroed, and nobody else's.
    unsafe {
        let tx: *mut fi_tx_attr = zeroed();
        tx.write(fi_tx_attr {
            caps,
            mode: demand.mode,
            inject_size: INJECT,
            size: CONTEXTS,
            iov_limit: IOV_LIMIT,
            rma_iov_limit: RMA_IOV_LIMIT,
            ..tx.read()
        });
        let rx: *mut fi_rx_attr = zeroed();
        rx.write(fi_rx_attr {
            caps,
            mode: demand.mode,
            size: CONTEXTS,
            iov_limit: IOV_LIMIT,
            total_buffered_recv: MAX_MESSAGE,
            ..rx.read()
        });
        let ep: *mut fi_ep_attr = zeroed();
        ep.write(fi_ep_attr {
            type_: FI_EP_RDM,
            protocol_version: 1,
            max_msg_size: MAX_MESSAGE,
            msg_prefix_size: demand.prefix(),
            mem_tag_format: u64::MAX / 3 * 2,
            tx_ctx_cnt: 1,
            rx_ctx_cnt: 1,
            ..ep.read()
        });
        let domain: *mut fi_domain_attr = zeroed();
        let or = |asked: u32, else_: u32| if asked == 0 { else_ } else { asked };
        domain.write(fi_domain_attr {
            name: libc::strdup(c"loop".as_ptr()),
            threading: or(wanted.map_or(0, |d| d.threading), FI_THREAD_SAFE),
            control_progress: FI_PROGRESS_MANUAL,
            data_progress: FI_PROGRESS_MANUAL,
            resource_mgmt: FI_RM_ENABLED,
            av_type: or(wanted.map_or(0, |d| d.av_type), FI_AV_TABLE),
            mr_mode: demand.mr_mode,
            mr_key_size: if demand.demands_mr(FI_MR_RAW) { RAW_KEY } else { 8 },
            cq_data_size: 8,
            cq_cnt: 1024,
            ep_cnt: 1024,
            tx_ctx_cnt: 1024,
            rx_ctx_cnt: 1024,
            max_ep_tx_ctx: 1,
            max_ep_rx_ctx: 1,
            cntr_cnt: 1024,
            mr_iov_limit: IOV_LIMIT,
            caps: FI_LOCAL_COMM,
            mode: demand.mode,
            max_err_data: 16,
            mr_cnt: 65536,
            max_ep_auth_key: 1,
            max_cntr_value: u64::MAX,
            max_err_cntr_value: u64::MAX,
            ..domain.read()
        });
        let fabric: *mut fi_fabric_attr = zeroed();
        // The provider's name is libfabric's to write.
        (*fabric).name = libc::strdup(c"ofitest".as_ptr());
        info.write(fi_info {
            caps,
            mode: demand.mode,
            addr_format: FI_ADDR_STR,
            tx_attr: tx,
            rx_attr: rx,
            ep_attr: ep,
            domain_attr: domain,
            fabric_attr: fabric,
            next: ptr::null_mut(),
            ..info.read()
        });
    }
    info
}
