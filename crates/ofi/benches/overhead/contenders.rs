//! The round trip through each face of `ofi`.

use std::time::Duration;

use ofi::{
    Accepts, Address, Caps, CompletionQueue, Confined, Domain, Endpoint, EndpointType, Fabric,
    Hints, Info, Rdm, Shared, Threading,
};

use crate::{BYTES, raw};

/// Entries of the completion queue, the same for all.
const QUEUE: usize = 1024;

/// Something that makes round trips.
pub(crate) trait Contender {
    fn run(&mut self, trips: usize);
}

/// Two endpoints of this provider, used through `api`.
pub(crate) fn open(api: &str, provider: &str) -> Box<dyn Contender> {
    let info = info(provider);
    match api {
        "raw-domain" => Box::new(raw::Raw::open(&info, raw::DOMAIN, QUEUE)),
        "raw-safe" => Box::new(raw::Raw::open(&info, raw::SAFE, QUEUE)),
        "confined" => Box::new(Polled(Pair::<Confined>::open(&info))),
        "shared" => Box::new(Polled(Pair::<Shared>::open(&info))),
        "future" => Box::new(Awaited(Pair::<Confined>::open(&info))),
        other => panic!("no contender {other}"),
    }
}

fn info(provider: &str) -> Info {
    let hints = Hints::new()
        .endpoint_type(EndpointType::Rdm)
        .caps(Caps::MSG | Caps::TAGGED)
        .provider(provider);
    let local = provider == "shm" || provider == "sm2";
    let hints = if local { hints } else { hints.node("127.0.0.1").service("0").source() };
    hints.query().expect("the provider is here").into_best()
}

struct Pair<T: Threading> {
    a: Endpoint<Rdm, T>,
    b: Endpoint<Rdm, T>,
    to_a: Address,
    to_b: Address,
    queue: CompletionQueue<T>,
    /// Buffers of the receives and sends of either side.
    buffers: [Option<Vec<u8>>; 4],
}

impl<T: Threading + Accepts<Vec<u8>>> Pair<T> {
    fn open(info: &Info) -> Pair<T> {
        let fabric = Fabric::open(info).expect("fabric");
        let domain: Domain<T> = fabric.domain(info).expect("domain");
        let av = domain.address_vector().open().expect("address vector");
        let queue = domain.completion_queue().size(QUEUE).wait_fd(false).open().expect("queue");
        let endpoint = || {
            let builder = domain.endpoint::<Rdm>(info).address_vector(&av);
            builder.completion_queue(&queue).enable().expect("endpoint")
        };
        let (a, b) = (endpoint(), endpoint());
        let to_a = av.insert(&a.name().expect("name")).expect("address");
        let to_b = av.insert(&b.name().expect("name")).expect("address");
        // The first sends of a pair wait for each other to be found.
        for (from, at, to) in [(&a, &b, to_b), (&b, &a, to_a)] {
            let landed = at.recv(vec![0; BYTES]).post().expect("recv");
            from.send(vec![0; BYTES], to).wait(Duration::from_secs(10)).expect("sent");
            landed.wait(Duration::from_secs(10)).expect("received");
        }
        Pair { a, b, to_a, to_b, queue, buffers: std::array::from_fn(|_| Some(vec![7; BYTES])) }
    }
}

/// `post`, and progress until it is done.
struct Polled<T: Threading>(Pair<T>);

impl<T: Threading + Accepts<Vec<u8>>> Contender for Polled<T> {
    fn run(&mut self, trips: usize) {
        let Pair { a, b, to_a, to_b, queue, buffers } = &mut self.0;
        let [recv_a, recv_b, send_a, send_b] = buffers.each_mut().map(|b| b.take().expect("home"));
        let mut held = (recv_a, recv_b, send_a, send_b);
        for _ in 0..trips {
            let (recv_a, recv_b, send_a, send_b) = held;
            let on_a = a.recv(recv_a).post().expect("recv");
            let on_b = b.recv(recv_b).post().expect("recv");
            let out = a.send(send_a, *to_b).post().expect("send");
            while !on_b.is_done() || !out.is_done() {
                queue.progress().expect("progress");
            }
            let (_, send_a) = out.wait(Duration::ZERO).expect("sent");
            let (_, recv_b) = on_b.wait(Duration::ZERO).expect("received");
            let back = b.send(send_b, *to_a).post().expect("send");
            while !on_a.is_done() || !back.is_done() {
                queue.progress().expect("progress");
            }
            let (_, send_b) = back.wait(Duration::ZERO).expect("sent");
            let (_, recv_a) = on_a.wait(Duration::ZERO).expect("received");
            held = (recv_a, recv_b, send_a, send_b);
        }
        let (recv_a, recv_b, send_a, send_b) = held;
        *buffers = [recv_a, recv_b, send_a, send_b].map(Some);
    }
}

/// `.await`.
struct Awaited(Pair<Confined>);

impl Contender for Awaited {
    fn run(&mut self, trips: usize) {
        let Pair { a, b, to_a, to_b, buffers, .. } = &mut self.0;
        let [recv_a, recv_b, send_a, send_b] = buffers.each_mut().map(|b| b.take().expect("home"));
        let mut held = (recv_a, recv_b, send_a, send_b);
        ofi::block_on(async {
            for _ in 0..trips {
                let (recv_a, recv_b, send_a, send_b) = std::mem::take(&mut held);
                let on_a = a.recv(recv_a).post().expect("recv");
                let on_b = b.recv(recv_b).post().expect("recv");
                let (_, send_a) = a.send(send_a, *to_b).await.expect("sent");
                let (_, recv_b) = on_b.await.expect("received");
                let (_, send_b) = b.send(send_b, *to_a).await.expect("sent");
                let (_, recv_a) = on_a.await.expect("received");
                held = (recv_a, recv_b, send_a, send_b);
            }
        });
        let (recv_a, recv_b, send_a, send_b) = held;
        *buffers = [recv_a, recv_b, send_a, send_b].map(Some);
    }
}
