//! The programs against their C originals, and against each other: every mode, on both providers, each
//! as client and as server.
//!
//! - `OFI_TEST_FABTESTS=DIRECTORY`: where `fi_rdm_tagged_peek`, `fi_rma_bw` and `fi_rdm_atomic` are, built
//!   for the libfabric that this was built for. Without it the programs play against each other alone.
//! - `OFI_TEST_PROVIDERS=sockets`: only cases on these providers.
//! - `OFI_TEST_TIMEOUT=N`: multiplies every time limit by N.
#![forbid(unsafe_code)]

mod support;

use std::{collections::BTreeSet, path::PathBuf, process::Command, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};
use ofi::{Caps, EndpointType};
use support::{Ended, Running, free_port, is_offered, is_selected, patience};

const LIMIT: Duration = Duration::from_secs(90);
const PROVIDERS: [&str; 2] = ["tcp;ofi_rxm", "sockets"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Rust,
    C,
}

/// How both sides of a program find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meeting {
    /// The client knows the server's address on the fabric.
    Fabric,
    /// It knows where its socket is, and all else is told there.
    Socket,
    /// It knows both.
    Both,
}

#[derive(Clone, Copy, Debug)]
struct Mode {
    program: &'static str,
    name: &'static str,
    caps: Caps,
    meeting: Meeting,
    /// What both sides are told, and what ours alone.
    options: &'static [&'static str],
    ours: &'static [&'static str],
}

const PEEK: Mode = Mode {
    program: "rdm_tagged_peek",
    name: "",
    caps: Caps::TAGGED,
    meeting: Meeting::Socket,
    options: &[],
    ours: &[],
};

const BANDWIDTH: Mode =
    Mode { program: "rma_bw", caps: Caps::MSG.union(Caps::RMA), meeting: Meeting::Fabric, ..PEEK };

