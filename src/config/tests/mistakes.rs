//! The exact problem reports of wrong files.

use std::fmt::Write as _;

use super::super::scratch::Scratch;
use super::super::{Config, MAX_FILE};
use super::{ALL_KEYS, MINIMAL, parse, parsed, problems_of};

/// Renders each case with its problem report.
fn reports(cases: &[&str]) -> String {
    let mut report = String::new();
    for case in cases {
        writeln!(
            report,
            "<<<\n{}\n>>>\n{}",
            case.trim(),
            problems_of(&format!("{}{MINIMAL}", case.trim()))
        )
        .unwrap();
    }
    report
}

#[test]
fn mistakes_in_the_server_section() {
    let report = reports(&[
        "[server]\nlisten = 'localhost:8080'",
        "[server]\nlisten = [8080]",
        "[server]\nlisten = []",
        "[server]\nlisten = 'unix:'",
        "[server]\nlisten = '127.0.0.1:80'\nadmin_listen = '127.0.0.1:80'",
        "[server]\nlisten = ['127.0.0.1:80', '127.0.0.1:80']",
        "[server]\nlisten = '0.0.0.0:80'",
        "[server]\nadmin_listen = '[::]:80'",
        "[server]\nadmin_listen = '0.0.0.0:80'\nadmin_token = '${EMPTY}'",
        "[server]\nlistn = '127.0.0.1:80'",
        "[server]\nheartbeat = '5s'",
        "[server]\nplayground = 'yes'",
        "[server]\nhosts = ['http://chat.example', 'Chat.Example']",
        "[server]\nallowed_origins = ['https://chat.example/', 'null', 'https://a.example']",
        "[server]\nallowed_origins = 'https://chat.example'",
        "[server]\ntrusted_proxies = ['10.0.0.0/8', '10.0.0.0/33']",
        "[server]\nmax_body = '20MB'",
        "[server]\nmax_body = 0",
        "[server]\nmax_body = 9223372036854775808",
        "[server]\nmax_connections = -1",
        "[server]\nmax_connections = '${BIG}'",
        "[server]\ndrain = 30",
        "[server]\ndrain = '1000d'",
        "[server]\ntls = { cert = 'nowhere.pem' }",
        "server = 1",
        "[srever]\nlisten = '127.0.0.1:80'",
    ]);
    insta::assert_snapshot!(report);
}

#[test]
fn mistakes_in_access_and_limits() {
    let report = reports(&[
        "[auth]\nmode = 'require'",
        "[auth]\nmode = 'required'",
        "[auth]\nmode = 'required'\n[keys]",
        "[auth]\nmode = 'required'\n[keys.web]\nsercet = 'sk-1'",
        "[auth]\njwt = { secret = 'hunter2' }",
        "[auth]\nmode = 'none'\njwt = { secret = 'hunter2' }",
        "[auth]\nmode = 'required'\nticket_secret = 'hunter2'\njwt = { issuer = 'https://id.example' }",
        "[auth]\nmode = 'required'\njwt = { secret = 'hunter2', jwks_url = 'https://id.example/keys' }",
        "[auth]\nmode = 'required'\njwt = { secret = 'hunter2', algorithms = ['RS256'], ca_file = 'nowhere.pem' }",
        "[auth]\nmode = 'required'\njwt = { jwks_url = 'https://u:hunter2@id.example', algorithms = ['none'], audience = [''], leeway = '1h' }",
        "[auth]\nmode = 'required'\njwt = { public_key = 'hunter2', cookie = 'a b', default_key = 'wbe', claims = { sub = 'x', team = '' } }",
        "[auth]\nmode = 'required'\njwt = { jwks_url = 'id.example/keys', isuer = 'x' }\n[keys.web]\nsecret = 'sk-1'",
        "[keys.web]\nteam = 'growth'",
        "[keys.web]\nsecret = 'one two'",
        "[keys.web]\nsecret = '${NOT_SET}'",
        "[keys.web]\nsecret = 'sk-1'\nsha256 = 'ab'",
        "[keys.web]\nsha256 = 'xyz'",
        "[keys.a]\nsecret = 'sk-web'\n[keys.b]\nsecret = '${WEB_KEY}'",
        "[keys.web]\nsecret = 'sk-1'\nmodels = ['gpt-[45]', '']",
        "[keys.web]\nsecret = 'sk-1'\nexpires = 2027-01-01",
        "[keys.web]\nsecret = 'sk-1'\nexpires = 'tomorrow'",
        "[keys.web]\nsecret = 'sk-1'\nbudget = { day = 0 }\nprovider_objects = 'yes'",
        "[keys.web]\nsecret = 'sk-1'\nlimits = { requests_per_minute = 0, tokens_per_minute = -5, burst = 1.5 }",
        "[keys.web]\nsecret = 'sk-1'\nlimits = { requests_per_minute = 4294967296, tokens_per_minute = 99999999999999999999, burst = 0x1_0000_0000 }",
        "keys = { web = 'sk-1' }",
        "[limits]\nip = { streams = 5 }\nuser = { request_per_minute = 5 }\nteams = { growth = 5 }\nmodels = { a = { tokens_per_minute = 0 } }",
        "[limits]\nglobal = { burst = 5 }",
        "[limits]\non_exceeded = 'cot'\nreserve_output = 'all'\nteams = []",
    ]);
    insta::assert_snapshot!(report);
}

