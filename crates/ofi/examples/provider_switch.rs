//! Takes reliable datagrams where the provider has them, connections where not, and says what it
//! took and why. The message that goes through is the same.
//!
//! ```text
//! cargo run --example provider_switch [PROVIDER]
//! ```

#![forbid(unsafe_code)]

use std::{error::Error, time::Duration};

use ofi::{Domain, EndpointType, ErrorKind, Fabric, Hints, Info, Msg, Protocol, Rdm};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const LIMIT: Duration = Duration::from_secs(10);

const TEXT: &str = "the same message either way";

fn main() -> Result<()> {
    let provider = std::env::args().nth(1).unwrap_or_else(|| "tcp".to_owned());
    let hints = Hints::new().provider(provider).node("127.0.0.1").service("0").source();

    println!("wanted: anything that carries messages");
    exchange(&choose(&hints)?)?;

    // As where the other side is an older program, which speaks nothing else: the providers of
    // reliable datagrams over tcp have protocols of their own.
    println!("wanted: messages in {}", Protocol::SockTcp);
    exchange(&choose(&hints.protocol(Protocol::SockTcp))?)?;

    println!("provider_switch: done");
    Ok(())
}

/// Reliable datagrams if there are any, else connections.
fn choose(hints: &Hints) -> Result<Info> {
    let datagrams = hints.clone().endpoint_type(EndpointType::Rdm);
    match datagrams.query() {
        Ok(list) => {
            let info = list.into_best();
            println!("took {} {}: no connections to keep", info.provider(), info.endpoint_type());
            return Ok(info);
        }
        Err(error) if *error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let info = hints.clone().endpoint_type(EndpointType::Msg).query()?.into_best();
    println!("took {} {}: no reliable datagrams", info.provider(), info.endpoint_type());
    for provider in datagrams.explain()?.excluded {
        for set in provider.sets {
            let hints = set.hints.join(" and without ");
            println!("  {} would match without {hints}", provider.provider);
        }
    }
    Ok(info)
}

/// A message from one endpoint of this process to another.
fn exchange(info: &Info) -> Result<()> {
    let fabric = Fabric::open(info)?;
    let domain = fabric.domain(info)?;
    let text = match info.endpoint_type() {
        EndpointType::Rdm => over_rdm(&domain, info)?,
        _ => over_msg(&fabric, &domain, info)?,
    };
    println!("received: {text}");
    Ok(())
}

fn over_rdm(domain: &Domain, info: &Info) -> Result<String> {
    let queue = domain.completion_queue().open()?;
    let peers = domain.address_vector().open()?;
    let open = || {
        let builder = domain.endpoint::<Rdm>(info);
        builder.address_vector(&peers).completion_queue(&queue).enable()
    };
    let (here, there) = (open()?, open()?);
    let to = peers.insert(&there.name()?)?;

    let receive = there.recv(vec![0; 64]).post()?;
    here.send(TEXT, to).wait(LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    Ok(String::from_utf8(buffer[..received.len()].to_vec())?)
}

fn over_msg(fabric: &Fabric, domain: &Domain, info: &Info) -> Result<String> {
    let queue = domain.completion_queue().open()?;
    let events = fabric.event_queue().open()?;
    let open = || domain.endpoint::<Msg>(info).completion_queue(&queue).event_queue(&events);
    let listener = fabric.passive_endpoint(info).event_queue(&events).listen()?;

    let connecting = open().connect(&listener.name()?, b"")?;
    let request = listener.next_request(LIMIT)?.ok_or("no connection request came")?;
    let accepting = request.accept(open(), b"")?;
    let receive = accepting.recv(vec![0; 64]).post()?;
    let (_there, _) = accepting.wait(LIMIT)?;
    let (here, _) = connecting.wait(LIMIT)?;

    here.send(TEXT).wait(LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    Ok(String::from_utf8(buffer[..received.len()].to_vec())?)
}
