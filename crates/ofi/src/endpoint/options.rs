//! Options of endpoints: set before an endpoint is enabled (rule L4), read after (rule L11).

use std::ffi::c_int;

use ofi_sys::fid_ep;

use super::{Core, Endpoint, EndpointBuilder, Kind};
use crate::{
    CompletionLevel, Errno, Error, Result, Version,
    error::{Needs, check},
    quirks::{self, Defect},
    threading::Threading,
    version,
};

/// How the provider may move data from and to device memory.
///
/// See `fi_endpoint(3)`, `FI_OPT_FI_HMEM_P2P`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HmemP2p {
    /// Peer to peer, or by copies: the provider chooses.
    #[doc(alias = "FI_HMEM_P2P_ENABLED")]
    Enabled,
    /// Peer to peer only; transfers that cannot fail.
    #[doc(alias = "FI_HMEM_P2P_REQUIRED")]
    Required,
    /// Peer to peer wherever it can be had.
    #[doc(alias = "FI_HMEM_P2P_PREFERRED")]
    Preferred,
    /// By copies only.
    #[doc(alias = "FI_HMEM_P2P_DISABLED")]
    Disabled,
    /// A value that this crate does not know.
    Unknown(i32),
}

impl HmemP2p {
    fn from_raw(raw: c_int) -> HmemP2p {
        match raw {
            ofi_sys::FI_HMEM_P2P_ENABLED => HmemP2p::Enabled,
            ofi_sys::FI_HMEM_P2P_REQUIRED => HmemP2p::Required,
            ofi_sys::FI_HMEM_P2P_PREFERRED => HmemP2p::Preferred,
            ofi_sys::FI_HMEM_P2P_DISABLED => HmemP2p::Disabled,
            other => HmemP2p::Unknown(other),
        }
    }

    fn raw(self) -> c_int {
        match self {
            HmemP2p::Enabled => ofi_sys::FI_HMEM_P2P_ENABLED,
            HmemP2p::Required => ofi_sys::FI_HMEM_P2P_REQUIRED,
            HmemP2p::Preferred => ofi_sys::FI_HMEM_P2P_PREFERRED,
            HmemP2p::Disabled => ofi_sys::FI_HMEM_P2P_DISABLED,
            HmemP2p::Unknown(other) => other,
        }
    }
}

/// An option: libfabric's number, its C name, the version that brought it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name {
    number: c_int,
    text: &'static str,
    since: Version,
}

macro_rules! names {
    ($($name:ident = $c:ident, $major:literal $minor:literal;)*) => {$(
        pub(super) const $name: $crate::endpoint::options::Name =
            $crate::endpoint::options::Name::new(
                ofi_sys::$c,
                stringify!($c),
                $crate::Version::new($major, $minor),
            );
    )*};
}
pub(super) use names;

// Left out: FI_OPT_BUFFERED_* (not in libfabric 2), FI_OPT_*_BUF_SIZE, FI_OPT_TX_SIZE and
// FI_OPT_RX_SIZE (no type is defined for them). What single providers define: see `efa`.
names! {
    MIN_MULTI_RECV = FI_OPT_MIN_MULTI_RECV, 1 0;
    CM_DATA_SIZE = FI_OPT_CM_DATA_SIZE, 1 0;
    HMEM_P2P = FI_OPT_FI_HMEM_P2P, 1 14;
    CUDA_API_PERMITTED = FI_OPT_CUDA_API_PERMITTED, 1 18;
    SHARED_MEMORY_PERMITTED = FI_OPT_SHARED_MEMORY_PERMITTED, 1 21;
    MAX_MSG_SIZE = FI_OPT_MAX_MSG_SIZE, 1 22;
    MAX_TAGGED_SIZE = FI_OPT_MAX_TAGGED_SIZE, 1 22;
    MAX_RMA_SIZE = FI_OPT_MAX_RMA_SIZE, 1 22;
    MAX_ATOMIC_SIZE = FI_OPT_MAX_ATOMIC_SIZE, 1 22;
    INJECT_MSG_SIZE = FI_OPT_INJECT_MSG_SIZE, 1 22;
    INJECT_TAGGED_SIZE = FI_OPT_INJECT_TAGGED_SIZE, 1 22;
    INJECT_RMA_SIZE = FI_OPT_INJECT_RMA_SIZE, 1 22;
    INJECT_ATOMIC_SIZE = FI_OPT_INJECT_ATOMIC_SIZE, 1 22;
    FIREWALL_ADDR = FI_OPT_FIREWALL_ADDR, 2 2;
}

