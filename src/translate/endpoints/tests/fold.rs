//! The fold alone: equal endpoints give equal bytes, whatever came before.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::graph::{Fold, Member};
use crate::model::ObjectKey;
use crate::render;
use crate::resource::Resource;

use super::super::assignment::{CHUNKED_ABOVE, LoadAssignment};
use super::super::{Address, Endpoint, MemberKey, Source};
use crate::translate::keys::{AppProtocol, ClusterKey};
use crate::translate::led::Led;

fn cluster() -> ClusterKey {
    ClusterKey::new(ObjectKey::new("shop", "cart"), 80, AppProtocol::Http)
}

fn member(n: u32, source: Source) -> MemberKey {
    let ip = IpAddr::V4(Ipv4Addr::from_bits(0x0af4_0000 + n));
    MemberKey::new(cluster(), Address { ip, port: 8080 }, source)
}

fn pod(n: u32) -> MemberKey {
    member(n, Source::pod(arcstr::format!("pod-{n}")))
}

fn slice(n: u32) -> MemberKey {
    member(n, Source::slice("by-hand".into()))
}

fn zone(name: &str) -> Arc<Endpoint> {
    Arc::new(Endpoint { zone: name.into(), additional: None })
}

fn with_port() -> LoadAssignment {
    let mut fold = LoadAssignment::default();
    fold.put(&cluster(), &Arc::new(Led));
    fold
}

fn row(fold: &mut LoadAssignment) -> Resource {
    fold.row(&cluster()).expect("the port exists")
}

/// `zone/address:port` of each endpoint, in order.
fn endpoints(resource: &Resource) -> Vec<String> {
    let json = render::resource(resource);
    assert_eq!(json["cluster_name"], "service/shop/cart/80/http", "{json}");
    let zones = json["endpoints"].as_array().cloned().unwrap_or_default();
    let of_zone = |zone: &serde_json::Value| {
        let name = zone["locality"]["zone"].as_str().unwrap_or_default().to_owned();
        let endpoints = zone["lb_endpoints"].as_array().cloned().expect("no zone is empty");
        endpoints.into_iter().map(move |e| {
            let at = &e["endpoint"]["address"]["socket_address"];
            format!("{name}/{}:{}", at["address"].as_str().unwrap_or("?"), at["port_value"])
        })
    };
    zones.iter().flat_map(of_zone).collect()
}

#[test]
fn a_port_without_endpoints_has_an_empty_load_assignment_and_no_port_has_none() {
    let mut fold = LoadAssignment::default();
    fold.put(&pod(1), &zone(""));
    assert_eq!(fold.row(&cluster()), None);
    let mut fold = with_port();
    assert_eq!(endpoints(&row(&mut fold)), Vec::<String>::new());
    fold.del(&cluster(), &Arc::new(Led));
    assert_eq!(fold.row(&cluster()), None);
}

#[test]
fn zones_and_endpoints_are_sorted_and_addresses_by_number() {
    let mut fold = with_port();
    for (n, name) in [(10, "b"), (9, "b"), (3, ""), (4, "a")] {
        fold.put(&pod(n), &zone(name));
    }
    let expected = ["/10.244.0.3:8080", "a/10.244.0.4:8080", "b/10.244.0.9:8080", "b/10.244.0.10:8080"];
    assert_eq!(endpoints(&row(&mut fold)), expected);
}

#[test]
fn two_claims_to_an_address_are_one_endpoint_and_the_loser_comes_back() {
    for others in [0, u32::try_from(CHUNKED_ABOVE).unwrap() + 10] {
        let mut fold = with_port();
        (0..others).for_each(|n| fold.put(&pod(1000 + n), &zone("others")));
        let own = |fold: &mut LoadAssignment| {
            let all = endpoints(&row(fold));
            all.into_iter().filter(|e| !e.starts_with("others/")).collect::<Vec<_>>()
        };
        fold.put(&slice(7), &zone("by-hand"));
        assert_eq!(own(&mut fold), ["by-hand/10.244.0.7:8080"]);
        fold.put(&pod(7), &zone("pod"));
        assert_eq!(own(&mut fold), ["pod/10.244.0.7:8080"], "a pod comes before a slice");
        fold.put(&slice(7), &zone("elsewhere"));
        assert_eq!(own(&mut fold), ["pod/10.244.0.7:8080"]);
        fold.del(&pod(7), &zone("pod"));
        assert_eq!(own(&mut fold), ["elsewhere/10.244.0.7:8080"]);
        fold.del(&slice(7), &zone("elsewhere"));
        assert_eq!(own(&mut fold), Vec::<String>::new());
    }
}

