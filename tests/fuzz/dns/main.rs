//! Any bytes at all as a question: the agent's server answers what is one, with a message that the client
//! understands and takes; where the switch answers, both say the same. And any bytes as what passes through.
#![no_main]

mod check;
mod passing;
mod seeds;
mod switch;
mod world;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

use world::World;

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fuzz_target!(init: seeds::write(&WORLD), |bytes: &[u8]| {
    check::check(&WORLD, bytes);
    passing::check(bytes);
});
