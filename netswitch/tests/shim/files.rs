//! What a container sees of the host's files, and what it may write.

use std::{fs, path::Path};

use netswitch::shim::spawn;

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
