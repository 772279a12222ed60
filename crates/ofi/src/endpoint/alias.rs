//! Aliases: the same endpoint with another completion level by default.
//!
//! An alias is a [`Core`] of its own, with a lane of its own, that stands on the endpoint. Closing it
//! ends nothing: what it has in flight then goes on, and it becomes a ward of the endpoint, which
//! closes it before itself. What is in flight still then is beyond the endpoint's close, so that all of
//! it is leaked.

use std::sync::Arc;

use super::{Connectionless, Core, Endpoint, EndpointBuilder, Parents, Parts};
use crate::{
    CompletionLevel, Errno, Error, Result,
    error::{Needs, check},
    object::Owned,
    threading::Threading,
};

impl<K: Connectionless, T: Threading> EndpointBuilder<K, T> {
    /// As [`enable`](Self::enable), with an alias for each of `levels`: the same endpoint, whose sends,
    /// writes and atomic operations have that level where they do not ask for another.
    ///
    /// The endpoint closes after its aliases. They are made here, because that must not run beside
    /// other calls on the endpoint (rule L8).
    ///
    /// # Errors
    ///
    /// As `enable`; `Unsupported` where the provider has no aliases.
    #[doc(alias = "fi_alias")]
    #[doc(alias = "fi_ep_alias")]
    #[doc(alias = "FI_ALIAS")]
    #[expect(clippy::type_complexity, reason = "an endpoint and its aliases")]
    pub fn enable_with_aliases(
        self,
        levels: &[CompletionLevel],
    ) -> Result<(Endpoint<K, T>, Vec<Endpoint<K, T>>)> {
        let endpoint = self.enable()?;
        let alias = |level: &CompletionLevel| Ok(Endpoint::from_core(endpoint.core.alias(*level)?));
        let aliases = levels.iter().map(alias).collect::<Result<_>>()?;
        Ok((endpoint, aliases))
    }
}

impl<T: Threading> Core<T> {
    /// The caller is the only one who has the endpoint.
    fn alias(self: &Arc<Self>, level: CompletionLevel) -> Result<Core<T>> {
        const NAME: &str = "fi_ep_alias";
        let mut fid = std::ptr::null_mut();
        let flags = ofi_sys::FI_TRANSMIT | level.flag().raw();
        // SAFETY: the endpoint is open, and nobody else calls anything on it (rule L8); `fid` receives
        // the alias.
        let status = unsafe { ofi_sys::fi_ep_alias(self.fid.as_ptr(), &raw mut fid, flags) };
        check(i64::from(status), NAME).map_err(|error| match error.errno() {
            Some(Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EINVAL) => {
                Error::unsupported(NAME, Needs::Property("a provider with aliases of endpoints"))
            }
            _ => error,
        })?;
        let mut limits = self.limits.clone();
        limits.level = level.flag().raw();
        Ok(Core::new(Parts {
            limits,
            habits: self.lane().habits,
            // SAFETY: fi_ep_alias succeeded.
            fid: unsafe { Owned::new(fid, NAME)? },
            info: self.info.clone(),
            transmit: Arc::clone(&self.transmit),
            receive: Arc::clone(&self.receive),
            av: self.av.clone(),
            domain: Arc::clone(&self.domain),
            joins: None,
            parents: Parents::alias_of(self),
            tallies: Vec::new(),
        }))
    }
}