#[test]
fn mistakes_in_streams_and_the_rest() {
    let report = reports(&[
        "[streams]\nheartbeat = '0s'",
        "[streams]\nretention = 'five minutes'",
        "[streams]\nmemory = '1 TB'\nmax_stream = '16mb'",
        "[streams]\nreaders = 0",
        "[streams]\non_disconnect = 'grace'",
        "[streams]\non_disconnect = 'stop'",
        "[telemetry]\nlog = 'verbose'\nformat = 'xml'\notlp = 'http://127.0.0.1:4318'",
        "[ui]\nmodel = 'smrt'\n[models.smart]\nroute = ['up/m']",
        "[ui]\nmodel = 'up/other'",
        "[ui]\nmodel = 7\nmodle = 'm'",
        "data_dir = '/var/lib/sluicegate'\n[redis]\nurl = 'redis://:hunter2@127.0.0.1'\n[prices.\"up/m\"]\ninput = 1",
    ]);
    insta::assert_snapshot!(report);
}

#[test]
fn mistakes_in_providers() {
    let report = reports(&[
        "[providers.mine]",
        "[providers.openai]",
        "[providers.groq]",
        "[providers.mine]\npreset = 'opnai'",
        "[providers.mine]\nwire = 'ollama'",
        "[providers.mine]\nwire = 'anthropic'",
        "[providers.mine]\npreset = 'openai'\nwire = 'anthropic'\napi_key = 'sk-1'",
        "[providers.openai]\napi_kye = 'sk-1'",
        "[providers.openai]\napi_key = '${EMPTY}'",
        "[providers.mine]\nwire = 'openai-chat'\nbase_url = 'api.example/v1'",
        "[providers.mine]\nwire = 'openai-chat'\nbase_url = 'https://user:hunter2@api.example/v1'",
        "[providers.mine]\nwire = 'openai-chat'\nbase_url = 'https://api.example/v1?key=1'",
        "[providers.mine]\nwire = 'openai-chat'\nbase_url = 'https://api.example/v1/chat/completions'",
        "[providers.mine]\nwire = 'openai-chat'\nbase_url = 'https://api.example/v1'\ndir = 'demo'\nproxy = 'socks5://127.0.0.1:1'\nca_file = 'nowhere.pem'",
        "[providers.mine]\nwire = 'openai-chat'\nbase_url = 'https://api.example/v1'\nheaders = { Host = 'a', 'x y' = 'b', x-c = \"d\\n\" }",
        "[providers.mine]\nwire = 'openai-chat'\nbase_url = 'https://api.example/v1'\ntimeouts = { idel = '1s', connect = '0s' }",
        "[providers.mine]\nwire = 'openai-chat'\nbase_url = 'https://api.example/v1'\non_cancel = 'finsh'\nrecord = ''\nrecord_max = '2GB'\nlimits = { burst = 1 }",
        "[providers.mine]\nwire = 'openai-chat'\nbase_url = 'https://api.example/v1'\non_cancel = true\nrecord = 'Cargo.toml'\nrecord_max = 0",
        "[providers.mine]\nwire = 'replay'",
        "[providers.mine]\nwire = 'replay'\ndir = 'nowhere'\napi_key = 'sk-1'",
        "[providers.\"a/b\"]\nwire = 'openai-chat'\nbase_url = 'https://api.example/v1'",
        "providers.mine = 'sk-1'",
    ]);
    insta::assert_snapshot!(report);
}

