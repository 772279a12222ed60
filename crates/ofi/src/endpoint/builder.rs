//! Making an endpoint: everything it must have before it is enabled, then all at once, so that no
//! half-made endpoint can be reached (rules L4, L5).

use std::{marker::PhantomData, sync::Arc};

use super::{
    Connectionless, Core, DIRECTED_MSG, Endpoint, Kind, Limits, Parents, Parts, SINGLE,
    SINGLE_READS, SINGLE_SENDS, SINGLE_WRITES, SharedReceive, SharedTransmit,
    control::set_level,
    counters::Counters,
    join::{self, Joins},
    options::Options,
    own_name,
};
use crate::{
    AddressVector, BindFlags, Caps, CompletionQueue, Counter, Domain, EndpointType, Error,
    ErrorKind, EventQueue, Info, MrMode, OpFlags, Result,
    av::local,
    counter::CounterCore,
    cq::CqCore,
    eq::mail::Handle,
    error::{Needs, check},
    fabric::FabricCore,
    mr::KeyKind,
    object::{Owned, refuse_fork},
    op::{
        lane::{Habits, Lane},
        overflow::Overflow,
        tally::Tally,
    },
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
    shared_receive: Option<SharedReceive<T>>,
    shared_transmit: Option<SharedTransmit<T>>,
    batches: BindFlags,
    /// The caller answers for how the provider counts.
    trusted: bool,
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
            shared_receive: None,
            shared_transmit: None,
            batches: BindFlags::empty(),
            trusted: false,
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

    /// The context that its receives are posted to, in place of the endpoint. The info must have
    /// been asked for with [`Hints::share_rx_context`](crate::Hints::share_rx_context). What it
    /// receives completes on the context's queue, which is its receive queue.
    ///
    /// On `sockets` the endpoint, once it has no handle any more, stays open until its shared contexts
    /// close: its peers learn of its end then, and what they send meanwhile takes receives (quirk 39).
    #[doc(alias = "FI_SHARED_CONTEXT")]
    pub fn shared_receive(mut self, context: &SharedReceive<T>) -> Self {
        self.shared_receive = Some(context.clone());
        self
    }

    /// The transmit context that it shares with others. The info must have been asked for with
    /// [`Hints::share_tx_context`](crate::Hints::share_tx_context). On `sockets` the endpoint closes
    /// with it, as with a [shared receive context](Self::shared_receive).
    #[doc(alias = "FI_SHARED_CONTEXT")]
    pub fn shared_transmit(mut self, context: &SharedTransmit<T>) -> Self {
        self.shared_transmit = Some(context.clone());
        self
    }

    /// Operations of these classes (`TRANSMIT`, `WRITE`, `READ`) are posted in batches, and leave no
    /// entry on the completion queue unless they fail: see [`Batch`](crate::Batch). All of them are:
    /// such an operation by itself, or an inject, is refused by this endpoint then. Each class gets a
    /// counter of its own, that nobody else can reach.
    ///
    /// Making the endpoint fails with `Unsupported` where the provider has no counters, or where nobody has
    /// measured that it counts each success once
    /// ([`trust_counters`](Self::trust_counters)).
    #[doc(alias = "FI_SELECTIVE_COMPLETION")]
    pub fn batches(mut self, classes: BindFlags) -> Self {
        self.batches = classes;
        self
    }

    /// Answers for a provider that was not measured, as [`batches`](Self::batches) needs it.
    ///
    /// # Safety
    ///
    /// The provider counts every successful operation of the endpoint's batches exactly once, when it has
    /// ended as its level says and not before, and nothing else in its class; no operation that failed, and
    /// none that it refused to take; and it leaves no entry for a success. Otherwise memory comes back that
    /// it may still touch.
    pub unsafe fn trust_counters(mut self) -> Self {
        self.trusted = true;
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
        let domain = &self.domain.0;
        let transmit = self.transmit.ok_or_else(|| missing("a transmit completion queue"))?;
        let receive = match (self.receive, &self.shared_receive) {
            (None, Some(context)) => CompletionQueue(Arc::clone(context.queue())),
            (queue, _) => queue.ok_or_else(|| missing("a receive completion queue"))?,
        };
        for queue in [&transmit, &receive] {
            if !queue.0.on(domain) {
                return Err(Error::invalid(NAME, "the completion queue is of another domain"));
            }
        }
        let selective = !self.batches.is_empty();
        let mut queues = vec![(transmit.0.core.raw(), ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV)];
        if selective || !Arc::ptr_eq(&transmit.0, &receive.0) {
            queues[0].1 = ofi_sys::FI_TRANSMIT;
            if selective {
                queues[0].1 |= ofi_sys::FI_SELECTIVE_COMPLETION;
            }
            queues.push((receive.0.core.raw(), ofi_sys::FI_RECV));
        }
        let mut parents = Parents::shared(self.shared_receive, self.shared_transmit);
        let vector = self.av.as_ref().map(|av| av.0.id);
        let info = parents.check(domain, &self.info, &receive.0, vector)?;
        let mut counters = self.counters;
        let batches = counters.add_batches(&self.domain, &info, self.batches, self.trusted)?;
        if !batches.is_empty() && parents.mix_counts(domain.info.provider()) {
            return Err(Error::unsupported(NAME, Needs::Property("batches on shared contexts"))
                .hint("give the endpoint contexts of its own"));
        }
        let habits = habits(&info, domain.mr_mode)?;
        let mut stranded = None;
        let place = parents.keep_open(domain.info.provider()).then_some(&mut stranded);
        let setup = Setup {
            domain: &self.domain,
            info: &info,
            kind: K::TYPE,
            av: self.av.as_ref(),
            queues: &queues,
            counters: &counters,
            options: &self.options,
        };
        let opened = {
            let _readers = hold_readers([&*transmit.0.core, &*receive.0.core]);
            setup.open_for(handle, place, |fid| {
                parents.bind(fid)?;
                bind(fid)
            })
        };
        let level = self.options.level.map_or(0, |level| level.flag().raw());
        let core = |opened: Opened<T>| {
            let Opened { fid, info, injected } = opened;
            parents.counters = counters.into_cores();
            let mut limits = Limits::of(&info, domain.mr_mode);
            limits.batch(self.batches, level);
            if parents.receives_elsewhere() {
                limits.caps &= !ofi_sys::FI_RECV;
            }
            let tallies = tallies(&fid, batches, injected, &transmit, &receive);
            if strays(&info) {
                transmit.0.core.guard();
                receive.0.core.guard();
            }
            Core::new(Parts {
                limits,
                habits,
                fid,
                info,
                transmit: transmit.0,
                receive: receive.0,
                av: self.av.map(|av| av.0),
                domain: Arc::clone(domain),
                // Of a connected endpoint it was taken before.
                joins: self.eq.map(|eq| Joins::new(eq.0)),
                parents,
                tallies,
            })
        };
        match (opened, stranded) {
            (Ok(opened), _) => Ok(core(opened)),
            (Err(error), None) => Err(error),
            (Err(error), Some(stranded)) => {
                // As any endpoint that closes there.
                drop(core(stranded));
                Err(error)
            }
        }
    }
}

