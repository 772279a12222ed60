//! Completion queues whose entries the caller reads.
//!
//! Entries name operations by the contexts that the caller posted with, so only raw endpoints,
//! which are posted to `unsafe`ly, can be bound to such a queue; a queue of this crate's own
//! operations never shows an entry.

use std::{
    ffi::c_void,
    fmt,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ofi_sys::{FI_ADDR_NOTAVAIL, fi_cq_err_entry, fi_cq_tagged_entry, fid_cq};

use crate::{
    Caps, CqFlags, CqFormat, Domain, Errno, Error, Result,
    abi::Roomy,
    domain::DomainCore,
    error::{Needs, check},
    object::{CloseError, Owned, refuse_fork},
    poll,
    quirks::{self, Defect},
    threading::{Lock, Shared, Threading},
    wait::{self, Parkers, Source},
};

mod gate;

use gate::{Gate, Inside, Shut};

/// Entries that one call fetches at most.
const BATCH: usize = 32;

/// A completion queue of [`RawEndpoint`](crate::RawEndpoint)s: entries as the provider writes them.
///
/// A clone is another handle. It closes with its last handle and the last endpoint bound to it.
///
/// See `fi_cq(3)`.
#[doc(alias = "fid_cq")]
pub struct RawCompletionQueue<T: Threading = Shared>(pub(crate) Arc<RawCqCore<T>>);

impl<T: Threading> Clone for RawCompletionQueue<T> {
    fn clone(&self) -> Self {
        RawCompletionQueue(Arc::clone(&self.0))
    }
}

pub(crate) struct RawCqCore<T: Threading> {
    // Closed first: fields are dropped in order.
    fid: Owned<fid_cq, T>,
    /// Its context, see `poll`.
    pub(crate) number: usize,
    format: CqFormat,
    source: bool,
    wait: Wait,
    /// Whether an endpoint was ever bound (rule L7).
    bound: AtomicBool,
    /// Where the provider writes its data about an error.
    error_data: T::Lock<Vec<u8>>,
    parkers: Parkers,
    gate: Gate<T>,
    /// The wait object is not to be used any more (quirk 12).
    wait_lost: AtomicBool,
    domain: Arc<DomainCore<T>>,
}

/// How a [`RawCompletionQueue`] is waited on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RawWait {
    /// Not at all: reading never blocks, and there is nothing that does.
    #[default]
    #[doc(alias = "FI_WAIT_NONE")]
    None,
    /// In [`sread`](RawCompletionQueue::sread), by whatever means the provider has.
    #[doc(alias = "FI_WAIT_UNSPEC")]
    #[doc(alias = "FI_GETWAITOBJ")]
    Blocking,
    /// In `sread`, or by a [descriptor](RawCompletionQueue::fd).
    #[doc(alias = "FI_WAIT_FD")]
    Fd,
}

/// What there really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    None,
    /// `fi_cq_sread` may be called.
    Native(Option<RawFd>),
    /// `fi_cq_sread` would not come back in time: looking, with rests in between.
    Looks,
}

/// What a raw completion queue is opened with. [`open`](Self::open) opens it.
#[derive(Debug)]
#[must_use = "a builder does nothing until `open`"]
pub struct RawCompletionQueueBuilder<T: Threading> {
    domain: Domain<T>,
    size: usize,
    format: CqFormat,
    wait: RawWait,
}

/// One entry. What the queue's format lacks is zero, and what the provider leaves undefined for an
/// operation (rule B13) is whatever it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RawCompletion {
    /// The context that the operation was posted with; null for what peers did.
    pub context: *mut c_void,
    /// What kind of operation it was.
    pub flags: CqFlags,
    /// Bytes received.
    pub len: usize,
    /// Where a multi-receive put the message.
    pub buf: *mut c_void,
    /// Immediate data, where the flags have `REMOTE_CQ_DATA`.
    pub data: u64,
    /// The tag of a tagged receive.
    pub tag: u64,
    /// The sender, with `FI_SOURCE` and where the vector has it.
    pub source: Option<u64>,
}

