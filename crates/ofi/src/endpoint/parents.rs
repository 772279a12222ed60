//! What an endpoint stands on besides its queues: shared contexts; a context: its scalable endpoint; an
//! alias: what it is one of.
//!
//! A parent closes after the endpoint. Where a provider's shared contexts keep pointers into the
//! endpoints that were bound to them (quirk 39), it is the other way round: an endpoint that is to
//! close becomes a ward of its contexts, open and out of reach, and closes when the last of them has.

use std::{sync::Arc, time::Duration};

use super::{Core, SharedReceive, SharedTransmit, scalable::ScalableCore};
use crate::{
    Error, Info, Progress, Result,
    counter::CounterCore,
    cq::CqOpen,
    domain::DomainCore,
    error::{Needs, check},
    object::count_leaked_operations,
    quirks::{Defect, quirk},
    threading::{Lock, Threading},
};

/// See the module.
pub(super) struct Parents<T: Threading> {
    receive: Option<SharedReceive<T>>,
    transmit: Option<SharedTransmit<T>>,
    scalable: Option<Arc<ScalableCore<T>>>,
    aliased: Option<Arc<Core<T>>>,
    /// Bound to it, so open for as long as it is.
    pub(super) counters: Vec<Arc<CounterCore<T>>>,
    /// What it is, also where it is left to its parents.
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Endpoint,
    /// Of a scalable endpoint.
    Context,
    Alias,
}

impl<T: Threading> Default for Parents<T> {
    fn default() -> Self {
        Parents {
            receive: None,
            transmit: None,
            scalable: None,
            aliased: None,
            counters: Vec::new(),
            kind: Kind::Endpoint,
        }
    }
}

impl<T: Threading> Clone for Parents<T> {
    fn clone(&self) -> Self {
        Parents {
            receive: self.receive.clone(),
            transmit: self.transmit.clone(),
            scalable: self.scalable.clone(),
            aliased: self.aliased.clone(),
            counters: self.counters.clone(),
            kind: self.kind,
        }
    }
}

impl<T: Threading> Parents<T> {
    pub(super) fn shared(
        receive: Option<SharedReceive<T>>,
        transmit: Option<SharedTransmit<T>>,
    ) -> Self {
        Parents { receive, transmit, ..Parents::default() }
    }

    pub(super) fn scalable(endpoint: &Arc<ScalableCore<T>>) -> Self {
        let scalable = Some(Arc::clone(endpoint));
        Parents { scalable, kind: Kind::Context, ..Parents::default() }
    }

    pub(super) fn alias_of(endpoint: &Arc<Core<T>>) -> Self {
        let aliased = Some(Arc::clone(endpoint));
        Parents { aliased, kind: Kind::Alias, ..Parents::default() }
    }

    /// What it stands on still when it is left to them.
    pub(super) fn let_go(&self) -> Self {
        Parents { counters: self.counters.clone(), kind: self.kind, ..Parents::default() }
    }

    /// Whether an endpoint of this domain, with this receive queue and vector, may be bound to them.
    /// Gives the info that it is to be opened with.
    pub(super) fn check(
        &self,
        domain: &Arc<DomainCore<T>>,
        info: &Info,
        queue: &Arc<CqOpen<T>>,
        vector: Option<u64>,
    ) -> Result<Info> {
        const NAME: &str = "fi_ep_bind";
        let shared = ofi_sys::FI_SHARED_CONTEXT;
        let wanted =
            (info.endpoint().rx_ctx_cnt() == shared, info.endpoint().tx_ctx_cnt() == shared);
        if wanted != (self.receive.is_some(), self.transmit.is_some()) {
            return Err(Error::invalid(
                NAME,
                "shared contexts that were asked for are given, and no others",
            )
            .hint(
                "ask with Hints::share_rx_context or share_tx_context, and give the builder one",
            ));
        }
        let foreign = || Err(Error::invalid(NAME, "the shared context is of another domain"));
        if let Some(context) = &self.transmit {
            if !context.on(domain) {
                return foreign();
            }
        }
        if let Some(context) = &self.receive {
            if !context.on(domain) {
                return foreign();
            }
            if !Arc::ptr_eq(context.queue(), queue) {
                return Err(Error::invalid(NAME, "the shared receive context has another queue")
                    .hint("leave the receive queue out, or give the builder the context's"));
            }
            if !context.share_vector(vector) {
                return Err(Error::invalid(
                    NAME,
                    "endpoints that share a receive context share their address vector",
                ));
            }
        }
        if !self.keep_open(domain.info.provider()) {
            return Ok(info.clone());
        }
        // SAFETY: numbers only; `ep_attr` is set in every answer of fi_getinfo. The handle of a
        // request is not copied, and set where it is used.
        unsafe {
            info.duplicate_with(|copy| {
                // An endpoint that closes after its contexts must not look for them.
                (*(*copy).ep_attr).rx_ctx_cnt = 1;
                (*(*copy).ep_attr).tx_ctx_cnt = 1;
            })
        }
    }

