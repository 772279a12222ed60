//! What collectives a provider has.

use crate::{
    AtomicOp, Collective, Datatype, Domain, Error, Result,
    abi::Roomy,
    domain::DomainCore,
    error::{Needs, check},
    threading::Threading,
};

/// What a provider says of a collective: [`Domain::query_collective`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CollectiveLimits {
    /// The most values of one member in one operation, where the provider tells.
    pub count: Option<usize>,
    /// The most members.
    pub members: usize,
}

impl<T: Threading> Domain<T> {
    /// What the provider offers of a collective, on endpoints that ask for `FI_COLLECTIVE`. `op` is
    /// that of a reduction, and `None` for all others.
    ///
    /// # Errors
    ///
    /// `Unsupported` where it has none such, or not for these values.
    #[doc(alias = "fi_query_collective")]
    pub fn query_collective(
        &self,
        collective: Collective,
        datatype: Datatype,
        op: Option<AtomicOp>,
    ) -> Result<CollectiveLimits> {
        self.0.query_collective(collective, (datatype, op))
    }
}

impl<T: Threading> DomainCore<T> {
    pub(crate) fn query_collective(
        &self,
        collective: Collective,
        (datatype, op): (Datatype, Option<AtomicOp>),
    ) -> Result<CollectiveLimits> {
        const NAME: &str = "fi_query_collective";
        let refused = || {
            let needs = Needs::Property("the collective on this type of value");
            let op = op.map_or(String::new(), |op| format!(" by {op}"));
            Error::unsupported(NAME, needs).detail(format!("{collective} of {datatype}{op}"))
        };
        if !self.info.caps().contains(crate::Caps::COLLECTIVE) {
            return Err(Error::unsupported(NAME, Needs::Capability("FI_COLLECTIVE"))
                .hint("ask for the capability in the hints"));
        }
        if collective.reduces() && !op.is_some_and(|op| reduces(datatype, op)) {
            return Err(refused());
        }
        // SAFETY: a plain C structure.
        let mut attr = unsafe { Roomy::<ofi_sys::fi_collective_attr>::zeroed() };
        let to = attr.as_mut();
        (to.datatype, to.op) = if collective == Collective::Barrier {
            (ofi_sys::FI_VOID, ofi_sys::FI_NOOP)
        } else {
            (datatype.raw(), op.map_or(ofi_sys::FI_NOOP, AtomicOp::raw))
        };
        // SAFETY: the domain is open; the attributes are whole.
        let status = unsafe {
            ofi_sys::fi_query_collective(self.as_ptr(), collective.raw(), attr.as_ptr(), 0)
        };
        check(i64::from(status), NAME).map_err(|_| refused())?;
        let told = attr.as_mut();
        let count = Some(told.datatype_attr.count).filter(|count| *count > 0);
        Ok(CollectiveLimits { count, members: told.max_members })
    }
}

/// Whether a reduction can be computed at all: what providers say of it is not always so.
fn reduces(datatype: Datatype, op: AtomicOp) -> bool {
    use AtomicOp::{Band, Bor, Bxor, Land, Lor, Lxor, Max, Min, Prod, Sum};
    match datatype {
        Datatype::Int8
        | Datatype::Uint8
        | Datatype::Int16
        | Datatype::Uint16
        | Datatype::Int32
        | Datatype::Uint32
        | Datatype::Int64
        | Datatype::Uint64 => {
            matches!(op, Min | Max | Sum | Prod | Lor | Land | Lxor | Bor | Band | Bxor)
        }
        Datatype::Float | Datatype::Double => {
            matches!(op, Min | Max | Sum | Prod | Lor | Land | Lxor)
        }
        Datatype::FloatComplex | Datatype::DoubleComplex => matches!(op, Sum | Prod),
        // 128 bits: what they have to be aligned to nothing here can see to (rule X5).
        _ => false,
    }
}

impl Collective {
    fn reduces(self) -> bool {
        matches!(self, Collective::Allreduce | Collective::ReduceScatter | Collective::Reduce)
    }
}
