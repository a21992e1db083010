//! The socket hooks, on a cgroup, and the relay's, on the host's network namespace. Their links are pinned
//! at `sockets/<program>`.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use aya::{
    Ebpf,
    maps::SockMap,
    programs::{CgroupAttachMode, CgroupSock, CgroupSockAddr, ProgramError, SkLookup, links::FdLink},
};

use super::{Datapath, Error, Result, make_folder, program_error, take};

/// One for each kind of call.
const HOOKS: [&str; 10] = [
    "connect4",
    "connect6",
    "sendmsg4",
    "sendmsg6",
    "recvmsg4",
    "recvmsg6",
    "getpeername4",
    "getpeername6",
    "bind4",
    "bind6",
];
/// Where a socket is made.
const CREATE: &str = "create";
const RELAY: &str = "relay";
const FOLDER: &str = "sockets";

pub(super) fn load(ebpf: &mut Ebpf) -> Result<()> {
    for name in HOOKS {
        hook(ebpf, name)?.load().map_err(program_error(name))?;
    }
    create(ebpf)?.load().map_err(program_error(CREATE))?;
    relay(ebpf)?.load().map_err(program_error(RELAY))
}

impl Datapath {
    /// Puts the socket hooks on a cgroup (of version 2) and the relay's on the calling thread's network
    /// namespace. Those of an earlier agent go once the new ones are there: what one has translated, the
    /// other leaves alone.
    pub fn attach_sockets(&mut self, cgroup: &Path) -> Result<()> {
        let folder = self.bpffs.join(FOLDER);
        make_folder(&folder)?;
        let cgroup = File::open(cgroup).map_err(Error::io(cgroup))?;
        for name in HOOKS {
            let program = hook(&mut self.ebpf, name)?;
            let link = program
                .attach(&cgroup, CgroupAttachMode::Single)
                .and_then(|id| program.take_link(id))
                .and_then(descriptor)
                .map_err(program_error(name))?;
            pin(&folder, name, link)?;
        }
        let program = create(&mut self.ebpf)?;
        let link = program
            .attach(&cgroup, CgroupAttachMode::Single)
            .and_then(|id| program.take_link(id))
            .and_then(descriptor)
            .map_err(program_error(CREATE))?;
        pin(&folder, CREATE, link)?;
        let path = Path::new("/proc/thread-self/ns/net");
        let namespace = File::open(path).map_err(Error::io(path))?;
        let program = relay(&mut self.ebpf)?;
        let link = program
            .attach(&namespace)
            .and_then(|id| program.take_link(id))
            .map_err(program_error(RELAY))?;
        pin(&folder, RELAY, link.into())
    }

    /// The relay's sockets, by [`netswitch_common::socket::relay`].
    pub fn relays(&mut self) -> Result<SockMap<aya::maps::MapData>> {
        take(&mut self.ebpf, "RELAYS")
    }
}

/// A link that the kernel keeps as a descriptor.
fn descriptor<L>(link: L) -> Result<FdLink, ProgramError>
where
    FdLink: TryFrom<L, Error: std::error::Error + Send + Sync + 'static>,
{
    Ok(FdLink::try_from(link).map_err(io::Error::other)?)
}

/// Under its name, in place of what was there.
fn pin(folder: &Path, name: &str, link: FdLink) -> Result<()> {
    let (path, fresh) = (folder.join(name), folder.join(format!("{name}-new")));
    let _ = fs::remove_file(&fresh); // of an agent that died here
    link.pin(&fresh).map_err(|source| Error::Pin {
        path: fresh.clone(),
        source: Box::new(source),
    })?;
    fs::rename(&fresh, &path).map_err(Error::io(&path))
}

fn hook<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut CgroupSockAddr> {
    let program = ebpf.program_mut(name).ok_or(Error::Missing(name))?;
    program.try_into().map_err(program_error(name))
}

fn create(ebpf: &mut Ebpf) -> Result<&mut CgroupSock> {
    let program = ebpf.program_mut(CREATE).ok_or(Error::Missing(CREATE))?;
    program.try_into().map_err(program_error(CREATE))
}

fn relay(ebpf: &mut Ebpf) -> Result<&mut SkLookup> {
    let program = ebpf.program_mut(RELAY).ok_or(Error::Missing(RELAY))?;
    program.try_into().map_err(program_error(RELAY))
}
