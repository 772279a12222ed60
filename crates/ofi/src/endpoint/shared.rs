//! Shared contexts: receives and transmit resources of several endpoints.
//!
//! A shared receive context is a [`Core`] like an endpoint's: receives are posted to it, and its lane
//! has their slots. It is bound to one queue, which is the receive queue of every endpoint on it, so
//! that one reader completes what it receives, and closing it holds that reader off.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ofi_sys::{fid_ep, fid_stx};

use super::{
    Core, Limits, Parents, Parts,
    builder::{check_info, habits, hold_readers},
    close::DROP_BOUND,
    parents::{Wards, check_progress},
};
use crate::{
    CompletionQueue, Domain, Error, Info, Result,
    cq::CqOpen,
    domain::DomainCore,
    error::{Needs, check},
    object::{CloseError, Owned, forked, refuse_fork},
    op::{RecvOp, lane::Habits},
    quirks::{Defect, quirk},
    threading::{Shared, Threading},
};

/// A receive context that several endpoints share: receives are posted here, and a message to any of
/// the endpoints takes the next one.
///
/// Endpoints are given it by [`EndpointBuilder::shared_receive`](crate::EndpointBuilder::shared_receive).
/// A clone is another handle. It closes with its last handle and the last endpoint on it; receives
/// that are still posted then end with [`ErrorKind::Closed`](crate::ErrorKind::Closed) or
/// [`Cancelled`](crate::ErrorKind::Cancelled), and their buffer.
///
/// See `fi_endpoint(3)`.
#[doc(alias = "FI_SHARED_CONTEXT")]
pub struct SharedReceive<T: Threading = Shared>(Arc<ReceiveCore<T>>);

struct ReceiveCore<T: Threading> {
    core: Core<T>,
    wards: Wards<T>,
    /// The number of the vector that all connectionless endpoints on it share (rule L14).
    vector: OnceLock<u64>,
}

/// A transmit context that several endpoints share: the provider's resources for sending.
///
/// Operations are posted to the endpoints, as always. A clone is another handle. It closes with its
/// last handle and the last endpoint on it.
///
/// See `fi_endpoint(3)`.
#[doc(alias = "fid_stx")]
#[doc(alias = "FI_SHARED_CONTEXT")]
pub struct SharedTransmit<T: Threading = Shared>(Arc<TransmitCore<T>>);

struct TransmitCore<T: Threading> {
    fid: Owned<fid_stx, T>,
    wards: Wards<T>,
    domain: Arc<DomainCore<T>>,
}

impl<T: Threading> Clone for SharedReceive<T> {
    fn clone(&self) -> Self {
        SharedReceive(Arc::clone(&self.0))
    }
}

impl<T: Threading> Clone for SharedTransmit<T> {
    fn clone(&self) -> Self {
        SharedTransmit(Arc::clone(&self.0))
    }
}

