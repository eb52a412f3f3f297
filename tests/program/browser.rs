//! A page in Chromium without a window, by the DevTools protocol over a pipe: JSON, each message ended by a zero byte.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long a page may take to become what is waited for, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key that is held while another is pressed, as the protocol counts them.
#[derive(Clone, Copy)]
pub enum Held {
    Alt = 1,
    Ctrl = 2,
}

/// A browser with one page, which is killed when it is dropped.
pub struct Browser {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
    calls: u64,
    session: Value,
}

impl Browser {
    /// A page without anything, by a browser that keeps its files at `profile`; `None` where there is no Chromium.
    pub fn start(profile: &Path) -> Option<Self> {
        let browsers = ["chromium", "chromium-browser", "google-chrome"];
        let is_there = |browser: &&str| {
            Command::new(browser).arg("--version").output().is_ok_and(|output| output.status.success())
        };
        let browser = browsers.into_iter().find(is_there)?;
        let mut command = Command::new("sh");
        // it reads from 3 and writes to 4
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", browser]);
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]);
        command.arg(format!("--user-data-dir={}", profile.display()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let requests = child.stdin.take().expect("piped");
        let replies = BufReader::new(child.stdout.take().expect("piped"));
        let mut browser = Self { child, requests, replies, calls: 0, session: Value::Null };
        let page = browser.call("Target.createTarget", &json!({"url": "about:blank"}))["targetId"].take();
        let attached = browser.call("Target.attachToTarget", &json!({"targetId": page, "flatten": true}));
        browser.session = attached["sessionId"].clone();
        Some(browser)
    }

    /// Show what is at `url`, as far as it is there when this returns.
    pub fn open(&mut self, url: &str) {
        self.call("Page.navigate", &json!({"url": url}));
    }

    /// What a method of the protocol returns.
    #[track_caller]
    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let mut request = json!({"id": self.calls, "method": method, "params": params});
        if self.session.is_string() {
            request["sessionId"] = self.session.clone();
        }
        write!(self.requests, "{request}\0").expect("it listens");
        loop {
            let mut message = vec![];
            self.replies.read_until(0, &mut message).expect("it answers");
            assert_eq!(message.pop(), Some(0), "it runs");
            let mut message: Value = serde_json::from_slice(&message).expect("JSON");
            // others are events
            if message["id"] == self.calls {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
        }
    }

    /// The value of a JavaScript expression in the page.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let params = json!({"expression": expression, "returnByValue": true});
        let mut evaluated = self.call("Runtime.evaluate", &params);
        assert!(evaluated["exceptionDetails"].is_null(), "{expression}: {evaluated}");
        evaluated["result"]["value"].take()
    }

    /// Wait until an expression is true.
    #[track_caller]
    pub fn wait_for(&mut self, expression: &str) {
        let began = Instant::now();
        while self.value(expression) != json!(true) {
            if began.elapsed() > PATIENCE {
                panic!("{expression} is not true of {}", self.value("document.documentElement.outerHTML"));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Press a key of this name and number, these keys held.
    pub fn press(&mut self, held: &[Held], key: &str, number: u32) {
        let held = held.iter().fold(0, |bits, held| bits | *held as u32);
        for kind in ["keyDown", "keyUp"] {
            let event =
                json!({"type": kind, "modifiers": held, "key": key, "code": key, "windowsVirtualKeyCode": number});
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Have a page shown as who asks for `scheme`, light or dark, wants it.
    pub fn prefer(&mut self, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