// SAFETY: plain data; nothing is reached through the pointers here.
unsafe impl Send for RawCompletion {}
// SAFETY: as above.
unsafe impl Sync for RawCompletion {}

/// An operation that failed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RawFailure {
    /// The entry, as far as it goes.
    pub entry: RawCompletion,
    /// Bytes that did not fit, where the provider counts them.
    pub overflow: usize,
    /// Why, with the provider's number and text.
    pub error: Error,
    /// What the provider adds, in a form of its own.
    pub error_data: Vec<u8>,
}

/// What reading a raw queue gave.
#[derive(Clone, Debug)]
#[must_use = "what was read is gone from the queue"]
#[expect(clippy::exhaustive_enums, reason = "an entry is one or the other")]
pub enum RawRead {
    /// So many entries were added to the list; 0 if there were none.
    Entries(usize),
    /// An operation failed.
    Failed(Box<RawFailure>),
}

impl<T: Threading> Domain<T> {
    /// A completion queue for raw endpoints.
    pub fn raw_completion_queue(&self) -> RawCompletionQueueBuilder<T> {
        RawCompletionQueueBuilder {
            domain: self.clone(),
            size: 0,
            format: CqFormat::Tagged,
            wait: RawWait::None,
        }
    }
}

impl<T: Threading> RawCompletionQueueBuilder<T> {
    /// How many entries the queue holds. 0, the default, leaves it to the provider.
    pub fn size(mut self, entries: usize) -> Self {
        self.size = entries;
        self
    }

    /// What an entry consists of; `Tagged`, the default, is everything.
    pub fn format(mut self, format: CqFormat) -> Self {
        self.format = format;
        self
    }

    /// How the queue is waited on; not at all by default.
    pub fn wait(mut self, wait: RawWait) -> Self {
        self.wait = wait;
        self
    }

    /// Opens the queue.
    ///
    /// # Errors
    ///
    /// `Invalid` for a format that is none, `Unsupported` if there is no such way of waiting, what
    /// the provider says.
    #[doc(alias = "fi_cq_open")]
    pub fn open(self) -> Result<RawCompletionQueue<T>> {
        const NAME: &str = "fi_cq_open";
        refuse_fork(NAME)?;
        // The provider's choice would leave the entries' size open.
        if stride(self.format).is_none() {
            return Err(Error::invalid(
                NAME,
                format!("{} is not a format of entries", self.format),
            ));
        }
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_cq_attr>::zeroed() };
        attr.as_mut().size = self.size;
        attr.as_mut().format = self.format.raw();
        attr.as_mut().wait_obj = match self.wait {
            RawWait::None => ofi_sys::FI_WAIT_NONE,
            RawWait::Blocking => ofi_sys::FI_WAIT_UNSPEC,
            RawWait::Fd => ofi_sys::FI_WAIT_FD,
        };
        let number = poll::next_number();
        let mut fid = std::ptr::null_mut();
        // SAFETY: the domain is open, the attributes are whole, `fid` receives the queue.
        let status = unsafe {
            ofi_sys::fi_cq_open(
                self.domain.0.as_ptr(),
                attr.as_ptr(),
                &raw mut fid,
                poll::as_context(number),
            )
        };
        let way = Needs::Property("a queue that can be waited on in this way");
        check(i64::from(status), NAME).map_err(|error| match self.wait {
            RawWait::None => error,
            _ => error.absent(way.clone()),
        })?;
        // SAFETY: fi_cq_open succeeded.
        let fid: Owned<_, T> = unsafe { Owned::new(fid, NAME)? };
        let info = &self.domain.0.info;
        let found = granted(&fid, self.wait, info.provider());
        if found == Wait::None && self.wait != RawWait::None {
            return Err(Error::unsupported(NAME, way));
        }
        Ok(RawCompletionQueue(Arc::new(RawCqCore {
            fid,
            number,
            format: self.format,
            source: info.caps().contains(Caps::SOURCE)
                && quirks::quirk(info.provider(), Defect::SourceUnknown).is_none(),
            wait: found,
            bound: AtomicBool::new(false),
            error_data: T::Lock::new(vec![0; info.domain().max_err_data().clamp(64, 4096)]),
            parkers: Parkers::default(),
            gate: Gate::new(),
            wait_lost: AtomicBool::new(false),
            domain: Arc::clone(&self.domain.0),
        })))
    }
}

