//! Passive endpoints: where connection requests arrive.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use ofi_sys::fid_pep;

use crate::{
    AddressFormat, ConnRequest, EndpointType, Error, EventQueue, Fabric, FabricAddress, Info,
    Result, cm,
    endpoint::own_name,
    eq::{
        EqOpen,
        mail::{Arrival, Door, Handle, Mailbox},
    },
    error::{Needs, check},
    object::{CloseError, Owned, forked, refuse_fork},
    quirks::{Defect, quirk},
    threading::{Shared, Threading},
    wait,
};

/// What a passive endpoint is made with. [`listen`](Self::listen) makes it.
#[must_use = "a builder does nothing until `listen`"]
pub struct PassiveEndpointBuilder<T: Threading> {
    fabric: Fabric,
    info: Info,
    eq: Option<EventQueue<T>>,
    backlog: Option<i32>,
    name: Option<SocketAddr>,
}

impl<T: Threading> PassiveEndpointBuilder<T> {
    pub(crate) fn new(fabric: &Fabric, info: &Info) -> Self {
        PassiveEndpointBuilder {
            fabric: fabric.clone(),
            info: info.clone(),
            eq: None,
            backlog: None,
            name: None,
        }
    }

    /// The address to listen at, in place of the source address of its info; port 0 lets the system
    /// choose. For an active endpoint the info says it:
    /// [`Hints::source`](crate::Hints::source).
    ///
    /// The address is the endpoint's from this call's place in [`listen`](Self::listen) on, which fails
    /// where it is in use.
    #[doc(alias = "fi_setname")]
    pub fn name(mut self, address: SocketAddr) -> Self {
        self.name = Some(address);
        self
    }

    /// The queue that connection requests arrive on.
    #[doc(alias = "fi_pep_bind")]
    pub fn event_queue(mut self, queue: &EventQueue<T>) -> Self {
        self.eq = Some(queue.clone());
        self
    }

    /// How many requests the system keeps before they are asked for; without it the provider
    /// decides.
    #[doc(alias = "FI_BACKLOG")]
    pub fn backlog(mut self, requests: u16) -> Self {
        self.backlog = Some(i32::from(requests));
        self
    }

