//! The counters of an endpoint in the making.

use std::sync::Arc;

use crate::{
    BindFlags, Caps, Counter, Domain, Error, Info, Result,
    counter::{self, CounterCore, Role, work::take_role},
    domain::DomainCore,
    error::Needs,
    quirks::{Defect, counts_each_success, quirk},
    threading::Threading,
};

/// Counters and the classes of operations that each counts.
pub(crate) struct Counters<T: Threading>(Vec<(Arc<CounterCore<T>>, BindFlags)>);

impl<T: Threading> Default for Counters<T> {
    fn default() -> Self {
        Counters(Vec::new())
    }
}

impl<T: Threading> Counters<T> {
    pub(super) fn add(&mut self, counter: &Counter<T>, classes: BindFlags) {
        self.0.push((Arc::clone(&counter.0), classes));
    }

    /// Makes a counter for each class of operations that are posted in batches.
    pub(super) fn add_batches(
        &mut self,
        domain: &Domain<T>,
        info: &Info,
        classes: BindFlags,
        trusted: bool,
    ) -> Result<Vec<(BindFlags, Arc<CounterCore<T>>)>> {
        const NAME: &str = "fi_ep_bind";
        const CLASSES: [BindFlags; 3] = [BindFlags::TRANSMIT, BindFlags::WRITE, BindFlags::READ];
        let odd = CLASSES.iter().fold(classes, |odd, class| odd.difference(*class));
        if !odd.is_empty() {
            return Err(Error::invalid(
                NAME,
                format!("batches are of FI_TRANSMIT, FI_WRITE and FI_READ, not {odd}"),
            ));
        }
        if !classes.is_empty() && !trusted && !counts_each_success(info.provider()) {
            return Err(Error::unsupported(
                NAME,
                Needs::Property("a counter that is known to count each success once"),
            )
            .hint("see EndpointBuilder::trust_counters"));
        }
        if !classes.is_empty() && !trusted && info.caps().contains(Caps::COLLECTIVE) {
            // A collective is made of messages of the provider's own, which it may count.
            return Err(Error::unsupported(NAME, Needs::Property("batches beside collectives"))
                .hint("use another endpoint, whose hints do not ask for FI_COLLECTIVE"));
        }
        let mut made = Vec::new();
        for class in CLASSES.into_iter().filter(|class| classes.contains(*class)) {
            let counter = domain.counter()?;
            self.add(&counter, class);
            made.push((class, counter.0));
        }
        Ok(made)
    }

    /// Whether they may be bound to an endpoint of this domain.
    pub(super) fn check(&self, domain: &Arc<DomainCore<T>>, info: &Info) -> Result<()> {
        const NAME: &str = "fi_ep_bind";
        const REMOTE: BindFlags = BindFlags::REMOTE_READ.union(BindFlags::REMOTE_WRITE);
        const CLASSES: BindFlags = BindFlags::TRANSMIT
            .union(BindFlags::RECV)
            .union(BindFlags::READ)
            .union(BindFlags::WRITE)
            .union(REMOTE);
        let mut bound = BindFlags::empty();
        for (counter, classes) in &self.0 {
            if !counter.on(domain) {
                return Err(Error::invalid(NAME, "the counter is of another domain"));
            }
            let odd = classes.difference(CLASSES);
            if classes.is_empty() || !odd.is_empty() {
                return Err(Error::invalid(
                    NAME,
                    format!("a counter counts {CLASSES}, not {classes}"),
                ));
            }
            let twice = bound & *classes;
            if !twice.is_empty() {
                return Err(Error::invalid(
                    NAME,
                    format!("two counters for {twice}: an endpoint has one for each class"),
                ));
            }
            bound |= *classes;
            if classes.contains(BindFlags::TRANSMIT) {
                take_role(domain.info.provider(), counter, Role::CountsSends)?;
            }
        }
        if bound.intersects(REMOTE) && !info.caps().contains(Caps::RMA_EVENT) {
            return Err(Error::unsupported(NAME, Needs::Capability("FI_RMA_EVENT"))
                .hint("counting what peers do needs FI_RMA_EVENT: ask for it in the hints"));
        }
        if bound.intersects(REMOTE) && quirk(info.provider(), Defect::PeersUncounted).is_some() {
            return Err(Error::unsupported(
                NAME,
                Needs::Property("counters of what peers do"),
            )
            .hint("the provider counts only writes with immediate data, which the queue tells, too"));
        }
        Ok(())
    }

    /// What is to be bound, and the flags.
    pub(super) fn bindings(&self) -> impl Iterator<Item = (*mut ofi_sys::fid, u64)> + '_ {
        self.0.iter().map(|(counter, classes)| (counter.raw(), classes.raw()))
    }

    /// Keeps everybody from reading them. Taken after the readers of queues.
    pub(super) fn hold(&self) -> Vec<counter::Held<'_, T>> {
        counter::hold(self.0.iter().map(|(counter, _)| &**counter))
    }

    /// What the endpoint keeps open.
    pub(super) fn into_cores(self) -> Vec<Arc<CounterCore<T>>> {
        self.0.into_iter().map(|(counter, _)| counter).collect()
    }
}
