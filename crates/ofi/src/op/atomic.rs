//! Atomic operations on a peer's memory: `fi_atomic(3)`.
//!
//! Three verbs, told apart by what comes back: nothing ([`AtomicVerb`]), what was there
//! ([`FetchVerb`]), what was there and whether it was as expected ([`CompareVerb`]). The operands, and
//! the room for results, are the operation's buffer, one behind the other.

use std::{
    ffi::c_void,
    sync::atomic::{AtomicU32, Ordering},
};

use libc::iovec;
use ofi_sys::{fi_ioc, fid_ep};

use super::{
    Memory, Operation, Outcome, Uses, Verb,
    inject::Injects,
    options::{Flagged, told, with},
};
use crate::{
    Access, AtomicOp, Datatype, Error, ErrorKind, RemoteSlice, Result,
    buf::{Buf, BufMut, Place, Segments},
    endpoint::{Core, SINGLE_READS, SINGLE_WRITES},
    error::Needs,
    quirks::{Defect, quirk},
    threading::{Shared, Threading},
};

/// Operands to be applied to a peer's memory: what [`Endpoint::atomic`](crate::Endpoint::atomic)
/// returns.
pub type AtomicApply<'ep, B, T = Shared> = Operation<'ep, AtomicVerb, B, T>;

/// The same, with room for what was there:
/// [`Endpoint::fetch_atomic`](crate::Endpoint::fetch_atomic).
pub type AtomicFetch<'ep, A, R, T = Shared> = Operation<'ep, FetchVerb, (A, R), T>;

/// The same, with what is expected:
/// [`Endpoint::compare_atomic`](crate::Endpoint::compare_atomic).
pub type AtomicCompare<'ep, A, C, R, T = Shared> = Operation<'ep, CompareVerb, (A, C, R), T>;

/// What an atomic operation without a result says.
#[derive(Clone, Copy, Debug)]
pub struct AtomicVerb(pub(super) Action);

/// What a fetching one says.
#[derive(Clone, Copy, Debug)]
pub struct FetchVerb(pub(super) Action);

/// What a comparing one says.
#[derive(Clone, Copy, Debug)]
pub struct CompareVerb(pub(super) Action);

/// That the operation was applied; what it fetched is in the last part of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied;

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Apply,
    Fetch,
    Compare,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Action {
    /// The provider's address; ignored on a connected endpoint.
    pub(super) peer: u64,
    pub(super) target: ofi_sys::fi_rma_ioc,
    /// Bytes of the target.
    len: usize,
    rights: Access,
    /// What its key is: a bit of `KeyKind`.
    keys: u64,
    kind: (Datatype, AtomicOp),
    /// The most elements of one operation.
    limit: usize,
    pub(super) flags: u64,
}

/// How many elements an endpoint takes in one operation, asked of the provider once (rule X1).
pub(crate) struct Validity([AtomicU32; 3 * Validity::TYPES * Validity::OPS]);

impl Validity {
    const TYPES: usize = 16;
    const OPS: usize = 20;

    fn new() -> Box<Validity> {
        Box::new(Validity([const { AtomicU32::new(0) }; 3 * Self::TYPES * Self::OPS]))
    }
}

impl<T: Threading> Core<T> {
    /// The most elements of one operation; 0 if there is no such one.
    pub(crate) fn atomic_limit(&self, form: Form, datatype: Datatype, op: AtomicOp) -> usize {
        let (ty, code) = (datatype.raw() as usize, op.raw() as usize);
        if self.limits.caps & ofi_sys::FI_ATOMIC == 0
            || ty >= Validity::TYPES
            || code >= Validity::OPS
            || datatype.size().is_none()
        {
            return 0;
        }
        let table = &self.validity.get_or_init(Validity::new).0;
        let place = &table[(form as usize * Validity::TYPES + ty) * Validity::OPS + code];
        match place.load(Ordering::Relaxed) {
            0 => {
                let limit = self.ask_atomic_limit(form, datatype, op);
                let kept = u32::try_from(limit).unwrap_or(u32::MAX - 1).min(u32::MAX - 1);
                place.store(kept + 1, Ordering::Relaxed);
                kept as usize
            }
            known => known as usize - 1,
        }
    }

    #[cold]
    fn ask_atomic_limit(&self, form: Form, datatype: Datatype, op: AtomicOp) -> usize {
        if matches!(datatype, Datatype::Int128 | Datatype::Uint128) {
            // Their owners' processors want them aligned to 16 bytes, and nothing here can see to that.
            return 0;
        }
        if form != Form::Apply && quirk(self.provider(), Defect::FetchesCrash).is_some() {
            return 0;
        }
        let ask = match form {
            Form::Apply => ofi_sys::fi_atomicvalid,
            Form::Fetch => ofi_sys::fi_fetch_atomicvalid,
            Form::Compare => ofi_sys::fi_compare_atomicvalid,
        };
        let mut count = 0;
        // SAFETY: the endpoint is open with FI_ATOMIC; one number is written.
        match unsafe { ask(self.fid.as_ptr(), datatype.raw(), op.raw(), &raw mut count) } {
            0 => count,
            _ => 0,
        }
    }
}

