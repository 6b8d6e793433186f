//! Programs that cargo builds, and where it puts them.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// A program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) name: String,
    /// `bin` or `test`, for instance.
    pub(crate) kind: String,
    pub(crate) path: PathBuf,
}

/// Runs a build of cargo; the programs that it was to build. Cargo tells where they went: the user's configuration may have
/// moved them.
///
/// # Errors
///
/// When it fails; cargo has said why.
pub(crate) fn build(cargo: &mut Command) -> Result<Vec<Artifact>> {
    let output = cargo
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the build failed");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(artifact).collect())
}

/// The program of which a message of cargo says that it is there.
fn artifact(message: &str) -> Option<Artifact> {
    let message: Value = serde_json::from_str(message).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(Artifact {
        path: message["executable"].as_str()?.into(),
        name: text(&message["target"]["name"])?,
        kind: text(&message["target"]["kind"][0])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_among_the_messages_of_cargo() {
        let daemon = r#"{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"portguard"},"executable":"/t/release/portguard"}"#;
        let expected = Artifact {
            name: "portguard".into(),
            kind: "bin".into(),
            path: "/t/release/portguard".into(),
        };
        assert_eq!(artifact(daemon), Some(expected));
        for other in [
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"aya"},"executable":null}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "not json",
        ] {
            assert_eq!(artifact(other), None, "{other}");
        }
    }
}
