//! Address vectors: peers' addresses, and the handles that stand for them.
//!
//! An [`Address`] names an entry of one vector, of one generation. Sending checks both, because a
//! wrong `fi_addr_t` is a wild pointer in most providers (rule A1). A removed address is retired at
//! once and leaves the provider when no operation in flight names it (rule A2).
//!
//! # Safety
//!
//! Entries live as long as their vector; an [`Address`] looks into its entry only after the vector's
//! number was found to be that of a vector which somebody holds. An entry of its own ([`Own`]) is held
//! by whoever makes an address of it, which nobody else sees.

use std::{collections::HashMap, ffi::c_void, fmt, ptr::NonNull, sync::Arc};

use ofi_sys::fid_av;

use crate::{
    AddressFormat, Caps, Domain, Error, Result,
    abi::Roomy,
    domain::DomainCore,
    error::{Needs, check},
    info::CheckedAddress,
    object::{CloseError, Owned, refuse_fork, report},
    op::lane::Lane,
    sync::atomic::{AtomicU64, Ordering},
    threading::{Lock, Shared, Threading},
};

mod auth_keys;
mod fabric_address;
mod ids;
mod insert;
pub(crate) mod local;
mod set;
mod shared;

pub use auth_keys::AuthKey;
pub use fabric_address::FabricAddress;
use ids::Ids;
pub use set::{AvSet, AvSetBuilder};
use shared::Sharing;

/// A peer's address in an [`AddressVector`]: what operations take. Cheap to copy.
///
/// Only good for endpoints of the vector that made it, until it is removed there; everywhere else
/// posting fails with [`ErrorKind::StaleAddress`](crate::ErrorKind::StaleAddress).
#[derive(Clone, Copy)]
#[doc(alias = "fi_addr_t")]
pub struct Address {
    raw: u64,
    vector: u64,
    generation: u64,
    entry: NonNull<Entry>,
}

// SAFETY: plain data; the entry is only looked at (its word is atomic) while its vector is held.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

/// One place of a vector. Used again under another generation.
#[derive(Debug)]
struct Entry {
    generation: AtomicU64,
    /// What receives from this peer alone are matched by: the provider's number, or the user's.
    matched: AtomicU64,
}

impl Entry {
    fn new() -> Entry {
        Entry { generation: AtomicU64::new(0), matched: AtomicU64::new(0) }
    }
}

impl Address {
    /// The provider's number for the peer (`fi_addr_t`), for calls that this crate does not wrap.
    /// It says nothing of which vector it is from, nor whether it was removed there.
    #[must_use]
    pub fn as_raw(&self) -> u64 {
        self.raw
    }

    /// The provider's number for the peer.
    pub(crate) fn raw(&self) -> u64 {
        self.raw
    }

    pub(crate) fn vector(&self) -> u64 {
        self.vector
    }

    /// What a slot notes to say that it names this address.
    pub(crate) fn entry_word(&self) -> u64 {
        self.entry.as_ptr() as usize as u64
    }

    /// Whether both are the same peer of the same vector, removed meanwhile or not.
    pub(crate) fn is_same_entry(&self, other: &Address) -> bool {
        (self.vector, self.entry) == (other.vector, other.entry)
    }

    /// An address that nobody else has, in a vector that never goes.
    #[cfg(all(test, loom))]
    pub(crate) fn model() -> Address {
        let entry = Box::leak(Box::new(Entry::new()));
        Address { raw: 0, vector: 0, generation: 0, entry: NonNull::from(entry) }
    }

    /// What receives from this peer alone are matched by.
    ///
    /// The caller holds the vector whose number is [`vector`](Self::vector).
    pub(crate) fn matched(&self) -> u64 {
        // SAFETY: the vector is held, so its entries exist.
        unsafe { self.entry.as_ref() }.matched.load(Ordering::Relaxed)
    }

