//! Sets of addresses: ordered parts of a vector, whose members join a collective group.
//!
//! A set names the entries of its members in the vector, so that an address which is removed there
//! stays in the provider until no set has it (rule A2). What is in the set is kept here, too: it is
//! what ranks are counted by, and where the provider's own arithmetic is wrong (quirk 52), members
//! are put in and taken out one by one.
//!
//! # Safety
//!
//! What is passed to the provider are numbers of addresses that the vector gave out and, while they
//! are pinned, keeps. A set changes through `&mut` alone, and not any more once it was joined with
//! (rule X7).

use std::{fmt, sync::Arc};

use ofi_sys::fid_av_set;

use super::{Address, AddressVector, AvCore};
use crate::{
    Error, ErrorKind, Result, SetFlags,
    abi::Roomy,
    error::{Needs, check},
    object::{CloseError, Owned, refuse_fork},
    quirks::{Defect, quirk},
    threading::{Lock, Shared, Threading},
};

/// An ordered set of addresses of one vector: the members of a collective group to be.
///
/// The order is that of insertion, and it counts: every member makes the same set, with the same
/// addresses in the same order, and joins with it ([`Endpoint::join_collective`](crate::Endpoint::join_collective)). The
/// place in it is the member's rank.
///
/// See `fi_av_set(3)`.
#[doc(alias = "fid_av_set")]
pub struct AvSet<T: Threading = Shared> {
    fid: Owned<fid_av_set, T>,
    members: Vec<Address>,
    /// A call failed half-way: what the provider has in the set nobody knows.
    torn: bool,
    pub(crate) av: Arc<AvCore<T>>,
}

/// What a set is opened with. [`open`](Self::open) opens it.
#[derive(Debug)]
#[must_use = "a builder does nothing until `open`"]
pub struct AvSetBuilder<T: Threading> {
    av: AddressVector<T>,
    count: usize,
    flags: SetFlags,
    range: Option<(Address, Address, u64)>,
}

impl<T: Threading> AddressVector<T> {
    /// A set of addresses of this vector; an empty one unless [`range`](AvSetBuilder::range) says
    /// otherwise.
    pub fn set(&self) -> AvSetBuilder<T> {
        AvSetBuilder { av: self.clone(), count: 0, flags: SetFlags::empty(), range: None }
    }
}

impl<T: Threading> AvSetBuilder<T> {
    /// How many members it will have at most. 0, the default, means as many as are in its
    /// [`range`](Self::range); without one it is left to the provider, which takes the size of the vector,
    /// as far as it was known when that was opened.
    pub fn count(mut self, members: usize) -> Self {
        self.count = members;
        self
    }

    /// The collectives that its group has to serve; none means all.
    pub fn flags(mut self, flags: SetFlags) -> Self {
        self.flags = flags;
        self
    }

    /// Begins with the addresses from `start` to `end`, both included, in the order of their numbers
    /// ([`Address::as_raw`]); with `stride` 2 every other one, and so on. Numbers that no address has
    /// are left out.
    pub fn range(mut self, start: Address, end: Address, stride: u64) -> Self {
        self.range = Some((start, end, stride));
        self
    }

