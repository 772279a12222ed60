//! Scalable endpoints: one address, several transmit and receive contexts.
//!
//! Each context is a [`Core`] like an endpoint's and stands on the scalable endpoint, which closes
//! after the last of them. Where what comes for a closed context does harm (quirk 42), a context that
//! is to close stays open, out of reach, and closes with the scalable endpoint.

use std::{fmt, marker::PhantomData, sync::Arc};

use ofi_sys::fid_ep;

use super::{
    Connectionless, Core, Limits, Parents, Parts, ReceiveContext, TransmitContext,
    builder::{check_info, habits, hold_readers},
    own_name,
    parents::{Wards, check_progress},
};
use crate::{
    AddressVector, CompletionQueue, Domain, Error, FabricAddress, Info, Result,
    av::AvCore,
    cq::CqOpen,
    domain::DomainCore,
    error::{Needs, check},
    object::{CloseError, Owned, forked, refuse_fork},
    op::lane::Habits,
    threading::{Shared, Threading},
};

/// What a scalable endpoint is made with. [`enable`](Self::enable) makes it and its contexts.
#[must_use = "a builder does nothing until it makes its endpoint"]
pub struct ScalableEndpointBuilder<K: Connectionless, T: Threading> {
    domain: Domain<T>,
    info: Info,
    av: Option<AddressVector<T>>,
    transmit: Vec<CompletionQueue<T>>,
    receive: Vec<CompletionQueue<T>>,
    kind: PhantomData<K>,
}

/// An endpoint with one address and several contexts, each with a queue of its own. It sends and
/// receives nothing by itself: its contexts do.
///
/// A clone is another handle. It closes with its last handle and the last of its contexts.
///
/// See `fi_endpoint(3)`.
#[doc(alias = "fid_ep")]
pub struct ScalableEndpoint<K: Connectionless, T: Threading = Shared> {
    core: Arc<ScalableCore<T>>,
    kind: PhantomData<K>,
}

/// What [`ScalableEndpointBuilder::enable`] makes.
#[non_exhaustive]
pub struct Scaled<K: Connectionless, T: Threading = Shared> {
    /// The endpoint: its name, and its close.
    pub endpoint: ScalableEndpoint<K, T>,
    /// Its transmit contexts, in the order in which their queues were given.
    pub transmit: Vec<TransmitContext<T>>,
    /// Its receive contexts, in the order in which their queues were given: peers name them by that
    /// number, see [`AddressVector::receive_context`].
    pub receive: Vec<ReceiveContext<T>>,
}

/// What all handles of a scalable endpoint share, and its contexts hold.
pub(super) struct ScalableCore<T: Threading> {
    fid: Owned<fid_ep, T>,
    pub(super) wards: Wards<T>,
    av: Arc<AvCore<T>>,
    domain: Arc<DomainCore<T>>,
    info: Info,
}

impl<T: Threading> Domain<T> {
    /// A scalable endpoint on this domain, of the kind that `info` describes.
    ///
    /// `info` should have been asked for with [`Hints::tx_contexts`](crate::Hints::tx_contexts),
    /// [`Hints::rx_contexts`](crate::Hints::rx_contexts) and
    /// [`Caps::NAMED_RX_CTX`](crate::Caps::NAMED_RX_CTX).
    pub fn scalable_endpoint<K: Connectionless>(
        &self,
        info: &Info,
    ) -> ScalableEndpointBuilder<K, T> {
        ScalableEndpointBuilder {
            domain: self.clone(),
            info: info.clone(),
            av: None,
            transmit: Vec::new(),
            receive: Vec::new(),
            kind: PhantomData,
        }
    }
}

impl<K: Connectionless, T: Threading> ScalableEndpointBuilder<K, T> {
    /// The vector whose addresses its transmit contexts send to.
    pub fn address_vector(mut self, av: &AddressVector<T>) -> Self {
        self.av = Some(av.clone());
        self
    }

    /// One transmit context more, whose operations complete on this queue.
    pub fn transmit_context(mut self, queue: &CompletionQueue<T>) -> Self {
        self.transmit.push(queue.clone());
        self
    }

    /// One receive context more, whose receives complete on this queue.
    pub fn receive_context(mut self, queue: &CompletionQueue<T>) -> Self {
        self.receive.push(queue.clone());
        self
    }

