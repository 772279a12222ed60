//! Counters: what they count, how they are waited for, what they are bound to.

use std::time::{Duration, Instant};

use ofi::{
    Access, Address, AtomicOp, BindFlags, Caps, CloseError, CompletionLevel, Connectionless,
    Counter, CqFormat, Datatype, Defect, Endpoint, ErrorKind, ExposedRegion, Memory, Needs,
    Version, quirk,
};

use crate::harness::{LIMIT, List, Mode, Rig, Stop, Target, Verdict, cases, progress_until};

pub fn register(list: &mut List) {
    cases!(list, connectionless: sends_and_receives_are_counted a_bound_counter_stays_open);
    cases!(list, rdm:
        waiting_ends_at_the_threshold_or_the_timeout
        waiting_reports_failures_once
        a_count_can_be_set
        one_counter_for_each_class
        counting_peers_needs_the_capability
        a_counter_of_another_domain_is_refused
        every_class_is_counted_by_itself
        peers_are_counted
        failures_by_class
        bytes_or_not_at_all
        quirk_43_bytes_not_counted
        quirk_50_peers_uncounted
    );
}

/// A counter, or the case ends where the provider has none.
fn counter<T: Mode>(rig: &Rig<T>) -> Result<Counter<T>, Stop> {
    match rig.domain.counter() {
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
            Err(Stop::Unsupported(error.to_string()))
        }
        other => Ok(other?),
    }
}

/// An endpoint with a counter for its sends and one for its receives.
fn counted<K: Connectionless, T: Mode>(
    rig: &Rig<T>,
) -> Result<(Endpoint<K, T>, Counter<T>, Counter<T>), Stop> {
    let (sent, received) = (counter(rig)?, counter(rig)?);
    let endpoint = rig
        .domain
        .endpoint::<K>(&rig.info)
        .address_vector(&rig.av)
        .completion_queue(&rig.cq)
        .counter(&sent, BindFlags::TRANSMIT)
        .counter(&received, BindFlags::RECV)
        .enable()?;
    Ok((endpoint, sent, received))
}

/// Each successful operation counts once, in its class alone, besides its completion.
// rule: W9, L6
fn sends_and_receives_are_counted<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const MESSAGES: usize = 5;
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (a, sent, _) = counted::<K, T>(&rig)?;
    let (b, sent_by_b, received) = counted::<K, T>(&rig)?;
    let to = rig.av.insert(&b.name()?)?;
    for round in 1..=MESSAGES {
        let receive = b.recv(vec![0; 64]).post()?;
        a.send(vec![round as u8; 64], to).wait(LIMIT)?;
        let (_, buffer) = receive.wait(LIMIT)?;
        assert_eq!(buffer, vec![round as u8; 64]);
    }
    // Seen late, perhaps, but seen (rule W14).
    assert!(sent.wait(MESSAGES as u64, LIMIT)?);
    assert!(received.wait(MESSAGES as u64, LIMIT)?);
    assert_eq!((sent.read(), received.read()), (MESSAGES as u64, MESSAGES as u64));
    assert_eq!(sent_by_b.read(), 0, "b has sent nothing");
    assert_eq!((sent.read_errors(), received.read_errors()), (0, 0));
    Ok(())
}

/// A counter without a wait object is waited for without `fi_cntr_wait`, which would crash on rxd:
/// the timeout is kept, and a count that is there is seen at once.
// rule: W1
fn waiting_ends_at_the_threshold_or_the_timeout<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (_ep, sent, received) = counted::<K, T>(&rig)?;
    let start = Instant::now();
    assert!(!sent.wait(1, Duration::from_millis(30))?, "nothing was sent");
    assert!(start.elapsed() >= Duration::from_millis(30));
    assert!(sent.wait(0, Duration::ZERO)?, "zero is always reached");
    received.add(3)?;
    assert!(received.wait(3, Duration::ZERO)?);
    assert!(!received.wait(4, Duration::ZERO)?);
    Ok(())
}

