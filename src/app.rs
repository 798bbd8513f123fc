//! The keys: configuration → rooms → gateway → server; workers, signals, reload, drain.
//!
//! Each worker is a thread with a single-threaded runtime and sockets of its own: a token goes from
//! its upstream's read to its client's write without waking another thread.

mod signals;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::auth::Auth;
use crate::config::Config;
use crate::gateway::lifecycle::{Lifecycle, Phase};
use crate::gateway::{Gateway, Gauges, Snapshot};
use crate::ledger::Ledger;
use crate::limits::{LimitTable, Limits};
use crate::route::{HealthRegistry, Routes};
use crate::server::listen::{Bound, Listeners};
use crate::server::{self, Shared};
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Clients, Recorder};
use crate::{telemetry, upstream};

/// How long streams that were ended may take to close their books, once nobody is served any more.
const LAST_MOMENT: Duration = Duration::from_secs(1);
/// How long the end waits for recordings to be on the disk.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// Serves the configuration at `path` until the process is told to stop.
///
/// # Errors
/// When it cannot begin: says why. What is wrong with the configuration is printed, and gives exit
/// code 1.
pub fn serve(path: &Path) -> anyhow::Result<ExitCode> {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(problems) => {
            tell(&format_args!("{problems}"))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    telemetry::begin(&config.telemetry).map_err(anyhow::Error::msg)?;
    server::edge::panics::log_place_only();
    // Huge pages would be cleared and kept for a few small buffers: memory for each stream is what
    // counts here.
    nix::sys::prctl::set_thp_disable(true).context("huge pages cannot be switched off")?;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let runtime = runtime()?;
    let _inside = runtime.enter();
    let (snapshot, mut listeners) = App::new(config, workers)?;
    announce(&snapshot)?;
    let first = listeners.remove(0);
    let threads: Vec<_> = listeners
        .into_iter()
        .zip(1..)
        .map(|(own, number)| worker(number, own, snapshot.clone()))
        .collect();
    runtime.block_on(async {
        let keeper = tokio::spawn(signals::keep(snapshot.clone(), path.to_owned()));
        let sweeper = tokio::spawn(sweep(snapshot.gateway.clone()));
        let served = snapshot.serve(first).await;
        keeper.abort();
        sweeper.abort();
        served
    })?;
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a worker has panicked"))??;
    }
    snapshot.gateway.ledger().flush(LAST_WRITE);
    snapshot.recorder.flush(LAST_WRITE);
    Ok(ExitCode::SUCCESS)
}

/// A single-threaded runtime.
///
/// # Errors
/// When the system gives no event queue.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn worker(
    number: usize,
    listeners: Listeners,
    snapshot: Arc<App>,
) -> thread::JoinHandle<std::io::Result<()>> {
    let run = move || {
        upstream::set_worker(number);
        runtime()?.block_on(snapshot.serve(listeners))
    };
    thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(run)
        .expect("a thread for each processor can be had")
}

/// Everything that was built from a configuration.
#[derive(Debug)]
struct App {
    /// The configuration of the moment, to compare a new one with.
    config: parking_lot::Mutex<Config>,
    gateway: Arc<Gateway>,
    shared: Arc<Shared>,
    lifecycle: Arc<Lifecycle>,
    recorder: Recorder,
    /// The fills of all limits.
    limits: Arc<Limits>,
    /// What is known of upstreams.
    registry: HealthRegistry,
    workers: usize,
    addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl App {
    fn new(config: Config, workers: usize) -> anyhow::Result<(Arc<Self>, Vec<Listeners>)> {
        let bound: Bound = server::bind(&config.server, workers)?;
        let (addresses, admin) = (bound.client_addresses().to_vec(), bound.admin_address());
        let lifecycle = Lifecycle::new();
        let (recorder, limits, registry) = (
            Recorder::default(),
            Arc::default(),
            HealthRegistry::default(),
        );
        let (ledger, metrics) = (
            Ledger::open(config.data_dir.as_deref(), &config.budgets)?,
            Metrics::default(),
        );
        let gateway = Arc::new(Gateway::new(
            build(&config, workers, &recorder, &limits, &registry, None)?,
            ledger,
            lifecycle.clone(),
            metrics,
        ));
        let shared = Arc::new(Shared::new(
            &config.server,
            &config.limits.ip,
            gateway.clone(),
            lifecycle.clone(),
        ));
        let config = parking_lot::Mutex::new(config);
        Ok((
            Arc::new(Self {
                config,
                gateway,
                shared,
                lifecycle,
                recorder,
                limits,
                registry,
                workers,
                addresses,
                admin,
            }),
            bound.split(),
        ))
    }

    /// Serves these listeners until the process stops and what it ended has been told of.
    async fn serve(&self, listeners: Listeners) -> std::io::Result<()> {
        let served = server::serve(listeners, self.shared.clone()).await;
        if served.is_ok() {
            self.gateway.shut_down();
        }
        // Whoever takes longer is cut off; its journal goes with the process.
        let _late = tokio::time::timeout(LAST_MOMENT, self.lifecycle.quiet()).await;
        served
    }

    /// Takes a new configuration over, whole or not at all; running streams keep what they began
    /// with.
    fn reload(&self, config: Config) -> anyhow::Result<Vec<&'static str>> {
        let snapshot = build(
            &config,
            self.workers,
            &self.recorder,
            &self.limits,
            &self.registry,
            Some(&self.gateway.snapshot()),
        )?;
        let restart = self.config.lock().needs_restart(&config);
        self.gateway.replace(snapshot);
        self.shared.reload(&config.server, &config.limits.ip);
        *self.config.lock() = config;
        Ok(restart)
    }
}

