//! Providers configured through presets.

use std::sync::Arc;

use secrecy::ExposeSecret as _;

use super::super::scratch::Scratch;
use super::super::{Config, presets};
use super::{env, parsed, problems_of};
use crate::model::target::{Auth, Aws, Credential, Provider, Via};
use crate::model::wire::WireId;

/// Parses the provider `a` from the lines of its section.
fn provider(lines: &str) -> Arc<Provider> {
    parsed(&format!("[providers.a]\n{lines}\ndirect = true"))
        .route
        .providers["a"]
        .clone()
}

/// Returns the wire, address and query.
fn endpoint(provider: &Provider) -> (WireId, &str, Option<&str>) {
    match &provider.via {
        Via::Http {
            wire,
            base_url,
            query,
        } => (*wire, base_url, query.as_deref()),
        Via::Replay(_) => panic!("{} is no replay", provider.name),
    }
}

fn base_url_of(lines: &str) -> String {
    endpoint(&provider(lines)).1.to_owned()
}

/// Returns the API key and the header that carries it.
fn key(provider: &Provider) -> (&str, Auth) {
    match &provider.credential {
        Credential::Key { key, auth } => (key.expose_secret(), *auth),
        other => panic!("{other:?} is no key"),
    }
}

#[test]
fn a_name_and_a_key_are_enough_for_most() {
    let table = presets::markdown();
    for row in table.lines().skip(2) {
        let name = row.split('`').nth(1).unwrap();
        if matches!(name, "azure" | "bedrock" | "vertex" | "replay") {
            continue;
        }
        let config = parsed(&format!(
            "[providers.{name}]\napi_key = 'sk-1'\ndirect = true"
        ));
        let provider = &config.route.providers[name];
        let (wire, base_url, query) = endpoint(provider);
        assert!(
            row.contains(&format!("| `{}`", wire.name()))
                && row.contains(&format!("| `{base_url}`")),
            "{row}\n{provider:?}"
        );
        assert_eq!((key(provider).0, query), ("sk-1", None));
        assert_eq!(
            provider.quirks.bills_whole,
            row.contains("billed in full"),
            "{name}"
        );
        let keyless = format!("[providers.{name}]\ndirect = true");
        if row.contains("(optional)") {
            assert!(
                matches!(
                    parsed(&keyless).route.providers[name].credential,
                    Credential::None
                ),
                "{name}"
            );
        } else {
            assert!(
                problems_of(&keyless).contains(&format!("providers.{name}.api_key: missing")),
                "{name}"
            );
        }
    }
}

#[test]
fn providers_of_one_preset_have_their_own_names() {
    let config = parsed(
        "[providers.groq]\napi_key = 'one'\n[providers.groq-two]\npreset = 'groq'\napi_key = 'two'\ndirect = true\n\
         [models.m]\nroute = [['groq/x', 'groq-two/x']]",
    );
    let [one, two] = ["groq", "groq-two"].map(|name| config.route.providers[name].clone());
    assert_eq!(
        (key(&one).0, key(&two).0, endpoint(&one)),
        ("one", "two", endpoint(&two))
    );
    assert_eq!(one.quirks, two.quirks);
    assert!(!one.quirks.accepts.choices && one.quirks.bills_whole);
}

#[test]
fn a_preset_can_be_used_with_another_of_its_wires() {
    for (lines, wire, base_url, auth) in [
        (
            "preset = 'openai'\nwire = 'openai-responses'",
            WireId::OpenaiResponses,
            "https://api.openai.com/v1",
            Auth::Bearer,
        ),
        (
            "preset = 'ollama'\nwire = 'anthropic'",
            WireId::Anthropic,
            "http://127.0.0.1:11434/v1",
            Auth::Bearer,
        ),
        (
            "preset = 'deepseek'\nwire = 'anthropic'",
            WireId::Anthropic,
            "https://api.deepseek.com/anthropic/v1",
            Auth::Header("x-api-key"),
        ),
        (
            "preset = 'openrouter'\nwire = 'anthropic'",
            WireId::Anthropic,
            "https://openrouter.ai/api/v1",
            Auth::Bearer,
        ),
        (
            "preset = 'gemini'\nwire = 'openai-chat'",
            WireId::OpenaiChat,
            "https://generativelanguage.googleapis.com/v1beta/openai",
            Auth::Bearer,
        ),
        (
            "preset = 'bedrock'\nwire = 'anthropic'\nregion = 'us-west-2'",
            WireId::Anthropic,
            "https://bedrock-mantle.us-west-2.api.aws/anthropic/v1",
            Auth::Bearer,
        ),
    ] {
        let provider = provider(&format!("{lines}\napi_key = 'k'"));
        assert_eq!(
            (endpoint(&provider), key(&provider)),
            ((wire, base_url, None), ("k", auth)),
            "{lines}"
        );
    }
    let own = parsed("[providers.ollama]\nwire = 'openai-chat'\ndirect = true");
    assert_eq!(
        endpoint(&own.route.providers["ollama"]).1,
        "http://127.0.0.1:11434/v1"
    );
}

