//! What the child of a cell does: it opens what the check needs and reaches the peer; [`messages`]
//! sends.

use std::{net::TcpListener, time::Duration};

use anyhow::{Context, bail, ensure};
use ofi::{
    AddressFormat, BindFlags, CloseError, CompletionQueue, ConnectError, Connecting,
    Connectionless, Counter, Dgram, Domain, EndpointBuilder, ErrorKind, Fabric, FabricAddress,
    Hints, Info, Kind, Msg, PassiveEndpoint, Quirk, Rdm, Shared,
};
use serde::{Deserialize, Serialize};

use super::{
    cell::{Cell, Check, EndpointKind, Part, Verdict},
    channel::Channel,
};
use crate::print;

mod group;
mod messages;
mod remote;

use messages::{To, Way};

/// Private data of the connecting and the accepting side, and a reason to refuse.
const ASKING: &[u8] = b"ofi selftest asks";
const GRANTING: &[u8] = b"and is let in";
const REFUSING: &[u8] = b"not this time";

/// What a child prints: where it listens, then its verdict.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    Port(u16),
    Verdict(Verdict),
}

/// Not an error: the reason why a cell cannot be had here.
#[derive(Debug)]
struct Unsupported(String);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unsupported {}

/// Nor this: a known defect keeps the cell from being had.
#[derive(Debug)]
struct Broken(&'static Quirk);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.text)
    }
}

impl std::error::Error for Broken {}

fn unsupported<V>(reason: impl Into<String>) -> anyhow::Result<V> {
    Err(Unsupported(reason.into()).into())
}

/// Plays a part of a cell and prints what came of it.
pub(super) fn run(cell: &Cell, part: &Part) -> anyhow::Result<()> {
    let verdict = match play(cell, part) {
        Ok(()) => Verdict::Ok,
        Err(error) => match (error.downcast_ref::<Unsupported>(), error.downcast_ref()) {
            (Some(reason), _) => Verdict::unsupported(reason),
            (None, Some(Broken(quirk))) => {
                Verdict::BrokenUpstream { number: quirk.id, reason: quirk.text.to_owned() }
            }
            (None, None) => Verdict::failed(format!("{error:#}")),
        },
    };
    say(&Said::Verdict(verdict))
}

fn say(said: &Said) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(said)?))
}

fn play(cell: &Cell, part: &Part) -> anyhow::Result<()> {
    let patience = Duration::from_millis(cell.patience);
    let mut channel = match part {
        Part::Both => None,
        Part::Listen(at) => {
            let listener = TcpListener::bind(at)?;
            say(&Said::Port(listener.local_addr()?.port()))?;
            Some(Channel::accept(&listener, patience)?)
        }
        Part::Connect(to) => Some(Channel::connect(*to, patience)?),
    };
    let info = choose(cell)?;
    let first = !matches!(part, Part::Listen(_));
    let mut cast = Cast { cell, info, patience, channel: channel.as_mut(), first };
    let verdict = match cell.target.kind {
        _ if cell.check == Check::Collectives => cast.collectives(),
        EndpointKind::Rdm => cast.connectionless::<Rdm>(),
        EndpointKind::Dgram => cast.connectionless::<Dgram>(),
        EndpointKind::Msg => cast.connected(),
    };
    verdict?;
    // Neither leaves while the other may still need it.
    channel.as_mut().map_or(Ok(()), Channel::meet)
}

/// The entry of fi_getinfo to open, or why there is none.
fn choose(cell: &Cell) -> anyhow::Result<Info> {
    let target = &cell.target;
    let bare = Hints::new().provider(&target.provider).endpoint_type(target.kind.endpoint_type());
    let (caps, special) = cell.check.needs();
    let find = |hints: Hints| -> anyhow::Result<Option<Info>> {
        match hints.query() {
            Ok(found) => Ok(found.into_iter().find(|info| info.provider() == target.provider)),
            Err(error) if *error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    };
    let hints = bare.clone().caps(caps);
    let Some(any) = find(hints.clone())? else {
        if let (Some(special), Some(_)) = (special, find(bare)?) {
            return unsupported(format!("fi_getinfo: no {special}"));
        }
        return unsupported(format!("fi_getinfo: {}", why_not(&hints, &target.provider)?));
    };
    let ip = matches!(
        any.address_format(),
        AddressFormat::Sockaddr | AddressFormat::SockaddrIn | AddressFormat::SockaddrIn6
    );
    if !ip {
        return Ok(any);
    }
    // A device that is not reachable at that address has its own.
    let here = hints.node(cell.source.to_string()).service("0").source();
    Ok(find(here)?.unwrap_or(any))
}

/// Which hints keep a provider away, in one line.
fn why_not(hints: &Hints, provider: &str) -> anyhow::Result<String> {
    let explanation = hints.explain()?;
    let sets = explanation
        .excluded
        .iter()
        .filter(|excluded| excluded.provider == provider)
        .flat_map(|excluded| &excluded.sets);
    let reasons: Vec<String> = sets.map(|set| set.hints.join(" with ")).collect();
    Ok(if reasons.is_empty() {
        "nothing that serves messages".into()
    } else {
        format!("not with {}", reasons.join(", nor with "))
    })
}

/// All that a check needs.
struct Cast<'a> {
    cell: &'a Cell,
    info: Info,
    patience: Duration,
    /// To the other process; `None` if both endpoints are in this one.
    channel: Option<&'a mut Channel>,
    /// Whether this side speaks first.
    first: bool,
}

