//! The settings that valid files give to the other modules.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::super::Config;
use super::super::scratch::Scratch;
use super::{ALL_KEYS, MINIMAL, env, parsed};
use crate::auth::jwt::{Algorithm, Source};
use crate::hub::OnDisconnect;
use crate::limits;
use crate::model::limit::Limit;
use crate::model::target::{Auth, Clocks, Credential, OnCancel, Record, Via};
use crate::model::wire::WireId;
use crate::server::{Listen, Origins};

#[test]
fn an_empty_file_has_the_defaults_of_the_contract() {
    let config = parsed(MINIMAL);
    let server = &config.server;
    assert_eq!(
        server.listen,
        [Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 8484)))]
    );
    assert_eq!(
        server.admin_listen,
        Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 8485)))
    );
    assert!(
        server.admin_token.is_none()
            && server.tls.is_none()
            && server.hosts.is_empty()
            && server.trusted_proxies.is_empty()
    );
    assert_eq!(server.allowed_origins, Origins::Exact(Vec::new()));
    assert_eq!(
        (server.max_connections, server.drain),
        (10_000, Duration::from_secs(30))
    );
    let gateway = config.gateway;
    assert_eq!(
        (gateway.max_body, gateway.playground, gateway.ui_model),
        (20 * 1024 * 1024, true, None)
    );
    assert_eq!(
        (gateway.commit_after, gateway.heartbeat),
        (Duration::from_secs(10), Duration::from_secs(15))
    );
    let hub = config.hub;
    assert_eq!(
        (hub.retention, hub.readers, hub.on_disconnect),
        (Duration::from_secs(300), 64, None)
    );
    assert_eq!(
        (hub.memory, hub.max_stream),
        (512 * 1024 * 1024, 16 * 1024 * 1024)
    );
    assert!(!config.auth.required && config.auth.keys.is_empty() && config.limits.keys.is_empty());
    assert_eq!(config.limits, limits::Settings::default());
    assert_eq!(
        (config.telemetry.log.as_str(), config.telemetry.json),
        ("info", false)
    );
    let provider = &config.route.providers["up"];
    assert!(
        !provider.http2
            && !provider.direct
            && matches!(provider.credential, Credential::None)
            && provider.headers.is_empty()
            && provider.proxy.is_none()
    );
    assert_eq!(
        (provider.max_output, provider.on_cancel, &provider.record),
        (8192, OnCancel::Abort, &None)
    );
    let minute = Duration::from_secs(60);
    let clocks = Clocks {
        connect: Duration::from_secs(5),
        headers: 5 * minute,
        first_token: 5 * minute,
        idle: 2 * minute,
        total: 60 * minute,
    };
    assert_eq!(provider.clocks, clocks);
    assert_eq!(
        (
            config.route.models["m"].retries,
            config.route.models["m"].tiers[0][0].weight
        ),
        (1, 1)
    );
}

#[test]
fn every_supported_key_becomes_a_setting() {
    let config = parsed(ALL_KEYS);
    let server = &config.server;
    assert_eq!(
        server.listen[1..],
        [
            Listen::Unix("/run/s.sock".into()),
            Listen::Unix("s.sock".into())
        ]
    );
    assert_eq!(
        server.admin_token.as_ref().unwrap().expose_secret(),
        "sk-web"
    );
    assert_eq!(server.hosts, ["chat.example", "[::1]"]);
    let origins = [
        "https://chat.example",
        "http://a.example:81",
        "tauri://localhost",
    ]
    .map(str::to_owned);
    assert_eq!(server.allowed_origins, Origins::Exact(origins.into()));
    assert_eq!(
        server.trusted_proxies,
        ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]
    );
    assert_eq!(
        (server.max_connections, server.drain),
        (9999, Duration::from_secs(60))
    );
    assert_eq!(
        (config.gateway.max_body, config.gateway.playground),
        (1 << 20, false)
    );
    assert_eq!(config.gateway.ui_model.as_deref(), Some("smart"));
    assert_eq!(
        (config.gateway.commit_after, config.gateway.heartbeat),
        (Duration::ZERO, Duration::from_millis(500))
    );
    assert_eq!(
        (config.hub.retention, config.hub.readers),
        (Duration::ZERO, 2)
    );
    assert_eq!(
        (config.hub.memory, config.hub.max_stream),
        (1 << 30, 1 << 20)
    );
    assert_eq!(
        config.hub.on_disconnect,
        Some(OnDisconnect::Grace(Duration::from_secs(15)))
    );
    assert_eq!(
        (config.telemetry.log.as_str(), config.telemetry.json),
        ("info,sluicegate=debug", true)
    );
    let limit = |n| std::num::NonZeroU32::new(n);
    assert_eq!(
        config.limits.global,
        Limit {
            concurrent_streams: limit(5),
            ..Limit::default()
        }
    );
    assert_eq!(
        config.limits.ip,
        Limit {
            requests_per_minute: limit(120),
            burst: limit(3),
            ..Limit::default()
        }
    );
    let web = Limit {
        requests_per_minute: limit(600),
        tokens_per_minute: limit(200_000),
        concurrent_streams: limit(50),
        burst: limit(10),
    };
    assert_eq!(config.limits.keys["web"], web);
}

