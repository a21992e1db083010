//! Failing on demand, undoing, and namespaces that end.

use super::*;
use crate::kernel::End;

fn veth(far: &Namespace) -> Veth {
    let end = |name: &str, namespace: &Namespace| End {
        name: name.to_owned(),
        namespace: namespace.clone(),
        mac: None,
        mtu: 1500,
        alias: None,
        silent: true,
        gateway: false,
        big_tcp: None,
    };
    Veth {
        near: end("veth1", &Namespace::Host),
        far: end("eth0", far),
    }
}

fn container() -> Namespace {
    Namespace::Path("/run/netns/one".into())
}

#[test]
fn the_nth_call_fails_and_only_that() {
    let mut fake = Fake::new();
    fake.fail_at(2);
    fake.links().unwrap();
    assert_eq!(
        fake.add_veth(&veth(&container())).unwrap_err().to_string(),
        "add_veth veth1 eth0: made to fail"
    );
    assert_eq!(fake.snapshot(), Tables::default());
    fake.add_veth(&veth(&container())).unwrap();
    assert_eq!(fake.calls(), ["links", "add_veth veth1 eth0", "add_veth veth1 eth0"]);
}

#[test]
fn a_named_call_fails_until_healed() {
    let mut fake = Fake::new();
    fake.fail_on("add_veth");
    fake.add_veth(&veth(&container())).unwrap_err();
    fake.add_veth(&veth(&container())).unwrap_err();
    fake.heal();
    fake.add_veth(&veth(&container())).unwrap();
}

#[test]
fn what_is_undone_compares_as_never_done() {
    let mut fake = Fake::new();
    fake.add_device("eth0", "", &["192.168.56.99/24".parse().unwrap()]);
    let before = fake.snapshot();
    fake.add_veth(&veth(&container())).unwrap();
    fake.set_up("veth1", true).unwrap();
    assert_ne!(fake.snapshot(), before);
    fake.delete_link("veth1").unwrap();
    assert_eq!(fake.snapshot(), before);
}

#[test]
fn a_namespace_that_ends_takes_its_pairs_along() {
    let mut fake = Fake::new();
    fake.add_veth(&veth(&container())).unwrap();
    fake.remove_namespace(&container());
    assert_eq!(fake.snapshot(), Tables::default());
    let refused = fake.add_veth(&veth(&container())).unwrap_err();
    assert!(
        refused.to_string().starts_with("open namespace /run/netns/one"),
        "{refused}"
    );
}