#[derive(Serialize, Deserialize)]
struct Name {
    format: u32,
    bytes: Vec<u8>,
}

impl Cast<'_> {
    fn connectionless<K: Connectionless>(&mut self) -> anyhow::Result<()> {
        let info = self.info.clone();
        let fabric = Fabric::open(&info)?;
        let domain: Domain = fabric.domain(&info)?;
        let vector = domain.address_vector().open()?;
        let queue = domain.completion_queue().open()?;
        let counted = self.counted(&domain)?;
        let make = || {
            let builder = domain.endpoint::<K>(&info).address_vector(&vector);
            count(builder, counted.as_ref()).completion_queue(&queue).enable()
        };
        let mine = make()?;
        // The second one stands for the peer where there is no other process.
        let other = if self.channel.is_none() { Some(make()?) } else { None };
        if self.cell.check != Check::Open {
            let peer = match &other {
                Some(other) => other.name()?,
                None => self.trade(&mine.name()?)?,
            };
            let address = vector.insert(&peer)?;
            let found = vector.lookup(address)?;
            ensure!(found == peer, "fi_av_lookup gave {found} back where {peer} was inserted");
            let to_me = other.as_ref().map(|_| vector.insert(&mine.name()?)).transpose()?;
            if self.cell.check != Check::Reach {
                let other = other.clone().zip(to_me).map(|(other, to_me)| To(other, to_me));
                self.traffic(&domain, &queue, &To(mine.clone(), address), other.as_ref())?;
            }
        }
        self.counts(counted.as_ref())?;
        let mut ends = vec![mine];
        ends.extend(other);
        for end in ends {
            closed("endpoint", end.close(self.patience))?;
        }
        drop(counted);
        closed("address vector", vector.close())?;
        closed("completion queue", queue.close())?;
        closed("domain", domain.close())
    }

    fn connected(&mut self) -> anyhow::Result<()> {
        let info = self.info.clone();
        let fabric = Fabric::open(&info)?;
        let events = fabric.event_queue().open()?;
        let domain: Domain = fabric.domain(&info)?;
        let queue = domain.completion_queue().open()?;
        let counted = self.counted(&domain)?;
        let with = |info: &Info| {
            let builder = domain.endpoint::<Msg>(info).completion_queue(&queue);
            count(builder, counted.as_ref()).event_queue(&events)
        };
        // In two processes only the one that does not speak first listens.
        let listener = if self.channel.is_none() || !self.first {
            Some(fabric.passive_endpoint(&info).event_queue(&events).listen()?)
        } else {
            None
        };
        let name = match (&listener, &mut self.channel) {
            (Some(listener), None) => Some(listener.name()?),
            (Some(listener), Some(channel)) => {
                channel.send(&Name::from(&listener.name()?))?;
                None
            }
            (None, Some(channel)) => Some(channel.receive::<Name>()?.address()?),
            (None, None) => unreachable!("it listens where there is no other process"),
        };
        let cm = self.cell.check == Check::PrivateData;
        if cm && listener.as_ref().is_some_and(|l| l.max_private_data() < ASKING.len()) {
            let room = listener.map_or(0, |listener| listener.max_private_data());
            return unsupported(format!("FI_OPT_CM_DATA_SIZE: {room} bytes"));
        }
        if self.cell.check != Check::Open {
            if cm {
                // Refused first, let in then.
                let asking = match &name {
                    Some(name) => Some(with(&info).connect(name, ASKING)?),
                    None => None,
                };
                if let Some(listener) = &listener {
                    self.request(listener)?.reject(REFUSING)?;
                }
                if let Some(asking) = asking {
                    refused(asking, self.patience)?;
                }
            }
            let (asking, granting): (&[u8], &[u8]) =
                if cm { (ASKING, GRANTING) } else { (&[], &[]) };
            let connecting = match &name {
                Some(name) => Some(with(&info).connect(name, asking)?),
                None => None,
            };
            let accepting = match &listener {
                Some(listener) => {
                    let request = self.request(listener)?;
                    starts_with("connecting", request.private_data(), asking)?;
                    let builder = with(request.info());
                    Some(request.accept(builder, granting)?)
                }
                None => None,
            };
            let made = |half: Option<Connecting>| {
                half.map(|half| half.wait(self.patience).map_err(ofi::Error::from)).transpose()
            };
            let accepted = made(accepting)?.map(|(endpoint, _)| endpoint);
            let connected = made(connecting)?;
            if let Some((_, data)) = &connected {
                starts_with("accepting", data, granting)?;
            }
            let connected = connected.map(|(endpoint, _)| endpoint);
            if !matches!(self.cell.check, Check::Reach | Check::PrivateData) {
                match (&connected, &accepted) {
                    (Some(mine), other) => self.traffic(&domain, &queue, mine, other.as_ref())?,
                    (None, Some(mine)) => self.traffic(&domain, &queue, mine, None)?,
                    (None, None) => unreachable!("one side is here"),
                }
            }
            self.counts(counted.as_ref())?;
            for end in connected.into_iter().chain(accepted) {
                closed("endpoint", end.close(self.patience))?;
            }
        }
        if let Some(listener) = listener {
            closed("passive endpoint", listener.close())?;
        }
        drop(counted);
        closed("completion queue", queue.close())?;
        closed("domain", domain.close())?;
        closed("event queue", events.close())
    }

    /// What goes between two endpoints that reach each other; `other` is the peer, if it is here.
    fn traffic<W: Way>(
        &mut self,
        domain: &Domain,
        queue: &CompletionQueue,
        mine: &W,
        other: Option<&W>,
    ) -> anyhow::Result<()> {
        match self.cell.check {
            Check::Remote | Check::Atomic => self.remote(domain, queue, mine, other),
            Check::Many => self.many(queue, mine, other),
            _ => self.messages(queue, mine, other),
        }
    }

    /// Counters of sends and receives, where the check is of those.
    fn counted(&self, domain: &Domain) -> anyhow::Result<Option<[Counter; 2]>> {
        if self.cell.check != Check::Counters {
            return Ok(None);
        }
        Ok(Some([settled(domain.counter())?, settled(domain.counter())?]))
    }

    /// That they have counted what went: one message each way.
    fn counts(&self, counted: Option<&[Counter; 2]>) -> anyhow::Result<()> {
        let Some(counters) = counted else { return Ok(()) };
        let expected = if self.channel.is_none() { 2 } else { 1 };
        for (counter, what) in counters.iter().zip(["sends", "receives"]) {
            let told = counter.wait(expected, self.patience).context("fi_cntr_wait")?;
            let (count, errors) = (counter.read(), counter.read_errors());
            ensure!(told, "{count} {what} were counted of {expected}");
            ensure!(errors == 0, "{errors} {what} were counted as failed");
        }
        Ok(())
    }

    fn request(&self, listener: &PassiveEndpoint) -> anyhow::Result<ofi::ConnRequest> {
        listener.next_request(self.patience)?.context("no connection request came in time")
    }

    /// Sends a name to the other process, and gets its.
    fn trade(&mut self, name: &FabricAddress) -> anyhow::Result<FabricAddress> {
        let channel = self.channel.as_mut().expect("there is another process");
        channel.send(&Name::from(name))?;
        channel.receive::<Name>()?.address()
    }
}

