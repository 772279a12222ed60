//! Receives that several connections share.

use std::{sync::atomic::Ordering, time::Duration};

use ofi::{
    Caps, CompletionQueue, Defect, Domain, Endpoint, EndpointBuilder, ErrorKind, EventQueue,
    Fabric, Hints, Info, Msg, PassiveEndpoint, SharedReceive, quirk,
};

use super::query;
use crate::harness::{
    LIMIT, List, Mode, Parent, Peer, Stop, Target, Tracked, Verdict, cases, pattern,
};

pub fn register(list: &mut List) {
    cases!(list, msg:
        connections_share_their_receives connections_closed_in_any_order_in_flight
        a_connection_ends_in_the_middle_in_flight shared_by_connections_of_two_processes
        an_info_of_shared_receives_wants_them
    );
}

/// Objects for connections that share their receives at both ends.
struct Rig<T: Mode> {
    context: SharedReceive<T>,
    eq: EventQueue<T>,
    cq: CompletionQueue<T>,
    domain: Domain<T>,
    fabric: Fabric,
    info: Info,
}

impl<T: Mode> Rig<T> {
    /// `None` where the provider's shared receives are refused to several threads.
    fn open(t: &Target) -> Result<Option<Rig<T>>, Stop> {
        let info = query(t, Caps::MSG, Hints::share_rx_context)?;
        let fabric = Fabric::open(&info)?;
        let domain: Domain<T> = fabric.domain(&info)?;
        let (eq, cq) = (fabric.event_queue().open()?, domain.completion_queue().open()?);
        let context = domain.shared_receive(&info, &cq);
        let races = quirk(&t.provider, Defect::SharedReceiveRaces).is_some();
        if races && std::any::type_name::<T>().ends_with("Shared") {
            let error = context.unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
            return Ok(None);
        }
        Ok(Some(Rig { context: context?, eq, cq, domain, fabric, info }))
    }

    fn listen(&self) -> Result<PassiveEndpoint<T>, Stop> {
        Ok(self.fabric.passive_endpoint(&self.info).event_queue(&self.eq).listen()?)
    }

    fn builder(&self) -> EndpointBuilder<Msg, T> {
        let builder = self.domain.endpoint::<Msg>(&self.info).transmit_queue(&self.cq);
        builder.event_queue(&self.eq).shared_receive(&self.context)
    }

    /// A connection, both ends of which are on the context.
    fn pair(&self, listener: &PassiveEndpoint<T>) -> Result<[Endpoint<Msg, T>; 2], Stop> {
        let connecting = self.builder().connect(&listener.name()?, b"")?;
        let accepting = next(listener)?.accept(self.builder(), b"")?;
        let (b, _) = accepting.wait(LIMIT)?;
        let (a, _) = connecting.wait(LIMIT)?;
        Ok([a, b])
    }
}

fn next<T: Mode>(listener: &PassiveEndpoint<T>) -> Result<ofi::ConnRequest<T>, Stop> {
    let request = listener.next_request(LIMIT)?;
    request.ok_or_else(|| Stop::Failed("no connection request came".into()))
}

// rule: L4, L14
// quirk: 41
fn connections_share_their_receives<T: Mode>(t: &Target) -> Verdict {
    let Some(rig) = Rig::<T>::open(t)? else { return Ok(()) };
    let listener = rig.listen()?;
    let pairs = [rig.pair(&listener)?, rig.pair(&listener)?];
    for (seed, len) in [1_usize, 1000, 1 << 20].into_iter().enumerate() {
        for end in pairs.iter().flatten() {
            let receive = rig.context.recv(vec![0; len]).post()?;
            let sending = end.send(pattern(len, seed as u8)).post()?;
            let (received, buffer) = receive.wait(LIMIT)?;
            sending.wait(LIMIT)?;
            assert_eq!(received.len(), len);
            assert!(buffer == pattern(len, seed as u8));
            let failed = end.recv(vec![0; 8]).post().unwrap_err();
            assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }));
        }
    }
    // A receive that is too short, and one that is cancelled.
    let receive = rig.context.recv(vec![0; 10]).post()?;
    let sending = pairs[1][0].send(pattern(100, 1)).post()?;
    let Err(ofi::WaitError::Failed(failed)) = receive.wait(LIMIT) else { panic!("it is cut off") };
    assert_eq!(*failed.error.kind(), ErrorKind::Truncated, "{}", failed.error);
    drop(sending);
    let receive = rig.context.recv(vec![2; 10]).post()?;
    receive.cancel()?;
    let Err(ofi::WaitError::Failed(failed)) = receive.wait(LIMIT) else { panic!("cancelled") };
    assert_eq!(*failed.error.kind(), ErrorKind::Cancelled, "{}", failed.error);
    assert_eq!(failed.buf.into_buffer(), Some(vec![2; 10]));
    Ok(())
}

