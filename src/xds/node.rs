//! What is kept of the node in a client's first request: enough to show it, and little.
//!
//! Envoy lists every extension that it was built with, some 50 kB for each client; nobody asks for these here.

use arcstr::ArcStr;
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::envoy::config::core::v3::{BuildVersion, Node};
use prost::Message;

use super::words::plain;

/// The most that is kept of a node, in bytes: an Envoy's without its extensions has some hundred.
const MAX_LEN: usize = 4 << 10;

/// The longest version that is kept, in characters.
const MAX_VERSION: usize = 100;

/// Who a client says it is, for views.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its release, such as `1.37.0`; with the name of the program if that is not Envoy. Empty if it does not say.
    pub version: ArcStr,
    /// The node without its extensions, encoded: smaller than the message, and seldom looked at.
    encoded: Bytes,
}

impl NodeInfo {
    /// Takes from a node what is shown.
    pub(super) fn of(node: &Node) -> NodeInfo {
        let mut kept = Node {
            id: node.id.clone(),
            cluster: node.cluster.clone(),
            metadata: node.metadata.clone(),
            locality: node.locality.clone(),
            user_agent_name: node.user_agent_name.clone(),
            user_agent_version_type: node.user_agent_version_type.clone().map(without_metadata),
            ..Default::default()
        };
        if kept.encoded_len() > MAX_LEN {
            kept.metadata = None;
        }
        if kept.encoded_len() > MAX_LEN {
            kept = Node { id: node.id.chars().take(MAX_LEN / 4).collect(), ..Default::default() };
        }
        NodeInfo { version: version(node).into(), encoded: kept.encode_to_vec().into() }
    }

    /// The node without what is not kept.
    pub(super) fn node(&self) -> Node {
        // Encoded above, so it decodes.
        Node::decode(self.encoded.clone()).unwrap_or_default()
    }
}

/// The numbers alone: with them comes a list of how Envoy was built.
fn without_metadata(version: UserAgentVersionType) -> UserAgentVersionType {
    match version {
        UserAgentVersionType::UserAgentBuildVersion(BuildVersion { version, .. }) => {
            UserAgentVersionType::UserAgentBuildVersion(BuildVersion { version, metadata: None })
        }
        text @ UserAgentVersionType::UserAgentVersion(_) => text,
    }
}

fn version(node: &Node) -> String {
    let number = match &node.user_agent_version_type {
        Some(UserAgentVersionType::UserAgentVersion(text)) => text.clone(),
        Some(UserAgentVersionType::UserAgentBuildVersion(build)) => {
            let numbers = build.version.unwrap_or_default();
            format!("{}.{}.{}", numbers.major_number, numbers.minor_number, numbers.patch)
        }
        None => String::new(),
    };
    let whole = match node.user_agent_name.as_str() {
        "" | "envoy" => number,
        program => format!("{program} {number}"),
    };
    plain(&whole.chars().take(MAX_VERSION).collect::<String>()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::Extension;
    use envoy_types::pb::envoy::r#type::v3::SemanticVersion;

    use super::*;

    #[test]
    fn an_envoy_is_shown_by_its_release_and_without_its_extensions() {
        let version = SemanticVersion { major_number: 1, minor_number: 37, patch: 2 };
        let build = BuildVersion { version: Some(version), metadata: Some(Default::default()) };
        let node = Node {
            id: "envoy-1".into(),
            cluster: "shop/web".into(),
            user_agent_name: "envoy".into(),
            user_agent_version_type: Some(UserAgentVersionType::UserAgentBuildVersion(build)),
            extensions: vec![Extension { name: "envoy.filters.x".repeat(50), ..Default::default() }; 100],
            ..Default::default()
        };
        let kept = NodeInfo::of(&node);
        assert_eq!(kept.version, "1.37.2");
        assert!(kept.encoded.len() < 100, "{} bytes", kept.encoded.len());
        assert_eq!((kept.node().id.as_str(), kept.node().cluster.as_str()), ("envoy-1", "shop/web"));
    }

    #[test]
    fn a_version_is_one_line() {
        let version = Some(UserAgentVersionType::UserAgentVersion("1\x1b[2J\n2".to_owned()));
        let node =
            Node { user_agent_name: "my\rproxy".to_owned(), user_agent_version_type: version, ..Default::default() };
        assert_eq!(NodeInfo::of(&node).version, "my proxy 1 [2J 2");
    }

    #[test]
    fn bounded_a_large_node_is_cut_to_what_names_it() {
        let long = "x".repeat(1 << 20);
        let name = Some(UserAgentVersionType::UserAgentVersion(long.clone()));
        let node = Node { id: long.clone(), cluster: long, user_agent_version_type: name, ..Default::default() };
        let kept = NodeInfo::of(&node);
        assert!(kept.encoded.len() <= MAX_LEN && kept.version.len() <= MAX_VERSION);
        assert!(kept.node().id.starts_with("xxx"));
        assert_eq!(NodeInfo::of(&Node::default()).version, "");
    }
}