/// The gateway of a configuration, without sockets: for who brings it requests by hand. Must be
/// called within a runtime.
///
/// # Errors
/// When it cannot begin: says why.
pub fn gateway(config: &Config) -> anyhow::Result<Gateway> {
    let ledger = Ledger::open(config.data_dir.as_deref(), &config.budgets)?;
    let snapshot = build(
        config,
        1,
        &Recorder::default(),
        &Arc::default(),
        &HealthRegistry::default(),
        None,
    )?;
    Ok(Gateway::new(
        snapshot,
        ledger,
        Lifecycle::new(),
        Metrics::default(),
    ))
}

/// The rooms behind the edge, from a configuration. What is kept of those `before`: keys of
/// issuers, and tickets.
fn build(
    config: &Config,
    workers: usize,
    recorder: &Recorder,
    limits: &Arc<Limits>,
    registry: &HealthRegistry,
    before: Option<&Snapshot>,
) -> anyhow::Result<Snapshot> {
    let providers = || config.route.providers.values();
    let clients = Arc::new(Clients::new(providers(), workers)?);
    recorder.open(providers())?;
    let auth = Auth::new(&config.auth, before.map(|snapshot| &snapshot.auth))
        .map_err(anyhow::Error::msg)?;
    auth.warm();
    // Last: what is known of upstreams is that of the house that is lived in.
    let routes = Routes::new(config.route.clone(), registry);
    Ok(Snapshot {
        settings: config.gateway.clone(),
        hub: config.hub,
        auth,
        limits: Arc::new(LimitTable::new(limits, config.limits.clone())),
        budgets: config.budgets.clone(),
        routes,
        clients,
        recorder: recorder.clone(),
    })
}

/// Forgets what is due, and ends running streams when the process stops.
async fn sweep(gateway: Arc<Gateway>) {
    gateway.hub().sweep().await;
}

fn announce(snapshot: &App) -> std::io::Result<()> {
    let (scheme, what) = {
        let config = snapshot.config.lock();
        let what = if config.gateway.playground {
            "the playground, and the API under /v1"
        } else {
            "the API under /v1"
        };
        (
            if config.server.tls.is_some() {
                "https"
            } else {
                "http"
            },
            what,
        )
    };
    for address in &snapshot.addresses {
        tracing::info!("serving on {scheme}://{address}/ ({what})");
    }
    snapshot
        .config
        .lock()
        .warnings()
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));
    if let Some(admin) = snapshot.admin {
        tracing::info!("health on http://{admin}/healthz, metrics on http://{admin}/metrics");
    }
    Ok(())
}

fn tell(what: &dyn std::fmt::Display) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "{what}")
}

/// A server on the current runtime, for embedding and for tests. Dropping it stops everything.
#[derive(Debug)]
pub struct Running {
    snapshot: Arc<App>,
    tasks: Vec<JoinHandle<()>>,
}

/// Serves a configuration on the current runtime.
///
/// # Errors
/// When it cannot begin: says why.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    let (snapshot, listeners) = App::new(config, 1)?;
    let serving = listeners.into_iter().map(|own| {
        let snapshot = snapshot.clone();
        tokio::spawn(async move {
            if let Err(error) = snapshot.serve(own).await {
                tracing::error!(%error, "a listener cannot be served");
            }
        })
    });
    let mut tasks: Vec<_> = serving.collect();
    tasks.push(tokio::spawn(sweep(snapshot.gateway.clone())));
    tasks.push(tokio::spawn(signals::end_streams(snapshot.clone())));
    Ok(Running { snapshot, tasks })
}

impl Running {
    /// The address of the first client listener.
    ///
    /// # Panics
    /// When there is none on TCP.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        *self
            .snapshot
            .addresses
            .first()
            .expect("there is a listener on TCP")
    }

    /// The address of the operator's listener.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.snapshot.admin
    }

    /// What was spent.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        self.snapshot.gateway.ledger()
    }

    /// What is going on.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.snapshot.gateway.gauges()
    }

    /// Takes a new configuration over; names what a restart would be needed for.
    ///
    /// # Errors
    /// When it cannot be used; the one before stays.
    pub fn reload(&self, config: Config) -> anyhow::Result<Vec<&'static str>> {
        self.snapshot.reload(config)
    }

    /// Drains, as SIGTERM does, and returns when it is over.
    pub async fn drain(mut self) {
        let limit = self.snapshot.config.lock().server.drain;
        server::drain::drain(&self.snapshot.lifecycle, limit).await;
        if let Some(serving) = self.tasks.first_mut() {
            // Over when the last connection is gone; a panic in it has been logged.
            let _over = serving.await;
        }
        self.snapshot.gateway.ledger().flush(LAST_WRITE);
        self.snapshot.recorder.flush(LAST_WRITE);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.snapshot.lifecycle.advance(Phase::Stopped);
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
