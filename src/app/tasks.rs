//! The parts that run for as long as the process does: whoever of them ends without being told to ends the process.
//!
//! A process whose graph thread or source has died would go on serving what it has, ready and ever staler, and nobody would
//! notice. Ended with an error it is started again, and every Envoy keeps its configuration meanwhile.

use std::{collections::HashMap, future::Future};

use tokio::task::{Id, JoinSet};

/// The running parts, by name.
#[derive(Debug, Default)]
pub struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
}

impl Tasks {
    /// Starts a part.
    pub fn spawn(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        let id = self.running.spawn(part).id();
        self.names.insert(id, name);
    }

    /// Completes when a part has ended, with what is to be said of it. Never, when there is none.
    pub async fn first_end(&mut self) -> anyhow::Error {
        let (id, how) = match self.running.join_next_with_id().await {
            Some(Ok((id, ()))) => (id, "ended although nobody told it to".to_owned()),
            Some(Err(error)) => (error.id(), format!("failed: {error}")),
            None => std::future::pending().await,
        };
        let name = self.names.get(&id).copied().unwrap_or("a part");
        anyhow::anyhow!("{name} {how}; this is a fault of syncgate's own, please report it")
    }

    /// Completes when every part has ended. The parts have to be told by other means.
    pub async fn all_ended(&mut self) {
        while self.running.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_ends_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("the lasting part", std::future::pending());
        tasks.spawn("the short part", async {});
        let said = tasks.first_end().await.to_string();
        assert!(said.starts_with("the short part ended although nobody told it to"), "{said}");
    }

    #[tokio::test]
    async fn a_part_that_panics_is_named() {
        let mut tasks = Tasks::default();
        tasks.spawn("the faulty part", async { assert_eq!(1 + 1, 3, "arithmetic") });
        let said = tasks.first_end().await.to_string();
        assert!(said.starts_with("the faulty part failed: "), "{said}");
        assert!(said.contains("arithmetic"), "{said}");
        tasks.all_ended().await;
    }
}
