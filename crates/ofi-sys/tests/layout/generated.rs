// Written by `cargo xtask codegen`. Do not edit.

//! Every struct and every numeric constant of the crate, as this target lays them out.

use ofi_sys::*;

use crate::{Struct, structs};

pub(crate) fn structs() -> Vec<Struct> {
    structs! {
            fi_ioc { addr, count, }
            fi_tx_attr { caps, mode, op_flags, msg_order, comp_order, inject_size, size, iov_limit, rma_iov_limit, tclass, }
            fi_rx_attr { caps, mode, op_flags, msg_order, comp_order, total_buffered_recv, size, iov_limit, }
            fi_ep_attr { type_, protocol, protocol_version, max_msg_size, msg_prefix_size, max_order_raw_size, max_order_war_size, max_order_waw_size, mem_tag_format, tx_ctx_cnt, rx_ctx_cnt, auth_key_size, auth_key, }
            fi_fabric_attr { fabric, name, prov_name, prov_version, api_version, }
            fi_info { next, caps, mode, addr_format, src_addrlen, dest_addrlen, src_addr, dest_addr, handle, tx_attr, rx_attr, ep_attr, domain_attr, fabric_attr, nic, }
            fi_device_attr { name, device_id, device_version, vendor_id, driver, firmware, }
            fi_pci_attr { domain_id, bus_id, device_id, function_id, }
            fi_bus_attr { bus_type, attr, }
            fi_link_attr { address, mtu, speed, state, network_type, }
            fi_ops { size, close, bind, control, ops_open, tostr, ops_set, }
            fid { fclass, context, ops, }
            fi_ops_fabric { size, domain, passive_ep, eq_open, wait_open, trywait, domain2, }
            fid_fabric { fid, ops, api_version, }
            fid_nic { fid, device_attr, bus_attr, link_attr, prov_attr, }
            fi_alias { fid, flags, }
            fi_fid_var { name, val, }
            fi_mr_raw_attr { flags, base_addr, raw_key, key_size, }
            fi_mr_map_raw { flags, base_addr, raw_key, key_size, key, }
            fi_param { name, type_, help_string, value, }
            fi_context { internal, }
            fi_context2 { internal, }
            fi_recv_context { ep, context, }
            fi_wait_attr { wait_obj, flags, }
            fi_ops_wait { size, wait, }
            fid_wait { fid, ops, }
            fi_mutex_cond { mutex, cond, }
            fi_wait_pollfd { change_index, nfds, fd, }
            fi_poll_attr { flags, }
            fi_ops_poll { size, poll, poll_add, poll_del, }
            fid_poll { fid, ops, }
            fi_eq_attr { size, flags, wait_obj, signaling_vector, wait_set, }
            fi_eq_entry { fid, context, data, }
            fi_eq_err_entry { fid, context, data, err, prov_errno, err_data, err_data_size, }
            fi_eq_cm_entry { fid, info, data, }
            fi_ops_eq { size, read, readerr, write, sread, strerror, }
            fid_eq { fid, ops, }
            fi_cq_entry { op_context, }
            fi_cq_msg_entry { op_context, flags, len, }
            fi_cq_data_entry { op_context, flags, len, buf, data, }
            fi_cq_tagged_entry { op_context, flags, len, buf, data, tag, }
            fi_cq_err_entry { op_context, flags, len, buf, data, tag, olen, err, prov_errno, err_data, err_data_size, src_addr, }
            fi_cq_attr { size, flags, format, wait_obj, signaling_vector, wait_cond, wait_set, }
            fi_ops_cq { size, read, readfrom, readerr, sread, sreadfrom, signal, strerror, }
            fid_cq { fid, ops, }
            fi_cntr_attr { events, wait_obj, wait_set, flags, }
            fi_ops_cntr { size, read, readerr, add, set, wait, adderr, seterr, }
            fid_cntr { fid, ops, }
            fi_av_attr { type_, rx_ctx_bits, count, ep_per_node, name, map_addr, flags, }
            fi_av_set_attr { count, start_addr, end_addr, stride, comm_key_size, comm_key, flags, }
            fi_ops_av { size, insert, insertsvc, insertsym, remove, lookup, straddr, av_set, insert_auth_key, lookup_auth_key, set_user_id, }
            fid_av { fid, ops, }
            fid_mr { fid, mem_desc, key, }
            fi_mr_dmabuf { fd, offset, len, base_addr, }
            fi_mr_auth_key { av, src_addr, }
            fi_mr_modify { flags, attr, }
            fi_hmem_override_ops { size, copy_from_hmem_iov, copy_to_hmem_iov, }
            fi_ops_domain { size, av_open, cq_open, endpoint, scalable_ep, cntr_open, poll_open, stx_ctx, srx_ctx, query_atomic, query_collective, endpoint2, }
            fi_ops_mr { size, reg, regv, regattr, }
            fid_domain { fid, ops, mr, }
            fi_msg { msg_iov, desc, iov_count, addr, context, data, }
            fi_ops_ep { size, cancel, getopt, setopt, tx_ctx, rx_ctx, rx_size_left, tx_size_left, }
            fi_ops_msg { size, recv, recvv, recvmsg, send, sendv, sendmsg, inject, senddata, injectdata, }
            fid_ep { fid, ops, cm, msg, rma, tagged, atomic, collective, }
            fid_pep { fid, ops, cm, }
            fid_stx { fid, ops, }
            fid_mc { fid, fi_addr, }
            fi_ops_cm { size, setname, getname, getpeer, connect, listen, accept, reject, shutdown, join, }
            fi_msg_tagged { msg_iov, desc, iov_count, addr, tag, ignore, context, data, }
            fi_ops_tagged { size, recv, recvv, recvmsg, send, sendv, sendmsg, inject, senddata, injectdata, }
            fi_rma_iov { addr, len, key, }
            fi_rma_ioc { addr, count, key, }
            fi_msg_rma { msg_iov, desc, iov_count, addr, rma_iov, rma_iov_count, context, data, }
            fi_ops_rma { size, read, readv, readmsg, write, writev, writemsg, inject, writedata, injectdata, }
            fi_atomic_attr { count, size, }
            fi_msg_atomic { msg_iov, desc, iov_count, addr, rma_iov, rma_iov_count, datatype, op, context, data, }
            fi_msg_fetch { msg_iov, desc, iov_count, }
            fi_msg_compare { msg_iov, desc, iov_count, }
            fi_ops_atomic { size, write, writev, writemsg, inject, readwrite, readwritev, readwritemsg, compwrite, compwritev, compwritemsg, writevalid, readwritevalid, compwritevalid, }
            fi_trigger_threshold { cntr, threshold, }
            fi_trigger_var { datatype, count, addr, value, }
            fi_trigger_xpu { count, iface, device, var, }
            fi_op_msg { ep, msg, flags, }
            fi_op_tagged { ep, msg, flags, }
            fi_op_rma { ep, msg, flags, }
            fi_op_atomic { ep, msg, flags, }
            fi_op_fetch_atomic { ep, msg, fetch, flags, }
            fi_op_compare_atomic { ep, msg, fetch, compare, flags, }
            fi_op_cntr { cntr, value, }
            fi_triggered_context { event_type, trigger, }
            fi_triggered_context2 { event_type, trigger, }
            fi_deferred_work { context, threshold, triggering_cntr, completion_cntr, op_type, op, }
            fi_ops_av_set { size, set_union, intersect, diff, insert, remove, addr, }
            fid_av_set { fid, ops, }
            fi_collective_attr { op, datatype, datatype_attr, max_members, mode, }
            fi_collective_addr { set, coll_addr, }
            fi_msg_collective { msg_iov, desc, iov_count, coll_addr, root_addr, coll, datatype, op, context, }
            fi_ops_collective { size, barrier, broadcast, alltoall, allreduce, allgather, reduce_scatter, reduce, scatter, gather, msg, barrier2, }
            fi_provider { version, fi_version, context, name, getinfo, fabric, cleanup, }
            fi_fid_export { fid, flags, context, }
            fi_ops_mem_monitor { size, start, stop, subscribe, unsubscribe, valid, }
            fi_ops_mem_notify { size, notify, }
            fid_mem_monitor { fid, export_ops, import_ops, }
            fi_ops_log { size, enabled, ready, log, }
            fid_logging { fid, ops, }
            fi_profile_desc { id, datatype_sel, datatype, flags, size, name, desc, }
            fi_profile_ops { size, reset, query_vars, query_events, read_var, reg_callback, start_reads, end_reads, }
            fid_profile { fid, ops, }
            fi_domain_attr { domain, name, threading, control_progress, data_progress, resource_mgmt, av_type, mr_mode, mr_key_size, cq_data_size, cq_cnt, ep_cnt, tx_ctx_cnt, rx_ctx_cnt, max_ep_tx_ctx, max_ep_rx_ctx, max_ep_stx_ctx, max_ep_srx_ctx, cntr_cnt, mr_iov_limit, caps, mode, auth_key, auth_key_size, max_err_data, mr_cnt, tclass, max_ep_auth_key, max_group_id, max_cntr_value, max_err_cntr_value, }
            fi_mr_attr { mem, iov_count, access, offset, requested_key, context, auth_key_size, auth_key, iface, device, hmem_data, page_size, base_mr, sub_mr_cnt, }
    }
}

