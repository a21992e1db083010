//! `--user name|uid[:group|gid]`, looked up in the container's own /etc/passwd and /etc/group as Docker does.

/// Who a process runs as.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary; none when a group was named.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// `passwd` and `group` are the texts of the two files.
pub(super) fn resolve(wanted: &str, passwd: &str, group: &str) -> Result<Identity, String> {
    let (user, wanted_group) = wanted.split_once(':').unwrap_or((wanted, ""));
    let user = if user.is_empty() { "0" } else { user };
    let number = number(user);
    let entry = passwd
        .lines()
        .map(fields)
        .filter(|entry| entry.len() >= 6)
        .find(|entry| entry[0] == user || number.is_some() && entry[2].parse().ok() == number);
    let (name, uid, gid, home) = match (&entry, number) {
        (Some(entry), _) => (
            entry[0],
            entry[2].parse().unwrap_or(0),
            entry[3].parse().unwrap_or(0),
            entry[5],
        ),
        (None, Some(uid)) => ("", uid, 0, "/"),
        (None, None) => {
            return Err(format!(
                "unable to find user {user}: no matching entries in passwd file"
            ));
        }
    };
    let groups = || group.lines().map(fields).filter(|entry| entry.len() >= 4);
    let identity = Identity {
        uid,
        gid,
        groups: Vec::new(),
        home: home.to_owned(),
    };
    if wanted_group.is_empty() {
        let member = |entry: &Vec<&str>| !name.is_empty() && entry[3].split(',').any(|member| member == name);
        let groups = groups()
            .filter(member)
            .filter_map(|entry| entry[2].parse().ok())
            .collect();
        return Ok(Identity { groups, ..identity });
    }
    let gid = groups()
        .find(|entry| entry[0] == wanted_group)
        .and_then(|entry| entry[2].parse().ok())
        .or_else(|| self::number(wanted_group))
        .ok_or_else(|| format!("unable to find group {wanted_group}: no matching entries in group file"))?;
    Ok(Identity { gid, ..identity })
}

fn fields(line: &str) -> Vec<&str> {
    line.trim().split(':').collect()
}

/// Ids are limited to 31 bits, as Docker limits them.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| i32::try_from(*id).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nredis:x:101:103::/var/lib/redis:/bin/false\n";
    const GROUP: &str = "root:x:0:\nredis:x:103:\nssl:x:110:redis,www\naudio:x:29:redis\n";

    fn identity(uid: u32, gid: u32, groups: &[u32], home: &str) -> Identity {
        Identity {
            uid,
            gid,
            groups: groups.to_vec(),
            home: home.to_owned(),
        }
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        for (wanted, expected) in [
            ("", identity(0, 0, &[], "/root")),
            ("redis", identity(101, 103, &[110, 29], "/var/lib/redis")),
            ("101", identity(101, 103, &[110, 29], "/var/lib/redis")),
            ("4711", identity(4711, 0, &[], "/")),
            ("redis:audio", identity(101, 29, &[], "/var/lib/redis")),
            ("4711:4712", identity(4711, 4712, &[], "/")),
        ] {
            assert_eq!(resolve(wanted, PASSWD, GROUP), Ok(expected), "{wanted:?}");
        }
    }

    #[test]
    fn unknown_names_are_refused_in_dockers_words() {
        let error = |wanted| resolve(wanted, PASSWD, GROUP).unwrap_err();
        assert_eq!(
            error("nosuch"),
            "unable to find user nosuch: no matching entries in passwd file"
        );
        assert_eq!(
            error("redis:nosuch"),
            "unable to find group nosuch: no matching entries in group file"
        );
        assert_eq!(
            error("3000000000"),
            "unable to find user 3000000000: no matching entries in passwd file"
        );
    }
}