impl<T: Threading> Domain<T> {
    /// A receive context for several endpoints, all of which complete their receives on `queue`.
    ///
    /// `info` is that of the endpoints, asked for with
    /// [`Hints::share_rx_context`](crate::Hints::share_rx_context).
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider has none; `Invalid` if the queue is of another domain; what
    /// the provider says.
    #[doc(alias = "fi_srx_context")]
    pub fn shared_receive(
        &self,
        info: &Info,
        queue: &CompletionQueue<T>,
    ) -> Result<SharedReceive<T>> {
        const NAME: &str = "fi_srx_context";
        let info = self.for_shared(NAME, info)?;
        if !queue.0.on(&self.0) {
            return Err(Error::invalid(NAME, "the completion queue is of another domain"));
        }
        let none = Needs::Property("a provider with shared receive contexts");
        let broken = quirk(info.provider(), Defect::SharedReceiveCrashes)
            .or_else(|| quirk(info.provider(), Defect::SharedReceiveRaces).filter(|_| T::SHARED));
        if let Some(quirk) = broken {
            return Err(Error::unsupported(NAME, none)
                .detail(format!("{} (defect #{})", quirk.text, quirk.id)));
        }
        if info.domain().max_ep_srx_ctx() == 0 {
            return Err(Error::unsupported(NAME, none));
        }
        // Nobody drives the queue until the context has all it needs.
        let reader = hold_readers([&*queue.0.core]);
        let mut fid = std::ptr::null_mut();
        // SAFETY: domain and info are alive, `rx_attr` is set in every answer of fi_getinfo; `fid`
        // receives the context.
        let status = unsafe {
            let attr = (*info.as_ptr()).rx_attr;
            ofi_sys::fi_srx_context(self.0.as_ptr(), attr, &raw mut fid, std::ptr::null_mut())
        };
        check(i64::from(status), NAME).map_err(|error| error.absent(none))?;
        // SAFETY: fi_srx_context succeeded.
        let fid: Owned<fid_ep, T> = unsafe { Owned::new(fid, NAME)? };
        // On some its entries go where it is bound, on others to the queue of the endpoint, which is
        // the same one; those refuse.
        // SAFETY: both are open, and no endpoint is bound to the context yet.
        let status =
            unsafe { ofi_sys::fi_ep_bind(fid.as_ptr(), queue.0.core.raw(), ofi_sys::FI_RECV) };
        if status != 0 && info.core_provider() == "tcp" {
            check(i64::from(status), "fi_ep_bind")?;
        }
        drop(reader);
        let mut limits = Limits::of(&info, self.0.mr_mode);
        limits.caps &= ofi_sys::FI_MSG | ofi_sys::FI_TAGGED | ofi_sys::FI_RECV;
        let core = Core::new(Parts {
            limits,
            habits: Habits {
                silent_cancel: quirk(info.provider(), Defect::SilentCancel).is_some(),
                ..habits(&info, self.0.mr_mode)?
            },
            fid,
            info,
            transmit: Arc::clone(&queue.0),
            receive: Arc::clone(&queue.0),
            av: None,
            domain: Arc::clone(&self.0),
            joins: None,
            parents: Parents::default(),
            tallies: Vec::new(),
        });
        let (wards, vector) = (Wards::new(), OnceLock::new());
        Ok(SharedReceive(Arc::new(ReceiveCore { core, wards, vector })))
    }

    /// A transmit context for several endpoints.
    ///
    /// `info` is that of the endpoints, asked for with
    /// [`Hints::share_tx_context`](crate::Hints::share_tx_context).
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider has none; what the provider says.
    #[doc(alias = "fi_stx_context")]
    pub fn shared_transmit(&self, info: &Info) -> Result<SharedTransmit<T>> {
        const NAME: &str = "fi_stx_context";
        let info = self.for_shared(NAME, info)?;
        let none = Needs::Property("a provider with shared transmit contexts");
        if info.domain().max_ep_stx_ctx() == 0 {
            return Err(Error::unsupported(NAME, none));
        }
        let mut fid = std::ptr::null_mut();
        // SAFETY: domain and info are alive, `tx_attr` is set in every answer of fi_getinfo; `fid`
        // receives the context.
        let status = unsafe {
            let attr = (*info.as_ptr()).tx_attr;
            ofi_sys::fi_stx_context(self.0.as_ptr(), attr, &raw mut fid, std::ptr::null_mut())
        };
        check(i64::from(status), NAME).map_err(|error| error.absent(none))?;
        // SAFETY: fi_stx_context succeeded.
        let fid = unsafe { Owned::new(fid, NAME)? };
        let (wards, domain) = (Wards::new(), Arc::clone(&self.0));
        Ok(SharedTransmit(Arc::new(TransmitCore { fid, wards, domain })))
    }

    /// The info to open a shared context with.
    fn for_shared(&self, name: &'static str, info: &Info) -> Result<Info> {
        refuse_fork(name)?;
        if info.provider() != self.info().provider() {
            return Err(Error::invalid(name, "the info is of another provider"));
        }
        check_progress(name, self.info())?;
        check_info(name, info)?;
        info.with_threading::<T>()
    }
}

