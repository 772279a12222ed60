//! Messages that are looked for before they are received: fabtests' `fi_rdm_tagged_peek`.
//!
//! The server sends ten. The client looks for one that there is not, then receives, claims, discards
//! and takes the rest in another order than they were sent in.
#![forbid(unsafe_code)]

use std::{process::ExitCode, time::Instant};

use anyhow::{bail, ensure};
use ofi::{Caps, Claimed, Confined, MsgOrder, Progress};
use ofi_ports::{Args, Program, Session, check, pattern};

const PROGRAM: Program = Program {
    about: "rdm_tagged_peek [-p provider] [-s address] [-B port] [-P port] [-E[=port]] [-O address] [host]",
    tagged: true,
    oob_sync: true,
    size: Some(64),
    window: 10,
    options: "",
};

const SIZE: usize = 64;
const MESSAGES: u64 = 10;
const BASE: u64 = 0x900d;
const NOBODYS: u64 = 0xbad;

fn main() -> ExitCode {
    ofi_ports::main(|| {
        let mut session = Session::open(Args::parse(&PROGRAM)?, &PROGRAM, |hints| {
            // On sockets nothing can be claimed where the provider has threads of its own.
            let order = MsgOrder::SAS;
            let hints = hints.caps(Caps::TAGGED).tx_msg_order(order).rx_msg_order(order);
            hints.progress(Progress::Manual)
        })?;
        if session.args.host.is_some() { receive(&session) } else { send(&session) }?;
        session.sync()?;
        session.close()
    })
}

fn send(session: &Session) -> anyhow::Result<()> {
    println!("Sending {MESSAGES} tagged messages");
    let mut sends = Vec::new();
    for i in 1..=MESSAGES {
        let send = session.endpoint.send(pattern(SIZE), session.peer).tag(BASE + i);
        sends.push(send.submit().map_err(ofi::Error::from)?);
    }
    println!("Waiting for messages to complete");
    for send in sends {
        send.wait(session.args.patience).map_err(ofi::Error::from)?;
    }
    Ok(())
}

fn receive(session: &Session) -> anyhow::Result<()> {
    println!("Peek for a bad msg");
    ensure!(look(session, NOBODYS)?.is_none(), "a message that nobody sent");
    println!("Peek w/ claim for a bad msg");
    ensure!(claim_now(session, NOBODYS)?.is_none(), "a message that nobody sent");

    println!("Peek msg 1");
    let deadline = Instant::now() + session.args.patience;
    let found = loop {
        match look(session, BASE + 1)? {
            Some(len) => break len,
            None if Instant::now() > deadline => bail!("message 1 has not come in time"),
            None => {}
        }
    };
    ensure!(found == SIZE, "message 1 has {found} bytes");
    take(session, 1)?;

    println!("Peek w/ claim msg 2");
    let claimed = claim(session, 2)?;
    println!("Receive claimed msg 2");
    let receive = claimed.recv(vec![0; SIZE]).map_err(ofi::Error::from)?;
    let (received, bytes) = receive.wait(session.args.patience).map_err(ofi::Error::from)?;
    ensure!(received.len() == SIZE && received.tag() == Some(BASE + 2), "{received:?}");
    check(&bytes)?;

    println!("Peek & discard msg 3");
    claim(session, 3)?.discard();
    println!("Checking to see if msg 3 was discarded");
    ensure!(look(session, BASE + 3)?.is_none(), "message 3 is still there");
    println!("Peek w/ claim msg 4");
    let claimed = claim(session, 4)?;
    println!("Claim and discard msg 4");
    claimed.discard();

    for i in [5, 6, 10, 9, 8, 7] {
        take(session, i)?;
    }
    Ok(())
}

fn look(session: &Session, tag: u64) -> anyhow::Result<Option<usize>> {
    let found = session.endpoint.peek().tag(tag).wait(session.args.patience)?;
    Ok(found.map(|probe| probe.len))
}

fn claim_now(session: &Session, tag: u64) -> ofi::Result<Option<Claimed<'_, Confined>>> {
    session.endpoint.peek().tag(tag).claim().wait(session.args.patience)
}

/// Claims a message, once it is there.
fn claim(session: &Session, i: u64) -> anyhow::Result<Claimed<'_, Confined>> {
    let deadline = Instant::now() + session.args.patience;
    while Instant::now() < deadline {
        if let Some(claimed) = claim_now(session, BASE + i)? {
            return Ok(claimed);
        }
    }
    bail!("message {i} has not come in time")
}

fn take(session: &Session, i: u64) -> anyhow::Result<()> {
    println!("Receive msg {i}");
    let receive = session.endpoint.recv(vec![0; SIZE]).tag(BASE + i);
    let (received, bytes) = receive.wait(session.args.patience).map_err(ofi::Error::from)?;
    ensure!(received.len() == SIZE && received.tag() == Some(BASE + i), "{received:?}");
    check(&bytes)
}
