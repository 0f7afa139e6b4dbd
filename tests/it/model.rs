//! Model checking: every order of records, signers, commits, crashes and deliveries up to a bound (docs/model-checking.md).

mod blind;
mod region;
mod registry;
mod scene;
mod spec;

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use blind::Bug;
use registry::Registry;
use spec::KINDS;

/// Explores all of it; every `always` must hold, every `sometimes` must have been seen.
fn explore<M>(name: &str, model: M)
where
    M: Model + Send + Sync + 'static,
    M::State: std::hash::Hash + Clone + PartialEq + std::fmt::Debug + Send + Sync + 'static,
    M::Action: Clone + PartialEq + std::fmt::Debug,
{
    let (began, properties) = (Instant::now(), model.properties());
    let checker = model.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps, {} deep, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    let found = checker.discoveries();
    for property in properties {
        match (property.expectation, found.get(property.name)) {
            (Expectation::Sometimes, None) => panic!("{name}: never seen: {}", property.name),
            (Expectation::Always, Some(path)) => {
                panic!("{name}: broken: {}\n{:#?}", property.name, path.clone().into_actions())
            }
            _ => {}
        }
    }
}

/// Explores until something breaks; says what.
fn breaks<M>(model: M) -> BTreeSet<&'static str>
where
    M: Model + Send + Sync + 'static,
    M::State: std::hash::Hash + Clone + PartialEq + Send + Sync + 'static,
    M::Action: Clone + PartialEq,
{
    let failures: Vec<_> = model.properties().into_iter().filter(|p| p.expectation.discovery_is_failure()).collect();
    let checker = model.checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discoveries();
    failures.iter().map(|p| p.name).filter(|name| found.contains_key(name)).collect()
}

/// How many records deep a model is explored: the bound of the ordinary run, or more where the environment asks for it.
fn depth(ordinary: u8) -> u8 {
    let more = std::env::var("DOMOVOI_MODEL_DEEPER").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    ordinary + more
}

fn one_region(depth: u8, bug: Bug) -> Registry {
    let mut most = [1; KINDS];
    most[0] = 2;
    Registry { depth: [depth, 0], batch: 2, most, bug }
}

#[test]
fn one_chat_in_one_region() {
    explore("one region", one_region(depth(3), Bug::None));
}
