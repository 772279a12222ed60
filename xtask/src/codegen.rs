//! `cargo xtask codegen [--check] [--include DIR]`: writes `crates/ofi-sys/src/generated.rs`, and
//! the table of every type and constant that the crate's layout test goes through.
//!
//! The types and constants of libfabric's headers, as bindgen reads them, made uniform: one type
//! per constant family, no prefixes, names for the unions that C leaves without one. It runs on a
//! maintainer's machine and in CI, never in a user's build.
//!
//! What it leaves out is written by hand: `additions.rs` (structs that grew after these headers),
//! `compat.rs` (macros that no parser of C evaluates) and `errno.rs` (values of the platform).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bindgen::callbacks::{DeriveTrait, ImplementsTrait, IntKind, ParseCallbacks};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};

/// The release whose headers are read; another one is refused, or the result would depend on the
/// machine.
const HEADERS: (u32, u32) = (2, 1);

const OUTPUT: &str = "crates/ofi-sys/src/generated.rs";

/// Lists what `SOURCES` define, for the layout test.
const TABLE: &str = "crates/ofi-sys/tests/layout/generated.rs";

/// Besides [`OUTPUT`], which comes first.
const SOURCES: [&str; 3] = ["additions.rs", "compat.rs", "errno.rs"];

const HEADER: &str = "\
// Written by `cargo xtask codegen` from the headers of libfabric 2.1. Do not edit.

//! Types and constants of libfabric's headers, as of 2.1.
//!
//! What later releases added is in `additions`, macros that are casts or deprecated in `compat`,
//! errno values in `errno`.

#![allow(
    missing_docs,
    missing_debug_implementations,
    clippy::type_complexity,
    reason = \"a transcript of C headers: the man page fi_xxx(3) of each type documents it, and its \\
              unions and tables of functions have nothing to print\"
)]

use core::ffi::{CStr, c_char, c_int, c_uint, c_void};

use libc::{iovec, pollfd, pthread_cond_t, pthread_mutex_t};

use crate::additions::{fi_domain_attr, fi_mr_attr};

";

/// The headers in the order in which they are read. `container_of` left fabric.h in 2.0, and
/// fi_profile.h went on using it.
const WRAPPER: &str = "\
#define container_of(ptr, type, field) ((type *) (void *) (ptr))
#include <rdma/fabric.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_cm.h>
#include <rdma/fi_tagged.h>
#include <rdma/fi_rma.h>
#include <rdma/fi_atomic.h>
#include <rdma/fi_trigger.h>
#include <rdma/fi_collective.h>
#include <rdma/fi_ext.h>
#include <rdma/fi_profile.h>
";

/// Structs that gained members after [`HEADERS`]: `additions.rs` has the newest layout.
const GREW: [&str; 2] = ["fi_domain_attr", "fi_mr_attr"];

/// Types that `libc` defines for every target.
const LIBC: [&str; 4] = ["iovec", "pollfd", "pthread_mutex_t", "pthread_cond_t"];

/// Constants written by hand: the version (the newest known one) and what is a cast or an alias
/// (in `compat.rs`), the file names that only a provider's author needs. All of fi_errno.h is too: the platform's values, in `errno.rs`.
const BY_HAND: &str = "FI_(MAJOR|MINOR|REVISION)_VERSION|FI_SHARED_CONTEXT|FI_AV_AUTH_KEY\
                       |FI_EP_SOCK_STREAM|FI_VARIABLE_MSG|FI_NOTIFY_FLAGS_ONLY|FI_RESTRICTED_COMP\
                       |FI_LIB_.*";

