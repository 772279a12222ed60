//! Windows of reads or writes, both ways at once: fabtests' `fi_rma_bw`.
#![forbid(unsafe_code)]

use std::{process::ExitCode, time::Instant};

use anyhow::{Context, bail, ensure};
use ofi::{
    Caps, CompletionLevel, Confined, Op, ReadVerb, RegionSlice, RemoteSlice, TrafficClass,
    WriteVerb,
};
use ofi_ports::{Args, Program, RESERVED, Report, Session, Target};

const PROGRAM: Program = Program {
    about: "rma_bw [-p provider] [-s address] [-B port] [-P port] [-b[=port]] [-E[=port]] \
            [-O address] [-o read|write|writedata] [-S size|all] [-I times] [-w times] \
            [-W window] [-v] [-U] [host]",
    tagged: false,
    oob_sync: false,
    size: None,
    window: 64,
    options: "IwSWvUo",
};

/// Bytes of the message that says that a window of `writedata` has come.
const SIGN: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    WriteData,
}

/// One run of one size.
struct Run<'a> {
    session: &'a mut Session,
    target: &'a Target,
    kind: Kind,
    size: usize,
    /// The immediate data of both sides.
    data: u64,
    reads: Vec<Op<ReadVerb, RegionSlice<Confined>, Confined>>,
    writes: Vec<Op<WriteVerb, RegionSlice<Confined>, Confined>>,
    /// Writes of the peer's that were to come, and that have.
    awaited: usize,
    arrived: usize,
}

fn main() -> ExitCode {
    ofi_ports::main(|| {
        let args = Args::parse(&PROGRAM)?;
        let kind = match args.operation.as_deref() {
            Some("read") => Kind::Read,
            None | Some("write") => Kind::Write,
            Some("writedata") => Kind::WriteData,
            Some(other) => bail!("-o {other}: there is read, write and writedata"),
        };
        let mut session = Session::open(args, &PROGRAM, |hints| {
            hints.caps(Caps::MSG | Caps::RMA).tx_traffic_class(TrafficClass::BulkData)
        })?;
        let sizes = session.args.sizes(session.endpoint.max_message_size());
        let longest = match session.args.size {
            Some(size) => size,
            None => session.endpoint.max_message_size().min(1 << 23),
        };
        let target = Target::exchange(&mut session, longest)?;
        let mut report = Report::default();
        for size in sizes {
            let count = session.args.count(size);
            let mut run = Run::new(&mut session, &target, kind, size);
            let begun = run.all(count).with_context(|| format!("{kind:?} of {size} bytes"))?;
            report.line(None, size, count, begun.elapsed());
        }
        session.farewell()?;
        target.close()?;
        session.close()
    })
}

impl<'a> Run<'a> {
    fn new(session: &'a mut Session, target: &'a Target, kind: Kind, size: usize) -> Run<'a> {
        let bytes = session.domain.info().domain().cq_data_size().min(8);
        let data = 0x0123_4567_89ab_cdef_u64;
        let data = if bytes == 8 { data } else { data & ((1 << (8 * bytes)) - 1) };
        let (reads, writes) = (Vec::new(), Vec::new());
        Run { session, target, kind, size, data, reads, writes, awaited: 0, arrived: 0 }
    }

    /// All windows. Returns when the warm-up was over.
    fn all(&mut self, count: usize) -> anyhow::Result<Instant> {
        let (warmup, window) = (self.session.args.warmup, self.session.args.window);
        let mut begun = Instant::now();
        self.session.sync()?;
        let mut place = 0;
        for i in 0..count + warmup {
            if i == warmup {
                begun = Instant::now();
                self.session.active = true;
            }
            if place == 0 && self.session.args.verify && self.size > 0 {
                self.target.fill(self.size * window)?;
                self.session.sync()?;
            }
            self.begin(RESERVED + place * self.size)?;
            place += 1;
            if place == window {
                self.complete(place)?;
                place = 0;
            }
        }
        self.complete(place)?;
        self.session.active = false;
        Ok(begun)
    }

    /// Posts one operation; the server of `writedata` only counts what will come.
    fn begin(&mut self, start: usize) -> anyhow::Result<()> {
        let client = self.session.args.host.is_some();
        if self.kind == Kind::WriteData && !client {
            self.awaited += 1;
            return Ok(());
        }
        let (args, endpoint) = (&self.session.args, &self.session.endpoint);
        let (peer, size) = (self.session.peer, self.size);
        // What is looked at must have arrived when the operation ends.
        let delivered = args.delivery || args.verify && self.kind != Kind::WriteData;
        if self.kind == Kind::Read {
            let here = self.target.here_in(start, size)?;
            let read = endpoint.read(here, peer, self.target.there_out(start, size)?);
            let read = if delivered { read.level(CompletionLevel::Delivery) } else { read };
            self.reads.push(read.submit().map_err(ofi::Error::from)?);
            return Ok(());
        }
        let here = self.target.here_out(start, size)?;
        let there = self.target.there_in(start, size)?;
        if !args.verify && size <= endpoint.inject_size() {
            return self.inject(here, there);
        }
        let mut write = endpoint.write(here, peer, there);
        if self.kind == Kind::WriteData {
            write = write.data(self.data);
        }
        if delivered {
            write = write.level(CompletionLevel::Delivery);
        }
        self.writes.push(write.submit().map_err(ofi::Error::from)?);
        Ok(())
    }

    fn inject(&mut self, here: RegionSlice<Confined>, there: RemoteSlice) -> anyhow::Result<()> {
        let (endpoint, peer) = (self.session.endpoint.clone(), self.session.peer);
        let (kind, data) = (self.kind, self.data);
        // What is copied anyway has to be bytes; memory that peers reach never is.
        let mut bytes = vec![0; here.len()];
        here.copy_to(&mut bytes)?;
        self.session.drive_until(|_| {
            let mut write = endpoint.write(&*bytes, peer, there);
            if kind == Kind::WriteData {
                write = write.data(data);
            }
            match write.inject() {
                Ok(_) => Ok(true),
                Err(failed) if failed.error.is_busy() => Ok(false),
                Err(failed) => Err(failed.error.into()),
            }
        })
    }

    /// The end of a window of so many operations.
    fn complete(&mut self, count: usize) -> anyhow::Result<()> {
        for read in self.reads.drain(..) {
            read.wait(self.session.args.patience).map_err(ofi::Error::from)?;
        }
        for write in self.writes.drain(..) {
            write.wait(self.session.args.patience).map_err(ofi::Error::from)?;
        }
        if self.kind == Kind::WriteData {
            if self.session.args.host.is_some() {
                return self.session.receive_sign(SIGN);
            }
            self.hear()?;
            self.session.send_sign(SIGN)?;
        }
        if self.session.args.verify {
            if self.kind == Kind::Write {
                self.session.sync()?;
            }
            self.target.check(self.size * count)?;
        }
        Ok(())
    }

    /// Waits for the peer's writes with data: their entries belong to no operation of ours.
    fn hear(&mut self) -> anyhow::Result<()> {
        let (data, awaited, arrived) = (self.data, self.awaited, &mut self.arrived);
        self.session.drive_until(|queue| {
            while let Some(entry) = queue.unsolicited() {
                if let Some(error) = entry.error {
                    return Err(error.into());
                }
                ensure!(entry.data == Some(data), "immediate data {:x?}", entry.data);
                *arrived += 1;
            }
            Ok(*arrived >= awaited)
        })?;
        ensure!(self.arrived == self.awaited, "{} writes for {}", self.arrived, self.awaited);
        Ok(())
    }
}
