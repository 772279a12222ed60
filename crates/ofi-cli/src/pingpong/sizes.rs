//! Which message sizes run. Both sides work them out by themselves, so they must agree to the last.

use std::str::FromStr;

/// What `-S` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// Powers of two, and halfway to the next.
    All,
    /// One.
    One(usize),
}

/// Without `-S`.
const DEFAULT: [usize; 6] = [64, 256, 1024, 4096, 65536, 1 << 20];

/// The largest message of any run without `-S SIZE`, in bytes.
const LARGEST: usize = (1 << 22) + (1 << 21);

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        if text.eq_ignore_ascii_case("all") {
            return Ok(Sizes::All);
        }
        match text.parse::<i32>() {
            Ok(size) if size >= 0 => Ok(Sizes::One(size as usize)),
            _ => Err(format!("a number up to {}, or `all`", i32::MAX)),
        }
    }
}

/// The longest message that may come, where the endpoint takes up to `limit` bytes.
pub(super) fn longest(sizes: Option<Sizes>, limit: usize) -> usize {
    let wanted = match sizes {
        Some(Sizes::One(size)) => size,
        _ => LARGEST,
    };
    wanted.min(limit)
}

/// The sizes to run, none above `longest`.
pub(super) fn list(sizes: Option<Sizes>, longest: usize) -> Vec<usize> {
    match sizes {
        None => DEFAULT.into_iter().take_while(|size| *size <= longest).collect(),
        Some(Sizes::One(size)) => Some(size).filter(|size| *size <= longest).into_iter().collect(),
        Some(Sizes::All) => (0..32)
            .flat_map(|power| match power {
                0 => [0, 1],
                _ => [1 << power, (1 << power) + (1 << (power - 1))],
            })
            .take_while(|size| *size <= longest)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_list_stops_at_what_fits() {
        assert_eq!(list(None, longest(None, usize::MAX)), DEFAULT);
        assert_eq!(list(None, longest(None, 1472)), [64, 256, 1024]);
    }

    #[test]
    fn all_is_46_sizes_and_21_on_udp() {
        let all = list(Some(Sizes::All), longest(Some(Sizes::All), usize::MAX));
        assert_eq!((all.len(), &all[..8]), (46, &[0, 1, 2, 3, 4, 6, 8, 12][..]));
        assert_eq!(all.last(), Some(&LARGEST));
        assert_eq!(list(Some(Sizes::All), 1472).len(), 21);
    }

    #[test]
    fn one_size_runs_if_it_fits() {
        let one = "5000".parse().ok();
        assert!(list(one, longest(one, 1472)).is_empty());
        assert_eq!(list(one, longest(one, 65536)), [5000]);
        assert!("-1".parse::<Sizes>().is_err() && "x".parse::<Sizes>().is_err());
        assert_eq!("ALL".parse(), Ok(Sizes::All));
    }
}