#[test]
fn equal_endpoints_are_equal_rows_whatever_came_before() {
    // Around the limit of the chunked form, with zones that come, move and go.
    let limit = u32::try_from(CHUNKED_ABOVE).unwrap();
    let mut fold = with_port();
    let mut expected = BTreeMap::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u32| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(random >> 33).unwrap() % below
    };
    let (mut seen_whole, mut seen_chunked, mut growing) = (0, 0, true);
    for step in 0..3_000 {
        let n = next(limit + 40);
        let key = if next(8) == 0 { slice(n) } else { pod(n) };
        // Grows beyond the limit, shrinks below it, and so on.
        growing = if growing { expected.len() < CHUNKED_ABOVE + 10 } else { expected.len() < CHUNKED_ABOVE - 20 };
        if next(100) < (if growing { 15 } else { 75 }) {
            if let Some(old) = expected.remove(&key) {
                fold.del(&key, &old);
            }
        } else {
            let value = zone(["", "a", "b"][next(3) as usize]);
            fold.put(&key, &value);
            expected.insert(key, value);
        }
        if step % 7 != 0 {
            continue;
        }
        if expected.len() > CHUNKED_ABOVE {
            seen_chunked += 1
        } else {
            seen_whole += 1
        }
        let mut fresh = with_port();
        expected.iter().rev().for_each(|(key, value)| fresh.put(key, value));
        let (incremental, fresh) = (row(&mut fold), row(&mut fresh));
        assert_eq!(incremental, fresh, "step {step}");
        assert_eq!(incremental.body.to_bytes(), fresh.body.to_bytes(), "step {step}");
        assert_eq!(endpoints(&incremental), naive(&expected), "step {step}");
    }
    assert!(seen_whole > 20 && seen_chunked > 20, "both forms: {seen_whole}, {seen_chunked}");
}

fn naive(claims: &BTreeMap<MemberKey, Arc<Endpoint>>) -> Vec<String> {
    let mut winners = BTreeMap::new();
    for (key, endpoint) in claims.iter().rev() {
        winners.insert(key.address(), endpoint.zone.clone());
    }
    let mut sorted: Vec<_> = winners.into_iter().map(|(address, zone)| (zone, address)).collect();
    sorted.sort();
    sorted.into_iter().map(|(zone, at)| format!("{zone}/{}:{}", at.ip, at.port)).collect()
}

#[test]
fn a_dual_stack_endpoint_is_one_with_an_additional_address() {
    let mut fold = with_port();
    let v6 = "fd00::7".parse().unwrap();
    fold.put(&pod(7), &Arc::new(Endpoint { zone: "".into(), additional: Some(Box::new(v6)) }));
    let json = render::resource(&row(&mut fold));
    let endpoints = json["endpoints"][0]["lb_endpoints"].as_array().unwrap();
    assert_eq!(endpoints.len(), 1);
    let socket = |address: &str| serde_json::json!({ "socket_address": { "address": address, "port_value": 8080 } });
    assert_eq!(endpoints[0]["endpoint"]["address"], socket("10.244.0.7"));
    let additional = serde_json::json!([{ "address": socket("fd00::7") }]);
    assert_eq!(endpoints[0]["endpoint"]["additional_addresses"], additional);
}

#[test]
fn one_of_many_endpoints_is_encoded_alone() {
    let mut cost = Vec::new();
    for pods in [1_000, 10_000] {
        let mut fold = with_port();
        (0..pods).for_each(|n| fold.put(&pod(n), &zone("a")));
        let before = frames(&row(&mut fold));
        fold.put(&pod(500), &zone("b"));
        let after = row(&mut fold);
        let new: usize = after.body.frames().filter(|f| !before.contains(&f.as_ptr())).map(|f| f.len()).sum();
        assert!(new < after.body.len() / 4, "{new} of {}", after.body.len());
        cost.push(new);
    }
    // The same change; 64 rows a leaf on average, but leaves differ in length.
    assert!(cost[1] < 3 * cost[0].max(2_048), "bytes encoded again: {cost:?}");
}

fn frames(resource: &Resource) -> std::collections::HashSet<*const u8> {
    resource.body.frames().map(|frame| frame.as_ptr()).collect()
}
