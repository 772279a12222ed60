//! Completion queues.

use std::ffi::{c_char, c_int, c_void};

use ofi_sys::*;

use crate::{
    deferred,
    domain::{basics, no_bind, no_control},
    op::Outcome,
    world::{absent, begin, broken, give, object, table, world},
};

pub(crate) struct Cq {
    pub(crate) domain: usize,
    format: fi_cq_format,
    pub(crate) ready: Vec<Entry>,
    /// The entry that comes next, once that was decided.
    next: Option<usize>,
}

/// What there is to be read.
pub(crate) struct Entry {
    /// Nothing for what a peer did.
    pub(crate) op: Option<u64>,
    pub(crate) context: usize,
    pub(crate) source: u64,
    pub(crate) outcome: Outcome,
}

absent! {
    sread(*mut fid_cq, *mut c_void, usize, *const c_void, c_int) -> isize;
    sreadfrom(*mut fid_cq, *mut c_void, usize, *mut fi_addr_t, *const c_void, c_int) -> isize;
    signal(*mut fid_cq) -> c_int;
}

static CQ: fi_ops = basics(close, no_bind, no_control);
static OPS: fi_ops_cq = fi_ops_cq {
    size: size_of::<fi_ops_cq>(),
    read: Some(read),
    readfrom: Some(readfrom),
    readerr: Some(readerr),
    sread: Some(sread),
    sreadfrom: Some(sreadfrom),
    signal: Some(signal),
    strerror: Some(strerror),
};

pub(crate) unsafe extern "C" fn open(
    domain: *mut fid_domain,
    attr: *mut fi_cq_attr,
    cq: *mut *mut fid_cq,
    context: *mut c_void,
) -> c_int {
    let mut world = world();
    let _ = object!(world.domains, domain);
    // SAFETY: null or whole.
    let attr = unsafe { attr.as_ref() };
    // It has nothing to wait on.
    if attr.is_some_and(|attr| ![FI_WAIT_UNSPEC, FI_WAIT_NONE].contains(&attr.wait_obj)) {
        return -FI_ENOSYS;
    }
    let format = match attr.map_or(FI_CQ_FORMAT_UNSPEC, |attr| attr.format) {
        FI_CQ_FORMAT_UNSPEC => FI_CQ_FORMAT_CONTEXT,
        format if format <= FI_CQ_FORMAT_TAGGED => format,
        _ => return -FI_EINVAL,
    };
    let object = give(fid_cq { fid: begin(FI_CLASS_CQ, context, &CQ), ops: table(&OPS) });
    let domain = domain as usize;
    world.cqs.insert(object as usize, Cq { domain, format, ready: Vec::new(), next: None });
    // SAFETY: the caller's: it may be written.
    unsafe { *cq = object };
    0
}

unsafe extern "C" fn close(fid: *mut fid) -> c_int {
    let mut world = world();
    let at = fid as usize;
    let _ = object!(world.cqs, fid);
    let bound = |bound: Option<(usize, bool)>| bound.is_some_and(|(queue, _)| queue == at);
    if world.eps.values().any(|ep| bound(ep.transmit) || bound(ep.receive)) {
        broken("L1", "a completion queue is closed before its endpoints");
    }
    world.cqs.remove(&at);
    0
}

unsafe extern "C" fn read(cq: *mut fid_cq, buf: *mut c_void, count: usize) -> isize {
    // SAFETY: the caller's promise.
    unsafe { readfrom(cq, buf, count, std::ptr::null_mut()) }
}

unsafe extern "C" fn readfrom(
    cq: *mut fid_cq,
    buf: *mut c_void,
    count: usize,
    sources: *mut fi_addr_t,
) -> isize {
    deferred::fire();
    let mut world = world();
    let world = &mut *world;
    let domain = object!(world.cqs, cq).domain;
    world.progress(domain);
    let mut read = 0;
    while read < count {
        let queue = object!(world.cqs, cq);
        if queue.ready.is_empty() {
            break;
        }
        let next = match queue.next {
            Some(next) => next,
            None if world.plan.reorder => world.plan.below(queue.ready.len() as u64) as usize,
            None => 0,
        };
        if queue.ready[next].outcome.err != 0 {
            queue.next = Some(next);
            if read == 0 {
                return -FI_EAVAIL as isize;
            }
            break;
        }
        queue.next = None;
        let Entry { op, context, source, outcome } = queue.ready.remove(next);
        let entry = fi_cq_tagged_entry {
            op_context: context as *mut c_void,
            flags: outcome.flags,
            len: outcome.len,
            buf: std::ptr::null_mut(),
            data: outcome.data,
            tag: outcome.tag,
        };
        let size = match queue.format {
            FI_CQ_FORMAT_CONTEXT => size_of::<fi_cq_entry>(),
            FI_CQ_FORMAT_MSG => size_of::<fi_cq_msg_entry>(),
            FI_CQ_FORMAT_DATA => size_of::<fi_cq_data_entry>(),
            _ => size_of::<fi_cq_tagged_entry>(),
        };
        op.into_iter().for_each(|number| world.end(number));
        // SAFETY: there is room for `count` entries of the format, which begins as the widest does, and
        // for as many sources.
        unsafe {
            let place = buf.cast::<u8>().add(read * size);
            place.copy_from_nonoverlapping((&raw const entry).cast(), size);
            if !sources.is_null() {
                sources.add(read).write(source);
            }
        }
        read += 1;
    }
    if read == 0 { -FI_EAGAIN as isize } else { read as isize }
}

unsafe extern "C" fn readerr(cq: *mut fid_cq, buf: *mut fi_cq_err_entry, _flags: u64) -> isize {
    let mut world = world();
    let queue = object!(world.cqs, cq);
    let Some(next) = queue.next.or_else(|| {
        let failed = |entry: &Entry| entry.outcome.err != 0;
        queue.ready.first().is_some_and(failed).then_some(0)
    }) else {
        return -FI_EAGAIN as isize;
    };
    queue.next = None;
    let Entry { op, context, outcome, .. } = queue.ready.remove(next);
    op.into_iter().for_each(|number| world.end(number));
    // SAFETY: it is as long as in 1.17 at least, and its data buffer as long as it says.
    unsafe {
        (*buf).op_context = context as *mut c_void;
        (*buf).flags = outcome.flags;
        (*buf).len = outcome.len;
        (*buf).buf = std::ptr::null_mut();
        (*buf).data = outcome.data;
        (*buf).tag = outcome.tag;
        (*buf).olen = outcome.olen;
        (*buf).err = outcome.err;
        (*buf).prov_errno = 5000 + outcome.err;
        let data = b"ofitest";
        let room = (*buf).err_data_size.min(data.len());
        if !(*buf).err_data.is_null() {
            (*buf).err_data.cast::<u8>().copy_from_nonoverlapping(data.as_ptr(), room);
            (*buf).err_data_size = room;
        }
    }
    1
}

unsafe extern "C" fn strerror(
    _cq: *mut fid_cq,
    prov_errno: c_int,
    _data: *const c_void,
    buf: *mut c_char,
    len: usize,
) -> *const c_char {
    let text = format!("as planned ({prov_errno})\0");
    if buf.is_null() || len < text.len() {
        return c"as planned".as_ptr();
    }
    // SAFETY: the buffer is as long as it says.
    unsafe { buf.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), text.len()) };
    buf
}
