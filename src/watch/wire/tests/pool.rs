//! What the pool shares, and that it lets go.

use crate::model::Labels;
use crate::watch::wire::Pool;

fn share(pool: &Pool, text: &str) -> arcstr::ArcStr {
    pool.strings().share(text)
}

#[test]
fn equal_strings_are_one() {
    let pool = Pool::new();
    let (one, two) = (share(&pool, "web"), share(&pool, "web"));
    assert!(arcstr::ArcStr::ptr_eq(&one, &two));
    assert_eq!(share(&pool, ""), "");
    assert_eq!((pool.held().strings, pool.held().label_sets), (1, 0));
}

#[test]
fn equal_label_sets_are_one_in_whatever_way_they_come() {
    use crate::model::decode::Strings as _;
    let pool = Pool::new();
    let pairs = [("app", "web"), ("tier", "front")];
    let strings = pool.strings();
    let (first, second) = (strings.share_labels(&pairs), strings.share_labels(&pairs));
    let third = strings.labels(pairs.iter().rev().map(|(k, v)| ((*k).into(), (*v).into())).collect());
    drop(strings);
    let at = |labels: &Labels| std::ptr::from_ref(labels.iter().next().unwrap());
    assert!(at(&first) == at(&second) && at(&first) == at(&third));
    assert_eq!((pool.held().strings, pool.held().label_sets), (4, 1));
    // The ends of strings count.
    let other = pool.strings().share_labels(&[("app", "webt"), ("ier", "front")]);
    assert_ne!(first, other);
    assert!(pool.strings().share_labels(&[]).is_empty());
}

#[test]
fn gone_is_gone_from_the_pool() {
    let pool = Pool::new();
    let kept = share(&pool, "kept");
    let labels = pool.strings().share_labels(&[("kept", "too")]);
    for number in 0..1000 {
        let text = number.to_string();
        let strings = pool.strings();
        drop((strings.share(&text), strings.share_labels(&[("number", &text)])));
    }
    pool.sweep();
    assert_eq!((pool.held().strings, pool.held().label_sets), (2, 1));
    drop((kept, labels));
    pool.sweep();
    assert_eq!((pool.held().strings, pool.held().label_sets), (0, 0));
}

#[test]
fn bounded_by_what_is_held_without_a_sweep_of_its_own() {
    let pool = Pool::new();
    let held: Vec<_> = (0..1000).map(|number| share(&pool, &format!("held-{number}"))).collect();
    let mut most = 0;
    for number in 0..200_000 {
        drop(share(&pool, &format!("pod-{number}")));
        most = most.max(pool.held().strings);
    }
    // At most as many as are there, and a few for each shard; see the module.
    assert!(most < 4 * held.len() + 64 * 128, "{most}");
    // What comes and goes no longer is swept out by any use.
    for _ in 0..200 {
        held.iter().for_each(|text| drop(share(&pool, text)));
    }
    assert_eq!(pool.held().strings, held.len());
}

#[test]
fn sources_share_it() {
    let pool = std::sync::Arc::new(Pool::new());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let pool = pool.clone();
            std::thread::spawn(move || (0..1000).map(|number| share(&pool, &number.to_string())).collect::<Vec<_>>())
        })
        .collect();
    let found: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    for number in 0..1000 {
        assert!(found.iter().all(|texts| arcstr::ArcStr::ptr_eq(&texts[number], &found[0][number])));
    }
    assert_eq!(pool.held().strings, 1000);
}
