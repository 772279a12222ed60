//! Atomic operations, on integers of up to 8 bytes.

use std::ffi::{c_int, c_void};

use ofi_sys::*;

use crate::{
    memory::{Piece, values},
    op::{Act, List},
    post::{Post, calls},
};

/// The size of a type in bytes, and whether it has a sign.
fn shape(datatype: fi_datatype) -> Option<(usize, bool)> {
    // FI_INT8, FI_UINT8, FI_INT16, ...
    (datatype <= FI_UINT64).then(|| (1 << (datatype / 2), datatype % 2 == 0))
}

fn size(datatype: fi_datatype) -> usize {
    shape(datatype).map_or(1, |(size, _)| size)
}

/// What is there after the operation.
pub(crate) fn apply(
    (datatype, op): (u32, u32),
    old: &[u8],
    operand: &[u8],
    compare: &[u8],
) -> Vec<u8> {
    let (size, signed) = shape(datatype).unwrap_or((1, false));
    let value = |bytes: &[u8], at: usize| {
        let Some(bytes) = bytes.get(at..at + size) else { return 0 };
        let mut wide = [0_u8; 16];
        wide[..size].copy_from_slice(bytes);
        let unused = 128 - 8 * size as u32;
        match signed {
            true => i128::from_le_bytes(wide) << unused >> unused,
            false => i128::from_le_bytes(wide),
        }
    };
    let mut new = Vec::with_capacity(old.len());
    for at in (0..old.len()).step_by(size) {
        let (a, b, c) = (value(old, at), value(operand, at), value(compare, at));
        let there = match op {
            FI_MIN => a.min(b),
            FI_MAX => a.max(b),
            FI_SUM => a.wrapping_add(b),
            FI_PROD => a.wrapping_mul(b),
            FI_BOR => a | b,
            FI_BAND => a & b,
            FI_BXOR => a ^ b,
            FI_ATOMIC_WRITE => b,
            FI_CSWAP if c == a => b,
            FI_CSWAP_NE if c != a => b,
            FI_MSWAP => b & c | a & !c,
            _ => a,
        };
        new.extend_from_slice(&there.to_le_bytes()[..size]);
    }
    new
}

/// An atomic operation: where, what, and the memory besides the operands.
fn act(
    remote: Vec<(u64, usize, u64)>,
    kind: (u32, u32),
    compare: Vec<Piece>,
    result: Vec<Piece>,
) -> impl FnOnce(Option<u64>) -> Act {
    let values = |(addr, count, key)| (addr, count * size(kind.0), key);
    let remote = remote.into_iter().map(values).collect();
    move |to| Act::Atomic { to: to.unwrap_or(0), remote, kind, compare, result }
}

/// One piece of memory: values, and their descriptor.
fn one(buf: *const c_void, count: usize, desc: *mut c_void, datatype: u32) -> Vec<Piece> {
    vec![Piece::new(buf, count * size(datatype), desc)]
}

/// A list of values, as the caller made it.
#[derive(Clone, Copy)]
struct Values(*const fi_ioc, Descs, usize);

impl Values {
    /// # Safety
    ///
    /// It is as long as it says.
    unsafe fn pieces(self, datatype: u32) -> Vec<Piece> {
        // SAFETY: the caller's promise.
        unsafe { values(self.0, self.1, self.2, size(datatype)) }
    }

    fn list(self) -> List {
        List { iov: self.0.cast(), desc: self.1, count: self.2 }
    }
}

/// A post with vectors: of operands, of what is compared, of results.
///
/// # Safety
///
/// The lists are as long as they say.
unsafe fn vectors(
    ep: Ep,
    peer: u64,
    remote: Vec<(u64, usize, u64)>,
    kind: (u32, u32),
    lists: [Option<Values>; 3],
    context: Room,
    flags: Option<u64>,
) -> isize {
    // SAFETY: the caller's promise.
    let of = |list: Option<Values>| list.map_or(Vec::new(), |list| unsafe { list.pieces(kind.0) });
    let [mut operands, compare, result] = lists.map(of);
    if kind.1 == FI_ATOMIC_READ {
        operands.clear();
    }
    let lists = lists.into_iter().flatten().map(Values::list).collect();
    let post = Post { ep, peer, pieces: operands, lists, context, flags, inject: false };
    post.go(act(remote, kind, compare, result))
}

/// The same for a message.
///
/// # Safety
///
/// As [`vectors`].
unsafe fn message(
    ep: Ep,
    msg: &fi_msg_atomic,
    compare: Option<Values>,
    result: Option<Values>,
    flags: u64,
) -> isize {
    // SAFETY: the caller's promise.
    unsafe {
        let piece = |i| msg.rma_iov.add(i).read();
        let remote = (0..msg.rma_iov_count).map(piece).map(|p| (p.addr, p.count, p.key)).collect();
        let lists = [Some(Values(msg.msg_iov, msg.desc, msg.iov_count)), compare, result];
        let kind = (msg.datatype, msg.op);
        vectors(ep, msg.addr, remote, kind, lists, msg.context, Some(flags))
    }
}

type Ep = *mut fid_ep;
type Buf = *const c_void;
type Room = *mut c_void;
type Descs = *mut *mut c_void;
type Iocs = *const fi_ioc;

