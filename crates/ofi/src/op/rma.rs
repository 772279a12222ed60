//! Reads and writes of a peer's memory: `fi_rma(3)`.

use std::ffi::c_void;

use super::{
    Memory, Operation, Outcome, Uses, Verb,
    inject::Injects,
    options::{Carries, Data, Flagged, told, with},
};
use crate::{
    Access, Error, ErrorKind, RemoteSlice, Result,
    buf::{Buf, BufMut, Place, Segments},
    endpoint::{SINGLE_READS, SINGLE_WRITES},
    threading::{Shared, Threading},
};

/// Bytes to be written to a peer's memory: what [`Endpoint::write`](crate::Endpoint::write) returns.
pub type WriteOp<'ep, B, T = Shared> = Operation<'ep, WriteVerb, B, T>;

/// A peer's memory to be read: what [`Endpoint::read`](crate::Endpoint::read) returns.
pub type ReadOp<'ep, B, T = Shared> = Operation<'ep, ReadVerb, B, T>;

/// What a write says.
#[derive(Clone, Copy, Debug)]
pub struct WriteVerb {
    pub(super) targets: Targets,
    pub(super) data: Data,
    pub(super) flags: u64,
}

/// What a read says.
#[derive(Clone, Copy, Debug)]
pub struct ReadVerb {
    pub(super) targets: Targets,
    pub(super) flags: u64,
}

/// That the bytes were written, as far as the [`CompletionLevel`](crate::CompletionLevel) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written;

/// That the bytes are in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Read {
    /// How many: the buffer's length.
    pub len: usize,
}

/// Pieces of one peer's memory, as many as one operation takes here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Targets {
    /// The provider's address; ignored on a connected endpoint.
    pub(super) peer: u64,
    pub(super) count: usize,
    pieces: [ofi_sys::fi_rma_iov; Targets::MOST],
    rights: Access,
    /// What their keys are: bits of `KeyKind`.
    keys: u64,
}

impl Targets {
    const MOST: usize = 3;

    fn new(peer: u64, first: RemoteSlice) -> Targets {
        let nothing = ofi_sys::fi_rma_iov { addr: 0, len: 0, key: 0 };
        let pieces = [nothing; Targets::MOST];
        let mut targets = Targets { peer, count: 0, pieces, rights: first.rights, keys: 0 };
        targets.push(first);
        targets
    }

    /// Counts one too many as one too many: `check` refuses that.
    fn push(&mut self, slice: RemoteSlice) {
        let RemoteSlice { addr, len, key, rights, kind } = slice;
        if let Some(piece) = self.pieces.get_mut(self.count) {
            *piece = ofi_sys::fi_rma_iov { addr, len, key };
        }
        self.count += 1;
        self.rights &= rights;
        self.keys |= kind as u64;
    }

    #[cold]
    fn change_keys(&mut self, change: &mut dyn FnMut(&mut u64) -> Result<()>) -> Result<()> {
        // One too many was counted as such; `check` has refused it.
        self.pieces.iter_mut().take(self.count).try_for_each(|piece| change(&mut piece.key))
    }

    /// That `total` bytes go there (rules B32, M15).
    fn check(
        &self,
        attempted: &'static str,
        needed: Access,
        total: usize,
        remote_iov: usize,
    ) -> Result<()> {
        let limit = remote_iov.min(Targets::MOST);
        if self.count > limit {
            return Err(Error::new(ErrorKind::TooLarge { limit }, attempted)
                .detail(format!("{} pieces of remote memory in one operation", self.count)));
        }
        if !self.rights.contains(needed) {
            return Err(Error::invalid(attempted, format!("the region does not permit {needed}"))
                .hint("its owner has to expose it with that right"));
        }
        let lengths = self.pieces[..self.count].iter().map(|piece| piece.len);
        // They are a peer's words.
        let there = lengths.fold(0, usize::saturating_add);
        if total > there || self.count > 1 && total != there {
            return Err(Error::invalid(
                attempted,
                format!("{total} bytes here for {there} bytes of remote memory"),
            ));
        }
        Ok(())
    }

    /// The pieces for a call that takes a list. The only one may be longer than what is here.
    fn list(&self, memory: &Memory) -> [ofi_sys::fi_rma_iov; Targets::MOST] {
        self.list_of(memory.total())
    }

    /// The same, for so many bytes.
    pub(super) fn list_of(&self, total: usize) -> [ofi_sys::fi_rma_iov; Targets::MOST] {
        let mut pieces = self.pieces;
        if self.count == 1 {
            pieces[0].len = total;
        }
        pieces
    }
}

