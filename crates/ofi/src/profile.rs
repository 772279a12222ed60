//! Profiles: what a provider counts about itself.
//!
//! Functions that libfabric calls on an event are not wrapped: they run inside of it, and may call
//! next to nothing of it (rule X14).
//!
//! # Safety
//!
//! A profile borrows its object, so that it is never used after that is closed. Whether its provider
//! can close it, and which variables have anything behind them, is looked at before the call.

use std::{ffi::CStr, fmt, marker::PhantomData, ptr::NonNull};

use ofi_sys::{fi_profile_desc, fid_profile};

use crate::{
    Datatype, Domain, Endpoint, Errno, Error, ErrorKind, Result, Version,
    endpoint::Kind,
    error::{Needs, check},
    object::refuse_fork,
    quirks::{Defect, quirk},
    threading::Threading,
    version,
};

/// What a provider counts about an endpoint or a domain.
///
/// Few offer it: tcp and verbs where libfabric was built with `--enable-profile`. Stays on its
/// thread, and no longer than its object.
///
/// See `fi_profile(3)`.
#[doc(alias = "fid_profile")]
#[doc(alias = "fi_profile_close")]
pub struct Profile<'a> {
    fid: NonNull<fid_profile>,
    provider: &'a str,
    object: PhantomData<(&'a (), *const ())>,
}

/// A variable of a [`Profile`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[doc(alias = "fi_profile_desc")]
#[non_exhaustive]
pub struct ProfileVariable {
    /// Its number: libfabric's own are below 8, the others are the provider's.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What it says, in words.
    pub description: String,
    /// The type of its value, if that is a number.
    pub datatype: Option<Datatype>,
    /// Bytes of its value.
    pub size: usize,
}

/// An event of a [`Profile`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ProfileEvent {
    /// Its number.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What it says, in words.
    pub description: String,
}

impl<K: Kind, T: Threading> Endpoint<K, T> {
    /// What the provider counts about this endpoint.
    ///
    /// On tcp a profile stays until the endpoint is closed, and each call makes a new one, which alone
    /// counts from then on.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the provider, or the running library (1.20), has no profiles; what else the
    /// provider says.
    #[doc(alias = "fi_profile_open")]
    pub fn profile(&self) -> Result<Profile<'_>> {
        // SAFETY: the endpoint is open for as long as it is borrowed.
        unsafe { Profile::open(self.as_raw().cast(), self.info().provider()) }
    }
}

impl<T: Threading> Domain<T> {
    /// What the provider counts about this domain.
    ///
    /// # Errors
    ///
    /// As [`Endpoint::profile`].
    #[doc(alias = "fi_profile_open")]
    pub fn profile(&self) -> Result<Profile<'_>> {
        // SAFETY: the domain is open for as long as it is borrowed.
        unsafe { Profile::open(self.as_raw().cast(), self.info().provider()) }
    }
}

