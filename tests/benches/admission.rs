//! Measures the cost of admitting one generation with every limit on, and of settling it: key
//! lookup, route plan, one decision over seven accounts, the provider's pass, and the return of it
//! all. It measures CPU time, not wall-clock time, so a busy machine changes little. `cargo bench
//! --bench admission`.
#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method};
use sluicegate::auth::{Auth, AuthRequest};
use sluicegate::config::Config;
use sluicegate::limits::{LimitTable, Need, Subject};
use sluicegate::model::outcome::Charge;
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

/// Generations measured per thread.
const ROUNDS: u32 = 300_000;
/// Number of different end users and addresses.
const USERS: u32 = 100_000;

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

    /// The life of one generation, except for the upstream's part.
    fn pass(&self, number: u32, user: &str) {
        let request = AuthRequest {
            method: &Method::POST,
            headers: &self.headers,
            trusted_page: false,
        };
        // Identifying a virtual key never waits.
        let caller = self
            .auth
            .identify(&request)
            .now_or_never()
            .unwrap()
            .unwrap();
        let plan = self
            .routes
            .plan("smart", |model| caller.may_use(model), || u64::from(number))
            .unwrap();
        let subject = Subject {
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
                &subject,
                plan.targets().map(|target| &target.provider.name),
                need,
            )
            .unwrap();
        pass.mark_asked();
        let lane = pass
            .provider_pass(&plan.targets().next().unwrap().provider.name)
            .unwrap();
        pass.keep(lane);
        pass.settle(Charge::Tokens(1234));
    }
}

/// Returns the CPU time of this thread so far, nanoseconds.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

fn main() {
    let users: Vec<String> = (0..USERS).map(|number| format!("user-{number}")).collect();
    for threads in [1, 2, 4] {
        let (bench, spent) = (Bench::build(), AtomicU64::new(0));
        let measure = || {
            for round in 0..2 {
                let began = cpu();
                (0..ROUNDS)
                    .zip((0..USERS).zip(&users).cycle())
                    .for_each(|(_, (number, user))| bench.pass(number, user));
                // The first round creates the accounts that the second one finds.
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
        assert_eq!(
            bench.table.held(),
            sluicegate::limits::HeldTotals::default()
        );
    }
}
