//! A server that listens and two clients that connect, with private data both ways: the one with
//! the right word gets in, the other one is told why not.
//!
//! ```text
//! cargo run --example msg_client_server [PROVIDER]
//! ```

#![forbid(unsafe_code)]

use std::{error::Error, sync::mpsc, thread, time::Duration};

use ofi::{
    CompletionQueue, ConnectError, Domain, Endpoint, EndpointBuilder, EndpointType, EventQueue,
    Fabric, FabricAddress, Hints, Info, Msg,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// No step takes longer; one that would is an error.
const LIMIT: Duration = Duration::from_secs(10);

const WORD: &[u8] = b"let me in";

fn main() -> Result<()> {
    let provider = std::env::args().nth(1).unwrap_or_else(|| "tcp".to_owned());
    let (tell, address) = mpsc::channel();
    let server = {
        let provider = provider.clone();
        thread::spawn(move || server(&provider, &tell))
    };
    // The server drops its end of the channel if it fails: its own error says more then.
    if let Ok(address) = address.recv() {
        client(&provider, &address)?;
    }
    let served = server.join().expect("the server does not panic")?;
    println!("server: {served}");
    println!("msg_client_server: done");
    Ok(())
}

/// What either side needs before it can connect or accept.
struct Side {
    info: Info,
    fabric: Fabric,
    domain: Domain,
    events: EventQueue,
    completions: CompletionQueue,
}

impl Side {
    /// On the loopback address, at a port of the system's choice.
    fn open(provider: &str) -> Result<Side> {
        let hints = Hints::new().provider(provider).endpoint_type(EndpointType::Msg);
        let info = hints.node("127.0.0.1").service("0").source().query()?.into_best();
        let fabric = Fabric::open(&info)?;
        let domain = fabric.domain(&info)?;
        Ok(Side {
            events: fabric.event_queue().open()?,
            completions: domain.completion_queue().open()?,
            info,
            fabric,
            domain,
        })
    }

    /// Everything an endpoint must have; `connect` or `accept` makes it.
    fn endpoint(&self) -> EndpointBuilder<Msg, ofi::Shared> {
        let builder = self.domain.endpoint::<Msg>(&self.info);
        builder.completion_queue(&self.completions).event_queue(&self.events)
    }
}

/// Answers two requests, and one message of whoever got in.
fn server(provider: &str, tell: &mpsc::Sender<FabricAddress>) -> Result<String> {
    let side = Side::open(provider)?;
    let listener = side.fabric.passive_endpoint(&side.info).event_queue(&side.events).listen()?;
    tell.send(listener.name()?)?;

    let (mut answered, mut refused) = (0, 0);
    for _ in 0..2 {
        let request = listener.next_request(LIMIT)?.ok_or("nobody asked for a connection")?;
        // Providers may pad private data: compare what was agreed on, not the length.
        if !request.private_data().starts_with(WORD) {
            request.reject(b"wrong word")?;
            refused += 1;
            continue;
        }
        let connecting = request.accept(side.endpoint(), b"welcome")?;
        // Posted before there is a connection: the first message finds it.
        let question = connecting.recv(vec![0; 64]).post()?;
        let (endpoint, _) = connecting.wait(LIMIT)?;
        let (received, buffer) = question.wait(LIMIT)?;
        let mut answer = buffer[..received.len()].to_vec();
        answer.make_ascii_uppercase();
        endpoint.send(answer).wait(LIMIT)?;
        if !endpoint.wait_closed(LIMIT) {
            return Err("the client did not go".into());
        }
        answered += 1;
    }
    Ok(format!("{answered} answered, {refused} refused"))
}

fn client(provider: &str, address: &FabricAddress) -> Result<()> {
    let side = Side::open(provider)?;

    let (endpoint, greeting) = side.endpoint().connect(address, WORD)?.wait(LIMIT)?;
    println!("client: connected over {}", endpoint.info().provider());
    println!("client: greeted with {:?}", text(&greeting));
    println!("client: answered with {:?}", ask(&endpoint, b"is anybody there?")?);
    // The server learns of it.
    endpoint.close(LIMIT)?;

    match side.endpoint().connect(address, b"swordfish")?.wait(LIMIT) {
        Err(ConnectError::Refused(refused)) => {
            println!("client: refused with {:?}", text(&refused.data));
            Ok(())
        }
        Err(error @ ConnectError::Expired(_)) => Err(error.into()),
        Ok(_) => Err("the wrong word was taken".into()),
    }
}

/// Sends a question and gives the answer.
fn ask(endpoint: &Endpoint<Msg>, question: &'static [u8]) -> Result<String> {
    let answer = endpoint.recv(vec![0; 64]).post()?;
    endpoint.send(question).wait(LIMIT)?;
    let (received, buffer) = answer.wait(LIMIT)?;
    Ok(text(&buffer[..received.len()]))
}

/// Private data as text, without a provider's padding.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}
