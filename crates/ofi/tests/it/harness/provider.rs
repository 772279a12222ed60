//! The provider for tests: `crates/ofi-test-provider`, a library that libfabric loads in the cases that
//! want it, and what it tells of itself.
//!
//! `OFI_TEST_PROVIDER` names the library, as `cargo xtask test` does; without, cargo builds it when the
//! first case wants it. Where neither can be, those cases fail and say so.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use ofi::EndpointType;

use super::Target;

/// What libfabric searches for providers.
pub(super) const PATH: &str = "FI_PROVIDER_PATH";
/// The provider's own name.
pub const NAME: &str = "ofitest";
const LIBRARY: &str = "libofitest_fi.so";
const KNOB: &str = "OFI_TEST_PROVIDER";

/// The directory that the library is in.
pub(super) fn directory() -> Result<&'static Path, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(find).as_deref().map_err(Clone::clone)
}

fn find() -> Result<PathBuf, String> {
    let library = match std::env::var_os(KNOB) {
        Some(path) => PathBuf::from(path),
        None => build()?,
    };
    if library.file_name().is_none_or(|name| name != LIBRARY) || !library.is_file() {
        return Err(format!("{KNOB}: {} is no {LIBRARY}", library.display()));
    }
    library.parent().map(Path::to_path_buf).ok_or_else(|| "no directory".into())
}

fn build() -> Result<PathBuf, String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let mut command = Command::new(program);
    command.args(["build", "-q", "-p", "ofi-test-provider", "--message-format=json"]);
    // A sanitizer's flags are for the program that loads it.
    command.current_dir(root).env_remove("RUSTFLAGS");
    let failed = |what: String| {
        format!("the provider for tests could not be built ({KNOB} may name one that is): {what}")
    };
    let done = command.output().map_err(|error| failed(error.to_string()))?;
    if !done.status.success() {
        return Err(failed(String::from_utf8_lossy(&done.stderr).into_owned()));
    }
    let names = |line: &str| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        let files = message["filenames"].as_array()?.iter().filter_map(|file| file.as_str());
        files.map(PathBuf::from).find(|file| file.file_name().is_some_and(|name| name == LIBRARY))
    };
    let output = String::from_utf8_lossy(&done.stdout);
    output.lines().find_map(names).ok_or_else(|| failed("cargo names no library".into()))
}

impl Target {
    /// The provider for tests.
    pub(super) fn of_tests(threading: &'static str) -> Target {
        Target { provider: NAME.into(), kind: EndpointType::Rdm, threading, ..Target::none() }
    }
}

/// What the provider tells, in a process that has loaded it.
#[derive(Clone, Copy)]
pub struct Probe {
    plan: unsafe extern "C" fn(*const c_char),
    held: unsafe extern "C" fn(*const u8, usize) -> c_int,
    counts: unsafe extern "C" fn(*mut Counts),
    records: unsafe extern "C" fn(*mut u8, usize) -> usize,
}

/// As the provider has it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub posted: u64,
    pub refused: u64,
    pub ended: u64,
    pub failed: u64,
    pub closed: u64,
    pub held: u64,
    pub never: u64,
}

impl Probe {
    /// The one there is.
    pub fn get() -> Probe {
        static PROBE: OnceLock<Probe> = OnceLock::new();
        *PROBE.get_or_init(|| {
            let directory = std::env::var(PATH).expect("the harness sets it");
            let path = CString::new(format!("{directory}/{LIBRARY}")).expect("no NUL in it");
            // SAFETY: libfabric has loaded the same file, or does later; it is never unloaded while
            // this handle is not closed.
            let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
            assert!(!handle.is_null(), "{path:?} cannot be loaded");
            let find = |name: &CStr| {
                // SAFETY: the handle is open.
                let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
                assert!(!found.is_null(), "{name:?} is missing");
                found
            };
            // SAFETY: the functions have these types there.
            unsafe {
                Probe {
                    plan: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*const c_char)>(
                        find(c"ofitest_plan"),
                    ),
                    held: std::mem::transmute::<
                        *mut c_void,
                        unsafe extern "C" fn(*const u8, usize) -> c_int,
                    >(find(c"ofitest_held")),
                    counts: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut Counts)>(
                        find(c"ofitest_counts"),
                    ),
                    records: std::mem::transmute::<
                        *mut c_void,
                        unsafe extern "C" fn(*mut u8, usize) -> usize,
                    >(find(c"ofitest_records")),
                }
            }
        })
    }

    /// Another plan from here on.
    pub fn plan(self, plan: &str) {
        let plan = CString::new(plan).expect("no NUL in it");
        // SAFETY: a C string.
        unsafe { (self.plan)(plan.as_ptr()) }
    }

    /// Whether an operation holds one of these bytes.
    pub fn holds(self, bytes: &[u8]) -> bool {
        // SAFETY: two numbers.
        unsafe { (self.held)(bytes.as_ptr(), bytes.len()) != 0 }
    }

    /// What has become of the operations since the last plan.
    pub fn counts(self) -> Counts {
        let mut counts = Counts::default();
        // SAFETY: it may be written, and is what the provider writes.
        unsafe { (self.counts)(&raw mut counts) };
        counts
    }

    /// The calls that it wrote down, and forgets.
    pub fn records(self) -> Vec<String> {
        let mut text = vec![0; 1 << 20];
        // SAFETY: as long as stated.
        let len = unsafe { (self.records)(text.as_mut_ptr(), text.len()) };
        let text = String::from_utf8_lossy(&text[..len]).into_owned();
        text.lines().map(str::to_owned).collect()
    }
}
