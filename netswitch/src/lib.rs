//! The agent and the command line of netswitch. Who may import whom runs from left to right: cli, doors,
//! client, agent, reconcile, plan, execute, action, kernel, datapath, shim, store, model, api.

pub mod action;
pub mod agent;
pub mod api;
pub mod cli;
pub mod client;
pub mod datapath;
pub mod doors;
pub mod execute;
pub mod kernel;
pub mod model;
pub mod plan;
pub mod reconcile;
pub mod shim;
pub mod store;
