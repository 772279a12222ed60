//! The way of an operation to the provider.

use std::{ffi::c_void, marker::PhantomData, ptr::NonNull};

use libc::iovec;

use super::{
    Failed, Memory, Op, Uses, Verb,
    lane::{self, Lane},
    slot::{self, OP, PROVIDER, Part, Slot, Table},
};
use crate::{
    Address, Error, ErrorKind, Result,
    buf::{INLINE_SEGMENTS, Segments},
    endpoint::{Core, DIRECTED_MSG},
    error::Needs,
    threading::{Threading, Word},
};

/// Posts what [`check`] found right, or queues it if `queue` and there is no room.
///
/// # Safety
///
/// The lane's endpoint is open and cannot close meanwhile; `list` is what the verb lists of the buffer,
/// and what [`Verb::issue`] asks for holds, but for an address that may have been removed.
#[inline(always)]
pub(super) unsafe fn launch<V: Uses<B>, B: 'static, T: Threading>(
    lane: &Lane<T>,
    verb: V,
    buffer: B,
    to: Option<Address>,
    list: Segments,
    queue: bool,
) -> Result<Op<V, B, T>, Failed<B>> {
    let class = verb.class();
    let line = lane.must_wait(class);
    if line && !queue {
        return Err(Failed::back(Error::busy(), buffer));
    }
    let slot = lane.acquire();
    let body = slot.body(Part::Whole, |b| b);
    // SAFETY: a slot just taken from the free list is ours alone. Its buffer storage is empty;
    // a verb fits, `Glue` checks.
    unsafe {
        (*body).table = &Glue::<V, B, T>::TABLE;
        (*body).posted = list.total();
        (&raw mut (*body).verb).cast::<V>().write(verb);
        slot::store(&raw mut (*body).buffer, buffer);
    }
    slot.destination.store(to.map_or(0, |address| address.entry_word()));
    // Also when it is to be queued: from here on the slot names its address.
    slot.state.store_fenced(PROVIDER | OP);
    let status = if T::SHARED && to.is_some_and(|address| !address.is_current()) {
        // Another thread removed it between the first look and the mark (rule A2).
        REMOVED
    } else if line {
        // It takes its place in the line below.
        -(ofi_sys::FI_EAGAIN as isize)
    } else {
        // SAFETY: the slot is prepared; the caller promises the rest.
        unsafe { Glue::<V, B, T>::issue_listed(slot, &verb, list) }
    };
    if status < 0 {
        if !queue || status != -(ofi_sys::FI_EAGAIN as isize) {
            // SAFETY: it was not posted, so the slot is ours alone.
            return Err(unsafe { not_posted::<V, B, T>(slot, status) });
        }
        lane.enqueue(slot, class, V::RECEIVES);
    }
    Ok(Op { slot: NonNull::from(slot), registered: false, kind: PhantomData })
}

/// In place of a status: the address was removed before the post.
const REMOVED: isize = isize::MIN;

/// Takes the buffer out of a slot that was not posted, and brings the slot home.
///
/// # Safety
///
/// The slot holds a `B` and is the caller's alone.
#[cold]
#[inline(never)]
unsafe fn not_posted<V: Verb, B, T: Threading>(slot: &Slot<T>, status: isize) -> Failed<B> {
    // SAFETY: the caller's promise.
    let buffer = unsafe {
        let body = slot.body(Part::Whole, |b| b);
        (*body).spilled = None;
        let buffer = slot::take::<B>(&raw mut (*body).buffer);
        lane::Lane::home(slot);
        buffer
    };
    Failed::back(refused::<V>(status), buffer)
}

#[cold]
pub(super) fn refused<V: Verb>(status: isize) -> Error {
    if status == -(ofi_sys::FI_EAGAIN as isize) {
        return Error::busy();
    }
    if status == REMOVED {
        return Error::new(ErrorKind::StaleAddress, V::NAME);
    }
    Error::from_errno(crate::Errno::from_raw(status as i32), V::NAME)
}

/// What must hold before libfabric sees the operation. Returns the memory that it is about.
#[inline(always)]
pub(super) fn check<V: Uses<B>, B, T: Threading>(
    core: &Core<T>,
    verb: &V,
    buffer: &mut B,
    to: Option<Address>,
) -> Result<Segments> {
    let mut list = Segments::for_access(V::ACCESS);
    V::list(buffer, &mut list);
    let total = list.total();
    let limits = &core.limits;
    let iov_limit = match (V::RECEIVES, V::PARTS) {
        (true, _) => limits.receive_iov,
        (false, false) => limits.transmit_iov,
        (false, true) => usize::MAX,
    };
    let long = !V::RECEIVES && total > limits.message;
    let missing = verb.needs() & !limits.caps;
    let foreign = to.is_some_and(|address| !core.knows(address));
    let unregistered = limits.local_registration && list.unregistered() > 0;
    if list.is_foreign(core.domain()) {
        return Err(Error::invalid(V::NAME, "a region of another domain")
            .hint("register the memory on the endpoint's domain too"));
    }
    if list.count() > iov_limit || long || missing != 0 || foreign || unregistered {
        return Err(refusal::<V>(list.count(), iov_limit, long, limits.message, missing, foreign));
    }
    verb.fits(&list, limits.remote_iov)?;
    Ok(list)
}

