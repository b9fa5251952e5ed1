//! A graph with everything in it, drawn twice: for the engine and naively. The transforms are the same; how they
//! are fed is not.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::naive::{Asked, Derived, Eye, IndexEye, Naive, derive};
use crate::graph::{Fault, Fold, Graph, GraphBuilder, Index, Input, Key, Lens, Member, Out, Rows, Stop, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) pairs: Vec<u8>,
    pub(super) group: u8,
    pub(super) secret: u8,
    pub(super) version: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) pair: u8,
    pub(super) weight: u8,
}

pub(super) type Secret = u8;

/// A row in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(String);

/// The members of a group in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing(Vec<String>);

/// Reading a collection, by the engine or naively.
pub(super) trait Get<K, V> {
    fn get(&self, key: &K) -> Result<Option<Arc<V>>, Stop>;
    fn scan(&self) -> Result<Vec<(K, Arc<V>)>, Stop>;
}

/// Reading an index, by the engine or naively.
pub(super) trait Find<I, K, V> {
    fn of(&self, index: &I) -> Result<Vec<(K, Arc<V>)>, Stop>;
    fn any(&self, index: &I) -> Result<bool, Stop>;
}

impl<K: Key, V: Value> Get<K, V> for Lens<'_, Rows<K, V>> {
    fn get(&self, key: &K) -> Result<Option<Arc<V>>, Stop> {
        Lens::get(self, key)
    }
    fn scan(&self) -> Result<Vec<(K, Arc<V>)>, Stop> {
        Lens::scan(self)
    }
}

impl<K: Key, V: Value> Get<K, V> for Eye<'_, K, V> {
    fn get(&self, key: &K) -> Result<Option<Arc<V>>, Stop> {
        Eye::get(self, key)
    }
    fn scan(&self) -> Result<Vec<(K, Arc<V>)>, Stop> {
        Eye::scan(self)
    }
}

impl<I: Key, K: Key, V: Value> Find<I, K, V> for Lens<'_, Index<I, K, V>> {
    fn of(&self, index: &I) -> Result<Vec<(K, Arc<V>)>, Stop> {
        Lens::of(self, index)
    }
    fn any(&self, index: &I) -> Result<bool, Stop> {
        Lens::any(self, index)
    }
}

impl<I: Key, K: Key, V: Value> Find<I, K, V> for IndexEye<'_, I, K, V> {
    fn of(&self, index: &I) -> Result<Vec<(K, Arc<V>)>, Stop> {
        IndexEye::of(self, index)
    }
    fn any(&self, index: &I) -> Result<bool, Stop> {
        IndexEye::any(self, index)
    }
}

/// A service is filed under its pair, one of weight 7 under the next as well, one of weight 0 nowhere.
fn pair(_: &u16, service: &Service, out: &mut Vec<u8>) {
    if service.weight > 0 {
        out.push(service.pair);
    }
    if service.weight == 7 {
        out.extend([service.pair + 1, service.pair]);
    }
}

/// The services that select this pod.
fn members(
    key: &u16,
    pod: &Pod,
    services: &impl Find<u8, u16, Service>,
    out: &mut Out<(u16, u16), u8>,
) -> Result<(), Stop> {
    for pair in &pod.pairs {
        for (service, value) in services.of(pair)? {
            out.put((service, *key), pod.version.min(value.weight));
        }
    }
    Ok(())
}

/// Pods of one group put the same key; faults and absent secrets, found before and after rows were put.
fn checked(pod: &Pod, secrets: &impl Get<u8, Secret>, out: &mut Out<u8, (u8, u8)>) -> Result<(), Stop> {
    out.put(pod.group, (pod.version, 0));
    let next = if pod.version.is_multiple_of(2) { secrets.get(&(pod.secret + 1))? } else { None };
    match secrets.get(&pod.secret)? {
        None if pod.version == 3 => return Err(Fault::new(format!("no secret {}", pod.secret)).into()),
        None => {}
        Some(secret) if *secret == 0 => return Err(Fault::new("an empty secret").into()),
        Some(secret) => out.put(pod.group, (pod.version, *secret)),
    }
    if next.is_some() {
        out.put(pod.group + 100, (0, pod.secret));
    }
    Ok(())
}

