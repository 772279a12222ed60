//! Tables for people, and for `grep` where nobody looks.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};
use ofi::Info;

/// A table that fits the terminal; plain columns where there is none.
pub(crate) fn new<'a>(header: impl IntoIterator<Item = &'a str>) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.into_iter().collect::<Vec<_>>());
    if std::io::stdout().is_terminal() {
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// The table's text, without blanks at the ends of lines.
pub(crate) fn text(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// One line for each entry.
pub(super) fn entries(entries: &[Info]) -> String {
    let mut table = new(["provider", "type", "protocol", "fabric", "domain", "address", "version"]);
    for info in entries {
        let fabric = info.fabric();
        table.add_row([
            info.provider().to_owned(),
            info.endpoint_type().to_string(),
            info.endpoint().protocol().to_string(),
            fabric.name().unwrap_or("-").to_owned(),
            info.domain().name().unwrap_or("-").to_owned(),
            address(info),
            fabric.provider_version().to_string(),
        ]);
    }
    text(&table)
}

/// Names and versions.
pub(super) fn providers(entries: &[Info]) -> String {
    let mut table = new(["provider", "version"]);
    for info in entries {
        table.add_row([info.provider(), &info.fabric().provider_version().to_string()]);
    }
    text(&table)
}

/// This side's address in words.
pub(super) fn address(info: &Info) -> String {
    let bytes = info.src_addr().unwrap_or_default();
    match ofi::FabricAddress::new(info.address_format(), bytes) {
        Ok(address) if !bytes.is_empty() => address.to_string(),
        _ => "-".into(),
    }
}
