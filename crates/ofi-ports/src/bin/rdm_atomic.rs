//! Every atomic operation on every type, both ways at once: fabtests' `fi_rdm_atomic`.
//!
//! With `-v`, which the original does not have, each is first applied to known values, and what it
//! fetched and what it left there is looked at. Only this side changes the other's value, so that holds
//! against C as well.
#![forbid(unsafe_code)]

use std::{process::ExitCode, time::Instant};

use anyhow::{Context, bail, ensure};
use ofi::{
    Address, AtomicOp, Caps, CompletionLevel, Confined, Datatype, Endpoint, Rdm, RemoteSlice,
};
use ofi_ports::{Args, Program, Report, Session, Target};

const PROGRAM: Program = Program {
    about: "rdm_atomic [-p provider] [-s address] [-B port] [-P port] [-b[=port]] [-E[=port]] \
            [-O address] [-o all] [-I times] [-S size] [-v] [-U] [host]",
    tagged: false,
    oob_sync: false,
    size: None,
    window: 64,
    options: "ISvUo",
};

/// In the order of C, which both sides go through in step.
const OPERATIONS: [AtomicOp; 19] = [
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
];

const TYPES: [Datatype; 14] = [
    Datatype::Int8,
    Datatype::Uint8,
    Datatype::Int16,
    Datatype::Uint16,
    Datatype::Int32,
    Datatype::Uint32,
    Datatype::Int64,
    Datatype::Uint64,
    Datatype::Float,
    Datatype::Double,
    Datatype::FloatComplex,
    Datatype::DoubleComplex,
    Datatype::Int128,
    Datatype::Uint128,
];

/// One operation on one type, at one place.
struct Atomic<'a> {
    endpoint: &'a Endpoint<Rdm, Confined>,
    peer: Address,
    there: RemoteSlice,
    args: &'a Args,
    datatype: Datatype,
    op: AtomicOp,
}

fn main() -> ExitCode {
    ofi_ports::main(|| {
        let args = Args::parse(&PROGRAM)?;
        if !matches!(args.operation.as_deref(), None | Some("all")) {
            bail!("-o: there is only `all` here");
        }
        let mut session =
            Session::open(args, &PROGRAM, |hints| hints.caps(Caps::MSG | Caps::ATOMIC))?;
        let longest = session.args.size.unwrap_or(1024);
        let target = Target::exchange(&mut session, longest)?;
        let (mut report, mut checked) = (Report::default(), 0);
        for op in OPERATIONS {
            session.sync()?;
            for datatype in TYPES {
                checked += one(&session, &target, &mut report, datatype, op)
                    .with_context(|| format!("{op} of {datatype}"))?;
            }
            session.sync()?;
        }
        if session.args.verify {
            println!("{checked} operations checked");
            ensure!(checked > 0, "nothing was checked");
        }
        session.sync()?;
        session.farewell()?;
        target.close()?;
        session.close()
    })
}

/// Does one operation on one type, if the provider can. Returns how many were checked.
fn one(
    session: &Session,
    target: &Target,
    report: &mut Report,
    datatype: Datatype,
    op: AtomicOp,
) -> anyhow::Result<usize> {
    let endpoint = &session.endpoint;
    let (form, most) = match form(op) {
        Form::Base => ("base", endpoint.max_atomic(datatype, op)),
        Form::Fetch => ("fetch", endpoint.max_fetch_atomic(datatype, op)),
        Form::Compare => ("compare", endpoint.max_compare_atomic(datatype, op)),
    };
    let Some(size) = datatype.size().filter(|_| most > 0) else {
        eprintln!("Provider doesn't support {op} {form} atomic operation on {datatype}");
        return Ok(0);
    };
    let there = target.there_in(0, size)?;
    let (peer, args) = (session.peer, &session.args);
    let atomic = Atomic { endpoint, peer, there, args, datatype, op };
    let checked = if args.verify { atomic.check()? } else { 0 };
    let count = args.iterations.unwrap_or(1000);
    let begun = Instant::now();
    for _ in 0..count {
        atomic.apply(vec![0; size], vec![0; size])?;
    }
    let name = format!("{datatype}_{op}_{form}_lat");
    report.line(Some(&name), size, count, begun.elapsed());
    Ok(checked)
}

/// What a C program calls the three calls.
enum Form {
    Base,
    Fetch,
    Compare,
}

fn form(op: AtomicOp) -> Form {
    match op {
        AtomicOp::Read => Form::Fetch,
        AtomicOp::Cswap
        | AtomicOp::CswapNe
        | AtomicOp::CswapLe
        | AtomicOp::CswapLt
        | AtomicOp::CswapGe
        | AtomicOp::CswapGt
        | AtomicOp::Mswap => Form::Compare,
        _ => Form::Base,
    }
}

