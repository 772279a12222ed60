//! The figures as a table or JSON.

use serde_json::{Value, json};

/// One contender on one provider.
pub(crate) struct Case {
    pub(crate) provider: String,
    pub(crate) api: &'static str,
    pub(crate) baseline: &'static str,
    pub(crate) ns_per_rtt: f64,
    pub(crate) ratio_to_raw: f64,
    pub(crate) q1: f64,
    pub(crate) q3: f64,
    pub(crate) instructions_per_op: Option<f64>,
    pub(crate) allocations_per_op: f64,
}

impl Case {
    /// The most of raw's time that `Confined` may take on shared memory.
    const CONFINED: f64 = 1.15;

    /// Whether even the lower quartile is beyond the target.
    pub(crate) fn misses_target(&self) -> bool {
        self.api == "confined" && self.q1 > Case::CONFINED
    }
}

pub(crate) fn json(cases: &[Case]) -> Value {
    let case = |c: &Case| {
        json!({
            "provider": c.provider,
            "api": c.api,
            "op": "send",
            "bytes": crate::BYTES,
            "depth": 1,
            "baseline": c.baseline,
            "ns_per_rtt": rounded(c.ns_per_rtt),
            "ratio_to_raw": rounded(c.ratio_to_raw),
            "q1": rounded(c.q1),
            "q3": rounded(c.q3),
            "instructions_per_op": c.instructions_per_op.map(rounded),
            "allocations_per_op": c.allocations_per_op,
        })
    };
    json!({
        "libfabric": ofi::version().to_string(),
        "cases": cases.iter().map(case).collect::<Vec<_>>(),
    })
}

pub(crate) fn table(cases: &[Case]) {
    println!("libfabric {}, {} B send and receive each way, depth 1", ofi::version(), crate::BYTES);
    println!(
        "{:<14} {:<11} {:>9} {:>7} {:>15} {:>9} {:>9}",
        "provider", "api", "ns/rtt", "ratio", "quartiles", "instr/op", "alloc/op"
    );
    for c in cases {
        let instructions = c.instructions_per_op.map_or("-".into(), |n| format!("{n:.1}"));
        println!(
            "{:<14} {:<11} {:>9.1} {:>7.3} {:>7.3}-{:<7.3} {:>9} {:>9}",
            c.provider,
            c.api,
            c.ns_per_rtt,
            c.ratio_to_raw,
            c.q1,
            c.q3,
            instructions,
            c.allocations_per_op
        );
    }
}

fn rounded(x: f64) -> f64 {
    (x * 1000.0).round() / 1000.0
}
