//! Connections: asking for one, answering a request, ending it.
//!
//! ```text
//! connect:  Domain::endpoint::<Msg> .. connect(address, data) -> Connecting -> Endpoint<Msg>
//! accept:   PassiveEndpoint -> ConnRequest .. accept(builder, data) -> Connecting -> Endpoint<Msg>
//! ```
//!
//! What may be done when is in the types: a [`Connecting`] can receive but not send (rule C3), an
//! endpoint connects once (rule L9), a request is answered once (rule D5).

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use crate::{
    AddressFormat, Endpoint, EndpointBuilder, Error, ErrorKind, EventQueue, FabricAddress, Info,
    Msg, RecvOp, Result,
    endpoint::{Core, address_of},
    eq::{
        EqOpen,
        mail::{Answer, Arrival, Handle, Link, Mailbox},
    },
    error::{Needs, check},
    info::CheckedAddress,
    passive::PepCore,
    quirks::{Defect, quirk},
    threading::{Shared, Threading},
    wait::{self, Source},
};

/// An endpoint's connection: its event queue and its mailbox there.
pub(crate) struct Connection<T: Threading> {
    pub(crate) eq: Arc<EqOpen<T>>,
    pub(crate) link: Arc<Link>,
}

impl<T: Threading> EndpointBuilder<Msg, T> {
    /// The queue that tells of the endpoint's connection.
    pub fn event_queue(mut self, queue: &EventQueue<T>) -> Self {
        self.eq = Some(queue.clone());
        self
    }

    /// Makes the endpoint, enables it and asks the peer at `address` for a connection, with `data`
    /// for it to look at.
    ///
    /// # Errors
    ///
    /// `Invalid` if something that the endpoint must have is missing, or the address is of another
    /// form than the info's; `TooLarge` if the provider cannot carry so much `data` (rule C2);
    /// `Peer` where the provider connects at once and nobody listens; what the provider says.
    #[doc(alias = "fi_connect")]
    pub fn connect(self, address: &FabricAddress, data: &[u8]) -> Result<Connecting<T>> {
        const NAME: &str = "fi_connect";
        let address_bytes = checked_address(&self.info, address)?;
        let core = self.make_connected(&mut None)?;
        check_data(NAME, data, core.private_data())?;
        let (param, length) = param(data);
        // SAFETY: the endpoint is enabled, bound to its event queue and was never connected (only
        // we have it); the address is of the endpoint's form, checked; the data are as long as
        // stated and no longer than the provider takes, and both are copied.
        let status = unsafe {
            ofi_sys::fi_connect(core.fid.as_ptr(), address_bytes.as_ptr().cast(), param, length)
        };
        check(i64::from(status), NAME)
            .map_err(|error| error.detail(format!("no connection to {address}")))?;
        Ok(Connecting { core: Some(core), accepted: false, key: None })
    }

    /// Makes the endpoint, bound to its event queue and in the queue's list. `handle` is taken once
    /// the provider has it.
    fn make_connected(mut self, handle: &mut Option<Handle>) -> Result<Core<T>> {
        const NAME: &str = "fi_endpoint";
        let eq = self.eq.take().ok_or_else(|| {
            Error::invalid(NAME, "an event queue is missing: give the builder one")
        })?;
        if !Arc::ptr_eq(&eq.0.core.fabric, self.fabric()) {
            return Err(Error::invalid(NAME, "the event queue is of another fabric"));
        }
        let raw = eq.0.core.raw();
        let mut core = self.make(handle, |fid| {
            // SAFETY: both are open, and the endpoint is not enabled yet (rule L4).
            let status = unsafe { ofi_sys::fi_ep_bind(fid, raw, 0) };
            check(i64::from(status), "fi_ep_bind").map(drop)
        })?;
        // No event can name it before it connects or accepts.
        let link = Arc::new(Link::default());
        let mailbox = Mailbox::Link(Arc::clone(&link));
        let size = core.private_data();
        eq.0.core.hold().enter(core.fid.as_fid(), mailbox, size);
        core.connection = Some(Connection { eq: eq.0, link });
        Ok(core)
    }
}

