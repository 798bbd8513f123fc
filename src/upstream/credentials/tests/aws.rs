use super::server::{Question, Server};
use super::*;

fn aws(profile: Option<&str>) -> Credential {
    Credential::Aws(Aws {
        region: "eu-west-1".into(),
        keys: None,
        profile: profile.map(str::to_owned),
    })
}

/// Keys as a metadata server writes them.
fn document(id: &str) -> String {
    let ends = rfc3339(3600);
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"s3cret","Token":"s3ssion","Expiration":"{ends}"}}"#
    )
}

/// Keys as STS writes them.
fn sts(action: &str, id: &str) -> String {
    let ends = rfc3339(3600);
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
         <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>r0le/s3cret</SecretAccessKey><SessionToken>r0le==</SessionToken>\
         <Expiration>{ends}</Expiration></Credentials></{action}Result></{action}Response>"
    )
}

/// An instance with a role.
fn instance(question: &Question) -> (u16, String) {
    if question.is("PUT /latest/api/token ") {
        assert!(
            question
                .header("x-aws-ec2-metadata-token-ttl-seconds")
                .is_some()
        );
        return (200, "imds-s3ssion".into());
    }
    if question.header("x-aws-ec2-metadata-token") != Some("imds-s3ssion") {
        return (401, String::new());
    }
    match &*question.line {
        "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1" => (200, "gate-role\n".into()),
        "GET /latest/meta-data/iam/security-credentials/gate-role HTTP/1.1" => {
            (200, document("ASIAINSTANCE"))
        }
        _ => (404, String::new()),
    }
}

const IMDS: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

#[tokio::test]
async fn an_instance_gives_its_roles_keys() {
    let server = Server::start(instance).await;
    let credentials = credentials(aws(None), &[(IMDS, &server.url("/"))]);
    let shown = credentials.shown(&client()).await.unwrap();
    assert_eq!(keys(&shown), ("ASIAINSTANCE", "s3cret", Some("s3ssion")));
    credentials.shown(&client()).await.unwrap();
    assert_eq!(server.questions().len(), 3, "once, and kept");
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("x-amzn-errortype"),
        HeaderValue::from_static("ExpiredTokenException"),
    )]);
    shown.learn(StatusCode::FORBIDDEN, &headers);
    credentials.shown(&client()).await.unwrap();
    assert_eq!(server.questions().len(), 6, "once more");
}

#[tokio::test]
async fn an_instances_keys_are_renewed_before_they_end() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |question| match instance(question) {
        (200, body) if body.contains("ASIAINSTANCE") => {
            let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            (200, body.replace("ASIAINSTANCE", &format!("ASIA{n}")))
        }
        other => other,
    })
    .await;
    let (client, credentials) = (
        client(),
        credentials(aws(None), &[(IMDS, &server.url("/"))]),
    );
    // A paused clock runs ahead when all wait, on a socket too; but not while a blocking task is
    // there.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    tokio::time::pause();
    drop(tokio::task::spawn_blocking(move || held.recv()));
    let id = |shown: Shown| keys(&shown).0.to_owned();
    assert_eq!(id(credentials.shown(&client).await.unwrap()), "ASIA0");
    tokio::time::advance(Duration::from_secs(57 * 60)).await;
    assert_eq!(
        id(credentials.shown(&client).await.unwrap()),
        "ASIA0",
        "good for some minutes more"
    );
    while id(credentials.shown(&client).await.unwrap()) == "ASIA0" {
        tokio::task::yield_now().await;
    }
    assert_eq!(id(credentials.shown(&client).await.unwrap()), "ASIA1");
    assert_eq!(server.questions().len(), 6);
    drop(hold);
}

#[tokio::test]
async fn where_nothing_is_found_the_operator_is_told_what_to_do() {
    let no_role = Server::start(|question| {
        if question.is("PUT") {
            (200, "x".into())
        } else {
            (404, String::new())
        }
    })
    .await;
    for environment in [
        (IMDS, "http://127.0.0.1:1"),
        (IMDS, &no_role.url("")),
        ("AWS_EC2_METADATA_DISABLED", "True"),
    ] {
        // A home that is none is no mistake.
        let fault = fault(aws(None), &[environment, ("HOME", "/dev/null")]).await;
        assert!(
            fault.message.contains("no AWS keys were found")
                && fault.message.contains("access_key_id"),
            "{}",
            fault.message
        );
    }
    let closed = Server::always(403, "").await;
    let fault = fault(aws(None), &[(IMDS, &closed.url(""))]).await;
    assert!(
        fault
            .message
            .contains("the instance's metadata gives no credential: check that it is switched on"),
        "{}",
        fault.message
    );
}

