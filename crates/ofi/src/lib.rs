//! libfabric for Rust.

mod abi;
mod attr;
mod av;
mod buf;
mod cm;
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
mod mr;
mod object;
mod op;
mod params;
mod passive;
mod quirks;
mod raw_cq;
mod sync;
mod threading;
mod version;
mod wait;

pub use attr::{
    AddressFormat, AvType, CqFormat, EndpointType, LinkState, Progress, Protocol, ResourceMgmt,
    ThreadingModel, TrafficClass, WaitObject,
};
pub use av::{Address, AddressVector, AddressVectorBuilder, FabricAddress};
pub use buf::{Buf, BufMut, Segments};
pub use cm::{Closed, ConnRequest, ConnectError, Connecting, Refused};
pub use counter::Counter;
pub use cq::{CompletionQueue, CompletionQueueBuilder, Driver, QueueCounts, Unsolicited};
pub use domain::Domain;
pub use endpoint::{
    Connectionless, Dgram, Endpoint, EndpointBuilder, HmemP2p, Kind, Msg, RawEndpoint, RawEndpointBuilder, Rdm,
};
pub use eq::{Event, EventKind, EventQueue, EventQueueBuilder};
pub use errno::Errno;
pub use error::{Error, ErrorKind, Needs, Result, Scope};
pub use fabric::Fabric;
pub use flags::{
    Access, AvFlags, BindFlags, Caps, CompOrder, CqFlags, GetInfoFlags, Mode, MrFlags, MrMode,
    MsgOrder, OpFlags,
};
pub use info::{
    DomainAttr, EndpointAttr, Excluded, Explanation, FabricAttr, HintSet, Hints, Info, InfoList,
    Link, Nic, PciAddress, RxAttr, TxAttr,
};
pub use mr::{FrozenRegion, MemoryRegion};
pub use object::{CloseError, Leaked, leaked};
pub use op::{
    CompletionLevel, Failed, Held, Op, Operation, Received, RecvOp, RecvVerb, Returned, SendOp,
    SendVerb, Sent, Submit, WaitError,
};
pub use params::{Param, ParamKind, params};
pub use passive::{NextRequest, PassiveEndpoint, PassiveEndpointBuilder};
pub use quirks::{Defect, QUIRKS, Quirk, quirk};
pub use raw_cq::{
    RawCompletion, RawCompletionQueue, RawCompletionQueueBuilder, RawFailure, RawRead, RawWait,
};
pub use threading::{Accepts, Confined, Shared, Threading};
pub use version::{Version, version};
pub use wait::block_on;
