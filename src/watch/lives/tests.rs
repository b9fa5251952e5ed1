//! Namespaces that come and go, against an API server of a few lines.

mod handover;

use serde_json::json;

use super::*;
use crate::model::Wants;
use crate::watch::board::LifeStatus;
use crate::watch::testing::{Api, Said, context_with, rows, until};
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
        cx.cluster.meet().await.unwrap();
        let (selection, wants) = (watch::Sender::new(Arc::new(selection)), watch::Sender::new(Wants::default()));
        Self { api, cx, said, seen, selection, wants, running: tokio::task::JoinSet::new() }
    }

    /// Starts the keepers.
    async fn run(&mut self) {
        let lives = self.lives().await;
        self.running.spawn(lives.run());
        let demands = Demands::new(self.cx.clone(), self.wants.subscribe(), Some(self.selection.subscribe()));
        self.running.spawn(demands.run());
    }

    async fn lives(&mut self) -> Lives {
        let chosen = self.selection.borrow().clone();
        let sight = Sight::learn(&self.cx, &chosen).await.unwrap().unwrap();
        let cluster = self.cx.scope(&[], false);
        sight.spawn(&self.cx, &cluster, &mut self.running);
        Lives::new(self.cx.clone(), self.seen.clone(), sight, self.selection.subscribe())
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

    fn life(&self, name: &str) -> Option<LifeStatus> {
        self.cx.board.lives().into_iter().find(|(known, _)| known == name).map(|(_, status)| status)
    }
}

#[tokio::test]
async fn a_source_that_panics_ends_the_keeper() {
    let mut world = World::of(&["shop"], selected(&["shop"], &[])).await;
    let mut lives = world.lives().await;
    let faulty = lives.tasks.spawn(async { assert_eq!(1 + 1, 3, "arithmetic") });
    tokio::time::timeout(Duration::from_secs(5), lives.run()).await.unwrap();
    drop(faulty);
}
