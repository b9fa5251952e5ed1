//! What the door knows of the objects it let in: what they offer, what they refer to, and who refers to them.
//!
//! Narrow facts only: no secret's bytes and no spec is kept here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use arcstr::ArcStr;

use crate::model::references::references;
use crate::model::{HttpRoute, Kind, Object, ObjectKey, ObjectRef, Protocol, ReferenceGrant, ServiceType, Want};

/// One reference of an object's spec, as far as it can dangle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    /// What is referred to.
    pub(super) target: ObjectRef,
    /// The port that a Service has to have.
    pub(super) port: Option<u16>,
    /// It crosses namespaces and is good only with a ReferenceGrant.
    pub(super) by_consent: bool,
}

/// What the door keeps of one object.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// A Service's ports.
    ports: Vec<u16>,
    /// Those of them that can have endpoints.
    routable: Vec<u16>,
    /// A ReferenceGrant as a whole.
    grant: Option<Arc<ReferenceGrant>>,
    /// A GatewayClass of ours.
    pub(super) is_ours: bool,
    /// What it refers to.
    pub(super) references: Vec<Reference>,
}

/// Whether objects of this kind can be an end of a reference. The others (pods above all) are never held.
pub(super) const fn is_watched(kind: Kind) -> bool {
    match kind {
        Kind::GatewayClass
        | Kind::Gateway
        | Kind::HttpRoute
        | Kind::ReferenceGrant
        | Kind::Service
        | Kind::Secret
        | Kind::ConfigMap => true,
        Kind::Namespace | Kind::Pod | Kind::EndpointSlice => false,
    }
}

impl Facts {
    /// What counts of this object.
    pub(super) fn of(object: &ObjectRef, value: &Object) -> Self {
        let mut facts = Self::default();
        match value {
            Object::Service(service) => {
                let is_cluster = matches!(service.kind, ServiceType::Cluster);
                let routable = service.ports.iter().filter(|port| is_cluster && port.protocol == Protocol::Tcp);
                facts.routable = routable.map(|port| port.port).collect();
                facts.ports = service.ports.iter().map(|port| port.port).collect();
            }
            Object::ReferenceGrant(grant) => facts.grant = Some(Arc::clone(grant)),
            Object::GatewayClass(class) => facts.is_ours = class.is_ours(),
            _ => {}
        }
        for target in references(&object.key, value) {
            if !is_watched(target.kind) {
                continue;
            }
            // Gateways consent to routes by `allowedRoutes` and classes to nobody: only what is used across namespaces needs a grant.
            let is_used = target.kind == Kind::Service || target.kind.is_by_object();
            let by_consent = is_used && target.key.namespace != object.key.namespace;
            match value {
                Object::HttpRoute(route) if target.kind == Kind::Service => {
                    let ports = ports_of(route, &target.key);
                    let reference = |port| Reference { target: target.clone(), port, by_consent };
                    facts.references.extend(ports.into_iter().map(reference));
                }
                _ => facts.references.push(Reference { target, port: None, by_consent }),
            }
        }
        facts
    }

    /// Whether this is a ReferenceGrant that permits a reference into its namespace.
    pub(super) fn permits(&self, referrer: &ObjectRef, Reference { target, .. }: &Reference) -> bool {
        let from = (referrer.kind.group(), referrer.kind.as_str(), referrer.key.namespace.as_str());
        let to = (target.kind.group(), target.kind.as_str(), target.key.name.as_str());
        self.grant.as_ref().is_some_and(|grant| grant.permits(from, to))
    }
}

/// The ports of a Service that a route's backends name, in rules that have an effect.
fn ports_of(route: &HttpRoute, service: &ObjectKey) -> BTreeSet<Option<u16>> {
    let backends = route.rules.iter().filter(|rule| rule.problems.is_empty()).flat_map(|rule| &rule.backends);
    let named = backends.filter(|backend| {
        backend.target == *service && Kind::find(&backend.group, &backend.kind) == Some(Kind::Service)
    });
    named.map(|backend| backend.port).collect()
}

/// Why a reference dangles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// Its target is not there.
    Target,
    /// Its target has no such port.
    Port,
    /// No ReferenceGrant permits it.
    Consent,
}

/// Something in which references can be looked up.
pub(super) trait View {
    /// What is known of an object, if it is there.
    fn facts(&self, object: &ObjectRef) -> Option<&Facts>;

    /// The ReferenceGrants of a namespace.
    fn grants(&self, namespace: &ArcStr) -> impl Iterator<Item = &Facts>;

    /// Whether the target of a reference is there, with its port.
    fn offers(&self, Reference { target, port, .. }: &Reference) -> bool {
        self.facts(target).is_some_and(|facts| port.is_none_or(|port| facts.ports.contains(&port)))
    }

    /// What a reference of `referrer` lacks; `None` when it resolves.
    fn lack(&self, referrer: &ObjectRef, reference: &Reference) -> Option<Lack> {
        if !self.offers(reference) {
            return Some(if self.facts(&reference.target).is_some() { Lack::Port } else { Lack::Target });
        }
        (!self.permits(referrer, reference)).then_some(Lack::Consent)
    }

    /// Whether a reference of `referrer` needs no consent or has it.
    fn permits(&self, referrer: &ObjectRef, reference: &Reference) -> bool {
        let mut grants = self.grants(&reference.target.key.namespace);
        !reference.by_consent || grants.any(|facts| facts.permits(referrer, reference))
    }
}

