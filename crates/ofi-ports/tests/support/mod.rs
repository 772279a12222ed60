//! Child processes with deadlines, and what libfabric offers here.

use std::{
    collections::BTreeSet,
    io::Read,
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// A running child. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    name: String,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    deadline: Instant,
}

/// A child that has ended, or was ended.
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) success: bool,
    pub(crate) how: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Running {
    /// Starts a child on loopback that has `limit` to end.
    pub(crate) fn start(command: &mut Command, limit: Duration) -> Running {
        command.env("IPATH_NO_BACKTRACE", "1");
        for interface in ["FI_TCP_IFACE", "FI_SOCKETS_IFACE"] {
            command.env(interface, "lo");
        }
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = collect(child.stdout.take().expect("piped"));
        let stderr = collect(child.stderr.take().expect("piped"));
        let deadline = Instant::now() + limit * patience();
        Running { child, name, stdout, stderr, deadline }
    }

    /// Waits until somebody listens on a TCP port of this host, who can only be the child.
    pub(crate) fn listens_on(&mut self, port: u16) -> Result<(), String> {
        while !is_listening(port) {
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if let Some(status) = ended {
                let stderr = self.stderr.recv().unwrap_or_default();
                return Err(format!("{}: {status} instead of listening\n{stderr}", self.name));
            }
            if Instant::now() > self.deadline {
                return Err(format!("{} does not listen", self.name));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Its end; past the deadline it is killed.
    pub(crate) fn end(mut self) -> Ended {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // Comes when the child has closed it, which it does at its end.
        match self.stdout.recv_timeout(left) {
            Ok(stdout) => {
                let status = self.child.wait().expect("a child");
                self.ended(status.success(), status.to_string(), stdout)
            }
            Err(_) => self.stop(),
        }
    }

    /// Kills it, unless it has ended by itself.
    pub(crate) fn stop(mut self) -> Ended {
        let how = match self.child.try_wait().expect("a child") {
            Some(status) => status.to_string(),
            None => "did not end".to_owned(),
        };
        let _ = self.child.kill();
        let _ = self.child.wait();
        let stdout = self.stdout.recv().unwrap_or_default();
        self.ended(false, how, stdout)
    }

    fn ended(self, success: bool, how: String, stdout: String) -> Ended {
        let stderr = self.stderr.recv().unwrap_or_default();
        Ended { name: self.name.clone(), success, how, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Mostly it has ended; then this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
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

/// A TCP port that nobody uses now, and that no other case here was given.
pub(crate) fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        if GIVEN.lock().expect("nobody panics under it").insert(port) {
            return port;
        }
    }
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
pub(crate) fn patience() -> u32 {
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
