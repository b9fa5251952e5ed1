//! Who a client is: its node id, and the Gateway whose configuration it is to receive.
//!
//! Invariant: a client is of exactly one Gateway, for as long as its stream lasts (`own_only`).

use arcstr::ArcStr;
use tonic::Status;

use super::request::Node;
use super::words::plain;

/// The key of a node's metadata that names its Gateway.
const METADATA_KEY: &str = "syncgate.dev/gateway";

const HOW_TO: &str = "set node metadata `syncgate.dev/gateway: <namespace>/<name>`, or `node.cluster` in that form; \
                      `syncgate bootstrap --gateway <namespace>/<name>` prints a bootstrap that does";

/// Names longer than Kubernetes allows (253 characters each) are not names.
const MAX_LEN: usize = 2 * 253 + 1;

/// A client, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientName {
    /// The Gateway, `<namespace>/<name>`.
    pub gateway: ArcStr,
    /// `node.id`; not unique, and for display and for resuming only.
    pub node_id: ArcStr,
}

impl ClientName {
    /// Reads the node of a stream's first request.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, with what to do, if there is none (rule 1) or if it names no Gateway.
    pub(super) fn from_node(node: Option<Node>) -> Result<ClientName, Status> {
        let node = node.ok_or_else(|| Status::invalid_argument("the first request of a stream must have a node"))?;
        let gateway = match gateway_in_metadata(&node)? {
            Some(gateway) => gateway,
            None if node.cluster.is_empty() => {
                return Err(Status::invalid_argument(format!("the node names no Gateway: {HOW_TO}")));
            }
            None => node.cluster,
        };
        if !is_gateway_name(&gateway) {
            let shown: String = gateway.chars().take(80).collect();
            return Err(Status::invalid_argument(format!("{shown:?} is not a Gateway's name: {HOW_TO}")));
        }
        let node_id: String = node.id.chars().take(MAX_LEN).collect();
        Ok(ClientName { gateway: gateway.into(), node_id: plain(&node_id).into() })
    }
}

fn gateway_in_metadata(node: &Node) -> Result<Option<String>, Status> {
    let unreadable = |error| Status::invalid_argument(format!("the node's metadata cannot be read: {error}"));
    match node.metadata_text(METADATA_KEY).map_err(unreadable)? {
        None => Ok(None),
        Some(Some(gateway)) => Ok(Some(gateway)),
        Some(None) => {
            Err(Status::invalid_argument(format!("node metadata `{METADATA_KEY}` is not a string: {HOW_TO}")))
        }
    }
}

fn is_gateway_name(text: &str) -> bool {
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    };
    text.len() <= MAX_LEN && text.split_once('/').is_some_and(|(namespace, name)| is_name(namespace) && is_name(name))
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3 as core;
    use envoy_types::pb::google::protobuf::{Struct, Value, value::Kind};

    use super::*;

    fn node(cluster: &str, metadata: Option<Kind>) -> Option<Node> {
        let fields = metadata.map(|kind| (METADATA_KEY.to_owned(), Value { kind: Some(kind) }));
        let metadata = Some(Struct { fields: fields.into_iter().collect() });
        let node = core::Node { id: "envoy-1".into(), cluster: cluster.into(), metadata, ..Default::default() };
        Some(crate::xds::request::tests::node(&node))
    }

    #[test]
    fn rule_01_a_first_request_without_a_node_is_invalid() {
        let error = ClientName::from_node(None).expect_err("no node");
        assert_eq!(error.code(), tonic::Code::InvalidArgument);
    }

    #[test]
    fn metadata_goes_before_the_cluster() {
        let text = |text: &str| Some(Kind::StringValue(text.into()));
        let both = ClientName::from_node(node("ns/other", text("ns/gw"))).expect("valid");
        assert_eq!((both.gateway.as_str(), both.node_id.as_str()), ("ns/gw", "envoy-1"));
        assert_eq!(ClientName::from_node(node("ns/gw", None)).expect("valid").gateway, "ns/gw");
    }

    #[test]
    fn a_node_id_is_one_line() {
        let forged = Node { id: "envoy\n2026 INFO all is well\x1b[2J".into(), ..node("ns/gw", None).expect("a node") };
        let name = ClientName::from_node(Some(forged)).expect("valid");
        assert_eq!(name.node_id, "envoy 2026 INFO all is well [2J");
    }

    #[test]
    fn what_names_no_gateway_is_refused_with_what_to_do() {
        let long = format!("ns/{}", "x".repeat(600));
        for cluster in ["", "gw", "/gw", "ns/", "a/b/c", "NS/gw", "ns/g w", long.as_str()] {
            let error = ClientName::from_node(node(cluster, None)).expect_err(cluster);
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
            assert!(error.message().contains("syncgate bootstrap"), "{error}");
        }
        let error = ClientName::from_node(node("ns/gw", Some(Kind::BoolValue(true)))).expect_err("not a string");
        assert!(error.message().contains("not a string"), "{error}");
    }
}
