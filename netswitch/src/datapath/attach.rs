//! Attaching `from_endpoint`, `wrap_bare`, `from_uplink` and `to_uplink` so that they outlive the agent, and replacing them
//! without a gap.
//!
//! Endpoints' devices join a [`super::block`] (decision 40). Devices of the host's get a tcx link (6.6 and later), pinned at
//! `bare/<ifindex>`, `uplinks/<ifindex>` or `egress/<ifindex>`; below that a clsact filter of fixed priority and handle, and
//! the *program* pinned there instead, to know which devices have one. An endpoint has one of these, at `links/<ifindex>`,
//! from an earlier release, or if its device cannot join the block.

use std::{
    ffi::CStr,
    fs, io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use aya::programs::{
    LinkOrder, ProgramError, ProgramFd, SchedClassifier, TcAttachType,
    links::{FdLink, LinkError, PinnedLink},
    tc::{self, NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcHandle},
};

use super::{
    Datapath, EXPLAIN_ENDPOINT, EXPLAIN_UPLINK, Error, FROM_ENDPOINT, FROM_UPLINK, Result, TO_UPLINK, WRAP_BARE,
    program_error,
};

/// Of clsact filters; [`BEHIND`] of one that comes after another of ours. Of several filters of one priority the last one
/// added runs first.
const PRIORITY: u16 = 1;
const BEHIND: u16 = 2;

/// What is pinned for a device.
enum Pin {
    Nothing,
    Link(SchedClassifierLink),
    /// The mark of a clsact filter.
    Program,
}

/// On which devices a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A host-side veth, or a network's switch end.
    Endpoint,
    /// A device towards the world whose packets have no Ethernet headers, before [`Hook::Uplink`].
    BareUplink,
    /// A device towards the world.
    Uplink,
    /// Its other side: what the host sends there.
    UplinkEgress,
}

impl Hook {
    pub(super) const ALL: [Self; 4] = [Self::Endpoint, Self::BareUplink, Self::Uplink, Self::UplinkEgress];

    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Endpoint => FROM_ENDPOINT,
            Self::BareUplink => WRAP_BARE,
            Self::Uplink => FROM_UPLINK,
            Self::UplinkEgress => TO_UPLINK,
        }
    }

    /// The same stages without effects, where packets begin their way.
    pub(super) const fn explanation(self) -> Option<&'static str> {
        match self {
            Self::Endpoint => Some(EXPLAIN_ENDPOINT),
            Self::Uplink => Some(EXPLAIN_UPLINK),
            Self::BareUplink | Self::UplinkEgress => None,
        }
    }

    const fn side(self) -> TcAttachType {
        match self {
            Self::Endpoint | Self::BareUplink | Self::Uplink => TcAttachType::Ingress,
            Self::UplinkEgress => TcAttachType::Egress,
        }
    }

    /// Of its clsact filter.
    const fn handle(self) -> TcHandle {
        match self {
            Self::Endpoint | Self::Uplink | Self::UplinkEgress => TcHandle::new(0, 1),
            Self::BareUplink => TcHandle::new(0, 2),
        }
    }

    /// Folder of its pins.
    const fn folder(self) -> &'static str {
        match self {
            Self::Endpoint => "links",
            Self::BareUplink => "bare",
            Self::Uplink => "uplinks",
            Self::UplinkEgress => "egress",
        }
    }
}

impl Datapath {
    /// Puts the hook's program on its side of a device of the calling thread's namespace, before
    /// every other program, or replaces the one that it has from an earlier call.
    pub fn attach(&mut self, hook: Hook, device: &str, index: u32) -> Result<()> {
        let path = self.pin_of(hook, index);
        if hook == Hook::Endpoint && !path.exists() && self.join(index)? {
            return Ok(());
        }
        match Pin::at(&path)? {
            Pin::Nothing => {}
            Pin::Link(link) => {
                if replace(self.program_mut(hook)?, link).map_err(attach_error(device))? {
                    return Ok(());
                }
                remove(&path)?; // of a device that is gone, whose index this one has now
            }
            Pin::Program => remove(&path)?,
        }
        // the order has only the link's descriptor: the link stays open until the order is used
        let before = self.before(hook, index)?;
        let order = match &before {
            Some(link) => LinkOrder::after_link(link).map_err(pin_error(&path))?,
            None => LinkOrder::first(),
        };
        let order = TcAttachOptions::TcxOrder(order);
        let priority = self.priority(hook, index);
        let program = self.program_mut(hook)?;
        match program.attach_with_options(device, hook.side(), order) {
            Ok(id) => pin_link(program, id, &path).map_err(attach_error(device))?,
            Err(error) if errno(&error) == Some(libc::EINVAL) => {
                attach_clsact(program, hook, priority, device, &path)?;
            }
            Err(error) => return Err(attach_error(device)(error)),
        }
        Ok(())
    }