impl Action {
    fn new<T: Threading>(
        core: &Core<T>,
        form: Form,
        peer: u64,
        target: RemoteSlice,
        (datatype, op): (Datatype, AtomicOp),
    ) -> Action {
        let RemoteSlice { addr, len, key, rights, kind } = target;
        let size = datatype.size().unwrap_or(1);
        Action {
            peer,
            target: ofi_sys::fi_rma_ioc { addr, count: len / size, key },
            len,
            rights,
            keys: kind as u64,
            kind: (datatype, op),
            limit: core.atomic_limit(form, datatype, op),
            flags: 0,
        }
    }

    /// That all is as long as the target, aligned, and within what the endpoint can (rule X1).
    fn check(&self, attempted: &'static str, form: Form, list: &Segments) -> Result<()> {
        let (datatype, op) = self.kind;
        let size = datatype.size().filter(|_| self.limit > 0).ok_or_else(|| {
            Error::unsupported(attempted, Needs::Property("the operation on this type of value"))
                .detail(format!("{op} of {datatype}"))
        })?;
        let needed = match (form, op) {
            (Form::Apply, _) => Access::REMOTE_WRITE,
            (_, AtomicOp::Read) => Access::REMOTE_READ,
            _ => Access::REMOTE_READ | Access::REMOTE_WRITE,
        };
        if !self.rights.contains(needed) {
            return Err(Error::invalid(attempted, format!("the region does not permit {needed}"))
                .hint("its owner has to expose it with that right"));
        }
        if self.len / size > self.limit {
            return Err(Error::new(ErrorKind::TooLarge { limit: self.limit * size }, attempted)
                .detail(format!("{} values in one operation", self.len / size)));
        }
        let odd = |what: String| Err(Error::invalid(attempted, what));
        if self.len == 0 || self.len % size != 0 || self.target.addr % size.min(8) as u64 != 0 {
            return odd(format!("{} bytes of remote memory are no values of {size}", self.len));
        }
        let parts = match form {
            Form::Apply => None,
            Form::Fetch => Some(2),
            Form::Compare => Some(3),
        };
        if list.is_torn() || parts.is_some_and(|parts| parts != list.count()) {
            return odd("operands and results are one piece of memory each".into());
        }
        let whole = match parts {
            None => list.total() == self.len,
            // What is only read has no operand.
            Some(_) => list.iter().enumerate().all(|(i, (piece, _))| {
                piece.iov_len == self.len || i == 0 && op == AtomicOp::Read && piece.iov_len == 0
            }),
        };
        if !whole {
            return odd(format!("not as long as the remote memory, {} bytes", self.len));
        }
        let crooked = |p: iovec| p.iov_len > 0 && p.iov_base.addr() % size.min(8) != 0;
        if list.iter().any(|(p, _)| crooked(p) || p.iov_len % size != 0) {
            return odd(format!("values of {size} bytes have to be aligned"));
        }
        Ok(())
    }

    pub(super) fn raw(&self) -> (u32, u32) {
        (self.kind.0.raw(), self.kind.1.raw())
    }

    pub(super) fn size(&self) -> usize {
        self.kind.0.size().unwrap_or(1)
    }

    /// The message for a call that takes one, which lives as long as that.
    fn message<R>(
        &self,
        operands: &[fi_ioc],
        desc: *mut *mut c_void,
        context: *mut c_void,
        call: impl FnOnce(*const ofi_sys::fi_msg_atomic) -> R,
    ) -> R {
        let (datatype, op) = self.raw();
        call(&ofi_sys::fi_msg_atomic {
            msg_iov: operands.as_ptr(),
            desc,
            iov_count: operands.len(),
            addr: self.peer,
            rma_iov: &raw const self.target,
            rma_iov_count: 1,
            datatype,
            op,
            context,
            data: 0,
        })
    }
}