#[test]
fn azures_version_selects_the_address() {
    const V1: &str = "https://r.openai.azure.com/openai/v1";
    for (version, base_url, query) in [
        ("", V1, None),
        ("api_version = 'v1'", V1, None),
        ("api_version = 'latest'", V1, None),
        ("api_version = 'preview'", V1, Some("api-version=preview")),
        (
            "api_version = '2024-10-21'",
            "https://r.openai.azure.com/openai/deployments/{model}",
            Some("api-version=2024-10-21"),
        ),
        (
            "api_version = '2025-04-01-preview'",
            "https://r.openai.azure.com/openai/deployments/{model}",
            Some("api-version=2025-04-01-preview"),
        ),
    ] {
        let provider = provider(&format!(
            "preset = 'azure'\nresource = 'r'\napi_key = 'k'\n{version}"
        ));
        assert_eq!(
            endpoint(&provider),
            (WireId::OpenaiChat, base_url, query),
            "{version}"
        );
        assert_eq!(key(&provider), ("k", Auth::Header("api-key")));
    }
    for host in [
        "r.services.ai.azure.com",
        "https://r.services.ai.azure.com/",
    ] {
        assert_eq!(
            base_url_of(&format!(
                "preset = 'azure'\nresource = '{host}'\napi_key = 'k'"
            )),
            "https://r.services.ai.azure.com/openai/v1"
        );
    }
    let old =
        provider("preset = 'azure'\nresource = 'r'\napi_key = 'k'\napi_version = '2024-06-01'");
    assert!(old.quirks.no_stream_options && old.quirks.max_tokens);
}

#[test]
fn azures_deployments_replace_the_models_of_routes() {
    let config = parsed(
        "[providers.azure]\nresource = 'r'\napi_key = 'k'\ndeployments = { \"gpt-5\" = 'prod-5' }\n[models.m]\nroute = ['azure/gpt-5', 'azure/other']",
    );
    let targets: Vec<_> = config.route.models["m"]
        .tiers
        .iter()
        .flatten()
        .map(|it| it.target.upstream_model().to_string())
        .collect();
    assert_eq!(targets, ["prod-5", "other"]);
}

#[test]
fn azure_accepts_an_application_or_a_token() {
    let application = provider(
        "preset = 'azure'\nresource = 'r'\ntenant_id = 't-1'\nclient_id = 'c'\nclient_secret = 's~1'",
    );
    let Credential::Entra(entra) = &application.credential else {
        panic!("{:?}", application.credential)
    };
    assert_eq!(
        entra.token_url,
        "https://login.microsoftonline.com/t-1/oauth2/v2.0/token"
    );
    assert_eq!(
        (
            &*entra.client_id,
            entra.client_secret.expose_secret(),
            &*entra.scope
        ),
        ("c", "s~1", "https://cognitiveservices.azure.com/.default")
    );
    let elsewhere = provider(
        "preset = 'azure'\nresource = 'r'\ntoken_url = 'http://127.0.0.1:1/token'\nscope = 'https://ai.azure.com/.default'\nclient_id = 'c'\nclient_secret = 's'",
    );
    let Credential::Entra(entra) = &elsewhere.credential else {
        panic!("{:?}", elsewhere.credential)
    };
    assert_eq!(
        (&*entra.token_url, &*entra.scope),
        ("http://127.0.0.1:1/token", "https://ai.azure.com/.default")
    );
    assert_eq!(
        key(&provider(
            "preset = 'azure'\nresource = 'r'\nentra_token = 'jwt'"
        )),
        ("jwt", Auth::Bearer)
    );
    let headed = provider("preset = 'azure'\nresource = 'r'\nheaders = { api-key = 'k' }");
    assert!(matches!(headed.credential, Credential::None));
}

#[test]
fn bedrock_has_a_region_and_a_key_or_aws_credentials() {
    let keyed = provider("preset = 'bedrock'\nregion = 'eu-central-1'\napi_key = 'k'");
    assert_eq!(
        endpoint(&keyed),
        (
            WireId::Bedrock,
            "https://bedrock-runtime.eu-central-1.amazonaws.com",
            None
        )
    );
    assert_eq!(
        (key(&keyed), keyed.quirks.bills_whole),
        (("k", Auth::Bearer), true)
    );
    assert_eq!(
        base_url_of("preset = 'bedrock'\nregion = 'cn-north-1'"),
        "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"
    );
    let aws = |lines: &str| match &provider(&format!(
        "preset = 'bedrock'\nregion = 'us-east-1'\n{lines}"
    ))
    .credential
    {
        Credential::Aws(aws) => aws.clone(),
        other => panic!("{other:?}"),
    };
    assert!(matches!(
        aws(""),
        Aws {
            keys: None,
            profile: None,
            ..
        }
    ));
    assert_eq!(aws("profile = 'work'").profile.as_deref(), Some("work"));
    let Aws {
        region,
        keys: Some(keys),
        ..
    } = aws("access_key_id = 'AKID'\nsecret_access_key = 's/+='\nsession_token = 't'")
    else {
        panic!("keys are configured")
    };
    assert_eq!(
        (
            &*region,
            &*keys.access_key_id,
            keys.secret_access_key.expose_secret()
        ),
        ("us-east-1", "AKID", "s/+=")
    );
    assert_eq!(keys.session_token.unwrap().expose_secret(), "t");
}

