//! Memory that the other side reaches, and the other side's.

use anyhow::ensure;
use ofi::{Access, Confined, ExposedRegion, Memory, RegionSlice, RemoteRegion, RemoteSlice};

use crate::{Session, check, pattern};

/// One region a side: what comes in is in its first half, what goes out in the second.
#[derive(Debug)]
pub struct Target {
    region: ExposedRegion<Confined>,
    remote: RemoteRegion,
    half: usize,
}

/// As fabtests aligns its buffers.
const ALIGNMENT: usize = 64;
/// The first bytes of each half are left alone, as messages arrive there in fabtests.
pub const RESERVED: usize = 4;

/// The form in which fabtests tells a region: `fi_rma_iov`, in the host's bytes.
const TOLD: usize = 24;

impl Target {
    /// Exposes two halves for a window of operations of the longest size; exchanges keys.
    ///
    /// # Errors
    ///
    /// What the provider or the peer says.
    pub fn exchange(session: &mut Session, longest: usize) -> anyhow::Result<Target> {
        let half = longest.max(1024) * session.args.window + RESERVED;
        let half = half.next_multiple_of(ALIGNMENT);
        let memory = Memory::new(vec![0; 2 * half + ALIGNMENT]).map_err(|failed| failed.error)?;
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        let access = Access::READ | Access::WRITE | Access::REMOTE_READ | Access::REMOTE_WRITE;
        let builder = session.domain.expose(&memory).range(start..start + 2 * half).access(access);
        let region = builder.endpoint(&session.endpoint).open()?;

        let told = region.remote();
        let words = [told.addr(), told.len(), told.key()].map(u64::to_ne_bytes);
        session.send(words.as_flattened(), None)?;
        let heard = session.receive()?;
        ensure!(heard.len() == TOLD, "{} bytes do not tell a region", heard.len());
        let word = |at: usize| {
            let bytes = heard[8 * at..].first_chunk();
            u64::from_ne_bytes(*bytes.expect("the length was checked"))
        };
        // The length that C sends is whatever was there: as long as ours.
        let remote = RemoteRegion::from_parts(word(0), 2 * half as u64, word(2), access)?;
        session.sync()?;
        Ok(Target { region, remote, half })
    }

    /// Where in the peer's memory an operation on its first half goes.
    ///
    /// # Errors
    ///
    /// Bytes that are not there.
    pub fn there_in(&self, start: usize, len: usize) -> ofi::Result<RemoteSlice> {
        self.remote.slice(start..start + len)
    }

    /// The same in its second half.
    ///
    /// # Errors
    ///
    /// Bytes that are not there.
    pub fn there_out(&self, start: usize, len: usize) -> ofi::Result<RemoteSlice> {
        self.there_in(self.half + start, len)
    }

    /// Memory of our first half.
    ///
    /// # Errors
    ///
    /// Bytes that are not there.
    pub fn here_in(&self, start: usize, len: usize) -> ofi::Result<RegionSlice<Confined>> {
        self.region.slice(start..start + len)
    }

    /// Memory of our second half.
    ///
    /// # Errors
    ///
    /// Bytes that are not there.
    pub fn here_out(&self, start: usize, len: usize) -> ofi::Result<RegionSlice<Confined>> {
        self.here_in(self.half + start, len)
    }

    /// Fills the second half with the pattern, the first with another than is to come.
    ///
    /// # Errors
    ///
    /// None, where the window fits.
    pub fn fill(&self, len: usize) -> ofi::Result<()> {
        let bytes = pattern(len);
        self.here_out(RESERVED, len)?.copy_from(&bytes)?;
        let Some(rest) = len.checked_sub(1) else { return Ok(()) };
        self.here_in(RESERVED + 1, rest)?.copy_from(&bytes[..rest])
    }

    /// That so many bytes of the pattern have come in.
    ///
    /// # Errors
    ///
    /// They have not.
    pub fn check(&self, len: usize) -> anyhow::Result<()> {
        let mut bytes = vec![0; len];
        self.here_in(RESERVED, len)?.copy_to(&mut bytes)?;
        check(&bytes)
    }

    /// Closes the region.
    ///
    /// # Errors
    ///
    /// What the provider says.
    pub fn close(self) -> anyhow::Result<()> {
        self.region.close().map_err(|error| anyhow::anyhow!("closing the region: {error}"))
    }
}
