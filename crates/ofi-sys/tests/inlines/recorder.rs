//! Writes the recording functions, compiles them with the real headers, and loads the result.

use std::ffi::{CStr, CString, c_char, c_void};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, process};

use crate::header::{Function, Headers, Variable, function, variable};

/// As in recorder.c.
const MAX_ARGS: usize = 20;
const MEMORY: usize = 256;

/// What the tables hold when a call is made.
#[derive(Clone, Copy)]
pub(crate) enum Tables {
    Full,
    /// The objects' pointers to them are NULL.
    Missing,
    /// They are there, and all entries NULL.
    Empty,
    /// Their `size` says this.
    Sized(usize),
}

/// Everything that a call did, to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    pub(crate) calls: String,
    pub(crate) ret: u64,
    /// What was written to the memory that pointer arguments point to, and where.
    pub(crate) written: Vec<(usize, u8)>,
}

/// The library, loaded; one test at a time uses it.
pub(crate) struct Recorder {
    handle: *mut c_void,
    pub(crate) headers: Headers,
    pub(crate) path: PathBuf,
}

// SAFETY: a handle of dlopen serves every thread; the recorder's own state is used under the lock
// around `Recorder` alone.
unsafe impl Send for Recorder {}

impl Recorder {
    pub(crate) fn new() -> Self {
        // What answers here is no libfabric.
        #[cfg(feature = "count-calls")]
        ofi_sys::calls::stop();
        let headers = Headers::find();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (major, minor) = headers.version;
        let stem = format!("inlines-{major}.{minor}-{}", process::id());
        let (generated, path) = (dir.join(format!("{stem}.h")), dir.join(format!("{stem}.so")));
        fs::write(&generated, generate(&headers)).expect("a writable target directory");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inlines/recorder.c");
        let output = Command::new(env::var("CC").unwrap_or("cc".into()))
            .args(["-std=gnu11", "-O1", "-fPIC", "-shared", "-Wl,-Bsymbolic", "-Wl,-z,defs"])
            .args(["-Wno-deprecated-declarations", "-Werror=implicit-function-declaration"])
            .arg("-Werror=incompatible-pointer-types")
            .arg(format!("-DGENERATED=\"{}\"", generated.display()))
            .arg("-I")
            .arg(&headers.include)
            .arg("-o")
            .arg(&path)
            .arg(source)
            .output()
            .expect("cc runs");
        assert!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
        let name = CString::new(path.to_str().expect("UTF-8")).expect("no NUL");
        // SAFETY: a C string; the library has no constructors.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "dlopen of {}", path.display());
        fs::remove_file(&generated).expect("written above");
        Self { handle, headers, path }
    }

    /// Nothing loads the file any more.
    pub(crate) fn remove_file(&self) {
        fs::remove_file(&self.path).expect("written by cc");
    }

    /// Makes one call, with the tables as said, and returns what it did.
    pub(crate) fn run(&self, tables: Tables, ret: i64, call: impl FnOnce() -> u64) -> Effect {
        let (present, filled, size) = match tables {
            Tables::Full => (1, 1, usize::MAX),
            Tables::Missing => (0, 1, usize::MAX),
            Tables::Empty => (1, 0, usize::MAX),
            Tables::Sized(size) => (1, 1, size),
        };
        let text: *mut c_char = self.symbol("recorder_text").cast();
        let memory: *mut u8 = self.symbol("recorder_memory").cast();
        let setup = self.symbol("recorder_setup");
        // SAFETY: recorder.c's function and objects of these names and types; the lock around
        // `Recorder` keeps other threads out.
        unsafe {
            *text = 0;
            *self.symbol("recorder_ret").cast::<i64>() = ret;
            let setup = std::mem::transmute::<*mut c_void, extern "C" fn(i32, i32, usize)>(setup);
            setup(present, filled, size);
            let mut before = vec![0; MAX_ARGS * MEMORY];
            for (arg, at) in before.chunks_mut(MEMORY).enumerate() {
                let name = format!("memory {arg}");
                at[..name.len()].copy_from_slice(name.as_bytes());
            }
            memory.copy_from_nonoverlapping(before.as_ptr(), before.len());
            let ret = call();
            let after = std::slice::from_raw_parts(memory, before.len());
            Effect {
                calls: CStr::from_ptr(text).to_string_lossy().into_owned(),
                ret,
                written: (0..before.len())
                    .filter(|&at| before[at] != after[at])
                    .map(|at| (at, after[at]))
                    .collect(),
            }
        }
    }

