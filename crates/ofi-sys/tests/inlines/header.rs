//! Reads libfabric's headers as far as this test needs: prototypes and structs, no preprocessor.

use std::fs;
use std::path::{Path, PathBuf};

/// A parameter, or a member that is not a function: `struct fid_ep *` and `ep`.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) ty: String,
    pub(crate) name: String,
}

/// An inline function, or an entry of a table of functions.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) ret: String,
    pub(crate) name: String,
    pub(crate) params: Vec<Variable>,
    /// What an inline function does.
    pub(crate) body: String,
}

/// The headers of one libfabric.
pub(crate) struct Headers {
    pub(crate) include: PathBuf,
    /// `(2, 1)`
    pub(crate) version: (u32, u32),
    /// File name and text, without comments and preprocessor lines.
    pub(crate) files: Vec<(String, String)>,
}

/// Headers that belong to one provider, or replace the inlines when a provider is compiled in.
const NOT_OURS: [&str; 5] =
    ["fi_ext_efa.h", "fi_ext_psm2.h", "fi_ext_usnic.h", "fi_cxi_ext.h", "fi_direct"];

impl Headers {
    /// All of the application's headers in `$OFI_TEST_INCLUDE/rdma`, else in `/usr/include/rdma`.
    pub(crate) fn find() -> Self {
        let include =
            PathBuf::from(std::env::var_os("OFI_TEST_INCLUDE").unwrap_or("/usr/include".into()));
        let rdma = include.join("rdma");
        let list = fs::read_dir(&rdma).unwrap_or_else(|e| {
            panic!("{}: {e}; install libfabric-dev or set OFI_TEST_INCLUDE", rdma.display())
        });
        let mut names: Vec<String> = list
            .map(|entry| entry.expect("directory entry").file_name().into_string().expect("UTF-8"))
            .filter(|name| name == "fabric.h" || name.starts_with("fi_") && name.ends_with(".h"))
            .filter(|name| !NOT_OURS.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        names.sort();
        let read = |path: &Path| fs::read_to_string(path).expect("a readable header");
        let fabric = read(&rdma.join("fabric.h"));
        let number = |macro_name: &str| {
            let line = fabric.lines().find(|line| line.contains(macro_name)).expect(macro_name);
            line.split_whitespace().last().expect("a value").parse().expect("a number")
        };
        Self {
            version: (number("define FI_MAJOR_VERSION"), number("define FI_MINOR_VERSION")),
            files: names.iter().map(|n| (n.clone(), strip(&read(&rdma.join(n))))).collect(),
            include,
        }
    }

    /// Every `static inline` of a file, in order.
    pub(crate) fn inlines(&self, file: &str) -> Vec<Function> {
        let text = &self.files.iter().find(|(name, _)| name == file).expect(file).1;
        text.split("static inline")
            .skip(1)
            .map(|rest| function(&rest.replace("FI_DEPRECATED_FUNC", "")[..]))
            .collect()
    }

    /// Every struct whose name starts with `prefix`: its name and its members' declarations.
    pub(crate) fn structs(&self, prefix: &str) -> Vec<(String, Vec<String>)> {
        let mut found = Vec::new();
        for (_, text) in &self.files {
            for rest in text.split("\nstruct ").skip(1) {
                let Some((name, rest)) = rest.split_once('{') else {
                    continue;
                };
                let name = name.trim();
                if name.starts_with(prefix) && name.chars().all(is_ident) {
                    let body = &rest[..rest.find("\n}").expect("the struct's end")];
                    let members = body.split(';').map(one_line).filter(|m| !m.is_empty());
                    found.push((name.to_string(), members.collect()));
                }
            }
        }
        found
    }
}

/// `ret name(params) {...\n}` or `ret (*name)(params)`.
pub(crate) fn function(text: &str) -> Function {
    let (text, body) = text.split_once('{').unwrap_or((text, ""));
    let text = one_line(text);
    let (head, rest) = match text.split_once("(*") {
        Some((ret, rest)) if !ret.contains('(') => {
            let (name, params) = rest.split_once(')').expect("(*name)");
            let params = params.trim_start().strip_prefix('(').expect("parameters");
            (format!("{ret} {name}"), params)
        }
        _ => match text.split_once('(') {
            Some((head, rest)) => (head.to_string(), rest),
            None => panic!("no parameters: {text}"),
        },
    };
    let Variable { ty, name } = variable(&head);
    let params = &rest[..rest.rfind(')').expect("the parameters' end")];
    Function {
        ret: ty,
        name,
        params: split_params(params).iter().map(|param| variable(param)).collect(),
        body: one_line(body.split("\n}").next().expect("split yields one")),
    }
}

/// `const void *buf`, or `int (*callback)(...)`, whose type is then `*`.
pub(crate) fn variable(text: &str) -> Variable {
    if let Some((_, rest)) = text.split_once("(*") {
        let name = rest.split(')').next().expect("split yields one");
        return Variable { ty: "*".into(), name: name.trim().into() };
    }
    let text = text.trim();
    let at = text.rfind(|c| !is_ident(c)).map_or(0, |at| at + 1);
    let (ty, name) = text.split_at(at);
    Variable { ty: one_line(ty), name: name.into() }
}

fn split_params(text: &str) -> Vec<String> {
    let (mut list, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if c == ',' && depth == 0 {
            list.push(String::new());
        } else {
            list.last_mut().expect("never empty").push(c);
        }
    }
    list.retain(|param| !param.trim().is_empty() && param.trim() != "void");
    list
}

/// Without comments and preprocessor lines.
fn strip(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((code, comment)) = rest.split_once("/*") {
        out.push_str(code);
        rest = comment.split_once("*/").expect("the comment's end").1;
    }
    out.push_str(rest);
    let mut continued = false;
    let keep = |line: &&str| {
        let directive = continued || line.trim_start().starts_with('#');
        continued = directive && line.ends_with('\\');
        !directive
    };
    let lines = out.lines().map(|line| line.split("//").next().expect("split yields one"));
    lines.filter(keep).map(|line| format!("{line}\n")).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_ident(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}
