//! The limit of answering at a veth: `netswitch-ebpf/src/bin/echo.rs`.

use anyhow::{Context, Result};
use aya::Ebpf;
use aya::programs::{SchedClassifier, TcAttachType};
use toolchain::build::{self, ECHO};

use crate::place;
use crate::world::namespace::Namespace;

/// Goes off the device with this.
pub struct Echo {
    _ebpf: Ebpf,
}

impl Echo {
    /// At the ingress of `device`.
    pub fn attach(namespace: &Namespace, device: &str) -> Result<Self> {
        let object = build::place(&place::target(), ECHO);
        let mut ebpf = Ebpf::load_file(&object).with_context(|| format!("load {}", object.display()))?;
        let program: &mut SchedClassifier = ebpf.program_mut("echo").context("no program echo")?.try_into()?;
        program.load()?;
        namespace.inside(|| {
            program.attach(device, TcAttachType::Ingress)?;
            Ok(())
        })?;
        Ok(Self { _ebpf: ebpf })
    }
}
