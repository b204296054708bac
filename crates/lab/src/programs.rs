//! The lessons' programs: built once by cargo, which also says where they are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::exercises;

/// Where the built programs are.
#[derive(Debug, Default, Clone)]
pub struct Programs {
    paths: HashMap<String, PathBuf>,
}

/// The part of cargo's messages that we read: <https://doc.rust-lang.org/cargo/reference/external-tools.html>.
#[derive(Deserialize)]
struct Message {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Programs {
    /// Builds the binaries of these packages, in the profile that the lab itself was built in.
    pub fn build(packages: &[String]) -> anyhow::Result<Self> {
        if packages.is_empty() {
            return Ok(Self::default());
        }
        let mut arguments = vec!["--bins"];
        for package in packages {
            arguments.extend(["--package", package]);
        }
        let paths = build("the lessons' programs", &arguments)?;
        Ok(Self { paths })
    }

    /// Builds these binaries of the exercises, too: `solution-11-half-close`. No others, because a learner may be in the middle
    /// of another exercise.
    pub fn with_exercises(mut self, binaries: &[String]) -> anyhow::Result<Self> {
        if binaries.is_empty() {
            return Ok(self);
        }
        let mut arguments = vec!["--package", "exercises"];
        for binary in binaries {
            arguments.extend(["--bin", binary]);
        }
        self.paths
            .extend(build("the exercises' programs", &arguments)?);
        Ok(self)
    }

    /// The file to run for the first word of a command: a lesson's binary, or a tool of the system.
    pub fn path(&self, name: &str) -> Result<PathBuf, String> {
        if let Some(path) = self.paths.get(name) {
            return Ok(path.clone());
        }
        if name.starts_with("chap-") || name == "midterm" {
            return Err(
                "this lesson's programs were not built; name the lesson in Experiment::also".into(),
            );
        }
        if exercises::is_binary(name) {
            return Err("exercises/Cargo.toml has no binary of this name".into());
        }
        Ok(name.into())
    }
}

/// Who waits longer than this wants to know for what.
const NOTICEABLE: Duration = Duration::from_secs(1);

/// Does some work, and says so on standard error if it takes longer than `patience`.
fn meanwhile<T>(patience: Duration, what: &str, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        // Dropped when the work is done, and then nothing is said any more.
        let (_working, done) = channel::<()>();
        scope.spawn(move || {
            if done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{what}");
            }
        });
        work()
    })
}

/// Runs cargo, which says where the binaries are. `what` is for who waits, and for the message if it fails.
fn build(what: &str, arguments: &[&str]) -> anyhow::Result<HashMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut command = Command::new(&cargo);
    command.args([
        "build",
        "--quiet",
        "--message-format=json-render-diagnostics",
    ]);
    command
        .arg("--manifest-path")
        .arg(workspace().join("Cargo.toml"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.args(arguments);
    let output = meanwhile(NOTICEABLE, &format!("Building {what} ..."), || {
        command.stderr(Stdio::inherit()).output()
    });
    let output = output.with_context(|| format!("start {}", cargo.display()))?;
    if !output.status.success() {
        bail!("{what} cannot be built: cargo ended with {}", output.status);
    }
    let mut paths = HashMap::new();
    for line in output
        .stdout
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty())
    {
        let message: Message = serde_json::from_slice(line).context("read a message of cargo")?;
        if let (Some(path), Some(target)) = (message.executable, message.target)
            && target.kind.iter().any(|kind| kind == "bin")
        {
            paths.insert(target.name, path);
        }
    }
    Ok(paths)
}

/// The root of the workspace: where cargo runs the lab, for it does not build anew what has been moved with all it has built;
/// else where it was when the lab was built.
pub fn workspace() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let built = Path::new(env!("CARGO_MANIFEST_DIR"));
        // The variable may be another package's, which has started the lab.
        let running = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let ours = running.filter(|path| path.ends_with("crates/lab"));
        let package = ours.as_deref().unwrap_or(built);
        package.join("../..")
    });
    &ROOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_where_the_lab_s_sources_are() {
        assert!(workspace().join("crates/lab/Cargo.toml").is_file());
    }
}
