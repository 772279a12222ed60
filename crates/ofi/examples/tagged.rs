//! Tagged messages with async/await: a tag says what a message is about, a receive says which of
//! its bits matter.
//!
//! ```text
//! cargo run --example tagged [PROVIDER]
//! ```

#![forbid(unsafe_code)]

use ofi::{Address, Caps, Domain, Endpoint, EndpointType, Fabric, Hints, Rdm, block_on};

/// The upper half of a tag is the topic, the lower half counts.
const TOPIC: u64 = 32;
const COUNT: u64 = (1 << TOPIC) - 1;

const WEATHER: u64 = 1 << TOPIC;
const SPORTS: u64 = 2 << TOPIC;

fn main() -> ofi::Result<()> {
    let provider = std::env::args().nth(1).unwrap_or_else(|| "tcp".to_owned());
    let mut hints = Hints::new()
        .provider(provider.as_str())
        .endpoint_type(EndpointType::Rdm)
        .caps(Caps::MSG | Caps::TAGGED);
    if !provider.starts_with("shm") {
        hints = hints.node("127.0.0.1").source();
    }
    let info = hints.query()?.into_best();

    let fabric = Fabric::open(&info)?;
    let domain: Domain = fabric.domain(&info)?;
    let queue = domain.completion_queue().open()?;
    let peers = domain.address_vector().open()?;
    let open = || {
        let builder = domain.endpoint::<Rdm>(&info);
        builder.address_vector(&peers).completion_queue(&queue).enable()
    };
    let (reporter, reader) = (open()?, open()?);
    let to_reader = peers.insert(&reader.name()?)?;

    block_on(talk(&reporter, &reader, to_reader))?;
    println!("tagged: done over {}", info.provider());
    Ok(())
}

async fn talk(reporter: &Endpoint<Rdm>, reader: &Endpoint<Rdm>, to: Address) -> ofi::Result<()> {
    // Any weather report, whatever its number; and one sports report, exactly the seventh. Posted
    // now, awaited later: `post` fixes the order.
    let first = reader.recv(vec![0; 64]).tag(WEATHER).ignore(COUNT).post()?;
    let second = reader.recv(vec![0; 64]).tag(WEATHER).ignore(COUNT).post()?;
    let seventh = reader.recv(vec![0; 64]).tag(SPORTS | 7).post()?;

    // Owned or static bytes: the operation keeps them until the provider is done.
    reporter.send("2:1 after extra time", to).tag(SPORTS | 7).await?;
    reporter.send(String::from("rain").into_bytes(), to).tag(WEATHER | 1).await?;
    // Short enough to be copied: nothing to wait for, and the slice may be borrowed.
    reporter.send("sunshine".as_bytes(), to).tag(WEATHER | 2).inject()?;

    for operation in [first, second, seventh] {
        // The buffer comes back with what the provider says about the message.
        let (received, buffer) = operation.await?;
        let tag = received.tag().unwrap_or_default();
        let topic = if tag & !COUNT == WEATHER { "weather" } else { "sports" };
        let text = String::from_utf8_lossy(&buffer[..received.len()]);
        println!("{topic} {}: {text}", tag & COUNT);
    }
    Ok(())
}