#[cold]
pub(super) fn refusal<V: Verb>(
    count: usize,
    iov_limit: usize,
    long: bool,
    message: usize,
    missing: u64,
    foreign: bool,
) -> Error {
    if count > iov_limit {
        return Error::new(ErrorKind::TooLarge { limit: iov_limit }, V::NAME)
            .detail(format!("{count} segments in one operation"));
    }
    if long {
        return Error::new(ErrorKind::TooLarge { limit: message }, V::NAME)
            .hint("split the message, or open an endpoint whose max_msg_size is larger");
    }
    if missing == DIRECTED_MSG {
        return Error::unsupported(
            V::NAME,
            Needs::Property("directed receives of untagged messages"),
        )
        .hint("the provider ignores whom they are for; use tagged messages");
    }
    if missing != 0 {
        let caps = crate::Caps::from_raw(missing);
        let name = caps.iter_names().next().map_or("unknown", |(name, _)| name);
        return Error::unsupported(V::NAME, Needs::Capability(name))
            .hint("ask for the capability in the hints");
    }
    if foreign {
        return Error::new(ErrorKind::StaleAddress, V::NAME)
            .hint("insert the peer's address in the address vector of this endpoint");
    }
    Error::unsupported(V::NAME, Needs::Property("registered memory (FI_MR_LOCAL)"))
        .hint("register the buffer on the endpoint's domain and send a slice of the region")
}

/// Ties a verb to a buffer type and a threading.
struct Glue<V, B, T>(PhantomData<(V, B, T)>);

impl<V: Uses<B>, B: 'static, T: Threading> Glue<V, B, T> {
    const TABLE: Table<T> = Table {
        name: V::NAME,
        receives: V::RECEIVES,
        drop_buffer: Self::drop_buffer,
        issue: Self::issue,
    };

    unsafe fn drop_buffer(storage: *mut slot::Storage) {
        // SAFETY: the caller has a storage that `launch` put a `B` in.
        drop(unsafe { slot::take::<B>(storage) });
    }

    /// Once more, for the backlog.
    ///
    /// # Safety
    ///
    /// `launch` prepared the slot with this table, the endpoint is open, and the address in the verb
    /// is in its vector.
    unsafe fn issue(slot: &Slot<T>) -> isize {
        // Out of the closure: the completer may write the outcome while `issue` still runs.
        let body = slot.body(Part::Buffer, |b| b);
        // SAFETY: verb and buffer were written by `launch`; the completer touches neither.
        unsafe {
            let verb = (&raw const (*body).verb).cast::<V>().read();
            let mut list = Segments::for_access(V::ACCESS);
            V::list(&mut *slot::stored::<B>(&raw mut (*body).buffer), &mut list);
            Self::issue_listed(slot, &verb, list)
        }
    }

    /// # Safety
    ///
    /// As [`issue`](Self::issue); `list` is what the verb lists of the buffer in the slot, which has
    /// only been moved since (`Buf` promises that its memory stays where it is).
    #[inline(always)]
    unsafe fn issue_listed(slot: &Slot<T>, verb: &V, mut list: Segments) -> isize {
        const {
            assert!(
                size_of::<V>() <= size_of::<slot::VerbStorage>() && align_of::<V>() <= 8,
                "verbs fit in their slot"
            );
        }
        let body = slot.body(Part::Buffer, |b| b);
        // SAFETY: the body's lists are the operation's. They live in the slot until it is home (rule
        // B9).
        unsafe {
            let lane = slot.lane.as_ref();
            let memory = match (list.single(), lane.overflow.filter(|_| V::RECEIVES)) {
                (Some((iov, desc)), None) => Memory::One(iov, desc),
                (Some((iov, desc)), Some(overflow)) => {
                    let pieces: *mut iovec = (&raw mut (*body).iov).cast();
                    let descriptors: *mut *mut c_void = (&raw mut (*body).desc).cast();
                    pieces.write(iov);
                    pieces.add(1).write(overflow.segment());
                    descriptors.write(desc);
                    descriptors.add(1).write(std::ptr::null_mut());
                    Memory::Many(pieces, descriptors, 2)
                }
                (None, overflow) => {
                    if let Some(overflow) = overflow {
                        let rest = overflow.segment();
                        list.push(rest.iov_base.cast(), rest.iov_len);
                    }
                    keep(body, &list)
                }
            };
            verb.issue(lane.fid.as_ptr(), memory, slot.context())
        }
    }
}

/// Keeps a list of segments in the slot, where the provider may read it until the completion.
///
/// # Safety
///
/// The caller owns the body's lists.
#[cold]
unsafe fn keep<T: Threading>(body: *mut slot::Body<T>, list: &Segments) -> Memory {
    let count = list.count();
    let described = list.unregistered() < count;
    // SAFETY: the caller's promise; pointers into the body stay valid, slots do not move.
    let (iov, desc) = unsafe {
        if count <= INLINE_SEGMENTS {
            let iov: *mut iovec = (&raw mut (*body).iov).cast();
            let desc: *mut *mut c_void = (&raw mut (*body).desc).cast();
            for (i, (segment, registration)) in list.iter().enumerate() {
                iov.add(i).write(segment);
                desc.add(i).write(registration);
            }
            (iov.cast_const(), desc)
        } else {
            let spilled = &mut (*body).spilled;
            let spilled = spilled.insert(Box::new(list.iter().unzip()));
            (spilled.0.as_ptr(), spilled.1.as_mut_ptr())
        }
    };
    // Descriptors are valid or absent (rule M3).
    Memory::Many(iov, if described { desc } else { std::ptr::null_mut() }, count)
}
