//! `ofi pingpong` against libfabric's own `fi_pingpong`, as client and as server.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ofi::{Caps, EndpointType};

use crate::support::{Running, command, free_port, is_offered, is_selected, ofi};

const HEADER: &str =
    "bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec";
const LIMIT: Duration = Duration::from_secs(100);
const SHORT: Duration = Duration::from_secs(30);

/// One pair of programs at a time: both spin, and there may be no more than two processors.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy)]
struct Case {
    provider: &'static str,
    kind: &'static str,
    options: &'static [&'static str],
    host: &'static str,
}

impl Case {
    const fn new(provider: &'static str, kind: &'static str) -> Case {
        Case { provider, kind, options: &["-c", "-S", "all", "-I", "20"], host: "127.0.0.1" }
    }

    const fn with(self, options: &'static [&'static str]) -> Case {
        Case { options, ..self }
    }

    fn is_to_run(&self, caps: Caps) -> bool {
        if !is_selected(self.provider) {
            println!("{} is left out by OFI_TEST_PROVIDERS", self.provider);
            return false;
        }
        let kind = match self.kind {
            "msg" => EndpointType::Msg,
            "rdm" => EndpointType::Rdm,
            _ => EndpointType::Dgram,
        };
        if !is_offered(self.provider, kind, caps) {
            println!("libfabric {} offers no {} {kind} with {caps}", ofi::version(), self.provider);
            return false;
        }
        true
    }

    /// Whether its addresses are IP addresses.
    fn is_ip(&self) -> bool {
        let core = self.provider.split(';').next().unwrap_or(self.provider);
        ["tcp", "udp", "sockets"].contains(&core)
    }

    fn side(&self, mut program: Command, takes_source: bool) -> Command {
        program.args(["-p", self.provider, "-e", self.kind]).args(self.options);
        if takes_source && self.is_ip() {
            program.args(["-s", "127.0.0.1"]);
        }
        program
    }

    fn ofi(&self) -> Command {
        let mut program = ofi();
        program.arg("pingpong");
        self.side(program, true)
    }

    fn c(&self) -> Command {
        self.side(c_program(), c_takes_source())
    }

    /// Runs a server and a client; their outputs.
    fn play(&self, mut server: Command, mut client: Command) -> (String, String) {
        let _turn = turn();
        let port = free_port().to_string();
        let mut server = Running::start(server.args(["-B", &port]), LIMIT);
        server.listens_on(port.parse().expect("a port"));
        let client = Running::run(client.args(["-P", &port, self.host]), LIMIT);
        let server = server.end();
        assert!(
            client.status.success() && server.status.success(),
            "client: {client:#?}\nserver: {server:#?}"
        );
        (server.stdout, client.stdout)
    }

    /// Both ways against C, and what both print must agree.
    fn against_c(&self) {
        let caps = if self.options.contains(&"tagged") { Caps::TAGGED } else { Caps::MSG };
        if !self.is_to_run(caps) {
            return;
        }
        let (theirs, ours) = self.play(self.c(), self.ofi());
        self.compare(&theirs, &ours);
        let (ours, theirs) = self.play(self.ofi(), self.c());
        self.compare(&theirs, &ours);
    }

    fn compare(&self, theirs: &str, ours: &str) {
        assert_eq!(ours.lines().next(), Some(HEADER));
        assert_eq!(theirs.lines().next(), Some(HEADER));
        assert_eq!(columns(ours), columns(theirs));
        let sizes = match (self.options.contains(&"all"), self.provider) {
            (true, "udp") => 21,
            (true, _) => 46,
            (false, "udp") => 3,
            (false, _) => 6,
        };
        assert_eq!(ours.lines().count(), 1 + sizes, "{ours}");
        for line in ours.lines().skip(1) {
            let theirs = theirs.lines().nth(1).expect("as many lines");
            assert_eq!(line.len(), theirs.len(), "other widths:\n{line}\n{theirs}");
            let sent = line.split_whitespace().nth(1).expect("a column");
            let acknowledged = line.split_whitespace().nth(2).expect("a column");
            assert_eq!(acknowledged, format!("={sent}"), "{line}");
        }
    }
}

/// The columns that do not depend on time: bytes, sent, acknowledged, total.
fn columns(output: &str) -> Vec<Vec<&str>> {
    output.lines().map(|line| line.split_whitespace().take(4).collect()).collect()
}

fn c_program() -> Command {
    let program = std::env::var("OFI_TEST_PINGPONG").unwrap_or_else(|_| "fi_pingpong".into());
    command(&program)
}

/// Whether the C program knows `-s`, which 1.17's does not: by its own help.
fn c_takes_source() -> bool {
    let help = Running::run(c_program().arg("-h"), SHORT);
    assert!(help.stderr.contains("-p <provider>"), "is it fi_pingpong? {help:?}");
    help.stderr.contains("-s <source")
}

const TAGGED: &[&str] = &["-c", "-m", "tagged"];
/// For providers whose long messages take long.
const FEWER: &[&str] = &["-c", "-S", "all", "-I", "5"];

macro_rules! against_c {
    ($($name:ident: $case:expr;)*) => {$(
        #[test]
        fn $name() {
            $case.against_c();
        }
    )*};
}

