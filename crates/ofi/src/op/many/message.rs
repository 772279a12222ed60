//! A message in the buffer of a multi-receive.
//!
//! # Safety
//!
//! A message holds the block, so that its memory stays; its bytes were checked when it was made.

use std::{fmt, ops::Deref, sync::Arc};

use super::{super::Received, block::Block};

/// A message, in the buffer that it came into: its bytes, by `Deref`, and what came with them.
///
/// It keeps the buffer, whatever becomes of the [`MultiRecv`](crate::MultiRecv) and the endpoint. A
/// clone is the same message.
pub struct MultiRecvMessage<B> {
    block: Arc<Block<B>>,
    offset: usize,
    received: Received,
}

impl<B> MultiRecvMessage<B> {
    /// # Safety
    ///
    /// As many bytes as were received, from `offset` on, are within the block; they are written no
    /// more.
    pub(super) unsafe fn new(block: &Arc<Block<B>>, offset: usize, received: Received) -> Self {
        MultiRecvMessage { block: Arc::clone(block), offset, received }
    }

    /// What the entry says of it.
    #[must_use]
    pub fn received(&self) -> Received {
        self.received
    }

    /// Its tag, if the receive was a tagged one.
    #[must_use]
    pub fn tag(&self) -> Option<u64> {
        self.received.tag()
    }

    /// Immediate data, if it came with any.
    #[must_use]
    pub fn data(&self) -> Option<u64> {
        self.received.data()
    }

    /// The sender's address as the provider numbers it, with `FI_SOURCE`; see
    /// [`AddressVector::source`](crate::AddressVector::source).
    #[must_use]
    pub fn source(&self) -> Option<u64> {
        self.received.source()
    }

    /// Where in the buffer it begins, in bytes; 0 if it has none.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.offset
    }
}

impl<B> Deref for MultiRecvMessage<B> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: `new` was promised that these bytes are there and written no more; the block keeps
        // them where they are.
        unsafe {
            let start = self.block.start.add(self.offset);
            std::slice::from_raw_parts(start.as_ptr(), self.received.len())
        }
    }
}

impl<B> AsRef<[u8]> for MultiRecvMessage<B> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<B> Clone for MultiRecvMessage<B> {
    fn clone(&self) -> Self {
        let MultiRecvMessage { ref block, offset, received } = *self;
        MultiRecvMessage { block: Arc::clone(block), offset, received }
    }
}

impl<B> fmt::Debug for MultiRecvMessage<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultiRecvMessage")
            .field("offset", &self.offset)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}
