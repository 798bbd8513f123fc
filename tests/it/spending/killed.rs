//! A process that is killed in mid-stream, and its successor.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use sluicegate::model::money::Money;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::{LedgerFolder, money, read_rows};
use crate::rig::{Answer, Client, Dialect, Pace, Request, Upstream, WireId, within};

/// A server in a separate process, killed on drop.
struct Server {
    child: Child,
    client: Client,
}

async fn serve(config: &Path) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluicegate"));
    command
        .arg("--config")
        .arg(config)
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let address = within("the address it serves on", async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the server starts");
            if let Some((_, rest)) = line.split_once("serving on http://") {
                return rest.split('/').next().unwrap().parse().unwrap();
            }
        }
    })
    .await;
    // Keep reading its log: a full pipe would block the server.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Server {
        child,
        client: Client::new(address),
    }
}

fn configured(folder: &LedgerFolder, upstream: &Upstream) -> PathBuf {
    std::fs::create_dir_all(&folder.0).unwrap();
    let path = folder.0.join("config.toml");
    let config = [
        "data_dir = \"data\"",
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"",
        &format!(
            "[providers.up]\nwire = \"openai-chat\"\nbase_url = \"http://{}/v1\"",
            upstream.addr
        ),
        "[models.m]\nroute = [\"up/m-up\"]\n[prices.\"up/m-up\"]\nrequest = 0.5\n[budgets]\nglobal = { month = 2 }",
    ];
    std::fs::write(&path, config.join("\n")).unwrap();
    path
}

/// Waits for three rows, of which `running` are running, and returns them.
async fn three_rows(data: &Path, running: usize) -> Vec<Value> {
    let waiting = async {
        loop {
            let rows = read_rows(data);
            if rows.len() == 3
                && rows.iter().filter(|row| row["status"] == "running").count() == running
            {
                return rows;
            }
            tokio::task::yield_now().await;
        }
    };
    within("the rows", waiting).await
}

#[tokio::test]
async fn a_killed_process_leaves_a_readable_ledger_that_adds_up() {
    let folder = LedgerFolder::new();
    let upstream = Upstream::start(Answer::tokens(3).script(WireId::OpenaiChat, Pace::Gate)).await;
    let (path, data) = (configured(&folder, &upstream), folder.0.join("data"));
    let mut server = serve(&path).await;
    let request = Request::chat(Dialect::Events, "m", true);
    upstream.open(4);
    assert!(
        server
            .client
            .ask(&request)
            .await
            .received()
            .await
            .is_success()
    );
    let _cut = [
        server.client.ask(&request).await,
        server.client.ask(&request).await,
    ];
    upstream.requests(3).await;
    three_rows(&data, 2).await;
    within("the process to end", server.child.kill())
        .await
        .unwrap();
    let server = serve(&path).await;
    let now = three_rows(&data, 0).await;
    let is_lost = |row: &&Value| {
        row["code"] == "lost"
            && row["status"] == "failed"
            && row["estimated"] == true
            && row["cost"] == 0.5
    };
    assert_eq!(now.iter().filter(is_lost).count(), 2, "{now:?}");
    let sum = now
        .iter()
        .fold(Money::ZERO, |sum, row| sum.plus(money(&row["cost"])));
    assert_eq!(sum.to_string(), "1.5");
    upstream.open(100);
    let mut reply = server.client.ask(&request).await;
    assert_eq!(
        (reply.status, reply.header("x-budget-warning")),
        (200, Some("global;period=month;used=100")),
        "the earlier spending is known"
    );
    assert!(reply.received().await.is_success());
    let mut refused = server.client.ask(&request).await;
    assert_eq!(
        (refused.status, &refused.json().await["error"]["limit"]),
        (429, &serde_json::json!("global"))
    );
}
