//! A child process that plays a part of a cell, under a deadline: a hang or a crash is its own.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{
    cell::{Cell, Part, Verdict},
    play::Said,
};

/// How many of a failed child's last lines are kept.
const LOG_LINES: usize = 6;

/// How long a child may go on whose other side has failed: enough to notice and to say so.
const HURRY: Duration = Duration::from_secs(2);

/// A child at play. Killed when dropped.
pub(super) struct Player {
    child: Child,
    said: Receiver<Said>,
    log: Receiver<Vec<String>>,
    deadline: Instant,
}

impl Player {
    /// Starts this very program for a part of a cell.
    pub(super) fn start(cell: &Cell, part: &Part, deadline: Instant) -> anyhow::Result<Player> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        command
            .args(["selftest", "--cell", &serde_json::to_string(cell)?])
            .args(["--part", &serde_json::to_string(part)?])
            .env("IPATH_NO_BACKTRACE", "1");
        if std::env::var_os("FI_LOG_LEVEL").is_none() {
            command.env("FI_LOG_LEVEL", "warn");
        }
        Player::spawn(command, deadline)
    }

    fn spawn(mut command: Command, deadline: Instant) -> anyhow::Result<Player> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting a child process")?;
        let said = listen(child.stdout.take().expect("piped"));
        let log = collect(child.stderr.take().expect("piped"));
        Ok(Player { child, said, log, deadline })
    }

    /// The port that a listening child waits on; what came of it if it did not get there.
    pub(super) fn port(&mut self) -> Result<u16, Verdict> {
        match self.next() {
            Ok(Said::Port(port)) => Ok(port),
            Ok(Said::Verdict(verdict)) => Err(verdict),
            Err(silence) => Err(self.fail(silence)),
        }
    }

    /// What came of it.
    pub(super) fn verdict(mut self) -> Verdict {
        match self.next() {
            Ok(Said::Verdict(Verdict::Failed { reason, .. })) => {
                Verdict::Failed { reason, log: self.end() }
            }
            Ok(Said::Verdict(verdict)) => match self.leaves() {
                // A provider that crashes or hangs while the process ends does so, too.
                Ok(()) => verdict,
                Err(failed) => failed,
            },
            Ok(Said::Port(_)) => Verdict::failed("the child listens where it should be done"),
            Err(silence) => self.fail(silence),
        }
    }

    /// Has it end soon: the other side has failed.
    pub(super) fn hurry(mut self) -> Player {
        self.deadline = self.deadline.min(Instant::now() + HURRY);
        self
    }

    fn next(&mut self) -> Result<Said, RecvTimeoutError> {
        self.said.recv_timeout(self.deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits for the end of a child that has said its verdict.
    fn leaves(&mut self) -> Result<(), Verdict> {
        match self.next() {
            Err(RecvTimeoutError::Timeout) => Err(self.fail(RecvTimeoutError::Timeout)),
            _ => match self.child.wait() {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => {
                    let reason = format!("after its work the child {}", ending(status));
                    Err(Verdict::Failed { reason, log: self.end() })
                }
                Err(error) => Err(Verdict::failed(error)),
            },
        }
    }

    /// The verdict on a child that said nothing more: it hangs, or it has ended.
    fn fail(&mut self, silence: RecvTimeoutError) -> Verdict {
        let reason = match silence {
            RecvTimeoutError::Timeout => "no end within the deadline; killed".into(),
            RecvTimeoutError::Disconnected => match self.child.wait() {
                Ok(status) => format!("the child {}", ending(status)),
                Err(error) => error.to_string(),
            },
        };
        Verdict::Failed { reason, log: self.end() }
    }

    /// Ends the child, and returns its last lines.
    fn end(&mut self) -> Vec<String> {
        // Mostly it has ended; then this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.log.recv().unwrap_or_default()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a child ended, in words.
fn ending(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            return format!("crashed: signal {signal}");
        }
    }
    format!("ended with {status}")
}

/// Passes on what a child says, until it ends. What is no message of ours is a library's print.
fn listen(pipe: impl Read + Send + 'static) -> Receiver<Said> {
    let (to, from) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(pipe).lines().map_while(Result::ok);
        for said in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
            if to.send(said).is_err() {
                return;
            }
        }
    });
    from
}

/// The last lines of a pipe, when it has ended.
fn collect(pipe: impl Read + Send + 'static) -> Receiver<Vec<String>> {
    let (to, from) = channel();
    thread::spawn(move || {
        let mut last = std::collections::VecDeque::new();
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if last.len() == LOG_LINES {
                last.pop_front();
            }
            last.push_back(String::from_utf8_lossy(&line).into_owned());
        }
        let _ = to.send(last.into());
    });
    from
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// The verdict on a child that runs this script, which has this long.
    fn verdict(script: &str, limit: Duration) -> Verdict {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Player::spawn(command, Instant::now() + limit).expect("a shell").verdict()
    }

    const LONG: Duration = Duration::from_secs(60);
    const OK: &str = r#"echo '{"verdict":{"verdict":"ok"}}'"#;

    fn failed(reason: &str, log: &[&str]) -> Verdict {
        let log = log.iter().map(|line| (*line).to_owned()).collect();
        Verdict::Failed { reason: reason.into(), log }
    }

    #[test]
    fn a_crash_is_a_failure_with_the_last_lines() {
        let script = "for i in 1 2 3 4 5 6 7 8; do echo line $i >&2; done; kill -SEGV $$";
        let last = ["line 3", "line 4", "line 5", "line 6", "line 7", "line 8"];
        assert_eq!(verdict(script, LONG), failed("the child crashed: signal 11", &last));
    }

    #[test]
    fn a_hang_is_a_failure_and_ends() {
        let script = "echo stuck >&2; exec sleep 1000";
        let start = Instant::now();
        let verdict = verdict(script, Duration::from_millis(300));
        assert_eq!(verdict, failed("no end within the deadline; killed", &["stuck"]));
        assert!(start.elapsed() < LONG);
    }

    #[test]
    fn a_crash_or_hang_after_the_verdict_is_a_failure_too() {
        assert_eq!(verdict(OK, LONG), Verdict::Ok);
        let crash = verdict(&format!("{OK}; kill -ABRT $$"), LONG);
        assert_eq!(crash, failed("after its work the child crashed: signal 6", &[]));
        let hang = verdict(&format!("{OK}; exec sleep 1000"), Duration::from_millis(300));
        assert_eq!(hang, failed("no end within the deadline; killed", &[]));
    }

    #[test]
    fn silence_is_a_failure() {
        let silent = verdict("echo library chatter; exit 0", LONG);
        assert_eq!(silent, failed("the child ended with exit status: 0", &[]));
    }
}
