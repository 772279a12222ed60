//! What an exposed region is opened with.

use std::{
    fmt,
    ops::RangeBounds,
    sync::{Arc, atomic::AtomicBool},
};

use libc::iovec;

use super::{
    ExposedRegion, NAME,
    exposed::{Exposed, Piece},
    register::{REMOTE, Request},
};
use crate::{
    Access, BindFlags, Counter, Domain, Endpoint, Error, Memory, MrFlags, Result,
    counter::CounterCore,
    domain::DomainCore,
    endpoint::{Core, Kind},
    memory::Place,
    threading::Threading,
};

/// What a region is opened with. [`open`](Self::open) opens it.
#[must_use = "a builder does nothing until `open`"]
pub struct RegionBuilder<'a, T: Threading> {
    domain: Arc<DomainCore<T>>,
    pieces: Vec<Piece>,
    access: Access,
    flags: MrFlags,
    key: Option<u64>,
    page_size: usize,
    parts: usize,
    base: Option<Arc<Exposed<T>>>,
    endpoint: Option<&'a Core<T>>,
    counters: Vec<(Arc<CounterCore<T>>, u64)>,
    fault: Option<Error>,
}

impl<T: Threading> Domain<T> {
    /// Exposes memory to peers. Any number of regions, with different rights and of different domains,
    /// may stand on the same memory or parts of it.
    ///
    /// Without further words it can be read by peers and used by operations of one's own.
    #[doc(alias = "fi_mr_regattr")]
    #[doc(alias = "fi_mr_attr")]
    pub fn expose<'a>(&self, memory: &'a Memory) -> RegionBuilder<'a, T> {
        RegionBuilder::new(&self.0, vec![Piece::all(memory)])
    }
}

impl<'a, T: Threading> RegionBuilder<'a, T> {
    fn new(domain: &Arc<DomainCore<T>>, pieces: Vec<Piece>) -> Self {
        RegionBuilder {
            domain: Arc::clone(domain),
            pieces,
            access: super::LOCAL | Access::REMOTE_READ,
            flags: MrFlags::empty(),
            key: None,
            page_size: 0,
            parts: 0,
            base: None,
            endpoint: None,
            counters: Vec::new(),
            fault: None,
        }
    }

    /// A part of `base`: the same rights, unless others are asked for.
    pub(super) fn within(base: &Arc<Exposed<T>>, range: impl RangeBounds<usize>) -> Self {
        let part = crate::memory::part(base.len(), range);
        let (start, len) = part.as_ref().map_or((0, 0), |part| *part);
        let pieces = base.within(start, len).map(|(piece, start, len)| Piece {
            memory: piece.memory.clone(),
            start,
            len,
        });
        RegionBuilder {
            access: base.registration.access,
            base: Some(Arc::clone(base)),
            fault: part.err(),
            ..RegionBuilder::new(&base.registration.domain, pieces.collect())
        }
    }

    /// What may be done with it: `SEND`, `RECV`, `READ`, `WRITE` here, `REMOTE_READ`, `REMOTE_WRITE`
    /// by peers, `COLLECTIVE` together with `SEND` or `RECV`. Only what is named.
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Only these bytes of the memory that was named last; peers count from the first of them.
    pub fn range(mut self, range: impl RangeBounds<usize>) -> Self {
        let last = self.pieces.last_mut().map(|piece| {
            let (start, len) = crate::memory::part(piece.len, range)?;
            (piece.start, piece.len) = (piece.start + start, len);
            Ok(())
        });
        if let Some(Err(error)) = last {
            self.fault.get_or_insert(error);
        }
        self
    }

    /// A further piece of memory in the same region, behind the others; as many as the provider's
    /// `mr_iov_limit` says. All of one kind: the host's, or one device's.
    ///
    /// To peers each piece is a region of its own, with the same key:
    /// [`ExposedRegion::remote_pieces`].
    #[doc(alias = "fi_mr_regv")]
    pub fn and(mut self, memory: &Memory) -> Self {
        if self.base.is_some() {
            self.fail("a part of a region has no other memory than that");
        }
        self.pieces.push(Piece::all(memory));
        self
    }

    /// A key that peers know already, in place of one that the domain chooses. Refused where the
    /// provider chooses (`FI_MR_PROV_KEY`), where another region has it, and where it is longer than
    /// `mr_key_size` bytes (rule M7).
    ///
    /// A key that was somebody's before may still be known to those who were given it.
    pub fn key(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }

    /// The size of the pages behind it, in bytes, where the memory has not all of them yet. A hint.
    /// Needs libfabric 1.22.
    pub fn page_size(mut self, bytes: usize) -> Self {
        self.page_size = bytes;
        self
    }

    /// How many parts the region will have ([`ExposedRegion::part`]), about. A hint. Needs libfabric
    /// 2.0.
    pub fn expected_parts(mut self, count: usize) -> Self {
        self.parts = count;
        self
    }

