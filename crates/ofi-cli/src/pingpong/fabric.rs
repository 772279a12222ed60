//! The endpoint, and the way to the peer's.

use std::time::Duration;

use anyhow::Context;
use ofi::{
    Address, AddressVector, Caps, CloseError, CompletionQueue, Confined, Connectionless, Domain,
    Endpoint, EventQueue, Fabric, FabricAddress, Hints, Info, Msg, PassiveEndpoint, RecvOp, SendOp,
};

use super::{Args, Control, EndpointKind, Exchange, Path, Role, TransmitMode, sizes::Sizes};

/// How long operations may take to end when the endpoint closes.
const CLOSING: Duration = Duration::from_secs(1);

/// What the endpoint stands on, and the endpoint: closed in this order.
#[derive(Debug)]
pub(super) struct Link<K: ofi::Kind> {
    endpoint: Endpoint<K, Confined>,
    queue: CompletionQueue<Confined>,
    vector: Option<AddressVector<Confined>>,
    domain: Domain<Confined>,
    listener: Option<PassiveEndpoint<Confined>>,
    events: Option<EventQueue<Confined>>,
}

impl<K: ofi::Kind> Link<K> {
    pub(super) fn info(&self) -> &Info {
        self.endpoint.info()
    }

    /// Closes it all, and reports what could not be closed.
    pub(super) fn close(self) -> anyhow::Result<()> {
        let Link { endpoint, queue, vector, domain, listener, events } = self;
        closed("endpoint", endpoint.close(CLOSING))?;
        closed("completion queue", queue.close())?;
        if let Some(vector) = vector {
            closed("address vector", vector.close())?;
        }
        closed("domain", domain.close())?;
        if let Some(listener) = listener {
            closed("passive endpoint", listener.close())?;
        }
        match events {
            Some(events) => closed("event queue", events.close()),
            None => Ok(()),
        }
    }
}

fn closed<H>(what: &str, result: Result<(), CloseError<H>>) -> anyhow::Result<()> {
    result.map_err(|error| anyhow::anyhow!("closing the {what}: {error}"))
}

/// A connectionless endpoint and the peer's address in its vector.
#[derive(Debug)]
pub(super) struct ToPeer<K: Connectionless> {
    endpoint: Endpoint<K, Confined>,
    peer: Address,
}

impl<K: Connectionless> Path for ToPeer<K> {
    fn receive(&self, buffer: Vec<u8>) -> RecvOp<'_, Vec<u8>, Confined> {
        self.endpoint.recv(buffer)
    }

    fn send(&self, buffer: Vec<u8>) -> SendOp<'_, Vec<u8>, Confined> {
        self.endpoint.send(buffer, self.peer)
    }
}

/// Opens an endpoint without connections and exchanges names with the peer.
pub(super) fn open<K: Connectionless>(
    args: &Args,
    control: &mut Control,
    receives: usize,
) -> anyhow::Result<(Exchange<ToPeer<K>>, Link<K>)> {
    // The client's query is about the server's address, so that comes first.
    let server = match args.role() {
        Role::Client => Some(control.receive_name()?),
        Role::Server => None,
    };
    let info = query(args, server.as_ref())?;
    let fabric = Fabric::open(&info)?;
    let domain: Domain<Confined> = fabric.domain(&info)?;
    let queue = domain.completion_queue().open()?;
    let vector = domain.address_vector().open()?;
    let endpoint =
        domain.endpoint::<K>(&info).address_vector(&vector).completion_queue(&queue).enable()?;
    // Before the peer learns our name: a message must find a receive.
    let posted =
        Exchange::<ToPeer<K>>::post(args, &info, receives, |buffer| endpoint.recv(buffer))?;
    let name = endpoint.name()?;
    args.tell(|| format!("this side is {name}"));
    control.send_name(&name)?;
    let peer = match server {
        Some(server) => server,
        None => control.receive_name()?,
    };
    args.tell(|| format!("the peer is {peer}"));
    let peer = vector.insert(&peer)?;
    let path = ToPeer { endpoint: endpoint.clone(), peer };
    let link = Link { endpoint, queue, vector: Some(vector), domain, listener: None, events: None };
    Ok((Exchange::new(args, &info, path, posted), link))
}