impl Name {
    pub(super) const fn new(number: c_int, text: &'static str, since: Version) -> Name {
        Name { number, text, since }
    }

    /// Numbers that the running library does not know yet are not passed to it: it may have used
    /// them otherwise.
    fn known(self, attempted: &'static str) -> Result<()> {
        if version() < self.since {
            return Err(Error::unsupported(attempted, Needs::Version(self.since)).detail(self.text));
        }
        Ok(())
    }
}

/// A value as C takes it: always eight bytes of room, `length` of them meant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    bytes: [u8; 8],
    length: usize,
}

impl Value {
    fn new(bytes: &[u8]) -> Value {
        let mut value = Value { bytes: [0; 8], length: bytes.len() };
        value.bytes[..bytes.len()].copy_from_slice(bytes);
        value
    }

    pub(super) fn size(value: usize) -> Value {
        Value::new(&value.to_ne_bytes())
    }

    fn int(value: c_int) -> Value {
        Value::new(&value.to_ne_bytes())
    }

    pub(super) fn bool(value: bool) -> Value {
        Value::new(&[u8::from(value)])
    }
}

/// The options of an endpoint in the making.
#[derive(Debug, Default)]
pub(crate) struct Options {
    set: Vec<(Name, Value)>,
    /// What completions mean, set by a command of its own.
    pub(super) level: Option<CompletionLevel>,
}

impl Options {
    pub(super) fn set(&mut self, name: Name, value: Value) {
        self.set.retain(|(other, _)| other.number != name.number);
        self.set.push((name, value));
    }

    pub(super) fn set_min_multi_recv(&mut self, bytes: usize) {
        self.set(MIN_MULTI_RECV, Value::size(bytes));
    }

    /// Sets them, at the time that the provider takes them: `enabled` says which it is.
    pub(super) fn apply(&self, ep: *mut fid_ep, provider: &str, enabled: bool) -> Result<()> {
        const NAME: &str = "fi_setopt";
        if enabled != quirks::quirk(provider, Defect::OptionBeforeEnable).is_some() {
            return Ok(());
        }
        for (name, value) in &self.set {
            name.known(NAME)?;
            // SAFETY: the endpoint is open and in the hands of its builder alone (rule L8); the
            // value has the type of this option, with room behind it.
            let status = unsafe {
                ofi_sys::fi_setopt(
                    ep.cast(),
                    ofi_sys::FI_OPT_ENDPOINT,
                    name.number,
                    value.bytes.as_ptr().cast(),
                    value.length,
                )
            };
            check(i64::from(status), NAME).map_err(|error| match error.errno() {
                Some(Errno::ENOPROTOOPT | Errno::ENOSYS | Errno::EOPNOTSUPP) => Error::unsupported(
                    NAME,
                    Needs::Property("a provider with this endpoint option"),
                )
                .detail(name.text),
                _ => error.detail(name.text),
            })?;
        }
        Ok(())
    }
}