/// What the provider really gave: some take a wish for a wait object and have none, and
/// `fi_cq_sread` crashes then (rules W1, W7).
fn granted<T>(fid: &Owned<fid_cq, T>, wish: RawWait, provider: &str) -> Wait {
    let control = |command, answer: *mut c_void| {
        // SAFETY: the queue is open; both commands write one int-sized value.
        unsafe { ofi_sys::fi_control(fid.as_fid(), command, answer) }
    };
    let mut fd: RawFd = -1;
    let mut object = ofi_sys::FI_WAIT_NONE;
    match wish {
        RawWait::None => Wait::None,
        RawWait::Fd => match control(ofi_sys::FI_GETWAIT, (&raw mut fd).cast()) {
            0 if fd >= 0 => Wait::Native(Some(fd)),
            _ => Wait::None,
        },
        RawWait::Blocking => {
            // What cannot tell (sockets) has one: it took the wish.
            let status = control(ofi_sys::FI_GETWAITOBJ, (&raw mut object).cast());
            let none = status == 0 && object == ofi_sys::FI_WAIT_NONE;
            if none || status == -ofi_sys::FI_ENODATA {
                Wait::None
            } else if quirks::quirk(provider, Defect::SreadIgnoresTimeout).is_some() {
                Wait::Looks
            } else {
                Wait::Native(None)
            }
        }
    }
}

/// Shuts these queues, each once, in the order in which everybody takes them.
pub(crate) fn shut<'a, T: Threading>(queues: [&'a RawCqCore<T>; 2]) -> Vec<Shut<'a, T>> {
    let mut queues = queues.to_vec();
    queues.sort_by_key(|queue| std::ptr::from_ref(*queue) as usize);
    queues.dedup_by_key(|queue| std::ptr::from_ref(*queue));
    queues.into_iter().map(RawCqCore::shut).collect()
}

/// The size of an entry.
fn stride(format: CqFormat) -> Option<usize> {
    Some(match format {
        CqFormat::Context => size_of::<ofi_sys::fi_cq_entry>(),
        CqFormat::Msg => size_of::<ofi_sys::fi_cq_msg_entry>(),
        CqFormat::Data => size_of::<ofi_sys::fi_cq_data_entry>(),
        CqFormat::Tagged => size_of::<fi_cq_tagged_entry>(),
        _ => return None,
    })
}

impl<T: Threading> RawCompletionQueue<T> {
    /// Reads entries, as many as there are but at most `most` and 32, to the end of `entries`.
    /// Never blocks, but for another thread that makes or closes an endpoint on it just now. With the domain's `FI_SOURCE`, senders come along.
    ///
    /// # Errors
    ///
    /// If no endpoint is bound (rule L7), or the queue itself failed.
    #[doc(alias = "fi_cq_read")]
    #[doc(alias = "fi_cq_readfrom")]
    #[doc(alias = "fi_cq_readerr")]
    pub fn read(&self, entries: &mut Vec<RawCompletion>, most: usize) -> Result<RawRead> {
        self.0.fetch(entries, most, None)
    }

    /// Reads as [`read`](Self::read), waiting up to `timeout` for the first entry. 0 entries also
    /// after [`signal`](Self::signal), and where another thread makes or closes an endpoint on it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); `Unsupported` if the queue was opened without a wait object.
    #[doc(alias = "fi_cq_sread")]
    #[doc(alias = "fi_cq_sreadfrom")]
    pub fn sread(
        &self,
        entries: &mut Vec<RawCompletion>,
        most: usize,
        timeout: Duration,
    ) -> Result<RawRead> {
        let core = &*self.0;
        match core.wait() {
            Wait::None => Err(no_wait("fi_cq_sread")),
            Wait::Native(_) => core.fetch(entries, most, Some(timeout)),
            Wait::Looks => {
                let signals = core.parkers.signals();
                let mut result = Ok(RawRead::Entries(0));
                wait::park_until(
                    &[core],
                    &mut |_| {
                        result = core.fetch(entries, most, None);
                        !matches!(result, Ok(RawRead::Entries(0)))
                            || core.parkers.signals() != signals
                    },
                    Instant::now().checked_add(timeout),
                );
                result
            }
        }
    }

