//! What the process is told while it runs: stop, stop now, read the configuration again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::App;
use crate::config::{Config, watch};
use crate::gateway::lifecycle::Phase;
use crate::server::drain::{Drained, drain};

/// Obeys signals and changes of the configuration, until the process stops.
pub(super) async fn keep(snapshot: Arc<App>, path: PathBuf) {
    let ending = tokio::spawn(end_streams(snapshot.clone()));
    tokio::join!(stop(&snapshot), reload(&snapshot, &path));
    ending.abort();
}

/// When the process stops, streams that still run are ended with their terminal events.
pub(super) async fn end_streams(snapshot: Arc<App>) {
    snapshot.lifecycle.reached(Phase::Stopped).await;
    snapshot.gateway.shut_down();
}

async fn stop(snapshot: &App) {
    let (Some(mut terminate), Some(mut interrupt)) = (
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
    ) else {
        return;
    };
    either(&mut terminate, &mut interrupt).await;
    let limit = snapshot.config.lock().server.drain;
    tracing::info!(
        live = snapshot.lifecycle.live(),
        ?limit,
        "draining: new generations are refused, running ones finish"
    );
    let drained = tokio::select! {
        drained = drain(&snapshot.lifecycle, limit) => drained,
        () = either(&mut terminate, &mut interrupt) => {
            let live = snapshot.lifecycle.live();
            snapshot.lifecycle.advance(Phase::Stopped);
            Drained::CutShort(live)
        }
    };
    match drained {
        Drained::Quiet => tracing::info!("stopped: nothing was going on any more"),
        Drained::CutShort(live) => {
            tracing::warn!(live, "stopped: what was still going on was cut short");
        }
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| tracing::error!(%error, "a signal cannot be listened for"))
        .ok()
}

/// Reads the configuration again on SIGHUP and when its file changes.
async fn reload(snapshot: &App, path: &Path) {
    let Some(mut hangup) = listen(SignalKind::hangup()) else {
        return;
    };
    let watched = watch::watch(path.to_owned()).inspect_err(
        |error| tracing::warn!(%error, "the configuration is not watched: SIGHUP reloads it"),
    );
    let (_watch, mut changes) = match watched {
        Ok((watch, changes)) => (Some(watch), changes),
        Err(_) => (None, mpsc::channel(1).1),
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            Some(()) = changes.recv() => {}
            () = snapshot.lifecycle.reached(Phase::Stopped) => return,
        }
        take_over(snapshot, path);
    }
}

fn take_over(snapshot: &App, path: &Path) {
    match Config::load(path) {
        Err(problems) => {
            tracing::error!("the new configuration is refused, the running one stays:\n{problems}");
        }
        Ok(config) => match snapshot.reload(config) {
            Err(error) => {
                tracing::error!(%error, "the new configuration is refused, the running one stays");
            }
            Ok(restart) if restart.is_empty() => tracing::info!("configuration reloaded"),
            Ok(restart) => tracing::warn!(
                keys = restart.join(", "),
                "configuration reloaded, but for what needs a restart"
            ),
        },
    }
}
