//! Endpoints whose operations are the caller's own affair: contexts, memory and order.

use std::{ffi::c_void, fmt, sync::Arc};

use ofi_sys::{FI_ADDR_UNSPEC, fid_ep};

use super::{
    builder::{Opened, Setup},
    counters::Counters,
    options::Options,
    own_name,
};
use crate::{
    AddressVector, BindFlags, Caps, Counter, Domain, EndpointType, Error, FabricAddress, Info,
    RawCompletionQueue, Result,
    av::AvCore,
    av::local,
    counter::{self, CounterCore},
    domain::DomainCore,
    error::{Needs, check},
    object::{CloseError, Owned, forked, refuse_fork},
    quirks::{Defect, quirk},
    raw_cq::{self, RawCqCore},
    threading::{Shared, Threading},
};

/// An endpoint that is posted to with pointers and contexts of the caller's, and completes on
/// [`RawCompletionQueue`]s: the way out for runtimes that bring their own operations.
///
/// Opening one and posting to it are `unsafe`; see [`enable`](RawEndpointBuilder::enable) and
/// [`send`](Self::send) for what the caller promises. Connectionless
/// endpoints only. Closes with the handle.
///
/// See `fi_endpoint(3)`.
pub struct RawEndpoint<T: Threading = Shared> {
    fid: Owned<fid_ep, T>,
    caps: Caps,
    info: Info,
    transmit: Arc<RawCqCore<T>>,
    receive: Arc<RawCqCore<T>>,
    _av: Arc<AvCore<T>>,
    counters: Vec<Arc<CounterCore<T>>>,
    _domain: Arc<DomainCore<T>>,
}

/// What a raw endpoint is made with. [`enable`](Self::enable) makes it.
#[must_use = "a builder does nothing until it makes its endpoint"]
pub struct RawEndpointBuilder<T: Threading> {
    domain: Domain<T>,
    info: Info,
    av: Option<AddressVector<T>>,
    transmit: Option<RawCompletionQueue<T>>,
    receive: Option<RawCompletionQueue<T>>,
    counters: Counters<T>,
    options: Options,
}

impl<T: Threading> Domain<T> {
    /// A raw endpoint on this domain, connectionless as `info` says.
    pub fn raw_endpoint(&self, info: &Info) -> RawEndpointBuilder<T> {
        RawEndpointBuilder {
            domain: self.clone(),
            info: info.clone(),
            av: None,
            transmit: None,
            receive: None,
            counters: Counters::default(),
            options: Options::default(),
        }
    }
}

impl<T: Threading> RawEndpointBuilder<T> {
    /// The vector whose addresses it sends to.
    pub fn address_vector(mut self, av: &AddressVector<T>) -> Self {
        self.av = Some(av.clone());
        self
    }

    /// The queue that both sends and receives complete on.
    pub fn completion_queue(self, queue: &RawCompletionQueue<T>) -> Self {
        self.transmit_queue(queue).receive_queue(queue)
    }

    /// The queue that sends complete on.
    #[doc(alias = "FI_TRANSMIT")]
    pub fn transmit_queue(mut self, queue: &RawCompletionQueue<T>) -> Self {
        self.transmit = Some(queue.clone());
        self
    }

    /// The queue that receives complete on.
    #[doc(alias = "FI_RECV")]
    pub fn receive_queue(mut self, queue: &RawCompletionQueue<T>) -> Self {
        self.receive = Some(queue.clone());
        self
    }

    /// A counter; as [`EndpointBuilder::counter`](crate::EndpointBuilder::counter).
    pub fn counter(mut self, counter: &Counter<T>, classes: BindFlags) -> Self {
        self.counters.add(counter, classes);
        self
    }

    /// As [`EndpointBuilder::min_multi_recv`](crate::EndpointBuilder::min_multi_recv).
    #[doc(alias = "FI_OPT_MIN_MULTI_RECV")]
    pub fn min_multi_recv(mut self, bytes: usize) -> Self {
        self.options.set_min_multi_recv(bytes);
        self
    }

