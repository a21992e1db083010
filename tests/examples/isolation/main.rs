//! Records in `docs/isolation.md` what Docker Engine lets pass, cell by cell. `cargo xtask isolation` fetches an engine
//! and runs this, as root; by hand: with the folder that Debian's packages were unpacked into.

mod dockerd;

use std::path::PathBuf;
use std::{env, fs, thread};

use dockerd::Dockerd;
use tests::isolation::{
    From, Protocol,
    scene::Scene,
    table::{self, NOTHING, OPEN, Row},
};

/// Those that engine 20.10 can make.
const SENDERS: [From; 4] = [From::SameNetwork, From::OtherNetwork, From::Internal, From::WithoutIcc];

fn main() {
    let packages = PathBuf::from(env::args_os().nth(1).expect("the folder of an engine"));
    let engine = Dockerd::start(&packages);
    let scene = Scene::new(&engine, &SENDERS);
    let page = fs::read_to_string(table::path()).expect("the page");
    let mut rows = table::read(&page);
    thread::scope(|scope| {
        for row in &mut rows {
            scope.spawn(|| record(&scene, row));
        }
    });
    fs::write(table::path(), table::replace(&page, &rows)).expect("the page");
}

fn record(scene: &Scene, row: &mut Row) {
    for (protocol, cell) in Protocol::ALL.into_iter().zip(&mut row.engine) {
        let question = scene.question(row.from, row.to, protocol, row.is_v6);
        let said = match question.map(|question| scene.answers_shortly(&question)) {
            None => NOTHING,
            Some(true) => OPEN,
            Some(false) => "closed",
        };
        said.clone_into(cell);
    }
}
