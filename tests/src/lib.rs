//! Harness and the plain user-space model of the switch.

pub mod packet;
pub mod world;
