//! With software that nobody here wrote: our witness against foreign logs' checkpoints, and a foreign witness on our log.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data_encoding::{BASE64, HEXLOWER};
use domovoi::federation::charter::{Charter, RegionOfOne};
use domovoi::node::layout::Layout;
use domovoi::registry::signature::PublicKey;
use domovoi::registry::text::Text;
use domovoi::storage::{format, keys};
use domovoi::tlog::cosignature::CosignerKey;
use domovoi::tlog::note::{Note, NoteSigner, VerifierKey, parse_signatures};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::cosign::{configure, keys as cosigner_keys};
use crate::node::{AUTHORITY, Node, PASSPHRASE, free_port};

#[test]
fn a_sigsum_log_and_the_go_checksum_database_are_cosigned_as_their_witness_answered() {
    let v: Value = serde_json::from_str(include_str!("../vectors/witness/foreign.json")).unwrap();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let origin = text(&v["sigsum"]["origin"]);
    let key: [u8; 32] = HEXLOWER.decode(text(&v["sigsum"]["key"]).as_bytes()).unwrap().try_into().unwrap();
    let sigsum = VerifierKey::new(&origin, VerifyingKey::from_bytes(&key).unwrap()).unwrap();
    let mut node = Node::init(None);
    let by = &cosigner_keys(&node, "witness.example")[..1];
    configure(
        &node,
        // The database's key is not named like its log.
        &format!(
            "[[witness_log]]\nvkey = \"{sigsum}\"\n[[witness_log]]\nvkey = \"{}\"\norigin = \"{}\"\n",
            text(&v["sumdb"]["vkey"]),
            text(&v["sumdb"]["origin"])
        ),
    );
    node.start();
    let mut cosigned = 0;
    for step in v["sigsum"]["steps"].as_array().unwrap().iter().chain(v["sumdb"]["steps"].as_array().unwrap()) {
        let request = text(&step["request"]);
        let answer = node.post("/witness/add-checkpoint", request.clone().into_bytes());
        assert_eq!(u64::from(answer.status), step["status"].as_u64().unwrap(), "{request}");
        if answer.status == 200 {
            let mut note = Note::parse(request.split_once("\n\n").unwrap().1.as_bytes()).unwrap();
            parse_signatures(&answer.body).unwrap().into_iter().for_each(|line| note.add_line(line).unwrap());
            assert!(by[0].time_of(&note).unwrap().is_some());
            cosigned += 1;
        }
    }
    assert_eq!(cosigned, 4);
}

/// `sigsum-witness` of the environment, of the path; none where there is none.
fn sigsum_witness() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let named = std::env::var_os("SIGSUM_WITNESS").map(PathBuf::from);
    named.into_iter().chain(std::env::split_paths(&path).map(|p| p.join("sigsum-witness"))).find(|p| p.is_file())
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A text with its length before it, as SSH writes it.
fn ssh(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&(part.len() as u32).to_be_bytes()[..], part].concat()).collect()
}

fn ssh_public(key: &VerifyingKey) -> String {
    format!("ssh-ed25519 {}\n", BASE64.encode(&ssh(&[b"ssh-ed25519", key.as_bytes()])))
}

/// An unencrypted OpenSSH private key.
fn ssh_private(key: &SigningKey) -> String {
    let public = key.verifying_key();
    let pair = [key.to_bytes(), public.to_bytes()].concat();
    let mut secret = [7; 8].to_vec();
    secret.extend(ssh(&[b"ssh-ed25519", public.as_bytes(), &pair, b""]));
    secret.extend((1..).take((8 - secret.len() % 8) % 8).map(|n: u8| n));
    let mut bytes = b"openssh-key-v1\0".to_vec();
    bytes.extend(ssh(&[b"none", b"none", b""]));
    bytes.extend(1u32.to_be_bytes());
    bytes.extend(ssh(&[&ssh(&[b"ssh-ed25519", public.as_bytes()]), &secret]));
    let lines: Vec<String> =
        BASE64.encode(&bytes).as_bytes().chunks(70).map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
    format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n", lines.join("\n"))
}

