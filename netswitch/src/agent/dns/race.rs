//! Several ways to an answer, tried at the same time.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// Ways that have not come to an end.
pub struct Race<'a, Outcome>(Vec<Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>>);

impl<'a, Outcome> Race<'a, Outcome> {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn join(&mut self, way: impl Future<Output = Outcome> + Send + 'a) {
        self.0.push(Box::pin(way));
    }

    /// The end of whichever ends next; `None`: there is none left. Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Option<Outcome> {
        poll_fn(|context| {
            for (index, way) in self.0.iter_mut().enumerate() {
                if let Poll::Ready(outcome) = way.as_mut().poll(context) {
                    drop(self.0.swap_remove(index));
                    return Poll::Ready(Some(outcome));
                }
            }
            if self.0.is_empty() {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        })
        .await
    }
}
