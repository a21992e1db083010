//! A process's environment, and where its command is found in it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Docker's own variables, then the user's, which win.
pub(super) fn environment(hostname: &str, terminal: bool, home: &str, users: &[String]) -> Vec<String> {
    let mut all = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if terminal {
        all.push("TERM=xterm".to_owned());
    }
    for variable in users.iter().filter(|variable| variable.contains('=')) {
        match all.iter_mut().find(|known| name(known) == name(variable)) {
            Some(known) => known.clone_from(variable),
            None => all.push(variable.clone()),
        }
    }
    if !all.iter().any(|variable| name(variable) == "HOME") {
        all.push(format!("HOME={home}"));
    }
    all
}

/// The file to execute; else Docker's words and exit code.
pub(super) fn find_command(command: &str, environment: &[String]) -> Result<PathBuf, (i32, String)> {
    if command.contains('/') {
        return match executable(Path::new(command)) {
            Some(true) => Ok(PathBuf::from(command)),
            Some(false) => Err((126, format!("exec: {command:?}: permission denied"))),
            None => Err((
                127,
                format!("exec: {command:?}: stat {command}: no such file or directory"),
            )),
        };
    }
    let path = environment
        .iter()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .unwrap_or_default();
    let mut denied = false;
    for folder in path.split(':').filter(|_| !command.is_empty()) {
        let file = Path::new(if folder.is_empty() { "." } else { folder }).join(command);
        match executable(&file) {
            Some(true) => return Ok(file),
            Some(false) => denied = true,
            None => {}
        }
    }
    Err(if denied {
        (126, format!("exec: {command:?}: permission denied"))
    } else {
        (127, format!("exec: {command:?}: executable file not found in $PATH"))
    })
}

/// `None` when there is no such file.
fn executable(path: &Path) -> Option<bool> {
    let metadata = fs::metadata(path).ok()?;
    Some(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(all: &[&str]) -> Vec<String> {
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn users_variables_replace_dockers() {
        let users = strings(&["A=1", "HOSTNAME=other", "A=2", "unset"]);
        assert_eq!(
            environment("web", true, "/root", &users),
            strings(&[PATH, "HOSTNAME=other", "TERM=xterm", "A=2", "HOME=/root"])
        );
        assert_eq!(
            environment("web", false, "/", &strings(&["HOME=/x"])),
            strings(&[PATH, "HOSTNAME=web", "HOME=/x"])
        );
    }

    #[test]
    fn commands_are_found_or_refused_in_dockers_words() {
        let here = strings(&["PATH=/nowhere:/usr/bin:/bin:/etc"]);
        assert_eq!(find_command("env", &here), Ok(PathBuf::from("/usr/bin/env")));
        assert_eq!(find_command("/bin/sh", &here), Ok(PathBuf::from("/bin/sh")));
        for (command, exit_code, message) in [
            ("nosuch", 127, "exec: \"nosuch\": executable file not found in $PATH"),
            ("", 127, "exec: \"\": executable file not found in $PATH"),
            (
                "/nosuch",
                127,
                "exec: \"/nosuch\": stat /nosuch: no such file or directory",
            ),
            ("passwd-", 126, "exec: \"passwd-\": permission denied"),
            ("/etc/passwd", 126, "exec: \"/etc/passwd\": permission denied"),
            ("/etc", 126, "exec: \"/etc\": permission denied"),
        ] {
            let expected = Err((exit_code, message.to_owned()));
            if command != "passwd-" || Path::new("/etc/passwd-").exists() {
                assert_eq!(find_command(command, &here), expected, "{command:?}");
            }
        }
    }
}