/// A peer that asks for a connection. Answered once: [`accept`](Self::accept) it or
/// [`reject`](Self::reject) it; dropping it rejects it without words.
///
/// See `fi_cm(3)`.
#[must_use = "dropping a request rejects it"]
#[doc(alias = "FI_CONNREQ")]
pub struct ConnRequest<T: Threading = Shared> {
    pep: Arc<PepCore<T>>,
    /// `None` once it was answered.
    handle: Option<Handle>,
    info: Info,
    data: Vec<u8>,
}

impl<T: Threading> ConnRequest<T> {
    pub(crate) fn from_parts(pep: Arc<PepCore<T>>, arrival: Arrival) -> Self {
        ConnRequest { pep, handle: Some(arrival.handle), info: arrival.info, data: arrival.data }
    }

    /// What the endpoint that accepts it will be like; its
    /// [`dest_socket_addr`](Info::dest_socket_addr) is the peer's.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// What the peer gave to its connect. Not to be trusted, and perhaps padded: some providers
    /// round its length up (rule C2).
    #[must_use]
    pub fn private_data(&self) -> &[u8] {
        &self.data
    }

    /// Makes an endpoint with `builder` and accepts, with `data` for the peer to look at.
    ///
    /// The builder's domain must be of the listener's fabric; the endpoint is made as the request's
    /// own info says, whatever info the builder was begun with.
    ///
    /// # Errors
    ///
    /// `Invalid` if the builder lacks something or is of another fabric, `TooLarge` if the provider
    /// cannot carry so much `data` (rule C2), what the provider says. The request is lost then, and
    /// the peer is refused.
    #[doc(alias = "fi_accept")]
    pub fn accept(
        mut self,
        mut builder: EndpointBuilder<Msg, T>,
        data: &[u8],
    ) -> Result<Connecting<T>> {
        const NAME: &str = "fi_accept";
        check_data(NAME, data, self.pep.data_size)?;
        if !Arc::ptr_eq(&self.pep.eq.core.fabric, builder.fabric()) {
            // The provider casts the request's handle to its own type.
            return Err(Error::invalid(NAME, "the request came through another fabric"));
        }
        builder.info = self.info.clone();
        let core = builder.make_connected(&mut self.handle)?;
        let (param, length) = param(data);
        // SAFETY: the endpoint is enabled, was made from this request and not accepted yet; the
        // data are as long as stated, no longer than the provider takes, and copied.
        let status = unsafe { ofi_sys::fi_accept(core.fid.as_ptr(), param, length) };
        check(i64::from(status), NAME)?;
        Ok(Connecting { core: Some(core), accepted: true, key: None })
    }

    /// Refuses, with `data` that say why.
    ///
    /// # Errors
    ///
    /// `TooLarge` if the provider cannot carry so much (the peer is refused without words then);
    /// what the provider says.
    #[doc(alias = "fi_reject")]
    pub fn reject(mut self, data: &[u8]) -> Result<()> {
        check_data("fi_reject", data, self.pep.data_size)?;
        match self.handle.take() {
            Some(handle) => self.pep.reject(&handle, data),
            None => Ok(()),
        }
    }
}

impl<T: Threading> Drop for ConnRequest<T> {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            if !crate::object::forked() {
                // Nobody to tell: the peer sees its connection end in any case.
                let _ = self.pep.reject(&handle, &[]);
            }
        }
    }
}

/// An endpoint whose connection is being made. It can receive, not send.
///
/// A future, and something to [`wait`](Self::wait) for: gives the endpoint, and the private data
/// that the peer accepted with (none on the side that accepted).
///
/// # Cancel safety
///
/// Dropping it closes the endpoint: the attempt ends, receives end as closed.
#[must_use = "dropping it gives the connection up"]
pub struct Connecting<T: Threading = Shared> {
    /// `None` once it resolved.
    core: Option<Core<T>>,
    /// On this side FI_CONNECTED has no data; what some providers put there nobody sent (rule C2).
    accepted: bool,
    key: Option<u64>,
}

impl<T: Threading> Connecting<T> {
    fn core(&self) -> &Core<T> {
        self.core.as_ref().expect("not used after it resolved")
    }

    fn connection(&self) -> &Connection<T> {
        self.core().connection()
    }

