//! How an Envoy sends the token of its ServiceAccount, which the kubelet renews: a filter on the way to syncgate puts it into each
//! request, and Envoy reads it again whenever something is moved into its folder.
//!
//! The token itself has to come from a second file: Envoy watches the files of a secret only if the secret is read from a file
//! too (shown with Envoy 1.37 and 1.40). Its gRPC client of Google's would read a token file by itself, but leaves out messages
//! above 4 MiB and the cluster's settings.

use serde_json::{Value, json};

use super::BootstrapArgs;

/// What the secret is called, in both files.
const NAME: &str = "syncgate-token";

/// The filters of requests to syncgate; none without a token.
pub(super) fn filters(args: &BootstrapArgs) -> Option<Value> {
    args.token_file.as_ref()?;
    let secret = json!({
        "name": NAME,
        "sds_config": {
            "path_config_source": { "path": args.token_secret },
            "resource_api_version": "V3",
            "initial_fetch_timeout": "0s",
        },
    });
    Some(json!([
        {
            "name": "envoy.filters.http.credential_injector",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                "overwrite": true,
                "credential": {
                    "name": "envoy.http.injected_credentials.generic",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                        "credential": secret,
                        "header": "authorization",
                        "header_value_prefix": "Bearer ",
                    },
                },
            },
        },
        {
            "name": "envoy.filters.http.upstream_codec",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
            },
        },
    ]))
}

/// The second file, which tells Envoy where the token is.
pub(super) fn secret(file: &str) -> Value {
    json!({ "resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": NAME,
        "generic_secret": { "secret": { "filename": file } },
    }] })
}
