//! Remote memory: one side exposes some, the other writes to it and reads it back, without a call of
//! the first.
//!
//! Both sides are endpoints of this program here; what the second needs to know of the first, its
//! address and its region, is bytes, and may come from anywhere.

use std::time::Duration;

use ofi::{
    Access, Caps, CompletionLevel, Domain, EndpointType, Fabric, Hints, Memory, Rdm, RemoteRegion,
};

const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ofi::Result<()> {
    let hints = Hints::new().provider("tcp").endpoint_type(EndpointType::Rdm);
    let info = hints.caps(Caps::MSG | Caps::RMA).node("127.0.0.1").source().query()?.into_best();
    let domain: Domain = Fabric::open(&info)?.domain(&info)?;
    let queue = domain.completion_queue().open()?;
    let peers = domain.address_vector().open()?;
    let open = || {
        let builder = domain.endpoint::<Rdm>(&info);
        builder.address_vector(&peers).completion_queue(&queue).enable()
    };
    let (owner, visitor) = (open()?, open()?);

    // The owner: memory, and a region of it that peers may read and write.
    let memory = Memory::new(vec![b'.'; 32])?;
    let rights = Access::REMOTE_READ | Access::REMOTE_WRITE;
    let region = domain.expose(&memory).access(rights).open()?;
    let invitation = region.remote().to_bytes();
    println!("exposed {} bytes, described in {}", region.len(), invitation.len());

    // The visitor.
    let to = peers.insert(&owner.name()?)?;
    let remote = RemoteRegion::from_bytes(&invitation)?;
    let target = remote.slice(8..13)?;
    // Delivered: what is read afterwards is what was written.
    visitor.write("hello", to, target).level(CompletionLevel::Delivery).wait(PATIENCE)?;
    let (_, bytes) = visitor.read(vec![0; 32], to, remote).wait(PATIENCE)?;
    println!("read {}", String::from_utf8_lossy(&bytes));

    // Beyond the region there is nothing to write to: that is noticed here.
    let refused = visitor.write(vec![0; 6], to, target).post();
    println!("refused: {}", refused.expect_err("too long"));

    // And the owner sees it without having been asked.
    println!("the owner has {}", String::from_utf8_lossy(&memory.to_vec()));
    Ok(())
}
