//! Cases of two processes: the case starts this binary again, in a role of the same case, and the
//! two talk in lines over pipes.

use std::{
    io::{BufRead, BufReader, Write},
    os::fd::AsRawFd,
    process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio},
    time::Duration,
};

use ofi::{AddressFormat, FabricAddress};

use super::{Stop, process};

/// The other process of a case, as the one that started it sees it. Killed when dropped.
pub struct Peer {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts this case again in `role`: its body finds that in [`Parent::role`].
    pub fn start(role: &str) -> Result<Peer, Stop> {
        let case = process::wanted().expect("only a case starts a peer");
        let mut command = process::command(&case, Some(role))?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        Ok(Peer {
            to: child.stdin.take(),
            from: BufReader::new(child.stdout.take().expect("piped")),
            child,
        })
    }

    /// Sends a line.
    pub fn say(&mut self, line: &str) -> Result<(), Stop> {
        let to = self.to.as_mut().expect("open until it is finished");
        Ok(writeln!(to, "{line}").and_then(|()| to.flush())?)
    }

    /// Blocks for a line.
    pub fn hear(&mut self) -> Result<String, Stop> {
        read_line(&mut self.from)
    }

    /// Blocks for a line for so long; `None` if nothing came.
    pub fn hear_within(&mut self, limit: Duration) -> Result<Option<String>, Stop> {
        if self.from.buffer().is_empty() {
            let fd = self.from.get_ref().as_raw_fd();
            let mut ready = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one descriptor, open, and room for its answer.
            let count = unsafe { libc::poll(&raw mut ready, 1, limit.as_millis() as i32) };
            if count == 0 {
                return Ok(None);
            }
        }
        self.hear().map(Some)
    }

    pub fn say_address(&mut self, address: &FabricAddress) -> Result<(), Stop> {
        self.say(&encode(address))
    }

    pub fn hear_address(&mut self) -> Result<FabricAddress, Stop> {
        decode(&self.hear()?)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: plain numbers; the child is ours and not reaped.
        let status = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    }

    /// Stops it (SIGSTOP), and returns once it has stopped.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        // SAFETY: an all-zero siginfo_t is a valid one to be written to.
        let status = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, self.child.id(), &raw mut info, libc::WSTOPPED)
        };
        assert_eq!(status, 0, "{}", std::io::Error::last_os_error());
    }

    /// Kills it (SIGKILL), and returns once it is gone.
    pub fn kill(&mut self) -> Result<ExitStatus, Stop> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Closes its input and waits for its end, which must be a success.
    pub fn finish(mut self) -> Result<(), Stop> {
        self.to = None;
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(Stop::Failed(format!("the peer: {status}"))) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process that started this one, as a role sees it.
pub struct Parent(());

impl Parent {
    /// The role that this process was started for; `None` in the case itself.
    pub fn role() -> Option<String> {
        std::env::var(process::ROLE).ok()
    }

    pub fn new() -> Parent {
        Parent(())
    }

    /// Sends a line.
    pub fn say(&self, line: &str) -> Result<(), Stop> {
        let mut out = std::io::stdout().lock();
        Ok(writeln!(out, "{line}").and_then(|()| out.flush())?)
    }

    /// Blocks for a line.
    pub fn hear(&self) -> Result<String, Stop> {
        read_line(&mut std::io::stdin().lock())
    }

    pub fn say_address(&self, address: &FabricAddress) -> Result<(), Stop> {
        self.say(&encode(address))
    }

    pub fn hear_address(&self) -> Result<FabricAddress, Stop> {
        decode(&self.hear()?)
    }

    /// Blocks until the other side has closed our input.
    pub fn until_closed(&self) -> Result<(), Stop> {
        let mut line = String::new();
        while std::io::stdin().lock().read_line(&mut line)? > 0 {}
        Ok(())
    }
}

fn read_line(from: &mut impl BufRead) -> Result<String, Stop> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(Stop::Failed("the other process closed its end".into()));
    }
    Ok(line.trim_end().to_owned())
}

fn encode(address: &FabricAddress) -> String {
    let hex: String = address.bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{} {hex}", address.format().raw())
}

fn decode(line: &str) -> Result<FabricAddress, Stop> {
    let wrong = || Stop::Failed(format!("not an address: {line}"));
    let (format, hex) = line.split_once(' ').ok_or_else(wrong)?;
    let format = AddressFormat::from_raw(format.parse()?);
    let bytes = (0..hex.len() / 2)
        .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16))
        .collect::<Result<Vec<u8>, _>>()?;
    Ok(FabricAddress::new(format, &bytes)?)
}