/// Failures end a wait, once; reading them counts as having been told.
// rule: W14
fn waiting_reports_failures_once<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (_ep, sent, _) = counted::<K, T>(&rig)?;
    sent.add_errors(2)?;
    let error = sent.wait(1, LIMIT).unwrap_err();
    assert_eq!(error.errno(), Some(ofi::Errno::EAVAIL));
    assert!(error.to_string().contains("2 more operations"), "{error}");
    assert!(!sent.wait(1, Duration::from_millis(5))?, "told already");
    sent.add_errors(1)?;
    assert_eq!(sent.read_errors(), 3);
    assert!(!sent.wait(1, Duration::from_millis(5))?, "read already");
    // A count that is reached is a success, failures or not.
    sent.add_errors(1)?;
    sent.add(1)?;
    assert!(sent.wait(1, LIMIT)?);
    Ok(())
}

/// Setting takes the counter exclusively.
// rule: W14
fn a_count_can_be_set<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (_ep, mut sent, _) = counted::<K, T>(&rig)?;
    sent.add(40)?;
    sent.add(2)?;
    assert!(sent.wait(42, LIMIT)?);
    sent.set(7)?;
    sent.set_errors(3)?;
    assert_eq!((sent.read(), sent.read_errors()), (7, 3));
    sent.set(0)?;
    sent.set_errors(0)?;
    assert!(!sent.wait(1, Duration::ZERO)?);
    Ok(())
}

/// Two counters for one class, flags that are no class, none at all.
// rule: L6
fn one_counter_for_each_class<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (one, two) = (counter(&rig)?, counter(&rig)?);
    let builder = || {
        let builder = rig.domain.endpoint::<K>(&rig.info);
        builder.address_vector(&rig.av).completion_queue(&rig.cq)
    };
    let wrong = [
        builder()
            .counter(&one, BindFlags::TRANSMIT | BindFlags::RECV)
            .counter(&two, BindFlags::RECV),
        builder().counter(&one, BindFlags::SELECTIVE_COMPLETION),
        builder().counter(&one, BindFlags::empty()),
    ];
    for builder in wrong {
        assert_eq!(*builder.enable().unwrap_err().kind(), ErrorKind::Invalid);
    }
    // One counter may count several classes.
    let both = BindFlags::TRANSMIT | BindFlags::RECV;
    let ep: Endpoint<K, T> = builder().counter(&one, both).enable()?;
    let to = rig.av.insert(&ep.name()?)?;
    let receive = ep.recv(vec![0; 8]).post()?;
    ep.send(vec![1; 8], to).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    assert!(one.wait(2, LIMIT)?);
    assert_eq!(one.read(), 2);
    Ok(())
}

// rule: W14
fn counting_peers_needs_the_capability<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let counter = counter(&rig)?;
    if rig.info.caps().contains(Caps::RMA_EVENT) {
        // Some have it without being asked; then it works, or is known not to.
        let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
        let classes = BindFlags::REMOTE_WRITE | BindFlags::REMOTE_READ;
        let made = builder.completion_queue(&rig.cq).counter(&counter, classes).enable();
        if quirk(&t.provider, Defect::PeersUncounted).is_some() {
            let error = made.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
            return Ok(());
        }
        made?;
        assert_eq!(counter.read(), 0);
        return Ok(());
    }
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let error = builder
        .completion_queue(&rig.cq)
        .counter(&counter, BindFlags::REMOTE_WRITE)
        .enable()
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    assert!(error.to_string().contains("FI_RMA_EVENT"), "{error}");
    Ok(())
}

fn a_counter_of_another_domain_is_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let other = Rig::<T>::on(rig.info.clone())?;
    let foreign = counter(&other)?;
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let error =
        builder.completion_queue(&rig.cq).counter(&foreign, BindFlags::RECV).enable().unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    Ok(())
}

