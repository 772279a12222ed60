//! The way of an operation to the provider.

use std::{ffi::c_void, marker::PhantomData, ptr::NonNull};

use libc::iovec;

use super::{
    Failed, Memory, Op, Returned, Uses, Verb, failed,
    lane::{self, Lane},
    prefix,
    slot::{self, EXTRA, MANY, OP, PROVIDER, Part, Slot, Table},
};
use crate::{
    Address, Error, ErrorKind, Place, Result,
    buf::{INLINE_SEGMENTS, Segments},
    endpoint::{Core, DIRECTED_MSG, Limits, SINGLE},
    error::Needs,
    mr::KeyKind,
    threading::{Threading, Word},
};

/// A buffer in its slot, to be checked and launched.
pub(super) struct Laid<'a, V, B, T: Threading> {
    lane: &'a Lane<T>,
    slot: &'a Slot<T>,
    pub(super) list: Segments,
    kind: PhantomData<(V, B)>,
}

/// Puts a buffer where it stays until its operation has ended, and lists its memory there.
#[inline(always)]
pub(super) fn lay<V: Uses<B>, B: 'static, T: Threading>(
    lane: &Lane<T>,
    buffer: B,
) -> Laid<'_, V, B, T> {
    // SAFETY: a slot just taken from the free list is ours alone, and its buffer storage is empty.
    unsafe { lay_in(lane, lane.acquire(), buffer) }
}

/// As [`lay`], in a slot that is away already.
///
/// # Safety
///
/// The slot is the lane's and the caller's alone, and empty.
#[inline(always)]
pub(super) unsafe fn lay_in<'a, V: Uses<B>, B: 'static, T: Threading>(
    lane: &'a Lane<T>,
    slot: &'a Slot<T>,
    buffer: B,
) -> Laid<'a, V, B, T> {
    let body = slot.body(Part::Whole, |b| b);
    // SAFETY: the caller's promise.
    let list = unsafe {
        slot::store(&raw mut (*body).buffer, buffer);
        V::moved(&mut *slot::stored::<B>(&raw mut (*body).buffer), Place::Operation);
        Glue::<V, B, T>::list(body)
    };
    Laid { lane, slot, list, kind: PhantomData }
}

impl<V: Uses<B>, B: 'static, T: Threading> Laid<'_, V, B, T> {
    /// Gives the buffer back.
    #[cold]
    #[inline(never)]
    pub(super) fn lift(self, error: Error) -> Failed<B> {
        // SAFETY: it is not posted, so the slot is ours alone.
        unsafe { not_posted::<V, B, T>(self.slot, error) }
    }

    /// Gives the buffer back and leaves the slot to the caller, whose it was.
    pub(super) fn take_out(self) -> B {
        let body = self.slot.body(Part::Whole, |b| b);
        // SAFETY: it is not posted, so the slot is ours alone, and holds the `B`.
        let mut buffer = unsafe { slot::take::<B>(&raw mut (*body).buffer) };
        V::moved(&mut buffer, Place::Caller);
        buffer
    }

    /// Puts keys in the places of their mappings' numbers, and holds these until the operation has
    /// ended (rule M8). [`check`] has found that all are such.
    #[cold]
    #[inline(never)]
    pub(super) fn map_keys(&self, core: &Core<T>, verb: &mut V) -> Result<()> {
        let domain = core.domain_core();
        let mut mappings = Vec::new();
        verb.change_keys(&mut |key| {
            mappings.push(domain.resolve(key)?);
            Ok(())
        })?;
        let body = self.slot.body(Part::Whole, |b| b);
        // SAFETY: the slot is ours alone, and nothing is in it but the buffer.
        unsafe { (*body).spilled.get_or_insert_default().mappings = mappings };
        Ok(())
    }