    /// Wakes who blocks in [`sread`](Self::sread).
    ///
    /// # Errors
    ///
    /// `Unsupported` if the queue was opened without a wait object; what the provider says.
    #[doc(alias = "fi_cq_signal")]
    pub fn signal(&self) -> Result<()> {
        let core = &*self.0;
        match core.wait() {
            Wait::None => Err(no_wait("fi_cq_signal")),
            Wait::Looks => {
                core.parkers.signal();
                Ok(())
            }
            Wait::Native(_) => {
                // SAFETY: the queue is open and has a wait object (rule W1).
                let status = unsafe { ofi_sys::fi_cq_signal(core.fid.as_ptr()) };
                check(i64::from(status), "fi_cq_signal").map(drop)
            }
        }
    }

    /// The descriptor that becomes readable when there may be something to read; only meaningful
    /// after [`try_wait`](Self::try_wait) said `true`.
    #[doc(alias = "FI_GETWAIT")]
    #[must_use]
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        let Wait::Native(Some(fd)) = self.0.wait() else {
            return None;
        };
        // SAFETY: the descriptor belongs to the queue, which stays open while it is borrowed.
        Some(unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Whether it is safe to sleep on [`fd`](Self::fd) now (rule W2): `false` means read first.
    #[doc(alias = "fi_trywait")]
    #[must_use]
    pub fn try_wait(&self) -> bool {
        let core = &*self.0;
        // It drives the provider, too.
        let _inside = core.enter();
        if !matches!(core.wait(), Wait::Native(Some(_))) {
            return false;
        }
        let mut fid = core.fid.as_fid();
        // SAFETY: fabric and queue are open; the array has one entry (rule W2).
        unsafe { ofi_sys::fi_trywait(core.domain.fabric.as_ptr(), &raw mut fid, 1) == 0 }
    }

    /// What an entry consists of.
    #[must_use]
    pub fn format(&self) -> CqFormat {
        self.0.format
    }

    /// Closes the queue now.
    ///
    /// # Errors
    ///
    /// Gives the handle back if others hold the queue, or endpoints are bound to it.
    pub fn close(self) -> Result<(), CloseError<RawCompletionQueue<T>>> {
        CloseError::close(self.0, RawCompletionQueue, |core| core.fid.close())
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_cq {
        self.0.fid.as_ptr()
    }
}

fn no_wait(name: &'static str) -> Error {
    Error::unsupported(name, Needs::Property("a queue with a wait object"))
        .hint("open the queue with RawWait::Blocking or RawWait::Fd")
}

impl<T: Threading> RawCqCore<T> {
    fn wait(&self) -> Wait {
        match self.wait {
            Wait::Native(_) if self.wait_lost.load(Ordering::Acquire) => Wait::Looks,
            wait => wait,
        }
    }

    /// From here on waiting means looking.
    pub(crate) fn lose_wait(&self) {
        self.wait_lost.store(true, Ordering::Release);
    }

    pub(crate) fn raw(&self) -> *mut ofi_sys::fid {
        self.fid.as_fid()
    }

    /// Whether the queue is of this domain.
    pub(crate) fn on(&self, domain: &Arc<DomainCore<T>>) -> bool {
        Arc::ptr_eq(&self.domain, domain)
    }

    /// As a reader: until it is dropped, no endpoint is made or closed on this queue.
    pub(crate) fn enter(&self) -> Inside<'_, T> {
        self.gate.enter()
    }

    /// Nobody reads it until this is dropped.
    fn shut(&self) -> Shut<'_, T> {
        // Who found the wait object there may be blocked on it still, though it is lost by now.
        self.gate.shut(|| match self.wait {
            Wait::None => {}
            Wait::Looks => self.parkers.signal(),
            // SAFETY: the queue is open and has a wait object (rule W1).
            Wait::Native(_) => unsafe {
                // Where that fails, a reader that blocks comes back when its time is over.
                ofi_sys::fi_cq_signal(self.fid.as_ptr());
            },
        })
    }

