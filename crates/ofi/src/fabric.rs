//! Fabrics.

use std::{fmt, sync::Arc};

use ofi_sys::fid_fabric;

use crate::{
    Domain, EventQueueBuilder, Info, PassiveEndpointBuilder, Result,
    error::check,
    object::{Owned, refuse_fork},
    threading::Threading,
};

/// A fabric: the network of one provider, and what its objects have in common.
///
/// Closes with its last clone and the last object opened from it. May be used on any thread.
///
/// See `fi_fabric(3)`.
#[doc(alias = "fid_fabric")]
#[derive(Clone)]
pub struct Fabric(pub(crate) Arc<FabricCore>);

pub(crate) struct FabricCore {
    fid: Owned<fid_fabric>,
    /// The attributes the fabric was opened with stay as long as it does.
    info: Info,
}

impl FabricCore {
    pub(crate) fn as_ptr(&self) -> *mut fid_fabric {
        self.fid.as_ptr()
    }

    pub(crate) fn provider(&self) -> &str {
        self.info.provider()
    }
}

#[cfg(all(test, loom))]
impl FabricCore {
    /// The fabric of the models' device, which is not closed.
    ///
    /// # Safety
    ///
    /// It lives as long as what is returned.
    pub(crate) unsafe fn model(fid: std::ptr::NonNull<fid_fabric>) -> Arc<FabricCore> {
        // SAFETY: it is not null; nobody closes it, as it is leaked at once.
        let fid = unsafe { Owned::new(fid.as_ptr(), "model") }.expect("not null");
        fid.leak();
        // SAFETY: libfabric allocates an entry, which nobody else frees.
        let info = unsafe {
            Info::from_raw(std::ptr::NonNull::new(ofi_sys::fi_allocinfo()).expect("memory"))
        };
        Arc::new(FabricCore { fid, info })
    }
}

impl Fabric {
    /// Opens the fabric of `info`.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_fabric")]
    #[doc(alias = "fi_fabric2")]
    pub fn open(info: &Info) -> Result<Fabric> {
        refuse_fork("fi_fabric")?;
        let mut fid = std::ptr::null_mut();
        // SAFETY: `info` came from fi_getinfo, so its fabric_attr is set; `fid` receives the fabric.
        let status = unsafe {
            ofi_sys::fi_fabric((*info.as_ptr()).fabric_attr, &raw mut fid, std::ptr::null_mut())
        };
        check(i64::from(status), "fi_fabric")?;
        // SAFETY: fi_fabric succeeded.
        let fid = unsafe { Owned::new(fid, "fi_fabric")? };
        Ok(Fabric(Arc::new(FabricCore { fid, info: info.clone() })))
    }

    /// Opens the domain of `info`: [`Domain::open`].
    ///
    /// # Errors
    ///
    /// As [`Domain::open`].
    pub fn domain<T: Threading>(&self, info: &Info) -> Result<Domain<T>> {
        Domain::open(self, info)
    }

    /// An event queue on this fabric.
    pub fn event_queue<T: Threading>(&self) -> EventQueueBuilder<T> {
        EventQueueBuilder::new(self)
    }

    /// A passive endpoint at the source address of `info`, which is of this fabric.
    pub fn passive_endpoint<T: Threading>(&self, info: &Info) -> PassiveEndpointBuilder<T> {
        PassiveEndpointBuilder::new(self, info)
    }

    /// What the fabric was opened with.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_fabric {
        self.0.as_ptr()
    }
}

impl fmt::Debug for Fabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fabric").field("fid", &self.0.fid).finish_non_exhaustive()
    }
}
