//! The XDP guard on uplinks, for `--uplink-mode xdp`: native where the driver has it, else generic. Its links are
//! pinned at `xdp/<ifindex>`.

use std::{fs, io};

use aya::{
    Ebpf,
    programs::{
        Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::XdpLink,
    },
};

use super::{Datapath, Error, Result, attach, loaded, make_folder, program_error};

pub(super) const GUARD: &str = "guard_uplink";
const FOLDER: &str = "xdp";

pub(super) fn guard(ebpf: &mut Ebpf) -> Result<&mut Xdp> {
    let program = ebpf.program_mut(GUARD).ok_or(Error::Missing(GUARD))?;
    let program: &mut Xdp = program.try_into().map_err(program_error(GUARD))?;
    loaded(program.load(), GUARD)?;
    Ok(program)
}

impl Datapath {
    /// Puts the guard on a device of the calling thread's namespace, or replaces an earlier agent's.
    pub fn guard(&mut self, index: u32) -> Result<()> {
        let folder = self.bpffs.join(FOLDER);
        make_folder(&folder)?;
        let pin = folder.join(index.to_string());
        let program = guard(&mut self.ebpf)?;
        if let Ok(pinned) = PinnedLink::from_pin(&pin)
            && let Ok(link) = XdpLink::try_from(FdLink::from(pinned))
        {
            if let Ok(id) = program.attach_to_link(link) {
                drop(program.take_link(id).map_err(program_error(GUARD))?); // the pin keeps it
                return Ok(());
            }
            attach::remove(&pin)?;
        }
        let id = program
            .attach_to_if_index(index, XdpMode::Driver)
            .or_else(|_| program.attach_to_if_index(index, XdpMode::Skb))
            .map_err(program_error(GUARD))?;
        let link = program.take_link(id).map_err(program_error(GUARD))?;
        let failed = |source: io::Error| Error::Pin {
            path: pin.clone(),
            source: Box::new(source),
        };
        let link = FdLink::try_from(link).map_err(|error| failed(io::Error::other(error)))?;
        link.pin(&pin).map_err(|error| failed(io::Error::other(error)))?;
        Ok(())
    }

    /// Takes it off again; that it is not there is no error.
    pub fn unguard(&mut self, index: u32) -> Result<()> {
        attach::remove(&self.bpffs.join(FOLDER).join(index.to_string()))
    }

    /// Indexes of the devices that have it.
    pub fn guarded(&self) -> Result<Vec<u32>> {
        let folder = self.bpffs.join(FOLDER);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            result => result.map_err(Error::io(&folder))?,
        };
        let names = entries.flatten().map(|entry| entry.file_name());
        Ok(names.filter_map(|name| name.to_str()?.parse().ok()).collect())
    }
}