impl<T: Threading> SharedReceive<T> {
    /// Receives the next message to any of the endpoints into `buffer`; as
    /// [`Endpoint::recv`](crate::Endpoint::recv). It cannot be directed: the context has no vector.
    #[doc(alias = "fi_recv")]
    #[doc(alias = "fi_recvv")]
    #[doc(alias = "fi_recvmsg")]
    pub fn recv<B>(&self, buffer: B) -> RecvOp<'_, B, T> {
        self.0.core.recv(buffer)
    }

    /// What it was opened with.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.0.core.info
    }

    /// The most segments of memory that one receive may have.
    #[must_use]
    pub fn max_receive_segments(&self) -> usize {
        self.0.core.limits.receive_iov
    }

    /// Receives that have not ended yet. Walks them: for tests and diagnosis.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.core.lane().in_flight()
    }

    /// Closes the context: cancels every receive, drives the queue until all have ended or `timeout`
    /// has passed, and closes it.
    ///
    /// # Errors
    ///
    /// Gives the handle back where others hold the context, or endpoints are on it; otherwise what
    /// could not be done.
    #[doc(alias = "fi_close")]
    pub fn close(self, timeout: Duration) -> Result<(), CloseError<SharedReceive<T>>> {
        match Arc::try_unwrap(self.0) {
            Ok(mut context) => context.close(timeout).map_err(CloseError::Failed),
            Err(context) => Err(CloseError::InUse(SharedReceive(context))),
        }
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_ep {
        self.0.core.fid.as_ptr()
    }

    pub(super) fn raw(&self) -> *mut ofi_sys::fid {
        self.0.core.fid.as_fid()
    }

    pub(super) fn queue(&self) -> &Arc<CqOpen<T>> {
        &self.0.core.receive
    }

    pub(super) fn on(&self, domain: &Arc<DomainCore<T>>) -> bool {
        Arc::ptr_eq(&self.0.core.domain, domain)
    }

    pub(super) fn wards(&self) -> &Wards<T> {
        &self.0.wards
    }

    /// Whether an endpoint with this vector may be on it: the first one decides.
    pub(super) fn share_vector(&self, vector: Option<u64>) -> bool {
        vector.is_none_or(|number| *self.0.vector.get_or_init(|| number) == number)
    }
}

impl<T: Threading> ReceiveCore<T> {
    fn close(&mut self, timeout: Duration) -> Result<()> {
        let result = self.core.shut_down(timeout);
        self.wards.follow(&result);
        result
    }
}

impl<T: Threading> Drop for ReceiveCore<T> {
    fn drop(&mut self) {
        // Logged where it matters; there is nobody to tell.
        let _ = self.close(DROP_BOUND);
    }
}

impl<T: Threading> SharedTransmit<T> {
    /// Closes the context now.
    ///
    /// # Errors
    ///
    /// Gives the handle back where others hold the context, or endpoints are on it.
    #[doc(alias = "fi_close")]
    pub fn close(self) -> Result<(), CloseError<SharedTransmit<T>>> {
        CloseError::close(self.0, SharedTransmit, TransmitCore::close)
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_stx {
        self.0.fid.as_ptr()
    }

    pub(super) fn raw(&self) -> *mut ofi_sys::fid {
        self.0.fid.as_fid()
    }

    pub(super) fn on(&self, domain: &Arc<DomainCore<T>>) -> bool {
        Arc::ptr_eq(&self.0.domain, domain)
    }

    pub(super) fn wards(&self) -> &Wards<T> {
        &self.0.wards
    }
}

impl<T: Threading> TransmitCore<T> {
    fn close(&self) -> Result<()> {
        let result = if forked() {
            self.fid.leak();
            Err(Error::new(crate::ErrorKind::Forked, "fi_close"))
        } else {
            self.fid.close()
        };
        self.wards.follow(&result);
        result
    }
}

impl<T: Threading> Drop for TransmitCore<T> {
    fn drop(&mut self) {
        // Logged where it matters; there is nobody to tell.
        let _ = self.close();
    }
}

impl<T: Threading> fmt::Debug for SharedReceive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedReceive").field("fid", &self.0.core.fid).finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for SharedTransmit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTransmit").field("fid", &self.0.fid).finish_non_exhaustive()
    }
}
