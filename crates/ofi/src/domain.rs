//! Domains: a device or port, and the resources on it.

use std::{fmt, sync::Arc};

use ofi_sys::fid_domain;

use crate::{
    Error, Fabric, Info, Memory, Mode, MrMode, Result,
    av::AddressVectorBuilder,
    cq::CompletionQueueBuilder,
    endpoint::{EndpointBuilder, Kind},
    error::{Needs, check},
    fabric::FabricCore,
    info::{SERVED_MODES, SERVED_MR_MODES},
    mr::{Keys, Mappings},
    object::{CloseError, Owned, count_leaked_operations, refuse_fork},
    quirks::{self, Defect},
    threading::{Lock, Shared, Threading},
};

mod hmem;

pub use hmem::{CopyFromHmem, CopyToHmem};

/// A domain: what endpoints, queues, address vectors and memory regions are made on.
///
/// `T` says how everything on it may be used by threads. Closes with its last clone and the last
/// object made on it.
///
/// See `fi_domain(3)`.
#[doc(alias = "fid_domain")]
pub struct Domain<T: Threading = Shared>(pub(crate) Arc<DomainCore<T>>);

impl<T: Threading> Clone for Domain<T> {
    fn clone(&self) -> Self {
        Domain(Arc::clone(&self.0))
    }
}

pub(crate) struct DomainCore<T: Threading> {
    // Closed first: fields are dropped in order.
    fid: Owned<fid_domain, T>,
    pub(crate) fabric: Arc<FabricCore>,
    pub(crate) info: Info,
    /// What the provider asks of registrations; one that stands for several is taken apart.
    pub(crate) mr_mode: MrMode,
    pub(crate) keys: T::Lock<Keys>,
    /// Each holds the domain, so that none is left when it closes.
    pub(crate) mappings: T::Lock<Mappings<T>>,
    /// Memory that peers may still reach: let go of when the domain is closed, and with it every
    /// endpoint.
    pub(crate) parked: T::Lock<Vec<Memory>>,
}

impl<T: Threading> DomainCore<T> {
    pub(crate) fn as_ptr(&self) -> *mut fid_domain {
        self.fid.as_ptr()
    }

    /// Leaves the domain open for good: an endpoint on it had to be leaked.
    pub(crate) fn leak(&self) {
        self.fid.leak();
    }
}

impl<T: Threading> DomainCore<T> {
    /// Closes the domain, and lets go of the memory that waited for it.
    fn shut(&self) -> Result<()> {
        if self.fid.is_closed() {
            return Ok(());
        }
        let result = self.fid.close();
        let parked = std::mem::take(&mut *self.parked.lock());
        // Elsewhere nobody knows whether the endpoints, closed as they are, have let go of it.
        if result.is_err() || !quirks::close_returns_memory(self.info.provider()) {
            count_leaked_operations(parked.len());
            std::mem::forget(parked);
        }
        result
    }
}

impl<T: Threading> Drop for DomainCore<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.shut();
    }
}

impl<T: Threading> Domain<T> {
    /// Opens the domain of `info`.
    ///
    /// The threading model of `T` is asked for here, whatever the hints said.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the provider demands a mode that this crate does not fulfil (rule D7), or
    /// is one that cannot be used at all ([`Defect::Unusable`]); what the provider says.
    #[doc(alias = "fi_domain")]
    pub fn open(fabric: &Fabric, info: &Info) -> Result<Domain<T>> {
        refuse_fork("fi_domain")?;
        if let Some(quirk) = quirks::quirk(info.provider(), Defect::Unusable) {
            return Err(Error::unsupported("fi_domain", Needs::Property("another provider"))
                .detail(format!("{} (defect #{})", quirk.text, quirk.id))
                .hint("name a provider in the hints, or exclude this one with FI_PROVIDER"));
        }
        let info = info.with_threading::<T>()?;
        let unknown = info.mode().difference(SERVED_MODES | Mode::MSG_PREFIX);
        if !unknown.is_empty() {
            return Err(Error::unsupported("fi_domain", Needs::Property("fewer mode bits"))
                .detail(format!("the provider demands {unknown}")));
        }
        let mr_mode = info.domain().mr_mode().taken_apart();
        let unknown = mr_mode.difference(SERVED_MR_MODES);
        if !unknown.is_empty() {
            return Err(Error::unsupported("fi_domain", Needs::Property("fewer mr_mode bits"))
                .detail(format!("the provider demands {unknown}")));
        }
        let mut fid = std::ptr::null_mut();
        // SAFETY: the fabric is open, `info` came from fi_getinfo, `fid` receives the domain.
        let status = unsafe {
            ofi_sys::fi_domain(fabric.0.as_ptr(), info.as_ptr(), &raw mut fid, std::ptr::null_mut())
        };
        check(i64::from(status), "fi_domain")?;
        // SAFETY: fi_domain succeeded.
        let fid = unsafe { Owned::new(fid, "fi_domain")? };
        Ok(Domain(Arc::new(DomainCore {
            fid,
            fabric: Arc::clone(&fabric.0),
            mr_mode,
            keys: T::Lock::new(Keys::new(info.domain().mr_key_size())),
            mappings: T::Lock::new(Mappings::new()),
            parked: T::Lock::new(Vec::new()),
            info,
        })))
    }

