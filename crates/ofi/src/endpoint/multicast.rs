//! Multicast groups: joining, sending to all of a group, leaving.
//!
//! # Safety
//!
//! The provider's address of a group is good while the group is open. What is sent there borrows the
//! [`MulticastGroup`] until it is posted, and from then on its slot names the group's entry, as it
//! would name an address of a vector: a group closes when no slot names it. It holds its endpoint, so
//! it closes before that does (rules C8, L3).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use ofi_sys::fid_mc;

use super::{
    Connectionless, Core, Endpoint,
    join::{Join, Joins, sealed::Joinable},
};
use crate::{
    Address, Errno, Error, ErrorKind, FabricAddress, Result,
    av::Own,
    eq::mail::Joining,
    error::Needs,
    info::CheckedAddress,
    object::{CloseError, Owned, forked, refuse_fork},
    quirks::{Defect, quirk},
    threading::{Lock, Shared, Threading},
    wait::{self, Source},
};

const JOIN: &str = "fi_join";

/// What an endpoint knows of the groups that it is in.
pub(super) struct State<T: Threading> {
    /// Tries each join first, see [`Defect::FailedJoinStays`]; a member of the same groups.
    scout: Option<UdpSocket>,
    /// Groups that were left while operations named them.
    left: Vec<Membership<T>>,
}

impl<T: Threading> Default for State<T> {
    fn default() -> Self {
        State { scout: None, left: Vec::new() }
    }
}

impl<T: Threading> State<T> {
    /// Leaves what is left open for good.
    pub(super) fn leak(&mut self) {
        for membership in std::mem::take(&mut self.left) {
            membership.fid.leak();
            std::mem::forget(membership);
        }
    }
}

/// An open group.
struct Membership<T: Threading> {
    fid: Owned<fid_mc, T>,
    /// What slots name.
    entry: Own,
    joining: Arc<Joining>,
    /// What the scout has joined for it.
    scouted: Option<Ipv4Addr>,
}

impl<K: Connectionless, T: Threading> Endpoint<K, T> {
    /// Joins the multicast group at `address`, to send and to receive, as far as the endpoint's
    /// capabilities go. The join is under way when this returns.
    ///
    /// The endpoint needs `FI_MULTICAST` among the capabilities asked for, and an
    /// [event queue](crate::EndpointBuilder::event_queue). Over IP it receives what is sent to its own port
    /// at the group's address, if its [name](Self::name) is the group's address or the unspecified one
    /// (`0.0.0.0`): that is what `Hints::node` with `Hints::source` must have said.
    ///
    /// See `fi_cm(3)`.
    ///
    /// # Errors
    ///
    /// `Unsupported` without the capability, for an endpoint that does not receive where the provider
    /// cannot let it leave again (quirk 30), or an address of a form that the provider has no groups
    /// in; `Invalid` without an event queue, or for an address that is of no group or of another form
    /// than the endpoint's; what the provider says.
    #[doc(alias = "fi_join")]
    pub fn join(&self, address: &FabricAddress) -> Result<Join<MulticastGroup<T>>> {
        refuse_fork(JOIN)?;
        join(&self.core, address)
    }
}

fn join<T: Threading>(
    core: &Arc<Core<T>>,
    address: &FabricAddress,
) -> Result<Join<MulticastGroup<T>>> {
    let joins = core.joins(JOIN, (ofi_sys::FI_MULTICAST, "FI_MULTICAST"))?;
    let bytes = checked(core, address)?;
    core.sweep_multicast();
    let scouted = core.scout(joins, address)?;
    // SAFETY: the endpoint is open and enabled, has the capability and is bound to an event queue; the
    // address is of its form, with zeroes behind it. The group is closed by `close_group` alone.
    let joined = unsafe {
        joins.begin(
            JOIN,
            Needs::Property("multicast groups with addresses of this form"),
            |group, context| {
                ofi_sys::fi_join(core.fid.as_ptr(), bytes.as_ptr().cast(), 0, group, context)
            },
        )
    };
    let (fid, joining) = joined.inspect_err(|_| joins.unscout(scouted))?;
    let membership = Membership { fid, entry: Own::new(), joining: Arc::clone(&joining), scouted };
    let group = MulticastGroup {
        membership: Some(membership),
        raw: 0,
        address: address.clone(),
        core: Arc::clone(core),
    };
    Ok(Join::new(group, core, &joining))
}

