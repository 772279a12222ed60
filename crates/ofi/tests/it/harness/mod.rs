//! Cases, the providers they run on, and how they are run.

use std::{process::ExitCode, sync::Mutex};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

mod matrix;
mod network;
mod peer;
mod poison;
mod process;
mod provider;
mod rig;

pub use matrix::{Kinds, Target};
pub use network::{own_network, share_ports};
pub use peer::{Parent, Peer};
pub use process::{Detector, detector, rerun};
pub use provider::Probe;
pub use rig::{LIMIT, Mode, Pair, Rig, Tracked, pattern, poll_once, progress_until};

use crate::harness::matrix::{Matrix, UNSUPPORTED};

/// What a case returns. Failing is panicking, or any error.
pub type Verdict = Result<(), Stop>;

/// Why a case ended early.
#[derive(Debug)]
pub enum Stop {
    /// The provider does not offer what the case is about. Only on the committed list is this
    /// anything but a failure.
    Unsupported(String),
    Failed(String),
}

impl<E: std::error::Error> From<E> for Stop {
    #[track_caller]
    fn from(error: E) -> Stop {
        Stop::Failed(format!("{}: {error}", std::panic::Location::caller()))
    }
}

/// One case on one kind of endpoint and one threading.
type Body = fn(&Target) -> Verdict;

pub struct Case {
    name: String,
    kinds: Kinds,
    threading: &'static str,
    body: Body,
    seconds: u64,
    env: &'static [(&'static str, &'static str)],
    bare: bool,
    /// On the provider for tests alone.
    provided: bool,
}

/// All cases.
#[derive(Default)]
pub struct List(Vec<Case>);

/// What every case gets unless it says otherwise.
const SECONDS: u64 = 60;

impl List {
    #[doc(hidden)]
    pub fn push(
        &mut self,
        module: &str,
        name: &str,
        kinds: Kinds,
        threading: &'static str,
        body: Body,
    ) {
        let module = module.rsplit("::").next().unwrap_or(module);
        self.0.push(Case {
            name: format!("{module}::{name}"),
            kinds,
            threading,
            body,
            seconds: SECONDS,
            env: &[],
            bare: false,
            provided: false,
        });
    }

    /// Makes a case of the provider for tests, with what that is told: pairs for the environment.
    pub fn provided(
        &mut self,
        module: &str,
        name: &str,
        threading: &'static str,
        env: &[(&str, &str)],
        body: Body,
    ) {
        self.push(module, name, Kinds::NONE, threading, body);
        let case = self.0.last_mut().expect("just made");
        case.provided = true;
        case.env = leaked(env);
    }

    /// Makes cases of the provider for tests out of those there are for reliable datagrams whose names
    /// begin so (`module::`, `module::case`).
    pub fn provided_again(
        &mut self,
        module: &str,
        name: &str,
        env: &[(&str, &str)],
        wanted: impl Fn(&str) -> bool,
    ) {
        let found = self.0.iter().filter(|case| case.kinds == Kinds::RDM && wanted(&case.name));
        let found: Vec<_> = found
            .map(|case| (case.name.clone(), case.threading, case.seconds, case.env, case.body))
            .collect();
        for (case, threading, seconds, old, body) in found {
            let name = format!("{name}::{case}");
            self.provided(module, &name, threading, &[old, env].concat(), body);
            self.0.last_mut().expect("just made").seconds = seconds;
        }
    }

    /// Changes the cases of this name (`module::case`): their time limit.
    pub fn limit(&mut self, name: &str, seconds: u64) {
        self.change(name, |case| case.seconds = seconds);
    }

    /// Changes the cases of this name: their environment.
    pub fn env(&mut self, name: &str, env: &'static [(&'static str, &'static str)]) {
        self.change(name, |case| case.env = env);
    }

    /// Changes the cases of this name: the case itself is started without `OFI_TEST_RUNNER`, because
    /// all that matters happens in its roles.
    pub fn bare(&mut self, name: &str) {
        self.change(name, |case| case.bare = true);
    }

    /// Says of the cases of this name that they leak on purpose: they forget an operation, or close
    /// where a crash is known.
    pub fn leaks(&mut self, name: &str) {
        self.env(name, &[("LSAN_OPTIONS", "detect_leaks=0")]);
    }

    fn change(&mut self, name: &str, change: impl Fn(&mut Case)) {
        let mut cases = self.0.iter_mut().filter(|case| case.name == name).peekable();
        assert!(cases.peek().is_some(), "no case {name}");
        cases.for_each(change);
    }
}

