//! The rights that `deploy/rbac` grants, as a test applies them: the very files, with the name of a namespace put in as their first lines
//! say. What they leave out is missing in every test.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// The user whom the files give the rights to: the `ServiceAccount` that syncgate runs as.
pub const USER: &str = "system:serviceaccount:syncgate-system:syncgate";
/// What stands for the name of a namespace.
const PLACEHOLDER: &str = "NAMESPACE";

/// Everything, for `--watch-scope cluster`.
pub fn cluster() -> Result<Vec<Value>> {
    documents("cluster.yaml", "")
}

/// One namespace, and the little that lies in none.
pub fn namespaced(namespace: &str) -> Result<Vec<Value>> {
    documents("namespaced.yaml", namespace)
}

/// Of that, what is the same for every namespace.
pub fn outside() -> Result<Vec<Value>> {
    let mut documents = documents("namespaced.yaml", PLACEHOLDER)?;
    documents.retain(|document| !document["metadata"].to_string().contains(PLACEHOLDER));
    Ok(documents)
}

/// Of that, what lies in the namespace and goes with it: all that one of many needs where namespaces are selected by label.
pub fn inside(namespace: &str) -> Result<Vec<Value>> {
    let mut documents = namespaced(namespace)?;
    documents.retain(|document| document["metadata"]["namespace"] == namespace);
    Ok(documents)
}

/// What selecting namespaces by label needs beside the rights of one namespace.
pub fn selector() -> Result<Vec<Value>> {
    documents("selector.yaml", "")
}

/// What references into a namespace that is not watched need.
pub fn foreign(namespace: &str) -> Result<Vec<Value>> {
    documents("foreign.yaml", namespace)
}

/// What proves the tokens of Envoys.
pub fn tokens() -> Result<Vec<Value>> {
    documents("tokens.yaml", "")
}

fn documents(name: &str, namespace: &str) -> Result<Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/rbac").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_saphyr::from_multiple(&text.replace(PLACEHOLDER, namespace)).with_context(|| format!("parse {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(documents: &[Value]) -> Vec<(&str, &str)> {
        let grants = documents.iter();
        grants.filter_map(|grant| Some((grant["kind"].as_str()?, grant["metadata"]["name"].as_str()?))).collect()
    }

    #[test]
    fn a_namespace_is_put_in_and_every_binding_is_for_the_user() {
        let documents =
            [cluster(), namespaced("shop"), selector(), foreign("shared"), tokens()].map(Result::unwrap).concat();
        let bindings = documents.iter().filter(|document| document["subjects"].is_array());
        for binding in bindings {
            let subject = &binding["subjects"][0];
            let user = format!(
                "system:serviceaccount:{}:{}",
                subject["namespace"].as_str().unwrap(),
                subject["name"].as_str().unwrap()
            );
            assert_eq!(user, USER);
        }
        assert_eq!(grants(&inside("shop").unwrap()), [("Role", "syncgate"), ("RoleBinding", "syncgate")]);
        assert!(grants(&documents).contains(&("ClusterRole", "syncgate-namespaced-shop")));
    }

    #[test]
    fn nothing_may_be_written() {
        let documents =
            [cluster().unwrap(), namespaced("shop").unwrap(), selector().unwrap(), foreign("shared").unwrap()].concat();
        let reviews = tokens().unwrap();
        let documents = documents.iter().chain(&reviews);
        let rules = documents.flat_map(|document| document["rules"].as_array().into_iter().flatten());
        // A review is answered, and not kept.
        let rules = rules.filter(|rule| rule["resources"] != serde_json::json!(["tokenreviews"]));
        let verbs = rules.flat_map(|rule| rule["verbs"].as_array().into_iter().flatten());
        for verb in verbs {
            assert!(["get", "list", "watch"].contains(&verb.as_str().unwrap()), "{verb}");
        }
    }
}