    /// A completion queue on this domain.
    pub fn completion_queue(&self) -> CompletionQueueBuilder<T> {
        CompletionQueueBuilder::new(self)
    }

    /// An address vector on this domain.
    pub fn address_vector(&self) -> AddressVectorBuilder<T> {
        AddressVectorBuilder::new(self)
    }

    /// An endpoint on this domain, of the kind that `info` describes.
    ///
    /// `info` is the domain's own, or another of the same domain (a connection request's, say).
    pub fn endpoint<K: Kind>(&self, info: &Info) -> EndpointBuilder<K, T> {
        EndpointBuilder::new(self, info)
    }

    /// What the domain was opened with.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// The fabric it is on.
    #[must_use]
    pub fn fabric(&self) -> Fabric {
        Fabric(Arc::clone(&self.0.fabric))
    }

    /// Closes the domain now.
    ///
    /// # Errors
    ///
    /// Gives the handle back if anything on the domain is still open.
    pub fn close(self) -> Result<(), CloseError<Domain<T>>> {
        CloseError::close(self.0, Domain, |core| core.shut())
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_domain {
        self.0.as_ptr()
    }
}

impl Info {
    /// The same, with the threading model that the objects of `T` need.
    pub(crate) fn with_threading<T: Threading>(&self) -> Result<Info> {
        // SAFETY: `domain_attr` is set in every entry of fi_getinfo, and `threading` is a number.
        // A connection request's handle is not copied by fi_dupinfo (rule D5) but belongs to this
        // entry's one use, whichever copy that is.
        unsafe {
            let handle = (*self.as_ptr()).handle;
            self.duplicate_with(|copy| {
                (*(*copy).domain_attr).threading = T::MODEL;
                (*copy).handle = handle;
            })
        }
    }
}

impl<T: Threading> fmt::Debug for Domain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Domain").field("fid", &self.0.fid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EndpointType, ErrorKind, Hints};

    // rule: D7
    #[test]
    fn an_obligation_that_is_not_fulfilled_is_refused() {
        let hints = Hints::new().provider("sockets").endpoint_type(EndpointType::Rdm);
        let info = hints.node("127.0.0.1").service("0").source().query().unwrap().into_best();
        let fabric = Fabric::open(&info).unwrap();
        let demands = |mode: u64, mr_mode: i32| {
            // SAFETY: numbers only; `domain_attr` is set in every answer of fi_getinfo.
            let info = unsafe {
                info.duplicate_with(|copy| {
                    (*copy).mode |= mode;
                    (*(*copy).domain_attr).mr_mode |= mr_mode;
                })
            };
            Domain::<Shared>::open(&fabric, &info.unwrap())
        };
        for (mode, mr_mode) in [(ofi_sys::FI_LOCAL_MR, 0), (0, 1 << 20), (1 << 3, 0)] {
            let error = demands(mode, mr_mode).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
        }
        // Those that are fulfilled whether they are asked for or not.
        demands(ofi_sys::FI_CONTEXT | ofi_sys::FI_CONTEXT2 | ofi_sys::FI_ASYNC_IOV, 0).unwrap();
    }
}
