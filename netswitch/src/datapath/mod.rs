//! The data path as the agent sees it: programs and maps, loaded, pinned, replaced without a gap.
//!
//! Below `<bpffs>`: `v<ABI version>/<MAP>`, `links/<ifindex>`, `uplinks/<ifindex>` and `egress/<ifindex>`. All outlive the agent.

mod array;
mod attach;
mod batch;
mod block;
mod convert;
mod counters;
mod dump;
mod events;
mod flows;
mod halves;
mod inward;
mod ipsec;
mod layout;
mod leash;
mod log;
mod names;
mod policy;
mod prefixes;
mod probe;
mod raw;
mod routing;
mod run;
mod sockets;
mod tables;
mod upgrade;
mod xdp;

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::MapError,
    programs::{ProgramError, SchedClassifier},
    util::KernelVersion,
};

pub use attach::Hook;
pub use batch::{Sizes, read_all};
pub use counters::Counters;
pub use events::Events;
pub use flows::{Flows, now};
pub use layout::{Layout, MAPS};
pub use leash::Leashes;
pub use raw::RawMap;
pub use run::Ran;
pub use tables::Tables;
use tables::take;

/// The eBPF object, built by `build.rs`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/netswitch-bpf"));

const FROM_ENDPOINT: &str = "from_endpoint";
const FROM_UPLINK: &str = "from_uplink";
const WRAP_BARE: &str = "wrap_bare";
const TO_UPLINK: &str = "to_uplink";
const EXPLAIN_ENDPOINT: &str = "explain_endpoint";
const EXPLAIN_UPLINK: &str = "explain_uplink";

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("map {map} is a {found}, wanted a {wanted}; left as it is")]
    Layout { map: String, found: Layout, wanted: Layout },
    #[error("map {map} of version {from} cannot be carried over: it is a {found}, wanted a {wanted}")]
    NoConversion {
        map: String,
        from: u32,
        found: Layout,
        wanted: Layout,
    },
    #[error(
        "{folder} is of version {newer}, newer than this agent's {version}: start the newer agent, or purge with it; left as it is"
    )]
    Newer { folder: String, newer: u32, version: u32 },
    #[error("map {map}: {source}")]
    Map { map: String, source: MapError },
    #[error("a leash has learnt as many addresses as it may")]
    LeashFull,
    #[error("map {map} has no entry {key}")]
    OutOfRange { map: &'static str, key: u32 },
    #[error("eBPF object: {0}")]
    Load(#[source] Box<aya::EbpfError>),
    #[error("eBPF object has no {0}")]
    Missing(&'static str),
    #[error("program {program}: {source}")]
    Program {
        program: &'static str,
        source: Box<ProgramError>,
    },
    #[error("device {device}: {source}")]
    Attach { device: String, source: Box<ProgramError> },
    #[error("endpoints' devices: {0}")]
    Block(#[source] io::Error),
    #[error("pin {path}: {source}")]
    Pin {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("device {0}: its index is not known")]
    NoIndex(String),
    #[error("{0}")]
    Log(String),
}

impl Error {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    fn map(map: &'static str) -> impl FnOnce(MapError) -> Self {
        move |source| Self::Map {
            map: map.to_owned(),
            source,
        }
    }
}

/// Where and how to load.
#[derive(Clone, Debug)]
pub struct Options {
    /// A folder on a mounted bpffs, made if absent.
    pub bpffs: PathBuf,
    /// [`netswitch_common::ABI_VERSION`], but for tests of an upgrade.
    pub abi_version: u32,
    /// How much the programs log: 0 nothing (and then it costs nothing), 4 every drop.
    pub log_level: u8,
}

/// Loaded programs and open maps. Dropping it leaves everything in the kernel as it is.
pub struct Datapath {
    ebpf: Ebpf,
    tables: Tables,
    log: Option<log::Log>,
    bpffs: PathBuf,
    block: block::Block,
    /// Where the maps are pinned.
    folder: PathBuf,
    /// [`Datapath::can_ask_tables`].
    can_ask_tables: bool,
}

impl Datapath {
    /// Takes over what is pinned or makes it, and puts this object's programs into every pinned link.
    ///
    /// "The host" is the network namespace of the calling thread.
    pub fn open(options: &Options) -> Result<Self> {
        make_folder(&options.bpffs)?;
        Self::make_folders(&options.bpffs)?;
        let mut transition = upgrade::prepare(&options.bpffs, options.abi_version)?;
        let mut ebpf = load(transition.folder(), options.log_level)?;
        let log = match options.log_level {
            0 => None,
            _ => Some(log::Log::open(&mut ebpf)?),
        };
        let mut datapath = Self {
            tables: Tables::open(&mut ebpf)?,
            ebpf,
            log,
            bpffs: options.bpffs.clone(),
            block: block::Block::open(&options.bpffs).map_err(Error::Block)?,
            folder: transition.target().to_owned(),
            can_ask_tables: probe::can_ask_tables(),
        };
        transition.copy()?;
        datapath.tables.fill_low_endpoints()?;
        datapath.tables.fill_inward(&Flows::open(transition.folder())?)?;
        datapath.replace_all()?;
        transition.finish()?;
        Ok(datapath)
    }

    pub fn tables(&mut self) -> &mut Tables {
        &mut self.tables
    }

    /// Another handle, for another thread.
    pub fn flows(&self) -> Result<Flows> {
        Flows::open(&self.folder)
    }

    /// Another handle, for another thread.
    pub fn counters(&self) -> Result<Counters> {
        Counters::open(&self.folder)
    }

    /// Whether `bpf_fib_lookup` can be asked about one table (since 6.5).
    pub fn can_ask_tables(&self) -> bool {
        self.can_ask_tables
    }

    /// Whether the programs log at all.
    pub fn is_logging(&self) -> bool {
        self.log.is_some()
    }

    /// Passes on what the programs have logged since the last call.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// Removes every pin and folder. Devices lose their programs, the maps their entries.
    pub fn purge(bpffs: &Path) -> Result<()> {
        match fs::remove_dir_all(bpffs) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(bpffs)(error)),
            _ => Ok(()),
        }
    }

    fn program(&self, name: &'static str) -> Result<&SchedClassifier> {
        let program = self.ebpf.program(name).ok_or(Error::Missing(name))?;
        program.try_into().map_err(program_error(name))
    }
}

fn program_mut<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier> {
    let program = ebpf.program_mut(name).ok_or(Error::Missing(name))?;
    program.try_into().map_err(program_error(name))
}

fn program_error(program: &'static str) -> impl FnOnce(ProgramError) -> Error {
    move |source| Error::Program {
        program,
        source: Box::new(source),
    }
}

/// Whether a packet that is redirected to a peer becomes one for this host: Linux 6.15 scrubs it. A test run does not
/// carry redirects out, so no probe can tell. A stable kernel that does the same is told to do it twice.
fn kernel_sets_packet_type() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 15, 0))
}

