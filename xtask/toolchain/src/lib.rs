//! Builds the eBPF object. Used by netswitch/build.rs and by `cargo xtask ebpf`. std only, no dependencies.
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

pub const ENV_OBJ: &str = "NETSWITCH_BPF_OBJ"; // use a prebuilt object, no toolchain needed
pub const ENV_RUSTC: &str = "NETSWITCH_BPF_RUSTC"; // force a rustc
pub const ENV_CPU: &str = "NETSWITCH_BPF_CPU"; // v2|v3|v4, default v3 (kernel >= 5.12 for atomics)
const BIN: &str = "netswitch-bpf";
const BOOTSTRAP_CRATES: &str = "aya_ebpf,netswitch_bpf"; // crates that use #![feature]
const HELP: &str = "no rustc on this machine can build `core` for BPF. Install ONE of\n  \
  Debian 12/13:  apt install rustc-web cargo-web libstd-rust-web-dev-bpf      (stable rustc + prebuilt BPF core)\n  \
  anywhere:      rustup toolchain install nightly-2026-05-20 --profile minimal --component rust-src   (LLVM 22)\n\
or set NETSWITCH_BPF_OBJ=/path/to/netswitch-bpf (prebuilt object) or NETSWITCH_BPF_RUSTC=/path/to/rustc.";
const HELP_LINKER: &str = "bpf-linker not found. Install it with an LLVM >= the LLVM of the chosen rustc (rustc -vV):\n  \
  apt install llvm-22-dev libpolly-22-dev libzstd-dev zlib1g-dev && \\\n  \
  LLVM_PREFIX=/usr/lib/llvm-22 cargo install bpf-linker --version 0.13.0 --no-default-features --features llvm-22";

#[derive(Debug, Clone)]
pub struct Toolchain {
    pub rustc: PathBuf,
    pub cargo: PathBuf,
    pub version: String,
    pub llvm: u32,
    pub prebuilt_core: bool,
}

fn out(cmd: &mut Command) -> Option<String> {
    let o = cmd.output().ok()?;
    o.status
        .success()
        .then(|| String::from_utf8_lossy(&o.stdout).trim().to_owned())
}

fn probe(rustc: &Path, target: &str) -> Option<Toolchain> {
    let sysroot = PathBuf::from(out(Command::new(rustc).args(["--print", "sysroot"]))?);
    let vv = out(Command::new(rustc).arg("-vV"))?;
    let field = |k: &str| {
        vv.lines()
            .find_map(|l| l.strip_prefix(k))
            .unwrap_or("")
            .trim()
            .to_owned()
    };
    let rlib = sysroot.join("lib/rustlib");
    let prebuilt = fs::read_dir(rlib.join(target).join("lib")).is_ok_and(|d| {
        d.flatten()
            .any(|e| e.file_name().to_string_lossy().starts_with("libcore-"))
    });
    let src = rlib.join("src/rust/library/core/Cargo.toml").exists();
    if !prebuilt && !src {
        return None;
    }
    let cargo = [
        sysroot.join("bin/cargo"),
        PathBuf::from(env::var_os("CARGO").unwrap_or("cargo".into())),
    ]
    .into_iter()
    .find(|p| p.exists() || p.components().count() == 1)?;
    Some(Toolchain {
        rustc: rustc.into(),
        cargo,
        version: field("release:"),
        llvm: field("LLVM version:").split('.').next()?.parse().ok()?,
        prebuilt_core: prebuilt,
    })
}

/// All usable toolchains, best first: explicit > prebuilt BPF core > rust-src on nightly > rust-src on stable (RUSTC_BOOTSTRAP).
pub fn detect(target: &str) -> Result<Vec<Toolchain>, String> {
    if let Some(r) = env::var_os(ENV_RUSTC) {
        return probe(Path::new(&r), target)
            .map(|t| vec![t])
            .ok_or_else(|| format!("{ENV_RUSTC}={r:?} has neither a prebuilt {target} core nor rust-src"));
    }
    let mut c: Vec<PathBuf> = vec!["/usr/bin/rustc".into()];
    for tc in ["nightly-2026-05-20", "nightly", "stable"] {
        if let Some(p) = out(Command::new("rustup")
            .args(["which", "--toolchain", tc, "rustc"])
            .env_remove("RUSTUP_TOOLCHAIN"))
        {
            c.push(p.into())
        }
    }
    c.extend(env::var_os("RUSTC").map(PathBuf::from));
    c.push("rustc".into());
    let mut found: Vec<_> = c.iter().filter_map(|r| probe(r, target)).collect();
    found.sort_by_key(|t| !t.prebuilt_core); // stable sort
    found.dedup_by(|a, b| a.rustc == b.rustc || (a.version == b.version && a.prebuilt_core == b.prebuilt_core));
    if found.is_empty() { Err(HELP.into()) } else { Ok(found) }
}

