//! What the binding costs: a round trip through `ofi` against the same round trip through raw calls
//! of the operations tables, in one process, on one thread, in interleaved rounds.
//!
//! A round trip is 64 bytes each way between two endpoints on one completion queue: four posts and
//! four completions. Medians of rounds, and the ratio to raw with its quartiles. Instructions come
//! from callgrind (as the difference of two lengths of run, so that set-up does not count).
//!
//! Fails if anything allocates per operation; with `--gate` also if a target is missed.
//!
//! `cargo xtask overhead [--json]`, or `cargo bench --bench overhead -- --help`.

mod alloc;
mod contenders;
mod raw;
mod report;

use std::{process::Command, time::Instant};

use contenders::Contender;
use report::Case;

/// Bytes each way.
const BYTES: usize = 64;
/// Posts of a round trip.
const OPERATIONS: f64 = 4.0;
/// Interleaved rounds; a median of these is steady to about 2 %.
const ROUNDS: usize = 41;

const APIS: [&str; 5] = ["raw-domain", "raw-safe", "confined", "shared", "future"];

/// Against which raw calls each is held: those with the same threading model.
fn baseline(api: &str) -> &'static str {
    match api {
        "shared" | "raw-safe" => "raw-safe",
        _ => "raw-domain",
    }
}

fn main() {
    let (bench, args): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word == "--bench");
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["count", provider, api, trips] => count(provider, api, trips.parse().expect("a number")),
        // `cargo test` runs benchmarks to see that they work, not to measure.
        [] if bench.is_empty() => APIS.iter().for_each(|api| contenders::open(api, "shm").run(10)),
        ["--help"] => println!("overhead [--json] [--gate] [--no-instructions] [PROVIDER]…"),
        _ => measure(&words),
    }
}

/// One contender alone, for callgrind.
fn count(provider: &str, api: &str, trips: usize) {
    contenders::open(api, provider).run(trips);
}

fn measure(words: &[&str]) {
    let json = words.contains(&"--json");
    let instructions = !words.contains(&"--no-instructions");
    let mut providers: Vec<&str> = words.iter().copied().filter(|w| !w.starts_with("--")).collect();
    if providers.is_empty() {
        providers = vec!["shm"];
    }
    let cases: Vec<Case> =
        providers.iter().flat_map(|provider| compare(provider, instructions)).collect();
    if json {
        println!("{}", report::json(&cases));
    } else {
        report::table(&cases);
    }
    if let Some(case) = cases.iter().find(|case| case.allocations_per_op > 0.0) {
        eprintln!("{} allocates {} times an operation", case.api, case.allocations_per_op);
        std::process::exit(1);
    }
    // Time is for people to look at; a machine with other work on it would fail at random.
    let gate = words.contains(&"--gate");
    if let Some(case) = cases.iter().find(|case| gate && case.misses_target()) {
        eprintln!("{} on {} stands at {:.3} of raw", case.api, case.provider, case.ratio_to_raw);
        std::process::exit(1);
    }
}

/// All contenders on one provider, round by round.
fn compare(provider: &str, instructions: bool) -> Vec<Case> {
    let mut field: Vec<Box<dyn Contender>> =
        APIS.iter().map(|api| contenders::open(api, provider)).collect();
    // A round of about 5 ms each.
    let trips = trips_in(&mut *field[0], 5_000_000.0);
    for contender in &mut field {
        contender.run(trips);
    }
    let mut rounds: Vec<_> = field.iter().map(|_| Vec::with_capacity(ROUNDS)).collect();
    let mut allocations = vec![0; field.len()];
    for _ in 0..ROUNDS {
        for (at, contender) in field.iter_mut().enumerate() {
            let before = alloc::count();
            let start = Instant::now();
            contender.run(trips);
            rounds[at].push(start.elapsed().as_nanos() as f64 / trips as f64);
            allocations[at] += alloc::count() - before;
        }
    }
    drop(field);
    let find = |api: &str| APIS.iter().position(|a| *a == api).expect("a known api");
    APIS.iter()
        .enumerate()
        .map(|(at, api)| {
            let base = &rounds[find(baseline(api))];
            let mut ratios: Vec<f64> = rounds[at].iter().zip(base).map(|(a, b)| a / b).collect();
            ratios.sort_by(f64::total_cmp);
            let mut times = rounds[at].clone();
            times.sort_by(f64::total_cmp);
            Case {
                provider: provider.to_owned(),
                api,
                baseline: baseline(api),
                ns_per_rtt: times[ROUNDS / 2],
                ratio_to_raw: ratios[ROUNDS / 2],
                q1: ratios[ROUNDS / 4],
                q3: ratios[ROUNDS * 3 / 4],
                instructions_per_op: if instructions {
                    instructions_of(provider, api)
                } else {
                    None
                },
                allocations_per_op: allocations[at] as f64
                    / (ROUNDS as f64 * trips as f64 * OPERATIONS),
            }
        })
        .collect()
}

fn trips_in(contender: &mut dyn Contender, nanos: f64) -> usize {
    contender.run(100);
    let start = Instant::now();
    contender.run(1000);
    (nanos / (start.elapsed().as_nanos() as f64 / 1000.0)).max(50.0) as usize
}

/// Instructions of one operation, as callgrind counts them: library, provider and binding.
fn instructions_of(provider: &str, api: &str) -> Option<f64> {
    const SHORT: usize = 500;
    const LONG: usize = 2500;
    let total = |trips: usize| -> Option<f64> {
        let program = std::env::current_exe().ok()?;
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args(["count", provider, api, &trips.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find(|line| line.contains("Collected :"))?;
        line.split(':').nth(1)?.trim().parse().ok()
    };
    Some((total(LONG)? - total(SHORT)?) / ((LONG - SHORT) as f64 * OPERATIONS))
}
