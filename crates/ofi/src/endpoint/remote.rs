//! What is done to peers' memory.

use super::{Connectionless, Endpoint, Kind, Msg};
use crate::{
    Address, AtomicOp, Datatype, RemoteSlice,
    op::{
        AtomicApply, AtomicCompare, AtomicFetch, AtomicVerb, CompareVerb, FetchVerb, Form, ReadOp,
        ReadVerb, WriteOp, WriteVerb,
    },
    threading::Threading,
};

impl<K: Kind, T: Threading> Endpoint<K, T> {
    /// The most values of one [`atomic`](Endpoint::atomic) operation; 0 where there is no such one.
    #[doc(alias = "fi_atomicvalid")]
    #[doc(alias = "fi_query_atomic")]
    #[must_use]
    pub fn max_atomic(&self, datatype: Datatype, op: AtomicOp) -> usize {
        self.core.atomic_limit(Form::Apply, datatype, op)
    }

    /// The same of [`fetch_atomic`](Endpoint::fetch_atomic).
    #[doc(alias = "fi_fetch_atomicvalid")]
    #[must_use]
    pub fn max_fetch_atomic(&self, datatype: Datatype, op: AtomicOp) -> usize {
        self.core.atomic_limit(Form::Fetch, datatype, op)
    }

    /// The same of [`compare_atomic`](Endpoint::compare_atomic).
    #[doc(alias = "fi_compare_atomicvalid")]
    #[must_use]
    pub fn max_compare_atomic(&self, datatype: Datatype, op: AtomicOp) -> usize {
        self.core.atomic_limit(Form::Compare, datatype, op)
    }
}

impl<K: Connectionless, T: Threading> Endpoint<K, T> {
    /// Writes to memory that a peer of the endpoint's address vector has exposed. The buffer may be
    /// shorter than `target`. Inert until posted or awaited. Needs `FI_RMA`.
    ///
    /// A completion says that the buffer may be used again and, on a reliable endpoint, that the bytes
    /// reached the peer's side. The peer's program sees them for certain after a message that was sent
    /// behind a write of [`CompletionLevel::Delivery`](crate::CompletionLevel) which has completed, or
    /// by [`data`](WriteOp::data) (rule B39); [`notify`](WriteOp::notify) does what is needed.
    #[doc(alias = "fi_write")]
    #[doc(alias = "fi_writev")]
    #[doc(alias = "fi_writemsg")]
    pub fn write<B>(
        &self,
        buffer: B,
        to: Address,
        target: impl Into<RemoteSlice>,
    ) -> WriteOp<'_, B, T> {
        WriteOp::new(&self.core, WriteVerb::to(to.raw(), target.into()), buffer, Some(to))
    }

    /// Reads from memory that a peer of the endpoint's address vector has exposed: fills the buffer,
    /// which may be shorter than `source`. Inert until posted or awaited. Needs `FI_RMA`.
    #[doc(alias = "fi_read")]
    #[doc(alias = "fi_readv")]
    #[doc(alias = "fi_readmsg")]
    pub fn read<B>(
        &self,
        buffer: B,
        from: Address,
        source: impl Into<RemoteSlice>,
    ) -> ReadOp<'_, B, T> {
        ReadOp::new(&self.core, ReadVerb::from(from.raw(), source.into()), buffer, Some(from))
    }

    /// Applies operands to memory that a peer of the endpoint's address vector has exposed: as many
    /// values as `target` has. Inert until posted or awaited. Needs `FI_ATOMIC`.
    ///
    /// The buffer is a list of values in the host's form, aligned for their type. Each value is
    /// changed at once, all of them one by one, and only atomically against other such operations:
    /// not against what the peer's own processor does (rule X2).
    #[doc(alias = "fi_atomic")]
    #[doc(alias = "fi_atomicv")]
    #[doc(alias = "fi_atomicmsg")]
    #[doc(alias = "fi_inject_atomic")]
    pub fn atomic<B>(
        &self,
        operands: B,
        to: Address,
        target: impl Into<RemoteSlice>,
        datatype: Datatype,
        op: AtomicOp,
    ) -> AtomicApply<'_, B, T> {
        let verb = AtomicVerb::new(&self.core, to.raw(), target.into(), (datatype, op));
        AtomicApply::new(&self.core, verb, operands, Some(to))
    }

    /// As [`atomic`](Self::atomic), and fetches what was there into `results`.
    /// [`AtomicOp::Read`] needs no operands: pass an empty buffer.
    #[doc(alias = "fi_fetch_atomic")]
    #[doc(alias = "fi_fetch_atomicv")]
    #[doc(alias = "fi_fetch_atomicmsg")]
    pub fn fetch_atomic<A, R>(
        &self,
        (operands, results): (A, R),
        to: Address,
        target: impl Into<RemoteSlice>,
        datatype: Datatype,
        op: AtomicOp,
    ) -> AtomicFetch<'_, A, R, T> {
        let verb = FetchVerb::new(&self.core, to.raw(), target.into(), (datatype, op));
        AtomicFetch::new(&self.core, verb, (operands, results), Some(to))
    }

    /// Compares each value there with the expected one, changes it as `op` says, and fetches what was
    /// there: `(operands, expected, results)`.
    #[doc(alias = "fi_compare_atomic")]
    #[doc(alias = "fi_compare_atomicv")]
    #[doc(alias = "fi_compare_atomicmsg")]
    pub fn compare_atomic<A, C, R>(
        &self,
        buffers: (A, C, R),
        to: Address,
        target: impl Into<RemoteSlice>,
        datatype: Datatype,
        op: AtomicOp,
    ) -> AtomicCompare<'_, A, C, R, T> {
        let verb = CompareVerb::new(&self.core, to.raw(), target.into(), (datatype, op));
        AtomicCompare::new(&self.core, verb, buffers, Some(to))
    }
}

