//! The command line: arguments to a request, the answer to what is printed.

pub mod agent;
pub mod attach;
pub mod doctor;
pub mod exec;
pub mod failure;
pub mod flows;
pub mod help;
pub mod inspect;
pub mod interim;
pub mod interrupt;
pub mod logs;
pub mod monitor;
pub mod network;
pub mod options;
pub mod pcap;
pub mod policy;
pub mod print;
pub mod ps;
pub mod publish;
pub mod rm;
pub mod run;
pub mod shim;
pub mod start;
pub mod stats;
pub mod stop;
pub mod template;
pub mod top;
pub mod update;
pub mod usage;
pub mod version;
pub mod wait;
pub mod why;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Command, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::{failure::Failure, usage::Instead};
use crate::api::{Request, Response};
use crate::client::Client;

/// A switch for containers, in eBPF
#[derive(Debug, Parser)]
#[command(name = "netswitch", version, disable_version_flag = true)]
pub struct Arguments {
    /// Socket of the agent (default "/run/netswitch/api.sock")
    #[arg(
        long,
        global = true,
        env = "NETSWITCH_SOCKET",
        default_value = "/run/netswitch/api.sock",
        value_name = "string"
    )]
    pub socket: PathBuf,
    /// Print version information and quit
    #[arg(short, long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    #[command(subcommand)]
    Network(network::Verb),
    #[command(subcommand)]
    Policy(policy::Verb),
    Run(Box<run::Run>),
    Start(start::Start),
    Stop(stop::Stop),
    Exec(exec::Exec),
    Ps(ps::Ps),
    Inspect(inspect::Inspect),
    Logs(logs::Logs),
    Rm(rm::Rm),
    Update(update::Update),
    Attach(attach::Attach),
    Detach(attach::Detach),
    Port(publish::Port),
    Publish(publish::Publish),
    Unpublish(publish::Unpublish),
    Flows(flows::Flows),
    Monitor(monitor::Monitor),
    Pcap(pcap::Pcap),
    Stats(stats::Stats),
    Top(top::Top),
    Wait(wait::Wait),
    Why(why::Why),
    Doctor(doctor::Doctor),
    Version(version::Version),
    Agent(agent::Agent),
    Interim(interim::Interim),
    Shim(shim::Shim),
}

/// Asks the same of containers, one after the other as Docker does: what can be done is, and named by a line.
fn each(client: &Client, containers: Vec<String>, request: impl Fn(String) -> Request) -> Result<(), Failure> {
    let mut errors = Vec::new();
    for container in containers {
        match client.ask(&request(container.clone())) {
            Ok(_) => print::line(&container),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(errors.join("\n")))
    }
}

/// Asks for something new, and prints its id.
fn make(client: &Client, request: &Request) -> Result<(), Failure> {
    let Response::Created { id, warnings } = client.ask(request)? else {
        return Err(Failure::unexpected());
    };
    print::warnings(&warnings);
    print::line(&id);
    Ok(())
}

/// The whole program: exit status as Docker's client gives it.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let arguments = match parse(arguments, columns()) {
        Ok(arguments) => arguments,
        Err(Instead::Out(text)) => {
            print::text(&text);
            return ExitCode::SUCCESS;
        }
        Err(Instead::Complain(text, status)) => {
            print::complain_text(&text);
            return status.into();
        }
    };
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { message, status }) => {
            if !message.is_empty() {
                print::complain(&message);
            }
            status.into()
        }
    }
}

/// Reads a command line; what is wrong with it comes back in Docker's words, help as wide as `columns`.
pub fn parse(arguments: &[OsString], columns: Option<usize>) -> Result<Arguments, Instead> {
    command()
        .try_get_matches_from(arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .map_err(|error| usage::explain(&error, &command(), arguments, columns))
}

impl Arguments {
    fn run(self) -> Result<(), Failure> {
        let client = Client::new(self.socket);
        match self.verb {
            Verb::Network(verb) => verb.run(&client),
            Verb::Policy(verb) => verb.run(&client),
            Verb::Run(verb) => verb.run(&client),
            Verb::Start(verb) => verb.run(&client),
            Verb::Stop(verb) => verb.run(&client),
            Verb::Exec(verb) => verb.run(&client),
            Verb::Ps(verb) => verb.run(&client),
            Verb::Inspect(verb) => verb.run(&client),
            Verb::Logs(verb) => verb.run(&client),
            Verb::Rm(verb) => verb.run(&client),
            Verb::Update(verb) => verb.run(&client),
            Verb::Attach(verb) => verb.run(&client),
            Verb::Detach(verb) => verb.run(&client),
            Verb::Port(verb) => verb.run(&client),
            Verb::Publish(verb) => verb.run(&client),
            Verb::Unpublish(verb) => verb.run(&client),
            Verb::Flows(verb) => verb.run(&client),
            Verb::Monitor(verb) => verb.run(&client),
            Verb::Pcap(verb) => verb.run(&client),
            Verb::Stats(verb) => verb.run(&client),
            Verb::Top(verb) => verb.run(&client),
            Verb::Wait(verb) => verb.run(&client),
            Verb::Why(verb) => verb.run(&client),
            Verb::Doctor(verb) => verb.run(&client),
            Verb::Version(verb) => verb.run(&client),
            Verb::Agent(verb) => verb.run(),
            Verb::Interim(verb) => verb.run(),
            Verb::Shim(verb) => verb.run(),
        }
    }
}

/// The command tree, bent to Docker's habits.
fn command() -> Command {
    as_docker(Arguments::command())
}

/// Switches take `=false`, a repeated option's last value wins, an option's value may begin with a
/// hyphen, and `-h` is help where it is nothing else.
fn as_docker(command: Command) -> Command {
    let mut help = Arg::new("help").long("help").action(ArgAction::Help).hide(true);
    if command
        .get_arguments()
        .all(|argument| argument.get_short() != Some('h'))
    {
        help = help.short('h');
    }
    command
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
        .mut_args(|arg| {
            if matches!(arg.get_action(), ArgAction::SetTrue) {
                arg.action(ArgAction::Set)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .default_value("false")
                    .value_parser(options::boolean)
            } else if arg.is_positional() || !arg.get_action().takes_values() {
                arg
            } else {
                arg.allow_hyphen_values(true)
            }
        })
        .arg(help)
        .mut_subcommands(as_docker)
}

/// Of the terminal, if there is one.
fn columns() -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one winsize, which `size` is, and nothing else.
    let result = unsafe { libc::ioctl(libc::STDIN_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

#[cfg(test)]
mod tests;