#[test]
fn mistakes_in_keys_of_one_preset() {
    let report = reports(&[
        "[providers.azure]",
        "[providers.azure]\nresource = 'https://r.example/openai'\napi_key = 'sk-1'\napi_version = '2024'\ndeployments = { a = '', b = 1 }",
        "[providers.azure]\nresource = 'r'\nclient_id = 'c'\napi_key = 'sk-1'",
        "[providers.azure]\nresource = 'r'\ntenant_id = 'a/b'\nclient_id = 'c'\nclient_secret = '${EMPTY}'",
        "[providers.azure]\nresource = 'r'\napi_key = 'sk-1'\nentra_token = 'hunter2'",
        "[providers.azure]\nwire = 'openai-responses'\nresource = 'r'\napi_key = 'sk-1'\napi_version = '2024-10-21'",
        "[providers.azure]\nresource = 'r'\napi_key = 'sk-1'\nregion = 'eu'\nproject = 'p'",
        "[providers.bedrock]",
        "[providers.bedrock]\nregion = 'us east 1'",
        "[providers.bedrock]\nregion = 'us-east-1'\naccess_key_id = 'AKID'\nprofile = 'a'",
        "[providers.bedrock]\nregion = 'us-east-1'\nsession_token = 'hunter2'",
        "[providers.bedrock]\nregion = 'us-east-1'\napi_key = 'sk-1'\nsecret_access_key = 'hunter2'",
        "[providers.bedrock]\nregion = 'us-east-1'\nwire = 'openai-chat'",
        "[providers.aws]\nwire = 'bedrock'",
        "[providers.vertex]",
        "[providers.vertex]\nproject = 'p/q'\nlocation = ''\ncredentials = 'nowhere.json'",
        "[providers.vertex]\nproject = 'p'\napi_key = 'sk-1'",
        "[providers.vertex]\nbase_url = 'http://127.0.0.1:1'",
        "[providers.local]\nwire = 'openai-chat'\nbase_url = 'http://127.0.0.1:1/v1'\nresource = 'r'",
        "[providers.openai]\nresorce = 'r'\napi_key = 'sk-1'",
        "[providers.openai]\napi_key = 'sk-1'\nrecord_max = '1MiB'",
        "[providers.bedrock]\nregion = 'us_east:1'",
    ]);
    insta::assert_snapshot!(report);
}

#[test]
fn mistakes_in_models() {
    let report = reports(&[
        "[models.a]",
        "[models.a]\nroute = 'up/m'",
        "[models.a]\nroute = []",
        "[models.a]\nroute = [[]]",
        "[models.a]\nroute = ['m', '/m', 'up/', 'upp/m', 'elsewhere/m']",
        "[models.a]\nroute = [['up/a', { target = 'up/b', weight = 0 }, { weight = 1 }, { target = 'up/c', wieght = 1 }]]",
        "[models.a]\nroute = [{ target = 'up/a', weight = 2 }]",
        "[models.a]\nroute = ['up/a']\nretries = 100\nhedge_after = 'p95'\nsticky = 'yes'",
        "[models.a]\nroute = ['up/a', 'up/b']\nhedge_after = '0ms'",
        "[models.a]\nroute = [['up/a', 'up/b']]\nhedge_after = 'p99'",
        "[models.a]\nroute = ['up/a', 'up/b']\nhedge_after = 800",
        "[models.\"\"]\nroute = ['up/a']",
        "[models.a]\nroute = ['wrong/a']\n[providers.wrong]\nwire = 'ollama'",
    ]);
    insta::assert_snapshot!(report);
}