/// A connected endpoint.
#[derive(Debug)]
pub(super) struct Connected(Endpoint<Msg, Confined>);

impl Path for Connected {
    fn receive(&self, buffer: Vec<u8>) -> RecvOp<'_, Vec<u8>, Confined> {
        self.0.recv(buffer)
    }

    fn send(&self, buffer: Vec<u8>) -> SendOp<'_, Vec<u8>, Confined> {
        self.0.send(buffer)
    }
}

/// Connects to the server, or tells the client where this side listens and takes its request.
pub(super) fn connect(
    args: &Args,
    control: &mut Control,
) -> anyhow::Result<(Exchange<Connected>, Link<Msg>)> {
    let server = match args.role() {
        Role::Client => Some(control.receive_name()?),
        Role::Server => None,
    };
    let info = query(args, server.as_ref())?;
    let fabric = Fabric::open(&info)?;
    let events = fabric.event_queue().open()?;
    let (connecting, queue, domain, listener) = match &server {
        Some(server) => {
            args.tell(|| format!("the peer is {server}"));
            let domain: Domain<Confined> = fabric.domain(&info)?;
            let queue = domain.completion_queue().open()?;
            let builder = domain.endpoint::<Msg>(&info).completion_queue(&queue);
            let connecting = builder.event_queue(&events).connect(server, &[])?;
            (connecting, queue, domain, None)
        }
        None => {
            let listener = fabric.passive_endpoint(&info).event_queue(&events).listen()?;
            let name = listener.name()?;
            args.tell(|| format!("this side is {name}"));
            control.send_name(&name)?;
            let request = listener
                .next_request(args.timeout())?
                .context("the client did not connect to the endpoint")?;
            let domain: Domain<Confined> = fabric.domain(request.info())?;
            let queue = domain.completion_queue().open()?;
            let builder = domain.endpoint::<Msg>(request.info()).completion_queue(&queue);
            let connecting = request.accept(builder.event_queue(&events), &[])?;
            (connecting, queue, domain, Some(listener))
        }
    };
    let posted = Exchange::<Connected>::post(args, &info, 1, |buffer| connecting.recv(buffer))?;
    let (endpoint, _) = connecting.wait(args.timeout()).map_err(ofi::Error::from)?;
    let exchange = Exchange::new(args, &info, Connected(endpoint.clone()), posted);
    let link = Link { endpoint, queue, vector: None, domain, listener, events: Some(events) };
    Ok((exchange, link))
}

/// What to open: the best match for the options, and for the way to the server if its name is known.
pub(super) fn query(args: &Args, server: Option<&FabricAddress>) -> anyhow::Result<Info> {
    let mut hints = Hints::new().endpoint_type(args.endpoint.into()).caps(match args.mode {
        TransmitMode::Msg => Caps::MSG,
        TransmitMode::Tagged => Caps::TAGGED,
    });
    if let Some(provider) = &args.provider {
        hints = hints.provider(provider);
    }
    if let Some(domain) = &args.domain {
        hints = hints.domain_name(domain);
    }
    if let Some(fabric) = &args.fabric {
        hints = hints.fabric_name(fabric);
    }
    if let (EndpointKind::Dgram, Some(Sizes::One(size))) = (args.endpoint, args.size) {
        hints = hints.max_msg_size(size);
    }
    if let Some(source) = args.source_address()? {
        hints = hints.src_socket_addr((source, 0).into());
    }
    if let Some(server) = server {
        hints = hints.dest_addr(server.format(), server.bytes());
    }
    let info = hints.query()?.into_best();
    args.tell(|| format!("{info:#}"));
    Ok(info)
}
