//! Configuration: layers, errors, the generated example.

use std::path::Path;

use domovoi::error::{Error, Result};
use domovoi::node::config::Config;
use proptest::prelude::*;

const FILE: &str = "/etc/domovoi/domovoi.toml";

fn load(text: &str) -> Result<Config> {
    Config::from_layers(text, Path::new(FILE), &[], &[])
}

fn refused(text: &str) -> Error {
    load(text).expect_err("must be refused")
}

fn env(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

#[test]
fn the_committed_example_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/domovoi.example.toml");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, Config::example()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == Config::example(), "out of date: BLESS=1 cargo test --test it example, then commit it");
}

#[test]
fn the_example_uncommented_is_a_valid_configuration_and_names_every_setting() {
    let text: String = Config::example()
        .lines()
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let config = load(&text).unwrap();
    assert_eq!(config.limits, Config::default().limits);
    assert_eq!(config.follow.len(), 1);
    assert!(config.tls.certificate.is_some() && config.node.public_url.is_some());
    // As committed, with all commented out, it is the defaults.
    let commented = Config::from_layers(&Config::example(), Path::new("domovoi.toml"), &[], &[]).unwrap();
    assert_eq!(commented, Config::default());
    assert_eq!(load("").unwrap().node.data_dir, Path::new("/etc/domovoi"));
}

#[test]
fn an_unknown_key_is_refused_with_file_line_and_what_is_allowed() {
    let error = refused("\n[limits]\nbody_bytes = 2048\nbody_bites = 1\n");
    assert_eq!(error.code(), "config.key");
    for part in ["domovoi.toml:4:", "body_bites", "limits", "header_bytes"] {
        assert!(error.detail().contains(part), "{part}: {error}");
    }
    assert_eq!(refused("[limit]\n").code(), "config.key");
    assert_eq!(refused("listen = 1\n").code(), "config.key");
}

#[test]
fn a_wrong_type_or_range_is_refused_with_file_line_and_what_is_allowed() {
    let error = refused("[limits]\nbody_bytes = \"64k\"\n");
    assert_eq!(error.code(), "config.type");
    assert!(error.detail().contains("domovoi.toml:2: limits.body_bytes"), "{error}");
    assert!(error.detail().contains("1024..=16777216"), "{error}");
    let error = refused("[limits]\nbody_bytes = 1\n");
    assert_eq!((error.code(), error.detail().contains("1024..=")), ("config.value", true));
    assert_eq!(refused("[log]\nlevel = \"loud\"\n").code(), "config.value");
    assert_eq!(refused("limits = 3\n").code(), "config.type");
    assert_eq!(refused("[follow]\nname = \"a\"\n").code(), "config.type");
    assert_eq!(refused("[http]\nlisten = [\"nonsense\"]\n").code(), "config.type");
    let error = refused("[http]\nlisten = [\n");
    assert_eq!((error.code(), error.detail().contains("domovoi.toml:")), ("config.syntax", true));
}

#[test]
fn environment_beats_the_file_and_the_command_line_beats_both() {
    let text = "[limits]\nbody_bytes = 2048\nrequests = 10\n[tls]\nnames = [\"a.example\"]\n";
    let vars = [env("DOMOVOI_LIMITS__BODY_BYTES", "4096"), env("DOMOVOI_TLS__NAMES", "b.example, c.example")].concat();
    let config = Config::from_layers(text, Path::new(FILE), &vars, &[]).unwrap();
    assert_eq!((config.limits.body_bytes, config.limits.requests), (4096, 10));
    assert_eq!(config.tls.names, ["b.example", "c.example"]);
    let sets = ["limits.body_bytes=8192".to_owned(), "http.plain_http=true".to_owned()];
    let config = Config::from_layers(text, Path::new(FILE), &vars, &sets).unwrap();
    assert_eq!((config.limits.body_bytes, config.http.plain_http), (8192, true));
}

