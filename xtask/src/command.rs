//! Running other programs.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Where administrators' programs are, which is not in every user's `PATH`.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/sbin"];

/// cargo, of the toolchain that runs us, without the variables that it sets for us alone.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (variable, _) in env::vars_os() {
        let name = variable.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME" {
            command.env_remove(&variable);
        }
    }
    command.current_dir(crate::place::root());
    command
}

/// `program`, as root: through sudo where we are not.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Command {
    if nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("--").arg(program);
    command
}

/// Whether we are root or may become it by sudo.
pub(crate) fn can_be_root() -> bool {
    nix::unistd::geteuid().is_root() || find("sudo").is_some()
}

/// The program called `name`, as root would find it.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(SYSTEM.map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

/// `PATH` with our own tools first and the administrators' programs last.
pub(crate) fn path() -> std::ffi::OsString {
    let path = toolchain::detect::path_with(&crate::place::tools().join("bin"));
    let all = env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    env::join_paths(all).unwrap_or(path)
}

/// Runs with our terminal; fails when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| show(command))?;
    if !status.success() {
        bail!("{}: {status}", show(command));
    }
    Ok(())
}

/// Runs and returns what it wrote to standard output; fails with what it wrote to standard error.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| show(command))?;
    if !output.status.success() {
        bail!("{}: {}\n{}", show(command), output.status, tail(&output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether it runs and succeeds; its output is nobody's business.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// Seconds before what fetches something is tried once more.
const PAUSES: [u64; 2] = [5, 20];

/// Fetches something. A mirror may be out of reach for a moment: only the last of three failures counts.
pub(crate) fn fetch<T>(mut fetch: impl FnMut() -> Result<T>) -> Result<T> {
    for pause in PAUSES {
        match fetch() {
            Err(error) => eprintln!("{error:#}\nagain in {pause} s"),
            fetched => return fetched,
        }
        thread::sleep(Duration::from_secs(pause));
    }
    fetch()
}

/// The last lines of what a failed program said.
fn tail(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The command line as one would type it.
fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy());
    // a script among the arguments would hide what went wrong
    words.filter(|word| !word.contains('\n')).collect::<Vec<_>>().join(" ")
}
