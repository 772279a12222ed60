//! libfabric's own messages: as `tracing` events, and captured for an explanation.
//!
//! libfabric lets one party in the process take its messages over (`fi_import_log`); until then it
//! prints those that `FI_LOG_LEVEL` asks for to the standard error stream. This module takes them
//! over while it has a use for them and gives them back afterwards.
//!
//! # Safety
//!
//! libfabric calls the functions of this module from any thread, out of its own calls, with locks of
//! its own held (rule X13). So none of them calls libfabric, none panics into C, and a message that
//! comes while this thread is inside of one is dropped.

use std::{
    cell::{Cell, RefCell},
    ffi::{CStr, c_char, c_int},
    fmt, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use ofi_sys::{fi_log_level, fi_log_subsys, fi_ops_log, fi_provider, fid_logging};

use crate::{
    error::{Result, check},
    info::load,
    version::api_version,
};

#[cfg(feature = "tracing")]
pub use forward::{Filter, install, uninstall};

/// How much a message matters: the lower, the more.
#[doc(alias = "fi_log_level")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Level {
    /// Something is wrong.
    #[doc(alias = "FI_LOG_WARN")]
    Warn,
    /// A call that is not on the data path.
    #[doc(alias = "FI_LOG_TRACE")]
    Trace,
    /// What happens, at some length: why a provider does not match, for one.
    #[doc(alias = "FI_LOG_INFO")]
    Info,
    /// All there is. Most builds of libfabric leave these out.
    #[doc(alias = "FI_LOG_DEBUG")]
    Debug,
}

/// A message of libfabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The provider that it comes from; `core` for libfabric itself.
    pub provider: String,
    /// How much it matters.
    pub level: Level,
    /// The part of the provider: `core`, `fabric`, `domain`, `ep_ctrl`, `ep_data`, `av`, `cq`, `eq`,
    /// `mr`, `cntr`, or `unknown`.
    pub subsystem: &'static str,
    /// The C function that it comes from.
    pub function: String,
    /// The line in that function's file.
    pub line: i32,
    /// The text, without the newline at its end.
    pub text: String,
}

/// `provider:subsystem:function():line<level> text`, as libfabric prints it.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Message { provider, level, subsystem, function, line, text } = self;
        write!(f, "{provider}:{subsystem}:{function}():{line}<{level}> {text}")
    }
}

impl Level {
    fn from_raw(raw: fi_log_level) -> Level {
        match raw {
            ofi_sys::FI_LOG_WARN => Level::Warn,
            ofi_sys::FI_LOG_TRACE => Level::Trace,
            ofi_sys::FI_LOG_INFO => Level::Info,
            _ => Level::Debug,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Level::Warn => "warn",
            Level::Trace => "trace",
            Level::Info => "info",
            Level::Debug => "debug",
        })
    }
}

/// Libfabric's names for its subsystems, in the order of their numbers.
const SUBSYSTEMS: [&str; 10] =
    ["core", "fabric", "domain", "ep_ctrl", "ep_data", "av", "cq", "eq", "mr", "cntr"];

fn subsystem(raw: fi_log_subsys) -> &'static str {
    SUBSYSTEMS.get(raw as usize).copied().unwrap_or("unknown")
}

/// Runs `work` and returns what libfabric said on this thread meanwhile, up to `Info`.
///
/// Without messages where somebody else in the process has taken them over, outside of this crate.
/// Messages of other threads are not printed meanwhile, unless they are forwarded.
pub(crate) fn capture<R>(work: impl FnOnce() -> R) -> (R, Vec<Message>) {
    /// Stops capturing, also where `work` panics.
    struct Stop(Option<Vec<Message>>);

    impl Drop for Stop {
        fn drop(&mut self) {
            CAPTURED.with(|slot| *slot.borrow_mut() = self.0.take());
        }
    }

    let _import = Import::start();
    let stop = Stop(CAPTURED.with(|slot| slot.borrow_mut().replace(Vec::new())));
    let result = work();
    let messages = CAPTURED.with(|slot| slot.borrow_mut().as_mut().map(mem::take));
    drop(stop);
    (result, messages.unwrap_or_default())
}

