//! Opening a completion queue: its format and its way of waiting.

use std::{
    os::fd::RawFd,
    sync::atomic::{AtomicBool, AtomicU64},
    time::Duration,
};

use super::*;
use crate::{
    Caps, Domain, WaitSet,
    error::Needs,
    object::refuse_fork,
    poll,
    quirks::{Defect, quirk},
};

/// What a completion queue is opened with. [`open`](Self::open) opens it.
#[derive(Debug)]
#[must_use = "a builder does nothing until `open`"]
pub struct CompletionQueueBuilder<T: Threading> {
    domain: Domain<T>,
    size: usize,
    fd: bool,
    set: Option<WaitSet<T>>,
}

/// How entries look and how one waits for them.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) has_data: bool,
    pub(crate) has_tag: bool,
    pub(crate) source: bool,
    pub(crate) fd: Option<RawFd>,
    /// The longest park between two looks.
    pub(crate) park_limit: Duration,
    /// Entries of others may come, of another process even.
    pub(crate) foreign: bool,
}

impl<T: Threading> CompletionQueueBuilder<T> {
    pub(crate) fn new(domain: &Domain<T>) -> Self {
        CompletionQueueBuilder { domain: domain.clone(), size: 0, fd: true, set: None }
    }

    /// How many entries the queue holds. 0, the default, sizes it for one endpoint: all that its
    /// transmit and receive contexts can have in flight (rule B20).
    pub fn size(mut self, entries: usize) -> Self {
        self.size = entries;
        self
    }

    /// Whether the queue gets a descriptor to wait on, where the provider can; it does by default.
    /// Without one, completing costs a little less on some providers and waiting means polling.
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

    /// Opens the queue, in the smallest format that the domain's capabilities need.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider's queues cannot be in a wait set (shm, sm2), `Invalid` for a set
    /// of another fabric, what the provider says.
    #[doc(alias = "fi_cq_open")]
    pub fn open(self) -> Result<CompletionQueue<T>> {
        refuse_fork("fi_cq_open")?;
        let info = &self.domain.0.info;
        let caps = info.caps();
        let has_tag = caps.contains(Caps::TAGGED);
        // Also for the places of messages.
        let has_data =
            has_tag || info.domain().cq_data_size() > 0 || caps.contains(Caps::MULTI_RECV);
        let format = match (has_tag, has_data) {
            (true, _) => ofi_sys::FI_CQ_FORMAT_TAGGED,
            (_, true) => ofi_sys::FI_CQ_FORMAT_DATA,
            _ => ofi_sys::FI_CQ_FORMAT_MSG,
        };
        let size = match self.size {
            // Some providers report what they could queue at most; no queue needs to start there.
            0 => (info.tx().size() + info.rx().size()).clamp(64, 1 << 14),
            size => size,
        };
        let number = poll::next_number();
        let (fid, fd) = self.open_fid(size, format, number)?;
        let shape = Shape {
            has_data,
            has_tag,
            source: caps.contains(Caps::SOURCE)
                && quirk(info.provider(), Defect::SourceUnknown).is_none(),
            fd,
            // Sleeping on a descriptor moves nothing on a provider without its own threads (W4).
            park_limit: match info.domain().data_progress() {
                crate::attr::Progress::Auto => Duration::from_millis(1000),
                _ => Duration::from_millis(10),
            },
            foreign: quirk(info.provider(), Defect::EntriesComeLate).is_some(),
        };
        let error_data = info.domain().max_err_data().clamp(64, 4096);
        let guarded = T::Word::new(u64::from(shape.foreign));
        let core = Arc::new(CqCore {
            fid,
            shape,
            fabric: Arc::clone(&self.domain.0.fabric),
            reader: T::Lock::new(Reader {
                open: true,
                limbo: Vec::new(),
                error_data: vec![0; error_data],
                sources: [ofi_sys::FI_ADDR_NOTAVAIL; BATCH],
                fatal: None,
            }),
            lanes: T::Lock::new(Vec::new()),
            guarded,
            backlogged: T::Word::new(0),
            tallies: T::Lock::new(Vec::new()),
            unsolicited: Mutex::default(),
            unsolicited_lost: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
            stray: AtomicU64::new(0),
            unasked: AtomicU64::new(0),
            parkers: Parkers::default(),
            fd_lost: AtomicBool::new(false),
            set: self.set.as_ref().map(|set| Arc::clone(&set.0)),
        });
        if let Some(set) = &self.set {
            set.0.enter_completions(&core);
        }
        let domain = Arc::clone(&self.domain.0);
        Ok(CompletionQueue(Arc::new(CqOpen { core, size, number, domain })))
    }

