//! What it costs to admit one generation with every limit on, and to settle it: the key looked up,
//! the route planned, one decision over seven accounts, the provider's lane, and all of it given
//! back. CPU time, not the clock on the wall, so that a busy machine changes little.
//! `cargo bench --bench admission`.
#![expect(clippy::print_stdout, reason = "a benchmark says what it measured")]
#![expect(clippy::unwrap_used, reason = "a benchmark that is surprised fails")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method};
use sluicegate::auth::{Asking, Auth};
use sluicegate::config::Config;
use sluicegate::limits::{Charge, LimitTable, Need, Who};
use sluicegate::route::{HealthRegistry, Routes};

const CONFIG: &str = r#"
[auth]
mode = "required"
[keys.web]
secret = "sk-benchmark-0123456789"
team = "growth"
limits = { requests_per_minute = 4000000000, tokens_per_minute = 4000000000, concurrent_streams = 100000 }
[limits]
global = { requests_per_minute = 4000000000, tokens_per_minute = 4000000000, concurrent_streams = 100000 }
ip = { requests_per_minute = 4000000000, tokens_per_minute = 4000000000, concurrent_streams = 100000 }
user = { requests_per_minute = 100000, tokens_per_minute = 4000000000, concurrent_streams = 100000 }
teams.growth = { requests_per_minute = 4000000000, tokens_per_minute = 4000000000, concurrent_streams = 100000 }
models.smart = { requests_per_minute = 4000000000, tokens_per_minute = 4000000000, concurrent_streams = 100000 }
[providers.one]
wire = "openai-chat"
base_url = "http://127.0.0.1:1/v1"
limits = { requests_per_minute = 4000000000, tokens_per_minute = 4000000000, concurrent_streams = 100000 }
[providers.two]
wire = "openai-chat"
base_url = "http://127.0.0.1:2/v1"
[models.smart]
route = ["one/m", "two/m"]
"#;

/// Generations measured, each thread.
const ROUNDS: u32 = 300_000;
/// Different end users and addresses.
const CROWD: u32 = 100_000;

struct Bench {
    auth: Auth,
    routes: Routes,
    table: Arc<LimitTable>,
    headers: HeaderMap,
}

impl Bench {
    fn build() -> Self {
        let config = Config::parse(CONFIG, Path::new("bench.toml"), &|_| None).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(
            "authorization",
            HeaderValue::from_static("Bearer sk-benchmark-0123456789"),
        );
        let table = Arc::new(LimitTable::new(&Arc::default(), config.limits));
        Self {
            auth: Auth::new(&config.auth, None).unwrap(),
            routes: Routes::new(config.route, &HealthRegistry::default()),
            table,
            headers,
        }
    }

    /// One generation's life, as far as it is not an upstream's.
    fn pass(&self, number: u32, user: &str) {
        let asking = Asking {
            method: &Method::POST,
            headers: &self.headers,
            trusted_page: false,
        };
        // A virtual key waits for nobody.
        let caller = self.auth.identify(&asking).now_or_never().unwrap().unwrap();
        let plan = self
            .routes
            .plan("smart", |model| caller.may_use(model), || u64::from(number))
            .unwrap();
        let who = Who {
            client: IpAddr::V4(Ipv4Addr::from(number)),
            caller: &caller.id,
            key: caller.key(),
            team: caller.team(),
            user: Some(user),
            model: &"smart".into(),
            own: None,
        };
        let need = Need {
            input: 800,
            output: 1000,
        };
        let mut pass = self
            .table
            .admit(
                &who,
                plan.targets().map(|target| &target.provider.name),
                need,
            )
            .unwrap();
        pass.asked();
        let lane = pass
            .lane(&plan.targets().next().unwrap().provider.name)
            .unwrap();
        pass.keep(lane);
        pass.settle(Charge::Tokens(1234));
    }
}

/// The CPU time of this thread so far, nanoseconds.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

fn main() {
    let users: Vec<String> = (0..CROWD).map(|number| format!("user-{number}")).collect();
    for threads in [1, 2, 4] {
        let (bench, spent) = (Bench::build(), AtomicU64::new(0));
        let measure = || {
            for round in 0..2 {
                let began = cpu();
                (0..ROUNDS)
                    .zip((0..CROWD).zip(&users).cycle())
                    .for_each(|(_, (number, user))| bench.pass(number, user));
                // The first round makes the accounts that the second finds.
                if round > 0 {
                    spent.fetch_add(cpu() - began, Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(measure))));
        let each = spent.load(Ordering::Relaxed) / (u64::from(ROUNDS) * threads);
        println!(
            "{threads} threads: {:.2} µs of CPU for each generation",
            each as f64 / 1000.0
        );
        assert_eq!(bench.table.held(), sluicegate::limits::Held::default());
    }
}