thread_local! {
    /// What `capture` has seen so far on this thread, if it is at work.
    static CAPTURED: RefCell<Option<Vec<Message>>> = const { RefCell::new(None) };
    /// Whether this thread is inside of one of the functions that libfabric calls.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A use of libfabric's messages: while there is one, they come to this module.
struct Import(());

/// How many uses there are.
static USES: Mutex<usize> = Mutex::new(0);

impl Import {
    /// Takes the messages over, if this is the first use.
    fn start() -> Result<Import> {
        load()?;
        let mut uses = lock(&USES);
        if *uses == 0 {
            // SAFETY: the object and its table live for ever and are written here alone, under the
            // lock; the functions in the table are those that the type asks for.
            let status =
                unsafe { ofi_sys::fi_import_log(api_version().raw(), 0, Logging::get().fid) };
            check(status, "fi_import_log")?;
        }
        *uses += 1;
        Ok(Import(()))
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        let mut uses = lock(&USES);
        *uses -= 1;
        if *uses == 0 {
            // SAFETY: the import was successful (`start`), so the fid has libfabric's own table,
            // whose close puts libfabric's own functions back.
            unsafe { ofi_sys::fi_close(Logging::get().fid.cast()) };
        }
    }
}

/// The object that libfabric is given. It keeps a pointer to it, so it is never freed.
struct Logging {
    fid: *mut fid_logging,
}

// SAFETY: the pointer is used only under the lock of `USES`.
unsafe impl Send for Logging {}
// SAFETY: as above.
unsafe impl Sync for Logging {}

impl Logging {
    fn get() -> &'static Logging {
        static LOGGING: OnceLock<Logging> = OnceLock::new();
        LOGGING.get_or_init(|| {
            let ops = Box::leak(Box::new(fi_ops_log {
                size: size_of::<fi_ops_log>(),
                enabled: Some(enabled),
                // Libfabric's own: it limits the rate of those that `enabled` lets through.
                ready: None,
                log: Some(log),
            }));
            // SAFETY: zero is right for a fid without context and operations, which libfabric
            // fills in.
            let mut fid: fid_logging = unsafe { mem::zeroed() };
            fid.ops = ops;
            Logging { fid: Box::leak(Box::new(fid)) }
        })
    }
}

/// Libfabric asks whether a message is wanted.
unsafe extern "C" fn enabled(
    _provider: *const fi_provider,
    level: fi_log_level,
    subsys: fi_log_subsys,
    flags: u64,
) -> c_int {
    guarded(|| {
        let level = Level::from_raw(level);
        let capturing = CAPTURED.with(|slot| slot.borrow().is_some()) && level <= Level::Info;
        c_int::from(capturing || wanted(level, subsys, flags))
    })
}

/// Libfabric says something.
unsafe extern "C" fn log(
    provider: *const fi_provider,
    level: fi_log_level,
    subsys: fi_log_subsys,
    function: *const c_char,
    line: c_int,
    text: *const c_char,
) {
    guarded(|| {
        let string = |start: *const c_char| {
            if start.is_null() {
                return String::new();
            }
            // SAFETY: libfabric passes C strings (fi_log in src/log.c), which live until this
            // function returns.
            unsafe { CStr::from_ptr(start) }.to_string_lossy().into_owned()
        };
        let name = if provider.is_null() {
            std::ptr::null()
        } else {
            // SAFETY: not null; libfabric passes a provider that is registered, or its own.
            unsafe { (*provider).name }
        };
        let message = Message {
            provider: string(name),
            level: Level::from_raw(level),
            subsystem: subsystem(subsys),
            function: string(function),
            line,
            text: string(text).trim_end().to_owned(),
        };
        #[cfg(feature = "tracing")]
        if wanted(message.level, subsys, 0) {
            forward::event(&message);
        }
        CAPTURED.with(|slot| {
            if let Some(seen) = slot.borrow_mut().as_mut() {
                seen.push(message);
            }
        });
        0
    });
}

#[cfg(feature = "tracing")]
use forward::wanted;

#[cfg(not(feature = "tracing"))]
fn wanted(_level: Level, _subsys: fi_log_subsys, _flags: u64) -> bool {
    false
}

/// Runs `work` unless this thread is inside of another one already, or about to end. 0 if it panics.
fn guarded(work: impl FnOnce() -> c_int) -> c_int {
    /// Leaves again, also where `work` panics.
    struct Leave;

    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.with(|inside| inside.set(false));
        }
    }

    if INSIDE.try_with(|inside| inside.replace(true)).unwrap_or(true) {
        return 0;
    }
    catch_unwind(AssertUnwindSafe(|| {
        let _leave = Leave;
        work()
    }))
    // A panic's payload may panic when it is dropped.
    .unwrap_or_else(|payload| {
        mem::forget(payload);
        0
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "tracing")]
mod forward {
    //! Messages as `tracing` events.

