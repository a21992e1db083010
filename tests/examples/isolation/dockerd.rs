//! A Docker Engine of our own: as it comes, but in a world's host namespace, and with nothing outside the world's folder.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::isolation::scene::Engine;
use tests::world::{Namespace, Output, World, eventually};

/// What the engine would leave behind on the machine stays in its own mount namespace: `/run`, and its key in `/etc`.
const PRIVATE: &str = "mount -t tmpfs tmpfs /run && mkdir /run/lock \
    && mount -t overlay overlay -o \"lowerdir=/etc,upperdir=$PWD/etc,workdir=$PWD/work\" /etc && exec \"$@\"";

const IMAGE: &str = "busybox:local";

pub struct Dockerd {
    world: World,
    packages: PathBuf,
    process: Option<Child>,
}

impl Dockerd {
    /// From a folder with `usr/sbin/dockerd` and what it needs, and `bin/busybox` for the containers.
    pub fn start(packages: &Path) -> Self {
        let packages = packages.canonicalize().expect("the folder of an engine");
        let mut world = World::without_agent();
        world.add_lan();
        let mut engine = Self {
            world,
            packages,
            process: None,
        };
        let directory = engine.world.directory.clone();
        for folder in ["etc", "work", "data", "exec", "image/bin"] {
            fs::create_dir_all(directory.join(folder)).expect(folder);
        }
        let log = File::create(directory.join("log")).expect("the engine's log");
        let mut command = engine.world.host.command("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                PRIVATE,
                "sh",
                "dockerd",
            ])
            .arg("--data-root")
            .arg(directory.join("data"))
            .arg("--exec-root")
            .arg(directory.join("exec"))
            .arg("--pidfile")
            .arg(directory.join("pid"))
            .arg("--host")
            .arg(engine.address())
            .current_dir(&directory)
            .env("PATH", engine.path())
            .stdout(log.try_clone().expect("a descriptor"))
            .stderr(log);
        engine.process = Some(command.spawn().expect("the engine"));
        eventually("the engine serves", || {
            match Output::of(&mut engine.docker(&["version"])) {
                output if output.status == 0 => Ok(()),
                output => Err(output.stderr),
            }
        });
        engine.import();
        engine
    }

    fn import(&self) {
        let image = self.world.directory.join("image");
        fs::copy(self.packages.join("bin/busybox"), image.join("bin/busybox")).expect("busybox");
        symlink("busybox", image.join("bin/sleep")).expect("a link");
        let archive = image.with_extension("tar");
        Output::of(
            Command::new("tar")
                .arg("-cf")
                .arg(&archive)
                .arg("-C")
                .arg(&image)
                .arg("."),
        )
        .ok();
        self.ok(&["import", archive.to_str().expect("a path in UTF-8"), IMAGE]);
    }

    fn address(&self) -> String {
        format!("unix://{}/docker.sock", self.world.directory.display())
    }

    /// Its own programs come first.
    fn path(&self) -> std::ffi::OsString {
        let own = ["usr/sbin", "usr/bin"].map(|folder| self.packages.join(folder));
        let path = env::var_os("PATH").unwrap_or_default();
        env::join_paths(own.into_iter().chain(env::split_paths(&path))).expect("a path")
    }

    fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.host.command("docker");
        command
            .arg("--host")
            .arg(self.address())
            .args(arguments)
            .env("PATH", self.path())
            .env("DOCKER_CONFIG", &self.world.directory);
        command
    }
}

impl Engine for Dockerd {
    fn world(&self) -> &World {
        &self.world
    }

    fn ok(&self, arguments: &[&str]) -> String {
        Output::of(&mut self.docker(arguments)).ok()
    }

    fn run(&self, name: &str, options: &[&str]) {
        let (start, program) = (["run", "-d", "--name", name], [IMAGE, "sleep", "1000000"]);
        self.ok(&[&start, options, &program].concat());
    }

    fn inside(&self, name: &str) -> Namespace {
        let pid = self.ok(&["inspect", "--format", "{{.State.Pid}}", name]);
        self.world.inside_process(pid.parse().expect("a pid"))
    }
}

impl Drop for Dockerd {
    /// Containers first: they would outlive their engine.
    fn drop(&mut self) {
        let containers = Output::of(&mut self.docker(&["ps", "-aq"])).stdout;
        let remove: Vec<&str> = ["rm", "--force"]
            .into_iter()
            .chain(containers.split_whitespace())
            .collect();
        Output::of(&mut self.docker(&remove));
        if let Some(mut process) = self.process.take() {
            let pid = Pid::from_raw(i32::try_from(process.id()).expect("a pid"));
            // it may have ended by itself
            let _ = kill(pid, Signal::SIGTERM);
            let _ = process.wait();
        }
    }
}