    /// Calls a C inline function.
    pub(crate) fn c(&self, name: &str, args: &[u64]) -> u64 {
        let twin = self.symbol(&format!("twin_{name}"));
        // SAFETY: the generated function of that name has this type, and as many arguments.
        let twin: extern "C" fn(*const u64) -> u64 = unsafe { std::mem::transmute(twin) };
        twin(args.as_ptr())
    }

    /// An object with tables, another one for each position in the arguments.
    pub(crate) fn object(&self, class: &str, position: usize) -> u64 {
        type Object = extern "C" fn(*const c_char, usize) -> *mut c_void;
        let class = CString::new(class).expect("no NUL");
        // SAFETY: the generated function of that name has this type.
        let object: Object = unsafe { std::mem::transmute(self.symbol("recorder_object")) };
        let object = object(class.as_ptr(), position);
        assert!(!object.is_null(), "{class:?}");
        object as u64
    }

    /// Memory that a pointer argument may point to; it holds "memory N" and zeroes.
    pub(crate) fn memory(&self, position: usize) -> u64 {
        assert!(position < MAX_ARGS);
        self.symbol("recorder_memory") as u64 + (position * MEMORY) as u64
    }

    /// Where in its table the entry stands that was called last.
    pub(crate) fn offset(&self) -> usize {
        // SAFETY: recorder.c's size_t of that name.
        unsafe { *self.symbol("recorder_offset").cast::<usize>() }
    }

    pub(crate) fn symbol(&self, name: &str) -> *mut c_void {
        let c_name = CString::new(name).expect("no NUL");
        // SAFETY: an open handle and a C string.
        let address = unsafe { libc::dlsym(self.handle, c_name.as_ptr()) };
        assert!(!address.is_null(), "the recorder has no {name}");
        address
    }
}

/// The class of the object that a parameter takes, if it takes one.
pub(crate) fn class_of(param: &Variable) -> Option<&str> {
    let ty = param.ty.trim_start_matches("const ");
    match ty {
        // Where C takes any object, an endpoint has all that the inline functions use of it.
        "fid_t" | "struct fid *" => Some("fid_ep"),
        _ => {
            let class = ty.strip_prefix("struct ")?.strip_suffix(" *")?;
            (class.starts_with("fid_") && !class.ends_with('*')).then_some(class)
        }
    }
}

pub(crate) fn is_pointer(ty: &str) -> bool {
    ty.contains('*') || ty == "fid_t"
}

