//! Connections: requests, private data, refusals, shutdown, and what ends midway.

use std::{
    future::poll_fn,
    net::{SocketAddr, TcpListener},
    pin::pin,
    task::Poll,
    time::{Duration, Instant},
};

use ofi::{
    Caps, CompletionQueue, ConnectError, Connecting, Domain, Endpoint, ErrorKind, EventQueue,
    Fabric, FabricAddress, Info, Msg, PassiveEndpoint, Scope, Shared, block_on,
};

use crate::harness::{
    Kinds, LIMIT, List, Mode, Parent, Peer, Stop, Target, Verdict, cases, pattern,
};

mod batches;
mod control;
mod defects;
mod names;

use batches::{batches_on_a_connection, peer_closes_in_a_batch_in_flight};
use control::the_socket_of_a_connection;
use defects::{descriptor_closed_twice, listener_dangles};
use names::{listening_at_a_chosen_port, names_of_another_family};

pub fn register(list: &mut List) {
    cases!(list, msg:
        exchange largest_private_data private_data_too_long
        rejected_with_a_reason rejected_by_drop listener_closes listener_dangles nobody_listens
        shut_down peer_closes expires_and_goes_on dropped_midway requests_in_order
        no_stale_events waits hundred_connections futures misuse close_in_use two_processes peer_killed
    );
    cases!(list, msg: descriptor_closed_twice the_socket_of_a_connection);
    cases!(list, msg: batches_on_a_connection peer_closes_in_a_batch_in_flight);
    cases!(list, msg: listening_at_a_chosen_port names_of_another_family);
    let shared: [(&str, fn(&Target) -> Verdict); 2] =
        [("woken_by_another_thread", woken_by_another_thread), ("signalled", signalled)];
    for (name, body) in shared {
        list.push(module_path!(), name, Kinds::MSG, "shared", body);
    }
    // What is freed is what is allocated next: addresses come back.
    list.env("cm::no_stale_events", &[("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0")]);
    list.limit("cm::hundred_connections", 120);
}

/// One of each object that connections need.
struct Rig<T: Mode> {
    eq: EventQueue<T>,
    cq: CompletionQueue<T>,
    domain: Domain<T>,
    fabric: Fabric,
    info: Info,
}

type Connected<T> = (Endpoint<Msg, T>, Vec<u8>);

impl<T: Mode> Rig<T> {
    fn open(t: &Target) -> Result<Rig<T>, Stop> {
        let info = t.query(Caps::MSG)?;
        let fabric = Fabric::open(&info)?;
        let domain: Domain<T> = fabric.domain(&info)?;
        Ok(Rig {
            eq: fabric.event_queue().open()?,
            cq: domain.completion_queue().open()?,
            domain,
            fabric,
            info,
        })
    }

    fn listen(&self) -> Result<PassiveEndpoint<T>, Stop> {
        Ok(self.fabric.passive_endpoint(&self.info).event_queue(&self.eq).listen()?)
    }

    fn builder(&self) -> ofi::EndpointBuilder<Msg, T> {
        let builder = self.domain.endpoint::<Msg>(&self.info);
        builder.completion_queue(&self.cq).event_queue(&self.eq)
    }

    fn connect(&self, to: &FabricAddress, data: &[u8]) -> Result<Connecting<T>, Stop> {
        Ok(self.builder().connect(to, data)?)
    }

    /// A connection through `listener`, both ends.
    fn pair(&self, listener: &PassiveEndpoint<T>) -> Result<[Endpoint<Msg, T>; 2], Stop> {
        let connecting = self.connect(&listener.name()?, b"")?;
        let request = next(listener)?;
        let accepting = request.accept(self.builder(), b"")?;
        let (b, _) = accepting.wait(LIMIT)?;
        let (a, _) = connecting.wait(LIMIT)?;
        Ok([a, b])
    }
}

fn next<T: Mode>(listener: &PassiveEndpoint<T>) -> Result<ofi::ConnRequest<T>, Stop> {
    let request = listener.next_request(LIMIT)?;
    request.ok_or_else(|| Stop::Failed("no connection request came".into()))
}

