//! The environment variables that libfabric and its providers look at.

use std::{ffi::CStr, fmt, ptr, slice};

use ofi_sys::fi_param;

use crate::{
    error::{Result, check},
    info::load,
};

/// One environment variable of libfabric.
#[doc(alias = "fi_param")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name: `FI_LOG_LEVEL`.
    pub name: String,
    /// What kind of value it takes.
    pub kind: ParamKind,
    /// Its value in this process's environment; `None` where it is not set.
    pub value: Option<String>,
    /// What it is for, in libfabric's words.
    pub help: String,
}

/// What kind of value a [`Param`] takes.
#[doc(alias = "fi_param_type")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParamKind {
    /// Text.
    #[doc(alias = "FI_PARAM_STRING")]
    Text,
    /// A number, negative ones too.
    #[doc(alias = "FI_PARAM_INT")]
    Int,
    /// `0`, `1`, `yes`, `no`, `true`, `false`, `on`, `off`.
    #[doc(alias = "FI_PARAM_BOOL")]
    Bool,
    /// A size, `k`, `m`, `g` allowed behind it.
    #[doc(alias = "FI_PARAM_SIZE_T")]
    Size,
    /// A kind that this crate does not know.
    Unknown(u32),
}

/// The environment variables that libfabric and the providers it has loaded look at.
///
/// They are read once, when libfabric starts: changing one later has no effect on this process.
/// See `fi_getparams(3)`.
///
/// # Errors
///
/// Without a libfabric, or out of memory.
///
/// ```
/// let level = ofi::params()?.into_iter().find(|param| param.name == "FI_LOG_LEVEL");
/// assert!(level.is_some_and(|level| level.help.contains("warn")));
/// # Ok::<(), ofi::Error>(())
/// ```
#[doc(alias = "fi_getparams")]
#[doc(alias = "fi_freeparams")]
pub fn params() -> Result<Vec<Param>> {
    load()?;
    let mut start = ptr::null_mut();
    let mut count = 0;
    // SAFETY: both may be written.
    let status = unsafe { ofi_sys::fi_getparams(&raw mut start, &raw mut count) };
    check(status, "fi_getparams")?;
    let list = Owned { start, count: usize::try_from(count).unwrap_or(0) };
    // SAFETY: entries of `list`, which is freed when this returns.
    Ok(list.entries().iter().map(|raw| unsafe { Param::read(raw) }).collect())
}

/// A list that fi_getparams gave away.
struct Owned {
    start: *mut fi_param,
    count: usize,
}

impl Owned {
    fn entries(&self) -> &[fi_param] {
        if self.start.is_null() {
            return &[];
        }
        // SAFETY: not null, and fi_getparams wrote that many entries behind it (src/var.c).
        unsafe { slice::from_raw_parts(self.start, self.count) }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.start.is_null() {
            // SAFETY: from fi_getparams, and freed here alone.
            unsafe { ofi_sys::fi_freeparams(self.start) }
        }
    }
}

impl Param {
    /// # Safety
    ///
    /// `raw` is an entry of a list from fi_getparams that is not freed yet.
    unsafe fn read(raw: &fi_param) -> Param {
        // SAFETY: strings of such an entry are null or C strings (strdup in src/var.c).
        let text = |start: *const libc::c_char| unsafe {
            (!start.is_null()).then(|| CStr::from_ptr(start).to_string_lossy().into_owned())
        };
        Param {
            name: text(raw.name).unwrap_or_default(),
            kind: ParamKind::from_raw(raw.type_),
            value: text(raw.value),
            help: text(raw.help_string).unwrap_or_default(),
        }
    }
}

impl ParamKind {
    fn from_raw(raw: ofi_sys::fi_param_type) -> ParamKind {
        match raw {
            ofi_sys::FI_PARAM_STRING => ParamKind::Text,
            ofi_sys::FI_PARAM_INT => ParamKind::Int,
            ofi_sys::FI_PARAM_BOOL => ParamKind::Bool,
            ofi_sys::FI_PARAM_SIZE_T => ParamKind::Size,
            other => ParamKind::Unknown(other),
        }
    }
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParamKind::Text => f.pad("String"),
            ParamKind::Int => f.pad("Integer"),
            ParamKind::Bool => f.pad("Boolean (0/1, on/off, true/false, yes/no)"),
            ParamKind::Size => f.pad("Unsigned integer"),
            ParamKind::Unknown(raw) => write!(f, "Unknown ({raw})"),
        }
    }
}

/// As `fi_info -e` prints it.
impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}: {}", self.name, self.kind)?;
        for line in self.help.lines() {
            writeln!(f, "# {line}")?;
        }
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.name),
            None => write!(f, "# {} is not set", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_and_its_providers_tell_their_variables() {
        let all = params().unwrap();
        let find = |name: &str| all.iter().find(|param| param.name == name);
        assert_eq!(find("FI_LOG_LEVEL").unwrap().kind, ParamKind::Text);
        assert_eq!(find("FI_LOG_INTERVAL").unwrap().kind, ParamKind::Int);
        assert!(all.iter().any(|param| param.kind == ParamKind::Size));
        assert!(all.iter().any(|param| param.kind == ParamKind::Bool));
        assert!(all.iter().all(|param| !param.help.is_empty()));
        for param in &all {
            assert_eq!(param.value, std::env::var(&param.name).ok(), "{}", param.name);
        }
    }

    #[test]
    fn prints_as_fi_info_does() {
        let mut param = Param {
            name: "FI_LOG_LEVEL".into(),
            kind: ParamKind::Text,
            value: None,
            help: "Specify logging level\nor not".into(),
        };
        let unset = "# FI_LOG_LEVEL: String\n# Specify logging level\n# or not\n\
                     # FI_LOG_LEVEL is not set";
        assert_eq!(param.to_string(), unset);
        param.value = Some("warn".into());
        assert!(param.to_string().ends_with("\nFI_LOG_LEVEL=warn"));
    }

    #[test]
    fn an_unknown_kind_is_kept() {
        assert_eq!(ParamKind::from_raw(9), ParamKind::Unknown(9));
    }
}