impl Memory {
    /// Bytes of all pieces.
    fn total(&self) -> usize {
        match *self {
            Memory::One(v, _) => v.iov_len,
            // SAFETY: whoever made it lists that many pieces, which live at least as long.
            Memory::Many(iov, _, count) => unsafe {
                (0..count).map(|i| (*iov.add(i)).iov_len).sum()
            },
        }
    }
}

impl WriteVerb {
    pub(crate) fn to(peer: u64, target: RemoteSlice) -> WriteVerb {
        WriteVerb { targets: Targets::new(peer, target), data: Data::NONE, flags: 0 }
    }
}

impl ReadVerb {
    pub(crate) fn from(peer: u64, source: RemoteSlice) -> ReadVerb {
        ReadVerb { targets: Targets::new(peer, source), flags: 0 }
    }
}

impl<B, T: Threading> WriteOp<'_, B, T> {
    /// A further piece of the same peer's memory: the bytes fill one after the other, and all of them
    /// to the end. At most 3, and what the provider takes (`rma_iov_limit`).
    #[doc(alias = "fi_writemsg")]
    pub fn and(mut self, target: impl Into<RemoteSlice>) -> Self {
        self.verb.targets.push(target.into());
        self
    }
}

impl<B, T: Threading> ReadOp<'_, B, T> {
    /// A further piece of the same peer's memory: the buffer is filled from one after the other. At
    /// most 3, and what the provider takes (`rma_iov_limit`).
    #[doc(alias = "fi_readmsg")]
    pub fn and(mut self, source: impl Into<RemoteSlice>) -> Self {
        self.verb.targets.push(source.into());
        self
    }
}

impl Flagged for WriteVerb {
    fn flags(&self) -> u64 {
        self.flags
    }

    fn flags_mut(&mut self) -> &mut u64 {
        &mut self.flags
    }
}

impl Flagged for ReadVerb {
    fn flags(&self) -> u64 {
        self.flags
    }

    fn flags_mut(&mut self) -> &mut u64 {
        &mut self.flags
    }
}

impl Carries for WriteVerb {
    fn carry(&mut self, data: u64) {
        self.data = Data::of(data);
    }
}

impl Injects for WriteVerb {
    const INJECT: &'static str = "fi_inject_write";

    fn injectable(&self) -> bool {
        self.targets.count == 1
    }

    unsafe fn inject(&self, ep: *mut ofi_sys::fid_ep, buf: *const c_void, len: usize) -> isize {
        let Targets { peer, pieces: [ofi_sys::fi_rma_iov { addr, key, .. }, ..], .. } =
            self.targets;
        // SAFETY: the caller's promise for both.
        unsafe {
            if self.data.there.is_yes() {
                ofi_sys::fi_inject_writedata(ep, buf, len, self.data.value, peer, addr, key)
            } else {
                ofi_sys::fi_inject_write(ep, buf, len, peer, addr, key)
            }
        }
    }
}

impl Verb for WriteVerb {
    type Output = Written;
    type Note = ();
    const NAME: &'static str = "fi_write";
    const RECEIVES: bool = false;
    const ACCESS: Access = Access::WRITE;

    #[inline]
    fn class(&self) -> u64 {
        self.targets.peer
    }

    #[inline]
    fn needs(&self) -> u64 {
        ofi_sys::FI_RMA | ofi_sys::FI_WRITE | SINGLE_WRITES
    }

    fn add_flags(&mut self, flags: u64, level: u64) {
        self.flags = with(self.flags, flags, level);
    }

    #[inline]
    fn keys(&self) -> u64 {
        self.targets.keys
    }

    fn change_keys(&mut self, change: &mut dyn FnMut(&mut u64) -> Result<()>) -> Result<()> {
        self.targets.change_keys(change)
    }

    fn fits(&self, list: &Segments, remote_iov: usize) -> Result<()> {
        self.targets.check(Self::NAME, Access::REMOTE_WRITE, list.total(), remote_iov)
    }