    /// Makes the endpoint, binds everything, enables it.
    ///
    /// # Errors
    ///
    /// `Invalid` if something that it must have is missing or of another domain; what the provider
    /// says.
    ///
    /// # Safety
    ///
    /// What peers send is in nobody's hands but the caller's, and this endpoint does none of what
    /// [`Endpoint`](crate::Endpoint) does about it before it closes. Until it has closed (which its
    /// drop does too), on a provider that [`QUIRKS`](crate::QUIRKS) says has the defect:
    /// - no message waits for a receive (quirks 16, 17);
    /// - no connection is being made to it (quirk 11);
    /// - what it has sent to other endpoints of this process they have looked at: their queues were
    ///   read (quirk 24);
    /// - every receive is as long as the message that it takes (quirks 19, 20).
    #[doc(alias = "fi_endpoint")]
    #[doc(alias = "fi_ep_bind")]
    #[doc(alias = "fi_enable")]
    pub unsafe fn enable(self) -> Result<RawEndpoint<T>> {
        const NAME: &str = "fi_endpoint";
        refuse_fork(NAME)?;
        let (Some(av), Some(transmit), Some(receive)) = (self.av, self.transmit, self.receive)
        else {
            return Err(Error::invalid(
                NAME,
                "an address vector and a completion queue for each direction are needed",
            ));
        };
        let domain = &self.domain.0;
        if !transmit.0.on(domain) || !receive.0.on(domain) {
            return Err(Error::invalid(NAME, "the completion queue is of another domain"));
        }
        let kind = self.info.endpoint_type();
        if !matches!(kind, EndpointType::Rdm | EndpointType::Dgram) {
            return Err(Error::invalid(
                NAME,
                format!("the info describes a {kind} endpoint, which is not connectionless"),
            ));
        }
        let one_queue = Arc::ptr_eq(&transmit.0, &receive.0);
        let queues = if one_queue {
            vec![(transmit.0.raw(), ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV)]
        } else {
            vec![(transmit.0.raw(), ofi_sys::FI_TRANSMIT), (receive.0.raw(), ofi_sys::FI_RECV)]
        };
        let setup = Setup {
            domain: &self.domain,
            info: &self.info,
            kind,
            av: Some(&av),
            queues: &queues,
            counters: &self.counters,
            options: &self.options,
        };
        let Opened { fid, info, .. } = {
            let _readers = raw_cq::shut([&*transmit.0, &*receive.0]);
            setup.open(|_| Ok(()))?
        };
        transmit.0.note_bound();
        receive.0.note_bound();
        Ok(RawEndpoint {
            fid,
            caps: info.caps(),
            info,
            transmit: transmit.0,
            receive: receive.0,
            _av: av.0,
            counters: self.counters.into_cores(),
            _domain: Arc::clone(domain),
        })
    }
}

impl<T: Threading> RawEndpoint<T> {
    /// Sends `len` bytes from `buf` to the provider's address `to`
    /// ([`Address::as_raw`](crate::Address::as_raw)).
    ///
    /// # Errors
    ///
    /// `Busy` where there is no room now, `Unsupported` without `FI_MSG`, what the provider says.
    /// Nothing was posted then.
    ///
    /// # Safety
    ///
    /// Until the operation's entry has been read from its queue, or this endpoint is closed and its
    /// queues were read until empty:
    /// - the `len` bytes at `buf` are readable (writable, for a receive), nobody writes to them
    ///   (for a receive: nobody touches them), and they are initialised;
    /// - `desc` is null, or the descriptor of a live region of this domain over them, and not null
    ///   where the domain's `mr_mode` has `FI_MR_LOCAL`;
    /// - `to` (for a receive with `FI_DIRECTED_RECV`: `from`) is in this endpoint's vector;
    /// - `context` is what the domain's mode asks for: with `FI_CONTEXT` or `FI_CONTEXT2`, 64 bytes
    ///   that nobody else touches and no other operation uses; without, any value.
    ///
    /// And the endpoint is not closed with operations in flight on a provider that
    /// [`QUIRKS`](crate::QUIRKS) says crashes then.
    #[doc(alias = "fi_send")]
    pub unsafe fn send(
        &self,
        buf: *const u8,
        len: usize,
        desc: *mut c_void,
        to: u64,
        context: *mut c_void,
    ) -> Result<()> {
        self.needs(Caps::MSG)?;
        // SAFETY: the endpoint is open and has the capability; the rest is the caller's promise.
        posted(
            unsafe { ofi_sys::fi_send(self.as_raw(), buf.cast(), len, desc, to, context) },
            "fi_send",
        )
    }

    /// Receives the next message into the `len` bytes at `buf`: from `from`, or with `None` from
    /// anybody.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); `Unsupported` if `from` is given without `FI_DIRECTED_RECV`.
    ///
    /// # Safety
    ///
    /// As [`send`](Self::send).
    #[doc(alias = "fi_recv")]
    pub unsafe fn recv(
        &self,
        buf: *mut u8,
        len: usize,
        desc: *mut c_void,
        from: Option<u64>,
        context: *mut c_void,
    ) -> Result<()> {
        self.needs(Caps::MSG)?;
        let from = self.source(from)?;
        // SAFETY: the endpoint is open and has the capability; the rest is the caller's promise.
        posted(
            unsafe { ofi_sys::fi_recv(self.as_raw(), buf.cast(), len, desc, from, context) },
            "fi_recv",
        )
    }

    /// Sends a tagged message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), with `FI_TAGGED`.
    ///
    /// # Safety
    ///
    /// As [`send`](Self::send).
    #[doc(alias = "fi_tsend")]
    pub unsafe fn tsend(
        &self,
        buf: *const u8,
        len: usize,
        desc: *mut c_void,
        to: u64,
        tag: u64,
        context: *mut c_void,
    ) -> Result<()> {
        self.needs(Caps::TAGGED)?;
        // SAFETY: the endpoint is open and has the capability; the rest is the caller's promise.
        posted(
            unsafe { ofi_sys::fi_tsend(self.as_raw(), buf.cast(), len, desc, to, tag, context) },
            "fi_tsend",
        )
    }

