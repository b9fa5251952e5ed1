//! The invariants of the design that a session keeps.

use super::*;

#[test]
fn make_before_break() {
    for variant in BOTH {
        let (one, two) = (WORLD, "c:b=1 e:b=1 l:web=1>web r:web=2>b");
        let mut client = Client::settled(variant, one);
        let mut held: BTreeSet<String> = ["a".to_owned()].into();
        client.received.clear();
        client.snapshot(two);
        client.subscribe("EDS", "b");
        client.ack_all();
        client.after(2_000);
        client.ack_all();
        for response in &client.received {
            let names: BTreeSet<String> = response.resources().iter().map(|r| r.name.to_string()).collect();
            match (&response.body, response.kind) {
                (Body::StateOfTheWorld { .. }, ResourceType::Cluster) => held = names,
                (Body::Delta { removed, .. }, ResourceType::Cluster) => {
                    assert!(removed.is_empty() || names.is_empty(), "a removal shares a response with upserts");
                    held.extend(names);
                    removed.iter().for_each(|name| assert!(held.remove(name.as_str())));
                }
                (_, ResourceType::RouteConfiguration) => assert!(held.contains("a") && held.contains("b")),
                _ => {}
            }
        }
        assert_eq!(held, ["b".to_owned()].into());
    }
}

#[test]
fn nack_is_unknown() {
    for variant in BOTH {
        // Good and bad in one response: Envoy applies the good one and says nothing of it.
        let mut client = Client::settled(variant, "c:good=1 c:bad=1");
        assert_eq!(client.snapshot("c:good=2 c:bad=2"), "CDS bad=2 good=2");
        assert_eq!(client.nack("CDS"), "");
        // Content returns to what was once accepted: the client does not have it.
        assert_eq!(client.snapshot("c:good=1 c:bad=1"), "CDS bad=1 good=1");
        assert_eq!(client.ack("CDS"), "");
    }
}

#[test]
fn doubt_keeps() {
    for variant in BOTH {
        // Routes that are refused may still name the old cluster, so it stays.
        let mut client = Client::settled(variant, WORLD);
        client.snapshot("c:b=1 e:b=1 l:web=1>web r:web=2>b");
        client.subscribe("EDS", "b");
        client.ack("CDS");
        assert_eq!(client.ack("EDS"), "RDS web=2");
        assert_eq!(client.nack("RDS"), "");
        assert_eq!(client.after(60_000), "");
        assert_eq!(client.snapshot("c:b=1 e:b=1 l:web=1>web r:web=3>b"), "RDS web=3");
        assert_eq!(client.ack("RDS"), "");
        assert!(client.after(1_000).starts_with("CDS"));
    }
}

#[test]
fn what_a_settled_client_costs_does_not_grow_with_the_set() {
    for variant in BOTH {
        let world: Vec<String> = (0..50).map(|i| format!("c:c{i}=1 e:c{i}=1 l:l{i}=1")).collect();
        let client = Client::settled(variant, &world.join(" "));
        assert!(client.session.types.iter().all(|state| state.todo.is_empty() && state.in_flight.is_none()));
        assert!(client.session.making.is_empty());
    }
}

/// Random snapshots, answers and time against a model of Envoy: whatever happens, the client ends with exactly the
/// last snapshot, and no route it was sent ever named a cluster it did not hold.
#[test]
fn no_dangling() {
    for variant in BOTH {
        for seed in 0..200 {
            model::run(variant, seed);
        }
    }
}

mod model {
    use std::collections::BTreeMap;

