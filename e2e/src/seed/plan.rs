//! What a seeder is asked for. Its fields are the flags of the command.

use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context, Result};

/// What to fill it with. Counts are those of each namespace.
#[derive(Debug, Clone, clap::Args)]
pub struct Plan {
    /// What names, ids and addresses follow from. Keep it, and the number of services, to add to what is there.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Namespaces are called <PREFIX>-0, <PREFIX>-1, … Pods of another prefix get the same addresses.
    #[arg(long, default_value = "load")]
    pub prefix: String,
    /// How many namespaces.
    #[arg(long, default_value_t = 1)]
    pub namespaces: u32,
    /// Services of each namespace: app-0, app-1, …
    #[arg(long, default_value_t = 10)]
    pub services: u32,
    /// Running and ready pods of each namespace, in turn behind its Services.
    #[arg(long, default_value_t = 100)]
    pub pods: u32,
    /// Secrets of each namespace; every second one holds a certificate, which its Gateways use.
    #[arg(long, default_value_t = 2)]
    pub secrets: u32,
    /// Gateways of each namespace: web-0, web-1, …
    #[arg(long, default_value_t = 1)]
    pub gateways: u32,
    /// HTTPRoutes of each namespace, in turn on its Gateways.
    #[arg(long, default_value_t = 10)]
    pub routes: u32,
    /// Attach the routes to this Gateway instead, which is not created.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub gateway: Option<GatewayName>,
    /// Addresses of the pods, which those of a Service take in turn; without them, addresses in 10.0.0.0/8 that nothing
    /// listens on.
    #[arg(long, value_name = "IP,IP", value_delimiter = ',')]
    pub addresses: Vec<IpAddr>,
    /// The port named http of each pod.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// How many requests are under way at once.
    #[arg(long, default_value_t = 48)]
    pub at_once: usize,
}

impl Default for Plan {
    /// One small namespace, as the command has it.
    fn default() -> Self {
        Self {
            seed: 1,
            prefix: "load".to_owned(),
            namespaces: 1,
            services: 10,
            pods: 100,
            secrets: 2,
            gateways: 1,
            routes: 10,
            gateway: None,
            addresses: Vec::new(),
            port: 8080,
            at_once: 48,
        }
    }
}

/// A Gateway that others' routes attach to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayName {
    /// Where it is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
}

impl FromStr for GatewayName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (namespace, name) =
            text.split_once('/').with_context(|| format!("{text} is not of the form NAMESPACE/NAME"))?;
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl Plan {
    /// The numbers of namespaces and of `each` objects in them.
    pub(super) fn pairs(&self, each: u32) -> impl Iterator<Item = (u32, u32)> + use<> {
        let namespaces = self.namespaces;
        (0..namespaces).flat_map(move |namespace| (0..each).map(move |number| (namespace, number)))
    }

    /// What the names in a namespace follow from, in words.
    pub(super) fn origin(&self) -> String {
        format!("seed {}, {} services", self.seed, self.services)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        plan: Plan,
    }

    #[test]
    fn the_default_is_that_of_the_command() {
        let parsed = Command::parse_from(["seed"]).plan;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", Plan::default()));
    }

    #[test]
    fn a_gateway_is_named_with_its_namespace() {
        let named: GatewayName = "a/web".parse().unwrap();
        assert_eq!((named.namespace.as_str(), named.name.as_str()), ("a", "web"));
        assert!("web".parse::<GatewayName>().is_err());
    }
}