    /// Binds an endpoint that is not enabled yet to them.
    pub(super) fn bind(&self, ep: *mut ofi_sys::fid_ep) -> Result<()> {
        let fids = [
            self.receive.as_ref().map(SharedReceive::raw),
            self.transmit.as_ref().map(SharedTransmit::raw),
        ];
        for fid in fids.into_iter().flatten() {
            // SAFETY: both are open and of one domain, the endpoint is not enabled yet (rule L4).
            let status = unsafe { ofi_sys::fi_ep_bind(ep, fid, 0) };
            check(i64::from(status), "fi_ep_bind")?;
        }
        Ok(())
    }

    /// Whether an endpoint on them has no receives of its own.
    pub(super) fn receives_elsewhere(&self) -> bool {
        self.receive.is_some()
    }

    /// Whether what stands on them has to stay open for as long as they are.
    pub(super) fn keep_open(&self, provider: &str) -> bool {
        let shared = self.receive.is_some() || self.transmit.is_some();
        shared && quirk(provider, Defect::SharedContextDangles).is_some()
            || self.scalable.is_some() && quirk(provider, Defect::ContextDangles).is_some()
    }

    /// Whether counters of an endpoint on them may miss what it does, or its batches outlive it.
    pub(super) fn mix_counts(&self, provider: &str) -> bool {
        self.transmit.is_some() || self.keep_open(provider)
    }

    /// Whether it is an alias whose endpoint is there: closing it would end nothing.
    pub(super) fn keep_alias(&self) -> bool {
        self.aliased.is_some()
    }

    /// Whether it must not be closed with operations in flight, or sends.
    pub(super) fn minds(&self, provider: &str, sends: bool) -> bool {
        match self.kind {
            Kind::Endpoint => false,
            Kind::Context => sends && quirk(provider, Defect::ContextDangles).is_some(),
            Kind::Alias => true,
        }
    }

    /// Takes an endpoint in that nobody has any more.
    pub(super) fn adopt(&self, endpoint: Core<T>) {
        let ward = Arc::new(endpoint);
        let receive = self.receive.as_ref().map(SharedReceive::wards);
        let transmit = self.transmit.as_ref().map(SharedTransmit::wards);
        let scalable = self.scalable.as_ref().map(|endpoint| &endpoint.wards);
        let aliased = self.aliased.as_ref().map(|endpoint| &*endpoint.aliases);
        for wards in receive.into_iter().chain(transmit).chain(scalable).chain(aliased) {
            wards.take_in(&ward);
        }
    }
}

/// Whether contexts and what stands on them can close one after the other: where either keeps pointers
/// into the other (quirks 39 and 42), reading a queue follows them if it is what makes progress.
pub(super) fn check_progress(name: &'static str, info: &Info) -> Result<()> {
    let provider = info.provider();
    let dangles = quirk(provider, Defect::SharedContextDangles).is_some()
        || quirk(provider, Defect::ContextDangles).is_some();
    if dangles && info.domain().data_progress() == Progress::Manual {
        return Err(Error::unsupported(name, Needs::Property("automatic progress"))
            .hint("leave the progress to the provider: Progress::Auto in the hints"));
    }
    Ok(())
}

/// Endpoints that close after a shared context; contexts and aliases that close with their endpoint.
pub(super) struct Wards<T: Threading>(T::Lock<Vec<Arc<Core<T>>>>);

impl<T: Threading> Wards<T> {
    pub(super) fn new() -> Self {
        Wards(T::Lock::new(Vec::new()))
    }

    fn take_in(&self, ward: &Arc<Core<T>>) {
        self.0.lock().push(Arc::clone(ward));
    }

    /// Closes them now, each within `timeout`. Whether all could be.
    pub(super) fn close(&self, timeout: Duration) -> bool {
        let wards = std::mem::take(&mut *self.0.lock());
        let mut all = true;
        for mut ward in wards.into_iter().filter_map(Arc::into_inner) {
            all &= ward.shut_down(timeout).is_ok();
        }
        all
    }

    /// The context has closed, or could not be: the endpoints follow it.
    pub(super) fn follow(&self, context: &Result<()>) {
        let wards = std::mem::take(&mut *self.0.lock());
        if context.is_err() {
            // They are as open as it is.
            count_leaked_operations(wards.len());
            std::mem::forget(wards);
        }
    }
}
