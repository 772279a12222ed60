//! Messages: every size, tags, vectors, immediate data, and what is refused.

use ofi::{Caps, Connectionless};

use crate::harness::{LIMIT, List, Mode, Pair, Target, Verdict, cases, pattern};

pub fn register(list: &mut List) {
    cases!(list, connectionless: exchange);
}

/// A message each way: the buffers come back, the length is the message's, not the buffer's.
///
/// Faults 2, 3, 4 (bounce memory and posted sizes), 7 (contexts of 64 bytes).
// rule: B7, B13, B15
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
