//! The feature `dlopen`: finds libfabric in the process or on the loader's path, once.
//!
//! One libfabric per process: its objects belong to the copy that made them, and two copies share
//! no memory registration cache and fight over the same hooks.

use core::ffi::{CStr, c_int, c_void};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::{LoadError, Table};
use crate::{FI_MAJOR, FI_MINOR, OLDEST_VERSION};

/// Names the library to load instead of the loader's choice.
const VARIABLE: &str = "OFI_LIBFABRIC";

/// The name that every release since 1.0 has.
const LIBRARY: &str =
    if cfg!(target_vendor = "apple") { "libfabric.1.dylib" } else { "libfabric.so.1" };

static LIBFABRIC: OnceLock<Result<Table, LoadError>> = OnceLock::new();

/// Makes libfabric available; the first call decides for the life of the program.
///
/// Linked programs have it from the start. With the feature `dlopen` the library is
/// `OFI_LIBFABRIC` if that is set, else a copy that the process already maps, else
/// `libfabric.so.1` (`libfabric.1.dylib` on macOS) from the loader's path. There is one libfabric
/// per process.
///
/// # Errors
///
/// The library is missing, is older than 1.17, or differs from a copy that is already mapped.
pub fn load() -> Result<(), &'static LoadError> {
    LIBFABRIC.get_or_init(open).as_ref().map(drop)
}

/// The functions, or nothing if loading failed.
pub(super) fn table() -> Option<&'static Table> {
    LIBFABRIC.get_or_init(open).as_ref().ok()
}

fn open() -> Result<Table, LoadError> {
    let wanted = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let handle = match choose(wanted.map(PathBuf::from), mapped())? {
        Choice::Mapped(path) => dlopen(&path, libc::RTLD_NOW | libc::RTLD_NOLOAD)?,
        Choice::Open(path) => dlopen(&path, libc::RTLD_NOW | libc::RTLD_LOCAL)?,
    };
    // SAFETY: the handle is never closed, so what dlsym finds in it stays; a library of this name
    // is libfabric, or the user who named another one in OFI_LIBFABRIC has promised that it is.
    let table = unsafe { Table::new(|name| symbol(handle, name)) }?;
    // SAFETY: fi_version has no preconditions.
    let version = unsafe { (table.fi_version)() };
    if version < OLDEST_VERSION {
        return Err(error(format!(
            "libfabric {}.{} is too old: ofi needs 1.17 or newer; install a newer one, or name \
             it in {VARIABLE}",
            FI_MAJOR(version),
            FI_MINOR(version)
        )));
    }
    Ok(table)
}

/// What to pass to `dlopen`.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// A copy that is in the process: nothing new is loaded.
    Mapped(PathBuf),
    /// A library to load.
    Open(PathBuf),
}

/// One libfabric per process: takes the mapped one, and refuses to add another.
fn choose(wanted: Option<PathBuf>, mapped: Vec<PathBuf>) -> Result<Choice, LoadError> {
    match (wanted, mapped.as_slice()) {
        (None, []) => Ok(Choice::Open(LIBRARY.into())),
        (Some(path), []) => Ok(Choice::Open(path)),
        (None, [only]) => Ok(Choice::Mapped(only.clone())),
        (Some(path), _) => match mapped.iter().find(|copy| same(copy, &path)) {
            Some(copy) => Ok(Choice::Mapped(copy.clone())),
            None => Err(error(format!(
                "{VARIABLE}={} is refused: this process already holds {}, and there is one \
                 libfabric per process; unset {VARIABLE}, or load it before the other",
                path.display(),
                list(&mapped)
            ))),
        },
        (None, _) => Err(error(format!(
            "this process holds {}: more than one libfabric; name the one to use in {VARIABLE}",
            list(&mapped)
        ))),
    }
}

/// Whether two paths are one file. A bare name is what the loader would search for.
fn same(mapped: &Path, wanted: &Path) -> bool {
    if wanted.components().count() == 1 && !wanted.as_os_str().as_bytes().contains(&b'/') {
        return mapped.file_name() == Some(wanted.as_os_str());
    }
    match (mapped.canonicalize(), wanted.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" and ")
}

/// Whether a mapped file is a libfabric, also one that a Python wheel carries under a longer name
/// (`libfabric-1a2b3c.so.1`).
fn is_libfabric(path: &Path) -> bool {
    let Some(name) = path.file_name() else {
        return false;
    };
    let name = name.as_bytes();
    name.strip_prefix(b"libfabric").is_some_and(|rest| {
        matches!(rest.first(), Some(b'.' | b'-'))
            && (rest.windows(3).any(|w| w == b".so") || rest.ends_with(b".dylib"))
    })
}