impl<'a> Profile<'a> {
    /// # Safety
    ///
    /// `fid` is open, and stays so for `'a`.
    unsafe fn open(fid: *mut ofi_sys::fid, provider: &'a str) -> Result<Profile<'a>> {
        const NAME: &str = "fi_profile_open";
        const SINCE: Version = Version::new(1, 20);
        refuse_fork(NAME)?;
        if version() < SINCE {
            return Err(Error::unsupported(NAME, Needs::Version(SINCE)));
        }
        let mut profile = std::ptr::null_mut();
        // SAFETY: the caller's promise; `profile` receives the object.
        let status =
            unsafe { ofi_sys::fi_profile_open(fid, 0, &raw mut profile, std::ptr::null_mut()) };
        check(i64::from(status), NAME).map_err(|error| {
            error.absent(Needs::Property("a provider that was built with profiling"))
        })?;
        let fid = NonNull::new(profile)
            .ok_or_else(|| Error::new(ErrorKind::Failed, NAME).detail("it left no object"))?;
        Ok(Profile { fid, provider, object: PhantomData })
    }

    /// The variables there are.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_profile_query_vars")]
    pub fn variables(&self) -> Result<Vec<ProfileVariable>> {
        const NAME: &str = "fi_profile_query_vars";
        let list = query(NAME, |list, count| {
            // SAFETY: the profile is open; the list has room for `count`, or is null.
            unsafe { ofi_sys::fi_profile_query_vars(self.fid.as_ptr(), list, count) }
        })?;
        Ok(list.iter().map(ProfileVariable::of).collect())
    }

    /// The events there are.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_profile_query_events")]
    pub fn events(&self) -> Result<Vec<ProfileEvent>> {
        const NAME: &str = "fi_profile_query_events";
        let list = query(NAME, |list, count| {
            // SAFETY: the profile is open; the list has room for `count`, or is null.
            unsafe { ofi_sys::fi_profile_query_events(self.fid.as_ptr(), list, count) }
        })?;
        Ok(list
            .iter()
            .map(|desc| ProfileEvent {
                id: desc.id,
                name: words(desc.name),
                description: words(desc.desc),
            })
            .collect())
    }

    /// The value of a variable that is a number of 64 bits.
    ///
    /// # Errors
    ///
    /// `Invalid` if it is not one of [`variables`](Self::variables), or no such number; `Unsupported`
    /// for those that tcp lists and has not (quirk 37); what the provider says.
    #[doc(alias = "fi_profile_read_u64")]
    pub fn read(&self, variable: &ProfileVariable) -> Result<u64> {
        const NAME: &str = "fi_profile_read_u64";
        if !self.variables()?.contains(variable) {
            return Err(Error::invalid(NAME, format!("{} is not of this profile", variable.name)));
        }
        if variable.datatype != Some(Datatype::Uint64) || variable.size != size_of::<u64>() {
            return Err(Error::invalid(NAME, format!("{} is no 64-bit number", variable.name)));
        }
        if self.listed_only() && variable.id != ofi_sys::FI_VAR_UNEXP_MSG_CNT {
            return Err(Error::unsupported(NAME, Needs::Property("a variable with a value"))
                .detail(format!("the provider lists {}, and has it not", variable.name)));
        }
        let mut value = 0_u64;
        // SAFETY: the profile is open; it lists the variable, as a number of this size.
        let status =
            unsafe { ofi_sys::fi_profile_read_u64(self.fid.as_ptr(), variable.id, &raw mut value) };
        check(status as i64, NAME)?;
        Ok(value)
    }

    /// Reads variables that belong together: what `read` reads meanwhile is of one moment, where the
    /// provider can do that.
    #[doc(alias = "fi_profile_start_reads")]
    #[doc(alias = "fi_profile_end_reads")]
    pub fn snapshot<R>(&self, read: impl FnOnce(&Self) -> R) -> R {
        struct Ends<'p, 'a>(&'p Profile<'a>);
        impl Drop for Ends<'_, '_> {
            fn drop(&mut self) {
                // SAFETY: the profile is open while it is borrowed.
                unsafe { ofi_sys::fi_profile_end_reads(self.0.fid.as_ptr(), 0) };
            }
        }
        // It would read all that is listed (quirk 37).
        let _ends = (!self.listed_only()).then(|| {
            // SAFETY: the profile is open.
            unsafe { ofi_sys::fi_profile_start_reads(self.fid.as_ptr(), 0) };
            Ends(self)
        });
        read(self)
    }

    /// Sets the variables back, as far as the provider does.
    #[doc(alias = "fi_profile_reset")]
    pub fn reset(&self) {
        // SAFETY: the profile is open.
        unsafe { ofi_sys::fi_profile_reset(self.fid.as_ptr(), 0) };
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_profile {
        self.fid.as_ptr()
    }

    /// Whether most of what is listed has nothing behind it.
    fn listed_only(&self) -> bool {
        quirk(self.provider, Defect::ProfileIncomplete).is_some()
    }
}

impl Drop for Profile<'_> {
    fn drop(&mut self) {
        if crate::object::forked() {
            return;
        }
        // SAFETY: the profile is open until now. Its table of functions may be missing (quirk 37), or
        // have no way to close it: it is then its object's.
        unsafe {
            let ops = (*self.fid.as_ptr()).fid.ops;
            if !ops.is_null() && (*ops).close.is_some() {
                let status = ofi_sys::fi_profile_close(self.fid.as_ptr());
                if status != 0 {
                    let error = Error::from_errno(Errno::from_raw(status), "fi_profile_close");
                    crate::object::report("profile", &error);
                }
            }
        }
    }
}

impl ProfileVariable {
    fn of(desc: &fi_profile_desc) -> ProfileVariable {
        let datatype = (desc.datatype_sel == ofi_sys::fi_primitive_type).then(|| {
            // SAFETY: both members of the union are numbers of the same size.
            Datatype::from_raw(unsafe { desc.datatype.primitive })
        });
        ProfileVariable {
            id: desc.id,
            name: words(desc.name),
            description: words(desc.desc),
            datatype,
            size: desc.size,
        }
    }
}

/// Asks for a list of descriptions: how many first, then all. Between the two it may have grown.
fn query(
    name: &'static str,
    call: impl Fn(*mut fi_profile_desc, *mut usize) -> isize,
) -> Result<Vec<fi_profile_desc>> {
    let mut count = 0;
    check(call(std::ptr::null_mut(), &raw mut count) as i64, name)?;
    // SAFETY: an all-zero description is one: numbers and null pointers.
    let mut list = vec![unsafe { std::mem::zeroed::<fi_profile_desc>() }; count];
    let mut room = count;
    let written = check(call(list.as_mut_ptr(), &raw mut room) as i64, name)?;
    list.truncate(written.min(count));
    Ok(list)
}

/// The provider's words, empty if it has none.
fn words(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: fi_profile(3): the provider's own string, which it manages.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

impl fmt::Debug for Profile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profile").field("provider", &self.provider).finish_non_exhaustive()
    }
}
