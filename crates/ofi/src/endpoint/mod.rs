//! Endpoints: what messages go through.
//!
//! An endpoint is a handle to a [`Core`]; the core owns the fid and the [`Lane`] that its
//! operations hang on. The last handle closes it, see [`close`].

use std::{
    fmt,
    marker::PhantomData,
    ptr::NonNull,
    sync::{Arc, OnceLock},
    time::Duration,
};

use ofi_sys::fid_ep;

use crate::{
    Address, EndpointType, Error, FabricAddress, Info, Result,
    av::AvCore,
    cm::Connection,
    cq::CqOpen,
    domain::DomainCore,
    error::check,
    mr::BoundRegions,
    object::{CloseError, Owned},
    op::{
        self, Batch, Batched, Data, MultiRecvOp, PeekOp, RecvOp, RecvVerb, SendOp, SendVerb,
        Validity, Wide,
        lane::{Habits, Lane},
        peek,
        tally::Tally,
    },
    threading::{Shared, Threading},
};

mod alias;
mod builder;
mod close;
mod contexts;
mod control;
mod counters;
mod efa;
mod hangup;
pub(crate) mod join;
mod multicast;
mod offload;
mod options;
mod parents;
mod raw;
mod remote;
mod scalable;
mod shared;
mod unexpected;

pub use builder::EndpointBuilder;
pub use contexts::{ReceiveContext, TransmitContext};
use join::Joins;
pub use join::{Join, JoinError, Joinable};
pub use multicast::{Destination, MulticastGroup};
pub use offload::{Offload, OffloadReport};
pub use options::HmemP2p;
use parents::{Parents, Wards};
pub use raw::{RawEndpoint, RawEndpointBuilder};
pub use scalable::{ScalableEndpoint, ScalableEndpointBuilder, Scaled};
pub use shared::{SharedReceive, SharedTransmit};

use multicast::sealed::Route;

/// The kind of an endpoint: the first type parameter. Sealed.
#[doc(alias = "fi_ep_type")]
pub trait Kind: sealed::Sealed + 'static {
    /// libfabric's name for it.
    const TYPE: EndpointType;
}

/// A kind without connections: every message names its destination. Sealed.
pub trait Connectionless: Kind {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        #[non_exhaustive]
        pub struct $name;
        impl sealed::Sealed for $name {}
        impl Kind for $name {
            const TYPE: EndpointType = EndpointType::$name;
        }
    )*};
}

kinds! {
    /// Reliable datagrams: no connection, any peer of the address vector, nothing lost.
    #[doc(alias = "FI_EP_RDM")]
    Rdm;
    /// Datagrams: no connection, and messages may be lost.
    #[doc(alias = "FI_EP_DGRAM")]
    Dgram;
    /// Connected: one peer, reached by connecting or accepting.
    #[doc(alias = "FI_EP_MSG")]
    Msg;
}

impl Connectionless for Rdm {}
impl Connectionless for Dgram {}

/// An open, enabled endpoint.
///
/// A clone is another handle. The endpoint closes with its last handle ([`close`](Self::close),
/// or drop); operations that are still under way then end with
/// [`ErrorKind::Closed`](crate::ErrorKind::Closed) and their buffer.
///
/// See `fi_endpoint(3)`.
#[doc(alias = "fid_ep")]
pub struct Endpoint<K: Kind, T: Threading = Shared> {
    pub(crate) core: Arc<Core<T>>,
    kind: PhantomData<K>,
}

impl<K: Kind, T: Threading> Clone for Endpoint<K, T> {
    fn clone(&self) -> Self {
        Endpoint { core: Arc::clone(&self.core), kind: PhantomData }
    }
}

/// What all handles of an endpoint share.
pub(crate) struct Core<T: Threading> {
    lane: NonNull<Lane<T>>,
    /// The number of its address vector; 0 if it has none.
    pub(crate) vector: u64,
    pub(crate) limits: Limits,
    pub(crate) validity: OnceLock<Box<Validity>>,
    pub(crate) fid: Owned<fid_ep, T>,
    pub(crate) transmit: Arc<CqOpen<T>>,
    pub(crate) receive: Arc<CqOpen<T>>,
    pub(crate) av: Option<Arc<AvCore<T>>>,
    /// Of the classes whose operations are posted in batches.
    pub(crate) tallies: Box<[Arc<Tally<T>>]>,
    domain: Arc<DomainCore<T>>,
    /// Of an endpoint that has an event queue for them.
    pub(crate) joins: Option<Box<Joins<T>>>,
    /// Closed before it is.
    bound: Arc<BoundRegions<T>>,
    /// Of a connected endpoint, or one that connects.
    pub(crate) connection: Option<Connection<T>>,
    /// Closed after it.
    parents: Box<Parents<T>>,
    /// Closed before it.
    aliases: Box<Wards<T>>,
    pub(crate) info: Info,
}

