//! libfabric for Rust.

mod abi;
mod attr;
mod av;
mod buf;
mod cq;
mod domain;
mod endpoint;
mod errno;
mod error;
mod fabric;
mod flags;
mod info;
mod object;
mod op;
mod quirks;
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
pub use cq::{CompletionQueue, CompletionQueueBuilder, Driver, QueueCounts, Unsolicited};
pub use domain::Domain;
pub use endpoint::{Connectionless, Dgram, Endpoint, EndpointBuilder, Kind, Msg, Rdm};
pub use errno::Errno;
pub use error::{Error, ErrorKind, Needs, Result, Scope};
pub use fabric::Fabric;
pub use flags::{
    Access, AvFlags, BindFlags, Caps, CompOrder, CqFlags, GetInfoFlags, Mode, MrFlags, MrMode,
    MsgOrder, OpFlags,
};
pub use info::{
    DomainAttr, EndpointAttr, FabricAttr, Hints, Info, InfoList, Link, Nic, PciAddress, RxAttr,
    TxAttr,
};
pub use object::{CloseError, Leaked, leaked};
pub use op::{
    CompletionLevel, Failed, Held, Op, Operation, Received, RecvOp, RecvVerb, Returned, SendOp,
    SendVerb, Sent, Submit, WaitError,
};
pub use quirks::{Defect, QUIRKS, Quirk, quirk};
pub use threading::{Accepts, Confined, Shared, Threading};
pub use version::{Version, version};
pub use wait::block_on;
