//! Atomic operations: every type and operation that the provider has, against a table made here.

use ofi::{
    Access, AtomicOp, Caps, Connectionless, Datatype, ErrorKind, ExposedRegion, Memory, Returned,
};

use crate::harness::{LIMIT, List, Mode, Pair, Rig, Stop, Target, Verdict, cases, progress_until};

pub fn register(list: &mut List) {
    cases!(list, rdm:
        every_type_and_operation
        counted_up_by_many
        vectors_and_flags
        injected_atomics
        refused_before_the_call_of_atomics
        dropped_fetch_in_flight
    );
}

const CAPS: Caps = Caps::MSG.union(Caps::RMA).union(Caps::ATOMIC);
const REMOTE: Access = Access::REMOTE_READ.union(Access::REMOTE_WRITE);
/// Values of each operation.
const COUNT: usize = 3;

/// Aligned for every type: a `Vec<u8>` need not be.
fn aligned(bytes: &[u8]) -> Box<[u8]> {
    // The allocator aligns blocks of this size for 16 bytes.
    let mut block = vec![0_u8; bytes.len().max(64)].into_boxed_slice();
    assert_eq!(block.as_ptr().addr() % 8, 0);
    block[..bytes.len()].copy_from_slice(bytes);
    let mut block = block.into_vec();
    block.truncate(bytes.len());
    block.into_boxed_slice()
}

fn exposed<T: Mode>(rig: &Rig<T>, bytes: &[u8]) -> Result<ExposedRegion<T>, Stop> {
    let memory = Memory::new(aligned(bytes)).map_err(|failed| failed.error)?;
    Ok(rig.domain.expose(&memory).access(REMOTE).open()?)
}

/// Values of one type: what is there, the operand, what is expected, and what is to come of it.
trait Value: Copy + PartialEq + PartialOrd {
    const TYPE: Datatype;
    const THERE: [Self; COUNT];
    const OPERAND: [Self; COUNT];
    fn bytes(values: [Self; COUNT]) -> Vec<u8>;
    /// `None` for what is not defined for the type.
    fn apply(op: AtomicOp, there: Self, operand: Self, expected: Self) -> Option<Self>;
}

macro_rules! compare_and_swap {
    ($op:expr, $there:expr, $operand:expr, $expected:expr) => {
        match $op {
            AtomicOp::Cswap => Some($expected == $there),
            AtomicOp::CswapNe => Some($expected != $there),
            AtomicOp::CswapLe => Some($expected <= $there),
            AtomicOp::CswapLt => Some($expected < $there),
            AtomicOp::CswapGe => Some($expected >= $there),
            AtomicOp::CswapGt => Some($expected > $there),
            _ => None,
        }
        .map(|swapped| if swapped { $operand } else { $there })
    };
}

macro_rules! integers {
    ($($ty:ident $name:ident;)*) => {$(
        impl Value for $ty {
            const TYPE: Datatype = Datatype::$name;
            const THERE: [Self; COUNT] = [5, 0, $ty::MAX - 3];
            const OPERAND: [Self; COUNT] = [3, 7, 2];

            fn bytes(values: [Self; COUNT]) -> Vec<u8> {
                values.into_iter().flat_map(Self::to_ne_bytes).collect()
            }

            fn apply(op: AtomicOp, there: Self, operand: Self, expected: Self) -> Option<Self> {
                let truth = |is: bool| Some(Self::from(is as u8 as $ty));
                match op {
                    AtomicOp::Min => Some(there.min(operand)),
                    AtomicOp::Max => Some(there.max(operand)),
                    AtomicOp::Sum => Some(there.wrapping_add(operand)),
                    AtomicOp::Diff => Some(there.wrapping_sub(operand)),
                    AtomicOp::Prod => Some(there.wrapping_mul(operand)),
                    AtomicOp::Lor => truth(there != 0 || operand != 0),
                    AtomicOp::Land => truth(there != 0 && operand != 0),
                    AtomicOp::Lxor => truth((there != 0) != (operand != 0)),
                    AtomicOp::Bor => Some(there | operand),
                    AtomicOp::Band => Some(there & operand),
                    AtomicOp::Bxor => Some(there ^ operand),
                    AtomicOp::Read => Some(there),
                    AtomicOp::Write => Some(operand),
                    AtomicOp::Mswap => Some((operand & expected) | (there & !expected)),
                    op => compare_and_swap!(op, there, operand, expected),
                }
            }
        }
    )*};
}

