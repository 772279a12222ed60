//! The enumerations of libfabric. A value that this crate does not know is kept as `Unknown`.

use std::fmt;

use crate::Version;

/// Enumerations with their C names, convertible from and to the raw number without loss.
macro_rules! enumerations {
    ($(
        $(#[$doc:meta])*
        $name:ident {
            $($(#[$vdoc:meta])* $variant:ident = $c:ident $alias:literal,)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $name {
            $(
                $(#[$vdoc])*
                #[doc(alias = $alias)]
                $variant,
            )*
            /// A value that this crate does not know.
            Unknown(u32),
        }

        impl $name {
            /// From libfabric's number.
            #[must_use]
            pub const fn from_raw(raw: u32) -> $name {
                match raw {
                    $(raw if raw == ofi_sys::$c as u32 => $name::$variant,)*
                    other => $name::Unknown(other),
                }
            }

            /// libfabric's number.
            #[must_use]
            pub const fn raw(self) -> u32 {
                match self {
                    $($name::$variant => ofi_sys::$c as u32,)*
                    $name::Unknown(raw) => raw,
                }
            }
        }

        /// The C name, as `fi_tostr` prints it.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $($name::$variant => f.pad($alias),)*
                    $name::Unknown(raw) if raw & PROVIDER_SPECIFIC != 0 => {
                        write!(f, "Provider specific ({raw:#x})")
                    }
                    $name::Unknown(raw) => write!(f, "Unknown ({raw})"),
                }
            }
        }
    )*};
}

impl Datatype {
    /// Bytes of a value. `None` for types whose form depends on the C compiler (rule X5).
    #[must_use]
    pub const fn size(self) -> Option<usize> {
        Some(match self {
            Datatype::Int8 | Datatype::Uint8 => 1,
            Datatype::Int16 | Datatype::Uint16 => 2,
            Datatype::Int32 | Datatype::Uint32 | Datatype::Float => 4,
            Datatype::Int64 | Datatype::Uint64 | Datatype::Double | Datatype::FloatComplex => 8,
            Datatype::DoubleComplex | Datatype::Int128 | Datatype::Uint128 => 16,
            Datatype::Unknown(_) => return None,
        })
    }
}

/// Protocols and address formats of one provider have this bit set.
const PROVIDER_SPECIFIC: u32 = 1 << 31;

enumerations! {
    /// The kind of an endpoint. See `fi_endpoint(3)`.
    EndpointType {
        /// Any.
        Unspec = FI_EP_UNSPEC "FI_EP_UNSPEC",
        /// Connected and reliable.
        Msg = FI_EP_MSG "FI_EP_MSG",
        /// Connectionless and unreliable.
        Dgram = FI_EP_DGRAM "FI_EP_DGRAM",
        /// Connectionless and reliable.
        Rdm = FI_EP_RDM "FI_EP_RDM",
    }

    /// The type of the values of an atomic operation. See `fi_atomic(3)`.
    Datatype {
        /// `i8`.
        Int8 = FI_INT8 "FI_INT8",
        /// `u8`.
        Uint8 = FI_UINT8 "FI_UINT8",
        /// `i16`.
        Int16 = FI_INT16 "FI_INT16",
        /// `u16`.
        Uint16 = FI_UINT16 "FI_UINT16",
        /// `i32`.
        Int32 = FI_INT32 "FI_INT32",
        /// `u32`.
        Uint32 = FI_UINT32 "FI_UINT32",
        /// `i64`.
        Int64 = FI_INT64 "FI_INT64",
        /// `u64`.
        Uint64 = FI_UINT64 "FI_UINT64",
        /// `f32`.
        Float = FI_FLOAT "FI_FLOAT",
        /// `f64`.
        Double = FI_DOUBLE "FI_DOUBLE",
        /// Two `f32`.
        FloatComplex = FI_FLOAT_COMPLEX "FI_FLOAT_COMPLEX",
        /// Two `f64`.
        DoubleComplex = FI_DOUBLE_COMPLEX "FI_DOUBLE_COMPLEX",
        /// `i128`.
        Int128 = FI_INT128 "FI_INT128",
        /// `u128`.
        Uint128 = FI_UINT128 "FI_UINT128",
    }

    /// A collective operation. See `fi_collective(3)`.
    Collective {
        /// All wait for each other.
        Barrier = FI_BARRIER "FI_BARRIER",
        /// From the root to all.
        Broadcast = FI_BROADCAST "FI_BROADCAST",
        /// A part from each to each.
        Alltoall = FI_ALLTOALL "FI_ALLTOALL",
        /// A reduction whose result all get.
        Allreduce = FI_ALLREDUCE "FI_ALLREDUCE",
        /// What all give, to all.
        Allgather = FI_ALLGATHER "FI_ALLGATHER",
        /// A reduction of whose result each gets a part.
        ReduceScatter = FI_REDUCE_SCATTER "FI_REDUCE_SCATTER",
        /// A reduction whose result the root gets.
        Reduce = FI_REDUCE "FI_REDUCE",
        /// A part of what the root gives to each.
        Scatter = FI_SCATTER "FI_SCATTER",
        /// What all give, to the root.
        Gather = FI_GATHER "FI_GATHER",
    }

    /// What an atomic operation does. See `fi_atomic(3)`.
    AtomicOp {
        /// The smaller value.
        Min = FI_MIN "FI_MIN",
        /// The greater value.
        Max = FI_MAX "FI_MAX",
        /// The sum.
        Sum = FI_SUM "FI_SUM",
        /// The product.
        Prod = FI_PROD "FI_PROD",
        /// Whether one of them is not zero.
        Lor = FI_LOR "FI_LOR",
        /// Whether none of them is zero.
        Land = FI_LAND "FI_LAND",
        /// Bits of either.
        Bor = FI_BOR "FI_BOR",
        /// Bits of both.
        Band = FI_BAND "FI_BAND",
        /// Whether just one of them is not zero.
        Lxor = FI_LXOR "FI_LXOR",
        /// Bits of just one.
        Bxor = FI_BXOR "FI_BXOR",
        /// What is there; fetching only.
        Read = FI_ATOMIC_READ "FI_ATOMIC_READ",
        /// The operand.
        Write = FI_ATOMIC_WRITE "FI_ATOMIC_WRITE",
        /// The operand, where what is there equals the expected.
        Cswap = FI_CSWAP "FI_CSWAP",
        /// The operand, where they differ.
        CswapNe = FI_CSWAP_NE "FI_CSWAP_NE",
        /// The operand, where the expected is less than or equal to what is there.
        CswapLe = FI_CSWAP_LE "FI_CSWAP_LE",
        /// The operand, where the expected is less.
        CswapLt = FI_CSWAP_LT "FI_CSWAP_LT",
        /// The operand, where the expected is greater than or equal.
        CswapGe = FI_CSWAP_GE "FI_CSWAP_GE",
        /// The operand, where the expected is greater.
        CswapGt = FI_CSWAP_GT "FI_CSWAP_GT",
        /// The bits of the operand that are set in the expected.
        Mswap = FI_MSWAP "FI_MSWAP",
        /// The difference (2.0).
        Diff = FI_DIFF "FI_DIFF",
    }

    /// Who makes operations progress. See `fi_domain(3)`.
    Progress {
        /// The provider's choice.
        Unspec = FI_PROGRESS_UNSPEC "FI_PROGRESS_UNSPEC",
        /// The provider, by itself.
        Auto = FI_PROGRESS_AUTO "FI_PROGRESS_AUTO",
        /// The application, by calling into the provider.
        Manual = FI_PROGRESS_MANUAL "FI_PROGRESS_MANUAL",
        /// As `Manual`, and control calls share the locks of the data path (1.21).
        ControlUnified = FI_PROGRESS_CONTROL_UNIFIED "FI_PROGRESS_CONTROL_UNIFIED",
    }

    /// Which calls the application keeps apart. See `fi_domain(3)`.
    ///
    /// `FI_THREAD_FID` and `FI_THREAD_ENDPOINT` are gone in libfabric 2 and have no name here.
    ThreadingModel {
        /// The provider's choice.
        Unspec = FI_THREAD_UNSPEC "FI_THREAD_UNSPEC",
        /// None: everything may be called from any thread at any time.
        Safe = FI_THREAD_SAFE "FI_THREAD_SAFE",
        /// All calls on one domain and what belongs to it.
        Domain = FI_THREAD_DOMAIN "FI_THREAD_DOMAIN",
        /// All calls on objects that share a completion queue or counter.
        Completion = FI_THREAD_COMPLETION "FI_THREAD_COMPLETION",
    }

    /// Whether the provider guards its queues against overrun. See `fi_domain(3)`.
    ResourceMgmt {
        /// The provider's choice.
        Unspec = FI_RM_UNSPEC "FI_RM_UNSPEC",
        /// It does not.
        Disabled = FI_RM_DISABLED "FI_RM_DISABLED",
        /// It does.
        Enabled = FI_RM_ENABLED "FI_RM_ENABLED",
    }

    /// How an address vector names its entries. See `fi_av(3)`.
    AvType {
        /// The provider's choice.
        Unspec = FI_AV_UNSPEC "FI_AV_UNSPEC",
        /// By opaque values. Deprecated in 2.x.
        Map = FI_AV_MAP "FI_AV_MAP",
        /// By index, in the order of insertion.
        Table = FI_AV_TABLE "FI_AV_TABLE",
    }

    /// What an endpoint speaks on the wire: two providers with one protocol understand each other.
    /// See `fi_endpoint(3)`.
    Protocol {
        /// Any.
        Unspec = FI_PROTO_UNSPEC "FI_PROTO_UNSPEC",
        /// InfiniBand reliable connections set up by RDMA CM.
        RdmaCmIbRc = FI_PROTO_RDMA_CM_IB_RC "FI_PROTO_RDMA_CM_IB_RC",
        /// iWARP.
        Iwarp = FI_PROTO_IWARP "FI_PROTO_IWARP",
        /// InfiniBand unreliable datagrams.
        IbUd = FI_PROTO_IB_UD "FI_PROTO_IB_UD",
        /// PSM 1.
        Psmx = FI_PROTO_PSMX "FI_PROTO_PSMX",
        /// UDP.
        Udp = FI_PROTO_UDP "FI_PROTO_UDP",
        /// The protocol of the sockets provider.
        SockTcp = FI_PROTO_SOCK_TCP "FI_PROTO_SOCK_TCP",
        /// MXM. Gone.
        Mxm = FI_PROTO_MXM "FI_PROTO_MXM",
        /// Reliable datagrams over iWARP.
        IwarpRdm = FI_PROTO_IWARP_RDM "FI_PROTO_IWARP_RDM",
        /// Reliable datagrams over InfiniBand.
        IbRdm = FI_PROTO_IB_RDM "FI_PROTO_IB_RDM",
        /// Cray GNI.
        Gni = FI_PROTO_GNI "FI_PROTO_GNI",
        /// Reliable datagrams layered over connections.
        Rxm = FI_PROTO_RXM "FI_PROTO_RXM",
        /// Reliable datagrams layered over datagrams.
        Rxd = FI_PROTO_RXD "FI_PROTO_RXD",
        /// Mellanox MXM or UCX.
        Mlx = FI_PROTO_MLX "FI_PROTO_MLX",
        /// Network Direct.
        NetworkDirect = FI_PROTO_NETWORKDIRECT "FI_PROTO_NETWORKDIRECT",
        /// PSM 2.
        Psmx2 = FI_PROTO_PSMX2 "FI_PROTO_PSMX2",
        /// Shared memory.
        Shm = FI_PROTO_SHM "FI_PROTO_SHM",
        /// Several rails.
        Mrail = FI_PROTO_MRAIL "FI_PROTO_MRAIL",
        /// Stream over RDMA.
        Rstream = FI_PROTO_RSTREAM "FI_PROTO_RSTREAM",
        /// InfiniBand extended reliable connections set up by RDMA CM.
        RdmaCmIbXrc = FI_PROTO_RDMA_CM_IB_XRC "FI_PROTO_RDMA_CM_IB_XRC",
        /// Amazon's elastic fabric adapter.
        Efa = FI_PROTO_EFA "FI_PROTO_EFA",
        /// PSM 3.
        Psmx3 = FI_PROTO_PSMX3 "FI_PROTO_PSMX3",
        /// Reliable datagrams layered over TCP connections.
        RxmTcp = FI_PROTO_RXM_TCP "FI_PROTO_RXM_TCP",
        /// Omni-Path Express.
        Opx = FI_PROTO_OPX "FI_PROTO_OPX",
        /// Slingshot.
        Cxi = FI_PROTO_CXI "FI_PROTO_CXI",
        /// The tcp provider's own.
        Xnet = FI_PROTO_XNET "FI_PROTO_XNET",
        /// Offloaded collectives (1.18).
        Coll = FI_PROTO_COLL "FI_PROTO_COLL",
        /// UCX (1.18).
        Ucx = FI_PROTO_UCX "FI_PROTO_UCX",
        /// The second shared memory provider (1.19).
        Sm2 = FI_PROTO_SM2 "FI_PROTO_SM2",
        /// Slingshot with receiver-not-ready flow control (1.21).
        CxiRnr = FI_PROTO_CXI_RNR "FI_PROTO_CXI_RNR",
        /// GigaIO FabreX (2.0).
        Lpp = FI_PROTO_LPP "FI_PROTO_LPP",
        /// Linked providers (2.0).
        Lnx = FI_PROTO_LNX "FI_PROTO_LNX",
    }

    /// The form of transport addresses. See `fi_getinfo(3)`.
    AddressFormat {
        /// The provider's own.
        Unspec = FI_FORMAT_UNSPEC "FI_FORMAT_UNSPEC",
        /// `struct sockaddr` of any family.
        Sockaddr = FI_SOCKADDR "FI_SOCKADDR",
        /// `struct sockaddr_in`.
        SockaddrIn = FI_SOCKADDR_IN "FI_SOCKADDR_IN",
        /// `struct sockaddr_in6`.
        SockaddrIn6 = FI_SOCKADDR_IN6 "FI_SOCKADDR_IN6",
        /// `struct sockaddr_ib`.
        SockaddrIb = FI_SOCKADDR_IB "FI_SOCKADDR_IB",
        /// PSM 1: one 64-bit number.
        Psmx = FI_ADDR_PSMX "FI_ADDR_PSMX",
        /// Cray GNI.
        Gni = FI_ADDR_GNI "FI_ADDR_GNI",
        /// Blue Gene/Q.
        Bgq = FI_ADDR_BGQ "FI_ADDR_BGQ",
        /// Mellanox.
        Mlx = FI_ADDR_MLX "FI_ADDR_MLX",
        /// Text that ends with a NUL.
        Str = FI_ADDR_STR "FI_ADDR_STR",
        /// PSM 2: two 64-bit numbers.
        Psmx2 = FI_ADDR_PSMX2 "FI_ADDR_PSMX2",
        /// InfiniBand unreliable datagrams: four 64-bit numbers.
        IbUd = FI_ADDR_IB_UD "FI_ADDR_IB_UD",
        /// Amazon's elastic fabric adapter.
        Efa = FI_ADDR_EFA "FI_ADDR_EFA",
        /// PSM 3: four 64-bit numbers.
        Psmx3 = FI_ADDR_PSMX3 "FI_ADDR_PSMX3",
        /// Omni-Path Express.
        Opx = FI_ADDR_OPX "FI_ADDR_OPX",
        /// Slingshot.
        Cxi = FI_ADDR_CXI "FI_ADDR_CXI",
        /// UCX (1.18).
        Ucx = FI_ADDR_UCX "FI_ADDR_UCX",
        /// `struct sockaddr_in` or `struct sockaddr_in6` (2.3).
        SockaddrIp = FI_SOCKADDR_IP "FI_SOCKADDR_IP",
    }

    /// What a waiting thread is to sleep on. See `fi_cq(3)`.
    WaitObject {
        /// Nothing: the object can only be polled.
        None = FI_WAIT_NONE "FI_WAIT_NONE",
        /// The provider's choice, used only through its blocking calls.
        Unspec = FI_WAIT_UNSPEC "FI_WAIT_UNSPEC",
        /// A wait set. Deprecated in 2.x.
        Set = FI_WAIT_SET "FI_WAIT_SET",
        /// A file descriptor.
        Fd = FI_WAIT_FD "FI_WAIT_FD",
        /// A mutex and a condition variable. Deprecated in 2.x.
        MutexCond = FI_WAIT_MUTEX_COND "FI_WAIT_MUTEX_COND",
        /// Yielding the processor in a loop.
        Yield = FI_WAIT_YIELD "FI_WAIT_YIELD",
        /// Several file descriptors.
        PollFd = FI_WAIT_POLLFD "FI_WAIT_POLLFD",
    }

    /// How much a completion queue's entries tell. See `fi_cq(3)`.
    CqFormat {
        /// The provider's choice.
        Unspec = FI_CQ_FORMAT_UNSPEC "FI_CQ_FORMAT_UNSPEC",
        /// The context alone.
        Context = FI_CQ_FORMAT_CONTEXT "FI_CQ_FORMAT_CONTEXT",
        /// Flags and length too.
        Msg = FI_CQ_FORMAT_MSG "FI_CQ_FORMAT_MSG",
        /// Buffer and immediate data too.
        Data = FI_CQ_FORMAT_DATA "FI_CQ_FORMAT_DATA",
        /// The tag too.
        Tagged = FI_CQ_FORMAT_TAGGED "FI_CQ_FORMAT_TAGGED",
    }

    /// The state of a network port. See `fi_nic(3)`.
    LinkState {
        /// Not told.
        NotTold = FI_LINK_UNKNOWN "FI_LINK_UNKNOWN",
        /// Down.
        Down = FI_LINK_DOWN "FI_LINK_DOWN",
        /// Up.
        Up = FI_LINK_UP "FI_LINK_UP",
    }
}

impl Progress {
    /// The oldest libfabric that knows this value.
    pub(crate) fn since(self) -> Version {
        match self {
            Progress::ControlUnified => Version::new(1, 21),
            _ => Version::OLDEST,
        }
    }
}

impl AddressFormat {
    /// The oldest libfabric that knows this value.
    pub(crate) fn since(self) -> Version {
        match self {
            AddressFormat::Ucx => Version::new(1, 18),
            AddressFormat::SockaddrIp => Version::new(2, 3),
            _ => Version::OLDEST,
        }
    }
}

/// The kind of service that the network is to give. See `fi_endpoint(3)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TrafficClass {
    /// The provider's choice.
    #[doc(alias = "FI_TC_UNSPEC")]
    Unspec,
    /// A differentiated services code point, 0 to 63.
    #[doc(alias = "FI_TC_DSCP")]
    #[doc(alias = "fi_tc_dscp_set")]
    Dscp(u8),
    /// No promises.
    #[doc(alias = "FI_TC_BEST_EFFORT")]
    BestEffort,
    /// Short messages that matter.
    #[doc(alias = "FI_TC_LOW_LATENCY")]
    LowLatency,
    /// Bandwidth set aside.
    #[doc(alias = "FI_TC_DEDICATED_ACCESS")]
    DedicatedAccess,
    /// Large transfers.
    #[doc(alias = "FI_TC_BULK_DATA")]
    BulkData,
    /// What others leave.
    #[doc(alias = "FI_TC_SCAVENGER")]
    Scavenger,
    /// The network's own management.
    #[doc(alias = "FI_TC_NETWORK_CTRL")]
    NetworkControl,
    /// A value that this crate does not know.
    Unknown(u32),
}

