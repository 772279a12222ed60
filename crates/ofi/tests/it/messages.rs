//! Messages: every size and kind of buffer, immediate data, what is refused, what is truncated.

use std::sync::Arc;

use ofi::{
    Caps, CompletionLevel, Connectionless, Defect, ErrorKind, OpFlags, Received, Returned,
    block_on, quirk,
};

use crate::harness::{
    LIMIT, List, Mode, Pair, Rig, Stop, Target, Verdict, cases, pattern, progress_until,
};

pub fn register(list: &mut List) {
    cases!(list, connectionless: exchange empty_messages injected injected_too_long buffers_of_every_type);
    cases!(list, connectionless: vectors too_many_segments immediate_data source_addresses directed);
    cases!(list, connectionless: flags_refused separate_queues awaited truncated missing_capability);
    cases!(list, rdm: truncated_long);
    cases!(list, connectionless: inject_leaves_no_entry);
    cases!(list, rdm: sizes levels in_order fence_without_the_capability);
    cases!(list, dgram: too_long);
}

/// A message each way: the buffers come back, the length is the message's, not the buffer's.
///
/// Faults 2, 3, 4 (bounce memory, posted sizes), 7 (contexts of one byte), 33 (a default pool).
// rule: B7, B13, B15, F2, F3, F4, F7
fn exchange<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    for (from, to, at) in [(&p.a, p.to_b, &p.b), (&p.b, p.to_a, &p.a)] {
        let sent = pattern(200, 7);
        let (pointer, buffer) = (sent.as_ptr(), vec![0xEE; 1000]);
        let receive = at.recv(buffer).post()?;
        let (_, sent) = from.send(sent, to).wait(LIMIT)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!(sent.as_ptr(), pointer, "the same buffer comes back");
        assert_eq!(received.len(), 200);
        assert_eq!(buffer[..200], sent[..]);
        assert!(buffer[200..].iter().all(|byte| *byte == 0xEE));
    }
    Ok(())
}

/// Inject-sized, eager, rendezvous: what was sent is what is received, up to 1 MiB.
fn sizes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let inject = p.a.inject_size();
    for len in [1, 63, 64, 65, inject, inject + 1, 4096, 4097, 65_536, 100_001, 1 << 20] {
        let sent = pattern(len, len as u8);
        let receive = p.b.recv(vec![0; len]).post()?;
        let send = p.a.send(sent, p.to_b).wait(LIMIT)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), len);
        assert!(buffer == send.1, "{len} bytes differ");
    }
    Ok(())
}

/// No bytes at all is a message; so is one into an empty buffer.
fn empty_messages<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    for room in [64, 0] {
        let receive = p.b.recv(vec![1_u8; room]).post()?;
        p.a.send(Vec::<u8>::new(), p.to_b).wait(LIMIT)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        assert!(received.is_empty());
        assert_eq!(buffer, vec![1; room]);
    }
    Ok(())
}

/// An injected message takes borrowed bytes, up to the inject size.
// rule: B5, B6
fn injected<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    for len in [0, 1, p.a.inject_size().min(p.a.max_message_size())] {
        let sent = pattern(len, 3);
        let receive = p.b.recv(vec![0; len + 1]).post()?;
        p.a.send(&sent[..], p.to_b).inject()?;
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!(received.len(), len);
        assert_eq!(buffer[..len], sent[..]);
    }
    Ok(())
}

/// Beyond the inject size nothing is sent, and the limit is named.
// rule: B5, B32
fn injected_too_long<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let limit = p.a.inject_size();
    let failed = p.a.send(vec![0; limit + 1], p.to_b).inject().expect_err("too long");
    assert_eq!(*failed.error.kind(), ErrorKind::TooLarge { limit });
    assert!(!failed.error.was_posted());
    assert_eq!(failed.buf.into_buffer().map(|buffer| buffer.len()), Some(limit + 1));
    let flagged = p.a.send(&b"x"[..], p.to_b).level(CompletionLevel::Delivery).inject();
    assert_eq!(*flagged.expect_err("flags").error.kind(), ErrorKind::Invalid);
    Ok(())
}