    use std::sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    };

    use ofi_sys::fi_log_subsys;
    use tracing::level_filters::LevelFilter;

    use super::{Import, Level, Message, PoisonError, lock, subsystem};
    use crate::{error::Result, info::core_name};

    /// Which of libfabric's messages become `tracing` events.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[must_use = "a filter does nothing until it is installed"]
    pub struct Filter {
        level: Level,
        providers: Vec<Box<str>>,
        subsystems: Vec<Box<str>>,
    }

    impl Filter {
        /// Messages of this level and of those that matter more.
        pub fn new(level: Level) -> Filter {
            Filter { level, providers: Vec::new(), subsystems: Vec::new() }
        }

        /// Only this provider, and those that were named in the same way.
        pub fn provider(mut self, name: impl Into<String>) -> Filter {
            self.providers.push(name.into().into());
            self
        }

        /// Only this subsystem, and those that were named in the same way.
        pub fn subsystem(mut self, name: impl Into<String>) -> Filter {
            self.subsystems.push(name.into().into());
            self
        }

        fn takes_subsystem(&self, name: &str) -> bool {
            self.subsystems.is_empty() || self.subsystems.iter().any(|wanted| **wanted == *name)
        }

        fn takes_provider(&self, name: &str) -> bool {
            let named = |wanted: &str| wanted.eq_ignore_ascii_case(name);
            self.providers.is_empty()
                || self.providers.iter().any(|wanted| named(wanted) || named(core_name(wanted)))
        }
    }

    /// The use of libfabric's messages that `install` began.
    static INSTALLED: Mutex<Option<Import>> = Mutex::new(None);

    /// What to forward. Read for every message of a libfabric that is asked to talk.
    static FILTER: RwLock<Option<Filter>> = RwLock::new(None);

    /// Whether there is a filter, for the many messages that find none.
    static FORWARDING: AtomicBool = AtomicBool::new(false);

    /// Makes `tracing` events of libfabric's messages, in place of what it prints to the standard
    /// error stream; `FI_LOG_LEVEL` then means nothing. A second call changes the filter.
    ///
    /// The events have the target `libfabric` and the fields `provider`, `subsystem`, `function` and
    /// `line`. Levels keep their order: `warn` is `WARN`, `trace` is `INFO`, `info` is `DEBUG`,
    /// `debug` is `TRACE`. A level that `tracing` has switched off costs libfabric one call.
    ///
    /// A subscriber runs inside of libfabric, on any thread: it must not call libfabric, this crate's
    /// objects included. What libfabric says while a subscriber runs is dropped; a subscriber's panic
    /// is swallowed.
    ///
    /// See `fi_import_log` in `fi_provider(3)`.
    ///
    /// # Errors
    ///
    /// [`Failed`](crate::ErrorKind::Failed) with `EALREADY` where somebody else in the process has
    /// taken the messages over.
    #[doc(alias = "fi_import_log")]
    pub fn install(filter: Filter) -> Result<()> {
        let mut installed = lock(&INSTALLED);
        if installed.is_none() {
            *installed = Some(Import::start()?);
        }
        *FILTER.write().unwrap_or_else(PoisonError::into_inner) = Some(filter);
        FORWARDING.store(true, Ordering::Release);
        Ok(())
    }

    /// Gives the messages back to libfabric, which prints what `FI_LOG_LEVEL` asks for.
    pub fn uninstall() {
        let mut installed = lock(&INSTALLED);
        FORWARDING.store(false, Ordering::Release);
        *FILTER.write().unwrap_or_else(PoisonError::into_inner) = None;
        *installed = None;
    }

    /// Whether a message of this kind becomes an event, unless its provider is filtered out.
    pub(super) fn wanted(level: Level, subsys: fi_log_subsys, flags: u64) -> bool {
        if !FORWARDING.load(Ordering::Acquire)
            || flags & ofi_sys::FI_LOG_PROV_FILTERED != 0
            || LevelFilter::current() < tracing_level(level)
        {
            return false;
        }
        let filter = FILTER.read().unwrap_or_else(PoisonError::into_inner);
        filter.as_ref().is_some_and(|filter| {
            level <= filter.level && filter.takes_subsystem(subsystem(subsys))
        })
    }

    /// Emits the event, unless the provider is filtered out. No lock is held while it is.
    pub(super) fn event(message: &Message) {
        let taken = {
            let filter = FILTER.read().unwrap_or_else(PoisonError::into_inner);
            filter.as_ref().is_some_and(|filter| filter.takes_provider(&message.provider))
        };
        if !taken {
            return;
        }
        macro_rules! emit {
            ($level:ident) => {
                tracing::event!(
                    target: "libfabric",
                    tracing::Level::$level,
                    provider = message.provider.as_str(),
                    subsystem = message.subsystem,
                    function = message.function.as_str(),
                    line = message.line,
                    "{}",
                    message.text
                )
            };
        }
        match message.level {
            Level::Warn => emit!(WARN),
            Level::Trace => emit!(INFO),
            Level::Info => emit!(DEBUG),
            Level::Debug => emit!(TRACE),
        }
    }

    fn tracing_level(level: Level) -> tracing::Level {
        match level {
            Level::Warn => tracing::Level::WARN,
            Level::Trace => tracing::Level::INFO,
            Level::Info => tracing::Level::DEBUG,
            Level::Debug => tracing::Level::TRACE,
        }
    }
}

#[cfg(test)]
mod tests;
