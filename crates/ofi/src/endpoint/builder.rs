//! Making an endpoint: everything it must have before it is enabled, then all at once, so that no
//! half-made endpoint can be reached (rules L4, L5).

use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use super::{
    Connectionless, Core, DIRECTED_MSG, Endpoint, Kind, Limits, counters::Counters,
    options::Options, own_name,
};
use crate::{
    AddressVector, BindFlags, Caps, CompletionQueue, Counter, Domain, EndpointType, Error,
    ErrorKind, EventQueue, Info, Result,
    av::local,
    eq::mail::Handle,
    error::check,
    fabric::FabricCore,
    group::Joins,
    object::{Owned, refuse_fork},
    op::{lane::Lane, overflow::Overflow},
    quirks::{Defect, quirk, short_receives_crash},
    threading::Threading,
};

/// What an endpoint is made with. [`enable`](Self::enable) makes it.
#[must_use = "a builder does nothing until it makes its endpoint"]
pub struct EndpointBuilder<K: Kind, T: Threading> {
    domain: Domain<T>,
    pub(crate) info: Info,
    pub(crate) eq: Option<EventQueue<T>>,
    pub(super) av: Option<AddressVector<T>>,
    transmit: Option<CompletionQueue<T>>,
    receive: Option<CompletionQueue<T>>,
    counters: Counters<T>,
    pub(super) options: Options,
    kind: PhantomData<K>,
}

impl<K: Kind, T: Threading> EndpointBuilder<K, T> {
    pub(crate) fn new(domain: &Domain<T>, info: &Info) -> Self {
        EndpointBuilder {
            domain: domain.clone(),
            info: info.clone(),
            eq: None,
            av: None,
            transmit: None,
            receive: None,
            counters: Counters::default(),
            options: Options::default(),
            kind: PhantomData,
        }
    }

    /// The queue that both sends and receives complete on.
    pub fn completion_queue(self, queue: &CompletionQueue<T>) -> Self {
        self.transmit_queue(queue).receive_queue(queue)
    }

    /// The queue that sends complete on.
    #[doc(alias = "FI_TRANSMIT")]
    pub fn transmit_queue(mut self, queue: &CompletionQueue<T>) -> Self {
        self.transmit = Some(queue.clone());
        self
    }

    /// The queue that receives complete on.
    #[doc(alias = "FI_RECV")]
    pub fn receive_queue(mut self, queue: &CompletionQueue<T>) -> Self {
        self.receive = Some(queue.clone());
        self
    }

    /// A counter for operations of these classes: `TRANSMIT` for sends, `RECV`, `READ` and `WRITE`
    /// for what is started here, `REMOTE_READ` and `REMOTE_WRITE` for what peers do (which needs
    /// `FI_RMA_EVENT`). One counter for each class; completion queues are needed all the same.
    #[doc(alias = "FI_SEND")]
    pub fn counter(mut self, counter: &Counter<T>, classes: BindFlags) -> Self {
        self.counters.add(counter, classes);
        self
    }

    /// The fabric of its domain.
    pub(crate) fn fabric(&self) -> &Arc<FabricCore> {
        &self.domain.0.fabric
    }