/// Closing a counter that an endpoint is bound to gives it back; any order of drops is harmless.
// rule: L1
fn a_bound_counter_stays_open<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (ep, sent, received) = counted::<K, T>(&rig)?;
    let Err(CloseError::InUse(sent)) = sent.close() else {
        panic!("closed under its endpoint");
    };
    // The handles and the domain go first, the endpoint last.
    drop((sent, received));
    let Rig { domain, cq, av, fabric, .. } = rig;
    let Err(CloseError::InUse(domain)) = domain.close() else {
        panic!("closed under its endpoint");
    };
    drop((domain, cq, av, fabric));
    ep.close(LIMIT)?;
    assert_eq!(ofi::leaked().objects, 0);
    Ok(())
}

const REMOTE: Access = Access::REMOTE_READ.union(Access::REMOTE_WRITE);
const CLASSES: [BindFlags; 6] = [
    BindFlags::TRANSMIT,
    BindFlags::RECV,
    BindFlags::READ,
    BindFlags::WRITE,
    BindFlags::REMOTE_READ,
    BindFlags::REMOTE_WRITE,
];

/// An endpoint with a counter for each of the first classes.
struct Classes<K: Connectionless, T: Mode> {
    ep: Endpoint<K, T>,
    name: Address,
    counters: Vec<Counter<T>>,
}

impl<K: Connectionless, T: Mode> Classes<K, T> {
    fn open(rig: &Rig<T>, classes: usize) -> Result<Self, Stop> {
        let counters = (0..classes).map(|_| counter(rig)).collect::<Result<Vec<_>, Stop>>()?;
        let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
        let builder = counters
            .iter()
            .zip(CLASSES)
            .fold(builder.completion_queue(&rig.cq), |b, (counter, class)| {
                b.counter(counter, class)
            });
        let ep = match builder.enable() {
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported { .. }) => {
                return Err(Stop::Unsupported(error.to_string()));
            }
            made => made?,
        };
        let name = rig.av.insert(&ep.name()?)?;
        Ok(Classes { ep, name, counters })
    }

    /// Waits until the counts are these, and looks once more whether they stay.
    #[track_caller]
    fn are(&self, rig: &Rig<T>, counts: &[u64]) {
        let read = || self.counters.iter().map(Counter::read).collect::<Vec<_>>();
        let until = Instant::now() + LIMIT;
        while read() != counts {
            rig.cq.progress().expect("the queue is healthy");
            assert!(Instant::now() < until, "{:?} instead of {counts:?}", read());
            std::thread::yield_now();
        }
        for _ in 0..100 {
            rig.cq.progress().expect("the queue is healthy");
            assert_eq!(read(), counts);
        }
    }
}

fn exposed<T: Mode>(rig: &Rig<T>, len: usize) -> Result<ExposedRegion<T>, Stop> {
    let memory = Memory::new(vec![0; len]).expect("one piece");
    Ok(rig.domain.expose(&memory).access(REMOTE).open()?)
}