    /// From here on posting to it is refused.
    ///
    /// The caller holds the vector whose number is [`vector`](Self::vector).
    pub(crate) fn retire(&self) {
        // SAFETY: the vector is held, so its entries exist.
        unsafe { self.entry.as_ref() }.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether it has not been removed.
    ///
    /// The caller holds the vector whose number is [`vector`](Self::vector).
    #[inline]
    pub(crate) fn is_current(&self) -> bool {
        // SAFETY: the vector is held, so its entries exist.
        let entry = unsafe { self.entry.as_ref() };
        entry.generation.load(Ordering::SeqCst) == self.generation
    }
}

/// An entry of no vector: what names something else that messages go to, and that must stay while they
/// are on their way.
#[derive(Debug)]
pub(crate) struct Own(Arc<Entry>);

impl Own {
    pub(crate) fn new() -> Own {
        Own(Arc::new(Entry::new()))
    }

    /// What slots note that name it.
    pub(crate) fn word(&self) -> u64 {
        Arc::as_ptr(&self.0) as usize as u64
    }

    /// Names it, as if it were an entry of the vector of this number. Good while `self` is there.
    pub(crate) fn address(&self, raw: u64, vector: u64) -> Address {
        Address { raw, vector, generation: 0, entry: NonNull::from(&*self.0) }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({} of vector {})", self.raw, self.vector)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        (self.vector, self.entry, self.generation, self.raw)
            == (other.vector, other.entry, other.generation, other.raw)
    }
}

impl Eq for Address {}

impl std::hash::Hash for Address {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.vector, self.entry, self.generation, self.raw).hash(state);
    }
}

/// The addresses that endpoints send to.
///
/// Closes with its last clone and the last endpoint bound to it. See `fi_av(3)`.
#[doc(alias = "fid_av")]
pub struct AddressVector<T: Threading = Shared>(pub(crate) Arc<AvCore<T>>);

impl<T: Threading> Clone for AddressVector<T> {
    fn clone(&self) -> Self {
        AddressVector(Arc::clone(&self.0))
    }
}

#[expect(missing_debug_implementations, reason = "public in name only")]
pub struct AvCore<T: Threading> {
    fid: Owned<fid_av, T>,
    /// See [`local`].
    _counted: Option<local::Counted>,
    pub(crate) id: u64,
    table: T::Lock<AddressTable>,
    /// Endpoints bound to it: their operations may name entries.
    lanes: T::Lock<Vec<NonNull<Lane<T>>>>,
    format: AddressFormat,
    /// The highest bits of its numbers that name a peer's receive context.
    context_bits: u32,
    ids: Ids,
    sharing: Option<Sharing>,
    domain: Arc<DomainCore<T>>,
}

// SAFETY: everything in it is atomic or behind a lock of `Shared`; lanes are used under that lock.
unsafe impl Send for AvCore<Shared> {}
// SAFETY: as above.
unsafe impl Sync for AvCore<Shared> {}

#[derive(Default)]
pub(crate) struct AddressTable {
    // Boxed one by one: entries stay where they are while the table grows.
    #[expect(clippy::vec_box, reason = "an Address points at its entry")]
    entries: Vec<Box<Entry>>,
    /// Places to use again.
    free: Vec<NonNull<Entry>>,
    /// What is inserted, by its bytes: inserting an address twice is not defined (rule A3).
    known: HashMap<Box<[u8]>, Known>,
    by_raw: HashMap<u64, Box<[u8]>>,
    /// Removed, but still named by operations in flight, or by sets.
    retired: Vec<(Address, Box<[u8]>)>,
    /// How many sets name an entry: it stays in the provider for as long.
    pinned: HashMap<u64, usize>,
    /// The user's numbers, and what they stand for, with those of retired addresses.
    ids: HashMap<u64, Box<[u8]>>,
}

struct Known {
    address: Address,
    /// How often it was inserted; the last remove counts.
    count: usize,
}

/// What an address vector is opened with. [`open`](Self::open) opens it.
#[derive(Debug)]
#[must_use = "a builder does nothing until `open`"]
pub struct AddressVectorBuilder<T: Threading> {
    domain: Domain<T>,
    count: usize,
    contexts: usize,
    user_ids: bool,
    sharing: Option<Sharing>,
}

impl<T: Threading> AddressVectorBuilder<T> {
    pub(crate) fn new(domain: &Domain<T>) -> Self {
        AddressVectorBuilder {
            domain: domain.clone(),
            count: 0,
            contexts: 0,
            user_ids: false,
            sharing: None,
        }
    }

