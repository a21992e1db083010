//! `netswitch exec`: another process in a running container.

use clap::Args;

use super::failure::{self, Failure};
use super::{options, print};
use crate::api::{Request, Response};
use crate::client::Client;
use crate::shim::{self, protocol};

/// Run a command in a running container
#[derive(Debug, Args)]
pub struct Exec {
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = options::variable)]
    env: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string", default_value = "")]
    user: String,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string", default_value = "")]
    workdir: String,
    /// The container, then the command: one list, since the first word ends the options.
    #[arg(
        value_name = "CONTAINER COMMAND [ARG...]",
        required = true,
        num_args = 2..,
        trailing_var_arg = true
    )]
    words: Vec<String>,
}

impl Exec {
    /// The container, and what to run in it.
    pub fn process(self) -> (String, protocol::Exec) {
        let mut words = self.words.into_iter();
        let container = words.next().unwrap_or_default();
        // `exec x -- command`: as with Docker, the dashes are not part of the command.
        let mut words = words.peekable();
        words.next_if(|word| word == "--");
        let process = protocol::Exec {
            command: words.collect(),
            environment: options::variables(self.env),
            directory: Some(self.workdir).filter(|directory| !directory.is_empty()),
            user: Some(self.user).filter(|user| !user.is_empty()),
            terminal: self.tty,
            interactive: self.interactive,
        };
        (container, process)
    }

    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let (container, process) = self.process();
        let request = Request::ContainerExec {
            container: container.clone(),
        };
        let answer = client.ask(&request);
        let Response::Shim { socket, .. } = answer.map_err(|error| failure::named(error, "container", &container))?
        else {
            return Err(Failure::unexpected());
        };
        match shim::client::exec(&socket, process) {
            Ok(exit_code) => failure::process(exit_code),
            Err(shim::Error::Failed { exit_code, message }) => {
                print::complain(&message);
                failure::process(exit_code)
            }
            Err(error) => Err(Failure::new(error.to_string())),
        }
    }
}
