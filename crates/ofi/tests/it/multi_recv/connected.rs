//! Over connections.

use ofi::{Fabric, Msg};

use super::*;

/// Buffer after buffer, both ways to take messages.
pub(super) fn over_a_connection<T: Mode>(t: &Target) -> Verdict {
    let info = t.query(CAPS)?;
    let fabric = Fabric::open(&info)?;
    let domain: ofi::Domain<T> = fabric.domain(&info)?;
    let events = fabric.event_queue().open()?;
    let queue = domain.completion_queue().open()?;
    let builder = || {
        let builder = domain.endpoint::<Msg>(&info).min_multi_recv(MIN);
        builder.completion_queue(&queue).event_queue(&events)
    };
    let listener = fabric.passive_endpoint(&info).event_queue(&events).listen()?;
    let connecting = builder().connect(&listener.name()?, b"")?;
    let request = listener.next_request(LIMIT)?.expect("a request");
    let (b, _) = request.accept(builder(), b"")?.wait(LIMIT)?;
    let (a, _) = connecting.wait(LIMIT)?;
    for whole in [true, false] {
        let mut receive = post(&b, vec![0; 8192], whole)?;
        for n in 0..200 {
            a.send(pattern(length(n), n as u8)).wait(LIMIT)?;
            let message = loop {
                if let Some(message) = receive.wait(LIMIT)? {
                    break message;
                }
                let mut held = receive.into_buffer();
                let buffer = held.try_take().expect("it is over");
                receive = post(&b, buffer, whole)?;
            };
            assert!(*message == pattern(length(n), n as u8), "message {n}");
        }
        drop(receive);
        progress_until(&queue, "the receive's end", || b.in_flight() == 0);
    }
    Ok(())
}
