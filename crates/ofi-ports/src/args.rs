//! The options of fabtests that the three programs understand.

use std::time::Duration;

use anyhow::{Context, bail};

/// What is said on the command line, in fabtests' letters.
#[derive(Clone, Debug)]
pub struct Args {
    /// `-p`: the provider.
    pub provider: Option<String>,
    /// `-s`: this side's address.
    pub source: Option<String>,
    /// `-B`: this side's port.
    pub source_port: Option<u16>,
    /// `-P`: the server's port.
    pub dest_port: u16,
    /// The server, for its client.
    pub host: Option<String>,
    /// `-b` or `-E`: addresses are exchanged over a socket.
    pub oob_addresses: bool,
    /// `-b`: so are the signs to go on.
    pub oob_sync: bool,
    /// Its port.
    pub oob_port: u16,
    /// `-O`: its address, where that is another than the fabric's.
    pub oob_host: Option<String>,
    /// `-I`: how often.
    pub iterations: Option<usize>,
    /// `-w`: how often before that.
    pub warmup: usize,
    /// `-S`: how many bytes. `None`: several sizes.
    pub size: Option<usize>,
    /// `-S all`: all of them.
    pub every_size: bool,
    /// `-W`: how many operations at once.
    pub window: usize,
    /// `-v`: looks at what has come.
    pub verify: bool,
    /// `-U`: operations end when they were delivered.
    pub delivery: bool,
    /// `-o`: the operation.
    pub operation: Option<String>,
    /// `--timeout`, in seconds: how long to wait for anything.
    pub patience: Duration,
}

/// What a program takes for granted.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// What it is for.
    pub about: &'static str,
    /// Its messages are tagged.
    pub tagged: bool,
    /// It keeps in step over a socket.
    pub oob_sync: bool,
    /// Its only size.
    pub size: Option<usize>,
    /// How many operations at once.
    pub window: usize,
    /// The letters that only some programs know, of `IwSWvUo`.
    pub options: &'static str,
}

/// Where fabtests' servers are, unless told otherwise.
const PORT: u16 = 9228;
const OOB_PORT: u16 = 3000;

impl Args {
    /// Reads the command line.
    ///
    /// # Errors
    ///
    /// What is not understood.
    pub fn parse(program: &Program) -> anyhow::Result<Args> {
        Args::read(program, std::env::args().skip(1))
    }