/// Each operation counts once, in its class alone, when it completes; copies count, too.
// rule: W14, L6
fn every_class_is_counted_by_itself<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::RMA | Caps::TAGGED)?;
    let (a, b) = (Classes::<K, T>::open(&rig, 4)?, Classes::<K, T>::open(&rig, 4)?);
    let region = exposed(&rig, 100_000)?;
    let remote = region.remote();
    let (mut sent, mut read, mut written) = (0, 0, 0);
    // One that is counted when the connection is made, perhaps.
    for len in [8, 5_000, 100_000] {
        let receive = b.ep.recv(vec![0; len]).post()?;
        a.ep.send(vec![1; len], b.name).wait(LIMIT)?;
        receive.wait(LIMIT)?;
        let receive = b.ep.recv(vec![0; len]).tag(7).post()?;
        a.ep.send(vec![1; len], b.name).tag(7).wait(LIMIT)?;
        receive.wait(LIMIT)?;
        sent += 2;
        a.are(&rig, &[sent, 0, read, written]);
        a.ep.write(vec![2; len], b.name, &remote).level(CompletionLevel::Delivery).wait(LIMIT)?;
        written += 1;
        a.are(&rig, &[sent, 0, read, written]);
        a.ep.read(vec![0; len], b.name, &remote).wait(LIMIT)?;
        read += 1;
        a.are(&rig, &[sent, 0, read, written]);
        b.are(&rig, &[0, sent, 0, 0]);
    }
    let receive = b.ep.recv(vec![0; 8]).post()?;
    progress_until(&rig.cq, "room", || a.ep.send([3; 8], b.name).inject().is_ok());
    receive.wait(LIMIT)?;
    sent += 1;
    progress_until(&rig.cq, "room", || a.ep.write([3; 8], b.name, &remote).inject().is_ok());
    written += 1;
    a.are(&rig, &[sent, 0, read, written]);
    b.are(&rig, &[0, sent, 0, 0]);
    assert!(a.counters.iter().chain(&b.counters).all(|counter| counter.read_errors() == 0));
    if a.ep.max_atomic(Datatype::Uint64, AtomicOp::Sum) > 0 {
        let cell = remote.slice(..8)?;
        let one = 1_u64.to_ne_bytes().to_vec();
        a.ep.atomic(one, b.name, cell, Datatype::Uint64, AtomicOp::Sum).wait(LIMIT)?;
        a.are(&rig, &[sent, 0, read, written + 1]);
    }
    Ok(())
}

/// What peers read and write is counted where it was asked for (FI_RMA_EVENT).
// rule: W14
fn peers_are_counted<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::RMA | Caps::RMA_EVENT)?;
    let (a, b) = (Classes::<K, T>::open(&rig, 6)?, Classes::<K, T>::open(&rig, 6)?);
    let region = exposed(&rig, 70_000)?;
    let remote = region.remote();
    for (n, len) in [8, 5_000, 70_000].into_iter().enumerate() {
        let n = n as u64;
        let write = a.ep.write(vec![2; len], b.name, &remote);
        write.level(CompletionLevel::Delivery).wait(LIMIT)?;
        b.are(&rig, &[0, 0, 0, 0, n, n + 1]);
        a.ep.read(vec![0; len], b.name, &remote).wait(LIMIT)?;
        b.are(&rig, &[0, 0, 0, 0, n + 1, n + 1]);
        a.are(&rig, &[0, 0, n + 1, n + 1, 0, 0]);
    }
    // Somebody who waits for them drives what it waits for.
    let peers = &b.counters[5];
    let write = a.ep.write(vec![2; 64], b.name, &remote).post()?;
    assert!(peers.wait(4, LIMIT)?);
    write.wait(LIMIT)?;
    Ok(())
}

/// Defects 48 and 49: a failed write is never a success; some providers count it as a failed write, some
/// as something else, some not.
// rule: W14
fn failures_by_class<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::RMA)?;
    let (a, b) = (Classes::<K, T>::open(&rig, 4)?, Classes::<K, T>::open(&rig, 4)?);
    let region = exposed(&rig, 64)?;
    let remote = region.remote();
    a.ep.write(vec![2; 64], b.name, &remote).level(CompletionLevel::Delivery).wait(LIMIT)?;
    region.close()?;
    let write = a.ep.write(vec![2; 64], b.name, &remote).level(CompletionLevel::Delivery);
    let failed = match write.wait(Duration::from_millis(500)) {
        Err(ofi::WaitError::Failed(failed)) => failed,
        // It is said to have worked, or nothing is ever heard of it.
        _ => return Ok(()),
    };
    assert!(failed.buf.into_buffer().is_some());
    let (reads, errors): (Vec<_>, Vec<_>) =
        a.counters.iter().map(|counter| (counter.read(), counter.read_errors())).unzip();
    assert_eq!(reads, [0, 0, 0, 1], "no success");
    let counted = if quirk(&t.provider, Defect::FailuresMiscounted).is_some() {
        [1, 0, 0, 0]
    } else if quirk(&t.provider, Defect::FailuresUncounted).is_some() {
        [0; 4]
    } else {
        [0, 0, 0, 1]
    };
    assert_eq!(errors, counted, "failures on {}", t.provider);
    Ok(())
}