macro_rules! floats {
    ($($ty:ident $name:ident;)*) => {$(
        impl Value for $ty {
            const TYPE: Datatype = Datatype::$name;
            const THERE: [Self; COUNT] = [5.5, 0.0, -8.25];
            const OPERAND: [Self; COUNT] = [3.0, 7.5, 2.0];

            fn bytes(values: [Self; COUNT]) -> Vec<u8> {
                values.into_iter().flat_map(Self::to_ne_bytes).collect()
            }

            fn apply(op: AtomicOp, there: Self, operand: Self, expected: Self) -> Option<Self> {
                let truth = |is: bool| Some(if is { 1.0 } else { 0.0 });
                match op {
                    AtomicOp::Min => Some(there.min(operand)),
                    AtomicOp::Max => Some(there.max(operand)),
                    AtomicOp::Sum => Some(there + operand),
                    AtomicOp::Diff => Some(there - operand),
                    AtomicOp::Prod => Some(there * operand),
                    AtomicOp::Lor => truth(there != 0.0 || operand != 0.0),
                    AtomicOp::Land => truth(there != 0.0 && operand != 0.0),
                    AtomicOp::Lxor => truth((there != 0.0) != (operand != 0.0)),
                    AtomicOp::Read => Some(there),
                    AtomicOp::Write => Some(operand),
                    op => compare_and_swap!(op, there, operand, expected),
                }
            }
        }
    )*};
}

integers! {
    i8 Int8; u8 Uint8; i16 Int16; u16 Uint16; i32 Int32; u32 Uint32; i64 Int64; u64 Uint64;
    i128 Int128; u128 Uint128;
}
floats! { f32 Float; f64 Double; }

const OPS: [AtomicOp; 20] = [
    AtomicOp::Min,
    AtomicOp::Max,
    AtomicOp::Sum,
    AtomicOp::Prod,
    AtomicOp::Lor,
    AtomicOp::Land,
    AtomicOp::Bor,
    AtomicOp::Band,
    AtomicOp::Lxor,
    AtomicOp::Bxor,
    AtomicOp::Read,
    AtomicOp::Write,
    AtomicOp::Cswap,
    AtomicOp::CswapNe,
    AtomicOp::CswapLe,
    AtomicOp::CswapLt,
    AtomicOp::CswapGe,
    AtomicOp::CswapGt,
    AtomicOp::Mswap,
    AtomicOp::Diff,
];

/// Whatever the provider says that it has does what the host's arithmetic does.
// rule: X1, X3, X4
fn every_type_and_operation<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<(Box<[u8]>, Box<[u8]>)> + ofi::Accepts<(Box<[u8]>, Box<[u8]>, Box<[u8]>)>,
{
    let p = Pair::<K, T>::open(t, CAPS)?;
    p.warm()?;
    let mut ran = 0;
    macro_rules! all {
        ($($ty:ident)*) => { $(ran += of_type::<$ty, K, T>(&p)?;)* };
    }
    all!(i8 u8 i16 u16 i32 u32 i64 u64 i128 u128 f32 f64);
    println!("{ran} operations");
    // Every provider that has atomics has sums of words, and some way to swap.
    assert!(ran >= 20, "{ran} operations ran");
    Ok(())
}

fn of_type<V: Value, K: Connectionless, T: Mode>(p: &Pair<K, T>) -> Result<usize, Stop>
where
    T: ofi::Accepts<(Box<[u8]>, Box<[u8]>)> + ofi::Accepts<(Box<[u8]>, Box<[u8]>, Box<[u8]>)>,
{
    let mut ran = 0;
    let (there, operand) = (V::bytes(V::THERE), V::bytes(V::OPERAND));
    // One that is there, one that is less, one that is more.
    let expected = [V::THERE[0], V::OPERAND[1], V::THERE[1]];
    for op in OPS {
        let result = |expected: [V; COUNT]| -> Option<Vec<u8>> {
            let mut values = V::THERE;
            for (i, value) in values.iter_mut().enumerate() {
                *value = V::apply(op, V::THERE[i], V::OPERAND[i], expected[i])?;
            }
            Some(V::bytes(values))
        };
        let Some(wanted) = result(expected) else { continue };
        let (ty, word) = (V::TYPE, format!("{op} of {}", V::TYPE));
        if p.a.max_atomic(ty, op) >= COUNT {
            let region = exposed(&p.rig, &there)?;
            p.a.atomic(aligned(&operand), p.to_b, region.remote(), ty, op).wait(LIMIT)?;
            progress_until(&p.rig.cq, &word, || region.memory().to_vec() == wanted);
            ran += 1;
        }
        if p.a.max_fetch_atomic(ty, op) >= COUNT {
            let region = exposed(&p.rig, &there)?;
            let buffers = (aligned(&operand), aligned(&vec![0; operand.len()]));
            let fetch = p.a.fetch_atomic(buffers, p.to_b, region.remote(), ty, op);
            let (_, (_, fetched)) = fetch.wait(LIMIT)?;
            assert_eq!(&fetched[..], there, "fetching {word}");
            progress_until(&p.rig.cq, &word, || region.memory().to_vec() == wanted);
            ran += 1;
        }
        if p.a.max_compare_atomic(ty, op) >= COUNT {
            let region = exposed(&p.rig, &there)?;
            let compare = aligned(&V::bytes(expected));
            let buffers = (aligned(&operand), compare, aligned(&vec![0; operand.len()]));
            let swap = p.a.compare_atomic(buffers, p.to_b, region.remote(), ty, op);
            let (_, (_, _, fetched)) = swap.wait(LIMIT)?;
            assert_eq!(&fetched[..], there, "comparing {word}");
            progress_until(&p.rig.cq, &word, || region.memory().to_vec() == wanted);
            ran += 1;
        }
    }
    Ok(ran)
}

