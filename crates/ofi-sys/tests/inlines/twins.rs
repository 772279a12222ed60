//! Every inline function of libfabric's headers, in their order, with the arguments it takes.
//!
//! A new one is added here and in the crate's file for its header. The word before the name is the
//! macro of `src/ops.rs` that it ends in; `own` has no entry in a table of its own.

use core::ffi::{c_char, c_int, c_void};

/// How much of a table may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "written as the macros of src/ops.rs")]
pub(crate) enum Kind {
    own,
    call,
    offered,
    checked,
    sized,
}

/// An inline function, and its twin in this crate.
#[derive(Clone, Copy)]
pub(crate) struct Twin {
    pub(crate) header: &'static str,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The release that brought it; 1.17 has all that say nothing.
    pub(crate) since: (u32, u32),
    pub(crate) params: &'static [&'static str],
    /// Calls the function of this crate.
    pub(crate) rust: fn(&[u64]) -> u64,
}

macro_rules! twins {
    ($($header:literal {
        $($kind:ident $name:ident($($param:ident),*) $(since ($major:literal, $minor:literal))?;)*
    })*) => {
        pub(crate) const TWINS: &[Twin] = &[$($(Twin {
            header: $header,
            name: stringify!($name),
            kind: Kind::$kind,
            since: since(&[$(($major, $minor))?]),
            params: &[$(stringify!($param)),*],
            rust: |args| {
                let &[$($param),*] = args else { panic!("{} takes {args:?}", stringify!($name)) };
                $(let $param = FromBits::from_bits($param);)*
                // SAFETY: the arguments are the recorder's objects and memory, as the header's
                // prototype asks, and its tables only write the call down.
                #[allow(unused_unsafe, deprecated, reason = "some are safe, some deprecated")]
                unsafe { ofi_sys::$name($($param),*) }.into_bits()
            },
        },)*)*];
    };
}

const fn since(release: &[(u32, u32)]) -> (u32, u32) {
    match release {
        [release] => *release,
        _ => (1, 0),
    }
}