/// The bytes for the provider, which reads as many as the form has.
fn checked<T: Threading>(core: &Core<T>, address: &FabricAddress) -> Result<Vec<u8>> {
    let format = core.info.address_format();
    if address.format() != format {
        return Err(Error::invalid(
            JOIN,
            format!("the address is {}, the endpoint's are {format}", address.format()),
        ));
    }
    if address.socket_addr().is_some_and(|address| !address.ip().is_multicast()) {
        return Err(Error::invalid(JOIN, format!("{address} is the address of no group")));
    }
    let mut bytes = CheckedAddress::new(format, address.bytes())?.bytes().to_vec();
    bytes.resize(bytes.len().max(512), 0);
    Ok(bytes)
}

/// A multicast group that an endpoint is in: what it sends to the group goes to all members.
///
/// A destination for [`Endpoint::send`] of the endpoint that joined it. It keeps that endpoint open.
/// Dropping it leaves the group: at once, or where a send to it is still under way, when the endpoint
/// next joins or leaves one, or closes.
///
/// See `fi_cm(3)`.
#[doc(alias = "fid_mc")]
pub struct MulticastGroup<T: Threading = Shared> {
    /// `None` once it was left.
    membership: Option<Membership<T>>,
    /// The provider's address of the group.
    raw: u64,
    address: FabricAddress,
    core: Arc<Core<T>>,
}

impl<T: Threading> MulticastGroup<T> {
    fn membership(&self) -> &Membership<T> {
        self.membership.as_ref().expect("until it is left")
    }

    /// The address that was joined.
    #[must_use]
    pub fn address(&self) -> &FabricAddress {
        &self.address
    }

    /// The provider's number for the group, for calls that this crate does not wrap: good while the
    /// group is open, and for multicast messages alone.
    #[doc(alias = "fi_mc_addr")]
    #[must_use]
    pub fn as_raw_address(&self) -> u64 {
        self.raw
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_mc {
        self.membership().fid.as_ptr()
    }

    /// Leaves the group, once the sends to it have ended, driving the completion queue for at most
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// Gives the handle back if some are still under way then; otherwise what the provider says.
    pub fn leave(mut self, timeout: Duration) -> Result<(), CloseError<MulticastGroup<T>>> {
        if !self.idle_within(timeout) {
            return Err(CloseError::InUse(self));
        }
        match self.membership.take() {
            Some(membership) => self.core.close_group(membership).map_err(CloseError::Failed),
            None => Ok(()),
        }
    }

    /// Whether no operation names the group, or none any more within `timeout`.
    fn idle_within(&self, timeout: Duration) -> bool {
        let Some(membership) = &self.membership else { return true };
        let idle = || !self.core.lane().names(membership.entry.word());
        if forked() || idle() {
            return true;
        }
        let queue = &self.core.transmit.core;
        let deadline = Instant::now().checked_add(timeout);
        wait::park_until(&[&**queue as &dyn Source], &mut |_| idle(), deadline)
    }
}

impl<T: Threading> Drop for MulticastGroup<T> {
    fn drop(&mut self) {
        let idle = self.idle_within(Duration::ZERO);
        let Some(membership) = self.membership.take() else { return };
        if idle {
            // A failure is logged where it happens.
            let _ = self.core.close_group(membership);
        } else if let Some(joins) = &self.core.joins {
            joins.multicast.lock().left.push(membership);
        }
    }
}

impl<T: Threading> Joinable for MulticastGroup<T> {
    type T = T;
    const CALL: &'static str = JOIN;

    fn joined(&mut self) {
        // SAFETY: the group is open, and the join has completed (rule C8).
        self.raw = unsafe { ofi_sys::fi_mc_addr(self.membership().fid.as_ptr()) };
    }
}

impl<T: Threading> Core<T> {
    /// Closes a group that nothing names.
    fn close_group(&self, membership: Membership<T>) -> Result<()> {
        let Membership { fid, entry: _, joining, scouted } = membership;
        if forked() {
            // A thread that the fork left behind may hold the locks.
            fid.leak();
            return Err(Error::new(ErrorKind::Forked, "fi_close"));
        }
        let result = fid.close();
        if let Some(joins) = &self.joins {
            joins.forget(&joining);
            joins.unscout(scouted);
        }
        result
    }

    /// Closes groups that were left while operations named them, where none does any more.
    fn sweep_multicast(&self) {
        let Some(joins) = &self.joins else { return };
        let idle = {
            let mut state = joins.multicast.lock();
            let (idle, named) = std::mem::take(&mut state.left)
                .into_iter()
                .partition(|m: &Membership<T>| !self.lane().names(m.entry.word()));
            state.left = named;
            idle
        };
        let close = |membership| drop(self.close_group(membership));
        Vec::into_iter(idle).for_each(close);
    }

