//! The regions that are bound to an endpoint (`FI_MR_ENDPOINT`, rule M9).
//!
//! A region does not keep its endpoint open, and must be closed before it (rule L3). So the endpoint
//! has a list of them: closing it closes all that are in the list, under the list's lock, and a region
//! that is closed by itself leaves the list under the same lock. Whichever comes first, each is closed
//! once, and none while its endpoint is closing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use ofi_sys::fid_mr;

use super::NAME;
use crate::{
    Error, Result,
    object::Owned,
    threading::{Lock, Threading},
};

/// A registration's C object, closed once, by whoever comes first. That a close failed is remembered:
/// the device may know the memory still.
pub(crate) struct Fid<T: Threading> {
    owned: Owned<fid_mr, T>,
    lost: AtomicBool,
}

impl<T: Threading> Fid<T> {
    pub(super) fn new(owned: Owned<fid_mr, T>) -> Fid<T> {
        Fid { owned, lost: AtomicBool::new(false) }
    }

    pub(super) fn as_ptr(&self) -> *mut fid_mr {
        self.owned.as_ptr()
    }

    fn is_closed(&self) -> bool {
        self.owned.is_closed()
    }

    /// Nobody else does so meanwhile: it is one owner's, or the list's lock is held.
    fn close(&self) -> Result<()> {
        match self.owned.close() {
            Ok(()) if self.lost.load(Ordering::Acquire) => {
                Err(Error::closed(NAME).detail("it could not be closed"))
            }
            Ok(()) => Ok(()),
            Err(error) => {
                self.lost.store(true, Ordering::Release);
                Err(error)
            }
        }
    }
}

/// What an endpoint knows of its regions. Its address tells them from others'.
pub(crate) struct BoundRegions<T: Threading>(T::Lock<List<T>>);

struct List<T: Threading> {
    /// The endpoint closes, or has closed.
    closed: bool,
    fids: Vec<Arc<Fid<T>>>,
}

impl<T: Threading> BoundRegions<T> {
    pub(crate) fn new() -> Arc<BoundRegions<T>> {
        Arc::new(BoundRegions(T::Lock::new(List { closed: false, fids: Vec::new() })))
    }

    /// Binds a region, by `bind`, unless the endpoint closes.
    pub(super) fn add(&self, fid: &Arc<Fid<T>>, bind: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut list = self.0.lock();
        if list.closed {
            return Err(Error::closed("fi_mr_bind"));
        }
        // In the list first: what was bound in part has to be closed before the endpoint, too.
        list.fids.push(Arc::clone(fid));
        bind()
    }

    /// Closes every region; no further one is bound. An error if one cannot be: then the endpoint
    /// must not be closed.
    pub(crate) fn close_all(&self) -> Result<()> {
        let mut list = self.0.lock();
        list.closed = true;
        let mut result = Ok(());
        // Parts of regions were made after them, and go before them.
        while let Some(fid) = list.fids.pop() {
            result = result.and(fid.close());
        }
        result
    }
}

/// Calls, if the region is open, and sees to it that its endpoint does not close it meanwhile.
pub(super) fn while_open<T: Threading>(
    fid: &Fid<T>,
    bound: Option<&BoundRegions<T>>,
    call: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let _list = bound.map(|bound| bound.0.lock());
    if fid.is_closed() { Err(Error::closed(NAME)) } else { call() }
}

/// Closes a region that is perhaps bound.
pub(super) fn close<T: Threading>(
    fid: &Arc<Fid<T>>,
    bound: Option<&BoundRegions<T>>,
) -> Result<()> {
    match bound {
        None => fid.close(),
        Some(bound) => {
            let mut list = bound.0.lock();
            list.fids.retain(|other| !Arc::ptr_eq(other, fid));
            fid.close()
        }
    }
}