impl<K: Connectionless, T: Threading> EndpointBuilder<K, T> {
    /// The vector whose addresses it sends to.
    pub fn address_vector(mut self, av: &AddressVector<T>) -> Self {
        self.av = Some(av.clone());
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
    #[doc(alias = "FI_ENABLE")]
    pub fn enable(self) -> Result<Endpoint<K, T>> {
        if self.av.is_none() {
            return Err(Error::new(ErrorKind::Invalid, "fi_endpoint")
                .detail("an address vector is missing: give the builder one before enabling"));
        }
        let events = self.eq.clone();
        if events.as_ref().is_some_and(|eq| !Arc::ptr_eq(&eq.0.core.fabric, self.fabric())) {
            return Err(Error::invalid("fi_endpoint", "the event queue is of another fabric"));
        }
        let core = self.make(&mut None, |fid| join::bind(fid, events.as_ref()))?;
        Ok(Endpoint::from_core(core))
    }
}

/// An endpoint that was just made.
pub(super) struct Opened<T: Threading> {
    pub(super) fid: Owned<ofi_sys::fid_ep, T>,
    /// What it was opened with.
    pub(super) info: Info,
    /// Messages that it has sent to itself: counters count them.
    injected: u64,
}

/// What follows the batches of a new endpoint: one for each class.
fn tallies<T: Threading>(
    fid: &Owned<ofi_sys::fid_ep, T>,
    batches: Vec<(BindFlags, Arc<CounterCore<T>>)>,
    injected: u64,
    transmit: &CompletionQueue<T>,
    receive: &CompletionQueue<T>,
) -> Vec<Arc<Tally<T>>> {
    let tally = |(class, counter)| {
        let (sends, receives) = (Arc::clone(&transmit.0.core), Arc::clone(&receive.0.core));
        let habits = Habits { batched: true, ..Habits::default() };
        let lane = Lane::new(fid.as_nonnull(), Arc::clone(&sends), receives, habits);
        let posted = if class == BindFlags::TRANSMIT { injected } else { 0 };
        // SAFETY: `add_batches` made the counter, bound just now for this class alone;
        // `Core::shut_down` closes the tally before it retires the lane.
        unsafe { Tally::new(class, counter, lane, sends, posted) }
    };
    batches.into_iter().map(tally).collect()
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
    ) -> Result<Opened<T>> {
        self.open_for(&mut None, None, bind)
    }

