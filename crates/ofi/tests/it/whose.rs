//! Who sent a message, and whose a receive is for: what providers claim and do not do.

use std::{ffi::c_void, time::Instant};

use ofi::{Caps, Connectionless, CqFormat, Defect, RawCompletionQueue, RawEndpoint, quirk};

use crate::harness::{
    LIMIT, List, Mode, Pair, Parent, Peer, Rig, Stop, Target, Verdict, cases, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, rdm: quirk_14_directed_ignored quirk_15_source_unknown quirk_16_close_hangs quirk_17_close_crashes);
    cases!(list, rdm: closed_with_messages_nobody_received);
}

/// Two endpoints on one queue, and their numbers in the vector: not both are 0.
pub(crate) struct Two<T: Mode> {
    pub a: RawEndpoint<T>,
    pub b: RawEndpoint<T>,
    pub to_a: u64,
    pub to_b: u64,
    pub cq: RawCompletionQueue<T>,
    pub rig: Rig<T>,
}

/// What an operation's context points at: as large as any provider may write (rule B7).
#[repr(align(64))]
pub(crate) struct Context([u8; 64]);

impl Context {
    pub fn new() -> Box<Context> {
        Box::new(Context([0; 64]))
    }

    pub fn pointer(self: &mut Box<Self>) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }
}

fn raw_endpoint<T: Mode>(rig: &Rig<T>, cq: &RawCompletionQueue<T>) -> Result<RawEndpoint<T>, Stop> {
    let builder = rig.domain.raw_endpoint(&rig.info);
    let builder = builder.address_vector(&rig.av).completion_queue(cq);
    // SAFETY: what is sent to it here is received in full before it closes.
    Ok(unsafe { builder.enable() }?)
}

impl<T: Mode> Two<T> {
    pub fn open(t: &Target, caps: Caps) -> Result<Two<T>, Stop> {
        let rig = Rig::<T>::open(t, caps)?;
        let cq = rig.domain.raw_completion_queue().format(CqFormat::Context).open()?;
        let (a, b) = (raw_endpoint(&rig, &cq)?, raw_endpoint(&rig, &cq)?);
        let to_a = rig.av.insert(&a.name()?)?.as_raw();
        let to_b = rig.av.insert(&b.name()?)?.as_raw();
        assert_ne!(to_b, 0);
        Ok(Two { a, b, to_a, to_b, cq, rig })
    }

    /// One more endpoint.
    pub fn another(&self) -> Result<RawEndpoint<T>, Stop> {
        raw_endpoint(&self.rig, &self.cq)
    }

    /// The contexts of the entries that are there, with their sources.
    pub fn read(&self) -> Vec<(*mut c_void, u64)> {
        const BATCH: usize = 8;
        let mut entries = [ofi_sys::fi_cq_entry { op_context: std::ptr::null_mut() }; BATCH];
        let mut sources = [ofi_sys::FI_ADDR_NOTAVAIL; BATCH];
        // SAFETY: the queue is open, of this format, and nobody else reads it; there is room for
        // that many entries and sources.
        let count = unsafe {
            ofi_sys::fi_cq_readfrom(
                self.cq.as_raw(),
                entries.as_mut_ptr().cast(),
                BATCH,
                sources.as_mut_ptr(),
            )
        };
        if count == -(ofi_sys::FI_EAVAIL as isize) {
            // SAFETY: all-zero is what fi_cq(3) asks for.
            let mut failed: ofi_sys::fi_cq_err_entry = unsafe { std::mem::zeroed() };
            // SAFETY: the queue is open, and nobody else reads it.
            unsafe { ofi_sys::fi_cq_readerr(self.cq.as_raw(), &raw mut failed, 0) };
            return vec![(failed.op_context, ofi_sys::FI_ADDR_NOTAVAIL)];
        }
        assert!(count > 0 || count == -(ofi_sys::FI_EAGAIN as isize), "fi_cq_readfrom: {count}");
        let entries = entries.iter().map(|entry| entry.op_context).zip(sources);
        entries.take(count.max(0) as usize).collect()
    }

