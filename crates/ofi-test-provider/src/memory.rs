//! Memory of the caller's: pieces of it, and what is read and written there.

use std::ffi::c_void;

use ofi_sys::{fi_ioc, iovec};

/// A piece of memory and its descriptor, 0 if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) addr: usize,
    pub(crate) len: usize,
    pub(crate) desc: usize,
}

impl Piece {
    pub(crate) fn new(addr: *const c_void, len: usize, desc: *mut c_void) -> Piece {
        Piece { addr: addr as usize, len, desc: desc as usize }
    }

    pub(crate) fn overlaps(&self, start: usize, len: usize) -> bool {
        self.len > 0 && len > 0 && self.addr < start + len && start < self.addr + self.len
    }
}

/// The pieces of a vector.
///
/// # Safety
///
/// There are `count` at `iov`, and as many descriptors at `desc` unless that is null.
pub(crate) unsafe fn pieces(iov: *const iovec, desc: *mut *mut c_void, count: usize) -> Vec<Piece> {
    // SAFETY: the caller's promise.
    let piece = |i: usize| unsafe {
        let iovec { iov_base, iov_len } = iov.add(i).read();
        let desc = if desc.is_null() { std::ptr::null_mut() } else { desc.add(i).read() };
        Piece::new(iov_base, iov_len, desc)
    };
    (0..count).map(piece).collect()
}

/// The pieces of a vector of values of `size` bytes.
///
/// # Safety
///
/// As [`pieces`].
pub(crate) unsafe fn values(
    iov: *const fi_ioc,
    desc: *mut *mut c_void,
    count: usize,
    size: usize,
) -> Vec<Piece> {
    // SAFETY: the caller's promise; both structures are a pointer and a number.
    let mut pieces = unsafe { pieces(iov.cast(), desc, count) };
    pieces.iter_mut().for_each(|piece| piece.len *= size);
    pieces
}

pub(crate) fn total(pieces: &[Piece]) -> usize {
    pieces.iter().map(|piece| piece.len).sum()
}

/// What is in them, one after the other.
///
/// # Safety
///
/// They are the caller's, who lent them to an operation that has not ended.
pub(crate) unsafe fn gather(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(total(pieces));
    for piece in pieces.iter().filter(|piece| piece.len > 0) {
        // SAFETY: the caller's promise. Others may write there meanwhile where the memory is shared:
        // what is read then is what happens to be there.
        bytes.extend_from_slice(unsafe {
            std::slice::from_raw_parts(piece.addr as *const u8, piece.len)
        });
    }
    bytes
}

/// Puts bytes into them, one after the other, as many as fit.
///
/// # Safety
///
/// As [`gather`].
pub(crate) unsafe fn scatter(pieces: &[Piece], mut bytes: &[u8]) {
    for piece in pieces {
        let (now, rest) = bytes.split_at(piece.len.min(bytes.len()));
        // SAFETY: the caller's promise.
        unsafe { (piece.addr as *mut u8).copy_from(now.as_ptr(), now.len()) };
        bytes = rest;
    }
}

/// A word that says whether bytes are what they were.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let mix =
        |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let words = bytes.chunks_exact(8);
    let rest =
        words.remainder().iter().fold(bytes.len() as u64, |sum, byte| mix(sum, (*byte).into()));
    words.map(|word| u64::from_ne_bytes(word.try_into().expect("8 bytes"))).fold(rest, mix)
}
