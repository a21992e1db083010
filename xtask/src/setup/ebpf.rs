//! The compiler for BPF and bpf-linker.
//!
//! Debian's `rustc-web` brings `core` for BPF ready-made and its LLVM as a shared library. bpf-linker is built against
//! the very library that the compiler loads, so their bitcode always agrees and no LLVM development files are needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use toolchain::detect::{self, Compiler, NIGHTLY};

use super::apt;
use crate::progress::Step;
use crate::{command, place};

/// Debian's compiler, and `core` for BPF.
const PACKAGES: [&str; 2] = ["libstd-rust-web-dev-bpf", "rustc-web"];

/// Debian's packages that `rustc-web` would replace.
const CONFLICTING: [&str; 3] = ["rustc", "rustc-mozilla", "rustup"];

/// The linker's version; its features are named after LLVM's.
const LINKER_VERSION: &str = "0.13.0";

const DENY_VERSION: &str = "0.20.2";

/// What apt has to install before [`prepare`]: nothing where a usable compiler is, or where Debian's cannot go.
pub(super) fn missing_packages() -> &'static [&'static str] {
    if !detect::compilers().is_empty() || has_conflict() {
        &[]
    } else {
        &PACKAGES
    }
}

/// clippy for the eBPF programs has to be of the same version as the compiler that has `core` for BPF.
pub(super) fn lint_package() -> &'static [&'static str] {
    let is_debian = detect::compilers()
        .first()
        .is_none_or(|compiler| compiler.prebuilt_core);
    if is_debian && !has_conflict() {
        &["rust-web-clippy"]
    } else {
        &[]
    }
}

/// Sees to a compiler and a linker that understands it.
pub(super) fn prepare() -> Result<()> {
    let compiler = compiler()?;
    let linker = detect::linker(&place::tools().join("bin"));
    let up_to_date = linker.is_some_and(|linker| {
        // linked statically: the build will tell
        detect::llvm_library(&linker).is_none_or(|(_, llvm)| llvm >= compiler.llvm)
    });
    if up_to_date { Ok(()) } else { install_linker(&compiler) }
}

fn compiler() -> Result<Compiler> {
    if let Some(compiler) = detect::compilers().into_iter().next() {
        return Ok(compiler);
    }
    let install = [
        "toolchain",
        "install",
        NIGHTLY,
        "--profile",
        "minimal",
        "--component",
        "rust-src",
    ];
    let typed = format!("rustup {}", install.join(" "));
    if command::find("rustup").is_none() {
        bail!("Debian's rustc is in the way of rustc-web, and there is no rustup; install it, then: {typed}");
    }
    eprintln!("set-up adds a toolchain (the default one stays): {typed}");
    let step = Step::start(format!("adding {NIGHTLY}"));
    let result = command::fetch(|| command::read(Command::new("rustup").args(install)));
    step.end(if result.is_ok() { "done" } else { "failed" });
    result.with_context(|| format!("a compiler for BPF is needed: {typed}"))?;
    let found = detect::compilers().into_iter().next();
    found.with_context(|| format!("{NIGHTLY} is there and cannot build for BPF; try: {typed}"))
}

fn install_linker(compiler: &Compiler) -> Result<()> {
    let (library, llvm) = detect::llvm_library(&compiler.rustc)
        .with_context(|| format!("{} loads no shared LLVM to link with", compiler.rustc.display()))?;
    let libraries = place::tools().join("llvm/lib");
    let link = libraries.join("libLLVM.so");
    fs::create_dir_all(&libraries).with_context(|| libraries.display().to_string())?;
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(&library, &link).with_context(|| link.display().to_string())?;

    eprintln!(
        "set-up builds bpf-linker {LINKER_VERSION} into {}",
        place::tools().display()
    );
    let step = Step::start("building bpf-linker");
    let rpath = format!(
        "-Clink-arg=-Wl,-rpath,{}",
        library.parent().unwrap_or(Path::new("/")).display()
    );
    let result = cargo_install(
        command::cargo()
            .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--force"])
            .args(["--no-default-features", "--features", &format!("llvm-{llvm}")])
            .env("LLVM_PREFIX", place::tools().join("llvm"))
            .env("RUSTFLAGS", rpath),
        "1",
    );
    step.end(if result.is_ok() { "done" } else { "failed" });
    result
}

/// cargo-deny checks licences, bans, sources and advisories.
pub(super) fn install_deny() -> Result<()> {
    if place::tools().join("bin/cargo-deny").exists() || command::find("cargo-deny").is_some() {
        return Ok(());
    }
    eprintln!(
        "set-up builds cargo-deny {DENY_VERSION} into {}",
        place::tools().display()
    );
    let step = Step::start("building cargo-deny");
    // it reads one lock file: that it is built fast matters more than how fast it is
    let result = cargo_install(
        command::cargo().args(["install", "cargo-deny", "--version", DENY_VERSION]),
        "0",
    );
    step.end(if result.is_ok() { "done" } else { "failed" });
    result
}

/// Installs into our tools, optimised at `level`; what it was built from goes.
fn cargo_install(install: &mut Command, level: &str) -> Result<()> {
    let build = place::tools().join("build");
    install
        .args(["--locked", "--root"])
        .arg(place::tools())
        .env("CARGO_TARGET_DIR", &build)
        // these tools wait for LLVM and for the disk: bpf-linker takes 29 s instead of 36 s to build and links as fast
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", level);
    command::fetch(|| command::read(install))?;
    fs::remove_dir_all(&build).with_context(|| build.display().to_string())
}

fn has_conflict() -> bool {
    apt::missing(&CONFLICTING).len() < CONFLICTING.len()
}