    /// The endpoint that peers reach it through, and that its slices are used on. Needed where the
    /// domain has `FI_MR_ENDPOINT`; elsewhere it changes nothing.
    ///
    /// The region does not keep the endpoint open: closing that ends the registration, too.
    #[doc(alias = "fi_mr_bind")]
    #[doc(alias = "fi_mr_enable")]
    pub fn endpoint<K: Kind>(mut self, endpoint: &'a Endpoint<K, T>) -> Self {
        self.endpoint = Some(&endpoint.core);
        self
    }

    /// A counter of what peers do with this region: `REMOTE_WRITE`, `REMOTE_READ`, or both. Needs
    /// `FI_RMA_EVENT`; a provider that counts by endpoints alone refuses it. The region keeps the
    /// counter open.
    #[doc(alias = "fi_mr_bind")]
    pub fn counter(mut self, counter: &Counter<T>, classes: BindFlags) -> Self {
        let odd = classes.difference(BindFlags::REMOTE_READ | BindFlags::REMOTE_WRITE);
        if classes.is_empty() || !odd.is_empty() {
            self.fail("a region counts FI_REMOTE_READ and FI_REMOTE_WRITE");
        }
        self.counters.push((Arc::clone(&counter.0), classes.raw()));
        self
    }

    /// Says that accesses to it are counted, by a counter of the endpoint. Needed for that where the
    /// domain has `FI_MR_RMA_EVENT`. Needs `FI_RMA_EVENT`.
    #[doc(alias = "FI_RMA_EVENT")]
    pub fn rma_event(mut self) -> Self {
        self.flags.insert(MrFlags::RMA_EVENT);
        self
    }

    /// Says that the memory is persistent, for
    /// [`CompletionLevel::Commit`](crate::CompletionLevel::Commit).
    #[doc(alias = "FI_RMA_PMEM")]
    pub fn persistent(mut self) -> Self {
        self.flags.insert(MrFlags::RMA_PMEM);
        self
    }

    /// The provider may end the region's key with the first operation of a peer; not every one does, so
    /// that nothing rests on it. Needs libfabric 2.0.
    #[doc(alias = "FI_MR_SINGLE_USE")]
    pub fn single_use(mut self) -> Self {
        self.flags.insert(MrFlags::MR_SINGLE_USE);
        self
    }

    /// Registers the memory, binds what it needs, enables it.
    ///
    /// # Errors
    ///
    /// `Invalid` for no byte, no right, bytes that are not in the memory, an endpoint or a counter of
    /// another domain; `TooLarge` for too many pieces; `ENOKEY` or `EKEYREJECTED` for a key that
    /// cannot be had; `Unsupported` where the provider registers no such memory, the domain was
    /// opened without `FI_RMA`, `FI_HMEM` or what else is needed, or libfabric is too old; what the
    /// provider says.
    pub fn open(self) -> Result<ExposedRegion<T>> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let place = self.place()?;
        let pieces: Vec<iovec> = self.pieces.iter().map(Piece::raw).collect();
        let request = Request {
            place,
            flags: self.flags,
            key: self.key,
            page_size: self.page_size,
            base: self.base.as_ref().map(|base| &base.registration),
            parts: self.parts,
            endpoint: self.endpoint,
            counters: &self.counters,
            ..Request::new(&self.domain, &pieces, self.access)
        };
        // SAFETY: the region holds the memory, and what it is a part of, until it has ended.
        let registration = unsafe { request.open()? };
        Ok(ExposedRegion(Arc::new(Exposed {
            registration,
            rights: self.access & REMOTE,
            pieces: self.pieces,
            base: self.base,
            ended: AtomicBool::new(false),
        })))
    }

    /// What all pieces are; of a dmabuf, the part that is registered.
    fn place(&self) -> Result<Place> {
        let [first, others @ ..] = &*self.pieces else {
            return Err(Error::invalid(NAME, "no memory was named"));
        };
        let mut place = *first.memory.place();
        let same = |piece: &Piece| {
            let other = piece.memory.place();
            other.dmabuf.is_none() && (other.iface, other.flags) == (place.iface, place.flags)
        };
        if !others.iter().all(same) {
            return Err(Error::invalid(NAME, "the pieces are of different kinds of memory"));
        }
        if let Some(dmabuf) = &mut place.dmabuf {
            // `from_dmabuf` has checked that the end can be counted.
            dmabuf.offset += first.start as u64;
            dmabuf.len = first.len;
        }
        Ok(place)
    }

    fn fail(&mut self, what: &str) {
        self.fault.get_or_insert_with(|| Error::invalid(NAME, what));
    }
}

impl<T: Threading> fmt::Debug for RegionBuilder<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegionBuilder")
            .field("len", &self.pieces.iter().map(|piece| piece.len).sum::<usize>())
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