    /// As [`open`](Self::open), for a connection request: its handle is taken once the provider
    /// has it (rule D5). Where that fails midway, what is there goes to `stranded`, if there is such
    /// a place, instead of being closed.
    fn open_for(
        self,
        handle: &mut Option<Handle>,
        stranded: Option<&mut Option<Opened<T>>>,
        bind: impl FnOnce(*mut ofi_sys::fid_ep) -> Result<()>,
    ) -> Result<Opened<T>> {
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
        check_info(NAME, self.info)?;
        let provider = self.info.provider();
        if !provider.is_empty() && provider != self.domain.info().provider() {
            return Err(Error::invalid(NAME, "the info is of another provider"));
        }
        // As for queues: reading a counter drives what is bound to it.
        let _counters = self.counters.hold();
        // Until it is enabled, or closed again, nobody may insert or remove: shm walks the endpoints that are
        // bound to the vector then, and looks into what only an enabled one has.
        let _still = self.av.map(|av| av.0.hold());
        warn_of_segments(self.domain.info().provider());
        let info = self.info.with_threading::<T>()?;
        if quirk(self.domain.info().provider(), Defect::UnenabledCloseCrashes).is_some() {
            rehearse(self.domain, &info)?;
        }
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
        match (self.finish(&fid, &info, bind), stranded) {
            (Ok(injected), _) => Ok(Opened { fid, info, injected }),
            (Err(error), None) => Err(error),
            (Err(error), Some(place)) => {
                *place = Some(Opened { fid, info, injected: 0 });
                Err(error)
            }
        }
    }

    /// Binds everything, sets the options, enables it. Gives the number of messages that it has sent
    /// to itself.
    fn finish(
        &self,
        fid: &Owned<ofi_sys::fid_ep, T>,
        info: &Info,
        bind: impl FnOnce(*mut ofi_sys::fid_ep) -> Result<()>,
    ) -> Result<u64> {
        let provider = self.domain.info().provider();
        // The vector first: some providers crash closing an endpoint that never got one.
        if let Some(av) = self.av {
            bind_fid(fid, av.as_raw().cast(), 0)?;
        }
        for &(queue, flags) in self.queues {
            bind_fid(fid, queue, flags)?;
        }
        for (counter, flags) in self.counters.bindings() {
            bind_fid(fid, counter, flags)?;
        }
        bind(fid.as_ptr())?;
        self.options.apply(fid.as_ptr(), provider, false)?;
        // SAFETY: open, and bound to all it needs.
        let mut status = unsafe { ofi_sys::fi_enable(fid.as_ptr()) };
        if status != 0 && quirk(provider, Defect::UnenabledCloseCrashes).is_some() {
            // SAFETY: as above; nobody reads what it is bound to meanwhile.
            status = until_enabled(|| unsafe { ofi_sys::fi_enable(fid.as_ptr()) });
        }
        check(i64::from(status), "fi_enable")?;
        let mut injected = 0;
        if quirk(provider, Defect::LastConnectionDangles).is_some() {
            if let Some(av) = self.av {
                injected = keep_connected(fid, info, &av.0);
            }
        }
        if local::concerns(info) {
            // SAFETY: the endpoint is open and enabled.
            local::opened(&unsafe { own_name(fid.as_fid(), info) }?);
        }
        self.options.apply(fid.as_ptr(), provider, true)?;
        if let Some(level) = self.options.level {
            set_level(fid.as_ptr(), level)?;
        }
        Ok(injected)
    }
}