/// The copies of libfabric in this process, also those that were opened with RTLD_LOCAL.
#[cfg(not(target_vendor = "apple"))]
fn mapped() -> Vec<PathBuf> {
    unsafe extern "C" fn visit(
        object: *mut libc::dl_phdr_info,
        _size: libc::size_t,
        found: *mut c_void,
    ) -> c_int {
        // SAFETY: the loader passes a valid object, and what was given to dl_iterate_phdr below.
        let (name, found) = unsafe { ((*object).dlpi_name, &mut *found.cast::<Vec<PathBuf>>()) };
        if !name.is_null() {
            // SAFETY: the loader's name of an object is a C string.
            let name = unsafe { CStr::from_ptr(name) }.to_bytes().to_vec();
            found.push(PathBuf::from(OsString::from_vec(name)));
        }
        0
    }

    let mut found: Vec<PathBuf> = Vec::new();
    // SAFETY: visit has the signature of the callback, and the pointer is to the vector it expects.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut found).cast()) };
    found.retain(|path| is_libfabric(path));
    found
}

/// The copies of libfabric in this process, also those that were opened with RTLD_LOCAL.
#[cfg(target_vendor = "apple")]
fn mapped() -> Vec<PathBuf> {
    unsafe extern "C" {
        fn _dyld_image_count() -> u32;
        fn _dyld_get_image_name(index: u32) -> *const core::ffi::c_char;
    }

    // SAFETY: dyld(3): no preconditions.
    let count = unsafe { _dyld_image_count() };
    (0..count)
        .filter_map(|index| {
            // SAFETY: dyld(3): an index past the end gives null.
            let name = unsafe { _dyld_get_image_name(index) };
            if name.is_null() {
                return None;
            }
            // SAFETY: dyld(3): else it is a C string.
            let name = unsafe { CStr::from_ptr(name) }.to_bytes().to_vec();
            Some(PathBuf::from(OsString::from_vec(name)))
        })
        .filter(|path| is_libfabric(path))
        .collect()
}

fn dlopen(path: &Path, flags: c_int) -> Result<*mut c_void, LoadError> {
    let name = CString::new(path.as_os_str().as_bytes())
        .map_err(|_| error(format!("{VARIABLE} holds a NUL")))?;
    // SAFETY: a C string and flags; libfabric's constructors may run on any thread.
    let handle = unsafe { libc::dlopen(name.as_ptr(), flags) };
    if handle.is_null() {
        return Err(error(format!(
            "libfabric could not be loaded: {}. Install it (Debian and Ubuntu libfabric1, Fedora \
             and Arch libfabric, macOS brew install libfabric) or name it in {VARIABLE}",
            loader_words(path)
        )));
    }
    Ok(handle)
}

fn symbol(handle: *mut c_void, name: &CStr) -> Result<*mut c_void, LoadError> {
    // SAFETY: an open handle and a C string.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    if address.is_null() {
        let name = name.to_string_lossy();
        return Err(error(format!(
            "the library that was loaded is not libfabric 1.17 or newer: {}",
            loader_words(Path::new(&*name))
        )));
    }
    Ok(address)
}

