//! Memory that peers may reach: one owner, any number of registrations.
//!
//! What a peer may write at any time is never a `&[u8]` (rule M1). [`Memory`] copies in and out,
//! with the atomics of the host for words that peers and this program share.
//!
//! # Safety
//!
//! No reference to the bytes is ever made here: they are reached through the raw pointer, word by
//! word, with volatile or atomic accesses. The owner keeps them where they are until it is dropped
//! or handed back, which only the last handle does; regions and operations hold handles.

use std::{
    any::Any,
    ffi::c_void,
    fmt,
    ops::{Bound, RangeBounds},
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{Buf, BufMut, Error, Failed, Result, Segments};

mod external;

pub(crate) use external::Place;
pub use external::{Dmabuf, ExternalMemory, HmemIface};

/// Memory for [`Domain::expose`](crate::Domain::expose): any number of regions, with different
/// rights and on different domains, and any number of operations may stand on it.
///
/// A clone is another handle. The memory is freed, or its owner dropped, with the last handle; every
/// region and slice is one. Contents are copied in and out, and may change between two looks.
///
/// [`ExternalMemory`] makes one of what another library allocated, on a device too; there it has no
/// bytes for the processor, and what copies is refused.
///
/// ```
/// use ofi::Memory;
///
/// let memory = Memory::new(vec![0_u8; 64]).map_err(|failed| failed.error)?;
/// memory.write(8, b"hello")?;
/// let mut bytes = [0; 5];
/// memory.read(8, &mut bytes)?;
/// assert_eq!(&bytes, b"hello");
/// assert_eq!(memory.into_buffer::<Vec<u8>>().unwrap().len(), 64);
/// # Ok::<(), ofi::Error>(())
/// ```
#[derive(Clone)]
pub struct Memory(Arc<Core>);

struct Core {
    start: NonNull<u8>,
    len: usize,
    /// Where they are, if not on the host.
    place: Place,
    /// Whatever owns the bytes.
    owner: Box<dyn Any + Send>,
}

// SAFETY: the bytes are reached by volatile and atomic accesses alone, and the owner, which is
// `Send`, by whoever drops or takes the last handle.
unsafe impl Send for Core {}
// SAFETY: as above; the owner is never reached through a shared reference.
unsafe impl Sync for Core {}

const NAME: &str = "memory";

impl Memory {
    /// Takes over a buffer: one contiguous piece of at least one byte.
    ///
    /// # Errors
    ///
    /// `Invalid`, with the buffer, if it is empty or in several pieces.
    pub fn new<B: BufMut + Send>(buffer: B) -> Result<Memory, Failed<B>> {
        // It is not moved any more once it has said where its bytes are.
        let mut buffer = Box::new(buffer);
        let mut list = Segments::new();
        buffer.segments_mut(&mut list);
        match list.one_piece(NAME) {
            // The buffer's promise (`BufMut`) is that it stays there while it is only moved.
            Ok((start, len)) => {
                Ok(Memory::of(Core { start, len, place: Place::default(), owner: buffer }))
            }
            Err(error) => Err(Failed::back(error, *buffer)),
        }
    }

    /// Memory of the host that something else has allocated; `owner` is dropped with the last handle.
    /// More can be said of it by [`ExternalMemory`].
    ///
    /// # Errors
    ///
    /// `Invalid` for a null pointer or no bytes.
    ///
    /// # Safety
    ///
    /// Until `owner` is dropped the `len` bytes at `start` are initialised, readable and writable,
    /// and stay where they are (rule M4); nobody has a reference to any of them meanwhile, and who
    /// else reads or writes them expects that peers do so, too.
    pub unsafe fn external(
        start: *mut u8,
        len: usize,
        owner: impl Send + 'static,
    ) -> Result<Memory> {
        // SAFETY: the caller's promise.
        Ok(unsafe { ExternalMemory::new(start, len, HmemIface::System, owner) }?.into())
    }

    fn of(core: Core) -> Memory {
        Memory(Arc::new(core))
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Never: there is no memory without bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether the processor reaches it; if not, everything that copies is refused.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.0.place.is_host()
    }

    /// Whose memory it is.
    #[must_use]
    pub fn iface(&self) -> HmemIface {
        self.0.place.iface
    }

    /// Where it is. Reading and writing there is as unsafe as with any pointer, and peers do so, too.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.start.as_ptr()
    }

    /// Copies bytes out, from `offset` on. A peer that writes meanwhile may be seen in part.
    ///
    /// # Errors
    ///
    /// `Invalid` if they are not all within the memory, or it is a device's.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> Result<()> {
        let from = self.at(offset, into.len())?;
        let (mut done, len) = (0, into.len());
        while done < len {
            // SAFETY: within the memory, as `at` found; as aligned as is asked for.
            unsafe {
                let from = from.add(done);
                if len - done >= 8 && from.addr() % 8 == 0 {
                    let word = from.cast::<u64>().read_volatile();
                    into[done..done + 8].copy_from_slice(&word.to_ne_bytes());
                    done += 8;
                } else {
                    into[done] = from.read_volatile();
                    done += 1;
                }
            }
        }
        Ok(())
    }

    /// Copies bytes in, from `offset` on.
    ///
    /// # Errors
    ///
    /// `Invalid` if they do not all fit, or the memory is a device's.
    pub fn write(&self, offset: usize, from: &[u8]) -> Result<()> {
        let to = self.at(offset, from.len())?;
        let mut done = 0;
        while done < from.len() {
            // SAFETY: within the memory, as `at` found; as aligned as is asked for. Nobody has a
            // reference to it.
            unsafe {
                let to = to.add(done);
                match from[done..].first_chunk::<8>() {
                    Some(word) if to.addr() % 8 == 0 => {
                        to.cast::<u64>().write_volatile(u64::from_ne_bytes(*word));
                        done += 8;
                    }
                    _ => {
                        to.write_volatile(from[done]);
                        done += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// All bytes, copied.
    ///
    /// # Panics
    ///
    /// If it is a device's memory.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.read(0, &mut bytes).expect("memory of the host");
        bytes
    }

    /// Loads a word of the host's byte order, and all that was written before it.
    ///
    /// # Errors
    ///
    /// `Invalid` if the word is not within the memory, its address not a multiple of 8, or the memory
    /// a device's.
    pub fn load_u64(&self, offset: usize) -> Result<u64> {
        Ok(self.word(offset)?.load(Ordering::Acquire))
    }

    /// Stores a word, after all that was written before.
    ///
    /// # Errors
    ///
    /// As [`load_u64`](Self::load_u64).
    pub fn store_u64(&self, offset: usize, value: u64) -> Result<()> {
        self.word(offset)?.store(value, Ordering::Release);
        Ok(())
    }

    /// Adds to a word and returns what it was. Atomic among the threads that share this memory; not
    /// necessarily against peers' atomic operations, which a device may do by itself (rule X2).
    ///
    /// # Errors
    ///
    /// As [`load_u64`](Self::load_u64).
    pub fn fetch_add_u64(&self, offset: usize, value: u64) -> Result<u64> {
        Ok(self.word(offset)?.fetch_add(value, Ordering::AcqRel))
    }

    /// The buffer that it was made from.
    ///
    /// # Errors
    ///
    /// Gives the handle back if there are others (every region and slice holds one), or it was made
    /// from something else.
    pub fn into_buffer<B: 'static>(self) -> Result<B, Memory> {
        let core = Arc::try_unwrap(self.0).map_err(Memory)?;
        let Core { start, len, place, owner } = core;
        match owner.downcast::<B>() {
            Ok(buffer) => Ok(*buffer),
            Err(owner) => Err(Memory::of(Core { start, len, place, owner })),
        }
    }

    fn word(&self, offset: usize) -> Result<&AtomicU64> {
        let start = self.at(offset, 8)?;
        if start.addr() % 8 != 0 {
            return Err(Error::invalid(NAME, format!("no word begins at byte {offset}")));
        }
        // SAFETY: eight bytes of the memory, aligned, which live as long as `self`; everybody here
        // reaches them by atomic or volatile accesses.
        Ok(unsafe { AtomicU64::from_ptr(start.cast()) })
    }

    /// Where `len` bytes from `offset` on begin, if the memory has them.
    fn at(&self, offset: usize, len: usize) -> Result<*mut u8> {
        if !self.is_host() {
            return Err(Error::invalid(NAME, "the processor does not reach a device's memory")
                .hint("copy it by the device's own means"));
        }
        let range = self.range(offset..offset.saturating_add(len))?;
        // SAFETY: within the memory, or at its end.
        Ok(unsafe { self.as_ptr().add(range.0) })
    }

    /// Offset and length of a part.
    pub(crate) fn range(&self, range: impl RangeBounds<usize>) -> Result<(usize, usize)> {
        part(self.len(), range)
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0.place
    }

    /// Lists some of its bytes; `desc` is a registration of them, `scope` what that belongs to.
    ///
    /// The caller has checked that they are within the memory.
    #[inline]
    pub(crate) fn list(
        &self,
        (start, len): (usize, usize),
        registered: Option<(*mut c_void, *const ())>,
        list: &mut Segments,
    ) {
        debug_assert!(start + len <= self.len());
        list.share();
        let at = self.as_ptr().wrapping_add(start);
        match registered {
            Some((desc, scope)) => list.push_region(at, len, desc, scope),
            None => list.push(at, len),
        }
        if !self.is_host() {
            let described = registered.is_some_and(|(desc, _)| !desc.is_null());
            list.mark_device(described, self.0.place.has_address());
        }
    }

    /// Whether both are handles to the same memory.
    pub(crate) fn is(&self, other: &Memory) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Offset and length of a part of `len` bytes.
pub(crate) fn part(len: usize, range: impl RangeBounds<usize>) -> Result<(usize, usize)> {
    let start = match range.start_bound() {
        Bound::Included(&start) => Some(start),
        Bound::Excluded(&before) => before.checked_add(1),
        Bound::Unbounded => Some(0),
    };
    let end = match range.end_bound() {
        Bound::Included(&last) => last.checked_add(1),
        Bound::Excluded(&end) => Some(end),
        Bound::Unbounded => Some(len),
    };
    match (start, end) {
        (Some(start), Some(end)) if start <= end && end <= len => Ok((start, end - start)),
        _ => Err(Error::invalid(NAME, format!("the range is not within {len} bytes"))),
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("len", &self.len()).finish_non_exhaustive()
    }
}

// SAFETY: the bytes are initialised and stay where they are; the value is a handle, a move of which
// does not move them. A device's are marked as such. That others may write to them meanwhile is said in the contract.
unsafe impl Buf for Memory {
    #[inline]
    fn segments(&self, list: &mut Segments) {
        self.list((0, self.len()), None, list);
    }
}

// SAFETY: as for `Buf`; nobody has a reference to the bytes.
unsafe impl BufMut for Memory {
    #[inline]
    fn segments_mut(&mut self, list: &mut Segments) {
        self.list((0, self.len()), None, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(bytes: Vec<u8>) -> Memory {
        Memory::new(bytes).expect("one piece")
    }

    // rule: M1
    #[test]
    fn every_offset_and_length_is_copied() {
        let bytes: Vec<u8> = (0..64).collect();
        for offset in 0..20 {
            for len in 0..40 {
                let memory = memory(vec![0xFF; 64]);
                memory.write(offset, &bytes[..len]).unwrap();
                let mut back = vec![0; len];
                memory.read(offset, &mut back).unwrap();
                assert_eq!(back, bytes[..len]);
                let all = memory.to_vec();
                assert!(all[..offset].iter().chain(&all[offset + len..]).all(|b| *b == 0xFF));
            }
        }
    }

    #[test]
    fn what_is_beyond_the_memory_is_refused() {
        let memory = memory(vec![0; 16]);
        assert!(memory.read(9, &mut [0; 8]).is_err());
        assert!(memory.write(usize::MAX, &[1]).is_err());
        assert!(memory.load_u64(9).is_err());
        assert!(memory.write(16, &[]).is_ok());
        #[expect(clippy::reversed_empty_ranges, reason = "that is the fault")]
        let backwards = memory.range(4..2);
        assert!(backwards.is_err());
        assert!(memory.range(..=usize::MAX).is_err());
    }

    #[test]
    fn the_last_handle_gives_the_buffer_back() {
        let memory = memory(vec![7; 8]);
        let other = memory.clone();
        let memory = memory.into_buffer::<Vec<u8>>().unwrap_err();
        drop(other);
        let memory = memory.into_buffer::<Box<[u8]>>().unwrap_err();
        assert_eq!(memory.into_buffer::<Vec<u8>>().unwrap(), vec![7; 8]);
    }

    #[test]
    fn words_are_shared() {
        let memory = memory(vec![0; 32]);
        let aligned = memory.as_ptr().align_offset(8);
        assert_eq!(memory.fetch_add_u64(aligned, 5).unwrap(), 0);
        memory.store_u64(aligned, 9).unwrap();
        assert_eq!(memory.load_u64(aligned).unwrap(), 9);
        assert!(memory.load_u64(aligned + 1).is_err());
    }

    #[test]
    fn nothing_is_no_memory() {
        assert!(Memory::new(Vec::<u8>::new()).is_err());
        assert!(Memory::new([vec![1_u8], vec![2]]).is_err());
        // SAFETY: refused before it is looked at.
        assert!(unsafe { Memory::external(std::ptr::null_mut(), 4, ()) }.is_err());
    }
}
