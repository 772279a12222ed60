//! Raw completion queues and raw endpoints: entries as the provider writes them, for contexts and
//! memory of the caller's.

use std::{
    ffi::c_void,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use ofi::{
    BindFlags, Caps, CloseError, Connectionless, CqFlags, CqFormat, ErrorKind, RawCompletion,
    RawCompletionQueue, RawEndpoint, RawRead, RawWait, Threading,
};

use crate::harness::{LIMIT, List, Mode, Rig, Stop, Target, Verdict, cases, pattern};

pub fn register(list: &mut List) {
    cases!(list, connectionless:
        every_format_gives_its_fields
        an_unbound_queue_is_not_read
        a_queue_without_a_wait_object_never_blocks
        blocking_ends_with_the_timeout
        a_queue_is_open_as_long_as_its_endpoint
    );
    cases!(list, rdm:
        a_batch_is_read_at_once
        a_failure_is_fetched_with_its_context
        tagged_messages_need_the_capability
    );
    cases!(list, rdm_shared: a_signal_ends_blocking opened_and_closed_while_read);
}

/// What an operation's context points at: as large as any provider may write (rule B7).
#[repr(align(64))]
struct Context([u8; 64]);

impl Context {
    fn new() -> Box<Context> {
        Box::new(Context([0; 64]))
    }

    fn pointer(self: &mut Box<Self>) -> *mut c_void {
        self.0.as_mut_ptr().cast()
    }
}

fn raw<T: Mode>(
    rig: &Rig<T>,
    format: CqFormat,
) -> Result<(RawEndpoint<T>, RawCompletionQueue<T>, u64), Stop> {
    let cq = rig.domain.raw_completion_queue().format(format).open()?;
    let (ep, to) = on_queue(rig, &cq)?;
    Ok((ep, cq, to))
}

/// An endpoint that sends to itself.
fn on_queue<T: Mode>(
    rig: &Rig<T>,
    cq: &RawCompletionQueue<T>,
) -> Result<(RawEndpoint<T>, u64), Stop> {
    let builder = rig.domain.raw_endpoint(&rig.info);
    let builder = builder.address_vector(&rig.av).completion_queue(cq);
    // SAFETY: what is sent to it here is received in full before it closes.
    let ep = unsafe { builder.enable() }?;
    let to = rig.av.insert(&ep.name()?)?.as_raw();
    Ok((ep, to))
}

/// Posts until there is room: first sends make a connection (rxm, tcp).
fn until_room<T: Threading>(
    cq: &RawCompletionQueue<T>,
    entries: &mut Vec<RawCompletion>,
    mut post: impl FnMut() -> ofi::Result<()>,
) -> Verdict {
    let deadline = Instant::now() + LIMIT;
    loop {
        match post() {
            Ok(()) => return Ok(()),
            Err(error) if error.is_busy() => {}
            Err(error) => return Err(error.into()),
        }
        collect(cq, entries)?;
        assert!(Instant::now() < deadline, "no room");
    }
}

fn collect<T: Threading>(cq: &RawCompletionQueue<T>, entries: &mut Vec<RawCompletion>) -> Verdict {
    match cq.read(entries, 32)? {
        RawRead::Entries(_) => Ok(()),
        RawRead::Failed(failure) => Err(Stop::Failed(failure.error.to_string())),
    }
}

fn collect_until<T: Threading>(
    cq: &RawCompletionQueue<T>,
    entries: &mut Vec<RawCompletion>,
    count: usize,
) -> Verdict {
    let deadline = Instant::now() + LIMIT;
    while entries.len() < count {
        collect(cq, entries)?;
        assert!(Instant::now() < deadline, "{} of {count} entries", entries.len());
    }
    Ok(())
}

/// Fault 6, peers 3: entries of one format were read into room for another.
// rule: B13, B17, F6, H3
fn every_format_gives_its_fields<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    for format in [CqFormat::Context, CqFormat::Msg, CqFormat::Data, CqFormat::Tagged] {
        let rig = Rig::<T>::open(t, Caps::MSG)?;
        let (ep, cq, to) = raw(&rig, format)?;
        assert_eq!(cq.format(), format);
        let (mut sent, mut got) = (Context::new(), Context::new());
        let (out, mut room) = (pattern(100, 4), vec![0_u8; 128]);
        let mut entries = Vec::new();
        let (context, desc) = (got.pointer(), std::ptr::null_mut());
        // SAFETY: memory and contexts live until their entries are read, below.
        unsafe { ep.recv(room.as_mut_ptr(), room.len(), desc, None, context)? };
        let context = sent.pointer();
        until_room(&cq, &mut entries, || {
            // SAFETY: as above; the address was just inserted.
            unsafe { ep.send(out.as_ptr(), out.len(), desc, to, context) }
        })?;
        collect_until(&cq, &mut entries, 2)?;
        let of = |context: *mut c_void| {
            let found = entries.iter().find(|entry| entry.context == context);
            *found.expect("an entry for each context")
        };
        of(sent.pointer());
        let received = of(got.pointer());
        match format {
            CqFormat::Context => assert_eq!((received.len, received.flags), (0, CqFlags::empty())),
            _ => {
                assert_eq!(received.len, 100);
                assert!(received.flags.contains(CqFlags::RECV), "{:?}", received.flags);
            }
        }
        assert_eq!(room[..100], out[..]);
        ep.close()?;
        cq.close()?;
    }
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let error = rig.domain.raw_completion_queue().format(CqFormat::Unspec).open().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "its entries would have no known size");
    Ok(())
}

