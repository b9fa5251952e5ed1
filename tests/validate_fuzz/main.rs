//! What translation emits is what a real Envoy takes: hostile objects made up at random, translated, and handed to
//! `envoy --mode validate`.
//!
//! `SYNCGATE_ENVOY` names the binary, `SYNCGATE_ENVOY_OLDEST` another one that has to agree; without both the tests say
//! so and pass. `SYNCGATE_FUZZ_SECONDS` (20) bounds the time of each test, `SYNCGATE_FUZZ_SEED` (1) begins another
//! sequence. A failure prints the seed and the smallest set of objects.

#[cfg(test)]
#[path = "../support/hostile.rs"]
mod hostile;
#[cfg(test)]
mod oracle;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use syncgate::graph::GraphBuilder;
    use syncgate::model::{HttpRoute, Kind, Object, ObjectKey, PathMatch, RouteMatch, RouteRule};
    use syncgate::resource::{Resource, ResourceType};
    use syncgate::translate;

    use crate::hostile::{self, Random};
    use crate::oracle::Oracle;

    type Objects = Vec<(ObjectKey, Object)>;

    /// How many routes are validated in one run of Envoy.
    const ROUTES: usize = 150;

    #[test]
    fn envoy_takes_whatever_is_emitted() {
        // What is fine is not refused wholesale either: that many Envoy routes come of it at least.
        fuzz("routes", 20, |random| hostile::world(random, ROUTES));
    }

    #[test]
    fn every_expression_that_passes_compiles() {
        fuzz("expressions", 20, |random| expressions(random, 400));
    }

    /// Has every Envoy validate what becomes of one world after the other; on average there are `least` Envoy routes in
    /// each, or the test has lost its subject.
    fn fuzz(what: &str, least: usize, world: impl Fn(&mut Random) -> Objects) {
        let oracles = Oracle::all();
        let until = Instant::now() + Duration::from_secs(number("SYNCGATE_FUZZ_SECONDS", 20));
        let mut seed = number("SYNCGATE_FUZZ_SEED", 1);
        let (mut runs, mut routes) = (0, 0);
        while !oracles.is_empty() && Instant::now() < until {
            let objects = world(&mut Random::new(seed));
            let resources = translated(&objects);
            routes += routes_in(&resources);
            runs += 1;
            for oracle in &oracles {
                if let Err(why) = oracle.validate(&resources) {
                    let (culprits, why) = smallest(oracle, objects, why);
                    panic!("seed {seed}: {oracle} refuses what became of these {what}: {why}\n{culprits}");
                }
            }
            seed += 1;
        }
        println!("{runs} runs, {routes} Envoy routes");
        assert!(routes >= least * runs, "only {routes} Envoy routes in {runs} runs");
    }

    /// If the oracle took everything, the tests above would show nothing.
    #[test]
    fn the_oracle_refuses_what_envoy_refuses() {
        let good = translated(&hostile::world(&mut Random::new(7), 20));
        for oracle in Oracle::all() {
            oracle.validate(&good).expect("what is emitted is fine");
            for bad in Oracle::spoilt() {
                let name = bad.name.clone();
                let with_bad: Vec<Resource> = good.iter().cloned().chain([bad]).collect();
                assert!(oracle.validate(&with_bad).is_err(), "{oracle} is expected to refuse {name}");
            }
        }
    }

    fn number(variable: &str, default: u64) -> u64 {
        std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    fn routes_in(resources: &[Resource]) -> usize {
        let configs = resources.iter().filter(|resource| resource.kind == ResourceType::RouteConfiguration);
        configs.map(Oracle::routes).sum()
    }

    fn translated(objects: &[(ObjectKey, Object)]) -> Vec<Resource> {
        let mut builder = GraphBuilder::new();
        let (inputs, outputs) = translate::build(&mut builder);
        let mut graph = builder.build();
        graph.epoch(|batch| {
            for (key, object) in objects {
                inputs.put(batch, key, object);
            }
            Kind::ALL.into_iter().for_each(|kind| inputs.complete(batch, kind));
        });
        graph.iter(outputs.resources).map(|(_, resource)| Resource::clone(resource)).collect()
    }

    /// A Gateway with routes of nothing but expressions, each with a host of its own.
    fn expressions(random: &mut Random, routes: usize) -> Objects {
        let mut objects = hostile::frame(random);
        for at in 0..routes {
            let key = ObjectKey::new("ns", arcstr::format!("route-{at}"));
            // Every other one is brought near Envoy's limit on the size of programs.
            let padding = if random.one_in(2) { "y".repeat(random.below(96)) } else { String::new() };
            let matched = RouteMatch {
                path: PathMatch::Regex(arcstr::format!("{}{padding}", random.expression())),
                headers: Vec::new(),
                query: Vec::new(),
                method: None,
            };
            let rule = RouteRule { matches: vec![matched], ..RouteRule::default() };
            let route = HttpRoute {
                parents: vec![hostile::parent(Some("first"))],
                hostnames: vec![arcstr::format!("h{at}.com")],
                rules: vec![rule],
                ..HttpRoute::default()
            };
            objects.push((key, Object::HttpRoute(Arc::new(route))));
        }
        objects
    }

    /// Takes objects away as long as Envoy refuses what is left.
    fn smallest(oracle: &Oracle, mut objects: Objects, mut why: String) -> (String, String) {
        let mut step = objects.len().div_ceil(2);
        while step > 0 {
            let mut at = 0;
            while at < objects.len() {
                let mut fewer = objects.clone();
                fewer.drain(at..(at + step).min(fewer.len()));
                match oracle.validate(&translated(&fewer)) {
                    Ok(()) => at += step,
                    Err(still) => (objects, why) = (fewer, still),
                }
            }
            step /= 2;
        }
        let lines: Vec<String> = objects.iter().map(|object| format!("{object:?}")).collect();
        (lines.join("\n"), why)
    }
}
