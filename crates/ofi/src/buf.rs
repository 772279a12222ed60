//! What may be handed to the network: owned memory whose address does not change when its handle
//! moves.

use std::{ffi::c_void, mem::MaybeUninit, ptr::NonNull, sync::Arc};

use libc::iovec;

use crate::{Access, Error, Result};

/// Segments that fit without an allocation.
pub(crate) const INLINE_SEGMENTS: usize = 4;

/// The pieces of memory a buffer consists of, in the order they go over the wire.
#[derive(Debug)]
pub struct Segments {
    inline: [MaybeUninit<(iovec, *mut c_void)>; INLINE_SEGMENTS],
    count: usize,
    /// Bytes of all segments.
    total: usize,
    /// Segments without a descriptor.
    unregistered: usize,
    spilled: Vec<(iovec, *mut c_void)>,
    /// The domain, or the endpoint, whose regions are in the list; null without any.
    scope: *const (),
    /// What the memory is for.
    access: Access,
    /// Whether others may write to some of it meanwhile.
    shared: bool,
    /// Whether a part of it is not one piece, where each has to be.
    torn: bool,
    /// What of it is on devices: `DEVICE`, `DEVICE_BARE`, `NOWHERE`.
    device: u8,
    /// Bytes of the first segment, where that is room for the provider's header.
    head: usize,
}

/// Some of the memory is a device's.
const DEVICE: u8 = 1;
/// Some of that comes without a descriptor.
const DEVICE_BARE: u8 = 2;
/// Some of that has no address in this process.
const NOWHERE: u8 = 4;

/// The `scope` of a list with regions of several.
const SEVERAL: *const () = std::ptr::dangling();

impl Segments {
    #[inline]
    pub(crate) fn new() -> Segments {
        Segments::for_access(Access::empty())
    }

    /// An empty list of memory for such an operation.
    #[inline]
    pub(crate) fn for_access(access: Access) -> Segments {
        Segments {
            inline: [MaybeUninit::uninit(); INLINE_SEGMENTS],
            count: 0,
            total: 0,
            unregistered: 0,
            spilled: Vec::new(),
            scope: std::ptr::null(),
            access,
            shared: false,
            torn: false,
            device: 0,
            head: 0,
        }
    }

    /// What the memory is for: a registration serves operations that it was made for (rule M15).
    #[must_use]
    #[inline]
    pub fn access(&self) -> Access {
        self.access
    }

    /// What the memory that is listed from here on is for.
    pub(crate) fn want(&mut self, access: Access) {
        self.access = access;
    }

    /// Says that so many parts are listed by now, each of which has to be one piece.
    #[inline]
    pub(crate) fn parts(&mut self, parts: usize) {
        self.torn |= self.count != parts;
    }

    /// In place of a length: the room for the provider's header is in several pieces.
    pub(crate) const NO_ROOM: usize = usize::MAX;

    /// Says that what is listed by now is room for the provider's header.
    pub(crate) fn end_head(&mut self) {
        self.head = if self.count == 1 { self.total } else { Self::NO_ROOM };
    }

    /// Bytes of the room for the provider's header.
    #[inline]
    pub(crate) fn head(&self) -> usize {
        self.head
    }

    /// Whether a part was more than one piece, or none.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Start and length of the only segment, of at least one byte (rule M14).
    pub(crate) fn one_piece(&self, attempted: &'static str) -> Result<(NonNull<u8>, usize)> {
        let (piece, _) = self.single().ok_or_else(|| {
            Error::invalid(attempted, "the buffer is scattered")
                .hint("register its pieces one by one")
        })?;
        let start = NonNull::new(piece.iov_base.cast::<u8>()).filter(|_| piece.iov_len > 0);
        let start = start.ok_or_else(|| Error::invalid(attempted, "the buffer is empty"))?;
        Ok((start, piece.iov_len))
    }

    /// Adds the next segment: `len` bytes from `ptr`.
    #[inline]
    pub fn push(&mut self, ptr: *mut u8, len: usize) {
        self.push_registered(ptr, len, std::ptr::null_mut());
    }

    /// Adds the next segment, with its registration's descriptor (`fi_mr_desc`, may be null) in the
    /// domain of every endpoint that the buffer is used on.
    #[inline]
    pub fn push_registered(&mut self, ptr: *mut u8, len: usize, desc: *mut c_void) {
        let segment = (iovec { iov_base: ptr.cast(), iov_len: len }, desc);
        match self.inline.get_mut(self.count) {
            Some(place) => {
                place.write(segment);
            }
            None => self.spill(segment),
        }
        self.count += 1;
        self.total = self.total.saturating_add(len);
        self.unregistered += usize::from(desc.is_null());
    }

    /// Adds the next segment, which others may write to meanwhile: nobody ever has a reference to it.
    #[inline]
    pub fn push_shared(&mut self, ptr: *mut u8, len: usize) {
        self.shared = true;
        self.push(ptr, len);
    }

    /// Says of what is listed that others may write to it meanwhile.
    #[inline]
    pub(crate) fn share(&mut self) {
        self.shared = true;
    }