// SAFETY: the lane of a `Shared` endpoint is atomic or locked throughout, and exists while the core
// does; the rest is `Send + Sync` by itself.
unsafe impl Send for Core<Shared> {}
// SAFETY: as above.
unsafe impl Sync for Core<Shared> {}

/// A capability of our own, in a bit that libfabric's do not use: untagged receives can be directed.
pub(crate) const DIRECTED_MSG: u64 = 1;

/// Three more, which every endpoint has but those that are made for batches of the class: operations
/// that are followed one by one.
pub(crate) const SINGLE_SENDS: u64 = 1 << 7;
pub(crate) const SINGLE_WRITES: u64 = 1 << 14;
pub(crate) const SINGLE_READS: u64 = 1 << 15;
pub(crate) const SINGLE: u64 = SINGLE_SENDS | SINGLE_WRITES | SINGLE_READS;

/// What the endpoint was granted: looked at before each post.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) caps: u64,
    pub(crate) message: usize,
    pub(crate) inject: usize,
    pub(crate) transmit_iov: usize,
    pub(crate) receive_iov: usize,
    pub(crate) remote_iov: usize,
    pub(crate) data_bytes: usize,
    /// Bits of a tag that the provider matches.
    pub(crate) tag_bits: u64,
    /// Room that the provider needs before each message (FI_MSG_PREFIX, rule B10).
    pub(crate) prefix: u32,
    /// Whether there is a prefix, or every buffer must come with a descriptor: looked at first.
    pub(crate) special: bool,
    /// Every buffer must come with a descriptor (FI_MR_LOCAL, rule M3).
    pub(crate) local_registration: bool,
    /// Only what asks for an entry has one (FI_SELECTIVE_COMPLETION).
    pub(crate) selective: bool,
    /// What operations of such an endpoint mean that do not say it themselves: a flag, or 0.
    pub(crate) level: u64,
    /// Every buffer on a device must (FI_MR_HMEM, rule M12).
    pub(crate) device_registration: bool,
    /// Every buffer of a collective must (FI_MR_COLLECTIVE, rule M13).
    pub(crate) collective_registration: bool,
    /// What the keys of peers must be: a bit of [`KeyKind`](crate::mr::KeyKind) (rule M8).
    pub(crate) keys: u8,
}

impl Limits {
    /// Why a tag cannot be used (rule B33).
    #[inline]
    pub(crate) fn refuse_tag(&self, tag: u64) -> Option<Error> {
        if tag & !self.tag_bits == 0 {
            return None;
        }
        Some(Error::invalid(
            "tag",
            format!("{tag:#x} has bits beyond the provider's {:#x}", self.tag_bits),
        ))
    }
}

/// What a core is made of: the object, open and enabled, and what it was bound to.
struct Parts<T: Threading> {
    fid: Owned<fid_ep, T>,
    info: Info,
    limits: Limits,
    transmit: Arc<CqOpen<T>>,
    receive: Arc<CqOpen<T>>,
    av: Option<Arc<AvCore<T>>>,
    domain: Arc<DomainCore<T>>,
    joins: Option<Box<Joins<T>>>,
    parents: Parents<T>,
    /// Of its batches.
    tallies: Vec<Arc<Tally<T>>>,
    habits: Habits,
}

impl<T: Threading> Core<T> {
    /// Gives an object its lane, which its queues and its vector know from here on.
    fn new(parts: Parts<T>) -> Core<T> {
        let Parts { fid, info, limits, transmit, receive, av, domain, joins, parents, .. } = parts;
        let (sends, receives) = (Arc::clone(&transmit.core), Arc::clone(&receive.core));
        let lane = Lane::new(fid.as_nonnull(), sends, receives, parts.habits);
        transmit.core.attach(lane);
        if !Arc::ptr_eq(&transmit, &receive) {
            receive.core.attach(lane);
        }
        if let Some(av) = &av {
            av.attach(lane);
        }
        for tally in &parts.tallies {
            transmit.core.attach_tally(tally);
            if let Some(av) = &av {
                av.attach(tally.lane_ptr());
            }
        }
        Core {
            lane,
            vector: av.as_ref().map_or(0, |av| av.id),
            limits,
            validity: OnceLock::new(),
            fid,
            transmit,
            receive,
            av,
            tallies: parts.tallies.into(),
            domain,
            joins,
            bound: BoundRegions::new(),
            connection: None,
            parents: Box::new(parents),
            aliases: Box::new(Wards::new()),
            info,
        }
    }

    #[inline]
    pub(crate) fn lane(&self) -> &Lane<T> {
        // SAFETY: the core retires the lane in its own `Drop`.
        unsafe { self.lane.as_ref() }
    }

