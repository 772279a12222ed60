//! `ofi pingpong`: the wire protocol of libfabric's `fi_pingpong`, both roles.
//!
//! ```text
//! control.rs   the TCP connection beside the fabric: names, sync, counts
//! fabric.rs    the endpoint: which one, opened, and its peer's address
//! exchange.rs  messages there and back
//! sizes.rs     which sizes; report.rs  what is printed
//! ```

use std::{net::IpAddr, process::ExitCode, time::Duration};

use clap::ValueEnum;

mod control;
mod exchange;
mod fabric;
mod report;
mod sizes;

use control::Control;
use exchange::{Exchange, Path};
use fabric::Link;
use report::Report;
use sizes::Sizes;

/// What `fi_pingpong` takes, and a little more.
#[derive(clap::Args)]
#[command(after_help = "Without SERVER this side is the server. The other side may be \
                        `ofi pingpong` or libfabric's own `fi_pingpong`, with the same -p, -e, -I, \
                        -S, -c and -m.")]
pub(crate) struct Args {
    /// The server's name or address; without it, be the server
    server: Option<String>,
    /// Control port of this side [server: 47592, client: any]
    #[arg(short = 'B', value_name = "PORT")]
    source_port: Option<u16>,
    /// Control port of the server [default: 47592]
    #[arg(short = 'P', value_name = "PORT")]
    destination_port: Option<u16>,
    /// Domain: the device or interface
    #[arg(short, value_name = "NAME")]
    domain: Option<String>,
    /// Fabric: the network
    #[arg(short, value_name = "NAME")]
    fabric: Option<String>,
    /// This side's address on the fabric
    #[arg(short, value_name = "ADDRESS")]
    source: Option<String>,
    /// Provider: `tcp` takes the best match over tcp, `tcp;ofi_rxm` exactly that
    #[arg(short, value_name = "NAME")]
    provider: Option<String>,
    /// Endpoint type
    #[arg(short, value_name = "TYPE", default_value = "dgram", ignore_case = true)]
    endpoint: EndpointKind,
    /// Messages each way for every size
    #[arg(short = 'I', value_name = "COUNT", default_value_t = 10)]
    iterations: u32,
    /// One size in bytes, or `all` [default: 64, 256, 1024, 4096, 65536, 1048576]
    #[arg(short = 'S', value_name = "SIZE")]
    size: Option<Sizes>,
    /// Check the contents of every message
    #[arg(short)]
    check: bool,
    /// Ordinary or tagged messages
    #[arg(short, value_name = "MODE", default_value = "msg", ignore_case = true)]
    mode: TransmitMode,
    /// Tell on standard error what is done
    #[arg(short)]
    verbose: bool,
    /// The control connection uses IPv6
    #[arg(short = '6')]
    ipv6: bool,
    /// Print one JSON document instead of the table
    #[arg(long)]
    json: bool,
    /// How long to wait for the other side at any point, once it is there, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
}

/// The kinds of endpoint by `fi_pingpong`'s names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EndpointKind {
    /// Connected
    Msg,
    /// Reliable datagrams
    Rdm,
    /// Datagrams
    Dgram,
}

impl From<EndpointKind> for ofi::EndpointType {
    fn from(kind: EndpointKind) -> ofi::EndpointType {
        match kind {
            EndpointKind::Msg => ofi::EndpointType::Msg,
            EndpointKind::Rdm => ofi::EndpointType::Rdm,
            EndpointKind::Dgram => ofi::EndpointType::Dgram,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TransmitMode {
    Msg,
    Tagged,
}

/// Which side this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// The control port that servers listen on unless told otherwise.
const DEFAULT_PORT: u16 = 47592;

impl Args {
    fn role(&self) -> Role {
        if self.server.is_some() { Role::Client } else { Role::Server }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// The source address on the fabric, if one was given.
    fn source_address(&self) -> anyhow::Result<Option<IpAddr>> {
        self.source.as_deref().map(|source| control::resolve(source, self.ipv6)).transpose()
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        if self.verbose {
            eprintln!("{}", what());
        }
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut control = Control::open(args)?;
    match args.endpoint {
        EndpointKind::Rdm => connectionless::<ofi::Rdm>(args, &mut control)?,
        EndpointKind::Dgram => connectionless::<ofi::Dgram>(args, &mut control)?,
        EndpointKind::Msg => connected(args, &mut control)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn connectionless<K: ofi::Connectionless>(
    args: &Args,
    control: &mut Control,
) -> anyhow::Result<()> {
    // A datagram in flight while this side ends needs a receive of its own for the farewell.
    let receives = if args.endpoint == EndpointKind::Dgram { 2 } else { 1 };
    let (exchange, link) = fabric::open::<K>(args, control, receives)?;
    play(args, control, exchange, link)
}

fn connected(args: &Args, control: &mut Control) -> anyhow::Result<()> {
    let (exchange, link) = fabric::connect(args, control)?;
    play(args, control, exchange, link)
}

fn play<P: Path, K: ofi::Kind>(
    args: &Args,
    control: &mut Control,
    mut exchange: Exchange<P>,
    link: Link<K>,
) -> anyhow::Result<()> {
    run_sizes(args, control, &mut exchange, link.info())?;
    exchange.finish()?;
    drop(exchange);
    link.close()
}

fn run_sizes<P: Path>(
    args: &Args,
    control: &mut Control,
    exchange: &mut Exchange<P>,
    info: &ofi::Info,
) -> anyhow::Result<()> {
    let sizes = sizes::list(args.size, exchange.longest());
    args.tell(|| format!("{} sizes", sizes.len()));
    let mut report = Report::new(args, info, &sizes);
    for size in sizes {
        control.sync()?;
        let elapsed = exchange.run(size, args.iterations, &mut |done| report.tick(size, done))?;
        let acknowledged = control.count(exchange.acknowledged())?;
        report.line(size, acknowledged, elapsed)?;
    }
    report.end()
}