/// A successful inject leaves nothing behind: no entry, no operation.
// rule: B5, B8
fn inject_leaves_no_entry<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let receive = p.b.recv(vec![0; 8]).post()?;
    p.a.send(&b"12345678"[..], p.to_b).inject()?;
    receive.wait(LIMIT)?;
    assert_eq!(p.a.in_flight(), 0);
    assert!(p.rig.cq.unsolicited().is_none());
    assert_eq!(p.rig.cq.counts().stray, 0);
    Ok(())
}

/// Each kind of owned memory, in both directions.
fn buffers_of_every_type<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let heard = |want: &[u8], buffer: &[u8]| assert_eq!(buffer[..want.len()], *want);
    macro_rules! through {
        ($sent:expr, $room:expr) => {{
            let receive = p.b.recv($room).post()?;
            p.a.send($sent, p.to_b).wait(LIMIT)?;
            receive.wait(LIMIT)?.1
        }};
    }
    heard(b"vec", &through!(b"vec".to_vec(), vec![0_u8; 64]));
    heard(b"boxed", &through!(Box::<[u8]>::from(&b"boxed"[..]), Box::<[u8]>::from([0; 64])));
    heard(b"static", &through!("static", Box::new([0_u8; 64]))[..]);
    heard(b"bytes", &through!(&b"bytes"[..], vec![0_u8; 64]));
    heard(b"shared", &through!(Arc::<[u8]>::from(&b"shared"[..]), vec![0_u8; 64]));
    Ok(())
}

/// Pieces are gathered in order and scattered in order (rule B9: the lists stay where they are).
///
/// Fault 30; a hole of the peers: descriptors shorter than vectors cannot be said.
// rule: B9
fn vectors<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    t.require(p.rig.info.tx().iov_limit() >= 2, "vectors in sends")?;
    t.require(p.rig.info.rx().iov_limit() >= 2, "vectors in receives")?;
    let receive = p.b.recv([vec![0; 5], vec![0; 300]]).post()?;
    p.a.send([pattern(100, 1), pattern(50, 2)], p.to_b).wait(LIMIT)?;
    let (received, [head, tail]) = receive.wait(LIMIT)?;
    let whole = [pattern(100, 1), pattern(50, 2)].concat();
    assert_eq!(received.len(), 150);
    assert_eq!([&head[..], &tail[..145]].concat(), whole);
    Ok(())
}

/// More pieces than the provider takes are refused before it sees them.
// rule: B32
fn too_many_segments<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let limit = p.rig.info.tx().iov_limit().max(1);
    let failed = p.a.send(vec![vec![0_u8; 1]; limit + 1], p.to_b).post().expect_err("too many");
    assert_eq!(*failed.error.kind(), ErrorKind::TooLarge { limit });
    assert_eq!(failed.buf.into_buffer().map(|pieces| pieces.len()), Some(limit + 1));
    let limit = p.b.max_receive_segments();
    let has = |defect| ofi::quirk(&t.provider, defect).is_some();
    // Messages come in segments from rxm 2 on (quirk 57).
    let segments = ofi::version() >= ofi::Version::new(2, 0);
    let taken = usize::from(
        has(ofi::Defect::ShortReceiveHangs) || segments && has(ofi::Defect::ShortReceiveCrashes),
    );
    assert_eq!(limit, (p.rig.info.rx().iov_limit() - taken).max(1));
    let failed = p.b.recv(vec![vec![0_u8; 1]; limit + 1]).post().expect_err("too many");
    assert_eq!(*failed.error.kind(), ErrorKind::TooLarge { limit });
    Ok(())
}

