//! Poll sets: one call that looks at many queues and counters.
//!
//! Deprecated by libfabric since 2.0, and still there: whoever reads the queues themselves knows as
//! much.
//!
//! # Safety
//!
//! A set holds what is in it, so nothing in it closes; it takes everything out before it closes
//! itself. What libfabric hands back is the number that the object was opened with as its context,
//! never a pointer to follow.

#![expect(deprecated, reason = "libfabric marks the whole of it so")]

use std::{
    ffi::c_void,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ofi_sys::{fid, fid_poll};

use crate::{
    CompletionQueue, Counter, Domain, Error, ErrorKind, RawCompletionQueue, Result,
    abi::Roomy,
    counter::{self, CounterCore},
    cq::{CqCore, CqOpen},
    domain::DomainCore,
    error::{Needs, check},
    object::{Owned, forked, refuse_fork, report},
    raw_cq::RawCqCore,
    threading::{Shared, Threading},
};

/// The context of a queue or counter: its number, unlike any other's in this process.
pub(crate) fn next_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A number as the context that it is given to C as.
pub(crate) fn as_context(number: usize) -> *mut c_void {
    std::ptr::without_provenance_mut(number)
}

/// Completion queues and counters that are looked at with one call.
///
/// **Deprecated** by libfabric since 2.0; it still works there. Driving the queues one after the
/// other says as much.
///
/// The set keeps what is in it open. See `fi_poll(3)`.
///
/// ```
/// # use ofi::{Domain, EndpointType, Fabric, Hints};
/// # let hints = Hints::new().provider("tcp").endpoint_type(EndpointType::Rdm);
/// # let info = hints.node("127.0.0.1").source().query()?.into_best();
/// # let domain: Domain = Fabric::open(&info)?.domain(&info)?;
/// let (queue, counter) = (domain.completion_queue().open()?, domain.counter()?);
/// let mut set = domain.poll_set()?;
/// set.add(&queue)?;
/// set.add(&counter)?;
/// for ready in set.poll()? {
///     if ready.is(&queue) {
///         queue.progress()?;
///     }
/// }
/// # Ok::<(), ofi::Error>(())
/// ```
#[doc(alias = "fid_poll")]
pub struct PollSet<T: Threading = Shared> {
    // Closed first: fields are dropped in order.
    fid: Owned<fid_poll, T>,
    members: Vec<Member<T>>,
    domain: Arc<DomainCore<T>>,
}

/// What can be in a [`PollSet`]: a [`CompletionQueue`], a [`RawCompletionQueue`], a [`Counter`].
/// Sealed.
pub trait Pollable<T: Threading>: sealed::Pollable<T> {}

impl<T: Threading> Pollable<T> for CompletionQueue<T> {}
impl<T: Threading> Pollable<T> for RawCompletionQueue<T> {}
impl<T: Threading> Pollable<T> for Counter<T> {}

/// Something in a [`PollSet`] that may have news. It names an object, and keeps nothing open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ready(usize);

impl Ready {
    /// Whether it means this queue or counter.
    #[must_use]
    pub fn is<T: Threading>(self, object: &impl Pollable<T>) -> bool {
        object.member().number() == self.0
    }
}

mod sealed {
    use super::{Arc, Member, MemberKind, Threading};
    use crate::{CompletionQueue, Counter, RawCompletionQueue};

    pub trait Pollable<T: Threading> {
        fn member(&self) -> Member<T>;
    }

    impl<T: Threading> Pollable<T> for CompletionQueue<T> {
        fn member(&self) -> Member<T> {
            Member(MemberKind::Queue(Arc::clone(&self.0)))
        }
    }

    impl<T: Threading> Pollable<T> for RawCompletionQueue<T> {
        fn member(&self) -> Member<T> {
            Member(MemberKind::Raw(Arc::clone(&self.0)))
        }
    }

    impl<T: Threading> Pollable<T> for Counter<T> {
        fn member(&self) -> Member<T> {
            Member(MemberKind::Counter(Arc::clone(&self.0)))
        }
    }
}

/// A handle to what is in a set. Public in name only.
#[expect(missing_debug_implementations, reason = "public in name only")]
pub struct Member<T: Threading>(MemberKind<T>);

enum MemberKind<T: Threading> {
    Queue(Arc<CqOpen<T>>),
    Raw(Arc<RawCqCore<T>>),
    Counter(Arc<CounterCore<T>>),
}

impl<T: Threading> Member<T> {
    fn number(&self) -> usize {
        match &self.0 {
            MemberKind::Queue(queue) => queue.number,
            MemberKind::Raw(queue) => queue.number,
            MemberKind::Counter(counter) => counter.number,
        }
    }

    fn raw(&self) -> *mut fid {
        match &self.0 {
            MemberKind::Queue(queue) => queue.core.raw(),
            MemberKind::Raw(queue) => queue.raw(),
            MemberKind::Counter(counter) => counter.raw(),
        }
    }

    fn on(&self, domain: &Arc<DomainCore<T>>) -> bool {
        match &self.0 {
            MemberKind::Queue(queue) => queue.on(domain),
            MemberKind::Raw(queue) => queue.on(domain),
            MemberKind::Counter(counter) => counter.on(domain),
        }
    }
}

impl<T: Threading> Domain<T> {
    /// Opens a poll set. **Deprecated** by libfabric since 2.0.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the provider has none (verbs, cxi); what the provider says.
    #[doc(alias = "fi_poll_open")]
    pub fn poll_set(&self) -> Result<PollSet<T>> {
        const NAME: &str = "fi_poll_open";
        refuse_fork(NAME)?;
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_poll_attr>::zeroed() };
        let mut fid = std::ptr::null_mut();
        // SAFETY: the domain is open, the attributes are whole, `fid` receives the set.
        let status = unsafe { ofi_sys::fi_poll_open(self.0.as_ptr(), attr.as_ptr(), &raw mut fid) };
        check(i64::from(status), NAME)
            .map_err(|error| error.absent(Needs::Property("poll sets")))?;
        // SAFETY: fi_poll_open succeeded.
        let fid = unsafe { Owned::new(fid, NAME)? };
        Ok(PollSet { fid, members: Vec::new(), domain: Arc::clone(&self.0) })
    }
}

