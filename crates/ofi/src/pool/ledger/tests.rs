//! What the numbers do, with pools that have no memory.

use crate::{
    Place,
    pool::{Budget, Usage, fake::Fake},
};

const ALL: usize = usize::MAX;

fn usage(budget: &Budget) -> Usage {
    let usage = budget.usage();
    assert!(usage.used() <= usage.limit, "{usage}");
    usage
}

#[test]
fn what_is_idle_is_used_again() {
    let budget = Budget::new(100);
    let pool = Fake::open(&budget, ALL, 0, &[10, 40]);
    let (a, b) = (pool.try_take(0).unwrap(), pool.try_take(0).unwrap());
    let slab = b.slab;
    drop(b);
    assert_eq!((usage(&budget).leased, usage(&budget).idle), (10, 10));
    let again = pool.try_take(0).unwrap();
    assert_eq!((again.slab, usage(&budget).used()), (slab, 20));
    drop((a, again));
    assert_eq!(usage(&budget), Usage { limit: 100, idle: 20, ..Usage::default() });
}

#[test]
fn idle_buffers_of_other_classes_and_pools_make_room() {
    let budget = Budget::new(100);
    let (pool, other) =
        (Fake::open(&budget, ALL, 0, &[10, 40, 80]), Fake::open(&budget, ALL, 0, &[20]));
    let idle = [pool.try_take(1).unwrap(), pool.try_take(0).unwrap()];
    let foreign = [other.try_take(0).unwrap(), other.try_take(0).unwrap()];
    drop((idle, foreign));
    assert_eq!(usage(&budget).idle, 90);
    // 70 are missing: the small ones first, and they are not enough without the one of 40.
    let large = pool.try_take(2).unwrap();
    assert_eq!((usage(&budget).leased, usage(&budget).idle), (80, 0));
    drop((large, other.try_take(0).unwrap()));
    // Only what is needed goes: one of 20.
    let small = pool.try_take(0).unwrap();
    assert_eq!((usage(&budget).leased, usage(&budget).idle), (10, 80));
    drop(small);
    assert_eq!(usage(&budget).idle, 90);
}

#[test]
fn nothing_is_freed_where_it_would_not_help() {
    let budget = Budget::new(100);
    let pool = Fake::open(&budget, ALL, 0, &[10, 90]);
    let used = pool.try_take(0).unwrap();
    let more = pool.try_take(0).unwrap();
    let kept = pool.try_take(0).unwrap();
    drop(more);
    assert!(pool.try_take(1).is_none(), "20 are used");
    assert_eq!(usage(&budget).idle, 10);
    let mut claim = pool.claim(1);
    assert!(claim.look(None).is_none());
    drop(used);
    let large = pool.lend(claim.look(None).expect("there is room now"));
    assert_eq!((usage(&budget).leased, usage(&budget).idle), (100, 0));
    drop((large, kept));
}

#[test]
fn a_pools_own_bound_stops_only_that_pool() {
    let budget = Budget::new(100);
    let (narrow, wide) =
        (Fake::open(&budget, 30, 0, &[10, 30]), Fake::open(&budget, ALL, 0, &[50]));
    let small = narrow.try_take(0).unwrap();
    let mut waits = narrow.claim(1);
    assert!(waits.look(None).is_none());
    assert!(narrow.try_take(0).is_none(), "somebody is before it");
    let other = wide.try_take(0).expect("another pool's bound");
    drop(small);
    let large = narrow.lend(waits.look(None).expect("the small one was freed for it"));
    assert_eq!(usage(&budget).leased, 80);
    assert_eq!(budget.usage_of(narrow.index()).used(), 30);
    drop((other, large));
}

#[test]
fn slabs_go_as_a_whole() {
    let budget = Budget::new(100);
    let pool = Fake::open(&budget, ALL, 40, &[10, 100]);
    let one = pool.try_take(0).unwrap();
    assert_eq!((usage(&budget).leased, usage(&budget).idle), (10, 30));
    let two = pool.try_take(0).unwrap();
    assert_eq!((one.slab, usage(&budget).idle), (two.slab, 20));
    drop(one);
    assert!(pool.try_take(1).is_none(), "a buffer of the slab is used");
    assert_eq!(usage(&budget).used(), 40);
    drop(two);
    let all = pool.try_take(1).unwrap();
    assert_eq!(usage(&budget).leased, 100);
    drop(all);
    // Where there is not so much room the slab is smaller.
    let rest = budget.try_reserve(75);
    assert!(rest.is_ok(), "the idle one makes room");
    let few = pool.try_take(0).unwrap();
    assert_eq!((usage(&budget).leased, usage(&budget).idle), (10, 10));
    drop((few, rest));
}

#[test]
fn every_byte_is_counted_once() {
    let budget = Budget::new(100);
    let pool = Fake::open(&budget, ALL, 0, &[10]);
    let reserved = budget.try_reserve(5).unwrap();
    let mut buffers: Vec<_> = (0..5).map(|_| pool.try_take(0).unwrap()).collect();
    buffers[1].moved(Place::Operation);
    buffers[2].moved(Place::Operation);
    buffers[2].moved(Place::Held);
    buffers[3].moved(Place::Lost);
    drop(buffers.pop());
    let expected = Usage {
        limit: 100,
        idle: 10,
        leased: 10,
        in_flight: 10,
        held: 10,
        quarantined: 10,
        reserved: 5,
    };
    assert_eq!(usage(&budget), expected);
    assert_eq!(expected.used(), 55);
    buffers[2].moved(Place::Caller);
    assert_eq!((usage(&budget).held, usage(&budget).leased), (0, 20));
    // Dropped wherever they are.
    drop((buffers, reserved));
    assert_eq!(usage(&budget), Usage { limit: 100, idle: 50, ..Usage::default() });
}

#[test]
fn a_slab_that_cannot_be_freed_is_charged_for_good() {
    let budget = Budget::new(100);
    let pool = Fake::open(&budget, ALL, 0, &[60, 100]);
    let lost = pool.try_take(0).unwrap();
    let (index, slab) = (pool.index(), lost.slab);
    let mut waits = pool.claim(1);
    assert!(waits.look(None).is_none());
    std::mem::forget(lost);
    budget.change(|ledger, todo| ledger.strike_slab(index, slab, true, todo));
    assert_eq!((usage(&budget).quarantined, usage(&budget).used()), (60, 60));
    // Who waits for what is not there any more is told.
    let told = waits.look(None).expect("it cannot be had");
    assert!(matches!(told, super::Grant::Never { limit: 40 }), "{told:?}");
    assert!(budget.try_reserve(40).is_ok());
    assert!(budget.try_reserve(41).is_err());
}

#[test]
fn a_closed_pool_keeps_nothing() {
    let budget = Budget::new(100);
    let pool = Fake::open(&budget, ALL, 0, &[10]);
    let used = pool.try_take(0).unwrap();
    drop((pool.try_take(0).unwrap(), pool.try_take(0).unwrap()));
    assert_eq!(usage(&budget).idle, 20);
    budget.change(|ledger, todo| ledger.close_pool(pool.index(), todo));
    assert_eq!(usage(&budget).used(), 10);
    drop(used);
    assert_eq!(usage(&budget).used(), 0);
}
