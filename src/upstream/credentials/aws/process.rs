//! Keys from a program of the operator's: `credential_process`.

use std::process::Stdio;

use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::super::Problem;
use super::Found;
use super::keys::Document;

/// The most that the program may write.
const OUTPUT_BYTES: u64 = 64 * 1024;

/// Runs the program. It is ended when nobody waits for it any more.
pub(super) async fn fetch(command: &str) -> Result<Found, Problem> {
    let failed = |error: std::io::Error| {
        Problem::new("the `credential_process` of an AWS profile cannot be run").with(error)
    };
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = shell.spawn().map_err(failed)?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(OUTPUT_BYTES)
            .read_to_end(&mut output)
            .await
            .map_err(failed)?;
    }
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(Problem::new(
            "the `credential_process` of an AWS profile has failed: run it by hand",
        )
        .with(status));
    }
    // What serde says of a wrong value repeats it.
    let unreadable = |_| {
        Problem::new(
            "the `credential_process` of an AWS profile writes something else than keys in JSON",
        )
    };
    serde_json::from_slice::<Document>(&output)
        .map_err(unreadable)?
        .found()
}
