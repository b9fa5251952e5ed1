//! What translation emits is what a real Envoy takes: hostile objects made up at random, translated, and handed to
//! `envoy --mode validate`.
//!
//! `SYNCGATE_ENVOY` names the binary; without it the tests say so and pass. `SYNCGATE_FUZZ_SECONDS` (20) bounds the
//! time, `SYNCGATE_FUZZ_SEED` (1) begins another sequence. A failure prints the seed and the smallest set of objects.

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

    /// How many routes are validated in one run of Envoy.
    const ROUTES: usize = 150;

    #[test]
    fn envoy_takes_whatever_is_emitted() {
        let Some(oracle) = Oracle::find() else { return };
        let until = Instant::now() + Duration::from_secs(number("SYNCGATE_FUZZ_SECONDS", 20));
        let mut seed = number("SYNCGATE_FUZZ_SEED", 1);
        let (mut runs, mut routes) = (0, 0);
        while Instant::now() < until {
            let objects = hostile::world(&mut Random::new(seed), ROUTES);
            let resources = translated(&objects);
            routes += routes_in(&resources);
            runs += 1;
            if let Err(why) = oracle.validate(&resources) {
                let (culprits, why) = smallest(&oracle, objects, why);
                panic!("seed {seed}: Envoy refuses what became of these objects: {why}\n{culprits}");
            }
            seed += 1;
        }
        println!("{runs} runs, {routes} Envoy routes");
        // The other half of the promise: what is fine is not refused wholesale.
        assert!(routes > 20 * runs, "only {routes} Envoy routes in {runs} runs: the test has lost its subject");
    }

    #[test]
    fn every_expression_that_passes_compiles() {
        let Some(oracle) = Oracle::find() else { return };
        let until = Instant::now() + Duration::from_secs(number("SYNCGATE_FUZZ_SECONDS", 20));
        let mut seed = number("SYNCGATE_FUZZ_SEED", 1);
        let (mut passed, mut runs) = (0, 0);
        while Instant::now() < until {
            let objects = expressions(&mut Random::new(seed), 400);
            let resources = translated(&objects);
            passed += routes_in(&resources);
            runs += 1;
            if let Err(why) = oracle.validate(&resources) {
                let (culprits, why) = smallest(&oracle, objects, why);
                panic!("seed {seed}: Envoy refuses an expression: {why}\n{culprits}");
            }
            seed += 1;
        }
        println!("{runs} runs, {passed} expressions");
        assert!(passed > 20 * runs, "only {passed} expressions passed in {runs} runs");
    }

    /// If the oracle took everything, the tests above would show nothing.
    #[test]
    fn the_oracle_refuses_what_envoy_refuses() {
        let Some(oracle) = Oracle::find() else { return };
        let good = translated(&hostile::world(&mut Random::new(7), 20));
        oracle.validate(&good).expect("what is emitted is fine");
        for bad in oracle.spoilt() {
            let name = bad.name.clone();
            let with_bad: Vec<Resource> = good.iter().cloned().chain([bad]).collect();
            assert!(oracle.validate(&with_bad).is_err(), "Envoy is expected to refuse {name}");
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
    fn expressions(random: &mut Random, routes: usize) -> Vec<(ObjectKey, Object)> {
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
    fn smallest(oracle: &Oracle, mut objects: Vec<(ObjectKey, Object)>, mut why: String) -> (String, String) {
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