#[tokio::test]
async fn a_container_shows_its_token() {
    let server = Server::start(|question| match question.header("authorization") {
        Some("pod-t0ken") => (200, document("ASIACONTAINER")),
        _ => (401, String::new()),
    })
    .await;
    let file = File::of("pod-t0ken\n");
    let url = server.url("/v1/credentials?id=1");
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url);
    for environment in [
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.path()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-t0ken"),
    ] {
        let shown = got(aws(None), &[full, environment]).await;
        assert_eq!(keys(&shown), ("ASIACONTAINER", "s3cret", Some("s3ssion")));
    }
    assert!(
        server
            .questions()
            .iter()
            .all(|question| question.is("GET /v1/credentials?id=1 "))
    );
    let refused = fault(aws(None), &[full]).await;
    assert!(
        refused.message.contains(
            "the container's credential endpoint gives no credential: check its authorization token"
        ),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn keys_are_asked_of_nobody_who_might_be_listened_to() {
    for url in [
        "http://example.com/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "nonsense",
        "http://127.0.0.1.example.com/",
    ] {
        let fault = fault(aws(None), &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]).await;
        assert!(
            fault
                .message
                .contains("AWS_CONTAINER_CREDENTIALS_FULL_URI is no address"),
            "{url}: {}",
            fault.message
        );
    }
}

#[tokio::test]
async fn the_environments_keys_come_first() {
    let file =
        File::of("[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = file-s3cret\n");
    let files = ("AWS_SHARED_CREDENTIALS_FILE", file.path());
    let id = ("AWS_ACCESS_KEY_ID", "AKIAENV");
    let all = [
        files,
        id,
        ("AWS_SECRET_ACCESS_KEY", "env-s3cret"),
        ("AWS_SESSION_TOKEN", "env-s3ssion"),
    ];
    assert_eq!(
        keys(&got(aws(None), &all).await),
        ("AKIAENV", "env-s3cret", Some("env-s3ssion"))
    );
    assert_eq!(
        keys(&got(aws(None), &all[..3]).await),
        ("AKIAENV", "env-s3cret", None)
    );
    assert_eq!(
        keys(&got(aws(None), &[files]).await),
        ("AKIAFILE", "file-s3cret", None)
    );
    assert_eq!(
        keys(&got(aws(Some("default")), &all).await),
        ("AKIAFILE", "file-s3cret", None),
        "a profile that is configured"
    );
    assert!(
        fault(aws(None), &[files, id])
            .await
            .message
            .contains("only one is set")
    );
}

#[tokio::test]
async fn profiles_are_read_as_awss_tools_read_them() {
    let config = File::of(
        "# comment\n[default]\nregion = x\ns3 =\n  aws_access_key_id = NOT\n  max = 1\naws_access_key_id = AKIACONFIG\n\
         aws_secret_access_key=c0nfig ; comment\n[profile \"a b\"]\n  AWS_Access_Key_Id = AKIAQUOTED\n  aws_secret_access_key = s=e#c\n\
         [sso-session a]\naws_access_key_id = NOT\n[other]\naws_access_key_id = NOT\n[profile empty]\nregion = x\n[broken\nno setting\n",
    );
    let shared = File::of(
        "[default]\r\naws_secret_access_key = shared\r\naws_session_token = t\r\n[other]\naws_access_key_id=AKIAOTHER\naws_secret_access_key=o\n",
    );
    let environment = [
        ("AWS_CONFIG_FILE", config.path()),
        ("AWS_SHARED_CREDENTIALS_FILE", shared.path()),
    ];
    for (profile, expected) in [
        ("default", ("AKIACONFIG", "shared", Some("t"))),
        ("a b", ("AKIAQUOTED", "s=e#c", None)),
        ("other", ("AKIAOTHER", "o", None)),
    ] {
        assert_eq!(
            keys(&got(aws(Some(profile)), &environment).await),
            expected,
            "{profile}"
        );
        let named = [&environment[..], &[("AWS_PROFILE", profile)]].concat();
        assert_eq!(keys(&got(aws(None), &named).await), expected, "{profile}");
    }
    assert!(
        fault(aws(Some("empty")), &environment)
            .await
            .message
            .contains("the profile of `profile` has no keys")
    );
    let missing = [&environment[..], &[("AWS_PROFILE", "missing")]].concat();
    assert!(
        fault(aws(None), &missing)
            .await
            .message
            .contains("the profile of AWS_PROFILE has no keys")
    );
}

