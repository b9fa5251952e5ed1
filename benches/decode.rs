//! How fast a list of pods becomes values: protobuf beside JSON, narrow beside whole.
//!
//! The pods are one that a real API server answered (`tests/corpus`, with everything that an ordinary pod carries),
//! each under a name, uid and address of its own. Run it with `cargo bench --bench decode`.

#![expect(clippy::print_stdout, reason = "a benchmark's report is what it prints")]

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message;
use serde_json::Value as Tree;
use syncgate::model::Kind;
use syncgate::model::decode::{TypeMeta, decode, list_items};
use syncgate::watch::wire::{Encoding, Pool, Value, page};

const PODS: usize = 4000;
const ROUNDS: usize = 15;

/// What differs from pod to pod, as it stands in the corpus; replaced by texts of the same length.
const NAME: &str = "checkout-6d5f8c7b9d-x0000";
const ADDRESS: &str = "10.244.100.100";

#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(bytes = "bytes", tag = "1")]
    types: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    raw: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(bytes = "bytes", tag = "1")]
    metadata: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    items: Vec<Bytes>,
}

fn main() {
    let (protobuf, json) = (protobuf_list(), json_list());
    println!("{PODS} pods of a real server's kind, the fastest of {ROUNDS} rounds; a pool that is new in each round");
    println!("{:<28} {:>11} {:>9} {:>12} {:>9}", "", "bytes a pod", "ns a pod", "pods a sec.", "ratio");
    let narrow = measure(|| decoded(Encoding::Protobuf, &protobuf, &Pool::new()));
    let base = row("protobuf", protobuf.len(), narrow, None);
    row("JSON", json.len(), measure(|| decoded(Encoding::Json, &json, &Pool::new())), Some(base));
    row("JSON by way of whole trees", json.len(), measure(|| whole(&json)), Some(base));

    let pool = Pool::new();
    let held = page(Kind::Pod, Encoding::Protobuf, &protobuf, &pool).expect("a list");
    row(
        "protobuf, all known already",
        protobuf.len(),
        measure(|| decoded(Encoding::Protobuf, &protobuf, &pool)),
        Some(base),
    );
    println!("{} objects, {:?}", held.items.len(), pool.held());
}

fn measure(mut work: impl FnMut() -> usize) -> Duration {
    let times = (0..ROUNDS).map(|_| {
        let since = Instant::now();
        assert_eq!(work(), PODS);
        since.elapsed()
    });
    // The work is the same in each round; what others do on the machine only adds to it.
    times.min().expect("rounds")
}

fn row(name: &str, bytes: usize, time: Duration, base: Option<Duration>) -> Duration {
    let ratio = base.map_or_else(String::new, |base| format!("{:.1}", time.as_secs_f64() / base.as_secs_f64()));
    let each = time.as_secs_f64() / PODS as f64;
    println!("{name:<28} {:>11} {:>9.0} {:>12.0} {ratio:>9}", bytes / PODS, each * 1e9, each.recip());
    time
}

fn decoded(encoding: Encoding, body: &Bytes, pool: &Pool) -> usize {
    let page = page(Kind::Pod, encoding, body, pool).expect("a list");
    page.items.iter().filter(|item| matches!(&item.value, Value::Object(_, problems) if problems.is_empty())).count()
}

/// What it would take to parse everything and read a little of it.
fn whole(body: &[u8]) -> usize {
    let tree: Tree = serde_json::from_slice(body).expect("JSON");
    let (items, _) = list_items(&tree).expect("a list");
    let types = Some(TypeMeta { api_version: "v1", kind: "Pod" });
    let pods: Vec<_> = items.iter().filter_map(|tree| decode(tree, types).ok()).collect();
    pods.len()
}

fn protobuf_list() -> Bytes {
    let corpus = corpus("pods.list.pb");
    let unknown = Unknown::decode(&corpus[4..]).expect("an envelope");
    let mut list = List::decode(unknown.raw.clone()).expect("a list");
    let pod = list.items.iter().find(|pod| find(pod, NAME).is_some()).expect("the pod").clone();
    let uid = pod[find(&pod, "*$").expect("a uid") + 2..][..36].to_vec();
    list.items = (0..PODS).map(|number| another(&pod, &uid, number).into()).collect();
    let unknown = Unknown { raw: list.encode_to_vec().into(), ..unknown };
    [b"k8s\0".as_slice(), &unknown.encode_to_vec()].concat().into()
}

fn json_list() -> Bytes {
    let mut list: Tree = serde_json::from_slice(&corpus("pods.list.json")).expect("JSON");
    let items = list["items"].as_array().expect("a list");
    let pod = items.iter().find(|pod| pod["metadata"]["name"] == NAME).expect("the pod");
    let uid = pod["metadata"]["uid"].as_str().expect("a uid").as_bytes();
    let text = pod.to_string();
    let pods = (0..PODS).map(|number| {
        serde_json::from_slice(&another(text.as_bytes(), uid, number)).expect("JSON with texts of the same length")
    });
    list["items"] = pods.collect::<Vec<Tree>>().into();
    list.to_string().into()
}

/// The same pod under another name.
fn another(pod: &[u8], uid: &[u8], number: usize) -> Vec<u8> {
    let uid = std::str::from_utf8(uid).expect("a uid");
    let name = format!("{}{number:04}", &NAME[..NAME.len() - 4]);
    let address = format!("10.244.{}.{}", 100 + number / 100, 100 + number % 100);
    let mut pod = pod.to_vec();
    for (from, to) in
        [(NAME, name.as_str()), (ADDRESS, &address), (uid, &format!("{}{number:04}", &uid[..uid.len() - 4]))]
    {
        assert_eq!(from.len(), to.len());
        while let Some(at) = find(&pod, from).filter(|_| from != to) {
            pod[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    pod
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text.as_bytes())
}

fn corpus(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/corpus/{name}", env!("CARGO_MANIFEST_DIR"))).expect("the corpus")
}
