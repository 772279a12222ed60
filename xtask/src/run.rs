//! Running other programs: every child has a deadline, and takes its own children with it.

use std::io::{IsTerminal, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

/// A minute, for deadlines that read as prose: `5 * MINUTE`.
pub const MINUTE: Duration = Duration::from_secs(60);

/// What a child left behind.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command with its output shown; an exit status other than 0 is an error.
pub fn run(command: &mut Command, limit: Duration) -> Result<(), String> {
    announce(command);
    let mut child = spawn(command)?;
    let status = wait(&mut child, &words(command), limit)?;
    check(&words(command), status)
}

/// Runs a command with its output shown and kept; the caller judges the status.
pub fn tee(command: &mut Command, limit: Duration) -> Result<Finished, String> {
    announce(command);
    collect(command, limit, true)
}

/// Runs a command and returns what it wrote; the caller judges the status.
pub fn capture(command: &mut Command, limit: Duration) -> Result<Finished, String> {
    collect(command, limit, false)
}

/// Runs a command quietly and returns its standard output; a failure carries its last words.
pub fn output(command: &mut Command, limit: Duration) -> Result<String, String> {
    let done = capture(command, limit)?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    Err(format!("`{}`: {}\n{}", words(command), done.status, tail(&done.stderr, 15)))
}

/// Whether a quiet command succeeds; one that cannot be started does not.
pub fn succeeds(program: &str, args: &[&str]) -> bool {
    let mut command = Command::new(program);
    capture(command.args(args), MINUTE).is_ok_and(|done| done.status.success())
}

/// Starts a command whose pipes the caller reads; it must be given to [`wait`] or [`kill`].
pub fn start(command: &mut Command) -> Result<Child, String> {
    announce(command);
    spawn(command)
}

/// Waits for a child; past the limit it is killed, with everything it started.
pub fn wait(child: &mut Child, name: &str, limit: Duration) -> Result<ExitStatus, String> {
    match child.wait_timeout(limit) {
        Ok(Some(status)) => Ok(status),
        Ok(None) => {
            kill(child);
            Err(format!("`{name}` did not end within {} s and was killed", limit.as_secs()))
        }
        Err(error) => Err(format!("waiting for `{name}`: {error}")),
    }
}

/// Kills a child and, where it leads a process group, the group.
pub fn kill(child: &mut Child) {
    if own_group() {
        let _ = Command::new("sh")
            .args(["-c", "kill -KILL -- -$0 2>/dev/null", &child.id().to_string()])
            .status();
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// An exit status as a result.
pub fn check(name: &str, status: ExitStatus) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("`{name}`: {status}")) }
}

/// The last `count` lines of a text.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn collect(command: &mut Command, limit: Duration, show: bool) -> Result<Finished, String> {
    let name = words(command);
    let begun = Instant::now();
    let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))?;
    let stdout = drain(child.stdout.take(), show.then(std::io::stdout));
    let stderr = drain(child.stderr.take(), show.then(std::io::stderr));
    let status = wait(&mut child, &name, limit)?;
    // The pipes end when the last process that holds them does.
    let rest = || limit.saturating_sub(begun.elapsed()).min(Duration::from_secs(10));
    match (stdout.recv_timeout(rest()), stderr.recv_timeout(rest())) {
        (Ok(stdout), Ok(stderr)) => Ok(Finished { status, stdout, stderr }),
        _ => {
            kill(&mut child);
            Err(format!("`{name}` ended but left a process behind that holds its output"))
        }
    }
}

fn drain<R, W>(pipe: Option<R>, mut show: Option<W>) -> Receiver<String>
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
{
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut all, mut chunk) = (Vec::new(), [0; 8192]);
        if let Some(mut pipe) = pipe {
            while let Ok(count @ 1..) = pipe.read(&mut chunk) {
                all.extend_from_slice(&chunk[..count]);
                if let Some(show) = &mut show {
                    let _ = show.write_all(&chunk[..count]).and_then(|()| show.flush());
                }
            }
        }
        let _ = sender.send(String::from_utf8_lossy(&all).into_owned());
    });
    receiver
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    command.stdin(Stdio::null());
    if own_group() {
        command.process_group(0);
    }
    command.spawn().map_err(|error| format!("cannot start `{}`: {error}", words(command)))
}

/// At a terminal the children stay in its foreground group, so that Ctrl-C reaches them.
fn own_group() -> bool {
    !std::io::stdin().is_terminal()
}

fn announce(command: &Command) {
    // Standard output is the command's: `overhead --json` is read by programs.
    eprintln!("$ {}", words(command));
}

fn words(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for word in command.get_args() {
        let word = word.to_string_lossy();
        line.push(' ');
        // A script is not for reading here.
        line.push_str(if word.contains('\n') { "…" } else { &word });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_past_its_deadline_is_killed_with_its_children() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]).stdout(Stdio::piped());
        let begun = Instant::now();
        let error = capture(&mut command, Duration::from_millis(300)).err().expect("a deadline");
        assert!(error.contains("did not end"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn both_streams_and_the_status_come_back() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let done = capture(&mut command, MINUTE).expect("it ends");
        assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(done.status.code(), Some(3));
    }

    #[test]
    fn the_tail_is_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }
}
