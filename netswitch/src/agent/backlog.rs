//! The jobs that wait for the agent's thread. Looks go before changes, and stages of starts go last: a hundred starts at
//! once do not hold up a list of networks.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::handle::Job;

/// A waiting class gets its turn after so many jobs of more urgent ones.
const BEFORE_ANOTHER: u32 = 16;

#[derive(Default)]
pub struct Backlog {
    /// By urgency: looks, changes, stages of starts.
    classes: [VecDeque<Job>; 3],
    /// How many jobs of other classes have been done since each waiting class had its last turn.
    passed: [u32; 3],
}

impl Backlog {
    /// The next job; waits for one if there is none.
    pub fn next(&mut self, queue: &Receiver<Job>, limit: Duration) -> Result<Job, RecvTimeoutError> {
        while let Ok(job) = queue.try_recv() {
            self.add(job);
        }
        match self.take() {
            Some(job) => Ok(job),
            None => queue.recv_timeout(limit),
        }
    }

    fn add(&mut self, job: Job) {
        self.classes[class(&job)].push_back(job);
    }

    fn take(&mut self) -> Option<Job> {
        let waits = |class: &usize| !self.classes[*class].is_empty();
        let classes: Vec<usize> = (0..self.classes.len()).filter(waits).collect();
        let overdue = classes
            .iter()
            .rev()
            .find(|class| self.passed[**class] >= BEFORE_ANOTHER);
        let chosen = *overdue.or(classes.first())?;
        for class in classes {
            self.passed[class] = if class == chosen { 0 } else { self.passed[class] + 1 };
        }
        self.classes[chosen].pop_front()
    }
}

fn class(job: &Job) -> usize {
    match job {
        Job::Do(_) => 0,
        Job::Ask(request, _) if request.change().is_none() => 0,
        Job::Start(..) => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::super::starts::Stage;
    use super::*;
    use crate::api::Error;
    use crate::model::Id;

    #[test]
    fn who_asks_goes_first_and_starts_go_on() {
        let mut backlog = Backlog::default();
        let start = |id: &str| Job::Start(Id(id.into()), Stage::Ended(Error::internal("")));
        backlog.add(start("one"));
        backlog.add(start("two"));
        backlog.add(Job::ServersChanged);
        for _ in 0..=BEFORE_ANOTHER {
            backlog.add(Job::Do(Box::new(|_| ())));
        }
        let mut order = Vec::new();
        while let Some(job) = backlog.take() {
            order.push(match job {
                Job::Start(id, _) => id.0,
                Job::Do(_) => "look".to_owned(),
                _ => "change".to_owned(),
            });
        }
        let mut expected = vec!["look"; 16];
        expected.extend(["one", "change", "look", "two"]);
        assert_eq!(order, expected);
    }
}
