//! A provider that loom can see through: its queue, its room and its cancels behind one lock.

use std::{
    collections::VecDeque,
    ffi::{c_int, c_void},
    os::fd::RawFd,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use loom::sync::Mutex;

use super::super::{Memory, Outcome, Uses, Verb};
use crate::{Buf, BufMut, buf::Segments, wait::bell};

const EAGAIN: isize = -(ofi_sys::FI_EAGAIN as isize);

/// One device with an endpoint, a queue and a fabric. All that production code calls of them.
#[repr(C)]
pub(super) struct Device {
    // The C objects know their device by what comes after them.
    ep: Of<ofi_sys::fid_ep>,
    cq: Of<ofi_sys::fid_cq>,
    fabric: Of<ofi_sys::fid_fabric>,
    ep_ops: ofi_sys::fi_ops_ep,
    msg_ops: ofi_sys::fi_ops_msg,
    cq_ops: ofi_sys::fi_ops_cq,
    fabric_ops: ofi_sys::fi_ops_fabric,
    pub(super) fd: RawFd,
    state: Mutex<State>,
}

#[repr(C)]
struct Of<F> {
    object: F,
    device: *const Device,
}

#[derive(Default)]
struct State {
    /// How many posts are taken before one is refused.
    room: usize,
    /// Whether posts are errors.
    broken: bool,
    /// Receives that nothing has arrived for.
    pending: Vec<Post>,
    /// The queue: contexts and flags.
    entries: VecDeque<(usize, u64)>,
    /// The numbers of what was posted, and of what a cancel met.
    posted: Vec<u64>,
    cancelled: Vec<u64>,
}

struct Post {
    context: usize,
    number: u64,
    /// Times the buffer was dropped.
    drops: *const AtomicUsize,
}

impl Post {
    /// The provider writes to the buffer.
    fn touch(&self) {
        // SAFETY: the model keeps the count for longer than the device.
        let drops = unsafe { &*self.drops };
        assert_eq!(drops.load(Ordering::Relaxed), 0, "the buffer was freed under the provider");
    }
}

impl Device {
    pub(super) fn new(room: usize) -> Box<Device> {
        // SAFETY: plain C structures, of which production code reads the entries set below.
        let mut device = unsafe {
            Box::new(Device {
                ep: std::mem::zeroed(),
                cq: std::mem::zeroed(),
                fabric: std::mem::zeroed(),
                ep_ops: std::mem::zeroed(),
                msg_ops: std::mem::zeroed(),
                cq_ops: std::mem::zeroed(),
                fabric_ops: std::mem::zeroed(),
                fd: bell::open(),
                state: Mutex::new(State { room, ..State::default() }),
            })
        };
        device.ep_ops.cancel = Some(cancel);
        device.msg_ops.recvmsg = Some(recvmsg);
        device.cq_ops.read = Some(read);
        device.fabric_ops.trywait = Some(trywait);
        let this = &raw mut *device;
        // SAFETY: the box, whose place does not change.
        unsafe {
            (*this).ep.object.ops = &raw mut (*this).ep_ops;
            (*this).ep.object.msg = &raw mut (*this).msg_ops;
            (*this).cq.object.ops = &raw mut (*this).cq_ops;
            (*this).fabric.object.ops = &raw mut (*this).fabric_ops;
            (*this).ep.device = this;
            (*this).cq.device = this;
            (*this).fabric.device = this;
        }
        device
    }

    pub(super) fn ep(&self) -> NonNull<ofi_sys::fid_ep> {
        NonNull::from(&self.ep).cast()
    }

    pub(super) fn cq(&self) -> NonNull<ofi_sys::fid_cq> {
        NonNull::from(&self.cq).cast()
    }

    pub(super) fn fabric(&self) -> NonNull<ofi_sys::fid_fabric> {
        NonNull::from(&self.fabric).cast()
    }

    /// A message arrives for the oldest receive, if one waits.
    pub(super) fn arrive(&self) {
        let mut state = self.state.lock().unwrap();
        if !state.pending.is_empty() {
            let post = state.pending.remove(0);
            post.touch();
            self.complete(&mut state, post.context);
        }
    }

    /// A message without bytes arrives for the oldest receive, which goes on unless it is the `last`.
    pub(super) fn message(&self, last: bool) {
        let mut state = self.state.lock().unwrap();
        let Some(post) = state.pending.first() else { return };
        post.touch();
        let released = if last { ofi_sys::FI_MULTI_RECV } else { 0 };
        let entry = (post.context, ofi_sys::FI_RECV | released);
        if last {
            state.pending.remove(0);
        }
        state.entries.push_back(entry);
        bell::set(self.fd, true);
    }

    /// Room for `posts` more, without any event.
    pub(super) fn make_room(&self, posts: usize) {
        self.state.lock().unwrap().room += posts;
    }

    /// From here on every post is an error.
    pub(super) fn break_down(&self) {
        self.state.lock().unwrap().broken = true;
    }

    /// The endpoint closes. What is pending is not touched again, but reported (every provider does).
    pub(super) fn close(&self) {
        let mut state = self.state.lock().unwrap();
        for post in std::mem::take(&mut state.pending) {
            self.complete(&mut state, post.context);
        }
    }

    pub(super) fn posted(&self) -> Vec<u64> {
        self.state.lock().unwrap().posted.clone()
    }

    pub(super) fn cancelled(&self) -> Vec<u64> {
        self.state.lock().unwrap().cancelled.clone()
    }

    fn complete(&self, state: &mut State, context: usize) {
        // Of a receive that has several entries it is the last; otherwise nobody looks.
        state.entries.push_back((context, ofi_sys::FI_MULTI_RECV));
        bell::set(self.fd, true);
    }

    fn post(&self, post: Post, receives: bool) -> isize {
        let mut state = self.state.lock().unwrap();
        if state.broken {
            return -(ofi_sys::FI_EINVAL as isize);
        }
        if state.room == 0 {
            return EAGAIN;
        }
        state.room -= 1;
        state.posted.push(post.number);
        post.touch();
        if receives {
            state.pending.push(post);
        } else {
            self.complete(&mut state, post.context);
        }
        0
    }
}

/// # Safety
///
/// `object` is the one of a device that lives.
unsafe fn device_of<'a, F>(object: *mut F) -> &'a Device {
    // SAFETY: every object of a device lies at the beginning of an `Of`.
    unsafe { &*(*object.cast::<Of<F>>()).device }
}

unsafe extern "C" fn cancel(fid: ofi_sys::fid_t, context: *mut c_void) -> isize {
    // SAFETY: the lane's endpoint.
    let device = unsafe { device_of(fid.cast::<ofi_sys::fid_ep>()) };
    let mut state = device.state.lock().unwrap();
    let Some(at) = state.pending.iter().position(|post| post.context == context as usize) else {
        return -(ofi_sys::FI_ENOENT as isize);
    };
    let post = state.pending.remove(at);
    post.touch();
    state.cancelled.push(post.number);
    device.complete(&mut state, post.context);
    0
}

unsafe extern "C" fn recvmsg(
    ep: *mut ofi_sys::fid_ep,
    message: *const ofi_sys::fi_msg,
    _: u64,
) -> isize {
    // SAFETY: the lane's endpoint, and a message with one piece, which is a token's.
    let (device, message, drops) = unsafe {
        let drops = (*(*message).msg_iov).iov_base.cast_const().cast();
        (device_of(ep), &*message, drops)
    };
    device.post(Post { context: message.context as usize, number: 0, drops }, true)
}

unsafe extern "C" fn read(cq: *mut ofi_sys::fid_cq, buffer: *mut c_void, count: usize) -> isize {
    // SAFETY: the model's queue.
    let device = unsafe { device_of(cq) };
    let mut state = device.state.lock().unwrap();
    let taken = count.min(state.entries.len());
    if taken == 0 {
        return EAGAIN;
    }
    for (i, (context, flags)) in state.entries.drain(..taken).enumerate() {
        let entry = ofi_sys::fi_cq_msg_entry { op_context: context as *mut c_void, flags, len: 0 };
        // SAFETY: the caller has room for `count` entries of the queue's format.
        unsafe { buffer.cast::<ofi_sys::fi_cq_msg_entry>().add(i).write(entry) };
    }
    if state.entries.is_empty() {
        bell::set(device.fd, false);
    }
    taken as isize
}

unsafe extern "C" fn trywait(
    fabric: *mut ofi_sys::fid_fabric,
    _: *mut *mut ofi_sys::fid,
    _: c_int,
) -> c_int {
    // SAFETY: the model's fabric.
    let device = unsafe { device_of(fabric) };
    let empty = device.state.lock().unwrap().entries.is_empty();
    if empty { 0 } else { EAGAIN as c_int }
}

/// A send (completes at once) or a receive (when something arrives), with a number.
#[derive(Clone, Copy)]
pub(super) struct Numbered<const RECEIVES: bool>(pub(super) u64);

pub(super) type Out = Numbered<false>;
pub(super) type In = Numbered<true>;

impl<const RECEIVES: bool> Verb for Numbered<RECEIVES> {
    type Output = ();
    type Note = ();
    const NAME: &'static str = "model";
    const RECEIVES: bool = RECEIVES;
    const ACCESS: crate::Access = crate::Access::empty();

    fn class(&self) -> u64 {
        0
    }

    fn needs(&self) -> u64 {
        0
    }

    unsafe fn issue(
        &self,
        fid: *mut ofi_sys::fid_ep,
        memory: Memory,
        context: *mut c_void,
    ) -> isize {
        let Memory::One(iov, _) = memory else { unreachable!("a token is one segment") };
        // SAFETY: the lane's endpoint.
        let device = unsafe { device_of(fid) };
        let (context, drops) = (context as usize, iov.iov_base.cast_const().cast());
        device.post(Post { context, number: self.0, drops }, RECEIVES)
    }

    fn note(&self, _: &Segments) {}

    fn finish((): (), _: &Outcome) {}
}

/// A buffer: counts how often it is dropped.
pub(super) struct Token(pub(super) Arc<AtomicUsize>);

impl Drop for Token {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: the count is shared, and only counted in.
unsafe impl Buf for Token {
    fn segments(&self, list: &mut Segments) {
        list.push(Arc::as_ptr(&self.0).cast_mut().cast(), 1);
    }
}

// SAFETY: as above; the device writes nothing.
unsafe impl BufMut for Token {
    fn segments_mut(&mut self, list: &mut Segments) {
        self.segments(list);
    }
}

impl<const RECEIVES: bool> Uses<Token> for Numbered<RECEIVES> {
    fn list(buffer: &mut Token, list: &mut Segments) {
        list.push(Arc::as_ptr(&buffer.0).cast_mut().cast(), 1);
    }

    fn moved(_: &mut Token, _: crate::Place) {}
}
