//! The agent: one request at a time, from model to plan to kernel to store.

use crate::api::AgentOptions;

/// Serves until a signal ends it, or purges.
pub fn run(options: AgentOptions) -> anyhow::Result<()> {
    anyhow::bail!("no agent in this build for {}", options.directories.state.display())
}