impl<T: Threading> PollSet<T> {
    /// Puts a queue or counter in. It stays open until it is taken out or the set closes.
    ///
    /// # Errors
    ///
    /// `Invalid` if it is in the set, or of another domain; what the provider says.
    #[doc(alias = "fi_poll_add")]
    pub fn add(&mut self, object: &impl Pollable<T>) -> Result<()> {
        const NAME: &str = "fi_poll_add";
        refuse_fork(NAME)?;
        let member = object.member();
        if !member.on(&self.domain) {
            return Err(Error::invalid(NAME, "it is of another domain"));
        }
        if self.contains(object) {
            return Err(Error::invalid(NAME, "it is in the set"));
        }
        // SAFETY: the set is open, and so is the object, of the same domain; it is held from here on.
        let status = unsafe { ofi_sys::fi_poll_add(self.fid.as_ptr(), member.raw(), 0) };
        check(i64::from(status), NAME)?;
        self.members.push(member);
        Ok(())
    }

    /// Takes a queue or counter out. `false` if it was not in the set.
    ///
    /// # Errors
    ///
    /// What the provider says. It stays in the set then.
    #[doc(alias = "fi_poll_del")]
    pub fn remove(&mut self, object: &impl Pollable<T>) -> Result<bool> {
        refuse_fork("fi_poll_del")?;
        let number = object.member().number();
        let Some(at) = self.members.iter().position(|member| member.number() == number) else {
            return Ok(false);
        };
        self.take_out(at)?;
        Ok(true)
    }

    fn take_out(&mut self, at: usize) -> Result<()> {
        let member = self.members[at].raw();
        // SAFETY: the set is open, the object is in it, and so it is open, too.
        let status = unsafe { ofi_sys::fi_poll_del(self.fid.as_ptr(), member, 0) };
        check(i64::from(status), "fi_poll_del")?;
        self.members.swap_remove(at);
        Ok(())
    }

