//! Where fuzzing begins: real questions, of everybody.

use std::path::PathBuf;
use std::{env, fs};

use tests::question::{A, AAAA, ANY, ASKED, PTR, TXT, message};

use crate::world::World;

/// Where the seeds go, from `cargo xtask fuzz`.
const DIRECTORY: &str = "NETSWITCH_FUZZ_SEEDS";

/// EDNS (RFC 6891, 6.1.2), version 0: room for 1,232 bytes, no option; then with a cookie (RFC 7873, 4).
const EDNS: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
const COOKIE: &[u8] = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08abcdefgh";

const NAMES: [(&str, u16); 24] = [
    ("web_1", A),
    ("web_1", AAAA),
    ("WEB_1.Six", A),
    ("web_1.six", ANY),
    ("web_1.four", A),
    ("db", A),
    ("db.FOUR", AAAA),
    ("nodes", A),
    ("nodes.four", ANY),
    ("node-7", TXT),
    ("store", A),
    ("store.six", AAAA),
    ("a.dotted", A),
    ("a.dotted.dots", A),
    ("hidden", A),
    ("hidden.inner", PTR),
    ("default", A),
    ("example.com", A),
    ("", A),
    ("2.0.6.10.in-addr.arpa", PTR),
    ("2.0.4.10.IN-ADDR.ARPA", PTR),
    ("2.0.5.10.in-addr.arpa", ANY),
    ("0.6.10.in-addr.arpa", PTR),
    (
        "2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.0.d.f.ip6.arpa",
        PTR,
    ),
];

/// Does nothing when a single input is run again.
pub fn write(world: &World) {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else {
        return;
    };
    for (number, question) in questions(world).into_iter().enumerate() {
        fs::write(directory.join(format!("question-{number}")), question).expect("a seed");
    }
}

fn questions(world: &World) -> Vec<Vec<u8>> {
    let mut questions = Vec::new();
    for (name, kind) in NAMES {
        for asker in 0..world.askers.len() {
            let mut question = message(ASKED, 0, name, kind, &[]);
            question[0] = u8::try_from(asker).expect("few askers");
            for options in [EDNS, COOKIE] {
                let mut extended = [&question[..], options].concat();
                extended[11] = 1;
                questions.push(extended);
            }
            questions.push(question);
        }
    }
    questions
}
