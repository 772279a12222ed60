//! The socket beside the fabric.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::Args;

/// Its connection. Whoever waits on it drives the fabric meanwhile.
#[derive(Debug)]
pub(crate) struct Oob {
    stream: TcpStream,
    patience: Duration,
}

/// Bytes of the message that an address is sent in, whatever its length.
pub(crate) const CONTROL: usize = 1024;

impl Oob {
    /// Connects to the server, or is the server and takes its client.
    pub(crate) fn open(args: &Args) -> anyhow::Result<Oob> {
        let port = args.oob_port;
        let named = args.oob_host.as_deref();
        let stream = match &args.host {
            Some(host) => {
                let host = named.unwrap_or(host);
                TcpStream::connect((host, port)).with_context(|| format!("{host}, port {port}"))?
            }
            None => {
                let any = Ipv4Addr::UNSPECIFIED.to_string();
                let host = named.or(args.source.as_deref()).unwrap_or(&any);
                let listener = TcpListener::bind((host, port))
                    .with_context(|| format!("listening on {host}, port {port}"))?;
                listener.accept().context("taking the client")?.0
            }
        };
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Oob { stream, patience: args.patience })
    }

    /// Sends bytes.
    pub(crate) fn send(
        &mut self,
        mut bytes: &[u8],
        drive: &dyn Fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) => self.wait(error, begun, drive)?,
            }
        }
        Ok(())
    }

    /// Receives as many bytes as there is room for.
    pub(crate) fn receive(
        &mut self,
        mut room: &mut [u8],
        drive: &dyn Fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !room.is_empty() {
            match self.stream.read(room) {
                Ok(0) => bail!("the other side has hung up"),
                Ok(count) => room = &mut room[count..],
                Err(error) => self.wait(error, begun, drive)?,
            }
        }
        Ok(())
    }

    fn wait(
        &self,
        error: std::io::Error,
        begun: Instant,
        drive: &dyn Fn() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) {
            return Err(error).context("the socket beside the fabric");
        }
        if begun.elapsed() > self.patience {
            bail!("nothing from the other side's socket in time");
        }
        drive()?;
        std::thread::yield_now();
        Ok(())
    }
}
