//! Handles signals: SIGTERM and SIGINT drain and stop, SIGHUP reloads the configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::App;
use crate::config::{Config, watch};
use crate::gateway::lifecycle::Phase;
use crate::server::drain::{Drained, drain};

/// Handles signals and changes of the configuration file until the process stops.
pub(super) async fn handle(app: Arc<App>, path: PathBuf) {
    let ending = tokio::spawn(end_streams(app.clone()));
    tokio::join!(drain_on_signal(&app), reload_on_change(&app, &path));
    ending.abort();
}

/// Ends the streams that still run, with their terminal events, when the process stops.
pub(super) async fn end_streams(app: Arc<App>) {
    app.lifecycle.reached(Phase::Stopped).await;
    app.gateway.shut_down();
}

async fn drain_on_signal(app: &App) {
    let (Some(mut terminate), Some(mut interrupt)) = (
        install(SignalKind::terminate()),
        install(SignalKind::interrupt()),
    ) else {
        return;
    };
    first_of(&mut terminate, &mut interrupt).await;
    let limit = app.config.lock().server.drain;
    tracing::info!(
        live = app.lifecycle.live(),
        ?limit,
        "draining: new generations are rejected, running ones finish; a second signal stops at once"
    );
    let drained = tokio::select! {
        drained = drain(&app.lifecycle, limit) => drained,
        // A second signal ends the drain at once.
        () = first_of(&mut terminate, &mut interrupt) => {
            let live = app.lifecycle.live();
            app.lifecycle.advance(Phase::Stopped);
            Drained::CutShort(live)
        }
    };
    match drained {
        Drained::Idle => tracing::info!("stopped: all work had finished"),
        Drained::CutShort(live) => {
            tracing::warn!(
                live,
                "stopped: streams and requests still running were cut short"
            );
        }
    }
}

async fn first_of(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn install(kind: SignalKind) -> Option<Signal> {
    signal(kind)
        .inspect_err(|error| tracing::error!(%error, "cannot install a signal handler"))
        .ok()
}

/// Reloads the configuration on SIGHUP and when its file changes.
async fn reload_on_change(app: &App, path: &Path) {
    let Some(mut hangup) = install(SignalKind::hangup()) else {
        return;
    };
    let watched = watch::watch(path.to_owned()).inspect_err(
        |error| tracing::warn!(%error, "cannot watch the configuration file: use SIGHUP to reload"),
    );
    let (_watch, mut changes) = match watched {
        Ok((watch, changes)) => (Some(watch), changes),
        // The sender is gone, so `recv` returns `None` and `select!` disables that branch: SIGHUP
        // still reloads.
        Err(_) => (None, mpsc::channel(1).1),
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            Some(()) = changes.recv() => {}
            () = app.lifecycle.reached(Phase::Stopped) => return,
        }
        reload_now(app, path);
    }
}

fn reload_now(app: &App, path: &Path) {
    match Config::load(path) {
        Err(problems) => {
            tracing::error!(
                "the new configuration is invalid, the running one stays in effect:\n{problems}"
            );
        }
        Ok(config) => match app.reload(config) {
            Err(error) => {
                tracing::error!(
                    %error,
                    "the new configuration cannot be used, the running one stays in effect"
                );
            }
            Ok(restart) if restart.is_empty() => tracing::info!("configuration reloaded"),
            Ok(restart) => tracing::warn!(
                keys = restart.join(", "),
                "configuration reloaded; restart to apply these keys too"
            ),
        },
    }
}
