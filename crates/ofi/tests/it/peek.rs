//! Looking for tagged messages, keeping them, and letting go of them.

use std::time::Instant;

use ofi::{
    Caps, Claimed, Confined, Connectionless, Defect, Endpoint, Errno, ErrorKind, Probe, Progress,
    Rdm, WaitError, block_on, quirk,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Stop, Target, Verdict, cases, pattern, poll_once,
};

mod defects;

pub fn register(list: &mut List) {
    defects::register(list);
    cases!(list, rdm: nothing_to_find found_and_received claimed_and_received claimed_in_any_order);
    cases!(list, rdm: discarded_by_drop claims_dropped_in_flight closed_with_discards_in_flight);
    cases!(list, rdm: claimed_into_too_little segments_are_not_claimed looks_without_tags);
}

/// Inject-sized, eager, in several packets, and by rendezvous.
const SIZES: [usize; 4] = [32, 5_000, 60_000, 1 << 20];

fn open<K: Connectionless, T: Mode>(t: &Target) -> Result<Pair<K, T>, Stop> {
    t.require(
        quirk(&t.provider, Defect::PeekReceives).is_none(),
        "a peek of this version receives the message",
    )?;
    let p = Pair::<K, T>::open(t, Caps::TAGGED)?;
    // The connection is made.
    let receive = p.b.recv(vec![0; 8]).tag(0).post()?;
    p.a.send(vec![0; 8], p.to_b).tag(0).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    Ok(p)
}

/// Looks until the message is there. Versions that would receive it are refused in [`open`].
// rule: B35
fn seen<T: Mode>(b: &Endpoint<Rdm, T>, tag: u64) -> Result<Probe, Stop> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(probe) = b.peek().tag(tag).wait(LIMIT)? {
            return Ok(probe);
        }
        assert!(Instant::now() < deadline, "no message with tag {tag}");
    }
}

fn open_to_claim<K: Connectionless, T: Mode>(t: &Target) -> Result<Pair<K, T>, Stop> {
    t.require(
        quirk(&t.provider, Defect::ClaimCorrupts).is_none(),
        "claims of messages corrupt memory",
    )?;
    if t.core() != "sockets" {
        return open(t);
    }
    let confined = std::any::type_name::<T>() == std::any::type_name::<Confined>();
    t.require(confined, "claims race with the provider's thread")?;
    let info = t.hints(Caps::TAGGED).progress(Progress::Manual).query()?.into_best();
    Pair::on(Rig::on(info)?)
}

/// Those of [`SIZES`] that can be claimed.
fn claimable(t: &Target) -> Vec<usize> {
    let segments = quirk(&t.provider, Defect::SegmentsUnclaimable).is_some();
    SIZES.into_iter().filter(|len| !segments || *len != 60_000).collect()
}

fn claimed<T: Mode>(b: &Endpoint<Rdm, T>, tag: u64) -> Result<Claimed<'_, T>, Stop> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(claimed) = b.peek().tag(tag).claim().wait(LIMIT)? {
            return Ok(claimed);
        }
        assert!(Instant::now() < deadline, "no message with tag {tag}");
    }
}

// rule: B34
fn nothing_to_find<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<()>,
{
    let p = open::<Rdm, T>(t)?;
    assert_eq!(p.b.peek().tag(5).wait(LIMIT)?, None);
    assert_eq!(block_on(p.b.peek().into_future())?, None);
    let claim = p.b.peek().tag(5).claim().wait(LIMIT);
    if quirk(&t.provider, Defect::ClaimCorrupts).is_some() || t.core() == "sockets" {
        let error = claim.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    } else {
        assert!(claim?.is_none());
        assert!(block_on(p.b.peek().tag(5).claim().into_future())?.is_none());
    }
    // One with another tag does not count, and is not disturbed.
    let sent = p.a.send(b"other".to_vec(), p.to_b).tag(6).post()?;
    seen(&p.b, 6)?;
    assert_eq!(p.b.peek().tag(5).wait(LIMIT)?, None);
    let (received, buffer) = p.b.recv(vec![0; 64]).tag(6).wait(LIMIT)?;
    assert_eq!(&buffer[..received.len()], b"other");
    sent.wait(LIMIT)?;
    assert_eq!(p.b.peek().wait(LIMIT)?, None);
    Ok(())
}