pub(crate) const CONSTANTS: &[(&str, i64)] = &[
    ("FI_ADDR_BGQ", FI_ADDR_BGQ as i64),
    ("FI_ADDR_CXI", FI_ADDR_CXI as i64),
    ("FI_ADDR_EFA", FI_ADDR_EFA as i64),
    ("FI_ADDR_GNI", FI_ADDR_GNI as i64),
    ("FI_ADDR_IB_UD", FI_ADDR_IB_UD as i64),
    ("FI_ADDR_MLX", FI_ADDR_MLX as i64),
    ("FI_ADDR_NOTAVAIL", FI_ADDR_NOTAVAIL as i64),
    ("FI_ADDR_OPX", FI_ADDR_OPX as i64),
    ("FI_ADDR_PSMX", FI_ADDR_PSMX as i64),
    ("FI_ADDR_PSMX2", FI_ADDR_PSMX2 as i64),
    ("FI_ADDR_PSMX3", FI_ADDR_PSMX3 as i64),
    ("FI_ADDR_STR", FI_ADDR_STR as i64),
    ("FI_ADDR_UCX", FI_ADDR_UCX as i64),
    ("FI_ADDR_UNSPEC", FI_ADDR_UNSPEC as i64),
    ("FI_AFFINITY", FI_AFFINITY as i64),
    ("FI_ALIAS", FI_ALIAS as i64),
    ("FI_ALLGATHER", FI_ALLGATHER as i64),
    ("FI_ALLGATHER_SET", FI_ALLGATHER_SET as i64),
    ("FI_ALLREDUCE", FI_ALLREDUCE as i64),
    ("FI_ALLREDUCE_SET", FI_ALLREDUCE_SET as i64),
    ("FI_ALLTOALL", FI_ALLTOALL as i64),
    ("FI_ALLTOALL_SET", FI_ALLTOALL_SET as i64),
    ("FI_ASYNC_IOV", FI_ASYNC_IOV as i64),
    ("FI_ATOMIC", FI_ATOMIC as i64),
    ("FI_ATOMICS", FI_ATOMICS as i64),
    ("FI_ATOMIC_OP_LAST", FI_ATOMIC_OP_LAST as i64),
    ("FI_ATOMIC_READ", FI_ATOMIC_READ as i64),
    ("FI_ATOMIC_WRITE", FI_ATOMIC_WRITE as i64),
    ("FI_AUTH_KEY", FI_AUTH_KEY as i64),
    ("FI_AV_AUTH_KEY", FI_AV_AUTH_KEY as i64),
    ("FI_AV_COMPLETE", FI_AV_COMPLETE as i64),
    ("FI_AV_MAP", FI_AV_MAP as i64),
    ("FI_AV_TABLE", FI_AV_TABLE as i64),
    ("FI_AV_UNSPEC", FI_AV_UNSPEC as i64),
    ("FI_AV_USER_ID", FI_AV_USER_ID as i64),
    ("FI_BACKLOG", FI_BACKLOG as i64),
    ("FI_BAND", FI_BAND as i64),
    ("FI_BARRIER", FI_BARRIER as i64),
    ("FI_BARRIER_SET", FI_BARRIER_SET as i64),
    ("FI_BFLOAT16", FI_BFLOAT16 as i64),
    ("FI_BOR", FI_BOR as i64),
    ("FI_BROADCAST", FI_BROADCAST as i64),
    ("FI_BROADCAST_SET", FI_BROADCAST_SET as i64),
    ("FI_BUS_PCI", FI_BUS_PCI as i64),
    ("FI_BUS_UNKNOWN", FI_BUS_UNKNOWN as i64),
    ("FI_BUS_UNSPEC", FI_BUS_UNSPEC as i64),
    ("FI_BXOR", FI_BXOR as i64),
    ("FI_CANCEL_WORK", FI_CANCEL_WORK as i64),
    ("FI_CLAIM", FI_CLAIM as i64),
    ("FI_CLASS_AV", FI_CLASS_AV as i64),
    ("FI_CLASS_AV_SET", FI_CLASS_AV_SET as i64),
    ("FI_CLASS_CNTR", FI_CLASS_CNTR as i64),
    ("FI_CLASS_CONNREQ", FI_CLASS_CONNREQ as i64),
    ("FI_CLASS_CQ", FI_CLASS_CQ as i64),
    ("FI_CLASS_DOMAIN", FI_CLASS_DOMAIN as i64),
    ("FI_CLASS_EP", FI_CLASS_EP as i64),
    ("FI_CLASS_EQ", FI_CLASS_EQ as i64),
    ("FI_CLASS_FABRIC", FI_CLASS_FABRIC as i64),
    ("FI_CLASS_INTERFACE", FI_CLASS_INTERFACE as i64),
    ("FI_CLASS_LOG", FI_CLASS_LOG as i64),
    ("FI_CLASS_MC", FI_CLASS_MC as i64),
    ("FI_CLASS_MEM_MONITOR", FI_CLASS_MEM_MONITOR as i64),
    ("FI_CLASS_MR", FI_CLASS_MR as i64),
    ("FI_CLASS_MR_CACHE", FI_CLASS_MR_CACHE as i64),
    ("FI_CLASS_NIC", FI_CLASS_NIC as i64),
    ("FI_CLASS_PEER_AV", FI_CLASS_PEER_AV as i64),
    ("FI_CLASS_PEER_AV_SET", FI_CLASS_PEER_AV_SET as i64),
    ("FI_CLASS_PEER_CNTR", FI_CLASS_PEER_CNTR as i64),
    ("FI_CLASS_PEER_CQ", FI_CLASS_PEER_CQ as i64),
    ("FI_CLASS_PEER_SRX", FI_CLASS_PEER_SRX as i64),
    ("FI_CLASS_PEP", FI_CLASS_PEP as i64),
    ("FI_CLASS_POLL", FI_CLASS_POLL as i64),
    ("FI_CLASS_PROFILE", FI_CLASS_PROFILE as i64),
    ("FI_CLASS_RX_CTX", FI_CLASS_RX_CTX as i64),
    ("FI_CLASS_SEP", FI_CLASS_SEP as i64),
    ("FI_CLASS_SRX_CTX", FI_CLASS_SRX_CTX as i64),
    ("FI_CLASS_STX_CTX", FI_CLASS_STX_CTX as i64),
    ("FI_CLASS_TX_CTX", FI_CLASS_TX_CTX as i64),
    ("FI_CLASS_UNSPEC", FI_CLASS_UNSPEC as i64),
    ("FI_CLASS_WAIT", FI_CLASS_WAIT as i64),
    ("FI_CNTR_EVENTS_BYTES", FI_CNTR_EVENTS_BYTES as i64),
    ("FI_CNTR_EVENTS_COMP", FI_CNTR_EVENTS_COMP as i64),
    ("FI_COLLECTIVE", FI_COLLECTIVE as i64),
    ("FI_COLLECTIVE_OFFSET", FI_COLLECTIVE_OFFSET as i64),
    ("FI_COMMIT_COMPLETE", FI_COMMIT_COMPLETE as i64),
    ("FI_COMPARE_ATOMIC", FI_COMPARE_ATOMIC as i64),
    ("FI_COMPLETION", FI_COMPLETION as i64),
    ("FI_CONNECTED", FI_CONNECTED as i64),
    ("FI_CONNREQ", FI_CONNREQ as i64),
    ("FI_CONTEXT", FI_CONTEXT as i64),
    ("FI_CONTEXT2", FI_CONTEXT2 as i64),
    ("FI_CQ_COND_NONE", FI_CQ_COND_NONE as i64),
    ("FI_CQ_COND_THRESHOLD", FI_CQ_COND_THRESHOLD as i64),
    ("FI_CQ_FORMAT_CONTEXT", FI_CQ_FORMAT_CONTEXT as i64),
    ("FI_CQ_FORMAT_DATA", FI_CQ_FORMAT_DATA as i64),
    ("FI_CQ_FORMAT_MSG", FI_CQ_FORMAT_MSG as i64),
    ("FI_CQ_FORMAT_TAGGED", FI_CQ_FORMAT_TAGGED as i64),
    ("FI_CQ_FORMAT_UNSPEC", FI_CQ_FORMAT_UNSPEC as i64),
    ("FI_CSWAP", FI_CSWAP as i64),
    ("FI_CSWAP_GE", FI_CSWAP_GE as i64),
    ("FI_CSWAP_GT", FI_CSWAP_GT as i64),
    ("FI_CSWAP_LE", FI_CSWAP_LE as i64),
    ("FI_CSWAP_LT", FI_CSWAP_LT as i64),
    ("FI_CSWAP_NE", FI_CSWAP_NE as i64),
    ("FI_DATATYPE_LAST", FI_DATATYPE_LAST as i64),
    ("FI_DELIVERY_COMPLETE", FI_DELIVERY_COMPLETE as i64),
    ("FI_DIFF", FI_DIFF as i64),
    ("FI_DIRECTED_RECV", FI_DIRECTED_RECV as i64),
    ("FI_DISCARD", FI_DISCARD as i64),
    ("FI_DOUBLE", FI_DOUBLE as i64),
    ("FI_DOUBLE_COMPLEX", FI_DOUBLE_COMPLEX as i64),
    ("FI_DUP", FI_DUP as i64),
    ("FI_E2BIG", FI_E2BIG as i64),
    ("FI_EACCES", FI_EACCES as i64),
    ("FI_EADDRINUSE", FI_EADDRINUSE as i64),
    ("FI_EADDRNOTAVAIL", FI_EADDRNOTAVAIL as i64),
    ("FI_EAGAIN", FI_EAGAIN as i64),
    ("FI_EALREADY", FI_EALREADY as i64),
    ("FI_EAVAIL", FI_EAVAIL as i64),
    ("FI_EBADF", FI_EBADF as i64),
    ("FI_EBADFLAGS", FI_EBADFLAGS as i64),
    ("FI_EBUSY", FI_EBUSY as i64),
    ("FI_ECANCELED", FI_ECANCELED as i64),
    ("FI_ECONNABORTED", FI_ECONNABORTED as i64),
    ("FI_ECONNREFUSED", FI_ECONNREFUSED as i64),
    ("FI_ECONNRESET", FI_ECONNRESET as i64),
    ("FI_ECRC", FI_ECRC as i64),
    ("FI_EDOMAIN", FI_EDOMAIN as i64),
    ("FI_EFAULT", FI_EFAULT as i64),
    ("FI_EFIREWALLADDR", FI_EFIREWALLADDR as i64),
    ("FI_EHOSTDOWN", FI_EHOSTDOWN as i64),
    ("FI_EHOSTUNREACH", FI_EHOSTUNREACH as i64),
    ("FI_EINPROGRESS", FI_EINPROGRESS as i64),
    ("FI_EINTR", FI_EINTR as i64),
    ("FI_EINVAL", FI_EINVAL as i64),
    ("FI_EIO", FI_EIO as i64),
    ("FI_EISCONN", FI_EISCONN as i64),
    ("FI_EKEYREJECTED", FI_EKEYREJECTED as i64),
    ("FI_EMFILE", FI_EMFILE as i64),
    ("FI_EMSGSIZE", FI_EMSGSIZE as i64),
    ("FI_ENABLE", FI_ENABLE as i64),
    ("FI_ENETDOWN", FI_ENETDOWN as i64),
    ("FI_ENETUNREACH", FI_ENETUNREACH as i64),
    ("FI_ENOAV", FI_ENOAV as i64),
    ("FI_ENOBUFS", FI_ENOBUFS as i64),
    ("FI_ENOCQ", FI_ENOCQ as i64),
    ("FI_ENODATA", FI_ENODATA as i64),
    ("FI_ENODEV", FI_ENODEV as i64),
    ("FI_ENOENT", FI_ENOENT as i64),
    ("FI_ENOEQ", FI_ENOEQ as i64),
    ("FI_ENOKEY", FI_ENOKEY as i64),
    ("FI_ENOMEM", FI_ENOMEM as i64),
    ("FI_ENOMR", FI_ENOMR as i64),
    ("FI_ENOMSG", FI_ENOMSG as i64),
    ("FI_ENOPROTOOPT", FI_ENOPROTOOPT as i64),
    ("FI_ENORX", FI_ENORX as i64),
    ("FI_ENOSPC", FI_ENOSPC as i64),
    ("FI_ENOSYS", FI_ENOSYS as i64),
    ("FI_ENOTCONN", FI_ENOTCONN as i64),
    ("FI_EOPBADSTATE", FI_EOPBADSTATE as i64),
    ("FI_EOPNOTSUPP", FI_EOPNOTSUPP as i64),
    ("FI_EOTHER", FI_EOTHER as i64),
    ("FI_EOVERFLOW", FI_EOVERFLOW as i64),
    ("FI_EOVERRUN", FI_EOVERRUN as i64),
    ("FI_EPERM", FI_EPERM as i64),
    ("FI_EPROTO", FI_EPROTO as i64),
    ("FI_EP_DGRAM", FI_EP_DGRAM as i64),
    ("FI_EP_MSG", FI_EP_MSG as i64),
    ("FI_EP_RDM", FI_EP_RDM as i64),
    ("FI_EP_SOCK_STREAM", FI_EP_SOCK_STREAM as i64),
    ("FI_EP_UNSPEC", FI_EP_UNSPEC as i64),
    ("FI_EREMOTEIO", FI_EREMOTEIO as i64),
    ("FI_ERRNO_MAX", FI_ERRNO_MAX as i64),
    ("FI_ERRNO_OFFSET", FI_ERRNO_OFFSET as i64),
    ("FI_ESHUTDOWN", FI_ESHUTDOWN as i64),
    ("FI_ETIMEDOUT", FI_ETIMEDOUT as i64),
    ("FI_ETOOSMALL", FI_ETOOSMALL as i64),
    ("FI_ETRUNC", FI_ETRUNC as i64),
    ("FI_EVENT", FI_EVENT as i64),
    (
        "FI_EVENT_UNEXP_MSG_MATCHED",
        FI_EVENT_UNEXP_MSG_MATCHED as i64,
    ),
    ("FI_EVENT_UNEXP_MSG_RECVD", FI_EVENT_UNEXP_MSG_RECVD as i64),
    ("FI_EWOULDBLOCK", FI_EWOULDBLOCK as i64),
    ("FI_EXACT_DIRECTED_RECV", FI_EXACT_DIRECTED_RECV as i64),
    ("FI_EXPORT_FID", FI_EXPORT_FID as i64),
    ("FI_FENCE", FI_FENCE as i64),
    ("FI_FETCH_ATOMIC", FI_FETCH_ATOMIC as i64),
    ("FI_FIREWALL_ADDR", FI_FIREWALL_ADDR as i64),
    ("FI_FLOAT", FI_FLOAT as i64),
    ("FI_FLOAT16", FI_FLOAT16 as i64),
    ("FI_FLOAT8_E4M3", FI_FLOAT8_E4M3 as i64),
    ("FI_FLOAT8_E5M2", FI_FLOAT8_E5M2 as i64),
    ("FI_FLOAT_COMPLEX", FI_FLOAT_COMPLEX as i64),
    ("FI_FLUSH_WORK", FI_FLUSH_WORK as i64),
    ("FI_FORMAT_UNSPEC", FI_FORMAT_UNSPEC as i64),
    ("FI_GATHER", FI_GATHER as i64),
    ("FI_GATHER_SET", FI_GATHER_SET as i64),
    ("FI_GETFIDFLAG", FI_GETFIDFLAG as i64),
    ("FI_GETOPSFLAG", FI_GETOPSFLAG as i64),
    ("FI_GETWAIT", FI_GETWAIT as i64),
    ("FI_GETWAITOBJ", FI_GETWAITOBJ as i64),
    ("FI_GET_FD", FI_GET_FD as i64),
    ("FI_GET_RAW_MR", FI_GET_RAW_MR as i64),
    ("FI_GET_VAL", FI_GET_VAL as i64),
    ("FI_HMEM", FI_HMEM as i64),
    ("FI_HMEM_CUDA", FI_HMEM_CUDA as i64),
    ("FI_HMEM_DEVICE_ONLY", FI_HMEM_DEVICE_ONLY as i64),
    ("FI_HMEM_HOST_ALLOC", FI_HMEM_HOST_ALLOC as i64),
    ("FI_HMEM_NEURON", FI_HMEM_NEURON as i64),
    ("FI_HMEM_P2P_DISABLED", FI_HMEM_P2P_DISABLED as i64),
    ("FI_HMEM_P2P_ENABLED", FI_HMEM_P2P_ENABLED as i64),
    ("FI_HMEM_P2P_PREFERRED", FI_HMEM_P2P_PREFERRED as i64),
    ("FI_HMEM_P2P_REQUIRED", FI_HMEM_P2P_REQUIRED as i64),
    ("FI_HMEM_ROCR", FI_HMEM_ROCR as i64),
    ("FI_HMEM_SYNAPSEAI", FI_HMEM_SYNAPSEAI as i64),
    ("FI_HMEM_SYSTEM", FI_HMEM_SYSTEM as i64),
    ("FI_HMEM_ZE", FI_HMEM_ZE as i64),
    ("FI_INJECT", FI_INJECT as i64),
    ("FI_INJECT_COMPLETE", FI_INJECT_COMPLETE as i64),
    ("FI_INT128", FI_INT128 as i64),
    ("FI_INT16", FI_INT16 as i64),
    ("FI_INT32", FI_INT32 as i64),
    ("FI_INT64", FI_INT64 as i64),
    ("FI_INT8", FI_INT8 as i64),
    ("FI_JOIN_COMPLETE", FI_JOIN_COMPLETE as i64),
    ("FI_KEY_NOTAVAIL", FI_KEY_NOTAVAIL as i64),
    ("FI_LAND", FI_LAND as i64),
    ("FI_LINK_DOWN", FI_LINK_DOWN as i64),
    ("FI_LINK_UNKNOWN", FI_LINK_UNKNOWN as i64),
    ("FI_LINK_UP", FI_LINK_UP as i64),
    ("FI_LOCAL_COMM", FI_LOCAL_COMM as i64),
    ("FI_LOCAL_MR", FI_LOCAL_MR as i64),
    ("FI_LOG_AV", FI_LOG_AV as i64),
    ("FI_LOG_CNTR", FI_LOG_CNTR as i64),
    ("FI_LOG_CORE", FI_LOG_CORE as i64),
    ("FI_LOG_CQ", FI_LOG_CQ as i64),
    ("FI_LOG_DEBUG", FI_LOG_DEBUG as i64),
    ("FI_LOG_DOMAIN", FI_LOG_DOMAIN as i64),
    ("FI_LOG_EP_CTRL", FI_LOG_EP_CTRL as i64),
    ("FI_LOG_EP_DATA", FI_LOG_EP_DATA as i64),
    ("FI_LOG_EQ", FI_LOG_EQ as i64),
    ("FI_LOG_FABRIC", FI_LOG_FABRIC as i64),
    ("FI_LOG_INFO", FI_LOG_INFO as i64),
    ("FI_LOG_MR", FI_LOG_MR as i64),
    ("FI_LOG_PROV_FILTERED", FI_LOG_PROV_FILTERED as i64),
    ("FI_LOG_TRACE", FI_LOG_TRACE as i64),
    ("FI_LOG_WARN", FI_LOG_WARN as i64),
    ("FI_LONG_DOUBLE", FI_LONG_DOUBLE as i64),
    ("FI_LONG_DOUBLE_COMPLEX", FI_LONG_DOUBLE_COMPLEX as i64),
    ("FI_LOR", FI_LOR as i64),
    ("FI_LXOR", FI_LXOR as i64),
    ("FI_MAJOR_VERSION", FI_MAJOR_VERSION as i64),
    ("FI_MAP_RAW_MR", FI_MAP_RAW_MR as i64),
    ("FI_MATCH_COMPLETE", FI_MATCH_COMPLETE as i64),
    ("FI_MAX", FI_MAX as i64),
    ("FI_MIN", FI_MIN as i64),
    ("FI_MINOR_VERSION", FI_MINOR_VERSION as i64),
    ("FI_MORE", FI_MORE as i64),
    ("FI_MPI_IGNORE_PAYLOAD", FI_MPI_IGNORE_PAYLOAD as i64),
    ("FI_MPI_IGNORE_TAG", FI_MPI_IGNORE_TAG as i64),
    ("FI_MR_ALLOCATED", FI_MR_ALLOCATED as i64),
    ("FI_MR_BASIC", FI_MR_BASIC as i64),
    ("FI_MR_COLLECTIVE", FI_MR_COLLECTIVE as i64),
    ("FI_MR_COMPLETE", FI_MR_COMPLETE as i64),
    ("FI_MR_DMABUF", FI_MR_DMABUF as i64),
    ("FI_MR_ENDPOINT", FI_MR_ENDPOINT as i64),
    ("FI_MR_HMEM", FI_MR_HMEM as i64),
    ("FI_MR_LOCAL", FI_MR_LOCAL as i64),
    ("FI_MR_MMU_NOTIFY", FI_MR_MMU_NOTIFY as i64),
    ("FI_MR_PROV_KEY", FI_MR_PROV_KEY as i64),
    ("FI_MR_RAW", FI_MR_RAW as i64),
    ("FI_MR_RMA_EVENT", FI_MR_RMA_EVENT as i64),
    ("FI_MR_SCALABLE", FI_MR_SCALABLE as i64),
    ("FI_MR_SINGLE_USE", FI_MR_SINGLE_USE as i64),
    ("FI_MR_UNSPEC", FI_MR_UNSPEC as i64),
    ("FI_MR_VIRT_ADDR", FI_MR_VIRT_ADDR as i64),
    ("FI_MSG", FI_MSG as i64),
    ("FI_MSG_PREFIX", FI_MSG_PREFIX as i64),
    ("FI_MSWAP", FI_MSWAP as i64),
    ("FI_MULTICAST", FI_MULTICAST as i64),
    ("FI_MULTI_RECV", FI_MULTI_RECV as i64),
    ("FI_NAMED_RX_CTX", FI_NAMED_RX_CTX as i64),
    ("FI_NAME_MAX", FI_NAME_MAX as i64),
    ("FI_NOOP", FI_NOOP as i64),
    ("FI_NOTIFY", FI_NOTIFY as i64),
    ("FI_NOTIFY_FLAGS_ONLY", FI_NOTIFY_FLAGS_ONLY as i64),
    ("FI_NUMERICHOST", FI_NUMERICHOST as i64),
    ("FI_OPT_BUFFERED_LIMIT", FI_OPT_BUFFERED_LIMIT as i64),
    ("FI_OPT_BUFFERED_MIN", FI_OPT_BUFFERED_MIN as i64),
    ("FI_OPT_CM_DATA_SIZE", FI_OPT_CM_DATA_SIZE as i64),
    (
        "FI_OPT_CUDA_API_PERMITTED",
        FI_OPT_CUDA_API_PERMITTED as i64,
    ),
    (
        "FI_OPT_EFA_EMULATED_ATOMICS",
        FI_OPT_EFA_EMULATED_ATOMICS as i64,
    ),
    ("FI_OPT_EFA_EMULATED_READ", FI_OPT_EFA_EMULATED_READ as i64),
    (
        "FI_OPT_EFA_EMULATED_WRITE",
        FI_OPT_EFA_EMULATED_WRITE as i64,
    ),
    (
        "FI_OPT_EFA_HOMOGENEOUS_PEERS",
        FI_OPT_EFA_HOMOGENEOUS_PEERS as i64,
    ),
    ("FI_OPT_EFA_RNR_RETRY", FI_OPT_EFA_RNR_RETRY as i64),
    (
        "FI_OPT_EFA_SENDRECV_IN_ORDER_ALIGNED_128_BYTES",
        FI_OPT_EFA_SENDRECV_IN_ORDER_ALIGNED_128_BYTES as i64,
    ),
    (
        "FI_OPT_EFA_USE_DEVICE_RDMA",
        FI_OPT_EFA_USE_DEVICE_RDMA as i64,
    ),
    (
        "FI_OPT_EFA_USE_UNSOLICITED_WRITE_RECV",
        FI_OPT_EFA_USE_UNSOLICITED_WRITE_RECV as i64,
    ),
    (
        "FI_OPT_EFA_WRITE_IN_ORDER_ALIGNED_128_BYTES",
        FI_OPT_EFA_WRITE_IN_ORDER_ALIGNED_128_BYTES as i64,
    ),
    ("FI_OPT_ENDPOINT", FI_OPT_ENDPOINT as i64),
    ("FI_OPT_FIREWALL_ADDR", FI_OPT_FIREWALL_ADDR as i64),
    ("FI_OPT_FI_HMEM_P2P", FI_OPT_FI_HMEM_P2P as i64),
    (
        "FI_OPT_INJECT_ATOMIC_SIZE",
        FI_OPT_INJECT_ATOMIC_SIZE as i64,
    ),
    ("FI_OPT_INJECT_MSG_SIZE", FI_OPT_INJECT_MSG_SIZE as i64),
    ("FI_OPT_INJECT_RMA_SIZE", FI_OPT_INJECT_RMA_SIZE as i64),
    (
        "FI_OPT_INJECT_TAGGED_SIZE",
        FI_OPT_INJECT_TAGGED_SIZE as i64,
    ),
    ("FI_OPT_MAX_ATOMIC_SIZE", FI_OPT_MAX_ATOMIC_SIZE as i64),
    ("FI_OPT_MAX_MSG_SIZE", FI_OPT_MAX_MSG_SIZE as i64),
    ("FI_OPT_MAX_RMA_SIZE", FI_OPT_MAX_RMA_SIZE as i64),
    ("FI_OPT_MAX_TAGGED_SIZE", FI_OPT_MAX_TAGGED_SIZE as i64),
    ("FI_OPT_MIN_MULTI_RECV", FI_OPT_MIN_MULTI_RECV as i64),
    ("FI_OPT_RECV_BUF_SIZE", FI_OPT_RECV_BUF_SIZE as i64),
    ("FI_OPT_RX_SIZE", FI_OPT_RX_SIZE as i64),
    ("FI_OPT_SEND_BUF_SIZE", FI_OPT_SEND_BUF_SIZE as i64),
    (
        "FI_OPT_SHARED_MEMORY_PERMITTED",
        FI_OPT_SHARED_MEMORY_PERMITTED as i64,
    ),
    ("FI_OPT_TX_SIZE", FI_OPT_TX_SIZE as i64),
    ("FI_OPT_XPU_TRIGGER", FI_OPT_XPU_TRIGGER as i64),
    ("FI_OP_ATOMIC", FI_OP_ATOMIC as i64),
    ("FI_OP_CNTR_ADD", FI_OP_CNTR_ADD as i64),
    ("FI_OP_CNTR_SET", FI_OP_CNTR_SET as i64),
    ("FI_OP_COMPARE_ATOMIC", FI_OP_COMPARE_ATOMIC as i64),
    ("FI_OP_FETCH_ATOMIC", FI_OP_FETCH_ATOMIC as i64),
    ("FI_OP_READ", FI_OP_READ as i64),
    ("FI_OP_RECV", FI_OP_RECV as i64),
    ("FI_OP_SEND", FI_OP_SEND as i64),
    ("FI_OP_TRECV", FI_OP_TRECV as i64),
    ("FI_OP_TSEND", FI_OP_TSEND as i64),
    ("FI_OP_WRITE", FI_OP_WRITE as i64),
    ("FI_ORDER_ATOMIC_RAR", FI_ORDER_ATOMIC_RAR as i64),
    ("FI_ORDER_ATOMIC_RAW", FI_ORDER_ATOMIC_RAW as i64),
    ("FI_ORDER_ATOMIC_WAR", FI_ORDER_ATOMIC_WAR as i64),
    ("FI_ORDER_ATOMIC_WAW", FI_ORDER_ATOMIC_WAW as i64),
    ("FI_ORDER_DATA", FI_ORDER_DATA as i64),
    ("FI_ORDER_NONE", FI_ORDER_NONE as i64),
    ("FI_ORDER_RAR", FI_ORDER_RAR as i64),
    ("FI_ORDER_RAS", FI_ORDER_RAS as i64),
    ("FI_ORDER_RAW", FI_ORDER_RAW as i64),
    ("FI_ORDER_RMA_RAR", FI_ORDER_RMA_RAR as i64),
    ("FI_ORDER_RMA_RAW", FI_ORDER_RMA_RAW as i64),
    ("FI_ORDER_RMA_WAR", FI_ORDER_RMA_WAR as i64),
    ("FI_ORDER_RMA_WAW", FI_ORDER_RMA_WAW as i64),
    ("FI_ORDER_SAR", FI_ORDER_SAR as i64),
    ("FI_ORDER_SAS", FI_ORDER_SAS as i64),
    ("FI_ORDER_SAW", FI_ORDER_SAW as i64),
    ("FI_ORDER_STRICT", FI_ORDER_STRICT as i64),
    ("FI_ORDER_WAR", FI_ORDER_WAR as i64),
    ("FI_ORDER_WAS", FI_ORDER_WAS as i64),
    ("FI_ORDER_WAW", FI_ORDER_WAW as i64),
    ("FI_PARAM_BOOL", FI_PARAM_BOOL as i64),
    ("FI_PARAM_INT", FI_PARAM_INT as i64),
    ("FI_PARAM_SIZE_T", FI_PARAM_SIZE_T as i64),
    ("FI_PARAM_STRING", FI_PARAM_STRING as i64),
    ("FI_PEEK", FI_PEEK as i64),
    ("FI_PEER", FI_PEER as i64),
    ("FI_PEER_TRANSFER", FI_PEER_TRANSFER as i64),
    ("FI_PROD", FI_PROD as i64),
    ("FI_PROGRESS_AUTO", FI_PROGRESS_AUTO as i64),
    (
        "FI_PROGRESS_CONTROL_UNIFIED",
        FI_PROGRESS_CONTROL_UNIFIED as i64,
    ),
    ("FI_PROGRESS_MANUAL", FI_PROGRESS_MANUAL as i64),
    ("FI_PROGRESS_UNSPEC", FI_PROGRESS_UNSPEC as i64),
    ("FI_PROTO_COLL", FI_PROTO_COLL as i64),
    ("FI_PROTO_CXI", FI_PROTO_CXI as i64),
    ("FI_PROTO_CXI_RNR", FI_PROTO_CXI_RNR as i64),
    ("FI_PROTO_EFA", FI_PROTO_EFA as i64),
    ("FI_PROTO_GNI", FI_PROTO_GNI as i64),
    ("FI_PROTO_IB_RDM", FI_PROTO_IB_RDM as i64),
    ("FI_PROTO_IB_UD", FI_PROTO_IB_UD as i64),
    ("FI_PROTO_IWARP", FI_PROTO_IWARP as i64),
    ("FI_PROTO_IWARP_RDM", FI_PROTO_IWARP_RDM as i64),
    ("FI_PROTO_LNX", FI_PROTO_LNX as i64),
    ("FI_PROTO_LPP", FI_PROTO_LPP as i64),
    ("FI_PROTO_MLX", FI_PROTO_MLX as i64),
    ("FI_PROTO_MRAIL", FI_PROTO_MRAIL as i64),
    ("FI_PROTO_MXM", FI_PROTO_MXM as i64),
    ("FI_PROTO_NETWORKDIRECT", FI_PROTO_NETWORKDIRECT as i64),
    ("FI_PROTO_OPX", FI_PROTO_OPX as i64),
    ("FI_PROTO_PSMX", FI_PROTO_PSMX as i64),
    ("FI_PROTO_PSMX2", FI_PROTO_PSMX2 as i64),
    ("FI_PROTO_PSMX3", FI_PROTO_PSMX3 as i64),
    ("FI_PROTO_RDMA_CM_IB_RC", FI_PROTO_RDMA_CM_IB_RC as i64),
    ("FI_PROTO_RDMA_CM_IB_XRC", FI_PROTO_RDMA_CM_IB_XRC as i64),
    ("FI_PROTO_RSTREAM", FI_PROTO_RSTREAM as i64),
    ("FI_PROTO_RXD", FI_PROTO_RXD as i64),
    ("FI_PROTO_RXM", FI_PROTO_RXM as i64),
    ("FI_PROTO_RXM_TCP", FI_PROTO_RXM_TCP as i64),
    ("FI_PROTO_SHM", FI_PROTO_SHM as i64),
    ("FI_PROTO_SM2", FI_PROTO_SM2 as i64),
    ("FI_PROTO_SOCK_TCP", FI_PROTO_SOCK_TCP as i64),
    ("FI_PROTO_UCX", FI_PROTO_UCX as i64),
    ("FI_PROTO_UDP", FI_PROTO_UDP as i64),
    ("FI_PROTO_UNSPEC", FI_PROTO_UNSPEC as i64),
    ("FI_PROTO_XNET", FI_PROTO_XNET as i64),
    ("FI_PROV_ATTR_ONLY", FI_PROV_ATTR_ONLY as i64),
    ("FI_PROV_SPECIFIC_EFA", FI_PROV_SPECIFIC_EFA as i64),
    ("FI_PROV_SPECIFIC_TCP", FI_PROV_SPECIFIC_TCP as i64),
    ("FI_QUEUE_WORK", FI_QUEUE_WORK as i64),
    ("FI_READ", FI_READ as i64),
    ("FI_RECV", FI_RECV as i64),
    ("FI_REDUCE", FI_REDUCE as i64),
    ("FI_REDUCE_SCATTER", FI_REDUCE_SCATTER as i64),
    ("FI_REDUCE_SCATTER_SET", FI_REDUCE_SCATTER_SET as i64),
    ("FI_REDUCE_SET", FI_REDUCE_SET as i64),
    ("FI_REFRESH", FI_REFRESH as i64),
    ("FI_REG_MR", FI_REG_MR as i64),
    ("FI_REMOTE_COMM", FI_REMOTE_COMM as i64),
    ("FI_REMOTE_CQ_DATA", FI_REMOTE_CQ_DATA as i64),
    ("FI_REMOTE_READ", FI_REMOTE_READ as i64),
    ("FI_REMOTE_WRITE", FI_REMOTE_WRITE as i64),
    ("FI_RESCAN", FI_RESCAN as i64),
    ("FI_RESTRICTED_COMP", FI_RESTRICTED_COMP as i64),
    ("FI_REVISION_VERSION", FI_REVISION_VERSION as i64),
    ("FI_RMA", FI_RMA as i64),
    ("FI_RMA_EVENT", FI_RMA_EVENT as i64),
    ("FI_RMA_PMEM", FI_RMA_PMEM as i64),
    ("FI_RM_DISABLED", FI_RM_DISABLED as i64),
    ("FI_RM_ENABLED", FI_RM_ENABLED as i64),
    ("FI_RM_UNSPEC", FI_RM_UNSPEC as i64),
    ("FI_RX_CQ_DATA", FI_RX_CQ_DATA as i64),
    ("FI_SCATTER", FI_SCATTER as i64),
    ("FI_SCATTER_SET", FI_SCATTER_SET as i64),
    ("FI_SELECTIVE_COMPLETION", FI_SELECTIVE_COMPLETION as i64),
    ("FI_SEND", FI_SEND as i64),
    ("FI_SETFIDFLAG", FI_SETFIDFLAG as i64),
    ("FI_SETOPSFLAG", FI_SETOPSFLAG as i64),
    ("FI_SET_VAL", FI_SET_VAL as i64),
    ("FI_SHARED_AV", FI_SHARED_AV as i64),
    ("FI_SHARED_CONTEXT", FI_SHARED_CONTEXT as i64),
    ("FI_SHUTDOWN", FI_SHUTDOWN as i64),
    ("FI_SOCKADDR", FI_SOCKADDR as i64),
    ("FI_SOCKADDR_IB", FI_SOCKADDR_IB as i64),
    ("FI_SOCKADDR_IN", FI_SOCKADDR_IN as i64),
    ("FI_SOCKADDR_IN6", FI_SOCKADDR_IN6 as i64),
    ("FI_SOCKADDR_IP", FI_SOCKADDR_IP as i64),
    ("FI_SOURCE", FI_SOURCE as i64),
    ("FI_SOURCE_ERR", FI_SOURCE_ERR as i64),
    ("FI_SUCCESS", FI_SUCCESS as i64),
    ("FI_SUM", FI_SUM as i64),
    ("FI_SYMMETRIC", FI_SYMMETRIC as i64),
    ("FI_SYNC_ERR", FI_SYNC_ERR as i64),
    ("FI_TAGGED", FI_TAGGED as i64),
    ("FI_TAGGED_DIRECTED_RECV", FI_TAGGED_DIRECTED_RECV as i64),
    ("FI_TAGGED_MULTI_RECV", FI_TAGGED_MULTI_RECV as i64),
    ("FI_TAG_BITS", FI_TAG_BITS as i64),
    ("FI_TAG_CCL", FI_TAG_CCL as i64),
    ("FI_TAG_MAX_FORMAT", FI_TAG_MAX_FORMAT as i64),
    ("FI_TAG_MPI", FI_TAG_MPI as i64),
    ("FI_TC_BEST_EFFORT", FI_TC_BEST_EFFORT as i64),
    ("FI_TC_BULK_DATA", FI_TC_BULK_DATA as i64),
    ("FI_TC_DEDICATED_ACCESS", FI_TC_DEDICATED_ACCESS as i64),
    ("FI_TC_DSCP", FI_TC_DSCP as i64),
    ("FI_TC_LABEL", FI_TC_LABEL as i64),
    ("FI_TC_LOW_LATENCY", FI_TC_LOW_LATENCY as i64),
    ("FI_TC_NETWORK_CTRL", FI_TC_NETWORK_CTRL as i64),
    ("FI_TC_SCAVENGER", FI_TC_SCAVENGER as i64),
    ("FI_TC_UNSPEC", FI_TC_UNSPEC as i64),
    ("FI_THREAD_COMPLETION", FI_THREAD_COMPLETION as i64),
    ("FI_THREAD_DOMAIN", FI_THREAD_DOMAIN as i64),
    ("FI_THREAD_ENDPOINT", FI_THREAD_ENDPOINT as i64),
    ("FI_THREAD_FID", FI_THREAD_FID as i64),
    ("FI_THREAD_SAFE", FI_THREAD_SAFE as i64),
    ("FI_THREAD_UNSPEC", FI_THREAD_UNSPEC as i64),
    ("FI_TRANSMIT", FI_TRANSMIT as i64),
    ("FI_TRANSMIT_COMPLETE", FI_TRANSMIT_COMPLETE as i64),
    ("FI_TRIGGER", FI_TRIGGER as i64),
    ("FI_TRIGGER_THRESHOLD", FI_TRIGGER_THRESHOLD as i64),
    ("FI_TRIGGER_XPU", FI_TRIGGER_XPU as i64),
    ("FI_TYPE_ADDR_FORMAT", FI_TYPE_ADDR_FORMAT as i64),
    ("FI_TYPE_ATOMIC_OP", FI_TYPE_ATOMIC_OP as i64),
    ("FI_TYPE_ATOMIC_TYPE", FI_TYPE_ATOMIC_TYPE as i64),
    ("FI_TYPE_AV_ATTR", FI_TYPE_AV_ATTR as i64),
    ("FI_TYPE_AV_TYPE", FI_TYPE_AV_TYPE as i64),
    ("FI_TYPE_CAPS", FI_TYPE_CAPS as i64),
    ("FI_TYPE_CNTR_ATTR", FI_TYPE_CNTR_ATTR as i64),
    ("FI_TYPE_COLLECTIVE_OP", FI_TYPE_COLLECTIVE_OP as i64),
    ("FI_TYPE_CQ_ATTR", FI_TYPE_CQ_ATTR as i64),
    ("FI_TYPE_CQ_ERR_ENTRY", FI_TYPE_CQ_ERR_ENTRY as i64),
    ("FI_TYPE_CQ_EVENT_FLAGS", FI_TYPE_CQ_EVENT_FLAGS as i64),
    ("FI_TYPE_CQ_FORMAT", FI_TYPE_CQ_FORMAT as i64),
    ("FI_TYPE_CQ_WAIT_COND", FI_TYPE_CQ_WAIT_COND as i64),
    ("FI_TYPE_DOMAIN_ATTR", FI_TYPE_DOMAIN_ATTR as i64),
    ("FI_TYPE_EP_ATTR", FI_TYPE_EP_ATTR as i64),
    ("FI_TYPE_EP_TYPE", FI_TYPE_EP_TYPE as i64),
    ("FI_TYPE_EQ_EVENT", FI_TYPE_EQ_EVENT as i64),
    ("FI_TYPE_FABRIC_ATTR", FI_TYPE_FABRIC_ATTR as i64),
    ("FI_TYPE_FID", FI_TYPE_FID as i64),
    ("FI_TYPE_HMEM_IFACE", FI_TYPE_HMEM_IFACE as i64),
    ("FI_TYPE_INFO", FI_TYPE_INFO as i64),
    ("FI_TYPE_LOG_LEVEL", FI_TYPE_LOG_LEVEL as i64),
    ("FI_TYPE_LOG_SUBSYS", FI_TYPE_LOG_SUBSYS as i64),
    ("FI_TYPE_MODE", FI_TYPE_MODE as i64),
    ("FI_TYPE_MR_ATTR", FI_TYPE_MR_ATTR as i64),
    ("FI_TYPE_MR_MODE", FI_TYPE_MR_MODE as i64),
    ("FI_TYPE_MSG_ORDER", FI_TYPE_MSG_ORDER as i64),
    ("FI_TYPE_OP_FLAGS", FI_TYPE_OP_FLAGS as i64),
    ("FI_TYPE_OP_TYPE", FI_TYPE_OP_TYPE as i64),
    ("FI_TYPE_PROGRESS", FI_TYPE_PROGRESS as i64),
    ("FI_TYPE_PROTOCOL", FI_TYPE_PROTOCOL as i64),
    ("FI_TYPE_RX_ATTR", FI_TYPE_RX_ATTR as i64),
    ("FI_TYPE_THREADING", FI_TYPE_THREADING as i64),
    ("FI_TYPE_TX_ATTR", FI_TYPE_TX_ATTR as i64),
    ("FI_TYPE_VERSION", FI_TYPE_VERSION as i64),
    ("FI_TYPE_WAIT_OBJ", FI_TYPE_WAIT_OBJ as i64),
    ("FI_UINT128", FI_UINT128 as i64),
    ("FI_UINT16", FI_UINT16 as i64),
    ("FI_UINT32", FI_UINT32 as i64),
    ("FI_UINT64", FI_UINT64 as i64),
    ("FI_UINT8", FI_UINT8 as i64),
    ("FI_UNIVERSE", FI_UNIVERSE as i64),
    ("FI_UNMAP_KEY", FI_UNMAP_KEY as i64),
    ("FI_VARIABLE_MSG", FI_VARIABLE_MSG as i64),
    ("FI_VAR_CONNECTION_CNT", FI_VAR_CONNECTION_CNT as i64),
    ("FI_VAR_CONN_ACCEPT", FI_VAR_CONN_ACCEPT as i64),
    ("FI_VAR_CONN_REJECT", FI_VAR_CONN_REJECT as i64),
    ("FI_VAR_CONN_REQUEST", FI_VAR_CONN_REQUEST as i64),
    ("FI_VAR_MSG_QUEUE_CNT", FI_VAR_MSG_QUEUE_CNT as i64),
    ("FI_VAR_OFI_MEM", FI_VAR_OFI_MEM as i64),
    ("FI_VAR_UNEXP_MSG_CNT", FI_VAR_UNEXP_MSG_CNT as i64),
    ("FI_VAR_UNEXP_MSG_QUEUE", FI_VAR_UNEXP_MSG_QUEUE as i64),
    ("FI_VOID", FI_VOID as i64),
    ("FI_WAIT_FD", FI_WAIT_FD as i64),
    ("FI_WAIT_MUTEX_COND", FI_WAIT_MUTEX_COND as i64),
    ("FI_WAIT_NONE", FI_WAIT_NONE as i64),
    ("FI_WAIT_POLLFD", FI_WAIT_POLLFD as i64),
    ("FI_WAIT_SET", FI_WAIT_SET as i64),
    ("FI_WAIT_UNSPEC", FI_WAIT_UNSPEC as i64),
    ("FI_WAIT_YIELD", FI_WAIT_YIELD as i64),
    ("FI_WRITE", FI_WRITE as i64),
    ("fi_defined_type", fi_defined_type as i64),
    ("fi_primitive_type", fi_primitive_type as i64),
];
