//! One case in one child process: its environment, its time limit, its last words.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use super::poison::{FOUND, POISON};

const CASE: &str = "OFI_IT_CASE";
pub(super) const ROLE: &str = "OFI_IT_ROLE";
/// What a child ends with that found its case unsupported.
pub(super) const UNSUPPORTED_CODE: u8 = 77;
pub(super) const UNSUPPORTED_LINE: &str = "unsupported: ";

/// Loopback only, libpsm's crash handler kept out, libfabric's warnings in the output.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("IPATH_NO_BACKTRACE", "1"),
    ("FI_TCP_IFACE", "lo"),
    ("FI_SOCKETS_IFACE", "lo"),
    ("FI_UDP_IFACE", "lo"),
    ("FI_LOG_LEVEL", "warn"),
    ("RUST_BACKTRACE", "1"),
];

#[derive(Debug)]
pub(super) enum Ended {
    Unsupported(String),
    Failed(String),
}

/// The case that this process was started for.
pub(super) fn wanted() -> Option<String> {
    std::env::var(CASE).ok()
}

/// What looks for writes to freed memory in this run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Detector {
    /// The allocator of the test binary.
    Poison,
    AddressSanitizer,
    Valgrind,
}

impl Detector {
    /// What it says when it has found something.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Detector::Poison => &[FOUND],
            Detector::AddressSanitizer => &["ERROR: AddressSanitizer", "ERROR: LeakSanitizer"],
            Detector::Valgrind => {
                &["Invalid write of size", "Invalid read of size", "Syscall param ", "Invalid free"]
            }
        }
    }
}

/// The build and the environment decide.
pub fn detector() -> Detector {
    if is_address_sanitizer() {
        Detector::AddressSanitizer
    } else if runner().is_some_and(|words| words.contains("valgrind")) {
        Detector::Valgrind
    } else {
        Detector::Poison
    }
}

/// In such a build the C library's functions are the program's own, for libfabric too.
fn is_address_sanitizer() -> bool {
    // SAFETY: a look-up, and a question about two addresses; all-zero is a valid Dl_info to write to.
    unsafe {
        let object = |address: *const libc::c_void| {
            let mut info: libc::Dl_info = std::mem::zeroed();
            let found = libc::dladdr(address, &raw mut info) != 0;
            found.then_some(info.dli_fbase)
        };
        let memcpy = libc::dlsym(libc::RTLD_DEFAULT, c"memcpy".as_ptr());
        !memcpy.is_null() && object(memcpy) == object(is_address_sanitizer as *const libc::c_void)
    }
}

fn runner() -> Option<String> {
    std::env::var("OFI_TEST_RUNNER").ok().filter(|words| !words.trim().is_empty())
}

/// A command that runs a case of this binary, or one role of it.
pub(super) fn command(case: &str, role: Option<&str>) -> std::io::Result<Command> {
    let detector = detector();
    let mut command = command_under(case, role, runner().as_deref())?;
    // What the environment says goes first.
    if std::env::var_os(POISON).is_none() {
        command.env(POISON, if detector == Detector::Poison { "1" } else { "0" });
    }
    Ok(command)
}

fn command_under(case: &str, role: Option<&str>, runner: Option<&str>) -> std::io::Result<Command> {
    let own = std::env::current_exe()?;
    let mut command = match runner {
        Some(runner) => {
            let mut words = runner.split_whitespace();
            let mut command = Command::new(words.next().unwrap_or_default());
            command.args(words).arg(own);
            command
        }
        None => Command::new(own),
    };
    command.envs(ENVIRONMENT.iter().copied()).env(CASE, case);
    match role {
        Some(role) => command.env(ROLE, role),
        None => command.env_remove(ROLE),
    };
    Ok(command)
}

/// Runs a case; `bare`, not under `OFI_TEST_RUNNER`.
pub(super) fn run(case: &str, seconds: u64, env: &[(&str, &str)], bare: bool) -> Result<(), Ended> {
    let command = if bare { command_under(case, None, None) } else { command(case, None) };
    run_command(
        command.map(|mut command| {
            command.envs(env.iter().copied());
            command
        }),
        seconds,
    )
}

/// Runs a role of a case as if it were one.
pub(super) fn run_role(case: &str, role: &str, seconds: u64) -> Result<(), Ended> {
    run_command(command(case, Some(role)), seconds)
}

