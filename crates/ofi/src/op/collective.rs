//! Collective operations of a group: `fi_collective(3)`.
//!
//! Nine verbs, told apart by who gives what and who gets what; their buffers are lists of values, as
//! those of atomic operations. What is given and the room for what comes are the operation's buffer,
//! one behind the other.

use std::ffi::c_void;

use ofi_sys::fid_ep;

use super::{
    Memory, Operation, Outcome, Uses, Verb,
    atomic::list_two,
    options::{Flagged, with},
};
use crate::{
    Access, Address, AtomicOp, Collective, CollectiveGroup, Datatype, Error, ErrorKind, Place,
    Result,
    buf::{Buf, BufMut, Segments},
    error::Needs,
    quirks::{self, Defect, quirk},
    threading::{Shared, Threading},
};

/// A barrier: what [`CollectiveGroup::barrier`] returns.
pub type Barrier<'ep, T = Shared> = Operation<'ep, BarrierVerb, (), T>;

/// A collective in one buffer: [`CollectiveGroup::broadcast`].
pub type Broadcast<'ep, B, T = Shared> = Operation<'ep, BroadcastVerb, B, T>;

/// A collective of `V` with what is given, `A`, and room for what comes, `R`.
pub type Exchange<'ep, V, A, R, T = Shared> = Operation<'ep, V, (A, R), T>;

/// That this member's part of a collective has ended; what it was to get is in the last part of the
/// buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected;

/// What a registration of what is given must permit, and of what comes, which members may pass on
/// (rule M13).
const GIVEN: Access = Access::COLLECTIVE.union(Access::SEND);
const GOTTEN: Access = GIVEN.union(Access::RECV);

/// What a collective says.
#[derive(Clone, Copy, Debug)]
struct Action {
    /// The group's address.
    group: u64,
    /// What operations of the group are ordered by: its place in memory.
    class: u64,
    root: u64,
    kind: (Datatype, Option<AtomicOp>),
    members: usize,
    /// Whether this member is the root, or there is none.
    gives: bool,
    /// The longest message that it may be made of, in bytes.
    message: usize,
    /// Whether values have to be a multiple of the members (quirk 54).
    whole: bool,
    /// The most values of one member.
    limit: usize,
    /// Whether every buffer must come with a descriptor (FI_MR_COLLECTIVE).
    registered: bool,
    flags: u64,
}

/// How long the two parts of a buffer are: in what one member gives or gets, or as many times that as
/// there are members. On all but the root some may be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    One,
    All,
}

impl Collective {
    /// The longest message that it is made of where trees and rings of messages do it, in values of
    /// `count` for each member.
    fn longest_message(self, count: usize, members: usize) -> usize {
        match self {
            // A tree: the root sends up to half of it at once.
            Collective::Scatter => count.saturating_mul((members / 2).max(1)),
            Collective::Broadcast => (count / members.max(1)).saturating_mul((members / 2).max(1)),
            _ => count,
        }
    }
}

impl Action {
    fn new<T: Threading>(
        group: &CollectiveGroup<T>,
        collective: Collective,
        root: Option<Address>,
        kind: (Datatype, Option<AtomicOp>),
    ) -> Result<Action> {
        let core = &group.core;
        let limits = core.domain_core().query_collective(collective, kind)?;
        let members = group.members().len();
        if members > limits.members {
            return Err(Error::new(ErrorKind::TooLarge { limit: limits.members }, "collective")
                .detail(format!("{members} members")));
        }
        let provider = core.provider();
        let (root, gives) = match root {
            None => (ofi_sys::FI_ADDR_UNSPEC, true),
            Some(root) => {
                let rank = group.rank_of(root).ok_or_else(|| {
                    Error::invalid("collective", format!("the root, {root:?}, is no member"))
                })?;
                let by_rank = quirk(provider, Defect::RootIsRank).is_some();
                (
                    if by_rank { rank as u64 } else { group.members()[rank].raw() },
                    rank == group.rank(),
                )
            }
        };
        Ok(Action {
            group: group.address.raw(),
            class: group.address.entry_word(),
            root,
            kind,
            members,
            gives,
            message: quirks::collective_message(provider),
            whole: collective == Collective::Broadcast
                && quirk(provider, Defect::BroadcastOverruns).is_some(),
            limit: limits.count.unwrap_or(usize::MAX),
            registered: core.limits.collective_registration,
            flags: 0,
        })
    }

