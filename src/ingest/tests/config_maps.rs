//! ConfigMaps are wanted, waited for and stood in for as Secrets are.

use super::*;

/// A Gateway whose one HTTPS listener lets in clients of these authorities.
fn trusting(name: &str, maps: &[&str]) -> Event {
    let Event::Put(object, Object::Gateway(gateway)) = gateway(name, &[]) else { unreachable!() };
    let reference =
        |target: &&str| CertificateRef { group: ArcStr::new(), kind: "ConfigMap".into(), target: key(target) };
    let authorities = maps.iter().map(reference).collect();
    let validation = ClientValidation { field: "field".into(), authorities, insecure: false };
    let default = PortTls { validation: Some(Arc::new(validation)), problems: Vec::new() };
    let frontend = FrontendTls { default, ..FrontendTls::default() };
    Event::Put(object, Object::Gateway(Arc::new(Gateway { frontend, ..Gateway::clone(&gateway) })))
}

fn config_map(name: &str, authorities: Result<&'static str, &str>) -> Event {
    let authorities = authorities.map(|pem| pem.as_bytes().into()).map_err(Into::into);
    Event::Put(object(Kind::ConfigMap, name), Object::ConfigMap(Arc::new(ConfigMap { authorities })))
}

fn wants_map(name: &str) -> Want {
    Want::Object(object(Kind::ConfigMap, name))
}

#[test]
fn one_is_wanted_while_a_gateway_refers_to_it() {
    let mut rig = Rig::covering(None, vec![class(), gateway("h", &[])]);
    assert_eq!(rig.wants(), Vec::<String>::new());
    assert_eq!(rig.offer(vec![trusting("g", &["m"])]), [], "what it would lead to is not known yet");
    assert_eq!(rig.wants(), ["ConfigMap default/m"]);
    assert_eq!(rig.why(), ["Gateway default/g: waits for ConfigMap default/m to be read"]);
    let let_in = rig.offer(vec![config_map("m", Ok("pem")), known(&wants_map("m"))]);
    assert_eq!(sorted(let_in), sorted(vec![config_map("m", Ok("pem")), trusting("g", &["m"])]), "together");

    assert_eq!(rig.offer(vec![gateway("g", &[])]), [gateway("g", &[])]);
    assert_eq!(rig.wants(), Vec::<String>::new());
}

#[test]
fn bounded_one_that_is_not_read_in_time_or_forbidden_costs_its_referrers_alone() {
    let mut rig = Rig::covering(None, vec![class()]);
    assert_eq!(rig.offer(vec![trusting("g", &["m"]), trusting("h", &["n"])]), []);
    let let_in = rig.offer(vec![unavailable(&wants_map("m"), "is forbidden")]);
    assert_eq!(sorted(let_in), sorted(vec![trusting("g", &["m"]), config_map("m", Err("is forbidden"))]));
    let late = "not delivered within 10 s; see whether its source is well (`syncgate status`)";
    assert_eq!(rig.at(DEMAND), [trusting("h", &["n"]), config_map("n", Err(late))]);
    assert_eq!(rig.offer(vec![config_map("n", Ok("pem")), known(&wants_map("n"))]), [config_map("n", Ok("pem"))]);
}

#[test]
fn one_elsewhere_is_wanted_when_its_namespace_consents_to_config_maps() {
    let mut rig = Rig::covering(Some(&["shop"]), vec![class()]);
    let update = trusting("shop/g", &["certs/m"]);
    assert_eq!(rig.offer(vec![update.clone()]), []);
    let grants = "the ReferenceGrants of namespace certs";
    assert_eq!(rig.wants(), [grants]);
    let for_secrets = grant_of("certs/secrets", (Kind::Gateway, "shop"), Kind::Secret);
    let let_in = rig.offer(vec![for_secrets.clone(), known(&wants_grants("certs"))]);
    assert_eq!((rig.wants(), let_in), (vec![grants.to_owned()], vec![for_secrets]), "of something else");
    rig.offer(vec![grant_of("certs/maps", (Kind::Gateway, "shop"), Kind::ConfigMap)]);
    assert_eq!(rig.wants(), ["ConfigMap certs/m".to_owned(), grants.to_owned()]);
    rig.offer(vec![delete(Kind::Gateway, "shop/g")]);
    assert_eq!(rig.wants(), Vec::<String>::new());
}

#[test]
fn what_a_gateway_trusts_is_not_taken_away_before_the_gateway_has_let_go() {
    let mut rig = Rig::covering(None, vec![class(), config_map("m", Ok("pem")), trusting("g", &["m"])]);
    assert_eq!(rig.offer(vec![delete(Kind::ConfigMap, "m")]), []);
    let let_in = rig.offer(vec![gateway("g", &[])]);
    assert_eq!(sorted(let_in), sorted(vec![delete(Kind::ConfigMap, "m"), gateway("g", &[])]));
}
