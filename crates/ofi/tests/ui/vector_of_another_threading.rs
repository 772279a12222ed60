//! Objects of one domain are of one threading.
// rule: W11

use ofi::{AddressVector, Confined, Domain, Info, Rdm, Shared};

fn main() {}

fn mixes(domain: &Domain<Shared>, info: &Info, av: &AddressVector<Confined>) {
    let _ = domain.endpoint::<Rdm>(info).address_vector(av);
}