    use super::*;

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % n
        }
    }

    /// What an Envoy holds of each type: name to content, and for routes what they name.
    #[derive(Default)]
    struct Envoy {
        held: [BTreeMap<String, Arc<Resource>>; 5],
        unanswered: VecDeque<Response>,
        /// For each type: the nonce of the last response that was looked at.
        nonce: [String; 5],
        /// Clusters that came after their load assignment did.
        warming: BTreeSet<String>,
        /// As long as a cluster is warming, CDS is not acknowledged.
        paused: bool,
    }

    fn world(random: &mut Random) -> String {
        let clusters: Vec<u64> = (0..4).filter(|_| random.below(2) == 0).collect();
        let mut text = String::new();
        for c in &clusters {
            text += &format!("c:c{c}={} e:c{c}={} ", random.below(2), random.below(3));
        }
        for r in 0..2 {
            let named: Vec<String> =
                clusters.iter().filter(|_| random.below(2) == 0).map(|c| format!("c{c}")).collect();
            text += &format!("l:l{r}={}>r{r} r:r{r}={}>{} ", random.below(2), named.join("+"), named.join(","));
        }
        text
    }

    pub(super) fn run(variant: Variant, seed: u64) {
        let mut random = Random(seed);
        let mut text = world(&mut random);
        let mut client = Client::new(variant, &text);
        let mut envoy = Envoy::default();
        // As Envoy starts: clusters and their endpoints first.
        client.subscribe("CDS", "");
        settle(&mut client, &mut envoy);
        client.subscribe("LDS", "");
        settle(&mut client, &mut envoy);
        for _ in 0..40 {
            match random.below(4) {
                0 => {
                    text = world(&mut random);
                    client.snapshot(&text);
                }
                1 => {
                    // Nobody promises that no request fails at a client that is slower than the hold.
                    client.after(random.below(if seed.is_multiple_of(2) { 7_000 } else { 300 }));
                }
                _ => {}
            }
            collect(&mut client, &mut envoy);
            // A client that refuses does not get the parts that it would have to wait for.
            let refuses = seed.is_multiple_of(2) && random.below(10) == 0;
            answer(&mut client, &mut envoy, refuses);
            if !seed.is_multiple_of(2) {
                envoy.check(seed);
            }
        }
        // One more change of every type ends every refusal.
        client.snapshot("c:x=1 e:x=1 l:x=1>x r:x=1>x");
        settle(&mut client, &mut envoy);
        client.snapshot(&text);
        settle(&mut client, &mut envoy);
        for _ in 0..10 {
            client.after(2_000);
            settle(&mut client, &mut envoy);
        }
        let last = snapshot(&text);
        for kind in [ResourceType::Cluster, ResourceType::Listener] {
            let held: ResourceSet = envoy.held[kind.index()].values().cloned().collect();
            assert_eq!(held.difference(last.set(kind)), Default::default(), "{variant:?} {seed} {kind}");
        }
        for kind in [ResourceType::ClusterLoadAssignment, ResourceType::RouteConfiguration] {
            for wanted in last.set(kind).iter() {
                let held = envoy.held[kind.index()].get(wanted.name.as_str());
                assert_eq!(held, Some(wanted), "{variant:?} {seed} {kind} {}", wanted.name);
            }
        }
    }

    fn settle(client: &mut Client, envoy: &mut Envoy) {
        collect(client, envoy);
        while !envoy.unanswered.is_empty() {
            answer(client, envoy, false);
        }
    }

    fn collect(client: &mut Client, envoy: &mut Envoy) {
        envoy.unanswered.extend(client.received.drain(..));
    }

    fn answer(client: &mut Client, envoy: &mut Envoy, refuses: bool) {
        let Some(response) = envoy.unanswered.pop_front() else { return };
        let kind = response.kind;
        envoy.nonce[kind.index()] = response.nonce.clone();
        if refuses {
            // The first resource is applied and nothing else.
            if let (Some(first), Body::Delta { .. }) = (response.resources().first(), &response.body) {
                envoy.put(first);
            }
            if kind == ResourceType::Cluster {
                envoy.paused = false;
            } else {
                // A cluster whose load assignment is refused counts as warm.
                envoy.warm(&response);
            }
            client.nonce[kind.index()] = response.nonce;
            client.nack(kind.short());
            return envoy.unpause(client);
        }
        envoy.warm(&response);
        match &response.body {
            Body::StateOfTheWorld { resources, .. } if client.session.state(kind).sends_full_sets() => {
                envoy.held[kind.index()].clear();
                resources.iter().for_each(|resource| envoy.put(resource));
            }
            Body::StateOfTheWorld { resources, .. } => resources.iter().for_each(|resource| envoy.put(resource)),
            Body::Delta { resources, removed } => {
                resources.iter().for_each(|resource| envoy.put(resource));
                for name in removed {
                    envoy.held[kind.index()].remove(name.as_str());
                    // A cluster whose load assignment is removed counts as warm.
                    envoy.warming.remove(name.as_str());
                }
            }
        }
        envoy.follow(client, kind);
        if kind == ResourceType::Cluster {
            envoy.paused = true;
        } else {
            client.nonce[kind.index()] = response.nonce;
            client.ack(kind.short());
        }
        envoy.unpause(client);
    }

    impl Envoy {
        fn put(&mut self, resource: &Arc<Resource>) {
            self.held[resource.kind.index()].insert(resource.name.to_string(), resource.clone());
        }

        fn unpause(&mut self, client: &mut Client) {
            let clusters = &self.held[ResourceType::Cluster.index()];
            self.warming.retain(|name| clusters.contains_key(name));
            if self.paused && self.warming.is_empty() {
                self.paused = false;
                client.nonce[0] = self.nonce[0].clone();
                client.ack("CDS");
            }
            collect(client, self);
        }

        /// A cluster that changes waits for its load assignment to come again.
        fn warm(&mut self, response: &Response) {
            for resource in response.resources() {
                let held = self.held[resource.kind.index()].get(resource.name.as_str());
                match resource.kind {
                    ResourceType::Cluster if held != Some(resource) => self.warming.insert(resource.name.to_string()),
                    ResourceType::ClusterLoadAssignment => self.warming.remove(resource.name.as_str()),
                    _ => false,
                };
            }
        }

        /// No route names a cluster that is not held, or that is held without its load assignment.
        fn check(&self, seed: u64) {
            for routes in self.held[ResourceType::RouteConfiguration.index()].values() {
                for cluster in routes.refs_of(ResourceType::Cluster) {
                    for part in [ResourceType::Cluster, ResourceType::ClusterLoadAssignment] {
                        let held = self.held[part.index()].contains_key(cluster.as_str());
                        assert!(held, "{seed}: {} names {cluster} without {part}", routes.name);
                    }
                }
            }
        }

        /// Clusters bring the subscription of their load assignments, and listeners that of their routes.
        fn follow(&mut self, client: &mut Client, kind: ResourceType) {
            let child = match kind {
                ResourceType::Cluster => ResourceType::ClusterLoadAssignment,
                ResourceType::Listener => ResourceType::RouteConfiguration,
                _ => return,
            };
            let wanted: BTreeSet<String> = self.held[kind.index()]
                .values()
                .flat_map(|resource| resource.refs_of(child).map(ToString::to_string).collect::<Vec<_>>())
                .collect();
            let known = client.names[child.index()].clone();
            let new: Vec<String> = wanted.iter().filter(|name| !known.contains(name)).cloned().collect();
            let gone: Vec<String> = known.into_iter().filter(|name| !wanted.contains(name)).collect();
            for name in &gone {
                self.held[child.index()].remove(name);
            }
            if !new.is_empty() || !gone.is_empty() {
                client.nonce[child.index()] = self.nonce[child.index()].clone();
                client.change(child.short(), &new.join(" "), &gone.join(" "));
                self.unanswered.extend(client.received.drain(..));
            }
        }
    }
}