/// Immediate data arrives beside the message; where there is none, saying so is an error.
///
/// Fault 6: entries with data are read into room for them (peers' hole 3).
// rule: B13, B30, F6, H3
fn immediate_data<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let bytes = p.rig.info.domain().cq_data_size();
    if bytes == 0 {
        let failed = p.a.send(vec![1], p.to_b).data(1).post().expect_err("no immediate data");
        assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }));
        return Err(Stop::Unsupported("immediate data".into()));
    }
    let value = u64::MAX >> (64 - 8 * bytes.min(8));
    for value in [value, 0, 0x0123_4567_89AB_CDEF & value] {
        let receive = p.b.recv(vec![0; 64]).post()?;
        p.a.send(pattern(33, 0), p.to_b).data(value).wait(LIMIT)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        check_data(t, &received, value)?;
        assert_eq!(buffer[..33], pattern(33, 0));
    }
    let receive = p.b.recv(vec![0; 64]).post()?;
    p.a.send(vec![5; 5], p.to_b).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.0.data(), None, "only what was sent with data has any");
    Ok(())
}

/// The immediate data of a message; a provider that loses the flag for it does not support them.
pub fn check_data(t: &Target, received: &Received, sent: u64) -> Verdict {
    t.require(received.data().is_some() || !t.has_layer("sm2"), "the flag of immediate data")?;
    assert_eq!(received.data(), Some(sent));
    Ok(())
}

/// With FI_SOURCE an entry tells who sent.
// rule: B37
fn source_addresses<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG | Caps::SOURCE)?;
    for (from, to, at, who) in [(&p.a, p.to_b, &p.b, p.to_a), (&p.b, p.to_a, &p.a, p.to_b)] {
        let receive = at.recv(vec![0; 64]).post()?;
        from.send(vec![1; 10], to).wait(LIMIT)?;
        let (received, _) = receive.wait(LIMIT)?;
        if quirk(&t.provider, Defect::SourceUnknown).is_some() {
            assert_eq!(received.source(), None, "what it says is not to be believed");
            continue;
        }
        if ofi::quirk(&t.provider, ofi::Defect::SourceUnknown).is_some() {
            assert_eq!(received.source(), None, "better none than somebody else's");
            continue;
        }
        let source = received.source().expect("a source");
        assert_eq!(p.rig.av.source(source), Some(who));
    }
    Ok(())
}

/// A directed receive waits for its peer; without the capability it is refused, not ignored.
///
/// Fault 32: address 0 is an address, not "any".
// rule: B36
fn directed<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let plain = Pair::<K, T>::open(t, Caps::MSG)?;
    if !plain.rig.info.supports(Caps::DIRECTED_RECV) {
        let failed = plain.b.recv(vec![0; 8]).from(plain.to_a).post().expect_err("no capability");
        assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }));
        assert_eq!(failed.buf.into_buffer(), Some(vec![0; 8]));
    }
    drop(plain);
    let p = Pair::<K, T>::open(t, Caps::MSG | Caps::DIRECTED_RECV | Caps::SOURCE)?;
    if quirk(&t.provider, Defect::DirectedIgnored).is_some() {
        let failed = p.b.recv(vec![0; 8]).from(p.to_a).post().expect_err("it would be ignored");
        assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }));
        return Ok(());
    }
    let own = p.b.recv(vec![0; 64]).from(p.to_b).post()?;
    let other = p.b.recv(vec![0; 64]).from(p.to_a).post()?;
    p.a.send(b"from a".to_vec(), p.to_b).wait(LIMIT)?;
    let (received, buffer) = other.wait(LIMIT)?;
    assert_eq!(&buffer[..received.len()], b"from a");
    assert!(!own.is_done(), "the first receive was for another peer");
    p.b.send(b"from b".to_vec(), p.to_b).wait(LIMIT)?;
    let (received, buffer) = own.wait(LIMIT)?;
    assert_eq!(&buffer[..received.len()], b"from b");
    Ok(())
}