    /// Posts the operation, or queues it if `queue` and there is no room.
    ///
    /// # Safety
    ///
    /// The lane's endpoint is open and cannot close meanwhile; what [`Verb::issue`] asks for holds, but
    /// for an address that may have been removed; `mapped` if `map_keys` was called.
    #[inline(always)]
    pub(super) unsafe fn launch(
        self,
        verb: V,
        to: Option<Address>,
        queue: bool,
        mapped: bool,
    ) -> Result<Op<V, B, T>, Failed<B>> {
        let Laid { lane, slot, list, .. } = self;
        let body = slot.body(Part::Whole, |b| b);
        // SAFETY: the slot is ours alone.
        unsafe {
            (*body).table = &Glue::<V, B, T>::TABLE;
            slot::note::<V, T>(body, verb.note(&list));
        }
        slot.destination.store(to.map_or(0, |address| address.entry_word()));
        let extra = if list.count() >= INLINE_SEGMENTS || mapped { EXTRA } else { 0 };
        // Also when it is to be queued: from here on the slot names its address.
        let many = if V::MANY { MANY } else { 0 };
        slot.state.store_fenced(PROVIDER | OP | extra | many);
        let status = if T::SHARED && to.is_some_and(|address| !address.is_current()) {
            // Another thread removed it between the first look and the mark (rule A2).
            REMOVED
        } else if queue && lane.must_wait(verb.class()) {
            // It takes its place in the line below.
            -(ofi_sys::FI_EAGAIN as isize)
        } else {
            // SAFETY: the slot is prepared; the caller promises the rest.
            unsafe {
                match list.single() {
                    Some((iov, desc)) => Glue::<V, B, T>::issue_one(lane, slot, &verb, iov, desc),
                    None => {
                        Glue::<V, B, T>::keep_verb(body, verb);
                        Glue::<V, B, T>::issue(slot)
                    }
                }
            }
        };
        if status < 0 {
            if V::MANY && !is_refused(status) {
                // SAFETY: the operation's half is ours, and no waker is in it.
                let buf = unsafe { failed::hold::<V, B, T>(NonNull::from(slot)) };
                let buf = buf.map_or_else(Returned::Back, Returned::Held);
                return Err(Failed { error: refused::<V>(status), buf });
            }
            if !queue || status != -(ofi_sys::FI_EAGAIN as isize) {
                // SAFETY: it was not posted, so the slot is ours alone.
                return Err(unsafe { not_posted::<V, B, T>(slot, refused::<V>(status)) });
            }
            // SAFETY: as above.
            unsafe { Glue::<V, B, T>::keep_verb(body, verb) };
            lane.enqueue(slot, verb.class(), V::RECEIVES);
        }
        Ok(Op { slot: NonNull::from(slot), kind: PhantomData })
    }
}

impl<'a, V: Uses<B>, B: 'static, T: Threading> Laid<'a, V, B, T> {
    pub(super) fn slot(&self) -> &'a Slot<T> {
        self.slot
    }

    /// Hands the operation to the provider by another call than the verb's: `issue` makes it, and
    /// gives its status. What it leaves with the provider instead of the slot names the slot.
    ///
    /// # Safety
    ///
    /// As [`launch`](Self::launch), for what `issue` calls.
    pub(super) unsafe fn launch_by(
        self,
        verb: V,
        to: Option<Address>,
        issue: impl FnOnce(&Segments) -> isize,
    ) -> Result<Op<V, B, T>, Failed<B>> {
        let Laid { slot, list, .. } = self;
        let body = slot.body(Part::Whole, |b| b);
        // SAFETY: the slot is ours alone.
        unsafe {
            (*body).table = &Glue::<V, B, T>::TABLE;
            slot::note::<V, T>(body, verb.note(&list));
        }
        slot.destination.store(to.map_or(0, |address| address.entry_word()));
        // From here on the slot names its address, as in `launch`.
        slot.state.store_fenced(PROVIDER | OP);
        let removed = T::SHARED && to.is_some_and(|address| !address.is_current());
        let status = if removed { REMOVED } else { issue(&list) };
        if status < 0 {
            // SAFETY: it was not posted, so the slot is ours alone.
            return Err(unsafe { not_posted::<V, B, T>(slot, refused::<V>(status)) });
        }
        Ok(Op { slot: NonNull::from(slot), kind: PhantomData })
    }
}

/// In place of a status: the address was removed before the post.
const REMOVED: isize = isize::MIN;

/// Whether the provider cannot have begun an operation that it did not take. Others it has given up
/// after the first messages that were waiting for it, whose entries come.
fn is_refused(status: isize) -> bool {
    const AT_ONCE: [i32; 3] = [ofi_sys::FI_EAGAIN, ofi_sys::FI_ENOSYS, ofi_sys::FI_EOPNOTSUPP];
    AT_ONCE.iter().any(|&errno| status == -(errno as isize)) || status == REMOVED
}