#[tokio::test]
async fn profiles_at_home_are_found() {
    let home =
        std::env::temp_dir().join(format!("sluicegate-aws-{:016x}", getrandom::u64().unwrap()));
    std::fs::create_dir_all(home.join(".aws")).unwrap();
    std::fs::write(
        home.join(".aws/config"),
        "[default]\naws_access_key_id = AKIAHOME\naws_secret_access_key = h\n",
    )
    .unwrap();
    assert_eq!(
        keys(&got(aws(None), &[("HOME", home.to_str().unwrap())]).await),
        ("AKIAHOME", "h", None)
    );
    std::fs::remove_dir_all(home).unwrap();
}

#[tokio::test]
async fn profiles_that_cannot_be_used_say_why() {
    for (lines, expected) in [
        ("aws_access_key_id = AKIA", "add the other"),
        ("role_arn = r", "nothing to take it with"),
        ("role_arn = r\nsource_profile = p", "without an end"),
        ("role_arn = r\nsource_profile = missing", "not there"),
        ("role_arn = r\nsource_profile = empty", "has no keys"),
        (
            "role_arn = r\nmfa_serial = m\nsource_profile = p",
            "mfa_serial",
        ),
        (
            "role_arn = r\ncredential_source = Moon",
            "nothing to take it with",
        ),
        (
            "role_arn = r\ncredential_source = Environment",
            "credential_source",
        ),
        (
            "role_arn = r\nweb_identity_token_file = /nowhere",
            "web identity token file is not there",
        ),
        ("sso_session = s", "a browser"),
        ("credential_process = exit 3", "has failed"),
        (
            "credential_process = echo HOSTILE",
            "something else than keys",
        ),
    ] {
        let file = File::of(&format!(
            "[profile p]\n{lines}\n[profile empty]\nregion = x\n"
        ));
        let fault = fault(aws(Some("p")), &[("AWS_CONFIG_FILE", file.path())]).await;
        assert!(
            fault.message.contains(expected) && !fault.message.contains("HOSTILE"),
            "{lines}: {}",
            fault.message
        );
    }
}

#[tokio::test]
async fn a_program_writes_keys() {
    let keys_of = r#"{\"Version\":1,\"AccessKeyId\":\"ASIAPROCESS\",\"SecretAccessKey\":\"p\",\"SessionToken\":\"s\",\"Expiration\":\"2999-01-01T00:00:00+00:00\"}"#;
    let file = File::of(&format!(
        "[profile p]\ncredential_process = printf %s \"{keys_of}\"\n"
    ));
    let shown = got(aws(Some("p")), &[("AWS_CONFIG_FILE", file.path())]).await;
    assert_eq!(keys(&shown), ("ASIAPROCESS", "p", Some("s")));
}

