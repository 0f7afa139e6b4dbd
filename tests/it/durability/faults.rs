//! A failing disk, a full disk and SIGKILL at every system call that writes.
//!
//! The calls of a workload are counted over all threads; then the workload is run again and again, each time with one of
//! them failing, until it ends before its turn comes. After each run the node is started without faults: nothing
//! acknowledged is lost, the log extends every checkpoint that was seen, and it goes on writing. `scripts/faults` goes through
//! all points; the test suite takes as many as fit into its time.

use std::cell::OnceCell;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::seq::SliceRandom;

use super::shim;
use super::ten::{Seen, Ten, often};
use super::witness::{Known, Witness, checkpoint};
use crate::node::{AUTHORITY, Node, PASSPHRASE, free_port, program};

/// How calls fail. One that fails for good is a disk that is broken or stays full.
const KINDS: [&str; 7] = ["EIO", "EIO:on", "ENOSPC", "ENOSPC:on", "SHORT", "KILL", "KILLAFTER"];

/// What is done while calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Workload {
    /// `init` of a region.
    Init,
    /// The first start, which writes the founding records.
    Found,
    /// A start that rolls a journalled batch forward, three submissions, a stop.
    Serve,
    /// Fetching and verifying another node's log.
    Follow,
    /// `reindex`.
    Reindex,
    /// `backup`, then `restore`.
    Copies,
    /// The same as [`Serve`], while ten other regions are followed, which have grown.
    ServeTen,
}
use Workload::{Copies, Follow, Found, Init, Reindex, Serve, ServeTen};

const WORKLOADS: [Workload; 6] = [Init, Found, Serve, Follow, Reindex, Copies];

/// Data directories that runs begin with, none of them in use, and a peer that is followed.
struct World {
    /// A region after `init`.
    fresh: Node,
    /// A region whose log is about to fill a tile, with one more batch journalled and not published.
    region: Node,
    known: Known,
    /// The same with that batch published, at rest.
    whole: Node,
    /// A node that is about to follow `peer`, another region.
    follower: Node,
    peer: Node,
    /// A node like `whole` that has followed ten regions, which have grown since.
    ten: OnceCell<(Ten, Node, Seen)>,
}

/// What a run came to.
struct Ran {
    /// The call that failed and its path below the directory; none when the workload ended before its turn.
    hit: Option<(String, String)>,
    /// Number of calls, where none was to fail.
    calls: usize,
}

pub fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// A node of its own on a copy of what `template` has.
pub fn over_copy(template: &Node) -> Node {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    copy(&template.data(), &dir.path().join("node"));
    let mut node = Node::over(dir, port);
    node.args = vec!["--set".into(), format!("http.listen=127.0.0.1:{port}")];
    node.charter.clone_from(&template.charter);
    node
}

