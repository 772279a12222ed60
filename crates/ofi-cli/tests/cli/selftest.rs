//! `ofi selftest`: verdicts, and that hangs and crashes are told apart from success.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Running, free_port, is_selected, ofi};

const LIMIT: Duration = Duration::from_secs(150);

fn verdict<'a>(report: &'a Value, provider: &str, kind: &str, check: &str, place: &str) -> &'a str {
    let results = report["results"].as_array().expect("a list");
    let found = results.iter().find(|result| {
        result["provider"] == provider
            && result["kind"] == kind
            && result["check"] == check
            && result["place"] == place
    });
    found.and_then(|result| result["verdict"].as_str()).unwrap_or("no such cell")
}

#[test]
fn shared_memory_and_datagrams() {
    if !is_selected("shm") || !is_selected("udp") {
        println!("left out by OFI_TEST_PROVIDERS");
        return;
    }
    let report = std::env::temp_dir().join(format!("ofi-selftest-{}.json", std::process::id()));
    let mut command = ofi();
    command.args(["selftest", "--provider", "shm", "--provider", "udp", "--json", "--report"]);
    let text = Running::run(command.arg(&report), LIMIT).success();
    let written = std::fs::read_to_string(&report).expect("a report");
    std::fs::remove_file(&report).expect("it is ours");
    assert_eq!(text, written);
    let report: Value = serde_json::from_str(&text).expect("JSON alone");
    assert_eq!(report["failed"], 0);
    assert_eq!(report["libfabric"], ofi::version().to_string());
    for check in ["reach", "inject", "eager", "large", "tagged", "many"] {
        for place in ["one_process", "two_processes"] {
            assert_eq!(verdict(&report, "shm", "rdm", check, place), "ok", "{check} {place}");
        }
    }
    assert_eq!(verdict(&report, "shm", "rdm", "open", "one_process"), "ok");
    assert_eq!(verdict(&report, "udp", "dgram", "eager", "two_processes"), "ok");
    // A datagram holds no MiB: that is a limit, not a failure.
    assert_eq!(verdict(&report, "udp", "dgram", "large", "one_process"), "unsupported");
}

#[test]
fn connections_and_their_data() {
    if !is_selected("tcp") {
        println!("left out by OFI_TEST_PROVIDERS");
        return;
    }
    let text = Running::run(ofi().args(["selftest", "-p", "tcp"]), LIMIT).success();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let msg = rows.iter().filter(|row| row.starts_with(&["tcp", "FI_EP_MSG"]));
    for row in msg.clone().take(2) {
        assert_eq!(row.last(), Some(&"ok"), "{text}");
    }
    assert!(msg.count() >= 2, "{text}");
    // Every check has its column.
    let header =
        "open reach inject eager 1 MiB tagged RMA atomics multi-recv counters collectives CM data";
    assert!(rows[0].join(" ").ends_with(header), "{text}");
    assert!(text.contains(" 0 FAILED"), "{text}");
}

#[test]
fn a_part_without_its_other_half_fails() {
    if !is_selected("tcp") {
        println!("left out by OFI_TEST_PROVIDERS");
        return;
    }
    let cell = r#"{"target":{"provider":"tcp","kind":"msg"},"check":"eager","place":"two_processes","source":"127.0.0.1","patience":300}"#;
    let port = free_port();
    let part = format!(r#"{{"connect":"127.0.0.1:{port}"}}"#);
    let mut child = ofi();
    child.args(["selftest", "--cell", cell, "--part", &part]);
    let said = Running::run(&mut child, LIMIT).success();
    let said: Value = serde_json::from_str(&said).expect("one line of JSON");
    assert_eq!(said["verdict"]["verdict"], "failed");
    let reason = said["verdict"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("connecting to 127.0.0.1"), "{reason}");
}

#[test]
fn two_hosts() {
    if !is_selected("tcp") {
        println!("left out by OFI_TEST_PROVIDERS");
        return;
    }
    let port = free_port().to_string();
    let mut listening = ofi();
    listening.args(["selftest", "-p", "tcp", "--listen", "--port", &port]);
    let mut listening = Running::start(&mut listening, LIMIT);
    listening.listens_on(port.parse().expect("a port"));
    let mut connecting = ofi();
    connecting.args(["selftest", "-p", "tcp", "--connect", "127.0.0.1", "--port", &port, "--json"]);
    let text = Running::run(&mut connecting, LIMIT).success();
    let report: Value = serde_json::from_str(&text).expect("JSON alone");
    assert_eq!(report["other_libfabric"], report["libfabric"]);
    assert_eq!(verdict(&report, "tcp", "msg", "private_data", "two_processes"), "ok");
    assert_eq!(verdict(&report, "tcp", "msg", "large", "two_processes"), "ok");
    let log = listening.end();
    assert!(log.status.success() && log.stderr.contains("tcp FI_EP_MSG: 1 MiB"), "{log:?}");
}

#[test]
fn a_provider_that_is_not_there_is_an_error() {
    let ended = Running::run(ofi().args(["selftest", "-p", "nothing"]), LIMIT);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("libfabric has no provider `nothing` here"), "{ended:?}");
}