twins! {
    "fabric.h" {
        own fi_tc_dscp_set(dscp);
        own fi_tc_dscp_get(tclass);
        own fi_allocinfo();
        call fi_close(fid);
        checked fi_control(fid, command, arg);
        checked fi_alias(fid, alias_fid, flags);
        checked fi_get_val(fid, name, val);
        checked fi_set_val(fid, name, val);
        checked fi_open_ops(fid, name, flags, ops, context);
        sized fi_set_ops(fid, name, flags, ops, context);
    }
    "fi_endpoint.h" {
        call fi_passive_ep(fabric, info, pep, context);
        call fi_endpoint(domain, info, ep, context);
        sized fi_endpoint2(domain, info, ep, flags, context);
        call fi_scalable_ep(domain, info, sep, context);
        checked fi_ep_bind(ep, bfid, flags);
        checked fi_pep_bind(pep, bfid, flags);
        checked fi_scalable_ep_bind(sep, bfid, flags);
        checked fi_enable(ep);
        checked fi_cancel(fid, context);
        call fi_setopt(fid, level, optname, optval, optlen);
        call fi_getopt(fid, level, optname, optval, optlen);
        checked fi_ep_alias(ep, alias_ep, flags);
        call fi_tx_context(ep, idx, attr, tx_ep, context);
        call fi_rx_context(ep, idx, attr, rx_ep, context);
        checked fi_rx_size_left(ep);
        checked fi_tx_size_left(ep);
        call fi_stx_context(domain, attr, stx, context);
        call fi_srx_context(domain, attr, rx_ep, context);
        call fi_recv(ep, buf, len, desc, src_addr, context);
        call fi_recvv(ep, iov, desc, count, src_addr, context);
        call fi_recvmsg(ep, msg, flags);
        call fi_send(ep, buf, len, desc, dest_addr, context);
        call fi_sendv(ep, iov, desc, count, dest_addr, context);
        call fi_sendmsg(ep, msg, flags);
        call fi_inject(ep, buf, len, dest_addr);
        call fi_senddata(ep, buf, len, desc, data, dest_addr, context);
        call fi_injectdata(ep, buf, len, data, dest_addr);
    }
    "fi_domain.h" {
        own fi_hmem_ze_device(driver_index, device_index) since (1, 18);
        call fi_domain(fabric, info, domain, context);
        sized fi_domain2(fabric, info, domain, flags, context);
        checked fi_domain_bind(domain, fid, flags);
        call fi_cq_open(domain, attr, cq, context);
        checked fi_cntr_open(domain, attr, cntr, context);
        checked fi_wait_open(fabric, attr, waitset);
        call fi_poll_open(domain, attr, pollset);
        call fi_mr_reg(domain, buf, len, acs, offset, requested_key, flags, mr, context);
        call fi_mr_regv(domain, iov, count, acs, offset, requested_key, flags, mr, context);
        call fi_mr_regattr(domain, attr, flags, mr);
        own fi_mr_desc(mr);
        own fi_mr_key(mr);
        checked fi_mr_raw_attr(mr, base_addr, raw_key, key_size, flags);
        checked fi_mr_map_raw(domain, base_addr, raw_key, key_size, key, flags);
        checked fi_mr_unmap_key(domain, key);
        checked fi_mr_bind(mr, bfid, flags);
        checked fi_mr_refresh(mr, iov, count, flags);
        checked fi_mr_enable(mr);
        call fi_av_open(domain, attr, av, context);
        checked fi_av_bind(av, fid, flags);
        call fi_av_insert(av, addr, count, fi_addr, flags, context);
        call fi_av_insertsvc(av, node, service, fi_addr, flags, context);
        call fi_av_insertsym(av, node, nodecnt, service, svccnt, fi_addr, flags, context);
        call fi_av_remove(av, fi_addr, count, flags);
        call fi_av_lookup(av, fi_addr, addr, addrlen);
        call fi_av_straddr(av, addr, buf, len);
        sized fi_av_insert_auth_key(av, auth_key, auth_key_size, fi_addr, flags) since (1, 20);
        sized fi_av_lookup_auth_key(av, addr, auth_key, auth_key_size) since (1, 20);
        sized fi_av_set_user_id(av, fi_addr, user_id, flags) since (1, 20);
        own fi_rx_addr(fi_addr, rx_index, rx_ctx_bits);
        own fi_group_addr(fi_addr, group_id) since (2, 0);
    }
    "fi_eq.h" {
        checked fi_trywait(fabric, fids, count);
        call fi_wait(waitset, timeout);
        call fi_poll(pollset, context, count);
        call fi_poll_add(pollset, event_fid, flags);
        call fi_poll_del(pollset, event_fid, flags);
        call fi_eq_open(fabric, attr, eq, context);
        call fi_eq_read(eq, event, buf, len, flags);
        call fi_eq_readerr(eq, buf, flags);
        call fi_eq_write(eq, event, buf, len, flags);
        call fi_eq_sread(eq, event, buf, len, timeout, flags);
        call fi_eq_strerror(eq, prov_errno, err_data, buf, len);
        call fi_cq_read(cq, buf, count);
        call fi_cq_readfrom(cq, buf, count, src_addr);
        call fi_cq_readerr(cq, buf, flags);
        call fi_cq_sread(cq, buf, count, cond, timeout);
        call fi_cq_sreadfrom(cq, buf, count, src_addr, cond, timeout);
        call fi_cq_signal(cq);
        call fi_cq_strerror(cq, prov_errno, err_data, buf, len);
        call fi_cntr_read(cntr);
        call fi_cntr_readerr(cntr);
        call fi_cntr_add(cntr, value);
        sized fi_cntr_adderr(cntr, value);
        call fi_cntr_set(cntr, value);
        sized fi_cntr_seterr(cntr, value);
        call fi_cntr_wait(cntr, threshold, timeout);
    }
    "fi_cm.h" {
        sized fi_setname(fid, addr, addrlen);
        sized fi_getname(fid, addr, addrlen);
        sized fi_getpeer(ep, addr, addrlen);
        sized fi_listen(pep);
        sized fi_connect(ep, addr, param, paramlen);
        sized fi_accept(ep, param, paramlen);
        sized fi_reject(pep, handle, param, paramlen);
        sized fi_shutdown(ep, flags);
        sized fi_join(ep, addr, flags, mc, context);
        own fi_mc_addr(mc);
    }
    "fi_tagged.h" {
        own fi_tag_mpi(tag, payload_id) since (2, 0);
        offered fi_trecv(ep, buf, len, desc, src_addr, tag, ignore, context);
        offered fi_trecvv(ep, iov, desc, count, src_addr, tag, ignore, context);
        offered fi_trecvmsg(ep, msg, flags);
        offered fi_tsend(ep, buf, len, desc, dest_addr, tag, context);
        offered fi_tsendv(ep, iov, desc, count, dest_addr, tag, context);
        offered fi_tsendmsg(ep, msg, flags);
        offered fi_tinject(ep, buf, len, dest_addr, tag);
        offered fi_tsenddata(ep, buf, len, desc, data, dest_addr, tag, context);
        offered fi_tinjectdata(ep, buf, len, data, dest_addr, tag);
    }
    "fi_rma.h" {
        offered fi_read(ep, buf, len, desc, src_addr, addr, key, context);
        offered fi_readv(ep, iov, desc, count, src_addr, addr, key, context);
        offered fi_readmsg(ep, msg, flags);
        offered fi_write(ep, buf, len, desc, dest_addr, addr, key, context);
        offered fi_writev(ep, iov, desc, count, dest_addr, addr, key, context);
        offered fi_writemsg(ep, msg, flags);
        offered fi_inject_write(ep, buf, len, dest_addr, addr, key);
        offered fi_writedata(ep, buf, len, desc, data, dest_addr, addr, key, context);
        checked fi_inject_writedata(ep, buf, len, data, dest_addr, addr, key);
    }
    "fi_atomic.h" {
        offered fi_atomic(ep, buf, count, desc, dest_addr, addr, key, datatype, op, context);
        offered fi_atomicv(ep, iov, desc, count, dest_addr, addr, key, datatype, op, context);
        offered fi_atomicmsg(ep, msg, flags);
        offered fi_inject_atomic(ep, buf, count, dest_addr, addr, key, datatype, op);
        offered fi_fetch_atomic(ep, buf, count, desc, result, result_desc, dest_addr, addr, key, datatype, op, context);
        offered fi_fetch_atomicv(ep, iov, desc, count, resultv, result_desc, result_count, dest_addr, addr, key, datatype, op, context);
        offered fi_fetch_atomicmsg(ep, msg, resultv, result_desc, result_count, flags);
        offered fi_compare_atomic(ep, buf, count, desc, compare, compare_desc, result, result_desc, dest_addr, addr, key, datatype, op, context);
        offered fi_compare_atomicv(ep, iov, desc, count, comparev, compare_desc, compare_count, resultv, result_desc, result_count, dest_addr, addr, key, datatype, op, context);
        offered fi_compare_atomicmsg(ep, msg, comparev, compare_desc, compare_count, resultv, result_desc, result_count, flags);
        sized fi_atomicvalid(ep, datatype, op, count);
        sized fi_fetch_atomicvalid(ep, datatype, op, count);
        sized fi_compare_atomicvalid(ep, datatype, op, count);
        sized fi_query_atomic(domain, datatype, op, attr, flags);
    }
    "fi_collective.h" {
        sized fi_av_set(av, attr, set, context);
        checked fi_av_set_union(dst, src);
        checked fi_av_set_intersect(dst, src);
        checked fi_av_set_diff(dst, src);
        checked fi_av_set_insert(set, addr);
        checked fi_av_set_remove(set, addr);
        checked fi_av_set_addr(set, coll_addr);
        sized fi_join_collective(ep, coll_addr, set, flags, mc, context);
        sized fi_barrier(ep, coll_addr, context);
        sized fi_barrier2(ep, coll_addr, flags, context);
        sized fi_broadcast(ep, buf, count, desc, coll_addr, root_addr, datatype, flags, context);
        sized fi_alltoall(ep, buf, count, desc, result, result_desc, coll_addr, datatype, flags, context);
        sized fi_allreduce(ep, buf, count, desc, result, result_desc, coll_addr, datatype, op, flags, context);
        sized fi_allgather(ep, buf, count, desc, result, result_desc, coll_addr, datatype, flags, context);
        sized fi_reduce_scatter(ep, buf, count, desc, result, result_desc, coll_addr, datatype, op, flags, context);
        sized fi_reduce(ep, buf, count, desc, result, result_desc, coll_addr, root_addr, datatype, op, flags, context);
        sized fi_scatter(ep, buf, count, desc, result, result_desc, coll_addr, root_addr, datatype, flags, context);
        sized fi_gather(ep, buf, count, desc, result, result_desc, coll_addr, root_addr, datatype, flags, context);
        sized fi_query_collective(domain, coll, attr, flags);
    }
    "fi_ext.h" {
        checked fi_export_fid(fid, flags, expfid, context);
        checked fi_import_fid(fid, expfid, flags);
        own fi_import(version, name, attr, attr_len, flags, fid, context);
        own fi_import_log(version, flags, log_fid);
    }
    "fi_profile.h" {
        sized fi_profile_reset(prof_fid, flags) since (1, 20);
        sized fi_profile_query_vars(prof_fid, varlist, count) since (1, 20);
        sized fi_profile_query_events(prof_fid, eventlist, count) since (1, 20);
        sized fi_profile_read_u64(prof_fid, var_id, data) since (1, 20);
        sized fi_profile_register_callback(prof_fid, event_id, callback, context) since (1, 20);
        sized fi_profile_start_reads(prof_fid, flags) since (1, 20);
        sized fi_profile_end_reads(prof_fid, flags) since (1, 20);
        checked fi_profile_open(fid, flags, prof_fid, context) since (1, 20);
        call fi_profile_close(prof_fid) since (1, 20);
    }
}