/// Encrypts the keys a start needs with less effort: every run pays for that several times.
pub fn cheap_keys(data: &Path) {
    for role in ["log", "commit", "witness", "mirror", "verifier"] {
        let (path, pass) = (data.join(format!("keys/{role}.pem")), format!("pass:{PASSPHRASE}"));
        if !path.exists() {
            continue;
        }
        let args = ["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "1", "-passin", &pass, "-passout", &pass];
        let made = Command::new("openssl").args(args).arg("-in").arg(&path).arg("-out").arg(data.join("new")).status();
        assert!(made.expect("openssl").success());
        std::fs::rename(data.join("new"), &path).unwrap();
    }
}

impl World {
    fn new() -> World {
        let region = || {
            let node = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
            cheap_keys(&node.data());
            node
        };
        let fresh = region();
        let (mut whole, clients) = (over_copy(&fresh), Witness::resume(Known::default()));
        whole.start();
        let signer = whole.signer("operator");
        assert!(clients.submit(&whole, &signer, 245));
        whole.stop();
        let rolling = over_copy(&whole);
        whole.start();
        assert!(clients.submit(&whole, &signer, 20));
        clients.look(&whole);
        whole.stop();
        std::fs::copy(whole.data().join("private/journal"), rolling.data().join("private/journal")).unwrap();
        let mut peer = region();
        peer.start();
        assert!(Witness::resume(Known::default()).submit(&peer, &peer.signer("operator"), 300));
        let follower = Node::init(None);
        let (url, ca, pin) = (peer.url(), peer.certificate().display().to_string(), peer.charter.clone().unwrap());
        follower.run(&["follow", &url, "--name", "peer", "--charter-sha256", &pin, "--peer-ca", &ca]).json();
        World { fresh, region: rolling, known: clients.known(), whole, follower, peer, ten: OnceCell::new() }
    }

    /// A run of `workload` with `fault`, then all that must hold afterwards.
    fn run(&self, workload: Workload, fault: Option<&str>) -> Result<Ran, String> {
        let killed = fault.is_some_and(|f| f.starts_with("KILL"));
        match workload {
            Init => self.init(fault, killed),
            Found => serve(over_copy(&self.fresh), Known::default(), None, fault, killed),
            Serve => serve(over_copy(&self.region), self.known.clone(), None, fault, killed),
            ServeTen => {
                let (ten, template, seen) = self.ten.get_or_init(|| self.follow_ten());
                let mut node = over_copy(template);
                often(&mut node);
                serve(node, self.known.clone(), Some((ten, &mut seen.clone())), fault, killed)
            }
            Follow => self.follow(fault, killed),
            Reindex => self.reindex(fault, killed),
            Copies => self.copies(fault, killed),
        }
    }

    fn follow_ten(&self) -> (Ten, Node, Seen) {
        let (ten, mut node, mut seen) = (Ten::new(), over_copy(&self.whole), Seen::default());
        ten.follow(&mut node);
        node.start();
        ten.hold(&node, &mut seen).unwrap();
        node.stop();
        // Past the end of a bundle.
        ten.grow(260);
        (ten, node, seen)
    }

    fn init(&self, fault: Option<&str>, killed: bool) -> Result<Ran, String> {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let (mut node, listen) = (Node::over(dir, port), format!("127.0.0.1:{port}"));
        let args =
            ["init", "--region", "77", "--authority", AUTHORITY, "--name", "Мосжилинспекция", "--listen", &listen];
        let ran = command(&node, &args, fault, killed)?;
        if ran.1 {
            // What was reported as done is complete.
            node.start_or_say().map_err(|why| format!("{why}: {}", node.log()))?;
            return Ok(ran.0);
        }
        let again = node.run(&args);
        if !again.ok && again.code() != "init.exists" {
            return Err(format!("a second init: {}", again.err));
        }
        // Half a node never passes for a node.
        node.spawn();
        let ready = node.ready();
        if ready.is_ok() && !again.ok && node.api("node")["origin"].is_null() {
            return Err("half a node runs as one that only follows".into());
        }
        no_panic(&node.log())?;
        Ok(ran.0)
    }

    fn follow(&self, fault: Option<&str>, killed: bool) -> Result<Ran, String> {
        let mut node = over_copy(&self.follower);
        often(&mut node);
        let (size, root) = checkpoint(&self.peer).unwrap();
        let origin = self.peer.api("node")["origin"].as_str().unwrap().to_owned();
        let mirror = format!("/mirror/{}/checkpoint", domovoi::node::layout::origin_hash(&origin));
        let there = |node: &Node| {
            let text = node.try_get(&mirror).filter(|a| a.status == 200).map(|a| String::from_utf8(a.body).unwrap());
            text.is_some_and(|t| t.contains(&format!("\n{size}\n{root}\n")))
        };
        let log = node.dir.path().join("calls");
        node.env = shim::faults(&node.data(), &log, fault);
        node.spawn();
        // A fault may be survived, or end the process.
        let until = Instant::now() + patience(fault);
        while node.ended().is_none() && Instant::now() < until && !(node.certificate().exists() && there(&node)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        ended_well(&mut node, &log, killed)?;
        node.env.clear();
        node.start_or_say().map_err(|why| format!("{why}: {}", node.log()))?;
        let until = Instant::now() + Duration::from_secs(20);
        while !there(&node) {
            if Instant::now() > until {
                return Err(format!("the peer's log was not taken over: {}\n{}", node.api("federation"), node.log()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        end(&mut node)?;
        let mirror = node.data().join("mirrors").join(domovoi::node::layout::origin_hash(&origin));
        let checked = node.run(&["fsck", mirror.to_str().unwrap()]);
        if !checked.ok {
            return Err(checked.out);
        }
        no_panic(&node.log())?;
        Ok(ran(&log, fault))
    }

    fn reindex(&self, fault: Option<&str>, killed: bool) -> Result<Ran, String> {
        let mut node = over_copy(&self.whole);
        let (ran, _) = command(&node, &["reindex"], fault, killed)?;
        afterwards(&mut node, &self.known, None)?;
        Ok(ran)
    }

    fn copies(&self, fault: Option<&str>, killed: bool) -> Result<Ran, String> {
        let mut node = Node::over(tempfile::tempdir().unwrap(), free_port());
        copy(&self.whole.data(), &node.data());
        let base = node.dir.path().to_owned();
        let (out, back) = (base.join("copy"), base.join("back/node"));
        std::fs::create_dir(base.join("back")).unwrap();
        let listen = format!("http.listen=127.0.0.1:{}", node.port);
        // Counted are the copy and what is restored from it, not the node itself.
        let both = |part: &Path, args: &[&str], data: &Path| command_on(data, part, args, fault, killed);
        let (first, made) = both(&out, &["backup", out.to_str().unwrap()], &node.data())?;
        if !made {
            // Complete but for its last synchronisation, or refused.
            let again = crate::node::run_in(&back, &["--json", "restore", out.to_str().unwrap()]);
            if !again.ok && !["backup.manifest", "disk.missing"].contains(&again.code().as_str()) {
                return Err(format!("half a copy: {}", again.err));
            }
            return Ok(first);
        }
        let (second, restored) = both(&back, &["restore", out.to_str().unwrap()], &back)?;
        let size = self.known.seen.keys().max().unwrap().to_string();
        let started =
            program(&back).args(["serve", "--set", &listen, "--confirm-restored-head", "1"]).output().unwrap();
        let said = String::from_utf8_lossy(&started.stderr).into_owned();
        let refused = if restored {
            said.contains("fence.restored")
        } else {
            said.contains("format.missing") || said.contains("fence.restored")
        };
        if !refused {
            return Err(format!("what was restored to size {size} was not refused: {said}"));
        }
        node.args.clear();
        Ok(Ran { hit: first.hit.or(second.hit), calls: first.calls + second.calls })
    }
}

/// A start with faults, three submissions and a stop; then what must hold.
fn serve(
    mut node: Node,
    known: Known,
    mut ten: Option<(&Ten, &mut Seen)>,
    fault: Option<&str>,
    killed: bool,
) -> Result<Ran, String> {
    let log = node.dir.path().join("calls");
    let (clients, signer) = (Witness::resume(known), node.signer("operator"));
    node.env = shim::faults(&node.data(), &log, fault);
    if node.start_or_wait()? {
        clients.look(&node);
        let _ = [1, 5, 8].iter().all(|n| clients.submit(&node, &signer, *n));
        clients.look(&node);
        if let Some((ten, seen)) = &mut ten {
            let until = Instant::now() + patience(fault);
            while node.ended().is_none() && Instant::now() < until && ten.whole(&node) < ten.origins().len() {
                std::thread::sleep(Duration::from_millis(20));
            }
            seen.look(&node, ten)?;
        }
    }
    ended_well(&mut node, &log, killed)?;
    node.env.clear();
    afterwards(&mut node, &clients.known(), ten)?;
    Ok(ran(&log, fault))
}

/// How long a copy of other logs is waited for: a disk that stays broken holds it up, and nothing else.
fn patience(fault: Option<&str>) -> Duration {
    Duration::from_secs(if fault.is_some_and(|f| f.ends_with("on")) { 1 } else { 4 })
}

/// Without faults: the node starts, has all that is known, writes, stops, and its log is whole; so are those it follows.
fn afterwards(node: &mut Node, known: &Known, ten: Option<(&Ten, &mut Seen)>) -> Result<(), String> {
    node.start_or_say().map_err(|why| format!("{why}: {}", node.log()))?;
    known.hold(node)?;
    ten.map_or(Ok(()), |(ten, seen)| ten.hold(node, seen))?;
    let clients = Witness::resume(known.clone());
    if !clients.submit(node, &node.signer("operator"), 2) {
        return Err(format!("it does not write any more: {}", node.log()));
    }
    clients.known().hold(node)?;
    end(node)?;
    let checked = node.run(&["fsck"]);
    if checked.ok { no_panic(&node.log()) } else { Err(format!("{}{}", checked.out, checked.err)) }
}

/// Waits for the end after a fault: an orderly one, or with an error that names file and remedy, but never a panic.
fn ended_well(node: &mut Node, log: &Path, killed: bool) -> Result<(), String> {
    let ended = node.end_or_say()?;
    let said = node.log();
    no_panic(&said)?;
    match ended.code() {
        Some(0) => Ok(()),
        None if killed => Ok(()),
        Some(1) => names(&said, &node.data(), log),
        _ => Err(format!("it ended with {ended}: {said}")),
    }
}

fn end(node: &mut Node) -> Result<(), String> {
    let ended = node.end_or_say()?;
    if ended.success() { Ok(()) } else { Err(format!("it ended with {ended}: {}", node.log())) }
}

/// A panic inside sled is caught where sled is used; how the process goes on or ends is checked like after an error.
fn no_panic(said: &str) -> Result<(), String> {
    if said.lines().any(|l| l.contains("panicked at") && !l.contains("/sled-")) {
        Err(format!("a panic: {said}"))
    } else {
        Ok(())
    }
}

/// The error names a file that failed (the index names its directory) and what to do. Where the disk stays broken several
/// threads meet it, and it may be the second that stops the node: every call that failed is in the log.
fn names(said: &str, dir: &Path, log: &Path) -> Result<(), String> {
    let failed = hits(log);
    if failed.is_empty() {
        return Err(format!("an error without a fault: {said}"));
    }
    let files = failed.iter().map(|(_, path)| {
        let path = path.find("/index/").map_or(path.as_str(), |at| &path[..at + 6]);
        format!("{}{path}", dir.display()).replace("/./", "/")
    });
    let text = said.replace("/./", "/");
    let named = files.clone().any(|file| text.contains(&file));
    let remedy = said.contains("Что делать: ") || said.contains("\"remedy\":");
    if named && remedy {
        Ok(())
    } else {
        Err(format!("none of {:?}, or no remedy, is named: {said}", files.collect::<Vec<_>>()))
    }
}

/// Calls that were made to fail, and their files.
fn hits(log: &Path) -> Vec<(String, String)> {
    let hit = |line: &str| {
        let mut words = line.splitn(3, ' ').skip(1).map(str::to_owned);
        Some((words.next()?, words.next()?))
    };
    std::fs::read_to_string(log).unwrap_or_default().lines().filter_map(hit).collect()
}

fn hit(log: &Path) -> Option<(String, String)> {
    hits(log).into_iter().next()
}

fn ran(log: &Path, fault: Option<&str>) -> Ran {
    let calls = std::fs::read_to_string(log).unwrap_or_default().lines().count();
    Ran { hit: fault.and_then(|_| hit(log)), calls }
}

/// Runs a command with faults below the node's data directory: what it came to, and whether it succeeded.
fn command(node: &Node, args: &[&str], fault: Option<&str>, killed: bool) -> Result<(Ran, bool), String> {
    command_on(&node.data(), &node.data(), args, fault, killed)
}

fn command_on(
    data: &Path,
    counted: &Path,
    args: &[&str],
    fault: Option<&str>,
    killed: bool,
) -> Result<(Ran, bool), String> {
    let log = data.with_file_name(format!("calls-{}", args[0]));
    let mut command = program(data);
    let done = command.envs(shim::faults(counted, &log, fault)).arg("--json").args(args).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    no_panic(&said)?;
    match done.status.code() {
        Some(0) => {}
        None if killed => {}
        Some(1) => names(&said, counted, &log)?,
        _ => return Err(format!("it ended with {}: {said}", done.status)),
    }
    Ok((ran(&log, fault), done.status.success()))
}

/// The calls of a workload that nothing disturbs.
fn count(world: &World, workload: Workload) -> usize {
    world.run(workload, None).unwrap_or_else(|why| panic!("{workload:?} without faults: {why}")).calls
}

fn fault(kind: &str, n: usize) -> String {
    match kind.split_once(':') {
        Some((kind, on)) => format!("{kind}:{n}:{on}"),
        None => format!("{kind}:{n}"),
    }
}

/// Runs points on two threads; how many, and the failures. Each thread has a world of its own, since nodes of one key may
/// not run beside one another.
fn run_points(world: World, points: &[(Workload, &str, usize)], until: Option<Instant>) -> (usize, Vec<String>) {
    let (next, done, failures) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for world in [Some(world), None] {
            let (next, done, failures) = (&next, &done, &failures);
            threads.spawn(move || {
                let world = world.unwrap_or_else(World::new);
                while until.is_none_or(|u| Instant::now() < u)
                    && let Some((workload, kind, n)) = points.get(next.fetch_add(1, Ordering::SeqCst))
                {
                    let fault = fault(kind, *n);
                    let ran = world.run(*workload, Some(&fault));
                    done.fetch_add(1, Ordering::SeqCst);
                    if let Err(why) = ran {
                        println!("FAILED {workload:?} {fault}: {why}\n");
                        failures.lock().unwrap().push(format!("{workload:?} {fault}"));
                    }
                }
            });
        }
    });
    (done.into_inner(), failures.into_inner().unwrap())
}

#[test]
fn a_failing_call_loses_nothing_and_is_named() {
    fail(&WORKLOADS, Duration::from_secs(40));
}

#[test]
fn a_failing_call_while_ten_are_followed_loses_nothing_and_is_named() {
    fail(&[ServeTen], Duration::from_secs(25));
}

/// All points of the workloads, or as many as there is time for.
fn fail(workloads: &[Workload], time: Duration) {
    let world = World::new();
    let all = std::env::var("FAULTS").is_ok_and(|v| v == "all");
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let mut points = Vec::new();
    for workload in workloads.iter().copied().filter(|w| only.is_empty() || format!("{w:?}") == only) {
        let calls = count(&world, workload);
        println!("{workload:?}: {calls} calls");
        // Threads take turns differently from run to run: some more, so that the last call is reached for certain.
        let most = if all { calls + calls / 10 + 5 } else { calls };
        points.extend(KINDS.into_iter().flat_map(|kind| (1..=most).map(move |n| (workload, kind, n))));
    }
    let total = points.len();
    if !all {
        points.shuffle(&mut rand::rngs::StdRng::seed_from_u64(std::process::id().into()));
    }
    let until = (!all).then(|| Instant::now() + time);
    let (done, failures) = run_points(world, &points, until);
    println!("{done} of {total} points, {} failures", failures.len());
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(done > 10, "{done} points are no sample");
}

/// What the library counts is every system call that writes: strace sees no other.
#[test]
fn no_writing_system_call_goes_uncounted() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("SKIPPED: strace is not installed");
        return;
    }
    let mut node = Node::init(Some(("77", AUTHORITY, "Мосжилинспекция")));
    let (log, trace) = (node.dir.path().join("calls"), node.dir.path().join("trace"));
    let data = node.data();
    const CALLS: &str = "open,openat,openat2,creat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,sync_file_range,\
        ftruncate,truncate,rename,renameat,renameat2,mkdir,mkdirat,unlink,unlinkat,rmdir,fallocate,copy_file_range,\
        sendfile,splice,link,linkat,symlink,symlinkat,chmod,fchmod,fchmodat,fchown,chown,utimensat,\
        setxattr,fsetxattr,io_uring_enter,msync,mknod,mknodat";
    let set = format!("trace={CALLS}");
    node.through =
        ["strace", "-f", "-y", "-s", "0", "-e", &set, "-o", trace.to_str().unwrap()].map(str::to_owned).to_vec();
    // strace itself must not be slowed down by the library: it hands it to the node.
    node.through
        .extend(shim::faults(&data, &log, None).into_iter().flat_map(|(n, v)| ["-E".into(), format!("{n}={v}")]));
    node.start();
    let signer = node.signer("operator");
    node.accept(&(1..300).map(|n| signer.building(n).1).collect::<Vec<_>>());
    std::thread::sleep(Duration::from_millis(700));
    node.stop_traced();
    let below = data.display().to_string();
    let traced = std::fs::read_to_string(&trace).unwrap();
    let opens = ["O_CREAT", "O_WRONLY", "O_RDWR", "O_TRUNC"];
    let mut seen: Vec<String> = traced
        .lines()
        .filter(|l| l.contains(&below) && !l.contains("resumed>"))
        .filter_map(|l| Some((l.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned(), l)))
        .filter(|(name, l)| !name.starts_with("open") || opens.iter().any(|o| l.contains(o)))
        .map(|(name, _)| name.replace("pwrite64", "write").replace("openat", "open"))
        .collect();
    let counted = std::fs::read_to_string(&log).unwrap();
    let mut counted: Vec<String> = counted.lines().map(|l| l.split(' ').nth(1).unwrap().to_owned()).collect();
    seen.sort();
    counted.sort();
    let tally = |names: &[String]| {
        let mut tally = std::collections::BTreeMap::<String, usize>::new();
        names.iter().for_each(|n| *tally.entry(n.clone()).or_default() += 1);
        tally
    };
    println!("{:?}", tally(&seen));
    assert_eq!(tally(&counted), tally(&seen), "counted by the library, seen by strace");
}
