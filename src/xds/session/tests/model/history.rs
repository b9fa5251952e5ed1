//! A history: what happens, in which order, and how long it takes. It is made before it is played, so that parts of one
//! that fails can be left out until only what is needed for the failure is left.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::envoy::{Envoy, Habits};
use super::network::Wire;
use super::random::Random;
use super::watch::{Published, Watch, parts};
use super::world::{Mix, World};
use crate::resource::{Ref, Resource, ResourceType};
use crate::snapshot::ResourceSet;
use crate::xds::message::{Request, Response, Variant};
use crate::xds::session::{Doubts, Limits, Past, Session};

/// The longest that everything may take to become quiet when nothing happens any more, if no response is cut.
const QUIET: Duration = Duration::from_secs(120);

#[derive(Debug, Clone)]
pub(super) enum Step {
    Publish(Rc<Published>),
    /// Time passes.
    Wait(u64),
    /// Time passes until nothing is to be said, ten seconds at most.
    Settle,
    /// The stream is lost, and there is another one after so many milliseconds.
    Lose {
        away: u64,
        to: Process,
    },
}

/// Where a stream goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// The process that had the first stream: it remembers what earlier ones left unknown, and what was published.
    Home,
    /// Another one, which remembers what was published.
    Replica,
    /// One that has just begun.
    New,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) seed: u64,
    pub(super) variant: Variant,
    habits: Habits,
    mix: Mix,
    /// The longest that a message is under way, in milliseconds.
    lag: u64,
    limits: Limits,
    first: Rc<Published>,
    pub(super) steps: Vec<Step>,
    last: Rc<Published>,
}

/// A round trip takes so long at most for a client that answers within the hold, whatever has to be asked for on the way.
const PROMPT: u64 = 150;

fn published(world: World) -> Rc<Published> {
    let snapshot = world.snapshot();
    Rc::new(Published { world, snapshot })
}

impl History {
    pub(super) fn random(variant: Variant, seed: u64) -> History {
        let mut random = Random::new(seed);
        let mix = Mix { refused: random.one_in(3), stuck: random.one_in(8), absent: random.one_in(8) };
        let lag = if random.one_in(5) { 8_000 } else { [5, 50, PROMPT][random.below(3) as usize] };
        let habits = Habits {
            fetch_timeout: random.one_in(8).then_some(Duration::from_secs(15)),
            answers_first: random.one_in(2),
        };
        let first = published(World::first(&mut random));
        let mut worlds = vec![first.clone()];
        let steps = (0..6 + random.below(14)).map(|_| Step::random(&mut random, mix, &mut worlds)).collect();
        let last = published(worlds[worlds.len() - 1].world.mended(&mut random));
        History { seed, variant, habits, mix, lag, limits: Limits::default(), first, steps, last }
    }

    /// With responses that hold so many resources at most.
    pub(super) fn cut_at(mut self, resources: usize) -> History {
        // Each of them is larger than that; two of them are not as large as four of these.
        const RESOURCE: usize = 160;
        self.limits.response = RESOURCE * resources + RESOURCE / 2;
        self
    }

    /// Plays it.
    ///
    /// # Errors
    /// What should not have been.
    pub(super) fn play(&self) -> Result<(), String> {
        Play::new(self, false).run().map_err(|(why, _)| why)
    }

    /// The shortest history found that fails too, leaving out one step after the other, and its log.
    pub(super) fn explained(&self) -> String {
        let mut short = self.clone();
        let mut at = short.steps.len();
        while at > 0 {
            at -= 1;
            let mut shorter = short.clone();
            shorter.steps.remove(at);
            if shorter.play().is_err() {
                short = shorter;
            }
        }
        let (why, log) = Play::new(&short, true).run().expect_err("it failed just now");
        let History { seed, variant, habits, mix, lag, .. } = self;
        let head = format!("{} seed {seed}: {why}\n{habits:?} {mix:?}, lag {lag} ms", variant.as_str());
        format!("{head}\n{}\n", log.join("\n"))
    }
}