against_c! {
    shm_rdm: Case::new("shm", "rdm");
    tcp_msg: Case::new("tcp", "msg");
    tcp_rdm: Case::new("tcp", "rdm");
    rxm_rdm: Case::new("tcp;ofi_rxm", "rdm");
    rxd_rdm: Case::new("udp;ofi_rxd", "rdm").with(FEWER);
    sm2_rdm: Case::new("sm2", "rdm");
    sockets_rdm: Case::new("sockets", "rdm").with(FEWER);
    sockets_msg: Case::new("sockets", "msg").with(FEWER);
    udp_dgram: Case::new("udp", "dgram");
    shm_rdm_tagged: Case::new("shm", "rdm").with(TAGGED);
    tcp_msg_tagged: Case::new("tcp", "msg").with(TAGGED);
    tcp_rdm_tagged: Case::new("tcp", "rdm").with(TAGGED);
    rxm_rdm_tagged: Case::new("tcp;ofi_rxm", "rdm").with(TAGGED);
    rxd_rdm_tagged: Case::new("udp;ofi_rxd", "rdm").with(TAGGED);
    sm2_rdm_tagged: Case::new("sm2", "rdm").with(TAGGED);
    sockets_rdm_tagged: Case::new("sockets", "rdm").with(TAGGED);
    sockets_msg_tagged: Case::new("sockets", "msg").with(TAGGED);
    udp_dgram_tagged: Case::new("udp", "dgram").with(TAGGED);
    control_over_ipv6: Case {
        host: "::1",
        ..Case::new("tcp;ofi_rxm", "rdm").with(&["-c", "-6"])
    };
}

/// A provider that both generations have.
const ANY: Case = Case::new("shm", "rdm");

#[test]
fn json_says_what_the_table_says() {
    let case = ANY.with(&["-c", "-I", "3"]);
    if !case.is_to_run(Caps::MSG) {
        return;
    }
    let mut client = case.ofi();
    client.arg("--json");
    let (table, json) = case.play(case.ofi(), client);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON alone");
    assert_eq!(json["provider"], "shm");
    assert_eq!(json["role"], "client");
    assert_eq!(json["endpoint_type"], "FI_EP_RDM");
    let sizes: Vec<_> = json["sizes"].as_array().expect("an array").iter().collect();
    let bytes: Vec<_> = sizes.iter().map(|size| size["bytes"].as_u64().expect("a size")).collect();
    assert_eq!(bytes, [64, 256, 1024, 4096, 65536, 1 << 20]);
    for size in sizes {
        assert_eq!((&size["sent"], &size["acknowledged"]), (&3.into(), &3.into()));
        assert_eq!(size["total_bytes"], size["bytes"].as_u64().expect("a size") * 6);
        assert!(size["seconds"].as_f64().expect("a time") > 0.0);
    }
    assert_eq!(table.lines().count(), 7, "{table}");
}

/// A peer that does not write the pattern must not pass for one that does.
#[test]
fn contents_are_really_checked() {
    // The server is killed in the end; shared memory would stay behind.
    let case = Case::new("tcp;ofi_rxm", "rdm");
    if !case.is_to_run(Caps::MSG) {
        return;
    }
    let _turn = turn();
    let port = free_port().to_string();
    let mut sloppy = case.with(&["-S", "64"]).c();
    let mut server = Running::start(sloppy.args(["-B", &port]), SHORT);
    server.listens_on(port.parse().expect("a port"));
    let mut client = case.with(&["-S", "64", "-c"]).ofi();
    let client = Running::run(client.args(["-P", &port, "127.0.0.1"]), SHORT);
    assert!(!client.status.success(), "{client:?}");
    assert!(client.stderr.contains("byte 0 of a message of 64 bytes"), "{}", client.stderr);
}

/// Something that answers on the control port and is no `fi_pingpong`.
#[test]
fn a_stranger_on_the_control_port_is_told_apart() {
    if !ANY.is_to_run(Caps::MSG) {
        return;
    }
    let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = stranger.local_addr().expect("it is bound").port().to_string();
    let answers = std::thread::spawn(move || {
        let (mut stream, _) = stranger.accept().expect("a client");
        stream.write_all(b"SSH-2.0-OpenSSH\r\n").expect("it reads");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    });
    let client = Running::run(ANY.ofi().args(["-P", &port, "127.0.0.1"]), SHORT);
    assert!(!client.status.success(), "{client:?}");
    assert!(client.stderr.contains("is it a fi_pingpong?"), "{}", client.stderr);
    answers.join().expect("the stranger ended");
}

/// A server that says nothing more does not hang the client.
#[test]
fn a_silent_server_is_given_up() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = silent.local_addr().expect("it is bound").port().to_string();
    let mut client = ANY.ofi();
    let client = Running::run(client.args(["--timeout", "1", "-P", &port, "127.0.0.1"]), SHORT);
    assert!(!client.status.success(), "{client:?}");
    assert!(client.stderr.contains("nothing came in time"), "{}", client.stderr);
}

#[test]
fn nobody_listening_is_said_so() {
    let port = free_port().to_string();
    let client = Running::run(ANY.ofi().args(["-P", &port, "127.0.0.1"]), SHORT);
    assert!(!client.status.success(), "{client:?}");
    assert!(client.stderr.contains("connecting to the server"), "{}", client.stderr);
}
