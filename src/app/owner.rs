//! The one thread that owns door, graph and world: mailbox in, published worlds out.
//!
//! Nothing else touches the graph. Whoever wants to know something asks with a question over a bounded channel and is
//! answered between two epochs.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use arcstr::ArcStr;
use tokio::sync::{mpsc, oneshot, watch};

use super::{collections::Collections, explain, pipeline::Pipeline, problems::Problems, report, views::Views};
use crate::{
    admin::Beat,
    ingest::{Door, LetIn, Mailbox, Sender, Taken},
    metrics,
    model::{ObjectRef, Wants},
    proto,
    readiness::{Layer, Part, Readiness},
    xds::Hub,
};

/// The longest sleep: the heartbeat and the statistics want to be heard at least this often.
const BEAT: Duration = Duration::from_secs(1);

/// How often the picture of what is held is replaced at most while it changes: each costs the number of held changes.
const HELD: Duration = Duration::from_millis(50);

/// How long an answer is waited for: longer than any epoch takes, shorter than the patience of who asks.
const PATIENCE: Duration = Duration::from_secs(5);

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
    Stop,
}

/// The graph and the publication at one moment.
#[derive(Debug)]
pub struct Report {
    /// Every node, in topological order.
    pub collections: Vec<proto::Collection>,
    /// What is served.
    pub publication: proto::Publication,
    /// What is wrong with files as a whole.
    pub file_problems: Vec<String>,
}

impl Owner {
    /// The state of graph and publication; `None` when the thread does not answer.
    pub async fn report(&self) -> Option<Report> {
        self.ask(Question::Report).await
    }

    /// What an object became; `None` when the thread does not answer.
    pub async fn explain(&self, object: ObjectRef) -> Option<(bool, String)> {
        self.ask(|answer| Question::Explain(object, answer)).await
    }

    /// Tells the thread to end.
    pub async fn stop(&self) {
        // An error means that it has ended already.
        let _ = self.questions.send(Question::Stop).await;
        self.waker.wake();
    }

    async fn ask<A>(&self, question: impl FnOnce(oneshot::Sender<A>) -> Question) -> Option<A> {
        let (sender, answer) = oneshot::channel();
        let answered = async {
            self.questions.send(question(sender)).await.ok()?;
            self.waker.wake();
            answer.await.ok()
        };
        tokio::time::timeout(PATIENCE, answered).await.ok().flatten()
    }
}

/// Where the thread's work is seen.
#[derive(Debug)]
pub struct Outlets {
    /// Takes published worlds to the streams.
    pub hub: Arc<Hub>,
    /// Takes pictures to the debug pages.
    pub views: Views,
    /// Counts problems.
    pub problems: Problems,
    /// Says that the thread lives.
    pub heart: Beat,
    /// Tells the sources what else to read.
    pub wants: watch::Sender<Wants>,
}

/// A thread of which it is noticed when it ends.
#[derive(Debug)]
pub struct Thread {
    /// Closed when the thread has ended.
    alive: watch::Receiver<()>,
}

impl Thread {
    fn start(name: &str, run: impl FnOnce() + Send + 'static) -> anyhow::Result<Self> {
        let (living, alive) = watch::channel(());
        let run = move || {
            // Dropped when the thread ends, by a panic too.
            let _living = living;
            run();
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .with_context(|| format!("starting the thread {name:?}"))?;
        Ok(Self { alive })
    }

    /// Completes when the thread has ended, in whatever way.
    pub async fn ended(mut self) {
        while self.alive.changed().await.is_ok() {}
    }
}

/// Starts the thread; it ends when told to.
///
/// # Errors
/// When the operating system refuses a thread.
pub fn spawn(
    mailbox: Mailbox,
    waker: Sender,
    readiness: &Readiness,
    outlets: Outlets,
) -> anyhow::Result<(Owner, Thread)> {
    let (questions, asked) = mpsc::channel(QUESTIONS);
    let pipeline = Pipeline::new();
    let publication = readiness.register(Layer::Publication, "snapshot");
    publication.waiting("the first complete snapshot is not published");
    let owner = OwnerThread {
        door: Door::new(),
        collections: Collections::register(&pipeline.graph, readiness),
        pipeline,
        mailbox,
        asked,
        publication,
        published: None,
        unpublished: BTreeSet::new(),
        outlets,
        counted: None,
        held_shown: (0, Instant::now()),
    };
    owner.outlets.views.show_held(&[], Instant::now());
    let thread = Thread::start("graph", || owner.run())?;
    Ok((Owner { questions, waker: Arc::new(waker) }, thread))
}

struct OwnerThread {
    mailbox: Mailbox,
    asked: mpsc::Receiver<Question>,
    door: Door,
    pipeline: Pipeline,
    collections: Collections,
    publication: Part,
    published: Option<Instant>,
    /// Gateways that changed since, in epochs that were not complete.
    unpublished: BTreeSet<ArcStr>,
    outlets: Outlets,
    /// When the statistics were written last.
    counted: Option<Instant>,
    /// How many held changes were shown last, and when.
    held_shown: (usize, Instant),
}

impl OwnerThread {
    fn run(mut self) {
        loop {
            self.beat();
            let taken = self.mailbox.take(self.patience());
            let mut began = Instant::now();
            match taken {
                Taken::Closed => return,
                Taken::Arrivals(arrivals) => self.door.offer(arrivals, began),
            }
            // What an epoch found endpoints for goes in with the next one.
            while self.let_in(began) {
                began = Instant::now();
            }
            self.show_held(Instant::now());
            while let Ok(question) = self.asked.try_recv() {
                if self.answer(question).is_none() {
                    return;
                }
            }
        }
    }

