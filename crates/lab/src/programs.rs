//! The lessons' programs: built once by cargo, which also says where they are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde::Deserialize;

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
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let mut command = Command::new(&cargo);
        command.args([
            "build",
            "--quiet",
            "--bins",
            "--message-format=json-render-diagnostics",
        ]);
        command
            .arg("--manifest-path")
            .arg(workspace().join("Cargo.toml"));
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        for package in packages {
            command.args(["--package", package]);
        }
        let output = command.stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("start {}", cargo.display()))?;
        if !output.status.success() {
            bail!(
                "the lessons' programs do not build: cargo ended with {}",
                output.status
            );
        }
        let mut paths = HashMap::new();
        for line in output
            .stdout
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let message: Message =
                serde_json::from_slice(line).context("read a message of cargo")?;
            if let (Some(path), Some(target)) = (message.executable, message.target)
                && target.kind.iter().any(|kind| kind == "bin")
            {
                paths.insert(target.name, path);
            }
        }
        Ok(Self { paths })
    }

    /// The file to run for the first word of a command: a lesson's binary, or a tool of the system.
    pub(crate) fn path(&self, name: &str) -> Result<PathBuf, String> {
        if let Some(path) = self.paths.get(name) {
            return Ok(path.clone());
        }
        if name.starts_with("chap-") || name == "midterm" {
            return Err(
                "this lesson's programs were not built; name the lesson in Experiment::also".into(),
            );
        }
        Ok(name.into())
    }
}

/// The root of the workspace, as it was when the lab was built.
pub fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
