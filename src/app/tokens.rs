//! Who proves the tokens of Envoys: the API server, or a file of keys.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    config::XdsConfig,
    watch::{Accounts, Client},
    xds::{Asked, Authority, IssuerKeys, Review, TokenSettings, Tokens},
};

/// How often the API server's keys are read again. It adds a key before it signs with it, and one that is unknown is asked for at once.
const REFRESH: Duration = Duration::from_secs(300);
/// How often a file is looked at, as with certificates.
const LOOK: Duration = Duration::from_secs(5);

/// What proves tokens, if anything does. Without TLS nothing has to: none is accepted in clear text.
#[must_use]
pub fn verifier(config: &XdsConfig, api: Option<&Client>) -> Option<Arc<Tokens>> {
    let config = config.tls.is_some().then_some(&config.tokens)?;
    let settings =
        |refresh| TokenSettings { audience: config.audience.clone(), issuers: config.issuers.clone(), refresh };
    let tokens = match (&config.keys, api) {
        (Some(file), _) => Tokens::new(KeyFile(file.clone()), settings(LOOK)),
        (None, Some(client)) => Tokens::new(ApiServer(Accounts::new(client.clone())), settings(REFRESH)),
        (None, None) => return None,
    };
    Some(Arc::new(tokens))
}

struct ApiServer(Accounts);

impl Authority for ApiServer {
    fn keys(&self) -> Asked<'_, IssuerKeys> {
        Box::pin(async {
            let issuer = self.0.issuer().await.map_err(|fault| format!("{fault}{}", remedy(fault.class())))?;
            Ok(IssuerKeys { issuer: Some(issuer.name), jwks: issuer.keys })
        })
    }

    fn review<'a>(&'a self, token: &'a str, audience: &'a str) -> Option<Asked<'a, Review>> {
        Some(Box::pin(async move {
            let review = self.0.review(token, audience).await;
            let review = review.map_err(|fault| format!("{fault}{}", remedy(fault.class())))?;
            Ok(Review { user: review.user, audiences: review.audiences })
        }))
    }
}

/// What helps against a missing right.
fn remedy(class: &str) -> &'static str {
    if class == "forbidden" { " (deploy/rbac/tokens.yaml grants it)" } else { "" }
}

struct KeyFile(PathBuf);

impl Authority for KeyFile {
    fn keys(&self) -> Asked<'_, IssuerKeys> {
        Box::pin(async {
            let jwks = tokio::fs::read(&self.0).await;
            let jwks = jwks.map_err(|error| format!("--xds-token-keys {}: {error}", self.0.display()))?;
            Ok(IssuerKeys { issuer: None, jwks: jwks.into() })
        })
    }

    fn review<'a>(&'a self, _: &'a str, _: &'a str) -> Option<Asked<'a, Review>> {
        None
    }
}
