//! The symbols that libfabric exports: `fi_getinfo(3)`, `fi_fabric(3)`, `fi_errno(3)`.
//!
//! Everything else in the API goes through tables of functions in libfabric's objects. Without
//! the feature `dlopen` the program is linked to libfabric; with it, the first call loads the
//! library. The functions are the same in both builds.

use core::ffi::{c_char, c_int, c_void};
use core::fmt;

#[cfg(feature = "dlopen")]
pub use self::loaded::load;
use crate::generated::{fi_fabric_attr, fi_info, fi_param, fi_type, fid, fid_fabric};
use crate::ops::counted;

/// The version that the program is linked to, packed as by [`FI_VERSION`](crate::FI_VERSION);
/// `None` with the feature `dlopen`.
///
/// A program linked to an older libfabric than it runs on is bound to the older entry points,
/// which drop the members of hints that they do not know.
pub const LINKED_VERSION: Option<u32> = match option_env!("OFI_SYS_LINKED_VERSION") {
    Some(text) => Some(parse_version(text)),
    None => None,
};

/// Where the feature `vendored` installed libfabric: its `bin/fi_pingpong` is a peer in C for tests.
pub const VENDORED_PREFIX: Option<&str> = option_env!("OFI_SYS_VENDORED_PREFIX");

/// The sources that the feature `vendored` built; `fabtests` is among them.
pub const VENDORED_SOURCE: Option<&str> = option_env!("OFI_SYS_VENDORED_SOURCE");

/// Why libfabric could not be loaded, in the loader's own words, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    text: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for LoadError {}

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
#[cfg(not(feature = "dlopen"))]
pub fn load() -> Result<(), &'static LoadError> {
    Ok(())
}

/// Declares each symbol once: the linked import or the slot in the loaded table, and the function
/// that applications call. After `=` stands what it returns when there is no libfabric, after `then`
/// who is told of what it returned.
macro_rules! symbols {
    ($(
        $(#[$doc:meta])*
        fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? = $absent:expr $(, then $then:expr)?;
    )*) => {
        #[cfg(not(feature = "dlopen"))]
        mod linked {
            use super::*;
            unsafe extern "C" {
                $(pub(super) fn $name($($arg: $ty),*) $(-> $ret)?;)*
            }
        }

        /// libfabric's functions, as found by name.
        #[cfg(feature = "dlopen")]
        struct Table {
            $($name: unsafe extern "C" fn($($ty),*) $(-> $ret)?,)*
        }

        #[cfg(feature = "dlopen")]
        impl Table {
            /// # Safety
            ///
            /// `find` returns addresses of libfabric's functions of these names, which stay valid.
            unsafe fn new<E>(
                mut find: impl FnMut(&core::ffi::CStr) -> Result<*mut c_void, E>,
            ) -> Result<Self, E> {
                const fn name(bytes: &[u8]) -> &core::ffi::CStr {
                    match core::ffi::CStr::from_bytes_with_nul(bytes) {
                        Ok(name) => name,
                        Err(_) => panic!("a symbol's name ends with its only NUL"),
                    }
                }
                $(let $name = find(const { name(concat!(stringify!($name), "\0").as_bytes()) })?;)*
                Ok(Self {
                    $(
                        // SAFETY: the caller's promise: this is the function of that name, whose
                        // signature libfabric has kept since 1.0.
                        $name: unsafe {
                            core::mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($ty),*) $(-> $ret)?,
                            >($name)
                        },
                    )*
                })
            }
        }

        $(
            $(#[$doc])*
            #[inline]
            #[allow(clippy::let_and_return, clippy::let_unit_value, reason = "some are looked at")]
            pub unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
                #[cfg(not(feature = "dlopen"))]
                // SAFETY: the caller keeps the contract of the C function of this name.
                let answer = counted!(unsafe { linked::$name($($arg),*) });
                #[cfg(feature = "dlopen")]
                let answer = counted!(match loaded::table() {
                    // SAFETY: the caller keeps the contract of the C function of this name.
                    Some(table) => unsafe { (table.$name)($($arg),*) },
                    None => $absent,
                });
                $(
                    #[cfg(feature = "count-calls")]
                    $then(answer);
                )?
                answer
            }
        )*
    };
}