    /// With a descriptor if that was wanted and the provider really gives one (rule W7: some open
    /// with FI_WAIT_FD and have none), without otherwise.
    fn open_fid(
        &self,
        size: usize,
        format: ofi_sys::fi_cq_format,
        number: usize,
    ) -> Result<(Owned<fid_cq, T>, Option<RawFd>)> {
        if let Some(set) = &self.set {
            if !Arc::ptr_eq(&set.0.fabric, &self.domain.0.fabric) {
                return Err(Error::invalid("fi_cq_open", "the wait set is of another fabric"));
            }
            let fid = self.open_as(size, format, ofi_sys::FI_WAIT_SET, number);
            let fid = fid.map_err(|error| error.absent(Needs::Property("queues in wait sets")))?;
            return Ok((fid, None));
        }
        if self.fd {
            if let Ok(fid) = self.open_as(size, format, ofi_sys::FI_WAIT_FD, number) {
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
        Ok((self.open_as(size, format, ofi_sys::FI_WAIT_NONE, number)?, None))
    }

    fn open_as(
        &self,
        size: usize,
        format: ofi_sys::fi_cq_format,
        wait: ofi_sys::fi_wait_obj,
        number: usize,
    ) -> Result<Owned<fid_cq, T>> {
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_cq_attr>::zeroed() };
        attr.as_mut().size = size;
        attr.as_mut().format = format;
        attr.as_mut().wait_obj = wait;
        if let Some(set) = &self.set {
            attr.as_mut().wait_set = set.0.as_ptr();
        }
        let mut fid = std::ptr::null_mut();
        // SAFETY: the domain is open; the attributes are whole and not NULL (NULL crashes some
        // providers, fault 15); `fid` receives the queue.
        let status = unsafe {
            ofi_sys::fi_cq_open(
                self.domain.0.as_ptr(),
                attr.as_ptr(),
                &raw mut fid,
                poll::as_context(number),
            )
        };
        check(i64::from(status), "fi_cq_open")?;
        // SAFETY: fi_cq_open succeeded.
        unsafe { Owned::new(fid, "fi_cq_open") }
    }
}

#[cfg(all(test, loom))]
impl CqCore<Shared> {
    /// A queue of the models' device, which is not closed.
    ///
    /// # Safety
    ///
    /// Queue and fabric live as long as what is returned, and can be read and waited on.
    pub(crate) unsafe fn model(
        fid: NonNull<fid_cq>,
        fd: Option<RawFd>,
        fabric: Arc<FabricCore>,
    ) -> Arc<CqCore<Shared>> {
        // SAFETY: it is not null; nobody closes it, as it is leaked at once.
        let fid = unsafe { Owned::new(fid.as_ptr(), "model") }.expect("not null");
        fid.leak();
        let park_limit = Duration::from_secs(1);
        Arc::new(CqCore {
            fid,
            shape: Shape {
                has_data: false,
                has_tag: false,
                source: false,
                fd,
                park_limit,
                foreign: false,
            },
            fabric,
            reader: Lock::new(Reader {
                open: true,
                limbo: Vec::new(),
                error_data: Vec::new(),
                sources: [ofi_sys::FI_ADDR_NOTAVAIL; BATCH],
                fatal: None,
            }),
            lanes: Lock::new(Vec::new()),
            backlogged: Word::new(0),
            guarded: Word::new(0),
            tallies: Lock::new(Vec::new()),
            unsolicited: Mutex::default(),
            unsolicited_lost: AtomicU64::new(0),
            swallowed: AtomicU64::new(0),
            stray: AtomicU64::new(0),
            unasked: AtomicU64::new(0),
            fd_lost: AtomicBool::new(false),
            parkers: Parkers::default(),
            set: None,
        })
    }
}