/// Enables and closes an endpoint on objects of its own. Where that fails all of them are left as they
/// are, and nobody reads them: an endpoint that could not be enabled can neither be closed nor be
/// driven there (quirk 69).
fn rehearse<T: Threading>(domain: &Domain<T>, info: &Info) -> Result<()> {
    let queue = domain.completion_queue().open()?;
    let vector = domain.address_vector().open()?;
    let (mut fid, context) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: domain and info are alive; `fid` receives the endpoint.
    let status =
        unsafe { ofi_sys::fi_endpoint(domain.0.as_ptr(), info.as_ptr(), &raw mut fid, context) };
    check(i64::from(status), "fi_endpoint")?;
    // SAFETY: fi_endpoint succeeded.
    let fid: Owned<_, T> = unsafe { Owned::new(fid, "fi_endpoint")? };
    let flags = ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV;
    let enabled = bind_fid(&fid, vector.as_raw().cast(), 0)
        .and_then(|()| bind_fid(&fid, queue.0.core.raw(), flags))
        // SAFETY: open, and bound to all it needs.
        .and_then(|()| check(i64::from(unsafe { ofi_sys::fi_enable(fid.as_ptr()) }), "fi_enable"));
    match enabled {
        Ok(_) => fid.close(),
        Err(error) => {
            fid.leak();
            domain.0.leak();
            std::mem::forget((fid, queue, vector));
            Err(error)
        }
    }
}

/// Another process took the place that was there for the rehearsal, maybe for one of its own: tries
/// again. Its queues would be read through an endpoint that is not enabled, and there is no taking it
/// out of them, so that there is no going on without.
#[cold]
fn until_enabled(enable: impl Fn() -> i32) -> i32 {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
    const REST: std::time::Duration = std::time::Duration::from_millis(1);
    let begun = std::time::Instant::now();
    loop {
        std::thread::sleep(REST);
        let status = enable();
        if status == 0 {
            return status;
        }
        if begun.elapsed() > PATIENCE {
            eprintln!("ofi: an endpoint's place was taken, and no other came free (quirk 69)");
            std::process::abort();
        }
    }
}

/// That what is opened with an info can be what its operations take it for.
pub(super) fn check_info(name: &'static str, info: &Info) -> Result<()> {
    if info.tx().op_flags().contains(OpFlags::MULTICAST) {
        // Every number of a peer would be taken for the address of a group, which is a pointer.
        return Err(Error::invalid(name, "FI_MULTICAST among the info's op_flags")
            .hint("send to a MulticastGroup: the flag goes with each message"));
    }
    // What an operation does without asking must be what its verb takes it for: a receive that stays
    // posted after its message, or a write that is injected whatever its length, would end in memory of
    // others.
    let plain = OpFlags::COMPLETION
        | OpFlags::INJECT_COMPLETE
        | OpFlags::TRANSMIT_COMPLETE
        | OpFlags::DELIVERY_COMPLETE
        | OpFlags::MATCH_COMPLETE
        | OpFlags::COMMIT_COMPLETE;
    let odd = (info.tx().op_flags() | info.rx().op_flags()).difference(plain);
    if !odd.is_empty() {
        return Err(Error::invalid(name, format!("{odd} among the info's op_flags"))
            .hint("flags other than levels go with each operation, or have a verb of their own"));
    }
    crate::op::prefix::check(info)
}

/// Until what is bound to them is enabled nobody may drive these queues: most providers walk the
/// endpoints that are bound to a queue, and look into what only an enabled one has. Each is held once,
/// in the order in which closing takes these locks.
pub(super) fn hold_readers<'a, T: Threading + 'a>(
    queues: impl IntoIterator<Item = &'a CqCore<T>>,
) -> Vec<impl Sized + 'a> {
    let mut queues: Vec<_> = queues.into_iter().collect();
    queues.sort_by_key(|queue| std::ptr::from_ref(*queue) as usize);
    queues.dedup_by_key(|queue| std::ptr::from_ref(*queue));
    queues.into_iter().map(CqCore::hold).collect()
}

fn bind_fid<T>(ep: &Owned<ofi_sys::fid_ep, T>, fid: *mut ofi_sys::fid, flags: u64) -> Result<()> {
    // SAFETY: both are open, and the endpoint is not enabled yet (rule L4).
    check(i64::from(unsafe { ofi_sys::fi_ep_bind(ep.as_ptr(), fid, flags) }), "fi_ep_bind")
        .map(drop)
}

