//! What most cases begin with: a fabric, a domain, a queue, a vector, and two endpoints that know
//! each other.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use ofi::{
    Accepts, Address, AddressVector, Buf, BufMut, Caps, CompletionQueue, Confined, Connectionless,
    Domain, Endpoint, Fabric, Info, Segments, Shared, Threading,
};

use super::{Stop, Target};

/// How long a case waits for what must happen. A deadline, no measure.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Both threadings, with the buffers that the cases use.
pub trait Mode:
    Threading
    + Accepts<Vec<u8>>
    + Accepts<Box<[u8]>>
    + Accepts<Box<[u8; 64]>>
    + Accepts<&'static [u8]>
    + Accepts<&'static str>
    + Accepts<std::sync::Arc<[u8]>>
    + Accepts<[Vec<u8>; 2]>
    + Accepts<Vec<Vec<u8>>>
    + Accepts<Tracked>
    + Accepts<()>
{
}

impl Mode for Shared {}
impl Mode for Confined {}

/// A buffer that tells when it is dropped, and where it is.
#[derive(Debug)]
pub struct Tracked {
    bytes: Box<[u8]>,
    dropped: Arc<AtomicBool>,
}

impl Tracked {
    /// The buffer, and the flag that its drop raises.
    pub fn new(bytes: Vec<u8>) -> (Tracked, Arc<AtomicBool>) {
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&dropped);
        (Tracked { bytes: bytes.into(), dropped }, flag)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::SeqCst);
    }
}

// SAFETY: the bytes are on the heap, initialised, and owned by this value alone.
unsafe impl Buf for Tracked {
    fn segments(&self, list: &mut Segments) {
        list.push(self.bytes.as_ptr().cast_mut(), self.bytes.len());
    }
}

// SAFETY: as for `Buf`; nobody else has the bytes.
unsafe impl BufMut for Tracked {
    fn segments_mut(&mut self, list: &mut Segments) {
        list.push(self.bytes.as_mut_ptr(), self.bytes.len());
    }
}

/// One of each object, and no endpoint yet.
pub struct Rig<T: Mode> {
    pub info: Info,
    pub cq: CompletionQueue<T>,
    pub av: AddressVector<T>,
    pub domain: Domain<T>,
    pub fabric: Fabric,
}

impl<T: Mode> Rig<T> {
    pub fn open(t: &Target, caps: Caps) -> Result<Rig<T>, Stop> {
        Rig::on(t.query(caps)?)
    }

    pub fn on(info: Info) -> Result<Rig<T>, Stop> {
        let fabric = Fabric::open(&info)?;
        let domain: Domain<T> = fabric.domain(&info)?;
        Ok(Rig {
            cq: domain.completion_queue().open()?,
            av: domain.address_vector().open()?,
            info,
            domain,
            fabric,
        })
    }

    /// An endpoint on the rig's queue and vector.
    pub fn endpoint<K: Connectionless>(&self) -> Result<Endpoint<K, T>, Stop> {
        let builder = self.domain.endpoint::<K>(&self.info);
        Ok(builder.address_vector(&self.av).completion_queue(&self.cq).enable()?)
    }
}

/// Two endpoints of one rig that know each other.
pub struct Pair<K: Connectionless, T: Mode> {
    pub a: Endpoint<K, T>,
    pub b: Endpoint<K, T>,
    pub to_a: Address,
    pub to_b: Address,
    pub rig: Rig<T>,
}

impl<K: Connectionless, T: Mode> Pair<K, T> {
    pub fn open(t: &Target, caps: Caps) -> Result<Pair<K, T>, Stop> {
        Pair::on(Rig::open(t, caps)?)
    }

    pub fn on(rig: Rig<T>) -> Result<Pair<K, T>, Stop> {
        let (a, b) = (rig.endpoint()?, rig.endpoint()?);
        let to_a = rig.av.insert(&a.name()?)?;
        let to_b = rig.av.insert(&b.name()?)?;
        Ok(Pair { a, b, to_a, to_b, rig })
    }

    /// One message each way has been through: connections are made.
    pub fn warm(&self) -> Result<(), Stop> {
        for (from, to, at) in [(&self.a, self.to_b, &self.b), (&self.b, self.to_a, &self.a)] {
            let receive = at.recv(vec![0; 8]).post()?;
            let (_, _) = from.send(vec![1; 8], to).wait(LIMIT)?;
            let (received, buffer) = receive.wait(LIMIT)?;
            assert_eq!((received.len(), buffer), (8, vec![1; 8]));
        }
        Ok(())
    }
}

/// Drives a queue until `done`; panics after [`LIMIT`].
#[track_caller]
pub fn progress_until<T: Threading>(
    cq: &CompletionQueue<T>,
    what: &str,
    mut done: impl FnMut() -> bool,
) {
    let deadline = Instant::now() + LIMIT;
    while !done() {
        cq.progress().expect("the queue is healthy");
        assert!(Instant::now() < deadline, "still waiting for {what}");
        std::thread::yield_now();
    }
}

/// `len` bytes that differ from their neighbours, and from another seed's.
pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    const PERIOD: usize = 1 << 16;
    let byte = |i: usize| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8) ^ seed;
    let mut bytes: Vec<u8> = (0..len.min(PERIOD)).map(byte).collect();
    // It repeats: copies are quick in builds without optimisation, and under valgrind.
    while bytes.len() < len {
        bytes.extend_from_within(..PERIOD.min(len - bytes.len()));
    }
    bytes
}

/// Polls a future once and drops it.
pub fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