impl Step {
    fn random(random: &mut Random, mix: Mix, worlds: &mut Vec<Rc<Published>>) -> Step {
        match random.below(20) {
            0..10 => {
                let back = random.below(4.min(worlds.len() as u64)) as usize;
                let next = if random.one_in(8) {
                    worlds[worlds.len() - 1 - back].clone()
                } else {
                    published(worlds[worlds.len() - 1].world.next(random, mix))
                };
                worlds.push(next.clone());
                Step::Publish(next)
            }
            10..14 => Step::Wait(random.below(400)),
            14..16 => Step::Wait(random.below(7_000)),
            16..18 => Step::Settle,
            _ => {
                let away = random.below(2) * random.below(1_000);
                let to = match random.below(6) {
                    0 => Process::New,
                    1 => Process::Replica,
                    _ => Process::Home,
                };
                Step::Lose { away, to }
            }
        }
    }
}

/// One history under way.
struct Play<'h> {
    history: &'h History,
    random: Random,
    start: Instant,
    now: Instant,
    envoy: Envoy,
    /// None while there is no stream.
    session: Option<Session>,
    /// When there is a stream again, and where.
    again: Option<(Instant, Process)>,
    /// Where the stream is, or was last.
    at: Process,
    /// What streams to that process left unknown.
    doubts: Doubts,
    past: Past,
    up: Wire<Request>,
    down: Wire<Response>,
    streams: u64,
    connected: Instant,
    current: Rc<Published>,
    watch: Watch,
    log: Option<Vec<String>>,
}

impl<'h> Play<'h> {
    fn new(history: &'h History, logs: bool) -> Play<'h> {
        let start = Instant::now();
        Play {
            history,
            random: Random::new(history.seed ^ 0x5eed),
            start,
            now: start,
            envoy: Envoy::new(history.variant, history.habits),
            session: None,
            again: None,
            at: Process::Home,
            doubts: Doubts::new(),
            past: Past::default(),
            up: Wire::new(history.lag),
            down: Wire::new(history.lag),
            streams: 0,
            connected: start,
            current: history.first.clone(),
            watch: Watch::new(&history.first, history.limits),
            log: logs.then(Vec::new),
        }
    }

    fn run(mut self) -> Result<(), (String, Vec<String>)> {
        let result = self.all();
        result.map_err(|why| (why, self.log.unwrap_or_default()))
    }

    fn all(&mut self) -> Result<(), String> {
        let first = self.current.clone();
        self.say(|| format!("publish {}", first.world));
        self.connect(Process::Home);
        self.settle(Duration::from_secs(10))?;
        let history = self.history;
        for step in &history.steps {
            match step {
                Step::Publish(next) => self.publish(next)?,
                Step::Wait(millis) => self.pass(Duration::from_millis(*millis))?,
                Step::Settle => {
                    self.settle(Duration::from_secs(10))?;
                }
                Step::Lose { away, to } => self.lose(Duration::from_millis(*away), *to),
            }
            self.check()?;
        }
        self.publish(&history.last)?;
        // The stream was lost while a cluster was warming that never becomes warm: Envoy asks for no others on the next.
        let is_lost = |envoy: &Envoy| envoy.asks_for_no_clusters() && envoy.holdings.never_warms();
        if self.settle(QUIET * parts(history.limits))? || is_lost(&self.envoy) {
            return Ok(());
        }
        Err(format!("it does not become quiet: {}", self.unrest()))
    }

    fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut self.log {
            log.push(format!("{:>7} {}", (self.now - self.start).as_millis(), line()));
        }
    }

    // ---- steps

    fn publish(&mut self, next: &Rc<Published>) -> Result<(), String> {
        self.say(|| format!("publish {}", next.world));
        self.past.note(&self.current.snapshot, &next.snapshot, self.now);
        self.current = next.clone();
        self.watch.published(next);
        if let Some(session) = &mut self.session {
            session.on_snapshot(&next.snapshot, self.now);
        }
        self.collect()
    }