    /// Opens the set.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the provider has no sets; `StaleAddress` if the range is of another vector;
    /// `Invalid` for a stride of 0; what the provider says, of members beyond the count, say.
    #[doc(alias = "fi_av_set")]
    pub fn open(self) -> Result<AvSet<T>> {
        const NAME: &str = "fi_av_set";
        refuse_fork(NAME)?;
        let core = &self.av.0;
        let members = self.of_range(NAME)?;
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_av_set_attr>::zeroed() };
        let to = attr.as_mut();
        to.count = self.count.max(members.len());
        to.flags = self.flags.raw();
        // An empty one: members go in one by one. The provider that has quirk 52 reads a range, and
        // what the man page calls an empty one, out of an array that may be shorter.
        if quirk(core.domain.info.provider(), Defect::SetsGarbled).is_some() {
            (to.start_addr, to.end_addr, to.stride) = (1, 0, 1);
        } else {
            to.start_addr = ofi_sys::FI_ADDR_NOTAVAIL;
            to.end_addr = ofi_sys::FI_ADDR_NOTAVAIL;
        }
        let mut fid = std::ptr::null_mut();
        let status = {
            // The provider may walk the vector's addresses.
            let _still = core.hold();
            // SAFETY: the vector is open, the attributes are whole and name no key, `fid` receives
            // the set.
            unsafe {
                ofi_sys::fi_av_set(
                    core.fid.as_ptr(),
                    attr.as_ptr(),
                    &raw mut fid,
                    std::ptr::null_mut(),
                )
            }
        };
        check(i64::from(status), NAME).map_err(absent)?;
        let mut set = AvSet {
            // SAFETY: fi_av_set succeeded.
            fid: unsafe { Owned::new(fid, NAME)? },
            members: Vec::new(),
            torn: false,
            av: Arc::clone(core),
        };
        for address in members {
            set.insert(address)?;
        }
        Ok(set)
    }

    fn of_range(&self, attempted: &'static str) -> Result<Vec<Address>> {
        let Some((start, end, stride)) = self.range else { return Ok(Vec::new()) };
        if stride == 0 {
            return Err(Error::invalid(attempted, "a stride of 0 leads nowhere"));
        }
        let table = self.av.0.table.lock();
        self.av.own(start)?;
        self.av.own(end)?;
        let (start, end) = (self.av.peer(start), self.av.peer(end));
        let within =
            |raw: u64| (start.raw..=end.raw).contains(&raw) && (raw - start.raw) % stride == 0;
        let known = table.known.values().map(|known| known.address);
        let mut found: Vec<Address> = known.filter(|address| within(address.raw)).collect();
        found.sort_by_key(|address| address.raw);
        Ok(found)
    }
}

fn absent(error: Error) -> Error {
    error.absent(Needs::Property("sets of addresses")).hint("ask for FI_COLLECTIVE in the hints")
}

impl<T: Threading> AvSet<T> {
    /// Adds an address at the end.
    ///
    /// # Errors
    ///
    /// `StaleAddress` if it is not in the set's vector; `Invalid` if it is in the set already; what
    /// the provider says (`ENOMEM` where the set is full).
    #[doc(alias = "fi_av_set_insert")]
    pub fn insert(&mut self, address: Address) -> Result<()> {
        const NAME: &str = "fi_av_set_insert";
        self.whole(NAME)?;
        if self.contains(address) {
            return Err(Error::invalid(NAME, format!("{address:?} is in the set already")));
        }
        // Not a receive context of it (rule A8).
        let address = AddressVector(Arc::clone(&self.av)).peer(address);
        self.av.pin(&[address])?;
        // SAFETY: the set is open; the address is in its vector, and stays.
        let status = unsafe { ofi_sys::fi_av_set_insert(self.fid.as_ptr(), address.raw) };
        match check(i64::from(status), NAME) {
            Ok(_) => {
                self.members.push(address);
                Ok(())
            }
            Err(error) => {
                self.av.unpin(&[address]);
                Err(absent(error))
            }
        }
    }

    /// Takes an address out; the others keep their order.
    ///
    /// # Errors
    ///
    /// `NotFound` if it is not in the set; what the provider says.
    #[doc(alias = "fi_av_set_remove")]
    pub fn remove(&mut self, address: Address) -> Result<()> {
        const NAME: &str = "fi_av_set_remove";
        self.whole(NAME)?;
        let member = self.members.iter().find(|member| member.is_same_entry(&address)).copied();
        let Some(member) = member.filter(|member| member.raw == address.raw) else {
            return Err(Error::new(ErrorKind::NotFound, NAME).detail(format!("{address:?}")));
        };
        let rest: Vec<Address> = self.without(|other| other.is_same_entry(&member));
        self.keep(rest, NAME, |set| {
            // SAFETY: the set is open, and the number is that of a member.
            unsafe { ofi_sys::fi_av_set_remove(set, member.raw) }
        })
    }