// rule: L7
fn an_unbound_queue_is_not_read<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let cq = rig.domain.raw_completion_queue().open()?;
    let error = cq.read(&mut Vec::new(), 1).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

/// `fi_cq_sread` and `fi_cq_signal` crash on such a queue.
// rule: W1
fn a_queue_without_a_wait_object_never_blocks<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (_ep, cq, _) = raw(&rig, CqFormat::Tagged)?;
    for error in [
        cq.sread(&mut Vec::new(), 1, Duration::from_millis(1)).unwrap_err(),
        cq.signal().unwrap_err(),
    ] {
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    }
    assert!(cq.fd().is_none() && !cq.try_wait());
    Ok(())
}

/// A queue that can be waited on, in each way the provider has: none lets a timeout pass unseen
/// (shm 1.17 does in `fi_cq_sread`), and messages end the wait.
// rule: W1, W2, W5, W7
fn blocking_ends_with_the_timeout<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let mut ways = 0;
    for way in [RawWait::Blocking, RawWait::Fd] {
        let rig = Rig::<T>::open(t, Caps::MSG)?;
        let cq = match rig.domain.raw_completion_queue().wait(way).open() {
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => continue,
            other => other?,
        };
        ways += 1;
        assert_eq!(cq.fd().is_some(), way == RawWait::Fd);
        let (ep, to) = on_queue(&rig, &cq)?;
        let mut entries = Vec::new();
        let (short, start) = (Duration::from_millis(30), Instant::now());
        let RawRead::Entries(0) = cq.sread(&mut entries, 4, short)? else {
            panic!("nothing was posted");
        };
        // The providers' clocks are coarse; what matters is that it waits, and ends.
        assert!(start.elapsed() >= short / 2, "{:?}", start.elapsed());
        let (mut sent, mut got) = (Context::new(), Context::new());
        let (out, mut room) = (pattern(64, 8), vec![0_u8; 64]);
        let (context, desc) = (got.pointer(), std::ptr::null_mut());
        // SAFETY: memory and contexts live until their entries are read, below.
        unsafe { ep.recv(room.as_mut_ptr(), room.len(), desc, None, context)? };
        let context = sent.pointer();
        until_room(&cq, &mut entries, || {
            // SAFETY: as above; the address was just inserted.
            unsafe { ep.send(out.as_ptr(), out.len(), desc, to, context) }
        })?;
        let deadline = Instant::now() + LIMIT;
        while entries.len() < 2 {
            assert!(Instant::now() < deadline, "{} entries", entries.len());
            // Sleeping alone moves nothing on a provider without threads (rule W4).
            let nap = Duration::from_millis(10);
            if let RawRead::Failed(failure) = cq.sread(&mut entries, 4, nap)? {
                return Err(Stop::Failed(failure.error.to_string()));
            }
        }
        assert_eq!(room, out);
        ep.close()?;
        cq.close()?;
    }
    t.require(ways > 0, "no way of waiting")
}

