//! Kinds and threadings are the crate's own.

struct Mine;

impl ofi::Kind for Mine {
    const TYPE: ofi::EndpointType = ofi::EndpointType::Rdm;
}

impl ofi::Threading for Mine {}

fn main() {}
