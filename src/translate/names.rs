//! Names of what a Gateway consists of in Envoy: listeners, route configurations, secrets.
//!
//! Invariant: a name says what a thing is (its object, port and host name), never where it stands in a list.

use arcstr::ArcStr;

use super::hostname::Hostname;
use crate::model::ObjectKey;
use crate::resource::ResourceType;

/// A resource of one Gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// The Gateway whose clients receive it.
    pub gateway: ObjectKey,
    /// Its type.
    pub kind: ResourceType,
    /// Its name.
    pub name: ArcStr,
}

/// One port of one Gateway: an Envoy listener, which serves all of the Gateway's listeners on that port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortKey {
    /// The Gateway.
    pub gateway: ObjectKey,
    /// The port.
    pub port: u16,
}

impl PortKey {
    /// The listener's name: `<namespace>/<gateway>/<port>`.
    pub(crate) fn resource_name(&self) -> ArcStr {
        arcstr::format!("{}/{}/{}", self.gateway.namespace, self.gateway.name, self.port)
    }

    /// The name of the secret that says whom it lets in: `clients/<namespace>/<gateway>/<port>`.
    pub(crate) fn clients_name(&self) -> ArcStr {
        arcstr::format!("clients/{}", self.resource_name())
    }
}

/// One route table: the route configuration of a whole HTTP port, or of one HTTPS listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableKey {
    /// The port.
    pub at: PortKey,
    /// The host name of the HTTPS listener; `None` for HTTP, where one table serves every listener of the port.
    pub chain: Option<Hostname>,
}

impl TableKey {
    /// The route configuration's name: `<namespace>/<gateway>/<port>`, for HTTPS with `/<host name or *>`.
    pub(crate) fn resource_name(&self) -> ArcStr {
        match &self.chain {
            None => self.at.resource_name(),
            Some(host) => arcstr::format!("{}/{host}", self.at.resource_name()),
        }
    }
}

/// The name of a secret: `secret/<namespace>/<name>`.
pub(crate) fn secret_name(key: &ObjectKey) -> ArcStr {
    arcstr::format!("secret/{}/{}", key.namespace, key.name)
}

/// The name of an Envoy route: `route/<namespace>/<name>`, with `/<rule>` for a rule that has a name.
pub(crate) fn route_name(key: &ObjectKey, rule: Option<&ArcStr>) -> String {
    match rule {
        None => format!("route/{}/{}", key.namespace, key.name),
        Some(rule) => format!("route/{}/{}/{rule}", key.namespace, key.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_thing_is() {
        let at = PortKey { gateway: ObjectKey::new("shop", "edge"), port: 443 };
        assert_eq!(at.resource_name(), "shop/edge/443");
        assert_eq!(at.clients_name(), "clients/shop/edge/443");
        let table = |chain| TableKey { at: at.clone(), chain }.resource_name();
        assert_eq!(table(None), "shop/edge/443");
        assert_eq!(table(Some(Hostname::any())), "shop/edge/443/*");
        assert_eq!(secret_name(&ObjectKey::new("shop", "cert")), "secret/shop/cert");
        assert_eq!(route_name(&ObjectKey::new("shop", "cart"), None), "route/shop/cart");
        assert_eq!(route_name(&ObjectKey::new("shop", "cart"), Some(&"buy".into())), "route/shop/cart/buy");
    }
}
