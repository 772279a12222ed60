//! The lane's own hand-overs: its free list, its end, its slots' addresses.

use super::*;

fn acquire(world: &World) -> &Slot<Shared> {
    let slot = world.lane().acquire();
    // loom fails if somebody else has it.
    slot.body(Part::Whole, drop);
    slot.state.store(OP);
    slot
}

/// # Safety
///
/// `slot` came from [`acquire`].
unsafe fn home(slot: &Slot<Shared>) {
    slot.body(Part::Whole, drop);
    // SAFETY: the caller's own, with nothing in it.
    unsafe { Lane::home(slot) };
}

/// No slot is handed out twice, although one comes back between a look at the list and the exchange.
#[test]
fn free_list() {
    explore(3, || {
        let world = World::new(0);
        // Two free slots.
        // SAFETY: acquired here.
        unsafe { home(acquire(&world)) };
        let other = Arc::clone(&world);
        let other = thread::spawn(move || {
            let first = acquire(&other);
            let second = acquire(&other);
            // SAFETY: acquired here.
            unsafe { home(first) };
            second.index
        });
        let mine = acquire(&world).index;
        let kept = other.join().unwrap();
        let next = acquire(&world).index;
        assert!(mine != kept && next != kept && next != mine, "a slot was handed out twice");
        for index in [mine, kept, next] {
            let slot = world.lane().slots().nth(index as usize).unwrap();
            // SAFETY: acquired above.
            unsafe { home(slot) };
        }
        world.close();
        world.check();
    });
}

/// Both find the list empty, one makes it longer.
#[test]
fn free_list_grows() {
    explore(3, || {
        let world = World::new(0);
        let other = Arc::clone(&world);
        let other = thread::spawn(move || {
            let slot = acquire(&other);
            let index = slot.index;
            // SAFETY: acquired here.
            unsafe { home(slot) };
            index
        });
        let mine = acquire(&world);
        other.join().unwrap();
        // SAFETY: acquired here.
        unsafe { home(mine) };
        assert_eq!(world.lane().slots().count(), 2);
        world.close();
        world.check();
    });
}

/// The endpoint goes while the last slots come home: the lane is freed once, by the last.
#[test]
fn retire_against_last_slot_home() {
    explore(3, || {
        let world = World::new(2);
        let ops = [world.send(1), world.send(2)];
        world.settle();
        let threads = ops.map(|op| thread::spawn(move || drop(op)));
        world.close();
        for thread in threads {
            thread.join().unwrap();
        }
        world.check();
    });
}

/// An address leaves the provider only if no post got through that names it (rule A2).
#[test]
fn address_removed_against_post() {
    explore(3, || {
        let world = World::new(1);
        let address = Address::model();
        let poster = Arc::clone(&world);
        let poster =
            thread::spawn(move || poster.post(device::Numbered::<true>(1), Some(address)).ok());
        address.retire();
        let named = world.lane().names(address.entry_word());
        let op = poster.join().unwrap();
        assert!(named || op.is_none(), "posted to an address that has left the provider");
        drop(op);
        world.close();
        world.check();
    });
}

/// The same for a post that takes its place behind another.
#[test]
fn address_removed_against_queued_post() {
    explore(2, || {
        let world = World::new(0);
        let address = Address::model();
        let first = world.receive(0);
        let poster = Arc::clone(&world);
        let poster = thread::spawn(move || {
            let op = poster.post(device::Numbered::<true>(1), Some(address)).ok();
            poster.device.make_room(2);
            poster.cq.progress();
            op
        });
        address.retire();
        let named = world.lane().names(address.entry_word());
        let op = poster.join().unwrap();
        let posted = world.device.posted().contains(&1);
        assert!(named || !posted, "posted to an address that has left the provider");
        drop((op, first));
        world.close();
        world.check();
    });
}
