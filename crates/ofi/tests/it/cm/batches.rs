//! Batches and counters on connections.

use ofi::{BindFlags, Counter, Endpoint, Msg, Unended};

use super::{Rig, next};
use crate::harness::{LIMIT, Mode, Stop, Target, Verdict, pattern};

/// A connection whose first end posts its sends in batches, with a counter of what it receives.
fn pair<T: Mode>(rig: &Rig<T>) -> Result<([Endpoint<Msg, T>; 2], Counter<T>), Stop> {
    let listener = rig.listen()?;
    let received = rig.domain.counter()?;
    let builder = rig.builder().batches(BindFlags::TRANSMIT).counter(&received, BindFlags::RECV);
    let connecting = builder.connect(&listener.name()?, b"")?;
    let accepting = next(&listener)?.accept(rig.builder(), b"")?;
    let (b, _) = accepting.wait(LIMIT)?;
    let (a, _) = connecting.wait(LIMIT)?;
    Ok(([a, b], received))
}

/// Batches of one message and of many go through a connection, and answers are counted.
// rule: B22, W8, W14
pub(super) fn batches_on_a_connection<T: Mode>(t: &Target) -> Verdict {
    let rig = Rig::<T>::open(t)?;
    let ([a, b], received) = pair(&rig)?;
    let mut answers = 0;
    for (count, len) in [(1, 64), (64, 5000), (1000, 100)] {
        let mut receives = std::collections::VecDeque::new();
        let mut batch = a.batch()?;
        for n in 0..count {
            if receives.len() == 32 {
                let receive: ofi::Op<ofi::RecvVerb, Vec<u8>, T> = receives.pop_front().expect("32");
                assert!(receive.wait(LIMIT)?.1 == pattern(len, (n - 32) as u8));
            }
            receives.push_back(b.recv(vec![0; len]).post()?);
            batch.post_wait(a.send(pattern(len, n as u8)), LIMIT)?;
        }
        let left = receives.len();
        for (i, receive) in receives.into_iter().enumerate() {
            assert!(receive.wait(LIMIT)?.1 == pattern(len, (count - left + i) as u8));
        }
        for (n, buffer) in batch.wait(LIMIT)?.enumerate() {
            assert!(buffer? == pattern(len, n as u8));
        }
        let receive = a.recv(vec![0; 8]).post()?;
        b.send(vec![1; 8]).wait(LIMIT)?;
        receive.wait(LIMIT)?;
        answers += 1;
        assert!(received.wait(answers, LIMIT)?);
        assert_eq!(received.read(), answers);
    }
    let counts = rig.cq.counts();
    assert_eq!((counts.unasked, counts.stray), (0, 0), "entries that nobody asked for");
    Ok(())
}

/// The peer closes while a batch is on its way: it fails, or ends with its endpoint.
// rule: B1, B27
pub(super) fn peer_closes_in_a_batch_in_flight<T: Mode>(t: &Target) -> Verdict {
    const LONG: usize = 32 << 20;
    let rig = Rig::<T>::open(t)?;
    let ([a, b], _received) = pair(&rig)?;
    let mut batch = a.batch()?;
    for n in 0..3 {
        batch.post_wait(a.send(pattern(LONG, n)), LIMIT)?;
    }
    b.close(LIMIT)?;
    let ended = match batch.wait(std::time::Duration::from_secs(1)) {
        Ok(ended) => ended,
        Err(Unended { batch, .. }) => {
            a.close(LIMIT)?;
            batch.wait(LIMIT)?
        }
    };
    assert_eq!(ended.len(), 3);
    for (n, outcome) in ended.enumerate() {
        // sockets may have taken in the first.
        let buffer = match outcome {
            Ok(buffer) if t.provider == "sockets" => buffer,
            Ok(_) => panic!("nobody received it"),
            Err(failed) => failed.buf.into_buffer().expect("it has ended"),
        };
        assert!(buffer == pattern(LONG, n as u8), "nobody wrote to it");
    }
    Ok(())
}
