//! The kinds that tests read and write, and their URLs.

use anyhow::{Context, Result};
use serde_json::Value;

/// A kind, as URLs have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// Such as `v1` or `apps/v1`.
    pub api_version: &'static str,
    /// Such as `Pod`.
    pub kind: &'static str,
    /// Such as `pods`.
    pub plural: &'static str,
    /// Whether its objects lie in namespaces.
    pub namespaced: bool,
}

impl Resource {
    const fn of_cluster(api_version: &'static str, kind: &'static str, plural: &'static str) -> Self {
        Self { api_version, kind, plural, namespaced: false }
    }

    const fn of_namespace(api_version: &'static str, kind: &'static str, plural: &'static str) -> Self {
        Self { api_version, kind, plural, namespaced: true }
    }

    /// The kind of an object.
    pub fn of(object: &Value) -> Result<&'static Self> {
        let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
        let found = ALL.iter().find(|known| Some(known.api_version) == version && Some(known.kind) == kind);
        found
            .copied()
            .with_context(|| format!("the test bed does not know {version:?} {kind:?}: add it to kube/resource.rs"))
    }

    /// The URL of its objects: of one namespace, or of all if that is empty.
    #[must_use]
    pub fn collection(&self, namespace: &str) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        let within =
            if self.namespaced && !namespace.is_empty() { format!("/namespaces/{namespace}") } else { String::new() };
        format!("{root}/{}{within}/{}", self.api_version, self.plural)
    }

    /// The URL of one object; the namespace is empty for kinds that have none.
    #[must_use]
    pub fn object(&self, namespace: &str, name: &str) -> String {
        format!("{}/{name}", self.collection(namespace))
    }
}

const CORE: &str = "v1";
const RBAC: &str = "rbac.authorization.k8s.io/v1";
const GATEWAY: &str = "gateway.networking.k8s.io/v1";
const ADMISSION: &str = "admissionregistration.k8s.io/v1";

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident = $scope:ident($version:expr, $kind:literal, $plural:literal);)*) => {
        $($(#[$doc])* pub static $name: Resource = Resource::$scope($version, $kind, $plural);)*
        static ALL: &[&Resource] = &[$(&$name),*];
    };
}

resources! {
    /// Namespaces.
    NAMESPACES = of_cluster(CORE, "Namespace", "namespaces");
    /// Nodes.
    NODES = of_cluster(CORE, "Node", "nodes");
    /// Pods.
    PODS = of_namespace(CORE, "Pod", "pods");
    /// Services.
    SERVICES = of_namespace(CORE, "Service", "services");
    /// Secrets.
    SECRETS = of_namespace(CORE, "Secret", "secrets");
    /// `ConfigMaps`.
    CONFIG_MAPS = of_namespace(CORE, "ConfigMap", "configmaps");
    /// Service accounts.
    SERVICE_ACCOUNTS = of_namespace(CORE, "ServiceAccount", "serviceaccounts");
    /// Events.
    EVENTS = of_namespace(CORE, "Event", "events");
    /// Endpoint slices.
    ENDPOINT_SLICES = of_namespace("discovery.k8s.io/v1", "EndpointSlice", "endpointslices");
    /// Deployments.
    DEPLOYMENTS = of_namespace("apps/v1", "Deployment", "deployments");
    /// Leases.
    LEASES = of_namespace("coordination.k8s.io/v1", "Lease", "leases");
    /// Roles.
    ROLES = of_namespace(RBAC, "Role", "roles");
    /// Role bindings.
    ROLE_BINDINGS = of_namespace(RBAC, "RoleBinding", "rolebindings");
    /// Cluster roles.
    CLUSTER_ROLES = of_cluster(RBAC, "ClusterRole", "clusterroles");
    /// Cluster role bindings.
    CLUSTER_ROLE_BINDINGS = of_cluster(RBAC, "ClusterRoleBinding", "clusterrolebindings");
    /// Custom resource definitions.
    CRDS = of_cluster("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions");
    /// Admission policies.
    ADMISSION_POLICIES = of_cluster(ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies");
    /// Bindings of admission policies.
    ADMISSION_POLICY_BINDINGS =
        of_cluster(ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings");
    /// Validating webhooks.
    VALIDATING_WEBHOOKS =
        of_cluster(ADMISSION, "ValidatingWebhookConfiguration", "validatingwebhookconfigurations");
    /// Gateway classes.
    GATEWAY_CLASSES = of_cluster(GATEWAY, "GatewayClass", "gatewayclasses");
    /// Gateways.
    GATEWAYS = of_namespace(GATEWAY, "Gateway", "gateways");
    /// Listener sets.
    LISTENER_SETS = of_namespace(GATEWAY, "ListenerSet", "listenersets");
    /// HTTP routes.
    HTTP_ROUTES = of_namespace(GATEWAY, "HTTPRoute", "httproutes");
    /// gRPC routes.
    GRPC_ROUTES = of_namespace(GATEWAY, "GRPCRoute", "grpcroutes");
    /// TLS routes.
    TLS_ROUTES = of_namespace(GATEWAY, "TLSRoute", "tlsroutes");
    /// TCP routes.
    TCP_ROUTES = of_namespace(GATEWAY, "TCPRoute", "tcproutes");
    /// UDP routes.
    UDP_ROUTES = of_namespace(GATEWAY, "UDPRoute", "udproutes");
    /// Policies for TLS with backends.
    BACKEND_TLS_POLICIES = of_namespace(GATEWAY, "BackendTLSPolicy", "backendtlspolicies");
    /// Reference grants.
    REFERENCE_GRANTS = of_namespace(GATEWAY, "ReferenceGrant", "referencegrants");
    /// Reference grants of the older version.
    REFERENCE_GRANTS_BETA =
        of_namespace("gateway.networking.k8s.io/v1beta1", "ReferenceGrant", "referencegrants");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn urls_follow_group_and_scope() {
        assert_eq!(PODS.collection("a"), "/api/v1/namespaces/a/pods");
        assert_eq!(PODS.collection(""), "/api/v1/pods");
        assert_eq!(NAMESPACES.object("", "a"), "/api/v1/namespaces/a");
        let route = Resource::of(&json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"})).unwrap();
        let url = "/apis/gateway.networking.k8s.io/v1/namespaces/a/httproutes/web";
        assert_eq!(route.object("a", "web"), url);
    }
}