    /// Whether an endpoint's device is in the block afterwards. Not one that has a clsact qdisc of somebody else's.
    fn join(&self, index: u32) -> Result<bool> {
        match self.block.join(index, self.endpoint_program()?.as_fd()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.is_in_block(index),
            Err(error) => {
                tracing::debug!(%error, index, "the device gets a link of its own");
                Ok(false)
            }
        }
    }

    fn endpoint_program(&self) -> Result<&ProgramFd> {
        let program = self.program(FROM_ENDPOINT)?;
        program.fd().map_err(program_error(FROM_ENDPOINT))
    }

    fn is_in_block(&self, index: u32) -> Result<bool> {
        Ok(self.block.devices().map_err(Error::Block)?.contains(&index))
    }

    /// The tcx link that a hook's program comes after, if it is there: packets get their Ethernet header first.
    fn before(&self, hook: Hook, index: u32) -> Result<Option<SchedClassifierLink>> {
        match hook {
            Hook::Uplink => match Pin::at(&self.pin_of(Hook::BareUplink, index))? {
                Pin::Link(link) => Ok(Some(link)),
                Pin::Nothing | Pin::Program => Ok(None),
            },
            Hook::Endpoint | Hook::BareUplink | Hook::UplinkEgress => Ok(None),
        }
    }

    /// Of the hook's clsact filter on a device: packets get their Ethernet header first.
    fn priority(&self, hook: Hook, index: u32) -> u16 {
        if hook == Hook::Uplink && self.pin_of(Hook::BareUplink, index).exists() {
            BEHIND
        } else {
            PRIORITY
        }
    }

    /// Takes it off again. That the device is gone, or never had it, is no error.
    pub fn detach(&mut self, hook: Hook, index: u32) -> Result<()> {
        if hook == Hook::Endpoint && self.is_in_block(index)? {
            return self.block.leave(index).map_err(Error::Block);
        }
        let path = self.pin_of(hook, index);
        if let Pin::Program = Pin::at(&path)?
            && let Some(device) = name_of(index)
        {
            // dropping the link deletes the filter; of the two there is one
            for priority in [PRIORITY, BEHIND] {
                drop(SchedClassifierLink::attached(
                    &device,
                    hook.side(),
                    priority,
                    hook.handle(),
                    None,
                ));
            }
        }
        remove(&path)
    }

    /// Indexes of the devices that it was put on, some perhaps gone meanwhile.
    pub fn attached(&self, hook: Hook) -> Result<Vec<u32>> {
        let mut indexes = self.pinned(hook)?;
        if hook == Hook::Endpoint {
            indexes.extend(self.block.devices().map_err(Error::Block)?);
        }
        indexes.sort_unstable();
        Ok(indexes)
    }