/// Families of the anonymous enums, by the first name of each: the type of the member or argument
/// that carries them.
const FAMILIES: [(&str, &str); 17] = [
    ("FI_NAME_MAX", "usize"),
    ("FI_ATOMIC_OP_LAST", "fi_op"),
    ("FI_DATATYPE_LAST", "fi_datatype"),
    ("FI_FORMAT_UNSPEC", "u32"),
    ("FI_PROTO_UNSPEC", "u32"),
    ("FI_TAG_BITS", "u64"),
    ("FI_TC_UNSPEC", "u32"),
    ("FI_CLASS_UNSPEC", "usize"),
    ("FI_GETFIDFLAG", "c_int"),
    ("FI_OPT_ENDPOINT", "c_int"),
    ("FI_OPT_MIN_MULTI_RECV", "c_int"),
    ("FI_HMEM_P2P_ENABLED", "c_int"),
    ("FI_NOTIFY", "u32"),
    ("FI_OPT_EFA_RNR_RETRY", "c_int"),
    ("FI_VAR_UNEXP_MSG_CNT", "u32"),
    ("FI_EVENT_UNEXP_MSG_RECVD", "u32"),
    ("FI_COLLECTIVE_OFFSET", "c_uint"),
];

/// Writes the file, or with `--check` compares it with what is there.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let mut check = false;
    let mut include = None;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--check" => check = true,
            "--include" => {
                include = Some(PathBuf::from(rest.next().ok_or("--include wants a directory")?));
            }
            other => return Err(format!("codegen: unknown argument {other}")),
        }
    }
    let include = include.map_or_else(find_headers, Ok)?;
    require_version(&include)?;
    let text = rustfmt(&(HEADER.to_owned() + &generate(&include)?))?;
    let table = rustfmt(&layout_table(&text)?)?;
    for (path, text) in [(OUTPUT, text), (TABLE, table)] {
        let output = root().join(path);
        if std::fs::read_to_string(&output).is_ok_and(|old| old == text) {
            println!("{path} is up to date ({})", include.display());
        } else if check {
            return Err(format!("{path} is not what the headers give: run `cargo xtask codegen`"));
        } else {
            std::fs::write(&output, text).map_err(|e| format!("{}: {e}", output.display()))?;
            println!("{path} written from {}", include.display());
        }
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask has a parent").to_owned()
}

/// `OFI_CODEGEN_INCLUDE`, the development chroot that `cargo xtask` keeps, or the system.
fn find_headers() -> Result<PathBuf, String> {
    let chroot = std::env::var_os("HOME")
        .map(|home| PathBuf::from(home).join(".cache/ofi/dev-trixie/usr/include"));
    std::env::var_os("OFI_CODEGEN_INCLUDE")
        .map(PathBuf::from)
        .into_iter()
        .chain(chroot)
        .chain([PathBuf::from("/usr/include")])
        .find(|dir| version_of(dir) == Some(HEADERS))
        .ok_or(format!(
            "no headers of libfabric {}.{} found: name their directory with --include or \
             OFI_CODEGEN_INCLUDE (Debian 13's libfabric-dev has them)",
            HEADERS.0, HEADERS.1
        ))
}

fn require_version(include: &Path) -> Result<(), String> {
    match version_of(include) {
        Some(HEADERS) => Ok(()),
        Some((major, minor)) => {
            Err(format!("{} has libfabric {major}.{minor}, not 2.1", include.display()))
        }
        None => Err(format!("{} has no rdma/fabric.h", include.display())),
    }
}

fn version_of(include: &Path) -> Option<(u32, u32)> {
    let text = std::fs::read_to_string(include.join("rdma/fabric.h")).ok()?;
    let value = |name: &str| {
        let line = text.lines().find(|l| l.starts_with("#define") && l.contains(name))?;
        line.split_whitespace().last()?.parse().ok()
    };
    Some((value("FI_MAJOR_VERSION")?, value("FI_MINOR_VERSION")?))
}

fn generate(include: &Path) -> Result<String, String> {
    let mut builder = bindgen::builder()
        .header_contents("libfabric.h", WRAPPER)
        .clang_arg(format!("-I{}", include.display()))
        .clang_arg("--target=x86_64-unknown-linux-gnu")
        .allowlist_type("fi_.*|fid.*")
        .allowlist_var("FI_.*")
        .blocklist_item(BY_HAND)
        .blocklist_file(".*/fi_errno.h")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_debug(true)
        .generate_cstr(true)
        .generate_comments(false)
        .layout_tests(false)
        .formatter(bindgen::Formatter::None)
        .parse_callbacks(Box::new(Families));
    for name in GREW.into_iter().chain(LIBC) {
        builder = builder.blocklist_type(name);
    }
    let text = builder.generate().map_err(|e| format!("bindgen: {e}"))?.to_string();
    let mut file = syn::parse_file(&text).map_err(|e| format!("bindgen's output: {e}"))?;
    tidy(&mut file)?;
    Ok(file.into_token_stream().to_string())
}

