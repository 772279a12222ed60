//! An endpoint, its peer, and the messages that keep both sides in step.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Instant,
};

use anyhow::{Context, bail, ensure};
use ofi::{
    Address, AddressVector, Caps, CompletionLevel, CompletionQueue, Confined, Domain, Endpoint,
    EndpointType, Fabric, FabricAddress, Hints, Info, Op, Rdm, RecvVerb, ResourceMgmt,
};

use crate::{
    Args, Program, check,
    oob::{CONTROL, Oob},
    pattern,
};

/// Both sides have an endpoint, and know the other's.
///
/// One receive is always posted: as large as the longest message, and as a control message.
#[derive(Debug)]
pub struct Session {
    /// The endpoint.
    pub endpoint: Endpoint<Rdm, Confined>,
    /// The other side.
    pub peer: Address,
    /// Where its operations end.
    pub queue: CompletionQueue<Confined>,
    /// What it was made of.
    pub domain: Domain<Confined>,
    /// The command line.
    pub args: Args,
    /// Whether what comes is looked at: with `-v`, while time is taken.
    pub active: bool,
    vector: AddressVector<Confined>,
    tagged: bool,
    oob: Option<Oob>,
    receive: Option<Op<RecvVerb, Vec<u8>, Confined>>,
    /// Messages sent so far, and receives posted: tags, where there are tags.
    sent: u64,
    posted: u64,
}

impl Session {
    /// Opens an endpoint for this program, and finds the other side's.
    ///
    /// # Errors
    ///
    /// What the provider, the socket or the peer says.
    pub fn open(
        args: Args,
        program: &Program,
        hints: impl FnOnce(Hints) -> Hints,
    ) -> anyhow::Result<Session> {
        let mut oob = args.oob().then(|| Oob::open(&args)).transpose()?;
        let client = args.host.is_some();
        if let Some(oob) = oob.as_mut().filter(|_| client) {
            // Until the server has its endpoint.
            oob.sync_as_client()?;
        }
        let info = query(&args, hints)?;
        let fabric = Fabric::open(&info)?;
        let domain: Domain<Confined> = fabric.domain(&info)?;
        let queue = domain.completion_queue().open()?;
        let vector = domain.address_vector().open()?;
        let builder = domain.endpoint::<Rdm>(&info);
        let endpoint = builder.address_vector(&vector).completion_queue(&queue).enable()?;
        // Somebody to begin with; replaced below.
        let peer = vector.insert(&endpoint.name()?)?;
        let mut session = Session {
            endpoint,
            peer,
            queue,
            domain,
            args,
            active: false,
            vector,
            tagged: program.tagged,
            oob,
            receive: None,
            sent: 0,
            posted: 0,
        };
        session.post_receive()?;
        if let Some(oob) = session.oob.as_mut().filter(|_| !client) {
            oob.sync_as_server()?;
        }
        session.peer = session.find_peer(&info)?;
        Ok(session)
    }

    fn is_client(&self) -> bool {
        self.args.host.is_some()
    }

    fn find_peer(&mut self, info: &Info) -> anyhow::Result<Address> {
        let name = self.endpoint.name()?;
        if self.args.oob_addresses {
            let mut control = name.bytes().to_vec();
            control.resize(CONTROL, 0);
            self.over_socket(|oob, drive| {
                oob.send(&control, drive)?;
                oob.receive(&mut control, drive)
            })?;
            // How much of it is the address is not said: as much as of ours.
            control.truncate(name.bytes().len());
            let peer = FabricAddress::new(name.format(), &control)?;
            return Ok(self.vector.insert(&peer)?);
        }
        if self.is_client() {
            let server = info.dest_addr().context("the provider knows no server's address")?;
            self.peer = self.vector.insert(&FabricAddress::new(info.address_format(), server)?)?;
            self.send(name.bytes(), None)?;
            self.receive()?;
            Ok(self.peer)
        } else {
            let client = self.receive().context("nobody came")?;
            ensure!(client.len() >= name.bytes().len(), "the first message is no address");
            let client = &client[..name.bytes().len()];
            self.peer = self.vector.insert(&FabricAddress::new(name.format(), client)?)?;
            self.send(&[0], None)?;
            Ok(self.peer)
        }
    }

    /// The longest message there will be.
    fn longest(&self) -> usize {
        let longest = self.args.size.unwrap_or(1 << 23);
        longest.min(self.endpoint.max_message_size())
    }

    fn post_receive(&mut self) -> anyhow::Result<()> {
        let mut receive = self.endpoint.recv(vec![0; self.longest().max(CONTROL)]);
        if self.tagged {
            receive = receive.tag(self.posted);
        }
        self.receive = Some(receive.submit().map_err(ofi::Error::from)?);
        self.posted += 1;
        Ok(())
    }

    /// Sends a message, and waits for its end.
    ///
    /// # Errors
    ///
    /// What the provider says.
    pub fn send(&mut self, bytes: &[u8], level: Option<CompletionLevel>) -> anyhow::Result<()> {
        let mut send = self.endpoint.send(bytes.to_vec(), self.peer);
        if self.tagged {
            send = send.tag(self.sent);
        }
        if let Some(level) = level {
            send = send.level(level);
        }
        send.wait(self.args.patience).map_err(ofi::Error::from)?;
        self.sent += 1;
        Ok(())
    }

    /// The next message; another receive is posted in its place.
    ///
    /// # Errors
    ///
    /// What the provider says.
    pub fn receive(&mut self) -> anyhow::Result<Vec<u8>> {
        let bytes = self.last_message()?;
        self.post_receive()?;
        Ok(bytes)
    }