/// A look tells what is there and leaves it there.
// rule: B34
fn found_and_received<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = open::<Rdm, T>(t)?;
    for (i, len) in SIZES.into_iter().enumerate() {
        let tag = 0x70 + i as u64;
        let sent = p.a.send(pattern(len, 3), p.to_b).tag(tag).post()?;
        for _ in 0..2 {
            let probe = seen(&p.b, tag)?;
            assert_eq!((probe.len, probe.tag), (len, tag));
        }
        let any = p.b.peek().wait(LIMIT)?.expect("any message");
        assert_eq!((any.len, any.tag), (len, tag));
        let family = p.b.peek().tag(0x7F).ignore(0xF).wait(LIMIT)?.expect("one of the family");
        assert_eq!(family.tag, tag);
        let (received, buffer) = p.b.recv(vec![0; len]).tag(tag).wait(LIMIT)?;
        assert_eq!((received.len(), buffer), (len, pattern(len, 3)));
        sent.wait(LIMIT)?;
    }
    Ok(())
}

/// Nothing but the claim receives it.
// rule: B34
fn claimed_and_received<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = open_to_claim::<Rdm, T>(t)?;
    for (i, len) in claimable(t).into_iter().enumerate() {
        let tag = i as u64;
        let sent = p.a.send(pattern(len, 9), p.to_b).tag(tag).post()?;
        let claimed = claimed(&p.b, tag)?;
        assert_eq!((claimed.probe().len, claimed.probe().tag), (len, tag));
        assert_eq!(p.b.peek().tag(tag).wait(LIMIT)?, None, "it is claimed");
        let other = p.b.recv(vec![0; len]).tag(tag).post()?;
        p.rig.cq.progress()?;
        assert!(!other.is_done(), "it is claimed");
        let (received, buffer) = claimed.recv(vec![0; len])?.wait(LIMIT)?;
        assert_eq!((received.len(), received.tag()), (len, Some(tag)));
        assert_eq!(buffer, pattern(len, 9));
        sent.wait(LIMIT)?;
        // The next one is the other receive's.
        p.a.send(pattern(len, 4), p.to_b).tag(tag).wait(LIMIT)?;
        assert_eq!(other.wait(LIMIT)?.1, pattern(len, 4));
    }
    Ok(())
}

// rule: B34
fn claimed_in_any_order<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = open_to_claim::<Rdm, T>(t)?;
    const MESSAGES: u8 = 6;
    let sends: Vec<_> = (0..MESSAGES)
        .map(|i| p.a.send(pattern(3000, i), p.to_b).tag(7).post())
        .collect::<Result<_, _>>()?;
    let mut claims = Vec::new();
    for _ in 0..MESSAGES {
        claims.push(claimed(&p.b, 7)?);
    }
    claims.reverse();
    for (claim, i) in claims.into_iter().zip((0..MESSAGES).rev()) {
        let (_, buffer) = block_on(claim.recv(vec![0; 3000])?)?;
        assert_eq!(buffer, pattern(3000, i), "messages are found in the order they were sent in");
    }
    for send in sends {
        send.wait(LIMIT)?;
    }
    Ok(())
}

/// The sender of a message that nobody wants is not kept waiting, and what comes after it is as it
/// would be.
// rule: B34
fn discarded_by_drop<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = open_to_claim::<Rdm, T>(t)?;
    for len in claimable(t) {
        for _ in 0..3 {
            let sent = p.a.send(pattern(len, 1), p.to_b).tag(1).post()?;
            claimed(&p.b, 1)?.discard();
            sent.wait(LIMIT)?;
            assert_eq!(p.b.peek().wait(LIMIT)?, None);
            p.a.send(pattern(100, 2), p.to_b).tag(1).wait(LIMIT)?;
            assert_eq!(p.b.recv(vec![0; 100]).tag(1).wait(LIMIT)?.1, pattern(100, 2));
        }
    }
    assert_eq!(ofi::leaked().operations, 0);
    Ok(())
}

