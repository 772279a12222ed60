//! The contexts of a scalable endpoint: what is posted to them, and their close.

use std::{fmt, sync::Arc, time::Duration};

use ofi_sys::fid_ep;

use super::Core;
use crate::{
    Address, AtomicOp, Datatype, RemoteSlice,
    object::CloseError,
    op::{
        AtomicApply, AtomicCompare, AtomicFetch, AtomicVerb, CompareVerb, FetchVerb, Form, ReadOp,
        ReadVerb, RecvOp, SendOp, SendVerb, WriteOp, WriteVerb,
    },
    threading::{Shared, Threading},
};

/// A transmit context of a [`ScalableEndpoint`](crate::ScalableEndpoint): what is sent through it
/// keeps its order, and has none with what other contexts send.
///
/// A clone is another handle. It closes with its last handle; operations that are still under way then
/// end with [`ErrorKind::Closed`](crate::ErrorKind::Closed) and their buffer. On `sockets` it closes
/// with its endpoint, and they go on until then (quirk 42).
///
/// See `fi_endpoint(3)`.
pub struct TransmitContext<T: Threading = Shared>(Arc<Core<T>>);

/// A receive context of a [`ScalableEndpoint`](crate::ScalableEndpoint). Peers name it with
/// [`AddressVector::receive_context`](crate::AddressVector::receive_context).
///
/// A clone is another handle. It closes with its last handle; its receives are cancelled then. On
/// `sockets` it closes with its endpoint (quirk 42).
///
/// See `fi_endpoint(3)`.
pub struct ReceiveContext<T: Threading = Shared>(Arc<Core<T>>);

macro_rules! contexts {
    ($($name:ident = $text:literal;)*) => {$(
        impl<T: Threading> Clone for $name<T> {
            fn clone(&self) -> Self {
                $name(Arc::clone(&self.0))
            }
        }

        impl<T: Threading> $name<T> {
            pub(super) fn from_core(core: Core<T>) -> Self {
                $name(Arc::new(core))
            }

            /// Operations that have not ended yet. Walks them: for tests and diagnosis.
            #[must_use]
            pub fn in_flight(&self) -> usize {
                self.0.lane().in_flight()
            }

            /// Closes the context: refuses posts, cancels every receive, drives its queue until all
            /// operations have ended or `timeout` has passed, and closes it.
            ///
            /// # Errors
            ///
            /// Gives the handle back where others hold the context; otherwise what could not be done.
            #[doc(alias = "fi_close")]
            pub fn close(self, timeout: Duration) -> Result<(), CloseError<$name<T>>> {
                match Arc::try_unwrap(self.0) {
                    Ok(mut core) => core.shut_down(timeout).map_err(CloseError::Failed),
                    Err(core) => Err(CloseError::InUse($name(core))),
                }
            }

            /// The C object, for calls that this crate does not wrap.
            #[must_use]
            pub fn as_raw(&self) -> *mut fid_ep {
                self.0.fid.as_ptr()
            }
        }

        impl<T: Threading> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($text).field("fid", &self.0.fid).finish_non_exhaustive()
            }
        }
    )*};
}

contexts! {
    TransmitContext = "TransmitContext";
    ReceiveContext = "ReceiveContext";
}

impl<T: Threading> ReceiveContext<T> {
    /// Receives the next message to this context into `buffer`; as
    /// [`Endpoint::recv`](crate::Endpoint::recv).
    #[doc(alias = "fi_recv")]
    pub fn recv<B>(&self, buffer: B) -> RecvOp<'_, B, T> {
        self.0.recv(buffer)
    }

    /// The most segments of memory that one receive may have.
    #[must_use]
    pub fn max_receive_segments(&self) -> usize {
        self.0.limits.receive_iov
    }
}

/// As the methods of an [`Endpoint`](crate::Endpoint) with these names.
impl<T: Threading> TransmitContext<T> {
    /// A message to a peer, or to one of its receive contexts.
    #[doc(alias = "fi_send")]
    pub fn send<B>(&self, buffer: B, to: Address) -> SendOp<'_, B, T> {
        SendOp::new(&self.0, SendVerb::to(to.raw()), buffer, Some(to))
    }

    /// Writes to memory that a peer has exposed. Needs `FI_RMA`.
    #[doc(alias = "fi_write")]
    pub fn write<B>(
        &self,
        buffer: B,
        to: Address,
        target: impl Into<RemoteSlice>,
    ) -> WriteOp<'_, B, T> {
        WriteOp::new(&self.0, WriteVerb::to(to.raw(), target.into()), buffer, Some(to))
    }

    /// Reads from memory that a peer has exposed. Needs `FI_RMA`.
    #[doc(alias = "fi_read")]
    pub fn read<B>(
        &self,
        buffer: B,
        from: Address,
        source: impl Into<RemoteSlice>,
    ) -> ReadOp<'_, B, T> {
        ReadOp::new(&self.0, ReadVerb::from(from.raw(), source.into()), buffer, Some(from))
    }

    /// Applies operands to memory that a peer has exposed. Needs `FI_ATOMIC`.
    #[doc(alias = "fi_atomic")]
    pub fn atomic<B>(
        &self,
        operands: B,
        to: Address,
        target: impl Into<RemoteSlice>,
        datatype: Datatype,
        op: AtomicOp,
    ) -> AtomicApply<'_, B, T> {
        let verb = AtomicVerb::new(&self.0, to.raw(), target.into(), (datatype, op));
        AtomicApply::new(&self.0, verb, operands, Some(to))
    }

    /// The same, and fetches what was there.
    #[doc(alias = "fi_fetch_atomic")]
    pub fn fetch_atomic<A, R>(
        &self,
        (operands, results): (A, R),
        to: Address,
        target: impl Into<RemoteSlice>,
        datatype: Datatype,
        op: AtomicOp,
    ) -> AtomicFetch<'_, A, R, T> {
        let verb = FetchVerb::new(&self.0, to.raw(), target.into(), (datatype, op));
        AtomicFetch::new(&self.0, verb, (operands, results), Some(to))
    }

    /// Compares first.
    #[doc(alias = "fi_compare_atomic")]
    pub fn compare_atomic<A, C, R>(
        &self,
        buffers: (A, C, R),
        to: Address,
        target: impl Into<RemoteSlice>,
        datatype: Datatype,
        op: AtomicOp,
    ) -> AtomicCompare<'_, A, C, R, T> {
        let verb = CompareVerb::new(&self.0, to.raw(), target.into(), (datatype, op));
        AtomicCompare::new(&self.0, verb, buffers, Some(to))
    }

    /// The most values of one [`atomic`](Self::atomic) operation; 0 where there is no such one.
    #[must_use]
    pub fn max_atomic(&self, datatype: Datatype, op: AtomicOp) -> usize {
        self.0.atomic_limit(Form::Apply, datatype, op)
    }

    /// The same of [`fetch_atomic`](Self::fetch_atomic).
    #[must_use]
    pub fn max_fetch_atomic(&self, datatype: Datatype, op: AtomicOp) -> usize {
        self.0.atomic_limit(Form::Fetch, datatype, op)
    }

    /// The same of [`compare_atomic`](Self::compare_atomic).
    #[must_use]
    pub fn max_compare_atomic(&self, datatype: Datatype, op: AtomicOp) -> usize {
        self.0.atomic_limit(Form::Compare, datatype, op)
    }

    /// The most that [`inject`](SendOp::inject) takes, in bytes.
    #[must_use]
    pub fn inject_size(&self) -> usize {
        self.0.limits.inject
    }
}
