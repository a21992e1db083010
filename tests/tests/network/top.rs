//! `netswitch top` on a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use tests::world::{World, eventually};

use super::dual;

/// A terminal and what is on it.
struct Terminal {
    near: OwnedFd,
    far: OwnedFd,
    written: Arc<Mutex<String>>,
}

impl Terminal {
    fn new() -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pair = openpty(Some(&size), None).unwrap();
        let written = Arc::<Mutex<String>>::default();
        let (mut reader, kept) = (File::from(pair.master.try_clone().unwrap()), Arc::clone(&written));
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                kept.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self {
            near: pair.master,
            far: pair.slave,
            written,
        }
    }

    /// Starts a command with the terminal as its standard streams.
    fn start(&self, mut command: Command) -> Child {
        let end = || Stdio::from(self.far.try_clone().unwrap());
        command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
        command.spawn().unwrap()
    }

    fn press(&self, keys: &str) {
        File::from(self.near.try_clone().unwrap())
            .write_all(keys.as_bytes())
            .unwrap();
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        eventually(text, || {
            let written = self.written.lock().unwrap();
            written.contains(text).then_some(()).ok_or_else(|| written.clone())
        });
    }

    /// It is as a shell would have it again.
    #[track_caller]
    fn is_restored(&self) {
        let flags = tcgetattr(&self.far).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO), "{flags:?}");
        // the other screen is left (xterm's 1049)
        self.shows("\x1b[?1049l");
    }
}

fn world() -> World {
    let world = World::new();
    dual(&world, "front", 7, &[]);
    world.run("web", &["--net", "front"]);
    world.run("db", &["--net", "front"]);
    world
}

#[test]
fn containers_are_shown_until_q() {
    let world = world();
    let terminal = Terminal::new();
    let mut top = terminal.start(world.command(&["top"]));
    for text in ["CONTAINERS", "web", "db", "front", "q quit"] {
        terminal.shows(text);
    }
    world.run("fresh", &["--net", "front"]);
    terminal.shows("fresh");
    terminal.press("dq");
    assert!(top.wait().unwrap().success());
    terminal.is_restored();
}

#[test]
fn a_signal_ends_it_and_the_terminal_is_as_before() {
    let world = world();
    for signal in [None, Some(Signal::SIGTERM)] {
        let terminal = Terminal::new();
        let mut top = terminal.start(world.command(&["top"]));
        terminal.shows("web");
        match signal {
            // in raw mode Ctrl-C is a key
            None => terminal.press("\x03"),
            Some(signal) => kill(Pid::from_raw(top.id().try_into().unwrap()), signal).unwrap(),
        }
        let status = top.wait().unwrap();
        // `timeout` itself says when it was told to end
        assert!(status.success() || signal.is_some(), "{status}");
        terminal.is_restored();
    }
}

#[test]
fn where_nothing_can_be_drawn_there_is_an_error() {
    let world = world();
    let text = "not a terminal that can be drawn on\nhint: netswitch stats --watch";
    world.refuses(&["top"], 1, text);
    let terminal = Terminal::new();
    let mut command = world.command(&["top"]);
    let end = || Stdio::from(terminal.far.try_clone().unwrap());
    command.env("TERM", "dumb").stdin(end()).stdout(end());
    let output = command.stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), format!("{text}\n"));
}