    #[inline]
    unsafe fn issue(
        &self,
        ep: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        let Targets { peer, count, pieces: [ofi_sys::fi_rma_iov { addr, key, .. }, ..], .. } =
            self.targets;
        let plain = self.flags == 0 && count == 1;
        // SAFETY: the caller's promise for each of them: the endpoint is open with the capability,
        // the address is its own, memory and context stay until the completion. Where the bytes go is
        // the peer's to check.
        unsafe {
            match (memory, plain, self.data.there.is_yes()) {
                (Memory::One(v, desc), true, false) => {
                    let (buf, len) = (v.iov_base, v.iov_len);
                    ofi_sys::fi_write(ep, buf, len, desc, peer, addr, key, context)
                }
                (Memory::One(v, desc), true, true) => {
                    let (buf, len, data) = (v.iov_base, v.iov_len, self.data.value);
                    ofi_sys::fi_writedata(ep, buf, len, desc, data, peer, addr, key, context)
                }
                (Memory::Many(iov, desc, n), true, false) => {
                    ofi_sys::fi_writev(ep, iov, desc, n, peer, addr, key, context)
                }
                (memory, ..) => self.targets.message(memory, context, self.data, |message| {
                    let mut flags = told(self.flags);
                    if self.data.there.is_yes() {
                        flags |= ofi_sys::FI_REMOTE_CQ_DATA;
                    }
                    ofi_sys::fi_writemsg(ep, message, flags)
                }),
            }
        }
    }

    #[inline]
    fn note(&self, _: &Segments) {}

    #[inline]
    fn finish((): (), _: &Outcome) -> Written {
        Written
    }
}

impl Verb for ReadVerb {
    type Output = Read;
    type Note = usize;
    const NAME: &'static str = "fi_read";
    const RECEIVES: bool = false;
    const ACCESS: Access = Access::READ;

    #[inline]
    fn class(&self) -> u64 {
        self.targets.peer
    }

    #[inline]
    fn needs(&self) -> u64 {
        ofi_sys::FI_RMA | ofi_sys::FI_READ | SINGLE_READS
    }

    fn add_flags(&mut self, flags: u64, level: u64) {
        self.flags = with(self.flags, flags, level);
    }

    #[inline]
    fn keys(&self) -> u64 {
        self.targets.keys
    }

    fn change_keys(&mut self, change: &mut dyn FnMut(&mut u64) -> Result<()>) -> Result<()> {
        self.targets.change_keys(change)
    }

    fn fits(&self, list: &Segments, remote_iov: usize) -> Result<()> {
        self.targets.check(Self::NAME, Access::REMOTE_READ, list.total(), remote_iov)
    }

    #[inline]
    unsafe fn issue(
        &self,
        ep: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        let Targets { peer, count, pieces: [ofi_sys::fi_rma_iov { addr, key, .. }, ..], .. } =
            self.targets;
        let plain = self.flags == 0 && count == 1;
        // SAFETY: as for a write.
        unsafe {
            match (memory, plain) {
                (Memory::One(v, desc), true) => {
                    let (buf, len) = (v.iov_base, v.iov_len);
                    ofi_sys::fi_read(ep, buf, len, desc, peer, addr, key, context)
                }
                (Memory::Many(iov, desc, n), true) => {
                    ofi_sys::fi_readv(ep, iov, desc, n, peer, addr, key, context)
                }
                (memory, _) => self.targets.message(memory, context, Data::NONE, |message| {
                    ofi_sys::fi_readmsg(ep, message, told(self.flags))
                }),
            }
        }
    }

    #[inline]
    fn note(&self, list: &Segments) -> usize {
        list.total()
    }

    #[inline]
    fn finish(posted: usize, _: &Outcome) -> Read {
        // Entries of reads need not say how much it was; less than all is a failure.
        Read { len: posted }
    }
}

impl Targets {
    /// Passes on everything as one message, which lives during the call.
    #[cold]
    fn message(
        &self,
        memory: Memory,
        context: *mut c_void,
        data: Data,
        call: impl FnOnce(*const ofi_sys::fi_msg_rma) -> isize,
    ) -> isize {
        let pieces = self.list(&memory);
        memory.as_list(|msg_iov, desc, iov_count| {
            call(&ofi_sys::fi_msg_rma {
                msg_iov,
                desc,
                iov_count,
                addr: self.peer,
                rma_iov: pieces.as_ptr(),
                rma_iov_count: self.count,
                context,
                data: data.value,
            })
        })
    }
}

impl<B: Buf> Uses<B> for WriteVerb {
    #[inline]
    fn list(buffer: &mut B, list: &mut Segments) {
        buffer.segments(list);
    }

    #[inline]
    fn moved(buffer: &mut B, to: Place) {
        buffer.moved(to);
    }
}

impl<B: BufMut> Uses<B> for ReadVerb {
    #[inline]
    fn list(buffer: &mut B, list: &mut Segments) {
        buffer.segments_mut(list);
    }

    #[inline]
    fn moved(buffer: &mut B, to: Place) {
        buffer.moved(to);
    }
}
