//! The attributes that hints may set, one line each: the setter, and where the number goes.

use ofi_sys::fi_info;

use super::{
    hints::Hints,
    word::{Contexts, Word},
};
use crate::{
    attr::{AvType, EndpointType, Progress, Protocol, ResourceMgmt, ThreadingModel, TrafficClass},
    flags::{Caps, CompOrder, Mode, MrMode, MsgOrder, OpFlags},
    version::Version,
};

/// What a field is, apart from its value.
pub(super) struct FieldKind {
    /// Its path in C.
    pub(super) label: &'static str,
    /// The oldest libfabric that has it.
    pub(super) since: Version,
    /// Prints its value.
    pub(super) show: fn(u64) -> String,
    /// The oldest libfabric that knows the value.
    pub(super) value_since: fn(u64) -> Version,
}

fn show<T: Word>(word: u64) -> String {
    let text = T::from_word(word).to_string();
    if text.is_empty() { "0".into() } else { text }
}

fn value_since<T: Word>(word: u64) -> Version {
    T::from_word(word).since()
}

macro_rules! fields {
    ($(
        $(#[$doc:meta])*
        $visibility:vis $setter:ident($type:ty) => $field:ident = $attr:ident.$member:ident
            $(, and $twin:ident)? $(, since ($major:literal, $minor:literal))?;
    )*) => {
        /// One attribute of `fi_info` that is a number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(super) enum Field {
            $($field,)*
        }

        impl Field {
            /// What it is.
            pub(super) fn kind(self) -> FieldKind {
                // `type_` is `type` in C.
                match self {
                    $(Field::$field => FieldKind {
                        label: concat!(stringify!($attr), ".", stringify!($member))
                            .trim_end_matches('_'),
                        since: Version::OLDEST$(.max(Version::new($major, $minor)))?,
                        show: show::<$type>,
                        value_since: value_since::<$type>,
                    },)*
                }
            }

            /// Writes its value.
            ///
            /// # Safety
            ///
            /// `info` is an entry that libfabric allocated with all its attributes, nobody else
            /// looks at it, and the running libfabric is as new as the field.
            pub(super) unsafe fn write(self, info: *mut fi_info, value: u64) {
                // SAFETY: the caller's word, so the member is within the allocation.
                unsafe {
                    match self {
                        $(Field::$field => {
                            (*(*info).$attr).$member = value as _;
                            $((*(*info).$attr).$twin = value as _;)?
                        })*
                    }
                }
            }
        }

        impl Hints {
            $(
                $(#[$doc])*
                ///
                #[doc = concat!("Sets `", stringify!($attr), ".", stringify!($member), "`.")]
                $visibility fn $setter(self, value: $type) -> Hints {
                    self.set(Field::$field, value)
                }
            )*
        }
    };
}

fields! {
    /// What the transmit side must be able to do, where that is less than the endpoint's
    /// [`caps`](Hints::caps).
    pub tx_caps(Caps) => TxCaps = tx_attr.caps;
    /// The modes that the application can serve on the transmit side.
    pub tx_mode(Mode) => TxMode = tx_attr.mode;
    /// The flags that transmit operations are to have without asking.
    pub tx_op_flags(OpFlags) => TxOpFlags = tx_attr.op_flags;
    /// The order in which operations must take effect.
    pub tx_msg_order(MsgOrder) => TxMsgOrder = tx_attr.msg_order;
    /// The order of completions. Ignored by libfabric 2.
    pub tx_comp_order(CompOrder) => TxCompOrder = tx_attr.comp_order;
    /// The largest message to inject, in bytes.
    pub inject_size(usize) => InjectSize = tx_attr.inject_size;
    /// How many operations must fit the transmit queue.
    pub tx_size(usize) => TxSize = tx_attr.size;
    /// How many buffers one transmit operation must be able to gather.
    pub tx_iov_limit(usize) => TxIovLimit = tx_attr.iov_limit;
    /// How many remote buffers one RMA operation must be able to name.
    pub rma_iov_limit(usize) => RmaIovLimit = tx_attr.rma_iov_limit;
    /// The traffic class of the endpoint's transmissions.
    pub tx_traffic_class(TrafficClass) => TxTrafficClass = tx_attr.tclass;

    /// What the receive side must be able to do, where that is less than the endpoint's
    /// [`caps`](Hints::caps).
    pub rx_caps(Caps) => RxCaps = rx_attr.caps;
    /// The modes that the application can serve on the receive side.
    pub rx_mode(Mode) => RxMode = rx_attr.mode;
    /// The flags that receives are to have without asking.
    pub rx_op_flags(OpFlags) => RxOpFlags = rx_attr.op_flags;
    /// The order in which messages must be matched.
    pub rx_msg_order(MsgOrder) => RxMsgOrder = rx_attr.msg_order;
    /// The order of completions. Ignored by libfabric 2.
    pub rx_comp_order(CompOrder) => RxCompOrder = rx_attr.comp_order;
    /// How many bytes of unexpected messages are to be kept. Ignored by libfabric 2.
    pub total_buffered_recv(usize) => TotalBufferedRecv = rx_attr.total_buffered_recv;
    /// How many receives must fit the receive queue.
    pub rx_size(usize) => RxSize = rx_attr.size;
    /// How many buffers one receive must be able to scatter to.
    pub rx_iov_limit(usize) => RxIovLimit = rx_attr.iov_limit;

    /// The kind of endpoint.
    #[doc(alias = "fi_ep_type")]
    pub endpoint_type(EndpointType) => EndpointType = ep_attr.type_;
    /// What to speak on the wire.
    pub protocol(Protocol) => Protocol = ep_attr.protocol;
    /// The version of that.
    pub protocol_version(u32) => ProtocolVersion = ep_attr.protocol_version;
    /// The largest message, in bytes.
    pub max_msg_size(usize) => MaxMsgSize = ep_attr.max_msg_size;
    /// The room that the application leaves before each message under `FI_MSG_PREFIX`, in bytes.
    pub msg_prefix_size(usize) => MsgPrefixSize = ep_attr.msg_prefix_size;
    /// The largest transfer, in bytes, for which read-after-write order must hold.
    pub max_order_raw_size(usize) => MaxOrderRawSize = ep_attr.max_order_raw_size;
    /// The largest transfer, in bytes, for which write-after-read order must hold.
    pub max_order_war_size(usize) => MaxOrderWarSize = ep_attr.max_order_war_size;
    /// The largest transfer, in bytes, for which write-after-write order must hold.
    pub max_order_waw_size(usize) => MaxOrderWawSize = ep_attr.max_order_waw_size;
    /// Which bits of a tag must be matched, and as what fields.
    pub mem_tag_format(u64) => MemTagFormat = ep_attr.mem_tag_format;
    pub(super) tx_contexts_or_shared(Contexts) => TxContexts = ep_attr.tx_ctx_cnt;
    pub(super) rx_contexts_or_shared(Contexts) => RxContexts = ep_attr.rx_ctx_cnt;

    pub(super) threading_model(ThreadingModel) => Threading = domain_attr.threading;
    /// Who is to make operations progress: for control operations and data transfers alike.
    #[doc(alias = "fi_progress")]
    pub progress(Progress) => Progress = domain_attr.data_progress, and control_progress;
    /// Whether queues must be guarded against overrun.
    pub resource_mgmt(ResourceMgmt) => ResourceMgmt = domain_attr.resource_mgmt;
    /// How address vectors are to name their entries. `Table` unless set.
    pub av_type(AvType) => AvType = domain_attr.av_type;
    pub(super) mr_mode_offered(MrMode) => MrMode = domain_attr.mr_mode;
    /// The length of memory keys, in bytes.
    pub mr_key_size(usize) => MrKeySize = domain_attr.mr_key_size;
    /// The length of immediate data that is needed, in bytes.
    pub cq_data_size(usize) => CqDataSize = domain_attr.cq_data_size;
    /// How many completion queues there must be room for.
    pub cq_cnt(usize) => CqCnt = domain_attr.cq_cnt;
    /// How many endpoints there must be room for.
    pub ep_cnt(usize) => EpCnt = domain_attr.ep_cnt;
    /// How many transmit contexts there must be room for in the domain.
    pub domain_tx_ctx_cnt(usize) => DomainTxCtxCnt = domain_attr.tx_ctx_cnt;
    /// How many receive contexts there must be room for in the domain.
    pub domain_rx_ctx_cnt(usize) => DomainRxCtxCnt = domain_attr.rx_ctx_cnt;
    /// How many transmit contexts one endpoint must be able to have.
    pub max_ep_tx_ctx(usize) => MaxEpTxCtx = domain_attr.max_ep_tx_ctx;
    /// How many receive contexts one endpoint must be able to have.
    pub max_ep_rx_ctx(usize) => MaxEpRxCtx = domain_attr.max_ep_rx_ctx;
    /// How many endpoints must be able to share one transmit context.
    pub max_ep_stx_ctx(usize) => MaxEpStxCtx = domain_attr.max_ep_stx_ctx;
    /// How many endpoints must be able to share one receive context.
    pub max_ep_srx_ctx(usize) => MaxEpSrxCtx = domain_attr.max_ep_srx_ctx;
    /// How many counters there must be room for.
    pub cntr_cnt(usize) => CntrCnt = domain_attr.cntr_cnt;
    /// How many buffers one registration must be able to cover.
    pub mr_iov_limit(usize) => MrIovLimit = domain_attr.mr_iov_limit;
    /// What the domain must be able to do.
    pub domain_caps(Caps) => DomainCaps = domain_attr.caps;
    /// The modes that the application can serve for the domain.
    pub domain_mode(Mode) => DomainMode = domain_attr.mode;
    /// How many bytes of provider data an error entry must be able to carry.
    pub max_err_data(usize) => MaxErrData = domain_attr.max_err_data;
    /// How many registrations there must be room for.
    pub mr_cnt(usize) => MrCnt = domain_attr.mr_cnt;
    /// The traffic class of the domain's endpoints.
    pub domain_traffic_class(TrafficClass) => DomainTrafficClass = domain_attr.tclass;
    pub(super) domain_auth_key_size(usize) => DomainAuthKeySize = domain_attr.auth_key_size, since (1, 20);
    /// How many authorization keys one endpoint must be able to hold (1.20).
    pub max_ep_auth_key(usize) => MaxEpAuthKey = domain_attr.max_ep_auth_key, since (1, 20);
    /// The largest peer group number (2.0).
    pub max_group_id(u32) => MaxGroupId = domain_attr.max_group_id, since (2, 0);
    /// The largest value that a counter must be able to hold (2.5).
    pub max_cntr_value(u64) => MaxCntrValue = domain_attr.max_cntr_value, since (2, 5);
    /// The largest number of errors that a counter must be able to hold (2.5).
    pub max_err_cntr_value(u64) => MaxErrCntrValue = domain_attr.max_err_cntr_value, since (2, 5);

    /// The provider's own version, packed as libfabric's.
    pub provider_version(u32) => ProviderVersion = fabric_attr.prov_version;
}
