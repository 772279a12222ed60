//! Opening an event queue.

use std::{os::fd::RawFd, time::Duration};

use super::*;
use crate::{Fabric, WaitSet, abi::Roomy, attr::Progress, error::Needs, object::refuse_fork};

/// What an event queue is opened with. [`open`](Self::open) opens it.
#[must_use = "a builder does nothing until `open`"]
pub struct EventQueueBuilder<T: Threading> {
    fabric: Fabric,
    size: usize,
    fd: bool,
    set: Option<WaitSet<T>>,
}

impl<T: Threading> EventQueueBuilder<T> {
    pub(crate) fn new(fabric: &Fabric) -> Self {
        EventQueueBuilder { fabric: fabric.clone(), size: 0, fd: true, set: None }
    }

    /// How many events the queue holds at least; 0, the default, leaves it to the provider.
    pub fn size(mut self, events: usize) -> Self {
        self.size = events;
        self
    }

    /// Whether the queue gets a descriptor to wait on, where the provider can; it does by default.
    #[doc(alias = "FI_WAIT_FD")]
    #[doc(alias = "FI_WAIT_NONE")]
    pub fn wait_fd(mut self, wanted: bool) -> Self {
        self.fd = wanted;
        self
    }

    /// Opens it in a wait set of the same fabric: it has no descriptor of its own then.
    /// **Deprecated** by libfabric since 2.0.
    #[doc(alias = "FI_WAIT_SET")]
    pub fn wait_set(mut self, set: &WaitSet<T>) -> Self {
        self.set = Some(set.clone());
        self
    }

    /// Opens the queue.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_eq_open")]
    pub fn open(self) -> Result<EventQueue<T>> {
        refuse_fork("fi_eq_open")?;
        let (fid, fd) = self.open_fid()?;
        // Sleeping on a descriptor moves nothing on a provider without its own threads (rule W4),
        // and an event that another thread's progress makes may not show on it.
        let park_limit = match self.fabric.info().domain().control_progress() {
            Progress::Auto => Duration::from_millis(100),
            _ => Duration::from_millis(10),
        };
        let core = Arc::new(EqCore {
            fid,
            fd,
            park_limit,
            fabric: Arc::clone(&self.fabric.0),
            reader: T::Lock::new(Reader::new()),
            unsolicited: Mutex::default(),
            unsolicited_lost: AtomicU64::new(0),
            parkers: Parkers::default(),
            _set: self.set.as_ref().map(|set| Arc::clone(&set.0)),
        });
        if let Some(set) = &self.set {
            set.0.enter_events(&core);
        }
        Ok(EventQueue(Arc::new(EqOpen { core, parked: Mutex::default() })))
    }

    /// With a descriptor if that was wanted and the provider really gives one.
    fn open_fid(&self) -> Result<(Owned<fid_eq, T>, Option<RawFd>)> {
        if let Some(set) = &self.set {
            if !Arc::ptr_eq(&set.0.fabric, &self.fabric.0) {
                return Err(Error::invalid("fi_eq_open", "the wait set is of another fabric"));
            }
            let fid = self.open_as(ofi_sys::FI_WAIT_SET);
            let fid = fid.map_err(|error| error.absent(Needs::Property("queues in wait sets")))?;
            return Ok((fid, None));
        }
        if self.fd {
            if let Ok(fid) = self.open_as(ofi_sys::FI_WAIT_FD) {
                let mut fd: RawFd = -1;
                // SAFETY: the queue is open and was opened with FI_WAIT_FD, so the command writes
                // one int.
                let status = unsafe {
                    ofi_sys::fi_control(fid.as_fid(), ofi_sys::FI_GETWAIT, (&raw mut fd).cast())
                };
                if status == 0 && fd >= 0 {
                    return Ok((fid, Some(fd)));
                }
            }
        }
        Ok((self.open_as(ofi_sys::FI_WAIT_NONE)?, None))
    }

    fn open_as(&self, wait: ofi_sys::fi_wait_obj) -> Result<Owned<fid_eq, T>> {
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_eq_attr>::zeroed() };
        attr.as_mut().size = self.size;
        attr.as_mut().wait_obj = wait;
        if let Some(set) = &self.set {
            attr.as_mut().wait_set = set.0.as_ptr();
        }
        let mut fid = std::ptr::null_mut();
        // SAFETY: the fabric is open; the attributes are whole and not NULL (NULL crashes some
        // providers, fault 15); `fid` receives the queue.
        let status = unsafe {
            ofi_sys::fi_eq_open(
                self.fabric.0.as_ptr(),
                attr.as_ptr(),
                &raw mut fid,
                std::ptr::null_mut(),
            )
        };
        check(i64::from(status), "fi_eq_open")?;
        // SAFETY: fi_eq_open succeeded.
        unsafe { Owned::new(fid, "fi_eq_open") }
    }
}

impl<T: Threading> fmt::Debug for EventQueueBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventQueueBuilder")
            .field("size", &self.size)
            .field("wait_fd", &self.fd)
            .finish_non_exhaustive()
    }
}
