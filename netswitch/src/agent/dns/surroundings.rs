//! What answers depend on besides the question: the host's routes, links and name servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often they have changed.
#[derive(Clone, Debug, Default)]
pub struct Surroundings(Arc<AtomicU64>);

impl Surroundings {
    pub fn have_changed(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    pub fn changes(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
