//! A real browser on a host, without a window: Chromium, where it is installed.
//!
//! It is driven through its debugging pipe: messages in JSON that end with a NUL, requests to its descriptor 3 and answers from
//! its descriptor 4 (<https://chromedevtools.github.io/devtools-protocol/>).

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::doctor::found;
use crate::error::LabError;
use crate::host::Host;

/// How long an answer may take. The first one waits until the browser has started.
const DEADLINE: Duration = Duration::from_secs(60);

/// No sandbox of its own: it runs in ours, in which it could not make another. Nothing is asked of anybody but the page's
/// server.
const OPTIONS: &[&str] = &[
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
];

/// A browser with one page. It ends when it is dropped.
pub(crate) struct Browser {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<Value>,
    number: u64,
    /// The page, once there is one.
    session: Option<Value>,
}

impl Browser {
    /// Starts it on a host. What it writes goes below `directory`.
    ///
    /// # Errors
    /// [`LabError::Impossible`] where it is not installed.
    pub(crate) fn start(host: &Host, directory: &Path) -> Result<Self, LabError> {
        let missing = "there is no browser here: apt install chromium";
        let path = found("chromium").ok_or_else(|| LabError::Impossible(missing.into()))?;
        // The shell puts the two pipes where the browser wants them.
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#,
            ])
            .arg(path)
            .args(OPTIONS)
            .arg(format!(
                "--user-data-dir={}",
                directory.join("browser").display()
            ))
            .env("HOME", directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = host.enter(|| command.spawn())?;
        let (requests, answers) = (child.stdin.take(), child.stdout.take());
        let (tell, told) = channel();
        let read = move || {
            let mut answers = BufReader::new(answers?);
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).ok()? > 0 {
                let text = message.strip_suffix(b"\0").unwrap_or(&message);
                tell.send(serde_json::from_slice(text).ok()?).ok()?;
                message.clear();
            }
            Some(())
        };
        thread::spawn(read);
        let mut browser = Self {
            child,
            requests,
            answers: told,
            number: 0,
            session: None,
        };
        let page = browser.asks("Target.createTarget", json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": page["targetId"], "flatten": true});
        let session = browser.asks("Target.attachToTarget", attach)?;
        browser.session = Some(session["sessionId"].clone());
        Ok(browser)
    }

    /// Goes to a page. It is there when what is asked of it with [`Browser::value`] says so.
    pub(crate) fn goes_to(&mut self, url: &str) -> Result<(), LabError> {
        self.asks("Page.navigate", json!({"url": url})).map(drop)
    }

    /// What an expression is worth in the page now; null where it fails.
    pub(crate) fn value(&mut self, expression: &str) -> Result<Value, LabError> {
        let question = json!({"expression": expression, "returnByValue": true});
        let answer = self.asks("Runtime.evaluate", question)?;
        Ok(answer["result"]["value"].clone())
    }

    fn asks(&mut self, method: &str, parameters: Value) -> Result<Value, LabError> {
        self.number += 1;
        let mut request = json!({"id": self.number, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            request["sessionId"] = session.clone();
        }
        let pipe = self.requests.as_ref();
        let mut pipe = pipe.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?;
        pipe.write_all(format!("{request}\0").as_bytes())?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self.answers.recv_timeout(left);
            let mut answer = answer.map_err(|error| {
                LabError::Io(io::Error::other(format!("the browser, {method}: {error}")))
            })?;
            // Others are events, of which nobody asked.
            if answer["id"] == self.number {
                return match answer.get("error") {
                    Some(error) => Err(LabError::Io(io::Error::other(error.to_string()))),
                    None => Ok(answer["result"].take()),
                };
            }
        }
    }
}

impl Drop for Browser {
    /// Without its pipe it ends, and its processes with it.
    fn drop(&mut self) {
        drop(self.requests.take());
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