    /// Adds the members of `other` that are not in this one, at the end, in their order.
    ///
    /// # Errors
    ///
    /// `Invalid` if the other set is of another vector; what the provider says. After such a failure
    /// nobody knows what is in the set, and nothing can be done with it any more.
    #[doc(alias = "fi_av_set_union")]
    pub fn union(&mut self, other: &AvSet<T>) -> Result<()> {
        const NAME: &str = "fi_av_set_union";
        self.with(other, NAME)?;
        let new = other.without(|address| self.contains(*address));
        // Members of the other set are pinned, whether they were removed from the vector or not.
        self.av.pin_members(&new);
        // SAFETY: both sets are open, of the same vector.
        let status = unsafe { ofi_sys::fi_av_set_union(self.fid.as_ptr(), other.fid.as_ptr()) };
        // Also where it failed: some may be in it, and what is pinned is let go with the set.
        self.members.extend(new);
        self.done(status, NAME)
    }

    /// Takes out all that is not in `other`; the others keep their order.
    ///
    /// # Errors
    ///
    /// As [`union`](Self::union).
    #[doc(alias = "fi_av_set_intersect")]
    pub fn intersect(&mut self, other: &AvSet<T>) -> Result<()> {
        const NAME: &str = "fi_av_set_intersect";
        self.with(other, NAME)?;
        let rest = self.without(|address| !other.contains(*address));
        self.keep(rest, NAME, |set| {
            // SAFETY: both sets are open, of the same vector.
            unsafe { ofi_sys::fi_av_set_intersect(set, other.fid.as_ptr()) }
        })
    }

    /// Takes out all that is in `other`; the others keep their order.
    ///
    /// # Errors
    ///
    /// As [`union`](Self::union).
    #[doc(alias = "fi_av_set_diff")]
    pub fn difference(&mut self, other: &AvSet<T>) -> Result<()> {
        const NAME: &str = "fi_av_set_diff";
        self.with(other, NAME)?;
        let rest = self.without(|address| other.contains(*address));
        self.keep(rest, NAME, |set| {
            // SAFETY: both sets are open, of the same vector.
            unsafe { ofi_sys::fi_av_set_diff(set, other.fid.as_ptr()) }
        })
    }

    /// The members, in their order. Those that were removed from the vector meanwhile are among them.
    #[must_use]
    pub fn members(&self) -> &[Address] {
        &self.members
    }

