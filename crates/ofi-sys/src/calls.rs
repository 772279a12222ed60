//! The feature `count-calls`: how often each function of this crate was called, and how often it
//! succeeded. For tests: `cargo xtask coverage --ran` adds up what they leave.
//!
//! Each place that calls C has two counters of its own. A process that `OFI_COUNT_CALLS` names a directory
//! to writes there, when it exits, a file: the version of libfabric, the providers whose fabrics it has
//! opened, and a line for each function. One that is killed writes none.
//!
//! # Safety
//!
//! The list is of statics, joined by an atomic exchange each and never taken out.

use core::any::type_name_of_val;
use core::ffi::{CStr, c_int};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::{FI_MAJOR, FI_MINOR, fi_fabric_attr};

/// Where to write, for processes that are to.
const VARIABLE: &str = "OFI_COUNT_CALLS";

/// The counters of one place.
pub(crate) struct Place {
    /// The function's path; see [`name`].
    path: fn() -> &'static str,
    well: AtomicU64,
    badly: AtomicU64,
    listed: AtomicBool,
    next: AtomicPtr<Place>,
}

static FIRST: AtomicPtr<Place> = AtomicPtr::new(ptr::null_mut());
static STOPPED: AtomicBool = AtomicBool::new(false);
static PROVIDERS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What C answers, and whether that means success.
pub(crate) trait Answer {
    fn is_good(&self) -> bool;
}

macro_rules! answers {
    ($($type:ty: |$answer:ident| $good:expr;)*) => {$(
        impl Answer for $type {
            fn is_good(&self) -> bool {
                let $answer = *self;
                $good
            }
        }
    )*};
}

answers! {
    c_int: |status| status >= 0;
    isize: |status| status >= 0;
    // A version; there is none without a library.
    u32: |number| number != 0;
    u64: |_number| true;
    (): |_nothing| true;
}

impl<T> Answer for *mut T {
    fn is_good(&self) -> bool {
        !self.is_null()
    }
}

impl<T> Answer for *const T {
    fn is_good(&self) -> bool {
        !self.is_null()
    }
}

impl Place {
    pub(crate) const fn new(path: fn() -> &'static str) -> Place {
        Place {
            path,
            well: AtomicU64::new(0),
            badly: AtomicU64::new(0),
            listed: AtomicBool::new(false),
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    pub(crate) fn count(&'static self, good: bool) {
        let counter = if good { &self.well } else { &self.badly };
        counter.fetch_add(1, Ordering::Relaxed);
        if !self.listed.swap(true, Ordering::Relaxed) {
            self.list();
        }
    }

    #[cold]
    fn list(&'static self) {
        let this = ptr::from_ref(self).cast_mut();
        let before = FIRST.fetch_update(Ordering::Release, Ordering::Relaxed, |first| {
            self.next.store(first, Ordering::Relaxed);
            Some(this)
        });
        if before == Ok(ptr::null_mut()) {
            // SAFETY: a function of this program, which does not unwind.
            unsafe { libc::atexit(write) };
        }
    }
}

/// The function that `path` is within: of `ofi_sys::tagged::fi_tsend::here` it is `fi_tsend`.
fn name(path: &str) -> &str {
    path.rsplit("::").nth(1).unwrap_or(path)
}

pub(crate) fn path_of<F>(function: &F) -> &'static str {
    type_name_of_val(function)
}

/// Notes whose fabric was opened.
///
/// # Safety
///
/// `fi_fabric` has just succeeded with the attribute.
pub(crate) unsafe fn opened(attr: *const fi_fabric_attr) {
    if STOPPED.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: the caller's promise: libfabric has read it.
    let provider = unsafe { (*attr).prov_name };
    if provider.is_null() {
        return;
    }
    // SAFETY: libfabric's own string.
    let provider = unsafe { CStr::from_ptr(provider) }.to_string_lossy().into_owned();
    PROVIDERS.lock().expect("nobody panics under it").insert(provider);
}

/// This process has something else behind the functions: nothing is written.
pub fn stop() {
    STOPPED.store(true, Ordering::Relaxed);
}

extern "C" fn write() {
    let Some(directory) = std::env::var_os(VARIABLE).map(PathBuf::from) else { return };
    if STOPPED.load(Ordering::Relaxed) {
        return;
    }
    let mut sums: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    let mut place = FIRST.load(Ordering::Acquire);
    // SAFETY: places are statics.
    while let Some(here) = unsafe { place.as_ref() } {
        let sum = sums.entry(name((here.path)())).or_default();
        sum[0] += here.well.load(Ordering::Relaxed);
        sum[1] += here.badly.load(Ordering::Relaxed);
        place = here.next.load(Ordering::Relaxed);
    }
    // SAFETY: no preconditions.
    let version = unsafe { crate::fi_version() };
    let mut text = format!("version {}.{}\n", FI_MAJOR(version), FI_MINOR(version));
    if let Ok(providers) = PROVIDERS.lock() {
        for provider in providers.iter() {
            let _ = writeln!(text, "provider {provider}");
        }
    }
    for (name, [well, badly]) in sums {
        let _ = writeln!(text, "{name} {well} {badly}");
    }
    // Process numbers come again, in chroots above all.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.map_or(0, |now| now.as_nanos());
    let file = directory.join(format!("{}-{nanos}.calls", std::process::id()));
    if let Err(error) = std::fs::write(&file, text) {
        eprintln!("{VARIABLE}: {}: {error}", file.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_that_of_the_function_around() {
        fn outer() -> &'static str {
            fn here() {}
            path_of(&here)
        }
        assert_eq!(name(outer()), "outer");
    }

    #[test]
    fn calls_are_counted_where_they_are_made() {
        // SAFETY: no preconditions.
        unsafe { crate::fi_version() };
        let mut place = FIRST.load(Ordering::Acquire);
        let mut found = 0;
        // SAFETY: places are statics.
        while let Some(here) = unsafe { place.as_ref() } {
            if name((here.path)()) == "fi_version" {
                found += here.well.load(Ordering::Relaxed);
            }
            place = here.next.load(Ordering::Relaxed);
        }
        assert!(found > 0);
        assert!(Answer::is_good(&0_i32) && !Answer::is_good(&-38_isize));
    }
}