    /// Lets in what may pass. Says whether something else may pass because of it.
    fn let_in(&mut self, began: Instant) -> bool {
        let awaited = self.door.newly_awaited();
        if !awaited.is_empty() {
            self.door.back(self.pipeline.await_ports(&awaited));
        }
        let let_in = self.door.ready(Instant::now());
        // Ahead of the epoch: the sources read while it runs.
        if let Some(wants) = self.door.new_wants() {
            self.outlets.wants.send_replace(wants);
        }
        !let_in.is_empty() && self.epoch(let_in, began)
    }

    /// How long to sleep when nothing comes.
    fn patience(&self) -> Duration {
        let now = Instant::now();
        self.door.next_deadline().map_or(BEAT, |deadline| deadline.saturating_duration_since(now).min(BEAT))
    }

    fn beat(&mut self) {
        let now = Instant::now();
        self.outlets.heart.beat(now);
        if self.counted.is_none_or(|counted| now.saturating_duration_since(counted) >= BEAT) {
            self.count(now);
        }
    }

    fn count(&mut self, now: Instant) {
        self.counted = Some(now);
        report::export(&self.pipeline);
        self.outlets.problems.export(self.pipeline.troubled());
        self.outlets.views.show_graph(&self.pipeline);
    }

    /// Shows what is held as soon as anything is, and no longer than it is: holds are shorter than a beat.
    fn show_held(&mut self, now: Instant) {
        let count = self.door.held_count();
        let (shown, at) = self.held_shown;
        let is_news = (count == 0) != (shown == 0);
        if is_news || (count > 0 && now.saturating_duration_since(at) >= HELD) {
            self.held_shown = (count, now);
            self.outlets.views.show_held(&self.door.held(), now);
        }
    }

    /// One epoch, of which the work `began` then, and its publication once everything is complete (invariant `gated`). Says whether it frees
    /// anything at the door.
    fn epoch(&mut self, let_in: LetIn, began: Instant) -> bool {
        let applied = self.pipeline.apply(&let_in.events);
        metrics::epoch(applied.took, let_in.events.len());
        self.collections.settle(&self.pipeline.graph);
        self.unpublished.extend(applied.changed);
        if applied.judged {
            self.outlets.problems.changed();
        }
        if self.pipeline.complete() && (self.published.is_none() || !self.unpublished.is_empty()) {
            let is_derived = Instant::now();
            self.publish(let_in.arrived);
            metrics::propagation_stage("graph", is_derived.saturating_duration_since(began));
            metrics::propagation_stage("publish", is_derived.elapsed());
        }
        self.door.back(applied.backings)
    }

    fn publish(&mut self, arrived: Option<Instant>) {
        let changed: Vec<ArcStr> = std::mem::take(&mut self.unpublished).into_iter().collect();
        let world = self.pipeline.world();
        self.outlets.hub.publish(world.clone(), &changed, arrived);
        if self.published.replace(Instant::now()).is_none() {
            tracing::info!(
                gateways = world.len(),
                epochs = self.pipeline.epochs(),
                "first complete snapshot published"
            );
            self.publication.ready();
            self.count(Instant::now());
        }
    }

    /// `None` when the thread is to end. An answer that nobody waits for any more is dropped.
    fn answer(&self, question: Question) -> Option<()> {
        match question {
            Question::Report(answer) => {
                let collections = report::collections(&self.pipeline);
                let publication = report::publication(&self.pipeline, self.published, &self.outlets.hub);
                let file_problems = report::file_problems(&self.outlets.problems.found());
                let _ = answer.send(Report { collections, publication, file_problems });
            }
            Question::Explain(object, answer) => {
                let found = self.outlets.problems.found();
                let _ = answer.send(explain::explain(&self.pipeline, &found.problems, &object));
            }
            Question::Stop => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
