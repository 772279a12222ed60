//! The bit sets of libfabric, one type for each family.
//!
//! libfabric keeps all of them in one 64-bit space and reuses bits by context: bit 59 alone is a
//! capability, an operation flag, a mode, a bind flag and an address vector flag. So each parameter
//! has a type of its own here. Bits that this crate does not know are kept, never refused.

use std::fmt;

use bitflags::bitflags;

use crate::Version;

/// The constants of C; those that libfabric 2 has dropped, with the bits that 1.x gives them.
mod c {
    pub(super) use ofi_sys::*;

    pub(super) const FI_XPU_TRIGGER: u64 = 1 << 44;
    pub(super) const FI_BUFFERED_RECV: u64 = 1 << 51;
    pub(super) const FI_RESTRICTED_COMP: u64 = 1 << 53;
    pub(super) const FI_NOTIFY_FLAGS_ONLY: u64 = 1 << 54;
}

/// One bit set per family: a `bitflags` type whose constants carry their C names.
macro_rules! families {
    ($(
        $(#[$doc:meta])*
        $family:ident: $bits:ty = $prefix:literal {
            $($name:ident = $c:ident $alias:literal, $word:literal;)*
        }
    )*) => {$(
        bitflags! {
            $(#[$doc])*
            ///
            /// Unknown bits are retained.
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub struct $family: $bits {
                $(
                    #[doc = $word]
                    #[doc(alias = $alias)]
                    const $name = c::$c as $bits;
                )*
                // Whatever a newer library sets stays set.
                const _ = !0;
            }
        }

        impl $family {
            /// The set with exactly these bits, known or not.
            #[must_use]
            pub const fn from_raw(bits: $bits) -> $family {
                $family::from_bits_retain(bits)
            }

            /// The bits as libfabric takes them.
            #[must_use]
            pub const fn raw(self) -> $bits {
                self.bits()
            }
        }

        /// The C names, separated by `, ` as `fi_tostr` prints them; unknown bits in hexadecimal.
        impl fmt::Display for $family {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut rest = self.bits();
                let mut separator = "";
                for (name, flag) in self.iter_names() {
                    write!(f, "{separator}{}{name}", $prefix)?;
                    rest &= !flag.bits();
                    separator = ", ";
                }
                if rest != 0 {
                    write!(f, "{separator}{rest:#x}")?;
                }
                Ok(())
            }
        }
    )*};
}

families! {
    /// What an endpoint can do: `fi_info.caps`, and those of its transmit and receive side.
    ///
    /// See `fi_getinfo(3)`.
    Caps: u64 = "FI_" {
        MSG = FI_MSG "FI_MSG", "Messages.";
        RMA = FI_RMA "FI_RMA", "Remote memory reads and writes.";
        TAGGED = FI_TAGGED "FI_TAGGED", "Tagged messages.";
        ATOMIC = FI_ATOMIC "FI_ATOMIC", "Atomic operations on remote memory.";
        MULTICAST = FI_MULTICAST "FI_MULTICAST", "Multicast messages.";
        COLLECTIVE = FI_COLLECTIVE "FI_COLLECTIVE", "Collective operations.";
        READ = FI_READ "FI_READ", "Starting reads from remote memory.";
        WRITE = FI_WRITE "FI_WRITE", "Starting writes to remote memory.";
        RECV = FI_RECV "FI_RECV", "Receiving messages.";
        SEND = FI_SEND "FI_SEND", "Sending messages.";
        REMOTE_READ = FI_REMOTE_READ "FI_REMOTE_READ", "Being the target of reads.";
        REMOTE_WRITE = FI_REMOTE_WRITE "FI_REMOTE_WRITE", "Being the target of writes.";
        MULTI_RECV = FI_MULTI_RECV "FI_MULTI_RECV", "Many messages received into one buffer.";
        REMOTE_CQ_DATA = FI_REMOTE_CQ_DATA "FI_REMOTE_CQ_DATA", "Immediate data. Not a capability to ask for: see \
            `Info::domain().cq_data_size()`.";
        TRIGGER = FI_TRIGGER "FI_TRIGGER", "Triggered operations.";
        FENCE = FI_FENCE "FI_FENCE", "Fenced operations.";
        PEER = FI_PEER "FI_PEER", "Use as a peer of another provider (1.17).";
        AV_USER_ID = FI_AV_USER_ID "FI_AV_USER_ID", "Addresses reported by the user's own number (1.16).";
        XPU_TRIGGER = FI_XPU_TRIGGER "FI_XPU_TRIGGER", "Triggered operations of accelerators (1.15 to 1.20).";
        TAGGED_DIRECTED_RECV = FI_TAGGED_DIRECTED_RECV "FI_TAGGED_DIRECTED_RECV", "Receives that match by source address, \
            for tagged messages only (2.0).";
        TAGGED_MULTI_RECV = FI_TAGGED_MULTI_RECV "FI_TAGGED_MULTI_RECV", "Many tagged messages received into one buffer \
            (2.0).";
        HMEM = FI_HMEM "FI_HMEM", "Buffers in device memory.";
        EXACT_DIRECTED_RECV = FI_EXACT_DIRECTED_RECV "FI_EXACT_DIRECTED_RECV", "Directed receives with an exact source \
            only (2.0; libraries before 1.21 took this bit for variable-length messages).";
        RMA_PMEM = FI_RMA_PMEM "FI_RMA_PMEM", "Persistent memory as the target.";
        SOURCE_ERR = FI_SOURCE_ERR "FI_SOURCE_ERR", "Raw source addresses of unknown peers in error entries.";
        LOCAL_COMM = FI_LOCAL_COMM "FI_LOCAL_COMM", "Communication with peers on this host.";
        REMOTE_COMM = FI_REMOTE_COMM "FI_REMOTE_COMM", "Communication with peers on other hosts.";
        SHARED_AV = FI_SHARED_AV "FI_SHARED_AV", "Address vectors shared among processes.";
        RMA_EVENT = FI_RMA_EVENT "FI_RMA_EVENT", "Counting remote operations at the target.";
        SOURCE = FI_SOURCE "FI_SOURCE", "The source address with every received message.";
        NAMED_RX_CTX = FI_NAMED_RX_CTX "FI_NAMED_RX_CTX", "Addressing single receive contexts of a peer.";
        DIRECTED_RECV = FI_DIRECTED_RECV "FI_DIRECTED_RECV", "Receives that match by source address.";
    }

    /// What a provider asks of the application: `fi_info.mode`.
    ///
    /// In hints, the modes the application can serve; in results, the ones it must.
    /// See `fi_getinfo(3)`.
    Mode: u64 = "FI_" {
        CONTEXT = FI_CONTEXT "FI_CONTEXT", "Every operation's context points to a `struct fi_context`.";
        MSG_PREFIX = FI_MSG_PREFIX "FI_MSG_PREFIX", "Room for a header before every message.";
        ASYNC_IOV = FI_ASYNC_IOV "FI_ASYNC_IOV", "I/O vectors stay valid until the completion.";
        RX_CQ_DATA = FI_RX_CQ_DATA "FI_RX_CQ_DATA", "Incoming immediate data consumes a posted receive.";
        LOCAL_MR = FI_LOCAL_MR "FI_LOCAL_MR", "Local buffers are registered. Ignored since 1.5: see \
            [`MrMode::LOCAL`].";
        NOTIFY_FLAGS_ONLY = FI_NOTIFY_FLAGS_ONLY "FI_NOTIFY_FLAGS_ONLY", "Completions carry only the flags that differ \
            (until 1.20).";
        RESTRICTED_COMP = FI_RESTRICTED_COMP "FI_RESTRICTED_COMP", "Queues and counters are shared only by endpoints of \
            one kind (until 1.20).";
        CONTEXT2 = FI_CONTEXT2 "FI_CONTEXT2", "Every operation's context points to a `struct fi_context2`.";
        BUFFERED_RECV = FI_BUFFERED_RECV "FI_BUFFERED_RECV", "Received messages are offered in provider buffers \
            (until 1.20).";
    }

    /// How memory is to be registered: `fi_domain_attr.mr_mode`.
    ///
    /// In hints, what the application can cope with; in results, what it must. See `fi_mr(3)`.
    MrMode: i32 = "FI_MR_" {
        BASIC = FI_MR_BASIC "FI_MR_BASIC", "The registration of old: stands alone. Deprecated.";
        SCALABLE = FI_MR_SCALABLE "FI_MR_SCALABLE", "The other registration of old: stands alone. Deprecated.";
        LOCAL = FI_MR_LOCAL "FI_MR_LOCAL", "Local buffers must be registered.";
        RAW = FI_MR_RAW "FI_MR_RAW", "Keys are longer than 64 bits.";
        VIRT_ADDR = FI_MR_VIRT_ADDR "FI_MR_VIRT_ADDR", "Remote memory is named by the target's virtual address.";
        ALLOCATED = FI_MR_ALLOCATED "FI_MR_ALLOCATED", "Memory must be backed by pages when registered.";
        PROV_KEY = FI_MR_PROV_KEY "FI_MR_PROV_KEY", "The provider chooses keys.";
        MMU_NOTIFY = FI_MR_MMU_NOTIFY "FI_MR_MMU_NOTIFY", "The application tells of changed page mappings.";
        RMA_EVENT = FI_MR_RMA_EVENT "FI_MR_RMA_EVENT", "Regions with a counter are enabled in a call of their own.";
        ENDPOINT = FI_MR_ENDPOINT "FI_MR_ENDPOINT", "Regions are bound to an endpoint and enabled.";
        HMEM = FI_MR_HMEM "FI_MR_HMEM", "Device memory must be registered.";
        COLLECTIVE = FI_MR_COLLECTIVE "FI_MR_COLLECTIVE", "Buffers of collectives must be registered.";
    }

    /// Options of one operation, or the default ones of an endpoint (`op_flags`).
    ///
    /// See `fi_msg(3)` and `fi_endpoint(3)`.
    OpFlags: u64 = "FI_" {
        MULTICAST = FI_MULTICAST "FI_MULTICAST", "The destination is a multicast group.";
        MULTI_RECV = FI_MULTI_RECV "FI_MULTI_RECV", "The buffer takes many messages.";
        REMOTE_CQ_DATA = FI_REMOTE_CQ_DATA "FI_REMOTE_CQ_DATA", "Immediate data goes with the operation.";
        MORE = FI_MORE "FI_MORE", "Further posts follow at once.";
        PEEK = FI_PEEK "FI_PEEK", "Look for a message without receiving it.";
        TRIGGER = FI_TRIGGER "FI_TRIGGER", "The operation waits for its trigger.";
        FENCE = FI_FENCE "FI_FENCE", "Wait for earlier operations to the same peer.";
        COMPLETION = FI_COMPLETION "FI_COMPLETION", "Report the completion.";
        INJECT = FI_INJECT "FI_INJECT", "The buffer may be reused when the call returns.";
        INJECT_COMPLETE = FI_INJECT_COMPLETE "FI_INJECT_COMPLETE", "Complete when the buffer may be reused.";
        TRANSMIT_COMPLETE = FI_TRANSMIT_COMPLETE "FI_TRANSMIT_COMPLETE", "Complete when it no longer depends on this side.";
        DELIVERY_COMPLETE = FI_DELIVERY_COMPLETE "FI_DELIVERY_COMPLETE", "Complete when the target has processed it.";
        AFFINITY = FI_AFFINITY "FI_AFFINITY", "Keep to one queue of the device.";
        COMMIT_COMPLETE = FI_COMMIT_COMPLETE "FI_COMMIT_COMPLETE", "Complete when it is durable at the target.";
        MATCH_COMPLETE = FI_MATCH_COMPLETE "FI_MATCH_COMPLETE", "Complete when matched with a receive.";
        DISCARD = FI_DISCARD "FI_DISCARD", "Drop the claimed or peeked message.";
        CLAIM = FI_CLAIM "FI_CLAIM", "Claim the peeked message, or receive the claimed one.";
    }

    /// What a completion tells of its operation.
    ///
    /// See `fi_cq(3)`.
    CqFlags: u64 = "FI_" {
        MSG = FI_MSG "FI_MSG", "A message operation.";
        RMA = FI_RMA "FI_RMA", "A remote memory operation.";
        TAGGED = FI_TAGGED "FI_TAGGED", "A tagged operation.";
        ATOMIC = FI_ATOMIC "FI_ATOMIC", "An atomic operation.";
        MULTICAST = FI_MULTICAST "FI_MULTICAST", "A multicast operation.";
        COLLECTIVE = FI_COLLECTIVE "FI_COLLECTIVE", "A collective operation.";
        READ = FI_READ "FI_READ", "A read started here.";
        WRITE = FI_WRITE "FI_WRITE", "A write started here.";
        RECV = FI_RECV "FI_RECV", "Something was received.";
        SEND = FI_SEND "FI_SEND", "Something was sent.";
        REMOTE_READ = FI_REMOTE_READ "FI_REMOTE_READ", "A peer read from this side.";
        REMOTE_WRITE = FI_REMOTE_WRITE "FI_REMOTE_WRITE", "A peer wrote to this side.";
        MULTI_RECV = FI_MULTI_RECV "FI_MULTI_RECV", "The multi-receive buffer is released.";
        REMOTE_CQ_DATA = FI_REMOTE_CQ_DATA "FI_REMOTE_CQ_DATA", "Immediate data is present.";
        MORE = FI_MORE "FI_MORE", "More of a buffered message follows.";
        COMPLETION = FI_COMPLETION "FI_COMPLETION", "A completion that was asked for.";
        CLAIM = FI_CLAIM "FI_CLAIM", "A buffered message is to be claimed.";
    }

    /// What a memory region may be used for.
    ///
    /// See `fi_mr(3)`.
    Access: u64 = "FI_" {
        SEND = FI_SEND "FI_SEND", "Source of messages.";
        RECV = FI_RECV "FI_RECV", "Target of received messages.";
        READ = FI_READ "FI_READ", "Local target of reads started here.";
        WRITE = FI_WRITE "FI_WRITE", "Local source of writes started here.";
        REMOTE_READ = FI_REMOTE_READ "FI_REMOTE_READ", "Read by peers.";
        REMOTE_WRITE = FI_REMOTE_WRITE "FI_REMOTE_WRITE", "Written by peers.";
        COLLECTIVE = FI_COLLECTIVE "FI_COLLECTIVE", "Used by collectives.";
    }

    /// What the group of a set of addresses is for.
    ///
    /// See `fi_av_set(3)`.
    SetFlags: u64 = "FI_" {
        BARRIER_SET = FI_BARRIER_SET "FI_BARRIER_SET", "Barriers.";
        BROADCAST_SET = FI_BROADCAST_SET "FI_BROADCAST_SET", "Broadcasts.";
        ALLTOALL_SET = FI_ALLTOALL_SET "FI_ALLTOALL_SET", "From all to all.";
        ALLREDUCE_SET = FI_ALLREDUCE_SET "FI_ALLREDUCE_SET", "Reductions whose result all get.";
        ALLGATHER_SET = FI_ALLGATHER_SET "FI_ALLGATHER_SET", "Gathering for all.";
        REDUCE_SCATTER_SET = FI_REDUCE_SCATTER_SET "FI_REDUCE_SCATTER_SET", "Reductions of whose result each gets a part.";
        REDUCE_SET = FI_REDUCE_SET "FI_REDUCE_SET", "Reductions for one.";
        SCATTER_SET = FI_SCATTER_SET "FI_SCATTER_SET", "Scattering.";
        GATHER_SET = FI_GATHER_SET "FI_GATHER_SET", "Gathering for one.";
    }

    /// Options of a registration.
    ///
    /// See `fi_mr(3)`.
    MrFlags: u64 = "FI_" {
        MR_DMABUF = FI_MR_DMABUF "FI_MR_DMABUF", "The memory is named by a dmabuf file descriptor (1.20).";
        MR_SINGLE_USE = FI_MR_SINGLE_USE "FI_MR_SINGLE_USE", "The key serves one operation (2.0).";
        HMEM_HOST_ALLOC = FI_HMEM_HOST_ALLOC "FI_HMEM_HOST_ALLOC", "The device's runtime allocated it on the host.";
        HMEM_DEVICE_ONLY = FI_HMEM_DEVICE_ONLY "FI_HMEM_DEVICE_ONLY", "Reachable by the device alone.";
        RMA_PMEM = FI_RMA_PMEM "FI_RMA_PMEM", "Persistent memory.";
        RMA_EVENT = FI_RMA_EVENT "FI_RMA_EVENT", "Remote operations on it are counted.";
        AUTH_KEY = FI_AUTH_KEY "FI_AUTH_KEY", "Restricted to the given authorization key (1.20).";
    }

    /// The order in which operations take effect at the target.
    ///
    /// `XAY`: an operation X posted after a Y does not overtake it; R, W and S stand for read,
    /// write and send. See `fi_endpoint(3)`.
    MsgOrder: u64 = "FI_ORDER_" {
        RAR = FI_ORDER_RAR "FI_ORDER_RAR", "Read after read.";
        RAW = FI_ORDER_RAW "FI_ORDER_RAW", "Read after write.";
        RAS = FI_ORDER_RAS "FI_ORDER_RAS", "Read after send.";
        WAR = FI_ORDER_WAR "FI_ORDER_WAR", "Write after read.";
        WAW = FI_ORDER_WAW "FI_ORDER_WAW", "Write after write.";
        WAS = FI_ORDER_WAS "FI_ORDER_WAS", "Write after send.";
        SAR = FI_ORDER_SAR "FI_ORDER_SAR", "Send after read.";
        SAW = FI_ORDER_SAW "FI_ORDER_SAW", "Send after write.";
        SAS = FI_ORDER_SAS "FI_ORDER_SAS", "Send after send.";
        RMA_RAR = FI_ORDER_RMA_RAR "FI_ORDER_RMA_RAR", "RMA read after RMA read.";
        RMA_RAW = FI_ORDER_RMA_RAW "FI_ORDER_RMA_RAW", "RMA read after RMA write.";
        RMA_WAR = FI_ORDER_RMA_WAR "FI_ORDER_RMA_WAR", "RMA write after RMA read.";
        RMA_WAW = FI_ORDER_RMA_WAW "FI_ORDER_RMA_WAW", "RMA write after RMA write.";
        ATOMIC_RAR = FI_ORDER_ATOMIC_RAR "FI_ORDER_ATOMIC_RAR", "Atomic read after atomic read.";
        ATOMIC_RAW = FI_ORDER_ATOMIC_RAW "FI_ORDER_ATOMIC_RAW", "Atomic read after atomic write.";
        ATOMIC_WAR = FI_ORDER_ATOMIC_WAR "FI_ORDER_ATOMIC_WAR", "Atomic write after atomic read.";
        ATOMIC_WAW = FI_ORDER_ATOMIC_WAW "FI_ORDER_ATOMIC_WAW", "Atomic write after atomic write.";
    }

    /// The order in which completions are reported. libfabric 2 ignores it: completions come in any
    /// order.
    ///
    /// See `fi_endpoint(3)` of 1.x.
    CompOrder: u64 = "FI_ORDER_" {
        STRICT = FI_ORDER_STRICT "FI_ORDER_STRICT", "Completions come in the order of the posts.";
        DATA = FI_ORDER_DATA "FI_ORDER_DATA", "The bytes of one message arrive in order.";
    }

    /// Options of an address vector and of inserting into one.
    ///
    /// See `fi_av(3)`.
    AvFlags: u64 = "FI_" {
        READ = FI_READ "FI_READ", "Opened for look-ups only, shared by name.";
        MORE = FI_MORE "FI_MORE", "Further inserts follow at once.";
        EVENT = FI_EVENT "FI_EVENT", "Inserts finish on an event queue. Deprecated in 2.x.";
        AV_USER_ID = FI_AV_USER_ID "FI_AV_USER_ID", "The address is reported by the user's own number (1.16).";
        FIREWALL_ADDR = FI_FIREWALL_ADDR "FI_FIREWALL_ADDR", "The peer sits behind a firewall (2.2).";
        SYNC_ERR = FI_SYNC_ERR "FI_SYNC_ERR", "One error number for every address of an insert.";
        SYMMETRIC = FI_SYMMETRIC "FI_SYMMETRIC", "All processes hold the same addresses in the same order.";
    }

    /// Options of a query for providers.
    ///
    /// See `fi_getinfo(3)`.
    GetInfoFlags: u64 = "FI_" {
        RESCAN = FI_RESCAN "FI_RESCAN", "Look for devices and providers anew (2.2).";
        PROV_ATTR_ONLY = FI_PROV_ATTR_ONLY "FI_PROV_ATTR_ONLY", "Names and versions of the providers, nothing else.";
        NUMERICHOST = FI_NUMERICHOST "FI_NUMERICHOST", "The node is an address in numbers: no name is resolved.";
        SOURCE = FI_SOURCE "FI_SOURCE", "Node and service name this side, not the peer.";
    }

    /// What an endpoint reports to the queue, counter or vector that it is bound to.
    ///
    /// See `fi_endpoint(3)`.
    BindFlags: u64 = "FI_" {
        READ = FI_READ "FI_READ", "Reads started here.";
        WRITE = FI_WRITE "FI_WRITE", "Writes started here.";
        RECV = FI_RECV "FI_RECV", "Receives.";
        TRANSMIT = FI_TRANSMIT "FI_TRANSMIT", "Sends, and for a queue everything else started here.";
        REMOTE_READ = FI_REMOTE_READ "FI_REMOTE_READ", "Reads by peers.";
        REMOTE_WRITE = FI_REMOTE_WRITE "FI_REMOTE_WRITE", "Writes by peers.";
        SELECTIVE_COMPLETION = FI_SELECTIVE_COMPLETION "FI_SELECTIVE_COMPLETION", "Successful operations are reported only \
            where asked for.";
    }
}

impl Caps {
    /// The kinds of data transfer: a query must ask for one of them.
    pub const TRANSFERS: Caps = Caps::MSG.union(Caps::RMA).union(Caps::TAGGED).union(Caps::ATOMIC);

    /// The oldest libfabric in which all of these bits mean what this crate takes them for.
    ///
    /// Bits were recycled between 1.x and 2.x, so asking an older library for them may ask for
    /// something else.
    pub(crate) fn since(self) -> Version {
        since(
            self,
            &[
                (Caps::TAGGED_DIRECTED_RECV, Version::new(2, 0)),
                (Caps::TAGGED_MULTI_RECV, Version::new(2, 0)),
                (Caps::EXACT_DIRECTED_RECV, Version::new(2, 0)),
            ],
        )
    }
}

impl MrMode {
    /// Those of old, which stand for several, as what they stand for (`fi_mr(3)`).
    pub(crate) fn taken_apart(self) -> MrMode {
        let mut mode = self.difference(MrMode::BASIC | MrMode::SCALABLE);
        if self.contains(MrMode::BASIC) {
            mode |= MrMode::VIRT_ADDR | MrMode::ALLOCATED | MrMode::PROV_KEY;
        }
        mode
    }
}

impl GetInfoFlags {
    /// The oldest libfabric that knows all of these bits.
    pub(crate) fn since(self) -> Version {
        since(self, &[(GetInfoFlags::RESCAN, Version::new(2, 2))])
    }
}

impl AvFlags {
    #[allow(dead_code, reason = "no safe call takes these bits yet; one that does asks here")]
    /// The oldest libfabric that knows all of these bits.
    pub(crate) fn since(self) -> Version {
        since(self, &[(AvFlags::FIREWALL_ADDR, Version::new(2, 2))])
    }
}

impl MrFlags {
    /// The oldest libfabric that knows all of these bits.
    pub(crate) fn since(self) -> Version {
        since(
            self,
            &[
                (MrFlags::MR_DMABUF, Version::new(1, 20)),
                (MrFlags::AUTH_KEY, Version::new(1, 20)),
                (MrFlags::MR_SINGLE_USE, Version::new(2, 0)),
            ],
        )
    }
}

/// The newest version that one of `flags` needs.
fn since<F: bitflags::Flags + Copy>(flags: F, newer: &[(F, Version)]) -> Version {
    newer
        .iter()
        .filter(|(flag, _)| flags.intersects(*flag))
        .map(|(_, version)| *version)
        .fold(Version::OLDEST, Version::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_are_kept_and_shown() {
        let odd = Caps::from_raw(ofi_sys::FI_MSG | 1 << 62);
        assert_eq!(odd.raw(), ofi_sys::FI_MSG | 1 << 62);
        assert_eq!(odd.to_string(), "FI_MSG, 0x4000000000000000");
        assert_eq!(MrMode::from_raw(1 << 30).to_string(), "0x40000000");
    }

    #[test]
    fn names_are_those_of_c() {
        assert_eq!((Caps::MSG | Caps::TAGGED).to_string(), "FI_MSG, FI_TAGGED");
        assert_eq!(MrMode::PROV_KEY.to_string(), "FI_MR_PROV_KEY");
        assert_eq!(MsgOrder::SAS.to_string(), "FI_ORDER_SAS");
        assert_eq!(Caps::empty().to_string(), "");
    }

    #[test]
    fn one_bit_has_one_meaning_per_family() {
        // Bit 59 is five things in C.
        assert_eq!(Caps::DIRECTED_RECV.raw(), OpFlags::CLAIM.raw());
        assert_eq!(Mode::CONTEXT.raw(), BindFlags::SELECTIVE_COMPLETION.raw());
        assert_eq!(AvFlags::SYMMETRIC.raw(), 1 << 59);
    }

    // rule: D1
    #[test]
    fn recycled_bits_know_their_version() {
        assert_eq!(Caps::MSG.since(), Version::OLDEST);
        assert_eq!((Caps::MSG | Caps::TAGGED_MULTI_RECV).since(), Version::new(2, 0));
        assert_eq!(GetInfoFlags::RESCAN.since(), Version::new(2, 2));
        assert_eq!(AvFlags::FIREWALL_ADDR.since(), Version::new(2, 2));
        assert_eq!((MrFlags::MR_DMABUF | MrFlags::MR_SINGLE_USE).since(), Version::new(2, 0));
    }
}