/// A message each way.
fn talk<T: Mode>(a: &Endpoint<Msg, T>, b: &Endpoint<Msg, T>, len: usize) -> Verdict {
    for (from, at) in [(a, b), (b, a)] {
        let receive = at.recv(vec![0; len]).post()?;
        let sending = from.send(pattern(len, 3)).post()?;
        let (received, buffer) = receive.wait(LIMIT)?;
        sending.wait(LIMIT)?;
        assert_eq!(received.len(), len);
        assert!(buffer == pattern(len, 3));
    }
    Ok(())
}

/// How an attempt was refused.
fn refusal<T: Mode>(result: Result<Connected<T>, ConnectError<T>>) -> ofi::Refused {
    match result {
        Ok(_) => panic!("it connected"),
        Err(ConnectError::Expired(_)) => panic!("it neither connected nor was refused"),
        Err(ConnectError::Refused(refused)) => refused,
    }
}

/// Private data both ways, addresses, messages; a receive posted before there is a connection.
///
/// Faults 14 (the info that the listener was opened with is gone), 16, 26; hole 8 (a request's info
/// has one owner).
// rule: C1, C3, A7, D5, F14, F16, F26, H8
fn exchange<T: Mode>(t: &Target) -> Verdict {
    let mut rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let address = listener.name()?;
    assert_ne!(address.socket_addr().map_or(1, |a| a.port()), 0);
    // The same question asked anew: the first answer is freed.
    rig.info = t.query(Caps::MSG)?;

    let connecting = rig.connect(&address, b"who I am")?;
    let early = connecting.recv(vec![0; 32]).post()?;
    let request = next(&listener)?;
    assert!(request.private_data().starts_with(b"who I am"), "{request:?}");
    let info = request.info().clone();
    let accepting = request.accept(rig.builder(), b"welcome")?;
    let (b, none) = accepting.wait(LIMIT)?;
    assert!(none.is_empty(), "nobody sent the accepting side any data");
    let (a, data) = connecting.wait(LIMIT)?;
    assert!(data.starts_with(b"welcome"), "{data:?}");

    b.send(b"first".to_vec()).wait(LIMIT)?;
    let (received, buffer) = early.wait(LIMIT)?;
    assert_eq!(&buffer[..received.len()], b"first");
    for len in [1, 1000, 1 << 20] {
        talk(&a, &b, len)?;
    }
    assert_eq!(info.dest_socket_addr().map(|a| a.ip()), Some([127, 0, 0, 1].into()));
    assert_eq!(a.peer_name()?.socket_addr(), address.socket_addr());
    assert_eq!(b.peer_name()?.socket_addr().map(|a| a.ip()), Some([127, 0, 0, 1].into()));
    assert!(!a.is_shut_down() && !b.is_shut_down());
    assert!(rig.eq.unsolicited().is_none());
    Ok(())
}

/// As much private data as the provider carries, both ways.
///
/// Fault 13: there is room for it in the event.
// rule: C2, C5, F13
fn largest_private_data<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let size = listener.max_private_data();
    assert!(size > 0);
    for len in [0, 1, size] {
        let (asked, answered) = (pattern(len, 1), pattern(len, 2));
        let connecting = rig.connect(&listener.name()?, &asked)?;
        let request = next(&listener)?;
        assert!(request.private_data().starts_with(&asked));
        let accepting = request.accept(rig.builder(), &answered)?;
        accepting.wait(LIMIT)?;
        let (_, data) = connecting.wait(LIMIT)?;
        assert!(data.starts_with(&answered));
    }
    Ok(())
}

/// More private data than the provider carries is refused, not cut off.
// rule: C2
fn private_data_too_long<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let size = listener.max_private_data();
    let long = vec![7; size + 1];
    let too_large =
        |error: &ofi::Error| assert_eq!(*error.kind(), ErrorKind::TooLarge { limit: size });
    too_large(&rig.builder().connect(&listener.name()?, &long).unwrap_err());
    // The peer of a request that was answered with too much is refused.
    for accept in [true, false] {
        let connecting = rig.connect(&listener.name()?, b"")?;
        let request = next(&listener)?;
        too_large(&if accept {
            request.accept(rig.builder(), &long).unwrap_err()
        } else {
            request.reject(&long).unwrap_err()
        });
        let refused = refusal(connecting.wait(LIMIT));
        assert_eq!(*refused.error.kind(), ErrorKind::Peer, "{refused}");
    }
    Ok(())
}