    pub(crate) fn note_bound(&self) {
        self.bound.store(true, Ordering::Release);
    }

    /// Reads once; blocking if `timeout` says so, for which there must be a wait object.
    fn fetch(
        &self,
        entries: &mut Vec<RawCompletion>,
        most: usize,
        timeout: Option<Duration>,
    ) -> Result<RawRead> {
        const EAGAIN: isize = -(ofi_sys::FI_EAGAIN as isize);
        const EAVAIL: isize = -(ofi_sys::FI_EAVAIL as isize);
        const ECANCELED: isize = -(ofi_sys::FI_ECANCELED as isize);
        const EINTR: isize = -(ofi_sys::FI_EINTR as isize);
        const ETIMEDOUT: isize = -(ofi_sys::FI_ETIMEDOUT as isize);
        if !self.bound.load(Ordering::Acquire) {
            return Err(Error::invalid("fi_cq_read", "no endpoint was bound to the queue"));
        }
        let _inside = self.enter();
        // The widest format; narrower entries lie packed at their own size (fault 6).
        let mut room = [const { MaybeUninit::<fi_cq_tagged_entry>::zeroed() }; BATCH];
        let mut sources = [FI_ADDR_NOTAVAIL; BATCH];
        let count = most.min(BATCH);
        // With a count of 0 there is nothing to wait for, but it drives the provider (rule W9). The wait
        // object may have been lost since the caller looked.
        let timeout = timeout.filter(|_| count > 0 && matches!(self.wait(), Wait::Native(_)));
        let (fid, buffer, from) =
            (self.fid.as_ptr(), room.as_mut_ptr().cast::<c_void>(), sources.as_mut_ptr());
        // SAFETY: the queue is open; there is room for `count` entries of any format, and as many
        // addresses; it is blocked on only where it has a wait object (rule W1).
        let status = unsafe {
            match (timeout.map(millis), self.source) {
                (None, false) => ofi_sys::fi_cq_read(fid, buffer, count),
                (None, true) => ofi_sys::fi_cq_readfrom(fid, buffer, count, from),
                (Some(ms), false) => ofi_sys::fi_cq_sread(fid, buffer, count, std::ptr::null(), ms),
                (Some(ms), true) => {
                    ofi_sys::fi_cq_sreadfrom(fid, buffer, count, from, std::ptr::null(), ms)
                }
            }
        };
        match status {
            // A signal wakes with one of these (rule W6).
            0 | EAGAIN | ECANCELED | EINTR | ETIMEDOUT => Ok(RawRead::Entries(0)),
            EAVAIL => self.failure(),
            _ => {
                let read = check(status as i64, "fi_cq_read")?.min(count);
                let stride = stride(self.format).expect("checked when it was opened");
                let start = room.as_ptr().cast::<u8>();
                entries.extend((0..read).map(|i| {
                    // SAFETY: `read` entries were written, packed, from the start of the room.
                    unsafe { RawCompletion::new(start.add(i * stride), self.format, sources[i]) }
                }));
                Ok(RawRead::Entries(read))
            }
        }
    }

