use super::server::{ReceivedRequest, Server};
use super::*;

fn aws(profile: Option<&str>) -> Credential {
    Credential::Aws(Aws {
        region: "eu-west-1".into(),
        keys: None,
        profile: profile.map(str::to_owned),
    })
}

/// Keys in the format of a metadata server.
fn document(id: &str) -> String {
    let ends = rfc3339(3600);
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"s3cret","Token":"s3ssion","Expiration":"{ends}"}}"#
    )
}

/// Keys in the format of STS.
fn sts(action: &str, id: &str) -> String {
    let ends = rfc3339(3600);
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\
         <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>r0le/s3cret</SecretAccessKey><SessionToken>r0le==</SessionToken>\
         <Expiration>{ends}</Expiration></Credentials></{action}Result></{action}Response>"
    )
}

/// The responses of an instance with a role.
fn instance(request: &ReceivedRequest) -> (u16, String) {
    if request.is("PUT /latest/api/token ") {
        assert!(
            request
                .header("x-aws-ec2-metadata-token-ttl-seconds")
                .is_some()
        );
        return (200, "imds-s3ssion".into());
    }
    if request.header("x-aws-ec2-metadata-token") != Some("imds-s3ssion") {
        return (401, String::new());
    }
    match &*request.line {
        "GET /latest/meta-data/iam/security-credentials/ HTTP/1.1" => (200, "gate-role\n".into()),
        "GET /latest/meta-data/iam/security-credentials/gate-role HTTP/1.1" => {
            (200, document("ASIAINSTANCE"))
        }
        _ => (404, String::new()),
    }
}

const IMDS: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

#[tokio::test]
async fn an_instance_issues_the_keys_of_its_role() {
    let server = Server::start(instance).await;
    let credentials = credentials(aws(None), &[(IMDS, &server.url("/"))]);
    let credential = credentials.obtain(&client()).await.unwrap();
    assert_eq!(
        keys(&credential),
        ("ASIAINSTANCE", "s3cret", Some("s3ssion"))
    );
    credentials.obtain(&client()).await.unwrap();
    assert_eq!(server.requests().len(), 3, "fetched once, then cached");
    let headers = HeaderMap::from_iter([(
        HeaderName::from_static("x-amzn-errortype"),
        HeaderValue::from_static("ExpiredTokenException"),
    )]);
    credential.record_response(StatusCode::FORBIDDEN, &headers);
    credentials.obtain(&client()).await.unwrap();
    assert_eq!(server.requests().len(), 6, "fetched again");
}

#[tokio::test]
async fn instance_keys_are_renewed_before_they_expire() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |request| match instance(request) {
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
    // A paused clock advances when all tasks wait, even for a socket; but not while a blocking task
    // runs.
    let (hold, held) = std::sync::mpsc::channel::<()>();
    tokio::time::pause();
    drop(tokio::task::spawn_blocking(move || held.recv()));
    let id = |credential: RequestCredential| keys(&credential).0.to_owned();
    assert_eq!(id(credentials.obtain(&client).await.unwrap()), "ASIA0");
    tokio::time::advance(Duration::from_secs(57 * 60)).await;
    assert_eq!(
        id(credentials.obtain(&client).await.unwrap()),
        "ASIA0",
        "valid for some minutes more"
    );
    while id(credentials.obtain(&client).await.unwrap()) == "ASIA0" {
        tokio::task::yield_now().await;
    }
    assert_eq!(id(credentials.obtain(&client).await.unwrap()), "ASIA1");
    assert_eq!(server.requests().len(), 6);
    drop(hold);
}

#[tokio::test]
async fn missing_keys_are_reported_with_advice() {
    let no_role = Server::start(|request| {
        if request.is("PUT") {
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
        // A home directory that is no directory is no mistake.
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
        fault.message.contains(
            "the metadata service of the instance issued no credential: check that it is enabled"
        ),
        "{}",
        fault.message
    );
}

#[tokio::test]
async fn a_container_sends_its_token() {
    let server = Server::start(|request| match request.header("authorization") {
        Some("pod-t0ken") => (200, document("ASIACONTAINER")),
        _ => (401, String::new()),
    })
    .await;
    let file = File::new("pod-t0ken\n");
    let url = server.url("/v1/credentials?id=1");
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &*url);
    for environment in [
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.path()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-t0ken"),
    ] {
        let credential = obtain(aws(None), &[full, environment]).await;
        assert_eq!(
            keys(&credential),
            ("ASIACONTAINER", "s3cret", Some("s3ssion"))
        );
    }
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.is("GET /v1/credentials?id=1 "))
    );
    let refused = fault(aws(None), &[full]).await;
    assert!(
        refused.message.contains(
            "the credential endpoint of the container issued no credential: check its authorization token"
        ),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn keys_are_requested_only_over_tls_or_locally() {
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
                .contains("AWS_CONTAINER_CREDENTIALS_FULL_URI is not an allowed address"),
            "{url}: {}",
            fault.message
        );
    }
}