/// The reason of a refusal arrives (fault 23).
// rule: C4, B18, F23
fn rejected_with_a_reason<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let reason = pattern(listener.max_private_data().min(200), 9);
    for _ in 0..3 {
        let connecting = rig.connect(&listener.name()?, b"please")?;
        let receive = connecting.recv(vec![5; 64]).post()?;
        next(&listener)?.reject(&reason)?;
        let refused = refusal(connecting.wait(LIMIT));
        assert_eq!(*refused.error.kind(), ErrorKind::Peer, "{refused}");
        assert_eq!(refused.error.scope(), Scope::Peer);
        assert!(refused.data.starts_with(&reason), "{:?}", refused.data);
        // What was posted ended with the endpoint, and the buffer is ours again.
        let failed = match receive.wait(LIMIT) {
            Err(ofi::WaitError::Failed(failed)) => failed,
            other => panic!("{other:?}"),
        };
        assert_eq!(failed.buf.into_buffer(), Some(vec![5; 64]));
    }
    let [a, b] = rig.pair(&listener)?;
    talk(&a, &b, 100)
}

/// A request that is dropped is refused, not left hanging.
fn rejected_by_drop<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let connecting = rig.connect(&listener.name()?, b"")?;
    drop(next(&listener)?);
    let refused = refusal(connecting.wait(LIMIT));
    assert_eq!(*refused.error.kind(), ErrorKind::Peer, "{refused}");
    Ok(())
}

/// Closing a listener refuses what it never looked at; an open request keeps it open.
fn listener_closes<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let first = rig.connect(&listener.name()?, b"")?;
    let request = next(&listener)?;
    let listener = match listener.close() {
        Err(ofi::CloseError::InUse(listener)) => listener,
        other => panic!("closed under a request: {other:?}"),
    };
    drop(listener);
    // The request alone keeps the listener: it can still be accepted.
    request.accept(rig.builder(), b"")?.wait(LIMIT)?;
    first.wait(LIMIT)?;
    Ok(())
}

/// A port where nobody listens: an error that says so, at once or from the queue.
fn nobody_listens<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    // Bound and never listened at, so that nobody else gets it.
    let free = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
    let error = match rig.builder().connect(&free.into(), b"") {
        Err(error) => error,
        Ok(connecting) => refusal(connecting.wait(LIMIT)).error,
    };
    assert_eq!(*error.kind(), ErrorKind::Peer, "{error}");
    assert_eq!(error.errno(), Some(ofi::Errno::ECONNREFUSED), "{error}");
    Ok(())
}

/// One side shuts the connection down, the other learns of it (fault 25); operations under way keep
/// their buffers until they end.
// rule: C6, B27, F25
fn shut_down<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let [a, b] = rig.pair(&listener)?;
    talk(&a, &b, 64)?;
    let waiting = b.recv(vec![1; 64]).post()?;
    let own = a.recv(vec![2; 64]).post()?;
    match a.shutdown() {
        Err(error) if t.provider == "sockets" => {
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
            a.close(LIMIT).map_err(|error| Stop::Failed(error.to_string()))?;
        }
        result => {
            result?;
            assert!(a.is_shut_down());
            a.shutdown()?;
            assert!(a.wait_closed(LIMIT));
            let late = a.send(vec![0; 64]).wait(LIMIT);
            assert!(late.is_err(), "sent after the end of the connection");
            drop(a);
        }
    }
    assert!(b.wait_closed(LIMIT), "the end of the connection was not seen");
    assert!(b.is_shut_down());
    block_on(b.closed());
    b.shutdown()?;
    b.close(Duration::from_secs(1)).map_err(|error| Stop::Failed(error.to_string()))?;
    for (op, byte) in [(waiting, 1), (own, 2)] {
        let failed = match op.wait(LIMIT) {
            Err(ofi::WaitError::Failed(failed)) => failed,
            other => panic!("{other:?}"),
        };
        assert_eq!(failed.buf.into_buffer(), Some(vec![byte; 64]));
    }
    Ok(())
}

/// Closing an endpoint is a shutdown for its peer.
fn peer_closes<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    for end in 0..2 {
        let [a, b] = rig.pair(&listener)?;
        let (goes, stays) = if end == 0 { (a, b) } else { (b, a) };
        drop(goes);
        block_on(stays.closed());
        assert!(stays.is_shut_down());
    }
    Ok(())
}