/// That the provider has atomic operations that bring something back.
fn fetching<K: Connectionless, T: Mode>(p: &Pair<K, T>) -> Verdict {
    match p.a.max_fetch_atomic(Datatype::Uint64, AtomicOp::Sum) {
        0 => Err(Stop::Unsupported("fetching atomic operations".into())),
        _ => Ok(()),
    }
}

/// Both sides add to the same word: nothing is lost, and each sees its own numbers.
// rule: X2
fn counted_up_by_many<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<(Box<[u8]>, Box<[u8]>)>,
{
    let p = Pair::<K, T>::open(t, CAPS)?;
    p.warm()?;
    fetching(&p)?;
    let region = exposed(&p.rig, &0_u64.to_ne_bytes())?;
    let mut seen = Vec::new();
    for _ in 0..20 {
        for (from, to) in [(&p.a, p.to_b), (&p.b, p.to_a)] {
            let one = (aligned(&1_u64.to_ne_bytes()), aligned(&[0; 8]));
            let target = region.remote();
            let fetch = from.fetch_atomic(one, to, target, Datatype::Uint64, AtomicOp::Sum);
            let (_, (_, fetched)) = fetch.wait(LIMIT)?;
            seen.push(u64::from_ne_bytes(*fetched.first_chunk().expect("a word")));
        }
    }
    assert_eq!(seen, (0..40).collect::<Vec<u64>>());
    assert_eq!(region.memory().load_u64(0)?, 40);
    // What is only read needs no operand.
    let nothing = (aligned(&[]), aligned(&[0; 8]));
    let read = p.a.fetch_atomic(nothing, p.to_b, region.remote(), Datatype::Uint64, AtomicOp::Read);
    let (_, (_, fetched)) = read.wait(LIMIT)?;
    assert_eq!(fetched[..], 40_u64.to_ne_bytes());
    Ok(())
}

// rule: B28, B32
fn vectors_and_flags<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<[Box<[u8]>; 2]>
        + ofi::Accepts<(Box<[u8]>, Box<[u8]>)>
        + ofi::Accepts<(Box<[u8]>, Box<[u8]>, Box<[u8]>)>,
{
    let p = Pair::<K, T>::open(t, CAPS)?;
    p.warm()?;
    fetching(&p)?;
    let words = |values: &[u64]| -> Vec<u8> {
        values.iter().flat_map(|value| value.to_ne_bytes()).collect()
    };
    let (ty, sum) = (Datatype::Uint64, AtomicOp::Sum);
    let region = exposed(&p.rig, &words(&[1, 2, 3]))?;
    let mut expected = words(&[1, 2, 3]);
    if p.rig.info.tx().iov_limit() >= 2 {
        let pieces = [aligned(&words(&[10])), aligned(&words(&[20, 30]))];
        p.a.atomic(pieces, p.to_b, region.remote(), ty, sum).wait(LIMIT)?;
        expected = words(&[11, 22, 33]);
        progress_until(&p.rig.cq, "a vector", || region.memory().to_vec() == expected);
    }
    let level = ofi::CompletionLevel::Delivery;
    let one = region.remote().slice(..8)?;
    let first = |memory: &Memory| memory.load_u64(0);
    let before = first(region.memory())?;
    p.a.atomic(aligned(&words(&[5])), p.to_b, one, ty, sum).level(level).wait(LIMIT)?;
    let both = (aligned(&words(&[5])), aligned(&[0; 8]));
    let (_, (_, fetched)) =
        p.a.fetch_atomic(both, p.to_b, one, ty, sum).level(level).wait(LIMIT)?;
    assert_eq!(fetched[..], words(&[before + 5]));
    let three = (aligned(&words(&[7])), aligned(&words(&[before + 10])), aligned(&[0; 8]));
    let swap = p.a.compare_atomic(three, p.to_b, one, ty, AtomicOp::Cswap).level(level);
    let (_, (_, _, fetched)) = swap.wait(LIMIT)?;
    assert_eq!(fetched[..], words(&[before + 10]));
    assert_eq!(first(region.memory())?, 7);
    assert_eq!(region.memory().to_vec()[8..], expected[8..]);
    Ok(())
}

