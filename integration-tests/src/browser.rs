//! Headless Chromium, driven through the DevTools protocol over a pipe.
//!
//! All waiting is blocking: tests call it from a thread that has nothing else to do.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::process::command;
use crate::workdir::WorkDir;

/// How long the browser may take for anything. Far more than it needs on an idle machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks at a condition on the page.
const POLL: Duration = Duration::from_millis(30);

/// Its protocol is on descriptors 3 and 4; it needs no sandbox for pages of this repository (and has none as root).
const START: &str = "exec chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
    --disable-background-networking --disable-component-update --disable-sync --disable-extensions --mute-audio \
    --host-resolver-rules='MAP * ~NOTFOUND, EXCLUDE 127.0.0.1' --window-size=1280,900 --lang=en-US \
    --user-data-dir=profile --remote-debugging-pipe about:blank 3<&0 4>&1 </dev/null >/dev/null";

/// A browser with one page.
pub struct Browser {
    process: Child,
    to: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    next_id: u64,
    /// Errors of the page: uncaught ones, failed loads, refusals of its policy, `console.error`.
    errors: Vec<String>,
    dir: WorkDir,
}

impl Browser {
    /// Starts it with an empty page.
    ///
    /// # Panics
    /// When Chromium is not installed or does not answer.
    pub fn start() -> Self {
        let dir = WorkDir::new("browser");
        let mut shell: Command = command("sh", dir.path());
        let log = std::fs::File::create(dir.path().join("stderr.log")).unwrap();
        shell.args(["-c", START]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut process = shell.spawn().unwrap();
        let to = process.stdin.take().unwrap();
        let messages = read(process.stdout.take().unwrap());
        let mut browser = Self { process, to, messages, session: String::new(), next_id: 1, errors: Vec::new(), dir };
        let targets = browser.call("Target.getTargets", json!({}));
        let page = targets["targetInfos"].as_array().unwrap().iter().find(|target| target["type"] == "page").unwrap();
        let attached = browser.call("Target.attachToTarget", json!({"targetId": page["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    /// Opens a URL.
    pub fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer.get("errorText").is_none(), "{url}: {answer}");
    }

    /// Loads the page again.
    pub fn reload(&mut self) {
        self.call("Page.reload", json!({}));
    }

    /// Takes every certificate from now on, as a person would who knows whose it is.
    pub fn trust_any_certificate(&mut self) {
        self.call("Security.setIgnoreCertificateErrors", json!({"ignore": true}));
    }

    /// The value of an expression on the page; a promise is waited for.
    ///
    /// # Panics
    /// When it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        self.try_evaluate(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_evaluate(&mut self, expression: &str) -> Result<Value, Value> {
        let arguments = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.try_call("Runtime.evaluate", arguments)?;
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        Ok(answer["result"]["value"].clone())
    }

    /// Waits until an expression on the page is true.
    ///
    /// # Panics
    /// When it does not become true in time; with the text of the page.
    pub fn until(&mut self, expression: &str) {
        let end = Instant::now() + LIMIT;
        // An error: the page went away while it was asked. The next one is asked then.
        while self.try_evaluate(&format!("Boolean({expression})")) != Ok(json!(true)) {
            if Instant::now() > end {
                let text = self.evaluate("document.body.innerText");
                panic!("not in time: {expression}; the page says {text}; errors: {:?}", self.errors);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Types a text where the focus is.
    pub fn insert(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Presses a key, such as `Enter` or `j`.
    pub fn press(&mut self, key: &str) {
        let mut down = json!({"type": "keyDown", "key": key});
        match key {
            "Enter" => down["text"] = json!("\r"),
            _ if key.chars().count() == 1 => down["text"] = json!(key),
            _ => {}
        }
        if key == "Escape" {
            down["windowsVirtualKeyCode"] = json!(27);
        }
        self.call("Input.dispatchKeyEvent", down);
        self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key}));
    }

    /// A picture of the page as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({"format": "png"}));
        STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }

    /// The errors of the page so far; they are forgotten then.
    pub fn take_errors(&mut self) -> Vec<String> {
        // What came before this answer has been seen.
        self.evaluate("0");
        std::mem::take(&mut self.errors)
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.try_call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The result, or the error that the browser answers with.
    fn try_call(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        let id = self.next_id;
        self.next_id += 1;
        let mut message = json!({"id": id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).unwrap();
        let end = Instant::now() + LIMIT;
        loop {
            match self.messages.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(answer) if answer["id"] == id => {
                    return answer
                        .get("error")
                        .map_or_else(|| Ok(answer["result"].clone()), |error| Err(error.clone()));
                }
                Ok(event) => self.note(&event),
                Err(RecvTimeoutError::Timeout) => panic!("no answer of the browser to {method} in time"),
                Err(RecvTimeoutError::Disconnected) => panic!("the browser ended: {}", self.log()),
            }
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.errors.push(parameters["exceptionDetails"].to_string()),
            "Runtime.consoleAPICalled" if parameters["type"] == "error" => {
                self.errors.push(parameters["args"].to_string())
            }
            "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
                self.errors.push(parameters["entry"].to_string())
            }
            _ => {}
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("stderr.log")).unwrap_or_default()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its other processes end with it. An error: it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The messages, which end with a zero byte each, on a thread that ends with the browser.
fn read(from: ChildStdout) -> Receiver<Value> {
    let (sender, messages) = sync_channel(1024);
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        loop {
            let mut message = Vec::new();
            match from.read_until(0, &mut message) {
                Ok(length) if length > 0 => {
                    message.pop();
                    let Ok(message) = serde_json::from_slice(&message) else { return };
                    if sender.send(message).is_err() {
                        return;
                    }
                }
                _ => return,
            }
        }
    });
    messages
}
