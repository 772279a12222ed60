//! `ofi info` beside libfabric's own `fi_info`.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Running, command, ofi};

const LIMIT: Duration = Duration::from_secs(60);

fn info(args: &[&str]) -> String {
    Running::run(ofi().arg("info").args(args), LIMIT).success()
}

fn json(args: &[&str]) -> Value {
    let text = info(&[args, &["--json"]].concat());
    serde_json::from_str(&text).expect("JSON alone")
}

/// Entries as C lists them: provider, fabric, domain, version, type, protocol.
fn theirs(args: &[&str]) -> Vec<Vec<String>> {
    let text = Running::run(command("fi_info").args(args), LIMIT).success();
    let mut entries: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        let (name, value) = line.split_once(": ").expect("name: value");
        if name == "provider" {
            entries.push(Vec::new());
        }
        entries.last_mut().expect("a provider comes first").push(value.to_owned());
    }
    // The provider `net` of 1.17 claims what it does not have: it is listed where nothing is asked
    // for, and where it is named.
    entries.retain(|entry| !entry[0].starts_with("net"));
    entries.sort();
    entries
}

fn ours(args: &[&str]) -> Vec<Vec<String>> {
    let list = json(args);
    let entries = list.as_array().expect("a list").iter().map(|entry| {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        vec![
            text(&entry["provider"]),
            text(&entry["fabric"]["name"]),
            text(&entry["domain"]["name"]),
            text(&entry["fabric"]["prov_version"]),
            text(&entry["ep"]["type"]),
            text(&entry["ep"]["protocol"]),
        ]
    });
    let mut entries: Vec<_> = entries.filter(|entry| !entry[0].starts_with("net")).collect();
    entries.sort();
    entries
}

#[test]
fn the_same_entries_as_fi_info() {
    let queries: [&[&str]; 8] = [
        &[],
        &["-p", "tcp"],
        &["-t", "FI_EP_RDM"],
        &["-c", "FI_TAGGED|FI_RMA"],
        &["-s", "127.0.0.1"],
        &["-n", "127.0.0.1", "-P", "1234"],
        &["-m", "FI_CONTEXT"],
        &["-a", "FI_ADDR_STR"],
    ];
    for query in queries {
        let (mut ours, mut theirs) = (ours(query), theirs(query));
        // Shared memory is asked for its checked mode alone, which is an entry less.
        ours.dedup();
        theirs.dedup();
        assert!(!ours.is_empty(), "{query:?}");
        assert_eq!(ours, theirs, "{query:?}");
    }
}

#[test]
fn the_table_has_a_line_for_each_entry() {
    let table = info(&["-p", "tcp"]);
    let entries = json(&["-p", "tcp"]);
    let header: Vec<_> = table.lines().next().expect("a header").split_whitespace().collect();
    assert_eq!(header[..3], ["provider", "type", "protocol"]);
    assert_eq!(table.lines().count(), 1 + entries.as_array().expect("a list").len());
    assert!(table.contains("127.0.0.1:0"), "{table}");
}

#[test]
fn verbose_is_what_libfabric_prints() {
    let ours = info(&["-p", "tcp", "-t", "FI_EP_MSG", "-s", "127.0.0.1", "-v"]);
    let mut theirs = command("fi_info");
    theirs.args(["-p", "tcp", "-t", "FI_EP_MSG", "-s", "127.0.0.1", "-v"]);
    assert_eq!(ours, Running::run(&mut theirs, LIMIT).success());
    let one = info(&["-p", "tcp", "-i", "fi_ep_msg"]);
    assert!(one.starts_with("---\nfi_info:") && one.contains("type: FI_EP_MSG"), "{one}");
    assert!(!one.contains("type: FI_EP_RDM"), "{one}");
}

#[test]
fn providers_and_versions_are_listed() {
    let list = info(&["-l"]);
    for name in ["tcp", "shm", "ofi_rxm"] {
        assert!(list.lines().any(|line| line.split_whitespace().next() == Some(name)), "{list}");
    }
    let c = Running::run(command("fi_info").arg("--version"), LIMIT).success();
    let api = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("libfabric api: "));
        line.expect("a line about the API").to_owned()
    };
    assert_eq!(api(&info(&["--version"])), api(&c));
}

#[test]
fn environment_variables_are_listed() {
    let all = json(&["-e"]);
    let names = |list: &Value| {
        let params = list.as_array().expect("a list").iter();
        params.map(|param| param["name"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert!(names(&all).iter().any(|name| name == "FI_LOG_LEVEL"));
    let some = json(&["-g", "tcp_iface"]);
    assert_eq!(names(&some), ["FI_TCP_IFACE"]);
    assert_eq!(some[0]["value"], "lo");
    assert!(info(&["-g", "tcp_iface"]).contains("FI_TCP_IFACE=lo"));
}

#[test]
fn where_nothing_matches_the_reason_is_told() {
    let mut nothing = ofi();
    let ended = Running::run(nothing.args(["info", "-p", "udp", "-t", "msg", "--json"]), LIMIT);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stdout, "[]\n");
    assert!(ended.stderr.contains("would match without ep_attr.type FI_EP_MSG"), "{ended:?}");
}

#[test]
fn unknown_names_are_refused() {
    let ended = Running::run(ofi().args(["info", "-c", "FI_NONSENSE"]), LIMIT);
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("FI_NONSENSE is no capability"), "{ended:?}");
}