    fn read(program: &Program, words: impl Iterator<Item = String>) -> anyhow::Result<Args> {
        let mut args = Args {
            provider: None,
            source: None,
            source_port: None,
            dest_port: PORT,
            host: None,
            oob_addresses: false,
            oob_sync: program.oob_sync,
            oob_port: OOB_PORT,
            oob_host: None,
            iterations: None,
            warmup: 10,
            size: program.size,
            every_size: false,
            window: program.window,
            verify: false,
            delivery: false,
            operation: None,
            patience: Duration::from_secs(60),
        };
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            if word == "--timeout" {
                let value = words.next().context("--timeout: how many seconds?")?;
                args.patience = Duration::from_secs(number(&word, &value)?);
                continue;
            }
            let Some(letter) = word.strip_prefix('-').and_then(|rest| rest.chars().next()) else {
                args.host = Some(word);
                continue;
            };
            if "IwSWvUo".contains(letter) && !program.options.contains(letter) {
                bail!("not understood: {word}\n\n{}", program.about);
            }
            let attached = &word[1 + letter.len_utf8()..];
            let mut value = || match attached {
                "" => words.next().with_context(|| format!("{word}: what?")),
                text => Ok(text.to_owned()),
            };
            match letter {
                'p' => args.provider = Some(value()?),
                's' => args.source = Some(value()?),
                'B' => args.source_port = Some(number(&word, &value()?)?),
                'P' => args.dest_port = number(&word, &value()?)?,
                'b' | 'E' => {
                    args.oob_addresses = true;
                    args.oob_sync |= letter == 'b';
                    if let Some(port) = attached.strip_prefix('=') {
                        args.oob_port = number(&word, port)?;
                    }
                }
                'O' => args.oob_host = Some(value()?),
                'I' => args.iterations = Some(number(&word, &value()?)?),
                'w' => args.warmup = number(&word, &value()?)?,
                'S' => match value()?.as_str() {
                    "all" => (args.size, args.every_size) = (None, true),
                    text => args.size = Some(number(&word, text)?),
                },
                'W' => args.window = number(&word, &value()?)?,
                'v' if attached.is_empty() => args.verify = true,
                'U' if attached.is_empty() => args.delivery = true,
                'o' => args.operation = Some(value()?),
                _ => bail!("not understood: {word}\n\n{}", program.about),
            }
        }
        if args.window == 0 {
            bail!("-W: at least one operation at once");
        }
        Ok(args)
    }

    /// Whether there is a socket beside the fabric.
    #[must_use]
    pub fn oob(&self) -> bool {
        self.oob_sync || self.oob_addresses
    }

    /// Whether the host that was named is that of the socket alone.
    #[must_use]
    pub fn host_is_oob(&self) -> bool {
        self.oob_addresses && self.oob_host.is_none()
    }

    /// The sizes to try, of those up to the longest message.
    #[must_use]
    pub fn sizes(&self, longest: usize) -> Vec<usize> {
        if let Some(size) = self.size {
            return vec![size];
        }
        const DEFAULT: [u32; 6] = [6, 8, 10, 12, 16, 20];
        let powers = 0..24_u32;
        let sizes = powers.flat_map(|power| match (self.every_size, power) {
            // Powers of two, and those half-way between.
            (true, 0 | 23) => vec![1 << power],
            (true, _) => vec![1 << power, (1 << power) + (1 << (power - 1))],
            (false, _) if DEFAULT.contains(&power) => vec![1 << power],
            (false, _) => vec![],
        });
        sizes.filter(|size| *size <= longest).collect()
    }

    /// How often an operation of this size is done.
    #[must_use]
    pub fn count(&self, size: usize) -> usize {
        self.iterations.unwrap_or(match size {
            0..0x10000 => 20000,
            0x10000..0x10_0000 => 2000,
            _ => 200,
        })
    }
}

fn number<N: std::str::FromStr>(option: &str, text: &str) -> anyhow::Result<N> {
    text.parse().ok().with_context(|| format!("{option}: {text} is no number that fits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        about: "",
        tagged: false,
        oob_sync: false,
        size: None,
        window: 64,
        options: "IwSWvUo",
    };

    fn read(line: &str) -> anyhow::Result<Args> {
        Args::read(&PROGRAM, line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn letters_are_as_getopt_takes_them() {
        let args = read("-p sockets -B7001 -E=7002 -vI5 -S 64 -o read there");
        assert!(args.is_err(), "letters stand alone here");
        let args = read("-p sockets -B7001 -E=7002 -v -I5 -S 64 -o read there").unwrap();
        assert_eq!(args.provider.as_deref(), Some("sockets"));
        assert_eq!((args.source_port, args.oob_port), (Some(7001), 7002));
        assert!(args.oob_addresses && !args.oob_sync && args.host_is_oob() && args.verify);
        assert_eq!((args.iterations, args.sizes(1 << 20)), (Some(5), vec![64]));
        assert_eq!(args.host.as_deref(), Some("there"));
        assert!(!read("-b -O here").unwrap().host_is_oob());
        assert!(read("-W 0").is_err() && read("-x").is_err() && read("-I").is_err());
    }

    #[test]
    fn sizes_are_those_of_fabtests() {
        assert_eq!(read("").unwrap().sizes(5000), [64, 256, 1024, 4096]);
        let all = read("-S all").unwrap().sizes(usize::MAX);
        assert_eq!(all.len(), 46);
        assert_eq!(all[..6], [1, 2, 3, 4, 6, 8]);
        assert_eq!(all.last(), Some(&(1 << 23)));
    }
}
