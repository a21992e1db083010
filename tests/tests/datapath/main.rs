//! The data path: every row through the program, its explanation and the model; program and model
//! against each other on random packets; map layouts.

mod difference;
mod layout;
mod leash;
mod limit;
mod names;
mod nat;
mod rate;
mod rows;
mod sender;
mod sequence;
mod xdp;
