//! What a work structure points to: the operation's structure, and its lists.

use std::{ffi::c_void, fmt, ptr};

use libc::iovec;
use ofi_sys::*;

use crate::{
    buf::Segments,
    op::{AtomicVerb, CompareVerb, FetchVerb, ReadVerb, SendVerb, Verb, WriteVerb},
};

/// Stays where it is for as long as the work.
pub struct Pinned {
    pieces: Vec<iovec>,
    /// One for each piece.
    descriptors: Vec<*mut c_void>,
    /// Whether there is any.
    described: bool,
    /// The pieces, counted in values.
    values: Vec<fi_ioc>,
    remote: [fi_rma_iov; 3],
    /// sockets copies as many as there are pieces here.
    targets: Vec<fi_rma_ioc>,
    order: Order,
}

#[derive(Clone, Copy)]
#[repr(C)]
union Order {
    nothing: (),
    message: fi_op_msg,
    tagged: fi_op_tagged,
    rma: fi_op_rma,
    atomic: fi_op_atomic,
    fetch: fi_op_fetch_atomic,
    compare: fi_op_compare_atomic,
}

/// A verb whose operations can be deferred. Public in name only.
pub trait Defers: Verb {
    /// Whether it sends a message.
    const SENDS: bool = false;

    /// The flags that it was given.
    fn work_flags(&self) -> u64;

    /// Writes the operation's structure; gives its kind and its address.
    ///
    /// # Safety
    ///
    /// `pinned` was made for the operation's memory, is the caller's alone and stays where it is.
    unsafe fn pin(
        &self,
        pinned: *mut Pinned,
        ep: *mut fid_ep,
        context: *mut c_void,
    ) -> (fi_op_type, fi_deferred_work_op);
}

impl Pinned {
    pub(super) fn new(list: &Segments) -> Pinned {
        let (mut pieces, mut descriptors): (Vec<_>, Vec<_>) = list.iter().unzip();
        let count = pieces.len();
        // Some look at the first one, whether there is one or not.
        if pieces.is_empty() {
            pieces.push(iovec { iov_base: ptr::null_mut(), iov_len: 0 });
            descriptors.push(ptr::null_mut());
        }
        Pinned {
            described: list.unregistered() < count,
            values: Vec::new(),
            remote: [fi_rma_iov { addr: 0, len: 0, key: 0 }; 3],
            targets: vec![fi_rma_ioc { addr: 0, count: 0, key: 0 }; pieces.len()],
            pieces,
            descriptors,
            order: Order { nothing: () },
        }
    }

    /// Descriptors from the `i`th on: valid or absent (rule M3).
    fn descriptors(&mut self, i: usize) -> *mut *mut c_void {
        if self.described { self.descriptors[i..].as_mut_ptr() } else { ptr::null_mut() }
    }

    /// The pieces for an atomic operation.
    fn atomic(&mut self, verb: &super::super::atomic::Action, count: usize) -> fi_msg_atomic {
        let size = verb.size();
        let value = |piece: &iovec| fi_ioc { addr: piece.iov_base, count: piece.iov_len / size };
        self.values = self.pieces.iter().map(value).collect();
        self.targets[0] = verb.target;
        let (datatype, op) = verb.raw();
        if count < self.values.len() {
            // A fetching one has one operand, as long as the target, used or not.
            self.values[0].count = verb.target.count;
        }
        fi_msg_atomic {
            msg_iov: self.values.as_ptr(),
            desc: self.descriptors(0),
            iov_count: count,
            addr: verb.peer,
            rma_iov: self.targets.as_ptr(),
            rma_iov_count: 1,
            datatype,
            op,
            context: ptr::null_mut(),
            data: 0,
        }
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("pieces", &self.pieces.len()).finish_non_exhaustive()
    }
}

impl Defers for SendVerb {
    const SENDS: bool = true;

    fn work_flags(&self) -> u64 {
        self.flags
    }

    unsafe fn pin(
        &self,
        pinned: *mut Pinned,
        ep: *mut fid_ep,
        context: *mut c_void,
    ) -> (fi_op_type, fi_deferred_work_op) {
        let data = if self.data.there.is_yes() { FI_REMOTE_CQ_DATA } else { 0 };
        let flags = self.flags | data;
        // SAFETY: the caller's promise.
        let pinned = unsafe { &mut *pinned };
        let (msg_iov, iov_count) = (pinned.pieces.as_ptr(), pinned.pieces.len());
        let desc = pinned.descriptors(0);
        let (addr, data) = (self.to, self.data.value);
        if self.tagged.is_yes() {
            let (tag, ignore) = (self.tag, 0);
            let msg = fi_msg_tagged { msg_iov, desc, iov_count, addr, tag, ignore, context, data };
            pinned.order.tagged = fi_op_tagged { ep, msg, flags };
            (FI_OP_TSEND, fi_deferred_work_op { tagged: (&raw mut pinned.order).cast() })
        } else {
            let msg = fi_msg { msg_iov, desc, iov_count, addr, context, data };
            pinned.order.message = fi_op_msg { ep, msg, flags };
            (FI_OP_SEND, fi_deferred_work_op { msg: (&raw mut pinned.order).cast() })
        }
    }
}

