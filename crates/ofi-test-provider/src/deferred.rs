//! Deferred work: what is queued until a counter is reached, and whether its caller keeps it as it was.

use std::{
    cell::Cell,
    ffi::{c_int, c_void},
};

use ofi_sys::*;

use crate::{
    atomic, post,
    world::{World, broken, object, world},
};

/// A piece of work that waits, or is under way: where it is, and what was in it.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    at: usize,
    domain: usize,
    trigger: usize,
    threshold: u64,
    /// The counter that tells of its end; 0 for changes of counters.
    pub(crate) completion: usize,
    ep: usize,
    /// The work structure without its context, and the operation's.
    kept: Vec<(usize, Vec<u8>)>,
}

thread_local! {
    /// The work whose operation this thread is about to post.
    static STARTING: Cell<Option<Work>> = const { Cell::new(None) };
}

/// The work that the operation being posted is of.
pub(crate) fn starting() -> Option<Work> {
    STARTING.take()
}

impl Work {
    /// Whether the caller has kept it as it was.
    pub(crate) fn check(&self) {
        for (at, bytes) in &self.kept {
            // SAFETY: it stays until the work has ended, which is what is looked at here.
            let now = unsafe { std::slice::from_raw_parts(*at as *const u8, bytes.len()) };
            if now != bytes {
                broken("X11", format_args!("deferred work at {:#x} has changed", self.at));
            }
        }
    }

    fn structure(&self) -> *mut fi_deferred_work {
        self.at as *mut fi_deferred_work
    }
}

/// Queues it, with its arguments checked.
///
/// # Safety
///
/// `arg` is such a structure, with an operation of its kind.
pub(crate) unsafe fn queue(domain: *mut fid, arg: *mut c_void) -> c_int {
    let at = arg.cast::<fi_deferred_work>();
    // SAFETY: the caller's promise.
    let work = unsafe { &*at };
    let mut kept = Vec::new();
    let mut keep = |start: *const c_void, len: usize| {
        // SAFETY: part of a structure that is whole.
        let bytes = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) };
        kept.push((start as usize, bytes.to_vec()));
    };
    let context = size_of::<fi_context2>();
    keep((&raw const work.threshold).cast(), size_of::<fi_deferred_work>() - context);
    // SAFETY: the member of the union that belongs to the kind.
    let (ep, named, flags) = unsafe {
        macro_rules! of {
            ($member:ident) => {{
                let op = work.op.$member;
                keep(op.cast(), size_of_val(&*op));
                ((*op).ep as usize, (*op).msg.context, (*op).flags)
            }};
        }
        match work.op_type {
            FI_OP_SEND | FI_OP_RECV => of!(msg),
            FI_OP_TSEND | FI_OP_TRECV => of!(tagged),
            FI_OP_READ | FI_OP_WRITE => of!(rma),
            FI_OP_ATOMIC => of!(atomic),
            FI_OP_FETCH_ATOMIC => of!(fetch_atomic),
            FI_OP_COMPARE_ATOMIC => of!(compare_atomic),
            FI_OP_CNTR_SET | FI_OP_CNTR_ADD => {
                keep(work.op.cntr.cast(), size_of::<fi_op_cntr>());
                (0, arg, 0)
            }
            _ => return -FI_ENOSYS,
        }
    };
    {
        let mut world = world();
        let _ = object!(world.domains, domain);
        let on = object!(world.cntrs, work.triggering_cntr).domain;
        if ep == 0 {
            if !work.completion_cntr.is_null() {
                broken("X11", "a change of a counter names one that tells of its end");
            }
            // SAFETY: as above.
            let _ = object!(world.cntrs, unsafe { (*work.op.cntr).cntr });
        } else {
            let done = object!(world.cntrs, work.completion_cntr).domain;
            let ep = object!(world.eps, ep);
            if on != done || on != domain as usize || ep.domain != on {
                broken("X11", "deferred work of several domains");
            }
            if ep.caps & FI_TRIGGER == 0 {
                broken("X10", "deferred work of an endpoint without FI_TRIGGER");
            }
        }
        if named != arg {
            broken("X11", "the context of deferred work is its own structure");
        }
        if world.work.iter().any(|other| other.at == at as usize) {
            broken("X11", "work is queued twice");
        }
        let (kind, threshold) = (work.op_type, work.threshold);
        world.record(format!("queue_work type={kind} threshold={threshold} flags={flags:#x}"));
        world.work.push(Work {
            at: at as usize,
            domain: domain as usize,
            trigger: work.triggering_cntr as usize,
            threshold,
            completion: work.completion_cntr as usize,
            ep,
            kept,
        });
    }
    fire();
    0
}

