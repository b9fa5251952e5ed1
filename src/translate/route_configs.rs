//! Route configurations: all virtual hosts of a route table.
//!
//! One route among thousands changes one virtual host; small ones share encoded leaves, large ones are parts of their
//! own. So the rest of the table's bytes is shared with what it was before.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3 as envoy;

use super::cluster_count::ClusterCount;
use super::gateways::Accepted;
use super::hostname::Hostname;
use super::keys::ClusterKey;
use super::names::{PortKey, TableKey};
use super::virtual_hosts::{HostKey, VirtualHost};
use crate::graph::{Fold, Member, Out, Stop};
use crate::model::ObjectKey;
use crate::resource::{Chunks, Parts, Ref, Resource, ResourceType, encode};

/// `RouteConfiguration.virtual_hosts`.
const VIRTUAL_HOSTS: u32 = 2;
/// Virtual hosts of more bytes are parts of their own: copying them would cost more than a part does.
const LARGE: usize = 4096;

/// A route table that a listener of this protocol refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table;

/// Accepted Gateway → its route tables, with or without virtual hosts.
pub(crate) fn tables(key: &ObjectKey, gateway: &Arc<Accepted>, out: &mut Out<TableKey, Table>) -> Result<(), Stop> {
    for listener in gateway.listeners.iter().filter(|listener| listener.refusal.is_none()) {
        let at = PortKey { gateway: key.clone(), port: listener.port };
        let chain = listener.tls.then(|| listener.hostname.clone());
        out.put(TableKey { at, chain }, Table);
    }
    Ok(())
}

/// Brings the virtual hosts of a table together.
#[derive(Debug, Default)]
pub(crate) struct TableFold {
    exists: bool,
    small: Chunks<Hostname>,
    large: BTreeMap<Hostname, Parts>,
    clusters: ClusterCount,
    /// What each virtual host counts.
    counted: BTreeMap<Hostname, Arc<[ClusterKey]>>,
    /// The references made of the clusters last seen.
    refs: Option<ClusterRefs>,
}

/// A set of clusters as references.
#[derive(Debug)]
struct ClusterRefs {
    of: Arc<[ClusterKey]>,
    refs: Arc<[Ref]>,
}

impl TableFold {
    /// The clusters as references; made anew only when they are others than before.
    fn refs(&mut self) -> Arc<[Ref]> {
        let clusters = self.clusters.set();
        match &self.refs {
            Some(known) if Arc::ptr_eq(&known.of, &clusters) => known.refs.clone(),
            _ => {
                let mut refs: Vec<Ref> =
                    clusters.iter().map(|cluster| Ref::new(ResourceType::Cluster, cluster.resource_name())).collect();
                refs.sort_unstable();
                let refs: Arc<[Ref]> = refs.into();
                self.refs = Some(ClusterRefs { of: clusters, refs: refs.clone() });
                refs
            }
        }
    }
}

impl Fold<TableKey> for TableFold {
    type Row = Resource;

    fn row(&mut self, table: &TableKey) -> Option<Resource> {
        if !self.exists {
            return None;
        }
        let name = table.resource_name();
        let head = encode::message(&envoy::RouteConfiguration {
            name: name.to_string(),
            // `Host: example.com:8080` is for example.com; the port is left in the header that backends see.
            ignore_port_in_host_matching: true,
            ..Default::default()
        });
        let large = self.large.values().cloned();
        let body = Parts::concat([Parts::leaf(head), self.small.parts()].into_iter().chain(large));
        let (kind, version, refs) = (ResourceType::RouteConfiguration, body.version(), self.refs());
        Some(Resource { kind, name, aliases: [].into(), version, body, refs })
    }
}

impl Member<TableKey, Table> for TableFold {
    fn put(&mut self, _: &TableKey, _: &Arc<Table>) {
        self.exists = true;
    }

    fn del(&mut self, _: &TableKey, _: &Arc<Table>) {
        self.exists = false;
    }
}

impl Member<HostKey, VirtualHost> for TableFold {
    fn put(&mut self, key: &HostKey, host: &Arc<VirtualHost>) {
        let field = Parts::nested(VIRTUAL_HOSTS, host.body.clone());
        if field.len() > LARGE {
            self.small.del(&key.host);
            self.large.insert(key.host.clone(), field);
        } else {
            self.large.remove(&key.host);
            self.small.put(key.host.clone(), field.to_bytes());
        }
        let before = self.counted.insert(key.host.clone(), host.clusters.clone());
        self.clusters.replace(before.as_ref(), Some(&host.clusters));
    }

    fn del(&mut self, key: &HostKey, _: &Arc<VirtualHost>) {
        self.small.del(&key.host);
        self.large.remove(&key.host);
        let before = self.counted.remove(&key.host);
        self.clusters.replace(before.as_ref(), None);
    }
}