    /// Makes the endpoint and listens at the source address of its info.
    ///
    /// # Errors
    ///
    /// `Invalid` if there is no event queue, or the info has no source address (ask for it with
    /// [`Hints::source`](crate::Hints::source)); `Unsupported` if a backlog was asked for and the
    /// provider lets nobody choose, or an address that it has no form for; what the provider says (the
    /// address is in use).
    #[doc(alias = "fi_passive_ep")]
    #[doc(alias = "fi_listen")]
    pub fn listen(self) -> Result<PassiveEndpoint<T>> {
        const NAME: &str = "fi_passive_ep";
        refuse_fork(NAME)?;
        let eq = self.eq.ok_or_else(|| {
            Error::invalid(NAME, "an event queue is missing: give the builder one")
        })?;
        if !Arc::ptr_eq(&eq.0.core.fabric, &self.fabric.0) {
            return Err(Error::invalid(NAME, "the event queue is of another fabric"));
        }
        if self.info.endpoint_type() != EndpointType::Msg {
            return Err(Error::invalid(NAME, "the info does not describe MSG endpoints")
                .hint("ask for the endpoint type in the hints"));
        }
        if self.info.provider() != self.fabric.info().provider() {
            return Err(Error::invalid(NAME, "the info is of another provider"));
        }
        if self.info.src_addr().is_none() {
            return Err(Error::invalid(NAME, "the info has no source address to listen at")
                .hint("ask for it in the hints: node, service and `source`"));
        }
        let mut name = self.name.map(|address| named(&self.info, address)).transpose()?;
        let at = name.as_deref().or(self.info.src_addr()).unwrap_or_default();
        if let Some((fid, info)) = eq.0.unpark(self.info.address_format(), at) {
            // It listens already, as the same info says.
            return Ok(PassiveEndpoint::open(fid, info, eq));
        }
        // Stays alive as long as the endpoint (fault 14), and is nobody else's.
        let info = self.info.duplicate()?;
        let mut fid = std::ptr::null_mut();
        // SAFETY: fabric and info are alive; `fid` receives the endpoint.
        let status = unsafe {
            ofi_sys::fi_passive_ep(
                self.fabric.0.as_ptr(),
                info.as_ptr(),
                &raw mut fid,
                std::ptr::null_mut(),
            )
        };
        check(i64::from(status), NAME)?;
        // SAFETY: fi_passive_ep succeeded.
        let fid: Owned<fid_pep, T> = unsafe { Owned::new(fid, NAME)? };
        // SAFETY: both are open, and it does not listen yet (rule L5).
        let status = unsafe { ofi_sys::fi_pep_bind(fid.as_ptr(), eq.0.core.raw(), 0) };
        check(i64::from(status), "fi_pep_bind")?;
        if let Some(name) = &mut name {
            // SAFETY: the endpoint is open and does not listen yet; the name is as long as stated, of
            // the family that its length says, and copied.
            let status =
                unsafe { ofi_sys::fi_setname(fid.as_fid(), name.as_mut_ptr().cast(), name.len()) };
            check(i64::from(status), "fi_setname")
                .map_err(|error| error.absent(Needs::Property("names that can be set")))?;
        }
        if let Some(mut backlog) = self.backlog {
            // SAFETY: the endpoint is open; the command reads one int.
            let status = unsafe {
                ofi_sys::fi_control(fid.as_fid(), ofi_sys::FI_BACKLOG, (&raw mut backlog).cast())
            };
            check(i64::from(status), "fi_control").map_err(|error| match error.errno() {
                Some(crate::Errno::ENOSYS | crate::Errno::EOPNOTSUPP) => Error::unsupported(
                    "fi_control",
                    Needs::Property("a provider whose backlog can be set"),
                ),
                _ => error,
            })?;
        }
        let endpoint = PassiveEndpoint::open(Arc::new(fid), info, eq);
        // SAFETY: open and bound to its event queue.
        let status = unsafe { ofi_sys::fi_listen(endpoint.as_raw()) };
        check(i64::from(status), "fi_listen")?;
        Ok(endpoint)
    }
}

/// An address as the endpoints of this info have theirs.
fn named(info: &Info, address: SocketAddr) -> Result<Vec<u8>> {
    let fits = match info.address_format() {
        AddressFormat::SockaddrIn => address.is_ipv4(),
        AddressFormat::SockaddrIn6 => address.is_ipv6(),
        AddressFormat::Sockaddr | AddressFormat::SockaddrIp => true,
        _ => false,
    };
    if fits {
        return Ok(FabricAddress::from(address).bytes().to_vec());
    }
    let form = info.address_format();
    Err(Error::unsupported("fi_setname", Needs::Property("addresses of this family"))
        .detail(format!("{address} is none of the form {form}"))
        .hint("ask for another address_format in the hints"))
}

/// A passive endpoint: listens, and turns what arrives into [`ConnRequest`]s.
///
/// A clone is another handle. It closes with its last handle and the last request that was not
/// answered; requests that nobody asked for are rejected then.
///
/// See `fi_endpoint(3)`, `fi_cm(3)`.
#[doc(alias = "fid_pep")]
pub struct PassiveEndpoint<T: Threading = Shared>(Arc<PepCore<T>>);

impl<T: Threading> Clone for PassiveEndpoint<T> {
    fn clone(&self) -> Self {
        PassiveEndpoint(Arc::clone(&self.0))
    }
}