/// The ReferenceGrants of a namespace among sorted objects.
pub(super) fn grants_among<'a, V>(
    rows: &'a BTreeMap<ObjectRef, V>,
    namespace: &ArcStr,
) -> impl Iterator<Item = (&'a ObjectRef, &'a V)> + use<'a, V> {
    let namespace = namespace.clone();
    let first = ObjectRef::new(Kind::ReferenceGrant, ObjectKey::new(namespace.clone(), ArcStr::new()));
    rows.range((Bound::Included(first), Bound::Unbounded))
        .take_while(move |(object, _)| object.kind == Kind::ReferenceGrant && object.key.namespace == namespace)
}

/// What a referrer, or a change that waits, can be found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// An object.
    Object(ObjectRef),
    /// The ReferenceGrants of a namespace.
    Grants(ArcStr),
    /// What is to be read.
    Want(Want),
}

impl Topic {
    /// What a change of this object is about.
    pub(super) fn of(object: &ObjectRef) -> Topic {
        match object.kind {
            Kind::ReferenceGrant => Topic::Grants(object.key.namespace.clone()),
            _ => Topic::Object(object.clone()),
        }
    }
}

/// Everything that was let in.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: BTreeMap<ObjectRef, Arc<Facts>>,
    referrers: BTreeMap<Topic, BTreeSet<ObjectRef>>,
    /// The Service ports that have endpoints, as the graph says.
    backed: BTreeSet<(ObjectKey, u16)>,
}

impl Table {
    /// The object is now this, or gone.
    pub(super) fn set(&mut self, object: &ObjectRef, facts: Option<Arc<Facts>>) {
        let old = match facts.clone() {
            Some(facts) => self.rows.insert(object.clone(), facts),
            None => self.rows.remove(object),
        };
        for topic in old.iter().flat_map(|facts| topics(facts)) {
            if let Some(referrers) = self.referrers.get_mut(&topic) {
                referrers.remove(object);
                if referrers.is_empty() {
                    self.referrers.remove(&topic);
                }
            }
        }
        for topic in facts.iter().flat_map(|facts| topics(facts)) {
            self.referrers.entry(topic).or_default().insert(object.clone());
        }
    }

    /// A Service port has endpoints from here on, or none.
    pub(super) fn back(&mut self, service: ObjectKey, port: u16, has_endpoints: bool) {
        if has_endpoints {
            self.backed.insert((service, port));
        } else {
            self.backed.remove(&(service, port));
        }
    }

    fn is_backed(&self, service: &ObjectKey, port: u16) -> bool {
        self.backed.contains(&(service.clone(), port))
    }

    /// Whether nothing is known, and nobody refers to anything.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.referrers.is_empty() && self.backed.is_empty()
    }

    /// Every object that refers to something.
    pub(super) fn referring(&self) -> impl Iterator<Item = &ObjectRef> {
        self.rows.iter().filter(|(_, facts)| !facts.references.is_empty()).map(|(object, _)| object)
    }

    /// Who refers to what a change of `object` is about.
    pub(super) fn referrers(&self, object: &ObjectRef) -> impl Iterator<Item = &ObjectRef> {
        self.referrers.get(&Topic::of(object)).into_iter().flatten()
    }
}

/// What an object's references depend on.
fn topics(facts: &Facts) -> impl Iterator<Item = Topic> {
    facts.references.iter().flat_map(|reference| {
        let consent = reference.by_consent.then(|| Topic::Grants(reference.target.key.namespace.clone()));
        std::iter::once(Topic::Object(reference.target.clone())).chain(consent)
    })
}

impl View for Table {
    fn facts(&self, object: &ObjectRef) -> Option<&Facts> {
        self.rows.get(object).map(|facts| &**facts)
    }

    fn grants(&self, namespace: &ArcStr) -> impl Iterator<Item = &Facts> {
        grants_among(&self.rows, namespace).map(|(_, facts)| &**facts)
    }
}

/// What objects would become; `None` is gone.
pub(super) type Changes = BTreeMap<ObjectRef, Option<Arc<Facts>>>;

/// The table as it would be with some changes let in.
#[derive(Debug, Clone, Copy)]
pub(super) struct With<'a> {
    pub(super) table: &'a Table,
    pub(super) changes: &'a Changes,
}

impl With<'_> {
    /// Whether endpoints may still come to what a reference leads to: its Service is new, or has the port and no endpoint. A port
    /// that is new does not count: its Service may have to wait for the referrer, which then must not wait for the Service.
    pub(super) fn may_be_backed_soon(&self, reference: &Reference) -> bool {
        let Some(port) = reference.port else { return false };
        let can_be = self.facts(&reference.target).is_some_and(|facts| facts.routable.contains(&port));
        let is_new_port = self.table.facts(&reference.target).is_some() && !self.table.offers(reference);
        can_be && !is_new_port && !self.table.is_backed(&reference.target.key, port)
    }

    /// Whether the change of `object` could take anything from anyone. An ordinary update does not, and then its referrers,
    /// who may be many, need not be asked.
    pub(super) fn takes(&self, object: &ObjectRef) -> bool {
        let Some(old) = self.table.facts(object) else { return false };
        let Some(new) = self.facts(object) else { return true };
        old.grant != new.grant || !old.ports.iter().all(|port| new.ports.contains(port))
    }
}

impl View for With<'_> {
    fn facts(&self, object: &ObjectRef) -> Option<&Facts> {
        match self.changes.get(object) {
            Some(change) => change.as_deref(),
            None => self.table.facts(object),
        }
    }

    fn grants(&self, namespace: &ArcStr) -> impl Iterator<Item = &Facts> {
        let kept = grants_among(&self.table.rows, namespace).filter(|(object, _)| !self.changes.contains_key(object));
        let changed = grants_among(self.changes, namespace).filter_map(|(_, facts)| facts.as_deref());
        kept.map(|(_, facts)| &**facts).chain(changed)
    }
}