impl TrafficClass {
    /// The classes with a name, and their C names.
    const NAMED: [(TrafficClass, u32, &'static str); 7] = [
        (TrafficClass::Unspec, ofi_sys::FI_TC_UNSPEC, "FI_TC_UNSPEC"),
        (TrafficClass::BestEffort, ofi_sys::FI_TC_BEST_EFFORT, "FI_TC_BEST_EFFORT"),
        (TrafficClass::LowLatency, ofi_sys::FI_TC_LOW_LATENCY, "FI_TC_LOW_LATENCY"),
        (TrafficClass::DedicatedAccess, ofi_sys::FI_TC_DEDICATED_ACCESS, "FI_TC_DEDICATED_ACCESS"),
        (TrafficClass::BulkData, ofi_sys::FI_TC_BULK_DATA, "FI_TC_BULK_DATA"),
        (TrafficClass::Scavenger, ofi_sys::FI_TC_SCAVENGER, "FI_TC_SCAVENGER"),
        (TrafficClass::NetworkControl, ofi_sys::FI_TC_NETWORK_CTRL, "FI_TC_NETWORK_CTRL"),
    ];

    /// From libfabric's number.
    #[doc(alias = "fi_tc_dscp_get")]
    #[must_use]
    pub fn from_raw(raw: u32) -> TrafficClass {
        match Self::NAMED.iter().find(|(_, value, _)| *value == raw) {
            Some((class, ..)) => *class,
            None if raw & !0x3f == ofi_sys::FI_TC_DSCP => TrafficClass::Dscp((raw & 0x3f) as u8),
            None => TrafficClass::Unknown(raw),
        }
    }

    /// libfabric's number. Of a code point above 63 the six low bits.
    #[must_use]
    pub fn raw(self) -> u32 {
        match self {
            TrafficClass::Dscp(point) => ofi_sys::FI_TC_DSCP | u32::from(point & 0x3f),
            TrafficClass::Unknown(raw) => raw,
            named => Self::NAMED.iter().find(|(class, ..)| *class == named).map_or(0, |n| n.1),
        }
    }
}

impl fmt::Display for TrafficClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrafficClass::Dscp(point) => write!(f, "FI_TC_DSCP ({point})"),
            TrafficClass::Unknown(raw) => write!(f, "Unknown ({raw:#x})"),
            named => f.pad(Self::NAMED.iter().find(|n| n.0 == *named).map_or("", |n| n.2)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_survive_the_round_trip() {
        for raw in [0, 1, 2, 3, 4, 77, 1 << 31 | 5] {
            assert_eq!(EndpointType::from_raw(raw).raw(), raw);
            assert_eq!(ThreadingModel::from_raw(raw).raw(), raw);
            assert_eq!(Protocol::from_raw(raw).raw(), raw);
            assert_eq!(TrafficClass::from_raw(raw).raw(), raw);
        }
        assert_eq!(Protocol::from_raw(9999), Protocol::Unknown(9999));
        assert_eq!(Protocol::Unknown(1 << 31).to_string(), "Provider specific (0x80000000)");
    }

    #[test]
    fn display_is_the_c_name() {
        assert_eq!(EndpointType::Rdm.to_string(), "FI_EP_RDM");
        assert_eq!(ThreadingModel::Domain.to_string(), "FI_THREAD_DOMAIN");
        assert_eq!(AddressFormat::SockaddrIn.to_string(), "FI_SOCKADDR_IN");
        assert_eq!(format!("{:<12}|", EndpointType::Msg), "FI_EP_MSG   |");
    }

    #[test]
    fn traffic_classes() {
        assert_eq!(TrafficClass::Dscp(46).raw(), ofi_sys::FI_TC_DSCP | 46);
        assert_eq!(TrafficClass::from_raw(TrafficClass::Dscp(46).raw()), TrafficClass::Dscp(46));
        assert_eq!(TrafficClass::from_raw(TrafficClass::BulkData.raw()), TrafficClass::BulkData);
        assert_eq!(TrafficClass::LowLatency.to_string(), "FI_TC_LOW_LATENCY");
    }
}
