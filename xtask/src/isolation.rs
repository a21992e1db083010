//! `cargo xtask isolation`: records in `docs/isolation.md` what Debian's Docker Engine lets pass. The page's other
//! columns are for hands to write and for `cargo xtask test` to prove.

use anyhow::Result;

use crate::command;
use crate::setup::{self, Need};

pub(crate) fn run() -> Result<()> {
    setup::ensure(&[Need::Ebpf, Need::Host, Need::Shell, Need::Traffic, Need::Inspect])?;
    let engine = setup::docker_engine()?;
    command::run(command::cargo().args(["build", "--package", "tests", "--example", "isolation"]))?;
    command::run(command::as_root(crate::place::binary("examples/isolation", false)).arg(engine))
}
