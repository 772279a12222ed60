//! Whether the detectors detect: the memory of a posted receive is freed on purpose, and somebody
//! must notice when the message arrives. The same without the early free must stay quiet.
//!
//! Everything else that says "no write after a free" rests on this. Each case runs its role under
//! the detector of this run (the poisoning allocator in an ordinary one, AddressSanitizer in such a
//! build, valgrind under that runner), and under the poisoning allocator where the detector is
//! known to be blind.

use ofi::{
    Buf, BufMut, Caps, Connectionless, Dgram, Domain, Endpoint, EndpointType, Fabric, Msg, Rdm,
    Segments, Shared,
};

use crate::harness::{
    Detector, Kinds, LIMIT, List, Pair, Parent, Stop, Target, Verdict, cases, detector, pattern,
    rerun,
};

pub fn register(list: &mut List) {
    for kinds in [Kinds::RDM, Kinds::DGRAM, Kinds::MSG] {
        for (name, body) in [
            ("early_free_64_bytes", early_free::<64> as fn(&Target) -> Verdict),
            ("early_free_4_kib", early_free::<4096>),
            ("early_free_64_kib", early_free::<65_536>),
            ("early_free_1_mib", early_free::<1_048_576>),
        ] {
            list.push(module_path!(), name, kinds, "shared", body);
        }
    }
    for size in ["64_bytes", "4_kib", "64_kib", "1_mib"] {
        list.bare(&format!("early_free::early_free_{size}"));
    }
    cases!(list, once: a_leak_is_told);
}

/// Writes that a detector does not see: from this size on.
///
/// AddressSanitizer sees what goes through the C library's functions. shm copies larger messages
/// with the bare system call `process_vm_readv`, and sm2 with a copying loop of its own.
fn blind(detector: Detector, t: &Target, size: usize) -> bool {
    match (detector, t.provider.as_str()) {
        (Detector::AddressSanitizer, "shm") => size >= 65_536,
        (Detector::AddressSanitizer, "sm2") => size >= 4096,
        _ => false,
    }
}

/// One size: quiet when the memory is kept, noticed when it is not.
fn early_free<const SIZE: usize>(t: &Target) -> Verdict {
    if let Some(role) = Parent::role() {
        return exchange(t, SIZE, role == "early");
    }
    let detector = detector();
    let noticed = |detector: Detector| {
        let text = match rerun("early", detector)? {
            Ok(()) => "nobody noticed".to_owned(),
            Err(text) => text,
        };
        if detector.words().iter().any(|words| text.contains(words)) {
            return Ok(());
        }
        Err(Stop::Failed(format!("{detector:?} of an early free: {text}")))
    };
    let quiet = |detector: Detector| {
        let done = rerun("kept", detector)?;
        done.map_err(|text| Stop::Failed(format!("{detector:?} without an early free: {text}")))
    };
    quiet(detector)?;
    if !blind(detector, t, SIZE) {
        return noticed(detector);
    }
    quiet(Detector::Poison)?;
    noticed(Detector::Poison)
}

/// LeakSanitizer is at work where AddressSanitizer is: memory that nothing points at any more.
fn a_leak_is_told(_: &Target) -> Verdict {
    if Parent::role().is_some() {
        // Hidden from the search through memory that follows.
        let hidden = !(Box::into_raw(Box::new([7_u8; 100])) as usize);
        assert_ne!(std::hint::black_box(hidden), 0);
        return Ok(());
    }
    let done = rerun("leak", detector())?;
    match (detector(), done) {
        (Detector::AddressSanitizer, Err(text)) if text.contains("LeakSanitizer") => Ok(()),
        (Detector::Poison | Detector::Valgrind, Ok(())) => Ok(()),
        (detector, done) => Err(Stop::Failed(format!("{detector:?} of a leak: {done:?}"))),
    }
}

/// Memory that is not this value's own: it may be freed under it.
pub(crate) struct Lent(pub *mut u8, pub usize);

// SAFETY: plain numbers.
unsafe impl Send for Lent {}

// SAFETY: none where the test frees early: breaking this promise is what it is about. Otherwise the
// memory lives until the operation's end.
unsafe impl Buf for Lent {
    fn segments(&self, list: &mut Segments) {
        list.push(self.0, self.1);
    }
}

// SAFETY: as above; nobody else uses the memory.
unsafe impl BufMut for Lent {
    fn segments_mut(&mut self, list: &mut Segments) {
        list.push(self.0, self.1);
    }
}

/// A message into memory that is freed `early`, or at the end.
fn exchange(t: &Target, size: usize, early: bool) -> Verdict {
    match t.kind {
        EndpointType::Msg => connected(t, size, early),
        EndpointType::Dgram => connectionless::<Dgram>(t, size, early),
        _ => connectionless::<Rdm>(t, size, early),
    }
}

/// Room for a message, which nothing owns.
fn room(size: usize) -> *mut [u8] {
    Box::into_raw(vec![0_u8; size].into_boxed_slice())
}

fn free(room: *mut [u8]) {
    // SAFETY: of `room`, and freed once.
    drop(unsafe { Box::from_raw(room) });
}

fn connectionless<K: Connectionless>(t: &Target, size: usize, early: bool) -> Verdict {
    let p = Pair::<K, Shared>::open(t, Caps::MSG)?;
    p.warm()?;
    let room = room(size);
    let receive = p.b.recv(Lent(room.cast(), size)).post()?;
    if early {
        free(room);
    }
    // A datagram is shorter than the room for it.
    let out = pattern(size.min(p.a.max_message_size()), 5);
    let sending = p.a.send(out, p.to_b).post()?;
    let (received, _) = receive.wait(LIMIT)?;
    let (_, out) = sending.wait(LIMIT)?;
    assert_eq!(received.len(), out.len());
    finish(room, &out, early);
    Ok(())
}

fn connected(t: &Target, size: usize, early: bool) -> Verdict {
    let info = t.query(Caps::MSG)?;
    let fabric = Fabric::open(&info)?;
    let domain: Domain<Shared> = fabric.domain(&info)?;
    let (eq, cq) = (fabric.event_queue().open()?, domain.completion_queue().open()?);
    let builder = || domain.endpoint::<Msg>(&info).completion_queue(&cq).event_queue(&eq);
    let listener = fabric.passive_endpoint(&info).event_queue(&eq).listen()?;
    let connecting = builder().connect(&listener.name()?, b"")?;
    let request = listener.next_request(LIMIT)?.expect("a connection request");
    let (b, _): (Endpoint<Msg, Shared>, _) = request.accept(builder(), b"")?.wait(LIMIT)?;
    let (a, _) = connecting.wait(LIMIT)?;

    let room = room(size);
    let receive = b.recv(Lent(room.cast(), size)).post()?;
    if early {
        free(room);
    }
    let sending = a.send(pattern(size, 5)).post()?;
    let (received, _) = receive.wait(LIMIT)?;
    let (_, out) = sending.wait(LIMIT)?;
    assert_eq!(received.len(), size);
    finish(room, &out, early);
    Ok(())
}

/// What was kept holds the message, and is freed at last.
fn finish(room: *mut [u8], out: &[u8], early: bool) {
    if !early {
        // SAFETY: of `room`, not freed, and the receive has completed.
        let got = unsafe { &*room };
        assert!(got[..out.len()] == *out, "the message is in the memory given");
        free(room);
    }
}
