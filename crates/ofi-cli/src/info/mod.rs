//! `ofi info`: what libfabric offers here. Everything that `fi_info` tells, and why not.

use std::process::ExitCode;

use ofi::{AddressFormat, Caps, EndpointType, ErrorKind, GetInfoFlags, Hints, Info, Mode, OpFlags};

use crate::print;

mod json;
pub(crate) mod table;

pub(crate) use json::nic;

/// What `fi_info` takes, and JSON.
#[derive(clap::Args)]
#[command(
    disable_version_flag = true,
    after_help = "Without options that narrow it down, everything is listed. Where nothing \
                  matches, the options that exclude each provider are told."
)]
pub(crate) struct Args {
    /// Source name or address
    #[arg(short, long = "src_addr", alias = "src-addr", value_name = "ADDRESS")]
    src_addr: Option<String>,
    /// Destination name or address
    #[arg(short, long, value_name = "NAME", conflicts_with = "src_addr")]
    node: Option<String>,
    /// Port number or service name
    #[arg(short = 'P', long, value_name = "PORT")]
    port: Option<String>,
    /// Capabilities that must be there: FI_MSG|FI_RMA…
    #[arg(short, long, value_name = "CAPS", value_parser = parse_caps)]
    caps: Option<Caps>,
    /// Modes that the application serves: FI_CONTEXT|FI_MSG_PREFIX… [default: all]
    #[arg(short, long, value_name = "MODES", value_parser = parse_mode)]
    mode: Option<Mode>,
    /// Endpoint type: FI_EP_MSG, FI_EP_RDM, FI_EP_DGRAM
    #[arg(short = 't', long = "ep_type", alias = "ep-type", value_name = "TYPE",
          value_parser = parse_endpoint_type)]
    ep_type: Option<EndpointType>,
    /// Domain: the device or interface
    #[arg(short, long, value_name = "NAME")]
    domain: Option<String>,
    /// Fabric: the network
    #[arg(short, long, value_name = "NAME")]
    fabric: Option<String>,
    /// Form of addresses: FI_SOCKADDR_IN, FI_ADDR_STR…
    #[arg(short, long = "addr_format", alias = "addr-format", value_name = "FORMAT",
          value_parser = parse_format)]
    addr_format: Option<AddressFormat>,
    /// Provider: `tcp` is every layering over tcp, `tcp;ofi_rxm` exactly that
    #[arg(short, long, value_name = "NAME")]
    provider: Option<String>,
    /// List the environment variables of libfabric instead
    #[arg(short, long)]
    env: bool,
    /// Those whose name contains this
    #[arg(short, long, value_name = "SUBSTRING")]
    getenv: Option<String>,
    /// Print all of those entries that contain this
    #[arg(short, long, value_name = "SUBSTRING")]
    info: Option<String>,
    /// List the providers of libfabric, also those without a device here
    #[arg(short, long)]
    list: bool,
    /// Print all of each entry
    #[arg(short, long)]
    verbose: bool,
    /// Print the versions of this command and of libfabric
    #[arg(long)]
    version: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = if args.version {
        versions(args.json)?
    } else if args.env || args.getenv.is_some() {
        environment(args)?
    } else {
        match args.hints().query() {
            Ok(found) => {
                let entries: Vec<Info> = found.into_iter().filter(|one| args.shows(one)).collect();
                listing(args, &entries)?
            }
            Err(error) if *error.kind() == ErrorKind::NotFound => {
                // What was found so far is nothing: say it in both forms.
                if args.json {
                    print("[]\n")?;
                }
                eprint!("{}", args.hints().explain()?);
                return Ok(ExitCode::FAILURE);
            }
            Err(error) => return Err(error.into()),
        }
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn hints(&self) -> Hints {
        let mut hints = Hints::everything();
        if let Some(caps) = self.caps {
            // A query must name a kind of transfer; FI_HMEM alone is asked about messages.
            let transfers = caps.intersects(Caps::TRANSFERS);
            hints = hints.caps(if transfers { caps } else { caps | Caps::MSG });
        }
        if let Some(mode) = self.mode {
            hints = hints.mode(mode);
        }
        if let Some(kind) = self.ep_type {
            hints = hints.endpoint_type(kind);
        }
        if let Some(format) = self.addr_format {
            hints = hints.address_format(format);
        }
        if let Some(name) = &self.provider {
            hints = hints.provider(name);
        }
        if let Some(name) = &self.domain {
            hints = hints.domain_name(name);
        }
        if let Some(name) = &self.fabric {
            hints = hints.fabric_name(name);
        }
        if let Some(name) = &self.src_addr {
            hints = hints.node(name).source();
        }
        if let Some(name) = &self.node {
            hints = hints.node(name);
        }
        if let Some(port) = &self.port {
            hints = hints.service(port);
        }
        if self.list {
            hints = hints.flags(GetInfoFlags::PROV_ATTR_ONLY);
        }
        hints
    }

    fn shows(&self, info: &Info) -> bool {
        self.info.as_ref().is_none_or(|part| contains(&format!("{info:#}"), part))
    }
}