    /// Drives everything in the set, and tells what may have news: queues with entries that nobody
    /// has read, counters that have moved since the set, or whoever reads them, last looked.
    ///
    /// Nothing is read: go on with [`CompletionQueue::progress`], [`RawCompletionQueue::read`] or
    /// [`Counter::read`], and find nothing now and then. Never blocks, but for another thread that
    /// reads one of the queues just now.
    ///
    /// # Errors
    ///
    /// What the provider says; `Forked` in the child of a fork.
    #[doc(alias = "fi_poll")]
    pub fn poll(&self) -> Result<Vec<Ready>> {
        const NAME: &str = "fi_poll";
        if forked() {
            return Err(Error::new(ErrorKind::Forked, NAME));
        }
        if self.members.is_empty() {
            return Ok(Vec::new());
        }
        let mut contexts: Vec<*mut c_void> = vec![std::ptr::null_mut(); self.members.len()];
        let status = {
            // As for every read: no endpoint on them opens or closes during the call. In the order in
            // which opening and closing take these locks.
            let (mut queues, mut raw, mut counters) = (Vec::new(), Vec::new(), Vec::new());
            for member in &self.members {
                match &member.0 {
                    MemberKind::Queue(queue) => queues.push(&*queue.core),
                    MemberKind::Counter(counter) => counters.push(&**counter),
                    MemberKind::Raw(queue) => raw.push(&**queue),
                }
            }
            queues.sort_by_key(|queue| std::ptr::from_ref(*queue) as usize);
            let _readers: Vec<_> = queues.into_iter().map(CqCore::hold).collect();
            raw.sort_by_key(|queue| std::ptr::from_ref(*queue) as usize);
            let _inside: Vec<_> = raw.into_iter().map(RawCqCore::enter).collect();
            let _counters = counter::hold(counters.into_iter());
            // SAFETY: the set and all in it are open; the array has the room that is stated.
            unsafe {
                ofi_sys::fi_poll(
                    self.fid.as_ptr(),
                    contexts.as_mut_ptr(),
                    i32::try_from(contexts.len()).unwrap_or(i32::MAX),
                )
            }
        };
        let count = match status {
            status if status == -ofi_sys::FI_EAGAIN => 0,
            status => check(i64::from(status), NAME)?,
        };
        contexts.truncate(count);
        let known = |number: usize| self.members.iter().any(|member| member.number() == number);
        let ready: Vec<Ready> = contexts.into_iter().map(|context| Ready(context.addr())).collect();
        if ready.iter().all(|ready| known(ready.0)) {
            return Ok(ready);
        }
        // A provider that answers with something else: it may be any of them.
        Ok(self.members.iter().map(|member| Ready(member.number())).collect())
    }

    /// Whether a queue or counter is in the set.
    #[must_use]
    pub fn contains(&self, object: &impl Pollable<T>) -> bool {
        let number = object.member().number();
        self.members.iter().any(|member| member.number() == number)
    }

    /// How many queues and counters are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Closes the set now, with whatever is in it.
    ///
    /// # Errors
    ///
    /// What the provider says. The set is leaked then, and what could not be taken out of it.
    pub fn close(mut self) -> Result<()> {
        self.shut()
    }

    /// The C object, for calls that this crate does not wrap. What is added through it must be taken
    /// out before it closes, and be opened with a context that is no object's here.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_poll {
        self.fid.as_ptr()
    }

    /// Takes everything out, which most providers do not do in a close, and closes.
    fn shut(&mut self) -> Result<()> {
        if self.fid.is_closed() {
            return Ok(());
        }
        if forked() {
            self.fid.leak();
            return Err(Error::new(ErrorKind::Forked, "fi_close"));
        }
        while let Some(last) = self.members.len().checked_sub(1) {
            if let Err(error) = self.take_out(last) {
                // The set goes on pointing to it.
                report("poll set", &error);
                self.fid.leak();
                std::mem::forget(std::mem::take(&mut self.members));
                std::mem::forget(Arc::clone(&self.domain));
                return Err(error);
            }
        }
        self.fid.close()
    }
}

impl<T: Threading> Drop for PollSet<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.shut();
    }
}

impl<T: Threading> fmt::Debug for PollSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollSet")
            .field("fid", &self.fid)
            .field("members", &self.members.len())
            .finish_non_exhaustive()
    }
}
