//! Demands against a naive model: random changes, answers, coverages and waits, with everything worked out anew at each
//! step from plain maps.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::model::references::references;

/// The world as plain maps.
type World = BTreeMap<ObjectRef, Object>;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Offer(Vec<Event>),
    Firm(Vec<Event>),
    /// The want at this place among those that there are is answered.
    Answer(usize, Answer),
    /// Somebody answers what perhaps nobody asked.
    Stray(Want, Answer),
    Cover(Coverage),
    /// Every kind that is not on demand is listed.
    List,
    Wait(u64),
}

const SERVICES: [&str; 4] = ["shop/a", "shop/b", "apps/c", "apps/d"];
const SECRETS: [&str; 3] = ["shop/s", "shop/t", "certs/c"];
const GATEWAYS: [&str; 2] = ["shop/g", "edge/h"];
const ROUTES: [&str; 3] = ["shop/r", "shop/q", "edge/p"];

fn one_of(names: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(names)
}

fn event() -> impl Strategy<Value = Event> {
    let backends = prop::collection::vec((one_of(&SERVICES), Just(80_u16)), 0..3);
    let secrets = prop::collection::vec(one_of(&SECRETS), 0..3);
    let from = || one_of(&["shop", "edge"]);
    let grants =
        [(Kind::Service, "apps/g"), (Kind::Service, "shop/g"), (Kind::Secret, "certs/g"), (Kind::Secret, "shop/h")];
    let grant = (prop::sample::select(grants.to_vec()), from()).prop_map(|((target, name), from)| {
        let referrer = if target == Kind::Secret { Kind::Gateway } else { Kind::HttpRoute };
        grant_of(name, (referrer, from), target)
    });
    let grant_gone = one_of(&["apps/g", "shop/g", "certs/g", "shop/h"]);
    prop_oneof![
        5 => (one_of(&ROUTES), backends).prop_map(|(name, backends)| route(name, &backends)),
        4 => (one_of(&GATEWAYS), secrets).prop_map(|(name, secrets)| gateway(name, &secrets)),
        2 => one_of(&SERVICES).prop_map(|name| service(name, &[80])),
        2 => one_of(&SECRETS).prop_map(secret),
        3 => grant,
        1 => one_of(&SERVICES).prop_map(|name| delete(Kind::Service, name)),
        1 => one_of(&SECRETS).prop_map(|name| delete(Kind::Secret, name)),
        1 => one_of(&ROUTES).prop_map(|name| delete(Kind::HttpRoute, name)),
        1 => one_of(&GATEWAYS).prop_map(|name| delete(Kind::Gateway, name)),
        1 => grant_gone.prop_map(|name| delete(Kind::ReferenceGrant, name)),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        2 => Just(Answer::Known),
        1 => one_of(&["is forbidden", "is too large"]).prop_map(|reason| Answer::Unavailable(reason.into())),
    ]
}

fn coverage() -> impl Strategy<Value = Coverage> {
    let namespaces = prop::sample::subsequence(vec!["shop", "edge", "apps", "certs"], 1..4);
    let namespaces =
        prop::option::weighted(0.7, namespaces.prop_map(|names| names.into_iter().map(ArcStr::from).collect()));
    let on_demand = prop_oneof![3 => Just(vec![Kind::Secret]), 1 => Just(vec![])];
    (on_demand, namespaces)
        .prop_map(|(on_demand, namespaces)| Coverage { on_demand, namespaces: namespaces.map(Arc::new) })
}

fn step() -> impl Strategy<Value = Step> {
    let stray = prop_oneof![
        one_of(&SECRETS).prop_map(wants_secret),
        one_of(&SERVICES).prop_map(wants_backend),
        one_of(&["apps", "certs", "shop"]).prop_map(wants_grants),
    ];
    prop_oneof![
        10 => prop::collection::vec(event(), 1..4).prop_map(Step::Offer),
        1 => prop::collection::vec(event(), 1..4).prop_map(Step::Firm),
        8 => (0..8_usize, answer()).prop_map(|(at, answer)| Step::Answer(at, answer)),
        1 => (stray, answer()).prop_map(|(want, answer)| Step::Stray(want, answer)),
        1 => coverage().prop_map(Step::Cover),
        1 => Just(Step::List),
        3 => (1..700_u64).prop_map(Step::Wait),
        1 => (700..11_000_u64).prop_map(Step::Wait),
    ]
}

fn apply(world: &mut World, event: &Event) {
    match event {
        Event::Put(object, value) => drop(world.insert(object.clone(), value.clone())),
        Event::Delete(object) => drop(world.remove(object)),
        Event::Listed(_) | Event::Answered(..) | Event::Covers(_) => {}
    }
}

/// Why a row only stands in for what could not be read.
fn reason(value: &Object) -> Option<&ArcStr> {
    match value {
        Object::Secret(secret) => secret.unavailable.as_ref(),
        Object::Service(service) => service.unavailable.as_ref(),
        Object::ReferenceGrant(grant) => grant.unavailable.as_ref(),
        _ => None,
    }
}