    /// Receives a message into `buffer`, as
    /// [`Endpoint::recv`](crate::Endpoint::recv): what is posted before the connection is made is
    /// there for the peer's first message (rule C3).
    pub fn recv<B>(&self, buffer: B) -> RecvOp<'_, B, T> {
        self.core().recv(buffer)
    }

    /// The endpoint's own address.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_getname")]
    pub fn name(&self) -> Result<FabricAddress> {
        self.core().name()
    }

    /// Whether it has ended, so that [`wait`](Self::wait) or `.await` return at once.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.connection().link.has_answer()
    }

    /// Blocks until the connection is made or refused, driving the event queue.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Expired`] gives it back when `timeout` has passed: it goes on;
    /// [`ConnectError::Refused`] with what the peer gave as its reason.
    #[expect(clippy::type_complexity, reason = "an endpoint and the data that came with it")]
    pub fn wait(
        mut self,
        timeout: Duration,
    ) -> Result<(Endpoint<Msg, T>, Vec<u8>), ConnectError<T>> {
        let deadline = Instant::now().checked_add(timeout);
        let (eq, link) = self.ends();
        let (_, waker) = wait::Parker::current();
        // Another thread may dispatch the answer while we sleep: it wakes us.
        link.register(&mut self.key, &waker);
        let done = wait::park_until(&[&*eq.core], &mut |_| link.has_answer(), deadline);
        link.deregister(&mut self.key);
        match link.take_answer() {
            Some(answer) => self.settle(answer).map_err(ConnectError::Refused),
            None => {
                debug_assert!(!done);
                Err(ConnectError::Expired(self))
            }
        }
    }

    fn ends(&self) -> (Arc<EqOpen<T>>, Arc<Link>) {
        let connection = self.connection();
        (Arc::clone(&connection.eq), Arc::clone(&connection.link))
    }

    fn settle(&mut self, answer: Answer) -> Result<(Endpoint<Msg, T>, Vec<u8>), Refused> {
        let core = self.core.take().expect("resolves once");
        match answer {
            Answer::Connected(_) if self.accepted => Ok((Endpoint::from_core(core), Vec::new())),
            Answer::Connected(data) => Ok((Endpoint::from_core(core), data)),
            Answer::Refused(refused) => Err(refused),
        }
    }
}

impl<T: Threading> Future for Connecting<T> {
    type Output = Result<(Endpoint<Msg, T>, Vec<u8>), Refused>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        assert!(this.core.is_some(), "polled after it had resolved");
        let (eq, link) = this.ends();
        if !link.has_answer() {
            eq.core.progress();
            // The waker goes in before the last look: an answer in between calls it.
            link.register(&mut this.key, context.waker());
        }
        match link.take_answer() {
            Some(answer) => {
                link.deregister(&mut this.key);
                Poll::Ready(this.settle(answer))
            }
            None => {
                wait::note_source(&eq.core);
                Poll::Pending
            }
        }
    }
}

// Nothing is pinned in place.
impl<T: Threading> Unpin for Connecting<T> {}

impl<T: Threading> Drop for Connecting<T> {
    fn drop(&mut self) {
        if let Some(core) = &self.core {
            core.connection().link.deregister(&mut self.key);
        }
    }
}

/// A connection that was not made, and what the peer said about it.
#[derive(Debug)]
pub struct Refused {
    /// What went wrong; its kind is [`ErrorKind::Peer`] where the peer refused, or nobody listens.
    pub error: Error,
    /// What the peer gave to its reject (rule C4). Not to be trusted.
    pub data: Vec<u8>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Error {
        refused.error
    }
}

/// Why [`Connecting::wait`] did not end in a connection.
// Exhaustive: as with operations, it goes on or it has failed.
#[expect(clippy::exhaustive_enums, reason = "there is no third case")]
#[expect(clippy::large_enum_variant, reason = "it is handed back as it was")]
pub enum ConnectError<T: Threading = Shared> {
    /// The timeout passed; it goes on.
    Expired(Connecting<T>),
    /// It failed.
    Refused(Refused),
}

impl<T: Threading> fmt::Debug for ConnectError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Expired(_) => f.write_str("Expired"),
            ConnectError::Refused(refused) => write!(f, "Refused({})", refused.error),
        }
    }
}

impl<T: Threading> fmt::Display for ConnectError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Expired(_) => f.write_str("connect: the timeout passed, it goes on"),
            ConnectError::Refused(refused) => refused.fmt(f),
        }
    }
}

impl<T: Threading> std::error::Error for ConnectError<T> {}