    /// One that is not posted: the operation has the fault instead.
    fn none() -> Action {
        Action {
            group: 0,
            class: 0,
            root: 0,
            kind: (Datatype::Unknown(0), None),
            members: 0,
            gives: false,
            message: 0,
            whole: false,
            limit: 0,
            registered: false,
            flags: 0,
        }
    }

    fn size(&self) -> usize {
        self.kind.0.size().unwrap_or(1)
    }

    /// Values of one member: what is given or gotten, whichever is of one member alone.
    fn count(&self, len: usize, part: Part) -> usize {
        match part {
            Part::One => len / self.size(),
            Part::All => len / self.size() / self.members.max(1),
        }
    }

    fn raw(&self) -> (u32, u32) {
        (self.kind.0.raw(), self.kind.1.map_or(ofi_sys::FI_NOOP, AtomicOp::raw))
    }

    /// That the buffers are as long as each other, for so many members, aligned, and within what the
    /// provider can (rule X1).
    fn check(
        &self,
        attempted: &'static str,
        collective: Collective,
        list: &Segments,
    ) -> Result<()> {
        let odd = |what: String| Err(Error::invalid(attempted, what));
        let shape = collective.shape();
        if list.is_torn() || list.count() != shape.len() {
            return odd("what is given, and what comes, are one piece of memory each".into());
        }
        if shape.is_empty() {
            return Ok(());
        }
        if self.registered && list.unregistered() > 0 {
            let needs = Needs::Property("registered memory (FI_MR_COLLECTIVE)");
            return Err(Error::unsupported(attempted, needs).hint(
                "register the buffer on the endpoint's domain and give a slice of the region",
            ));
        }
        let size = self.kind.0.size().ok_or_else(|| {
            Error::unsupported(attempted, Needs::Property("the collective on this type of value"))
        })?;
        for (piece, _) in list.iter() {
            if piece.iov_len > 0 && piece.iov_base.addr() % size.min(8) != 0
                || piece.iov_len % size != 0
            {
                return odd(format!("values of {size} bytes have to be whole, and aligned"));
            }
        }
        // Where only the root gives, or only the root gets, the other's buffer may be empty.
        let optional = match collective {
            Collective::Scatter if !self.gives => Some(0),
            Collective::Reduce | Collective::Gather if !self.gives => Some(1),
            _ => None,
        };
        let mut counts =
            list.iter().zip(shape).enumerate().filter_map(|(i, ((piece, _), part))| {
                let odd = *part == Part::All && piece.iov_len % (size * self.members) != 0;
                let count = if odd { 0 } else { self.count(piece.iov_len, *part) };
                (piece.iov_len > 0 || optional != Some(i)).then_some(count)
            });
        let count = counts.next().unwrap_or(0);
        if count == 0 || counts.any(|other| other != count) {
            let lengths: Vec<usize> = list.iter().map(|(piece, _)| piece.iov_len).collect();
            return odd(format!(
                "{lengths:?} bytes are not the same number of values for each of {} members",
                self.members
            ));
        }
        if self.whole && count % self.members != 0 {
            return odd(format!(
                "{count} values are no multiple of {} members, and the provider would go beyond them \
                 (quirk 54)",
                self.members
            ));
        }
        // What providers count in an `int`.
        let most = self.limit.min(i32::MAX as usize / self.members.max(1));
        let longest = collective.longest_message(count, self.members).saturating_mul(size);
        if count > most || self.members > 1 && longest > self.message {
            let limit = most.saturating_mul(size).min(self.message);
            return Err(Error::new(ErrorKind::TooLarge { limit }, attempted)
                .detail(format!("messages of {longest} bytes"))
                .hint("split it into several"));
        }
        Ok(())
    }
}

