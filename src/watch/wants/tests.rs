//! What is read on demand, against an API server of a few lines.

use super::*;
use crate::model::ObjectKey;
use crate::watch::Policy;
use crate::watch::target::plural;
use crate::watch::testing::{Api, Refused, Said, context, refused, rows, until};

struct World {
    api: Api,
    cx: Context,
    said: Said,
    selection: watch::Sender<Arc<Selection>>,
    wants: watch::Sender<Wants>,
    running: tokio::task::JoinSet<()>,
}

fn backend(name: &str) -> Want {
    Want::Backend(ObjectKey::new("shared", name))
}

impl World {
    async fn new() -> Self {
        let api = Api::start().await;
        ["web", "other"].iter().for_each(|name| api.service("shared", name));
        api.pod("shared", "web-0");
        let (mut cx, said) = context(api.address).await;
        cx.settings.linger = Duration::from_millis(500);
        cx.settings.revoked = Policy { hold: Duration::from_millis(300), drop: true };
        cx.cluster.meet().await.unwrap();
        let selection = Selection::new(&["shop".into()], None, &["shared".into()]).unwrap();
        let (selection, wants) = (watch::Sender::new(Arc::new(selection)), watch::Sender::new(Wants::default()));
        Self { api, cx, said, selection, wants, running: tokio::task::JoinSet::new() }
    }

    fn run(&mut self) {
        let demands = Demands::new(self.cx.clone(), self.wants.subscribe(), Some(self.selection.subscribe()));
        self.running.spawn(demands.run());
    }

    fn want(&self, wants: &[Want]) {
        self.wants.send_replace(wants.iter().cloned().zip(1_u64..).collect());
    }

    fn has(&self, row: &str) -> bool {
        rows(&self.said).iter().any(|known| known == row)
    }

    /// The newest answer.
    fn answer(&self, want: &Want) -> Option<Answer> {
        answer(&self.said, want)
    }

    fn is_known(&self, want: &Want) -> bool {
        self.answer(want) == Some(Answer::Known)
    }
}

fn answer(said: &Said, want: &Want) -> Option<Answer> {
    let said = said.lock().unwrap();
    let events = said.iter().rev().flat_map(|delta| delta.events.iter().rev());
    events
        .filter_map(|event| if let Event::Answered(known, answer) = event { Some((known, answer)) } else { None })
        .find(|(known, _)| *known == want)
        .map(|(_, answer)| answer.clone())
}

const SERVICE: &str = "Service shared/web";
const POD: &str = "Pod shared/web-0";

#[tokio::test]
async fn what_is_refused_is_dropped_alone_and_comes_back() {
    let mut world = World::new().await;
    world.run();
    let both = [backend("web"), backend("other")];
    world.want(&both);
    until("both are known", || both.iter().all(|want| world.is_known(want)) && world.has(POD)).await;
    world.api.refuse(&[Refused { name: "web", ..refused("services", "shared") }]);
    world.api.cut();
    until("one is refused", || matches!(world.answer(&both[0]), Some(Answer::Unavailable(_)))).await;
    assert!(!world.has(SERVICE));
    assert!(world.has(POD) && world.has("Service shared/other") && world.is_known(&both[1]), "others need these");

    world.api.refuse(&[]);
    until("it is known again", || world.is_known(&both[0])).await;
    assert!(world.has(SERVICE), "and there before that is said");
}

#[tokio::test]
async fn what_may_not_be_read_any_more_is_not() {
    let mut world = World::new().await;
    world.run();
    let want = backend("web");
    world.want(std::slice::from_ref(&want));
    until("it is known", || world.is_known(&want)).await;
    world.selection.send_replace(Arc::new(Selection::new(&["shop".into()], None, &[]).unwrap()));
    until("it has gone", || !world.has(SERVICE) && !world.has(POD)).await;
    until(
        "that is said",
        || matches!(world.answer(&want), Some(Answer::Unavailable(reason)) if reason.contains("--foreign-namespaces")),
    )
    .await;
    world.selection.send_replace(Arc::new(Selection::new(&["shop".into()], None, &["shared".into()]).unwrap()));
    until("it is known again", || world.is_known(&want) && world.has(SERVICE)).await;
}

#[tokio::test]
async fn many_that_need_the_same_start_one_source() {
    let mut world = World::new().await;
    world.run();
    let wants: Vec<_> = (0..100).map(|number| backend(&format!("web-{number}"))).collect();
    world.want(&wants);
    until("all are known", || wants.iter().all(|want| world.is_known(want))).await;
    let read = |verb| world.api.asked(Refused { verb, ..refused("pods", "shared") });
    assert_eq!((read("watch"), read("list")), (1, 0));
}