    /// Posts what may have to wait for room.
    pub fn until_posted(&self, post: &dyn Fn() -> ofi::Result<()>) -> Verdict {
        let deadline = Instant::now() + LIMIT;
        while let Err(error) = post() {
            assert!(error.is_busy() && Instant::now() < deadline, "{error}");
            self.read();
        }
        Ok(())
    }

    /// Sends one byte, and drives the queue until one of `receives` has ended.
    fn send_until(
        &self,
        from: &RawEndpoint<T>,
        to: u64,
        receives: &[*mut c_void],
    ) -> Result<(*mut c_void, u64), Stop> {
        let (byte, mut context) = ([7_u8], Context::new());
        let context = context.pointer();
        let (mut posted, mut sent, mut received) = (false, false, None);
        let deadline = Instant::now() + LIMIT;
        loop {
            if !posted {
                // SAFETY: byte and context live until the entry is read, below, or the case fails
                // and with it the process; the address was just inserted.
                match unsafe { from.send(byte.as_ptr(), 1, std::ptr::null_mut(), to, context) } {
                    Ok(()) => posted = true,
                    Err(error) if error.is_busy() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            for (ended, source) in self.read() {
                sent |= ended == context;
                if receives.contains(&ended) {
                    received = Some((ended, source));
                }
            }
            if let (true, Some(received)) = (sent, received) {
                return Ok(received);
            }
            if Instant::now() > deadline {
                eprintln!("posted: {posted}, sent: {sent}, received: {received:?}");
                std::process::abort();
            }
        }
    }
}

/// Defect 14: tcp hands a message to a receive that is for another peer.
fn quirk_14_directed_ignored<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let two = Two::<T>::open(t, Caps::MSG | Caps::DIRECTED_RECV)?;
    let (mut own, mut others) = (Context::new(), Context::new());
    let (own, others) = (own.pointer(), others.pointer());
    let mut room = [[0_u8; 8]; 2];
    for ((room, from), context) in room.iter_mut().zip([two.to_b, two.to_a]).zip([own, others]) {
        let (room, desc) = (room.as_mut_ptr(), std::ptr::null_mut());
        // SAFETY: room and context outlive the endpoint: it is closed before them, below.
        unsafe { two.b.recv(room, 8, desc, Some(from), context)? };
    }
    let (ended, _) = two.send_until(&two.a, two.to_b, &[own, others])?;
    let known = quirk(&t.provider, Defect::DirectedIgnored);
    assert_eq!(ended == own, known.is_some());
    // The other receive is still there; its endpoint goes before its room does.
    let Two { a, b, cq, rig, .. } = two;
    drop((b, a, cq, rig));
    assert_eq!(room[usize::from(ended == others)][0], 7);
    Ok(())
}

/// Defect 15: whoever sends, rxd says it was number 0.
fn quirk_15_source_unknown<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let two = Two::<T>::open(t, Caps::MSG | Caps::SOURCE)?;
    let mut context = Context::new();
    let context = context.pointer();
    let mut room = [0_u8; 8];
    // SAFETY: room and context live until the entry is read, below.
    unsafe { two.a.recv(room.as_mut_ptr(), 8, std::ptr::null_mut(), None, context)? };
    let (_, source) = two.send_until(&two.b, two.to_a, &[context])?;
    let known = quirk(&t.provider, Defect::SourceUnknown);
    assert_eq!(source, if known.is_some() { 0 } else { two.to_b });
    assert_eq!(room[0], 7);
    Ok(())
}

/// Defect 16: sm2 closes no endpoint that a message waits in, where it has locks.
fn quirk_16_close_hangs<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let hangs = T::SHARED && closing_is_unsafe(t, 16);
    if Parent::role().is_none() {
        return shown(hangs, libc::SIGALRM);
    }
    let two = two_with_a_message::<T>(t, 1)?;
    Parent::new().say("now")?;
    // SAFETY: a number. Where the close hangs, the signal ends this process.
    unsafe {
        libc::alarm(5);
        assert_eq!(ofi_sys::fi_close(two.b.as_raw().cast()), 0);
    }
    // The objects would close it again.
    std::process::exit(0)
}