#[test]
fn overrides_are_checked_like_the_file_and_named_in_errors() {
    let with_env = |name, value| Config::from_layers("", Path::new(""), &env(name, value), &[]).unwrap_err();
    let error = with_env("DOMOVOI_LIMITS__BODY_BYTES", "many");
    assert_eq!((error.code(), error.detail().contains("DOMOVOI_LIMITS__BODY_BYTES")), ("config.type", true));
    assert_eq!(with_env("DOMOVOI_LIMITS__BODY_BITES", "1").code(), "config.key");
    assert_eq!(with_env("DOMOVOI_FOLLOW__NAME", "a").code(), "config.override");
    // A second setting cannot be smuggled in through a value.
    assert_eq!(with_env("DOMOVOI_LIMITS__BODY_BYTES", "2048\nx = 1").code(), "config.type");
    let with_set = |option: &str| Config::from_layers("", Path::new(""), &[], &[option.to_owned()]).unwrap_err();
    let error = with_set("limits.body_bytes=many");
    assert_eq!((error.code(), error.detail().contains("--set limits.body_bytes")), ("config.type", true));
    assert_eq!(with_set("limits.body_bytes").code(), "config.override");
    assert_eq!(with_set("body_bytes=1").code(), "config.override");
    // Not settings: left alone.
    assert!(Config::from_layers("", Path::new(""), &env("DOMOVOI_PASSPHRASE", "x"), &[]).is_ok());
}

#[test]
fn plain_http_is_refused_unless_on_loopback_or_behind_a_named_proxy() {
    let plain = |rest: &str| load(&format!("[http]\nplain_http = true\n{rest}"));
    assert_eq!(plain("listen = [\"0.0.0.0:80\"]").unwrap_err().code(), "config.plain_http");
    assert_eq!(plain("listen = [\"127.0.0.1:80\", \"[::]:80\"]").unwrap_err().code(), "config.plain_http");
    assert!(plain("listen = [\"127.0.0.1:80\", \"[::1]:80\"]").is_ok());
    let proxied = plain("listen = [\"0.0.0.0:80\"]\nbehind_proxy = \"nginx/10.0.0.5\"").unwrap();
    assert_eq!(proxied.proxy_address(), Some("10.0.0.5".parse().unwrap()));
    assert_eq!(plain("behind_proxy = \"nginx\"").unwrap_err().code(), "config.value");
}

#[test]
fn what_belongs_together_is_checked_together() {
    assert_eq!(refused("[tls]\ncertificate = \"a.pem\"\n").code(), "config.tls");
    assert_eq!(refused("[limits]\nidle_timeout_seconds = 30\n").code(), "config.value");
    assert_eq!(refused("[node]\npublic_url = \"http://chats.example\"\n").code(), "config.value");
    let follow = |url: &str, sha: &str| {
        load(&format!("[[follow]]\nname = \"a\"\nurl = \"{url}\"\ncharter_sha256 = \"{sha}\"\nca = \"a.pem\"\n"))
    };
    let sha = "ab".repeat(32);
    let config = follow("https://a.example", &sha).unwrap();
    assert_eq!(config.follow[0].ca.as_deref(), Some(Path::new("/etc/domovoi/a.pem")));
    assert!(follow("http://127.0.0.1:8080", &sha).is_ok());
    for (url, sha) in [("http://a.example", &*sha), ("https://a.example/?x", &sha), ("https://a.example", "AB")] {
        let error = follow(url, sha).unwrap_err();
        assert_eq!((error.code(), error.detail().contains("follow[0]")), ("config.value", true));
    }
}

#[test]
fn a_reload_says_what_waits_for_a_restart() {
    let newer = load("[limits]\nrequests = 7\nbody_bytes = 2048\n").unwrap();
    assert_eq!(load("").unwrap().restart_needed(&newer), ["limits.requests"]);
}

#[test]
fn a_file_that_is_missing_or_too_large_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("domovoi.toml");
    assert_eq!(Config::load(Some(&path), &[], &[]).unwrap_err().code(), "config.file");
    std::fs::write(&path, "#".repeat(256 * 1024 + 1)).unwrap();
    assert_eq!(Config::load(Some(&path), &[], &[]).unwrap_err().code(), "config.file");
    std::fs::write(&path, "[node]\ndata_dir = \"d\"\n").unwrap();
    let config = Config::load(Some(&path), &[], &[]).unwrap();
    assert_eq!(config.node.data_dir, dir.path().join("d"));
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = load(&text);
        let _ = Config::from_layers("", Path::new(""), &env("DOMOVOI_LIMITS__BODY_BYTES", &text), &[text.clone().into()]);
    }

    #[test]
    fn no_nearly_valid_text_makes_the_loader_panic(
        text in r#"(\[{1,2}(limits|http|follow|x)\]{1,2}\n|(body_bytes|listen|name|limits\.requests) ?= ?(1|"a"|\[1, \["b"\]\]|\{a = \{b = 1\}\}|2020-01-01|nan)\n|[\[\]{}="'#.\n]){0,12}"#,
    ) {
        let _ = load(&text);
    }

    #[test]
    fn no_bytes_as_a_file_make_the_loader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, &bytes).unwrap();
        let _ = Config::load(Some(&path), &[], &[]);
    }
}
