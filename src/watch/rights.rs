//! What syncgate may do, asked of the API server itself, and the rule that would grant what is missing (F22).

use serde_json::{Value, json};

use super::client::Client;
use super::fault::Fault;
use super::target::{Target, plural};

/// What a source needs.
const VERBS: [&str; 2] = ["list", "watch"];

/// The verbs that we may not use on the target, by a SelfSubjectAccessReview for each.
pub(super) async fn missing(client: &Client, target: &Target) -> Result<Vec<&'static str>, Fault> {
    let mut missing = Vec::new();
    for verb in VERBS {
        if !may(client, target, verb).await? {
            missing.push(verb);
        }
    }
    Ok(missing)
}

/// Whether nothing is missing: by one review while the first right is.
pub(super) async fn is_sufficient(client: &Client, target: &Target) -> Result<bool, Fault> {
    for verb in VERBS {
        if !may(client, target, verb).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether we may do this.
pub(super) async fn may(client: &Client, target: &Target, verb: &str) -> Result<bool, Fault> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "group": target.kind.group(),
            "resource": plural(target.kind),
            "namespace": target.namespace.as_deref().unwrap_or_default(),
            "name": target.name.as_deref().unwrap_or_default(),
            "verb": verb,
        }},
    });
    let body = review.to_string().into_bytes();
    let answer = client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body).await?.whole().await?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| Fault::Malformed(error.to_string()))?;
    Ok(answer["status"]["allowed"].as_bool().unwrap_or_default())
}

/// What is missing and the rule that grants it.
pub(super) fn remedy(target: &Target, missing: &[&str]) -> String {
    let verbs = missing.iter().map(|verb| format!("{verb:?}")).collect::<Vec<_>>().join(", ");
    let (group, resource) = (target.kind.group(), plural(target.kind));
    let names = match &target.name {
        Some(name) => format!(", resourceNames: [{:?}]", name.as_str()),
        None => String::new(),
    };
    let place = match &target.namespace {
        Some(namespace) => format!("a Role of namespace {namespace}"),
        None => "a ClusterRole".to_owned(),
    };
    format!(
        "no right to {} {resource}; grant it in {place} with the rule \
         {{apiGroups: [{group:?}], resources: [{resource:?}], verbs: [{verbs}]{names}}}",
        missing.join(" and "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, ObjectKey, ObjectRef};

    #[test]
    fn a_missing_right_is_named_with_its_rule() {
        let routes = Target::all(Kind::HttpRoute, Some("shop".into()));
        assert_eq!(
            remedy(&routes, &["list", "watch"]),
            "no right to list and watch httproutes; grant it in a Role of namespace shop with the rule \
             {apiGroups: [\"gateway.networking.k8s.io\"], resources: [\"httproutes\"], verbs: [\"list\", \"watch\"]}"
        );
        let secret = Target::object(&ObjectRef::new(Kind::Secret, ObjectKey::new("shop", "crt")));
        assert!(remedy(&secret, &["watch"]).ends_with("verbs: [\"watch\"], resourceNames: [\"crt\"]}"));
    }
}