/// The row that would stand in for what is wanted.
fn stand_in_of(want: &Want) -> ObjectRef {
    match want {
        Want::Object(object) => object.clone(),
        Want::Backend(key) => ObjectRef::new(Kind::Service, key.clone()),
        Want::Grants(namespace) => ObjectRef::new(Kind::ReferenceGrant, ObjectKey::new(namespace.clone(), "")),
    }
}

/// The naive door: what is wanted, from plain maps, and what was answered.
struct Model {
    coverage: Coverage,
    answers: BTreeMap<Want, Option<Answer>>,
    /// Everything let in, stand-ins too.
    inside: World,
    offered: World,
    listed: Vec<Kind>,
}

impl Model {
    fn wants_in(&self, world: &World, wants: &mut BTreeSet<Want>) {
        for (name, value) in world {
            if !self.coverage.includes(&name.key.namespace) || !is_served(world, value) {
                continue;
            }
            for target in references(&name.key, value) {
                let namespace = &target.key.namespace;
                let covered = self.coverage.includes(namespace) || target.kind.is_cluster_scoped();
                if covered && !self.coverage.on_demand.contains(&target.kind) || target.kind == Kind::GatewayClass {
                    continue;
                }
                let grants = Want::Grants(namespace.clone());
                if !covered {
                    wants.insert(grants.clone());
                }
                let consent_is_known = covered || matches!(self.answers.get(&grants), Some(Some(_)));
                if consent_is_known && permitted(world, name, &target) {
                    let elsewhere = !covered && target.kind == Kind::Service;
                    wants.insert(if elsewhere { Want::Backend(target.key.clone()) } else { Want::Object(target) });
                }
            }
        }
    }

    /// Notes what is wanted now, and forgets the answers to anything else.
    fn recompute(&mut self) {
        loop {
            let mut wants = BTreeSet::new();
            let mut real = self.inside.clone();
            real.retain(|_, value| reason(value).is_none());
            self.wants_in(&real, &mut wants);
            self.wants_in(&self.offered, &mut wants);
            let answers = wants.into_iter().map(|want| {
                let answer = self.answers.get(&want).cloned().flatten();
                (want, answer)
            });
            let answers = answers.collect();
            if self.answers == answers {
                return;
            }
            self.answers = answers;
        }
    }

    /// Stand-ins are there for what is wanted and cannot be read, for nothing else, and never beside the row itself.
    fn check_stand_ins(&self) -> Result<(), TestCaseError> {
        for (want, answer) in &self.answers {
            let row = self.inside.get(&stand_in_of(want));
            match answer {
                Some(Answer::Unavailable(why)) => {
                    prop_assert!(row.is_some(), "nothing stands in for {want}");
                    prop_assert!(row.and_then(reason).is_none_or(|said| said == why), "{want} gives another reason");
                }
                Some(Answer::Known) => prop_assert!(row.is_none_or(|row| reason(row).is_none()), "{want} is known"),
                None => {}
            }
        }
        let wanted: BTreeSet<_> = self.answers.keys().map(stand_in_of).collect();
        for (name, _) in self.inside.iter().filter(|(_, value)| reason(value).is_some()) {
            prop_assert!(wanted.contains(name), "{name} stands in for what nobody wants");
        }
        Ok(())
    }
}

/// A Gateway of a class that is not ours, or not there, wants nothing.
fn is_served(world: &World, value: &Object) -> bool {
    let Object::Gateway(gateway) = value else { return true };
    let class = world.get(&ObjectRef::new(Kind::GatewayClass, ObjectKey::cluster(gateway.class.clone())));
    matches!(class, Some(Object::GatewayClass(class)) if class.is_ours())
}

fn permitted(world: &World, from: &ObjectRef, to: &ObjectRef) -> bool {
    let referrer = (from.kind.group(), from.kind.as_str(), from.key.namespace.as_str());
    let target = (to.kind.group(), to.kind.as_str(), to.key.name.as_str());
    from.key.namespace == to.key.namespace
        || world.iter().any(|(name, value)| {
            matches!(value, Object::ReferenceGrant(grant)
                if name.key.namespace == to.key.namespace && grant.permits(referrer, target))
        })
}

struct Run {
    rig: Rig,
    model: Model,
    started: bool,
}

impl Run {
    fn new() -> Self {
        let start = Instant::now();
        let model = Model {
            coverage: Coverage::default(),
            answers: BTreeMap::new(),
            inside: World::new(),
            offered: World::new(),
            listed: Vec::new(),
        };
        Self {
            rig: Rig { door: Door::new(), graph: Graph::default(), backs: true, start, now: start },
            model,
            started: false,
        }
    }

