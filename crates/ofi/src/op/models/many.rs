//! The entries of a multi-receive against whoever takes its messages.

use super::{device::Token, *};
use crate::op::many::MultiRecv;

impl World {
    fn receive_many(&self) -> MultiRecv<Token> {
        MultiRecv::model(self.lane(), self.token())
    }
}

/// Every message and the end are seen, whenever they come, and the waker of each pending look is
/// called.
#[test]
fn loom_messages_against_waker() {
    explore(2, || {
        let world = World::new(1);
        let mut receive = world.receive_many();
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            for last in [false, true] {
                peer.device.message(last);
                peer.cq.progress();
            }
        });
        let mut came = 0;
        while let Some(message) = world.block_on(receive.next_message()) {
            assert!(message.unwrap().is_empty());
            came += 1;
        }
        assert_eq!(came, 2);
        drop(receive);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// A message that is dropped last gives the buffer back, while the receive ends or is dropped.
#[test]
fn loom_message_dropped_against_the_end() {
    explore(2, || {
        let world = World::new(1);
        let mut receive = world.receive_many();
        world.device.message(false);
        let message = world.block_on(receive.next_message()).unwrap().unwrap();
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.message(true);
            peer.cq.progress();
            drop(message);
        });
        let _ = poll(&mut receive.next_message(), &Waker::from(world.flag()));
        drop(receive);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// A claim on the buffer is woken by whoever holds it last.
#[test]
fn loom_claim_against_the_last_message() {
    explore(2, || {
        let world = World::new(1);
        let mut receive = world.receive_many();
        world.device.message(false);
        let message = world.block_on(receive.next_message()).unwrap().unwrap();
        let peer = thread::spawn(move || drop(message));
        drop(world.block_on(receive.into_buffer()));
        peer.join().unwrap();
        world.close();
        world.check();
    });
}