    /// Makes the endpoint and its contexts, binds everything, enables all.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider has no scalable endpoints, or none with so many contexts;
    /// `Invalid` if the vector, or either kind of context, is missing or of another domain; what the
    /// provider says.
    #[doc(alias = "fi_scalable_ep")]
    #[doc(alias = "fi_scalable_ep_bind")]
    #[doc(alias = "fi_tx_context")]
    #[doc(alias = "fi_rx_context")]
    #[doc(alias = "fi_enable")]
    pub fn enable(self) -> Result<Scaled<K, T>> {
        const NAME: &str = "fi_scalable_ep";
        let none = Needs::Property("a provider with scalable endpoints of so many contexts");
        refuse_fork(NAME)?;
        let domain = &self.domain.0;
        let Some(av) = self.av.as_ref().filter(|av| av.0.on(domain)) else {
            return Err(Error::invalid(NAME, "an address vector of the domain is missing"));
        };
        if self.transmit.is_empty() || self.receive.is_empty() {
            return Err(Error::invalid(NAME, "a context of each kind is needed"));
        }
        if self.transmit.iter().chain(&self.receive).any(|queue| !queue.0.on(domain)) {
            return Err(Error::invalid(NAME, "a completion queue is of another domain"));
        }
        if self.info.endpoint_type() != K::TYPE {
            return Err(Error::invalid(
                NAME,
                format!("the info describes a {} endpoint", self.info.endpoint_type()),
            ));
        }
        if self.info.provider() != self.domain.info().provider() {
            return Err(Error::invalid(NAME, "the info is of another provider"));
        }
        check_progress(NAME, self.domain.info())?;
        check_info(NAME, &self.info)?;
        let (sends, receives) = (self.transmit.len(), self.receive.len());
        let most = self.info.domain();
        // Many calls that are not there crash; a provider without them says one, or none.
        let many = most.max_ep_tx_ctx() > 1 || most.max_ep_rx_ctx() > 1;
        if !many || sends > most.max_ep_tx_ctx() || receives > most.max_ep_rx_ctx() {
            return Err(Error::unsupported(NAME, none));
        }
        // SAFETY: numbers only; `ep_attr` is set in every answer of fi_getinfo.
        let info = unsafe {
            self.info.with_threading::<T>()?.duplicate_with(|copy| {
                (*(*copy).ep_attr).tx_ctx_cnt = sends;
                (*(*copy).ep_attr).rx_ctx_cnt = receives;
            })?
        };
        let habits = habits(&info, domain.mr_mode)?;
        let mut fid = std::ptr::null_mut();
        // SAFETY: domain and info are alive; `fid` receives the endpoint.
        let status = unsafe {
            ofi_sys::fi_scalable_ep(
                domain.as_ptr(),
                info.as_ptr(),
                &raw mut fid,
                std::ptr::null_mut(),
            )
        };
        check(i64::from(status), NAME).map_err(|error| error.absent(none))?;
        let core = Arc::new(ScalableCore {
            // SAFETY: fi_scalable_ep succeeded.
            fid: unsafe { Owned::new(fid, NAME)? },
            wards: Wards::new(),
            av: Arc::clone(&av.0),
            domain: Arc::clone(domain),
            info,
        });
        // The vector first: contexts look for it when they are made.
        // SAFETY: both are open, and the endpoint is not enabled yet (rule L4).
        let status =
            unsafe { ofi_sys::fi_scalable_ep_bind(core.fid.as_ptr(), av.as_raw().cast(), 0) };
        check(i64::from(status), "fi_scalable_ep_bind")?;
        let (mut sending, mut receiving) = (Vec::new(), Vec::new());
        let enabled = {
            // As for any endpoint, until all is enabled.
            let queues = self.transmit.iter().chain(&self.receive);
            let _readers = hold_readers(queues.map(|queue| &*queue.0.core));
            let _still = av.0.hold();
            core.open_contexts((&self.transmit, &mut sending), (&self.receive, &mut receiving))
        };
        // Those that are there, also where not all could be: from here on they close as contexts do.
        let context = |direction| {
            let core = &core;
            move |(fid, queue): (_, &CompletionQueue<T>)| {
                core.context(direction, fid, &queue.0, habits)
            }
        };
        let transmit: Vec<_> = sending
            .into_iter()
            .zip(&self.transmit)
            .map(context(ofi_sys::FI_TRANSMIT))
            .map(TransmitContext::from_core)
            .collect();
        let receive: Vec<_> = receiving
            .into_iter()
            .zip(&self.receive)
            .map(context(ofi_sys::FI_RECV))
            .map(ReceiveContext::from_core)
            .collect();
        enabled?;
        let endpoint = ScalableEndpoint { core, kind: PhantomData };
        Ok(Scaled { endpoint, transmit, receive })
    }
}

impl<T: Threading> ScalableCore<T> {
    /// Makes and enables a context for each queue, then the endpoint. The caller keeps others from
    /// driving the queues.
    fn open_contexts(
        &self,
        (transmit, sending): (&[CompletionQueue<T>], &mut Vec<Owned<fid_ep, T>>),
        (receive, receiving): (&[CompletionQueue<T>], &mut Vec<Owned<fid_ep, T>>),
    ) -> Result<()> {
        for (index, queue) in transmit.iter().enumerate() {
            sending.push(self.open_context(ofi_sys::FI_TRANSMIT, index, &queue.0)?);
        }
        for (index, queue) in receive.iter().enumerate() {
            receiving.push(self.open_context(ofi_sys::FI_RECV, index, &queue.0)?);
        }
        // SAFETY: open, and bound to all it needs.
        check(i64::from(unsafe { ofi_sys::fi_enable(self.fid.as_ptr()) }), "fi_enable").map(drop)
    }