#[tokio::test]
async fn a_reference_that_comes_back_soon_costs_nothing() {
    let mut world = World::new().await;
    world.run();
    let want = backend("web");
    world.want(std::slice::from_ref(&want));
    until("it is known", || world.is_known(&want)).await;
    world.want(&[]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.wants.send_replace(Wants::unit(want.clone(), 7));
    let answers = || {
        let said = world.said.lock().unwrap();
        said.iter().flat_map(|delta| &delta.events).filter(|event| matches!(event, Event::Answered(..))).count()
    };
    until("it is answered again", || answers() == 2).await;
    let read = || world.api.asked(Refused { verb: "watch", ..refused("pods", "shared") });
    assert_eq!(read(), 1);

    world.want(&[]);
    until("it has gone", || !world.has(SERVICE) && !world.has(POD)).await;
    assert!(world.cx.board.sources().is_empty());
}

#[tokio::test]
async fn each_kind_by_object_is_read_by_its_name_and_while_it_is_wanted() {
    let mut world = World::new().await;
    for resource in ["secrets", "configmaps"] {
        let kind = Kind::BY_OBJECT.into_iter().find(|kind| plural(*kind) == resource).expect("a kind");
        for name in ["wanted", "other"] {
            let object = serde_json::json!({"apiVersion": "v1", "kind": kind.as_str(), "data": {}});
            world.api.put(resource, "shared", name, object);
        }
    }
    world.run();
    let wants = Kind::BY_OBJECT.map(|kind| Want::Object(ObjectRef::new(kind, ObjectKey::new("shared", "wanted"))));
    world.want(&wants);
    until("both are known", || wants.iter().all(|want| world.is_known(want))).await;
    assert_eq!(rows(&world.said), ["ConfigMap shared/wanted", "Secret shared/wanted"]);
    let asked = |resource, name| world.api.asked(Refused { name, ..refused(resource, "shared") });
    for resource in ["secrets", "configmaps"] {
        assert_eq!(
            (asked(resource, ""), asked(resource, "wanted")),
            (1, 1),
            "{resource}: no other, and not all of them"
        );
    }
    world.want(&wants[1..]);
    until("the first has gone", || !world.has("Secret shared/wanted")).await;
    assert!(world.has("ConfigMap shared/wanted"));
    world.api.refuse(&[refused("configmaps", "shared")]);
    world.api.cut();
    until("it is refused", || matches!(world.answer(&wants[1]), Some(Answer::Unavailable(_)))).await;
    let Some(Answer::Unavailable(reason)) = world.answer(&wants[1]) else { panic!("no answer") };
    assert!(
        reason.contains("resources: [\"configmaps\"]") && reason.contains("resourceNames: [\"wanted\"]"),
        "{reason}"
    );
    world.want(&[]);
    until("nothing is read any more", || world.cx.board.sources().is_empty()).await;
}

#[tokio::test]
async fn no_namespace_can_make_it_read_more_than_so_much() {
    let (cx, said) = context(([127, 0, 0, 1], 1).into()).await;
    let mut demands = Demands::new(cx, watch::Sender::new(Wants::default()).subscribe(), None);
    let secret =
        |number: usize| Want::Object(ObjectRef::new(Kind::Secret, ObjectKey::new("shop", format!("crt-{number:05}"))));
    let wants: Wants = (0..=MOST_IN_NAMESPACE).map(|number| (secret(number), 1_u64)).collect();
    demands.look(&wants);
    assert_eq!(demands.readings.len(), MOST_IN_NAMESPACE);
    let Some(Answer::Unavailable(reason)) = answer(&said, &secret(MOST_IN_NAMESPACE)) else { panic!("no answer") };
    assert!(reason.contains("more than 1000 different objects"), "{reason}");
    demands.look(&wants.without(&secret(0)));
    assert_eq!(demands.readings.len(), MOST_IN_NAMESPACE, "what lingers counts");
    demands.end(&secret(0));
    demands.look(&wants.without(&secret(0)));
    assert!(demands.readings.contains_key(&secret(MOST_IN_NAMESPACE)), "there is room again");
    assert_eq!(demands.in_namespace.get("shop"), Some(&MOST_IN_NAMESPACE));
}