#[test]
fn token_settings_are_read() {
    let config = parsed(ALL_KEYS);
    assert!(config.auth.ticket_secret.is_some());
    let jwt = config.auth.jwt.as_ref().unwrap();
    assert!(
        matches!(&jwt.source, Source::Jwks { url, ca_file: None } if url == "https://id.example/keys")
    );
    assert_eq!(
        (jwt.issuer.len(), &jwt.audience[..], &jwt.algorithms[..]),
        (2, &["sluicegate".to_owned()][..], &[Algorithm::Es256][..])
    );
    assert_eq!(
        (
            jwt.leeway,
            jwt.cookie.as_deref(),
            jwt.default_key.as_deref()
        ),
        (Duration::ZERO, Some("__Host-session"), Some("web"))
    );
    assert_eq!(
        (&*jwt.claims.user, &*jwt.claims.models, &*jwt.claims.key),
        ("email", "https://example.com/models", "key")
    );
}

#[test]
fn only_the_digest_of_a_key_is_kept() {
    let config = parsed(ALL_KEYS);
    assert!(config.auth.required);
    let [other, web] = config.auth.keys.as_slice() else {
        panic!("two keys are configured")
    };
    assert_eq!((other.name.as_ref(), web.name.as_ref()), ("other", "web"));
    // The SHA-256 of "hello" is a well-known one.
    assert_eq!(
        (other.sha256[0], other.sha256[31], other.models.as_slice()),
        (0x2c, 0x24, ["*".to_owned()].as_slice())
    );
    assert_eq!(web.models, ["gpt-*"]);
    assert!(web.disabled && !other.disabled && other.expires.is_none());
    let hello = parsed(&format!("[keys.a]\nsecret = 'hello'\n{MINIMAL}"));
    assert_eq!(hello.auth.keys[0].sha256, other.sha256);
}

#[test]
fn providers_get_the_settings_of_their_preset() {
    let config = parsed(ALL_KEYS);
    let way = |name: &str| match &config.route.providers[name].via {
        Via::Http { wire, base_url, .. } => (*wire, base_url.clone()),
        Via::Replay(_) => panic!("{name} is no replay"),
    };
    assert_eq!(
        way("openai"),
        (WireId::OpenaiChat, "https://api.openai.com/v1".to_owned())
    );
    assert_eq!(
        way("mine"),
        (WireId::Gemini, "http://127.0.0.1:1/v1beta".to_owned())
    );
    assert_eq!(
        way("anthropic"),
        (WireId::OpenaiChat, "http://127.0.0.1:2/v1".to_owned())
    );
    assert!(
        config.route.providers["mine"].quirks.bills_whole
            && config.route.providers["anthropic"].quirks.max_tokens
    );
    let openai = &config.route.providers["openai"];
    let Credential::Key { key, auth } = &openai.credential else {
        panic!("no key")
    };
    assert_eq!(
        (key.expose_secret(), *auth),
        ("sk-from-the-environment", Auth::Bearer)
    );
    assert!(openai.http2 && openai.direct && openai.max_output == 100 && !openai.quirks.max_tokens);
    assert_eq!(
        openai.proxy.as_ref().unwrap().expose_secret(),
        "http://127.0.0.1:3128"
    );
    assert_eq!(
        (
            openai.headers[0].0.as_str(),
            openai.headers[0].1.to_str().unwrap()
        ),
        ("x-team", "a")
    );
    assert_eq!(openai.clocks.total, Duration::from_secs(5));
    assert_eq!(
        (openai.on_cancel, openai.record.clone()),
        (
            OnCancel::Finish,
            Some(Record {
                dir: "recordings".into(),
                max: 2 << 30
            })
        )
    );
    let bound = parsed(&ALL_KEYS.replace("record_max = \"2GiB\"\n", ""));
    assert_eq!(
        bound.route.providers["openai"]
            .record
            .as_ref()
            .map(|record| record.max),
        Some(1 << 30)
    );
    let smart = &config.route.models["smart"];
    let tiers: Vec<Vec<_>> = smart
        .tiers
        .iter()
        .map(|tier| {
            tier.iter()
                .map(|w| (w.target.to_string(), w.weight))
                .collect()
        })
        .collect();
    assert_eq!(
        tiers,
        [
            vec![("openai/a/b".into(), 1)],
            vec![("mine/c".to_owned(), 3), ("anthropic/d".into(), 1)]
        ]
    );
    assert_eq!(
        (smart.retries, smart.tiers[0][0].target.model.as_ref()),
        (0, "a/b")
    );
}