/// The first and, in the upper half, the last port that the kernel chooses for sockets; 0 where it does not say.
fn ephemeral_ports() -> u32 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = range.split_whitespace().map(str::parse::<u16>);
    match (ports.next(), ports.next()) {
        (Some(Ok(first)), Some(Ok(last))) => u32::from(first) | u32::from(last) << 16,
        _ => 0,
    }
}

/// Loads the object with its maps pinned in `folder`, those that are there already reused.
fn load(folder: &Path, log_level: u8) -> Result<Ebpf> {
    layout::check(folder)?;
    let knows_ipv6 = probe::checksum_knows_ipv6();
    let mut ebpf = EbpfLoader::new()
        .btf(None) // nothing is relocated against the kernel's types; parsing them takes 15 ms
        .default_map_pin_directory(folder)
        .map_pin_path("DIALLED", folder.join("DIALLED"))
        .override_global(aya_log::LEVEL, &log_level, true)
        .override_global("KERNEL_SETS_PACKET_TYPE", &u8::from(kernel_sets_packet_type()), true)
        .override_global("ROUTE_FLAGS", &probe::route_flags(), true)
        .override_global("EPHEMERAL", &ephemeral_ports(), true)
        .override_global(
            "FLAG_IPV6",
            &u64::from(if knows_ipv6 { probe::CHECKSUM_IPV6 } else { 0 }),
            true,
        )
        .load(OBJECT)
        .map_err(|error| Error::Load(Box::new(error)))?;
    // the rest is loaded once it is needed: the verifier takes its time
    for hook in [Hook::Endpoint, Hook::Uplink] {
        let name = hook.program();
        program_mut(&mut ebpf, name)?.load().map_err(program_error(name))?;
    }
    sockets::load(&mut ebpf)?;
    Ok(ebpf)
}

/// For what [`load`] has left out.
fn loaded(result: Result<(), ProgramError>, name: &'static str) -> Result<()> {
    match result {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        Err(error) => Err(program_error(name)(error)),
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(Error::io(folder))
}

#[cfg(test)]
mod tests;