/// Peers 10: a signal could not wake a blocked read, because it needed the same lock.
// rule: W6, H10
fn a_signal_ends_blocking<K: Connectionless>(t: &Target) -> Verdict {
    let rig = Rig::<ofi::Shared>::open(t, Caps::MSG)?;
    let cq = rig.domain.raw_completion_queue().wait(RawWait::Blocking).open()?;
    let (_ep, _) = on_queue(&rig, &cq)?;
    let blocked = {
        let cq = cq.clone();
        std::thread::spawn(move || cq.sread(&mut Vec::new(), 1, LIMIT).map(|_| ()))
    };
    let start = Instant::now();
    // The signal may come before the other thread blocks: once more until it has ended.
    while !blocked.is_finished() {
        cq.signal()?;
        std::thread::yield_now();
        assert!(start.elapsed() < LIMIT / 2, "the signal does not arrive");
    }
    blocked.join().expect("it does not panic")?;
    Ok(())
}

fn a_batch_is_read_at_once<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const MESSAGES: usize = 8;
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (ep, cq, to) = raw(&rig, CqFormat::Msg)?;
    let mut contexts: Vec<_> = (0..2 * MESSAGES).map(|_| Context::new()).collect();
    let mut room = vec![[0_u8; 64]; MESSAGES];
    let out = [5_u8; 64];
    let mut entries = Vec::new();
    let desc = std::ptr::null_mut();
    for (context, room) in contexts.iter_mut().zip(&mut room) {
        // SAFETY: memory and contexts live until their entries are read, below.
        unsafe { ep.recv(room.as_mut_ptr(), 64, desc, None, context.pointer())? };
    }
    for context in &mut contexts[MESSAGES..] {
        let context = context.pointer();
        until_room(&cq, &mut entries, || {
            // SAFETY: as above; the address was just inserted.
            unsafe { ep.send(out.as_ptr(), 64, desc, to, context) }
        })?;
    }
    collect_until(&cq, &mut entries, 2 * MESSAGES)?;
    let mut seen: Vec<_> = entries.iter().map(|entry| entry.context).collect();
    let mut posted: Vec<_> = contexts.iter_mut().map(Context::pointer).collect();
    seen.sort();
    posted.sort();
    assert_eq!(seen, posted, "each operation has one entry");
    assert!(room.iter().all(|bytes| *bytes == out));
    let RawRead::Entries(0) = cq.read(&mut entries, 32)? else {
        panic!("nothing is left");
    };
    Ok(())
}

/// Fault 18: error entries were never read, so the queue stayed stuck.
// rule: B17, B18, B19, B26, F18
fn a_failure_is_fetched_with_its_context<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (ep, cq, to) = raw(&rig, CqFormat::Tagged)?;
    let (mut cancelled, mut sent, mut got) = (Context::new(), Context::new(), Context::new());
    let mut room = vec![0_u8; 64];
    let (context, desc) = (cancelled.pointer(), std::ptr::null_mut());
    let mut entries = Vec::new();
    // SAFETY: memory and context live until the entry is read, below; the context is its own.
    unsafe {
        ep.recv(room.as_mut_ptr(), room.len(), desc, None, context)?;
        ep.cancel(context)?;
    }
    let deadline = Instant::now() + LIMIT;
    let failure = loop {
        if let RawRead::Failed(failure) = cq.read(&mut entries, 8)? {
            break failure;
        }
        assert!(Instant::now() < deadline, "the cancelled receive never ends");
    };
    assert_eq!(failure.entry.context, cancelled.pointer());
    assert_eq!(*failure.error.kind(), ErrorKind::Cancelled, "{}", failure.error);
    assert!(entries.is_empty());
    // The queue goes on.
    let context = got.pointer();
    // SAFETY: as above.
    unsafe { ep.recv(room.as_mut_ptr(), room.len(), desc, None, context)? };
    let (out, context) = (pattern(64, 6), sent.pointer());
    until_room(&cq, &mut entries, || {
        // SAFETY: as above; the address was just inserted.
        unsafe { ep.send(out.as_ptr(), 64, desc, to, context) }
    })?;
    collect_until(&cq, &mut entries, 2)?;
    assert_eq!(room, out);
    Ok(())
}