symbols! {
    /// The version of the running library, 0 if there is none: `fi_version(3)`.
    ///
    /// # Safety
    ///
    /// None beyond that of calling C.
    fn fi_version() -> u32 = 0;

    /// Lists what the system offers: `fi_getinfo(3)`.
    ///
    /// # Safety
    ///
    /// `node` and `service` are C strings or null, `hints` is null or comes from `fi_dupinfo`,
    /// `info` may be written. `version` is no newer than
    /// [`NEWEST_VERSION`](crate::NEWEST_VERSION).
    fn fi_getinfo(
        version: u32, node: *const c_char, service: *const c_char, flags: u64,
        hints: *const fi_info, info: *mut *mut fi_info
    ) -> c_int = -crate::FI_ENOSYS;

    /// Frees a list: `fi_getinfo(3)`.
    ///
    /// # Safety
    ///
    /// `info` comes from `fi_getinfo` or `fi_dupinfo`, and is used no more.
    fn fi_freeinfo(info: *mut fi_info) = ();

    /// Copies one entry; null makes an empty one: `fi_getinfo(3)`.
    ///
    /// # Safety
    ///
    /// `info` is null or comes from libfabric.
    fn fi_dupinfo(info: *const fi_info) -> *mut fi_info = core::ptr::null_mut();

    /// Opens a fabric: `fi_fabric(3)`.
    ///
    /// # Safety
    ///
    /// `attr` comes from `fi_getinfo`, `fabric` may be written.
    fn fi_fabric(
        attr: *mut fi_fabric_attr, fabric: *mut *mut fid_fabric, context: *mut c_void
    ) -> c_int = -crate::FI_ENOSYS, then (|status: c_int| if status == 0 {
        // SAFETY: it was opened with that attribute.
        unsafe { crate::calls::opened(attr) }
    });

    /// Opens an object of the library by name: `fi_open(3)`.
    ///
    /// # Safety
    ///
    /// `name` is a C string, `attr` has `attr_len` bytes, `fid` may be written.
    fn fi_open(
        version: u32, name: *const c_char, attr: *mut c_void, attr_len: usize, flags: u64,
        fid: *mut *mut fid, context: *mut c_void
    ) -> c_int = -crate::FI_ENOSYS;

    /// Text of a (positive) code: `fi_strerror(3)`. Never null.
    ///
    /// # Safety
    ///
    /// None beyond that of calling C.
    fn fi_strerror(errnum: c_int) -> *const c_char = c"libfabric is not loaded".as_ptr();

    /// Text of a value, in a buffer that every thread shares: `fi_tostr(3)`.
    ///
    /// # Safety
    ///
    /// `data` points to what `datatype` says. No other thread calls it.
    fn fi_tostr(data: *const c_void, datatype: fi_type) -> *mut c_char = core::ptr::null_mut();

    /// Text of a value: `fi_tostr_r(3)`.
    ///
    /// # Safety
    ///
    /// `buf` has `len` bytes, `data` points to what `datatype` says.
    fn fi_tostr_r(
        buf: *mut c_char, len: usize, data: *const c_void, datatype: fi_type
    ) -> *mut c_char = core::ptr::null_mut();

    /// Lists libfabric's environment variables: `fi_getparams(3)`.
    ///
    /// # Safety
    ///
    /// `params` and `count` may be written.
    fn fi_getparams(params: *mut *mut fi_param, count: *mut c_int) -> c_int
        = -crate::FI_ENOSYS;

    /// Frees that list: `fi_getparams(3)`.
    ///
    /// # Safety
    ///
    /// `params` comes from `fi_getparams`, and is used no more.
    fn fi_freeparams(params: *mut fi_param) = ();
}

/// "1.17.0" as a packed version.
const fn parse_version(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let (mut parts, mut part, mut at) = ([0; 2], 0, 0);
    while at < bytes.len() && part < 2 {
        match bytes[at] {
            b'.' => part += 1,
            digit @ b'0'..=b'9' => parts[part] = parts[part] * 10 + (digit - b'0') as u32,
            _ => break,
        }
        at += 1;
    }
    crate::FI_VERSION(parts[0], parts[1])
}

#[cfg(feature = "dlopen")]
#[path = "loaded.rs"]
mod loaded;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FI_VERSION, OLDEST_VERSION};

    #[test]
    fn a_version_is_packed_from_its_text() {
        assert_eq!(parse_version("1.17.0"), FI_VERSION(1, 17));
        assert_eq!(parse_version("2.6"), FI_VERSION(2, 6));
        assert_eq!(parse_version("2.6.0rc1"), FI_VERSION(2, 6));
        assert_eq!(parse_version("2.10rc1.3"), FI_VERSION(2, 10));
    }

    #[cfg(all(feature = "vendored", not(feature = "dlopen")))]
    #[test]
    fn the_vendored_library_is_the_one_that_runs() {
        assert_eq!(LINKED_VERSION, Some(FI_VERSION(1, 22)));
        // SAFETY: fi_version has no preconditions.
        assert_eq!(unsafe { fi_version() }, FI_VERSION(1, 22));
        let prefix = std::path::Path::new(VENDORED_PREFIX.expect("installed"));
        assert!(prefix.join("bin/fi_pingpong").is_file());
        let source = std::path::Path::new(VENDORED_SOURCE.expect("copied"));
        assert!(source.join("fabtests/configure.ac").is_file());
    }

    #[test]
    fn the_library_answers_with_a_version_that_is_supported() {
        load().expect("libfabric");
        // SAFETY: fi_version has no preconditions.
        let version = unsafe { fi_version() };
        assert!(version >= OLDEST_VERSION, "{version:#x}");
        if let Some(linked) = LINKED_VERSION {
            assert!(linked >= OLDEST_VERSION && linked <= version, "{linked:#x} {version:#x}");
        }
    }
}