    /// How many receive contexts of a peer its addresses can name, see
    /// [`AddressVector::receive_context`]. Needs `FI_NAMED_RX_CTX`.
    #[doc(alias = "FI_NAMED_RX_CTX")]
    pub fn receive_contexts(mut self, most: usize) -> Self {
        self.contexts = most;
        self
    }

    /// About how many addresses it will hold. A hint.
    pub fn count(mut self, addresses: usize) -> Self {
        self.count = addresses;
        self
    }

    /// Opens the vector.
    ///
    /// # Errors
    ///
    /// `Unsupported` if its addresses are to name receive contexts and the domain does not have
    /// `FI_NAMED_RX_CTX`, or if [`user_ids`](Self::user_ids) were asked for and the provider has none;
    /// what the provider says.
    #[doc(alias = "fi_av_open")]
    pub fn open(self) -> Result<AddressVector<T>> {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        refuse_fork("fi_av_open")?;
        let domain = &self.domain.0;
        if let Some(sharing) = &self.sharing {
            sharing.check(&domain.info, self.user_ids)?;
        }
        let ids = if self.user_ids { Ids::of(&domain.info)? } else { Ids::None };
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_av_attr>::zeroed() };
        attr.as_mut().type_ = ofi_sys::FI_AV_TABLE;
        attr.as_mut().flags = ids.open_flags();
        if let Some(sharing) = &self.sharing {
            attr.as_mut().name = sharing.name.as_ptr();
            attr.as_mut().flags |= sharing.flags();
        }
        attr.as_mut().count = self.count;
        let bits = context_bits(self.contexts);
        if bits > 0 && !domain.info.caps().contains(Caps::NAMED_RX_CTX) {
            return Err(Error::unsupported("fi_av_open", Needs::Capability("FI_NAMED_RX_CTX"))
                .hint("ask for the capability in the hints"));
        }
        /// Few providers have any; the numbers of a vector's addresses need the rest.
        const MOST: u32 = 24;
        if bits > MOST {
            let limit = 1 << MOST;
            return Err(Error::new(crate::ErrorKind::TooLarge { limit }, "fi_av_open")
                .detail("receive contexts of a peer"));
        }
        attr.as_mut().rx_ctx_bits = bits as i32;
        let mut fid = std::ptr::null_mut();
        // SAFETY: the domain is open, the attributes are whole, `fid` receives the vector.
        let status = unsafe {
            ofi_sys::fi_av_open(domain.as_ptr(), attr.as_ptr(), &raw mut fid, std::ptr::null_mut())
        };
        check(i64::from(status), "fi_av_open")?;
        let local = local::concerns(&domain.info);
        let core = Arc::new(AvCore {
            // SAFETY: fi_av_open succeeded.
            fid: unsafe { Owned::new(fid, "fi_av_open")? },
            _counted: (local && !T::SHARED).then(local::Counted::new),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            table: T::Lock::new(AddressTable::default()),
            lanes: T::Lock::new(Vec::new()),
            format: domain.info.address_format(),
            context_bits: bits,
            ids,
            sharing: self.sharing,
            domain: Arc::clone(domain),
        });
        if local {
            T::remember(&core);
        }
        Ok(AddressVector(core))
    }
}

/// So many bits name that many receive contexts (rule A8).
fn context_bits(contexts: usize) -> u32 {
    contexts.checked_next_power_of_two().map_or(usize::BITS, usize::trailing_zeros)
}

fn high_bits(count: u32) -> u64 {
    !u64::MAX.checked_shr(count).unwrap_or(0)
}

impl<T: Threading> AddressVector<T> {
    /// Inserts a peer's address. The same address twice gives the same handle; it is then to be
    /// removed twice.
    ///
    /// # Errors
    ///
    /// `Invalid` if it is not of the form, or not as long, as the domain's addresses (rule A4);
    /// what the provider says.
    #[doc(alias = "fi_av_insert")]
    pub fn insert(&self, address: &FabricAddress) -> Result<Address> {
        const NAME: &str = "fi_av_insert";
        self.without_id(NAME)?;
        let bytes = self.checked(address)?;
        let mut table = self.0.table.lock();
        self.sweep(&mut table);
        if let Some(known) = table.known.get_mut(address.bytes()) {
            known.count += 1;
            return Ok(known.address);
        }
        if let Some(address) = table.revive(address.bytes()) {
            return Ok(address);
        }
        if local::is_gone(address.bytes()) {
            return Err(Error::new(crate::ErrorKind::StaleAddress, NAME)
                .detail(format!("{address} was an endpoint of this process, which is closed")));
        }
        let raw = self
            .0
            .insert_padded(&bytes)?
            .ok_or_else(|| Error::invalid(NAME, format!("the provider did not take {address}")))?;
        Ok(table.add(self.0.id, raw, raw, address.bytes()))
    }

