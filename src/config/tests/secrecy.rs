//! Secrets never appear in problems or in `Debug` output.

use super::{MINIMAL, parse, parsed};

#[test]
fn no_problem_displays_a_secret() {
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
        "[providers.azure]\nresource = 'r'\ntenant_id = 't'\nclient_secret = 'hunter2'",
        "[providers.azure]\nresource = 'r'\nentra_token = 'hunter2 '",
        "[providers.azure]\nresource = 'r'\nclient_id = 'c'\nclient_sceret = 'hunter2'",
        "[providers.azure]\nresource = 'https://a:hunter2@r.example'\napi_key = 'k'",
        "[providers.bedrock]\nregion = 'r'\nsecret_access_key = 'hunter2'",
        "[providers.bedrock]\nregion = 'r'\naccess_key_id = 'hunter2'\nsession_token = 'hunter2 '",
        "[providers.openai]\napi_key = 'k'\nclient_secret = 'hunter2'\nsession_token = 'hunter2'",
        "[providers.vertex]\nproject = 'p'\ncredentials = { private_key = 'hunter2' }",
    ] {
        let problems = parse(&format!("{text}\n{MINIMAL}")).expect_err(text);
        assert!(!problems.to_string().contains(SECRET), "{text}\n{problems}");
        assert!(!format!("{problems:?}").contains(SECRET), "{text}");
    }
}

#[test]
fn the_debug_output_of_a_config_hides_its_secrets() {
    let config = parsed(
        "[server]\nadmin_token = 'hunter2'\n[keys.web]\nsecret = 'hunter2'\n[providers.openai]\napi_key = 'hunter2'\n\
         proxy = 'http://a:hunter2@b'\nheaders = { x-key = 'hunter2' }\ndirect = true\n\
         [providers.azure]\nresource = 'r'\ntenant_id = 't'\nclient_id = 'c'\nclient_secret = 'hunter2'\n\
         [providers.token]\npreset = 'azure'\nresource = 'r'\nentra_token = 'hunter2'\n\
         [providers.bedrock]\nregion = 'r'\naccess_key_id = 'id'\nsecret_access_key = 'hunter2'\nsession_token = 'hunter2'\n\
         [providers.vertex]\napi_key = 'hunter2'",
    );
    assert!(!format!("{config:?}").contains("hunter2"));
}
