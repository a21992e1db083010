//! The agent: start order, signals, and the one thread that handles one request at a time.
//!
//! `run` -> locks, store, kernel, maps, reconcile -> [`core::Core`] on its own thread, fed by
//! [`handle::AgentHandle`] -> `doors` on tokio. The agent is never on the packet path.

pub mod attachments;
mod backlog;
pub mod containers;
pub mod core;
pub mod dns;
pub mod doctor;
pub mod facts;
pub mod flows;
pub mod forwarding;
pub mod handle;
mod host_protocols;
mod ipsec;
pub mod links;
mod lock;
pub mod metrics;
pub mod monitor;
pub mod networks;
pub mod observer;
pub mod placeholders;
pub mod policy;
pub mod processes;
pub mod publish;
pub mod purge;
pub mod relay;
pub mod reserved_ports;
mod routing;
pub mod start;
mod starts;
mod taken;
pub mod uplinks;
pub mod wait;
pub mod watch;
pub mod why;

use std::io::IsTerminal as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::api::{AgentOptions, Directories};
use crate::doors;
use handle::AgentHandle;

/// The oldest kernel whose helpers and verifier the programs are written for.
const KERNEL_FLOOR: (u32, u32) = (6, 1);

/// Runs the agent in the foreground until SIGTERM or SIGINT. The data plane stays.
pub fn run(options: &AgentOptions) -> Result<()> {
    log_to_stderr();
    if !nix::unistd::Uid::effective().is_root() {
        bail!("netswitch agent must run as root");
    }
    let release = nix::sys::utsname::uname()
        .context("uname")?
        .release()
        .to_string_lossy()
        .into_owned();
    check_kernel(&release)?;
    if options.purge {
        return purge::purge(&options.directories);
    }
    let mut directories = options.directories.clone();
    for (directory, mode) in [(&mut directories.state, 0o711), (&mut directories.run, 0o755)] {
        make_directory(directory, mode)?;
        *directory = directory
            .canonicalize()
            .with_context(|| directory.display().to_string())?;
    }
    let _locks = [
        lock::Lock::take(&directories.state)?,
        lock::Lock::take(&directories.run)?,
    ];
    mount_bpffs(&directories.bpffs)?;

    let metrics = options.metrics.map(metrics::listen).transpose()?;

    placeholders::make_room();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let handle = start::start(options, &directories, runtime.handle())?;
    if let Some(listener) = metrics {
        metrics::serve(listener, handle.observer.clone(), runtime.handle())?;
    }
    runtime.block_on(serve(handle, &directories))?;
    tracing::info!("stopped; the data plane stays");
    Ok(())
}

/// `RUST_LOG` chooses; operators' events otherwise.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::level_filters::LevelFilter::INFO.into())
        .from_env_lossy();
    // a second agent in one process (tests) keeps the first one's
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .try_init();
}

async fn serve(handle: AgentHandle, directories: &Directories) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let socket = directories.socket();
    // a socket file without a listener is what a killed agent left; the lock is ours, so it is nobody's
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| socket.display().to_string());
        }
        _ => {}
    }
    let listener = UnixListener::bind(&socket).with_context(|| socket.display().to_string())?;
    open_to_group(&socket)?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(socket = %socket.display(), "ready");
    let leaving = handle.clone();
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        // answers that would never end
        leaving.monitor.close();
        leaving.stop_waiting();
    };
    doors::http::serve(listener, handle.clone(), stop)
        .await
        .context("HTTP door")?;
    handle.stop().await;
    std::fs::remove_file(&socket).with_context(|| socket.display().to_string())
}

/// Whose members may do here what root may, where there is such a group.
fn group() -> Option<u32> {
    let group = nix::unistd::Group::from_name("netswitch").ok().flatten();
    group.map(|group| group.gid.as_raw())
}

/// The socket is root's and, where it exists, the group's.
fn open_to_group(socket: &Path) -> Result<()> {
    let opened = match group() {
        Some(group) => crate::shim::open_to_group(socket, group, 0o660),
        None => std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)),
    };
    opened.context("owner and mode of the socket")
}

fn make_directory(path: &Path, mode: u32) -> Result<()> {
    std::fs::create_dir_all(path).with_context(|| path.display().to_string())?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).with_context(|| path.display().to_string())
}

/// Pins need a bpffs; one is mounted at /sys/fs/bpf where the system has not done it.
fn mount_bpffs(bpffs: &Path) -> Result<()> {
    let usual = PathBuf::from("/sys/fs/bpf");
    let is_bpffs = |path: &Path| {
        nix::sys::statfs::statfs(path).is_ok_and(|found| found.filesystem_type() == nix::sys::statfs::BPF_FS_MAGIC)
    };
    if bpffs.starts_with(&usual) && !is_bpffs(&usual) {
        nix::mount::mount(
            Some("bpf"),
            &usual,
            Some("bpf"),
            nix::mount::MsFlags::empty(),
            None::<&str>,
        )
        .context("mount of bpffs at /sys/fs/bpf")?;
    }
    let nearest = bpffs.ancestors().find(|path| path.exists()).unwrap_or(bpffs);
    if !is_bpffs(nearest) {
        bail!("{} is not on a bpf filesystem", bpffs.display());
    }
    Ok(())
}

fn check_kernel(release: &str) -> Result<()> {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < KERNEL_FLOOR {
        bail!(
            "kernel {release} is too old: netswitch needs {}.{}",
            KERNEL_FLOOR.0,
            KERNEL_FLOOR.1
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_kernel;

    #[test]
    fn kernels_before_the_floor_are_refused_by_name() {
        assert_eq!(
            check_kernel("5.10.0-28-amd64").unwrap_err().to_string(),
            "kernel 5.10.0-28-amd64 is too old: netswitch needs 6.1"
        );
        for release in ["6.1.0-18-cloud-amd64", "6.18.44", "7.3.4+deb13-cloud-amd64"] {
            assert!(check_kernel(release).is_ok(), "{release}");
        }
    }
}