/// A timeout gives the attempt back, and it still succeeds.
fn expires_and_goes_on<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    assert!(listener.next_request(Duration::from_millis(1))?.is_none());
    let mut connecting = rig.connect(&listener.name()?, b"")?;
    for _ in 0..3 {
        connecting = match connecting.wait(Duration::from_millis(5)) {
            Err(ConnectError::Expired(again)) => again,
            other => panic!("nobody accepted: {:?}", other.map(drop)),
        };
    }
    let accepting = next(&listener)?.accept(rig.builder(), b"")?;
    let (b, _) = accepting.wait(LIMIT)?;
    let (a, _) = connecting.wait(LIMIT)?;
    talk(&a, &b, 10)
}

/// An attempt that is dropped midway ends the other side's, and the listener goes on.
// quirk: 9
fn dropped_midway<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let address = listener.name()?;
    let mut unseen = 0;
    // The known defect is a race: it is given some chances to show.
    for round in 0..400 {
        if unseen > 0 || round >= 5 && !shutdown_lost(t) {
            break;
        }
        // Before anybody looked.
        drop(rig.connect(&address, b"1")?);
        // After the request came.
        let connecting = rig.connect(&address, b"2")?;
        let request = loop {
            let request = next(&listener)?;
            if request.private_data().starts_with(b"2") {
                break request;
            }
        };
        drop(connecting);
        // The provider may notice now, in the attempt, or once connected.
        if let Ok(accepting) = request.accept(rig.builder(), b"") {
            match accepting.wait(LIMIT) {
                Ok((b, _)) => {
                    let limit = if shutdown_lost(t) { Duration::from_millis(200) } else { LIMIT };
                    unseen += usize::from(!b.wait_closed(limit));
                }
                Err(ConnectError::Refused(_)) => {}
                Err(ConnectError::Expired(_)) => panic!("still waiting for a peer that is gone"),
            }
        }
    }
    assert_eq!(unseen > 0, shutdown_lost(t), "{unseen} ends were not seen");
    let [a, b] = rig.pair_skipping(&listener)?;
    // Not after so many connections on `sockets`: see `hundred_connections`.
    if shutdown_lost(t) { Ok(()) } else { talk(&a, &b, 1000) }
}

fn shutdown_lost(t: &Target) -> bool {
    ofi::quirk(&t.provider, ofi::Defect::ShutdownLost).is_some()
}

/// Several requests wait, none is lost, each is answered by itself.
fn requests_in_order<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let address = listener.name()?;
    let mut connecting = Vec::new();
    for i in 0..8_u8 {
        connecting.push(Some(rig.connect(&address, &[i])?));
    }
    let mut open = Vec::new();
    for _ in 0..8 {
        let request = next(&listener)?;
        let i = request.private_data()[0];
        let ours = connecting[usize::from(i)].take().expect("each once");
        if i % 2 == 0 {
            let accepting = request.accept(rig.builder(), &[i])?;
            open.push(accepting.wait(LIMIT)?.0);
            let (a, data) = ours.wait(LIMIT)?;
            assert_eq!(data[0], i);
            open.push(a);
        } else {
            request.reject(&[i])?;
            assert_eq!(refusal(ours.wait(LIMIT)).data[0], i);
        }
    }
    open.chunks(2).try_for_each(|pair| talk(&pair[0], &pair[1], 33))
}

/// What is in the queue for an endpoint that closed never reaches the next at its address.
// rule: L9
fn no_stale_events<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let address = listener.name()?;
    let mut closed = std::collections::HashSet::new();
    let mut again = 0;
    for round in 0..300 {
        if round >= 20 && again > 0 {
            break;
        }
        let connecting = rig.connect(&address, b"")?;
        let accepting = next(&listener)?.accept(rig.builder(), b"")?;
        let (b, _) = accepting.wait(LIMIT)?;
        // Its FI_CONNECTED, perhaps an FI_SHUTDOWN, may still be in the queue.
        closed.insert(b.as_raw() as usize);
        drop(b);
        drop(connecting);
        let fresh = rig.connect(&address, b"")?;
        let request = next(&listener)?;
        let fresh = match fresh.wait(Duration::from_millis(2)) {
            Err(ConnectError::Expired(fresh)) => fresh,
            other => panic!("round {round}: nobody answered: {:?}", other.map(drop)),
        };
        let accepting = request.accept(rig.builder(), b"")?;
        let (b, _) = accepting.wait(LIMIT)?;
        let (a, _) = fresh.wait(LIMIT)?;
        assert!(!a.is_shut_down() && !b.is_shut_down());
        for end in [&a, &b] {
            again += usize::from(closed.contains(&(end.as_raw() as usize)));
        }
        // See `hundred_connections` for the limit.
        if round < 8 || t.provider != "sockets" {
            talk(&a, &b, 16)?;
        }
    }
    assert!(again > 0, "no address came back: the case shows nothing");
    assert!(rig.eq.unsolicited().is_none());
    Ok(())
}

