//! Tagged messages: which receive takes which message.

use ofi::{Caps, CompletionLevel, Connectionless, Defect, block_on, quirk};

use crate::harness::{LIMIT, List, Mode, Pair, Target, Verdict, cases, pattern};
use crate::messages::check_data;

pub fn register(list: &mut List) {
    cases!(list, connectionless: by_tag ignored_bits injected_with_tag tagged_vectors with_everything);
    cases!(list, rdm: tagged_sizes beside_plain_messages);
}

const CAPS: Caps = Caps::TAGGED;

/// The tag decides, not the order of the posts.
fn by_tag<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, CAPS)?;
    let one = p.b.recv(vec![0; 64]).tag(1).post()?;
    let two = p.b.recv(vec![0; 64]).tag(2).post()?;
    p.a.send(b"two".to_vec(), p.to_b).tag(2).wait(LIMIT)?;
    let (received, buffer) = two.wait(LIMIT)?;
    assert_eq!((received.tag(), &buffer[..received.len()]), (Some(2), &b"two"[..]));
    assert!(!one.is_done());
    p.a.send(b"one".to_vec(), p.to_b).tag(1).wait(LIMIT)?;
    let (received, buffer) = one.wait(LIMIT)?;
    assert_eq!((received.tag(), &buffer[..received.len()]), (Some(1), &b"one"[..]));
    Ok(())
}

/// Bits of the ignore mask do not matter, and the completion tells the message's own tag.
// rule: B13, B33
fn ignored_bits<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, CAPS)?;
    let exact = p.b.recv(vec![0; 64]).tag(0xA0).post()?;
    let family = p.b.recv(vec![0; 64]).tag(0xB0).ignore(0x0F).post()?;
    p.a.send(vec![1; 1], p.to_b).tag(0xB7).wait(LIMIT)?;
    assert_eq!(family.wait(LIMIT)?.0.tag(), Some(0xB7));
    let any = p.b.recv(vec![0; 64]).tag(0).ignore(u64::MAX).post()?;
    p.a.send(vec![2; 2], p.to_b).tag(0x1234_5678).wait(LIMIT)?;
    assert_eq!(any.wait(LIMIT)?.0.tag(), Some(0x1234_5678));
    p.a.send(vec![3; 3], p.to_b).tag(0xA0).wait(LIMIT)?;
    assert_eq!(exact.wait(LIMIT)?.0.tag(), Some(0xA0));
    Ok(())
}

fn injected_with_tag<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, CAPS)?;
    // Connections are made by a message that may wait.
    let receive = p.b.recv(vec![0; 8]).tag(1).post()?;
    p.a.send(vec![0; 8], p.to_b).tag(1).wait(LIMIT)?;
    receive.wait(LIMIT)?;
    let receive = p.b.recv(vec![0; 8]).tag(9).post()?;
    p.a.send(&b"injected"[..], p.to_b).tag(9).inject()?;
    let (received, buffer) = receive.wait(LIMIT)?;
    assert_eq!((received.tag(), &buffer[..]), (Some(9), &b"injected"[..]));
    if p.rig.info.domain().cq_data_size() > 0 {
        let receive = p.b.recv(vec![0; 8]).tag(10).post()?;
        p.a.send(&b"withdata"[..], p.to_b).tag(10).data(77).inject()?;
        check_data(t, &receive.wait(LIMIT)?.0, 77)?;
    }
    Ok(())
}

// rule: B9
fn tagged_vectors<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, CAPS)?;
    let receive = p.b.recv([vec![0; 10], vec![0; 20]]).tag(3).post()?;
    p.a.send([pattern(15, 1), pattern(15, 2)], p.to_b).tag(3).wait(LIMIT)?;
    let (received, parts) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), received.tag()), (30, Some(3)));
    assert_eq!(parts.concat(), [pattern(15, 1), pattern(15, 2)].concat());
    Ok(())
}

/// All options on one operation.
fn with_everything<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, CAPS | Caps::SOURCE)?;
    let receive = p.b.recv([vec![0; 64], vec![0; 64]]).tag(0xF0).ignore(0xF).post()?;
    let send = p.a.send([pattern(50, 1), pattern(50, 2)], p.to_b).tag(0xF5).data(0xDA7A);
    block_on(async { send.level(CompletionLevel::Transmit).await })?;
    let (received, parts) = receive.wait(LIMIT)?;
    assert_eq!((received.len(), received.tag()), (100, Some(0xF5)));
    check_data(t, &received, 0xDA7A)?;
    let known = quirk(&t.provider, Defect::SourceUnknown).is_none();
    let source = received.source().and_then(|source| p.rig.av.source(source));
    assert_eq!(source, known.then_some(p.to_a));
    assert_eq!(parts.concat()[..100], [pattern(50, 1), pattern(50, 2)].concat());
    Ok(())
}

fn tagged_sizes<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, CAPS)?;
    for (tag, len) in [0, 1, 64, 4096, 65_536, 1 << 20].into_iter().enumerate() {
        let receive = p.b.recv(vec![0; len]).tag(tag as u64).post()?;
        let (_, sent) = p.a.send(pattern(len, 1), p.to_b).tag(tag as u64).wait(LIMIT)?;
        let (received, buffer) = receive.wait(LIMIT)?;
        assert_eq!((received.len(), buffer == sent), (len, true));
    }
    Ok(())
}

/// Plain and tagged messages do not take each other's receives.
fn beside_plain_messages<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG | CAPS)?;
    let tagged = p.b.recv(vec![0; 16]).tag(0).ignore(u64::MAX).post()?;
    let plain = p.b.recv(vec![0; 16]).post()?;
    p.a.send(b"plain".to_vec(), p.to_b).wait(LIMIT)?;
    let (received, buffer) = plain.wait(LIMIT)?;
    assert_eq!((received.tag(), &buffer[..received.len()]), (None, &b"plain"[..]));
    assert!(!tagged.is_done());
    p.a.send(b"tagged".to_vec(), p.to_b).tag(4).wait(LIMIT)?;
    let (received, buffer) = tagged.wait(LIMIT)?;
    assert_eq!((received.tag(), &buffer[..received.len()]), (Some(4), &b"tagged"[..]));
    Ok(())
}
