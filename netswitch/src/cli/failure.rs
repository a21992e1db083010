//! Why a command ended with a status other than 0.

use super::template::TemplateError;
use crate::api::{Error, ErrorKind};
use crate::client::ClientError;

/// Text for standard error, and the exit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Empty: everything has been said.
    pub message: String,
    pub status: u8,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: 1,
        }
    }

    /// An exit status that needs no words, such as a command's own.
    pub fn status(status: u8) -> Self {
        Self {
            message: String::new(),
            status,
        }
    }

    /// The answer makes no sense for the request.
    pub fn unexpected() -> Self {
        Self::new("the agent answered something else: is it of another version?")
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        ClientError::Agent(error).into()
    }
}

impl From<TemplateError> for Failure {
    fn from(error: TemplateError) -> Self {
        Self::new(error.to_string())
    }
}

/// `Error: No such network: x`: how Docker's client words a missing object where it names one itself.
pub fn named(error: ClientError, kind: &str, name: &str) -> Failure {
    if missing(&error) {
        Failure::new(format!("Error: No such {kind}: {name}"))
    } else {
        error.into()
    }
}

/// Whether the agent knows nothing of that name.
pub fn missing(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Agent(Error {
            kind: ErrorKind::NotFound,
            ..
        })
    )
}

/// Exit status of a process, as far as a status goes.
pub fn process(exit_code: i32) -> Result<(), Failure> {
    match exit_code {
        0 => Ok(()),
        code => Err(Failure::status(u8::try_from(code & 0xff).unwrap_or(u8::MAX))),
    }
}
