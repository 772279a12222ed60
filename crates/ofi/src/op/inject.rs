//! Operations whose bytes the provider copies, and that leave nothing to wait for.

use std::ffi::c_void;

use super::{
    Failed, Operation,
    lane::Lane,
    options::Flagged,
    post, prefix,
    slot::{PROVIDER, Slot},
};
use crate::{
    Address, Error, ErrorKind, Result, Segments,
    endpoint::Core,
    mr::KeyKind,
    threading::{Threading, Word},
};

/// A verb that can be injected. Public in name only.
pub trait Injects: Flagged {
    /// The C call, for error texts.
    const INJECT: &'static str;
    /// Whether there is such a call for all that was asked for.
    fn injectable(&self) -> bool {
        true
    }
    /// Hands the bytes to the provider.
    ///
    /// # Safety
    ///
    /// As [`Verb::issue`](super::Verb::issue); the bytes are within the inject size and initialised.
    unsafe fn inject(&self, ep: *mut ofi_sys::fid_ep, buf: *const c_void, len: usize) -> isize;
}

impl<V: Injects, B: AsRef<[u8]>, T: Threading> Operation<'_, V, B, T> {
    /// Sends a copy: the provider has taken the bytes when this returns, and there is nothing to
    /// wait for. Takes any slice, borrowed ones too.
    ///
    /// A later failure shows as an entry in
    /// [`CompletionQueue::unsolicited`](crate::CompletionQueue::unsolicited) (rule B5).
    ///
    /// # Errors
    ///
    /// With the buffer: [`ErrorKind::TooLarge`] beyond the endpoint's inject size,
    /// [`ErrorKind::Busy`] where there is no room, `Invalid` with flags, what the provider says.
    #[doc(alias = "fi_inject")]
    #[doc(alias = "fi_injectdata")]
    #[doc(alias = "fi_tinject")]
    #[doc(alias = "fi_tinjectdata")]
    #[doc(alias = "fi_inject_write")]
    #[doc(alias = "fi_inject_writedata")]
    pub fn inject(self) -> Result<B, Failed<B>> {
        let Operation { core, verb, buffer, to, fault } = self;
        match fault.map_or_else(|| inject(core, &verb, buffer.as_ref(), to), Err) {
            Ok(()) => Ok(buffer),
            Err(error) => Err(Failed::back(error, buffer)),
        }
    }
}

fn inject<V: Injects, T: Threading>(
    core: &Core<T>,
    verb: &V,
    bytes: &[u8],
    to: Option<Address>,
) -> Result<()> {
    let name = V::INJECT;
    let limit = core.limits.inject;
    if bytes.len() > limit {
        return Err(Error::new(ErrorKind::TooLarge { limit }, name));
    }
    let unknown = to.is_some_and(|address| !core.knows(address));
    let keys = verb.keys() & !u64::from(core.limits.keys) != 0;
    let missing = verb.needs() & !core.limits.caps;
    if missing != 0 || unknown || keys {
        return Err(post::refuse::<V, T>(core, missing, keys, (1, 0), false, unknown));
    }
    let mut list = Segments::new();
    list.push(bytes.as_ptr().cast_mut(), bytes.len());
    verb.fits(&list, core.limits.remote_iov)?;
    if verb.flags() != 0 {
        return Err(Error::invalid(name, "what is injected takes no flags"));
    }
    if !verb.injectable() {
        return Err(Error::invalid(V::INJECT, "what is injected goes to one piece of memory"));
    }
    if core.lane().must_wait(verb.class()) {
        return Err(Error::busy());
    }
    let mut verb = *verb;
    let mut mappings = Vec::new();
    if verb.keys() == KeyKind::Mapped as u64 {
        verb.change_keys(&mut |key| {
            mappings.push(core.domain_core().resolve(key)?);
            Ok(())
        })?;
    }
    let Some(_named) = Named::new(core, to) else {
        return Err(Error::new(ErrorKind::StaleAddress, name));
    };
    let fid = core.lane().fid.as_ptr();
    let status = if V::HEADED && core.limits.prefix > 0 {
        // SAFETY: as below; the room is before them, in memory that is ours.
        prefix::with_room(core.limits.prefix as usize, bytes, |start, len| unsafe {
            verb.inject(fid, start.cast(), len)
        })
    } else {
        // SAFETY: the endpoint is open and has the capability; the address is in its vector and stays
        // (`_named`), as does what its keys are (`mappings`); the bytes are read during the call only
        // (rule B5) and within the inject size.
        unsafe { verb.inject(fid, bytes.as_ptr().cast(), bytes.len()) }
    };
    if status < 0 { Err(post::refused::<V>(status)) } else { Ok(()) }
}

/// Names an address through a slot for as long as a call runs that leaves no slot behind, so that
/// another thread cannot remove the address meanwhile (rule A2).
struct Named<'a, T: Threading>(Option<&'a Slot<T>>);

impl<'a, T: Threading> Named<'a, T> {
    /// `None` if the address was removed.
    fn new(core: &'a Core<T>, to: Option<Address>) -> Option<Self> {
        // Where only one thread may be here, nobody can remove it during the call.
        let Some(address) = to.filter(|_| T::SHARED) else {
            return Some(Named(None));
        };
        let slot = core.lane().acquire();
        slot.destination.store(address.entry_word());
        slot.state.store_fenced(PROVIDER);
        let named = Named(Some(slot));
        address.is_current().then_some(named)
    }
}

impl<T: Threading> Drop for Named<'_, T> {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            // SAFETY: taken from the free list by us and never posted.
            unsafe { Lane::home(slot) };
        }
    }
}
