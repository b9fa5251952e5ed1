//! What is kept of the node in a client's first request: enough to show it, and little.
//!
//! Envoy lists every extension that it was built with, some 50 kB for each client; nobody asks for these here.

use arcstr::ArcStr;
use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::google::protobuf::Struct;
use prost::Message;

use super::request::Node;
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
        let mut kept = if node.encoded_len() - node.metadata.len() > MAX_LEN {
            Node { id: node.id.chars().take(MAX_LEN / 4).collect(), ..Default::default() }
        } else {
            node.clone()
        };
        // Decoded when it is shown, so it has to be decodable.
        if kept.encoded_len() > MAX_LEN || Struct::decode(kept.metadata.clone()).is_err() {
            kept.metadata.clear();
        }
        NodeInfo { version: version(node).into(), encoded: kept.encode_to_vec().into() }
    }

    /// The node without what is not kept.
    pub(super) fn node(&self) -> core::Node {
        // Encoded above, so it decodes.
        core::Node::decode(self.encoded.clone()).unwrap_or_default()
    }
}

fn version(node: &Node) -> String {
    let number = match &node.user_agent_build_version {
        Some(build) => {
            let numbers = build.version.unwrap_or_default();
            format!("{}.{}.{}", numbers.major, numbers.minor, numbers.patch)
        }
        None => node.user_agent_version.chars().take(MAX_VERSION).collect(),
    };
    let whole = match node.user_agent_name.as_str() {
        "" | "envoy" => number,
        program => program.chars().take(MAX_VERSION).chain([' ']).chain(number.chars()).collect(),
    };
    plain(&whole.chars().take(MAX_VERSION).collect::<String>()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
    use envoy_types::pb::envoy::r#type::v3::SemanticVersion;

    use super::*;
    use crate::xds::request::tests::node as read;

    #[test]
    fn an_envoy_is_shown_by_its_release_and_without_its_extensions() {
        let version = SemanticVersion { major_number: 1, minor_number: 37, patch: 2 };
        let build = core::BuildVersion { version: Some(version), metadata: Some(Default::default()) };
        let node = core::Node {
            id: "envoy-1".into(),
            cluster: "shop/web".into(),
            user_agent_name: "envoy".into(),
            user_agent_version_type: Some(UserAgentVersionType::UserAgentBuildVersion(build)),
            extensions: vec![core::Extension { name: "envoy.filters.x".repeat(50), ..Default::default() }; 100],
            ..Default::default()
        };
        let kept = NodeInfo::of(&read(&node));
        assert_eq!(kept.version, "1.37.2");
        assert!(kept.encoded.len() < 100, "{} bytes", kept.encoded.len());
        assert_eq!((kept.node().id.as_str(), kept.node().cluster.as_str()), ("envoy-1", "shop/web"));
    }

    #[test]
    fn a_version_is_one_line() {
        let (name, version) = ("my\rproxy".to_owned(), "1\x1b[2J\n2".to_owned());
        let node = Node { user_agent_name: name, user_agent_version: version, ..Default::default() };
        assert_eq!(NodeInfo::of(&node).version, "my proxy 1 [2J 2");
    }

    #[test]
    fn bounded_a_large_node_is_cut_to_what_names_it() {
        let long = "x".repeat(1 << 20);
        let name = Some(UserAgentVersionType::UserAgentVersion(long.clone()));
        let node = core::Node { id: long.clone(), cluster: long, user_agent_version_type: name, ..Default::default() };
        let kept = NodeInfo::of(&read(&node));
        assert!(kept.encoded.len() <= MAX_LEN && kept.version.len() <= MAX_VERSION);
        assert!(kept.node().id.starts_with("xxx"));
        assert_eq!(NodeInfo::of(&Node::default()).version, "");
    }
}
