//! A federation of 89 regions and a ministry in one process, on one thread, with nothing left to chance but the seed.
//!
//! Every node is the real one: its sequencer, its files, its followers, its HTTP handlers. Only network ([`network`]) and
//! clocks ([`machine`]) are made here. One loop ([`world`], [`events`]) picks what happens next: a request is delivered, lost, cut or
//! answered twice; somebody begins a round; a region's people hand something in ([`office`]); power fails in the middle of
//! it; a clock jumps; the network falls apart; a charter comes. Three regions lie ([`liar`]), one of
//! them as a witness too ([`witnesses`]), and so does the ministry ([`ministry`]). After each step what must hold
//! is held against a record of every log that no node has a hand in ([`truth`], [`law`]).
//!
//! `DOMOVOI_SEED` chooses a run, [`USUAL`] without, `DOMOVOI_SIMULATION_STEPS` makes it longer, `DOMOVOI_SIMULATION_TRACE` tells everything.

mod events;
mod law;
mod liar;
mod machine;
mod member;
mod ministry;
mod network;
mod office;
mod truth;
mod witnesses;
mod world;

use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

/// A run of the whole; gives the hash of everything that happened.
fn run(seed: u64, regions: usize, steps: u64) -> String {
    let began = std::time::Instant::now();
    let mut world = World::new(seed, regions);
    eprintln!("seed {seed}: {regions} regions up in {:.1} s", began.elapsed().as_secs_f64());
    for _ in 0..steps {
        world.step();
    }
    eprintln!("seed {seed}: {steps} steps in {:.1} s: {:?}", began.elapsed().as_secs_f64(), world.counts);
    world.calm_down();
    for _ in 0..3 {
        world.round_of_all();
    }
    // The ministry waits for regions that it had covered before its restart.
    world.time.fetch_add(700_000, std::sync::atomic::Ordering::SeqCst);
    world.federation_step();
    world.check_end();
    world.check_gossip();
    world.cosign_all();
    eprintln!(
        "seed {seed}: at rest after {:.1} s; found out {:?}, {} heads of liars have a quorum",
        began.elapsed().as_secs_f64(),
        world.found_out(),
        world.quorums_of_liars()
    );
    world.trace()
}

/// The seed of a run that names none: one run for everybody, so that a change is judged by what it changes. Other seeds are for
/// those who look for defects.
const USUAL: u64 = 12;

#[test]
fn simulation_of_89_regions_and_a_ministry_keeps_every_rule() {
    let seed = number("DOMOVOI_SEED").unwrap_or(USUAL);
    eprintln!("DOMOVOI_SEED={seed}");
    let of = |name, usual| number(name).unwrap_or(usual);
    run(seed, of("DOMOVOI_SIMULATION_REGIONS", 89) as usize, of("DOMOVOI_SIMULATION_STEPS", 2_000));
}

#[test]
fn simulation_replays_from_its_seed() {
    let seed = number("DOMOVOI_SEED").unwrap_or(USUAL).wrapping_add(1);
    let first = run(seed, 7, 800);
    assert_eq!(run(seed, 7, 800), first, "DOMOVOI_SEED={}", seed.wrapping_sub(1));
}