    fn last_message(&mut self) -> anyhow::Result<Vec<u8>> {
        let receive = self.receive.take().context("no receive is posted")?;
        let (received, mut bytes) = receive.wait(self.args.patience).map_err(ofi::Error::from)?;
        bytes.truncate(received.len());
        Ok(bytes)
    }

    /// A short message, of the pattern.
    ///
    /// # Errors
    ///
    /// What the provider says.
    pub fn send_sign(&mut self, len: usize) -> anyhow::Result<()> {
        self.send(&pattern(len), None)
    }

    /// A short message; under `-v`, while time is taken, it must be of the pattern.
    ///
    /// # Errors
    ///
    /// What the provider says; another length, another content.
    pub fn receive_sign(&mut self, len: usize) -> anyhow::Result<()> {
        let bytes = self.receive()?;
        ensure!(bytes.len() == len, "a message of {} bytes, and not {len}", bytes.len());
        if self.args.verify && self.active {
            check(&bytes).context("a short message")?;
        }
        Ok(())
    }

    /// Waits until both sides are here.
    ///
    /// # Errors
    ///
    /// What the provider or the socket says.
    pub fn sync(&mut self) -> anyhow::Result<()> {
        let client = self.is_client();
        if self.args.oob_sync {
            return self.over_socket(|oob, drive| {
                let mut sign = [b'a'];
                if client {
                    oob.send(&sign, drive)?;
                }
                oob.receive(&mut sign, drive)?;
                if client { Ok(()) } else { oob.send(&sign, drive) }
            });
        }
        let sign = pattern(1);
        if client {
            self.send(&sign, Some(CompletionLevel::Delivery))?;
            self.receive_sign(1)
        } else {
            self.receive_sign(1)?;
            self.send(&sign, Some(CompletionLevel::Delivery))
        }
    }

    /// Drives the queue while nothing is waited for that the crate knows of, until `done` says so.
    ///
    /// # Errors
    ///
    /// The time is over; what `done` or the queue says.
    pub fn drive_until(
        &mut self,
        mut done: impl FnMut(&CompletionQueue<Confined>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.args.patience;
        while !done(&self.queue)? {
            if Instant::now() > deadline {
                bail!("the other side did not do its part in time");
            }
            if self.queue.progress()? == 0 {
                std::thread::yield_now();
            }
        }
        Ok(())
    }

    /// A last message each way: after it, neither side reaches into the other's memory any more.
    ///
    /// # Errors
    ///
    /// What the provider says.
    pub fn farewell(&mut self) -> anyhow::Result<()> {
        self.send(&pattern(4), Some(CompletionLevel::Transmit))?;
        let last = self.last_message()?;
        ensure!(last.len() == 4, "a farewell of {} bytes", last.len());
        Ok(())
    }

    /// Closes everything.
    ///
    /// # Errors
    ///
    /// What could not be closed.
    pub fn close(self) -> anyhow::Result<()> {
        let Session { endpoint, queue, vector, domain, receive, .. } = self;
        drop(receive);
        endpoint
            .close(std::time::Duration::from_secs(5))
            .map_err(ofi::Error::from)
            .context("closing the endpoint")?;
        vector.close().map_err(ofi::Error::from).context("closing the address vector")?;
        queue.close().map_err(ofi::Error::from).context("closing the completion queue")?;
        domain.close().map_err(ofi::Error::from).context("closing the domain")
    }

    fn over_socket<R>(
        &mut self,
        play: impl FnOnce(&mut Oob, &dyn Fn() -> anyhow::Result<()>) -> anyhow::Result<R>,
    ) -> anyhow::Result<R> {
        let oob = self.oob.as_mut().context("there is no socket beside the fabric")?;
        let queue = &self.queue;
        play(oob, &|| {
            queue.progress()?;
            Ok(())
        })
    }
}

impl Oob {
    /// fabtests' sign that a side is ready: an `int` each way, the client's first.
    fn sync_as_client(&mut self) -> anyhow::Result<()> {
        self.send(&0_i32.to_ne_bytes(), &idle)?;
        self.hear()
    }

    fn sync_as_server(&mut self) -> anyhow::Result<()> {
        self.hear()?;
        self.send(&0_i32.to_ne_bytes(), &idle)
    }

    fn hear(&mut self) -> anyhow::Result<()> {
        let mut status = [0; 4];
        self.receive(&mut status, &idle)?;
        let status = i32::from_ne_bytes(status);
        ensure!(status == 0, "the other side says {status}");
        Ok(())
    }
}

/// There is nothing to drive yet.
fn idle() -> anyhow::Result<()> {
    Ok(())
}

fn query(args: &Args, hints: impl FnOnce(Hints) -> Hints) -> anyhow::Result<Info> {
    let mut hints = hints(
        Hints::new()
            .caps(Caps::MSG)
            .endpoint_type(EndpointType::Rdm)
            .resource_mgmt(ResourceMgmt::Enabled),
    );
    if let Some(provider) = &args.provider {
        hints = hints.provider(provider);
    }
    if !args.host_is_oob() {
        let port = args.source_port.unwrap_or(if args.host.is_none() { args.dest_port } else { 0 });
        match (&args.host, &args.source) {
            (None, Some(source)) => hints = hints.node(source).service(port.to_string()).source(),
            (None, None) => hints = hints.service(port.to_string()).source(),
            (Some(host), source) => {
                if source.is_some() || port != 0 {
                    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                    let source = source.as_ref().map_or(Ok(any), |source| source.parse());
                    hints = hints.src_socket_addr(SocketAddr::new(source.context("-s")?, port));
                }
                hints = hints.node(host).service(args.dest_port.to_string());
            }
        }
    }
    Ok(hints.query()?.into_best())
}
