//! Harness and the plain user-space model of the switch.

pub mod fixture;
pub mod isolation;
pub mod loaded;
pub mod maps;
pub mod name_server;
pub mod packet;
pub mod question;
pub mod random;
pub mod records;
pub mod rows;
pub mod sequence;
pub mod site;
pub mod switch;
pub mod world;
