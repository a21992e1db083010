//! Builds the eBPF objects with a cargo of its own inside the outer build.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::detect::{self, Compiler, TARGET};
use crate::{Error, elf};

/// Name of the eBPF crate's binary, and of the object.
pub const OBJECT: &str = "netswitch-bpf";

/// What the benchmark loads beside it.
pub const ECHO: &str = "netswitch-echo";

/// Instruction set of the object: v3 has atomics with a result, which every kernel from 5.12 takes.
const CPU: &str = "v3";

/// Crates that use `#![feature]`; `RUSTC_BOOTSTRAP` lets a stable compiler accept it from these alone.
const BOOTSTRAP_CRATES: &str = "aya_ebpf,netswitch_bpf,netswitch_echo";

/// What an LLVM says of bitcode that a newer one wrote.
const NEWER_BITCODE: [&str; 4] = [
    "Invalid record",
    "Invalid bitcode",
    "Unknown attribute",
    "Invalid value",
];

/// Variables of the outer build that would steer the inner one.
const OUTER_SETTINGS: [&str; 9] = [
    "CARGO_BUILD_TARGET",
    "CARGO_MAKEFLAGS",
    "CARGO_TARGET_DIR",
    "MAKEFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// Where the object `name` is once [`object`] has built it.
pub fn place(target: &Path, name: &str) -> PathBuf {
    target.join("bpf").join(TARGET).join("bpf").join(name)
}

/// Builds the objects for the workspace at `root` into `<target>/bpf` and returns the agent's path.
pub fn object(root: &Path, target: &Path) -> Result<PathBuf, Error> {
    let linker = detect::linker(&target.join("tools/bin")).ok_or(Error::NotSetUp("bpf-linker"))?;
    let mut refusals = Vec::new();
    for compiler in detect::compilers() {
        let output = cargo(&compiler, &linker, root, target, "build", &[])
            .output()
            .map_err(crate::at(&compiler.cargo))?;
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            let object = place(target, OBJECT);
            elf::refuse_panics(&object)?;
            return Ok(object);
        }
        if !NEWER_BITCODE.iter().any(|refusal| text.contains(refusal)) {
            return Err(Error::Failed(text.into_owned()));
        }
        refusals.push(format!(
            "{} cannot read what rustc {} writes (LLVM {}): run `cargo xtask setup`",
            linker.display(),
            compiler.release,
            compiler.llvm
        ));
    }
    Err(if refusals.is_empty() {
        Error::NotSetUp("a Rust compiler with `core` for BPF")
    } else {
        Error::Failed(refusals.join("\n"))
    })
}

/// The inner cargo: `subcommand` on the eBPF crate, in the `bpf` profile, for the BPF target.
pub fn cargo(
    compiler: &Compiler,
    linker: &Path,
    root: &Path,
    target: &Path,
    subcommand: &str,
    rustc_flags: &[&str],
) -> Command {
    let architecture = format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH);
    let cpu = format!("-Ctarget-cpu={CPU}");
    // in order, every memset is a call of a function that stores byte by byte
    let expand = "-Clink-arg=--disable-expand-memcpy-in-order";
    let flags = [&architecture, &cpu, "-Cdebuginfo=2", "-Clink-arg=--btf", expand];
    let mut command = Command::new(&compiler.cargo);
    for variable in OUTER_SETTINGS {
        command.env_remove(variable);
    }
    command
        .env("RUSTC", &compiler.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", [&flags, rustc_flags].concat().join("\x1f"))
        .env(
            "RUSTC_BOOTSTRAP",
            if compiler.prebuilt_core { BOOTSTRAP_CRATES } else { "1" },
        )
        .env("PATH", detect::path_with(linker.parent().unwrap_or(root)))
        .args([subcommand, "--quiet", "--profile", "bpf", "--target", TARGET, "--bins"])
        .arg("--manifest-path")
        .arg(root.join("netswitch-ebpf/Cargo.toml"))
        // a folder of its own: no deadlock on the outer cargo's lock, and one object for all profiles
        .arg("--target-dir")
        .arg(target.join("bpf"));
    if !compiler.prebuilt_core {
        command.args(["-Z", "build-std=core"]);
    }
    command
}
