//! How the eBPF programs are built: which compiler and linker, with which flags, what the result must not contain,
//! and what it takes of the stack. Shared by `netswitch/build.rs` and `cargo xtask`; the standard library only, so that a bare machine
//! compiles it in a second.

pub mod build;
pub mod detect;
mod elf;
pub mod script;
pub mod stack;

use std::fmt::{self, Display, Formatter};
use std::path::Path;

/// Why there is no eBPF object.
#[derive(Debug)]
pub enum Error {
    /// A tool that `cargo xtask setup` installs is not there.
    NotSetUp(&'static str),
    /// The tools are there and refuse; the text is theirs.
    Failed(String),
}

impl Display for Error {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSetUp(missing) => write!(
                formatter,
                "the eBPF programs need {missing}, which this machine lacks: run `cargo xtask setup`"
            ),
            Self::Failed(text) => formatter.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

/// Puts the path into an error of the operating system.
fn at(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |error| Error::Failed(format!("{}: {error}", path.display()))
}
