//! The C programs of fabtests that `ofi-ports` plays with, from the sources that `vendored` brings.
//!
//! A handful of files, compiled as they are: no configure, and nothing of a user's build.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{MINUTE, run};

/// A program, and its files beside the common ones.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("fi_rdm_tagged_peek", &["functional/rdm_tagged_peek.c"]),
    ("fi_rma_bw", &["benchmarks/rma_bw.c", "benchmarks/benchmark_shared.c"]),
    ("fi_rdm_atomic", &["functional/rdm_atomic.c"]),
];

const COMMON: &[&str] = &[
    "common/shared.c",
    "common/hmem.c",
    "common/hmem_cuda.c",
    "common/hmem_rocr.c",
    "common/hmem_ze.c",
    "common/hmem_neuron.c",
    "common/hmem_synapseai.c",
];

/// Builds them against the library in `out/install`, beside it, and returns their directory.
pub fn build(out: &Path) -> Result<PathBuf, String> {
    let (sources, install) = (out.join("libfabric/fabtests"), out.join("install"));
    let programs = out.join("fabtests");
    std::fs::create_dir_all(&programs).map_err(|e| format!("{}: {e}", programs.display()))?;
    let libraries = libraries(&install)?;
    for (program, files) in PROGRAMS {
        let target = programs.join(program);
        if newer(&target, &install.join("lib/libfabric.a")) {
            continue;
        }
        let mut command = Command::new("cc");
        // What their authors are warned of is theirs.
        command.args(["-O2", "-w", "-D_GNU_SOURCE"]);
        command.arg("-I").arg(sources.join("include"));
        command.arg("-I").arg(install.join("include"));
        command.args(files.iter().chain(COMMON).map(|file| sources.join(file)));
        command.arg("-o").arg(&target).arg(install.join("lib/libfabric.a")).args(&libraries);
        run(&mut command, 5 * MINUTE)?;
    }
    Ok(programs)
}

/// What libfabric.pc says that the archive wants.
fn libraries(install: &Path) -> Result<Vec<String>, String> {
    let path = install.join("lib/pkgconfig/libfabric.pc");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter_map(|line| {
        line.strip_prefix("Libs:").or_else(|| line.strip_prefix("Libs.private:"))
    });
    let words = lines.flat_map(str::split_whitespace);
    let words = words.filter(|word| word.starts_with("-l") && *word != "-lfabric");
    Ok(words.map(str::to_owned).chain(["-lm".to_owned()]).collect())
}

fn newer(one: &Path, other: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    matches!((modified(one), modified(other)), (Some(one), Some(other)) if one > other)
}