    /// Closes all groups, for an endpoint about to close. `false` if operations still name one: the
    /// endpoint cannot, then (rule C8).
    #[must_use]
    pub(super) fn leave_multicast(&self) -> bool {
        self.sweep_multicast();
        self.joins.as_ref().is_none_or(|joins| joins.multicast.lock().left.is_empty())
    }

    /// Tries a join that the provider would not tell the failure of (quirk 30).
    fn scout(&self, joins: &Joins<T>, address: &FabricAddress) -> Result<Option<Ipv4Addr>> {
        if quirk(self.provider(), Defect::FailedJoinStays).is_none() {
            return Ok(None);
        }
        // Leaving a group that was not joined fails, and the endpoint could not close after it.
        let both = ofi_sys::FI_SEND | ofi_sys::FI_RECV;
        if self.limits.caps & both == ofi_sys::FI_SEND {
            return Err(Error::unsupported(JOIN, Needs::Capability("FI_RECV"))
                .detail("the provider cannot close an endpoint that has joined to send alone"));
        }
        let Some(IpAddr::V4(group)) = address.socket_addr().map(|address| address.ip()) else {
            return Ok(None);
        };
        let refused = |error: std::io::Error| match error.raw_os_error() {
            Some(errno) => Error::from_errno(Errno::from_raw(errno), JOIN),
            None => Error::new(ErrorKind::Failed, JOIN).detail(error.to_string()),
        };
        let mut state = joins.multicast.lock();
        if state.scout.is_none() {
            state.scout = Some(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(refused)?);
        }
        let scout = state.scout.as_ref().expect("just made");
        scout.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED).map_err(refused).map_err(
            |error| match error.errno() {
                Some(errno) if errno.raw() == libc::EADDRINUSE => {
                    error.detail(format!("the endpoint is in {group}"))
                }
                Some(errno) if errno.raw() == libc::ENODEV => {
                    error.hint("no network device has a route to the group")
                }
                _ => error,
            },
        )?;
        Ok(Some(group))
    }
}

impl<T: Threading> Joins<T> {
    fn unscout(&self, scouted: Option<Ipv4Addr>) {
        let Some(group) = scouted else { return };
        if let Some(scout) = &self.multicast.lock().scout {
            // It has joined; there is nothing to do where that ended by itself.
            let _ = scout.leave_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED);
        }
    }
}

/// Where a message goes: an [`Address`], or a [`MulticastGroup`] by reference. Sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no destination for a message",
    label = "neither an `Address` nor a `&MulticastGroup`",
    note = "insert the peer's address in the endpoint's `AddressVector`, or join a group"
)]
pub trait Destination<'a, T: Threading>: sealed::Destination<'a, T> {}

impl<'a, T: Threading> Destination<'a, T> for Address {}
impl<'a, T: Threading> Destination<'a, T> for &'a MulticastGroup<T> {}

pub(super) mod sealed {
    use super::{Address, Arc, Error, MulticastGroup, Threading};

    /// What the provider is given, the flags that go with it, the entry that names it.
    #[derive(Debug)]
    pub struct Route {
        pub(crate) raw: u64,
        pub(crate) flags: u64,
        pub(crate) to: Address,
        pub(crate) fault: Option<Error>,
    }

    pub trait Destination<'a, T: Threading> {
        /// For the endpoint of this core, with the vector of this number.
        fn route(self, core: *const (), vector: u64) -> Route;
    }

    impl<'a, T: Threading> Destination<'a, T> for Address {
        #[inline(always)]
        fn route(self, _: *const (), _: u64) -> Route {
            Route { raw: self.raw(), flags: 0, to: self, fault: None }
        }
    }

    impl<'a, T: Threading> Destination<'a, T> for &'a MulticastGroup<T> {
        fn route(self, core: *const (), vector: u64) -> Route {
            let fault = (core != Arc::as_ptr(&self.core).cast()).then(|| {
                Error::invalid("fi_send", "another endpoint has joined the group")
                    .hint("each endpoint joins by itself")
            });
            let entry = &self.membership().entry;
            // The endpoint's own vector, so that the address is one that it knows.
            let to = entry.address(self.raw, vector);
            Route { raw: self.raw, flags: ofi_sys::FI_MULTICAST, to, fault }
        }
    }
}

impl<T: Threading> fmt::Debug for MulticastGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MulticastGroup").field("address", &self.address).finish_non_exhaustive()
    }
}