/// What keeps a passive endpoint open: its handles and the requests that came to it.
pub(crate) struct PepCore<T: Threading> {
    // Closed in `Drop`, or parked in the queue; the fields it stands on go after it.
    fid: Arc<Owned<fid_pep, T>>,
    closed: AtomicBool,
    door: Arc<Door>,
    /// The most private data, in bytes.
    pub(crate) data_size: usize,
    pub(crate) eq: Arc<EqOpen<T>>,
    info: Info,
}

impl<T: Threading> PassiveEndpoint<T> {
    /// A handle to an endpoint that is bound to `eq`, in whose list it enters. From here on its
    /// core closes it and strikes it off.
    fn open(fid: Arc<Owned<fid_pep, T>>, info: Info, eq: EventQueue<T>) -> Self {
        // SAFETY: open. Asking a passive endpoint for this option is safe on every provider.
        let data_size = unsafe { cm::data_size(fid.as_fid()) };
        let door = Arc::new(Door::default());
        let mailbox = Mailbox::Door(Arc::clone(&door));
        eq.0.core.hold().enter(fid.as_fid(), mailbox, data_size);
        PassiveEndpoint(Arc::new(PepCore {
            fid,
            closed: AtomicBool::new(false),
            door,
            data_size,
            eq: eq.0,
            info,
        }))
    }

    /// Blocks for the next connection request, driving the event queue; `None` if none came
    /// within `timeout`.
    ///
    /// # Errors
    ///
    /// What the provider reported about this endpoint, once each; for good if the event queue
    /// failed.
    #[doc(alias = "FI_CONNREQ")]
    pub fn next_request(&self, timeout: Duration) -> Result<Option<ConnRequest<T>>> {
        let core = &self.0;
        let deadline = Instant::now().checked_add(timeout);
        let (_, waker) = wait::Parker::current();
        let mut key = None;
        let mut found = None;
        wait::park_until(
            &[&*core.eq.core],
            &mut |_| {
                // Another thread may dispatch the request while we sleep: it wakes us. The waker
                // goes in before the look, and again where another's request took it.
                core.door.register(&mut key, &waker);
                found = core.door.next();
                found.is_some()
            },
            deadline,
        );
        core.door.deregister(&mut key);
        match found {
            None => Ok(None),
            Some(arrival) => Ok(Some(ConnRequest::new(core, arrival?))),
        }
    }

    /// The next connection request, as a future. Several may wait: each request goes to one.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses no request.
    pub fn request(&self) -> NextRequest<'_, T> {
        NextRequest { core: &self.0, key: None }
    }

    /// The address it listens at.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_getname")]
    pub fn name(&self) -> Result<FabricAddress> {
        // SAFETY: the endpoint is open and listens (rule A7).
        unsafe { own_name(self.0.fid.as_fid(), &self.0.info) }
    }

    /// The most private data that can go with an answer, in bytes.
    #[doc(alias = "FI_OPT_CM_DATA_SIZE")]
    #[must_use]
    pub fn max_private_data(&self) -> usize {
        self.0.data_size
    }

    /// What it was opened with.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.0.info
    }

    /// Closes it now; requests that nobody asked for are rejected.
    ///
    /// On `tcp`, where a request that is on its way would meet freed memory, the provider's object
    /// stays open until the event queue closes: what comes meanwhile is rejected, and the address
    /// is free for a new listener of the same queue only.
    ///
    /// # Errors
    ///
    /// Gives the handle back if others hold it, or a request was not answered yet.
    #[doc(alias = "fi_close")]
    pub fn close(self) -> Result<(), CloseError<PassiveEndpoint<T>>> {
        CloseError::close(self.0, PassiveEndpoint, PepCore::close)
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_pep {
        self.0.fid.as_ptr()
    }
}

/// See [`PassiveEndpoint::request`].
#[must_use = "futures do nothing unless polled"]
pub struct NextRequest<'a, T: Threading = Shared> {
    core: &'a Arc<PepCore<T>>,
    key: Option<u64>,
}