/// Waiting for the queue itself: a deadline, the descriptor, an event, a signal.
// rule: W1, W2, W3
fn waits<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let begun = Instant::now();
    assert!(!rig.eq.wait(Duration::from_millis(30))?);
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert_eq!(rig.eq.progress()?, 0);

    // A client with a queue of its own, in a process of its own.
    if Parent::role().is_some() {
        let parent = Parent::new();
        let address = parent.hear_address()?;
        let refused = refusal(rig.connect(&address, b"")?.wait(LIMIT));
        assert_eq!(*refused.error.kind(), ErrorKind::Peer);
        return Ok(());
    }
    let mut peer = Peer::start("client")?;
    peer.say_address(&listener.name()?)?;
    let fd = rig.eq.fd().expect("both providers have one");
    let deadline = Instant::now() + LIMIT;
    let request = loop {
        // Read, ask, sleep: what a runtime does.
        rig.eq.progress()?;
        if let Some(request) = listener.next_request(Duration::ZERO)? {
            break request;
        }
        if rig.eq.try_wait() {
            let mut polled = libc::pollfd {
                fd: std::os::fd::AsRawFd::as_raw_fd(&fd),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one entry, ours.
            unsafe { libc::poll(&raw mut polled, 1, 1000) };
        }
        assert!(Instant::now() < deadline, "no request came");
    };
    request.reject(b"")?;
    peer.finish()?;

    // Without a descriptor it waits all the same.
    let bare: EventQueue<T> = rig.fabric.event_queue().wait_fd(false).size(16).open()?;
    assert!(bare.fd().is_none() && !bare.try_wait());
    assert!(!bare.wait(Duration::from_millis(5))?);
    let builder = rig.fabric.passive_endpoint(&rig.info).event_queue(&bare);
    let listener = builder.listen()?;
    let connecting = rig.builder().event_queue(&bare).connect(&listener.name()?, b"")?;
    next(&listener)?.reject(b"")?;
    refusal(connecting.wait(LIMIT));
    Ok(())
}

/// A hundred connections leave no descriptor and no thread behind (fault 20).
///
/// Only the first sixteen carry messages on `sockets`: from about the sixtieth connection of a
/// domain on it loses the first message of one now and then, in C too.
// rule: F20
fn hundred_connections<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let count = || -> Result<[usize; 2], Stop> {
        let of = |dir| -> Result<usize, Stop> { Ok(std::fs::read_dir(dir)?.count()) };
        Ok([of("/proc/self/fd")?, of("/proc/self/task")?])
    };
    let mut before = None;
    for round in 0..100 {
        let [a, b] = rig.pair(&listener)?;
        if round < 16 || t.provider != "sockets" {
            talk(&a, &b, 100)?;
        }
        drop((a, b));
        // What the first one set up for good does not count.
        if before.is_none() {
            before = Some(count()?);
        }
    }
    assert_eq!(Some(count()?), before, "descriptors, threads");
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// Both sides as futures on one thread.
fn futures<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let mut connecting = pin!(rig.connect(&listener.name()?, b"async")?);
    let server = async {
        let request = listener.request().await?;
        let (endpoint, _) = request.accept(rig.builder(), b"yes")?.await?;
        let (received, buffer) = endpoint.recv(vec![0; 16]).await?;
        assert_eq!(&buffer[..received.len()], b"ping");
        endpoint.send(b"pong".to_vec()).await?;
        endpoint.closed().await;
        Ok::<_, Stop>(())
    };
    let client = async {
        let (endpoint, data) = connecting.as_mut().await?;
        assert!(data.starts_with(b"yes"));
        endpoint.send(b"ping".to_vec()).await?;
        let (received, buffer) = endpoint.recv(vec![0; 16]).await?;
        assert_eq!(&buffer[..received.len()], b"pong");
        Ok::<_, Stop>(())
    };
    let (mut server, mut client) = (pin!(server), pin!(client));
    let (mut one, mut other) = (None, None);
    block_on(poll_fn(|context| {
        if one.is_none() {
            if let Poll::Ready(done) = server.as_mut().poll(context) {
                one = Some(done);
            }
        }
        if other.is_none() {
            if let Poll::Ready(done) = client.as_mut().poll(context) {
                other = Some(done);
            }
        }
        if one.is_some() && other.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }));
    one.unwrap()?;
    other.unwrap()
}