/// A diamond: services are also below `members` and `checked` shares its secrets.
fn joined(
    key: &u16,
    service: &Service,
    members: &impl Get<(u16, u16), u8>,
    checked: &impl Get<u8, (u8, u8)>,
    secrets: &impl Get<u8, Secret>,
    out: &mut Out<u16, Text>,
) -> Result<(), Stop> {
    let first = members.get(&(*key, u16::from(service.weight)))?;
    let group = checked.get(&(service.pair % 4))?;
    let secret = if first.is_some() { secrets.get(&service.pair)? } else { None };
    if group.is_some() || secret.is_some() {
        out.put(*key, Text(format!("{first:?} {group:?} {secret:?}")));
    }
    out.put(1000 + key / 2, Text(format!("shared {}", service.weight)));
    Ok(())
}

/// Whether anything selects the pair of this number.
fn used(key: &u8, services: &impl Find<u8, u16, Service>, out: &mut Out<u8, bool>) -> Result<(), Stop> {
    out.put(*key, services.any(key)?);
    Ok(())
}

/// Full scans, by the secrets that ask for one.
fn summed(key: &u8, secret: &u8, services: &impl Get<u16, Service>, out: &mut Out<u8, u64>) -> Result<(), Stop> {
    if secret.is_multiple_of(3) {
        out.put(*key, services.scan()?.iter().map(|(key, service)| u64::from(*key) * u64::from(service.weight)).sum());
    }
    Ok(())
}

/// Keys of different producers differ in their types only.
fn label<K: Key>(key: &K) -> String {
    format!("{} {key:?}", std::any::type_name::<K>())
}

/// The members of a group by their producer and key; groups with one member only have no row.
#[derive(Debug, Default)]
pub(super) struct Total(BTreeMap<String, String>);

impl Fold<u8> for Total {
    type Row = Listing;
    fn row(&mut self, _: &u8) -> Option<Listing> {
        let listed = || self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        (self.0.len() != 1).then(|| Listing(listed()))
    }
}

impl<K: Key, V: Value> Member<K, V> for Total {
    fn put(&mut self, key: &K, value: &Arc<V>) {
        self.0.insert(label(key), format!("{value:?}"));
    }
    fn del(&mut self, key: &K, value: &Arc<V>) {
        assert_eq!(self.0.remove(&label(key)), Some(format!("{value:?}")), "what leaves was a member");
    }
}

fn by_size(_: &u8, total: &Listing, out: &mut Vec<usize>) {
    out.push(total.0.len());
}

/// Reads an index over a fold, and the fold.
fn last(
    key: &u8,
    value: &(u8, u8),
    by_size: &impl Find<usize, u8, Listing>,
    totals: &impl Get<u8, Listing>,
    out: &mut Out<(u8, u8), Text>,
) -> Result<(), Stop> {
    let own = totals.get(&value.0)?;
    let same = by_size.of(&own.as_ref().map_or(2, |total| total.0.len()))?;
    out.put((*key, value.1), Text(format!("{own:?} of {}", same.len())));
    Ok(())
}

fn group_of_member(key: &(u16, u16), value: &u8) -> u8 {
    (key.0 % 5) as u8 + value % 2
}

fn group_of_joined(key: &u16, value: &Text) -> u8 {
    (key % 5) as u8 + (value.0.len() % 3) as u8
}

fn group_of_checked(key: &u8, value: &(u8, u8)) -> u8 {
    key % 4 + value.1 % 2
}

/// The engine's graph and its handles.
pub(super) struct World {
    pub(super) graph: Graph,
    pub(super) pods: Input<u16, Pod>,
    pub(super) services: Input<u16, Service>,
    pub(super) secrets: Input<u8, Secret>,
    pub(super) members: Rows<(u16, u16), u8>,
    pub(super) checked: Rows<u8, (u8, u8)>,
    pub(super) joined: Rows<u16, Text>,
    pub(super) used: Rows<u8, bool>,
    pub(super) summed: Rows<u8, u64>,
    pub(super) totals: Rows<u8, Listing>,
    pub(super) last: Rows<(u8, u8), Text>,
}

impl World {
    pub(super) fn new() -> Self {
        let mut b = GraphBuilder::new();
        let pods = b.input("pods");
        let services = b.input("services");
        let secrets = b.input("secrets");
        let selected = b.index("selected", services, pair);
        let members = b.derive("members", pods).reading(selected).rows(|k, v, s, out| members(k, v, &s, out));
        let checked = b.derive("checked", pods).reading(secrets).rows(|_, v, s, out| checked(v, &s, out));
        let diamond = b.derive("joined", services).reading(members).reading(checked).reading(secrets);
        let joined = diamond.rows(|k, v, m, c, s, out| joined(k, v, &m, &c, &s, out));
        let used = b.derive("used", secrets).reading(selected).rows(|k, _, s, out| used(k, &s, out));
        let summed = b.derive("summed", secrets).reading(services).rows(|k, v, s, out| summed(k, v, &s, out));
        let totals = b.fold::<Total, u8>("totals").from(members, group_of_member);
        let totals = totals.from(joined, group_of_joined).from(checked, group_of_checked).rows();
        let sizes = b.index("by size", totals, by_size);
        let tail = b.derive("last", checked).reading(sizes).reading(totals);
        let last = tail.rows(|k, v, s, t, out| last(k, v, &s, &t, out));
        let graph = b.build();
        Self { graph, pods, services, secrets, members, checked, joined, used, summed, totals, last }
    }
}