impl<T: Threading> Future for NextRequest<'_, T> {
    type Output = Result<ConnRequest<T>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let core = self.core;
        let found = core.door.next().or_else(|| {
            core.eq.core.progress();
            // The waker goes in before the last look: a request that comes in between calls it.
            core.door.register(&mut self.key, context.waker());
            core.door.next()
        });
        match found {
            Some(arrival) => {
                core.door.deregister(&mut self.key);
                Poll::Ready(arrival.map(|arrival| ConnRequest::new(core, arrival)))
            }
            None => {
                wait::note_source(&core.eq.core);
                Poll::Pending
            }
        }
    }
}

impl<T: Threading> Drop for NextRequest<'_, T> {
    fn drop(&mut self) {
        self.core.door.deregister(&mut self.key);
    }
}

impl<T: Threading> PepCore<T> {
    /// Rejects a request with private data.
    pub(crate) fn reject(&self, handle: &Handle, data: &[u8]) -> Result<()> {
        let param = if data.is_empty() { std::ptr::null() } else { data.as_ptr().cast() };
        // SAFETY: the endpoint is open while a request holds it; the handle came to it and is used
        // up by this call; the data are as long as stated and copied.
        let status =
            unsafe { ofi_sys::fi_reject(self.fid.as_ptr(), handle.as_ptr(), param, data.len()) };
        check(i64::from(status), "fi_reject").map(drop)
    }

    fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if forked() {
            self.fid.leak();
            return Err(Error::new(crate::ErrorKind::Forked, "fi_close"));
        }
        let mut woken = Vec::new();
        let (result, left) = {
            let mut reader = self.eq.core.hold();
            // What has arrived by now is rejected while that can be done.
            self.eq.core.read_all(&mut reader, &mut woken);
            for arrival in self.door.shut() {
                // The peer learns it from the closed connection otherwise.
                let _ = self.reject(&arrival.handle, &[]);
            }
            if quirk(self.info.provider(), Defect::ListenerDangles).is_some() {
                // It stays in the queue's list: from here on what comes is rejected.
                self.eq.park(Arc::clone(&self.fid), self.info.clone());
                (Ok(()), Default::default())
            } else {
                let result = self.fid.close();
                if result.is_ok() {
                    self.eq.core.leave(&mut reader, self.fid.as_fid(), &mut woken);
                }
                (result, self.door.shut())
            }
        };
        // Came in between: the info is freed, the provider keeps its end.
        drop(left);
        crate::eq::wake::<T>(woken);
        if result.is_err() {
            // The queue, and what the provider was opened with, stay with what could not be closed.
            std::mem::forget(Arc::clone(&self.eq));
            std::mem::forget(self.info.clone());
        }
        result
    }
}

impl<T: Threading> Drop for PepCore<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.close();
    }
}

/// Rejects a request without words.
///
/// # Safety
///
/// `pep` is an open passive endpoint that stays open during the call; the handle came to it and was
/// not used.
pub(crate) unsafe fn refuse(pep: *mut fid_pep, handle: &Handle) {
    // SAFETY: the caller's promise. What it returns changes nothing: the handle is used up.
    let _ = unsafe { ofi_sys::fi_reject(pep, handle.as_ptr(), std::ptr::null(), 0) };
}

impl<T: Threading> ConnRequest<T> {
    fn new(core: &Arc<PepCore<T>>, arrival: Arrival) -> Self {
        ConnRequest::from_parts(Arc::clone(core), arrival)
    }
}

impl<T: Threading> fmt::Debug for PassiveEndpointBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassiveEndpointBuilder")
            .field("provider", &self.info.provider())
            .field("eq", &self.eq)
            .field("backlog", &self.backlog)
            .finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for PassiveEndpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PassiveEndpoint")
            .field("provider", &self.0.info.provider())
            .field("fid", &self.0.fid)
            .finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for NextRequest<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextRequest").finish_non_exhaustive()
    }
}
