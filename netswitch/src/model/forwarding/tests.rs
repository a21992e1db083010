use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;

/// Settings of a host, as its kernel treats them.
struct Host {
    settings: RefCell<BTreeMap<String, String>>,
}

impl Host {
    /// With `eth0`, which takes its address from router advertisements, and `lxc0`, whose owner forwards.
    fn new(has_force_forwarding: bool) -> Self {
        let mut settings = BTreeMap::from([(ALL.to_owned(), "0".to_owned())]);
        for device in ["eth0", "lxc0", "default"] {
            let is_router = if device == "lxc0" { "1" } else { "0" };
            settings.insert(v4(device), "0".into());
            settings.insert(v6(device, "forwarding"), is_router.into());
            settings.insert(v6(device, "accept_ra"), "1".into());
            if has_force_forwarding {
                settings.insert(v6(device, "force_forwarding"), "0".into());
            }
        }
        Self {
            settings: RefCell::new(settings),
        }
    }

    fn get(&self, path: &str) -> Option<String> {
        self.settings.borrow().get(path).cloned()
    }

    fn set(&self, path: &str, value: &str) {
        let mut settings = self.settings.borrow_mut();
        for (other, old) in settings.iter_mut() {
            let follows = path == ALL && other.starts_with("net/ipv6/") && other.ends_with("/forwarding");
            if other == path || follows {
                value.clone_into(old);
            }
        }
    }

    /// Goes the way for these uplinks; what is kept afterwards.
    fn settle(&self, uplinks: &[&str], kept: &[Setting]) -> Vec<Setting> {
        let current = |path: &str| self.get(path);
        let wanted = match uplinks {
            [] => Vec::new(),
            _ => wanted(uplinks, &["eth0", "lxc0"], kept, &current),
        };
        let way = way(kept, &wanted, &current);
        for setting in &way.writes {
            self.set(&setting.path, &setting.value);
        }
        // as if there had been a crash before the last step
        if way.after.is_empty() { way.after } else { way.before }
    }
}

#[test]
fn a_kernel_that_can_forward_by_device_is_asked_no_more() {
    let host = Host::new(true);
    let before = host.settings.borrow().clone();
    let kept = host.settle(&["eth0"], &[]);
    assert_eq!(host.settle(&["eth0"], &kept), kept, "a second time changes nothing");
    let mut wanted = before.clone();
    wanted.insert(v4("eth0"), "1".into());
    wanted.insert(v6("eth0", "force_forwarding"), "1".into());
    assert_eq!(*host.settings.borrow(), wanted);
    assert_eq!(host.settle(&[], &kept), []);
    assert_eq!(*host.settings.borrow(), before);
}

#[test]
fn an_older_kernel_forwards_everywhere_and_advertisements_are_still_heard() {
    let host = Host::new(false);
    let before = host.settings.borrow().clone();
    let kept = host.settle(&["eth0"], &[]);
    assert_eq!(host.settle(&["eth0"], &kept), kept, "a second time changes nothing");
    let get = |path: String| host.get(&path).unwrap();
    assert_eq!(get(ALL.to_owned()), "1");
    assert_eq!(get(v6("eth0", "accept_ra")), "2");
    assert_eq!(get(v6("lxc0", "accept_ra")), "1", "a router already");
    assert_eq!(host.settle(&[], &kept), []);
    assert_eq!(*host.settings.borrow(), before, "lxc0 forwards as before");
}

#[test]
fn what_somebody_else_has_set_meanwhile_stays() {
    let host = Host::new(true);
    let kept = host.settle(&["eth0"], &[]);
    host.set(&v4("eth0"), "0");
    host.set(&v6("eth0", "force_forwarding"), "1");
    let was_on = Host::new(true);
    was_on.set(&v4("eth0"), "1");
    let kept_on = was_on.settle(&["eth0"], &[]);
    was_on.settle(&[], &kept_on);
    assert_eq!(was_on.get(&v4("eth0")).unwrap(), "1", "it was on before");
    host.settle(&[], &kept);
    assert_eq!(host.get(&v4("eth0")).unwrap(), "0");
}

#[test]
fn a_device_that_is_gone_is_forgotten() {
    let host = Host::new(true);
    let kept = host.settle(&["eth0"], &[]);
    host.settings.borrow_mut().retain(|path, _| !path.contains("/eth0/"));
    assert_eq!(host.settle(&["eth0"], &kept), []);
}

#[test]
fn a_reboot_forgets_what_was_changed() {
    let record = Record {
        boot: "first".into(),
        settings: Host::new(true).settle(&["eth0"], &[]),
    };
    assert_eq!(record.clone().at("first"), record);
    assert_eq!(record.at("second").settings, []);
}
