//! Namespaces that come and go, against an API server of a few lines.

mod handover;
mod revoked;
mod sight;

use serde_json::json;

use super::*;
use crate::model::Wants;
use crate::watch::board::LifeStatus;
use crate::watch::testing::{Api, Refused, Said, context_with, refused, rows, until};
use crate::watch::wants::Demands;

/// Everything of namespaced scope, with the door's side in the hands of the test.
struct World {
    api: Api,
    cx: Context,
    said: Said,
    seen: Arc<Seen>,
    selection: watch::Sender<Arc<Selection>>,
    wants: watch::Sender<Wants>,
    /// Ends with the world.
    running: tokio::task::JoinSet<()>,
}

fn selected(names: &[&str], foreign: &[&str]) -> Selection {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Selection::new(&owned(names), None, &owned(foreign)).unwrap()
}

impl World {
    /// With namespaces that exist, of which these are selected.
    async fn of(namespaces: &[&str], selection: Selection) -> Self {
        let api = Api::start().await;
        namespaces.iter().for_each(|namespace| api.namespace(namespace));
        let (said, seen) = (Said::default(), Arc::new(Seen::default()));
        let (heard, kept) = (seen.clone(), said.clone());
        let sink = Arc::new(move |delta: Delta| {
            heard.hear(&delta);
            kept.lock().unwrap().push(delta);
        });
        let mut cx = context_with(api.address, sink).await;
        cx.settings.linger = Duration::from_millis(200);
        cx.settings.handover = Duration::from_secs(1);
        cx.settings.rights_again = Duration::from_millis(300);
        cx.cluster.meet().await.unwrap();
        let (selection, wants) = (watch::Sender::new(Arc::new(selection)), watch::Sender::new(Wants::default()));
        Self { api, cx, said, seen, selection, wants, running: tokio::task::JoinSet::new() }
    }

    /// Starts the keepers.
    fn run(&mut self) {
        let lives = self.lives();
        self.running.spawn(lives.run());
        let demands = Demands::new(self.cx.clone(), self.wants.subscribe(), Some(self.selection.subscribe()));
        self.running.spawn(demands.run());
    }

    fn lives(&self) -> Lives {
        Lives::new(self.cx.clone(), self.seen.clone(), self.selection.subscribe())
    }

    fn select(&self, names: &[&str], foreign: &[&str]) {
        self.selection.send_replace(Arc::new(selected(names, foreign)));
    }

    fn has(&self, row: &str) -> bool {
        rows(&self.said).iter().any(|known| known == row)
    }

    /// How often a row was deleted so far.
    fn deleted(&self, row: &str) -> usize {
        let said = self.said.lock().unwrap();
        let events = said.iter().flat_map(|delta| &delta.events);
        events.filter(|event| matches!(event, Event::Delete(object) if object.to_string() == row)).count()
    }

    /// The rows of the delta that deleted this one, all of them deleted.
    fn deleted_with(&self, row: &str) -> Vec<String> {
        let is_it = |event: &Event| matches!(event, Event::Delete(object) if object.to_string() == row);
        let said = self.said.lock().unwrap();
        let delta = said.iter().find(|delta| delta.events.iter().any(is_it));
        let deleted = |event: &Event| match event {
            Event::Delete(object) => object.to_string(),
            other => panic!("{other:?}"),
        };
        let mut rows: Vec<_> = delta.iter().flat_map(|delta| delta.events.iter().map(deleted)).collect();
        rows.sort_unstable();
        rows
    }

    fn route(&self, namespace: &str, name: &str) {
        let route = json!({"kind": "HTTPRoute", "apiVersion": "gateway.networking.k8s.io/v1"});
        self.api.put("httproutes", namespace, name, route);
    }

    fn life(&self, name: &str) -> Option<LifeStatus> {
        self.cx.board.lives().into_iter().find(|(known, _)| known == name).map(|(_, status)| status)
    }
}

#[tokio::test]
async fn a_source_that_panics_ends_the_keeper() {
    let world = World::of(&["shop"], selected(&["shop"], &[])).await;
    let mut lives = world.lives();
    let faulty = lives.tasks.spawn(async { assert_eq!(1 + 1, 3, "arithmetic") });
    tokio::time::timeout(Duration::from_secs(5), lives.run()).await.unwrap();
    drop(faulty);
}