/// Runs a role of this case under a detector, and tells how it failed if it did.
pub fn rerun(role: &str, under: Detector) -> std::io::Result<Result<(), String>> {
    const SECONDS: u64 = 30;
    let case = wanted().expect("only a case runs a role");
    let runner = runner().filter(|_| under == Detector::Valgrind);
    let mut command = command_under(&case, Some(role), runner.as_deref())?;
    command.env(POISON, if under == Detector::Poison { "1" } else { "0" });
    Ok(match run_command(Ok(command), SECONDS) {
        Ok(()) => Ok(()),
        Err(Ended::Unsupported(text) | Ended::Failed(text)) => Err(text),
    })
}

fn run_command(command: std::io::Result<Command>, seconds: u64) -> Result<(), Ended> {
    let factor = std::env::var("OFI_TEST_TIMEOUT").ok();
    let factor = factor.and_then(|text| text.parse().ok()).unwrap_or(1);
    let limit = Duration::from_secs(seconds * factor);
    let broken = |error: std::io::Error| Ended::Failed(format!("the harness: {error}"));
    // A file, not a pipe: what the case leaves running may not keep us waiting for its end.
    let mut log = scratch_file().map_err(broken)?;
    let mut command = command.map_err(broken)?;
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(broken)?)
        .stderr(log.try_clone().map_err(broken)?)
        .process_group(0);
    let mut child = command.spawn().map_err(broken)?;
    let in_time = wait(&child, limit);
    // The case and all that it left running: the group lives as long as its leader is not reaped.
    kill_group(&child);
    let status = child.wait().map_err(broken)?;
    let found = finding(&mut log).map_err(broken)?;
    let text = last_words(&mut log).map_err(broken)?;
    if let Some(line) = found {
        // Also where it was a peer's, which nobody waits for.
        return Err(Ended::Failed(format!("{status}: {line}; its last output:\n{text}")));
    }
    if in_time && status.success() {
        return Ok(());
    }
    if in_time && status.code() == Some(i32::from(UNSUPPORTED_CODE)) {
        let line = text.lines().rev().find_map(|line| line.strip_prefix(UNSUPPORTED_LINE));
        return Err(Ended::Unsupported(line.unwrap_or("no reason given").to_owned()));
    }
    let how = match (in_time, status.code(), status.signal()) {
        (false, ..) => format!("did not end within its time limit of {limit:?}"),
        (_, Some(code), _) => format!("exit status {code}"),
        (_, _, Some(signal)) => format!("killed by signal {signal}"),
        _ => status.to_string(),
    };
    Err(Ended::Failed(format!("{how}; its last output:\n{text}")))
}

/// Waits until the child has ended, without reaping it. `false` after `limit`.
fn wait(child: &Child, limit: Duration) -> bool {
    let pid = child.id();
    let (tell, told) = mpsc::channel();
    let watcher = std::thread::spawn(move || {
        loop {
            // SAFETY: an all-zero siginfo_t is a valid one to be written to; WNOWAIT leaves the
            // child to be reaped by its owner.
            let status = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                libc::waitid(libc::P_PID, pid, &raw mut info, libc::WEXITED | libc::WNOWAIT)
            };
            if status == 0
                || std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted
            {
                break;
            }
        }
        let _ = tell.send(());
    });
    let in_time = told.recv_timeout(limit).is_ok();
    if !in_time {
        kill_group(child);
    }
    watcher.join().expect("the watcher does not panic");
    in_time
}

fn kill_group(child: &Child) {
    // SAFETY: plain numbers; the group is the child's own, and the child is not reaped yet.
    unsafe { libc::kill(-(child.id() as libc::pid_t), libc::SIGKILL) };
}

/// A file without a name.
fn scratch_file() -> std::io::Result<File> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ofi-it-{}-{count}.log", std::process::id());
    let path = std::env::temp_dir().join(name);
    let file = File::options().read(true).append(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
}

/// The first line that a detector has said.
fn finding(log: &mut File) -> std::io::Result<Option<String>> {
    let words = [Detector::Poison, Detector::AddressSanitizer, Detector::Valgrind];
    let words: Vec<&str> = words.iter().flat_map(|detector| detector.words()).copied().collect();
    log.seek(SeekFrom::Start(0))?;
    for line in BufReader::new(log).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        if words.iter().any(|words| line.contains(words)) {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

/// The end of what a case said.
fn last_words(log: &mut File) -> std::io::Result<String> {
    const KEPT: u64 = 8 * 1024;
    let length = log.metadata()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(KEPT)))?;
    let mut bytes = Vec::new();
    log.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