/// What would crash in C is an error: no queue, another fabric's queue, no source, another form of
/// address.
///
/// Faults 16, 26.
// rule: L5, F16, F26
fn misuse<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let other = Rig::<T>::open(t)?;
    let invalid = |error: ofi::Error| assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    let listener = rig.listen()?;
    let address = listener.name()?;
    invalid(rig.fabric.passive_endpoint::<T>(&rig.info).listen().unwrap_err());
    let foreign = rig.fabric.passive_endpoint(&rig.info).event_queue(&other.eq);
    invalid(foreign.listen().unwrap_err());
    let bare = rig.domain.endpoint::<Msg>(&rig.info).completion_queue(&rig.cq);
    invalid(bare.connect(&address, b"").unwrap_err());
    let no_cq = rig.domain.endpoint::<Msg>(&rig.info).event_queue(&rig.eq);
    invalid(no_cq.connect(&address, b"").unwrap_err());
    invalid(rig.builder().event_queue(&other.eq).connect(&address, b"").unwrap_err());
    let v6 = FabricAddress::from("[::1]:1".parse::<SocketAddr>()?);
    invalid(rig.builder().connect(&v6, b"").unwrap_err());
    // A request goes to no other fabric's endpoint; its peer is refused then.
    let connecting = rig.connect(&address, b"")?;
    invalid(next(&listener)?.accept(other.builder(), b"").unwrap_err());
    assert_eq!(*refusal(connecting.wait(LIMIT)).error.kind(), ErrorKind::Peer);
    // The copies of a request's info do not carry its handle.
    let connecting = rig.connect(&address, b"")?;
    let request = next(&listener)?;
    let copy = request.info().clone();
    request.reject(b"")?;
    refusal(connecting.wait(LIMIT));
    let builder = rig.domain.endpoint::<Msg>(&copy).completion_queue(&rig.cq);
    drop(builder.event_queue(&rig.eq).connect(&address, b""));
    let [a, b] = rig.pair_skipping(&listener)?;
    talk(&a, &b, 10)
}

impl<T: Mode> Rig<T> {
    /// As `pair`, with requests in between of attempts that were dropped.
    fn pair_skipping(&self, listener: &PassiveEndpoint<T>) -> Result<[Endpoint<Msg, T>; 2], Stop> {
        let connecting = self.connect(&listener.name()?, b"this one")?;
        loop {
            let request = next(listener)?;
            if request.private_data().starts_with(b"this one") {
                let (b, _) = request.accept(self.builder(), b"")?.wait(LIMIT)?;
                let (a, _) = connecting.wait(LIMIT)?;
                return Ok([a, b]);
            }
        }
    }
}

/// Closing says who is still there; in the right order everything closes.
// rule: L1
fn close_in_use<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let listener = rig.listen()?;
    let [a, b] = rig.pair(&listener)?;
    let Rig { eq, cq, domain, .. } = rig;
    let failed = |error: &dyn std::fmt::Display| Stop::Failed(error.to_string());
    let Err(ofi::CloseError::InUse(eq)) = eq.close() else {
        panic!("closed under its endpoints");
    };
    listener.close().map_err(|error| failed(&error))?;
    // Without its listener a connection goes on.
    talk(&a, &b, 50)?;
    a.close(LIMIT).map_err(|error| failed(&error))?;
    b.close(LIMIT).map_err(|error| failed(&error))?;
    eq.close().map_err(|error| failed(&error))?;
    cq.close().map_err(|error| failed(&error))?;
    domain.close().map_err(|error| failed(&error))?;
    assert_eq!(ofi::leaked(), ofi::Leaked::default());
    Ok(())
}

