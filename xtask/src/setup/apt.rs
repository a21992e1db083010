//! Debian packages: installs those that are missing, starts and enables none of their services, removes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::progress::Step;

/// Runs as root. policy-rc.d keeps services from starting; what a package enables for the next boot is disabled
/// again; both whatever happens to apt. A policy-rc.d that was there comes back.
const INSTALL: &str = r#"
policy=/usr/sbin/policy-rc.d
links() { find /etc/systemd/system -type l 2>/dev/null; }
before=$(links)
restore() {
    rm -f "$policy"
    if [ -e "$policy.netswitch" ]; then mv "$policy.netswitch" "$policy"; fi
    for link in $(links); do
        case "$before" in *"$link"*) continue ;; esac
        unit=${link##*/}
        deb-systemd-helper disable "$unit" >/dev/null
        if [ -e "/etc/init.d/${unit%.service}" ]; then update-rc.d "${unit%.service}" disable; fi
        rm -f "$link"
    done
}
trap restore EXIT
trap 'exit 130' HUP INT TERM
if [ -e "$policy" ] && [ ! -e "$policy.netswitch" ]; then mv "$policy" "$policy.netswitch"; fi
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 755 "$policy"
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --quiet --no-install-recommends --no-remove "$@"
"#;

/// Installs those of `packages` that are missing.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.iter().copied().collect::<Vec<_>>().join(" ");
    let hint = format!("install by hand: {list}");
    if !is_debian() {
        bail!("this machine is not Debian 12 or 13, whose packages set-up knows; {hint}");
    }
    eprintln!("set-up installs with apt-get: {list}");
    require_root().with_context(|| hint.clone())?;
    let mut updated = false;
    if !missing.iter().all(|package| is_known(package)) {
        get_to_know(&missing).with_context(|| hint.clone())?;
        updated = true;
    }
    let step = Step::start(format!("installing {} packages", missing.len()));
    let result = command::fetch(|| {
        let result = apt_install(&missing);
        if result.is_err() && !updated {
            update()?; // old lists name files that the mirror no longer has
            updated = true;
            return apt_install(&missing);
        }
        result
    });
    step.end(if result.is_ok() { "done" } else { "failed" });
    result.with_context(|| hint)
}

/// Those of `packages` that are not installed.
pub(super) fn missing<'a>(packages: &[&'a str]) -> BTreeSet<&'a str> {
    let mut query = Command::new("dpkg-query");
    query
        .args(["--show", "--showformat=${db:Status-Status} ${Package}\n"])
        .args(packages);
    // fails when one is unknown, and still names the others
    let output = query.stderr(Stdio::null()).output();
    let installed = output.map(|output| output.stdout).unwrap_or_default();
    let installed = String::from_utf8_lossy(&installed);
    let installed: BTreeSet<_> = installed
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .collect();
    packages
        .iter()
        .copied()
        .filter(|package| !installed.contains(package))
        .collect()
}

/// Downloads `packages` and unpacks them into `directory`; nothing is installed, no root is needed.
pub(super) fn unpack(packages: &[&str], directory: &Path) -> Result<()> {
    let what = packages.last().copied().unwrap_or_default(); // apt lists dependencies first
    if !is_debian() {
        bail!("this machine is not Debian 12 or 13, so {what} cannot be fetched");
    }
    if !packages.iter().all(|package| is_known(package)) {
        require_root()?;
        get_to_know(&packages.iter().copied().collect())?;
    }
    eprintln!("set-up unpacks {} into {}", packages.join(" "), directory.display());
    let step = Step::start(match packages.len() {
        1 => format!("fetching {what}"),
        count => format!("fetching {what} and {} that it depends on", count - 1),
    });
    let result = download_and_unpack(packages, directory);
    step.end(if result.is_ok() { "done" } else { "failed" });
    result
}

/// `package` and what it depends on that is not installed.
pub(super) fn with_missing_dependencies(package: &str) -> Result<Vec<String>> {
    if !is_known(package) {
        require_root()?;
        get_to_know(&BTreeSet::from([package]))?;
    }
    let simulated =
        command::read(Command::new("apt-get").args(["install", "--simulate", "--no-install-recommends", package]))?;
    let names = simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

/// The packages whose name matches `pattern` (a regular expression of apt-cache), oldest lists first updated if none.
pub(super) fn search(pattern: &str) -> Result<Vec<String>> {
    let names = || -> Result<Vec<String>> {
        let found = command::read(Command::new("apt-cache").args(["search", "--names-only", pattern]))?;
        Ok(found
            .lines()
            .filter_map(|line| line.split(' ').next())
            .map(str::to_owned)
            .collect())
    };
    let found = names()?;
    if !found.is_empty() {
        return Ok(found);
    }
    require_root()?;
    command::fetch(update)?;
    names()
}

fn download_and_unpack(packages: &[&str], directory: &Path) -> Result<()> {
    // unpacked beside its place and renamed: a folder that is there is complete
    let partial = directory.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial).with_context(|| partial.display().to_string())?;
    command::fetch(|| {
        command::read(
            Command::new("apt-get")
                .args(["download", "--quiet", "-o", "APT::Sandbox::User=root"])
                .args(packages)
                .current_dir(&partial),
        )
    })?;
    let archives: Vec<PathBuf> = fs::read_dir(&partial)?.flatten().map(|entry| entry.path()).collect();
    for archive in archives {
        command::read(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&partial))?;
        fs::remove_file(&archive)?;
    }
    fs::rename(&partial, directory).with_context(|| directory.display().to_string())
}

fn apt_install(packages: &BTreeSet<&str>) -> Result<()> {
    command::read(command::as_root("/bin/sh").args(["-c", INSTALL, "sh"]).args(packages)).map(drop)
}

fn update() -> Result<()> {
    let step = Step::start("updating apt's package lists");
    let result = command::read(command::as_root("apt-get").args(["update", "--quiet"]));
    step.end(if result.is_ok() { "done" } else { "failed" });
    result.map(drop)
}

/// Asks for the password now, while nothing draws on the terminal.
fn require_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    if !command::can_be_root() {
        bail!("apt-get needs root: run this as root, or install sudo");
    }
    command::run(Command::new("sudo").arg("--validate"))
}

/// Updates the lists; a list that could not be fetched is no failure of apt's.
fn get_to_know(packages: &BTreeSet<&str>) -> Result<()> {
    command::fetch(|| {
        update()?;
        match packages.iter().find(|package| !is_known(package)) {
            Some(package) => bail!("apt knows no package {package}: is the bookworm-security suite among its sources?"),
            None => Ok(()),
        }
    })
}

fn is_known(package: &str) -> bool {
    command::read(Command::new("apt-cache").args(["policy", package]))
        .is_ok_and(|policy| policy.contains("Candidate: ") && !policy.contains("Candidate: (none)"))
}

fn is_debian() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let has = |line| release.lines().any(|it| it == line);
    let known_hardware = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    has("ID=debian") && (has("VERSION_ID=\"12\"") || has("VERSION_ID=\"13\"")) && known_hardware
}