impl Atomic<'_> {
    /// Applies it, and returns what it fetched.
    fn apply(&self, operand: Vec<u8>, compare: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let Atomic { endpoint, peer, there, datatype, op, .. } = *self;
        let patience = self.args.patience;
        let result = vec![0; operand.len()];
        match form(op) {
            Form::Base => {
                let mut apply = endpoint.atomic(operand, peer, there, datatype, op);
                if self.args.delivery || self.args.verify {
                    apply = apply.level(CompletionLevel::Delivery);
                }
                apply.wait(patience).map_err(ofi::Error::from)?;
                Ok(result)
            }
            Form::Fetch => {
                let fetch = endpoint.fetch_atomic((operand, result), peer, there, datatype, op);
                let (_, (_, result)) = fetch.wait(patience).map_err(ofi::Error::from)?;
                Ok(result)
            }
            Form::Compare => {
                let buffers = (operand, compare, result);
                let compare = endpoint.compare_atomic(buffers, peer, there, datatype, op);
                let (_, (_, _, result)) = compare.wait(patience).map_err(ofi::Error::from)?;
                Ok(result)
            }
        }
    }

    /// Applies it to known values, and looks at what is there afterwards: 0 if that cannot be done.
    fn check(&self) -> anyhow::Result<usize> {
        let all = [AtomicOp::Write, AtomicOp::Read];
        let possible = self.endpoint.max_atomic(self.datatype, all[0]) > 0
            && self.endpoint.max_fetch_atomic(self.datatype, all[1]) > 0;
        // Two complex numbers are not one word.
        if !possible || encode(self.datatype, 0).is_none() {
            return Ok(0);
        }
        let [write, read] = all.map(|op| Atomic { op, ..*self });
        let value = |value| encode(self.datatype, value).expect("looked at above");
        // Others for each type, so that each operation sees all of them.
        let cases = [(6, 3, 5), (3, 6, 3), (0, 5, 1), (5, 0, 6)];
        let (old, operand, compare) = cases[self.datatype.raw() as usize % cases.len()];
        write.apply(value(old), value(0))?;
        let fetched = self.apply(value(operand), value(compare))?;
        let there = read.apply(value(0), value(0))?;
        let wanted = value(model(self.op, old, operand, compare));
        ensure!(
            there == wanted,
            "{old} with {operand} (and {compare}) became {there:?}, not {wanted:?}"
        );
        if !matches!(form(self.op), Form::Base) {
            ensure!(fetched == value(old), "{fetched:?} was fetched where {old} was");
        }
        Ok(1)
    }
}

/// What becomes of `old`. Small numbers, so that every type has them.
fn model(op: AtomicOp, old: i64, operand: i64, compare: i64) -> i64 {
    let swap = |swaps: bool| if swaps { operand } else { old };
    match op {
        AtomicOp::Min => old.min(operand),
        AtomicOp::Max => old.max(operand),
        AtomicOp::Sum => old + operand,
        AtomicOp::Prod => old * operand,
        AtomicOp::Lor => i64::from(old != 0 || operand != 0),
        AtomicOp::Land => i64::from(old != 0 && operand != 0),
        AtomicOp::Lxor => i64::from((old != 0) != (operand != 0)),
        AtomicOp::Bor => old | operand,
        AtomicOp::Band => old & operand,
        AtomicOp::Bxor => old ^ operand,
        AtomicOp::Read => old,
        AtomicOp::Write => operand,
        AtomicOp::Cswap => swap(compare == old),
        AtomicOp::CswapNe => swap(compare != old),
        AtomicOp::CswapLe => swap(compare <= old),
        AtomicOp::CswapLt => swap(compare < old),
        AtomicOp::CswapGe => swap(compare >= old),
        AtomicOp::CswapGt => swap(compare > old),
        AtomicOp::Mswap => (operand & compare) | (old & !compare),
        _ => unreachable!("not among the operations"),
    }
}

/// A number in the host's form of a type.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
fn encode(datatype: Datatype, value: i64) -> Option<Vec<u8>> {
    Some(match datatype {
        Datatype::Int8 | Datatype::Uint8 => vec![value as u8],
        Datatype::Int16 | Datatype::Uint16 => (value as u16).to_ne_bytes().to_vec(),
        Datatype::Int32 | Datatype::Uint32 => (value as u32).to_ne_bytes().to_vec(),
        Datatype::Int64 | Datatype::Uint64 => value.to_ne_bytes().to_vec(),
        Datatype::Float => (value as f32).to_ne_bytes().to_vec(),
        Datatype::Double => (value as f64).to_ne_bytes().to_vec(),
        _ => return None,
    })
}
