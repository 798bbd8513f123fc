//! What is never said.

use super::{ENOUGH, good, parse};

#[test]
fn no_problem_shows_a_secret() {
    const SECRET: &str = "hunter2";
    for text in [
        "[keys.web]\nsecret = 'hunter2'\nmodls = []",
        "keys.web = { secret = 'hunter2', modls = [], team = 5 }",
        "keys = { web = 'hunter2' }",
        "[keys.web]\nsecret = ['hunter2']",
        "[keys.web]\nsecret = 'hunter2 hunter2'",
        "[keys.web]\nsercet = 'hunter2'",
        "[keys.web]\nsecret = '''hunter2\n'''",
        "[keys.web]\nsecret = '${NONE:-hunter2 x}'",
        "[keys.web]\nsecret = '${hunter2'",
        "[keys.web]\nsecret = '${file:nowhere}hunter2'",
        "[keys.web]\nsecret = 'x${NONE}hunter2'",
        "[keys.web]\nsecret = 'hunter2'\nsecret = 'hunter2'",
        "[keys.web]\nsecret = \"hunter2",
        "[keys.web]\nsecret = hunter2",
        "[keys.web]\nsecret hunter2",
        "[keys.web]\nsecret \"hunter2\"",
        "[keys.web]\nsecret = \"\"\"hunter2\nhunter2",
        "[keys.web]\nsecret = 'a', 'hunter2'",
        "web = { secret = hunter2",
        "[keys.web]\nsha256 = 'hunter2'",
        "[server]\nadmin_token = 'hunter2 '",
        "[server]\nadmin_tokn = 'hunter2'",
        "[auth]\njwt = { secret = 'hunter2' }",
        "[redis]\nurl = 'redis://:hunter2@host'",
        "[providers.openai]\napi_key = 'hunter2'\nbase_url = 'https://a:hunter2@b'",
        "[providers.openai]\napi_key = 'hunter2'\nproxy = 'socks5://a:hunter2@b'",
        "[providers.openai]\napi_key = \"hunter2\\n\"",
        "[providers.openai]\napi_key = 'k'\nheaders = { authorization = \"Bearer hunter2\\n\" }",
        "[providers.openai]\napi_key = 'k'\nheaders = ['hunter2']",
        "[providers.openai]\nwire = '${WORD}'",
        "[server]\nlisten = '${WORD}'\nallowed_origins = ['${WORD}']\ndrain = '${WORD}'\nmax_body = '${WORD}'\nhosts = ['${WORD}/']",
        "[telemetry]\nlog = '${WORD}'\nformat = '${WORD}'",
        "[models.a]\nroute = ['${WORD}', '${WORD}/x']",
    ] {
        let problems = parse(&format!("{text}\n{ENOUGH}")).expect_err(text);
        assert!(!problems.to_string().contains(SECRET), "{text}\n{problems}");
        assert!(!format!("{problems:?}").contains(SECRET), "{text}");
    }
}

#[test]
fn a_config_does_not_show_its_secrets() {
    let config = good(
        "[server]\nadmin_token = 'hunter2'\n[keys.web]\nsecret = 'hunter2'\n[providers.openai]\napi_key = 'hunter2'\n\
         proxy = 'http://a:hunter2@b'\nheaders = { x-key = 'hunter2' }\ndirect = true",
    );
    assert!(!format!("{config:?}").contains("hunter2"));
}
