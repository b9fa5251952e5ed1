//! `syncgate explain KIND NS/NAME`: why an object has no effect, or what it became (invariant `explained`).

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;

use super::AdminArgs;
use crate::{
    app::offline::Offline,
    model::{Kind, ObjectKey, ObjectRef},
    proto::ExplainRequest,
};

/// Arguments of `syncgate explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The kind as in manifests (HTTPRoute, Gateway, Service, …), in any case.
    kind: String,

    /// `NAMESPACE/NAME`; for GatewayClass and Namespace just `NAME`.
    name: String,

    /// Explain what this folder would become, instead of asking a running syncgate.
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,

    #[command(flatten)]
    admin: AdminArgs,
}

/// Prints the explanation; exit code 1 when there is no such object.
///
/// # Errors
/// When an argument is malformed, or neither folder nor process answers.
pub async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let object = parse(&args.kind, &args.name)?;
    let (found, text) = match &args.files {
        Some(dir) => Offline::load(dir)?.explain(&object),
        None => {
            let request = ExplainRequest {
                kind: object.kind.as_str().to_owned(),
                namespace: object.key.namespace.to_string(),
                name: object.key.name.to_string(),
            };
            let answer = args.admin.connect().await?.explain(request).await;
            let answer = answer.map_err(|error| args.admin.explain(&error))?.into_inner();
            (answer.found, answer.text)
        }
    };
    super::print(&text)?;
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn parse(kind: &str, name: &str) -> anyhow::Result<ObjectRef> {
    let known = || Kind::ALL.map(Kind::as_str).join(", ");
    let kind = Kind::ALL
        .into_iter()
        .find(|k| k.as_str().eq_ignore_ascii_case(kind))
        .with_context(|| format!("unknown kind {kind:?}; known are {}", known()))?;
    let key = match (kind.is_cluster_scoped(), name.split_once('/')) {
        (true, None) => ObjectKey::cluster(name),
        (true, Some(_)) => bail!("{kind} is not in a namespace: give NAME alone"),
        (false, Some((namespace, name))) => ObjectKey::new(namespace, name),
        (false, None) => bail!("a {kind} is in a namespace: give NAMESPACE/NAME"),
    };
    Ok(ObjectRef::new(kind, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_in_any_case() {
        let object = parse("httproute", "demo/shop").unwrap();
        assert_eq!(object.to_string(), "HTTPRoute demo/shop");
    }

    #[test]
    fn errors_say_what_is_expected() {
        assert!(parse("Endpoints", "a/b").unwrap_err().to_string().contains("known are GatewayClass"));
        assert!(parse("Gateway", "web").unwrap_err().to_string().contains("NAMESPACE/NAME"));
        assert!(parse("Namespace", "a/b").unwrap_err().to_string().contains("NAME alone"));
    }
}
