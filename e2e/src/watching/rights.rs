//! The rights that a syncgate may have, from the widest to the narrowest: the columns of the matrix.

use serde_json::Value;

use crate::kube::objects::{cluster_role, cluster_role_binding, role, role_binding, rule, rule_for_names};

/// What is read in every watched namespace.
const READ: [&str; 8] = [
    "gateway.networking.k8s.io/gateways",
    "gateway.networking.k8s.io/httproutes",
    "gateway.networking.k8s.io/referencegrants",
    "/services",
    "/pods",
    "/secrets",
    "/configmaps",
    "discovery.k8s.io/endpointslices",
];
const CLASSES: [&str; 1] = ["gateway.networking.k8s.io/gatewayclasses"];
const NAMESPACES: [&str; 1] = ["/namespaces"];
const SEE: [&str; 2] = ["list", "watch"];
/// The name of the Role and of its binding in each namespace.
pub const ROLE: &str = "syncgate";

/// The rights, and the scope that goes with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Cluster scope with a ClusterRole for everything.
    Cluster,
    /// Namespaced scope; all Namespaces may be listed and watched.
    SeeAll,
    /// Namespaced scope; the watched Namespaces may be got by name.
    GetNamed,
    /// Namespaced scope with nothing but Roles in the namespaces.
    Blind,
}

impl Rights {
    /// All of them.
    pub const ALL: [Rights; 4] = [Rights::Cluster, Rights::SeeAll, Rights::GetNamed, Rights::Blind];

    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Rights::Cluster => "cluster",
            Rights::SeeAll => "see-all",
            Rights::GetNamed => "get-named",
            Rights::Blind => "blind",
        }
    }

    /// Whether every namespace has sources of its own.
    #[must_use]
    pub fn is_namespaced(self) -> bool {
        self != Rights::Cluster
    }

    /// The flags of a syncgate that has them.
    #[must_use]
    pub fn flags(self, namespaces: &[&str]) -> Vec<String> {
        match self {
            Rights::Cluster => Vec::new(),
            _ => vec!["--watch-scope=namespaces".to_owned(), format!("--watch-namespaces={}", namespaces.join(","))],
        }
    }

    /// The ClusterRole of a user and its binding, both with the user's name.
    #[must_use]
    pub fn outside(self, user: &str, namespaces: &[&str]) -> Vec<Value> {
        let classes = rule(&SEE, &CLASSES);
        // Who answers is known by this one's UID.
        let identity = rule_for_names(&["get"], &NAMESPACES, &["kube-system"]);
        let rules = match self {
            Rights::Cluster => vec![classes, identity, rule(&SEE, &NAMESPACES), rule(&SEE, &READ)],
            Rights::SeeAll => vec![classes, identity, rule(&SEE, &NAMESPACES)],
            Rights::GetNamed => vec![classes, identity, rule_for_names(&["get"], &NAMESPACES, namespaces)],
            Rights::Blind => vec![classes],
        };
        vec![cluster_role(user, &rules), cluster_role_binding(user, &[user])]
    }

    /// The Role of a namespace and its binding for these users, who watch it in namespaced scope.
    #[must_use]
    pub fn inside(namespace: &str, users: &[&str]) -> [Value; 2] {
        [role(namespace, ROLE, &[rule(&SEE, &READ)]), role_binding(namespace, ROLE, users)]
    }
}