#[test]
fn a_configuration_without_models_is_a_mistake() {
    insta::assert_snapshot!([problems_of(""), problems_of("[providers.openai]\napi_key = 'k'"), problems_of("[models]")].join("---\n"), @r#"
    config.toml:1:1: models: no model is configured
      help: add one: [models.smart] with route = ["provider/model"], or set `direct = true` on a provider
    ---
    config.toml:1:1: models: no model is configured
      help: add one: [models.smart] with route = ["provider/model"], or set `direct = true` on a provider
    ---
    config.toml:1:1: models: no model is configured
      help: add one: [models.smart] with route = ["provider/model"], or set `direct = true` on a provider
    "#);
    assert!(
        parsed("[providers.openai]\napi_key = 'k'\ndirect = true")
            .route
            .models
            .is_empty()
    );
}

const FIVE: &str = r#"[server]
listen = "0.0.0.0"
max_boddy = "20MiB"

[keys.web]
secret = "${NOT_SET}"

[providers.openai]
api_key = "${OPENAI_API_KEY}"
timeouts = { idle = 5 }

[models.smart]
route = ["opneai/gpt-5"]
"#;

#[test]
fn five_mistakes_are_reported_at_once() {
    let report = problems_of(FIVE);
    insta::assert_snapshot!(report);
    let problems = parse(FIVE).unwrap_err();
    let keys: Vec<_> = problems
        .list()
        .iter()
        .map(|problem| (problem.line, problem.column, problem.key.as_str()))
        .collect();
    assert_eq!(
        keys,
        [
            (2, 10, "server.listen"),
            (3, 1, "server.max_boddy"),
            (6, 11, "keys.web.secret"),
            (10, 21, "providers.openai.timeouts.idle"),
            (13, 10, "models.smart.route[0]"),
        ]
    );
}

#[test]
fn syntax_errors_are_reported_with_other_problems() {
    let report = reports(&[
        "[server]\nlisten = 127.0.0.1:80\ndrain = 30\n[auth]\nmode = none\n[steams]",
        "[server\nlisten = '127.0.0.1:80'",
        "[keys.web]\nsecret = \"sk-very-secret\nteam = 'a'",
        "[keys.web]\nsecret = sk-very-secret\nsecret = 'sk-other-secret'",
        "[server]\nhosts = [\n'sk-very-secret',\n[auth]\nmode = 'none'",
        "[server]\ndrain = '1s'\ndrain = '2s'",
        "[server]\nhosts = [one, two]\nlisten = 1",
        "[server]\ntls = { cert = 'a', key = 'b'\n[auth]\nmode = 'none'",
    ]);
    insta::assert_snapshot!(report);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_accepted() {
    parsed(&format!("\u{FEFF}{}", ALL_KEYS.replace('\n', "\r\n")));
    let report = problems_of("[server]\r\nlisten = 1\r\n");
    assert!(
        report.contains("config.toml:2:10: server.listen") && !report.contains('\r'),
        "{report:?}"
    );
}

#[test]
fn invalid_utf8_is_reported_with_its_line() {
    let scratch = Scratch::new();
    let path = scratch.path().join("config.toml");
    std::fs::write(&path, b"[server]\nlisten = '\xff'\n").unwrap();
    assert!(
        Config::load(&path)
            .unwrap_err()
            .to_string()
            .contains("is not valid UTF-8 in line 2")
    );
    std::fs::write(&path, " ".repeat(usize::try_from(MAX_FILE).unwrap() + 1)).unwrap();
    assert!(
        Config::load(&path)
            .unwrap_err()
            .to_string()
            .contains("is larger than")
    );
}
