//! What a look at a Namespace is believed.

use super::*;
use crate::watch::fake::{Answers, HONEST, server};

#[tokio::test]
async fn no_namespace_comes_or_goes_while_another_cluster_answers() {
    let (answers, cx, _) = server().await;
    let (looks, shop) = (Looks::default(), arcstr::literal!("shop"));
    looks.follow(&BTreeSet::from([shop.clone()]));
    let is_there = async || looks.look(&cx, &shop).await.unwrap().map(|found| found.is_some());
    for shown in [false, true] {
        // The first look, or a change that the right cluster tells.
        *answers.lock().unwrap() = Answers { shop: shown, ..HONEST };
        assert_eq!(is_there().await, Some(shown));
        looks.note(&cx, &shop, looks.look(&cx, &shop).await.unwrap().flatten());
        *answers.lock().unwrap() = Answers { uid: "two", shop: !shown, ..HONEST };
        assert_eq!(is_there().await, None, "another cluster has nothing to say of it");
    }
}