/// Cases are made once, and live as long as the process: what they stand on is kept where the leak checker
/// finds it.
fn leaked(env: &[(&str, &str)]) -> &'static [(&'static str, &'static str)] {
    static KEPT: Mutex<Vec<&[(&str, &str)]>> = Mutex::new(Vec::new());
    let leak = |text: &str| -> &'static str { text.to_owned().leak() };
    let env: &[_] =
        env.iter().map(|(name, value)| (leak(name), leak(value))).collect::<Vec<_>>().leak();
    KEPT.lock().expect("nobody panicked").push(env);
    env
}

/// Registers cases: functions `fn case(t: &Target) -> Verdict`, generic as the first word says.
///
/// - `once`: no provider is involved; not generic.
/// - `rdm`, `dgram`: `<K: Connectionless, T: Mode>`, on endpoints of that kind, both threadings.
/// - `connectionless`: the same on both kinds.
/// - `rdm_shared`: `<K: Connectionless>`, with `Shared` objects only.
/// - `msg`: `<T: Mode>`, on connected endpoints.
macro_rules! cases {
    ($list:expr, once: $($case:ident)*) => {$(
        $list.push(module_path!(), stringify!($case), $crate::harness::Kinds::NONE, "", $case);
    )*};
    ($list:expr, rdm: $($case:ident)*) => {$(
        $list.push(module_path!(), stringify!($case), $crate::harness::Kinds::RDM, "shared", $case::<ofi::Rdm, ofi::Shared>);
        $list.push(module_path!(), stringify!($case), $crate::harness::Kinds::RDM, "confined", $case::<ofi::Rdm, ofi::Confined>);
    )*};
    ($list:expr, dgram: $($case:ident)*) => {$(
        $list.push(module_path!(), stringify!($case), $crate::harness::Kinds::DGRAM, "shared", $case::<ofi::Dgram, ofi::Shared>);
        $list.push(module_path!(), stringify!($case), $crate::harness::Kinds::DGRAM, "confined", $case::<ofi::Dgram, ofi::Confined>);
    )*};
    ($list:expr, connectionless: $($case:ident)*) => {
        $crate::harness::cases!($list, rdm: $($case)*);
        $crate::harness::cases!($list, dgram: $($case)*);
    };
    ($list:expr, rdm_shared: $($case:ident)*) => {$(
        $list.push(module_path!(), stringify!($case), $crate::harness::Kinds::RDM, "shared", $case::<ofi::Rdm>);
    )*};
    ($list:expr, rdm_confined: $($case:ident)*) => {$(
        $list.push(module_path!(), stringify!($case), $crate::harness::Kinds::RDM, "confined", $case);
    )*};
    ($list:expr, msg: $($case:ident)*) => {$(
        $list.push(module_path!(), stringify!($case), $crate::harness::Kinds::MSG, "shared", $case::<ofi::Shared>);
        $list.push(module_path!(), stringify!($case), $crate::harness::Kinds::MSG, "confined", $case::<ofi::Confined>);
    )*};
}
pub(crate) use cases;

/// The operation of a wait that expired, as it was to.
macro_rules! expired {
    ($wait:expr) => {
        match $wait {
            Err(ofi::WaitError::Expired(op)) => op,
            Ok(_) => panic!("it was not to end yet"),
            Err(ofi::WaitError::Failed(failed)) => panic!("{failed}"),
        }
    };
}
pub(crate) use expired;

