//! Who carries out an endpoint's operations: a device, or software on the hosts.

use super::{Endpoint, Kind};
use crate::{Result, threading::Threading};

/// Who carries out operations of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offload {
    /// The device, without the target's processor.
    Hardware,
    /// Software on the hosts: the target has to make progress, and its processor copies.
    Emulated,
    /// The provider does not say.
    Unknown,
}

/// What [`Endpoint::offload`] says of each class of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct OffloadReport {
    /// Messages, once they are matched.
    pub messages: Offload,
    /// The matching of tagged messages.
    pub tagged: Offload,
    /// Reads from remote memory.
    pub reads: Offload,
    /// Writes to remote memory.
    pub writes: Offload,
    /// Atomic operations on remote memory.
    pub atomics: Offload,
}

impl OffloadReport {
    const fn all(who: Offload) -> OffloadReport {
        OffloadReport { messages: who, tagged: who, reads: who, writes: who, atomics: who }
    }
}

/// Providers that are software as a whole.
const SOFTWARE: &[&str] = &["tcp", "udp", "sockets", "net", "shm", "sm2"];

/// What is known of a provider by its name alone (`core;utility`).
fn known(provider: &str) -> OffloadReport {
    let mut layers = provider.split(';');
    let core = layers.next().unwrap_or_default();
    if SOFTWARE.contains(&core) {
        return OffloadReport::all(Offload::Emulated);
    }
    let mut report = OffloadReport::all(Offload::Unknown);
    for layer in layers {
        match layer {
            // It matches tags and does atomic operations itself; the rest it passes on.
            "ofi_rxm" => {
                report.tagged = Offload::Emulated;
                report.atomics = Offload::Emulated;
            }
            // Everything is made of datagrams.
            "ofi_rxd" => return OffloadReport::all(Offload::Emulated),
            _ => {}
        }
    }
    report
}

impl<K: Kind, T: Threading> Endpoint<K, T> {
    /// Who carries out this endpoint's operations, class by class: the device, or software on the
    /// hosts.
    ///
    /// EFA is asked (1.18); of the software providers it is known; what no provider says is
    /// [`Offload::Unknown`], also where a device most likely does it (verbs runs over software
    /// devices, too).
    ///
    /// # Errors
    ///
    /// What the provider says.
    #[doc(alias = "FI_OPT_EFA_EMULATED_READ")]
    #[doc(alias = "FI_OPT_EFA_EMULATED_WRITE")]
    #[doc(alias = "FI_OPT_EFA_EMULATED_ATOMICS")]
    pub fn offload(&self) -> Result<OffloadReport> {
        let provider = self.core.provider();
        let mut report = known(provider);
        if provider.split(';').next() == Some("efa") {
            report.reads = answered(self.efa_emulated_read())?;
            report.writes = answered(self.efa_emulated_write())?;
            report.atomics = answered(self.efa_emulated_atomics())?;
        }
        Ok(report)
    }
}

fn answered(emulated: Result<Option<bool>>) -> Result<Offload> {
    match emulated {
        Ok(Some(true)) => Ok(Offload::Emulated),
        Ok(Some(false)) => Ok(Offload::Hardware),
        Ok(None) => Ok(Offload::Unknown),
        // A library that is older than the question.
        Err(error) if matches!(error.kind(), crate::ErrorKind::Unsupported { .. }) => {
            Ok(Offload::Unknown)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Error, Version, error::Needs};

    #[test]
    fn layers_say_what_they_do_themselves() {
        assert_eq!(known("tcp;ofi_rxm"), OffloadReport::all(Offload::Emulated));
        assert_eq!(known("shm").reads, Offload::Emulated);
        assert_eq!(known("verbs"), OffloadReport::all(Offload::Unknown));
        let rxm = known("verbs;ofi_rxm");
        assert_eq!((rxm.tagged, rxm.atomics), (Offload::Emulated, Offload::Emulated));
        assert_eq!(
            (rxm.reads, rxm.writes, rxm.messages),
            (Offload::Unknown, Offload::Unknown, Offload::Unknown)
        );
        assert_eq!(known("verbs;ofi_rxd"), OffloadReport::all(Offload::Emulated));
    }

    #[test]
    fn an_answer_is_not_guessed() {
        assert_eq!(answered(Ok(Some(false))).unwrap(), Offload::Hardware);
        assert_eq!(answered(Ok(None)).unwrap(), Offload::Unknown);
        let old = Error::unsupported("x", Needs::Version(Version::new(1, 18)));
        assert_eq!(answered(Err(old)).unwrap(), Offload::Unknown);
        assert!(answered(Err(Error::closed("x"))).is_err());
    }
}
