//! Builds the process from its configuration and runs it: rooms, gateway, server, workers, signals,
//! reload and drain.
//!
//! Each worker is a thread with a single-threaded runtime and its own sockets, so a token goes from
//! the upstream read to the client write without waking another thread.

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
use crate::gateway::{CurrentLoad, Gateway, Snapshot};
use crate::ledger::Ledger;
use crate::limits::{LimitTable, Limits};
use crate::route::{HealthRegistry, Routes};
use crate::server::listen::{Bound, Listeners};
use crate::server::{self, Shared};
use crate::telemetry::metrics::Metrics;
use crate::upstream::{Clients, Recorder};
use crate::{telemetry, upstream};

/// Time for ended streams to settle their limits, budgets and metrics once no connection is left.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum wait at the end of the process for the ledger and recordings to reach the disk.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the configuration at `path` until a signal stops the process. Prints the problems of an
/// invalid configuration and returns exit code 1.
///
/// # Errors
/// Returns an error that says why the server cannot start.
pub fn serve(path: &Path) -> anyhow::Result<ExitCode> {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(problems) => {
            print_error(&format_args!("{problems}"))?;
            return Ok(ExitCode::FAILURE);
        }
    };
    telemetry::init(&config.telemetry).map_err(anyhow::Error::msg)?;
    server::edge::panics::log_location_only();
    // Turn transparent huge pages off: they would commit a whole page for a few small buffers, and
    // memory per stream is what counts here.
    nix::sys::prctl::set_thp_disable(true).context("cannot turn transparent huge pages off")?;
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let runtime = runtime()?;
    // Binding sockets and building clients need a runtime context.
    let _inside = runtime.enter();
    let (app, mut listeners) = App::new(config, workers)?;
    announce(&app)?;
    // The first set of listeners, which includes the admin listener, runs on this thread.
    let first = listeners.remove(0);
    let threads: Vec<_> = listeners
        .into_iter()
        .zip(1..)
        .map(|(own, number)| worker(number, own, app.clone()))
        .collect();
    runtime.block_on(async {
        let signal_task = tokio::spawn(signals::handle(app.clone(), path.to_owned()));
        let sweep_task = tokio::spawn(sweep(app.gateway.clone()));
        let served = app.serve(first).await;
        // Both tasks loop until the process ends; this runtime has nothing left to serve.
        signal_task.abort();
        sweep_task.abort();
        served
    })?;
    for thread in threads {
        thread
            .join()
            .map_err(|_| anyhow::anyhow!("a worker thread panicked"))??;
    }
    // Flush only after every worker has ended: streams settle until then.
    app.gateway.ledger().flush(FLUSH_TIMEOUT);
    app.recorder.flush(FLUSH_TIMEOUT);
    Ok(ExitCode::SUCCESS)
}

/// Creates a single-threaded runtime with I/O and timers.
///
/// # Errors
/// Returns an error when the operating system provides no event queue.
pub fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn worker(
    number: usize,
    listeners: Listeners,
    app: Arc<App>,
) -> thread::JoinHandle<std::io::Result<()>> {
    let run = move || {
        // Upstream connections are pooled per worker; this thread uses its own pool.
        upstream::set_worker(number);
        runtime()?.block_on(app.serve(listeners))
    };
    thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(run)
        .expect("the operating system can start one thread per processor")
}

/// The running process: everything built from a configuration.
#[derive(Debug)]
struct App {
    /// The current configuration; a reload compares the new one with it.
    config: parking_lot::Mutex<Config>,
    gateway: Arc<Gateway>,
    shared: Arc<Shared>,
    lifecycle: Arc<Lifecycle>,
    recorder: Recorder,
    /// Current fill of every limit; a reload keeps it.
    limits: Arc<Limits>,
    /// Health of every target; a reload keeps it.
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
            build_snapshot(&config, workers, &recorder, &limits, &registry, None)?,
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

    /// Serves these listeners until the process stops and the ended streams are settled.
    async fn serve(&self, listeners: Listeners) -> std::io::Result<()> {
        let served = server::serve(listeners, self.shared.clone()).await;
        if served.is_ok() {
            self.gateway.shut_down();
        }
        // A stream that takes longer is cut off. Its journal is in memory and ends with the
        // process.
        let _timed_out = tokio::time::timeout(SETTLE_TIMEOUT, self.lifecycle.idle()).await;
        served
    }

