//! The crate's types and constants against C: the headers that are installed (or that
//! `OFI_TEST_INCLUDE` names, directories separated by colons), and the figures of every release
//! from 1.17 to 2.6, kept in `tests/fixtures`.

mod generated;
mod headers;
mod releases;

/// A struct as Rust lays it out.
struct Struct {
    name: &'static str,
    size: usize,
    members: Vec<Member>,
}

struct Member {
    name: &'static str,
    offset: usize,
    size: usize,
}

/// Lists structs with their members: `fi_ioc { addr, count, }`.
macro_rules! structs {
    ($($name:ident { $($member:ident,)* })*) => {
        vec![$(Struct {
            name: stringify!($name),
            size: size_of::<$name>(),
            members: vec![$(crate::Member {
                name: stringify!($member),
                offset: std::mem::offset_of!($name, $member),
                size: crate::size_of_member(|s: &$name| &s.$member),
            },)*],
        },)*]
    };
}
use structs;

/// The size of the type that a member has.
fn size_of_member<T, M>(_: fn(&T) -> &M) -> usize {
    size_of::<M>()
}

impl Member {
    /// What C calls it: Rust keeps `type` for itself, and names the union that C leaves without.
    fn c_name(&self) -> &'static str {
        match self.name {
            "type_" => "type",
            "mem" => "mr_iov",
            name => name,
        }
    }
}

/// Constants that do not keep their value: the version itself, and features that were removed
/// from libfabric and became 0. The crate has the newest value of each.
const CHANGED: [&str; 8] = [
    "FI_MAJOR_VERSION",
    "FI_MINOR_VERSION",
    "FI_REVISION_VERSION",
    "FI_ERRNO_MAX",
    "FI_VARIABLE_MSG",
    "FI_NOTIFY_FLAGS_ONLY",
    "FI_RESTRICTED_COMP",
    "FI_EP_SOCK_STREAM",
];

/// Constants that the crate leaves out: removed from libfabric before 2.0, and never of use.
const REMOVED: [&str; 7] = [
    "FI_PROV_SPECIFIC",
    "FI_PATH_MAX",
    "FI_VERSION_MAX",
    "FI_EP_SOCK_DGRAM",
    "FI_BUFFERED_RECV",
    "FI_PRIORITY",
    "FI_XPU_TRIGGER",
];
