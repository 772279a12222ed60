//! Wakers and drops are the user's code: they may call back in, and may panic.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use ofi::{Caps, CompletionQueue, Connectionless, Shared};

use crate::harness::{LIMIT, List, Mode, Pair, Target, Verdict, cases, pattern, progress_until};

pub fn register(list: &mut List) {
    cases!(list, connectionless: panicking_waker panicking_waker_in_a_close panicking_drop);
    cases!(list, rdm_shared: waker_that_makes_progress waker_that_posts);
}

struct Panics(AtomicUsize);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a waker that panics");
    }
}

/// A waker that panics loses no other completion, and leaves the queue usable.
fn panicking_waker<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    std::panic::set_hook(Box::new(|_| ()));
    let count = Arc::new(Panics(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut receives: Vec<_> =
        (0..4).map(|_| p.b.recv(vec![0; 16]).post()).collect::<Result<_, _>>()?;
    for receive in &mut receives {
        assert!(Pin::new(receive).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let mut sends = Vec::new();
    for n in 0..4 {
        sends.push(p.a.send(vec![n; 16], p.to_b).post()?);
    }
    let mut panics = 0;
    while !receives.iter().all(ofi::Op::is_done) || !sends.iter().all(ofi::Op::is_done) {
        panics += usize::from(catch_unwind(AssertUnwindSafe(|| p.rig.cq.progress())).is_err());
    }
    drop(std::panic::take_hook());
    assert_eq!(count.0.load(Ordering::SeqCst), 4, "each was called");
    assert!((1..=4).contains(&panics), "and the panics went on to who drove the queue: {panics}");
    for (n, receive) in (0..).zip(receives) {
        assert_eq!(receive.wait(LIMIT)?.1, vec![n; 16]);
    }
    for send in sends {
        send.wait(LIMIT)?;
    }
    p.warm()
}

/// The same while an endpoint closes, which calls wakers while it waits: it is closed once all the same,
/// and what is left of it knows.
fn panicking_waker_in_a_close<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let Pair { a, b, rig, .. } = Pair::<K, T>::open(t, Caps::MSG)?;
    std::panic::set_hook(Box::new(|_| ()));
    let waker = Waker::from(Arc::new(Panics(AtomicUsize::new(0))));
    let mut receives: Vec<_> =
        (0..40).map(|_| b.recv(vec![0; 16]).post()).collect::<Result<_, _>>()?;
    assert!(Pin::new(&mut receives[0]).poll(&mut Context::from_waker(&waker)).is_pending());
    // On some a receive ends with the close alone, which calls nobody on the way.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(b)));
    drop(std::panic::take_hook());
    for receive in receives {
        let _ = receive.cancel();
        assert!(receive.wait(LIMIT).is_err(), "nothing was sent");
    }
    drop((a, rig));
    Ok(())
}

/// A buffer whose drop panics, dropped by whoever reads the queue.
struct PanicsInDrop(Box<[u8]>);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("a buffer that panics");
    }
}

// SAFETY: the bytes are on the heap, initialised, and owned by this value alone.
unsafe impl ofi::Buf for PanicsInDrop {
    fn segments(&self, list: &mut ofi::Segments) {
        list.push(self.0.as_ptr().cast_mut(), self.0.len());
    }
}

fn panicking_drop<K: Connectionless, T: Mode + ofi::Accepts<PanicsInDrop>>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let receive = p.b.recv(vec![0; 16]).post()?;
    drop(p.a.send(PanicsInDrop(pattern(16, 1).into()), p.to_b).post()?);
    std::panic::set_hook(Box::new(|_| ()));
    let mut panics = 0;
    while !receive.is_done() || p.a.in_flight() > 0 || panics == 0 {
        panics += usize::from(catch_unwind(AssertUnwindSafe(|| p.rig.cq.progress())).is_err());
    }
    drop(std::panic::take_hook());
    assert_eq!(panics, 1);
    assert_eq!(receive.wait(LIMIT)?.1, pattern(16, 1));
    p.warm()
}

/// Drives the queue it is called from.
struct Drives(CompletionQueue<Shared>, AtomicUsize);

impl Wake for Drives {
    fn wake(self: Arc<Self>) {
        self.0.progress().expect("the queue is healthy");
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// Wakers run outside all locks: one that drives the same queue does not deadlock.
fn waker_that_makes_progress<K: Connectionless>(t: &Target) -> Verdict {
    let p = Pair::<K, Shared>::open(t, Caps::MSG)?;
    p.warm()?;
    let drives = Arc::new(Drives(p.rig.cq.clone(), AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&drives));
    for n in 0..20 {
        let mut receive = p.b.recv(vec![0; 16]).post()?;
        assert!(Pin::new(&mut receive).poll(&mut Context::from_waker(&waker)).is_pending());
        p.a.send(vec![n; 16], p.to_b).wait(LIMIT)?;
        progress_until(&p.rig.cq, "the receive", || receive.is_done());
        assert_eq!(receive.wait(LIMIT)?.1, vec![n; 16]);
    }
    assert!(drives.1.load(Ordering::SeqCst) >= 20);
    Ok(())
}

/// Posts the next receive and drops an operation, from inside the wake-up.
struct Posts {
    endpoint: ofi::Endpoint<ofi::Rdm, Shared>,
    posted: std::sync::Mutex<Vec<ofi::Op<ofi::RecvVerb, Vec<u8>, Shared>>>,
}

impl Wake for Posts {
    fn wake(self: Arc<Self>) {
        let receive = self.endpoint.recv(vec![0; 16]).post().expect("room for a receive");
        self.posted.lock().expect("not poisoned").push(receive);
    }
}

fn waker_that_posts<K: Connectionless>(t: &Target) -> Verdict {
    let p = Pair::<ofi::Rdm, Shared>::open(t, Caps::MSG)?;
    p.warm()?;
    let posts = Arc::new(Posts { endpoint: p.b.clone(), posted: Vec::new().into() });
    let waker = Waker::from(Arc::clone(&posts));
    let mut receive = p.b.recv(vec![0; 16]).post()?;
    for n in 0..20 {
        match Pin::new(&mut receive).poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {}
            Poll::Ready(_) => panic!("nothing was sent yet"),
        }
        p.a.send(vec![n; 16], p.to_b).wait(LIMIT)?;
        progress_until(&p.rig.cq, "the receive", || receive.is_done());
        assert_eq!(receive.wait(LIMIT)?.1, vec![n; 16]);
        // Its waker is called after it is done: by whoever dispatched it, who was this thread.
        receive = posts.posted.lock().expect("not poisoned").pop().expect("posted by the waker");
    }
    Ok(())
}