/// What an enabled endpoint says, or `None` if its provider does not have the option.
pub(super) fn read(ep: *mut fid_ep, name: Name, length: usize) -> Result<Option<[u8; 8]>> {
    const NAME: &str = "fi_getopt";
    name.known(NAME)?;
    let mut bytes = [0_u64; 2];
    let mut written = length;
    // SAFETY: the endpoint is open and enabled (rule L11); the room is twice the longest option.
    let status = unsafe {
        ofi_sys::fi_getopt(
            ep.cast(),
            ofi_sys::FI_OPT_ENDPOINT,
            name.number,
            bytes.as_mut_ptr().cast(),
            &raw mut written,
        )
    };
    match check(i64::from(status), NAME) {
        Ok(_) => Ok(Some(bytes[0].to_ne_bytes())),
        Err(error) => match error.errno() {
            Some(Errno::ENOPROTOOPT | Errno::ENOSYS) => Ok(None),
            _ => Err(error.detail(name.text)),
        },
    }
}

pub(super) fn read_size(ep: *mut fid_ep, name: Name) -> Result<Option<usize>> {
    Ok(read(ep, name, size_of::<usize>())?.map(|bytes| {
        let mut size = [0; size_of::<usize>()];
        size.copy_from_slice(&bytes[..size_of::<usize>()]);
        usize::from_ne_bytes(size)
    }))
}

pub(super) fn read_bool(ep: *mut fid_ep, name: Name) -> Result<Option<bool>> {
    Ok(read(ep, name, size_of::<bool>())?.map(|bytes| bytes[0] != 0))
}

impl<T: Threading> Core<T> {
    /// What is kept free of a multi-receive buffer, where the provider says.
    pub(crate) fn min_multi_recv(&self) -> Result<Option<usize>> {
        read_size(self.fid.as_ptr(), MIN_MULTI_RECV)
    }
}

fn read_int(ep: *mut fid_ep, name: Name) -> Result<Option<c_int>> {
    let bytes = read(ep, name, size_of::<c_int>())?;
    Ok(bytes.map(|b| c_int::from_ne_bytes([b[0], b[1], b[2], b[3]])))
}