impl<T: Threading> From<ConnectError<T>> for Error {
    /// An attempt that expired is given up.
    fn from(error: ConnectError<T>) -> Error {
        match error {
            ConnectError::Expired(_) => Error::new(ErrorKind::TimedOut, "fi_connect").posted(),
            ConnectError::Refused(refused) => refused.error,
        }
    }
}

impl<T: Threading> Endpoint<Msg, T> {
    /// Ends the connection: the peer learns of it. Operations under way end as cancelled, or when
    /// the endpoint closes (rule B27). Does nothing if the connection is over already (rule C6).
    ///
    /// # Errors
    ///
    /// `Unsupported` on `sockets`, whose shutdown closes a descriptor twice: close the endpoint
    /// there, which tells the peer, too. What the provider says.
    #[doc(alias = "fi_shutdown")]
    pub fn shutdown(&self) -> Result<()> {
        let link = &self.core.connection().link;
        if link.is_down() {
            return Ok(());
        }
        if let Some(quirk) = quirk(self.core.provider(), Defect::ShutdownClosesTwice) {
            let needs = Needs::Property("a provider that shuts connections down");
            return Err(Error::unsupported("fi_shutdown", needs)
                .detail(quirk.text)
                .hint("close or drop the endpoint: the peer is told then"));
        }
        // SAFETY: the endpoint is open and was connected; flags must be 0 (rule C6).
        let status = unsafe { ofi_sys::fi_shutdown(self.core.fid.as_ptr(), 0) };
        check(i64::from(status), "fi_shutdown")?;
        let mut woken = Vec::new();
        link.shut_down(&mut woken);
        crate::eq::wake::<T>(woken);
        Ok(())
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// What the provider says: some know it only while the connection lasts.
    #[doc(alias = "fi_getpeer")]
    pub fn peer_name(&self) -> Result<FabricAddress> {
        let bytes = address_of(|buffer, length| {
            // SAFETY: the endpoint is open and was connected (rule A7); `length` bytes may be
            // written.
            unsafe { ofi_sys::fi_getpeer(self.core.fid.as_ptr(), buffer, length) }
        })?;
        let format = self.core.info.address_format();
        Ok(FabricAddress::from_provider(format, &bytes))
    }

    /// Whether the connection is known to be over: this side or the peer shut it down, or it broke.
    /// Looks at the events dispatched so far, drives nothing.
    #[doc(alias = "FI_SHUTDOWN")]
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.core.connection().link.is_down()
    }

    /// What broke the connection, if it did not just end.
    #[must_use]
    pub fn connection_error(&self) -> Option<Error> {
        self.core.connection().link.reason()
    }

    /// Resolves when the connection is over. Drives the event queue and the completion queues:
    /// some providers notice the peer's end only while they look for messages.
    ///
    /// # Cancel safety
    ///
    /// Dropping it loses nothing.
    pub fn closed(&self) -> Closed<'_, T> {
        Closed { core: &self.core, key: None }
    }

    /// Blocks until the connection is over (`true`) or `timeout` has passed (`false`).
    #[must_use]
    pub fn wait_closed(&self, timeout: Duration) -> bool {
        let core = &self.core;
        let link = &core.connection().link;
        let (_, waker) = wait::Parker::current();
        let mut key = None;
        link.register(&mut key, &waker);
        let sources: [&dyn Source; 3] =
            [&*core.connection().eq.core, &*core.receive.core, &*core.transmit.core];
        let distinct = if Arc::ptr_eq(&core.receive, &core.transmit) { 2 } else { 3 };
        let closed = wait::park_until(
            &sources[..distinct],
            &mut |_| link.is_down(),
            Instant::now().checked_add(timeout),
        );
        link.deregister(&mut key);
        closed
    }
}

/// See [`Endpoint::closed`].
#[must_use = "futures do nothing unless polled"]
pub struct Closed<'a, T: Threading = Shared> {
    core: &'a Core<T>,
    key: Option<u64>,
}

impl<T: Threading> Future for Closed<'_, T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let core = self.core;
        let connection = core.connection();
        if !connection.link.is_down() {
            core.receive.core.progress();
            core.transmit.core.progress();
            connection.eq.core.progress();
            connection.link.register(&mut self.key, context.waker());
            if !connection.link.is_down() {
                wait::note_source(&core.receive.core);
                wait::note_source(&core.transmit.core);
                wait::note_source(&connection.eq.core);
                return Poll::Pending;
            }
        }
        connection.link.deregister(&mut self.key);
        Poll::Ready(())
    }
}

