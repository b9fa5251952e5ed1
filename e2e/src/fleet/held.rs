//! What one client of a fleet holds, and what it asks and answers; without IO.
//!
//! It wants every cluster and the load assignment of each. What it holds are names and versions, as small numbers that stand for texts
//! that all clients share.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};
use envoy_types::pb::google::rpc;
use prost::Message;

use super::light::{Delta, Head, Whole};
use super::wire::frame;
use crate::syncgate::Variant;

const TYPES: [&str; 2] = [
    "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
];
const CLUSTERS: usize = 0;
const ASSIGNMENTS: usize = 1;
/// INVALID_ARGUMENT, as Envoy says of what it refuses.
const INVALID: i32 = 3;
/// The node's metadata that says whose resources it wants.
const GATEWAY: &str = "syncgate.dev/gateway";

/// Texts, each with a number.
#[derive(Debug, Default)]
pub(super) struct Texts(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    numbers: HashMap<Arc<str>, u32>,
    all: Vec<Arc<str>>,
}

impl Texts {
    pub(super) fn number(&self, text: &str) -> u32 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = known.numbers.get(text) {
            return *number;
        }
        let (text, number) = (Arc::<str>::from(text), u32::try_from(known.all.len()).unwrap_or(u32::MAX));
        known.numbers.insert(text.clone(), number);
        known.all.push(text);
        number
    }

    pub(super) fn text(&self, number: u32) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.all.get(number as usize).map(ToString::to_string).unwrap_or_default()
    }
}

/// Resources of one type.
#[derive(Debug, Default)]
struct Kept {
    /// Name and version.
    resources: HashMap<u32, u32>,
    /// Of the last response that was accepted (state of the world).
    version: String,
    nonce: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Held {
    variant: Variant,
    texts: Arc<Texts>,
    node: Node,
    refuses: bool,
    kept: [Kept; 2],
}

/// What a response meant.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// What is to be sent, framed.
    pub(super) answers: Vec<Bytes>,
    /// Resources in it.
    pub(super) resources: u64,
    /// The load assignments that became others, with their versions.
    pub(super) changed: Vec<(u32, u32)>,
}

impl Held {
    pub(super) fn new(variant: Variant, texts: Arc<Texts>, gateway: &str, id: String, refuses: bool) -> Self {
        let value = Value { kind: Some(Kind::StringValue(gateway.to_owned())) };
        let metadata = Struct { fields: [(GATEWAY.to_owned(), value)].into() };
        let node = Node { id, cluster: gateway.to_owned(), metadata: Some(metadata), ..Node::default() };
        Self { variant, texts, node, refuses, kept: Default::default() }
    }

    /// Whether each cluster has its load assignment.
    pub(super) fn is_whole(&self) -> bool {
        let [clusters, assignments] = &self.kept;
        !clusters.resources.is_empty() && clusters.resources.len() == assignments.resources.len()
    }

    /// What a stream begins with: everything, or what changed since the stream before.
    pub(super) fn opening(&mut self) -> Vec<Bytes> {
        self.kept.iter_mut().for_each(|kept| kept.nonce.clear());
        let mut first = vec![self.ask(CLUSTERS, true)];
        if !self.kept[CLUSTERS].resources.is_empty() {
            first.push(self.ask(ASSIGNMENTS, true));
        }
        first
    }

    /// A request that opens a type.
    fn ask(&self, kind: usize, first: bool) -> Bytes {
        let kept = &self.kept[kind];
        let node = Some(self.node.clone()).filter(|_| kind == CLUSTERS);
        match self.variant {
            Variant::Delta => frame(&DeltaDiscoveryRequest {
                node,
                type_url: TYPES[kind].to_owned(),
                resource_names_subscribe: if kind == CLUSTERS { Vec::new() } else { self.names() },
                initial_resource_versions: if first { self.versions(kind) } else { HashMap::new() },
                ..DeltaDiscoveryRequest::default()
            }),
            Variant::Sotw => frame(&DiscoveryRequest {
                node,
                type_url: TYPES[kind].to_owned(),
                version_info: kept.version.clone(),
                response_nonce: kept.nonce.clone(),
                resource_names: if kind == CLUSTERS { Vec::new() } else { self.names() },
                ..DiscoveryRequest::default()
            }),
        }
    }

    fn names(&self) -> Vec<String> {
        self.kept[CLUSTERS].resources.keys().map(|name| self.texts.text(*name)).collect()
    }

