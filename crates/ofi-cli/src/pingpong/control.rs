//! The control connection: TCP beside the fabric.
//!
//! Names are a length (32 bits, network order), a form (32 bits, host order) and that many bytes.
//! Before each size the client sends `"q\0"` and gets `"a\0"`; after it, ten bytes with the number
//! of messages it acknowledged, and gets `"cnt ok\0"`.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
};

use anyhow::{Context, bail};
use ofi::{AddressFormat, FabricAddress};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Args, DEFAULT_PORT, Role};

const SYNC_QUESTION: &[u8; 2] = b"q\0";
const SYNC_ANSWER: &[u8; 2] = b"a\0";
const COUNT_ANSWER: &[u8; 7] = b"cnt ok\0";
const COUNT_LENGTH: usize = 10;

/// Names longer than this are no names.
const LONGEST_NAME: u32 = 1024;

/// The connection, and which side of it this is.
#[derive(Debug)]
pub(super) struct Control {
    stream: TcpStream,
    role: Role,
}

impl Control {
    /// Connects to the server, or waits for a client.
    pub(super) fn open(args: &Args) -> anyhow::Result<Control> {
        let stream = match &args.server {
            Some(server) => connect(args, server)?,
            None => accept(args)?,
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(args.timeout()))?;
        stream.set_write_timeout(Some(args.timeout()))?;
        Ok(Control { stream, role: args.role() })
    }

    /// Tells the peer an address.
    pub(super) fn send_name(&mut self, name: &FabricAddress) -> anyhow::Result<()> {
        let mut bytes = name.bytes().to_vec();
        if name.format() == AddressFormat::Str {
            // C reads it as it stands.
            bytes.push(0);
        }
        let length = u32::try_from(bytes.len())?.to_be_bytes();
        let format = name.format().raw().to_ne_bytes();
        // The peer reads piece by piece, so one write is as good as three.
        self.write(&[&length[..], &format, &bytes].concat(), "a name")
    }

    /// The address that the peer tells.
    pub(super) fn receive_name(&mut self) -> anyhow::Result<FabricAddress> {
        let length = u32::from_be_bytes(self.read("the length of a name")?);
        let format = u32::from_ne_bytes(self.read("the form of a name")?);
        if length > LONGEST_NAME {
            bail!("the peer announces a name of {length} bytes; is it a fi_pingpong?");
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes, "a name")?;
        let format = AddressFormat::from_raw(format);
        FabricAddress::new(format, &bytes).context("the peer's name")
    }

    /// Meets the peer before a size.
    pub(super) fn sync(&mut self) -> anyhow::Result<()> {
        match self.role {
            Role::Client => {
                self.write(SYNC_QUESTION, "sync")?;
                self.expect(SYNC_ANSWER, "sync")
            }
            Role::Server => {
                self.expect(SYNC_QUESTION, "sync")?;
                self.write(SYNC_ANSWER, "sync")
            }
        }
    }

    /// Tells the server how many messages were acknowledged: both sides then know the client's
    /// number.
    pub(super) fn count(&mut self, acknowledged: u64) -> anyhow::Result<u64> {
        match self.role {
            Role::Client => {
                let mut text = acknowledged.to_string().into_bytes();
                text.resize(COUNT_LENGTH, 0);
                self.write(&text, "count")?;
                self.expect(COUNT_ANSWER, "count")?;
                Ok(acknowledged)
            }
            Role::Server => {
                let text: [u8; COUNT_LENGTH] = self.read("count")?;
                let digits = text.split(|byte| *byte == 0).next().unwrap_or_default();
                let count = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|digits| digits.parse().ok())
                    .with_context(|| format!("the client's count is no number: {text:?}"))?;
                self.write(COUNT_ANSWER, "count")?;
                Ok(count)
            }
        }
    }

    fn write(&mut self, bytes: &[u8], what: &str) -> anyhow::Result<()> {
        self.stream
            .write_all(bytes)
            .with_context(|| format!("sending {what} on the control connection"))
    }

    fn read<const N: usize>(&mut self, what: &str) -> anyhow::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8], what: &str) -> anyhow::Result<()> {
        self.stream.read_exact(bytes).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::UnexpectedEof => "the peer closed the control connection".into(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    "nothing came in time".to_owned()
                }
                _ => error.to_string(),
            };
            anyhow::anyhow!("waiting for {what} on the control connection: {why}")
        })
    }

    fn expect<const N: usize>(&mut self, expected: &[u8; N], what: &str) -> anyhow::Result<()> {
        let got: [u8; N] = self.read(what)?;
        if got != *expected {
            bail!(
                "the peer sent {:?} where {:?} belongs ({what})",
                String::from_utf8_lossy(&got),
                String::from_utf8_lossy(expected)
            );
        }
        Ok(())
    }
}

/// The first address of a name, of the family that is asked for.
pub(super) fn resolve(name: &str, ipv6: bool) -> anyhow::Result<IpAddr> {
    Ok(addresses(name, 0, Some(ipv6)).or_else(|_| addresses(name, 0, None))?.swap_remove(0).ip())
}

/// The addresses of a name, of one family if `ipv6` says which; at least one.
fn addresses(name: &str, port: u16, ipv6: Option<bool>) -> anyhow::Result<Vec<SocketAddr>> {
    let found: Vec<_> = (name, port)
        .to_socket_addrs()
        .with_context(|| format!("looking up {name}"))?
        .filter(|address| ipv6.is_none_or(|ipv6| address.is_ipv6() == ipv6))
        .collect();
    if found.is_empty() {
        let (family, other) =
            if ipv6 == Some(true) { ("IPv6", "leave out -6") } else { ("IPv4", "try -6") };
        bail!("{name} has no {family} address ({other})");
    }
    Ok(found)
}

fn connect(args: &Args, server: &str) -> anyhow::Result<TcpStream> {
    let port = args.destination_port.filter(|port| *port != 0);
    let mut last = None;
    for address in addresses(server, port.unwrap_or(DEFAULT_PORT), Some(args.ipv6))? {
        args.tell(|| format!("connecting to {address}"));
        match connect_from(args, address) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some((address, error)),
        }
    }
    let (address, error) = last.expect("there is an address");
    Err(error).with_context(|| format!("connecting to the server at {address}"))
}

fn connect_from(args: &Args, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(port) = args.source_port.filter(|port| *port != 0) {
        socket.bind(&SocketAddr::new(anywhere(to.is_ipv6()), port).into())?;
    }
    socket.connect_timeout(&to.into(), args.timeout())?;
    Ok(socket.into())
}

fn accept(args: &Args) -> anyhow::Result<TcpStream> {
    let port = args.source_port.filter(|port| *port != 0);
    let address = SocketAddr::new(anywhere(args.ipv6), port.unwrap_or(DEFAULT_PORT));
    let listener = TcpListener::bind(address)
        .with_context(|| format!("listening on control port {}", address.port()))?;
    args.tell(|| format!("waiting for a client on control port {}", address.port()));
    let (stream, from) = listener.accept()?;
    args.tell(|| format!("a client at {from}"));
    Ok(stream)
}

fn anywhere(ipv6: bool) -> IpAddr {
    if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
}