    fn lose(&mut self, away: Duration, to: Process) {
        self.say(|| format!("the stream is lost for {} ms", away.as_millis()));
        if let Some(session) = self.session.take().filter(|_| self.at == Process::Home) {
            for (kind, names) in session.doubts() {
                self.doubts.entry(kind).or_default().extend(names);
            }
        }
        self.again = Some((self.now + away, to));
        self.up.cut();
        self.down.cut();
        self.envoy.lose();
    }

    fn connect(&mut self, to: Process) {
        let is_home = to == Process::Home;
        let doubts = if is_home { std::mem::take(&mut self.doubts) } else { Doubts::new() };
        let past = if to == Process::New { Past::default() } else { self.past.clone() };
        self.say(|| format!("connects to {to:?}: {doubts:?}"));
        if self.streams > 0 {
            self.note_losses(is_home && self.at == Process::Home);
        }
        (self.at, self.again) = (to, None);
        self.streams += 1;
        self.connected = self.now;
        let prefix = self.streams.to_string();
        let snapshot = &self.current.snapshot;
        let session = Session::new(self.history.variant, prefix, snapshot, self.history.limits, doubts);
        self.session = Some(session.remembering(Arc::new(past)));
        self.watch.connected();
        let requests = self.envoy.connect();
        self.send(requests);
    }

    /// What no server could know from what this client says when it reconnects: what it holds in another version than
    /// it says, since a refused response was applied in part and its new server has not heard of that.
    fn note_losses(&mut self, is_known: bool) {
        let snapshot = self.current.snapshot.clone();
        for kind in ResourceType::ALL {
            let (holdings, mux) = self.envoy.holdings_and_mux(kind);
            let held = holdings.held(kind);
            let mut lied: BTreeSet<Ref> = BTreeSet::new();
            if self.history.variant == Variant::Delta {
                let is_wrong = |resource: &&Arc<Resource>| match mux.said(&resource.name) {
                    Some(said) => said != resource.version.to_string(),
                    None => mux.is_wildcard(),
                };
                lied.extend(held.iter().filter(is_wrong).map(|resource| Ref::new(kind, resource.name.clone())));
            } else if mux.is_wildcard() {
                let set: ResourceSet = held.iter().cloned().collect();
                if set.version().to_string() != mux.said_of_all() {
                    let all = set.iter().chain(snapshot.set(kind).iter());
                    lied.extend(all.map(|resource| Ref::new(kind, resource.name.clone())));
                }
            }
            if !is_known {
                holdings.harmed.extend(lied.iter().cloned());
                holdings.lied.append(&mut lied);
            }
        }
    }

    /// A first request in state of the world does not say which clusters and listeners the client holds. A process that did
    /// not see them go takes them away before the routes that may still lead to them.
    fn note_unsaid(&mut self, request: &Request) {
        let is_unsaid = self.history.variant == Variant::StateOfTheWorld && request.nonce.is_empty();
        if is_unsaid && (self.at == Process::New || request.kind == ResourceType::Listener) {
            let there = self.current.snapshot.set(request.kind);
            let held = self.envoy.holdings.held(request.kind);
            let gone = held.iter().filter(|resource| !there.contains(&resource.name));
            self.envoy.holdings.harmed.extend(gone.map(|resource| Ref::new(request.kind, resource.name.clone())));
        }
        if self.envoy.asks_for_no_clusters() {
            // A cluster that was warming when the stream was lost and is gone: Envoy waits for its load assignment before it
            // asks for anything that could replace it.
            let there = self.current.snapshot.set(ResourceType::ClusterLoadAssignment);
            let lost = self.envoy.holdings.awaited_assignments().filter(|key| !there.contains(&key.name));
            let lost: Vec<Ref> = lost.collect();
            self.envoy.holdings.harmed.extend(lost);
        }
    }

