//! `spec.tls.frontend` of a Gateway: how clients prove who they are.
//!
//! What cannot be understood must not let anyone in, so it stays with the ports that it may have been meant for.

use std::sync::Arc;

use crate::model::decode::cursor::Cursor;
use crate::model::decode::route::{or_default, target};
use crate::model::decode::syntax;
use crate::model::{CertificateRef, ClientValidation, FrontendTls, ObjectKey, PortTls};

pub(super) fn frontend(spec: &Cursor<'_>, key: &ObjectKey) -> FrontendTls {
    let mark = spec.problems().mark();
    let mut found = FrontendTls::default();
    let tls = spec.section("tls");
    if let Some(frontend) = tls.as_ref().and_then(|tls| tls.section("frontend")) {
        found.default = port_tls(&frontend, "default", key);
        for entry in frontend.get("perPort").iter().flat_map(|list| list.items(64)) {
            per_port(&entry, key, &mut found);
        }
    }
    found.problems = spec.problems().since(mark);
    found
}

fn per_port(entry: &Cursor<'_>, key: &ObjectKey, found: &mut FrontendTls) {
    let port = entry.mapping().and_then(|entry| entry.required("port")?.port());
    // Without a port its problem is the whole frontend's.
    let Some(port) = port else { return };
    let mut tls = port_tls(entry, "tls", key);
    if let Some(other) = found.per_port.remove(&port) {
        let mark = entry.problems().mark();
        entry.problem_at("port", format!("must be unique within the Gateway, {port} stands there twice"));
        tls.problems.extend(other.problems.into_iter().chain(entry.problems().since(mark)));
    }
    found.per_port.insert(port, tls);
}

fn port_tls(parent: &Cursor<'_>, name: &str, key: &ObjectKey) -> PortTls {
    let mark = parent.problems().mark();
    let tls = parent.required(name).and_then(Cursor::mapping);
    let validation = tls.as_ref().and_then(|tls| tls.section("validation"));
    let validation = validation.map(|validation| Arc::new(self::validation(&validation, key)));
    PortTls { validation, problems: parent.problems().since(mark) }
}

fn validation(validation: &Cursor<'_>, key: &ObjectKey) -> ClientValidation {
    let insecure = match or_default(validation, "mode", |_| Ok(()), "AllowValidOnly").as_str() {
        "AllowValidOnly" => false,
        "AllowInsecureFallback" => true,
        other => {
            let message = format!("must be AllowValidOnly or AllowInsecureFallback, is {other:?}");
            validation.problem_at("mode", message);
            false
        }
    };
    let (mut field, mut authorities) = (arcstr::ArcStr::new(), Vec::new());
    if let Some(list) = validation.required("caCertificateRefs") {
        field = list.field();
        let entries = list.items(16);
        if entries.is_empty() {
            list.problem("must have at least one reference");
        }
        authorities = entries.iter().filter_map(|entry| authority(entry, key)).collect();
    }
    ClientValidation { field, authorities, insecure }
}

/// Group and kind have no default here.
fn authority(entry: &Cursor<'_>, key: &ObjectKey) -> Option<CertificateRef> {
    entry.mapping()?;
    let group = entry.required("group")?.text(syntax::group)?;
    let kind = entry.required("kind")?.text(syntax::kind)?;
    Some(CertificateRef { group, kind, target: target(entry, key) })
}