/// A region's node whose log is named as Sigsum names its logs: by the digest of its key.
fn region_with_a_sigsum_origin(log: &SigningKey) -> (Node, String) {
    let public = log.verifying_key();
    let origin = format!("sigsum.org/v1/tree/{}", HEXLOWER.encode(&Sha256::digest(public.as_bytes())));
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    std::fs::create_dir_all(data.join("keys")).unwrap();
    format::create(&data).unwrap();
    let layout = Layout::new(&data);
    let [root, federation, commit] = [2, 3, 4].map(|n| SigningKey::from_bytes(&[n; 32]));
    keys::write_encrypted(&layout.key("log"), log, &PASSPHRASE.into()).unwrap();
    keys::write_encrypted(&layout.key("commit"), &commit, &PASSPHRASE.into()).unwrap();
    let one = RegionOfOne {
        code: "77".parse().unwrap(),
        name: Text::new("город Москва").unwrap(),
        oktmo: vec!["45".parse().unwrap()],
        authority: AUTHORITY.parse().unwrap(),
        root_key: PublicKey::of(&root),
        commit_key: PublicKey::of(&commit),
        origin: origin.clone(),
        log_vkey: NoteSigner::new(&origin, log.clone()).unwrap().verifier().to_string(),
        url: "https://log.example".into(),
    };
    let charter = Charter::of_one(one, domovoi::node::now_ms(), &federation).unwrap();
    std::fs::write(layout.charter(), charter).unwrap();
    std::fs::write(layout.origin_file(), format!("{origin}\n")).unwrap();
    let port = free_port();
    let config = format!("[node]\ndata_dir = \".\"\n[http]\nlisten = [\"127.0.0.1:{port}\"]\n");
    std::fs::write(layout.config(), config).unwrap();
    (Node::over(dir, port), origin)
}

fn start(program: &Path, dir: &Path, port: u16) -> Ended {
    let mut command = Command::new(program);
    command.current_dir(dir).args(["-k", "witness", "--log-key", "log.pub", "--state-file", "state"]);
    let child = command.arg(format!("127.0.0.1:{port}")).stdout(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "sigsum-witness does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ended(child)
}

#[test]
fn sigsum_witness_cosigns_our_log_and_goes_on_after_its_own_restart() {
    let Some(program) = sigsum_witness() else {
        println!(
            "SKIPPED: there is no sigsum-witness here (package sigsum-witness, where Debian has it; or name one: SIGSUM_WITNESS)"
        );
        return;
    };
    let (log, witness) = (SigningKey::from_bytes(&[41; 32]), SigningKey::from_bytes(&[42; 32]));
    let (mut region, origin) = region_with_a_sigsum_origin(&log);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("witness"), ssh_private(&witness)).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir.path().join("witness"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(dir.path().join("log.pub"), ssh_public(&log.verifying_key())).unwrap();
    let port = free_port();
    let public = witness.verifying_key();
    let name = format!("sigsum.org/v1/witness/{}", HEXLOWER.encode(&Sha256::digest(public.as_bytes())));
    let key = CosignerKey::new(name, public).unwrap();
    configure(&region, &format!("[[cosigner]]\nurl = \"http://127.0.0.1:{port}\"\nvkey = \"{key}\"\n"));
    let running = start(&program, dir.path(), port);
    region.args = ["--set".into(), "cosign.interval_seconds=1".into()].to_vec();
    region.start();

    let signer = SigningKey::from_bytes(&[2; 32]);
    let records = crate::node::Signer { key: signer, origin };
    let cosigned = |size: u64| {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let note = region.get("/log/checkpoint").body;
            let note = Note::parse(&note).unwrap();
            let at: u64 = note.text().lines().nth(1).unwrap().parse().unwrap();
            if at >= size && key.time_of(&note).unwrap().is_some() {
                return at;
            }
            assert!(Instant::now() < end, "sigsum-witness has not cosigned {size} entries:\n{note}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let enrol = |authority: &str| {
        let fields = serde_json::json!({ "authority": authority, "name": "Мосжилинспекция", "oktmo": ["45"] });
        records.record("authority.enrolled", fields, crate::node::Around::default()).1
    };
    region.accept(&[enrol(AUTHORITY)]);
    let first = cosigned(1);
    drop(running);
    // What it had cosigned is in its file: the next head needs a proof from there.
    region.accept(&[enrol("ogrn:1027700132195")]);
    let _running = start(&program, dir.path(), port);
    assert!(cosigned(first + 1) > first);
}
