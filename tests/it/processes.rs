//! The federation of real processes, in a short run: `scripts/federation` says what it checks.

use std::process::Command;

#[test]
fn ten_regions_and_a_ministry_that_are_killed_at_random_lose_nothing_and_never_fork() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/federation");
    let done = Command::new(script)
        .args(["--seconds", "15"])
        .env("DOMOVOI_BIN", env!("CARGO_BIN_EXE_domovoi"))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.ends_with("All held.\n"), "{out}{err}");
    print!("{out}");
}