    /// Makes and enables a context.
    fn open_context(
        &self,
        direction: u64,
        index: usize,
        queue: &Arc<CqOpen<T>>,
    ) -> Result<Owned<fid_ep, T>> {
        let (sep, index, mut fid) = (self.fid.as_ptr(), index as i32, std::ptr::null_mut());
        let (attr, context) = (std::ptr::null_mut(), std::ptr::null_mut());
        let sends = direction == ofi_sys::FI_TRANSMIT;
        // SAFETY: the endpoint is open and was made with more contexts than `index`; it gives them its
        // own attributes; `fid` receives the context.
        let (status, name) = unsafe {
            if sends {
                let status = ofi_sys::fi_tx_context(sep, index, attr, &raw mut fid, context);
                (status, "fi_tx_context")
            } else {
                let attr = std::ptr::null_mut();
                let status = ofi_sys::fi_rx_context(sep, index, attr, &raw mut fid, context);
                (status, "fi_rx_context")
            }
        };
        check(i64::from(status), name)?;
        // SAFETY: the call succeeded.
        let fid: Owned<fid_ep, T> = unsafe { Owned::new(fid, name)? };
        // SAFETY: both are open and of one domain, the context is not enabled yet (rule L4).
        let status = unsafe { ofi_sys::fi_ep_bind(fid.as_ptr(), queue.core.raw(), direction) };
        check(i64::from(status), "fi_ep_bind")?;
        // SAFETY: open, and bound to all it needs.
        check(i64::from(unsafe { ofi_sys::fi_enable(fid.as_ptr()) }), "fi_enable")?;
        Ok(fid)
    }

    /// What handles of a context share.
    fn context(
        self: &Arc<Self>,
        direction: u64,
        fid: Owned<fid_ep, T>,
        queue: &Arc<CqOpen<T>>,
        habits: Habits,
    ) -> Core<T> {
        let mut limits = Limits::of(&self.info, self.domain.mr_mode);
        if direction == ofi_sys::FI_TRANSMIT {
            limits.caps &= !ofi_sys::FI_RECV;
        }
        Core::new(Parts {
            limits,
            habits,
            fid,
            info: self.info.clone(),
            transmit: Arc::clone(queue),
            receive: Arc::clone(queue),
            av: Some(Arc::clone(&self.av)),
            domain: Arc::clone(&self.domain),
            joins: None,
            parents: Parents::scalable(self),
            tallies: Vec::new(),
        })
    }

    fn close(&self) -> Result<()> {
        if forked() {
            self.fid.leak();
            self.wards.follow(&Err(Error::new(crate::ErrorKind::Forked, "fi_close")));
            return Err(Error::new(crate::ErrorKind::Forked, "fi_close"));
        }
        // Its contexts first. One that could not be closed keeps it open, which its own close says.
        self.wards.follow(&Ok(()));
        self.fid.close()
    }
}

impl<T: Threading> Drop for ScalableCore<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.close();
    }
}

impl<K: Connectionless, T: Threading> ScalableEndpoint<K, T> {
    /// The endpoint's own address, for peers to insert; see [`AddressVector::receive_context`].
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_getname")]
    pub fn name(&self) -> Result<FabricAddress> {
        // SAFETY: the endpoint is open and enabled (rule A7).
        unsafe { own_name(self.core.fid.as_fid(), &self.core.info) }
    }

    /// What the endpoint was opened with.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.core.info
    }

    /// Closes the endpoint now.
    ///
    /// # Errors
    ///
    /// Gives the handle back where others hold the endpoint, or one of its contexts is open.
    #[doc(alias = "fi_close")]
    pub fn close(self) -> Result<(), CloseError<ScalableEndpoint<K, T>>> {
        let again = |core| ScalableEndpoint { core, kind: PhantomData };
        CloseError::close(self.core, again, ScalableCore::close)
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_ep {
        self.core.fid.as_ptr()
    }
}

impl<K: Connectionless, T: Threading> Clone for ScalableEndpoint<K, T> {
    fn clone(&self) -> Self {
        ScalableEndpoint { core: Arc::clone(&self.core), kind: PhantomData }
    }
}

impl<K: Connectionless, T: Threading> fmt::Debug for ScalableEndpoint<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScalableEndpoint")
            .field("provider", &self.core.info.provider())
            .field("type", &K::TYPE)
            .field("fid", &self.core.fid)
            .finish_non_exhaustive()
    }
}

impl<K: Connectionless, T: Threading> fmt::Debug for Scaled<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scaled")
            .field("endpoint", &self.endpoint)
            .field("transmit", &self.transmit)
            .field("receive", &self.receive)
            .finish()
    }
}

impl<K: Connectionless, T: Threading> fmt::Debug for ScalableEndpointBuilder<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScalableEndpointBuilder")
            .field("type", &K::TYPE)
            .field("av", &self.av)
            .field("transmit", &self.transmit)
            .field("receive", &self.receive)
            .finish_non_exhaustive()
    }
}