#[test]
fn bedrocks_region_defaults_to_the_environment() {
    let parse = |variable: &str| {
        let text = "[providers.bedrock]\ndirect = true";
        Config::parse(text, std::path::Path::new("config.toml"), &|name| {
            (name == variable).then(|| "ap-south-1".to_owned())
        })
    };
    for variable in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        let config = parse(variable).unwrap();
        let provider = &config.route.providers["bedrock"];
        assert_eq!(
            endpoint(provider).1,
            "https://bedrock-runtime.ap-south-1.amazonaws.com"
        );
        assert!(matches!(&provider.credential, Credential::Aws(aws) if aws.region == "ap-south-1"));
    }
    assert!(
        parse("OTHER")
            .unwrap_err()
            .to_string()
            .contains("providers.bedrock.region: missing")
    );
}

#[test]
fn vertex_has_a_project_in_a_location() {
    let at = |location: &str| base_url_of(&format!("preset = 'vertex'\nproject = 'p'\n{location}"));
    for (location, base_url) in [
        (
            "",
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google",
        ),
        (
            "location = 'global'",
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/google",
        ),
        (
            "location = 'eu'",
            "https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/google",
        ),
        (
            "location = 'us'",
            "https://aiplatform.us.rep.googleapis.com/v1/projects/p/locations/us/publishers/google",
        ),
        (
            "location = 'europe-west4'",
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/publishers/google",
        ),
    ] {
        assert_eq!(at(location), base_url);
    }
    let express = provider("preset = 'vertex'\napi_key = 'k'");
    assert_eq!(
        endpoint(&express),
        (
            WireId::Gemini,
            "https://aiplatform.googleapis.com/v1/publishers/google",
            None
        )
    );
    assert_eq!(
        (key(&express), express.quirks.bills_whole),
        (("k", Auth::Header("x-goog-api-key")), true)
    );
}

#[test]
fn vertexs_credentials_are_relative_to_the_configuration() {
    let scratch = Scratch::new();
    let file = scratch.write("sa.json", "{}");
    let text = "[providers.vertex]\nproject = 'p'\ncredentials = 'sa.json'\ndirect = true";
    let config = Config::parse(text, &scratch.path().join("config.toml"), &env).unwrap();
    let Credential::Google(google) = &config.route.providers["vertex"].credential else {
        panic!("no Google credential")
    };
    assert_eq!(google.credentials.as_deref(), Some(&*file));
    assert!(
        matches!(&provider("preset = 'vertex'\nproject = 'p'").credential, Credential::Google(google) if google.credentials.is_none())
    );
}

#[test]
fn a_configured_address_with_a_path_is_used_unchanged() {
    const OWN: &str = "http://127.0.0.1:1";
    for (lines, bare) in [
        ("preset = 'azure'\napi_key = 'k'", "/openai/v1"),
        (
            "preset = 'azure'\napi_key = 'k'\napi_version = '2024-10-21'",
            "/openai/deployments/{model}",
        ),
        (
            "preset = 'vertex'\nproject = 'p'\nlocation = 'eu'",
            "/v1/projects/p/locations/eu/publishers/google",
        ),
        ("preset = 'vertex'\napi_key = 'k'", "/v1/publishers/google"),
        ("preset = 'bedrock'\napi_key = 'k'", ""),
        ("preset = 'bedrock'\nregion = 'us-east-1'", ""),
        ("preset = 'groq'\napi_key = 'k'", ""),
    ] {
        assert_eq!(
            base_url_of(&format!("{lines}\nbase_url = '{OWN}/'")),
            format!("{OWN}{bare}"),
            "{lines}"
        );
        assert_eq!(
            base_url_of(&format!("{lines}\nbase_url = '{OWN}/x/{{model}}'")),
            format!("{OWN}/x/{{model}}"),
            "{lines}"
        );
    }
    assert_eq!(
        base_url_of("preset = 'vertex'\nbase_url = 'http://127.0.0.1:1/v1/models'"),
        "http://127.0.0.1:1/v1/models"
    );
    assert_eq!(
        base_url_of("wire = 'bedrock'\napi_key = 'k'\nbase_url = 'http://127.0.0.1:1'"),
        OWN
    );
}
