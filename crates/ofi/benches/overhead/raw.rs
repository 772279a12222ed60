//! The round trip as a C program makes it: calls through the operations tables, one context per
//! operation, the same queue format and batch as `ofi`.

use std::{ffi::c_void, mem::MaybeUninit, ptr::null_mut};

use ofi::{Domain, Fabric, Info};
use ofi_sys::*;

use crate::{BYTES, contenders::Contender};

pub(crate) const DOMAIN: fi_threading = FI_THREAD_DOMAIN;
pub(crate) const SAFE: fi_threading = FI_THREAD_SAFE;

const BATCH: usize = 16;

pub(crate) struct Raw {
    ends: [*mut fid_ep; 2],
    to: [fi_addr_t; 2],
    cq: *mut fid_cq,
    av: *mut fid_av,
    domain: *mut fid_domain,
    info: *mut fi_info,
    /// Contexts and buffers: receive on 0, receive on 1, send from 0, send from 1.
    contexts: Box<[[u64; 8]; 4]>,
    buffers: [Vec<u8>; 4],
    _fabric: Fabric,
}

fn ok(status: impl Into<i64>, what: &str) {
    let status = status.into();
    assert!(status >= 0, "{what}: {status}");
}

impl Raw {
    pub(crate) fn open(info: &Info, threading: fi_threading, size: usize) -> Raw {
        let fabric = Fabric::open(info).expect("fabric");
        // A domain of `ofi` gives an info with the model set; only the info is wanted.
        let with_model = if threading == FI_THREAD_DOMAIN {
            Domain::<ofi::Confined>::open(&fabric, info).expect("domain").info().clone()
        } else {
            Domain::<ofi::Shared>::open(&fabric, info).expect("domain").info().clone()
        };
        // SAFETY: calls in the order of a C program: each object is opened on ones that are open,
        // attributes are zeroed and whole, nothing is closed before `Drop`, contexts and buffers
        // outlive the endpoints.
        unsafe {
            let info = fi_dupinfo(with_model.as_raw());
            let mut domain = null_mut();
            ok(fi_domain(fabric.as_raw(), info, &mut domain, null_mut()), "fi_domain");
            let mut attr: fi_av_attr = MaybeUninit::zeroed().assume_init();
            attr.type_ = FI_AV_TABLE;
            let mut av = null_mut();
            ok(fi_av_open(domain, &mut attr, &mut av, null_mut()), "fi_av_open");
            // Room behind the attributes for libraries whose own are longer.
            let mut attr: [fi_cq_attr; 4] = MaybeUninit::zeroed().assume_init();
            attr[0].format = FI_CQ_FORMAT_TAGGED;
            attr[0].wait_obj = FI_WAIT_NONE;
            attr[0].size = size;
            let mut cq = null_mut();
            ok(fi_cq_open(domain, attr.as_mut_ptr(), &mut cq, null_mut()), "fi_cq_open");
            let ends = [(); 2].map(|()| {
                let mut ep: *mut fid_ep = null_mut();
                ok(fi_endpoint(domain, info, &mut ep, null_mut()), "fi_endpoint");
                ok(fi_ep_bind(ep, av.cast(), 0), "fi_ep_bind");
                ok(fi_ep_bind(ep, cq.cast(), FI_TRANSMIT | FI_RECV), "fi_ep_bind");
                ok(fi_enable(ep), "fi_enable");
                ep
            });
            let to = ends.map(|ep| {
                let mut name = [0_u8; 512];
                let mut len = name.len();
                ok(fi_getname(ep.cast(), name.as_mut_ptr().cast(), &mut len), "fi_getname");
                let mut address = FI_ADDR_NOTAVAIL;
                let n = fi_av_insert(av, name.as_ptr().cast(), 1, &mut address, 0, null_mut());
                assert_eq!(n, 1, "fi_av_insert");
                address
            });
            Raw {
                ends,
                to,
                cq,
                av,
                domain,
                info,
                contexts: Box::new([[0; 8]; 4]),
                buffers: std::array::from_fn(|_| vec![7; BYTES]),
                _fabric: fabric,
            }
        }
    }

    fn context(&mut self, at: usize) -> *mut c_void {
        (&raw mut self.contexts[at]).cast()
    }

    fn recv(&mut self, end: usize) {
        let context = self.context(end);
        let (ep, buffer) = (self.ends[end], self.buffers[end].as_mut_ptr().cast());
        // SAFETY: the endpoint is open; buffer and context outlive it.
        ok(
            unsafe { fi_recv(ep, buffer, BYTES, null_mut(), FI_ADDR_UNSPEC, context) } as i64,
            "recv",
        );
    }

    fn send(&mut self, end: usize) {
        let context = self.context(2 + end);
        let (ep, buffer) = (self.ends[end], self.buffers[2 + end].as_ptr().cast());
        let to = self.to[1 - end];
        loop {
            // SAFETY: as above, and the address is in the endpoint's vector.
            let status = unsafe { fi_send(ep, buffer, BYTES, null_mut(), to, context) };
            if status == 0 {
                return;
            }
            assert_eq!(status, -(FI_EAGAIN as isize), "fi_send");
            // The first sends of a pair wait for each other to be found.
            // SAFETY: the queue is open; no entry is asked for.
            unsafe { fi_cq_read(self.cq, null_mut(), 0) };
        }
    }

    /// Until both operations have completed.
    fn complete(&mut self, one: usize, other: usize) {
        let mut missing = 1_u32 << one | 1 << other;
        let base = self.contexts.as_ptr() as usize;
        let mut entries = [const { MaybeUninit::<fi_cq_tagged_entry>::uninit() }; BATCH];
        while missing != 0 {
            // SAFETY: the queue is open; there is room for the batch in its format.
            let count = unsafe { fi_cq_read(self.cq, entries.as_mut_ptr().cast(), BATCH) };
            if count < 0 {
                assert_eq!(count, -(FI_EAGAIN as isize), "fi_cq_read");
                continue;
            }
            for entry in &entries[..count as usize] {
                // SAFETY: the queue wrote that many entries.
                let context = unsafe { entry.assume_init_ref() }.op_context as usize;
                missing &= !(1 << ((context - base) / 64));
            }
        }
    }
}

impl Contender for Raw {
    fn run(&mut self, trips: usize) {
        for _ in 0..trips {
            self.recv(0);
            self.recv(1);
            self.send(0);
            self.complete(1, 2);
            self.send(1);
            self.complete(0, 3);
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: each was opened in `open`, children are closed before their parents, once.
        unsafe {
            for ep in self.ends {
                fi_close(ep.cast());
            }
            fi_close(self.cq.cast());
            fi_close(self.av.cast());
            fi_close(self.domain.cast());
            fi_freeinfo(self.info);
        }
    }
}