    /// Lets time pass until nothing is to be said. Says whether that came to be.
    fn settle(&mut self, limit: Duration) -> Result<bool, String> {
        let end = self.now + limit;
        while !self.is_quiet() {
            let Some(next) = self.next_event().filter(|next| *next <= end) else { return Ok(false) };
            self.advance(next)?;
        }
        self.say(|| "quiet".to_owned());
        self.watch.quiet(&mut self.envoy, &self.current.clone())?;
        Ok(true)
    }

    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now + time;
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.advance(next)?;
        }
        self.now = end;
        Ok(())
    }

    // ---- events

    fn next_event(&self) -> Option<Instant> {
        let session = self.session.as_ref().and_then(|session| session.next_deadline(self.now));
        let again = self.again.map(|(at, _)| at);
        [self.up.due(), self.down.due(), session, self.envoy.deadline(), again].into_iter().flatten().min()
    }

    fn advance(&mut self, to: Instant) -> Result<(), String> {
        self.now = self.now.max(to);
        if let Some((_, to)) = self.again.filter(|(at, _)| *at <= self.now) {
            self.connect(to);
        }
        while let Some(request) = self.up.take(self.now) {
            self.say(|| format!("      ← {}", super::log::request(&request)));
            self.watch.on_request(&request);
            self.note_unsaid(&request);
            if let Some(session) = &mut self.session {
                session.on_request(request, self.now).map_err(|error| error.to_string())?;
            }
            self.collect()?;
        }
        while let Some(response) = self.down.take(self.now) {
            self.say(|| format!("  takes {}", super::log::response(&response)));
            let undecodable = self.random.one_in(2);
            let reaction = self.envoy.on_response(&response, undecodable, self.now);
            if reaction.refused {
                self.say(|| format!("  refuses it{}", if undecodable { " as a whole" } else { "" }));
            }
            self.send(reaction.requests);
            self.check()?;
        }
        if self.envoy.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.say(|| "  gives up waiting".to_owned());
            let requests = self.envoy.on_time(self.now);
            self.send(requests);
        }
        if let Some(session) = &mut self.session {
            session.on_tick(self.now);
            if session.next_deadline(self.now).is_some_and(|deadline| deadline <= self.now) {
                return Err("a deadline that has passed would be waited for again and again".to_owned());
            }
        }
        self.collect()?;
        self.check()
    }

    fn send(&mut self, requests: Vec<Request>) {
        for request in requests {
            self.up.put(request, self.now, &mut self.random);
        }
    }

    fn collect(&mut self) -> Result<(), String> {
        self.session.iter().for_each(Session::check_counts);
        let responses = self.session.as_mut().map(Session::poll_responses).unwrap_or_default();
        for response in responses {
            self.say(|| format!("      → {}", super::log::response(&response)));
            self.watch.on_response(&response, self.now)?;
            self.down.put(response, self.now, &mut self.random);
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        let prompt = self.history.lag <= PROMPT && !self.is_stranded();
        // What the client drops and asks for again meanwhile is not known to the session.
        let knows_all = self.up.due().is_none();
        self.watch.always(&self.envoy, self.session.as_ref().filter(|_| knows_all), prompt)
    }

    fn is_quiet(&self) -> bool {
        self.up.due().is_none() && self.down.due().is_none() && self.envoy.is_quiet() && {
            let rests = |session: &Session| {
                let nothing_open = session.progress().iter().all(|progress| progress.open == 0);
                session.is_idle() && nothing_open && session.next_deadline(self.now).is_none()
            };
            self.session.as_ref().is_some_and(rests)
        }
    }

    /// Whether the stream was lost while a cluster was warming that waits for what does not exist any more: Envoy asks for
    /// no clusters on the next one before it is told that there are no endpoints.
    fn is_stranded(&self) -> bool {
        self.envoy.asks_for_no_clusters() && self.now >= self.connected + Limits::default().hold
    }

    /// Why it is not quiet.
    fn unrest(&self) -> String {
        let warming: Vec<String> = self.envoy.holdings.warming().map(ToString::to_string).collect();
        let progress = self.session.iter().flat_map(Session::progress);
        let open: Vec<String> = progress
            .filter(|progress| progress.open > 0)
            .map(|progress| format!("{} {}", progress.open, progress.kind))
            .collect();
        format!("open [{}], warming [{}]", open.join(", "), warming.join(", "))
    }
}
