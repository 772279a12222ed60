//! Collectives of two members: a barrier, and sums beside those of this side.

use anyhow::{Context, ensure};
use ofi::{
    AtomicOp, CollectiveGroup, CompletionQueue, Confined, Datatype, Domain, Endpoint, EventQueue,
    Fabric, Join, Rdm,
};

use super::{Cast, closed, settled};

/// Values that each member gives.
const COUNT: usize = 16;
const ROUNDS: u64 = 3;

impl Cast<'_> {
    /// Confined, as some providers allow nothing else.
    pub(super) fn collectives(&mut self) -> anyhow::Result<()> {
        let info = self.info.clone();
        let fabric = Fabric::open(&info)?;
        let events: EventQueue<Confined> = fabric.event_queue().open()?;
        let domain: Domain<Confined> = fabric.domain(&info)?;
        let vector = domain.address_vector().open()?;
        let queue: CompletionQueue<Confined> = domain.completion_queue().open()?;
        let make = || {
            let builder = domain.endpoint::<Rdm>(&info).address_vector(&vector);
            builder.completion_queue(&queue).event_queue(&events).enable()
        };
        let mut members: Vec<Endpoint<Rdm, Confined>> = vec![settled(make())?];
        if self.channel.is_none() {
            members.push(make()?);
        }
        let mut names = members.iter().map(Endpoint::name).collect::<ofi::Result<Vec<_>>>()?;
        if self.channel.is_some() {
            let peer = self.trade(&names[0])?;
            // In the same order on both sides.
            names.insert(usize::from(self.first), peer);
        }
        let rank = usize::from(!self.first);
        let addresses =
            names.iter().map(|name| vector.insert(name)).collect::<ofi::Result<Vec<_>>>()?;
        let join = |member: &Endpoint<Rdm, Confined>| -> ofi::Result<Join<_>> {
            let mut set = vector.set().count(addresses.len()).open()?;
            for address in &addresses {
                set.insert(*address)?;
            }
            Ok(member.join_collective(set)?)
        };
        let joins = members.iter().map(join).collect::<ofi::Result<Vec<_>>>();
        let joined = settled(joins)?.into_iter().map(|join| {
            join.wait(self.patience).map_err(ofi::Error::from).context("joining the group")
        });
        let groups = joined.collect::<anyhow::Result<Vec<CollectiveGroup<Confined>>>>()?;
        for round in 0..ROUNDS {
            let post = |group: &CollectiveGroup<_>| Ok(group.barrier().post()?);
            for barrier in groups.iter().map(post).collect::<anyhow::Result<Vec<_>>>()? {
                barrier.wait(self.patience).map_err(ofi::Error::from).context("a barrier")?;
            }
            let post = |(n, group): (usize, &CollectiveGroup<_>)| {
                let given = words(|i| value(rank + n, i, round));
                let room = vec![0; given.len()];
                Ok(group.all_reduce((given, room), Datatype::Uint64, AtomicOp::Sum).post()?)
            };
            let expected = words(|i| value(0, i, round) + value(1, i, round));
            for sums in groups.iter().enumerate().map(post).collect::<anyhow::Result<Vec<_>>>()? {
                let ended = sums.wait(self.patience).map_err(ofi::Error::from);
                let (_, (_, sums)) = ended.context("fi_allreduce")?;
                ensure!(sums == expected, "the sums of round {round} are not those of this side");
            }
        }
        if let Some(channel) = &mut self.channel {
            // The last messages of one are read by the other.
            channel.meet_driving(|| Ok(queue.progress().map(drop)?))?;
        }
        drop(groups);
        for member in members {
            closed("endpoint", member.close(self.patience))?;
        }
        closed("address vector", vector.close())?;
        closed("completion queue", queue.close())?;
        closed("domain", domain.close())?;
        closed("event queue", events.close())
    }
}

fn value(rank: usize, i: usize, round: u64) -> u64 {
    (rank as u64 + 1) * 1000 + i as u64 * 7 + round
}

fn words(value: impl Fn(usize) -> u64) -> Vec<u8> {
    (0..COUNT).flat_map(|i| value(i).to_ne_bytes()).collect()
}
