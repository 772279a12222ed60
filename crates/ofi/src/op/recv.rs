//! Receives: `fi_msg(3)`, `fi_tagged(3)`.

use std::ffi::c_void;

use super::{Memory, Operation, Outcome, Uses, Verb, Wide, lane::RECEIVES};
use crate::{
    Access, Address,
    buf::{BufMut, Place, Segments},
    endpoint::DIRECTED_MSG,
    threading::{Shared, Threading},
};

/// A buffer to receive into: what [`Endpoint::recv`](crate::Endpoint::recv) returns.
pub type RecvOp<'ep, B, T = Shared> = Operation<'ep, RecvVerb, B, T>;

/// What a receive says.
#[derive(Clone, Copy, Debug)]
pub struct RecvVerb {
    pub(crate) from: u64,
    pub(crate) tag: u64,
    pub(crate) ignore: u64,
    pub(crate) tagged: Wide,
    pub(crate) directed: Wide,
}

impl RecvVerb {
    /// The next message of anybody.
    pub(crate) const ANY: RecvVerb = RecvVerb {
        from: ofi_sys::FI_ADDR_UNSPEC,
        tag: 0,
        ignore: 0,
        tagged: Wide::No,
        directed: Wide::No,
    };
}

/// What came in. All of it is what the provider's entry says, never what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// A message is in the buffer.
    #[non_exhaustive]
    Message {
        /// Its length in bytes; at most the buffer's.
        len: usize,
        /// Its tag, if the receive was a tagged one.
        tag: Option<u64>,
        /// Immediate data, if it came with any.
        data: Option<u64>,
        /// The sender's address as the provider numbers it, with `FI_SOURCE`; see
        /// [`AddressVector::source`](crate::AddressVector::source).
        source: Option<u64>,
    },
    /// A peer's remote write with data took this receive (`FI_RX_CQ_DATA`); the buffer is
    /// untouched.
    #[non_exhaustive]
    RemoteWrite {
        /// The immediate data.
        data: u64,
        /// Bytes written.
        len: usize,
    },
}

impl Received {
    /// Bytes of the message; 0 for a remote write, which left nothing in the buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        match *self {
            Received::Message { len, .. } => len,
            Received::RemoteWrite { .. } => 0,
        }
    }

    /// Whether there is nothing in the buffer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The message's tag, if the receive was a tagged one.
    #[must_use]
    pub fn tag(&self) -> Option<u64> {
        match *self {
            Received::Message { tag, .. } => tag,
            Received::RemoteWrite { .. } => None,
        }
    }

    /// Immediate data.
    #[must_use]
    pub fn data(&self) -> Option<u64> {
        match *self {
            Received::Message { data, .. } => data,
            Received::RemoteWrite { data, .. } => Some(data),
        }
    }

    /// The sender's address as the provider numbers it, with `FI_SOURCE`.
    #[must_use]
    pub fn source(&self) -> Option<u64> {
        match *self {
            Received::Message { source, .. } => source,
            Received::RemoteWrite { .. } => None,
        }
    }
}

/// A verb that looks for a message. Public in name only.
pub trait Matches: Verb {
    fn matching(&mut self) -> &mut RecvVerb;
}

impl Matches for RecvVerb {
    fn matching(&mut self) -> &mut RecvVerb {
        self
    }
}

impl<V: Matches, B, T: Threading> Operation<'_, V, B, T> {
    /// Tagged messages with this tag only.
    #[doc(alias = "fi_trecv")]
    #[doc(alias = "fi_trecvv")]
    #[doc(alias = "fi_trecvmsg")]
    pub fn tag(mut self, tag: u64) -> Self {
        if let Some(error) = self.core.limits.refuse_tag(tag) {
            self.fault(error);
        }
        let matching = self.verb.matching();
        matching.tag = tag;
        matching.tagged = Wide::Yes;
        self
    }

    /// Bits of the tag that do not matter.
    pub fn ignore(mut self, mask: u64) -> Self {
        // Bits that tags cannot have are the provider's own: messages of its collectives have them.
        let tag_bits = self.core.limits.tag_bits;
        let matching = self.verb.matching();
        matching.ignore = mask & tag_bits;
        matching.tagged = Wide::Yes;
        self
    }

    /// Messages from this peer only. Needs `FI_DIRECTED_RECV` (rule B36). Where the provider claims
    /// it and ignores the peer of untagged receives (quirk 14), those are refused.
    #[doc(alias = "FI_DIRECTED_RECV")]
    pub fn from(mut self, peer: Address) -> Self {
        // An address of another vector is refused later.
        let from = if self.core.knows(peer) { peer.matched() } else { peer.raw() };
        let matching = self.verb.matching();
        matching.from = from;
        matching.directed = Wide::Yes;
        self.to = Some(peer);
        self
    }
}