#[tokio::test]
async fn roles_are_taken_one_by_means_of_the_other() {
    let server = Server::start(|question| match question.field("RoleArn").as_deref() {
        Some("arn:inner") => (200, sts("AssumeRole", "ASIAINNER")),
        Some("arn:outer") => (200, sts("AssumeRole", "ASIAOUTER")),
        _ => (403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>HOSTILE</Message></Error></ErrorResponse>".into()),
    })
    .await;
    let file = File::of(
        "[profile outer]\nrole_arn = arn:outer\nsource_profile = inner\nexternal_id = ext\nduration_seconds = 900\n\
         [profile inner]\nrole_arn = arn:inner\nsource_profile = base\nrole_session_name = me\n\
         [profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = b\nrole_arn = arn:other\nsource_profile = base\n",
    );
    let endpoint = server.url("/");
    let environment = [
        ("AWS_CONFIG_FILE", file.path()),
        ("AWS_ENDPOINT_URL_STS", &endpoint),
    ];
    let shown = got(aws(Some("outer")), &environment).await;
    assert_eq!(keys(&shown), ("ASIAOUTER", "r0le/s3cret", Some("r0le==")));
    let questions = server.questions();
    let (inner, outer) = (&questions[0], &questions[1]);
    for (question, by, session) in [
        (inner, "AKIABASE", "me"),
        (outer, "ASIAINNER", "sluicegate"),
    ] {
        let authorization = question.header("authorization").unwrap();
        assert!(
            authorization.starts_with(&format!("AWS4-HMAC-SHA256 Credential={by}/"))
                && authorization.contains("/eu-west-1/sts/aws4_request")
        );
        assert_eq!(question.field("Action").as_deref(), Some("AssumeRole"));
        assert_eq!(question.field("RoleSessionName").as_deref(), Some(session));
    }
    assert_eq!(
        (
            inner.field("ExternalId"),
            outer.field("ExternalId").as_deref()
        ),
        (None, Some("ext"))
    );
    assert_eq!(outer.field("DurationSeconds").as_deref(), Some("900"));
    assert_eq!(outer.header("x-amz-security-token"), Some("r0le=="));
    let refused = fault(aws(Some("base")), &environment).await;
    assert!(
        refused
            .message
            .contains("AWS's token service gives no credential: check the role")
            && !refused.message.contains("HOSTILE"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn a_web_identity_becomes_a_role() {
    let server = Server::always(200, sts("AssumeRoleWithWebIdentity", "ASIAWEB")).await;
    let (token, endpoint) = (File::of("eyJ.web.t0ken\n"), server.url("/"));
    let sts_at = ("AWS_ENDPOINT_URL", &*endpoint);
    let file = File::of(&format!(
        "[profile w]\nrole_arn = arn:web\nweb_identity_token_file = {}\n",
        token.path()
    ));
    let by_environment = [
        sts_at,
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.path()),
        ("AWS_ROLE_ARN", "arn:web"),
        ("AWS_ROLE_SESSION_NAME", "pod"),
    ];
    assert_eq!(
        keys(&got(aws(None), &by_environment).await),
        ("ASIAWEB", "r0le/s3cret", Some("r0le=="))
    );
    assert_eq!(
        keys(&got(aws(Some("w")), &[sts_at, ("AWS_CONFIG_FILE", file.path())]).await).0,
        "ASIAWEB"
    );
    for (question, session) in server.questions().iter().zip(["pod", "sluicegate"]) {
        assert_eq!(
            question.header("authorization"),
            None,
            "the token is the proof"
        );
        for (name, value) in [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", "arn:web"),
            ("RoleSessionName", session),
            ("WebIdentityToken", "eyJ.web.t0ken"),
        ] {
            assert_eq!(question.field(name).as_deref(), Some(value));
        }
    }
    assert!(
        fault(aws(None), &by_environment[..2])
            .await
            .message
            .contains("AWS_ROLE_ARN is not")
    );
}

#[tokio::test]
async fn a_roles_first_keys_may_be_those_of_the_machine() {
    let server = Server::start(|question| {
        if question.is("POST") {
            (200, sts("AssumeRole", "ASIAROLE"))
        } else {
            instance(question)
        }
    })
    .await;
    let url = server.url("/");
    for (source, more, by) in [
        ("Ec2InstanceMetadata", (IMDS, &*url), "ASIAINSTANCE"),
        ("Environment", ("AWS_SECRET_ACCESS_KEY", "e"), "AKIAENV"),
    ] {
        let file = File::of(&format!(
            "[profile p]\nrole_arn = arn:r\ncredential_source = {source}\n"
        ));
        let environment = [
            ("AWS_CONFIG_FILE", file.path()),
            ("AWS_ENDPOINT_URL_STS", &url),
            ("AWS_ACCESS_KEY_ID", "AKIAENV"),
            more,
        ];
        assert_eq!(keys(&got(aws(Some("p")), &environment).await).0, "ASIAROLE");
        assert!(
            server
                .questions()
                .last()
                .unwrap()
                .header("authorization")
                .unwrap()
                .contains(&format!("Credential={by}/"))
        );
    }
}

#[tokio::test]
async fn the_accounts_proxy_carries_what_goes_far_and_nothing_else() {
    let proxy = Server::always(200, sts("AssumeRole", "ASIAROLE")).await;
    let metadata = Server::start(instance).await;
    let file = File::of("[profile p]\nrole_arn = arn:r\ncredential_source = Ec2InstanceMetadata\n");
    let near = metadata.url("");
    let environment = [
        ("AWS_CONFIG_FILE", file.path()),
        ("AWS_ENDPOINT_URL_STS", "http://sts.test/"),
        (IMDS, &near),
    ];
    let through = reqwest::Client::builder()
        .proxy(reqwest::Proxy::all(proxy.url("/")).unwrap())
        .build()
        .unwrap();
    let shown = credentials(aws(Some("p")), &environment)
        .shown(&through)
        .await
        .unwrap();
    assert_eq!(keys(&shown).0, "ASIAROLE");
    assert_eq!(
        (proxy.questions().len(), metadata.questions().len()),
        (1, 3)
    );
    assert!(proxy.questions()[0].is("POST http://sts.test/ HTTP/1.1"));
}

#[tokio::test]
async fn keys_that_have_ended_are_none() {
    for (ends, expected) in [
        ("2020-01-01T00:00:00Z", "have expired"),
        ("soon", "cannot be read"),
    ] {
        let body = format!(
            r#"{{"AccessKeyId":"A","SecretAccessKey":"S","Token":"T","Expiration":"{ends}"}}"#
        );
        let server = Server::always(200, body).await;
        let fault = fault(
            aws(None),
            &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &server.url("/"))],
        )
        .await;
        assert!(fault.message.contains(expected), "{}", fault.message);
    }
}