/// Where there are counters of bytes they count bytes; where there are none it is said.
fn bytes_or_not_at_all<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let sent = match rig.domain.byte_counter() {
        Ok(counter) => counter,
        Err(error) => {
            let old = ofi::version() < Version::new(1, 21);
            let ErrorKind::Unsupported { needs } = error.kind() else { panic!("{error}") };
            assert_eq!(matches!(needs, Needs::Version(_)), old, "{error}");
            return Ok(());
        }
    };
    let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
    let builder = builder.completion_queue(&rig.cq).counter(&sent, BindFlags::TRANSMIT);
    let ep: Endpoint<K, T> = builder.enable()?;
    let to = rig.av.insert(&ep.name()?)?;
    let receive = ep.recv(vec![0; 64]).post()?;
    ep.send(vec![1; 64], to).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    assert!(sent.wait(64, LIMIT)?);
    assert_eq!(sent.read(), 64);
    Ok(())
}

/// An endpoint of plain C calls that knows itself, with one counter.
struct Raw<T: Mode> {
    ep: *mut ofi_sys::fid_ep,
    counter: *mut ofi_sys::fid_cntr,
    /// Its own address.
    to: u64,
    cq: ofi::RawCompletionQueue<T>,
    rig: Rig<T>,
}

impl<T: Mode> Raw<T> {
    /// `None` if there is no such counter.
    fn open(
        rig: Rig<T>,
        events: ofi_sys::fi_cntr_events,
        class: u64,
    ) -> Result<Option<Self>, Stop> {
        let cq = rig.domain.raw_completion_queue().format(CqFormat::Context).open()?;
        let wait_obj = ofi_sys::FI_WAIT_NONE;
        let none: *mut std::ffi::c_void = std::ptr::null_mut();
        let mut attr = ofi_sys::fi_cntr_attr { events, wait_obj, wait_set: none.cast(), flags: 0 };
        let (mut counter, mut ep) = (std::ptr::null_mut(), std::ptr::null_mut());
        let mut to = 0;
        // SAFETY: plain C calls in their order: the objects that are named are open, and what is bound is
        // bound before the endpoint is enabled.
        unsafe {
            let domain = rig.domain.as_raw();
            if ofi_sys::fi_cntr_open(domain, &raw mut attr, &raw mut counter, none) != 0 {
                return Ok(None);
            }
            let info = rig.info.as_raw().cast_mut();
            assert_eq!(ofi_sys::fi_endpoint(domain, info, &raw mut ep, none), 0);
            let both = ofi_sys::FI_TRANSMIT | ofi_sys::FI_RECV;
            let (av, queue) = (rig.av.as_raw().cast(), cq.as_raw().cast());
            for (fid, flags) in [(av, 0), (queue, both), (counter.cast(), class)] {
                assert_eq!(ofi_sys::fi_ep_bind(ep, fid, flags), 0);
            }
            assert_eq!(ofi_sys::fi_enable(ep), 0);
            let (mut name, mut len) = ([0_u8; 512], 512);
            let name = name.as_mut_ptr().cast();
            assert_eq!(ofi_sys::fi_getname(ep.cast(), name, &raw mut len), 0);
            let av = rig.av.as_raw();
            assert_eq!(ofi_sys::fi_av_insert(av, name, 1, &raw mut to, 0, none), 1);
        }
        Ok(Some(Raw { ep, counter, to, cq, rig }))
    }