/// Takes it out of the queue, if it is there.
pub(crate) fn cancel(domain: *mut fid, arg: *mut c_void) -> c_int {
    let mut world = world();
    world.record("cancel_work".into());
    let meant = |work: &Work| work.at == arg as usize && work.domain == domain as usize;
    match world.work.iter().position(meant) {
        Some(i) => {
            world.work.remove(i).check();
            0
        }
        None => -FI_ENOENT,
    }
}

impl World {
    /// The counter is gone, and what it would have started.
    pub(crate) fn end_work(&mut self, cntr: usize) {
        self.work.retain(|work| work.trigger != cntr);
        let named = |work: &Work| work.completion == cntr;
        if self.work.iter().any(named)
            || self.ops.values().any(|op| op.work.as_ref().is_some_and(named))
        {
            broken("X11", "a counter is closed that deferred work names");
        }
    }

    /// That no work would start on an endpoint that closes.
    pub(crate) fn check_no_work(&self, ep: usize) {
        if self.work.iter().any(|work| work.ep == ep) {
            broken("X11", "an endpoint is closed with work that may be started");
        }
    }
}

/// Starts what is due. Called without the world's lock.
pub(crate) fn fire() {
    loop {
        let work = {
            let mut world = world();
            world.work.iter().for_each(Work::check);
            let due = |work: &Work| {
                let cntr = &world.cntrs[&work.trigger];
                cntr.reached(work.threshold)
            };
            let Some(i) = world.work.iter().position(due) else { return };
            let work = world.work.remove(i);
            if work.ep == 0 {
                // SAFETY: a change of a counter, which is whole: it was just checked.
                let (kind, op) = unsafe {
                    let structure = work.structure();
                    ((*structure).op_type, *(*structure).op.cntr)
                };
                object!(world.cntrs, op.cntr).change(kind == FI_OP_CNTR_SET, op.value);
                continue;
            }
            work
        };
        STARTING.set(Some(work.clone()));
        // SAFETY: an operation of its kind, whole: it was just checked.
        let status = unsafe { start(&*work.structure()) };
        STARTING.set(None);
        if status == -(FI_EAGAIN as isize) {
            // There is no room now.
            world().work.insert(0, work);
            return;
        }
    }
}

/// # Safety
///
/// The work is whole.
unsafe fn start(work: &fi_deferred_work) -> isize {
    // SAFETY: the caller's promise: the member of the union that belongs to the kind.
    unsafe {
        match work.op_type {
            FI_OP_SEND => {
                let op = &*work.op.msg;
                (post::MSG.sendmsg.unwrap())(op.ep, &raw const op.msg, op.flags)
            }
            FI_OP_RECV => {
                let op = &*work.op.msg;
                (post::MSG.recvmsg.unwrap())(op.ep, &raw const op.msg, op.flags)
            }
            FI_OP_TSEND => {
                let op = &*work.op.tagged;
                (post::TAGGED.sendmsg.unwrap())(op.ep, &raw const op.msg, op.flags)
            }
            FI_OP_TRECV => {
                let op = &*work.op.tagged;
                (post::TAGGED.recvmsg.unwrap())(op.ep, &raw const op.msg, op.flags)
            }
            FI_OP_READ => {
                let op = &*work.op.rma;
                (post::RMA.readmsg.unwrap())(op.ep, &raw const op.msg, op.flags)
            }
            FI_OP_WRITE => {
                let op = &*work.op.rma;
                (post::RMA.writemsg.unwrap())(op.ep, &raw const op.msg, op.flags)
            }
            FI_OP_ATOMIC => {
                let op = &*work.op.atomic;
                (atomic::OPS.writemsg.unwrap())(op.ep, &raw const op.msg, op.flags)
            }
            FI_OP_FETCH_ATOMIC => {
                let op = &*work.op.fetch_atomic;
                (atomic::OPS.readwritemsg.unwrap())(
                    op.ep,
                    &raw const op.msg,
                    op.fetch.msg_iov,
                    op.fetch.desc,
                    op.fetch.iov_count,
                    op.flags,
                )
            }
            _ => {
                let op = &*work.op.compare_atomic;
                (atomic::OPS.compwritemsg.unwrap())(
                    op.ep,
                    &raw const op.msg,
                    op.compare.msg_iov,
                    op.compare.desc,
                    op.compare.iov_count,
                    op.fetch.msg_iov,
                    op.fetch.desc,
                    op.fetch.iov_count,
                    op.flags,
                )
            }
        }
    }
}
