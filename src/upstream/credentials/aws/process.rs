//! Fetches keys from a program of the operator: `credential_process`.

use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::super::Problem;
use super::FoundKeys;
use super::keys::Document;

/// Maximum output of the program, bytes.
const MAX_OUTPUT_BYTES: u64 = 64 * 1024;

/// Runs the program and parses its output. The program is killed when this is dropped.
pub(super) async fn fetch(command: &str) -> Result<FoundKeys, Problem> {
    let failed = |error: std::io::Error| {
        Problem::new("the `credential_process` of an AWS profile cannot be run: check its command")
            .with_detail(error)
    };
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(command)
        // It must not wait for input.
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A program that hangs is killed when the fetch times out.
        .kill_on_drop(true);
    let mut child = shell.spawn().map_err(failed)?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(MAX_OUTPUT_BYTES)
            .read_to_end(&mut output)
            .await
            .map_err(failed)?;
    }
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(Problem::new(
            "the `credential_process` of an AWS profile failed: run it by hand to see why",
        )
        .with_detail(status));
    }
    // Error messages of serde quote the wrong value, which may be a secret.
    let unreadable = |_| {
        Problem::new(
            "the `credential_process` of an AWS profile did not write keys as JSON: check its \
             output",
        )
    };
    serde_json::from_slice::<Document>(&output)
        .map_err(unreadable)?
        .into_keys()
}