    /// Those with a pin of their own.
    fn pinned(&self, hook: Hook) -> Result<Vec<u32>> {
        let folder = self.bpffs.join(hook.folder());
        let mut indexes = Vec::new();
        for entry in fs::read_dir(&folder).map_err(Error::io(&folder))? {
            let name = entry.map_err(Error::io(&folder))?.file_name();
            indexes.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(indexes)
    }

    pub(super) fn make_folders(bpffs: &Path) -> Result<()> {
        Hook::ALL
            .iter()
            .try_for_each(|hook| super::make_folder(&bpffs.join(hook.folder())))
    }

    /// This object's programs into every link of an earlier agent: between two packets.
    pub(super) fn replace_all(&mut self) -> Result<()> {
        if !self.block.devices().map_err(Error::Block)?.is_empty() {
            let program = self.endpoint_program()?.as_fd();
            self.block.replace(program).map_err(Error::Block)?;
        }
        for hook in Hook::ALL {
            for index in self.pinned(hook)? {
                let path = self.pin_of(hook, index);
                let priority = self.priority(hook, index);
                let program = self.program_mut(hook)?;
                let gone = match Pin::at(&path)? {
                    Pin::Nothing => false,
                    Pin::Link(link) => !replace(program, link).map_err(attach_error(&index.to_string()))?,
                    Pin::Program => match name_of(index) {
                        Some(device) => {
                            remove(&path)?;
                            attach_clsact(program, hook, priority, &device, &path)?;
                            false
                        }
                        None => true,
                    },
                };
                if gone {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }

    fn pin_of(&self, hook: Hook, index: u32) -> PathBuf {
        self.bpffs.join(hook.folder()).join(index.to_string())
    }

    /// Into the kernel, for a hook that not every mode has.
    pub fn load(&mut self, hook: Hook) -> Result<()> {
        self.program_mut(hook).map(drop)
    }

    fn program_mut(&mut self, hook: Hook) -> Result<&mut SchedClassifier> {
        let name = hook.program();
        let program = super::program_mut(&mut self.ebpf, name)?;
        super::loaded(program.load(), name)?;
        Ok(program)
    }
}

impl Pin {
    fn at(path: &Path) -> Result<Self> {
        match PinnedLink::from_pin(path) {
            Ok(pinned) => match SchedClassifierLink::try_from(FdLink::from(pinned)) {
                Ok(link) => Ok(Self::Link(link)),
                Err(_) => Ok(Self::Program),
            },
            Err(LinkError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::Nothing)
            }
            Err(error) => Err(pin_error(path)(error)),
        }
    }
}

/// `false` if the device of the link is gone.
fn replace(hook: &mut SchedClassifier, link: SchedClassifierLink) -> Result<bool, ProgramError> {
    match hook.attach_to_link(link) {
        Ok(id) => {
            drop(FdLink::try_from(hook.take_link(id)?)); // the pin keeps it
            Ok(true)
        }
        Err(error) if errno(&error) == Some(libc::ENOLINK) => Ok(false),
        Err(error) => Err(error),
    }
}

fn pin_link(hook: &mut SchedClassifier, id: SchedClassifierLinkId, path: &Path) -> Result<(), ProgramError> {
    let link = FdLink::try_from(hook.take_link(id)?).map_err(io::Error::other)?;
    link.pin(path).map_err(io::Error::other)?;
    Ok(())
}

/// Adds the filter, or replaces the program in the one that is there.
fn attach_clsact(program: &mut SchedClassifier, hook: Hook, priority: u16, device: &str, path: &Path) -> Result<()> {
    let _ = tc::qdisc_add_clsact(device); // fails if it is there
    let options = NlOptions {
        priority,
        handle: hook.handle(),
        classid: None,
    };
    let attached = program
        .attach_with_options(device, hook.side(), TcAttachOptions::Netlink(options))
        .or_else(|_| {
            let link = SchedClassifierLink::attached(device, hook.side(), priority, hook.handle(), None)
                .map_err(ProgramError::IOError)?;
            program.attach_to_link(link)
        })
        .and_then(|id| program.take_link(id));
    std::mem::forget(attached.map_err(attach_error(device))?); // dropping it would delete the filter
    program.pin(path).map_err(|error| Error::Pin {
        path: path.to_owned(),
        source: Box::new(error),
    })
}

fn pin_error(path: &Path) -> impl FnOnce(LinkError) -> Error {
    let path = path.to_owned();
    move |source| Error::Pin {
        path,
        source: Box::new(source),
    }
}

fn attach_error(device: &str) -> impl FnOnce(ProgramError) -> Error {
    let device = device.to_owned();
    move |source| Error::Attach {
        device,
        source: Box::new(source),
    }
}

fn errno(error: &ProgramError) -> Option<i32> {
    if let ProgramError::SyscallError(error) = error {
        error.io_error.raw_os_error()
    } else {
        None
    }
}

pub(super) fn remove(pin: &Path) -> Result<()> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io(pin)(error)),
        _ => Ok(()),
    }
}

/// The name of a device of the calling thread's namespace.
fn name_of(index: u32) -> Option<String> {
    let mut name = [0; libc::IF_NAMESIZE];
    // SAFETY: the buffer has the size that the function wants
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if found.is_null() {
        return None;
    }
    // SAFETY: on success it holds a NUL-terminated name
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    Some(name.to_string_lossy().into_owned())
}