impl<T: Threading> Endpoint<Msg, T> {
    /// Writes to memory that the connected peer has exposed; as [`Endpoint::<Rdm>::write`].
    ///
    /// [`Endpoint::<Rdm>::write`]: Endpoint::write
    #[doc(alias = "fi_write")]
    pub fn write<B>(&self, buffer: B, target: impl Into<RemoteSlice>) -> WriteOp<'_, B, T> {
        WriteOp::new(&self.core, WriteVerb::to(0, target.into()), buffer, None)
    }

    /// Reads from memory that the connected peer has exposed; as [`Endpoint::<Rdm>::read`].
    ///
    /// [`Endpoint::<Rdm>::read`]: Endpoint::read
    #[doc(alias = "fi_read")]
    pub fn read<B>(&self, buffer: B, source: impl Into<RemoteSlice>) -> ReadOp<'_, B, T> {
        ReadOp::new(&self.core, ReadVerb::from(0, source.into()), buffer, None)
    }

    /// Applies operands to memory that the connected peer has exposed; as [`Endpoint::<Rdm>::atomic`].
    ///
    /// [`Endpoint::<Rdm>::atomic`]: Endpoint::atomic
    #[doc(alias = "fi_atomic")]
    pub fn atomic<B>(
        &self,
        operands: B,
        target: impl Into<RemoteSlice>,
        datatype: Datatype,
        op: AtomicOp,
    ) -> AtomicApply<'_, B, T> {
        let verb = AtomicVerb::new(&self.core, 0, target.into(), (datatype, op));
        AtomicApply::new(&self.core, verb, operands, None)
    }

    /// The same, and fetches what was there; as [`Endpoint::<Rdm>::fetch_atomic`].
    ///
    /// [`Endpoint::<Rdm>::fetch_atomic`]: Endpoint::fetch_atomic
    #[doc(alias = "fi_fetch_atomic")]
    pub fn fetch_atomic<A, R>(
        &self,
        (operands, results): (A, R),
        target: impl Into<RemoteSlice>,
        datatype: Datatype,
        op: AtomicOp,
    ) -> AtomicFetch<'_, A, R, T> {
        let verb = FetchVerb::new(&self.core, 0, target.into(), (datatype, op));
        AtomicFetch::new(&self.core, verb, (operands, results), None)
    }

    /// Compares first; as [`Endpoint::<Rdm>::compare_atomic`].
    ///
    /// [`Endpoint::<Rdm>::compare_atomic`]: Endpoint::compare_atomic
    #[doc(alias = "fi_compare_atomic")]
    pub fn compare_atomic<A, C, R>(
        &self,
        buffers: (A, C, R),
        target: impl Into<RemoteSlice>,
        datatype: Datatype,
        op: AtomicOp,
    ) -> AtomicCompare<'_, A, C, R, T> {
        let verb = CompareVerb::new(&self.core, 0, target.into(), (datatype, op));
        AtomicCompare::new(&self.core, verb, buffers, None)
    }
}