    /// A receive context of the peer at `address`, a scalable endpoint: what is sent there comes to
    /// this context of it. The vector must have been opened for so many
    /// ([`receive_contexts`](AddressVectorBuilder::receive_contexts)). Removing either of the two
    /// removes both.
    ///
    /// Whether the peer has such a context is not known here. On `sockets` a message to one that it has
    /// not is never received, nor is what follows it.
    ///
    /// # Errors
    ///
    /// `StaleAddress` if it is not in this vector; `Invalid` if there are not so many contexts.
    #[doc(alias = "fi_rx_addr")]
    pub fn receive_context(&self, address: Address, index: usize) -> Result<Address> {
        self.own(address)?;
        let bits = self.0.context_bits;
        if index >= 1 << bits {
            return Err(Error::invalid(
                "fi_rx_addr",
                format!("the vector's addresses name {} receive contexts of a peer", 1 << bits),
            ));
        }
        let base = address.raw & !high_bits(bits);
        // Without bits the only context is the peer itself, and the C function would shift too far.
        let raw =
            if bits == 0 { base } else { ofi_sys::fi_rx_addr(base, index as i32, bits as i32) };
        Ok(Address { raw, ..address })
    }

    /// Removes an address. Operations that already name it go on; new ones are refused at once. A set
    /// that it is in keeps it.
    ///
    /// # Errors
    ///
    /// `StaleAddress` if it is not in this vector.
    #[doc(alias = "fi_av_remove")]
    pub fn remove(&self, address: Address) -> Result<()> {
        let mut table = self.0.table.lock();
        self.own(address)?;
        let address = self.peer(address);
        let Some(bytes) = table.by_raw.get(&address.raw).cloned() else {
            return Err(Error::new(crate::ErrorKind::StaleAddress, "fi_av_remove"));
        };
        if let Some(known) = table.known.get_mut(&bytes) {
            known.count -= 1;
            if known.count > 0 {
                return Ok(());
            }
        }
        table.retire(address, &bytes);
        self.sweep(&mut table);
        Ok(())
    }

    /// The address behind a handle, in the provider's form.
    ///
    /// # Errors
    ///
    /// `StaleAddress` if it is not in this vector.
    #[doc(alias = "fi_av_lookup")]
    pub fn lookup(&self, address: Address) -> Result<FabricAddress> {
        let table = self.0.table.lock();
        self.own(address)?;
        let address = self.peer(address);
        match table.by_raw.get(&address.raw) {
            Some(bytes) => Ok(FabricAddress::from_provider(self.0.format, bytes)),
            None => Err(Error::new(crate::ErrorKind::StaleAddress, "fi_av_lookup")),
        }
    }

    /// The handle for the source that a completion reports ([`Received::source`]), if that peer is
    /// in this vector. In one with [`user_ids`](AddressVectorBuilder::user_ids) that is the user's
    /// number.
    ///
    /// [`Received::source`]: crate::Received::source
    #[must_use]
    pub fn source(&self, source: u64) -> Option<Address> {
        let table = self.0.table.lock();
        let bytes = match self.0.ids {
            Ids::None => table.by_raw.get(&source)?,
            _ => table.ids.get(&source)?,
        };
        table.known.get(bytes).map(|known| known.address)
    }