/// What was let in, naively.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) pods: Naive<u16, Pod>,
    pub(super) services: Naive<u16, Service>,
    pub(super) secrets: Naive<u8, Secret>,
}

impl Facts {
    pub(super) fn new() -> Self {
        Self {
            pods: Naive::new("pods", BTreeMap::new(), false),
            services: Naive::new("services", BTreeMap::new(), false),
            secrets: Naive::new("secrets", BTreeMap::new(), false),
        }
    }
}

/// What should have become of it.
pub(super) struct Expected {
    pub(super) members: Derived<(u16, u16), u8>,
    pub(super) checked: Derived<u8, (u8, u8)>,
    pub(super) joined: Derived<u16, Text>,
    pub(super) used: Derived<u8, bool>,
    pub(super) summed: Derived<u8, u64>,
    pub(super) totals: Naive<u8, Listing>,
    pub(super) last: Derived<(u8, u8), Text>,
}

impl Expected {
    pub(super) fn from_scratch(facts: &Facts) -> Self {
        let Facts { pods, services, secrets } = facts;
        let (pods_services, all) =
            (pods.complete && services.complete, pods.complete && services.complete && secrets.complete);
        fn selected<'a>(services: &'a Naive<u16, Service>, asked: &'a Asked) -> IndexEye<'a, u8, u16, Service> {
            IndexEye { name: "selected", of: services, keys: pair, lens: 0, asked }
        }
        let members =
            derive("members", pods, pods_services, |k, v, asked, out| members(k, v, &selected(services, asked), out));
        let checked = derive("checked", pods, pods.complete && secrets.complete, |_, v, asked: &Asked, out| {
            checked(v, &Eye { of: secrets, lens: 0, asked }, out)
        });
        let joined = derive("joined", services, all, |k, v, asked: &Asked, out| {
            let members = Eye { of: &members.rows, lens: 0, asked };
            let checked = Eye { of: &checked.rows, lens: 1, asked };
            joined(k, v, &members, &checked, &Eye { of: secrets, lens: 2, asked }, out)
        });
        let services_secrets = services.complete && secrets.complete;
        let used =
            derive("used", secrets, services_secrets, |k, _, asked, out| used(k, &selected(services, asked), out));
        let summed = derive("summed", secrets, services_secrets, |k, v, asked: &Asked, out| {
            summed(k, v, &Eye { of: services, lens: 0, asked }, out)
        });
        let totals = Naive::new("totals", totals(&members.rows, &joined.rows, &checked.rows), all);
        let last = derive("last", &checked.rows, all, |k, v, asked: &Asked, out| {
            let sizes = IndexEye { name: "by size", of: &totals, keys: by_size, lens: 0, asked };
            last(k, v, &sizes, &Eye { of: &totals, lens: 1, asked }, out)
        });
        Self { members, checked, joined, used, summed, totals, last }
    }
}

fn totals(
    members: &Naive<(u16, u16), u8>,
    joined: &Naive<u16, Text>,
    checked: &Naive<u8, (u8, u8)>,
) -> BTreeMap<u8, Arc<Listing>> {
    let mut groups: BTreeMap<u8, BTreeMap<String, String>> = BTreeMap::new();
    for (key, value) in &members.rows {
        let group = groups.entry(group_of_member(key, value)).or_default();
        group.insert(label(key), format!("{value:?}"));
    }
    for (key, value) in &joined.rows {
        groups.entry(group_of_joined(key, value)).or_default().insert(label(key), format!("{value:?}"));
    }
    for (key, value) in &checked.rows {
        groups.entry(group_of_checked(key, value)).or_default().insert(label(key), format!("{value:?}"));
    }
    groups.retain(|_, members| members.len() != 1);
    let row = |members: BTreeMap<String, String>| members.iter().map(|(key, value)| format!("{key}={value}")).collect();
    groups.into_iter().map(|(group, members)| (group, Arc::new(Listing(row(members))))).collect()
}