impl Memory {
    /// Pieces, counted in values.
    fn as_values<R>(
        self,
        size: usize,
        call: impl FnOnce(&mut [fi_ioc], *mut *mut c_void) -> R,
    ) -> R {
        let counted = |piece: iovec| fi_ioc { addr: piece.iov_base, count: piece.iov_len / size };
        match self {
            Memory::One(piece, mut desc) => {
                let descriptors = if desc.is_null() { std::ptr::null_mut() } else { &raw mut desc };
                call(&mut [counted(piece)], descriptors)
            }
            Memory::Many(iov, desc, count) => {
                let values = iov.cast::<fi_ioc>().cast_mut();
                // SAFETY: `keep` wrote that many pieces for this call, where nobody else looks; both
                // structures are a pointer and a number.
                unsafe {
                    for i in 0..count {
                        values.add(i).write(counted(iov.add(i).read()));
                    }
                    call(std::slice::from_raw_parts_mut(values, count), desc)
                }
            }
        }
    }

    /// The parts of an operation that has several, each with its descriptor.
    pub(super) fn part(&self, i: usize) -> (iovec, *mut c_void) {
        match *self {
            Memory::One(piece, desc) => (piece, desc),
            // SAFETY: `check` found as many pieces as there are parts.
            Memory::Many(iov, desc, _) => unsafe {
                let desc = if desc.is_null() { std::ptr::null_mut() } else { *desc.add(i) };
                (*iov.add(i), desc)
            },
        }
    }
}

macro_rules! verbs {
    ($($verb:ident $form:ident $class:ident $name:literal;)*) => {$(
        impl $verb {
            pub(crate) fn new<T: Threading>(
                core: &Core<T>,
                peer: u64,
                target: RemoteSlice,
                kind: (Datatype, AtomicOp),
            ) -> Self {
                $verb(Action::new(core, Form::$form, peer, target, kind))
            }
        }

        impl Flagged for $verb {
            fn flags(&self) -> u64 {
                self.0.flags
            }

            fn flags_mut(&mut self) -> &mut u64 {
                &mut self.0.flags
            }
        }

        impl Verb for $verb {
            type Output = Applied;
            type Note = ();
            const NAME: &'static str = $name;
            const RECEIVES: bool = false;
            const ACCESS: Access = Access::WRITE;
            const PARTS: bool = !matches!(Form::$form, Form::Apply);

            #[inline]
            fn class(&self) -> u64 {
                self.0.peer
            }

            #[inline]
            fn needs(&self) -> u64 {
                ofi_sys::FI_ATOMIC | $class
            }

            fn add_flags(&mut self, flags: u64, level: u64) {
                self.0.flags = with(self.0.flags, flags, level);
            }

            #[inline]
            fn keys(&self) -> u64 {
                self.0.keys
            }

            fn change_keys(
                &mut self,
                change: &mut dyn FnMut(&mut u64) -> Result<()>,
            ) -> Result<()> {
                change(&mut self.0.target.key)
            }

            fn fits(&self, list: &Segments, _: usize) -> Result<()> {
                self.0.check(Self::NAME, Form::$form, list)
            }

            #[inline]
            unsafe fn issue(
                &self,
                ep: *mut fid_ep,
                memory: Memory,
                context: *mut c_void,
            ) -> isize {
                // SAFETY: the caller's promise.
                unsafe { self.call(ep, memory, context) }
            }

            #[inline]
            fn note(&self, _: &Segments) {}

            #[inline]
            fn finish((): (), _: &Outcome) -> Applied {
                Applied
            }
        }
    )*};
}

verbs! {
    AtomicVerb Apply SINGLE_WRITES "fi_atomic";
    FetchVerb Fetch SINGLE_READS "fi_fetch_atomic";
    CompareVerb Compare SINGLE_READS "fi_compare_atomic";
}

impl AtomicVerb {
    /// # Safety
    ///
    /// As [`Verb::issue`].
    unsafe fn call(&self, ep: *mut fid_ep, memory: Memory, context: *mut c_void) -> isize {
        let (action, (ty, op)) = (&self.0, self.0.raw());
        let Action { peer, target: ofi_sys::fi_rma_ioc { addr, key, .. }, flags, .. } = *action;
        // SAFETY: the caller's promise for each of them; values are counted in their size. What is at
        // the target is the peer's to check.
        memory.as_values(action.size(), |values, desc| unsafe {
            if flags != 0 {
                return action.message(values, desc, context, |message| {
                    ofi_sys::fi_atomicmsg(ep, message, told(flags))
                });
            }
            match *values {
                [fi_ioc { addr: buf, count }] => {
                    let desc = if desc.is_null() { std::ptr::null_mut() } else { *desc };
                    ofi_sys::fi_atomic(ep, buf, count, desc, peer, addr, key, ty, op, context)
                }
                _ => {
                    let (iov, n) = (values.as_ptr(), values.len());
                    ofi_sys::fi_atomicv(ep, iov, desc, n, peer, addr, key, ty, op, context)
                }
            }
        })
    }
}

