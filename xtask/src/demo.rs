//! `cargo xtask demo`: from a bare machine to a verified self-test and a ping-pong.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::cargo::{TEST_ENVIRONMENT, cargo, target_directory};
use crate::run::{self, MINUTE};
use crate::setup;

/// Set-up, release build, self-test, ping-pong; an error unless all of it passed.
pub fn run() -> Result<(), String> {
    setup::ensure(setup::Level::Build)?;
    run::run(&mut cargo(&["build", "--release", "-p", "ofi-cli"]), 20 * MINUTE)?;
    run::run(ofi()?.arg("selftest"), 10 * MINUTE)?;
    ping_pong()?;
    println!("demo: the self-test and the ping-pong passed");
    Ok(())
}

/// Two processes, tcp connections over loopback, payloads checked.
fn ping_pong() -> Result<(), String> {
    let port = free_port()?.to_string();
    let common = ["pingpong", "-p", "tcp", "-e", "msg", "-c"];
    let mut server = run::start(ofi()?.args(common).args(["-B", &port]))?;
    let client = connect(&mut server, &common, &port);
    if client.is_err() {
        run::kill(&mut server);
        return client;
    }
    let status = run::wait(&mut server, "ofi pingpong (server)", MINUTE)?;
    run::check("ofi pingpong (server)", status)
}

/// Runs the client, again while the server is still on its way to listening; a server that ended is
/// a failure, and so is a client that finds none in time.
fn connect(server: &mut Child, common: &[&str], port: &str) -> Result<(), String> {
    let limit = Instant::now() + Duration::from_secs(20);
    loop {
        let result = run::run(ofi()?.args(common).args(["-P", port, "127.0.0.1"]), 2 * MINUTE);
        let ended = server.try_wait().map_err(|error| error.to_string())?;
        match (&result, ended) {
            (Err(_), None) if Instant::now() < limit => {
                std::thread::sleep(Duration::from_millis(200));
            }
            (Err(error), Some(status)) => {
                return Err(format!("{error}; the server ended with {status}"));
            }
            _ => return result,
        }
    }
}

/// A port that nobody listens on now.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

fn ofi() -> Result<Command, String> {
    let mut command = Command::new(target_directory()?.join("release/ofi"));
    command.envs(TEST_ENVIRONMENT.iter().copied());
    Ok(command)
}
