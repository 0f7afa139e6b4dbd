//! The browser itself, before anything is said about pages: what the other tests take for granted.

use super::*;

/// A page in the address itself, so that no server is needed.
fn page(html: &str) -> String {
    format!("data:text/html;charset=utf-8;base64,{}", data_encoding::BASE64.encode(html.as_bytes()))
}

#[test]
fn a_real_browser_does_what_it_is_told() {
    let mut b = Browser::start();
    b.open(&page(
        "<meta name=viewport content='width=device-width'><p id=a>Дом</p><script>a.textContent += ' 5'; console.warn('пять')</script>",
    ));
    assert_eq!(b.text(), "Дом 5");
    assert!(b.said().iter().any(|s| s.contains("пять")), "{:?}", b.said());
    assert_eq!(b.eval("[innerWidth, innerHeight]"), json!([360, 640]));
    b.viewport(DESK);
    assert_eq!(b.eval("[innerWidth, innerHeight]"), json!([1280, 900]));
    assert_eq!(b.eval("new Promise(r => setTimeout(() => r(7), 5))"), 7);
    assert!(b.screenshot("harness").metadata().unwrap().len() > 1000);

    b.scripts(false);
    b.open(&page("<p id=a>Дом</p><script>a.textContent += ' 5'</script><noscript>без скриптов</noscript>"));
    assert_eq!(b.text().lines().collect::<Vec<_>>(), ["Дом", "", "без скриптов"]);
    b.scripts(true);

    let node = crate::node::Node::moscow();
    b.open(&format!("{}/readyz#fragment", node.url()));
    let asked = b.asked();
    assert!(asked.iter().any(|a| a.method == "GET" && a.url.ends_with("/readyz#fragment")), "{asked:?}");
    // What verifies signatures and hashes exists on a page of a node.
    assert_eq!(b.eval("crypto.subtle.digest('SHA-256', new Uint8Array()).then(d => d.byteLength)"), 32);
    let generated =
        "crypto.subtle.generateKey('Ed25519', false, ['sign', 'verify']).then(k => k.publicKey.algorithm.name)";
    assert_eq!(b.eval(generated), "Ed25519");

    // A page that gives way to another before it has answered is an error, over which waiting goes on.
    b.open(&page("<p>Дом"));
    let there = format!("{}/readyz", node.url());
    assert!(b.try_eval(&format!("new Promise(() => {{ location.href = '{there}'; }})")).is_err());
    b.until(&format!("location.href === '{there}'"));
}