const fn bandwidth(name: &'static str, options: &'static [&'static str]) -> Mode {
    Mode { name, options, ..BANDWIDTH }
}

const MODES: &[Mode] = &[
    Mode { name: "by_socket", ..PEEK },
    Mode { name: "by_both", meeting: Meeting::Both, ..PEEK },
    // Whole windows and one in part, looked at.
    bandwidth("write", &["-o", "write", "-v", "-S", "4096", "-I", "100"]),
    bandwidth("read", &["-o", "read", "-v", "-S", "4096", "-I", "100"]),
    bandwidth("writedata", &["-o", "writedata", "-v", "-S", "4096", "-I", "100"]),
    // Six sizes up to 1 MiB, in small windows.
    bandwidth("write_sizes", &["-o", "write", "-v", "-W", "4", "-w", "2", "-I", "8"]),
    bandwidth("read_sizes", &["-o", "read", "-v", "-W", "4", "-w", "2", "-I", "8"]),
    bandwidth("writedata_sizes", &["-o", "writedata", "-v", "-W", "4", "-w", "2", "-I", "8"]),
    // Not looked at, and so short that they are injected.
    bandwidth("write_injected", &["-o", "write", "-S", "16", "-I", "200"]),
    bandwidth("writedata_injected", &["-o", "writedata", "-S", "16", "-I", "200"]),
    // Addresses and signs over a socket.
    Mode {
        meeting: Meeting::Socket,
        ..bandwidth("write_by_socket", &["-o", "write", "-v", "-S", "100", "-I", "100"])
    },
    Mode {
        program: "rdm_atomic",
        name: "all",
        caps: Caps::MSG.union(Caps::ATOMIC),
        meeting: Meeting::Fabric,
        options: &["-o", "all", "-S", "1024", "-I", "1"],
        ours: &["-v"],
    },
];

#[derive(Clone, Copy, Debug)]
struct Case {
    mode: Mode,
    provider: &'static str,
    server: Side,
    client: Side,
}

fn main() {
    let mut arguments = Arguments::from_args();
    // Both sides spin, and there may be no more than two processors.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials()).exit();
}

fn trials() -> Vec<Trial> {
    let mut pairs = vec![(Side::Rust, Side::Rust)];
    if originals().is_some() {
        pairs.extend([(Side::C, Side::Rust), (Side::Rust, Side::C)]);
    }
    let mut trials = Vec::new();
    for &provider in &PROVIDERS {
        for &mode in MODES {
            for &(server, client) in &pairs {
                let case = Case { mode, provider, server, client };
                let Mode { program, name, .. } = mode;
                let name = format!("{program}::{name} ({provider}, {server:?} to {client:?})");
                trials.push(Trial::test(name, move || case.play()));
            }
        }
    }
    trials
}

/// Where the C programs are.
fn originals() -> Option<PathBuf> {
    std::env::var_os("OFI_TEST_FABTESTS").map(PathBuf::from)
}

impl Case {
    fn play(self) -> Result<(), Failed> {
        if !is_selected(self.provider) {
            println!("{} is left out by OFI_TEST_PROVIDERS", self.provider);
            return Ok(());
        }
        let caps = self.mode.caps;
        if !is_offered(self.provider, EndpointType::Rdm, caps) {
            println!("libfabric {} offers no {} with {caps}", ofi::version(), self.provider);
            return Ok(());
        }
        let (port, socket) = (free_port(), free_port());
        let mut server = self.program(self.server);
        let mut client = self.program(self.client);
        if self.mode.meeting != Meeting::Fabric {
            let option = match self.mode.program {
                // It keeps in step over the socket anyway.
                "rdm_tagged_peek" => format!("-E={socket}"),
                _ => format!("-b={socket}"),
            };
            server.arg(&option);
            client.arg(&option);
        }
        if self.mode.meeting != Meeting::Socket {
            server.args(["-s", "127.0.0.1", "-B", &port.to_string()]);
            client.args(["-s", "127.0.0.1", "-P", &port.to_string()]);
        }
        if self.mode.meeting == Meeting::Both {
            server.args(["-O", "127.0.0.1"]);
            client.args(["-O", "127.0.0.1"]);
        }
        let mut server = Running::start(&mut server, LIMIT);
        server.listens_on(if self.mode.meeting == Meeting::Fabric { port } else { socket })?;
        let client = Running::start(client.arg("127.0.0.1"), LIMIT).end();
        let server = match client.success {
            true => server.end(),
            false => server.stop(),
        };
        let judged = if client.success && server.success {
            self.compare(&server.stdout, &client.stdout)
        } else {
            Err("a side failed".into())
        };
        judged.map_err(|what| format!("{what}\n--- server: {server}\n--- client: {client}").into())
    }

    fn program(self, side: Side) -> Command {
        let mut command = match (side, originals()) {
            (Side::C, Some(directory)) => {
                Command::new(directory.join(format!("fi_{}", self.mode.program)))
            }
            _ => {
                let mut command = Command::new(match self.mode.program {
                    "rdm_tagged_peek" => env!("CARGO_BIN_EXE_rdm_tagged_peek"),
                    "rma_bw" => env!("CARGO_BIN_EXE_rma_bw"),
                    _ => env!("CARGO_BIN_EXE_rdm_atomic"),
                });
                // Ours says what it waits for before it is killed.
                let patience = 60 * u64::from(patience());
                command.args(["--timeout", &patience.to_string()]).args(self.mode.ours);
                command
            }
        };
        command.args(["-p", self.provider]).args(self.mode.options);
        command
    }

    /// What both print must agree, as far as it does not depend on time.
    fn compare(self, server: &str, client: &str) -> Result<(), String> {
        match self.mode.program {
            "rdm_tagged_peek" => {
                same("the server's words", server.lines(), SENDER.lines())?;
                same("the client's words", client.lines(), RECEIVER.lines())
            }
            "rma_bw" => {
                let sizes = if self.mode.options.contains(&"-S") { 1 } else { 6 };
                if client.lines().count() != 1 + sizes {
                    return Err(format!("not {sizes} sizes"));
                }
                same("columns", server.lines().map(columns), client.lines().map(columns))
            }
            _ => {
                let (server, client) = (measured(server), measured(client));
                if server.len() < 100 {
                    return Err(format!("only {} atomic operations", server.len()));
                }
                same("operations", server.iter(), client.iter())
            }
        }
    }
}

fn same<X: PartialEq + std::fmt::Debug>(
    what: &str,
    one: impl Iterator<Item = X>,
    other: impl Iterator<Item = X>,
) -> Result<(), String> {
    let (one, other): (Vec<X>, Vec<X>) = (one.collect(), other.collect());
    if one == other { Ok(()) } else { Err(format!("other {what}:\n{one:?}\n{other:?}")) }
}

/// Bytes, how often, bytes together; and of the head, the names of all columns.
fn columns(line: &str) -> Vec<&str> {
    let words = line.split_whitespace();
    if line.starts_with("bytes") { words.collect() } else { words.take(3).collect() }
}

/// The operations that were done. What depends on the C compiler, and 128 bits, `ofi` does not do.
fn measured(text: &str) -> BTreeSet<Vec<&str>> {
    let lines = text.lines().filter(|line| {
        line.starts_with("FI_") && !line.contains("INT128_") && !line.contains("LONG_DOUBLE")
    });
    lines.map(|line| line.split_whitespace().take(4).collect()).collect()
}

const SENDER: &str = "Sending 10 tagged messages
Waiting for messages to complete";

const RECEIVER: &str = "Peek for a bad msg
Peek w/ claim for a bad msg
Peek msg 1
Receive msg 1
Peek w/ claim msg 2
Receive claimed msg 2
Peek & discard msg 3
Checking to see if msg 3 was discarded
Peek w/ claim msg 4
Claim and discard msg 4
Receive msg 5
Receive msg 6
Receive msg 10
Receive msg 9
Receive msg 8
Receive msg 7";

/// Both outputs of a side that has ended.
impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ended { name, how, stdout, stderr, .. } = self;
        write!(f, "{name}: {how}\n{stdout}{stderr}")
    }
}
