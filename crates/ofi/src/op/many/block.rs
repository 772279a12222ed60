//! The buffer of a multi-receive, held by all who may use it.
//!
//! # Safety
//!
//! From [`Block::new`] on nobody refers to the buffer, but by the pointers that it listed then, until
//! the last holder drops the block, which moves it out.

use std::{
    ffi::c_void,
    mem::MaybeUninit,
    ptr::NonNull,
    sync::{Arc, OnceLock},
};

use super::super::failed::{Delivery, Held};
use crate::{Access, Buf, BufMut, Place, buf::Segments, wait::SharedSource};

/// See the module.
pub(super) struct Block<B> {
    buffer: MaybeUninit<B>,
    pub(super) start: NonNull<u8>,
    pub(super) len: usize,
    desc: *mut c_void,
    /// Tells it that it is the caller's again.
    back: fn(&mut B),
    /// Whoever wants it in the end.
    home: OnceLock<Delivery<B>>,
}

// SAFETY: it gives nobody access to the buffer, which is moved out by whoever drops it last, on any
// thread; the pointers are its own.
unsafe impl<B: Send> Send for Block<B> {}
// SAFETY: as above; the bytes of messages, which are read through it, are written no more.
unsafe impl<B: Send> Sync for Block<B> {}

impl<B: BufMut> Block<B> {
    /// Keeps a buffer, and lists its memory. Without any it begins nowhere.
    pub(super) fn new(buffer: B) -> (Arc<Block<B>>, Segments) {
        let mut list = Segments::for_access(Access::RECV);
        let mut block = Arc::new(Block {
            buffer: MaybeUninit::new(buffer),
            start: NonNull::dangling(),
            len: 0,
            desc: std::ptr::null_mut(),
            back: |buffer| buffer.moved(Place::Caller),
            home: OnceLock::new(),
        });
        let kept = Arc::get_mut(&mut block).expect("nobody else has it yet");
        // SAFETY: it is in there, and we are alone.
        let buffer = unsafe { kept.buffer.assume_init_mut() };
        buffer.moved(Place::Operation);
        buffer.segments_mut(&mut list);
        if let Some((piece, desc)) = list.single() {
            kept.start = NonNull::new(piece.iov_base.cast()).unwrap_or(NonNull::dangling());
            kept.len = piece.iov_len;
            kept.desc = desc;
        }
        (block, list)
    }
}

impl<B> Block<B> {
    /// Gives up a hold; the buffer comes to the claim when the last one is given up. Once.
    pub(super) fn into_buffer(this: Arc<Self>, source: Option<Arc<dyn SharedSource>>) -> Held<B> {
        let (held, delivery) = Held::to_come(this.back, source);
        let _ = this.home.set(delivery);
        held
    }
}

impl<B> Drop for Block<B> {
    fn drop(&mut self) {
        // SAFETY: `new` put it there, and nothing else takes it out. Nobody holds the block any more, so
        // that neither the provider nor a message uses its memory.
        let buffer = unsafe { self.buffer.assume_init_read() };
        match self.home.take() {
            Some(delivery) => delivery.deliver(buffer),
            None => drop(buffer),
        }
    }
}

/// What is left of a buffer from some place on: what the provider is given.
pub(super) struct Rest<B> {
    block: Arc<Block<B>>,
    at: usize,
}

impl<B> Rest<B> {
    /// `at` is at most the length.
    pub(super) fn of(block: &Arc<Block<B>>, at: usize) -> Rest<B> {
        assert!(at <= block.len, "within the buffer");
        Rest { block: Arc::clone(block), at }
    }
}

// SAFETY: the memory is the block's, where it stays until this, too, is gone; it is initialised.
// Whoever posts this sees to it that messages are before `at`.
unsafe impl<B: 'static> Buf for Rest<B> {
    fn segments(&self, list: &mut Segments) {
        let Block { start, len, desc, .. } = *self.block;
        // SAFETY: `of` says that it is within the buffer.
        let start = unsafe { start.add(self.at) };
        list.push_registered(start.as_ptr(), len - self.at, desc);
    }
}

// SAFETY: as above, and nobody refers to it: see `Block`.
unsafe impl<B: 'static> BufMut for Rest<B> {
    fn segments_mut(&mut self, list: &mut Segments) {
        self.segments(list);
    }
}