    fn versions(&self, kind: usize) -> HashMap<String, String> {
        let resources = self.kept[kind].resources.iter();
        resources.map(|(name, version)| (self.texts.text(*name), self.texts.text(*version))).collect()
    }

    /// Takes a response, or refuses it.
    pub(super) fn take(&mut self, message: Bytes) -> Result<Taken> {
        match self.variant {
            Variant::Delta => self.take_delta(&Delta::decode(message).context("a delta response")?),
            Variant::Sotw => self.take_whole(&Whole::decode(message).context("a response")?),
        }
    }

    fn take_delta(&mut self, response: &Delta) -> Result<Taken> {
        let kind = kind(&response.type_url)?;
        let mut taken = Taken { resources: response.resources.len() as u64, ..Taken::default() };
        let answer = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: self.refusal(),
            ..DeltaDiscoveryRequest::default()
        };
        taken.answers.push(frame(&answer));
        if self.refuses {
            return Ok(taken);
        }
        let (mut came, mut went) = (Vec::new(), Vec::new());
        for resource in &response.resources {
            let (name, version) = (self.texts.number(&resource.name), self.texts.number(&resource.version));
            let before = self.kept[kind].resources.insert(name, version);
            if before.is_none() {
                came.push(resource.name.clone());
            }
            if kind == ASSIGNMENTS && before.is_some_and(|before| before != version) {
                taken.changed.push((name, version));
            }
        }
        for name in &response.removed {
            let number = self.texts.number(name);
            self.kept[kind].resources.remove(&number);
            went.push(name.clone());
            if kind == CLUSTERS {
                self.kept[ASSIGNMENTS].resources.remove(&number);
            }
        }
        if kind == CLUSTERS && !(came.is_empty() && went.is_empty()) {
            taken.answers.push(frame(&DeltaDiscoveryRequest {
                type_url: TYPES[ASSIGNMENTS].to_owned(),
                resource_names_subscribe: came,
                resource_names_unsubscribe: went,
                ..DeltaDiscoveryRequest::default()
            }));
        }
        Ok(taken)
    }

    fn take_whole(&mut self, response: &Whole) -> Result<Taken> {
        let kind = kind(&response.type_url)?;
        let mut taken = Taken { resources: response.resources.len() as u64, ..Taken::default() };
        self.kept[kind].nonce.clone_from(&response.nonce);
        if self.refuses {
            let names = if kind == CLUSTERS { Vec::new() } else { self.names() };
            let answer = DiscoveryRequest {
                type_url: response.type_url.clone(),
                version_info: self.kept[kind].version.clone(),
                response_nonce: response.nonce.clone(),
                resource_names: names,
                error_detail: self.refusal(),
                ..DiscoveryRequest::default()
            };
            taken.answers.push(frame(&answer));
            return Ok(taken);
        }
        self.kept[kind].version.clone_from(&response.version);
        let mut now = HashMap::new();
        for resource in &response.resources {
            let name = self.texts.number(&Head::decode(resource.value.clone()).context("a resource")?.name);
            now.insert(name, self.texts.number(&content(&resource.value)));
        }
        let mut names_changed = false;
        if kind == CLUSTERS {
            names_changed = now.len() != self.kept[CLUSTERS].resources.len()
                || now.keys().any(|name| !self.kept[CLUSTERS].resources.contains_key(name));
            self.kept[ASSIGNMENTS].resources.retain(|name, _| now.contains_key(name));
            self.kept[CLUSTERS].resources = now;
        } else {
            for (name, version) in now {
                let before = self.kept[ASSIGNMENTS].resources.insert(name, version);
                if before.is_some_and(|before| before != version) {
                    taken.changed.push((name, version));
                }
            }
        }
        taken.answers.push(self.ask(kind, false));
        if names_changed {
            taken.answers.push(self.ask(ASSIGNMENTS, false));
        }
        Ok(taken)
    }

    fn refusal(&self) -> Option<rpc::Status> {
        let refusal =
            || rpc::Status { code: INVALID, message: "a client that refuses all".to_owned(), details: Vec::new() };
        self.refuses.then(refusal)
    }
}

fn kind(url: &str) -> Result<usize> {
    match TYPES.iter().position(|known| *known == url) {
        Some(kind) => Ok(kind),
        None => bail!("a response of type {url:?}, which was not asked for"),
    }
}