    fn take(&mut self, step: Step) -> Vec<Event> {
        let model = &mut self.model;
        match step {
            Step::Wait(millis) => {
                self.rig.now += ms(millis);
                self.rig.ready()
            }
            Step::Offer(events) => {
                events.iter().for_each(|event| apply(&mut model.offered, event));
                self.rig.offer(events)
            }
            Step::Firm(events) => {
                events.iter().for_each(|event| apply(&mut model.offered, event));
                self.rig.firmly(events)
            }
            Step::Answer(at, answer) => {
                let Some(want) = model.answers.keys().cycle().nth(at).cloned() else { return Vec::new() };
                self.take(Step::Stray(want, answer))
            }
            Step::Stray(want, answer) => {
                if let Some(known) = model.answers.get_mut(&want) {
                    *known = Some(answer.clone());
                }
                self.rig.offer(vec![Event::Answered(want, answer)])
            }
            Step::Cover(coverage) => {
                model.coverage = coverage.clone();
                self.rig.offer(vec![Event::Covers(coverage)])
            }
            Step::List => {
                let due = |kind: &Kind| !model.coverage.on_demand.contains(kind) && !model.listed.contains(kind);
                self.rig.offer(Kind::ALL.into_iter().filter(due).map(Event::Listed).collect())
            }
        }
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        let is_firm = matches!(&step, Step::Firm(_));
        let wait = if let Step::Wait(millis) = step { ms(millis) } else { ms(0) };
        let due = self.rig.door.held().iter().any(|held| held.until <= self.rig.now + wait);
        let before = self.model.inside.clone();
        let let_in = self.take(step);
        let Self { rig, model, started } = self;
        for event in &let_in {
            apply(&mut model.inside, event);
            if let Event::Listed(kind) = event {
                prop_assert!(!model.listed.contains(kind), "{kind} is listed twice");
                model.listed.push(*kind);
            }
        }
        model.recompute();
        let wants: BTreeSet<_> = rig.door.wants().keys().cloned().collect();
        prop_assert_eq!(wants, model.answers.keys().cloned().collect::<BTreeSet<_>>());
        model.check_stand_ins()?;
        let held = rig.door.held();
        let in_time = |held: &Held| held.since <= rig.now && rig.now < held.until && held.until <= held.since + DEMAND;
        prop_assert!(held.iter().all(in_time), "held too long: {held:?}");
        if *started && !is_firm && !due {
            check_patience(model, &before, &let_in)?;
        }
        *started = model.listed.len() == Kind::ALL.len();
        Ok(())
    }
}

/// No change goes in with a new reference to what is still being read.
fn check_patience(model: &Model, before: &World, let_in: &[Event]) -> Result<(), TestCaseError> {
    for event in let_in {
        let Event::Put(name, value) = event else { continue };
        let old = before.get(name).map(|old| references(&name.key, old)).unwrap_or_default();
        for target in references(&name.key, value).into_iter().filter(|target| !old.contains(target)) {
            let open = model.answers.iter().find(|(want, answer)| {
                let about = match want {
                    Want::Grants(namespace) => *namespace == target.key.namespace && name.key.namespace != *namespace,
                    _ => stand_in_of(want) == target && permitted(&model.offered, name, &target),
                };
                // A row is there before its want is answered only if somebody offered it; then it may have been given up.
                about && answer.is_none() && !model.inside.contains_key(&stand_in_of(want))
            });
            let foreign = model.coverage.includes(&name.key.namespace) && target.kind != Kind::GatewayClass;
            prop_assert!(!foreign || open.is_none(), "{name} did not wait for {open:?}");
        }
    }
    Ok(())
}

fn run(coverage: Coverage, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut run = Run::new();
    run.step(Step::Cover(coverage))?;
    run.step(Step::Offer(vec![class()]))?;
    for step in steps {
        run.step(step)?;
    }
    for step in [Step::List, Step::Wait(10_000), Step::Wait(10_000)] {
        run.step(step)?;
    }
    prop_assert!(run.started, "listed: {:?}", run.model.listed);
    prop_assert_eq!((run.rig.door.held(), run.rig.door.next_deadline()), (vec![], None));
    let mut real = run.model.inside.clone();
    real.retain(|_, value| reason(value).is_none());
    prop_assert_eq!(&real, &run.model.offered, "what is let in is in the end what was offered last");
    for (want, answer) in &run.model.answers {
        let row = run.model.inside.get(&stand_in_of(want));
        prop_assert!(answer == &Some(Answer::Known) || row.is_some(), "nothing stands in for {want}");
    }
    let gone = real.into_keys().map(Event::Delete).collect();
    run.step(Step::Offer(gone))?;
    run.step(Step::Wait(10_000))?;
    prop_assert_eq!(&run.model.inside, &World::new());
    prop_assert!(run.rig.door.is_idle(), "{:?}", run.rig.door);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// What is wanted is what the specs say, at every moment; nothing new goes in before what it refers to was read, or 10 s
    /// are over; stand-ins are there exactly for what cannot be read; nothing is lost, and nothing stays behind
    /// (`no_dangling`, `bounded`, `gone_is_gone`).
    #[test]
    fn gone_is_gone_demands_are_those_of_the_specs(
        coverage in coverage(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(coverage, steps)?;
    }
}