    /// How many addresses are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.table.lock().known.len()
    }

    /// Whether no address is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Closes the vector now.
    ///
    /// # Errors
    ///
    /// Gives the handle back if others hold it, or endpoints are bound to it.
    pub fn close(self) -> Result<(), CloseError<AddressVector<T>>> {
        CloseError::close(self.0, AddressVector, |core| core.fid.close())
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_av {
        self.0.fid.as_ptr()
    }

    /// The bytes to pass to the provider: of the right form, zeroes behind them.
    fn checked(&self, address: &FabricAddress) -> Result<Vec<u8>> {
        /// More than any provider's address.
        const PADDED: usize = 512;
        let format = self.0.format;
        if address.format() != format {
            return Err(Error::invalid(
                "fi_av_insert",
                format!("the address is {}, the domain's are {format}", address.format()),
            ));
        }
        let rails = self.0.domain.info.rails();
        let mut bytes = match CheckedAddress::new(format, address.bytes()) {
            _ if rails > 1 => {
                CheckedAddress::of_rails(format, address.bytes(), rails)?;
                address.bytes().to_vec()
            }
            Ok(checked) => checked.bytes().to_vec(),
            // A form whose length only the provider knows: its own addresses tell.
            Err(error) if CheckedAddress::has_known_length(format) => return Err(error),
            Err(_) => address.bytes().to_vec(),
        };
        if format != AddressFormat::Str {
            bytes.resize(bytes.len().max(PADDED), 0);
        }
        Ok(bytes)
    }

    /// The peer whose receive context it may be.
    fn peer(&self, address: Address) -> Address {
        Address { raw: address.raw & !high_bits(self.0.context_bits), ..address }
    }

    fn own(&self, address: Address) -> Result<()> {
        if address.vector == self.0.id && address.is_current() {
            return Ok(());
        }
        Err(Error::new(crate::ErrorKind::StaleAddress, "address vector"))
    }

    /// Takes retired addresses out of the provider once no operation in flight names them.
    fn sweep(&self, table: &mut AddressTable) {
        self.0.sweep(table);
    }
}

impl<T: Threading> AvCore<T> {
    /// Inserts one address of the vector's form, with zeroes behind it. `None` if the provider does
    /// not take it.
    fn insert_padded(&self, bytes: &[u8]) -> Result<Option<u64>> {
        match self.as_host(bytes) {
            Some(host) => self.insert_host(&host),
            None => self.insert_given(bytes, ofi_sys::FI_ADDR_NOTAVAIL, 0),
        }
    }

    /// The same with flags, and with what the provider finds in the place that it writes its number
    /// to.
    fn insert_given(&self, bytes: &[u8], given: u64, flags: u64) -> Result<Option<u64>> {
        let mut raw = given;
        // Addresses in text are passed through an array of pointers (rule A4), only that the
        // providers of shared memory read the text itself.
        let text = bytes.as_ptr().cast_mut();
        let direct = matches!(self.domain.info.core_provider(), "shm" | "sm2");
        let passed: *const c_void = if self.format == AddressFormat::Str && !direct {
            (&raw const text).cast()
        } else {
            bytes.as_ptr().cast()
        };
        // SAFETY: the vector is open; one address of its form, with zeroes behind it, so that a
        // provider which reads more than the form has reads those; one number is written.
        let status = unsafe {
            ofi_sys::fi_av_insert(
                self.fid.as_ptr(),
                passed,
                1,
                &raw mut raw,
                flags,
                std::ptr::null_mut(),
            )
        };
        // It is a count, not a status (fault 24).
        let count = check(i64::from(status), "fi_av_insert")?;
        Ok((count == 1 && raw != ofi_sys::FI_ADDR_NOTAVAIL).then_some(raw))
    }

    /// Inserts an address, and removes it after `during`. The caller keeps others from changing the
    /// vector.
    pub(crate) fn visit(&self, name: &FabricAddress, during: impl FnOnce(u64)) {
        let mut bytes = name.bytes().to_vec();
        bytes.resize(512, 0);
        if let Ok(Some(raw)) = self.insert_padded(&bytes) {
            during(raw);
            self.take_out(raw);
        }
    }

    /// Takes an entry out of the provider's vector. The caller knows that nothing names it.
    fn take_out(&self, raw: u64) {
        if self.sharing.as_ref().is_some_and(|sharing| sharing.read_only) {
            // It is another process's, and the memory that it is in cannot be written to.
            return;
        }
        let mut raw = raw;
        // SAFETY: the vector is open, the number is one it gave out, and nothing names it.
        let status = unsafe { ofi_sys::fi_av_remove(self.fid.as_ptr(), &raw mut raw, 1, 0) };
        if status != 0 {
            let errno = crate::Errno::from_raw(status);
            report("address", &Error::from_errno(errno, "fi_av_remove"));
        }
    }

