//! Finds a Rust compiler that can build for BPF, and `bpf-linker`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// BPF objects are the same for all little-endian hosts; big-endian ones are not supported.
pub const TARGET: &str = "bpfel-unknown-none";

/// The nightly that `cargo xtask setup` adds where Debian's compiler cannot go; its LLVM is 22.
pub const NIGHTLY: &str = "nightly-2026-05-20";

/// A Rust compiler that can build for BPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    pub rustc: PathBuf,
    pub cargo: PathBuf,
    pub release: String,
    /// Major version of its LLVM: bpf-linker's must not be older.
    pub llvm: u32,
    /// `core` for BPF is there ready-made; otherwise it is built from `rust-src`.
    pub prebuilt_core: bool,
}

impl Compiler {
    fn probe(rustc: &Path) -> Option<Self> {
        let sysroot = PathBuf::from(output(Command::new(rustc).args(["--print", "sysroot"]))?);
        let rustlib = sysroot.join("lib/rustlib");
        let prebuilt_core = fs::read_dir(rustlib.join(TARGET).join("lib")).is_ok_and(|directory| {
            directory
                .flatten()
                .any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
        });
        if !prebuilt_core && !rustlib.join("src/rust/library/core/Cargo.toml").exists() {
            return None;
        }
        let version = output(Command::new(rustc).arg("-vV"))?;
        let field = |key| version.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let own_cargo = sysroot.join("bin/cargo");
        Some(Self {
            rustc: rustc.into(),
            cargo: if own_cargo.exists() {
                own_cargo
            } else {
                env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).into()
            },
            release: field("release:")?.into(),
            llvm: field("LLVM version:")?.split('.').next()?.parse().ok()?,
            prebuilt_core,
        })
    }
}

/// The usable compilers, best first: Debian's with its ready-made `core`, then those with `rust-src`.
pub fn compilers() -> Vec<Compiler> {
    let debian = Compiler::probe(Path::new("/usr/bin/rustc"));
    if let Some(compiler) = &debian
        && compiler.prebuilt_core
    {
        return debian.into_iter().collect();
    }
    let rustup = [NIGHTLY, "nightly", "stable"].into_iter().filter_map(|toolchain| {
        let which = output(
            Command::new("rustup")
                .args(["which", "--toolchain", toolchain, "rustc"])
                .env_remove("RUSTUP_TOOLCHAIN"),
        )?;
        Compiler::probe(Path::new(&which))
    });
    let mut found: Vec<_> = debian
        .into_iter()
        .chain(rustup)
        .chain(Compiler::probe(Path::new("rustc")))
        .collect();
    found.sort_by_key(|compiler| !compiler.prebuilt_core); // stable: the order above decides the rest
    found.dedup_by(|a, b| a.release == b.release && a.prebuilt_core == b.prebuilt_core);
    found
}

/// A `bpf-linker` that runs: our own in `tools`, or the first in `PATH`.
pub fn linker(tools: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    std::iter::once(tools.to_owned())
        .chain(env::split_paths(&path))
        .map(|directory| directory.join("bpf-linker"))
        .find(|linker| linker.exists() && output(Command::new(linker).arg("--version")).is_some())
}

/// The shared LLVM that a compiler or linker loads, and its major version.
pub fn llvm_library(binary: &Path) -> Option<(PathBuf, u32)> {
    // "libLLVM.so.22.1-rust-1.97.0-nightly => /…/lib/libLLVM.so.22.1-rust-1.97.0-nightly (0x…)"
    let libraries = output(Command::new("ldd").arg(binary))?;
    let (name, path) = libraries
        .lines()
        .find_map(|line| line.trim().strip_prefix("libLLVM")?.split_once(" => "))?;
    let major = name
        .trim_start_matches(|letter: char| !letter.is_ascii_digit())
        .split(|letter: char| !letter.is_ascii_digit())
        .next()?;
    Some((PathBuf::from(path.split(" (0x").next()?), major.parse().ok()?))
}

/// `PATH` with `directory` in front.
pub fn path_with(directory: &Path) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(std::iter::once(directory.to_owned()).chain(env::split_paths(&path))).unwrap_or(path)
}

/// Trimmed standard output of a command that succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