/// Without the capability the table of functions may be missing.
// rule: D8, B36
fn tagged_messages_need_the_capability<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (ep, _cq, to) = raw(&rig, CqFormat::Tagged)?;
    let (mut context, mut room, desc) = (Context::new(), [0_u8; 8], std::ptr::null_mut());
    if !rig.info.caps().contains(Caps::TAGGED) {
        let context = context.pointer();
        // SAFETY: nothing is posted: it is refused.
        let error = unsafe { ep.tsend(room.as_ptr(), 8, desc, to, 1, context) }.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    }
    if !rig.info.caps().contains(Caps::DIRECTED_RECV) {
        let context = context.pointer();
        // SAFETY: nothing is posted: it is refused.
        let error = unsafe { ep.recv(room.as_mut_ptr(), 8, desc, Some(to), context) }.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    }
    drop((ep, rig));
    let rig = Rig::<T>::on(t.query(Caps::TAGGED)?)?;
    let (ep, cq, to) = raw(&rig, CqFormat::Tagged)?;
    let mut sent = Context::new();
    let mut entries = Vec::new();
    let got = context.pointer();
    // SAFETY: memory and contexts live until their entries are read, below.
    unsafe { ep.trecv(room.as_mut_ptr(), 8, desc, None, 0x70, 0xF, got)? };
    let sending = sent.pointer();
    until_room(&cq, &mut entries, || {
        // SAFETY: as above; the address was just inserted.
        unsafe { ep.tsend([9_u8; 8].as_ptr(), 8, desc, to, 0x75, sending) }
    })?;
    collect_until(&cq, &mut entries, 2)?;
    let received = entries.iter().find(|entry| entry.context == got).expect("its entry");
    assert_eq!((received.tag, received.len, room), (0x75, 8, [9; 8]));
    Ok(())
}

// rule: L1
fn a_queue_is_open_as_long_as_its_endpoint<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (ep, cq, _) = raw(&rig, CqFormat::Data)?;
    let Err(CloseError::InUse(cq)) = cq.close() else {
        panic!("closed under its endpoint");
    };
    let other = Rig::<T>::on(rig.info.clone())?;
    let builder = other.domain.raw_endpoint(&rig.info).address_vector(&other.av);
    // SAFETY: nothing is sent to it.
    let error = unsafe { builder.completion_queue(&cq).enable() }.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "a queue of another domain: {error}");
    let Rig { domain, cq: dispatching, av, fabric, .. } = rig;
    drop((cq, dispatching, av, domain, fabric));
    ep.close()?;
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

/// Endpoints come and go on a queue that others read, look at and block on: no reader sees one that is
/// half made, or half gone. Most providers would crash.
// rule: L4, L5, W10
fn opened_and_closed_while_read<K: Connectionless>(t: &Target) -> Verdict {
    let rig = Rig::<ofi::Shared>::open(t, Caps::MSG)?;
    // Where there is nothing to block on, reading is what there is.
    let blocking = rig.domain.raw_completion_queue().wait(RawWait::Blocking).open();
    let blocks = blocking.is_ok();
    let cq = blocking.or_else(|_| rig.domain.raw_completion_queue().open())?;
    let counter = rig.domain.counter()?;
    // The queue is never without one.
    let (first, _) = on_queue(&rig, &cq)?;
    let done = AtomicBool::new(false);
    let go_on = || !done.load(Ordering::Relaxed);
    std::thread::scope(|scope| -> Verdict {
        let readers = [
            scope.spawn(|| {
                while go_on() {
                    assert!(matches!(cq.read(&mut Vec::new(), 8), Ok(RawRead::Entries(0))));
                }
            }),
            scope.spawn(|| {
                while go_on() && blocks {
                    let read = cq.sread(&mut Vec::new(), 8, Duration::from_millis(50));
                    assert!(matches!(read, Ok(RawRead::Entries(0))));
                }
            }),
            scope.spawn(|| {
                while go_on() {
                    std::hint::black_box(counter.read());
                }
            }),
        ];
        let run = || -> Verdict {
            for _ in 0..16 {
                let builder = rig.domain.raw_endpoint(&rig.info).address_vector(&rig.av);
                let builder = builder.completion_queue(&cq).counter(&counter, BindFlags::RECV);
                // SAFETY: nobody sends anything to it.
                let ep = unsafe { builder.enable() }?;
                ep.close()?;
            }
            Ok(())
        };
        let result = run();
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().expect("it ends"));
        result
    })?;
    first.close()?;
    Ok(())
}
