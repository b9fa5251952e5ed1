//! What the API server says of the tokens of ServiceAccounts: the keys that it signs them with, and a review of one.
//!
//! Asked past the ceiling that the sources share: a first list must not keep Envoys waiting. Whoever asks has bounds of its own.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use super::fault::Fault;

/// Where the issuer and its keys are; what a ServiceAccount may read by default.
const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/openid/v1/jwks";
const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// Asks about tokens. Clones share a client.
#[derive(Debug, Clone)]
pub struct Accounts {
    client: Client,
}

/// Who issues tokens, and the keys that it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Its name, as tokens have it.
    pub name: String,
    /// A JSON Web Key Set.
    pub keys: Bytes,
}

/// What the API server says of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenReview {
    /// The user that it is of, if it is accepted.
    pub user: Option<String>,
    /// Of the audiences that were asked about, those that it is for.
    pub audiences: Vec<String>,
}

impl Accounts {
    /// Asks by `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Who issues tokens, and with which keys.
    ///
    /// # Errors
    /// No answer, or one that says nothing.
    pub async fn issuer(&self) -> Result<Issuer, Fault> {
        let discovery = self.get(DISCOVERY, "application/json").await?;
        let discovery: Value = serde_json::from_slice(&discovery).map_err(malformed)?;
        let name = discovery["issuer"].as_str().ok_or_else(|| malformed("discovery without `issuer`"))?.to_owned();
        Ok(Issuer { name, keys: self.get(KEYS, "application/jwk-set+json, application/json").await? })
    }

    /// Whether a token is accepted for `audience`, and whose it is.
    ///
    /// # Errors
    /// No answer. None of them holds a byte of the token.
    pub async fn review(&self, token: &str, audience: &str) -> Result<TokenReview, Fault> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        });
        let body = Bytes::from(review.to_string());
        let request = || {
            Request::post(REVIEWS)
                .header(header::ACCEPT, "application/json")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::from(body.clone()))
        };
        let answer = self.ask(request).await?.whole().await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(malformed)?;
        let status = &answer["status"];
        let is_accepted = status["authenticated"].as_bool().unwrap_or_default();
        let user = status["user"]["username"].as_str().filter(|_| is_accepted).map(str::to_owned);
        let audiences = status["audiences"].as_array().into_iter().flatten();
        Ok(TokenReview {
            user,
            audiences: audiences.filter_map(|audience| Some(audience.as_str()?.to_owned())).collect(),
        })
    }

    async fn get(&self, path: &str, accept: &str) -> Result<Bytes, Fault> {
        self.ask(|| Request::get(path).header(header::ACCEPT, accept).body(Full::default())).await?.whole().await
    }

    /// Once more with credentials that are read again, if those that were read are not accepted any more.
    async fn ask(&self, request: impl Fn() -> http::Result<Request<Full<Bytes>>>) -> Result<Answer, Fault> {
        let generation = self.client.generation();
        match self.client.ask(request()).await {
            Err(fault) if fault.class() == "unauthorized" => {
                self.client.authenticate(generation).await;
                self.client.ask(request()).await
            }
            answer => answer,
        }
    }
}

fn malformed(why: impl ToString) -> Fault {
    Fault::Malformed(why.to_string())
}
