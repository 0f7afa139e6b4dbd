//! Pages of a running node, as a browser without JavaScript gets them.

use reqwest::header::{ACCEPT, HeaderMap};
use serde_json::json;

use super::node::{AUTHORITY, Around, Node, runtime};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// An answer with its headers.
struct Got {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// Sends as a browser does.
fn ask(node: &Node, request: impl FnOnce(&reqwest::Client, &str) -> reqwest::RequestBuilder) -> Got {
    let pem = std::fs::read(node.certificate()).unwrap();
    runtime().block_on(async {
        let trusted = reqwest::Certificate::from_pem(&pem).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([trusted]).no_proxy().build().unwrap();
        let response = request(&client, &node.url()).header(ACCEPT, BROWSER).send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Got { status, headers, text: response.text().await.unwrap() }
    })
}

fn get(node: &Node, path: &str) -> Got {
    ask(node, |client, url| client.get(format!("{url}{path}")))
}

/// The form of `/`, sent without JavaScript.
fn post(node: &Node, path: &str, q: &str) -> Got {
    let body: String = q.bytes().map(|b| format!("%{b:02X}")).collect();
    let kind = "application/x-www-form-urlencoded";
    ask(node, |client, url| client.post(format!("{url}{path}")).header("content-type", kind).body(format!("q={body}")))
}

const TOKEN: &str = "dGhpcyBpcyBhIG1hZGUtdXAgdG9rZW4gb2YgYSBjaGF";

/// Moscow with one building and its chat, reached by [`TOKEN`].
fn house() -> (Node, String) {
    let node = Node::moscow();
    let signer = node.signer("operator");
    node.accept(&[signer.building(7).1]);
    let digest = domovoi::registry::link::LinkDigest::of_link(
        &domovoi::registry::link::canonical_link(&format!("max.ru/join/{TOKEN}")).unwrap(),
    );
    let fields = json!({ "kind": "house", "title": "Пробная, 7", "buildings": ["reformagkh:7"], "owner": AUTHORITY,
        "link": digest.to_string() });
    let (id, record) =
        signer.record("chat.registered", fields, Around { from: Some("2026-02-01"), ..Around::default() });
    node.accept(&[record]);
    let number = domovoi::registry::ids::ChatNumber::derive("77".parse().unwrap(), &id.0);
    (node, number.to_string())
}

#[test]
fn a_question_is_answered_without_javascript_and_a_link_is_never_repeated() {
    let (node, chat) = house();
    for (path, lang, heading, verdict) in [
        ("/", "ru", "Это официальный чат вашего дома?", "Официальный чат</h1>"),
        ("/?lang=en", "en", "Is this the official chat of your house?", "Official chat</h1>"),
    ] {
        let home = get(&node, path);
        assert_eq!((home.status, home.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(home.text.contains(&format!("<html lang=\"{lang}\">")) && home.text.contains(heading), "{}", home.text);

        let link = post(&node, path, &format!("https://max.ru/join/{TOKEN}"));
        assert_eq!((link.status, link.header("cache-control")), (200, "no-store"));
        assert!(link.text.contains(verdict) && link.text.contains(&format!("/chat/{chat}")), "{}", link.text);
        // What it rests on is there to be fetched as it was signed.
        let record = link.text.split('"').find(|u| u.starts_with("/api/v1/records/")).expect("a signed record");
        let signed = get(&node, record);
        assert!(signed.status == 200 && signed.text.contains("signatures"), "{}", signed.text);
        let separator = if path == "/" { "?" } else { "&" };
        let in_the_url = get(&node, &format!("{path}{separator}q=max.ru/join/{TOKEN}"));
        for page in [&link, &in_the_url] {
            assert!(page.text.contains(verdict) && !page.text.contains(TOKEN), "{}", page.text);
            assert!(page.headers.values().all(|v| !v.to_str().unwrap_or_default().contains(TOKEN)));
        }
        assert!(post(&node, path, &chat.to_lowercase()).text.contains(verdict));
    }
    let hostile = get(&node, "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    assert_eq!(hostile.status, 200);
    assert!(!hostile.text.contains("<script>") && hostile.text.contains("&#60;script"), "{}", hostile.text);
    assert_eq!(post(&node, "/", &"д".repeat(3000)).status, 400);
    assert!(!node.log().contains(TOKEN));
}

#[test]
fn pages_are_closed_to_everything_foreign_and_assets_are_kept() {
    let node = Node::moscow();
    let home = get(&node, "/");
    let policy = home.header("content-security-policy");
    for rule in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert_eq!(home.header("referrer-policy"), "no-referrer");
    assert!(!home.text.contains(" style=") && !home.text.contains("<style") && !home.text.contains(" onclick"));
    let css = home.text.split('"').find(|u| u.starts_with("/assets/style.css?v=")).expect("a style sheet");
    let sheet = get(&node, css);
    assert_eq!((sheet.status, sheet.header("content-type")), (200, "text/css; charset=utf-8"));
    assert_eq!(sheet.header("cache-control"), "public, max-age=31536000, immutable");
    let unnamed = get(&node, "/assets/style.css");
    assert_eq!(unnamed.header("cache-control"), "no-cache");
    let tag = unnamed.header("etag").to_owned();
    let again = ask(&node, |c, url| c.get(format!("{url}/assets/style.css")).header("if-none-match", tag.as_str()));
    assert_eq!((again.status, again.text.as_str()), (304, ""));
    assert_eq!(get(&node, "/assets/..%2Fmod.rs").status, 404);
}

#[test]
fn a_browser_gets_errors_as_pages_in_its_language() {
    let node = Node::moscow();
    for (path, status, words) in [
        ("/нет-такого", 404, "Такой страницы или записи нет"),
        ("/no-such?lang=en", 404, "There is no such page or record"),
        ("/?q=a&q=b", 400, "Запрос не понят"),
    ] {
        let page = get(&node, path);
        assert_eq!((page.status, page.header("content-type")), (status, "text/html; charset=utf-8"), "{path}");
        assert!(
            page.text.contains(words) && page.header("content-security-policy").contains("'none'"),
            "{}",
            page.text
        );
    }
    let pasted = get(&node, &format!("/join/{TOKEN}"));
    assert!(pasted.status == 404 && !pasted.text.contains(TOKEN));
    // Programs, and everybody below /api/, get the document.
    assert_eq!(node.get("/no-such").kind, "application/problem+json");
    assert_eq!(get(&node, "/api/v1/chats/77-AAAA-AAAA-AAAA").header("content-type"), "application/problem+json");
}