/// Every level of completion ends in a completion.
// rule: B28, B29
fn levels<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let levels = [CompletionLevel::Inject, CompletionLevel::Transmit, CompletionLevel::Delivery];
    for level in levels {
        for len in [16, 100_000] {
            if level == CompletionLevel::Inject && len > p.a.inject_size() {
                continue;
            }
            let receive = p.b.recv(vec![0; len]).post()?;
            let (_, sent) = p.a.send(pattern(len, 9), p.to_b).level(level).wait(LIMIT)?;
            let (received, buffer) = receive.wait(LIMIT)?;
            assert_eq!((received.len(), buffer == sent), (len, true), "{level:?}");
        }
    }
    Ok(())
}

/// Flags that are the crate's own business are refused, and nothing is posted.
///
/// Fault 32: flags are not ignored.
fn flags_refused<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    for flag in [OpFlags::COMPLETION, OpFlags::INJECT, OpFlags::MULTI_RECV, OpFlags::CLAIM] {
        let failed = p.a.send(vec![1, 2], p.to_b).flags(flag).post().expect_err("refused");
        assert_eq!(*failed.error.kind(), ErrorKind::Invalid, "{flag}");
        assert_eq!(failed.buf.into_buffer(), Some(vec![1, 2]));
    }
    assert_eq!(p.a.in_flight(), 0);
    Ok(())
}

/// A fence needs its capability: providers take the flag silently.
// rule: B29
fn fence_without_the_capability<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    if !p.rig.info.supports(Caps::FENCE) {
        let failed = p.a.send(vec![1], p.to_b).flags(OpFlags::FENCE).post().expect_err("refused");
        assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }));
        return Ok(());
    }
    let receive = p.b.recv(vec![0; 8]).post()?;
    p.a.send(vec![1; 8], p.to_b).flags(OpFlags::FENCE).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    Ok(())
}

/// Only capabilities that were asked for may be used: their calls may lead nowhere.
// rule: D8
fn missing_capability<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    assert!(!p.rig.info.supports(Caps::TAGGED), "FI_TAGGED was not asked for");
    let failed = p.a.send(vec![3; 3], p.to_b).tag(1).post().expect_err("no FI_TAGGED");
    assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }));
    assert_eq!(failed.buf.into_buffer(), Some(vec![3; 3]));
    let failed = p.b.recv(vec![4; 4]).tag(1).post().expect_err("no FI_TAGGED");
    assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }));
    let failed = p.a.send(&b"x"[..], p.to_b).tag(1).inject().expect_err("no FI_TAGGED");
    assert!(matches!(failed.error.kind(), ErrorKind::Unsupported { .. }));
    Ok(())
}

/// Messages of one sender reach the receives in the order of both.
// rule: B38
fn in_order<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    const COUNT: u32 = 50;
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let receives =
        (0..COUNT).map(|_| p.b.recv(vec![0; 8192]).post()).collect::<Result<Vec<_>, _>>()?;
    let sends: Vec<_> = (0..COUNT)
        .map(|n| {
            // Alternately eager and not.
            let mut message = vec![0; if n % 2 == 0 { 4 } else { 8192 }];
            message[..4].copy_from_slice(&n.to_ne_bytes());
            p.a.send(message, p.to_b).into_future()
        })
        .collect();
    block_on(async {
        for send in sends {
            send.await?;
        }
        for (n, receive) in (0..COUNT).zip(receives) {
            let (_, buffer) = receive.await?;
            assert_eq!(buffer[..4], n.to_ne_bytes());
        }
        Ok(())
    })
}