    /// Fetches the error entry that was announced (rules B17, B18).
    #[cold]
    fn failure(&self) -> Result<RawRead> {
        // Held until the provider's data are copied: they may lie in the queue's own memory.
        let mut data = self.error_data.lock();
        // SAFETY: a plain C structure; all zero is what fi_cq.3 asks for.
        let mut roomy = unsafe { Roomy::<fi_cq_err_entry>::zeroed() };
        let entry = roomy.as_mut();
        entry.err_data = data.as_mut_ptr().cast();
        entry.err_data_size = data.len();
        entry.src_addr = FI_ADDR_NOTAVAIL;
        // SAFETY: the queue is open; the entry is the newest layout with room behind it, and its
        // data buffer is ours and as long as it says.
        let status = unsafe { ofi_sys::fi_cq_readerr(self.fid.as_ptr(), entry, 0) };
        if status == 0 || status == -(ofi_sys::FI_EAGAIN as isize) {
            // Another thread has fetched it.
            return Ok(RawRead::Entries(0));
        }
        check(status as i64, "fi_cq_readerr")?;
        // Untouched on success in some versions, then it says nothing (rule B18).
        let ours = entry.err_data == data.as_mut_ptr().cast();
        let written = match ours && entry.err_data_size < data.len() {
            true => entry.err_data_size,
            false => 0,
        };
        let error_data = data[..written].to_vec();
        let told = match written {
            0 => std::ptr::null(),
            _ => data.as_ptr().cast(),
        };
        let text = self.fid.error_text(self.domain.info.provider(), true, entry.prov_errno, told);
        let error = Error::from_errno(Errno::from_raw(entry.err), "operation")
            .provider(entry.prov_errno, text)
            .posted();
        let source = Some(entry.src_addr).filter(|addr| self.source && *addr != FI_ADDR_NOTAVAIL);
        Ok(RawRead::Failed(Box::new(RawFailure {
            entry: RawCompletion {
                context: entry.op_context,
                flags: CqFlags::from_raw(entry.flags),
                len: entry.len,
                buf: entry.buf,
                data: entry.data,
                tag: entry.tag,
                source,
            },
            overflow: entry.olen,
            error,
            error_data,
        })))
    }
}

/// Whole milliseconds for C, rounded up; never its "for ever".
fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX)
}

impl RawCompletion {
    /// # Safety
    ///
    /// At `at` is an entry of this format.
    unsafe fn new(at: *const u8, format: CqFormat, source: u64) -> RawCompletion {
        let mut whole = MaybeUninit::<fi_cq_tagged_entry>::zeroed();
        // SAFETY: the entry is as long as its format says and no longer than the widest, of which
        // every other is a prefix (fi_cq.3); zero is a value of all fields.
        let entry = unsafe {
            let length = stride(format).unwrap_or(0);
            std::ptr::copy_nonoverlapping(at, whole.as_mut_ptr().cast(), length);
            whole.assume_init()
        };
        RawCompletion {
            context: entry.op_context,
            flags: CqFlags::from_raw(entry.flags),
            len: entry.len,
            buf: entry.buf,
            data: entry.data,
            tag: entry.tag,
            source: (source != FI_ADDR_NOTAVAIL).then_some(source),
        }
    }
}

/// Reading the queue is what drives it.
impl<T: Threading> Source for RawCqCore<T> {
    fn drive(&self) -> usize {
        0
    }

    fn fd(&self) -> Option<RawFd> {
        None
    }

    fn may_park(&self) -> bool {
        false
    }

    fn park_limit(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn parkers(&self) -> &Parkers {
        &self.parkers
    }
}

impl<T: Threading> fmt::Debug for RawCompletionQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawCompletionQueue")
            .field("format", &self.0.format)
            .field("wait", &self.0.wait)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_far_as_its_format_goes() {
        let full = fi_cq_tagged_entry {
            op_context: std::ptr::without_provenance_mut(0x40),
            flags: ofi_sys::FI_RECV,
            len: 7,
            buf: std::ptr::without_provenance_mut(0x80),
            data: 9,
            tag: 11,
        };
        let read = |format| {
            // SAFETY: every format is a prefix of the full entry.
            unsafe { RawCompletion::new((&raw const full).cast(), format, FI_ADDR_NOTAVAIL) }
        };
        let context = read(CqFormat::Context);
        assert_eq!((context.context, context.len), (full.op_context, 0));
        let message = read(CqFormat::Msg);
        assert_eq!((message.len, message.flags, message.data), (7, CqFlags::RECV, 0));
        let data = read(CqFormat::Data);
        assert_eq!((data.buf, data.data, data.tag), (full.buf, 9, 0));
        assert_eq!((read(CqFormat::Tagged).tag, data.source), (11, None));
    }

    #[test]
    fn a_timeout_is_rounded_up_and_never_endless() {
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::from_micros(1)), 1);
        assert_eq!(millis(Duration::MAX), i32::MAX);
    }
}
