//! Lines of JSON over TCP: how the two halves of a cell, and two hosts, talk beside the fabric.

use std::{
    io::{BufRead, BufReader, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::Context;
use serde::{Serialize, de::DeserializeOwned};

use super::cell::LEFT;

/// The longest line that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// A connection that speaks in lines.
#[derive(Debug)]
pub(super) struct Channel {
    reader: BufReader<TcpStream>,
}

impl Channel {
    pub(super) fn connect(to: SocketAddr, patience: Duration) -> anyhow::Result<Channel> {
        let stream = TcpStream::connect_timeout(&to, patience)
            .with_context(|| format!("connecting to {to}"))?;
        Channel::over(stream, patience)
    }

    /// Takes the one connection that comes to a listener.
    pub(super) fn accept(listener: &TcpListener, patience: Duration) -> anyhow::Result<Channel> {
        let (stream, _) = listener.accept()?;
        Channel::over(stream, patience)
    }

    fn over(stream: TcpStream, patience: Duration) -> anyhow::Result<Channel> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Channel { reader: BufReader::new(stream) })
    }

    /// How long the other side may be silent from now on.
    pub(super) fn be_patient(&self, patience: Duration) -> anyhow::Result<()> {
        Ok(self.reader.get_ref().set_read_timeout(Some(patience))?)
    }

    /// This side's address on the way to the other.
    pub(super) fn local(&self) -> anyhow::Result<IpAddr> {
        // A listener for both families sees IPv4 in the clothes of IPv6.
        Ok(self.reader.get_ref().local_addr()?.ip().to_canonical())
    }

    /// The other side's address.
    pub(super) fn remote(&self) -> anyhow::Result<IpAddr> {
        Ok(self.reader.get_ref().peer_addr()?.ip().to_canonical())
    }

    pub(super) fn send(&mut self, message: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.reader.get_mut().write_all(&line).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => {
                anyhow::anyhow!(LEFT)
            }
            _ => anyhow::Error::new(error).context("telling the other side"),
        })
    }

    /// The next line; `None` if the other side ended.
    pub(super) fn next<M: DeserializeOwned>(&mut self) -> anyhow::Result<Option<M>> {
        let mut line = Vec::new();
        let mut limited = std::io::Read::take(&mut self.reader, LONGEST);
        match limited.read_until(b'\n', &mut line) {
            // It went with something unread.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(None),
            read => read.context("waiting for the other side")?,
        };
        match line.last() {
            None => Ok(None),
            Some(b'\n') => serde_json::from_slice(&line).map(Some).context("the other side's line"),
            Some(_) => anyhow::bail!("the other side's line has no end"),
        }
    }

    pub(super) fn receive<M: DeserializeOwned>(&mut self) -> anyhow::Result<M> {
        self.next()?.context(LEFT)
    }

    /// Waits until both sides are here.
    pub(super) fn meet(&mut self) -> anyhow::Result<()> {
        self.send(&())?;
        self.receive()
    }

    /// The same, calling `drive` all the while: what this side has sent may need it to get there.
    pub(super) fn meet_driving(
        &mut self,
        mut drive: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.send(&())?;
        let patience = self.reader.get_ref().read_timeout()?;
        let deadline = patience.map(|patience| Instant::now() + patience);
        self.be_patient(Duration::from_millis(1))?;
        loop {
            use std::io::ErrorKind::{TimedOut, WouldBlock};
            match self.reader.fill_buf() {
                Err(error) if matches!(error.kind(), WouldBlock | TimedOut) => drive()?,
                // There is something, or an end: `receive` tells which.
                _ => break,
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                anyhow::bail!("the other side did not finish in time");
            }
        }
        self.reader.get_ref().set_read_timeout(patience)?;
        self.receive()
    }
}