/// An argument made of the 64 bits that C's twin gets too.
trait FromBits {
    fn from_bits(bits: u64) -> Self;
}

/// What a function returned, as C's twin widens it.
trait IntoBits {
    fn into_bits(self) -> u64;
}

macro_rules! integers {
    ($($ty:ty as $wide:ty),*) => {$(
        impl FromBits for $ty {
            fn from_bits(bits: u64) -> Self {
                bits as $ty
            }
        }
        impl IntoBits for $ty {
            fn into_bits(self) -> u64 {
                self as $wide as u64
            }
        }
    )*};
}

integers!(c_int as i64, isize as i64, u8 as u64, u32 as u64, u64 as u64, usize as u64);

impl<T> FromBits for *const T {
    fn from_bits(bits: u64) -> Self {
        bits as *const T
    }
}

impl<T> FromBits for *mut T {
    fn from_bits(bits: u64) -> Self {
        bits as *mut T
    }
}

/// The only parameter that is a function: that of `fi_profile_register_callback`.
type Callback = unsafe extern "C" fn(
    *mut ofi_sys::fid_profile,
    *mut ofi_sys::fi_profile_desc,
    *mut c_void,
    usize,
    *mut c_void,
) -> c_int;

impl FromBits for Option<Callback> {
    fn from_bits(bits: u64) -> Self {
        // SAFETY: an address, or 0 for `None`; nobody calls it.
        unsafe { core::mem::transmute::<u64, Self>(bits) }
    }
}

impl<T> IntoBits for *mut T {
    fn into_bits(self) -> u64 {
        self as u64
    }
}

impl IntoBits for *const c_char {
    fn into_bits(self) -> u64 {
        self as u64
    }
}

impl IntoBits for () {
    fn into_bits(self) -> u64 {
        0
    }
}