impl FetchVerb {
    /// # Safety
    ///
    /// As [`Verb::issue`].
    unsafe fn call(&self, ep: *mut fid_ep, memory: Memory, context: *mut c_void) -> isize {
        let (action, (ty, op)) = (&self.0, self.0.raw());
        let Action { peer, target, flags, .. } = *action;
        let ((operand, mut desc), (result, mut result_desc)) = (memory.part(0), memory.part(1));
        let (buf, result, count) = (operand.iov_base, result.iov_base, target.count);
        // SAFETY: as above; `check` found both parts as long as the target.
        unsafe {
            if flags == 0 {
                return ofi_sys::fi_fetch_atomic(
                    ep,
                    buf,
                    count,
                    desc,
                    result,
                    result_desc,
                    peer,
                    target.addr,
                    target.key,
                    ty,
                    op,
                    context,
                );
            }
            let mut results = fi_ioc { addr: result, count };
            action.message(&[fi_ioc { addr: buf, count }], &raw mut desc, context, |message| {
                let flags = told(flags);
                let (results, descs) = (&raw mut results, &raw mut result_desc);
                ofi_sys::fi_fetch_atomicmsg(ep, message, results, descs, 1, flags)
            })
        }
    }
}

impl CompareVerb {
    /// # Safety
    ///
    /// As [`Verb::issue`].
    unsafe fn call(&self, ep: *mut fid_ep, memory: Memory, context: *mut c_void) -> isize {
        let (action, (ty, op)) = (&self.0, self.0.raw());
        let Action { peer, target, flags, .. } = *action;
        let (operand, mut desc) = memory.part(0);
        let (compare, mut compare_desc) = memory.part(1);
        let (result, mut result_desc) = memory.part(2);
        let (buf, expected, result) = (operand.iov_base, compare.iov_base, result.iov_base);
        let count = target.count;
        // SAFETY: as above.
        unsafe {
            if flags == 0 {
                return ofi_sys::fi_compare_atomic(
                    ep,
                    buf,
                    count,
                    desc,
                    expected,
                    compare_desc,
                    result,
                    result_desc,
                    peer,
                    target.addr,
                    target.key,
                    ty,
                    op,
                    context,
                );
            }
            let (mut results, expected) =
                (fi_ioc { addr: result, count }, fi_ioc { addr: expected, count });
            action.message(&[fi_ioc { addr: buf, count }], &raw mut desc, context, |message| {
                let flags = told(flags);
                ofi_sys::fi_compare_atomicmsg(
                    ep,
                    message,
                    &raw const expected,
                    &raw mut compare_desc,
                    1,
                    &raw mut results,
                    &raw mut result_desc,
                    1,
                    flags,
                )
            })
        }
    }
}

impl Injects for AtomicVerb {
    const INJECT: &'static str = "fi_inject_atomic";

    unsafe fn inject(&self, ep: *mut fid_ep, buf: *const c_void, _: usize) -> isize {
        let Action { peer, target: ofi_sys::fi_rma_ioc { addr, count, key }, .. } = self.0;
        let (ty, op) = self.0.raw();
        // SAFETY: the caller's promise; `check` found the bytes as long as the target.
        unsafe { ofi_sys::fi_inject_atomic(ep, buf, count, peer, addr, key, ty, op) }
    }
}

impl<B: Buf> Uses<B> for AtomicVerb {
    #[inline]
    fn list(buffer: &mut B, list: &mut Segments) {
        buffer.segments(list);
    }

    #[inline]
    fn moved(buffer: &mut B, to: Place) {
        buffer.moved(to);
    }
}

/// What is given, and room for what comes back, which is for `access`.
#[inline]
pub(super) fn list_two<A: Buf, R: BufMut>(
    given: &A,
    gotten: &mut R,
    access: Access,
    list: &mut Segments,
) {
    given.segments(list);
    list.parts(1);
    list.want(access);
    gotten.segments_mut(list);
    list.parts(2);
}

impl<A: Buf, R: BufMut> Uses<(A, R)> for FetchVerb {
    #[inline]
    fn list((operand, result): &mut (A, R), list: &mut Segments) {
        list_two(operand, result, Access::READ, list);
    }

    #[inline]
    fn moved((operand, result): &mut (A, R), to: Place) {
        operand.moved(to);
        result.moved(to);
    }
}

impl<A: Buf, C: Buf, R: BufMut> Uses<(A, C, R)> for CompareVerb {
    #[inline]
    fn list((operand, compare, result): &mut (A, C, R), list: &mut Segments) {
        operand.segments(list);
        list.parts(1);
        compare.segments(list);
        list.parts(2);
        list.want(Access::READ);
        result.segments_mut(list);
        list.parts(3);
    }

    #[inline]
    fn moved((operand, compare, result): &mut (A, C, R), to: Place) {
        operand.moved(to);
        compare.moved(to);
        result.moved(to);
    }
}