#[test]
fn the_shipped_file_is_valid_without_an_environment() {
    let shipped = include_str!("../../../config.toml");
    let scratch = Scratch::new();
    scratch.write("demo/tour.rec", "");
    scratch.write("demo/tools.rec", "");
    let config = Config::parse(shipped, &scratch.path().join("config.toml"), &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(
        config
            .route
            .models
            .keys()
            .map(AsRef::as_ref)
            .collect::<Vec<&str>>(),
        ["demo", "demo-tools"]
    );
    assert!(
        matches!(&config.route.providers["demo"].via, Via::Replay(replay) if replay.dir == scratch.path().join("demo"))
    );
}

/// The examples of the shipped file are valid as well, once their comment signs are removed.
#[test]
fn the_examples_of_the_shipped_file_are_valid() {
    let shipped = include_str!("../../../config.toml");
    let lines = shipped
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    assert_ne!(text.trim_end(), shipped.trim_end(), "there are examples");
    let scratch = Scratch::new();
    for recording in ["demo/tour.rec", "demo/tools.rec"] {
        scratch.write(recording, "");
    }
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    scratch.write("cert.pem", &signed.cert.pem());
    scratch.write("key.pem", &signed.signing_key.serialize_pem());
    scratch.write("service-account.json", "{}");
    let env = |name: &str| Some(format!("sk-{name}"));
    Config::parse(&text, &scratch.path().join("config.toml"), &env)
        .unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn certificates_are_checked_when_the_file_is_read() {
    let scratch = Scratch::new();
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    scratch.write("cert.pem", &signed.cert.pem());
    scratch.write("key.pem", &signed.signing_key.serialize_pem());
    let parse = |cert: &str, key: &str| {
        let text = format!("server.tls = {{ cert = '{cert}', key = '{key}' }}\n{MINIMAL}");
        Config::parse(&text, &scratch.path().join("config.toml"), &env)
    };
    let tls = parse("cert.pem", "key.pem").unwrap().server.tls.unwrap();
    assert_eq!(
        (tls.cert, tls.key),
        (
            scratch.path().join("cert.pem"),
            scratch.path().join("key.pem")
        )
    );
    let swapped = parse("key.pem", "cert.pem").unwrap_err();
    assert_eq!(swapped.list().len(), 2, "{swapped}");
    assert!(
        swapped
            .to_string()
            .contains("no PEM block of the expected kind"),
        "{swapped}"
    );
}

#[test]
fn replay_targets_must_be_recordings_in_the_folder() {
    let scratch = Scratch::new();
    for name in ["demo/chat.rec", "secret.rec", "demo/.hidden"] {
        scratch.write(name, "");
    }
    let parse = |target: &str| {
        let text = format!(
            "[providers.demo]\nwire = 'replay'\ndir = 'demo'\npace = '20ms'\n[models.a]\nroute = ['demo/{target}']"
        );
        Config::parse(&text, &scratch.path().join("config.toml"), &env)
    };
    let config = parse("chat.rec").unwrap();
    assert!(
        matches!(&config.route.providers["demo"].via, Via::Replay(replay) if replay.pace == Some(Duration::from_millis(20)))
    );
    for target in ["none.rec", "../secret.rec", ".hidden", "..", "./chat.rec"] {
        assert!(
            parse(target).is_err_and(|problems| problems
                .to_string()
                .contains("the recording does not exist:")),
            "{target}"
        );
    }
}

#[test]
fn a_reload_names_the_keys_that_need_a_restart() {
    let [old, same] = [parsed(ALL_KEYS), parsed(ALL_KEYS)];
    assert!(old.needs_restart(&same).is_empty());
    let text = ALL_KEYS
        .replace("127.0.0.1:1\"", "127.0.0.1:3\"")
        .replace("gpt-*", "claude-*")
        .replace("\"json\"", "\"text\"");
    assert_eq!(
        old.needs_restart(&parsed(&text)),
        ["server.listen", "telemetry.format"]
    );
}