/// Runs the list, or in a child process the one case it was started for.
pub fn main(list: List) -> ExitCode {
    let matrix = match Matrix::of_environment() {
        Ok(matrix) => matrix,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(name) = process::wanted() {
        return child(&list, &matrix, &name);
    }
    let mut trials = Vec::new();
    let only = std::env::var("OFI_TEST_ONLY").unwrap_or_default();
    let only: Vec<&str> = only.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(name) = only.iter().find(|name| !list.0.iter().any(|c| c.name.starts_with(**name)))
    {
        eprintln!("OFI_TEST_ONLY: no case begins with {name}");
        return ExitCode::FAILURE;
    }
    for (name, case, _) in expand(&list, &matrix) {
        if !only.is_empty() && !only.iter().any(|begin| name.starts_with(begin)) {
            continue;
        }
        let known = matrix.known_unsupported(&case.name, &name);
        let (seconds, env, bare, provided) = (case.seconds, case.env, case.bare, case.provided);
        let run = name.clone();
        trials.push(Trial::ignorable_test(name, move || {
            let mut env = env.to_vec();
            if provided {
                let directory = provider::directory()?.to_str().ok_or("its path is no text")?;
                env.push((provider::PATH, directory));
            }
            judge(process::run(&run, seconds, &env, bare), known)
        }));
    }
    let mut arguments = Arguments::from_args();
    if arguments.test_threads.is_none() {
        // Cases mostly wait; a few more than there are cores, but not so many that they starve.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        arguments.test_threads = Some(2 * cores);
    }
    let stale = stale(&list);
    if !stale.is_empty() {
        eprintln!("the list of unsupported cases names no case: {stale:?}");
        return ExitCode::FAILURE;
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The full name of the case that this process runs.
pub fn wanted_case() -> String {
    process::wanted().expect("only a case asks")
}

/// Every case on every target it is for: its full name.
fn expand<'a>(list: &'a List, matrix: &'a Matrix) -> Vec<(String, &'a Case, Target)> {
    let mut all = Vec::new();
    for case in &list.0 {
        if case.provided {
            let target = Target::of_tests(case.threading);
            all.push((format!("{}::{target}", case.name), case, target));
        } else if case.kinds == Kinds::NONE {
            all.push((case.name.clone(), case, Target::none()));
        }
        for target in matrix.targets(case.kinds, case.threading) {
            all.push((format!("{}::{target}", case.name), case, target));
        }
    }
    all
}

fn judge(
    done: Result<(), process::Ended>,
    known: Option<&'static str>,
) -> Result<Completion, Failed> {
    match (done, known) {
        (Ok(()), None) => Ok(Completion::Completed),
        (Ok(()), Some(reason)) => Err(Failed::from(format!(
            "listed as unsupported ({reason}), and it passes: take it off the list"
        ))),
        (Err(process::Ended::Unsupported(_)), Some(reason)) => Ok(Completion::ignored_with(reason)),
        (Err(process::Ended::Unsupported(why)), None) => Err(Failed::from(format!(
            "not supported here, and not on the list of known ones: {why}"
        ))),
        (Err(process::Ended::Failed(why)), _) => Err(Failed::from(why)),
    }
}

/// Takes away what an earlier process of this number left in shared memory: shm would find its endpoints
/// in use.
fn clear_stale() {
    let ours = format!("{}:", std::process::id());
    for entry in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&ours) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn child(list: &List, matrix: &Matrix, name: &str) -> ExitCode {
    clear_stale();
    let all = expand(list, matrix);
    let Some((_, case, target)) = all.iter().find(|(full, ..)| full == name) else {
        eprintln!("no case {name}");
        return ExitCode::FAILURE;
    };
    match (case.body)(target) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Stop::Unsupported(reason)) => {
            eprintln!("{}{reason}", process::UNSUPPORTED_LINE);
            ExitCode::from(process::UNSUPPORTED_CODE)
        }
        Err(Stop::Failed(error)) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn stale(list: &List) -> Vec<&'static str> {
    UNSUPPORTED
        .iter()
        .filter(|known| !list.0.iter().any(|case| known.names(&case.name)))
        .map(|known| known.case)
        .collect()
}

pub fn register(list: &mut List) {
    cases!(list, once: knobs_are_parsed a_crash_is_told a_hang_is_told);
    cases!(list, rdm: provider_is_listed);
    cases!(list, dgram: provider_is_listed);
    cases!(list, msg: connected_provider_is_listed);
}

/// A provider that this version of libfabric must have is there: nothing is skipped silently.
fn provider_is_listed<K: ofi::Kind, T: Mode>(t: &Target) -> Verdict {
    let info = t.query(ofi::Caps::MSG)?;
    assert_eq!(info.endpoint_type(), K::TYPE);
    Ok(())
}

fn connected_provider_is_listed<T: Mode>(t: &Target) -> Verdict {
    provider_is_listed::<ofi::Msg, T>(t)
}

fn knobs_are_parsed(_: &Target) -> Verdict {
    matrix::check_parsing();
    Ok(())
}

/// The harness itself: a child that dies of a signal fails, and says which.
fn a_crash_is_told(_: &Target) -> Verdict {
    match Parent::role() {
        Some(_) => std::process::abort(),
        None => {
            let ended = process::run_role("harness::a_crash_is_told", "crash", 30);
            let Err(process::Ended::Failed(why)) = ended else { panic!("{ended:?}") };
            assert!(why.contains("signal 6"), "{why}");
            Ok(())
        }
    }
}

/// The harness itself: a child that hangs is ended at its limit, and what it said last is told.
fn a_hang_is_told(_: &Target) -> Verdict {
    match Parent::role() {
        Some(_) => {
            eprintln!("last words");
            loop {
                std::thread::park();
            }
        }
        None => {
            let ended = process::run_role("harness::a_hang_is_told", "hang", 1);
            let Err(process::Ended::Failed(why)) = ended else { panic!("{ended:?}") };
            assert!(why.contains("time limit") && why.contains("last words"), "{why}");
            Ok(())
        }
    }
}