/// Both kinds of remote access.
fn pin_rma(
    pinned: &mut Pinned,
    (ep, context): (*mut fid_ep, *mut c_void),
    targets: &super::super::rma::Targets,
    data: u64,
    flags: u64,
) -> fi_deferred_work_op {
    let total = pinned.pieces.iter().map(|piece| piece.iov_len).sum();
    pinned.remote = targets.list_of(total);
    let msg = fi_msg_rma {
        msg_iov: pinned.pieces.as_ptr(),
        desc: pinned.descriptors(0),
        iov_count: pinned.pieces.len(),
        addr: targets.peer,
        rma_iov: pinned.remote.as_ptr(),
        rma_iov_count: targets.count,
        context,
        data,
    };
    pinned.order.rma = fi_op_rma { ep, msg, flags };
    fi_deferred_work_op { rma: (&raw mut pinned.order).cast() }
}

impl Defers for WriteVerb {
    fn work_flags(&self) -> u64 {
        self.flags
    }

    unsafe fn pin(
        &self,
        pinned: *mut Pinned,
        ep: *mut fid_ep,
        context: *mut c_void,
    ) -> (fi_op_type, fi_deferred_work_op) {
        let data = if self.data.there.is_yes() { FI_REMOTE_CQ_DATA } else { 0 };
        // SAFETY: the caller's promise.
        let pinned = unsafe { &mut *pinned };
        let at = (ep, context);
        (FI_OP_WRITE, pin_rma(pinned, at, &self.targets, self.data.value, self.flags | data))
    }
}

impl Defers for ReadVerb {
    fn work_flags(&self) -> u64 {
        self.flags
    }

    unsafe fn pin(
        &self,
        pinned: *mut Pinned,
        ep: *mut fid_ep,
        context: *mut c_void,
    ) -> (fi_op_type, fi_deferred_work_op) {
        // SAFETY: the caller's promise.
        let pinned = unsafe { &mut *pinned };
        (FI_OP_READ, pin_rma(pinned, (ep, context), &self.targets, 0, self.flags))
    }
}

impl Defers for AtomicVerb {
    fn work_flags(&self) -> u64 {
        self.0.flags
    }

    unsafe fn pin(
        &self,
        pinned: *mut Pinned,
        ep: *mut fid_ep,
        context: *mut c_void,
    ) -> (fi_op_type, fi_deferred_work_op) {
        // SAFETY: the caller's promise.
        let pinned = unsafe { &mut *pinned };
        let msg = fi_msg_atomic { context, ..pinned.atomic(&self.0, pinned.pieces.len()) };
        pinned.order.atomic = fi_op_atomic { ep, msg, flags: self.0.flags };
        (FI_OP_ATOMIC, fi_deferred_work_op { atomic: (&raw mut pinned.order).cast() })
    }
}

impl Defers for FetchVerb {
    fn work_flags(&self) -> u64 {
        self.0.flags
    }

    unsafe fn pin(
        &self,
        pinned: *mut Pinned,
        ep: *mut fid_ep,
        context: *mut c_void,
    ) -> (fi_op_type, fi_deferred_work_op) {
        // SAFETY: the caller's promise.
        let pinned = unsafe { &mut *pinned };
        let msg = fi_msg_atomic { context, ..pinned.atomic(&self.0, 1) };
        let fetch = fi_msg_fetch {
            msg_iov: pinned.values[1..].as_mut_ptr(),
            desc: pinned.descriptors(1),
            iov_count: 1,
        };
        pinned.order.fetch = fi_op_fetch_atomic { ep, msg, fetch, flags: self.0.flags };
        let fetch_atomic = (&raw mut pinned.order).cast();
        (FI_OP_FETCH_ATOMIC, fi_deferred_work_op { fetch_atomic })
    }
}

impl Defers for CompareVerb {
    fn work_flags(&self) -> u64 {
        self.0.flags
    }

    unsafe fn pin(
        &self,
        pinned: *mut Pinned,
        ep: *mut fid_ep,
        context: *mut c_void,
    ) -> (fi_op_type, fi_deferred_work_op) {
        // SAFETY: the caller's promise.
        let pinned = unsafe { &mut *pinned };
        let msg = fi_msg_atomic { context, ..pinned.atomic(&self.0, 1) };
        let compare = fi_msg_compare {
            msg_iov: pinned.values[1..].as_ptr(),
            desc: pinned.descriptors(1),
            iov_count: 1,
        };
        let fetch = fi_msg_fetch {
            msg_iov: pinned.values[2..].as_mut_ptr(),
            desc: pinned.descriptors(2),
            iov_count: 1,
        };
        pinned.order.compare =
            fi_op_compare_atomic { ep, msg, fetch, compare, flags: self.0.flags };
        let compare_atomic = (&raw mut pinned.order).cast();
        (FI_OP_COMPARE_ATOMIC, fi_deferred_work_op { compare_atomic })
    }
}
