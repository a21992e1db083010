//! Who waits for a container's end is told, and waits outside the agent's thread.

use tokio::sync::broadcast::{self, error::RecvError};

use super::core::Core;
use super::handle::{AgentHandle, stopping};
use crate::api::{Error, WaitCondition};
use crate::model::{Id, changes::Changes};

/// What is told of containers.
#[derive(Clone, Debug)]
pub enum End {
    /// Its process has ended or never came to run, and what it had is being taken down.
    Exited(Id, i32),
    Removed(Id, i32),
    /// The agent stops: nobody is told any more.
    Agent,
}

impl Core {
    /// Before changes enter the state.
    pub fn tell_ends(&self, changes: &Changes) {
        for (id, after) in &changes.containers {
            let before = self.state.containers.get(id);
            let end = match (before, after) {
                (Some(before), None) => End::Removed(id.clone(), before.status.exit_code()),
                (Some(before), Some(after)) if before.is_running() && !after.is_running() => {
                    End::Exited(id.clone(), after.status.exit_code())
                }
                _ => continue,
            };
            // nobody may be waiting
            let _ = self.ended.send(end);
        }
    }

    /// A container, and how it has ended if it does not run.
    fn ended(&self, key: &str) -> Result<(Id, Option<i32>), Error> {
        let container = self.state.container(key)?;
        let exit_code = (!container.is_running()).then(|| container.status.exit_code());
        Ok((container.id.clone(), exit_code))
    }
}

/// Hears of everything that ends from the moment on that it was made.
pub struct Wait {
    agent: AgentHandle,
    ends: broadcast::Receiver<End>,
    container: Id,
    condition: WaitCondition,
    /// The condition holds already.
    exit_code: Option<i32>,
}

impl Wait {
    pub async fn begin(agent: &AgentHandle, container: String, condition: WaitCondition) -> Result<Self, Error> {
        // before the look: what ends in between is heard of
        let ends = agent.ended.subscribe();
        let (container, exit_code) = agent.look(move |core| core.ended(&container)).await??;
        Ok(Self {
            agent: agent.clone(),
            ends,
            container,
            condition,
            exit_code: exit_code.filter(|_| condition == WaitCondition::NotRunning),
        })
    }

    /// The exit code, once the condition holds. Who is removed meets every condition.
    pub async fn end(mut self) -> Result<i32, Error> {
        let mut exit_code = self.exit_code;
        while exit_code.is_none() {
            exit_code = match self.ends.recv().await {
                Ok(End::Exited(id, exit_code)) if id == self.container => {
                    Some(exit_code).filter(|_| self.condition != WaitCondition::Removed)
                }
                Ok(End::Removed(id, exit_code)) if id == self.container => Some(exit_code),
                Ok(End::Exited(..) | End::Removed(..)) => None,
                Ok(End::Agent) | Err(RecvError::Closed) => return Err(stopping()),
                // more has ended than was heard of
                Err(RecvError::Lagged(_)) => {
                    let key = self.container.0.clone();
                    let (_, exit_code) = self.agent.look(move |core| core.ended(&key)).await??;
                    exit_code.filter(|_| self.condition != WaitCondition::Removed)
                }
            };
        }
        self.agent.settle().await;
        exit_code.ok_or_else(stopping)
    }
}
