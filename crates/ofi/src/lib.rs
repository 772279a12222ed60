//! [libfabric](https://ofiwg.github.io/libfabric/) for Rust: messages between machines over
//! InfiniBand, EFA, Slingshot, Omni-Path, shared memory or plain TCP, with owned buffers, in safe
//! code. It starts no thread, knows no async runtime, and blocks only where the name says so.
//!
//! ```
//! use std::time::Duration;
//!
//! use ofi::{Domain, EndpointType, Fabric, Hints, Rdm};
//!
//! // Reliable datagrams over TCP on this host: `tcp;ofi_rxm` on libfabric 1.17, `tcp` on 2.x.
//! let hints = Hints::new().provider("tcp").endpoint_type(EndpointType::Rdm);
//! let info = hints.node("127.0.0.1").source().query()?.into_best();
//!
//! let fabric = Fabric::open(&info)?;
//! let domain: Domain = fabric.domain(&info)?;
//! let queue = domain.completion_queue().open()?;
//! let peers = domain.address_vector().open()?;
//!
//! // A builder takes all that an endpoint must have, so that there is no half-made one.
//! let builder = domain.endpoint::<Rdm>(&info);
//! let endpoint = builder.address_vector(&peers).completion_queue(&queue).enable()?;
//!
//! // A peer would send its name over; this endpoint talks to itself.
//! let peer = peers.insert(&endpoint.name()?)?;
//!
//! let receive = endpoint.recv(vec![0; 64]).post()?;
//! endpoint.send("hello", peer).wait(Duration::from_secs(10))?;
//! let (received, buffer) = receive.wait(Duration::from_secs(10))?;
//! assert_eq!(&buffer[..received.len()], b"hello");
//! # Ok::<(), ofi::Error>(())
//! ```
//!
//! # The shape
//!
//! ```text
//! Hints -- query --> InfoList --> Info
//!                                  |
//!        Fabric::open(&info) <-----+
//!          |
//!          +-- EventQueue, PassiveEndpoint      connections: ConnRequest, Connecting
//!          +-- Domain
//!                +-- CompletionQueue            hands each completion to its operation
//!                +-- AddressVector              FabricAddress in, Address out
//!                +-- MemoryRegion, Counter      ExposedRegion over Memory: RemoteRegion out
//!                +-- Endpoint<K, T>             K: Rdm, Dgram, Msg
//!                      |
//!                      +-- send, recv, write, read, atomic --> Operation: inert, options chain
//!                                           .post()         an Op on its way, or the buffer back
//!                                           .submit()       an Op that may wait in line for room
//!                                           .await          queues where there is no room
//!                                           .wait(timeout)  the same, blocking
//!                                           .inject()       a copy, nothing to wait for
//! ```
//!
//! `T` says what threads may do: with [`Shared`], the default, any thread may use any object; with
//! [`Confined`] objects stay on their thread, and a message costs no atomic operation.
//!
//! Whoever waits drives the queue: [`Op::wait`], [`block_on`], an `.await` each time it is polled.
//! A future that stays pending is woken when somebody drives its queue. Under another executor
//! that somebody is [`CompletionQueue::driver`], or a task of yours that calls
//! [`CompletionQueue::progress`] and sleeps on [`CompletionQueue::fd`] whenever
//! [`CompletionQueue::try_wait`] says that it may.
//!
//! # Safety, in five sentences
//!
//! An operation owns its buffer from the post to its completion: dropping, forgetting or timing out
//! its future frees nothing that the provider may still touch. The buffer comes back with the
//! result, and with an error, too; where the provider may still have it, a [`Held`] comes instead,
//! which yields it once a completion or the closed endpoint has freed it, and never for a cancel or
//! for time alone. Reading a queue hands every completion to the operation it belongs to, and length,
//! tag, data and source are what the completion says, not what was asked for. An address is checked
//! against its vector before the provider sees it, a capability against what the endpoint was opened
//! with, and what is missing is an [`ErrorKind`], never a crash. Objects keep what they stand on open,
//! so that any order of drops is right; where a provider is known to crash in a close, the object
//! and its buffers are leaked on purpose, and [`leaked`] counts them.
//!
//! `unsafe` is left to those who ask for it: an own buffer type ([`Buf`], [`BufMut`]), memory that
//! something else allocated ([`Memory::external`]), or that no peer can reach any more
//! ([`ExposedRegion::reclaim`]), posts with a
//! context of one's own ([`RawEndpoint`], [`RawCompletionQueue`]), a mode that lets peers write
//! anywhere ([`Hints::offer_virt_addr_to_shm`]), address vectors in memory that processes share
//! ([`AddressVectorBuilder::shared`]), what single providers have by name ([`ProviderOps`],
//! [`Domain::open_with_hmem`]), and C calls on what `as_raw` gives.
//!
//! # Features
//!
//! | feature | |
//! |---|---|
//! | `bytes` (default) | `Bytes` and `BytesMut` as buffers |
//! | `tracing` (default) | libfabric's messages as `tracing` events ([`log`]), and this crate's own about what could not be released |
//! | `serde` | [`RemoteRegion`] through serde |
//! | `dlopen` | builds with no libfabric present, loads `libfabric.so.1` at run time |
//!
//! Without `dlopen`, pkg-config finds libfabric 1.17 or newer at build time, and the program runs on
//! that version and every later one.
//!
//! # Where things are
//!
//! | for | see |
//! |---|---|
//! | asking what there is, and why something is not | [`Hints`], [`InfoList`], [`Info`], [`Hints::explain`], [`params`], [`log`] |
//! | objects | [`Fabric`], [`Domain`], [`CompletionQueue`], [`EventQueue`], [`AddressVector`], [`Counter`], [`PollSet`], [`WaitSet`], [`MemoryRegion`] |
//! | several endpoints with one context, one endpoint with several | [`SharedReceive`], [`SharedTransmit`]; [`ScalableEndpoint`], [`TransmitContext`], [`ReceiveContext`] |
//! | endpoints | [`Endpoint`], [`EndpointBuilder`]; connections: [`PassiveEndpoint`], [`ConnRequest`], [`Connecting`] |
//! | memory that peers reach | [`Memory`], [`ExposedRegion`], [`RemoteRegion`], [`RemoteSlice`] |
//! | multicast | [`Endpoint::join`], [`MulticastGroup`] |
//! | collectives | [`AvSet`], [`Endpoint::join_collective`], [`CollectiveGroup`], [`Domain::query_collective`] |
//! | buffers that are registered once and come back by themselves | [`Pool`], [`PoolBuf`], [`PoolPiece`], [`PoolBytes`]; how many bytes: [`Budget`], [`Usage`] |
//! | many messages in one buffer | [`Endpoint::recv_many`], [`MultiRecv`], [`MultiRecvMessage`] |
//! | operations | [`SendOp`], [`RecvOp`], [`WriteOp`], [`ReadOp`], [`AtomicApply`], [`Op`], [`Received`], [`Failed`], [`Held`]; many at once, without an entry each: [`Batch`] |
//! | errors | [`Error`], [`ErrorKind`], [`Errno`]; whom to blame: [`Scope`] |
//! | what providers do wrong | [`QUIRKS`] |
//! | a C name | search for it: every wrapper carries it as an alias |
//!
//! # Not wrapped
//!
//! [`NOT_WRAPPED`] lists what of libfabric's application interface has no wrapper, and why: what is
//! planned for the next release of libfabric, and what stays raw. That is in `ofi-sys`, and every object
//! here has `as_raw`.