/// What is kept of a receive until its end: the bytes that were offered, those of them that are room
/// for a header, and whether it was a tagged one.
#[derive(Clone, Copy, Debug)]
pub struct RecvNote {
    posted: usize,
    /// The room, times two, and 1 for a tagged one.
    head_tagged: usize,
}

impl RecvNote {
    fn head(self) -> usize {
        self.head_tagged >> 1
    }
}

impl Verb for RecvVerb {
    type Output = Received;
    type Note = RecvNote;
    const NAME: &'static str = "fi_recv";
    const RECEIVES: bool = true;
    const HEADED: bool = true;
    const ACCESS: Access = Access::RECV;

    #[inline]
    fn class(&self) -> u64 {
        RECEIVES
    }

    #[inline]
    fn needs(&self) -> u64 {
        let way = if self.tagged.is_yes() { ofi_sys::FI_TAGGED } else { ofi_sys::FI_MSG };
        let way = way | ofi_sys::FI_RECV;
        match (self.directed.is_yes(), self.tagged.is_yes()) {
            (false, _) => way,
            (true, true) => way | ofi_sys::FI_DIRECTED_RECV,
            (true, false) => way | ofi_sys::FI_DIRECTED_RECV | DIRECTED_MSG,
        }
    }

    #[inline(always)]
    unsafe fn issue(
        &self,
        ep: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        let RecvVerb { from, tag, ignore, .. } = *self;
        // SAFETY: the caller's promise for each of them: the endpoint is open with the capability,
        // the address is its own, memory and context stay until the completion.
        unsafe {
            match (memory, self.tagged.is_yes()) {
                (Memory::One(v, desc), false) => {
                    ofi_sys::fi_recv(ep, v.iov_base, v.iov_len, desc, from, context)
                }
                (Memory::One(v, desc), true) => {
                    ofi_sys::fi_trecv(ep, v.iov_base, v.iov_len, desc, from, tag, ignore, context)
                }
                (Memory::Many(iov, desc, count), false) => {
                    ofi_sys::fi_recvv(ep, iov, desc, count, from, context)
                }
                (Memory::Many(iov, desc, count), true) => {
                    ofi_sys::fi_trecvv(ep, iov, desc, count, from, tag, ignore, context)
                }
            }
        }
    }

    #[inline]
    fn note(&self, list: &Segments) -> RecvNote {
        RecvNote { posted: list.total(), head_tagged: list.head() << 1 | self.tagged as usize }
    }

    #[inline]
    fn excess(RecvNote { posted, .. }: RecvNote, outcome: &Outcome) -> usize {
        if outcome.len > posted && !is_remote_write(outcome) { outcome.len - posted } else { 0 }
    }

    #[inline]
    fn finish(note: RecvNote, outcome: &Outcome) -> Received {
        if is_remote_write(outcome) {
            return Received::RemoteWrite { data: outcome.data, len: outcome.len };
        }
        Received::Message {
            // What the provider made itself may be shorter than the room (rule B10).
            len: outcome.len.min(note.posted).saturating_sub(note.head()),
            tag: (note.head_tagged & 1 != 0).then_some(outcome.tag),
            data: outcome.data(),
            source: outcome.source(),
        }
    }
}

/// Only where the flag says so is it no message: some providers report FI_RECV alone, some with
/// FI_MSG or FI_TAGGED, some both (rule B14).
pub(super) fn is_remote_write(outcome: &Outcome) -> bool {
    outcome.flags & (ofi_sys::FI_RMA | ofi_sys::FI_REMOTE_WRITE) != 0
        && outcome.flags & ofi_sys::FI_RECV == 0
}

