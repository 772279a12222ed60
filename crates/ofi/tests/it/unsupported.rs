//! Cases that a provider is known not to support, on which versions, and why. A case that reports
//! itself unsupported and is not here fails, and so does one that is here and passes.

use ofi::Version;

use super::Unsupported;

const V1_17: Version = Version::new(1, 17);
const V2_0: Version = Version::new(2, 0);
const ALL: (Version, Option<Version>) = (V1_17, None);
const BEFORE_2: (Version, Option<Version>) = (V1_17, Some(V2_0));

const fn no(
    case: &'static str,
    target: &'static str,
    versions: (Version, Option<Version>),
    reason: &'static str,
) -> Unsupported {
    Unsupported {
        case,
        target,
        versions,
        reason,
    }
}

pub(in super::super) const UNSUPPORTED: &[Unsupported] = &[];