/// What the loader says about its last failure.
fn loader_words(what: &Path) -> String {
    // SAFETY: no preconditions; the text is this thread's until its next call into the loader.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return what.display().to_string();
    }
    // SAFETY: dlerror(3): a C string.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn error(text: String) -> LoadError {
    LoadError { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_copy_is_used_and_a_second_one_refused() {
        let copy = PathBuf::from("/opt/x/libfabric.so.1");
        assert_eq!(choose(None, vec![]), Ok(Choice::Open(LIBRARY.into())));
        assert_eq!(choose(Some("/y/l".into()), vec![]), Ok(Choice::Open("/y/l".into())));
        assert_eq!(choose(None, vec![copy.clone()]), Ok(Choice::Mapped(copy.clone())));
        assert_eq!(
            choose(Some("libfabric.so.1".into()), vec![copy.clone()]),
            Ok(Choice::Mapped(copy.clone()))
        );
        let refused = choose(Some("/y/libfabric.so.1".into()), vec![copy.clone()]).unwrap_err();
        assert!(refused.to_string().contains("already holds /opt/x/libfabric.so.1"), "{refused}");
        let two = choose(None, vec![copy, "/opt/y/libfabric.so.1".into()]).unwrap_err();
        assert!(two.to_string().contains("more than one"), "{two}");
    }

    #[test]
    fn a_library_is_known_by_its_file_name() {
        for name in ["/a/libfabric.so.1", "libfabric.so.1.20.0", "/w/libfabric-1a2b.so.1.2"] {
            assert!(is_libfabric(Path::new(name)), "{name}");
        }
        for name in ["/a/libfabricated.so", "/a/libtcp-fi.so", "", "/a/libfabric.so.d/other"] {
            assert!(!is_libfabric(Path::new(name)), "{name}");
        }
        assert!(is_libfabric(Path::new("/opt/homebrew/lib/libfabric.1.dylib")));
    }

    #[test]
    fn the_process_shows_what_it_loaded() {
        super::load().expect("libfabric");
        assert_eq!(mapped().len(), 1, "{:?}", mapped());
    }

    /// Runs `case` in a process of its own, for loading decides once; gives what it printed.
    fn child(case: &str, library: &str) -> String {
        let exe = std::env::current_exe().expect("this program");
        let output = std::process::Command::new(exe)
            .args(["--exact", "symbols::loaded::tests::one_process", "--nocapture"])
            .env(CASE, case)
            .env(VARIABLE, library)
            .output()
            .expect("this program starts");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success(), "{case}: {}\n{text}", output.status);
        text
    }

    const CASE: &str = "OFI_SYS_TEST_CASE";

    /// What a child process does; nothing in the process that runs the other tests.
    #[test]
    fn one_process() {
        match std::env::var(CASE).as_deref() {
            Ok("absent") => absent(),
            Ok("report") => println!("load: {}", super::load().unwrap_err()),
            Ok("mapped") => already_mapped(),
            Ok(other) => panic!("no case {other}"),
            Err(_) => {}
        }
    }

    /// Every function answers, though there is no library.
    fn absent() {
        use crate::*;
        use core::ptr::{null, null_mut};
        let error = crate::load().unwrap_err();
        assert_eq!(crate::load().unwrap_err(), error);
        // SAFETY: nothing is loaded, so no function looks at its arguments.
        unsafe {
            assert_eq!(fi_version(), 0);
            let ret = fi_getinfo(NEWEST_VERSION, null(), null(), 0, null(), null_mut());
            assert_eq!(ret, -FI_ENOSYS);
            fi_freeinfo(null_mut());
            assert!(fi_dupinfo(null()).is_null());
            assert_eq!(fi_fabric(null_mut(), null_mut(), null_mut()), -FI_ENOSYS);
            let ret = fi_open(0, null(), null_mut(), 0, 0, null_mut(), null_mut());
            assert_eq!(ret, -FI_ENOSYS);
            assert!(!fi_strerror(FI_EIO).is_null());
            assert!(fi_tostr(null(), FI_TYPE_INFO).is_null());
            assert!(fi_tostr_r(null_mut(), 0, null(), FI_TYPE_INFO).is_null());
            assert_eq!(fi_getparams(null_mut(), null_mut()), -FI_ENOSYS);
            fi_freeparams(null_mut());
        }
    }

    /// The library that somebody else opened is the one that is used.
    fn already_mapped() {
        let first = dlopen(Path::new(LIBRARY), libc::RTLD_NOW | libc::RTLD_LOCAL).expect("opened");
        super::load().expect("libfabric");
        let again = dlopen(Path::new(LIBRARY), libc::RTLD_NOW | libc::RTLD_NOLOAD).expect("mapped");
        assert_eq!(first, again);
        assert_eq!(mapped().len(), 1, "{:?}", mapped());
    }

    #[test]
    fn without_a_library_calls_return_an_error() {
        child("absent", "/nonexistent/libfabric.so.1");
    }

    #[test]
    fn the_loader_s_words_are_repeated() {
        let text = child("report", "/nonexistent/libfabric.so.1");
        assert!(text.contains("/nonexistent/libfabric.so.1"), "{text}");
        assert!(text.contains("OFI_LIBFABRIC"), "{text}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn another_library_is_not_taken_for_libfabric() {
        let text = child("report", "libc.so.6");
        assert!(text.contains("fi_version"), "{text}");
    }

    #[test]
    fn a_copy_that_is_mapped_is_not_loaded_again() {
        child("mapped", "");
    }
}
