//! What the process is told while it runs: stop, stop now, read the configuration again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::Building;
use crate::config::{Config, watch};
use crate::gateway::lifecycle::Phase;
use crate::server::drain::{Drained, drain};

/// Obeys signals and changes of the configuration, until the process stops.
pub(super) async fn keep(house: Arc<Building>, path: PathBuf) {
    let ending = tokio::spawn(end_streams(house.clone()));
    tokio::join!(stop(&house), reload(&house, &path));
    ending.abort();
}

/// When the process stops, streams that still run are ended with their terminal events.
pub(super) async fn end_streams(house: Arc<Building>) {
    house.lifecycle.reached(Phase::Stopped).await;
    house.gateway.shut_down();
}

async fn stop(house: &Building) {
    let (Some(mut terminate), Some(mut interrupt)) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt())) else { return };
    either(&mut terminate, &mut interrupt).await;
    let limit = house.config.lock().server.drain;
    tracing::info!(live = house.lifecycle.live(), ?limit, "draining: new generations are refused, running ones finish");
    let drained = tokio::select! {
        drained = drain(&house.lifecycle, limit) => drained,
        () = either(&mut terminate, &mut interrupt) => {
            let live = house.lifecycle.live();
            house.lifecycle.advance(Phase::Stopped);
            Drained::CutShort(live)
        }
    };
    match drained {
        Drained::Quiet => tracing::info!("stopped: nothing was going on any more"),
        Drained::CutShort(live) => tracing::warn!(live, "stopped: what was still going on was cut short"),
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

fn listen(kind: SignalKind) -> Option<Signal> {
    signal(kind).inspect_err(|error| tracing::error!(%error, "a signal cannot be listened for")).ok()
}

/// Reads the configuration again on SIGHUP and when its file changes.
async fn reload(house: &Building, path: &Path) {
    let Some(mut hangup) = listen(SignalKind::hangup()) else { return };
    let watched =
        watch::watch(path.to_owned()).inspect_err(|error| tracing::warn!(%error, "the configuration is not watched: SIGHUP reloads it"));
    let (_watch, mut changes) = match watched {
        Ok((watch, changes)) => (Some(watch), changes),
        Err(_) => (None, mpsc::channel(1).1),
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            Some(()) = changes.recv() => {}
            () = house.lifecycle.reached(Phase::Stopped) => return,
        }
        take_over(house, path);
    }
}

fn take_over(house: &Building, path: &Path) {
    match Config::load(path) {
        Err(problems) => tracing::error!("the new configuration is refused, the running one stays:\n{problems}"),
        Ok(config) => match house.reload(config) {
            Err(error) => tracing::error!(%error, "the new configuration is refused, the running one stays"),
            Ok(restart) if restart.is_empty() => tracing::info!("configuration reloaded"),
            Ok(restart) => tracing::warn!(keys = restart.join(", "), "configuration reloaded, but for what needs a restart"),
        },
    }
}
