//! The lines that the programs print, in fabtests' columns.

use std::time::Duration;

/// Prints the head once, then a line for each measurement.
#[derive(Debug, Default)]
pub struct Report {
    begun: bool,
}

impl Report {
    /// A line: what was done, how many bytes, how often, how long it took.
    pub fn line(&mut self, name: Option<&str>, size: usize, count: usize, took: Duration) {
        let named = |text: &str| name.map(|_| format!("{text:<50}")).unwrap_or_default();
        if !self.begun {
            self.begun = true;
            println!(
                "{}{:<8}{:<8}{:<8}{:>8} {:>10}{:>13}{:>13}",
                named("name"),
                "bytes",
                "iters",
                "total",
                "time",
                "MB/sec",
                "usec/xfer",
                "Mxfers/sec"
            );
        }
        let micros = took.as_micros().max(1) as f64;
        let (each, total) = (micros / count as f64, (size * count) as f64);
        println!(
            "{}{:<8}{:<8}{:<8}{:>8.2}s{:>10.2}{:>11.2}{:>11.2}",
            named(name.unwrap_or_default()),
            bytes(size),
            times(count),
            bytes(size * count),
            micros / 1e6,
            total / micros,
            each,
            1.0 / each
        );
    }
}

/// Bytes with a unit, and a digit after the point where there is one before it.
fn bytes(count: usize) -> String {
    let (base, unit) = match count {
        0x4000_0000.. => (1 << 30, "g"),
        0x10_0000.. => (1 << 20, "m"),
        0x400.. => (1 << 10, "k"),
        _ => (1, ""),
    };
    let (whole, tenths) = (count / base, count % base * 10 / base);
    if whole < 10 && tenths > 0 {
        format!("{whole}.{tenths}{unit}")
    } else {
        format!("{whole}{unit}")
    }
}

fn times(count: usize) -> String {
    match count {
        1_000_000_000.. => format!("{}b", count / 1_000_000_000),
        1_000_000.. => format!("{}m", count / 1_000_000),
        1_000.. => format!("{}k", count / 1_000),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_fabtests() {
        let words: Vec<String> = [64, 1536, 819_200, 1 << 20, 3 << 30].map(bytes).into();
        assert_eq!(words, ["64", "1.5k", "800k", "1m", "3g"]);
        assert_eq!([200, 20_000].map(times), ["200", "20k"]);
    }
}