    /// Whether others may write to some of the memory, so that no reference to it may be made.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    #[cold]
    #[inline(never)]
    fn spill(&mut self, segment: (iovec, *mut c_void)) {
        self.spilled.push(segment);
    }

    /// Adds a piece of a region that belongs to `scope`: a domain, or an endpoint (rule M9).
    pub(crate) fn push_region(
        &mut self,
        ptr: *mut u8,
        len: usize,
        desc: *mut c_void,
        scope: *const (),
    ) {
        self.scope = match self.scope {
            known if known.is_null() || known == scope => scope,
            _ => SEVERAL,
        };
        self.push_registered(ptr, len, desc);
    }

    /// Whether a region in the list is neither of the one nor of the other.
    #[inline]
    pub(crate) fn is_foreign(&self, domain: *const (), endpoint: *const ()) -> bool {
        !self.scope.is_null() && self.scope != domain && self.scope != endpoint
    }

    /// Says of what was listed last that it is a device's, whether it came with a descriptor, and
    /// whether it has an address here.
    pub(crate) fn mark_device(&mut self, described: bool, addressed: bool) {
        self.device |= DEVICE;
        self.device |= if described { 0 } else { DEVICE_BARE };
        self.device |= if addressed { 0 } else { NOWHERE };
    }

    /// Whether some of the memory is a device's.
    pub(crate) fn is_device(&self) -> bool {
        self.device != 0
    }

    /// Why an endpoint cannot use what is on devices, if some is (rule M12): `granted` says that it
    /// was opened for that, `register` that each such piece needs a descriptor.
    #[inline]
    pub(crate) fn refuses_device(&self, granted: bool, register: bool) -> bool {
        self.device != 0
            && (!granted
                || self.device & NOWHERE != 0
                || register && self.device & DEVICE_BARE != 0)
    }

    /// How many segments there are.
    #[must_use]
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// All segments in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (iovec, *mut c_void)> + '_ {
        let inline = &self.inline[..self.count.min(INLINE_SEGMENTS)];
        // SAFETY: `push_registered` wrote every place below `count`.
        inline.iter().map(|s| unsafe { s.assume_init() }).chain(self.spilled.iter().copied())
    }

    /// The only segment, if there is just one (the common case); an empty one if there is none.
    #[inline]
    pub(crate) fn single(&self) -> Option<(iovec, *mut c_void)> {
        match self.count {
            // SAFETY: `push_registered` wrote place 0 when it made `count` 1.
            1 => Some(unsafe { self.inline[0].assume_init() }),
            0 => Some((iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }, std::ptr::null_mut())),
            _ => None,
        }
    }

    /// Bytes of all segments.
    #[inline]
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// Segments that come without a registration's descriptor.
    #[inline]
    pub(crate) fn unregistered(&self) -> usize {
        self.unregistered
    }
}

/// Memory that can be sent from.
///
/// # Safety
///
/// The implementor promises, from the call of [`segments`](Buf::segments) until the value is used
/// again by anything but a move, or dropped:
/// - every segment is readable for its whole length, initialised, and stays where it is when the
///   value moves (no inline storage: `[u8; 64]` is excluded, `Box<[u8; 64]>` is not);
/// - nobody writes to it meanwhile; or nobody ever has a reference to it, and it is listed by
///   [`push_shared`](Segments::push_shared) (what is sent then is what happens to be there);
/// - a non-null descriptor belongs to a live registration of that segment;
/// - the list is the same each time, and making it neither panics nor calls this crate: a post that
///   waits for room is listed again when it is tried again, inside of locks.
pub unsafe trait Buf: 'static {
    /// Lists the memory.
    fn segments(&self, list: &mut Segments);

    /// Told by operations whose it is from now on, for buffers that count themselves; nothing
    /// happens otherwise. A type that has a pool's buffer in it passes this on.
    ///
    /// Neither panics nor calls this crate, but for passing it on.
    #[inline]
    fn moved(&mut self, to: Place) {
        let _ = to;
    }
}

/// Whose a buffer is; see [`Buf::moved`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// The caller's: it was not posted, or has come back.
    Caller,
    /// An operation's, from the post to its end; also where the operation was dropped meanwhile.
    Operation,
    /// That of an operation that was given up: it comes back through a [`Held`](crate::Held).
    Held,
    /// That of an operation which nothing will end, see [`leaked`](crate::leaked).
    Lost,
}

/// Memory that can be received into.
///
/// The whole initialised length is offered: a `Vec` receives into `0..len()`, not into its spare
/// capacity, and comes back with its length as it was.
///
/// # Safety
///
/// As [`Buf`], and every segment of [`segments_mut`](BufMut::segments_mut) may be written by the
/// network at any time until then: the value owns it exclusively, and segments do not overlap; or
/// nobody ever has a reference to it, and it is listed by [`push_shared`](Segments::push_shared).
pub unsafe trait BufMut: Buf {
    /// Lists the memory.
    fn segments_mut(&mut self, list: &mut Segments);
}

