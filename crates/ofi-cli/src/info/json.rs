//! Entries as JSON: every attribute, names as libfabric spells them.

use ofi::{Info, Nic, Param};
use serde::Serialize;
use serde_json::{Value, json};

use super::table::address;

/// A document as text.
pub(super) fn text(document: &impl Serialize) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(document)?))
}

/// The names in a set as libfabric prints it.
fn names(set: impl ToString) -> Vec<String> {
    let text = set.to_string();
    text.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn peer(info: &Info) -> Option<String> {
    let address = ofi::FabricAddress::new(info.address_format(), info.dest_addr()?).ok()?;
    Some(address.to_string())
}

/// A name and a version.
pub(super) fn provider(info: &Info) -> Value {
    json!({
        "provider": info.provider(),
        "version": info.fabric().provider_version().to_string(),
    })
}

/// All of an entry.
pub(super) fn entry(info: &Info) -> Value {
    let (tx, rx) = (info.tx(), info.rx());
    let (endpoint, domain, fabric) = (info.endpoint(), info.domain(), info.fabric());
    json!({
        "provider": info.provider(),
        "caps": names(info.caps()),
        "mode": names(info.mode()),
        "addr_format": info.address_format().to_string(),
        "src_addr": info.src_addr().map(|_| address(info)),
        "dest_addr": peer(info),
        "tx": {
            "caps": names(tx.caps()),
            "mode": names(tx.mode()),
            "op_flags": names(tx.op_flags()),
            "msg_order": names(tx.msg_order()),
            "comp_order": names(tx.comp_order()),
            "inject_size": tx.inject_size(),
            "size": tx.size(),
            "iov_limit": tx.iov_limit(),
            "rma_iov_limit": tx.rma_iov_limit(),
            "tclass": tx.traffic_class().to_string(),
        },
        "rx": {
            "caps": names(rx.caps()),
            "mode": names(rx.mode()),
            "op_flags": names(rx.op_flags()),
            "msg_order": names(rx.msg_order()),
            "comp_order": names(rx.comp_order()),
            "total_buffered_recv": rx.total_buffered_recv(),
            "size": rx.size(),
            "iov_limit": rx.iov_limit(),
        },
        "ep": {
            "type": endpoint.kind().to_string(),
            "protocol": endpoint.protocol().to_string(),
            "protocol_version": endpoint.protocol_version(),
            "max_msg_size": endpoint.max_msg_size(),
            "msg_prefix_size": endpoint.msg_prefix_size(),
            "max_order_raw_size": endpoint.max_order_raw_size(),
            "max_order_war_size": endpoint.max_order_war_size(),
            "max_order_waw_size": endpoint.max_order_waw_size(),
            "mem_tag_format": format!("{:#018x}", endpoint.mem_tag_format()),
            "tx_ctx_cnt": endpoint.tx_ctx_cnt(),
            "rx_ctx_cnt": endpoint.rx_ctx_cnt(),
        },
        "domain": {
            "name": domain.name(),
            "threading": domain.threading().to_string(),
            "control_progress": domain.control_progress().to_string(),
            "data_progress": domain.data_progress().to_string(),
            "resource_mgmt": domain.resource_mgmt().to_string(),
            "av_type": domain.av_type().to_string(),
            "mr_mode": names(domain.mr_mode()),
            "mr_key_size": domain.mr_key_size(),
            "cq_data_size": domain.cq_data_size(),
            "cq_cnt": domain.cq_cnt(),
            "ep_cnt": domain.ep_cnt(),
            "tx_ctx_cnt": domain.tx_ctx_cnt(),
            "rx_ctx_cnt": domain.rx_ctx_cnt(),
            "max_ep_tx_ctx": domain.max_ep_tx_ctx(),
            "max_ep_rx_ctx": domain.max_ep_rx_ctx(),
            "max_ep_stx_ctx": domain.max_ep_stx_ctx(),
            "max_ep_srx_ctx": domain.max_ep_srx_ctx(),
            "cntr_cnt": domain.cntr_cnt(),
            "mr_iov_limit": domain.mr_iov_limit(),
            "caps": names(domain.caps()),
            "mode": names(domain.mode()),
            "max_err_data": domain.max_err_data(),
            "mr_cnt": domain.mr_cnt(),
            "tclass": domain.traffic_class().to_string(),
            "max_ep_auth_key": domain.max_ep_auth_key(),
            "max_group_id": domain.max_group_id(),
            "max_cntr_value": domain.max_cntr_value(),
            "max_err_cntr_value": domain.max_err_cntr_value(),
        },
        "fabric": {
            "name": fabric.name(),
            "prov_name": fabric.provider(),
            "prov_version": fabric.provider_version().to_string(),
            "api_version": fabric.api_version().to_string(),
        },
        "nic": info.nic().map(|found| nic(&found)),
    })
}

/// A network interface.
pub(crate) fn nic(nic: &Nic<'_>) -> Value {
    json!({
        "name": nic.name(),
        "device_id": nic.device_id(),
        "device_version": nic.device_version(),
        "vendor_id": nic.vendor_id(),
        "driver": nic.driver(),
        "firmware": nic.firmware(),
        "pci_address": nic.pci_address().map(|address| address.to_string()),
        "link": nic.link().map(|link| json!({
            "address": link.address,
            "mtu": link.mtu,
            "speed": link.speed,
            "state": link.state.to_string(),
            "network_type": link.network_type,
        })),
    })
}

/// An environment variable.
pub(super) fn param(param: &Param) -> Value {
    json!({
        "name": param.name,
        "kind": param.kind.to_string(),
        "value": param.value,
        "help": param.help,
    })
}