/// One type per family for the macros.
#[derive(Debug)]
struct Families;

impl ParseCallbacks for Families {
    fn blocklisted_type_implements_trait(
        &self,
        name: &str,
        derive: DeriveTrait,
    ) -> Option<ImplementsTrait> {
        let name = name.trim_start_matches("struct ");
        (GREW.contains(&name) && matches!(derive, DeriveTrait::Copy))
            .then_some(ImplementsTrait::Yes)
    }

    fn int_macro(&self, name: &str, _value: i64) -> Option<IntKind> {
        let custom = |name| Some(IntKind::Custom { name, is_signed: true });
        match name {
            "FI_MR_DMABUF" | "FI_MR_SINGLE_USE" => Some(IntKind::U64),
            "FI_COLLECTIVE_OFFSET" => custom("c_uint"),
            _ if name.starts_with("FI_MR_") || name.starts_with("FI_PROV_SPECIFIC_") => {
                custom("c_int")
            }
            _ => Some(IntKind::U64),
        }
    }
}

/// Brings bindgen's items into the crate's conventions.
fn tidy(file: &mut syn::File) -> Result<(), String> {
    let names = unions(file);
    let mut families: HashMap<String, &str> = HashMap::new();
    for item in &file.items {
        let syn::Item::Const(item) = item else {
            continue;
        };
        let (name, ty) = (item.ident.to_string(), item.ty.to_token_stream().to_string());
        if let Some((_, family)) = FAMILIES.iter().find(|(first, _)| *first == name) {
            families.insert(ty, family);
        }
    }
    // One enum holds the three limits, and each limits something else.
    families.remove("_bindgen_ty_1");
    let mut unknown = Vec::new();
    let mut seen = std::collections::HashSet::new();
    file.items.retain_mut(|item| match item {
        syn::Item::Const(item) => {
            let name = item.ident.to_string();
            let ty = item.ty.to_token_stream().to_string();
            if ty.starts_with("_bindgen_ty_") {
                let own = FAMILIES.iter().find(|(first, _)| *first == name).map(|(_, f)| *f);
                match own.or(families.get(&ty).copied()) {
                    Some(family) => {
                        *item.ty = syn::parse_str(family).expect("a type's name");
                    }
                    None => unknown.push(name.clone()),
                }
            }
            seen.insert(name)
        }
        syn::Item::Type(item) => public(&item.ident),
        syn::Item::Struct(item) => public(&item.ident),
        syn::Item::Union(item) => public(&item.ident),
        // Impls serve the flexible array, which becomes a plain one below.
        _ => false,
    });
    if !unknown.is_empty() {
        return Err(format!("constants of no known family (add to FAMILIES): {unknown:?}"));
    }
    Paths { names }.visit_file_mut(file);
    Ok(())
}

/// Not libc's, not an anonymous enum, not a member of a struct that is written by hand.
fn public(name: &syn::Ident) -> bool {
    let name = name.to_string();
    !name.starts_with('_') && !GREW.iter().any(|s| name.starts_with(&format!("{s}__")))
}

/// Names for the unions that C leaves without one: the struct's name and the member's.
fn unions(file: &syn::File) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for item in &file.items {
        let syn::Item::Struct(item) = item else {
            continue;
        };
        for field in &item.fields {
            let ty = field.ty.to_token_stream().to_string();
            if ty.contains("__bindgen_ty_") {
                let member = field.ident.as_ref().expect("a named member");
                names.insert(ty, format!("{}_{member}", item.ident));
            }
        }
    }
    names
}