/// `bpf_arch` is the host architecture the object will run on (for aya's pt_regs bindings).
pub fn build(root: &Path, target_dir: &Path, endian: &str, bpf_arch: &str) -> Result<PathBuf, String> {
    if let Some(o) = env::var_os(ENV_OBJ) {
        return Ok(o.into());
    }
    let target = if endian == "big" {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    };
    if out(Command::new("bpf-linker").arg("--version")).is_none() {
        return Err(HELP_LINKER.into());
    }
    let mut err = String::new();
    for tc in detect(target)? {
        match build_with(&tc, root, target_dir, target, bpf_arch) {
            // bpf-linker's LLVM is older than this rustc's: its bitcode is unreadable, try the next toolchain
            Err(e)
                if [
                    "Invalid record",
                    "Invalid bitcode",
                    "Unknown attribute",
                    "Invalid value",
                ]
                .iter()
                .any(|m| e.contains(m)) =>
            {
                err += &format!(
                    "{e}\nhint: bpf-linker was built with an LLVM older than rustc {}'s LLVM {}\n",
                    tc.version, tc.llvm
                );
            }
            r => return r,
        }
    }
    Err(err)
}

fn build_with(tc: &Toolchain, root: &Path, target_dir: &Path, target: &str, bpf_arch: &str) -> Result<PathBuf, String> {
    let cpu = env::var(ENV_CPU).unwrap_or("v3".into());
    let flags = [
        &format!("--cfg=bpf_target_arch=\"{bpf_arch}\""),
        "-Cdebuginfo=2",
        &format!("-Ctarget-cpu={cpu}"),
        "-Clink-arg=--btf",
    ]
    .join("\x1f");
    let mut cmd = Command::new(&tc.cargo);
    for k in [
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "CARGO_BUILD_TARGET",
        "CARGO_TARGET_DIR",
        "CARGO_MAKEFLAGS",
        "RUSTDOC",
    ] {
        cmd.env_remove(k);
    }
    cmd.env("RUSTC", &tc.rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", flags)
        .env("RUSTC_BOOTSTRAP", if tc.prebuilt_core { BOOTSTRAP_CRATES } else { "1" })
        .args([
            "build",
            "--quiet",
            "--profile",
            "bpf",
            "--target",
            target,
            "--bin",
            BIN,
            "--manifest-path",
        ])
        .arg(root.join("netswitch-ebpf/Cargo.toml"))
        .arg("--target-dir")
        .arg(target_dir);
    if !tc.prebuilt_core {
        cmd.args(["-Z", "build-std=core"]);
    }
    let o = cmd.output().map_err(|e| format!("{:?}: {e}", tc.cargo))?;
    if !o.status.success() {
        return Err(format!(
            "eBPF build failed ({tc:?}):\n{}",
            String::from_utf8_lossy(&o.stderr)
        ));
    }
    let obj = target_dir.join(target).join("bpf").join(BIN);
    no_panics(&obj)?;
    Ok(obj)
}

/// A reachable panic makes the verifier fail with "last insn is not an exit or jmp"; catch it here by symbol name.
pub fn no_panics(obj: &Path) -> Result<(), String> {
    let d = fs::read(obj).map_err(|e| format!("{obj:?}: {e}"))?;
    let n = |o: usize, l: usize| {
        d.get(o..o + l)
            .map_or(0, |b| b.iter().rev().fold(0usize, |a, x| a << 8 | *x as usize))
    };
    let (shoff, shentsize, shnum) = (n(0x28, 8), n(0x3a, 2), n(0x3c, 2));
    let sh = |i: usize, f: usize, l: usize| n(shoff + i * shentsize + f, l);
    let mut bad = vec![];
    for i in (0..shnum).filter(|i| sh(*i, 4, 4) == 2) {
        // SHT_SYMTAB
        let (off, size, strtab) = (sh(i, 0x18, 8), sh(i, 0x20, 8), sh(sh(i, 0x28, 4), 0x18, 8));
        for s in (off..off + size).step_by(24) {
            let name = d
                .get(strtab + n(s, 4)..)
                .and_then(|b| b.split(|c| *c == 0).next())
                .map(|b| String::from_utf8_lossy(b).into_owned())
                .unwrap_or_default();
            if name.contains("core9panicking") {
                bad.push(name)
            }
        }
    }
    if bad.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "eBPF object can panic (index/slice/div/unwrap without proof): {bad:?}\nlook at: llvm-objdump -dr {}",
            obj.display()
        ))
    }
}

/// Entry point for build.rs
pub fn build_rs() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap())
        .parent()
        .unwrap()
        .to_owned();
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").unwrap());
    for p in ["netswitch-ebpf", "netswitch-common", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", root.join(p).display());
    }
    for e in [ENV_OBJ, ENV_RUSTC, ENV_CPU, "PATH"] {
        println!("cargo::rerun-if-env-changed={e}");
    }
    // share <target>/bpf between dev/release/test and `cargo xtask ebpf`; a directory of its own => no cargo lock deadlock
    let tdir = out_dir
        .ancestors()
        .find(|p| p.join("CACHEDIR.TAG").exists())
        .unwrap_or(&out_dir)
        .join("bpf");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap();
    match build(
        &root,
        &tdir,
        &env::var("CARGO_CFG_TARGET_ENDIAN").unwrap(),
        if arch.starts_with("riscv64") { "riscv64" } else { &arch },
    ) {
        Ok(o) => {
            fs::copy(&o, out_dir.join(BIN)).unwrap_or_else(|e| panic!("{o:?}: {e}"));
        }
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(1)
        }
    }
}