/// A look that was to claim, dropped before it was known what it found.
// rule: B34
fn claims_dropped_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = open_to_claim::<Rdm, T>(t)?;
    for _ in 0..20 {
        let sent = p.a.send(pattern(3000, 1), p.to_b).tag(1).post()?;
        seen(&p.b, 1)?;
        // Posted, and mostly found.
        drop(poll_once(p.b.peek().tag(1).claim().into_future()));
        sent.wait(LIMIT)?;
        p.a.send(pattern(64, 2), p.to_b).tag(2).wait(LIMIT)?;
        assert_eq!(p.b.recv(vec![0; 64]).tag(2).wait(LIMIT)?.1, pattern(64, 2));
        assert_eq!(p.b.peek().wait(LIMIT)?, None, "what it found is gone");
    }
    Ok(())
}

fn closed_with_discards_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = open_to_claim::<Rdm, T>(t)?;
    let (mut sends, sizes) = (Vec::new(), claimable(t));
    for i in 0..8 {
        let send = || p.a.send(pattern(sizes[i % sizes.len()], 1), p.to_b).tag(i as u64).post();
        let deadline = Instant::now() + LIMIT;
        sends.push(loop {
            match send() {
                Err(failed) if failed.error.is_busy() && Instant::now() < deadline => {
                    p.rig.cq.progress()?;
                }
                posted => break posted?,
            }
        });
    }
    for i in 0..8 {
        let claim = claimed(&p.b, i)?;
        if i % 2 == 0 {
            drop(claim.recv(vec![0; 1 << 20])?);
        }
    }
    let Pair { a, b, .. } = p;
    b.close(LIMIT)?;
    drop((sends, a));
    Ok(())
}

/// What cannot be claimed stays where it is.
// quirk: 28
fn segments_are_not_claimed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = open::<Rdm, T>(t)?;
    if quirk(&t.provider, Defect::SegmentsUnclaimable).is_none() {
        return Ok(());
    }
    let sent = p.a.send(pattern(60_000, 1), p.to_b).tag(1).post()?;
    seen(&p.b, 1)?;
    for error in [
        p.b.peek().tag(1).claim().wait(LIMIT).unwrap_err(),
        block_on(p.b.peek().tag(1).claim().into_future()).unwrap_err(),
    ] {
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    }
    assert_eq!(p.b.recv(vec![0; 60_000]).tag(1).wait(LIMIT)?.1, pattern(60_000, 1));
    sent.wait(LIMIT)?;
    Ok(())
}

/// What does not fit is an error, as in any receive, and the message is gone.
// rule: B15
fn claimed_into_too_little<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = open_to_claim::<Rdm, T>(t)?;
    let sent = p.a.send(pattern(500, 1), p.to_b).tag(1).post()?;
    match claimed(&p.b, 1)?.recv(vec![0; 10])?.wait(LIMIT) {
        Err(WaitError::Failed(failed)) => {
            assert_eq!(failed.error.errno(), Some(Errno::ETRUNC), "{failed}");
            assert_eq!(failed.buf.into_buffer().expect("it is over").len(), 10);
        }
        other => panic!("{other:?}"),
    }
    sent.wait(LIMIT)?;
    assert_eq!(p.b.peek().wait(LIMIT)?, None);
    // A buffer that cannot be used costs nothing.
    let sent = p.a.send(pattern(500, 2), p.to_b).tag(1).post()?;
    let claim = claimed(&p.b, 1)?;
    let many = vec![vec![0; 10]; 100];
    let refused = claim.recv(many).expect_err("too many pieces");
    assert_eq!(refused.buf.len(), 100);
    let claim = refused.claimed.expect("nothing was posted");
    assert_eq!(claim.recv(vec![0; 500])?.wait(LIMIT)?.1, pattern(500, 2));
    sent.wait(LIMIT)?;
    Ok(())
}

// rule: D8
fn looks_without_tags<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<Rdm, T>::open(t, Caps::MSG)?;
    if !p.rig.info.caps().contains(Caps::TAGGED) {
        let error = p.b.peek().wait(LIMIT).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported { .. }), "{error}");
    }
    Ok(())
}
