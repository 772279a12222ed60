//! The collectives of a group, by name.

use crate::{
    Address, AtomicOp, CollectiveGroup, Datatype,
    op::{
        AllgatherVerb, AllreduceVerb, AlltoallVerb, Barrier, BarrierVerb, Broadcast, BroadcastVerb,
        Exchange, GatherVerb, ReduceScatterVerb, ReduceVerb, ScatterVerb,
    },
    threading::Threading,
};

/// The collectives. What a provider has of them [`Domain::query_collective`](crate::Domain::query_collective) tells; posting what it has
/// not fails as `Unsupported`. Values are in the host's form, aligned for their type, and each buffer is
/// one piece of memory. Counts that do not fit each other are `Invalid`, messages that the provider
/// cannot send as parts of a collective (16 KiB on `tcp;ofi_rxm`; quirk 53) `TooLarge`.
impl<T: Threading> CollectiveGroup<T> {
    /// Ends when all members have called it. Inert until posted or awaited.
    #[doc(alias = "fi_barrier")]
    #[doc(alias = "fi_barrier2")]
    pub fn barrier(&self) -> Barrier<'_, T> {
        BarrierVerb::on(self, (), None, (Datatype::Uint8, None))
    }

    /// Sends the root's buffer to all members, into theirs. Where quirk 54 is, the number of values is
    /// a multiple of the members.
    #[doc(alias = "fi_broadcast")]
    pub fn broadcast<B>(
        &self,
        buffer: B,
        root: Address,
        datatype: Datatype,
    ) -> Broadcast<'_, B, T> {
        BroadcastVerb::on(self, buffer, Some(root), (datatype, None))
    }

    /// Sends the n-th part of what is given to the member of rank n, and gets the parts that are for
    /// this one, in the order of ranks. Both buffers are of as many parts as there are members.
    #[doc(alias = "fi_alltoall")]
    pub fn all_to_all<A, R>(
        &self,
        (given, results): (A, R),
        datatype: Datatype,
    ) -> Exchange<'_, AlltoallVerb, A, R, T> {
        AlltoallVerb::on(self, (given, results), None, (datatype, None))
    }

    /// Applies `op` to the values of all members, place by place; all get the result. Both buffers are
    /// as long as each other. In which order floating-point values are combined is the provider's.
    #[doc(alias = "fi_allreduce")]
    pub fn all_reduce<A, R>(
        &self,
        (given, results): (A, R),
        datatype: Datatype,
        op: AtomicOp,
    ) -> Exchange<'_, AllreduceVerb, A, R, T> {
        AllreduceVerb::on(self, (given, results), None, (datatype, Some(op)))
    }

    /// Gathers what the members give, in the order of ranks; all get all of it.
    #[doc(alias = "fi_allgather")]
    pub fn all_gather<A, R>(
        &self,
        (given, results): (A, R),
        datatype: Datatype,
    ) -> Exchange<'_, AllgatherVerb, A, R, T> {
        AllgatherVerb::on(self, (given, results), None, (datatype, None))
    }

    /// As [`all_reduce`](Self::all_reduce), but that the member of rank n gets the n-th part of the
    /// result.
    #[doc(alias = "fi_reduce_scatter")]
    pub fn reduce_scatter<A, R>(
        &self,
        (given, results): (A, R),
        datatype: Datatype,
        op: AtomicOp,
    ) -> Exchange<'_, ReduceScatterVerb, A, R, T> {
        ReduceScatterVerb::on(self, (given, results), None, (datatype, Some(op)))
    }

    /// As [`all_reduce`](Self::all_reduce), but that the root alone gets the result: elsewhere the
    /// room for it may be empty.
    #[doc(alias = "fi_reduce")]
    pub fn reduce<A, R>(
        &self,
        (given, results): (A, R),
        root: Address,
        datatype: Datatype,
        op: AtomicOp,
    ) -> Exchange<'_, ReduceVerb, A, R, T> {
        ReduceVerb::on(self, (given, results), Some(root), (datatype, Some(op)))
    }

    /// Sends the n-th part of what the root gives to the member of rank n. Elsewhere what is given may
    /// be empty.
    #[doc(alias = "fi_scatter")]
    pub fn scatter<A, R>(
        &self,
        (given, result): (A, R),
        root: Address,
        datatype: Datatype,
    ) -> Exchange<'_, ScatterVerb, A, R, T> {
        ScatterVerb::on(self, (given, result), Some(root), (datatype, None))
    }

    /// As [`all_gather`](Self::all_gather), but that the root alone gets it: elsewhere the room for it
    /// may be empty.
    #[doc(alias = "fi_gather")]
    pub fn gather<A, R>(
        &self,
        (given, results): (A, R),
        root: Address,
        datatype: Datatype,
    ) -> Exchange<'_, GatherVerb, A, R, T> {
        GatherVerb::on(self, (given, results), Some(root), (datatype, None))
    }
}
