//! Model checking: every order of records, signers, commits, crashes and deliveries up to a bound (docs/model-checking.md).

mod blind;
mod disk;
mod process;
mod region;
mod registry;
mod scene;
mod spec;
mod writer;

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use blind::Bug;
use region::Who;
use registry::Registry;
use spec::{KINDS, Say};
use writer::{Slip, Writing};

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
    Registry { depth: [depth, 0], batch: 2, crossing: false, only: None, most, bug }
}

#[test]
fn one_chat_in_one_region() {
    explore("one region", one_region(depth(3), Bug::None));
}

fn two_regions(depth: [u8; 2], only: &'static [Say], bug: Bug) -> Registry {
    Registry { depth, batch: 1, crossing: true, only: Some(only), most: [1; KINDS], bug }
}

/// What happens in either region while a chat moves between them.
const MEANWHILE: &[Say] =
    &[Say::Transfer(0, 1), Say::Succeed(0, 1), Say::Succeed(2, 3), Say::Revoke(Who::Key(0)), Say::End(0)];

#[test]
fn one_chat_in_two_regions() {
    explore("two regions", two_regions([depth(3), depth(2)], MEANWHILE, Bug::None));
}

/// Each fault sown into the rules is found, and by the property that is about it. (Any of them is also found by comparing
/// with the specification; a property that speaks of the facts alone must find it without.)
#[test]
fn a_fault_in_the_rules_is_found_out() {
    for (bug, broken) in [
        // Beside the specification: the facts alone show it.
        (Bug::Revocation, "what a revoked key signs is refused"),
        (Bug::Window, "a key signs nothing outside its window"),
        (Bug::Suspension, "nobody acts for an authority that is suspended or succeeded"),
        (Bug::Succession, "nobody acts for an authority that is suspended or succeeded"),
        (Bug::Holder, "the rules allow exactly what the specification allows"),
        (Bug::Ending, "the rules allow exactly what the specification allows"),
        (Bug::History, "the rules allow exactly what the specification allows"),
    ] {
        let found = breaks(Registry { batch: 1, ..one_region(2, bug) });
        assert!(found.contains(broken), "{bug:?}: {found:?}");
    }
}

/// What the lock, the one answer and the deadline are for: without one of them two regions hold the chat, or none; and so
/// they do where a region's log loses a batch that it had published.
#[test]
fn a_fault_between_regions_is_found_out() {
    const LITTLE: &[Say] = &[Say::Transfer(0, 1), Say::Assign(1)];
    for (bug, depth, broken) in [
        (Bug::Lock, [2, 0], "an offered chat changes by the end of its offer only"),
        (Bug::Answer, [2, 2], "in the union view exactly one region holds the chat"),
        (Bug::Deadline, [2, 2], "in the union view exactly one region holds the chat"),
        (Bug::Rewind, [2, 1], "in the union view exactly one region holds the chat"),
    ] {
        let mut model = two_regions(depth, LITTLE, bug);
        if bug == Bug::Answer {
            model.most = [2; KINDS];
        }
        let found = breaks(model);
        assert!(found.contains(broken), "{bug:?}: {found:?}");
    }
}

#[test]
fn a_writer_that_may_stop_anywhere() {
    explore("writer", Writing { batches: usize::from(depth(2)), losses: false, slip: Slip::None });
}

#[test]
fn a_writer_whose_disk_comes_back_older() {
    explore("losses", Writing { batches: 2, losses: true, slip: Slip::None });
}

/// Each slip is found, and by the property that is about it.
#[test]
fn a_writer_that_slips_is_found_out() {
    let fork = "every signed head extends every head signed before";
    let kept = "what was acknowledged is in everything that is signed later";
    for (slip, losses, broken) in [
        (Slip::SignsFirst, false, fork),
        (Slip::AnswersFirst, false, kept),
        (Slip::CutsBack, false, fork),
        (Slip::TrustsBackup, true, fork),
        (Slip::BlindWord, true, fork),
        (Slip::RemakesFence, true, fork),
    ] {
        let found = breaks(Writing { batches: 3, losses, slip });
        assert!(found.contains(broken), "{slip:?}: {found:?}");
    }
}
