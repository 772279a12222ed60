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
    counter::CounterCore,
    cq::CqOpen,
    domain::DomainCore,
    error::check,
    group::Joins,
    object::{CloseError, Owned},
    op::{Data, RecvOp, RecvVerb, SendOp, SendVerb, Validity, Wide, lane::Lane},
    threading::{Shared, Threading},
};

mod builder;
mod close;
mod counters;
mod hangup;
mod options;
mod raw;
mod remote;
mod unexpected;

pub use builder::EndpointBuilder;
pub use options::HmemP2p;
pub use raw::{RawEndpoint, RawEndpointBuilder};

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
    /// Of an endpoint without connections that has an event queue.
    pub(crate) joins: Option<Box<Joins<T>>>,
    /// Bound to it, so open for as long as it is.
    counters: Box<[Arc<CounterCore<T>>]>,
    pub(crate) domain: Arc<DomainCore<T>>,
    /// Of a connected endpoint, or one that connects.
    pub(crate) connection: Option<Connection<T>>,
    pub(crate) info: Info,
}

// SAFETY: the lane of a `Shared` endpoint is atomic or locked throughout, and exists while the core
// does; the rest is `Send + Sync` by itself.
unsafe impl Send for Core<Shared> {}
// SAFETY: as above.
unsafe impl Sync for Core<Shared> {}

/// A capability of our own, in a bit that libfabric's do not use: untagged receives can be directed.
pub(crate) const DIRECTED_MSG: u64 = 1;

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
    /// Every buffer must come with a descriptor (FI_MR_LOCAL, rule M3).
    pub(crate) local_registration: bool,
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

impl<T: Threading> Core<T> {
    #[inline]
    pub(crate) fn lane(&self) -> &Lane<T> {
        // SAFETY: the core retires the lane in its own `Drop`.
        unsafe { self.lane.as_ref() }
    }

    /// What tells its domain from others.
    #[inline]
    pub(crate) fn domain(&self) -> *const () {
        Arc::as_ptr(&self.domain).cast()
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
        let verb = RecvVerb {
            from: ofi_sys::FI_ADDR_UNSPEC,
            tag: 0,
            ignore: 0,
            tagged: Wide::No,
            directed: Wide::No,
        };
        RecvOp::new(self, verb, buffer, None)
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
        self.core.lane().in_flight()
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
    /// A message to a peer of the endpoint's address vector. Inert until posted or awaited.
    #[doc(alias = "fi_send")]
    #[doc(alias = "fi_sendv")]
    #[doc(alias = "fi_sendmsg")]
    pub fn send<B>(&self, buffer: B, to: Address) -> SendOp<'_, B, T> {
        SendOp::new(&self.core, SendVerb::to(to.raw()), buffer, Some(to))
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
