//! Child processes with deadlines, and what libfabric offers here.

use std::{
    io::Read,
    net::TcpListener,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// The command under test, quiet and on loopback.
pub(crate) fn ofi() -> Command {
    command(env!("CARGO_BIN_EXE_ofi"))
}

/// A program in the environment that all of them run in.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env("IPATH_NO_BACKTRACE", "1")
        .env("FI_TCP_IFACE", "lo")
        .env("FI_UDP_IFACE", "lo")
        .env("FI_SOCKETS_IFACE", "lo");
    command
}

/// A running child. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    name: String,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    deadline: Instant,
}

/// A child that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    /// Starts a child that has `limit` to end.
    pub(crate) fn start(command: &mut Command, limit: Duration) -> Running {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = collect(child.stdout.take().expect("piped"));
        let stderr = collect(child.stderr.take().expect("piped"));
        let deadline = Instant::now() + limit * patience();
        Running { child, name, stdout, stderr, deadline }
    }

    /// Waits until it listens on a TCP port of this host.
    pub(crate) fn listens_on(&mut self, port: u16) {
        while !is_listening(port) {
            if let Some(status) = self.child.try_wait().expect("a child") {
                let stderr = self.stderr.recv().unwrap_or_default();
                panic!("{} ended with {status} instead of listening:\n{stderr}", self.name);
            }
            assert!(Instant::now() < self.deadline, "{} does not listen", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its end; a test that waits longer than the deadline fails.
    pub(crate) fn end(mut self) -> Ended {
        let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
        // Both come when the child has closed them, which it does at its end.
        let stdout = self.stdout.recv_timeout(left(self.deadline));
        let stderr = stdout.is_ok().then(|| self.stderr.recv_timeout(left(self.deadline)));
        match (stdout, stderr) {
            (Ok(stdout), Some(Ok(stderr))) => {
                let status = self.child.wait().expect("a child");
                Ended { status, stdout, stderr }
            }
            _ => {
                let _ = self.child.kill();
                let stderr = self.stderr.recv().unwrap_or_default();
                panic!("{} did not end in time:\n{stderr}", self.name)
            }
        }
    }

    /// Runs a child to its end.
    pub(crate) fn run(command: &mut Command, limit: Duration) -> Ended {
        Running::start(command, limit).end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Mostly it has ended; then this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ended {
    /// Its standard output, if it succeeded.
    pub(crate) fn success(self) -> String {
        let Ended { status, stdout, stderr } = self;
        assert!(status.success(), "{status}\n{stdout}\n{stderr}");
        stdout
    }
}

/// Reads a pipe to its end on a thread of its own.
fn collect(mut pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (to, from) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks has told what it told.
        let _ = pipe.read_to_end(&mut bytes);
        let _ = to.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    from
}

/// A TCP port that nobody uses now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0"));
    let listener = listener.expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Whether somebody listens on a TCP port of this host, without connecting to it.
fn is_listening(port: u16) -> bool {
    const LISTEN: &str = "0A";
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
        let table = std::fs::read_to_string(table).unwrap_or_default();
        table.lines().skip(1).any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(3) == Some(&LISTEN) && fields[1].ends_with(&format!(":{port:04X}"))
        })
    })
}

/// What time limits are multiplied by.
fn patience() -> u32 {
    std::env::var("OFI_TEST_TIMEOUT").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Whether `OFI_TEST_PROVIDERS` leaves this provider in.
pub(crate) fn is_selected(provider: &str) -> bool {
    match std::env::var("OFI_TEST_PROVIDERS") {
        Ok(list) => list.split(',').any(|one| one.trim() == provider),
        Err(_) => true,
    }
}

/// Whether libfabric has this very provider (layers included) here, by its own word.
pub(crate) fn is_offered(provider: &str, kind: ofi::EndpointType, caps: ofi::Caps) -> bool {
    let hints = ofi::Hints::new().provider(provider).endpoint_type(kind).caps(caps);
    match hints.query() {
        Ok(found) => found.iter().any(|info| info.provider() == provider),
        Err(error) if *error.kind() == ofi::ErrorKind::NotFound => false,
        Err(error) => panic!("{provider}: {error}"),
    }
}