    /// Makes the endpoint; `bind` binds what its kind needs besides the queues, before it is
    /// enabled. `handle` is a connection request's, taken once the provider has it (rule D5).
    pub(crate) fn make(
        self,
        handle: &mut Option<Handle>,
        bind: impl FnOnce(*mut ofi_sys::fid_ep) -> Result<()>,
    ) -> Result<Core<T>> {
        const NAME: &str = "fi_endpoint";
        refuse_fork(NAME)?;
        let missing = |what: &str| {
            Error::invalid(NAME, format!("{what} is missing: give the builder one before enabling"))
        };
        let transmit = self.transmit.ok_or_else(|| missing("a transmit completion queue"))?;
        let receive = self.receive.ok_or_else(|| missing("a receive completion queue"))?;
        let domain = &self.domain.0;
        for queue in [&transmit, &receive] {
            if !queue.0.on(domain) {
                return Err(Error::invalid(NAME, "the completion queue is of another domain"));
            }
        }
        let mut queues = vec![(transmit.0.core.raw(), ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV)];
        if !Arc::ptr_eq(&transmit.0, &receive.0) {
            queues[0].1 = ofi_sys::FI_TRANSMIT;
            queues.push((receive.0.core.raw(), ofi_sys::FI_RECV));
        }
        let (fid, info) = Setup {
            domain: &self.domain,
            info: &self.info,
            kind: K::TYPE,
            av: self.av.as_ref(),
            queues: &queues,
            counters: &self.counters,
            options: &self.options,
        }
        .open_for(handle, bind)?;
        let limits = Limits::of(&info);
        let overflow = needs_overflow(&info).then(Overflow::get).transpose()?;
        let (sends, receives) = (Arc::clone(&transmit.0.core), Arc::clone(&receive.0.core));
        let lane = Lane::new(fid.as_nonnull(), sends, receives, overflow);
        if info.caps().contains(Caps::COLLECTIVE)
            && quirk(info.provider(), Defect::StrayContexts).is_some()
        {
            transmit.0.core.guard();
            receive.0.core.guard();
        }
        transmit.0.core.attach(lane);
        if !Arc::ptr_eq(&transmit.0, &receive.0) {
            receive.0.core.attach(lane);
        }
        if let Some(av) = &self.av {
            av.0.attach(lane);
        }
        Ok(Core {
            lane,
            vector: self.av.as_ref().map_or(0, |av| av.0.id),
            limits,
            validity: OnceLock::new(),
            fid,
            transmit: transmit.0,
            receive: receive.0,
            av: self.av.map(|av| av.0),
            joins: None,
            counters: self.counters.into_cores().into(),
            domain: Arc::clone(domain),
            connection: None,
            info,
        })
    }
}

impl<K: Connectionless, T: Threading> EndpointBuilder<K, T> {
    /// The vector whose addresses it sends to.
    pub fn address_vector(mut self, av: &AddressVector<T>) -> Self {
        self.av = Some(av.clone());
        self
    }

    /// The queue that tells what becomes of joins ([`Endpoint::join`]), which need one.
    pub fn event_queue(mut self, queue: &EventQueue<T>) -> Self {
        self.eq = Some(queue.clone());
        self
    }

    /// Makes the endpoint, binds everything, enables it.
    ///
    /// # Errors
    ///
    /// `Invalid` if something that this kind must have is missing; what the provider says.
    #[doc(alias = "fi_endpoint")]
    #[doc(alias = "fi_ep_bind")]
    #[doc(alias = "fi_enable")]
    pub fn enable(mut self) -> Result<Endpoint<K, T>> {
        if self.av.is_none() {
            return Err(Error::new(ErrorKind::Invalid, "fi_endpoint")
                .detail("an address vector is missing: give the builder one before enabling"));
        }
        let events = self.eq.take().map(|queue| queue.0);
        if events.as_ref().is_some_and(|eq| !Arc::ptr_eq(&eq.core.fabric, self.fabric())) {
            return Err(Error::invalid("fi_endpoint", "the event queue is of another fabric"));
        }
        let raw = events.as_ref().map(|eq| eq.core.raw());
        let mut core = self.make(&mut None, |fid| match raw {
            None => Ok(()),
            Some(eq) => {
                // SAFETY: both are open, and the endpoint is not enabled yet (rule L4).
                check(i64::from(unsafe { ofi_sys::fi_ep_bind(fid, eq, 0) }), "fi_ep_bind").map(drop)
            }
        })?;
        core.joins = events.map(|events| Box::new(Joins::new(events)));
        Ok(Endpoint::from_core(core))
    }
}

/// Everything that an endpoint has before it is enabled.
pub(super) struct Setup<'a, T: Threading> {
    pub(super) domain: &'a Domain<T>,
    pub(super) info: &'a Info,
    pub(super) kind: EndpointType,
    pub(super) av: Option<&'a AddressVector<T>>,
    /// Open queues of the same domain, and the flags they are bound with.
    pub(super) queues: &'a [(*mut ofi_sys::fid, u64)],
    pub(super) counters: &'a Counters<T>,
    pub(super) options: &'a Options,
}