/// Takes the buffer out of a slot that was not posted, and brings the slot home.
///
/// # Safety
///
/// The slot holds a `B` and is the caller's alone.
#[cold]
#[inline(never)]
unsafe fn not_posted<V: Uses<B>, B, T: Threading>(slot: &Slot<T>, error: Error) -> Failed<B> {
    // SAFETY: the caller's promise.
    let mut buffer = unsafe {
        let body = slot.body(Part::Whole, |b| b);
        slot::Body::clear_extra(body);
        let buffer = slot::take::<B>(&raw mut (*body).buffer);
        lane::Lane::home(slot);
        buffer
    };
    V::moved(&mut buffer, Place::Caller);
    Failed::back(error, buffer)
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

/// What must hold before libfabric sees the operation, of an endpoint that `caps` says what it is for.
#[inline(always)]
pub(super) fn check<V: Verb, T: Threading>(
    core: &Core<T>,
    caps: u64,
    verb: V,
    list: &Segments,
    to: Option<Address>,
) -> Result<()> {
    let limits = &core.limits;
    // Mostly neither is there, and of most buffers it is known that they have none.
    let headed = V::HEADED && (limits.special || list.head() != 0);
    if headed && list.head() != limits.prefix as usize {
        return Err(prefix::misfit(core, V::NAME, list.head()));
    }
    let good = verb.needs() & !caps == 0
        && list.count() <= limits.pieces::<V>()
        && (V::RECEIVES || list.total() - list.head() <= limits.message)
        && (!limits.special || !limits.local_registration || list.unregistered() == 0)
        && !list.is_foreign(core.domain(), core.scope())
        && !limits.refuse_device(list)
        && verb.keys() & !u64::from(limits.keys) == 0
        && to.is_none_or(|address| core.knows(address));
    if !good {
        // In pieces: what goes there by reference would be kept in memory for every operation.
        let unknown = to.is_some_and(|address| !core.knows(address));
        let foreign = list.is_foreign(core.domain(), core.scope());
        if limits.refuse_device(list) {
            return Err(device_refused::<V>());
        }
        let missing = verb.needs() & !caps;
        let keys = verb.keys() & !u64::from(limits.keys) != 0;
        let sizes = (list.count(), list.total() - list.head());
        return Err(refuse::<V, T>(core, missing, keys, sizes, foreign, unknown));
    }
    verb.fits(list, limits.remote_iov)
}

impl Limits {
    /// Whether memory of devices in the list cannot be used (rule M12).
    #[inline(always)]
    fn refuse_device(&self, list: &Segments) -> bool {
        list.refuses_device(self.caps & ofi_sys::FI_HMEM != 0, self.device_registration)
    }

    /// How many pieces of memory an operation may have.
    #[inline(always)]
    fn pieces<V: Verb>(&self) -> usize {
        match (V::RECEIVES, V::PARTS) {
            (true, _) => self.receive_iov,
            (false, false) => self.transmit_iov,
            (false, true) => usize::MAX,
        }
    }
}

#[cold]
fn device_refused<V: Verb>() -> Error {
    Error::unsupported(V::NAME, Needs::Property("memory that the endpoint can use as it is"))
        .detail("the memory is a device's")
        .hint(
            "ask for FI_HMEM in the hints; where the domain has FI_MR_HMEM use a slice of a region, \
             registered for this operation",
        )
}

/// Why [`check`] does not like it: the capabilities that are missing, whether its `keys` are not what
/// the endpoint uses, `count` and `total` of the list, whether it has regions of
/// another domain, and whether the address is none of this endpoint's.
#[cold]
#[inline(never)]
pub(super) fn refuse<V: Verb, T: Threading>(
    core: &Core<T>,
    missing: u64,
    keys: bool,
    (count, total): (usize, usize),
    foreign: bool,
    unknown: bool,
) -> Error {
    let limits = &core.limits;
    if keys {
        let raw = limits.keys == KeyKind::Mapped as u8;
        let detail = if raw { "the key is not mapped" } else { "the key is another domain's" };
        return Error::invalid(V::NAME, detail)
            .hint("Domain::map makes a peer's region ready for a domain");
    }
    if foreign {
        return Error::invalid(V::NAME, "a region of another domain")
            .hint("register the memory on the endpoint's domain, or on the endpoint, too");
    }
    if count > limits.pieces::<V>() {
        return Error::new(ErrorKind::TooLarge { limit: limits.pieces::<V>() }, V::NAME)
            .detail(format!("{count} segments in one operation"));
    }
    if !V::RECEIVES && total > limits.message {
        return Error::new(ErrorKind::TooLarge { limit: limits.message }, V::NAME)
            .hint("split the message, or open an endpoint whose max_msg_size is larger");
    }
    if missing == DIRECTED_MSG {
        return Error::unsupported(
            V::NAME,
            Needs::Property("directed receives of untagged messages"),
        )
        .hint("the provider ignores whom they are for; use tagged messages");
    }
    if missing == ofi_sys::FI_RECV {
        return Error::unsupported(V::NAME, Needs::Capability("FI_RECV")).hint(
            "where the endpoint has a shared receive context, its receives are posted there; \
             otherwise ask for the capability in the hints",
        );
    }
    if missing & SINGLE != 0 && missing & !SINGLE == 0 {
        return Error::invalid(V::NAME, "the endpoint was made for batches of these")
            .hint("post it in a batch, of one if need be");
    }
    if missing & !SINGLE != 0 {
        let missing = missing & !SINGLE;
        let caps = crate::Caps::from_raw(missing);
        let name = caps.iter_names().next().map_or("unknown", |(name, _)| name);
        return Error::unsupported(V::NAME, Needs::Capability(name))
            .hint("ask for the capability in the hints");
    }
    if unknown {
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
        claims: V::CLAIMS,
        drop_buffer: Self::drop_buffer,
        lose_buffer: Self::lose_buffer,
        issue: Self::issue,
    };

    unsafe fn drop_buffer(storage: *mut slot::Storage) {
        // SAFETY: the caller has a storage that `lay` put a `B` in.
        drop(unsafe { slot::take::<B>(storage) });
    }

    unsafe fn lose_buffer(storage: *mut slot::Storage) {
        // SAFETY: as above.
        V::moved(unsafe { &mut *slot::stored::<B>(storage) }, Place::Lost);
    }

    /// The memory of the buffer in a slot.
    ///
    /// # Safety
    ///
    /// `lay` stored a `B` in the body, which is the caller's.
    #[inline(always)]
    unsafe fn list(body: *mut slot::Body<T>) -> Segments {
        let mut list = Segments::for_access(V::ACCESS);
        // SAFETY: the caller's promise.
        V::list(unsafe { &mut *slot::stored::<B>(&raw mut (*body).buffer) }, &mut list);
        list
    }

    /// Writes down what [`issue`](Self::issue) will read.
    ///
    /// # Safety
    ///
    /// The body is the caller's.
    unsafe fn keep_verb(body: *mut slot::Body<T>, verb: V) {
        const {
            assert!(
                size_of::<V>() <= size_of::<slot::VerbStorage>() && align_of::<V>() <= 8,
                "verbs fit in their slot"
            );
        }
        // SAFETY: the caller's promise; it fits.
        unsafe { (&raw mut (*body).verb).cast::<V>().write(verb) }
    }

    /// For the backlog, and for memory in several pieces.
    ///
    /// # Safety
    ///
    /// `launch` prepared the slot with this table and wrote the verb down, the endpoint is open, and
    /// the address in the verb is in its vector. The buffer was only moved since it was checked, so
    /// that its list is the same (`Buf` promises both).
    #[inline(never)]
    unsafe fn issue(slot: &Slot<T>) -> isize {
        // Out of the closure: the completer may write the outcome while `issue` still runs.
        let body = slot.body(Part::Buffer, |b| b);
        // SAFETY: verb and buffer were written by `launch`; the completer touches neither.
        unsafe {
            let verb = (&raw const (*body).verb).cast::<V>().read();
            let mut list = Self::list(body);
            let lane = slot.lane.as_ref();
            if let Some((iov, desc)) = list.single() {
                return Self::issue_one(lane, slot, &verb, iov, desc);
            }
            if let Some(overflow) = lane.habits.overflow.filter(|_| V::FILLS) {
                let rest = overflow.segment();
                list.push(rest.iov_base.cast(), rest.iov_len);
            }
            verb.issue(lane.fid.as_ptr(), keep(body, &list), slot.context())
        }
    }

    /// Memory in one piece.
    ///
    /// # Safety
    ///
    /// As [`issue`](Self::issue); the piece is what the buffer in the slot lists.
    #[inline(always)]
    unsafe fn issue_one(
        lane: &Lane<T>,
        slot: &Slot<T>,
        verb: &V,
        iov: iovec,
        desc: *mut c_void,
    ) -> isize {
        // SAFETY: the body's lists are the operation's. They live in the slot until it is home (rule
        // B9).
        unsafe {
            let memory = match lane.habits.overflow.filter(|_| V::FILLS) {
                None => Memory::One(iov, desc),
                Some(overflow) => {
                    let body = slot.body(Part::Buffer, |b| b);
                    let pieces: *mut iovec = (&raw mut (*body).iov).cast();
                    let descriptors: *mut *mut c_void = (&raw mut (*body).desc).cast();
                    pieces.write(iov);
                    pieces.add(1).write(overflow.segment());
                    descriptors.write(desc);
                    descriptors.add(1).write(std::ptr::null_mut());
                    Memory::Many(pieces, descriptors, 2)
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
/// The caller owns the body's lists, and the slot is marked `EXTRA` if the list has more segments
/// than fit in it.
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
            let spilled = (*body).spilled.get_or_insert_default();
            spilled.lists = list.iter().unzip();
            let (iov, desc) = &mut spilled.lists;
            (iov.as_mut_ptr().cast_const(), desc.as_mut_ptr())
        }
    };
    // Descriptors are valid or absent (rule M3).
    Memory::Many(iov, if described { desc } else { std::ptr::null_mut() }, count)
}