/// Defect 17: shm writes to where the message came from, gone or not.
fn quirk_17_close_crashes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    if Parent::role().is_none() {
        return shown(closing_is_unsafe(t, 17), libc::SIGSEGV);
    }
    let two = two_with_a_message::<T>(t, 1000)?;
    Parent::new().say("now")?;
    // Defect 16 is not what this is about.
    if !closing_is_unsafe(t, 16) {
        // SAFETY: both are open. Where it crashes regardless, this process was started for it.
        unsafe {
            assert_eq!(ofi_sys::fi_close(two.a.as_raw().cast()), 0);
            assert_eq!(ofi_sys::fi_close(two.b.as_raw().cast()), 0);
        }
    }
    // The objects would close it again.
    std::process::exit(0)
}

/// Starts the case in a role, which says when it is about to do it; whether it ends with `signal`
/// then must be as the table says.
pub(crate) fn shown(known: bool, signal: i32) -> Verdict {
    let mut peer = Peer::start("shown")?;
    assert_eq!(peer.hear()?, "now");
    match peer.finish() {
        Ok(()) => assert!(!known, "the defect is gone"),
        Err(Stop::Failed(how)) => {
            assert!(known && how.contains(&format!("signal: {signal} ")), "{how}");
        }
        Err(stop) => return Err(stop),
    }
    Ok(())
}

/// Whether the provider has this entry of the two.
fn closing_is_unsafe(t: &Target, id: u32) -> bool {
    quirk(&t.provider, Defect::CloseWithMessages).is_some_and(|quirk| quirk.id == id)
}

/// The second of the two has a message that nobody received: one that was sent after it arrived.
fn two_with_a_message<T: Mode>(t: &Target, len: usize) -> Result<Two<T>, Stop> {
    let two = Two::<T>::open(t, Caps::MSG | Caps::TAGGED)?;
    let (bytes, room) = (vec![7_u8; len].leak(), Box::leak(Box::new([0_u8; 8])));
    let none = std::ptr::null_mut();
    let [waits, first, second] = [(); 3].map(|()| Box::leak(Context::new()).0.as_mut_ptr().cast());
    let deadline = Instant::now() + LIMIT;
    // SAFETY: what the operations name is never freed.
    unsafe {
        two.b.trecv(room.as_mut_ptr(), 8, none, None, 1, 0, waits)?;
        two.until_posted(&|| two.a.send(bytes.as_ptr(), len, none, two.to_b, first))?;
        two.until_posted(&|| two.a.tsend(bytes.as_ptr(), 1, none, two.to_b, 1, second))?;
    }
    // On tcp what nobody receives holds up all that follows.
    let last = if t.provider == "tcp" { first } else { waits };
    while !two.read().iter().any(|(context, _)| *context == last) {
        assert!(Instant::now() < deadline, "it does not arrive");
    }
    Ok(two)
}

/// Closing ends while messages wait that nobody received, and none of them is seen again.
fn closed_with_messages_nobody_received<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG | Caps::TAGGED)?;
    p.warm()?;
    let Pair { a, b, to_b, rig, .. } = p;
    let last = b.recv(vec![0; 8]).tag(1).post()?;
    if t.provider == "tcp" {
        // What nobody receives holds up all that follows.
        a.send(vec![1; 8], to_b).wait(LIMIT)?;
        return Ok(b.close(LIMIT)?);
    }
    let mut sends = Vec::new();
    for n in 0..5 {
        sends.push(a.send(vec![n; 8], to_b).post()?);
        sends.push(a.send(vec![n; 8], to_b).tag(2).post()?);
    }
    sends.push(a.send(vec![9; 8], to_b).tag(1).post()?);
    progress_until(&rig.cq, "the last message", || last.is_done());
    assert_eq!(last.wait(LIMIT)?.1, vec![9; 8]);
    b.close(LIMIT)?;
    assert!(rig.cq.unsolicited().is_none());
    Ok(())
}
