//! Which clients a request of CSDS asks for.
//!
//! Invariant: a matcher that is not understood is refused, never taken for one that matches everything or nothing.

use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::struct_matcher::path_segment::Segment;
use envoy_types::pb::envoy::r#type::matcher::v3::value_matcher::MatchPattern as OfValue;
use envoy_types::pb::envoy::r#type::matcher::v3::{NodeMatcher, StringMatcher, StructMatcher};
use envoy_types::pb::google::protobuf::Struct;
use envoy_types::pb::google::protobuf::value::Kind;
use tonic::Status;

use crate::xds::hub::ClientView;

/// One of several that has to match; none match every client.
#[derive(Debug)]
pub(super) struct Matcher(Vec<OfNode>);

/// All of it has to match.
#[derive(Debug)]
struct OfNode {
    id: Option<Text>,
    metadata: Vec<(Vec<String>, Text)>,
}

#[derive(Debug)]
struct Text {
    how: How,
    text: String,
    ignore_case: bool,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Exact,
    Prefix,
    Suffix,
    Contains,
}

impl Matcher {
    /// # Errors
    /// INVALID_ARGUMENT for what is not understood: expressions, extensions, values that are no strings.
    pub(super) fn new(matchers: Vec<NodeMatcher>) -> Result<Matcher, Status> {
        matchers.into_iter().map(OfNode::new).collect::<Result<_, _>>().map(Matcher)
    }

    pub(super) fn matches(&self, client: &ClientView) -> bool {
        self.0.is_empty() || self.0.iter().any(|matcher| matcher.matches(client))
    }
}

impl OfNode {
    fn new(matcher: NodeMatcher) -> Result<OfNode, Status> {
        let id = matcher.node_id.map(Text::new).transpose()?;
        let metadata = matcher.node_metadatas.into_iter().map(of_metadata).collect::<Result<_, _>>()?;
        Ok(OfNode { id, metadata })
    }

    fn matches(&self, client: &ClientView) -> bool {
        let is_id = self.id.as_ref().is_none_or(|id| id.matches(&client.name.node_id));
        is_id && (self.metadata.is_empty() || self.has_metadata(client.node.node().metadata.as_ref()))
    }

    fn has_metadata(&self, metadata: Option<&Struct>) -> bool {
        let value = |path| metadata.and_then(|metadata| text_at(metadata, path));
        self.metadata.iter().all(|(path, text)| value(path).is_some_and(|value| text.matches(value)))
    }
}

fn of_metadata(matcher: StructMatcher) -> Result<(Vec<String>, Text), Status> {
    let segments = matcher.path.into_iter().map(|segment| match segment.segment {
        Some(Segment::Key(key)) => Ok(key),
        None => Err(not_understood("a segment of a path without a key")),
    });
    let path: Vec<String> = segments.collect::<Result<_, _>>()?;
    match matcher.value.and_then(|value| value.match_pattern) {
        Some(OfValue::StringMatch(text)) if !path.is_empty() => Ok((path, Text::new(text)?)),
        _ => Err(not_understood("node_metadatas other than a path with a string_match")),
    }
}

fn text_at<'a>(metadata: &'a Struct, path: &[String]) -> Option<&'a str> {
    let (first, rest) = path.split_first()?;
    match metadata.fields.get(first)?.kind.as_ref()? {
        Kind::StructValue(inner) => text_at(inner, rest),
        Kind::StringValue(text) if rest.is_empty() => Some(text),
        _ => None,
    }
}

impl Text {
    fn new(matcher: StringMatcher) -> Result<Text, Status> {
        let (how, text) = match matcher.match_pattern {
            Some(MatchPattern::Exact(text)) => (How::Exact, text),
            Some(MatchPattern::Prefix(text)) => (How::Prefix, text),
            Some(MatchPattern::Suffix(text)) => (How::Suffix, text),
            Some(MatchPattern::Contains(text)) => (How::Contains, text),
            Some(MatchPattern::SafeRegex(_) | MatchPattern::Custom(_)) | None => {
                return Err(not_understood("a string matcher other than exact, prefix, suffix and contains"));
            }
        };
        let ignore_case = matcher.ignore_case;
        Ok(Text { how, text: if ignore_case { text.to_ascii_lowercase() } else { text }, ignore_case })
    }

    fn matches(&self, value: &str) -> bool {
        let lower = self.ignore_case.then(|| value.to_ascii_lowercase());
        let value = lower.as_deref().unwrap_or(value);
        match self.how {
            How::Exact => value == self.text,
            How::Prefix => value.starts_with(&self.text),
            How::Suffix => value.ends_with(&self.text),
            How::Contains => value.contains(&self.text),
        }
    }
}

