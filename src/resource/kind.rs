//! The types of resources that are served.

use std::fmt;

/// A type of Envoy resource. The order is that of make-before-break (rule 27): clusters and their load assignments first,
/// then listeners and their scopes, then route configurations and their virtual hosts. Secrets and extensions stand last,
/// since whoever names them waits for them, and so does what belongs to nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceType {
    /// `envoy.config.cluster.v3.Cluster`, served by CDS.
    Cluster,
    /// `envoy.config.endpoint.v3.ClusterLoadAssignment`, served by EDS.
    ClusterLoadAssignment,
    /// `envoy.config.listener.v3.Listener`, served by LDS.
    Listener,
    /// `envoy.config.route.v3.ScopedRouteConfiguration`, served by SRDS.
    ScopedRouteConfiguration,
    /// `envoy.config.route.v3.RouteConfiguration`, served by RDS.
    RouteConfiguration,
    /// `envoy.config.route.v3.VirtualHost`, served by VHDS.
    VirtualHost,
    /// `envoy.extensions.transport_sockets.tls.v3.Secret`, served by SDS.
    Secret,
    /// `envoy.config.core.v3.TypedExtensionConfig`, served by ECDS.
    TypedExtensionConfig,
    /// `envoy.service.runtime.v3.Runtime`, served by RTDS.
    Runtime,
}

impl ResourceType {
    /// How many types there are.
    pub const COUNT: usize = 9;

    /// Every type, in order; `ALL[t.index()] == t`.
    pub const ALL: [ResourceType; Self::COUNT] = [
        ResourceType::Cluster,
        ResourceType::ClusterLoadAssignment,
        ResourceType::Listener,
        ResourceType::ScopedRouteConfiguration,
        ResourceType::RouteConfiguration,
        ResourceType::VirtualHost,
        ResourceType::Secret,
        ResourceType::TypedExtensionConfig,
        ResourceType::Runtime,
    ];

    /// The position in [`ResourceType::ALL`], for tables that hold something for each type.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The type URL as it stands in discovery requests, responses and `Any`.
    #[must_use]
    pub const fn type_url(self) -> &'static str {
        match self {
            ResourceType::Cluster => "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            ResourceType::ClusterLoadAssignment => "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
            ResourceType::Listener => "type.googleapis.com/envoy.config.listener.v3.Listener",
            ResourceType::ScopedRouteConfiguration => {
                "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
            }
            ResourceType::RouteConfiguration => "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            ResourceType::VirtualHost => "type.googleapis.com/envoy.config.route.v3.VirtualHost",
            ResourceType::Secret => "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            ResourceType::TypedExtensionConfig => "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            ResourceType::Runtime => "type.googleapis.com/envoy.service.runtime.v3.Runtime",
        }
    }

    /// The type with this type URL, if it is one that we serve.
    #[must_use]
    pub fn from_type_url(type_url: &str) -> Option<ResourceType> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == type_url)
    }

    /// Whether state of the world has no way to say what a client needs of this type (rule 24): virtual hosts are asked
    /// for by one name and answered under another.
    #[must_use]
    pub const fn is_delta_only(self) -> bool {
        matches!(self, ResourceType::VirtualHost)
    }

    /// The short name of the service for this type, as operators say it: `CDS`, `EDS`, `LDS`, and so on.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            ResourceType::Cluster => "CDS",
            ResourceType::ClusterLoadAssignment => "EDS",
            ResourceType::Listener => "LDS",
            ResourceType::ScopedRouteConfiguration => "SRDS",
            ResourceType::RouteConfiguration => "RDS",
            ResourceType::VirtualHost => "VHDS",
            ResourceType::Secret => "SDS",
            ResourceType::TypedExtensionConfig => "ECDS",
            ResourceType::Runtime => "RTDS",
        }
    }
}

impl fmt::Display for ResourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use envoy_types::pb::envoy::config::core::v3::TypedExtensionConfig;
    use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
    use envoy_types::pb::envoy::config::listener::v3::Listener;
    use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, ScopedRouteConfiguration, VirtualHost};
    use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
    use envoy_types::pb::envoy::service::runtime::v3::Runtime;
    use prost::Name;

    use super::*;

    #[test]
    fn type_urls_are_those_of_the_messages() {
        let messages = [
            Cluster::type_url(),
            ClusterLoadAssignment::type_url(),
            Listener::type_url(),
            ScopedRouteConfiguration::type_url(),
            RouteConfiguration::type_url(),
            VirtualHost::type_url(),
            Secret::type_url(),
            TypedExtensionConfig::type_url(),
            Runtime::type_url(),
        ];
        assert_eq!(ResourceType::ALL.map(|kind| kind.type_url().to_owned()), messages);
    }

    #[test]
    fn every_type_is_found_by_its_url_and_index() {
        for (index, kind) in ResourceType::ALL.into_iter().enumerate() {
            assert_eq!(ResourceType::from_type_url(kind.type_url()), Some(kind));
            assert_eq!(kind.index(), index);
        }
        assert_eq!(ResourceType::from_type_url("type.googleapis.com/envoy.config.cluster.v3.Unknown"), None);
    }
}