#[tokio::test]
async fn environment_keys_come_first() {
    let file =
        File::new("[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = file-s3cret\n");
    let files = ("AWS_SHARED_CREDENTIALS_FILE", file.path());
    let id = ("AWS_ACCESS_KEY_ID", "AKIAENV");
    let all = [
        files,
        id,
        ("AWS_SECRET_ACCESS_KEY", "env-s3cret"),
        ("AWS_SESSION_TOKEN", "env-s3ssion"),
    ];
    assert_eq!(
        keys(&obtain(aws(None), &all).await),
        ("AKIAENV", "env-s3cret", Some("env-s3ssion"))
    );
    assert_eq!(
        keys(&obtain(aws(None), &all[..3]).await),
        ("AKIAENV", "env-s3cret", None)
    );
    assert_eq!(
        keys(&obtain(aws(None), &[files]).await),
        ("AKIAFILE", "file-s3cret", None)
    );
    assert_eq!(
        keys(&obtain(aws(Some("default")), &all).await),
        ("AKIAFILE", "file-s3cret", None),
        "a configured profile wins"
    );
    assert!(
        fault(aws(None), &[files, id])
            .await
            .message
            .contains("only one of")
    );
}

#[tokio::test]
async fn profiles_are_parsed_like_the_aws_tools_do() {
    let config = File::new(
        "# comment\n[default]\nregion = x\ns3 =\n  aws_access_key_id = NOT\n  max = 1\naws_access_key_id = AKIACONFIG\n\
         aws_secret_access_key=c0nfig ; comment\n[profile \"a b\"]\n  AWS_Access_Key_Id = AKIAQUOTED\n  aws_secret_access_key = s=e#c\n\
         [sso-session a]\naws_access_key_id = NOT\n[other]\naws_access_key_id = NOT\n[profile empty]\nregion = x\n[broken\nno setting\n",
    );
    let shared = File::new(
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
            keys(&obtain(aws(Some(profile)), &environment).await),
            expected,
            "{profile}"
        );
        let named = [&environment[..], &[("AWS_PROFILE", profile)]].concat();
        assert_eq!(
            keys(&obtain(aws(None), &named).await),
            expected,
            "{profile}"
        );
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
async fn profiles_in_the_home_directory_are_found() {
    let home =
        std::env::temp_dir().join(format!("sluicegate-aws-{:016x}", getrandom::u64().unwrap()));
    std::fs::create_dir_all(home.join(".aws")).unwrap();
    std::fs::write(
        home.join(".aws/config"),
        "[default]\naws_access_key_id = AKIAHOME\naws_secret_access_key = h\n",
    )
    .unwrap();
    assert_eq!(
        keys(&obtain(aws(None), &[("HOME", home.to_str().unwrap())]).await),
        ("AKIAHOME", "h", None)
    );
    std::fs::remove_dir_all(home).unwrap();
}

#[tokio::test]
async fn unusable_profiles_are_reported_with_the_reason() {
    for (lines, expected) in [
        ("aws_access_key_id = AKIA", "add the other"),
        ("role_arn = r", "no keys to assume it with"),
        ("role_arn = r\nsource_profile = p", "never ends"),
        ("role_arn = r\nsource_profile = missing", "does not exist"),
        ("role_arn = r\nsource_profile = empty", "has no keys"),
        (
            "role_arn = r\nmfa_serial = m\nsource_profile = p",
            "mfa_serial",
        ),
        (
            "role_arn = r\ncredential_source = Moon",
            "no keys to assume it with",
        ),
        (
            "role_arn = r\ncredential_source = Environment",
            "credential_source",
        ),
        (
            "role_arn = r\nweb_identity_token_file = /nowhere",
            "web identity token file does not exist",
        ),
        ("sso_session = s", "a browser"),
        ("credential_process = exit 3", "failed"),
        ("credential_process = echo HOSTILE", "did not write keys"),
    ] {
        let file = File::new(&format!(
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
async fn a_credential_process_writes_keys() {
    let keys_of = r#"{\"Version\":1,\"AccessKeyId\":\"ASIAPROCESS\",\"SecretAccessKey\":\"p\",\"SessionToken\":\"s\",\"Expiration\":\"2999-01-01T00:00:00+00:00\"}"#;
    let file = File::new(&format!(
        "[profile p]\ncredential_process = printf %s \"{keys_of}\"\n"
    ));
    let credential = obtain(aws(Some("p")), &[("AWS_CONFIG_FILE", file.path())]).await;
    assert_eq!(keys(&credential), ("ASIAPROCESS", "p", Some("s")));
}

#[tokio::test]
async fn chained_roles_are_assumed_in_order() {
    let server = Server::start(|request| match request.field("RoleArn").as_deref() {
        Some("arn:inner") => (200, sts("AssumeRole", "ASIAINNER")),
        Some("arn:outer") => (200, sts("AssumeRole", "ASIAOUTER")),
        _ => (403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>HOSTILE</Message></Error></ErrorResponse>".into()),
    })
    .await;
    let file = File::new(
        "[profile outer]\nrole_arn = arn:outer\nsource_profile = inner\nexternal_id = ext\nduration_seconds = 900\n\
         [profile inner]\nrole_arn = arn:inner\nsource_profile = base\nrole_session_name = me\n\
         [profile base]\naws_access_key_id = AKIABASE\naws_secret_access_key = b\nrole_arn = arn:other\nsource_profile = base\n",
    );
    let endpoint = server.url("/");
    let environment = [
        ("AWS_CONFIG_FILE", file.path()),
        ("AWS_ENDPOINT_URL_STS", &endpoint),
    ];
    let credential = obtain(aws(Some("outer")), &environment).await;
    assert_eq!(
        keys(&credential),
        ("ASIAOUTER", "r0le/s3cret", Some("r0le=="))
    );
    let requests = server.requests();
    let (inner, outer) = (&requests[0], &requests[1]);
    for (request, by, session) in [
        (inner, "AKIABASE", "me"),
        (outer, "ASIAINNER", "sluicegate"),
    ] {
        let authorization = request.header("authorization").unwrap();
        assert!(
            authorization.starts_with(&format!("AWS4-HMAC-SHA256 Credential={by}/"))
                && authorization.contains("/eu-west-1/sts/aws4_request")
        );
        assert_eq!(request.field("Action").as_deref(), Some("AssumeRole"));
        assert_eq!(request.field("RoleSessionName").as_deref(), Some(session));
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
            .contains("the AWS token service issued no credential: check the role")
            && !refused.message.contains("HOSTILE"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn a_web_identity_assumes_a_role() {
    let server = Server::always(200, sts("AssumeRoleWithWebIdentity", "ASIAWEB")).await;
    let (token, endpoint) = (File::new("eyJ.web.t0ken\n"), server.url("/"));
    let sts_at = ("AWS_ENDPOINT_URL", &*endpoint);
    let file = File::new(&format!(
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
        keys(&obtain(aws(None), &by_environment).await),
        ("ASIAWEB", "r0le/s3cret", Some("r0le=="))
    );
    assert_eq!(
        keys(&obtain(aws(Some("w")), &[sts_at, ("AWS_CONFIG_FILE", file.path())]).await).0,
        "ASIAWEB"
    );
    for (request, session) in server.requests().iter().zip(["pod", "sluicegate"]) {
        assert_eq!(
            request.header("authorization"),
            None,
            "the token authenticates the request"
        );
        for (name, value) in [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", "arn:web"),
            ("RoleSessionName", session),
            ("WebIdentityToken", "eyJ.web.t0ken"),
        ] {
            assert_eq!(request.field(name).as_deref(), Some(value));
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
async fn the_first_keys_of_a_role_may_come_from_the_machine() {
    let server = Server::start(|request| {
        if request.is("POST") {
            (200, sts("AssumeRole", "ASIAROLE"))
        } else {
            instance(request)
        }
    })
    .await;
    let url = server.url("/");
    for (source, more, by) in [
        ("Ec2InstanceMetadata", (IMDS, &*url), "ASIAINSTANCE"),
        ("Environment", ("AWS_SECRET_ACCESS_KEY", "e"), "AKIAENV"),
    ] {
        let file = File::new(&format!(
            "[profile p]\nrole_arn = arn:r\ncredential_source = {source}\n"
        ));
        let environment = [
            ("AWS_CONFIG_FILE", file.path()),
            ("AWS_ENDPOINT_URL_STS", &url),
            ("AWS_ACCESS_KEY_ID", "AKIAENV"),
            more,
        ];
        assert_eq!(
            keys(&obtain(aws(Some("p")), &environment).await).0,
            "ASIAROLE"
        );
        assert!(
            server
                .requests()
                .last()
                .unwrap()
                .header("authorization")
                .unwrap()
                .contains(&format!("Credential={by}/"))
        );
    }
}

#[tokio::test]
async fn the_proxy_is_used_for_remote_requests_only() {
    let proxy = Server::always(200, sts("AssumeRole", "ASIAROLE")).await;
    let metadata = Server::start(instance).await;
    let file =
        File::new("[profile p]\nrole_arn = arn:r\ncredential_source = Ec2InstanceMetadata\n");
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
    let credential = credentials(aws(Some("p")), &environment)
        .obtain(&through)
        .await
        .unwrap();
    assert_eq!(keys(&credential).0, "ASIAROLE");
    assert_eq!((proxy.requests().len(), metadata.requests().len()), (1, 3));
    assert!(proxy.requests()[0].is("POST http://sts.test/ HTTP/1.1"));
}

#[tokio::test]
async fn expired_keys_are_rejected() {
    for (ends, expected) in [
        ("2020-01-01T00:00:00Z", "have already expired"),
        ("soon", "not in RFC 3339 format"),
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
