//! A libfabric provider for tests, `ofitest`: reliable datagrams between endpoints of one process.
//!
//! libfabric loads it from a directory of `FI_PROVIDER_PATH`. It demands of its caller what
//! providers may demand, checks every call for obedience, and ends the process with the rule's name
//! where one is broken (docs/rules.md). It delivers late, out of order, with errors, or never, as its
//! plan says. What it does not do, it records, so that a test can look at every argument.
//!
//! It is a network of its own and wraps no other provider: everything moves inside of `fi_cq_read` and
//! `fi_cntr_read`, in an order that the seed decides, so that a schedule is the same each time; and it
//! knows of every byte whose it is. There is no thread, no descriptor to wait on, no other process.
//!
//! # What it is told
//!
//! - `OFI_TEST_DEMAND`, read by `fi_getinfo`: a list with commas of `context`, `context2`, `async_iov`,
//!   `msg_prefix`, `rx_cq_data`, `mr_local`, `mr_virt_addr`, `mr_allocated`, `mr_prov_key`,
//!   `mr_endpoint`, `mr_raw`, and `exclusive`: no byte in two operations at once, if one of them
//!   writes.
//! - `OFI_TEST_PLAN`, read when a fabric is opened, or [`ofitest_plan`]: a list with semicolons of
//!   `eagain:N` (one post in N is refused), `fail:N` (one operation in N fails), `never:N` (one in N
//!   never ends, whatever is cancelled), `slow:N` (an operation moves in one round of N), `reorder`
//!   (entries come in another order), `seed:S` (one in N at random, not every Nth).
//! - `OFI_TEST_NAME`: another name for the provider.
//!
//! # What it tells
//!
//! Functions for `dlsym`: [`ofitest_plan`], [`ofitest_held`], [`ofitest_counts`],
//! [`ofitest_records`].
//!
//! # Safety
//!
//! The callers of the tables state what the manual pages ask for: pointers are valid for what they
//! are said to hold. Objects are known by their addresses, in one locked table; an address that is not
//! in it is a broken rule, not a crash. Memory of operations is touched from the post to the entry's
//! being read, and not after `fi_close` of the endpoint.

use std::{
    ffi::{CStr, CString, c_char, c_int},
    sync::OnceLock,
};

use ofi_sys::*;

mod atomic;
mod av;
mod cntr;
mod collective;
mod config;
mod cq;
mod deferred;
mod domain;
mod engine;
mod ep;
mod info;
mod memory;
mod mr;
mod op;
mod post;
mod record;
mod world;

use world::world;

/// What libfabric calls first.
#[unsafe(no_mangle)]
pub extern "C" fn fi_prov_ini() -> *mut fi_provider {
    struct Provider(*mut fi_provider);
    // SAFETY: libfabric alone uses it, under its own lock.
    unsafe impl Send for Provider {}
    // SAFETY: as above.
    unsafe impl Sync for Provider {}
    static PROVIDER: OnceLock<Provider> = OnceLock::new();
    PROVIDER
        .get_or_init(|| {
            let name = std::env::var("OFI_TEST_NAME").unwrap_or_else(|_| "ofitest".into());
            let name = CString::new(name).expect("a variable has no NUL");
            Provider(Box::into_raw(Box::new(fi_provider {
                version: FI_VERSION(1, 0),
                // libfabric asks for no version that is newer than itself.
                fi_version: NEWEST_VERSION,
                context: fi_context { internal: [std::ptr::null_mut(); 4] },
                name: name.into_raw(),
                getinfo: Some(info::getinfo),
                fabric: Some(domain::fabric),
                cleanup: Some(cleanup),
            })))
        })
        .0
}

unsafe extern "C" fn cleanup() {}

/// Another plan, for what is posted from here on; null for none. The counts begin again.
///
/// # Safety
///
/// `plan` is null or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ofitest_plan(plan: *const c_char) {
    // SAFETY: the caller's promise.
    let text = if plan.is_null() { c"" } else { unsafe { CStr::from_ptr(plan) } };
    let mut world = world();
    world.plan = config::Plan::parse(&text.to_string_lossy());
    world.counts = Counts::default();
}

/// Whether an operation holds one of `len` bytes at `start`.
#[unsafe(no_mangle)]
pub extern "C" fn ofitest_held(start: *const u8, len: usize) -> c_int {
    let start = start as usize;
    c_int::from(world().ops.values().any(|op| op.holds(start, len)))
}

/// What has become of the operations since the plan was given.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Posts that were taken.
    pub posted: u64,
    /// Posts that were refused for want of room.
    pub refused: u64,
    /// Operations whose entry was read, and those that need none and are done.
    pub ended: u64,
    /// Of them, those with an error.
    pub failed: u64,
    /// Operations that ended with their endpoint.
    pub closed: u64,
    /// Operations that are under way now, without copies.
    pub held: u64,
    /// Operations under way that will never end by themselves.
    pub never: u64,
}

/// Tells the counts.
///
/// # Safety
///
/// `counts` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ofitest_counts(counts: *mut Counts) {
    let world = world();
    let never = world.ops.values().filter(|op| op.is_never()).count() as u64;
    let held = world.ops.values().filter(|op| !op.silent).count() as u64;
    let now = Counts { held, never, ..world.counts };
    // SAFETY: the caller's promise.
    unsafe { counts.write(now) };
}

/// Copies the records, a call in a line, and forgets them. Returns how many bytes there were: if
/// more than `len`, nothing is copied or forgotten.
///
/// # Safety
///
/// `len` bytes at `text` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ofitest_records(text: *mut u8, len: usize) -> usize {
    let mut world = world();
    let all = world.records.join("\n");
    if all.len() <= len {
        // SAFETY: the caller's promise.
        unsafe { text.copy_from_nonoverlapping(all.as_ptr(), all.len()) };
        world.records.clear();
    }
    all.len()
}