    /// Its provider. The info of a connection request does not always say it.
    pub(crate) fn provider(&self) -> &str {
        self.domain.info.provider()
    }

    /// What tells its domain from others.
    #[inline]
    pub(crate) fn domain(&self) -> *const () {
        Arc::as_ptr(&self.domain).cast()
    }

    pub(crate) fn domain_core(&self) -> &Arc<DomainCore<T>> {
        &self.domain
    }

    /// What tells regions that are bound to it from others.
    #[inline]
    pub(crate) fn scope(&self) -> *const () {
        Arc::as_ptr(&self.bound).cast()
    }

    pub(crate) fn bound(&self) -> &Arc<BoundRegions<T>> {
        &self.bound
    }

    /// Whether an address is in this endpoint's vector.
    #[inline]
    pub(crate) fn knows(&self, address: Address) -> bool {
        // The vector is held by `av`, so that its entry may be looked at.
        address.vector() == self.vector && address.is_current()
    }
}

impl<T: Threading> Core<T> {
    pub(crate) fn recv<B>(&self, buffer: B) -> RecvOp<'_, B, T> {
        RecvOp::new(self, RecvVerb::ANY, buffer, None)
    }

    pub(crate) fn name(&self) -> Result<FabricAddress> {
        // SAFETY: the endpoint is open and enabled (rule A7).
        unsafe { own_name(self.fid.as_fid(), &self.info) }
    }
}

impl<K: Kind, T: Threading> Endpoint<K, T> {
    pub(crate) fn from_core(core: Core<T>) -> Self {
        Endpoint { core: Arc::new(core), kind: PhantomData }
    }

    /// Receives the next message into `buffer`: its whole length is offered.
    ///
    /// With [`tag`](RecvOp::tag) the next message with that tag. Inert until posted or awaited.
    #[doc(alias = "fi_recv")]
    #[doc(alias = "fi_recvv")]
    #[doc(alias = "fi_recvmsg")]
    pub fn recv<B>(&self, buffer: B) -> RecvOp<'_, B, T> {
        self.core.recv(buffer)
    }

    /// A buffer that messages are received into, one behind the other, until too little of it is left:
    /// see [`EndpointBuilder::min_multi_recv`].
    ///
    /// Needs `FI_MULTI_RECV`. Inert until posted.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ofi::{Caps, Domain, EndpointType, Fabric, Hints, Rdm};
    /// # let hints = Hints::new().provider("tcp").endpoint_type(EndpointType::Rdm);
    /// # let hints = hints.caps(Caps::MSG | Caps::MULTI_RECV);
    /// # let info = hints.node("127.0.0.1").source().query()?.into_best();
    /// # let domain: Domain = Fabric::open(&info)?.domain(&info)?;
    /// # let queue = domain.completion_queue().open()?;
    /// # let peers = domain.address_vector().open()?;
    /// let builder = domain.endpoint::<Rdm>(&info).min_multi_recv(1024);
    /// let endpoint = builder.address_vector(&peers).completion_queue(&queue).enable()?;
    /// let peer = peers.insert(&endpoint.name()?)?;
    /// # let limit = Duration::from_secs(10);
    ///
    /// let mut receive = endpoint.recv_many(vec![0; 65536]).post()?;
    /// endpoint.send("hello", peer).wait(limit)?;
    /// endpoint.send("world", peer).wait(limit)?;
    ///
    /// let hello = receive.wait(limit)?.expect("there is room");
    /// let world = receive.wait(limit)?.expect("for many");
    /// assert_eq!((&*hello, &*world), (&b"hello"[..], &b"world"[..]));
    /// # Ok::<(), ofi::Error>(())
    /// ```
    #[doc(alias = "FI_MULTI_RECV")]
    pub fn recv_many<B>(&self, buffer: B) -> MultiRecvOp<'_, B, T> {
        op::recv_many(&self.core, buffer)
    }

    /// A look whether a tagged message has arrived that no receive waits for, to be awaited or waited
    /// for; with [`claim`](PeekOp::claim) it is kept for the caller.
    ///
    /// Needs `FI_TAGGED`.
    #[doc(alias = "fi_trecvmsg")]
    pub fn peek(&self) -> PeekOp<'_, T> {
        peek::peek(&self.core)
    }

    /// The endpoint's own address, for peers to insert.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_getname")]
    pub fn name(&self) -> Result<FabricAddress> {
        self.core.name()
    }

    /// What the endpoint was opened with.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.core.info
    }

    /// The most that [`inject`](SendOp::inject) takes, in bytes.
    #[must_use]
    pub fn inject_size(&self) -> usize {
        self.core.limits.inject
    }

    /// The longest message, in bytes.
    #[must_use]
    pub fn max_message_size(&self) -> usize {
        self.core.limits.message
    }

    /// The most segments of memory that one receive may have. One less than the info says where a
    /// message longer than its receive would never end otherwise, or crash (quirks 19, 20 and 33).
    #[must_use]
    pub fn max_receive_segments(&self) -> usize {
        self.core.limits.receive_iov
    }

    /// Operations that have not ended yet. Walks them: for tests and diagnosis.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let batches: usize = self.core.tallies.iter().map(|tally| tally.in_flight()).sum();
        self.core.lane().in_flight() + batches
    }

    /// A batch of operations of one kind, with nothing in it yet: its first post says of which.
    ///
    /// # Errors
    ///
    /// `Invalid` if the endpoint was not made for batches of these
    /// ([`EndpointBuilder::batches`]).
    pub fn batch<V: Batched, B>(&self) -> Result<Batch<V, B, T>> {
        self.core.batch()
    }

    /// Closes the endpoint: refuses posts, cancels every receive, drives the completion queues
    /// until all operations have ended or `timeout` has passed, and closes it.
    ///
    /// # Errors
    ///
    /// Gives the handle back where others hold the endpoint; otherwise what could not be done.
    #[doc(alias = "fi_close")]
    pub fn close(self, timeout: Duration) -> Result<(), CloseError<Endpoint<K, T>>> {
        match Arc::try_unwrap(self.core) {
            Ok(mut core) => core.shut_down(timeout).map_err(CloseError::Failed),
            Err(core) => Err(CloseError::InUse(Endpoint { core, kind: PhantomData })),
        }
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_ep {
        self.core.fid.as_ptr()
    }
}

