//! Sources as tasks of a keeper: each ends with the handle that the keeper holds of it, and the keeper hears of one that ends by itself.

use tokio::task::{AbortHandle, JoinSet};

/// The tasks of one keeper. They end with it.
#[derive(Debug, Default)]
pub(super) struct Tasks(JoinSet<()>);

/// Ends its task when it is dropped.
#[derive(Debug)]
pub(super) struct Handle(AbortHandle);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Tasks {
    /// Starts something that runs for ever.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> Handle {
        Handle(self.0.spawn(task))
    }

    /// Completes when a task has ended though nobody told it to: it has panicked, and half a watch would lie.
    pub(super) async fn failed(&mut self) {
        while let Some(ended) = self.0.join_next().await {
            if !ended.is_err_and(|error| error.is_cancelled()) {
                return;
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_panics_is_noticed_and_one_that_is_ended_is_not() {
        let mut tasks = Tasks::default();
        drop(tasks.spawn(std::future::pending()));
        let quiet = tokio::time::timeout(std::time::Duration::from_millis(50), tasks.failed()).await;
        assert!(quiet.is_err(), "what its keeper ends is no failure");
        let _lasting = tasks.spawn(std::future::pending());
        let _faulty = tasks.spawn(async { assert_eq!(1 + 1, 3, "arithmetic") });
        tasks.failed().await;
    }
}