fn generate(headers: &Headers) -> String {
    let mut out = String::new();
    for (file, _) in &headers.files {
        writeln!(out, "#include <rdma/{file}>").unwrap();
    }
    let inlines: Vec<Function> =
        headers.files.iter().flat_map(|(file, _)| headers.inlines(file)).collect();
    let mut classes: Vec<_> = headers.structs("fid_");
    classes.retain(|(class, _)| {
        inlines.iter().flat_map(|inline| &inline.params).any(|p| class_of(p) == Some(class))
    });

    // The tables: those that a class points to, and that of `struct fid` itself.
    let tables_of = |members: &[String]| -> Vec<(String, String)> {
        let members = members.iter().map(|member| variable(member));
        let table = |m: Variable| {
            let ty = m.ty.strip_prefix("struct ")?.strip_suffix(" *")?.to_string();
            (ty.starts_with("fi_ops") || ty == "fi_profile_ops").then_some((ty, m.name))
        };
        members.filter_map(table).collect()
    };
    let mut used: Vec<String> = vec!["fi_ops".into()];
    for (_, members) in &classes {
        used.extend(tables_of(members).into_iter().map(|(ty, _)| ty));
    }
    let mut setup = String::new();
    for (table, members) in headers.structs("fi_").iter().filter(|(t, _)| used.contains(t)) {
        let entries: Vec<Function> =
            members.iter().filter(|m| m.contains("(*")).map(|m| function(m)).collect();
        for entry in &entries {
            out.push_str(&recording(table, entry));
        }
        writeln!(out, "static struct {table} table_{table};").unwrap();
        writeln!(setup, "\ttable_{table} = (struct {table}) {{").unwrap();
        writeln!(setup, "\t\t.size = size == SIZE_MAX ? sizeof(struct {table}) : size,").unwrap();
        for Function { name, .. } in &entries {
            writeln!(setup, "\t\t.{name} = filled ? {table}_{name} : NULL,").unwrap();
        }
        writeln!(setup, "\t}};").unwrap();
    }

    // The objects.
    let mut find = String::new();
    for (class, members) in &classes {
        writeln!(out, "static struct {class} object_{class}[MAX_ARGS];").unwrap();
        writeln!(find, "\tif (!strcmp(class, \"{class}\")) return &object_{class}[position];")
            .unwrap();
        writeln!(setup, "\tmemset(object_{class}, 0x5a, sizeof(object_{class}));").unwrap();
        writeln!(setup, "\tfor (int i = 0; i < MAX_ARGS; i++) {{").unwrap();
        writeln!(setup, "\t\tobject_{class}[i].fid.ops = present ? &table_fi_ops : NULL;").unwrap();
        for (table, member) in tables_of(members) {
            writeln!(setup, "\t\tobject_{class}[i].{member} = present ? &table_{table} : NULL;")
                .unwrap();
        }
        writeln!(setup, "\t}}").unwrap();
    }
    writeln!(out, "void *recorder_object(const char *class, size_t position)\n{{\n{find}").unwrap();
    writeln!(out, "\treturn NULL;\n}}").unwrap();
    writeln!(out, "void recorder_setup(int present, int filled, size_t size)\n{{\n{setup}}}")
        .unwrap();
    for inline in &inlines {
        out.push_str(&twin(inline));
    }
    out
}

/// A table's entry that writes itself and its arguments down.
fn recording(table: &str, entry: &Function) -> String {
    let Function { ret, name, params, .. } = entry;
    let mut body = String::new();
    for Variable { ty, name: param } in params {
        // What lies on an inline function's stack is compared by what it holds.
        match (table, name.as_str(), param.as_str()) {
            ("fi_ops", "control", "arg") => body += "\tcontrol(command, arg);\n",
            ("fi_ops", "ops_open", "ops") => body += "\topen_ops(name, ops);\n",
            ("fi_ops_cm", "join", "addr") => body += "\tjoin(addr, flags);\n",
            ("fi_profile_ops", "read_var", "size") => body += "\tsize_behind(size);\n",
            _ if ty == "const char *" => writeln!(body, "\tstring(\"{param}\", {param});").unwrap(),
            _ if is_pointer(ty) => {
                writeln!(body, "\tnumber(\"{param}\", (uintptr_t) {param});").unwrap();
            }
            _ => writeln!(body, "\tnumber(\"{param}\", (uint64_t) {param});").unwrap(),
        }
    }
    let back = match ret.as_str() {
        "void" => String::new(),
        ret => format!("\treturn ({ret}) recorder_ret;\n"),
    };
    let list: Vec<String> = params
        .iter()
        .map(|p| match p.ty.as_str() {
            "*" => "int (*callback)(struct fid_profile *, struct fi_profile_desc *, void *, \
                    size_t, void *)"
                .into(),
            ty => format!("{ty} {}", p.name),
        })
        .collect();
    format!(
        "static {ret} {table}_{name}({})\n{{\n\
         \tentry(\"{table}.{name}\", offsetof(struct {table}, {name}));\n{body}{back}}}\n",
        list.join(", ")
    )
}

/// Calls the inline function of a header with C's own types.
fn twin(inline: &Function) -> String {
    let Function { ret, name, params, .. } = inline;
    let args: Vec<String> = params
        .iter()
        .enumerate()
        .map(|(i, param)| match is_pointer(&param.ty) {
            true => format!("(void *) (uintptr_t) a[{i}]"),
            false => format!("({}) a[{i}]", param.ty),
        })
        .collect();
    let call = format!("{name}({})", args.join(", "));
    let body = match ret.as_str() {
        "void" => format!("{call};\n\treturn 0;"),
        ret if is_pointer(ret) => format!("return (uintptr_t) {call};"),
        _ => format!("return (uint64_t) {call};"),
    };
    format!("uint64_t twin_{name}(const uint64_t *a)\n{{\n\t{body}\n}}\n")
}
