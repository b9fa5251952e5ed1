use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::super::parts::tests::{Work, work_between};
use super::*;

/// A row of 60 bytes, as an endpoint is, that depends on key and value.
fn row(key: u32, value: u32) -> Vec<u8> {
    [key.to_le_bytes(), value.to_le_bytes()].concat().into_iter().cycle().take(60).collect()
}

fn rows(keys: impl IntoIterator<Item = u32>) -> Chunks<u32> {
    let mut chunks = Chunks::new();
    for key in keys {
        chunks.put(key, row(key, 0));
    }
    chunks
}

/// The same rows, put in the opposite order into a tree without a past.
fn from_scratch(chunks: &Chunks<u32>) -> Chunks<u32> {
    let mut fresh = Chunks::new();
    for (key, encoded) in chunks.rows.iter().rev() {
        fresh.put(*key, encoded.clone());
    }
    fresh
}

#[test]
fn no_rows_are_no_bytes() {
    let mut chunks = rows([]);
    assert_eq!(chunks.parts(), Parts::empty());
    chunks.put(1, "a");
    assert!(chunks.del(&1));
    assert_eq!(chunks.parts(), Parts::empty());
    assert!(chunks.is_empty());
}

#[test]
fn few_rows_are_one_leaf_in_the_order_of_keys() {
    let mut chunks = Chunks::new();
    for key in ["b", "a", "c"] {
        assert!(chunks.put(key, key));
    }
    assert_eq!(chunks.parts(), Parts::leaf("abc"));
    assert_eq!(chunks.len(), 3);
}

#[test]
fn equal_rows_and_absent_keys_change_nothing() {
    let mut chunks = rows(0..5000);
    let before = chunks.parts();
    assert!(!chunks.put(77, row(77, 0)));
    assert!(!chunks.del(&5000));
    assert_eq!(work_between(&before, &chunks.parts()), Work::default());
    assert!(chunks.put(77, row(77, 1)));
    assert_ne!(chunks.parts(), before);
}

#[test]
fn empty_rows_are_kept() {
    let mut chunks = Chunks::new();
    chunks.put(1, "");
    chunks.put(2, "x");
    assert_eq!((chunks.len(), chunks.parts()), (2, Parts::leaf("x")));
}

/// The definition, spelled out a second time: `hash(key)` in 64 starts a leaf, in 64 × 32 a group.
#[test]
fn boundaries_stand_where_the_hash_of_the_key_says() {
    let keys = 0..20_000_u32;
    let starts = |key: u32, one_in: u64| {
        let hash = blake3::hash(&[&[Domain::Boundary as u8], &key.to_le_bytes()[..]].concat());
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()).is_multiple_of(one_in)
    };
    let mut groups = vec![vec![Vec::new()]];
    for key in keys.clone() {
        if starts(key, 64 * 32) {
            groups.push(vec![]);
        }
        let leaves = groups.last_mut().unwrap();
        if starts(key, 64) {
            leaves.push(vec![]);
        }
        leaves.last_mut().unwrap().extend(row(key, 0));
    }
    assert!(groups.len() > 3);
    let expected = Parts::concat(groups.into_iter().map(|leaves| Parts::concat(leaves.into_iter().map(Parts::leaf))));
    assert_eq!(rows(keys).parts(), expected);
}

/// Guards the shape of the tree, which every replica must agree on, with keys of every sort that std hashes in a
/// way of its own. If this changes, a release sends everything again: say so in the changelog.
#[test]
fn the_shape_is_the_same_on_every_machine() {
    #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
    enum Key {
        Pod(arcstr::ArcStr, IpAddr, u16),
        Slice { zone: Option<String>, index: usize },
    }
    let mut chunks = Chunks::new();
    for n in 0..3000_u16 {
        let [high, low] = n.to_be_bytes();
        let v6 = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n));
        chunks.put(
            Key::Pod(format!("pod-{n}").into(), IpAddr::V4(Ipv4Addr::new(10, 0, high, low)), 80),
            row(n.into(), 0),
        );
        chunks.put(Key::Pod(format!("pod-{n}").into(), v6, 80), row(n.into(), 1));
        chunks.put(Key::Slice { zone: Some(format!("zone-{n}")), index: n.into() }, row(n.into(), 2));
    }
    let parts = chunks.parts();
    assert_eq!(parts.frames().count(), 144);
    assert_eq!(parts.version().to_string(), "82d9315bb09cfc601376a5ac82247fe8");
}

/// `cost_of_change`: one change costs one leaf, its group and the root, whatever the number of rows.
#[test]
fn one_change_costs_the_same_in_100_and_in_100_000_rows() {
    // A leaf holds 64 rows of 60 bytes on average, a group 32 leaves, the root a child for each 2,048 rows. Sizes
    // are spread exponentially, so the largest that is met is several times the average.
    const MOST: Work = Work { bytes: 9 * 64 * 60, children: 6 * 32 + 49 };
    for count in [100, 1000, 10_000, 100_000_u32] {
        let mut chunks = rows((0..count).map(|key| key * 2));
        let mut before = chunks.parts();
        let (mut total, changes) = (Work::default(), 300);
        for change in 0..changes {
            let key = change * 7919 % (2 * count);
            match change % 3 {
                0 => chunks.put(key & !1, row(key, change + 1)),
                1 => chunks.put(key | 1, row(key, change)),
                _ => chunks.del(&(key & !1)),
            };
            let after = chunks.parts();
            let work = work_between(&before, &after);
            assert!(work.bytes <= MOST.bytes && work.children <= MOST.children, "{count} rows: {work:?}");
            total.bytes += work.bytes;
            total.children += work.children;
            before = after;
        }
        // On average a row falls into a leaf of twice the mean size.
        assert!(total.bytes / changes as usize <= 2 * 64 * 60 * 3 / 2, "{count} rows: {total:?}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put { first: u32, count: u32, value: u32 },
    Del { first: u32, count: u32 },
    Encode,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = (0..6000_u32, prop_oneof![4 => 1..4_u32, 1 => 1..3000_u32]);
    let step = prop_oneof![
        3 => (range.clone(), 0..3_u32).prop_map(|((first, count), value)| Step::Put { first, count, value }),
        2 => range.prop_map(|(first, count)| Step::Del { first, count }),
        2 => Just(Step::Encode),
    ];
    prop::collection::vec(step, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn parts_depend_on_the_rows_and_not_on_their_history(steps in steps()) {
        let mut chunks = Chunks::new();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put { first, count, value } => (first..first + count).for_each(|key| {
                    chunks.put(key, row(key, value));
                    model.insert(key, row(key, value));
                }),
                Step::Del { first, count } => (first..first + count).for_each(|key| {
                    assert_eq!(chunks.del(&key), model.remove(&key).is_some());
                }),
                Step::Encode => {
                    chunks.parts();
                }
            }
        }
        let parts = chunks.parts();
        prop_assert_eq!(&parts, &from_scratch(&chunks).parts());
        prop_assert_eq!(parts.to_bytes(), model.into_values().collect::<Vec<_>>().concat());
    }
}
