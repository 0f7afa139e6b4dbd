//! A real Chromium, driven by the DevTools protocol over two pipes: no library, no port, no window.
//!
//! A browser is ended when its handle is dropped, and its profile goes with it. What goes wrong is a panic with the
//! browser's own words: whoever tests a page wants to read them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

mod check;
mod harness;
mod pages;
mod tap;
mod vectors;

/// Longest wait for anything: the first start on a busy machine takes some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// A phone as small as any in use, and a desk.
pub const PHONE: (u32, u32) = (360, 640);
pub const DESK: (u32, u32) = (1280, 900);

/// A request that a page made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    pub method: String,
    pub url: String,
    pub body: Option<String>,
}

/// One browser with one page.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    events: Vec<Value>,
    next: u64,
    session: Option<String>,
    profile: TempDir,
}

impl Browser {
    /// Starts the machine's Chromium, or `DOMOVOI_CHROMIUM`, with an empty page of [`PHONE`] size.
    pub fn start() -> Browser {
        let program = std::env::var("DOMOVOI_CHROMIUM").unwrap_or_else(|_| "chromium".into());
        let profile = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let path = profile.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        // Chromium reads commands from descriptor 3 and writes answers to 4; only a shell can put ours there.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >&2"#, &program])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
            .args(["--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--disable-default-apps", "--ignore-certificate-errors"])
            .args(["--no-proxy-server", "--lang=ru", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder("profile").display()))
            .env("HOME", folder("home"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(profile.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let (to, mut out) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (send, from) = channel();
        std::thread::spawn(move || {
            let mut message = Vec::new();
            while out.read_until(0, &mut message).is_ok_and(|n| n > 0) {
                message.pop();
                if send.send(serde_json::from_slice(&message).unwrap()).is_err() {
                    break;
                }
                message.clear();
            }
        });
        let mut browser = Browser { child, to, from, events: Vec::new(), next: 1, session: None, profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let at = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = Some(at["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.viewport(PHONE);
        browser
    }

    /// What the browser wrote to its standard error.
    fn log(&self) -> String {
        std::fs::read_to_string(self.profile.path().join("stderr")).unwrap_or_default()
    }

    fn receive(&mut self, until: Instant) -> Option<Value> {
        match self.from.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!(
                "Chromium ended or cannot be started. It is the Debian package chromium, which scripts/test installs; \
                 DOMOVOI_CHROMIUM names another program. It says:\n{}",
                self.log()
            ),
        }
    }

    /// A command of the protocol and its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params).unwrap_or_else(|e| panic!("{method}: {e}"))
    }

    fn try_call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        let id = self.next;
        self.next += 1;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        // Where it has ended already, receiving says why.
        let _ = self.to.write_all(&[message.to_string().as_bytes(), b"\0"].concat()).and_then(|()| self.to.flush());
        let until = Instant::now() + PATIENCE;
        loop {
            let Some(mut got) = self.receive(until) else { panic!("{method}: no answer:\n{}", self.log()) };
            if got["id"] != id {
                self.events.push(got);
            } else if got["error"].is_object() {
                return Err(got["error"].take());
            } else {
                return Ok(got["result"].take());
            }
        }
    }

    /// Waits for an event; what came before is forgotten where it is no request and no message.
    fn wait_for(&mut self, method: &str, from: usize) -> Value {
        let until = Instant::now() + PATIENCE;
        let mut seen = from;
        loop {
            while let Some(event) = self.events.get(seen) {
                if event["method"] == method {
                    return event["params"].clone();
                }
                seen += 1;
            }
            match self.receive(until) {
                Some(event) => self.events.push(event),
                None => panic!("no {method} in time; the page says {:?}", self.said()),
            }
        }
    }

    /// Goes to a page, also where only the fragment differs, and waits until it is loaded. What was asked and said before
    /// is forgotten.
    pub fn open(&mut self, url: &str) {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        self.wait_for("Page.loadEventFired", 0);
        self.events.clear();
        let gone = self.call("Page.navigate", json!({ "url": url }));
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
        self.wait_for("Page.loadEventFired", 0);
        // The event may still have been that of the empty page before.
        self.until("document.readyState === 'complete'");
    }

    /// The value of an expression, of a promise when it is kept. An exception of the page's is a panic here.
    pub fn eval(&mut self, expression: &str) -> Value {
        self.try_eval(expression).unwrap_or_else(|e| panic!("{expression}: {e}"))
    }

    /// [`Browser::eval`]; an error where the page went away before it answered.
    fn try_eval(&mut self, expression: &str) -> Result<Value, Value> {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut got = self.try_call("Runtime.evaluate", params)?;
        assert!(got["exceptionDetails"].is_null(), "{expression}: {}", got["exceptionDetails"]);
        Ok(got["result"]["value"].take())
    }

    /// Waits until an expression is true, also on the page that the one asked gives way to meanwhile.
    pub fn until(&mut self, expression: &str) {
        let until = Instant::now() + PATIENCE;
        loop {
            let got = self.try_eval(&format!("Boolean({expression})"));
            if got == Ok(json!(true)) {
                return;
            }
            if Instant::now() > until {
                let (said, text) = (self.said(), self.text());
                panic!("never true: {expression}: {got:?}; the page says {said:?}; it shows {text}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The text that a person sees.
    pub fn text(&mut self) -> String {
        self.eval("document.body?.innerText ?? ''").as_str().unwrap().to_owned()
    }

    /// The rectangle pages are laid out in, CSS pixels.
    pub fn viewport(&mut self, (width, height): (u32, u32)) {
        let phone = width < 600;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.call("Emulation.setDeviceMetricsOverride", size);
    }

    /// Switches JavaScript of pages off or on, for pages that are opened from now on. [`Browser::eval`] works all the same.
    pub fn scripts(&mut self, on: bool) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": !on }));
    }

    /// Lets pages that are opened from now on believe that it is so much later.
    pub fn later(&mut self, ms: u64) {
        let source = format!("{{ const now = Date.now; Date.now = () => now() + {ms}; }}");
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source }));
    }

    /// Takes the network away, or gives it back.
    pub fn offline(&mut self, offline: bool) {
        let params = json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.call("Network.emulateNetworkConditions", params);
    }

    /// Gives files to the file field that the selector finds.
    pub fn choose_file(&mut self, selector: &str, file: &Path) {
        let root = self.call("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let node = self.call("DOM.querySelector", json!({ "nodeId": root, "selector": selector }))["nodeId"].clone();
        self.call("DOM.setFileInputFiles", json!({ "nodeId": node, "files": [file] }));
    }

    /// All that pages asked for since [`Browser::open`], in order.
    pub fn asked(&mut self) -> Vec<Asked> {
        // Whatever the browser has sent before this answer has come by now.
        self.call("Runtime.evaluate", json!({ "expression": "0" }));
        let requests = self.events.iter().filter(|e| e["method"] == "Network.requestWillBeSent");
        let asked = requests.map(|e| &e["params"]["request"]).map(|r| Asked {
            method: r["method"].as_str().unwrap().to_owned(),
            url: format!("{}{}", r["url"].as_str().unwrap(), r["urlFragment"].as_str().unwrap_or_default()),
            body: r["postData"].as_str().map(str::to_owned),
        });
        asked.collect()
    }

    /// Errors, warnings and messages of the page since [`Browser::open`], with what the security policy stopped.
    pub fn said(&self) -> Vec<String> {
        let words = |e: &Value| match e["method"].as_str()? {
            "Log.entryAdded" => Some(e["params"]["entry"]["text"].to_string()),
            "Runtime.exceptionThrown" => Some(e["params"]["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" => Some(e["params"]["args"].to_string()),
            _ => None,
        };
        self.events.iter().filter_map(words).collect()
    }

    /// A picture of the whole page, `target/screenshots/<name>.png`, for people to look at.
    pub fn screenshot(&mut self, name: &str) -> PathBuf {
        let got = self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": true }));
        let png = data_encoding::BASE64.decode(got["data"].as_str().unwrap().as_bytes()).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.png"));
        std::fs::write(&path, png).unwrap();
        path
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its other processes end with it, but may write to the profile a moment longer.
        let until = Instant::now() + Duration::from_secs(2);
        while std::fs::remove_dir_all(self.profile.path().join("profile")).is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
