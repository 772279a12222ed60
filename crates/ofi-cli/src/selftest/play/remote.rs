//! Remote memory: each side exposes some, and the other reads it and writes to it, or counts in it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ofi::{
    Access, CompletionQueue, Defect, Domain, ExposedRegion, Memory, RemoteRegion, RemoteSlice,
    quirk,
};

use super::{
    Broken, Cast, Check,
    messages::{Way, pattern},
    unsupported,
};

/// More than one packet, and no multiple of anything.
const SIZE: usize = 100_003;
/// How often the word is added to.
const TIMES: u64 = 10;

impl Cast<'_> {
    /// The check, both ways: with `other`, the peer, if it is in this process.
    pub(super) fn remote<W: Way>(
        &mut self,
        domain: &Domain,
        queue: &CompletionQueue,
        mine: &W,
        other: Option<&W>,
    ) -> anyhow::Result<()> {
        let (check, patience) = (self.cell.check, self.patience);
        let defect = quirk(&self.cell.target.provider, Defect::FetchesCrash);
        if let (Check::Atomic, Some(quirk)) = (check, defect) {
            return Err(Broken(quirk).into());
        }
        let regions = [expose(domain, check, true)?, expose(domain, check, false)?];
        let [of_first, of_second] = &regions;
        match (other, &mut self.channel) {
            (Some(other), _) => {
                for (way, region, from_first) in [(mine, of_second, true), (other, of_first, false)]
                {
                    let there = domain.map(&region.remote())?;
                    visit(way, (&there).into(), check, from_first, patience)?;
                    visited(region, queue, check, from_first, patience)?;
                }
                Ok(())
            }
            (None, Some(channel)) => {
                let own = if self.first { of_first } else { of_second };
                channel.send(&own.remote().to_bytes())?;
                let theirs = RemoteRegion::from_bytes(&channel.receive::<Vec<u8>>()?)?;
                let theirs = domain.map(&theirs)?;
                // One visits while the other's calls serve it.
                for from_first in [true, false] {
                    if from_first == self.first {
                        visit(mine, (&theirs).into(), check, from_first, patience)?;
                    }
                    channel.meet_driving(|| Ok(queue.progress().map(drop)?))?;
                    if from_first != self.first {
                        visited(own, queue, check, from_first, patience)?;
                    }
                    channel.meet_driving(|| Ok(queue.progress().map(drop)?))?;
                }
                Ok(())
            }
            (None, None) => unreachable!("the peer is here or there"),
        }
    }
}

/// Memory that the peer finds as it is to be.
fn expose(domain: &Domain, check: Check, of_first: bool) -> anyhow::Result<ExposedRegion> {
    let bytes = match check {
        Check::Atomic => vec![0; 8],
        _ => pattern(SIZE, of_first, Some(1)),
    };
    let memory = Memory::new(bytes).map_err(ofi::Error::from)?;
    let region = domain.expose(&memory).access(Access::REMOTE_READ | Access::REMOTE_WRITE);
    region.open().context("exposing memory")
}

/// Does to the peer's memory what the check is about.
fn visit<W: Way>(
    way: &W,
    there: RemoteSlice,
    check: Check,
    from_first: bool,
    patience: Duration,
) -> anyhow::Result<()> {
    if check == Check::Atomic {
        for time in 0..TIMES {
            let words = (1_u64.to_ne_bytes().to_vec(), vec![0; 8]);
            let Some(add) = way.add(words, there) else {
                return unsupported("fi_fetch_atomicvalid: no sum of 64-bit words");
            };
            let (_, (_, was)) = add.wait(patience).map_err(ofi::Error::from).context("counting")?;
            let was = was.first_chunk().map(|word| u64::from_ne_bytes(*word));
            ensure!(was == Some(time), "the word was {was:?} after {time} additions");
        }
        return Ok(());
    }
    let read = way.read(vec![0; SIZE], there).wait(patience);
    let (_, bytes) = read.map_err(ofi::Error::from).context("reading")?;
    ensure!(bytes == pattern(SIZE, !from_first, Some(1)), "what was read is not what is there");
    let write = way.write(pattern(SIZE, from_first, Some(2)), there).wait(patience);
    write.map_err(ofi::Error::from).context("writing").map(drop)
}

/// Waits for what the peer did to be there.
fn visited(
    region: &ExposedRegion,
    queue: &CompletionQueue,
    check: Check,
    from_first: bool,
    patience: Duration,
) -> anyhow::Result<()> {
    let expected = match check {
        Check::Atomic => TIMES.to_ne_bytes().to_vec(),
        _ => pattern(SIZE, from_first, Some(2)),
    };
    let deadline = Instant::now() + patience;
    while region.memory().to_vec() != expected {
        ensure!(Instant::now() < deadline, "what the peer did to the memory is not there");
        queue.wait(Duration::from_millis(1))?;
    }
    Ok(())
}