    /// Receives the next message whose tag is `tag`, the bits of `ignore` aside.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv), with `FI_TAGGED`.
    ///
    /// # Safety
    ///
    /// As [`send`](Self::send).
    #[doc(alias = "fi_trecv")]
    #[expect(clippy::too_many_arguments, reason = "they are those of the C function")]
    pub unsafe fn trecv(
        &self,
        buf: *mut u8,
        len: usize,
        desc: *mut c_void,
        from: Option<u64>,
        tag: u64,
        ignore: u64,
        context: *mut c_void,
    ) -> Result<()> {
        self.needs(Caps::TAGGED)?;
        let from = self.source(from)?;
        let ep = self.as_raw();
        // SAFETY: the endpoint is open and has the capability; the rest is the caller's promise.
        posted(
            unsafe { ofi_sys::fi_trecv(ep, buf.cast(), len, desc, from, tag, ignore, context) },
            "fi_trecv",
        )
    }

    /// Asks for the operation with this context to end early; its entry says what became of it.
    ///
    /// # Errors
    ///
    /// Where the provider cannot, or knows no such operation.
    ///
    /// # Safety
    ///
    /// `context` is that of one operation in flight on this endpoint.
    #[doc(alias = "fi_cancel")]
    pub unsafe fn cancel(&self, context: *mut c_void) -> Result<()> {
        // SAFETY: the endpoint is open; the rest is the caller's promise.
        posted(unsafe { ofi_sys::fi_cancel(self.fid.as_fid(), context) }, "fi_cancel")
    }

    /// The endpoint's own address, for peers to insert.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_getname")]
    pub fn name(&self) -> Result<FabricAddress> {
        // SAFETY: the endpoint is open and enabled (rule A7).
        unsafe { own_name(self.fid.as_fid(), &self.info) }
    }

    /// What the endpoint was opened with.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Closes the endpoint now. Nothing is cancelled or waited for.
    ///
    /// # Errors
    ///
    /// What the provider says; the endpoint is leaked then.
    #[doc(alias = "fi_close")]
    pub fn close(self) -> Result<(), CloseError<RawEndpoint<T>>> {
        self.shut().map_err(CloseError::Failed)
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_ep {
        self.fid.as_ptr()
    }

    fn shut(&self) -> Result<()> {
        if forked() {
            // Readers of the parent's are counted in the gates, and will never leave them.
            self.fid.leak();
            return Err(Error::new(crate::ErrorKind::Forked, "fi_close"));
        }
        let near = !self.fid.is_closed() && local::concerns(&self.info);
        if near {
            // As in `close.rs`.
            local::settle();
        }
        let _readers = raw_cq::shut([&*self.transmit, &*self.receive]);
        let _counters = counter::hold(self.counters.iter().map(|counter| &**counter));
        if quirk(self.info.provider(), Defect::TrywaitAfterClose).is_some() {
            self.transmit.lose_wait();
            self.receive.lose_wait();
        }
        if !near {
            return self.fid.close();
        }
        let closed = self.name().ok().and_then(|name| local::close(&name, || self.fid.close()));
        closed.unwrap_or_else(|| {
            self.fid.leak();
            Err(Error::closed("fi_close").detail("its name could not be taken back"))
        })
    }

    /// Tables of functions for other capabilities may be missing (rule D8).
    #[inline]
    fn needs(&self, cap: Caps) -> Result<()> {
        if self.caps.contains(cap) {
            return Ok(());
        }
        let name = if cap == Caps::MSG { "FI_MSG" } else { "FI_TAGGED" };
        Err(Error::unsupported("raw post", Needs::Capability(name))
            .hint("ask for the capability in the hints"))
    }

    /// Rule B36.
    #[inline]
    fn source(&self, from: Option<u64>) -> Result<u64> {
        match from {
            None => Ok(FI_ADDR_UNSPEC),
            Some(from) if self.caps.contains(Caps::DIRECTED_RECV) => Ok(from),
            Some(_) => Err(Error::unsupported("raw post", Needs::Capability("FI_DIRECTED_RECV"))),
        }
    }
}

impl<T: Threading> Drop for RawEndpoint<T> {
    fn drop(&mut self) {
        // Already logged; there is nobody to tell. All else goes after it.
        let _ = self.shut();
    }
}

#[inline]
fn posted(status: isize, name: &'static str) -> Result<()> {
    if status == 0 {
        return Ok(());
    }
    if status == -(ofi_sys::FI_EAGAIN as isize) {
        return Err(Error::busy());
    }
    check(status as i64, name)
        .map(drop)
        .map_err(|error| error.absent(Needs::Property("a provider with this call")))
}

impl<T: Threading> fmt::Debug for RawEndpoint<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEndpoint")
            .field("provider", &self.info.provider())
            .field("fid", &self.fid)
            .finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for RawEndpointBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEndpointBuilder")
            .field("provider", &self.info.provider())
            .finish_non_exhaustive()
    }
}
