//! The one thread that owns door, graph and world: mailbox in, published worlds out.
//!
//! Nothing else touches the graph. Whoever wants to know something asks with a [`Question`] over a bounded channel and is
//! answered between two epochs.

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};

use super::{collections::Collections, explain, pipeline::Pipeline, report};
use crate::{
    admin::heartbeat::Heart,
    ingest::{Door, Held, LetIn, Mailbox, Sender, Taken},
    metrics,
    model::ObjectRef,
    proto,
    readiness::{Layer, Part, Readiness},
    xds::Hub,
};

/// The longest sleep: the heartbeat and the statistics want to be heard at least this often.
const BEAT: Duration = Duration::from_secs(1);

/// Questions that may wait at once; whoever comes later waits to ask.
const QUESTIONS: usize = 16;

/// Asks the owner thread. Clones ask the same thread.
#[derive(Debug, Clone)]
pub struct Owner {
    questions: mpsc::Sender<Question>,
    waker: Arc<Sender>,
}

/// What may be asked.
#[derive(Debug)]
enum Question {
    Report(oneshot::Sender<Report>),
    Explain(ObjectRef, oneshot::Sender<(bool, String)>),
    Held(oneshot::Sender<Vec<Held>>),
    Stop,
}

/// The graph and the publication at one moment.
#[derive(Debug)]
pub struct Report {
    /// Every node, in topological order.
    pub collections: Vec<proto::Collection>,
    /// What is served.
    pub publication: proto::Publication,
}

impl Owner {
    /// The state of graph and publication; `None` when the thread has ended.
    pub async fn report(&self) -> Option<Report> {
        self.ask(Question::Report).await
    }

    /// What an object became; `None` when the thread has ended.
    pub async fn explain(&self, object: ObjectRef) -> Option<(bool, String)> {
        self.ask(|answer| Question::Explain(object, answer)).await
    }

    /// What waits at the door; `None` when the thread has ended.
    pub async fn held(&self) -> Option<Vec<Held>> {
        self.ask(Question::Held).await
    }

    /// Tells the thread to end.
    pub async fn stop(&self) {
        // An error means that it has ended already.
        let _ = self.questions.send(Question::Stop).await;
        self.waker.wake();
    }

    async fn ask<A>(&self, question: impl FnOnce(oneshot::Sender<A>) -> Question) -> Option<A> {
        let (sender, answer) = oneshot::channel();
        self.questions.send(question(sender)).await.ok()?;
        self.waker.wake();
        answer.await.ok()
    }
}

/// Starts the thread; it ends when told to, or when every source has gone.
///
/// # Errors
/// When the operating system refuses a thread.
pub fn spawn(
    mailbox: Mailbox,
    waker: Sender,
    readiness: &Readiness,
    hub: Arc<Hub>,
    heart: Heart,
) -> anyhow::Result<(Owner, JoinHandle<()>)> {
    let (questions, asked) = mpsc::channel(QUESTIONS);
    let pipeline = Pipeline::new();
    let publication = readiness.register(Layer::Publication, "snapshot");
    publication.waiting("the first complete snapshot is not published");
    let thread = OwnerThread {
        door: Door::new(),
        collections: Collections::register(&pipeline.graph, readiness),
        pipeline,
        mailbox,
        asked,
        publication,
        published: None,
        hub,
        heart,
        beat: Instant::now(),
    };
    let handle = std::thread::Builder::new().name("graph".to_owned()).spawn(|| thread.run());
    Ok((Owner { questions, waker: Arc::new(waker) }, handle.context("starting the graph's thread")?))
}

struct OwnerThread {
    mailbox: Mailbox,
    asked: mpsc::Receiver<Question>,
    door: Door,
    pipeline: Pipeline,
    collections: Collections,
    publication: Part,
    published: Option<Instant>,
    hub: Arc<Hub>,
    heart: Heart,
    beat: Instant,
}

impl OwnerThread {
    fn run(mut self) {
        loop {
            self.beat();
            match self.mailbox.take(self.patience()) {
                Taken::Closed => return,
                Taken::Arrivals(arrivals) => self.door.offer(arrivals, Instant::now()),
            }
            let let_in = self.door.ready(Instant::now());
            if !let_in.is_empty() {
                self.epoch(let_in);
            }
            while let Ok(question) = self.asked.try_recv() {
                if self.answer(question).is_none() {
                    return;
                }
            }
        }
    }

    /// How long to sleep when nothing comes.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        self.door.next_deadline().map_or(BEAT, |deadline| deadline.saturating_duration_since(now).min(BEAT))
    }

    fn beat(&mut self) {
        self.heart.beat();
        if self.beat.elapsed() >= BEAT {
            self.beat = Instant::now();
            report::export(&self.pipeline);
        }
    }

    /// One epoch, and its publication once everything is complete (invariant `gated`).
    fn epoch(&mut self, let_in: LetIn) {
        let applied = self.pipeline.apply(&let_in.events);
        metrics::epoch(applied.took, let_in.events.len());
        self.collections.settle(&self.pipeline.graph);
        if !self.pipeline.complete() || (applied.changed.is_empty() && self.published.is_some()) {
            return;
        }
        let world = self.pipeline.world();
        self.hub.publish(world.clone(), let_in.arrived);
        metrics::published(world.len(), applied.changed.len());
        if self.published.replace(Instant::now()).is_none() {
            report::export(&self.pipeline);
            tracing::info!(gateways = world.len(), epochs = self.pipeline.epochs(), "first complete snapshot published");
            self.publication.ready();
        }
    }

    /// `None` when the thread is to end. An answer that nobody waits for any more is dropped.
    fn answer(&self, question: Question) -> Option<()> {
        match question {
            Question::Report(answer) => {
                let collections = report::collections(&self.pipeline);
                let publication = report::publication(&self.pipeline, self.published, &self.hub);
                let _ = answer.send(Report { collections, publication });
            }
            Question::Explain(object, answer) => {
                let _ = answer.send(explain::explain(&self.pipeline, &object));
            }
            Question::Held(answer) => {
                let _ = answer.send(self.door.held());
            }
            Question::Stop => return None,
        }
        Some(())
    }
}