/// Waits to be refused for the reason that the other side gives.
fn refused(asking: Connecting, patience: Duration) -> anyhow::Result<()> {
    match asking.wait(patience) {
        Ok(_) => bail!("a request that was rejected was connected"),
        Err(ConnectError::Refused(refused)) => starts_with("rejecting", &refused.data, REFUSING),
        Err(error @ ConnectError::Expired(_)) => Err(ofi::Error::from(error).into()),
    }
}

/// Some providers pad private data.
fn starts_with(whose: &str, data: &[u8], expected: &[u8]) -> anyhow::Result<()> {
    ensure!(
        data.starts_with(expected),
        "private data of the {whose} side: {} bytes came, not {:?}",
        data.len(),
        String::from_utf8_lossy(expected)
    );
    Ok(())
}

/// That nothing is offered is no failure.
fn settled<V>(result: ofi::Result<V>) -> anyhow::Result<V> {
    result.or_else(|error| match error.kind() {
        ErrorKind::Unsupported { .. } => unsupported(error.to_string()),
        _ => Err(error.into()),
    })
}

/// An endpoint whose sends and receives are counted.
fn count<K: Kind>(
    builder: EndpointBuilder<K, Shared>,
    counters: Option<&[Counter; 2]>,
) -> EndpointBuilder<K, Shared> {
    match counters {
        None => builder,
        Some([sends, receives]) => {
            builder.counter(sends, BindFlags::TRANSMIT).counter(receives, BindFlags::RECV)
        }
    }
}

fn closed<H>(what: &str, result: Result<(), CloseError<H>>) -> anyhow::Result<()> {
    result.map_err(|error| anyhow::anyhow!("closing the {what}: {error}"))
}

impl From<&FabricAddress> for Name {
    fn from(address: &FabricAddress) -> Name {
        Name { format: address.format().raw(), bytes: address.bytes().to_vec() }
    }
}

impl Name {
    fn address(&self) -> anyhow::Result<FabricAddress> {
        Ok(FabricAddress::new(AddressFormat::from_raw(self.format), &self.bytes)?)
    }
}
