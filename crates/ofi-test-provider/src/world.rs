//! Everything there is, in one locked table: objects by their addresses, operations by their numbers.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::c_void,
    fmt::Display,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
};

use ofi_sys::{fi_ops, fid};

use crate::{
    Counts, av::Av, cntr::Cntr, config::Plan, cq::Cq, deferred::Work, domain::Domain, ep::Ep,
    mr::Mr, op::Op,
};

#[derive(Default)]
pub(crate) struct World {
    pub(crate) fabrics: HashMap<usize, usize>,
    pub(crate) domains: HashMap<usize, Domain>,
    pub(crate) avs: HashMap<usize, Av>,
    pub(crate) cqs: HashMap<usize, Cq>,
    pub(crate) cntrs: HashMap<usize, Cntr>,
    pub(crate) mrs: HashMap<usize, Mr>,
    pub(crate) eps: HashMap<usize, Ep>,
    /// In the order in which they were posted.
    pub(crate) ops: BTreeMap<u64, Op>,
    /// In the order in which it was queued.
    pub(crate) work: Vec<Work>,
    pub(crate) plan: Plan,
    pub(crate) counts: Counts,
    pub(crate) records: Vec<String>,
    numbers: u64,
}

/// The table.
pub(crate) fn world() -> MutexGuard<'static, World> {
    static WORLD: LazyLock<Mutex<World>> = LazyLock::new(Mutex::default);
    WORLD.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    /// A number that nothing else has.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
}

/// Ends the process: a caller does not do what it has to.
pub(crate) fn broken(rule: &str, what: impl Display) -> ! {
    eprintln!("ofitest: rule {rule} is broken: {what}");
    std::process::abort()
}

/// The object at an address, or a broken rule: it is closed, or something else.
macro_rules! object {
    ($world:ident.$kind:ident, $fid:expr) => {
        match $world.$kind.get_mut(&($fid as usize)) {
            Some(object) => object,
            None => $crate::world::broken(
                "L1",
                format_args!("{:#x} is none of the open {}", $fid as usize, stringify!($kind)),
            ),
        }
    };
}
pub(crate) use object;

/// What every object begins with.
pub(crate) fn begin(fclass: usize, context: *mut c_void, ops: &'static fi_ops) -> fid {
    fid { fclass, context, ops: std::ptr::from_ref(ops).cast_mut() }
}

/// A new object for the caller to point at. Never freed: what is used after its close must not be
/// something else by then.
pub(crate) fn give<T>(object: T) -> *mut T {
    Box::into_raw(Box::new(object))
}

/// A table of functions for the caller to point at.
pub(crate) fn table<T>(table: &'static T) -> *mut T {
    std::ptr::from_ref(table).cast_mut()
}

/// Functions that are in a table because they have to be.
macro_rules! absent {
    ($($name:ident($($ty:ty),* $(,)?) $(-> $ret:ty)?;)*) => {$(
        unsafe extern "C" fn $name($(_: $ty),*) $(-> $ret)? {
            -ofi_sys::FI_ENOSYS as _
        }
    )*};
}
pub(crate) use absent;