    fn sweep(&self, table: &mut AddressTable) {
        if table.retired.is_empty() {
            return;
        }
        let lanes = self.lanes.lock();
        let AddressTable { retired, free, pinned, ids, .. } = table;
        retired.retain(|(address, bytes)| {
            let word = address.entry_word();
            if pinned.contains_key(&word) {
                return true;
            }
            // SAFETY: an endpoint leaves the list, under its lock, before its lane may go.
            let names = |lane: &NonNull<Lane<T>>| unsafe { lane.as_ref() }.names(word);
            if lanes.iter().any(names) {
                return true;
            }
            // Nothing names it.
            self.take_out(address.raw);
            ids.retain(|_, named| named != bytes);
            free.push(address.entry);
            false
        });
    }

    /// Keeps everybody from inserting and removing. Taken after the readers of queues.
    pub(crate) fn hold(&self) -> <T::Lock<AddressTable> as Lock<AddressTable>>::Guard<'_> {
        self.table.lock()
    }

    /// Whether the vector is of this domain.
    pub(crate) fn on(&self, domain: &Arc<DomainCore<T>>) -> bool {
        Arc::ptr_eq(&self.domain, domain)
    }

    pub(crate) fn attach(&self, lane: NonNull<Lane<T>>) {
        self.lanes.lock().push(lane);
    }

    /// The endpoint is closed: its operations name nothing any more.
    pub(crate) fn detach(&self, lane: NonNull<Lane<T>>) {
        self.lanes.lock().retain(|other| *other != lane);
        self.sweep(&mut self.table.lock());
    }
}

impl AddressTable {
    /// Strikes an address off; it leaves the provider with a `sweep`.
    fn retire(&mut self, address: Address, bytes: &[u8]) {
        self.known.remove(bytes);
        self.by_raw.remove(&address.raw);
        address.retire();
        self.retired.push((address, bytes.into()));
    }

    /// Takes back an address that was removed but never left the provider: inserting it beside
    /// itself is not defined (rule A3). Handles from before stay refused.
    fn revive(&mut self, bytes: &[u8]) -> Option<Address> {
        let at = self.retired.iter().position(|(_, retired)| **retired == *bytes)?;
        let (mut address, bytes) = self.retired.swap_remove(at);
        // SAFETY: entries live as long as the table.
        address.generation = unsafe { address.entry.as_ref() }.generation.load(Ordering::SeqCst);
        self.by_raw.insert(address.raw, bytes.clone());
        self.known.insert(bytes, Known { address, count: 1 });
        Some(address)
    }

    /// Takes back the count that `add` and `revive` give.
    fn uncount(&mut self, bytes: &[u8]) {
        if let Some(known) = self.known.get_mut(bytes) {
            known.count -= 1;
        }
    }

    /// `matched` is what receives from it alone are matched by.
    fn add(&mut self, vector: u64, raw: u64, matched: u64, bytes: &[u8]) -> Address {
        let entry = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Box::new(Entry::new()));
            NonNull::from(&**self.entries.last().expect("just pushed"))
        });
        // SAFETY: entries live as long as the table.
        let place = unsafe { entry.as_ref() };
        place.matched.store(matched, Ordering::Relaxed);
        let generation = place.generation.load(Ordering::SeqCst);
        let address = Address { raw, vector, generation, entry };
        self.known.insert(bytes.into(), Known { address, count: 1 });
        self.by_raw.insert(raw, bytes.into());
        address
    }
}

impl<T: Threading> fmt::Debug for AddressVector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressVector")
            .field("id", &self.0.id)
            .field("format", &self.0.format)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // rule: A8
    #[test]
    fn bits_that_name_contexts() {
        for (contexts, bits) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 16, 16)] {
            assert_eq!(context_bits(contexts), bits, "{contexts}");
            assert!(1 << bits >= contexts);
        }
        assert_eq!(context_bits(usize::MAX), usize::BITS);
        assert_eq!((high_bits(0), high_bits(2), high_bits(64)), (0, 3 << 62, u64::MAX));
    }
}