impl<T: Threading> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        self.core.connection().link.deregister(&mut self.key);
    }
}

impl<T: Threading> Core<T> {
    /// Of an endpoint that has one: `Msg` endpoints are made in no other way than with it.
    pub(crate) fn connection(&self) -> &Connection<T> {
        self.connection.as_ref().expect("a connected endpoint has a connection")
    }

    /// The most private data, in bytes.
    fn private_data(&self) -> usize {
        // SAFETY: open and enabled (rule L11).
        unsafe { data_size(self.fid.as_fid()) }
    }
}

/// How much private data a provider carries; 0 where it does not say.
///
/// # Safety
///
/// `fid` is an open passive endpoint, or an enabled endpoint.
pub(crate) unsafe fn data_size(fid: *mut ofi_sys::fid) -> usize {
    let mut size = 0_usize;
    let mut length = size_of::<usize>();
    // SAFETY: the caller's promise; the option is a size_t, and `length` says so.
    let status = unsafe {
        ofi_sys::fi_getopt(
            fid,
            ofi_sys::FI_OPT_ENDPOINT,
            ofi_sys::FI_OPT_CM_DATA_SIZE,
            (&raw mut size).cast(),
            &raw mut length,
        )
    };
    if status == 0 { size } else { 0 }
}

fn check_data(attempted: &'static str, data: &[u8], limit: usize) -> Result<()> {
    if data.len() > limit {
        return Err(Error::new(ErrorKind::TooLarge { limit }, attempted)
            .detail(format!("{} bytes of private data", data.len())));
    }
    Ok(())
}

fn param(data: &[u8]) -> (*const std::ffi::c_void, usize) {
    if data.is_empty() {
        return (std::ptr::null(), 0);
    }
    (data.as_ptr().cast(), data.len())
}

/// The bytes of an address that an endpoint of `info` can connect to, zeroes behind them: providers
/// take its length from what is in it.
fn checked_address(info: &Info, address: &FabricAddress) -> Result<Vec<u8>> {
    /// More than any provider's address.
    const PADDED: usize = 512;
    let format = info.address_format();
    let sockets = matches!(format, AddressFormat::Sockaddr | AddressFormat::SockaddrIp)
        && matches!(address.format(), AddressFormat::SockaddrIn | AddressFormat::SockaddrIn6);
    if address.format() != format && !sockets {
        return Err(Error::invalid(
            "fi_connect",
            format!("the address is {}, the endpoint's are {format}", address.format()),
        ));
    }
    let mut bytes = match CheckedAddress::new(format, address.bytes()) {
        Ok(checked) => checked.bytes().to_vec(),
        // A form whose length only the provider knows: its own addresses tell.
        Err(error) if CheckedAddress::has_known_length(format) => return Err(error),
        Err(_) => address.bytes().to_vec(),
    };
    bytes.resize(bytes.len().max(PADDED), 0);
    Ok(bytes)
}

impl<T: Threading> fmt::Debug for ConnRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnRequest")
            .field("provider", &self.info.provider())
            .field("private_data", &self.data.len())
            .finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for Connecting<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}

impl<T: Threading> fmt::Debug for Closed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, NextRequest, PassiveEndpoint};

    #[test]
    fn shared_objects_go_to_any_thread() {
        fn any_thread<X: Send + Sync>() {}
        any_thread::<EventQueue<Shared>>();
        any_thread::<PassiveEndpoint<Shared>>();
        any_thread::<NextRequest<'_, Shared>>();
        any_thread::<ConnRequest<Shared>>();
        any_thread::<Connecting<Shared>>();
        any_thread::<ConnectError<Shared>>();
        any_thread::<Closed<'_, Shared>>();
        any_thread::<Refused>();
        any_thread::<Event>();
    }

    // rule: C2
    #[test]
    fn private_data_has_a_limit() {
        assert!(check_data("x", b"four", 4).is_ok());
        let error = check_data("x", b"fours", 4).unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: 4 });
        assert!(param(b"").0.is_null());
    }
}
