//! What keeps a container to itself: names, devices, capabilities, namespaces.

use std::{
    fs,
    path::{Path, PathBuf},
};

use netswitch::shim::{
    protocol::{Exec, NetworkNamespace},
    spawn,
};

use super::world::{World, poll, strings};

#[test]
fn a_container_has_names_and_numbers_of_its_own() {
    let mut world = World::shell("hostname; echo $$; cat /etc/hosts /etc/hostname /etc/resolv.conf; ls /sys/class/net");
    let (exit_code, output) = world.run();
    let expected = "web\n1\n127.0.0.1\tlocalhost\n172.17.0.2\tweb\nweb\nnameserver 192.0.2.1\nlo\n";
    assert_eq!((exit_code, output.as_str()), (0, expected));
    assert_ne!(nix::unistd::gethostname().unwrap(), "web");
}

#[test]
fn the_host_is_out_of_sight() {
    let mut world = World::shell(
        "ls /run /sys/fs/bpf /sys/fs/cgroup; ls -A /tmp; ls -A $STATE; touch /proc/sys/kernel/hostname; \
         touch /sys/x; cat /proc/keys | wc -c; stat -c %a /tmp; ls /proc/self/fd | wc -l; \
         test $(readlink /proc/1/ns/pid) = $(readlink /proc/self/ns/pid) && ls /dev",
    );
    // a folder on the root file system, where an agent's state would be
    let state = PathBuf::from(format!("/var/lib/netswitch-test-{}", world.spec.id));
    fs::create_dir_all(state.join("secret")).unwrap();
    world.spec.hidden = vec![state.clone()];
    world.spec.process.environment = vec![format!("STATE={}", state.display())];
    let (exit_code, output) = world.run();
    fs::remove_dir_all(&state).unwrap();
    let devices = "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n";
    let expected = format!("/run:\nlock\n\n/sys/fs/bpf:\n\n/sys/fs/cgroup:\n0\n1777\n4\n{devices}");
    assert_eq!((exit_code, output), (0, expected));
}

#[test]
fn capabilities_are_dockers_less_mknod() {
    let status = "grep -E 'Cap|NoNewPrivs|SigIgn|SigBlk' /proc/self/status | tr -d '\\t\\n'; umask";
    let root = "SigBlk:0000000000000000SigIgn:0000000000000000CapInh:0000000000000000CapPrm:00000000a00425fb\
                CapEff:00000000a00425fbCapBnd:00000000a00425fbCapAmb:0000000000000000NoNewPrivs:00022\n";
    let mut world = World::shell(&format!("{status}; mknod /x b 7 0; mount -t tmpfs x /mnt; sleep 60"));
    world.start();
    assert_eq!(world.exec_shell(status), root);
    assert_eq!(
        world.exec_shell("test -e /x || grep -c ' /mnt ' /proc/mounts || true"),
        "0\n"
    );
    let nobody = Exec {
        user: Some("nobody".to_owned()),
        command: strings(&["sh", "-c", status]),
        ..Exec::default()
    };
    let expected = root
        .replace("Prm:00000000a00425fb", "Prm:0000000000000000")
        .replace("Eff:00000000a00425fb", "Eff:0000000000000000");
    assert_eq!(world.exec(&nobody, b""), (Ok(0), expected));
    assert_eq!(world.output(), root);
}

#[test]
fn network_namespaces_are_new_shared_or_the_hosts() {
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let namespace = |world: &World| fs::read_link(format!("/proc/{}/ns/net", world.ready().pid)).unwrap();
    let mut first = World::new(&["sleep", "60"]);
    first.start();
    let (pid, start_time) = (first.ready().pid, first.ready().start_time);
    let process = |start_time| NetworkNamespace::Process { pid, start_time };
    for shared in [
        NetworkNamespace::Path(format!("/proc/{pid}/ns/net").into()),
        process(start_time),
    ] {
        let mut sharing = World::new(&["sleep", "60"]);
        sharing.spec.namespace = shared;
        sharing.start();
        assert_eq!(namespace(&sharing), namespace(&first));
    }
    let mut hosts = World::new(&["sleep", "60"]);
    hosts.spec.namespace = NetworkNamespace::Host;
    hosts.start();
    assert_ne!(namespace(&first), own);
    assert_eq!(namespace(&hosts), own);
    let executable = Path::new(env!("CARGO_BIN_EXE_netswitch"));
    let fifo = first.spec.run_dir.join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (lost, expected) in [
        (
            NetworkNamespace::Path("/nonexistent/ns".into()),
            "enter network namespace /nonexistent/ns: No such file".to_owned(),
        ),
        (
            NetworkNamespace::Path(fifo.clone()),
            format!("enter network namespace {}: Invalid argument", fifo.display()),
        ),
        // the number is another process's now
        (
            process(start_time - 1),
            format!("enter the network namespace of process {pid}: No such process"),
        ),
    ] {
        let mut world = World::new(&["true"]);
        world.spec.namespace = lost;
        let error = spawn::spawn(executable, &world.spec).unwrap_err().to_string();
        assert!(error.contains(&expected), "{error}");
    }
}

/// A shell command that makes a system call and prints what it returned, else the error's number.
fn call(number: libc::c_long, arguments: &[i64]) -> String {
    let arguments: Vec<String> = (0..6)
        .map(|index| arguments.get(index).unwrap_or(&0).to_string())
        .collect();
    format!(
        "perl -e 'my $r = syscall({number}, {}); print $r < 0 ? 0 + $! : \"done\", \"\\n\"'; ",
        arguments.join(", ")
    )
}

#[test]
fn system_calls_that_reach_past_the_container_are_denied() {
    let new_user = i64::from(libc::CLONE_NEWUSER);
    let (get_keyring_id, session) = (0, -3);
    let denied = [
        call(libc::SYS_keyctl, &[get_keyring_id, session]),
        call(libc::SYS_add_key, &[]),
        call(libc::SYS_bpf, &[]),
        call(libc::SYS_perf_event_open, &[]),
        call(libc::SYS_userfaultfd, &[]),
        call(libc::SYS_fsopen, &[]),
        call(libc::SYS_setns, &[]),
        call(libc::SYS_unshare, &[new_user]),
        call(libc::SYS_clone, &[new_user | i64::from(libc::SIGCHLD)]),
    ];
    let unknown = [call(libc::SYS_clone3, &[]), call(0x4000_0000 + libc::SYS_getpid, &[])];
    let allowed = [
        call(libc::SYS_unshare, &[i64::from(libc::CLONE_FILES)]),
        call(libc::SYS_ptrace, &[0]),
    ];
    let script = [denied.concat(), unknown.concat(), allowed.concat()].concat();
    let expected = format!(
        "{}{}{}",
        format!("{}\n", libc::EPERM).repeat(denied.len()),
        format!("{}\n", libc::ENOSYS).repeat(unknown.len()),
        "done\n".repeat(allowed.len())
    );
    let mut world = World::shell(&format!("{script} sleep 60"));
    world.start();
    assert_eq!(world.exec_shell(&script), expected);
    poll("the first process made its calls", || world.output() == expected);
    let nobody = Exec {
        user: Some("nobody".to_owned()),
        command: strings(&["sh", "-c", &script]),
        ..Exec::default()
    };
    assert_eq!(world.exec(&nobody, b""), (Ok(0), expected));
}
