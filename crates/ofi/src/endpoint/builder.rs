//! Making an endpoint: everything it must have before it is enabled, then all at once, so that no
//! half-made endpoint can be reached (rules L4, L5).

use std::{marker::PhantomData, sync::Arc};

use super::{Connectionless, Core, Endpoint, Kind, Limits};
use crate::{
    AddressVector, CompletionQueue, Domain, Error, ErrorKind, Info, Result,
    error::check,
    object::{Owned, refuse_fork},
    op::lane::Lane,
    threading::Threading,
};

/// What an endpoint is made with. [`enable`](Self::enable) makes it.
#[must_use = "a builder does nothing until it makes its endpoint"]
pub struct EndpointBuilder<K: Kind, T: Threading> {
    domain: Domain<T>,
    info: Info,
    pub(super) av: Option<AddressVector<T>>,
    transmit: Option<CompletionQueue<T>>,
    receive: Option<CompletionQueue<T>>,
    kind: PhantomData<K>,
}

impl<K: Kind, T: Threading> EndpointBuilder<K, T> {
    pub(crate) fn new(domain: &Domain<T>, info: &Info) -> Self {
        EndpointBuilder {
            domain: domain.clone(),
            info: info.clone(),
            av: None,
            transmit: None,
            receive: None,
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

    /// Makes the endpoint; `bind` binds what its kind needs besides the queues, before it is
    /// enabled.
    pub(crate) fn make(
        self,
        bind: impl FnOnce(*mut ofi_sys::fid_ep) -> Result<()>,
    ) -> Result<Core<T>> {
        const NAME: &str = "fi_endpoint";
        refuse_fork(NAME)?;
        let missing = |what: &str| {
            Error::invalid(
                NAME,
                format!("{what} is missing: give the builder one before enabling"),
            )
        };
        let transmit = self
            .transmit
            .ok_or_else(|| missing("a transmit completion queue"))?;
        let receive = self
            .receive
            .ok_or_else(|| missing("a receive completion queue"))?;
        let domain = &self.domain.0;
        for queue in [&transmit, &receive] {
            if !queue.0.on(domain) {
                return Err(Error::invalid(
                    NAME,
                    "the completion queue is of another domain",
                ));
            }
        }
        if self.av.as_ref().is_some_and(|av| !av.0.on(domain)) {
            return Err(Error::invalid(
                NAME,
                "the address vector is of another domain",
            ));
        }
        if self.info.endpoint_type() != K::TYPE {
            return Err(Error::invalid(
                NAME,
                format!(
                    "the info describes a {} endpoint",
                    self.info.endpoint_type()
                ),
            )
            .hint("ask for the endpoint type in the hints"));
        }
        let info = self.info.with_threading::<T>()?;
        let mut fid = std::ptr::null_mut();
        // SAFETY: domain and info are alive; `fid` receives the endpoint.
        let status = unsafe {
            ofi_sys::fi_endpoint(
                domain.as_ptr(),
                info.as_ptr(),
                &raw mut fid,
                std::ptr::null_mut(),
            )
        };
        check(i64::from(status), NAME)?;
        // SAFETY: fi_endpoint succeeded.
        let fid: Owned<_, T> = unsafe { Owned::new(fid, NAME)? };
        // The vector first: some providers crash closing an endpoint that never got one.
        if let Some(av) = &self.av {
            bind_fid(&fid, av.as_raw().cast(), 0)?;
        }
        if Arc::ptr_eq(&transmit.0, &receive.0) {
            bind_fid(
                &fid,
                transmit.0.core.raw(),
                ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV,
            )?;
        } else {
            bind_fid(&fid, transmit.0.core.raw(), ofi_sys::FI_TRANSMIT)?;
            bind_fid(&fid, receive.0.core.raw(), ofi_sys::FI_RECV)?;
        }
        bind(fid.as_ptr())?;
        // SAFETY: open, and bound to all it needs.
        check(
            i64::from(unsafe { ofi_sys::fi_enable(fid.as_ptr()) }),
            "fi_enable",
        )?;
        let limits = Limits::of(&info);
        let lane = Lane::new(
            fid.as_nonnull(),
            Arc::clone(&transmit.0.core),
            Arc::clone(&receive.0.core),
        );
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
            fid,
            transmit: transmit.0,
            receive: receive.0,
            av: self.av.map(|av| av.0),
            domain: Arc::clone(domain),
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

    /// Makes the endpoint, binds everything, enables it.
    ///
    /// # Errors
    ///
    /// `Invalid` if something that this kind must have is missing; what the provider says.
    #[doc(alias = "fi_endpoint")]
    #[doc(alias = "fi_ep_bind")]
    #[doc(alias = "fi_enable")]
    pub fn enable(self) -> Result<Endpoint<K, T>> {
        if self.av.is_none() {
            return Err(Error::new(ErrorKind::Invalid, "fi_endpoint")
                .detail("an address vector is missing: give the builder one before enabling"));
        }
        self.make(|_| Ok(())).map(Endpoint::from_core)
    }
}

fn bind_fid<T>(ep: &Owned<ofi_sys::fid_ep, T>, fid: *mut ofi_sys::fid, flags: u64) -> Result<()> {
    // SAFETY: both are open, and the endpoint is not enabled yet (rule L4).
    check(
        i64::from(unsafe { ofi_sys::fi_ep_bind(ep.as_ptr(), fid, flags) }),
        "fi_ep_bind",
    )
    .map(drop)
}

impl Limits {
    fn of(info: &Info) -> Limits {
        let mr_mode = info.domain().mr_mode();
        Limits {
            caps: info.caps().raw(),
            message: info.endpoint().max_msg_size(),
            inject: info.tx().inject_size(),
            transmit_iov: info.tx().iov_limit().max(1),
            receive_iov: info.rx().iov_limit().max(1),
            data_bytes: info.domain().cq_data_size(),
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
