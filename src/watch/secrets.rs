//! One Secret of the API server, read and written: for `syncgate certs` alone; what is served is read as every other kind.
//!
//! Nothing of what a Secret holds stands in an error, and `Stored` has no `Debug`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::fault::Fault;

/// A Secret as it is.
pub struct Stored {
    /// Its data, decoded.
    pub data: BTreeMap<String, Vec<u8>>,
    revision: String,
}

/// Reads and writes Secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    client: Client,
}

impl Secrets {
    /// Asks by `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// The Secret, if there is one.
    ///
    /// # Errors
    /// No answer, or no right.
    pub async fn read(&self, namespace: &str, name: &str) -> Result<Option<Stored>, Fault> {
        let path = format!("{}/{name}", collection(namespace));
        let answer = match self.send(Method::GET, &path, None).await {
            Err(Fault::Answer(status)) if status.code == 404 => return Ok(None),
            answer => answer?,
        };
        let malformed = |what: &str| Fault::Malformed(format!("Secret {namespace}/{name}: {what}"));
        let secret: Value = serde_json::from_slice(&answer).map_err(|_| malformed("no JSON"))?;
        let revision = secret["metadata"]["resourceVersion"].as_str().ok_or_else(|| malformed("no resourceVersion"))?;
        let mut data = BTreeMap::new();
        for (key, value) in secret["data"].as_object().into_iter().flatten() {
            let decoded = value.as_str().and_then(|text| STANDARD.decode(text).ok());
            data.insert(key.clone(), decoded.ok_or_else(|| malformed("its data are not base64"))?);
        }
        Ok(Some(Stored { data, revision: revision.to_owned() }))
    }

    /// Makes these keys what they say; `None` takes one out. What else there is stays. It is created, with this type, if it was not
    /// there `before`, and nothing is written if it is not any more what it was then.
    ///
    /// # Errors
    /// No answer, no right, or another writer.
    pub async fn write(
        &self,
        (namespace, name): (&str, &str),
        kind: &str,
        before: Option<&Stored>,
        data: &BTreeMap<&str, Option<&[u8]>>,
    ) -> Result<(), Fault> {
        let encoded = |value: &Option<&[u8]>| value.map_or(Value::Null, |value| STANDARD.encode(value).into());
        let mut data: Map<String, Value> =
            data.iter().map(|(key, value)| ((*key).to_owned(), encoded(value))).collect();
        let collection = collection(namespace);
        let sent = match before {
            Some(before) => {
                let patch = json!({"metadata": {"resourceVersion": before.revision}, "data": data});
                self.send(Method::PATCH, &format!("{collection}/{name}"), Some(patch)).await
            }
            None => {
                data.retain(|_, value| !value.is_null());
                let metadata = json!({"namespace": namespace, "name": name});
                let secret =
                    json!({"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": metadata, "data": data});
                self.send(Method::POST, &collection, Some(secret)).await
            }
        };
        sent.map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Bytes, Fault> {
        let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(path).header(header::ACCEPT, "application/json");
        let request = if body.is_some() { request.header(header::CONTENT_TYPE, content) } else { request };
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.client.ask(request.body(Full::from(body))).await?.whole().await
    }
}

fn collection(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets")
}