    /// Replaces the configuration completely or not at all and returns the keys that need a
    /// restart. Running streams keep the configuration they started with.
    fn reload(&self, config: Config) -> anyhow::Result<Vec<&'static str>> {
        let snapshot = build_snapshot(
            &config,
            self.workers,
            &self.recorder,
            &self.limits,
            &self.registry,
            Some(&self.gateway.snapshot()),
        )?;
        // The build above is the only fallible step. Nothing has been replaced before this line.
        let restart = self.config.lock().needs_restart(&config);
        self.gateway.replace(snapshot);
        self.shared.reload(&config.server, &config.limits.ip);
        *self.config.lock() = config;
        Ok(restart)
    }
}

/// Builds a gateway without sockets, for callers that hand it requests directly. Must be called
/// within a runtime.
///
/// # Errors
/// Returns an error that says why the gateway cannot be built.
pub fn gateway(config: &Config) -> anyhow::Result<Gateway> {
    let ledger = Ledger::open(config.data_dir.as_deref(), &config.budgets)?;
    let app = build_snapshot(
        config,
        1,
        &Recorder::default(),
        &Arc::default(),
        &HealthRegistry::default(),
        None,
    )?;
    Ok(Gateway::new(
        app,
        ledger,
        Lifecycle::new(),
        Metrics::default(),
    ))
}

/// Builds the snapshot that requests use. `before` is the snapshot it replaces: the keys of JWT
/// issuers and tickets are carried over.
fn build_snapshot(
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
    auth.prefetch_keys();
    // Last, because `Routes::new` changes the shared health registry: a build that fails before
    // this line leaves the running snapshot as it was.
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

/// Removes expired streams and ends running streams when the process stops.
async fn sweep(gateway: Arc<Gateway>) {
    gateway.hub().sweep().await;
}

fn announce(app: &App) -> std::io::Result<()> {
    let (scheme, what) = {
        let config = app.config.lock();
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
    for address in &app.addresses {
        tracing::info!("serving on {scheme}://{address}/ ({what})");
    }
    app.config
        .lock()
        .warnings()
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));
    if let Some(admin) = app.admin {
        tracing::info!("health on http://{admin}/healthz, metrics on http://{admin}/metrics");
    }
    Ok(())
}

fn print_error(what: &dyn std::fmt::Display) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "{what}")
}

/// A server on the current runtime, for embedding and for tests. Dropping it stops the server at
/// once.
#[derive(Debug)]
pub struct Running {
    app: Arc<App>,
    tasks: Vec<JoinHandle<()>>,
}

/// Serves a configuration on the current runtime.
///
/// # Errors
/// Returns an error that says why the server cannot start.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    let (app, listeners) = App::new(config, 1)?;
    let serving = listeners.into_iter().map(|own| {
        let app = app.clone();
        tokio::spawn(async move {
            if let Err(error) = app.serve(own).await {
                tracing::error!(%error, "the listeners of a worker cannot be served");
            }
        })
    });
    let mut tasks: Vec<_> = serving.collect();
    tasks.push(tokio::spawn(sweep(app.gateway.clone())));
    tasks.push(tokio::spawn(signals::end_streams(app.clone())));
    Ok(Running { app, tasks })
}

impl Running {
    /// Returns the address of the first client listener.
    ///
    /// # Panics
    /// Panics when no client listener uses TCP.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        *self
            .app
            .addresses
            .first()
            .expect("a client listener uses TCP")
    }

    /// Returns the TCP address of the admin listener; `None` for a Unix socket.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.app.admin
    }

    /// Returns the ledger.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        self.app.gateway.ledger()
    }

    /// Returns the current load.
    #[must_use]
    pub fn current_load(&self) -> CurrentLoad {
        self.app.gateway.current_load()
    }

    /// Replaces the configuration and returns the keys that need a restart.
    ///
    /// # Errors
    /// Returns an error when the new configuration cannot be used. The current one then stays in
    /// effect.
    pub fn reload(&self, config: Config) -> anyhow::Result<Vec<&'static str>> {
        self.app.reload(config)
    }

    /// Drains as SIGTERM does, and returns when the last connection is closed.
    pub async fn drain(mut self) {
        let limit = self.app.config.lock().server.drain;
        // The first task serves the listeners; awaiting it waits for the last connection.
        server::drain::drain(&self.app.lifecycle, limit).await;
        if let Some(serving) = self.tasks.first_mut() {
            // The task ends when its last connection is closed. A panic in it has already been
            // logged.
            let _ended = serving.await;
        }
        self.app.gateway.ledger().flush(FLUSH_TIMEOUT);
        self.app.recorder.flush(FLUSH_TIMEOUT);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.app.lifecycle.advance(Phase::Stopped);
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