fn not_understood(what: &str) -> Status {
    Status::invalid_argument(format!("{what} is not understood here"))
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::Node;
    use envoy_types::pb::envoy::r#type::matcher::v3::struct_matcher::PathSegment;
    use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, ValueMatcher};
    use envoy_types::pb::google::protobuf::Value;

    use super::*;
    use crate::xds::client::ClientName;
    use crate::xds::message::Variant;
    use crate::xds::node::NodeInfo;

    fn client(id: &str, zone: &str) -> ClientView {
        let text = Value { kind: Some(Kind::StringValue(zone.into())) };
        let inner = Struct { fields: [("zone".to_owned(), text)].into() };
        let outer = Struct { fields: [("place".to_owned(), Value { kind: Some(Kind::StructValue(inner)) })].into() };
        let node = Node { id: id.into(), metadata: Some(outer), ..Default::default() };
        ClientView {
            stream: 1,
            name: ClientName { gateway: "ns/gw".into(), node_id: id.into() },
            node: NodeInfo::of(&crate::xds::request::tests::node(&node)),
            identity: "".into(),
            variant: Variant::Delta,
            peer: ([127, 0, 0, 1], 9).into(),
            since: std::time::Instant::now(),
            responses: 0,
            bytes: 0,
            progress: vec![],
            marks: Default::default(),
        }
    }

    fn text(pattern: MatchPattern, ignore_case: bool) -> StringMatcher {
        StringMatcher { match_pattern: Some(pattern), ignore_case }
    }

    fn id(pattern: MatchPattern) -> NodeMatcher {
        NodeMatcher { node_id: Some(text(pattern, false)), node_metadatas: vec![] }
    }

    fn zone(pattern: MatchPattern) -> StructMatcher {
        let key = |key: &str| PathSegment { segment: Some(Segment::Key(key.into())) };
        let value = ValueMatcher { match_pattern: Some(OfValue::StringMatch(text(pattern, true))) };
        StructMatcher { path: vec![key("place"), key("zone")], value: Some(value) }
    }

    fn matches(matchers: Vec<NodeMatcher>) -> Vec<&'static str> {
        let matcher = Matcher::new(matchers).expect("understood");
        let all = [("envoy-1", "North"), ("envoy-2", "South"), ("edge-1", "North")];
        all.into_iter().filter(|(id, zone)| matcher.matches(&client(id, zone))).map(|(id, _)| id).collect()
    }

    #[test]
    fn rule_36_one_of_the_matchers_has_to_match_and_all_of_it() {
        use MatchPattern::{Contains, Exact, Prefix, Suffix};
        assert_eq!(matches(vec![]), ["envoy-1", "envoy-2", "edge-1"]);
        assert_eq!(matches(vec![id(Exact("envoy-1".into()))]), ["envoy-1"]);
        assert_eq!(matches(vec![id(Exact("envoy".into()))]), [""; 0]);
        assert_eq!(matches(vec![id(Prefix("envoy".into()))]), ["envoy-1", "envoy-2"]);
        assert_eq!(matches(vec![id(Suffix("-1".into()))]), ["envoy-1", "edge-1"]);
        assert_eq!(matches(vec![id(Contains("2".into())), id(Exact("edge-1".into()))]), ["envoy-2", "edge-1"]);
        let north = || vec![zone(Exact("NORTH".into()))];
        assert_eq!(matches(vec![NodeMatcher { node_id: None, node_metadatas: north() }]), ["envoy-1", "edge-1"]);
        let both = NodeMatcher { node_metadatas: north(), ..id(Prefix("envoy".into())) };
        assert_eq!(matches(vec![both]), ["envoy-1"]);
    }

    #[test]
    fn rule_36_a_matcher_that_is_not_understood_is_refused() {
        let regex = || MatchPattern::SafeRegex(RegexMatcher::default());
        let no_value = StructMatcher { value: None, ..zone(regex()) };
        let no_path = StructMatcher { path: vec![], ..zone(MatchPattern::Exact("x".into())) };
        let metadata = |of: StructMatcher| NodeMatcher { node_id: None, node_metadatas: vec![of] };
        let empty = NodeMatcher { node_id: Some(StringMatcher::default()), node_metadatas: vec![] };
        for matcher in [id(regex()), empty, metadata(zone(regex())), metadata(no_value), metadata(no_path)] {
            let refused = Matcher::new(vec![matcher]).expect_err("not understood");
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        }
    }
}
