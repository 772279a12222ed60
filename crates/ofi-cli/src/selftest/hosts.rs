//! The self-test between two hosts: `--listen` plays the other part of every cell that `--connect`
//! asks for.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::{
    cell::{Cell, Part, Target, Verdict},
    channel::Channel,
    child::Player,
};

/// The port that `--listen` listens on unless told otherwise.
pub(super) const PORT: u16 = 47593;

/// What the protocol between the two is called: both must speak the same.
const PROTOCOL: &str = "ofi selftest 1";

/// How long the other host may be silent between two cells.
const SILENCE: Duration = Duration::from_secs(600);

/// What each side says first.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    protocol: String,
    pub(super) libfabric: String,
    pub(super) targets: BTreeSet<Target>,
}

/// What the connecting side asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    /// To start the listening part of a cell.
    Start { cell: Cell, limit_ms: u64 },
    /// What came of it; `given_up`: this side's part never came.
    End { given_up: bool },
}

/// What the listening side answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Port(u16),
    Verdict(Verdict),
}

impl Hello {
    pub(super) fn new(targets: impl IntoIterator<Item = Target>) -> Hello {
        Hello {
            protocol: PROTOCOL.into(),
            libfabric: ofi::version().to_string(),
            targets: targets.into_iter().collect(),
        }
    }
}

/// The other host, as the connecting side sees it.
pub(super) struct Host {
    channel: Channel,
    pub(super) hello: Hello,
}

impl Host {
    pub(super) fn connect(name: &str, port: u16, hello: &Hello) -> anyhow::Result<Host> {
        let patience = Duration::from_secs(10);
        let mut last = None;
        for address in
            (name, port).to_socket_addrs().with_context(|| format!("looking up {name}"))?
        {
            match Channel::connect(address, patience) {
                Ok(channel) => return Host::greet(channel, hello),
                Err(error) => last = Some(error),
            }
        }
        Err(last.with_context(|| format!("{name} has no address"))?)
            .context("is `ofi selftest --listen` running there?")
    }

    fn greet(mut channel: Channel, hello: &Hello) -> anyhow::Result<Host> {
        channel.send(hello)?;
        let hello: Hello = channel.receive()?;
        if hello.protocol != PROTOCOL {
            bail!("the other host speaks {:?}, this one {PROTOCOL:?}", hello.protocol);
        }
        channel.be_patient(SILENCE)?;
        Ok(Host { channel, hello })
    }

    /// This side's address on the way there.
    pub(super) fn source(&self) -> anyhow::Result<IpAddr> {
        self.channel.local()
    }

    /// Plays a cell with the other host.
    pub(super) fn play(&mut self, cell: &Cell, limit: Duration) -> anyhow::Result<Verdict> {
        let deadline = Instant::now() + limit;
        let limit_ms = u64::try_from(limit.as_millis())?;
        self.channel.send(&Ask::Start { cell: cell.clone(), limit_ms })?;
        let port = match self.channel.receive()? {
            Answer::Port(port) => port,
            Answer::Verdict(verdict) => return Ok(verdict),
        };
        let at = SocketAddr::new(self.channel.remote()?, port);
        let mine = Player::start(cell, &Part::Connect(at), deadline)?.verdict();
        self.channel.send(&Ask::End { given_up: mine.is_failure() })?;
        match self.channel.receive()? {
            Answer::Verdict(theirs) => Ok(mine.or(theirs)),
            Answer::Port(_) => bail!("the other host answered out of turn"),
        }
    }
}

/// Serves one connecting host to its end. Whether every cell passed here.
pub(super) fn serve(port: u16, hello: &Hello) -> anyhow::Result<bool> {
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let listener = TcpListener::bind(any)
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .with_context(|| format!("listening on port {port}"))?;
    eprintln!("waiting for `ofi selftest --connect` on port {}", listener.local_addr()?.port());
    let mut channel = Channel::accept(&listener, SILENCE)?;
    let theirs: Hello = channel.receive()?;
    channel.send(hello)?;
    if theirs.protocol != PROTOCOL {
        bail!("the other host speaks {:?}, this one {PROTOCOL:?}", theirs.protocol);
    }
    let mut passed = true;
    while let Some(ask) = channel.next()? {
        let Ask::Start { mut cell, limit_ms } = ask else {
            bail!("the other host asked out of turn");
        };
        cell.source = channel.local()?;
        let at = SocketAddr::new(cell.source, 0);
        let deadline = Instant::now() + Duration::from_millis(limit_ms);
        let mut player = Player::start(&cell, &Part::Listen(at), deadline)?;
        let verdict = match player.port() {
            Ok(port) => {
                channel.send(&Answer::Port(port))?;
                let Ask::End { given_up } = channel.receive()? else {
                    bail!("the other host asked out of turn");
                };
                finish(player, given_up)
            }
            Err(verdict) => verdict,
        };
        eprintln!("{}: {}", cell.title(), super::report::short(&verdict));
        passed &= !verdict.is_failure();
        channel.send(&Answer::Verdict(verdict))?;
    }
    Ok(passed)
}

/// The verdict of a listening child whose other side is done.
fn finish(player: Player, given_up: bool) -> Verdict {
    if given_up { player.hurry().verdict() } else { player.verdict() }
}

/// Plays a cell with a second process of this host.
pub(super) fn play_here(cell: &Cell, limit: Duration) -> anyhow::Result<Verdict> {
    let deadline = Instant::now() + limit;
    let at = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 0);
    let mut listening = Player::start(cell, &Part::Listen(at), deadline)?;
    let port = match listening.port() {
        Ok(port) => port,
        Err(verdict) => return Ok(verdict),
    };
    let at = SocketAddr::new(at.ip(), port);
    let connecting = Player::start(cell, &Part::Connect(at), deadline)?.verdict();
    let given_up = connecting.is_failure();
    Ok(connecting.or(finish(listening, given_up)))
}