/// Client and server in processes of their own.
fn two_processes<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    if Parent::role().is_some() {
        let parent = Parent::new();
        let listener = rig.listen()?;
        parent.say_address(&listener.name()?)?;
        let request = next(&listener)?;
        assert!(request.private_data().starts_with(b"from the parent"));
        request.reject(b"try again")?;
        let accepting = next(&listener)?.accept(rig.builder(), b"from the child")?;
        let receive = accepting.recv(vec![0; 1 << 16]).post()?;
        let (endpoint, _) = accepting.wait(LIMIT)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        endpoint.send(buffer[..received.len()].to_vec()).wait(LIMIT)?;
        assert!(endpoint.wait_closed(LIMIT), "the end of the connection was not seen");
        return Ok(());
    }
    let mut peer = Peer::start("server")?;
    let address = peer.hear_address()?;
    let refused = refusal(rig.connect(&address, b"from the parent")?.wait(LIMIT));
    assert!(refused.data.starts_with(b"try again"));
    let (endpoint, data) = rig.connect(&address, b"once more")?.wait(LIMIT)?;
    assert!(data.starts_with(b"from the child"));
    let receive = endpoint.recv(vec![0; 1 << 16]).post()?;
    endpoint.send(pattern(50_000, 4)).wait(LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert!(buffer[..received.len()] == pattern(50_000, 4));
    drop(endpoint);
    peer.finish()
}

/// The peer's process is killed: the connection's end is seen, in a connection and in an attempt.
fn peer_killed<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    if Parent::role().is_some() {
        let parent = Parent::new();
        let listener = rig.listen()?;
        parent.say_address(&listener.name()?)?;
        let (_endpoint, _) = next(&listener)?.accept(rig.builder(), b"")?.wait(LIMIT)?;
        let _unanswered = next(&listener)?;
        parent.say("ready")?;
        return parent.until_closed();
    }
    let mut peer = Peer::start("server")?;
    let address = peer.hear_address()?;
    let (endpoint, _) = rig.connect(&address, b"")?.wait(LIMIT)?;
    let attempt = match rig.connect(&address, b"")?.wait(Duration::from_millis(20)) {
        Err(ConnectError::Expired(attempt)) => attempt,
        other => panic!("nobody answered: {:?}", other.map(drop)),
    };
    assert_eq!(peer.hear()?, "ready");
    peer.kill()?;
    assert!(endpoint.wait_closed(LIMIT), "the end of the connection was not seen");
    let refused = refusal(attempt.wait(LIMIT));
    assert_ne!(*refused.error.kind(), ErrorKind::TimedOut, "{refused}");
    Ok(())
}

/// A thread that waits is woken by the thread that reads the queue.
fn woken_by_another_thread(t: &Target) -> Verdict {
    let rig = Rig::<Shared>::open(t)?;
    let listener = rig.listen()?;
    let address = listener.name()?;
    std::thread::scope(|scope| {
        let server = scope.spawn(|| -> Result<(), Stop> {
            for _ in 0..20 {
                let accepting = next(&listener)?.accept(rig.builder(), b"")?;
                let (endpoint, _) = accepting.wait(LIMIT)?;
                // The other side stays until both sides stand.
                endpoint.send(vec![1; 4]).wait(LIMIT)?;
                assert!(endpoint.wait_closed(LIMIT));
            }
            Ok(())
        });
        let begun = Instant::now();
        for _ in 0..20 {
            let (endpoint, _) = rig.connect(&address, b"")?.wait(LIMIT)?;
            endpoint.recv(vec![0; 4]).wait(LIMIT)?;
            drop(endpoint);
        }
        server.join().expect("the server does not panic")?;
        assert!(begun.elapsed() < LIMIT);
        Ok(())
    })
}

/// A signal ends the waits of the threads that wait for the queue.
fn signalled(t: &Target) -> Verdict {
    let rig = Rig::<Shared>::open(t)?;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| rig.eq.wait(LIMIT));
        while !waiting.is_finished() && begun.elapsed() < LIMIT {
            rig.eq.signal();
            std::thread::yield_now();
        }
        assert!(waiting.join().expect("it does not panic")?);
        Ok(())
    })
}