/// Types that deref to one slice that is not inside them.
macro_rules! readable {
    ($($(#[$cfg:meta])* $ty:ty;)*) => {$(
        $(#[$cfg])*
        // SAFETY: the bytes are on the heap (or static), initialised, and owned through the value:
        // a move of the handle does not move them, and without using the value nobody writes them.
        unsafe impl Buf for $ty {
            #[inline]
            fn segments(&self, list: &mut Segments) {
                let bytes: &[u8] = self;
                list.push(bytes.as_ptr().cast_mut(), bytes.len());
            }
        }
    )*};
}

/// Of those, the ones that own their bytes alone.
macro_rules! writable {
    ($($(#[$cfg:meta])* $ty:ty;)*) => {$(
        $(#[$cfg])*
        // SAFETY: as for `Buf`, and the value is the only owner of its bytes.
        unsafe impl BufMut for $ty {
            #[inline]
            fn segments_mut(&mut self, list: &mut Segments) {
                let bytes: &mut [u8] = self;
                list.push(bytes.as_mut_ptr(), bytes.len());
            }
        }
    )*};
}

readable! {
    Vec<u8>;
    Box<[u8]>;
    Arc<[u8]>;
    Arc<Vec<u8>>;
    &'static [u8];
    #[cfg(feature = "bytes")] bytes::Bytes;
    #[cfg(feature = "bytes")] bytes::BytesMut;
}

writable! {
    Vec<u8>;
    Box<[u8]>;
    #[cfg(feature = "bytes")] bytes::BytesMut;
}

// SAFETY: the string's bytes are static.
unsafe impl Buf for &'static str {
    #[inline]
    fn segments(&self, list: &mut Segments) {
        list.push(self.as_ptr().cast_mut(), self.len());
    }
}

// SAFETY: the array is on the heap, initialised and owned.
unsafe impl<const N: usize> Buf for Box<[u8; N]> {
    #[inline]
    fn segments(&self, list: &mut Segments) {
        list.push(self.as_ptr().cast_mut(), N);
    }
}

// SAFETY: as above; the box is the only owner.
unsafe impl<const N: usize> BufMut for Box<[u8; N]> {
    #[inline]
    fn segments_mut(&mut self, list: &mut Segments) {
        list.push(self.as_mut_ptr(), N);
    }
}

/// Several buffers in one operation: a vector.
macro_rules! vectors {
    ($($(const $n:ident)? $ty:ty;)*) => {$(
        // SAFETY: each element keeps its own promise.
        unsafe impl<B: Buf $(, const $n: usize)?> Buf for $ty {
            #[inline]
            fn segments(&self, list: &mut Segments) {
                self.iter().for_each(|b| b.segments(list));
            }

            #[inline]
            fn moved(&mut self, to: Place) {
                self.iter_mut().for_each(|b| b.moved(to));
            }
        }
        // SAFETY: each element keeps its own promise, and owns its memory alone, so no two overlap.
        unsafe impl<B: BufMut $(, const $n: usize)?> BufMut for $ty {
            #[inline]
            fn segments_mut(&mut self, list: &mut Segments) {
                self.iter_mut().for_each(|b| b.segments_mut(list));
            }
        }
    )*};
}

vectors! {
    const N [B; N];
    Vec<B>;
    Box<[B]>;
}

// SAFETY: both halves keep their own promise.
unsafe impl<A: Buf, B: Buf> Buf for (A, B) {
    #[inline]
    fn segments(&self, list: &mut Segments) {
        self.0.segments(list);
        self.1.segments(list);
    }

    #[inline]
    fn moved(&mut self, to: Place) {
        self.0.moved(to);
        self.1.moved(to);
    }
}

// SAFETY: both halves keep their own promise, and each owns its memory alone.
unsafe impl<A: BufMut, B: BufMut> BufMut for (A, B) {
    #[inline]
    fn segments_mut(&mut self, list: &mut Segments) {
        self.0.segments_mut(list);
        self.1.segments_mut(list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(b: &impl Buf) -> Vec<usize> {
        let mut list = Segments::new();
        b.segments(&mut list);
        list.iter().map(|(v, _)| v.iov_len).collect()
    }

    #[test]
    fn a_vector_lists_its_parts_in_order() {
        assert_eq!(lengths(&[vec![0u8; 3], vec![0; 5]]), [3, 5]);
        assert_eq!(lengths(&(vec![0u8; 1], "four")), [1, 4]);
    }

    #[test]
    fn more_segments_than_fit_inline_spill() {
        let many: Vec<Vec<u8>> = (1..=9).map(|n| vec![0; n]).collect();
        assert_eq!(lengths(&many), (1..=9).collect::<Vec<_>>());
        let mut list = Segments::new();
        many.segments(&mut list);
        assert_eq!((list.count(), list.total(), list.single().is_none()), (9, 45, true));
    }

    #[test]
    fn the_address_survives_a_move() {
        let buf = vec![7u8; 100];
        let mut list = Segments::new();
        buf.segments(&mut list);
        let moved = Box::new(buf);
        assert_eq!(list.single().unwrap().0.iov_base.cast(), moved.as_ptr().cast_mut());
    }
}
