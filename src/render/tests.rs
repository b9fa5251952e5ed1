use std::collections::HashMap;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, TransportSocket, data_source::Specifier, transport_socket::ConfigType,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, Secret, TlsCertificate, secret,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::google::protobuf::{Any, Duration, UInt32Value};
use prost::{Message, Name};
use serde_json::json;

use super::*;
use crate::resource::{Parts, ResourceType, encode};

fn certificate() -> TlsCertificate {
    let source = |s: Specifier| Some(DataSource { specifier: Some(s), ..Default::default() });
    TlsCertificate {
        certificate_chain: source(Specifier::InlineString("public".into())),
        private_key: source(Specifier::InlineBytes(b"the key".to_vec())),
        password: source(Specifier::InlineString("the password".into())),
        ..Default::default()
    }
}

fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

fn render<M: Message + Name>(value: &M) -> Result<Json, RenderError> {
    let any = any(value);
    message(&any.type_url, &any.value)
}

#[test]
fn fields_have_the_names_and_forms_of_config_dump() {
    let options = any(&HttpProtocolOptions::default());
    let cluster = Cluster {
        name: "service/a/b/80/http".into(),
        connect_timeout: Some(Duration { seconds: 5, nanos: 0 }),
        per_connection_buffer_limit_bytes: Some(UInt32Value { value: 32768 }),
        typed_extension_protocol_options: HashMap::from([("x".to_owned(), options.clone())]),
        ..Default::default()
    };
    let expected = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": "service/a/b/80/http",
        "connect_timeout": "5s",
        "per_connection_buffer_limit_bytes": 32768,
        "typed_extension_protocol_options": { "x": { "@type": options.type_url } },
    });
    assert_eq!(render(&cluster).unwrap(), expected);
}

#[test]
fn keys_and_passwords_are_redacted_and_certificates_are_not() {
    let secret = Secret { name: "secret/a/b".into(), r#type: Some(secret::Type::TlsCertificate(certificate())) };
    let expected = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "secret/a/b",
        "tls_certificate": {
            "certificate_chain": { "inline_string": "public" },
            "private_key": { "inline_bytes": REDACTED },
            "password": { "inline_string": REDACTED },
        },
    });
    assert_eq!(render(&secret).unwrap(), expected);
}

#[test]
fn secrets_inside_an_any_are_redacted() {
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext { tls_certificates: vec![certificate()], ..Default::default() }),
        ..Default::default()
    };
    let cluster = Cluster {
        transport_socket: Some(TransportSocket {
            name: "tls".into(),
            config_type: Some(ConfigType::TypedConfig(any(&context))),
        }),
        ..Default::default()
    };
    let json = render(&cluster).unwrap();
    let shown = &json["transport_socket"]["typed_config"]["common_tls_context"]["tls_certificates"][0];
    assert_eq!(shown["private_key"], json!({ "inline_bytes": REDACTED }));
    assert_eq!(shown["certificate_chain"], json!({ "inline_string": "public" }));
    assert!(!json.to_string().contains("dGhlIGtleQ"), "the key in base64");
}

#[test]
fn what_the_descriptors_do_not_explain_is_an_error() {
    let odd = TransportSocket {
        name: "odd".into(),
        config_type: Some(ConfigType::TypedConfig(Any {
            type_url: "type.googleapis.com/no.such.Type".into(),
            value: vec![],
        })),
    };
    let cluster = Cluster { transport_socket: Some(odd), ..Default::default() };
    assert!(matches!(render(&cluster), Err(RenderError::UnknownType(name)) if name == "no.such.Type"));

    // Field 15,000 as a varint: no message of Envoy's has it.
    let url = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    let mut body = Vec::new();
    prost::encoding::uint32::encode(15_000, &1, &mut body);
    assert!(matches!(message(url, &body), Err(RenderError::UnknownField(_, 15_000))));

    assert!(matches!(message(url, &[0x0a, 9]), Err(RenderError::Malformed(..))));
}

#[test]
fn yaml_is_a_stream_of_documents_and_says_what_cannot_be_shown() {
    let cluster = Cluster { name: "service/a/b/80/http".into(), ..Default::default() };
    let good = Resource::new(ResourceType::Cluster, "service/a/b/80/http", Parts::leaf(encode::message(&cluster)), []);
    let bad = Resource::new(ResourceType::Cluster, "bad", Parts::leaf(vec![0x0a, 9]), []);
    let expected = "\
\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster
name: service/a/b/80/http
---
\"@type\": type.googleapis.com/envoy.config.cluster.v3.Cluster
";
    let yaml = yaml([&good, &bad]);
    assert!(yaml.starts_with(expected), "{yaml}");
    assert!(yaml.contains("\nerror: ") && yaml.contains("\nname: bad\n"), "{yaml}");
}
