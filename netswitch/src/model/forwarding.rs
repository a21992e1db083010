//! Which of the host's settings let its stack forward what goes between containers and the world, and what
//! they were before.

use serde::{Deserialize, Serialize};

/// A setting that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Below `/proc/sys`.
    pub path: String,
    pub before: String,
    pub value: String,
}

/// What we have changed, in the order it was done in. A reboot forgets it: the record of another boot says
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
    pub settings: Vec<Setting>,
}

impl Record {
    /// The record in this boot.
    #[must_use]
    pub fn at(self, boot: &str) -> Self {
        if self.boot == boot {
            return self;
        }
        Self {
            boot: boot.to_owned(),
            settings: Vec::new(),
        }
    }
}

/// What settings are now; `None`: there is no such one.
pub type Current<'a> = &'a dyn Fn(&str) -> Option<String>;

const ALL: &str = "net/ipv6/conf/all/forwarding";

fn v4(device: &str) -> String {
    format!("net/ipv4/conf/{device}/forwarding")
}

fn v6(device: &str, key: &str) -> String {
    format!("net/ipv6/conf/{device}/{key}")
}

/// What has to be set for these uplinks, in the order to do it in; `others` are all devices that are not the
/// switch's own, and `kept` what has been changed already.
///
/// IPv4 is forwarded from a device that has `forwarding`. IPv6 is since 6.17 with `force_forwarding`, which
/// changes nothing else; before that by all devices or none, and then a device that takes its address from
/// router advertisements has to be told to go on with it (`accept_ra=2`) before it becomes a router.
pub fn wanted(uplinks: &[&str], others: &[&str], kept: &[Setting], current: Current<'_>) -> Vec<(String, String)> {
    let set = |path: String, value: &str| (path, value.to_owned());
    let mut wanted: Vec<_> = uplinks.iter().map(|device| set(v4(device), "1")).collect();
    if uplinks.is_empty() || current(&v6("default", "force_forwarding")).is_some() {
        let forced = uplinks.iter().map(|device| set(v6(device, "force_forwarding"), "1"));
        wanted.extend(forced);
        return wanted;
    }
    let is_kept = |path: &str| kept.iter().any(|setting| setting.path == path);
    let is = |path: &str, value: &str| current(path).is_some_and(|current| current == value);
    for device in others {
        let (accepts, forwards) = (v6(device, "accept_ra"), v6(device, "forwarding"));
        let is_no_router = is(&forwards, "0") || (is_kept(ALL) && !is_kept(&forwards));
        if is_kept(&accepts) || (is_no_router && is(&accepts, "1")) {
            wanted.push(set(accepts, "2"));
        }
    }
    // taking ALL back will switch these off, too
    for device in others.iter().chain(&["default"]) {
        let forwards = v6(device, "forwarding");
        if is_kept(&forwards) || (!is_kept(ALL) && is(&forwards, "1")) {
            wanted.push(set(forwards, "1"));
        }
    }
    wanted.push(set(ALL.to_owned(), "1"));
    wanted
}

/// The way from what is kept to what is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Way {
    /// To be kept before anything is written: whatever a crash leaves can then be taken back.
    pub before: Vec<Setting>,
    /// What to do, in order.
    pub writes: Vec<Setting>,
    /// To be kept afterwards.
    pub after: Vec<Setting>,
}

/// What somebody else has set meanwhile stays as it is when it is taken back.
pub fn way(kept: &[Setting], wanted: &[(String, String)], current: Current<'_>) -> Way {
    let mut way = Way::default();
    for setting in kept.iter().rev() {
        let is_wanted = wanted.iter().any(|(path, _)| *path == setting.path);
        if !is_wanted && current(&setting.path).is_some_and(|current| current == setting.value) {
            way.writes.push(Setting {
                path: setting.path.clone(),
                before: setting.value.clone(),
                value: setting.before.clone(),
            });
        }
    }
    for (path, value) in wanted {
        let Some(now) = current(path) else { continue };
        let known = kept.iter().find(|setting| setting.path == *path);
        way.after.push(Setting {
            path: path.clone(),
            before: known.map_or_else(|| now.clone(), |setting| setting.before.clone()),
            value: value.clone(),
        });
        if now != *value {
            way.writes.push(Setting {
                path: path.clone(),
                before: now,
                value: value.clone(),
            });
        }
    }
    way.before = kept.to_vec();
    let new = way.after.iter().filter(|setting| !kept.contains(setting));
    way.before.extend(new.cloned());
    way
}

#[cfg(test)]
mod tests;
