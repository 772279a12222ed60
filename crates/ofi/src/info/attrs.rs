//! Views of the attribute structures of an [`Info`](super::Info).

use std::marker::PhantomData;

use ofi_sys::{fi_domain_attr, fi_ep_attr, fi_fabric_attr, fi_rx_attr, fi_tx_attr};

use super::{
    info::{bytes, text},
    word::Word,
};
use crate::{
    attr::{AvType, EndpointType, Progress, Protocol, ResourceMgmt, ThreadingModel, TrafficClass},
    flags::{Caps, CompOrder, Mode, MrMode, MsgOrder, OpFlags},
    version::{Version, version},
};

/// A view: a pointer that lives as long as the info, and one accessor for each member that is a
/// number. A view of a structure that is not there has zero everywhere.
macro_rules! view {
    (
        $(#[$doc:meta])*
        $view:ident of $raw:ident {
            $($(#[$mdoc:meta])* $name:ident = $member:ident: $type:ty;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $view<'a> {
            attr: *const $raw,
            info: PhantomData<&'a ()>,
        }

        // SAFETY: a view stands for a shared reference into an Info, which is Sync, and only reads.
        unsafe impl Send for $view<'_> {}
        // SAFETY: as above.
        unsafe impl Sync for $view<'_> {}

        impl<'a> $view<'a> {
            /// # Safety
            ///
            /// `attr` is null, or libfabric allocated it and it does not change for `'a`.
            pub(super) unsafe fn new(attr: *const $raw, info: PhantomData<&'a ()>) -> $view<'a> {
                $view { attr, info }
            }

            $(
                $(#[$mdoc])*
                #[must_use]
                pub fn $name(&self) -> $type {
                    let word = if self.attr.is_null() {
                        0
                    } else {
                        // SAFETY: not null, so alive by `new`'s contract; the member is in 1.17's
                        // layout, which every version that is supported allocates.
                        unsafe { (*self.attr).$member as u64 }
                    };
                    <$type as Word>::from_word(word)
                }
            )*
        }
    };
}

view! {
    /// The transmit side of an endpoint. See `fi_endpoint(3)`.
    #[doc(alias = "fi_tx_attr")]
    TxAttr of fi_tx_attr {
        /// The capabilities of this side.
        caps = caps: Caps;
        /// What the provider asks of the application.
        mode = mode: Mode;
        /// The flags that operations have without asking.
        op_flags = op_flags: OpFlags;
        /// The order in which operations take effect.
        msg_order = msg_order: MsgOrder;
        /// The order of completions; libfabric 2 ignores it.
        comp_order = comp_order: CompOrder;
        /// The largest message that can be injected, in bytes.
        inject_size = inject_size: usize;
        /// How many operations fit its queue.
        size = size: usize;
        /// How many buffers one operation may gather.
        iov_limit = iov_limit: usize;
        /// How many remote buffers one RMA operation may name.
        rma_iov_limit = rma_iov_limit: usize;
        /// The traffic class.
        traffic_class = tclass: TrafficClass;
    }
}

view! {
    /// The receive side of an endpoint. See `fi_endpoint(3)`.
    #[doc(alias = "fi_rx_attr")]
    RxAttr of fi_rx_attr {
        /// The capabilities of this side.
        caps = caps: Caps;
        /// What the provider asks of the application.
        mode = mode: Mode;
        /// The flags that operations have without asking.
        op_flags = op_flags: OpFlags;
        /// The order in which messages are matched.
        msg_order = msg_order: MsgOrder;
        /// The order of completions; libfabric 2 ignores it.
        comp_order = comp_order: CompOrder;
        /// How many bytes of unexpected messages are kept; libfabric 2 ignores it.
        total_buffered_recv = total_buffered_recv: usize;
        /// How many receives fit its queue.
        size = size: usize;
        /// How many buffers one receive may scatter to.
        iov_limit = iov_limit: usize;
    }
}

view! {
    /// An endpoint. See `fi_endpoint(3)`.
    #[doc(alias = "fi_ep_attr")]
    EndpointAttr of fi_ep_attr {
        /// Its kind.
        kind = type_: EndpointType;
        /// What it speaks on the wire.
        protocol = protocol: Protocol;
        /// The version of that.
        protocol_version = protocol_version: u32;
        /// The largest message, in bytes.
        max_msg_size = max_msg_size: usize;
        /// The room to leave before each message under `FI_MSG_PREFIX`, in bytes.
        msg_prefix_size = msg_prefix_size: usize;
        /// The largest transfer, in bytes, for which read-after-write order holds.
        max_order_raw_size = max_order_raw_size: usize;
        /// The largest transfer, in bytes, for which write-after-read order holds.
        max_order_war_size = max_order_war_size: usize;
        /// The largest transfer, in bytes, for which write-after-write order holds.
        max_order_waw_size = max_order_waw_size: usize;
        /// Which bits of a tag are matched, and as what fields.
        mem_tag_format = mem_tag_format: u64;
        /// How many transmit contexts it has; `usize::MAX` if it uses a shared one.
        tx_ctx_cnt = tx_ctx_cnt: usize;
        /// How many receive contexts it has; `usize::MAX` if it uses a shared one.
        rx_ctx_cnt = rx_ctx_cnt: usize;
    }
}

impl<'a> EndpointAttr<'a> {
    /// The authorization key.
    #[must_use]
    pub fn auth_key(&self) -> Option<&'a [u8]> {
        if self.attr.is_null() {
            return None;
        }
        // SAFETY: not null, so alive for 'a by `new`'s contract; the two members belong together.
        unsafe { bytes((*self.attr).auth_key, (*self.attr).auth_key_size) }
    }
}

view! {
    /// A domain. See `fi_domain(3)`.
    #[doc(alias = "fi_domain_attr")]
    DomainAttr of fi_domain_attr {
        /// Which calls the application keeps apart.
        threading = threading: ThreadingModel;
        /// Who makes control operations progress; libfabric 2 has only one `progress`.
        control_progress = control_progress: Progress;
        /// Who makes data transfers progress.
        data_progress = data_progress: Progress;
        /// Whether queues are guarded against overrun.
        resource_mgmt = resource_mgmt: ResourceMgmt;
        /// How address vectors name their entries.
        av_type = av_type: AvType;
        /// How memory must be registered.
        mr_mode = mr_mode: MrMode;
        /// The length of a memory key, in bytes.
        mr_key_size = mr_key_size: usize;
        /// The length of immediate data, in bytes; 0 where there is none.
        cq_data_size = cq_data_size: usize;
        /// How many completion queues there can be.
        cq_cnt = cq_cnt: usize;
        /// How many endpoints there can be.
        ep_cnt = ep_cnt: usize;
        /// How many transmit contexts there can be.
        tx_ctx_cnt = tx_ctx_cnt: usize;
        /// How many receive contexts there can be.
        rx_ctx_cnt = rx_ctx_cnt: usize;
        /// How many transmit contexts one endpoint can have.
        max_ep_tx_ctx = max_ep_tx_ctx: usize;
        /// How many receive contexts one endpoint can have.
        max_ep_rx_ctx = max_ep_rx_ctx: usize;
        /// How many endpoints can share one transmit context.
        max_ep_stx_ctx = max_ep_stx_ctx: usize;
        /// How many endpoints can share one receive context.
        max_ep_srx_ctx = max_ep_srx_ctx: usize;
        /// How many counters there can be.
        cntr_cnt = cntr_cnt: usize;
        /// How many buffers one registration may cover.
        mr_iov_limit = mr_iov_limit: usize;
        /// The domain's capabilities.
        caps = caps: Caps;
        /// What the domain asks of the application.
        mode = mode: Mode;
        /// How many bytes of provider data an error entry can carry.
        max_err_data = max_err_data: usize;
        /// How many registrations there can be.
        mr_cnt = mr_cnt: usize;
        /// The traffic class.
        traffic_class = tclass: TrafficClass;
    }
}

/// Accessors of members that libfabric appended after 1.17 (rule A of the ABI).
macro_rules! appended {
    ($($(#[$doc:meta])* $name:ident = $member:ident: $type:ty, since ($major:literal, $minor:literal);)*) => {
        impl DomainAttr<'_> {$(
            $(#[$doc])*
            ///
            /// `None` where the running libfabric is older than that.
            #[must_use]
            pub fn $name(&self) -> Option<$type> {
                if self.attr.is_null() || version() < Version::new($major, $minor) {
                    return None;
                }
                // SAFETY: not null, so alive by `new`'s contract; the running libfabric is new
                // enough to have allocated the member.
                Some(unsafe { (*self.attr).$member })
            }
        )*}
    };
}

appended! {
    /// How many authorization keys one endpoint can hold (1.20).
    max_ep_auth_key = max_ep_auth_key: usize, since (1, 20);
    /// The largest peer group number (2.0).
    max_group_id = max_group_id: u32, since (2, 0);
    /// The largest value of a counter (2.5).
    max_cntr_value = max_cntr_value: u64, since (2, 5);
    /// The largest number of errors that a counter counts (2.5).
    max_err_cntr_value = max_err_cntr_value: u64, since (2, 5);
}

impl<'a> DomainAttr<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        if self.attr.is_null() {
            return None;
        }
        // SAFETY: not null, so alive for 'a by `new`'s contract.
        unsafe { text((*self.attr).name) }
    }

    /// The authorization key.
    #[must_use]
    pub fn auth_key(&self) -> Option<&'a [u8]> {
        if self.attr.is_null() {
            return None;
        }
        // SAFETY: not null, so alive for 'a by `new`'s contract; the two members belong together.
        // `FI_AV_AUTH_KEY` in place of a length is no length that `bytes` takes.
        unsafe { bytes((*self.attr).auth_key, (*self.attr).auth_key_size) }
    }

    /// Whether its authorization keys are those of its address vectors (1.20).
    #[doc(alias = "FI_AV_AUTH_KEY")]
    #[must_use]
    pub fn auth_keys_in_vectors(&self) -> bool {
        // SAFETY: alive by `new`'s contract where it is not null; in 1.17's layout.
        !self.attr.is_null() && unsafe { (*self.attr).auth_key_size } == ofi_sys::FI_AV_AUTH_KEY
    }
}

view! {
    /// A fabric. See `fi_fabric(3)`.
    #[doc(alias = "fi_fabric_attr")]
    FabricAttr of fi_fabric_attr {
        /// The provider's own version, packed as libfabric's.
        provider_version_raw = prov_version: u32;
    }
}

impl<'a> FabricAttr<'a> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        if self.attr.is_null() {
            return None;
        }
        // SAFETY: not null, so alive for 'a by `new`'s contract.
        unsafe { text((*self.attr).name) }
    }

    /// The provider and the layers over it, as `core;utility`.
    #[must_use]
    pub fn provider(&self) -> &'a str {
        if self.attr.is_null() {
            return "";
        }
        // SAFETY: not null, so alive for 'a by `new`'s contract.
        unsafe { text((*self.attr).prov_name) }.unwrap_or("")
    }

    /// The provider's own version.
    #[must_use]
    pub fn provider_version(&self) -> Version {
        Version::from_raw(self.provider_version_raw())
    }

    /// The version of libfabric's API that was asked for.
    #[must_use]
    pub fn api_version(&self) -> Version {
        if self.attr.is_null() {
            return Version::from_raw(0);
        }
        // SAFETY: not null, so alive by `new`'s contract; in 1.17's layout.
        Version::from_raw(unsafe { (*self.attr).api_version })
    }
}