impl<K: Connectionless, T: Threading> Endpoint<K, T> {
    /// A message to a peer of the endpoint's address vector, or to all of a [`MulticastGroup`] that
    /// the endpoint has joined. Inert until posted or awaited.
    #[doc(alias = "fi_send")]
    #[doc(alias = "fi_sendv")]
    #[doc(alias = "fi_sendmsg")]
    #[doc(alias = "FI_MULTICAST")]
    pub fn send<'a, B>(&'a self, buffer: B, to: impl Destination<'a, T>) -> SendOp<'a, B, T> {
        let Route { raw, flags, to, fault } =
            to.route(Arc::as_ptr(&self.core).cast(), self.core.vector);
        let verb = SendVerb { flags, ..SendVerb::to(raw) };
        let mut operation = SendOp::new(&self.core, verb, buffer, Some(to));
        if let Some(fault) = fault {
            operation.fault(fault);
        }
        operation
    }
}

impl<T: Threading> Endpoint<Msg, T> {
    /// A message to the connected peer. Inert until posted or awaited.
    #[doc(alias = "fi_send")]
    #[doc(alias = "fi_sendv")]
    #[doc(alias = "fi_sendmsg")]
    pub fn send<B>(&self, buffer: B) -> SendOp<'_, B, T> {
        SendOp::new(&self.core, SendVerb::to(0), buffer, None)
    }
}

impl SendVerb {
    fn to(to: u64) -> SendVerb {
        SendVerb { to, tag: 0, data: Data::NONE, flags: 0, tagged: Wide::No }
    }
}

/// The name of an endpoint, passive or not, that was opened as `info` says.
///
/// # Safety
///
/// It is open, and enabled or listening (rule A7).
pub(crate) unsafe fn own_name(fid: *mut ofi_sys::fid, info: &Info) -> Result<FabricAddress> {
    // SAFETY: the caller's promise; `length` bytes may be written.
    let bytes = address_of(|buffer, length| unsafe { ofi_sys::fi_getname(fid, buffer, length) })?;
    Ok(FabricAddress::from_provider(info.address_format(), &bytes))
}

/// Reads an address through a call that tells its length (rule A6).
pub(crate) fn address_of(
    call: impl Fn(*mut std::ffi::c_void, *mut usize) -> i32,
) -> Result<Vec<u8>> {
    let mut bytes = vec![0_u8; 256];
    for _ in 0..2 {
        let mut length = bytes.len();
        let status = call(bytes.as_mut_ptr().cast(), &raw mut length);
        if status == -ofi_sys::FI_ETOOSMALL && length > bytes.len() {
            bytes.resize(length, 0);
            continue;
        }
        check(i64::from(status), "fi_getname")?;
        bytes.truncate(length);
        return Ok(bytes);
    }
    Err(Error::invalid("fi_getname", "the address kept growing"))
}

impl<K: Kind, T: Threading> fmt::Debug for Endpoint<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("provider", &self.core.info.provider())
            .field("type", &K::TYPE)
            .field("fid", &self.core.fid)
            .finish_non_exhaustive()
    }
}
