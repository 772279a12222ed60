//! The counters of an endpoint in the making.

use std::sync::Arc;

use crate::{
    BindFlags, Caps, Counter, Error, Info, Result,
    counter::{self, CounterCore, Role, work::take_role},
    domain::DomainCore,
    error::Needs,
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
