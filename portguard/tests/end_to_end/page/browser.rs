//! Chromium without a screen, driven by its DevTools protocol over a pipe.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use portguard_testbed::Bed;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long it may take to answer, or a page to show something.
const PATIENCE: Duration = Duration::from_secs(40);

/// A browser in the namespace of the guarded host, with one page. It ends with the test.
pub(super) struct Browser {
    child: Child,
    requests: ChildStdin,
    messages: Receiver<Value>,
    last: u64,
    /// The connection to the page.
    session: Option<String>,
    /// What it has complained of.
    complaints: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it and opens an empty page.
    pub(super) fn start(bed: &Bed) -> Self {
        let profile = tempfile::tempdir().expect("a folder");
        let folder = format!("--user-data-dir={}", profile.path().display());
        // It talks on descriptors 3 and 4.
        let mut child = bed
            .server
            .command("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null", "sh"])
            .args(["chromium", "--headless", "--remote-debugging-pipe", &folder])
            // It refuses to lock itself up as root, and there is nobody to hide from.
            .args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking"])
            .args(["--disable-component-update", "--disable-sync"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`chromium` of the package of this name runs");
        let requests = child.stdin.take().expect("a pipe");
        let answers = child.stdout.take().expect("a pipe");
        let (sender, messages) = mpsc::channel();
        // Ends with the browser.
        thread::spawn(move || {
            for message in BufReader::new(answers).split(0) {
                let Ok(message) = message else {
                    return;
                };
                let message = serde_json::from_slice(&message).expect("JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            requests,
            messages,
            last: 0,
            session: None,
            complaints: Vec::new(),
            _profile: profile,
        };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.call(
            "Target.attachToTarget",
            json!({ "targetId": page["targetId"], "flatten": true }),
        );
        let session = attached["sessionId"].as_str().expect("a session");
        browser.session = Some(session.to_owned());
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Calls a method and waits for its result.
    pub(super) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut request = json!({ "id": self.last, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = session.as_str().into();
        }
        let mut text = request.to_string().into_bytes();
        text.push(0);
        self.requests.write_all(&text).expect("sends");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left).expect("an answer in time");
            if message["id"] == self.last {
                assert_eq!(message["error"], Value::Null, "{method}: {message}");
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    /// Keeps what is logged as an error or a warning, violations of the content security policy among it, and every error of
    /// a script.
    fn note(&mut self, message: &Value) {
        let parameters = &message["params"];
        let is_complaint = match message["method"].as_str() {
            Some("Log.entryAdded") => {
                matches!(
                    parameters["entry"]["level"].as_str(),
                    Some("error" | "warning")
                )
            }
            Some("Runtime.consoleAPICalled") => {
                matches!(
                    parameters["type"].as_str(),
                    Some("error" | "warning" | "assert")
                )
            }
            Some("Runtime.exceptionThrown") => true,
            _ => false,
        };
        if is_complaint {
            self.complaints.push(parameters.to_string());
        }
    }

    /// What it has complained of since this was asked last.
    pub(super) fn complaints(&mut self) -> Vec<String> {
        // What was said before this is answered has come.
        self.evaluate("0");
        std::mem::take(&mut self.complaints)
    }

    /// Gives the page a size.
    pub(super) fn resize(&mut self, width: u32, height: u32) {
        let parameters = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false
        });
        self.call("Emulation.setDeviceMetricsOverride", parameters);
    }

    /// Lets the user wish for something, such as `prefers-color-scheme`.
    pub(super) fn prefer(&mut self, wishes: &[(&str, &str)]) {
        let features: Vec<Value> = wishes
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// Goes to an address.
    pub(super) fn open(&mut self, address: &str) {
        let gone = self.call("Page.navigate", json!({ "url": address }));
        assert_eq!(gone["errorText"], Value::Null, "{gone}");
    }

    /// The value of an expression in the page.
    pub(super) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let result = self.call("Runtime.evaluate", parameters);
        assert_eq!(result["exceptionDetails"], Value::Null, "{expression}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression has a value.
    pub(super) fn wait_for(&mut self, expression: &str, wanted: impl Into<Value>) {
        let wanted = wanted.into();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.evaluate(expression);
            if found == wanted {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{expression} is {found}, not {wanted}: {:?}",
                self.complaints
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Our own child, which takes its own with it; it may have ended by itself.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}