    /// Posts, and reads so many entries.
    fn until(&self, entries: isize, mut post: impl FnMut() -> isize) {
        let deadline = Instant::now() + LIMIT;
        let mut read = [ofi_sys::fi_cq_entry { op_context: std::ptr::null_mut() }; 4];
        let (mut posted, mut ended) = (false, 0);
        while ended < entries {
            posted = posted || post() == 0;
            // SAFETY: the queue is open, of this format; there is room for that many.
            let count =
                unsafe { ofi_sys::fi_cq_read(self.cq.as_raw(), read.as_mut_ptr().cast(), 4) };
            ended += count.max(0);
            assert!(Instant::now() < deadline, "it does not end");
        }
    }

    fn close(self) {
        // SAFETY: nothing is in flight; the counter is the endpoint's alone.
        unsafe {
            assert_eq!(ofi_sys::fi_close(self.ep.cast()), 0);
            assert_eq!(ofi_sys::fi_close(self.counter.cast()), 0);
        }
        drop(self.rig);
    }
}

/// Words for the rest of the process: a buffer, or a context.
fn words() -> *mut std::ffi::c_void {
    vec![0_u64; 8].leak().as_mut_ptr().cast()
}

/// Defects 43 to 47: a counter that is opened for bytes counts operations.
fn quirk_43_bytes_not_counted<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let known = quirk(&t.provider, Defect::BytesNotCounted).is_some();
    if ofi::version() < Version::new(1, 21) {
        assert!(!known);
        return Ok(());
    }
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let Some(raw) = Raw::open(rig, ofi_sys::FI_CNTR_EVENTS_BYTES, ofi_sys::FI_SEND)? else {
        assert!(!known, "no such counters");
        return Ok(());
    };
    let (from, into, sent, received) = (words(), words(), words(), words());
    let none = std::ptr::null_mut();
    // SAFETY: the endpoint is open, buffers and contexts are never freed.
    unsafe {
        let any = ofi_sys::FI_ADDR_UNSPEC;
        assert_eq!(ofi_sys::fi_recv(raw.ep, into, 64, none, any, received), 0);
        raw.until(2, || ofi_sys::fi_send(raw.ep, from, 64, none, raw.to, sent));
        let count = ofi_sys::fi_cntr_read(raw.counter);
        assert_eq!(count, if known { 1 } else { 64 });
    }
    raw.close();
    Ok(())
}

/// Defect 50: of what peers do only writes with data are counted.
fn quirk_50_peers_uncounted<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let known = quirk(&t.provider, Defect::PeersUncounted).is_some();
    let rig = Rig::<T>::open(t, Caps::MSG | Caps::RMA | Caps::RMA_EVENT)?;
    let region = exposed(&rig, 64)?;
    let class = ofi_sys::FI_REMOTE_WRITE;
    let raw = Raw::open(rig, ofi_sys::FI_CNTR_EVENTS_COMP, class)?.expect("there are counters");
    let (from, written) = (words(), words());
    let none = std::ptr::null_mut();
    // SAFETY: the endpoint is open, buffer and context are never freed; the region is open.
    unsafe {
        let key = ofi_sys::fi_mr_key(region.as_raw());
        for n in 1..=2_u64 {
            // With data there is an entry of the write, too.
            let entries = if n == 1 { 1 } else { 2 };
            raw.until(entries, || match n {
                1 => ofi_sys::fi_write(raw.ep, from, 64, none, raw.to, 0, key, written),
                _ => ofi_sys::fi_writedata(raw.ep, from, 64, none, 7, raw.to, 0, key, written),
            });
            let want = if known { n - 1 } else { n };
            let deadline = Instant::now() + LIMIT;
            while ofi_sys::fi_cntr_read(raw.counter) != want {
                assert!(Instant::now() < deadline, "not {want} after {n}");
            }
        }
        assert_eq!(ofi_sys::fi_cntr_read(raw.counter), if known { 1 } else { 2 });
    }
    drop(region);
    raw.close();
    Ok(())
}
