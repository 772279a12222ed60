//! What libfabric offers here, what is picked for a purpose, and why something else is not there.
//!
//! ```text
//! cargo run --example discovery
//! ```

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use ofi::{Caps, EndpointType, ErrorKind, Hints, Info};

fn main() -> ofi::Result<()> {
    println!("libfabric {}", ofi::version());

    list()?;
    let info = pick()?;
    explain()?;

    println!("discovery: {} it is", info.provider());
    Ok(())
}

/// Everything there is, as `fi_info` lists it: one line for each provider.
fn list() -> ofi::Result<()> {
    let mut offers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for info in &Hints::everything().query()? {
        let kinds = offers.entry(info.provider().to_owned()).or_default();
        let kind = info.endpoint_type().to_string();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    for (provider, kinds) in offers {
        println!("offers {provider}: {}", kinds.join(" "));
    }
    Ok(())
}

/// The best match for tagged messages between processes on this host, over TCP.
///
/// `tcp` names the core: libfabric 1.17 serves it through `tcp;ofi_rxm`, 2.x by itself.
fn pick() -> ofi::Result<Info> {
    let list = Hints::new()
        .provider("tcp")
        .endpoint_type(EndpointType::Rdm)
        .caps(Caps::MSG | Caps::TAGGED)
        .node("127.0.0.1")
        .source()
        .query()?;
    let info = list.into_best();
    println!("picked {} on {}", info.provider(), info.domain().name().unwrap_or("(unnamed)"));
    println!("  messages of up to {} bytes", info.endpoint().max_msg_size());
    println!("  injected up to {} bytes", info.tx().inject_size());
    println!("  {} sends and {} receives at once", info.tx().size(), info.rx().size());
    Ok(info)
}

/// Two wishes that `tcp` cannot fulfil together with the rest: the report names them.
fn explain() -> ofi::Result<()> {
    let hints =
        Hints::new().provider("tcp").endpoint_type(EndpointType::Dgram).node("127.0.0.1").source();
    match hints.query() {
        Ok(list) => println!("datagrams over tcp: {}", list.best().provider()),
        Err(error) if *error.kind() == ErrorKind::NotFound => {
            println!("datagrams over tcp: none");
            for provider in &hints.explain()?.excluded {
                for set in &provider.sets {
                    println!(
                        "  {} would match without {}",
                        provider.provider,
                        set.hints.join(" and without ")
                    );
                }
            }
        }
        Err(error) => return Err(error),
    }
    Ok(())
}
