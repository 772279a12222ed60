//! What a run prints: the columns of `fi_pingpong`, or JSON; a bar on a terminal.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ofi::Info;
use serde::Serialize;

use super::{Args, Role};
use crate::print;

/// Below this many bytes, moving the bar costs as much as a message: move it rarely.
const QUICK: usize = 65536;

pub(super) struct Report {
    json: Option<Document>,
    header: bool,
    iterations: u32,
    bar: ProgressBar,
    before: u64,
}

/// The whole run.
#[derive(Serialize)]
struct Document {
    provider: String,
    domain: Option<String>,
    endpoint_type: String,
    role: &'static str,
    iterations: u32,
    checked: bool,
    libfabric: String,
    sizes: Vec<Line>,
}

/// One size.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Line {
    bytes: usize,
    sent: u32,
    acknowledged: u64,
    total_bytes: u64,
    seconds: f64,
    megabytes_per_second: Option<f64>,
    microseconds_per_transfer: f64,
    megatransfers_per_second: Option<f64>,
}

impl Report {
    pub(super) fn new(args: &Args, info: &Info, sizes: &[usize]) -> Report {
        let visible = std::io::stderr().is_terminal() && !args.verbose;
        let bar = ProgressBar::with_draw_target(
            Some(sizes.len() as u64 * u64::from(args.iterations)),
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        )
        .with_style(
            ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {elapsed}")
                .expect("the template is fixed"),
        );
        Report {
            json: args.json.then(|| Document {
                provider: info.provider().to_owned(),
                domain: info.domain().name().map(str::to_owned),
                endpoint_type: info.endpoint_type().to_string(),
                role: match args.role() {
                    Role::Client => "client",
                    Role::Server => "server",
                },
                iterations: args.iterations,
                checked: args.check,
                libfabric: ofi::version().to_string(),
                sizes: Vec::new(),
            }),
            header: true,
            iterations: args.iterations,
            bar,
            before: 0,
        }
    }

    /// `done` messages of this size are through.
    pub(super) fn tick(&mut self, size: usize, done: u32) {
        if done == 1 {
            self.bar.set_message(format!("{size} bytes"));
        }
        if size >= QUICK || done % 1024 == 0 {
            self.bar.set_position(self.before + u64::from(done));
        }
    }

    /// A size is through.
    pub(super) fn line(
        &mut self,
        size: usize,
        acknowledged: u64,
        elapsed: Duration,
    ) -> anyhow::Result<()> {
        self.before += u64::from(self.iterations);
        self.bar.set_position(self.before);
        if self.iterations == 0 {
            return Ok(());
        }
        let line = Line::new(size, self.iterations, acknowledged, elapsed);
        if let Some(document) = &mut self.json {
            document.sizes.push(line);
            return Ok(());
        }
        let header = if std::mem::take(&mut self.header) { HEADER } else { "" };
        self.bar.suspend(|| print(&format!("{header}{}\n", line.columns())))
    }

    pub(super) fn end(self) -> anyhow::Result<()> {
        self.bar.finish_and_clear();
        match self.json {
            Some(document) => print(&format!("{}\n", serde_json::to_string_pretty(&document)?)),
            None => Ok(()),
        }
    }
}

const HEADER: &str =
    "bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec\n";

impl Line {
    fn new(bytes: usize, sent: u32, acknowledged: u64, elapsed: Duration) -> Line {
        let total_bytes = bytes as u64 * u64::from(sent) * 2;
        let microseconds = elapsed.as_secs_f64() * 1e6;
        let each = microseconds / f64::from(sent) / 2.0;
        // A clock that did not move makes no rate.
        let rate = |value: f64| value.is_finite().then_some(value);
        Line {
            bytes,
            sent,
            acknowledged,
            total_bytes,
            seconds: elapsed.as_secs_f64(),
            megabytes_per_second: rate(total_bytes as f64 / microseconds),
            microseconds_per_transfer: each,
            megatransfers_per_second: rate(1.0 / each),
        }
    }

    /// The columns of `fi_pingpong`.
    fn columns(&self) -> String {
        let (sent, acknowledged) = (u64::from(self.sent), self.acknowledged);
        let (sign, difference) = match acknowledged.cmp(&sent) {
            std::cmp::Ordering::Equal => ('=', acknowledged),
            std::cmp::Ordering::Greater => ('-', acknowledged - sent),
            std::cmp::Ordering::Less => ('+', sent - acknowledged),
        };
        format!(
            "{:<8}{:<8}{sign}{:<8}{:<8}{:>8.2}s{:>10.2}{:>11.2}{:>11.2}",
            size(self.bytes as u64),
            count(sent),
            count(difference),
            size(self.total_bytes),
            self.seconds,
            self.megabytes_per_second.unwrap_or(f64::INFINITY),
            self.microseconds_per_transfer,
            self.megatransfers_per_second.unwrap_or(f64::INFINITY),
        )
    }
}

/// Bytes in the unit that fits, with a digit after the point below ten.
fn size(bytes: u64) -> String {
    let (unit, letter) = match bytes {
        0x4000_0000.. => (1 << 30, "g"),
        0x10_0000.. => (1 << 20, "m"),
        0x400.. => (1 << 10, "k"),
        _ => (1, ""),
    };
    let whole = bytes / unit;
    match bytes % unit * 10 / unit {
        tenth if whole < 10 && tenth > 0 => format!("{whole}.{tenth}{letter}"),
        _ => format!("{whole}{letter}"),
    }
}

/// A number in the unit that fits.
fn count(number: u64) -> String {
    match number {
        1_000_000_000.. => format!("{}b", number / 1_000_000_000),
        1_000_000.. => format!("{}m", number / 1_000_000),
        1_000.. => format!("{}k", number / 1_000),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that fi_pingpong 1.17 printed.
    #[test]
    fn columns_are_those_of_fi_pingpong() {
        let line = Line::new(4 << 20, 20, 20, Duration::from_micros(214_001));
        assert_eq!(
            line.columns(),
            "4m      20      =20      160m        0.21s    783.98    5350.02       0.00"
        );
        let line = Line::new(1, 20, 20, Duration::from_micros(30));
        assert_eq!(
            line.columns(),
            "1       20      =20      40          0.00s      1.33       0.75       1.33"
        );
    }

    #[test]
    fn sizes_and_counts_are_short() {
        assert_eq!(
            [0, 1, 1023, 1536, 10240, 6 << 20].map(size),
            ["0", "1", "1023", "1.5k", "10k", "6m"]
        );
        assert_eq!([999, 1000, 2_500_000].map(count), ["999", "1k", "2m"]);
        assert!(Line::new(64, 10, 9, Duration::from_micros(5)).columns().contains("+1 "));
    }

    #[test]
    fn a_clock_that_stands_still_makes_no_rate() {
        let line = Line::new(64, 10, 10, Duration::ZERO);
        assert_eq!((line.megabytes_per_second, line.megatransfers_per_second), (None, None));
    }
}