/// Every order of drops, with receives posted.
// rule: L1, B1, B3
fn connections_closed_in_any_order_in_flight<T: Mode>(t: &Target) -> Verdict {
    for order in 0..5 {
        let Some(rig) = Rig::<T>::open(t)? else { return Ok(()) };
        let listener = rig.listen()?;
        let [a, b] = rig.pair(&listener)?;
        let (tracked, dropped) = Tracked::new(vec![0; 100]);
        let first = rig.context.recv(tracked).post()?;
        let receive = rig.context.recv(vec![6; 100]).post()?;
        let sending = a.send(pattern(100, 2)).post()?;
        let (_, tracked) = first.wait(LIMIT)?;
        sending.wait(LIMIT)?;
        assert!(tracked.bytes() == pattern(100, 2) && !dropped.load(Ordering::SeqCst));
        let Rig { context, eq, cq, domain, fabric, .. } = rig;
        match order {
            0 => drop((a, b, context, listener)),
            1 => drop((context, a, b, listener)),
            2 => drop((listener, a, context, b)),
            3 => drop((domain, fabric, eq, listener, context, b, a)),
            _ => {
                a.close(LIMIT)?;
                b.close(LIMIT)?;
                context.close(LIMIT).map_err(|error| Stop::Failed(error.to_string()))?;
                drop(listener);
            }
        }
        let Err(ofi::WaitError::Failed(failed)) = receive.wait(LIMIT) else {
            panic!("its context is closed");
        };
        let kind = failed.error.kind();
        assert!(matches!(kind, ErrorKind::Closed | ErrorKind::Cancelled), "{}", failed.error);
        assert_eq!(failed.buf.into_buffer(), Some(vec![6; 100]));
        cq.close().map_err(|error| Stop::Failed(error.to_string()))?;
    }
    assert_eq!((ofi::leaked().objects, ofi::leaked().operations), (0, 0));
    Ok(())
}

/// One of the connections ends in the middle of a message: the receive that it had ends, or was never
/// begun and waits for the next message; the other connection goes on.
// rule: B1, B27
fn a_connection_ends_in_the_middle_in_flight<T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 16 << 20;
    for round in 0..6 {
        let Some(rig) = Rig::<T>::open(t)? else { return Ok(()) };
        let listener = rig.listen()?;
        let ([a, b], [c, d]) = (rig.pair(&listener)?, rig.pair(&listener)?);
        let receive = rig.context.recv(vec![0; LEN]).post()?;
        let sending = a.send(pattern(LEN, 1)).post()?;
        for _ in 0..10 * round {
            rig.cq.progress()?;
        }
        let gone = if round % 2 == 0 { [a, b] } else { [b, a] };
        let [gone, other] = gone;
        gone.close(Duration::ZERO)?;
        let next = rig.context.recv(vec![0; LEN]).post()?;
        c.send(vec![7; 8]).wait(LIMIT)?;
        let mut whole = 0;
        for receive in [receive, next] {
            match receive.wait(Duration::from_secs(1)) {
                Ok((received, buffer)) if received.len() == 8 => {
                    assert_eq!(&buffer[..8], &[7; 8]);
                    whole += 1;
                }
                Ok((_, buffer)) => assert!(buffer == pattern(LEN, 1)),
                Err(ofi::WaitError::Failed(failed)) => assert!(failed.buf.into_buffer().is_some()),
                // Nothing came for it.
                Err(ofi::WaitError::Expired(op)) => drop(op),
            }
        }
        assert_eq!(whole, 1, "what came over the other connection");
        drop((sending, other, c, d));
    }
    Ok(())
}

/// Connections from another process.
fn shared_by_connections_of_two_processes<T: Mode>(t: &Target) -> Verdict {
    const LEN: usize = 100_000;
    let Some(rig) = Rig::<T>::open(t)? else { return Ok(()) };
    if Parent::role().is_some() {
        let parent = Parent::new();
        let address = parent.hear_address()?;
        let connect = || -> Result<Endpoint<Msg, T>, Stop> {
            Ok(rig.builder().connect(&address, b"")?.wait(LIMIT)?.0)
        };
        let ends = [connect()?, connect()?];
        for (seed, end) in ends.iter().enumerate() {
            end.send(pattern(LEN, seed as u8)).wait(LIMIT)?;
        }
        return parent.until_closed();
    }
    let listener = rig.listen()?;
    let mut peer = Peer::start("sender")?;
    let receives = [vec![0; LEN], vec![0; LEN]].map(|buffer| rig.context.recv(buffer).post());
    peer.say_address(&listener.name()?)?;
    let mut ends = Vec::new();
    for _ in 0..2 {
        ends.push(next(&listener)?.accept(rig.builder(), b"")?.wait(LIMIT)?.0);
    }
    // Two connections have no order between them.
    let mut seeds = Vec::new();
    for receive in receives {
        let (received, buffer) = receive?.wait(LIMIT)?;
        assert_eq!(received.len(), LEN);
        seeds.extend((0..2).filter(|seed| buffer == pattern(LEN, *seed)));
    }
    seeds.sort_unstable();
    assert_eq!(seeds, [0, 1]);
    peer.finish()
}

/// An endpoint that was asked for with shared receives and is given none is refused: tagged messages
/// would look for them.
fn an_info_of_shared_receives_wants_them<T: Mode>(t: &Target) -> Verdict {
    let Some(rig) = Rig::<T>::open(t)? else { return Ok(()) };
    let listener = rig.listen()?;
    let builder = || {
        let builder = rig.domain.endpoint::<Msg>(&rig.info).completion_queue(&rig.cq);
        builder.event_queue(&rig.eq)
    };
    let error = builder().connect(&listener.name()?, b"").unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    // The same of a request to a listener whose info says so.
    let connecting = rig.builder().connect(&listener.name()?, b"")?;
    let error = next(&listener)?.accept(builder(), b"").unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
    assert!(connecting.wait(LIMIT).is_err());
    Ok(())
}
