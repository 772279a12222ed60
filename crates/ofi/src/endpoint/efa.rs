//! Options of EFA's endpoints: `fi_efa(7)`. On other providers setting one fails, reading one says
//! `None`.

use super::{
    Endpoint, EndpointBuilder, Kind,
    options::{Value, names, read_bool, read_size},
};
use crate::{Result, threading::Threading};

names! {
    RNR_RETRY = FI_OPT_EFA_RNR_RETRY, 1 14;
    EMULATED_READ = FI_OPT_EFA_EMULATED_READ, 1 18;
    EMULATED_WRITE = FI_OPT_EFA_EMULATED_WRITE, 1 18;
    EMULATED_ATOMICS = FI_OPT_EFA_EMULATED_ATOMICS, 1 18;
    USE_DEVICE_RDMA = FI_OPT_EFA_USE_DEVICE_RDMA, 1 18;
    SENDRECV_IN_ORDER = FI_OPT_EFA_SENDRECV_IN_ORDER_ALIGNED_128_BYTES, 1 18;
    WRITE_IN_ORDER = FI_OPT_EFA_WRITE_IN_ORDER_ALIGNED_128_BYTES, 1 18;
    HOMOGENEOUS_PEERS = FI_OPT_EFA_HOMOGENEOUS_PEERS, 2 2;
    USE_UNSOLICITED_WRITE_RECV = FI_OPT_EFA_USE_UNSOLICITED_WRITE_RECV, 2 5;
}

/// Switches: a setter of the builder; they cannot be read.
macro_rules! switches {
    ($($(#[$doc:meta])* $method:ident = $name:ident $alias:literal;)*) => {
        /// Options of EFA, set when the endpoint is enabled, which fails with `Unsupported` on every
        /// other provider, or where the running library is older than the option.
        impl<K: Kind, T: Threading> EndpointBuilder<K, T> {
            $(
                $(#[$doc])*
                #[doc(alias = $alias)]
                pub fn $method(mut self, on: bool) -> Self {
                    self.options.set($name, Value::bool(on));
                    self
                }
            )*

            /// EFA: how often the device tries again where the receiver has no buffer posted: 0 to
            /// 7, where 7 is without end. Of RDM endpoints.
            #[doc(alias = "FI_OPT_EFA_RNR_RETRY")]
            pub fn efa_rnr_retry(mut self, times: usize) -> Self {
                self.options.set(RNR_RETRY, Value::size(times));
                self
            }
        }
    };
}

switches! {
    /// EFA: whether reads and writes may be the device's own (1.18). Without it they are if the
    /// device has them; `true` fails where it has not.
    efa_use_device_rdma = USE_DEVICE_RDMA "FI_OPT_EFA_USE_DEVICE_RDMA";
    /// EFA: whether the bytes of each aligned block of 128 are sent and received in order, and each
    /// once (1.18).
    efa_sendrecv_in_order_aligned_128_bytes = SENDRECV_IN_ORDER
        "FI_OPT_EFA_SENDRECV_IN_ORDER_ALIGNED_128_BYTES";
    /// EFA: whether the bytes of each aligned block of 128 are written in order, and each once
    /// (1.18).
    efa_write_in_order_aligned_128_bytes = WRITE_IN_ORDER
        "FI_OPT_EFA_WRITE_IN_ORDER_ALIGNED_128_BYTES";
    /// EFA: whether all peers run the same software on the same platform, so that none has to ask
    /// what the other can (2.2). The target of remote access must have its peer's address in its
    /// vector then.
    efa_homogeneous_peers = HOMOGENEOUS_PEERS "FI_OPT_EFA_HOMOGENEOUS_PEERS";
    /// EFA: whether writes with immediate data need no posted receive at the target (2.5).
    efa_use_unsolicited_write_recv = USE_UNSOLICITED_WRITE_RECV
        "FI_OPT_EFA_USE_UNSOLICITED_WRITE_RECV";
}

/// Options of EFA: `None` on other providers, `Unsupported` where the running library is older than
/// they are.
impl<K: Kind, T: Threading> Endpoint<K, T> {
    /// EFA: how often the device tries again where the receiver has no buffer posted.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "FI_OPT_EFA_RNR_RETRY")]
    pub fn efa_rnr_retry(&self) -> Result<Option<usize>> {
        read_size(self.as_raw(), RNR_RETRY)
    }

    /// EFA: whether reads are made of messages, in software (1.18). See
    /// [`offload`](Self::offload) for all providers.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the running library is older; what the provider says.
    #[doc(alias = "FI_OPT_EFA_EMULATED_READ")]
    pub fn efa_emulated_read(&self) -> Result<Option<bool>> {
        read_bool(self.as_raw(), EMULATED_READ)
    }

    /// EFA: whether writes are made of messages, in software (1.18).
    ///
    /// # Errors
    ///
    /// As [`efa_emulated_read`](Self::efa_emulated_read).
    #[doc(alias = "FI_OPT_EFA_EMULATED_WRITE")]
    pub fn efa_emulated_write(&self) -> Result<Option<bool>> {
        read_bool(self.as_raw(), EMULATED_WRITE)
    }

    /// EFA: whether atomic operations are made of messages, in software (1.18).
    ///
    /// # Errors
    ///
    /// As [`efa_emulated_read`](Self::efa_emulated_read).
    #[doc(alias = "FI_OPT_EFA_EMULATED_ATOMICS")]
    pub fn efa_emulated_atomics(&self) -> Result<Option<bool>> {
        read_bool(self.as_raw(), EMULATED_ATOMICS)
    }
}