/// The entries in the form that was asked for.
fn listing(args: &Args, entries: &[Info]) -> anyhow::Result<String> {
    Ok(if args.json && args.list {
        json::text(&entries.iter().map(json::provider).collect::<Vec<_>>())?
    } else if args.json {
        json::text(&entries.iter().map(json::entry).collect::<Vec<_>>())?
    } else if args.list {
        table::providers(entries)
    } else if args.verbose || args.info.is_some() {
        entries.iter().map(|info| format!("---\n{info:#}\n")).collect()
    } else {
        table::entries(entries)
    })
}

fn environment(args: &Args) -> anyhow::Result<String> {
    let part = args.getenv.as_deref().unwrap_or("");
    let params: Vec<_> =
        ofi::params()?.into_iter().filter(|param| contains(&param.name, part)).collect();
    if args.json {
        return json::text(&params.iter().map(json::param).collect::<Vec<_>>());
    }
    Ok(params.iter().map(|param| format!("{param}\n\n")).collect())
}

fn versions(json: bool) -> anyhow::Result<String> {
    let (this, libfabric) = (env!("CARGO_PKG_VERSION"), loaded_version()?);
    if json {
        return json::text(&serde_json::json!({ "ofi": this, "libfabric": libfabric.to_string() }));
    }
    let api = libfabric.min(ofi::Version::KNOWN);
    Ok(format!("ofi: {this}\nlibfabric: {libfabric}\nlibfabric api: {api}\n"))
}

/// The version of the libfabric that runs.
pub(crate) fn loaded_version() -> anyhow::Result<ofi::Version> {
    // Says why, where there is none.
    ofi::params()?;
    Ok(ofi::version())
}

/// Whether `text` contains `part`, whatever the case.
fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

/// A list of names, with or without `FI_`, in any case, separated by `|` or commas.
fn parse_names(text: &str, what: &str, find: impl Fn(&str) -> Option<u64>) -> Result<u64, String> {
    text.split(['|', ',']).map(str::trim).filter(|name| !name.is_empty()).try_fold(
        0,
        |bits, name| {
            let upper = name.to_uppercase();
            let short = upper.strip_prefix("FI_").unwrap_or(&upper);
            find(short).map(|bit| bits | bit).ok_or(format!("{name} is no {what}"))
        },
    )
}

fn parse_caps(text: &str) -> Result<Caps, String> {
    let named = |name: &str| {
        let caps = Caps::from_name(name).map(Caps::raw);
        // fi_info takes these two, which are flags of operations.
        caps.or_else(|| OpFlags::from_name(name).map(OpFlags::raw))
    };
    parse_names(text, "capability", named).map(Caps::from_raw)
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    parse_names(text, "mode", |name| Mode::from_name(name).map(Mode::raw)).map(Mode::from_raw)
}

fn parse_endpoint_type(text: &str) -> Result<EndpointType, String> {
    by_name(text, "FI_EP_", (0..16).map(EndpointType::from_raw))
}

fn parse_format(text: &str) -> Result<AddressFormat, String> {
    by_name(text, "FI_", (0..64).map(AddressFormat::from_raw))
}

fn by_name<V: ToString>(
    text: &str,
    prefix: &str,
    mut values: impl Iterator<Item = V>,
) -> Result<V, String> {
    let upper = text.to_uppercase();
    let full = if upper.starts_with(prefix) { upper } else { format!("{prefix}{upper}") };
    values.find(|value| value.to_string() == full).ok_or(format!("{text} is not known"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_in_every_spelling() {
        assert_eq!(parse_caps("FI_MSG|fi_tagged"), Ok(Caps::MSG | Caps::TAGGED));
        assert_eq!(parse_caps("msg, rma"), Ok(Caps::MSG | Caps::RMA));
        assert_eq!(parse_mode("FI_CONTEXT2"), Ok(Mode::CONTEXT2));
        assert_eq!(parse_endpoint_type("rdm"), Ok(EndpointType::Rdm));
        assert_eq!(parse_endpoint_type("FI_EP_MSG"), Ok(EndpointType::Msg));
        assert_eq!(parse_format("fi_addr_str"), Ok(AddressFormat::Str));
        assert_eq!(parse_format("sockaddr_in"), Ok(AddressFormat::SockaddrIn));
    }

    #[test]
    fn unknown_names_are_named() {
        assert_eq!(parse_caps("FI_MSG|FI_NONSENSE"), Err("FI_NONSENSE is no capability".into()));
        assert!(parse_endpoint_type("tcp").is_err() && parse_format("7").is_err());
    }
}
