//! The shape of the API.

use std::sync::Arc;

use super::*;

#[derive(Debug, PartialEq, Eq)]
struct Pod(Vec<u8>);
#[derive(Debug, PartialEq, Eq)]
struct Service(u8);

fn members(
    key: &u32,
    pod: &Arc<Pod>,
    services: Lens<'_, Index<u8, u32, Service>>,
    pods: Lens<'_, Rows<u32, Pod>>,
    out: &mut Out<(u32, u32), u8>,
) -> Result<(), Stop> {
    pods.get(key)?;
    for pair in &pod.0 {
        for (service, _) in services.of(pair)? {
            out.put((service, *key), *pair);
        }
    }
    Ok(())
}

#[derive(Default)]
struct Count(usize);
impl Fold<u32> for Count {
    type Row = usize;
    fn row(&mut self, _: &u32) -> Option<usize> {
        Some(self.0)
    }
}
impl Member<(u32, u32), u8> for Count {
    fn put(&mut self, _: &(u32, u32), _: &Arc<u8>) {
        self.0 += 1;
    }
    fn del(&mut self, _: &(u32, u32), _: &Arc<u8>) {
        self.0 -= 1;
    }
}

#[test]
fn shape() {
    let mut builder = GraphBuilder::new();
    let pods = builder.input::<u32, Pod>("pods");
    let services = builder.input::<u32, Service>("services");
    let selected = builder.index("services by pair", services, |_, service, out| out.push(service.0));
    let rows = builder.derive("members", pods).reading(selected).reading(pods).rows(members);
    let counts = builder.fold::<Count, _>("counts").from(rows, |key, _| key.0).rows();
    let mut graph = builder.build();
    let epoch = graph.epoch(|batch| batch.put(pods, 1, Arc::new(Pod(vec![1]))));
    assert!(epoch.changes(counts).is_empty());
}