impl<T: Threading> Setup<'_, T> {
    /// Opens the endpoint, sets its options, binds everything, enables it.
    pub(super) fn open(
        self,
        bind: impl FnOnce(*mut ofi_sys::fid_ep) -> Result<()>,
    ) -> Result<(Owned<ofi_sys::fid_ep, T>, Info)> {
        self.open_for(&mut None, bind)
    }

    /// As [`open`](Self::open), for a connection request: its handle is taken once the provider
    /// has it (rule D5).
    fn open_for(
        self,
        handle: &mut Option<Handle>,
        bind: impl FnOnce(*mut ofi_sys::fid_ep) -> Result<()>,
    ) -> Result<(Owned<ofi_sys::fid_ep, T>, Info)> {
        const NAME: &str = "fi_endpoint";
        let domain = &self.domain.0;
        if self.av.is_some_and(|av| !av.0.on(domain)) {
            return Err(Error::invalid(NAME, "the address vector is of another domain"));
        }
        if self.info.endpoint_type() != self.kind {
            return Err(Error::invalid(
                NAME,
                format!("the info describes a {} endpoint", self.info.endpoint_type()),
            )
            .hint("ask for the endpoint type in the hints"));
        }
        self.counters.check(domain, self.info)?;
        let provider = self.info.provider();
        if !provider.is_empty() && provider != self.domain.info().provider() {
            return Err(Error::invalid(NAME, "the info is of another provider"));
        }
        // Until it is enabled, or closed again, nobody may insert or remove: shm walks the endpoints that are
        // bound to the vector then, and looks into what only an enabled one has.
        let _still = self.av.map(|av| av.0.hold());
        warn_of_segments(provider);
        let info = self.info.with_threading::<T>()?;
        let request = handle.as_ref().map_or(std::ptr::null_mut(), Handle::as_ptr);
        let mut fid = std::ptr::null_mut();
        // SAFETY: domain and info are alive; the copy that carries the request's handle is ours
        // alone, and carries it for this call only; `fid` receives the endpoint.
        let status = unsafe {
            (*info.as_ptr()).handle = request;
            let status = ofi_sys::fi_endpoint(
                domain.as_ptr(),
                info.as_ptr(),
                &raw mut fid,
                std::ptr::null_mut(),
            );
            (*info.as_ptr()).handle = std::ptr::null_mut();
            status
        };
        check(i64::from(status), NAME)?;
        *handle = None;
        // SAFETY: fi_endpoint succeeded.
        let fid: Owned<_, T> = unsafe { Owned::new(fid, NAME)? };
        // The vector first: some providers crash closing an endpoint that never got one.
        if let Some(av) = self.av {
            bind_fid(&fid, av.as_raw().cast(), 0)?;
        }
        for &(queue, flags) in self.queues {
            bind_fid(&fid, queue, flags)?;
        }
        for (counter, flags) in self.counters.bindings() {
            bind_fid(&fid, counter, flags)?;
        }
        bind(fid.as_ptr())?;
        self.options.apply(fid.as_ptr(), info.provider(), false)?;
        // SAFETY: open, and bound to all it needs.
        check(i64::from(unsafe { ofi_sys::fi_enable(fid.as_ptr()) }), "fi_enable")?;
        if quirk(info.provider(), Defect::LastConnectionDangles).is_some() {
            if let Some(av) = self.av {
                keep_connected(&fid, &info, &av.0);
            }
        }
        if local::concerns(&info) {
            // SAFETY: the endpoint is open and enabled.
            local::opened(&unsafe { own_name(fid.as_fid(), &info) }?);
        }
        self.options.apply(fid.as_ptr(), info.provider(), true)?;
        Ok((fid, info))
    }
}

fn bind_fid<T>(ep: &Owned<ofi_sys::fid_ep, T>, fid: *mut ofi_sys::fid, flags: u64) -> Result<()> {
    // SAFETY: both are open, and the endpoint is not enabled yet (rule L4).
    check(i64::from(unsafe { ofi_sys::fi_ep_bind(ep.as_ptr(), fid, flags) }), "fi_ep_bind")
        .map(drop)
}

