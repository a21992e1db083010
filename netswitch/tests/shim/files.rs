//! What a container sees of the host's files, and what it may write.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use netswitch::shim::{protocol::ToShim, spawn};
use nix::sys::signal::Signal;

use super::world::World;

#[test]
fn nothing_written_in_a_container_reaches_the_host() {
    let mut world =
        World::shell("echo x > $MARK && mkdir -p $MARK.d/e && rm /etc/passwd && cat $MARK && ls /srv/$ID/there");
    let id = world.spec.id.clone();
    let shared = world.folder.join("shared");
    world.spec.process.environment = vec![format!("MARK=/etc/netswitch-{id}"), format!("ID={id}")];
    world.spec.binds = vec![format!("{}:/srv/{id}/there", shared.display())];
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("file"), "").unwrap();
    assert_eq!(world.run(), (0, "x\nfile\n".to_owned()));
    assert!(Path::new("/etc/passwd").exists());
    for path in [
        format!("/etc/netswitch-{id}"),
        format!("/etc/netswitch-{id}.d"),
        format!("/srv/{id}"),
    ] {
        assert!(!Path::new(&path).exists(), "{path}");
    }
}

#[test]
fn binds_are_writable_read_only_or_made() {
    let mut world = World::shell("echo in > /a/b/file; echo no > /ro/x; cat /one; ls -d /made; echo $?");
    let folder = world.folder.clone();
    fs::create_dir(folder.join("rw")).unwrap();
    fs::write(folder.join("one"), "single\n").unwrap();
    let bind = |host: &str, rest: &str| format!("{}:{rest}", folder.join(host).display());
    world.spec.binds = vec![
        bind("rw", "/a/b"),
        bind("rw", "/ro:ro"),
        bind("one", "/one"),
        bind("new/dir", "/made"),
    ];
    assert_eq!(world.run(), (0, "single\n/made\n0\n".to_owned()));
    assert_eq!(fs::read_to_string(folder.join("rw/file")).unwrap(), "in\n");
    assert!(!folder.join("rw/x").exists());
    assert!(folder.join("new/dir").is_dir());
    let mut wrong = World::new(&["true"]);
    wrong.spec.binds = vec![format!("{}:/etc/passwd", folder.display())];
    let connection = wrong.spawn();
    let error = spawn::start(&connection, false).unwrap_err().to_string();
    assert!(
        error.contains("Are you trying to mount a directory onto a file"),
        "{error}"
    );
}

#[test]
fn other_users_of_the_host_reach_nothing() {
    let mut world = World::new(&["sleep", "60"]);
    // the agent's own mode does not matter
    fs::remove_file(world.spec.run_dir.join("hosts")).unwrap();
    fs::set_permissions(world.spec.run_dir.join("hostname"), Permissions::from_mode(0o666)).unwrap();
    fs::set_permissions(&world.spec.run_dir, Permissions::from_mode(0o700)).unwrap();
    let agent = world.start();
    assert_eq!(world.exec_shell("su nobody -s /bin/cat /etc/hostname"), "web\n");
    agent
        .send(
            &ToShim::Signal {
                signal: Signal::SIGKILL as i32,
            },
            &[],
        )
        .unwrap();
    assert_eq!(world.wait(), 137);
    for (name, expected) in [
        ("hosts", 0o644),
        ("hostname", 0o644),
        ("resolv.conf", 0o644),
        ("spec.json", 0o600),
        ("ready.json", 0o600),
        ("exit-code", 0o600),
        ("root", 0o700),
    ] {
        let mode = fs::metadata(world.spec.run_dir.join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777;
        assert_eq!(mode, expected, "{name}: {mode:o}");
    }
}
