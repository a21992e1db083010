//! A command line that makes no sense, told as Docker tells it.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

use super::help;

/// What to print instead of running a command, and the exit status.
#[derive(Debug, PartialEq, Eq)]
pub enum Instead {
    /// Something that was asked for.
    Out(String),
    Complain(String, u8),
}

/// `root` is the command before clap has added its own to it; `columns` those of the terminal.
#[expect(clippy::wildcard_enum_match_arm, reason = "clap's list of errors is open")]
pub fn explain(error: &clap::Error, root: &Command, arguments: &[OsString], columns: Option<usize>) -> Instead {
    let invalid = context(error, ContextKind::InvalidArg);
    let (command, path) = called(root, arguments, &invalid);
    let page = || help::page(command, &path, columns);
    let name = root.get_name();
    let bad_flag = |text: String| {
        let mut text = format!("{text}\nSee '{path} --help'.\n");
        if command.has_subcommands() {
            text = text + &page() + "\n";
        }
        Instead::Complain(text, 125)
    };
    let bad_count = || {
        let text = format!(
            "\"{path}\" {}.\nSee '{path} --help'.\n\n{}\n",
            wanted(command),
            help::synopsis(command, &path)
        );
        Instead::Complain(text, 1)
    };
    let words = || arguments.iter().filter_map(|word| word.to_str());
    let behind_dashes = words().skip_while(|word| *word != "--").any(|word| word == invalid);
    match error.kind() {
        ErrorKind::DisplayHelp => Instead::Out(page()),
        ErrorKind::DisplayVersion => Instead::Out(format!("{name} version {}\n", env!("CARGO_PKG_VERSION"))),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            Instead::Complain(page(), 0)
        }
        ErrorKind::UnknownArgument if behind_dashes => bad_count(),
        ErrorKind::UnknownArgument if invalid.starts_with("--") => {
            let flag = invalid.split('=').next().unwrap_or_default();
            bad_flag(format!("unknown flag: {flag}"))
        }
        ErrorKind::UnknownArgument if invalid.starts_with('-') => {
            let letter = invalid.trim_start_matches('-');
            bad_flag(format!("unknown shorthand flag: '{letter}' in -{letter}"))
        }
        ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument if command.has_subcommands() => {
            if words().any(|word| word == "--help") {
                return Instead::Out(page());
            }
            if path != name {
                return Instead::Complain(page(), 1);
            }
            let word = if invalid.is_empty() {
                context(error, ContextKind::InvalidSubcommand)
            } else {
                invalid
            };
            Instead::Complain(
                format!("{name}: '{word}' is not a {name} command.\nSee '{name} --help'\n"),
                1,
            )
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::NoEquals => {
            let Some(option) = option(command, root, &invalid) else {
                return bad_count();
            };
            match (context(error, ContextKind::InvalidValue).as_str(), error.source()) {
                ("", None) => bad_flag(format!("flag needs an argument: {}", as_typed(option, arguments))),
                (value, reason) => {
                    let reason = reason.map_or_else(|| error.kind().to_string(), ToString::to_string);
                    bad_flag(format!(
                        "invalid argument {value:?} for \"{}\" flag: {reason}",
                        spelled(option)
                    ))
                }
            }
        }
        ErrorKind::TooManyValues
        | ErrorKind::TooFewValues
        | ErrorKind::WrongNumberOfValues
        | ErrorKind::UnknownArgument
        | ErrorKind::MissingRequiredArgument => bad_count(),
        _ => bad_flag(error.to_string()),
    }
}

/// The command that the arguments call, as deep as they go before the one that is invalid.
fn called<'a>(root: &'a Command, arguments: &[OsString], invalid: &str) -> (&'a Command, String) {
    let mut command = root;
    let mut path = root.get_name().to_owned();
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next().filter(|word| *word != invalid) {
        if let Some(option) = word.strip_prefix("--") {
            // The one option before a verb whose value stands apart.
            let takes_next = root
                .get_opts()
                .any(|known| known.get_long() == Some(option) && !help::is_switch(known));
            if takes_next {
                words.next();
            }
        } else if !word.starts_with('-') {
            let Some(found) = command.find_subcommand(word) else {
                break;
            };
            command = found;
            path = path + " " + found.get_name();
        }
    }
    (command, path)
}

/// How many arguments a command wants, in Docker's words.
fn wanted(command: &Command) -> String {
    let (mut least, mut open) = (0, false);
    for positional in command.get_positionals() {
        let values = positional.get_num_args().unwrap_or_else(|| 1.into());
        least += if positional.is_required_set() {
            values.min_values().max(1)
        } else {
            0
        };
        open |= values.max_values() > values.min_values().max(1);
    }
    let arguments = if least == 1 { "argument" } else { "arguments" };
    match (least, open) {
        (0, _) => "accepts no arguments".to_owned(),
        (_, true) => format!("requires at least {least} {arguments}"),
        (_, false) => format!("requires exactly {least} {arguments}"),
    }
}

/// The option that clap writes as `--subnet <strings>`.
fn option<'a>(command: &'a Command, root: &'a Command, clap_name: &str) -> Option<&'a Arg> {
    let long = clap_name.strip_prefix("--")?.split([' ', '=', '[']).next()?;
    command
        .get_opts()
        .chain(root.get_opts())
        .find(|option| option.get_long() == Some(long))
}

/// `-f, --filter`
fn spelled(option: &Arg) -> String {
    let long = option.get_long().unwrap_or_default();
    option
        .get_short()
        .map_or_else(|| format!("--{long}"), |short| format!("-{short}, --{long}"))
}

/// `--workdir`, or `'w' in -w`: a value can be missing at the end of the line only.
fn as_typed(option: &Arg, arguments: &[OsString]) -> String {
    let last = arguments.last().and_then(|word| word.to_str()).unwrap_or_default();
    match option.get_short() {
        Some(short) if !last.starts_with("--") => format!("'{short}' in -{short}"),
        _ => format!("--{}", option.get_long().unwrap_or_default()),
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.first().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}