// rule: B5
fn injected_atomics<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, CAPS)?;
    p.warm()?;
    let region = exposed(&p.rig, &1_u32.to_ne_bytes())?;
    let (ty, op) = (Datatype::Uint32, AtomicOp::Sum);
    let operand = aligned(&41_u32.to_ne_bytes());
    if p.a.inject_size() < 4 {
        return Ok(());
    }
    let mut posted = false;
    progress_until(&p.rig.cq, "room", || {
        posted = posted || p.a.atomic(&operand, p.to_b, region.remote(), ty, op).inject().is_ok();
        posted
    });
    progress_until(&p.rig.cq, "the sum", || region.memory().to_vec() == 42_u32.to_ne_bytes());
    Ok(())
}

// rule: X1, X5, B16
fn refused_before_the_call_of_atomics<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<(Box<[u8]>, Box<[u8]>)> + ofi::Accepts<([Vec<u8>; 2], Vec<Vec<u8>>)>,
{
    let p = Pair::<K, T>::open(t, CAPS)?;
    let region = exposed(&p.rig, &[0; 64])?;
    let remote = region.remote();
    let (ty, sum) = (Datatype::Uint64, AtomicOp::Sum);
    let kind = |len: usize, target: ofi::RemoteSlice| {
        let failed = p.a.atomic(aligned(&vec![0; len]), p.to_b, target, ty, sum).post();
        let failed = failed.expect_err("not posted");
        let Returned::Back(buffer) = failed.buf else { panic!("it was never posted") };
        assert_eq!(buffer.len(), len);
        failed.error.kind().clone()
    };
    // Lengths that differ, no whole values, values across two.
    assert_eq!(kind(8, remote.slice(..16)?), ErrorKind::Invalid);
    assert_eq!(kind(12, remote.slice(..12)?), ErrorKind::Invalid);
    assert_eq!(kind(8, remote.slice(4..12)?), ErrorKind::Invalid);
    assert_eq!(kind(0, remote.slice(..0)?), ErrorKind::Invalid);
    let odd = Datatype::from_raw(ofi_sys::FI_LONG_DOUBLE);
    assert_eq!(p.a.max_atomic(odd, sum), 0);
    let failed = p.a.atomic(aligned(&[0; 16]), p.to_b, remote.slice(..16)?, odd, sum).post();
    assert!(matches!(failed.expect_err("unknown").error.kind(), ErrorKind::Unsupported { .. }));
    // A sum of bits there is not, nor a comparison that compares nothing.
    assert_eq!(p.a.max_compare_atomic(ty, sum), 0);
    let both = (aligned(&[0; 8]), aligned(&[0; 16]));
    let failed = p.a.fetch_atomic(both, p.to_b, remote.slice(..8)?, ty, sum).post();
    match failed.expect_err("too long a result").error.kind() {
        ErrorKind::Unsupported { .. } => assert!(fetching(&p).is_err()),
        kind => assert_eq!(*kind, ErrorKind::Invalid),
    }
    // Parts that are several pieces, or none: what is to be written to must not be an operand.
    let torn = ([vec![0; 8], vec![0; 8]], Vec::<Vec<u8>>::new());
    let failed = p.a.fetch_atomic(torn, p.to_b, remote.slice(..8)?, Datatype::Uint8, sum).post();
    assert!(!failed.expect_err("torn").error.was_posted());
    let memory = region.memory();
    let readable = p.rig.domain.expose(memory).access(Access::REMOTE_READ).open()?;
    assert_eq!(kind(8, readable.remote().slice(..8)?), ErrorKind::Invalid);
    assert_eq!(memory.to_vec(), [0; 64]);
    Ok(())
}

/// Operands and results stay with the operation until it has ended.
// rule: X3, B1
fn dropped_fetch_in_flight<K: Connectionless, T: Mode>(t: &Target) -> Verdict
where
    T: ofi::Accepts<(Box<[u8]>, Box<[u8]>)>,
{
    let p = Pair::<K, T>::open(t, CAPS)?;
    p.warm()?;
    fetching(&p)?;
    let region = exposed(&p.rig, &[0; 8])?;
    let mut given = 0;
    for _ in 0..10 {
        let one = (aligned(&1_u64.to_ne_bytes()), aligned(&[0; 8]));
        let fetch = p.a.fetch_atomic(one, p.to_b, region.remote(), Datatype::Uint64, AtomicOp::Sum);
        if let Ok(op) = fetch.post() {
            given += 1;
            drop(op);
        }
    }
    progress_until(&p.rig.cq, "what was dropped", || {
        p.a.in_flight() == 0 && region.memory().load_u64(0).is_ok_and(|sum| sum == given)
    });
    Ok(())
}