/// Has an endpoint of rxm connect to itself, so that its table of connections is never without one
/// (quirk 25). Nothing is sent: the first try only begins to connect. Where that fails, what it guards
/// against is as likely as without.
fn keep_connected<T: Threading>(
    fid: &Owned<ofi_sys::fid_ep, T>,
    info: &Info,
    av: &crate::av::AvCore<T>,
) {
    // SAFETY: the endpoint is open and enabled.
    let Ok(name) = (unsafe { own_name(fid.as_fid(), info) }) else { return };
    av.visit(&name, |to| {
        let (ep, nothing) = (fid.as_ptr(), std::ptr::null());
        // SAFETY: the endpoint is open, with the capability; the address was just inserted.
        unsafe {
            if info.caps().contains(Caps::MSG) {
                ofi_sys::fi_inject(ep, nothing, 0, to);
            } else if info.caps().contains(Caps::TAGGED) {
                ofi_sys::fi_tinject(ep, nothing, 0, to, 0);
            }
        }
    });
}

/// Says once what this crate cannot avoid by itself.
fn warn_of_segments(provider: &str) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    if crate::quirks::has_segments(provider) {
        ONCE.call_once(|| {
            #[cfg(feature = "tracing")]
            tracing::warn!(
                target: "ofi",
                provider,
                "a peer that goes in the middle of a message of 17 to 128 KiB crashes this process \
                 (quirk 23); FI_OFI_RXM_SAR_LIMIT=0 in every peer's environment avoids it",
            );
        });
    }
}

/// The bits of a tag that are not those of collectives: whoever has the highest one on an endpoint of
/// rxm for collectives has its context taken for a collective's (quirk 29). The format says so, too,
/// unless the hints name another.
fn collective_bits(info: &Info) -> u64 {
    let taken = info.caps().contains(Caps::COLLECTIVE)
        && quirk(info.provider(), Defect::StrayContexts).is_some();
    if taken { u64::MAX >> 1 } else { u64::MAX }
}

/// Whether a receive that is shorter than its message needs room for the rest.
fn needs_overflow(info: &Info) -> bool {
    quirk(info.provider(), Defect::ShortReceiveHangs).is_some() || short_receives_crash(info)
}

/// [`DIRECTED_MSG`] where directed receives of untagged messages are granted and work.
fn directed_messages(info: &Info) -> u64 {
    let granted = info.caps().contains(Caps::DIRECTED_RECV)
        && quirk(info.provider(), Defect::DirectedIgnored).is_none();
    if granted { DIRECTED_MSG } else { 0 }
}

/// Without any of the four a capability that has them means all (fi_getinfo.3).
fn with_modifiers(caps: u64) -> u64 {
    let four =
        ofi_sys::FI_READ | ofi_sys::FI_WRITE | ofi_sys::FI_REMOTE_READ | ofi_sys::FI_REMOTE_WRITE;
    if caps & four == 0 { caps | four } else { caps }
}

impl Limits {
    fn of(info: &Info) -> Limits {
        let mr_mode = info.domain().mr_mode();
        Limits {
            caps: with_modifiers(info.caps().raw()) | directed_messages(info),
            message: info.endpoint().max_msg_size(),
            inject: info.tx().inject_size(),
            transmit_iov: info.tx().iov_limit().max(1),
            // One piece is the overflow's, where there is one.
            receive_iov: info
                .rx()
                .iov_limit()
                .saturating_sub(usize::from(needs_overflow(info)))
                .max(1),
            remote_iov: info.tx().rma_iov_limit().max(1),
            data_bytes: info.domain().cq_data_size(),
            tag_bits: collective_bits(info)
                & match info.endpoint().mem_tag_format() {
                    // Named formats (MPI, CCL) use all bits in their own way.
                    format if format < ofi_sys::FI_TAG_MAX_FORMAT => u64::MAX,
                    format => u64::MAX >> format.leading_zeros(),
                },
            local_registration: mr_mode.contains(crate::MrMode::LOCAL),
        }
    }
}

impl<K: Kind, T: Threading> std::fmt::Debug for EndpointBuilder<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointBuilder")
            .field("type", &K::TYPE)
            .field("av", &self.av)
            .field("transmit", &self.transmit)
            .field("receive", &self.receive)
            .finish_non_exhaustive()
    }
}