    /// Whether this address is in the set.
    #[must_use]
    pub fn contains(&self, address: Address) -> bool {
        self.members.iter().any(|member| member.is_same_entry(&address))
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The provider's number for all members (`fi_addr_t`), to join with by calls that this crate does
    /// not wrap. It is good until the set changes or closes.
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "fi_av_set_addr")]
    pub fn raw_address(&self) -> Result<u64> {
        const NAME: &str = "fi_av_set_addr";
        self.whole(NAME)?;
        let mut address = ofi_sys::FI_ADDR_NOTAVAIL;
        // SAFETY: the set is open; one number is written.
        let status = unsafe { ofi_sys::fi_av_set_addr(self.fid.as_ptr(), &raw mut address) };
        check(i64::from(status), NAME).map_err(absent)?;
        Ok(address)
    }

    /// Closes the set now.
    ///
    /// # Errors
    ///
    /// What the provider says: the set is leaked then, and its addresses stay in the vector's provider.
    pub fn close(mut self) -> Result<(), CloseError<AvSet<T>>> {
        self.shut().map_err(CloseError::Failed)
    }

    /// The C object, for calls that this crate does not wrap.
    #[must_use]
    pub fn as_raw(&self) -> *mut fid_av_set {
        self.fid.as_ptr()
    }

    /// The place of a member.
    pub(crate) fn rank(&self, address: Address) -> Option<usize> {
        self.members.iter().position(|member| member.is_same_entry(&address))
    }

    /// The place of the member that has this name in the provider.
    pub(crate) fn rank_of(&self, name: &[u8]) -> Option<usize> {
        let av = AddressVector(Arc::clone(&self.av));
        self.members
            .iter()
            .position(|member| av.looked_up(member.raw).is_ok_and(|bytes| *bytes == *name))
    }

    fn without(&self, gone: impl Fn(&Address) -> bool) -> Vec<Address> {
        self.members.iter().copied().filter(|address| !gone(address)).collect()
    }

    /// Lets the set have `rest` of its members: by `call`, or one by one where that goes wrong.
    fn keep(
        &mut self,
        rest: Vec<Address>,
        attempted: &'static str,
        call: impl FnOnce(*mut fid_av_set) -> i32,
    ) -> Result<()> {
        let gone = self.without(|address| rest.iter().any(|kept| kept.is_same_entry(address)));
        if gone.is_empty() {
            return Ok(());
        }
        let status = if quirk(self.av.domain.info.provider(), Defect::SetsGarbled).is_some() {
            self.put_back(&rest)
        } else {
            call(self.fid.as_ptr())
        };
        self.done(status, attempted)?;
        self.members = rest;
        self.av.unpin(&gone);
        Ok(())
    }

    /// Takes members out from the end until what is left is the beginning of `rest`, and puts the rest
    /// of it in again: what is at the end can be taken out without a change of order.
    fn put_back(&self, rest: &[Address]) -> i32 {
        let same = self.members.iter().zip(rest).take_while(|(a, b)| a.is_same_entry(b)).count();
        let set = self.fid.as_ptr();
        for member in self.members[same..].iter().rev() {
            // SAFETY: the set is open.
            let status = unsafe { ofi_sys::fi_av_set_remove(set, member.raw) };
            if status != 0 {
                return status;
            }
        }
        for member in &rest[same..] {
            // SAFETY: the set is open; the address is a member's, so pinned in the vector.
            let status = unsafe { ofi_sys::fi_av_set_insert(set, member.raw) };
            if status != 0 {
                return status;
            }
        }
        0
    }

    fn done(&mut self, status: i32, attempted: &'static str) -> Result<()> {
        self.torn |= status != 0;
        check(i64::from(status), attempted).map(drop).map_err(absent)
    }

    fn whole(&self, attempted: &'static str) -> Result<()> {
        if self.torn {
            return Err(Error::invalid(attempted, "an earlier call on the set failed half-way")
                .hint("make a new set"));
        }
        Ok(())
    }

    fn with(&self, other: &AvSet<T>, attempted: &'static str) -> Result<()> {
        self.whole(attempted)?;
        other.whole(attempted)?;
        if !Arc::ptr_eq(&self.av, &other.av) {
            return Err(Error::invalid(attempted, "the other set is of another vector"));
        }
        Ok(())
    }

    fn shut(&mut self) -> Result<()> {
        if self.fid.is_closed() {
            return Ok(());
        }
        let result = self.fid.close();
        let members = std::mem::take(&mut self.members);
        match &result {
            Ok(()) => self.av.unpin(&members),
            // It is still there, and names them.
            Err(_) => std::mem::forget(Arc::clone(&self.av)),
        }
        result
    }
}

impl<T: Threading> Drop for AvSet<T> {
    fn drop(&mut self) {
        // A failure is logged where it happens.
        let _ = self.shut();
    }
}

impl<T: Threading> AvCore<T> {
    /// Keeps addresses in the provider, which are in the vector now.
    fn pin(&self, addresses: &[Address]) -> Result<()> {
        let mut table = self.table.lock();
        if addresses.iter().any(|address| address.vector != self.id || !address.is_current()) {
            return Err(Error::new(ErrorKind::StaleAddress, "fi_av_set_insert"));
        }
        for address in addresses {
            *table.pinned.entry(address.entry_word()).or_default() += 1;
        }
        Ok(())
    }

    /// Keeps addresses, which are pinned already, for another set.
    fn pin_members(&self, addresses: &[Address]) {
        let mut table = self.table.lock();
        for address in addresses {
            *table.pinned.entry(address.entry_word()).or_default() += 1;
        }
    }

    /// A set has these no more: what was removed meanwhile leaves the provider.
    fn unpin(&self, addresses: &[Address]) {
        let mut table = self.table.lock();
        for address in addresses {
            let word = address.entry_word();
            if let Some(count) = table.pinned.get_mut(&word) {
                *count -= 1;
                if *count == 0 {
                    table.pinned.remove(&word);
                }
            }
        }
        self.sweep(&mut table);
    }
}

impl<T: Threading> fmt::Debug for AvSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AvSet")
            .field("fid", &self.fid)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}
