//! Posts that wait for room, which may come without any event.

use super::{super::WaitError, *};

/// Room that another thread makes is found by the last look before sleeping at the latest.
#[test]
fn eagain_against_room() {
    explore(2, || {
        let world = World::new(0);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.make_room(2);
            peer.cq.progress();
        });
        let op = world.send(1);
        let Ok((_, token)) = op.wait_deadline(None) else { panic!("it failed") };
        drop(token);
        peer.join().unwrap();
        assert_eq!(world.device.posted(), [1]);
        world.close();
        world.check();
    });
}

/// Nobody looks again after both: what was queued before the other's look went out.
#[test]
fn queued_against_one_look() {
    explore(3, || {
        let world = World::new(0);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.make_room(2);
            peer.cq.progress();
        });
        let op = world.send(1);
        // The poster's own look, as a first poll does it.
        world.cq.progress();
        peer.join().unwrap();
        // Either the other's look came after the post was queued, or ours after the room.
        assert_eq!(world.device.posted(), [1]);
        drop(op);
        world.close();
        world.check();
    });
}

/// Posts of one class go out in order, whoever sends them.
#[test]
fn order_against_retry() {
    explore(3, || {
        let world = World::new(0);
        let first = world.send(1);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.make_room(2);
            peer.cq.progress();
        });
        let second = world.send(2);
        peer.join().unwrap();
        world.cq.progress();
        assert_eq!(world.device.posted(), [1, 2]);
        drop((first, second));
        world.close();
        world.check();
    });
}

/// A receive that is dropped while another thread tries it again: not posted, or cancelled.
#[test]
fn retry_against_drop() {
    for room in [0, 1] {
        explore(3, move || {
            let world = World::new(0);
            let op = world.receive(1);
            let peer = Arc::clone(&world);
            let peer = thread::spawn(move || {
                peer.device.make_room(room);
                peer.cq.progress();
            });
            drop(op);
            let posted = world.device.posted().len();
            assert_eq!(
                posted,
                world.device.cancelled().len(),
                "a receive nobody waits for is left"
            );
            peer.join().unwrap();
            world.device.make_room(1);
            world.settle();
            assert_eq!(world.device.posted().len(), posted, "posted after it was dropped");
            assert_eq!(world.lane().in_flight(), 0);
            world.close();
            world.check();
        });
    }
}

/// The same for its claim.
#[test]
fn retry_against_abandon() {
    explore(3, || {
        let world = World::new(0);
        let op = world.receive(1);
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.make_room(1);
            peer.cq.progress();
        });
        let token = match op.abandon() {
            Returned::Back(token) => token,
            Returned::Held(held) => world.block_on(held),
        };
        assert_eq!(world.device.posted().len(), world.device.cancelled().len());
        drop(token);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}

/// A post that turns out to be an error ends for a thread that blocks, although a task that polled
/// it before has the waker.
#[test]
fn refused_against_wait() {
    explore(2, || {
        let world = World::new(0);
        let mut op = world.send(1);
        assert!(poll(&mut op, &Waker::from(world.flag())).is_pending());
        let peer = Arc::clone(&world);
        let peer = thread::spawn(move || {
            peer.device.break_down();
            peer.cq.progress();
        });
        let Err(WaitError::Failed(failed)) = op.wait_deadline(None) else { panic!("it ended") };
        assert!(!failed.buf.is_held());
        drop(failed);
        peer.join().unwrap();
        world.close();
        world.check();
    });
}