mod abi;
mod attr;
mod av;
mod buf;
mod cm;
mod collective;
mod counter;
mod cq;
mod domain;
mod endpoint;
mod eq;
mod errno;
mod error;
mod fabric;
mod flags;
mod info;
pub mod log;
mod memory;
mod mr;
mod not_wrapped;
mod object;
mod op;
mod params;
mod passive;
mod poll;
mod pool;
mod profile;
mod provider_ops;
mod quirks;
mod raw_cq;
mod sync;
mod tag;
mod threading;
mod version;
mod wait;
mod wait_set;

pub use attr::{
    AddressFormat, AtomicOp, AvType, Collective, CqFormat, Datatype, EndpointType, LinkState,
    Progress, Protocol, ResourceMgmt, ThreadingModel, TrafficClass, WaitObject,
};
pub use av::{
    Address, AddressVector, AddressVectorBuilder, AuthKey, AvSet, AvSetBuilder, FabricAddress,
};
pub use buf::{Buf, BufMut, Place, Segments};
pub use cm::{Closed, ConnRequest, ConnectError, Connecting, Refused};
pub use collective::{CollectiveGroup, CollectiveLimits};
pub use counter::{Counter, CounterWork, Threshold};
pub use cq::{CompletionQueue, CompletionQueueBuilder, Driver, QueueCounts, Unsolicited};
pub use domain::{CopyFromHmem, CopyToHmem, Domain};
pub use endpoint::{
    Connectionless, Destination, Dgram, Endpoint, EndpointBuilder, HmemP2p, Join, JoinError,
    Joinable, Kind, Msg, MulticastGroup, Offload, OffloadReport, RawEndpoint, RawEndpointBuilder,
    Rdm, ReceiveContext, ScalableEndpoint, ScalableEndpointBuilder, Scaled, SharedReceive,
    SharedTransmit, TransmitContext,
};
pub use eq::{Event, EventKind, EventQueue, EventQueueBuilder};
pub use errno::Errno;
pub use error::{Error, ErrorKind, Needs, Result, Scope};
pub use fabric::Fabric;
pub use flags::{
    Access, AvFlags, BindFlags, Caps, CompOrder, CqFlags, GetInfoFlags, Mode, MrFlags, MrMode,
    MsgOrder, OpFlags, SetFlags,
};
pub use info::{
    DomainAttr, EndpointAttr, Excluded, Explanation, FabricAttr, HintSet, Hints, Info, InfoList,
    Link, Nic, PciAddress, RxAttr, TxAttr,
};
pub use memory::{Dmabuf, ExternalMemory, HmemIface, Memory};
pub use mr::{
    Descriptor, ExposedRegion, FrozenRegion, MappedRegion, MemoryRegion, RegionBuilder,
    RegionSlice, RemoteRegion, RemoteSlice,
};
pub use not_wrapped::{NOT_WRAPPED, NotWrapped};
pub use object::{CloseError, Leaked, leaked};
pub use op::{
    AllgatherVerb, AllreduceVerb, AlltoallVerb, Barrier, BarrierVerb, Broadcast, BroadcastVerb,
    Collected, Exchange, GatherVerb, ReduceScatterVerb, ReduceVerb, ScatterVerb,
};
pub use op::{
    Applied, AtomicApply, AtomicCompare, AtomicFetch, AtomicVerb, Batch, Batched, Claim, ClaimOp,
    ClaimVerb, Claimed, CompareVerb, CompletionLevel, Ended, Failed, FetchVerb, Held, MultiRecv,
    MultiRecvMessage, MultiRecvOp, NextMessage, Notify, NotifyFailed, Op, Operation, Peek, PeekOp,
    PeekVerb, Prefixed, Probe, Read, ReadOp, ReadVerb, Received, RecvOp, RecvVerb, Returned,
    SendOp, SendVerb, Sent, Submit, Unclaimed, Unended, WaitError, When, Work, WorkError, WriteOp,
    WriteVerb, Written,
};
pub use params::{Param, ParamKind, params};
pub use passive::{NextRequest, PassiveEndpoint, PassiveEndpointBuilder};
pub use poll::{PollSet, Pollable, Ready};
pub use pool::{
    Budget, NotJoined, Pool, PoolBuf, PoolBuilder, PoolBytes, PoolPiece, Reservation, Reserve,
    Take, Usage,
};
pub use profile::{Profile, ProfileEvent, ProfileVariable};
pub use provider_ops::ProviderOps;
pub use quirks::{Defect, QUIRKS, Quirk, quirk};
pub use raw_cq::{
    RawCompletion, RawCompletionQueue, RawCompletionQueueBuilder, RawFailure, RawRead, RawWait,
};
pub use tag::{MPI_IGNORE_PAYLOAD, MPI_IGNORE_TAG, mpi_tag};
pub use threading::{Accepts, Confined, Shared, Threading};
pub use version::{Version, version};
pub use wait::block_on;
pub use wait_set::WaitSet;

/// The examples of the front page run, too.
#[doc = include_str!("../../../README.md")]
#[cfg(doctest)]
struct ReadmeDoctests;

/// And that of the comparison.
#[doc = include_str!("../../../COMPARE.md")]
#[cfg(doctest)]
struct CompareDoctests;