impl<B: BufMut> Uses<B> for RecvVerb {
    #[inline]
    fn list(buffer: &mut B, list: &mut Segments) {
        buffer.segments_mut(list);
    }

    #[inline]
    fn moved(buffer: &mut B, to: Place) {
        buffer.moved(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: RecvVerb = RecvVerb::ANY;

    fn outcome(flags: u64) -> Outcome {
        Outcome { flags, len: 10, data: 7, tag: 9, source: ofi_sys::FI_ADDR_NOTAVAIL }
    }

    /// The note of a receive into so many bytes.
    fn note(verb: RecvVerb, posted: usize) -> RecvNote {
        let mut list = Segments::new();
        list.push(std::ptr::dangling_mut(), posted);
        verb.note(&list)
    }

    fn finish(verb: RecvVerb, outcome: &Outcome, posted: usize) -> Received {
        RecvVerb::finish(note(verb, posted), outcome)
    }

    // What it is follows from what was posted: providers set different flags.
    // rule: B13, B14, B37
    #[test]
    fn flags_do_not_classify() {
        let sets = [
            0,
            ofi_sys::FI_RECV,
            ofi_sys::FI_RECV | ofi_sys::FI_MSG,
            ofi_sys::FI_RECV | ofi_sys::FI_TAGGED,
            ofi_sys::FI_RECV | ofi_sys::FI_MSG | ofi_sys::FI_TAGGED,
        ];
        for flags in sets {
            let plain = finish(PLAIN, &outcome(flags), 100);
            assert_eq!((plain.len(), plain.tag(), plain.data()), (10, None, None), "{flags:#x}");
            assert_eq!(plain.source(), None);
            let tagged = finish(RecvVerb { tagged: Wide::Yes, ..PLAIN }, &outcome(flags), 100);
            assert_eq!(tagged.tag(), Some(9), "{flags:#x}");
        }
        let with_data = finish(PLAIN, &outcome(ofi_sys::FI_RECV | ofi_sys::FI_REMOTE_CQ_DATA), 100);
        assert_eq!(with_data.data(), Some(7));
    }

    // rule: B15
    #[test]
    fn the_length_never_exceeds_the_buffer() {
        let (outcome, posted) = (outcome(ofi_sys::FI_RECV), 4);
        assert_eq!(RecvVerb::excess(note(PLAIN, posted), &outcome), 6);
        assert_eq!(RecvVerb::excess(note(PLAIN, outcome.len), &outcome), 0);
        assert_eq!(finish(PLAIN, &outcome, posted).len(), 4);
    }

    // rule: B10
    #[test]
    fn room_for_a_header_is_not_counted() {
        let mut bytes = [0_u8; 24];
        let mut list = Segments::new();
        list.push(bytes.as_mut_ptr(), 8);
        list.end_head();
        list.push(bytes[8..].as_mut_ptr(), 16);
        let note = RecvVerb { tagged: Wide::Yes, ..PLAIN }.note(&list);
        let received = |len| RecvVerb::finish(note, &Outcome { len, ..outcome(ofi_sys::FI_RECV) });
        assert_eq!((received(24).len(), received(24).tag()), (16, Some(9)));
        assert_eq!((received(30).len(), received(8).len(), received(3).len()), (16, 0, 0));
        assert_eq!(RecvVerb::excess(note, &Outcome { len: 30, ..outcome(0) }), 6);
    }

    // rule: B11
    #[test]
    fn a_remote_write_leaves_the_buffer_alone() {
        let flags = ofi_sys::FI_RMA | ofi_sys::FI_REMOTE_WRITE | ofi_sys::FI_REMOTE_CQ_DATA;
        let received = finish(PLAIN, &outcome(flags), 100);
        assert_eq!(received, Received::RemoteWrite { data: 7, len: 10 });
        assert!(received.is_empty());
        assert_eq!(RecvVerb::excess(note(PLAIN, 4), &outcome(flags)), 0);
    }
}