/// Sends and receives on queues of their own.
// rule: L5, L6
fn separate_queues<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t, Caps::MSG)?;
    let (tx, rx) = (rig.domain.completion_queue().open()?, rig.domain.completion_queue().open()?);
    let make = || {
        let builder = rig.domain.endpoint::<K>(&rig.info).address_vector(&rig.av);
        builder.transmit_queue(&tx).receive_queue(&rx).enable()
    };
    let (a, b) = (make()?, make()?);
    let to_b = rig.av.insert(&b.name()?)?;
    let receive = b.recv(vec![0; 64]).post()?;
    let send = a.send(pattern(64, 4), to_b).post();
    let send = match send {
        Ok(send) => send,
        Err(failed) if failed.error.is_busy() => {
            // Connecting: queue it instead, in the background of both queues.
            return block_on(async {
                a.send(pattern(64, 4), to_b).await?;
                let (_, buffer) = receive.await?;
                assert_eq!(buffer, pattern(64, 4));
                Ok(())
            });
        }
        Err(failed) => return Err(failed.into()),
    };
    progress_until(&tx, "the send", || {
        rx.progress().expect("the queue is healthy");
        send.is_done()
    });
    progress_until(&rx, "the receive", || {
        tx.progress().expect("the queue is healthy");
        receive.is_done()
    });
    send.wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, pattern(64, 4));
    Ok(())
}

/// As futures, two at once.
fn awaited<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    block_on(async {
        for n in 0..10 {
            let receive = p.b.recv(vec![0; 100]).post()?;
            let (_, sent) = p.a.send(pattern(100, n), p.to_b).await?;
            let (received, buffer) = receive.await?;
            assert_eq!((received.len(), buffer), (100, sent));
        }
        Ok(())
    })
}

/// Beyond the endpoint's limit a message is refused before the provider sees it.
///
/// Fault 5: the buffer that comes back is as it was.
// rule: B32, F5
fn too_long<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    let limit = p.a.max_message_size();
    t.require(limit < 1 << 30, "a limit that a buffer can exceed")?;
    let failed = p.a.send(pattern(limit + 1, 8), p.to_b).post().expect_err("too long");
    assert_eq!(*failed.error.kind(), ErrorKind::TooLarge { limit });
    assert_eq!(failed.buf.into_buffer(), Some(pattern(limit + 1, 8)));
    Ok(())
}

/// A message longer than its buffer is cut, with or without an error, and harms nothing: the bytes
/// behind the buffer stay, and the queue goes on.
///
/// Faults 17, 18: an error entry is read, and poisons nothing.
// rule: B16, B17, B18, B19, F17, F18
fn truncated<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    cut_short::<K, T>(t, 64)
}

/// The same of a message that shm and sm2 copy from the sender's memory (quirks 19 and 20).
// rule: B15
// quirk: 19, 20
fn truncated_long<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    cut_short::<K, T>(t, 1 << 20)
}

fn cut_short<K: Connectionless, T: Mode>(t: &Target, len: usize) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let receive = p.b.recv(vec![0xAA; 16]).post()?;
    let send = p.a.send(pattern(len, 5), p.to_b).post()?;
    match receive.wait(LIMIT) {
        Ok((received, buffer)) => {
            assert!(received.len() <= 16);
            assert_eq!(buffer.len(), 16);
        }
        Err(ofi::WaitError::Failed(failed)) => {
            assert_eq!(*failed.error.kind(), ErrorKind::Truncated, "{}", failed.error);
            assert!(failed.error.was_posted());
            let Returned::Back(buffer) = failed.buf else { panic!("it is completed") };
            assert_eq!(buffer.len(), 16);
        }
        Err(expired) => return Err(expired.into()),
    }
    // The send itself may fail (the connection is made anew), but it ends.
    match send.wait(LIMIT) {
        Ok(_) | Err(ofi::WaitError::Failed(_)) => {}
        Err(expired) => return Err(expired.into()),
    }
    // Until the connection is back, messages may be refused: the next one that is taken arrives.
    let receive = p.b.recv(vec![0; 64]).post()?;
    p.a.send(pattern(64, 6), p.to_b).wait(LIMIT)?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), buffer), (64, pattern(64, 6)));
    Ok(())
}