/// Plain names instead of paths, `[T; 0]` for C's flexible array.
struct Paths {
    names: HashMap<String, String>,
}

impl VisitMut for Paths {
    fn visit_path_mut(&mut self, path: &mut syn::Path) {
        visit_mut::visit_path_mut(self, path);
        let last = path.segments.last().expect("a path has a segment").clone();
        if path.leading_colon.is_some() {
            path.leading_colon = None;
            path.segments = std::iter::once(last).collect();
        }
    }

    fn visit_ident_mut(&mut self, ident: &mut syn::Ident) {
        if let Some(name) = self.names.get(&ident.to_string()) {
            *ident = syn::Ident::new(name, ident.span());
        }
    }

    fn visit_type_mut(&mut self, ty: &mut syn::Type) {
        visit_mut::visit_type_mut(self, ty);
        let syn::Type::Path(path) = ty else { return };
        let last = path.path.segments.last().expect("a path has a segment");
        if last.ident == "__IncompleteArrayField" {
            let syn::PathArguments::AngleBracketed(args) = &last.arguments else {
                return;
            };
            let element = args.args.first().expect("an element type").to_token_stream();
            *ty = syn::parse_quote!([#element; 0]);
        }
    }
}

/// The size, the members and the values of everything in the crate's type files.
fn layout_table(generated: &str) -> Result<String, String> {
    let mut texts = vec![generated.to_owned()];
    for name in SOURCES {
        let path = root().join("crates/ofi-sys/src").join(name);
        texts.push(std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?);
    }
    let (mut structs, mut constants) = (String::new(), Vec::new());
    for text in &texts {
        let file = syn::parse_file(text).map_err(|e| format!("a type file: {e}"))?;
        for item in &file.items {
            match item {
                syn::Item::Struct(item) => structs += &struct_entry(item),
                syn::Item::Const(item) if is_number(item) => constants.push(item.ident.to_string()),
                // errno.rs: `FI_EX = EX, "text";`
                syn::Item::Macro(item) => constants.extend(
                    item.mac
                        .tokens
                        .clone()
                        .into_iter()
                        .map(|token| token.to_string())
                        .filter(|token| token.starts_with("FI_")),
                ),
                _ => {}
            }
        }
    }
    // What differs by platform stands there twice.
    constants.sort();
    constants.dedup();
    let constants: String =
        constants.iter().map(|name| format!("(\"{name}\", {name} as i64),\n")).collect();
    Ok(format!(
        "// Written by `cargo xtask codegen`. Do not edit.\n\n\
         //! Every struct and every numeric constant of the crate, as this target lays them out.\n\n\
         use ofi_sys::*;\n\nuse crate::{{Struct, structs}};\n\n\
         pub(crate) fn structs() -> Vec<Struct> {{ structs! {{\n{structs}}} }}\n\n\
         pub(crate) const CONSTANTS: &[(&str, i64)] = &[\n{constants}];\n"
    ))
}

/// `fi_ioc { addr, count, }`
fn struct_entry(item: &syn::ItemStruct) -> String {
    let members: String = item
        .fields
        .iter()
        .map(|field| format!("{}, ", field.ident.as_ref().expect("a named member")))
        .collect();
    format!("        {} {{ {members}}}\n", item.ident)
}

/// A constant of libfabric's (not one of this crate's own) that has a number for a value.
fn is_number(item: &syn::ItemConst) -> bool {
    item.ident.to_string().to_lowercase().starts_with("fi_")
        && !matches!(*item.ty, syn::Type::Reference(_))
}

fn rustfmt(text: &str) -> Result<String, String> {
    use std::io::Write;
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(root().join("rustfmt.toml"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .map_err(|e| format!("rustfmt: {e} (rustup component add rustfmt)"))?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let input = text.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(|e| format!("rustfmt: {e}"))?;
    writer.join().expect("writing does not panic").map_err(|e| format!("rustfmt: {e}"))?;
    if !output.status.success() {
        return Err(format!("rustfmt: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|e| format!("rustfmt: {e}"))
}