impl Collective {
    /// How long the parts of the buffer are.
    fn shape(self) -> &'static [Part] {
        match self {
            Collective::Broadcast => &[Part::One],
            Collective::Allreduce | Collective::Reduce => &[Part::One, Part::One],
            Collective::Allgather | Collective::Gather => &[Part::One, Part::All],
            Collective::ReduceScatter | Collective::Scatter => &[Part::All, Part::One],
            Collective::Alltoall => &[Part::All, Part::All],
            Collective::Barrier | Collective::Unknown(_) => &[],
        }
    }
}

/// What the call of a collective is made of.
struct Call {
    ep: *mut fid_ep,
    buf: *mut c_void,
    desc: *mut c_void,
    result: *mut c_void,
    result_desc: *mut c_void,
    count: usize,
    context: *mut c_void,
}

macro_rules! verbs {
    ($(
        $(#[$doc:meta])*
        $verb:ident $name:literal = |$action:ident, $call:ident| $issue:expr;
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $verb(Action);

        impl Flagged for $verb {
            fn flags(&self) -> u64 {
                self.0.flags
            }

            fn flags_mut(&mut self) -> &mut u64 {
                &mut self.0.flags
            }
        }

        impl Verb for $verb {
            type Output = Collected;
            type Note = ();
            const NAME: &'static str = $name;
            const RECEIVES: bool = false;
            const ACCESS: Access = GIVEN;
            const PARTS: bool = true;

            fn class(&self) -> u64 {
                self.0.class
            }

            fn needs(&self) -> u64 {
                ofi_sys::FI_COLLECTIVE
            }

            fn add_flags(&mut self, flags: u64, level: u64) {
                self.0.flags = with(self.0.flags, flags, level);
            }

            fn fits(&self, list: &Segments, _: usize) -> Result<()> {
                self.0.check(Self::NAME, Self::COLLECTIVE, list)
            }

            unsafe fn issue(
                &self,
                ep: *mut fid_ep,
                memory: Memory,
                context: *mut c_void,
            ) -> isize {
                let $action = &self.0;
                let $call = $action.call(Self::COLLECTIVE, ep, &memory, context);
                // SAFETY: the caller's promise; `check` found the buffers as long as the call says.
                unsafe { $issue }
            }

            fn note(&self, _: &Segments) {}

            fn finish((): (), _: &Outcome) -> Collected {
                Collected
            }
        }
    )*};
}

impl Action {
    fn call(
        &self,
        collective: Collective,
        ep: *mut fid_ep,
        memory: &Memory,
        context: *mut c_void,
    ) -> Call {
        let null = std::ptr::null_mut();
        let mut call =
            Call { ep, buf: null, desc: null, result: null, result_desc: null, count: 0, context };
        let shape = collective.shape();
        for (i, part) in shape.iter().enumerate() {
            let (piece, desc) = memory.part(i);
            if i == 0 {
                (call.buf, call.desc) = (piece.iov_base, desc);
            } else {
                (call.result, call.result_desc) = (piece.iov_base, desc);
            }
            // They agree, but for one that may be empty.
            call.count = call.count.max(self.count(piece.iov_len, *part));
        }
        call
    }
}

verbs! {
    /// What a barrier says.
    BarrierVerb "fi_barrier" = |a, c| ofi_sys::fi_barrier2(c.ep, a.group, a.flags, c.context);

    /// What a broadcast says.
    BroadcastVerb "fi_broadcast" = |a, c| ofi_sys::fi_broadcast(
        c.ep, c.buf, c.count, c.desc, a.group, a.root, a.raw().0, a.flags, c.context
    );

    /// What an exchange of all with all says.
    AlltoallVerb "fi_alltoall" = |a, c| ofi_sys::fi_alltoall(
        c.ep, c.buf, c.count, c.desc, c.result, c.result_desc, a.group, a.raw().0, a.flags, c.context
    );

    /// What a reduction whose result all get says.
    AllreduceVerb "fi_allreduce" = |a, c| ofi_sys::fi_allreduce(
        c.ep, c.buf, c.count, c.desc, c.result, c.result_desc, a.group, a.raw().0, a.raw().1, a.flags,
        c.context
    );

    /// What gathering for all says.
    AllgatherVerb "fi_allgather" = |a, c| ofi_sys::fi_allgather(
        c.ep, c.buf, c.count, c.desc, c.result, c.result_desc, a.group, a.raw().0, a.flags, c.context
    );

    /// What a reduction of whose result each gets a part says.
    ReduceScatterVerb "fi_reduce_scatter" = |a, c| ofi_sys::fi_reduce_scatter(
        c.ep, c.buf, c.count, c.desc, c.result, c.result_desc, a.group, a.raw().0, a.raw().1, a.flags,
        c.context
    );

    /// What a reduction for the root says.
    ReduceVerb "fi_reduce" = |a, c| ofi_sys::fi_reduce(
        c.ep, c.buf, c.count, c.desc, c.result, c.result_desc, a.group, a.root, a.raw().0, a.raw().1,
        a.flags, c.context
    );

    /// What scattering says.
    ScatterVerb "fi_scatter" = |a, c| ofi_sys::fi_scatter(
        c.ep, c.buf, c.count, c.desc, c.result, c.result_desc, a.group, a.root, a.raw().0, a.flags,
        c.context
    );

    /// What gathering for the root says.
    GatherVerb "fi_gather" = |a, c| ofi_sys::fi_gather(
        c.ep, c.buf, c.count, c.desc, c.result, c.result_desc, a.group, a.root, a.raw().0, a.flags,
        c.context
    );
}

impl Uses<()> for BarrierVerb {
    fn list((): &mut (), _: &mut Segments) {}

    fn moved((): &mut (), _: Place) {}
}

impl<B: BufMut> Uses<B> for BroadcastVerb {
    fn list(buffer: &mut B, list: &mut Segments) {
        list.want(GOTTEN);
        buffer.segments_mut(list);
        list.parts(1);
    }

    fn moved(buffer: &mut B, to: Place) {
        buffer.moved(to);
    }
}

macro_rules! exchanges {
    ($($verb:ident)*) => {$(
        impl<A: Buf, R: BufMut> Uses<(A, R)> for $verb {
            fn list((given, gotten): &mut (A, R), list: &mut Segments) {
                list_two(given, gotten, GOTTEN, list);
            }

            fn moved((given, gotten): &mut (A, R), to: Place) {
                given.moved(to);
                gotten.moved(to);
            }
        }
    )*};
}

exchanges! {
    AlltoallVerb AllreduceVerb AllgatherVerb ReduceScatterVerb ReduceVerb ScatterVerb GatherVerb
}

macro_rules! collectives {
    ($($verb:ident $collective:ident;)*) => {$(
        impl $verb {
            const COLLECTIVE: Collective = Collective::$collective;

            pub(crate) fn on<B, T: Threading>(
                group: &CollectiveGroup<T>,
                buffer: B,
                root: Option<Address>,
                kind: (Datatype, Option<AtomicOp>),
            ) -> Operation<'_, $verb, B, T> {
                let action = Action::new(group, Self::COLLECTIVE, root, kind);
                let (action, fault) = match action {
                    Ok(action) => (action, None),
                    Err(error) => (Action::none(), Some(error)),
                };
                let mut op =
                    Operation::new(&*group.core, $verb(action), buffer, Some(group.address));
                fault.into_iter().for_each(|error| op.fault(error));
                op
            }
        }
    )*};
}

collectives! {
    BarrierVerb Barrier;
    BroadcastVerb Broadcast;
    AlltoallVerb Alltoall;
    AllreduceVerb Allreduce;
    AllgatherVerb Allgather;
    ReduceScatterVerb ReduceScatter;
    ReduceVerb Reduce;
    ScatterVerb Scatter;
    GatherVerb Gather;
}