/// Options that are sizes in bytes: a setter of the builder, a getter of the endpoint.
macro_rules! sizes {
    ($($(#[$doc:meta])* $method:ident = $name:ident $alias:literal;)*) => {
        /// Options, set when the endpoint is enabled, which fails with `Unsupported` where the
        /// provider does not have one of them or the running library is older than it.
        impl<K: Kind, T: Threading> EndpointBuilder<K, T> {
            $(
                $(#[$doc])*
                #[doc(alias = $alias)]
                pub fn $method(mut self, bytes: usize) -> Self {
                    self.options.set($name, Value::size(bytes));
                    self
                }
            )*

            /// How device memory may be reached.
            #[doc(alias = "FI_OPT_FI_HMEM_P2P")]
            #[doc(alias = "fi_setopt")]
            pub fn hmem_p2p(mut self, way: HmemP2p) -> Self {
                self.options.set(HMEM_P2P, Value::int(way.raw()));
                self
            }

            /// Whether the provider may call CUDA (1.18). It can only be set, not read.
            #[doc(alias = "FI_OPT_CUDA_API_PERMITTED")]
            pub fn cuda_api_permitted(mut self, permitted: bool) -> Self {
                self.options.set(CUDA_API_PERMITTED, Value::bool(permitted));
                self
            }

            /// Whether the provider may use shared memory for peers on this host (1.21). It can
            /// only be set, not read.
            #[doc(alias = "FI_OPT_SHARED_MEMORY_PERMITTED")]
            pub fn shared_memory_permitted(mut self, permitted: bool) -> Self {
                self.options.set(SHARED_MEMORY_PERMITTED, Value::bool(permitted));
                self
            }
        }

        /// Options: `None` where the provider does not have them, `Unsupported` where the running
        /// library is older than they are.
        impl<K: Kind, T: Threading> Endpoint<K, T> {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// `Unsupported` if the running library is older; what the provider says.
                #[doc(alias = $alias)]
                pub fn $method(&self) -> Result<Option<usize>> {
                    read_size(self.as_raw(), $name)
                }
            )*

            /// How much private data a connection request can carry, in bytes.
            ///
            /// # Errors
            ///
            /// What the provider says.
            #[doc(alias = "FI_OPT_CM_DATA_SIZE")]
            pub fn cm_data_size(&self) -> Result<Option<usize>> {
                read_size(self.as_raw(), CM_DATA_SIZE)
            }

            /// How device memory may be reached.
            ///
            /// # Errors
            ///
            /// What the provider says.
            #[doc(alias = "FI_OPT_FI_HMEM_P2P")]
            #[doc(alias = "fi_getopt")]
            pub fn hmem_p2p(&self) -> Result<Option<HmemP2p>> {
                Ok(read_int(self.as_raw(), HMEM_P2P)?.map(HmemP2p::from_raw))
            }

            /// Whether peers are reached through a firewall: the endpoint then only connects, and
            /// is never connected to (2.2).
            ///
            /// # Errors
            ///
            /// `Unsupported` if the running library is older; what the provider says.
            // Declared as a bool; the provider that has it writes an int.
            #[doc(alias = "FI_OPT_FIREWALL_ADDR")]
            pub fn firewall_addr(&self) -> Result<Option<bool>> {
                Ok(read_int(self.as_raw(), FIREWALL_ADDR)?.map(|value| value != 0))
            }
        }
    };
}

sizes! {
    /// When less than this is left of a multi-receive buffer, in bytes, it is given back.
    min_multi_recv = MIN_MULTI_RECV "FI_OPT_MIN_MULTI_RECV";
    /// The longest message, in bytes (1.22).
    max_msg_size = MAX_MSG_SIZE "FI_OPT_MAX_MSG_SIZE";
    /// The longest tagged message, in bytes (1.22).
    max_tagged_size = MAX_TAGGED_SIZE "FI_OPT_MAX_TAGGED_SIZE";
    /// The longest remote read or write, in bytes (1.22).
    max_rma_size = MAX_RMA_SIZE "FI_OPT_MAX_RMA_SIZE";
    /// The longest atomic operation, in bytes (1.22).
    max_atomic_size = MAX_ATOMIC_SIZE "FI_OPT_MAX_ATOMIC_SIZE";
    /// The longest message that can be injected, in bytes (1.22).
    inject_msg_size = INJECT_MSG_SIZE "FI_OPT_INJECT_MSG_SIZE";
    /// The longest tagged message that can be injected, in bytes (1.22).
    inject_tagged_size = INJECT_TAGGED_SIZE "FI_OPT_INJECT_TAGGED_SIZE";
    /// The longest remote write that can be injected, in bytes (1.22).
    inject_rma_size = INJECT_RMA_SIZE "FI_OPT_INJECT_RMA_SIZE";
    /// The longest atomic operation that can be injected, in bytes (1.22).
    inject_atomic_size = INJECT_ATOMIC_SIZE "FI_OPT_INJECT_ATOMIC_SIZE";
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule: L8
    #[test]
    fn a_value_is_as_long_as_its_c_type_and_zero_behind() {
        assert_eq!(Value::bool(true).bytes, [1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Value::bool(true).length, 1);
        assert_eq!(Value::int(3).length, 4);
        assert_eq!(Value::size(7).length, size_of::<usize>());
    }

    #[test]
    fn the_last_setting_of_an_option_counts() {
        let mut options = Options::default();
        options.set(MIN_MULTI_RECV, Value::size(1));
        options.set(MAX_MSG_SIZE, Value::size(2));
        options.set(MIN_MULTI_RECV, Value::size(3));
        let numbers: Vec<_> = options.set.iter().map(|(name, _)| name.number).collect();
        assert_eq!(numbers, [MAX_MSG_SIZE.number, MIN_MULTI_RECV.number]);
    }

    #[test]
    fn a_device_setting_survives_the_round_trip() {
        for raw in -1..6 {
            assert_eq!(HmemP2p::from_raw(raw).raw(), raw);
        }
    }
}