/// A short text that is another one for another body: state of the world has no version of a single resource.
fn content(body: &[u8]) -> String {
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
    format!("{:016x}", BuildHasherDefault::<DefaultHasher>::default().hash_one(body))
}

#[cfg(test)]
mod tests {
    use super::super::light::{Named, Packed};
    use super::*;

    fn held(variant: Variant, refuses: bool) -> Held {
        Held::new(variant, Arc::default(), "shop/web", "one".to_owned(), refuses)
    }

    fn request<M: Message + Default>(framed: &Bytes) -> M {
        M::decode(&framed[5..]).unwrap()
    }

    fn delta(kind: usize, versions: &[(&str, &str)], removed: &[&str]) -> Bytes {
        let resource =
            |(name, version): &(&str, &str)| Named { name: (*name).to_owned(), version: (*version).to_owned() };
        let response = Delta {
            type_url: TYPES[kind].to_owned(),
            nonce: "n".to_owned(),
            resources: versions.iter().map(resource).collect(),
            removed: removed.iter().map(|name| (*name).to_owned()).collect(),
        };
        response.encode_to_vec().into()
    }

    #[test]
    fn a_delta_client_acknowledges_follows_clusters_and_resumes_with_versions() {
        let mut held = held(Variant::Delta, false);
        assert_eq!(held.opening().len(), 1, "only clusters at first");
        let taken = held.take(delta(CLUSTERS, &[("a", "1"), ("b", "1")], &[])).unwrap();
        let ack: DeltaDiscoveryRequest = request(&taken.answers[0]);
        assert_eq!((ack.response_nonce.as_str(), ack.error_detail), ("n", None));
        let follow: DeltaDiscoveryRequest = request(&taken.answers[1]);
        assert_eq!(follow.resource_names_subscribe, ["a", "b"]);
        assert!(!held.is_whole());
        assert!(held.take(delta(ASSIGNMENTS, &[("a", "1"), ("b", "1")], &[])).unwrap().changed.is_empty());
        assert!(held.is_whole());
        assert_eq!(held.take(delta(ASSIGNMENTS, &[("a", "2")], &[])).unwrap().changed.len(), 1);
        assert!(held.take(delta(ASSIGNMENTS, &[("a", "2")], &[])).unwrap().changed.is_empty(), "the same again");
        let again: Vec<DeltaDiscoveryRequest> = held.opening().iter().map(request).collect();
        assert_eq!(again[1].initial_resource_versions["a"], "2");
        assert!(again[0].response_nonce.is_empty() && again[0].node.is_some());
        let taken = held.take(delta(CLUSTERS, &[], &["b"])).unwrap();
        let follow: DeltaDiscoveryRequest = request(&taken.answers[1]);
        assert_eq!(follow.resource_names_unsubscribe, ["b"]);
        assert!(held.is_whole());
    }

    #[test]
    fn a_client_of_whole_states_acknowledges_with_names_and_one_that_refuses_keeps_its_version() {
        let whole = |kind: usize, version: &str, bodies: &[&str]| -> Bytes {
            let pack = |name: &&str| Packed { value: Head { name: (*name).to_owned() }.encode_to_vec().into() };
            let response = Whole {
                version: version.to_owned(),
                type_url: TYPES[kind].to_owned(),
                nonce: "n".to_owned(),
                resources: bodies.iter().map(pack).collect(),
            };
            response.encode_to_vec().into()
        };
        let mut honest = held(Variant::Sotw, false);
        let taken = honest.take(whole(CLUSTERS, "1", &["a"])).unwrap();
        let follow: DiscoveryRequest = request(&taken.answers[1]);
        assert_eq!((follow.resource_names, follow.type_url.as_str()), (vec!["a".to_owned()], TYPES[ASSIGNMENTS]));
        let taken = honest.take(whole(ASSIGNMENTS, "1", &["a"])).unwrap();
        let ack: DiscoveryRequest = request(&taken.answers[0]);
        assert_eq!((ack.version_info.as_str(), ack.resource_names), ("1", vec!["a".to_owned()]));
        assert!(honest.is_whole());

        let mut refusing = held(Variant::Sotw, true);
        let taken = refusing.take(whole(CLUSTERS, "1", &["a"])).unwrap();
        let nack: DiscoveryRequest = request(&taken.answers[0]);
        assert!(nack.error_detail.is_some() && nack.version_info.is_empty() && nack.response_nonce == "n");
    }
}