/// Has an endpoint of rxm connect to itself, so that its table of connections is never without one
/// (quirk 25). Nothing is sent: the first try only begins to connect. Where that fails, what it guards
/// against is as likely as without. Returns how many messages were sent all the same: counters count them.
fn keep_connected<T: Threading>(
    fid: &Owned<ofi_sys::fid_ep, T>,
    info: &Info,
    av: &crate::av::AvCore<T>,
) -> u64 {
    // SAFETY: the endpoint is open and enabled.
    let Ok(name) = (unsafe { own_name(fid.as_fid(), info) }) else { return 0 };
    let mut injected = 0;
    av.visit(&name, |to| {
        let (ep, nothing) = (fid.as_ptr(), std::ptr::null());
        // SAFETY: the endpoint is open, with the capability; the address was just inserted.
        let status = unsafe {
            if info.caps().contains(Caps::MSG) {
                ofi_sys::fi_inject(ep, nothing, 0, to)
            } else if info.caps().contains(Caps::TAGGED) {
                ofi_sys::fi_tinject(ep, nothing, 0, to, 0)
            } else {
                return;
            }
        };
        injected = u64::from(status == 0);
    });
    injected
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

/// Whether the provider's collectives take tags and contexts of their own (quirk 53).
fn strays(info: &Info) -> bool {
    info.caps().contains(Caps::COLLECTIVE)
        && quirk(info.provider(), Defect::StrayContexts).is_some()
}

/// The bits of a tag that are not those of collectives: whoever has the highest one on an endpoint of
/// rxm for collectives has its context taken for a collective's (quirk 53). The format says so, too,
/// unless the hints name another.
fn collective_bits(info: &Info) -> u64 {
    if strays(info) { u64::MAX >> 1 } else { u64::MAX }
}

/// How what is opened with an info carries out its operations. `domain` is what the domain asks of
/// registrations.
pub(super) fn habits(info: &Info, domain: MrMode) -> Result<Habits> {
    Ok(Habits {
        overflow: needs_overflow(info).then(Overflow::get).transpose()?,
        discards_by_flag: asked(info, domain).contains(MrMode::LOCAL),
        ..Habits::default()
    })
}

/// What is asked of registrations: the endpoint's info may say more than its domain.
fn asked(info: &Info, domain: MrMode) -> MrMode {
    domain | info.domain().mr_mode().taken_apart()
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

/// What is posted by itself, where these classes are posted in batches.
fn singles(batches: BindFlags) -> u64 {
    let classes = [
        (BindFlags::TRANSMIT, SINGLE_SENDS),
        (BindFlags::WRITE, SINGLE_WRITES),
        (BindFlags::READ, SINGLE_READS),
    ];
    let single = |(class, bit): &(BindFlags, u64)| if batches.contains(*class) { 0 } else { *bit };
    classes.iter().map(single).sum()
}

/// Without any of the four, or of the two, a capability that has them means all (fi_getinfo.3).
fn with_modifiers(caps: u64) -> u64 {
    let four =
        ofi_sys::FI_READ | ofi_sys::FI_WRITE | ofi_sys::FI_REMOTE_READ | ofi_sys::FI_REMOTE_WRITE;
    let two = ofi_sys::FI_SEND | ofi_sys::FI_RECV;
    let implied = |set: u64| if caps & set == 0 { set } else { 0 };
    caps | implied(four) | implied(two)
}

impl Limits {
    /// `domain` is what the domain asks of registrations.
    pub(super) fn of(info: &Info, domain: MrMode) -> Limits {
        let mr_mode = asked(info, domain);
        Limits {
            caps: with_modifiers(info.caps().raw()) | directed_messages(info) | SINGLE,
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
            prefix: crate::op::prefix::size(info) as u32,
            special: crate::op::prefix::size(info) > 0 || mr_mode.contains(MrMode::LOCAL),
            local_registration: mr_mode.contains(MrMode::LOCAL),
            device_registration: mr_mode.contains(MrMode::HMEM),
            collective_registration: mr_mode.contains(MrMode::COLLECTIVE),
            keys: match mr_mode.contains(MrMode::RAW) {
                true => KeyKind::Mapped as u8,
                false => KeyKind::Plain as u8,
            },
            selective: false,
            level: 0,
        }
    }

    /// Operations of these classes are posted in batches, and mean this level if they say none.
    fn batch(&mut self, classes: BindFlags, level: u64) {
        self.selective = !classes.is_empty();
        self.level = level;
        self.caps = self.caps & !SINGLE | singles(classes);
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
