//! `ofi selftest`: does libfabric work here, provider by provider?
//!
//! ```text
//! cell.rs     one check of one kind of endpoint, and what comes of it
//! child.rs    each cell in child processes of this program, under a deadline
//! play.rs     what such a child does; play/messages.rs  what it sends
//! hosts.rs    the other process, here or on another host; channel.rs  how they talk
//! report.rs   the table, and JSON
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ofi::{Defect, Hints, Info, quirk};

use crate::{info, print};

mod cell;
mod channel;
mod child;
mod hosts;
mod play;
mod report;

use cell::{Cell, Check, EndpointKind, Outcome, Part, Place, Target, Verdict};
use child::Player;
use hosts::{Hello, Host};
use report::Report;

/// What to test.
#[derive(clap::Args)]
#[command(
    after_help = "Every check runs in child processes of its own. Verdicts: ok; unsupported \
                        (fi_getinfo, a query or a limit says so); broken upstream #N (a known \
                        defect); FAILED (anything else: the exit code is 1)."
)]
pub(crate) struct Args {
    /// Only this provider, and its layerings; may be given again [default: all there are]
    #[arg(short, long, value_name = "NAME")]
    provider: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write versions, NICs, environment and results to a file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Play the other part for a host that runs `ofi selftest --connect`
    #[arg(long, conflicts_with_all = ["connect", "json", "report"])]
    listen: bool,
    /// Test between this host and one that runs `ofi selftest --listen`
    #[arg(long, value_name = "HOST")]
    connect: Option<String>,
    /// Port of --listen
    #[arg(long, value_name = "PORT", default_value_t = hosts::PORT)]
    port: u16,
    /// How long one check may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// The cell that a child plays
    #[arg(long, hide = true, requires = "part")]
    cell: Option<String>,
    /// The part that a child plays
    #[arg(long, hide = true, requires = "cell")]
    part: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let (Some(cell), Some(part)) = (&args.cell, &args.part) {
        let (cell, part) = (serde_json::from_str(cell)?, serde_json::from_str::<Part>(part)?);
        return play::run(&cell, &part).map(|()| ExitCode::SUCCESS);
    }
    let found = find(&args.provider)?;
    let hello = Hello::new(found.keys().cloned());
    if args.listen {
        let passed = hosts::serve(args.port, &hello)?;
        return Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let start = Instant::now();
    let (results, other_libfabric) = match &args.connect {
        None => (between_processes(args, &hello.targets)?, None),
        Some(name) => {
            let mut host = Host::connect(name, args.port, &hello)?;
            let results = between_hosts(args, &hello.targets, &mut host)?;
            (results, Some(host.hello.libfabric))
        }
    };
    let report = Report {
        ofi: env!("CARGO_PKG_VERSION"),
        libfabric: ofi::version().to_string(),
        other_libfabric,
        host: report::host(),
        environment: report::environment(),
        nics: nics(found.values()),
        seconds: start.elapsed().as_secs_f64(),
        failed: results.iter().filter(|outcome| outcome.verdict.is_failure()).count(),
        results,
    };
    let json = || Ok::<_, serde_json::Error>(serde_json::to_string_pretty(&report)? + "\n");
    if let Some(file) = &args.report {
        std::fs::write(file, json()?).with_context(|| format!("writing {}", file.display()))?;
    }
    print(&if args.json { json()? } else { report.text() })?;
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every provider and kind of endpoint that there is, and its best entry.
fn find(providers: &[String]) -> anyhow::Result<BTreeMap<Target, Info>> {
    let mut found = BTreeMap::new();
    let mut take = |hints: Hints| -> anyhow::Result<()> {
        let list = match hints.query() {
            Ok(list) => list,
            Err(error) if *error.kind() == ofi::ErrorKind::NotFound => {
                bail!("nothing to test\n{}", hints.explain()?)
            }
            Err(error) => return Err(error.into()),
        };
        for info in list {
            if let Some(kind) = EndpointKind::from_type(info.endpoint_type()) {
                let target = Target { provider: info.provider().to_owned(), kind };
                found.entry(target).or_insert(info);
            }
        }
        Ok(())
    };
    if providers.is_empty() {
        take(Hints::everything())?;
    }
    for provider in providers {
        take(Hints::everything().provider(provider))?;
    }
    if found.is_empty() {
        bail!("libfabric has no provider with endpoints here");
    }
    Ok(found)
}

/// What is known about the network interfaces behind the entries: each once.
fn nics<'a>(entries: impl Iterator<Item = &'a Info>) -> Vec<serde_json::Value> {
    let mut nics: Vec<serde_json::Value> = Vec::new();
    for nic in entries.filter_map(Info::nic).map(|nic| info::nic(&nic)) {
        if !nics.contains(&nic) {
            nics.push(nic);
        }
    }
    nics
}

/// All cells of these targets.
fn cells(args: &Args, targets: &BTreeSet<Target>, places: &[Place], source: IpAddr) -> Vec<Cell> {
    let patience = args.timeout * 1000 / 2;
    let mut cells = Vec::new();
    for target in targets {
        for place in places {
            let checks = Check::ALL.into_iter().filter(|check| check.applies(target.kind, *place));
            cells.extend(checks.map(|check| Cell {
                target: target.clone(),
                check,
                place: *place,
                source,
                patience,
            }));
        }
    }
    cells
}

fn between_processes(args: &Args, targets: &BTreeSet<Target>) -> anyhow::Result<Vec<Outcome>> {
    let places = [Place::OneProcess, Place::TwoProcesses];
    let cells = cells(args, targets, &places, Ipv4Addr::LOCALHOST.into());
    let bar = bar(args, cells.len());
    let limit = Duration::from_secs(args.timeout);
    // Children mostly wait for providers that look for devices: two at a time.
    let next = Mutex::new(cells.iter().enumerate());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((index, cell)) = taken else { return };
                    let outcome = timed(cell, &bar, || match cell.place {
                        Place::OneProcess => {
                            let deadline = Instant::now() + limit;
                            Ok(Player::start(cell, &Part::Both, deadline)?.verdict())
                        }
                        Place::TwoProcesses => hosts::play_here(cell, limit),
                    });
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

fn between_hosts(
    args: &Args,
    targets: &BTreeSet<Target>,
    host: &mut Host,
) -> anyhow::Result<Vec<Outcome>> {
    let source = host.source()?;
    let cells = cells(args, targets, &[Place::TwoProcesses], source);
    let bar = bar(args, cells.len());
    let limit = Duration::from_secs(args.timeout);
    let mut outcomes = Vec::new();
    for cell in &cells {
        outcomes.push(timed(cell, &bar, || {
            if host.hello.targets.contains(&cell.target) {
                host.play(cell, limit)
            } else {
                Ok(Verdict::unsupported("fi_getinfo on the other host: not there"))
            }
        })?);
    }
    bar.finish_and_clear();
    Ok(outcomes)
}

/// Plays a cell unless its provider is known to be broken as a whole.
fn timed(
    cell: &Cell,
    bar: &ProgressBar,
    play: impl FnOnce() -> anyhow::Result<Verdict>,
) -> anyhow::Result<Outcome> {
    bar.set_message(cell.title());
    let start = Instant::now();
    let verdict = match quirk(&cell.target.provider, Defect::Unusable) {
        Some(known) => Verdict::BrokenUpstream { number: known.id, reason: known.text.to_owned() },
        None => play()?,
    };
    bar.inc(1);
    Ok(Outcome {
        target: cell.target.clone(),
        check: cell.check,
        place: cell.place,
        verdict,
        milliseconds: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

fn bar(args: &Args, cells: usize) -> ProgressBar {
    let visible = !args.json && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}");
    ProgressBar::with_draw_target(Some(cells as u64), target)
        .with_style(style.expect("the template is fixed"))
}
