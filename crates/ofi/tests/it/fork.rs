//! In the child of a fork nothing of the parent's is touched.

use ofi::{Caps, Connectionless, ErrorKind, Fabric};

use crate::harness::{LIMIT, List, Mode, Pair, Target, Verdict, cases, expired};

pub fn register(list: &mut List) {
    cases!(list, connectionless: child_is_refused_and_harmless);
}

/// The child's calls fail as `Forked`, its drops close nothing, and the parent goes on.
// rule: L13
fn child_is_refused_and_harmless<K: Connectionless, T: Mode>(t: &Target) -> Verdict {
    let p = Pair::<K, T>::open(t, Caps::MSG)?;
    p.warm()?;
    let receive = expired!(p.b.recv(vec![0; 16]).wait(std::time::Duration::ZERO));
    // SAFETY: the child only runs what follows and ends by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let fine = in_the_child(p);
        // SAFETY: ends the process without running anybody's exit handlers.
        unsafe { libc::_exit(if fine { 0 } else { 1 }) };
    }
    assert!(child > 0, "{}", std::io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: our child, and room for its status.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    assert!(libc::WIFEXITED(status), "killed by signal {}", libc::WTERMSIG(status));
    assert_eq!(libc::WEXITSTATUS(status), 0, "a call was not refused");
    p.a.send(vec![1; 16], p.to_b).wait(LIMIT)?;
    assert_eq!(receive.wait(LIMIT)?.1, vec![1; 16]);
    p.warm()
}

fn in_the_child<K: Connectionless, T: Mode>(p: Pair<K, T>) -> bool {
    let forked = |error: Option<ofi::Error>| error.is_some_and(|e| *e.kind() == ErrorKind::Forked);
    let info = &p.rig.info;
    let refused = forked(Fabric::open(info).err())
        && forked(p.rig.fabric.domain::<T>(info).err())
        && forked(p.rig.domain.completion_queue().open().err())
        && forked(p.rig.domain.address_vector().open().err())
        && forked(match p.rig.endpoint::<K>() {
            Ok(_) => None,
            Err(_) => p
                .rig
                .domain
                .endpoint::<K>(info)
                .address_vector(&p.rig.av)
                .completion_queue(&p.rig.cq)
                .enable()
                .err(),
        });
    let closed = match p.a.close(LIMIT) {
        Err(ofi::CloseError::Failed(error)) => *error.kind() == ErrorKind::Forked,
        _ => false,
    };
    drop(p.b);
    drop(p.rig);
    refused && closed
}