calls! {
    write(ep: Ep, buf: Buf, count: usize, desc: Room, peer: u64, addr: u64, key: u64, ty: u32, op: u32,
          context: Room) =
        Post::one(ep, peer, (buf, count * size(ty), desc), context)
            .go(act(vec![(addr, count, key)], (ty, op), Vec::new(), Vec::new()));
    writev(ep: Ep, iov: Iocs, desc: Descs, count: usize, peer: u64, addr: u64, key: u64, ty: u32,
           op: u32, context: Room) = {
        let lists = [Some(Values(iov, desc, count)), None, None];
        vectors(ep, peer, whole(iov, count, addr, key), (ty, op), lists, context, None)
    };
    writemsg(ep: Ep, msg: *const fi_msg_atomic, flags: u64) = message(ep, &*msg, None, None, flags);
    inject(ep: Ep, buf: Buf, count: usize, peer: u64, addr: u64, key: u64, ty: u32, op: u32) =
        Post::inject(ep, peer, (buf, count * size(ty)))
            .go(act(vec![(addr, count, key)], (ty, op), Vec::new(), Vec::new()));
    readwrite(ep: Ep, buf: Buf, count: usize, desc: Room, result: Room, result_desc: Room, peer: u64,
              addr: u64, key: u64, ty: u32, op: u32, context: Room) = {
        let result = one(result, count, result_desc, ty);
        // What is only read has no operand, whatever the pointer is.
        let operands = if op == FI_ATOMIC_READ { 0 } else { count * size(ty) };
        Post::one(ep, peer, (buf, operands, desc), context)
            .go(act(vec![(addr, count, key)], (ty, op), Vec::new(), result))
    };
    readwritev(ep: Ep, iov: Iocs, desc: Descs, count: usize, result: *mut fi_ioc, result_desc: Descs,
               result_count: usize, peer: u64, addr: u64, key: u64, ty: u32, op: u32, context: Room) = {
        let result = Values(result, result_desc, result_count);
        let lists = [Some(Values(iov, desc, count)), None, Some(result)];
        let remote = whole(result.0, result_count, addr, key);
        vectors(ep, peer, remote, (ty, op), lists, context, None)
    };
    readwritemsg(ep: Ep, msg: *const fi_msg_atomic, result: *mut fi_ioc, result_desc: Descs,
                 result_count: usize, flags: u64) =
        message(ep, &*msg, None, Some(Values(result, result_desc, result_count)), flags);
    compwrite(ep: Ep, buf: Buf, count: usize, desc: Room, compare: Buf, compare_desc: Room,
              result: Room, result_desc: Room, peer: u64, addr: u64, key: u64, ty: u32, op: u32,
              context: Room) = {
        let (compare, result) = (one(compare, count, compare_desc, ty), one(result, count, result_desc, ty));
        Post::one(ep, peer, (buf, count * size(ty), desc), context)
            .go(act(vec![(addr, count, key)], (ty, op), compare, result))
    };
    compwritev(ep: Ep, iov: Iocs, desc: Descs, count: usize, compare: Iocs, compare_desc: Descs,
               compare_count: usize, result: *mut fi_ioc, result_desc: Descs, result_count: usize,
               peer: u64, addr: u64, key: u64, ty: u32, op: u32, context: Room) = {
        let lists = [
            Some(Values(iov, desc, count)),
            Some(Values(compare, compare_desc, compare_count)),
            Some(Values(result, result_desc, result_count)),
        ];
        vectors(ep, peer, whole(iov, count, addr, key), (ty, op), lists, context, None)
    };
    compwritemsg(ep: Ep, msg: *const fi_msg_atomic, compare: Iocs, compare_desc: Descs,
                 compare_count: usize, result: *mut fi_ioc, result_desc: Descs, result_count: usize,
                 flags: u64) = {
        let compare = Values(compare, compare_desc, compare_count);
        let result = Values(result, result_desc, result_count);
        message(ep, &*msg, Some(compare), Some(result), flags)
    };
}

/// As many values there as here.
///
/// # Safety
///
/// The list is as long as it says.
unsafe fn whole(iov: Iocs, count: usize, addr: u64, key: u64) -> Vec<(u64, usize, u64)> {
    // SAFETY: the caller's promise.
    let values = (0..count).map(|i| unsafe { (*iov.add(i)).count }).sum();
    vec![(addr, values, key)]
}

/// The most values of one operation.
fn most(datatype: u32, op: u32, compares: bool, count: *mut usize) -> c_int {
    let plain = op <= FI_PROD || (FI_BOR..=FI_BAND).contains(&op) || op == FI_BXOR;
    let known = match compares {
        true => [FI_CSWAP, FI_CSWAP_NE, FI_MSWAP].contains(&op),
        false => plain || op == FI_ATOMIC_READ || op == FI_ATOMIC_WRITE,
    };
    match shape(datatype).filter(|_| known) {
        // SAFETY: it may be written, says the caller of each of the three.
        Some((size, _)) => unsafe {
            *count = crate::info::INJECT / size;
            0
        },
        None => -FI_EOPNOTSUPP,
    }
}

unsafe extern "C" fn writevalid(_: Ep, ty: u32, op: u32, count: *mut usize) -> c_int {
    if op == FI_ATOMIC_READ { -FI_EOPNOTSUPP } else { most(ty, op, false, count) }
}

unsafe extern "C" fn readwritevalid(_: Ep, ty: u32, op: u32, count: *mut usize) -> c_int {
    most(ty, op, false, count)
}

unsafe extern "C" fn compwritevalid(_: Ep, ty: u32, op: u32, count: *mut usize) -> c_int {
    most(ty, op, true, count)
}

pub(crate) static OPS: fi_ops_atomic = fi_ops_atomic {
    size: size_of::<fi_ops_atomic>(),
    write: Some(write),
    writev: Some(writev),
    writemsg: Some(writemsg),
    inject: Some(inject),
    readwrite: Some(readwrite),
    readwritev: Some(readwritev),
    readwritemsg: Some(readwritemsg),
    compwrite: Some(compwrite),
    compwritev: Some(compwritev),
    compwritemsg: Some(compwritemsg),
    writevalid: Some(writevalid),
    readwritevalid: Some(readwritevalid),
    compwritevalid: Some(compwritevalid),
};
