//! Authentication by tokens and keys, over real sockets. All invalid credentials get the same
//! refusal, and none reaches the upstream.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::rig::issuer::{AUDIENCE, ISSUER, Issuer, Signer, now};
use crate::rig::tls::Tls;
use crate::rig::upstream::{Framing, Head, Step, json as whole};
use crate::rig::{
    Answer, Case, Client, Dialect, Pace, Proxy, Reply, Request, Setup, Upstream, VirtualClock,
    WireId, within,
};

const KEY: &str = "web-0123456789abcdef";

async fn upstream() -> Upstream {
    Upstream::start(Answer::tokens(2).script(WireId::OpenaiChat, Pace::Flat)).await
}

fn setup(upstream: &Upstream, auth: &str) -> Setup {
    let web = format!("secret = \"{KEY}\"\nmodels = [\"m\", \"x\"]");
    Setup::new()
        .over(WireId::OpenaiChat, upstream)
        .model("x", "[\"up/x-up\"]")
        .section("auth", auth)
        .section("keys.web", &web)
}

fn chat(model: &str) -> Request {
    Request::chat(Dialect::Events, model, false)
}

/// Returns status and code, the body read to its end.
async fn status_and_code(mut reply: Reply) -> (u16, String) {
    let text = reply.text().await;
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    (
        reply.status,
        body["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

async fn status(client: &Client, request: &Request) -> u16 {
    status_and_code(client.ask(request).await).await.0
}

#[tokio::test]
async fn tokens_of_every_algorithm_and_place_identify_the_caller() {
    let upstream = upstream().await;
    let (rsa, ec) = (Signer::rsa(0, "r"), Signer::ec("e"));
    let issuer = Issuer::new(&[rsa.clone(), ec.clone()]).await;
    let by_jwks = setup(&upstream, &issuer.jwt("")).start().await;
    let shared = b"a secret of thirty-two characters";
    let of_secret = format!(
        "mode = \"required\"\njwt = {{ secret = \"{}\", issuer = \"{ISSUER}\" }}",
        std::str::from_utf8(shared).unwrap()
    );
    let by_secret = setup(&upstream, &of_secret).start().await;
    let pem = Signer::public_pem(1);
    let of_pem = format!(
        "mode = \"required\"\njwt = {{ public_key = \"\"\"{pem}\"\"\", audience = [\"a\", \"{AUDIENCE}\"] }}"
    );
    let by_pem = setup(&upstream, &of_pem).start().await;
    for (proxy, signer) in [
        (&by_jwks, rsa),
        (&by_jwks, ec),
        (&by_secret, Signer::secret(shared, "s")),
        (&by_pem, Signer::rsa(1, "any")),
    ] {
        let token = signer.token("ann", &json!({}));
        assert_eq!(
            status(&proxy.client.with_key(&token), &chat("m")).await,
            200
        );
        assert_eq!(
            status(&proxy.client, &chat("m").header("x-api-key", &token)).await,
            200
        );
        assert_eq!(
            status(&proxy.client.with_key(KEY), &chat("m")).await,
            200,
            "a virtual key works too"
        );
    }
    let token = Signer::rsa(0, "r").token("ann", &json!({}));
    let cookie =
        Request::new("GET", "/v1/models").header("cookie", &format!("a=b; session={token}"));
    assert_eq!(status(&by_jwks.client, &cookie).await, 200);
    assert_eq!(issuer.requests(), 1, "the keys are fetched once");
}

#[tokio::test]
async fn keys_are_fetched_over_tls_from_trusted_servers_only() {
    let upstream = upstream().await;
    let signer = Signer::ec("e");
    let issuer = Issuer::new(std::slice::from_ref(&signer)).await;
    let tls = Tls::before(issuer.server.addr).await;
    let auth = |more: &str| {
        let url = format!("https://localhost:{}/keys", tls.port);
        format!(
            "mode = \"required\"\njwt = {{ jwks_url = \"{url}\", issuer = \"{ISSUER}\", audience = \"{AUDIENCE}\"{more} }}"
        )
    };
    let wary = setup(&upstream, &auth("")).start().await;
    let token = signer.token("ann", &json!({}));
    assert_eq!(
        status_and_code(wary.client.with_key(&token).ask(&chat("m")).await)
            .await
            .0,
        503,
        "the signature cannot be verified"
    );
    assert_eq!(
        issuer.requests(),
        0,
        "an untrusted server receives no request"
    );
    // The proxy fetches the keys by itself when it starts.
    let trusting = setup(
        &upstream,
        &auth(&format!(", ca_file = \"{}\"", tls.authority().display())),
    )
    .start()
    .await;
    assert_eq!(
        status(&trusting.client.with_key(&token), &chat("m")).await,
        200
    );
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn streams_belong_to_their_caller_and_survive_a_renewed_token() {
    let upstream = upstream().await;
    let signer = Signer::ec("e");
    let issuer = Issuer::new(std::slice::from_ref(&signer)).await;
    let proxy = setup(&upstream, &issuer.jwt("")).start().await;
    let ann = proxy
        .client
        .with_key(&signer.token("ann", &json!({"key": "web"})));
    let id = ann.ask(&chat("m")).await.stream_id();
    let renewed = signer.token(
        "ann",
        &json!({"key": "web", "exp": now() + 1200, "jti": "another"}),
    );
    assert_eq!(
        proxy.client.with_key(&renewed).status(&id).await["status"],
        "completed"
    );
    let unknown = "a".repeat(26);
    for (holder, credential) in [
        ("another user", signer.token("bob", &json!({"key": "web"}))),
        (
            "the same name without the key",
            signer.token("ann", &json!({})),
        ),
        (
            "a user with the key's name",
            signer.token("web", &json!({})),
        ),
        ("the key itself", KEY.to_owned()),
    ] {
        let other = proxy.client.with_key(&credential);
        for (method, end) in [
            ("GET", ""),
            ("HEAD", ""),
            ("GET", "?stream=true"),
            ("POST", "/cancel"),
            ("DELETE", ""),
            ("POST", "/ticket"),
        ] {
            let _case = Case::new(format!("{holder}: {method} {end}"));
            let mut answers = Vec::new();
            for id in [&id, &unknown] {
                let mut reply = other
                    .ask(&Request::new(method, format!("/v1/streams/{id}{end}")))
                    .await;
                let body = if method == "HEAD" {
                    String::new()
                } else {
                    reply.text().await
                };
                let mut headers = reply.headers.clone();
                headers.retain(|(name, _)| !["x-request-id", "date"].contains(&&**name));
                answers.push((reply.status, headers, body.replace(id.as_str(), "<id>")));
            }
            assert_eq!(
                answers[0], answers[1],
                "no hint that another caller's stream exists"
            );
            assert_eq!(answers[0].0, 404);
        }
    }
    assert_eq!(
        ann.status(&id).await["status"],
        "completed",
        "the stream existed all the time"
    );
}

/// Invalid tokens and what is wrong with them.
fn bad_tokens(signer: &Signer) -> Vec<(&'static str, String)> {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": now() + 600});
    let good = signer.token("ann", &json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let unsigned = |alg: &str| {
        format!(
            "{}.{}.",
            part(&json!({"alg": alg, "kid": "r"})),
            part(&claims)
        )
    };
    let pem = Signer::public_pem(0);
    vec![
        ("alg none", unsigned("none")),
        ("alg nOnE", unsigned("nOnE")),
        ("no signature", format!("{message}.")),
        (
            "none with a signature",
            format!("{}{signature}", unsigned("none")),
        ),
        (
            "key confusion",
            Signer::secret(pem.as_bytes(), "r").token("ann", &json!({})),
        ),
        (
            "another key under the same id",
            Signer::rsa(1, "r").token("ann", &json!({})),
        ),
        ("expired", signer.token("ann", &json!({"exp": now() - 120}))),
        ("no expiry", signer.token("ann", &json!({"exp": null}))),
        ("not yet", signer.token("ann", &json!({"nbf": now() + 120}))),
        (
            "from the future",
            signer.token("ann", &json!({"iat": now() + 120})),
        ),
        (
            "another audience",
            signer.token("ann", &json!({"aud": "elsewhere"})),
        ),
        ("no audience", signer.token("ann", &json!({"aud": null}))),
        (
            "another issuer",
            signer.token("ann", &json!({"iss": "https://evil.example"})),
        ),
        ("no user", signer.token("ann", &json!({"sub": null}))),
        (
            "an invalid list of models",
            signer.token("ann", &json!({"models": 7})),
        ),
        (
            "an unknown key",
            signer.token("ann", &json!({"key": "admin"})),
        ),
        (
            "a disabled key",
            signer.token("ann", &json!({"key": "old"})),
        ),
        (
            "an unknown kid",
            Signer::rsa(0, "other").token("ann", &json!({})),
        ),
        (
            "too long",
            signer.token("ann", &json!({"x": "x".repeat(8 << 10)})),
        ),
        ("nonsense", "a.b.c".into()),
        ("no token", "no-such-key".into()),
    ]
}

#[tokio::test]
async fn every_invalid_token_gets_the_same_refusal() {
    let upstream = upstream().await;
    let signer = Signer::rsa(0, "r");
    let issuer = Issuer::new(&[signer.clone(), Signer::ec("e")]).await;
    let old = "secret = \"old-0123456789abcdef\"\ndisabled = true";
    let proxy = setup(&upstream, &issuer.jwt(""))
        .section("keys.old", old)
        .start()
        .await;
    let mut answers = Vec::new();
    for (what, token) in bad_tokens(&signer) {
        let mut reply = proxy.client.with_key(&token).ask(&chat("m")).await;
        let body = reply.json().await;
        assert_eq!(
            (reply.status, &body["error"]["code"]),
            (401, &json!("unauthenticated")),
            "{what}"
        );
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        answers.push(body.to_string());
        let cookie =
            Request::new("GET", "/v1/models").header("cookie", &format!("session={token}"));
        assert_eq!(
            status(&proxy.client, &cookie).await,
            401,
            "{what} in a cookie"
        );
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(
        status(
            &proxy.client.with_key(&signer.token("ann", &json!({}))),
            &chat("m")
        )
        .await,
        200,
        "a valid token is accepted"
    );
    assert_eq!(upstream.count(), 1, "no invalid token reached the upstream");
}

/// A proxy that trusts `x-forwarded-for`, so that a flood comes from many addresses.
async fn behind_a_load_balancer(upstream: &Upstream, issuer: &Issuer) -> Proxy {
    setup(upstream, &issuer.jwt(""))
        .section("server", "trusted_proxies = [\"127.0.0.1\"]")
        .start()
        .await
}

async fn flood(proxy: &Proxy, round: usize) {
    let requests = (0..150).map(|n| async move {
        let token = Signer::ec(&format!("kid-{round}-{n}")).token("ann", &json!({}));
        let request = Request::new("GET", "/v1/models")
            .header("x-forwarded-for", &format!("10.0.{round}.{n}"));
        status(&proxy.client.with_key(&token), &request).await
    });
    for status in join_all(requests).await {
        assert_eq!(status, 401);
    }
}

#[tokio::test]
async fn a_flood_of_unknown_key_ids_fetches_the_keys_once_in_thirty_seconds() {
    let clock = VirtualClock::start();
    let upstream = upstream().await;
    let signer = Signer::rsa(0, "r");
    let issuer = Issuer::new(std::slice::from_ref(&signer)).await;
    let proxy = behind_a_load_balancer(&upstream, &issuer).await;
    let good = proxy.client.with_key(&signer.token("ann", &json!({})));
    assert_eq!(status(&good, &Request::new("GET", "/v1/models")).await, 200);
    flood(&proxy, 1).await;
    clock.advance(Duration::from_millis(29_500)).await;
    flood(&proxy, 2).await;
    assert_eq!(issuer.requests(), 1);
    clock.advance(Duration::from_millis(600)).await;
    flood(&proxy, 3).await;
    assert_eq!(
        issuer.requests(),
        2,
        "one request after thirty seconds, for all of them"
    );
    clock.advance(Duration::from_secs(29)).await;
    flood(&proxy, 4).await;
    assert_eq!(issuer.requests(), 2);
    assert_eq!(
        status(&good, &Request::new("GET", "/v1/models")).await,
        200,
        "valid tokens are not affected"
    );
}

#[tokio::test]
async fn keys_can_be_rotated_and_withdrawn_keys_end_their_tokens() {
    let clock = VirtualClock::start();
    let upstream = upstream().await;
    let (old, new) = (Signer::rsa(0, "old"), Signer::rsa(1, "new"));
    let issuer = Issuer::new(std::slice::from_ref(&old)).await;
    let proxy = setup(&upstream, &issuer.jwt("")).start().await;
    let (ann, bob) = (
        proxy.client.with_key(&old.token("ann", &json!({}))),
        proxy.client.with_key(&new.token("bob", &json!({}))),
    );
    let request = Request::new("GET", "/v1/models");
    assert_eq!(
        (status(&ann, &request).await, status(&bob, &request).await),
        (200, 401)
    );
    issuer.publish(&[old.clone(), new.clone()]);
    clock.advance(Duration::from_secs(30)).await;
    assert_eq!(
        (
            status(&bob, &request).await,
            status(&ann, &request).await,
            issuer.requests()
        ),
        (200, 200, 2)
    );
    issuer.publish(std::slice::from_ref(&new));
    clock.advance(Duration::from_secs(600)).await;
    // The first request finds that the keys are old: it is still served with them, and starts a
    // refresh.
    assert_eq!(status(&bob, &request).await, 200);
    issuer.server.ended(2).await;
    let withdrawn = async {
        while status(&ann, &request).await != 401 {
            tokio::task::yield_now().await;
        }
    };
    within("tokens of the withdrawn key to be rejected", withdrawn).await;
    assert_eq!((status(&bob, &request).await, issuer.requests()), (200, 3));
}

#[tokio::test]
async fn an_unreachable_issuer_blocks_neither_startup_nor_known_tokens() {
    let clock = VirtualClock::start();
    let upstream = upstream().await;
    let signer = Signer::ec("e");
    let issuer = Issuer::new(std::slice::from_ref(&signer)).await;
    issuer.answer(whole(500, "{}"));
    let proxy = setup(&upstream, &issuer.jwt("")).start().await;
    let ann = proxy.client.with_key(&signer.token("ann", &json!({})));
    let request = Request::new("GET", "/v1/models");
    for _ in 0..20 {
        let reply = ann.ask(&request).await;
        let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=30).contains(&after), "{after}");
        assert_eq!(status_and_code(reply).await, (503, "overloaded".into()));
    }
    assert_eq!(
        status(&proxy.client.with_key(KEY), &request).await,
        200,
        "virtual keys do not need the issuer"
    );
    let huge = vec![b' '; 300 << 10];
    let elsewhere = Head {
        status: 302,
        headers: vec![("location".into(), "http://127.0.0.1:1/".into())],
        framing: Framing::Length(0),
    };
    for bad in [
        whole(200, "{\"keys\":[]}"),
        whole(200, "no keys"),
        whole(200, huge),
        vec![Step::Head(elsewhere), Step::End],
        vec![Step::Reset],
    ] {
        issuer.answer(bad);
        clock.advance(Duration::from_secs(30)).await;
        assert_eq!(status(&ann, &request).await, 503);
    }
    assert_eq!(issuer.requests(), 6);
    issuer.publish(std::slice::from_ref(&signer));
    clock.advance(Duration::from_secs(30)).await;
    assert_eq!((status(&ann, &request).await, issuer.requests()), (200, 7));
    issuer.answer(whole(500, "{}"));
    clock.advance(Duration::from_secs(3600)).await;
    assert_eq!(status(&ann, &request).await, 200, "known keys stay valid");
    issuer.server.ended(7).await;
    assert_eq!(status(&ann, &request).await, 200);
    tokio::time::advance(Duration::from_secs(23 * 3600)).await;
    assert_eq!(
        status(&ann, &request).await,
        503,
        "known keys expire in the end"
    );
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table of requests")]
async fn a_cookie_counts_for_trusted_pages_only() {
    let upstream = upstream().await;
    let signer = Signer::ec("e");
    let issuer = Issuer::new(std::slice::from_ref(&signer)).await;
    let origins = "allowed_origins = [\"https://chat.example\"]";
    let proxy = setup(&upstream, &issuer.jwt(""))
        .section("server", origins)
        .start()
        .await;
    let own = format!("http://{}", proxy.running.addr());
    let good = format!("session={}", signer.token("ann", &json!({})));
    let expired = format!(
        "session={}",
        signer.token("ann", &json!({"exp": now() - 120}))
    );
    let read = || Request::new("GET", "/v1/models");
    let stop = || Request::new("POST", format!("/v1/streams/{}/cancel", "a".repeat(26)));
    for (what, request, cookie, fields, status) in [
        ("reading", read(), &good, &[][..], 200),
        (
            "reading by our own page",
            read(),
            &good,
            &[("sec-fetch-site", "same-origin")],
            200,
        ),
        (
            "reading by a link from elsewhere",
            read(),
            &good,
            &[("sec-fetch-site", "cross-site")],
            401,
        ),
        (
            "reading by another page",
            read(),
            &good,
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://evil.example"),
            ],
            403,
        ),
        (
            "reading by an allowed page",
            read(),
            &good,
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://chat.example"),
            ],
            200,
        ),
        ("asking without an origin", chat("m"), &good, &[], 401),
        (
            "asking by another page",
            chat("m"),
            &good,
            &[("origin", "https://evil.example")],
            403,
        ),
        (
            "asking by a page without one",
            chat("m"),
            &good,
            &[("origin", "null")],
            403,
        ),
        (
            "asking by an allowed page",
            chat("m"),
            &good,
            &[("origin", "https://chat.example")],
            200,
        ),
        (
            "asking by our own page",
            chat("m"),
            &good,
            &[("origin", &own)],
            200,
        ),
        ("stopping without an origin", stop(), &good, &[], 401),
        (
            "stopping by an allowed page",
            stop(),
            &good,
            &[("origin", "https://chat.example")],
            404,
        ),
        ("an expired cookie", read(), &expired, &[], 401),
        (
            "a header wins",
            read(),
            &good,
            &[("x-api-key", "wrong")],
            401,
        ),
        (
            "a header wins for good",
            read(),
            &expired,
            &[("x-api-key", KEY)],
            200,
        ),
    ] {
        let request = fields.iter().fold(
            request.header("cookie", cookie),
            |request, (name, value)| request.header(name, value),
        );
        assert_eq!(
            self::status(&proxy.client, &request).await,
            status,
            "{what}"
        );
    }
    let anywhere = setup(&upstream, &issuer.jwt(""))
        .section("server", "allowed_origins = \"*\"")
        .start()
        .await;
    for (request, origin, status) in [
        (chat("m"), "https://evil.example", 401),
        (read(), "https://evil.example", 401),
    ] {
        let request = request
            .header("cookie", &good)
            .header("origin", origin)
            .header("sec-fetch-site", "cross-site");
        assert_eq!(
            self::status(&anywhere.client, &request).await,
            status,
            "a wildcard origin does not allow cookies"
        );
    }
}

#[tokio::test]
async fn invalid_tokens_count_as_failed_authentications() {
    let upstream = upstream().await;
    let signer = Signer::ec("e");
    let issuer = Issuer::new(std::slice::from_ref(&signer)).await;
    let proxy = setup(&upstream, &issuer.jwt("")).start().await;
    let expired = signer.token("ann", &json!({"exp": now() - 120}));
    for n in 0..60 {
        let request = Request::new("GET", "/v1/models");
        let request = if n % 2 == 0 {
            request.header("cookie", &format!("session={expired}"))
        } else {
            request.header("x-api-key", &expired)
        };
        assert_eq!(status(&proxy.client, &request).await, 401);
    }
    let good = proxy.client.with_key(&signer.token("ann", &json!({})));
    assert_eq!(
        status_and_code(good.ask(&Request::new("GET", "/v1/models")).await).await,
        (429, "rate_limited".into())
    );
}

#[tokio::test]
async fn a_token_narrows_its_key_and_never_widens_it() {
    let upstream = upstream().await;
    let signer = Signer::ec("e");
    let issuer = Issuer::new(std::slice::from_ref(&signer)).await;
    let setup = setup(
        &upstream,
        &issuer.jwt(", default_key = \"web\", claims = { models = \"may\" }"),
    );
    let proxy = setup.model("y", "[\"up/y-up\"]").start().await;
    for (claims, m, x, y) in [
        (json!({}), 200, 200, 403),
        (json!({"key": "web"}), 200, 200, 403),
        (json!({"may": ["m"]}), 200, 403, 403),
        (json!({"may": "*"}), 200, 200, 403),
        (json!({"may": ["y"]}), 403, 403, 403),
        (json!({"may": []}), 403, 403, 403),
        (json!({"models": ["m"]}), 200, 200, 403),
    ] {
        let ann = proxy.client.with_key(&signer.token("ann", &claims));
        for (model, expected) in [("m", m), ("x", x), ("y", y)] {
            assert_eq!(
                status(&ann, &chat(model)).await,
                expected,
                "{claims} {model}"
            );
        }
        let models = ann
            .ask(&Request::new("GET", "/v1/models"))
            .await
            .json()
            .await;
        let names: Vec<_> = models["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect();
        let may = [("m", m), ("x", x), ("y", y)]
            .into_iter()
            .filter(|(_, status)| *status == 200)
            .map(|(name, _)| name);
        assert_eq!(names, may.collect::<Vec<_>>(), "{claims}");
    }
}

#[tokio::test]
async fn a_reload_keeps_the_fetched_keys_and_a_revoked_key_ends_its_tokens_but_no_stream() {
    let upstream = Upstream::start(Answer::tokens(4).script(WireId::OpenaiChat, Pace::Gate)).await;
    let signer = Signer::ec("e");
    let issuer = Issuer::new(std::slice::from_ref(&signer)).await;
    let first = setup(&upstream, &issuer.jwt(""));
    let proxy = first.clone().start().await;
    let token = signer.token("ann", &json!({"key": "web"}));
    let ann = proxy.client.with_key(&token);
    upstream.open(2);
    let mut running = ann.ask(&Request::chat(Dialect::Events, "m", true)).await;
    let id = running.stream_id();
    proxy.running.reload(first.config()).unwrap();
    assert_eq!(
        (ann.status(&id).await["status"].as_str(), issuer.requests()),
        (Some("running"), 1)
    );
    proxy
        .running
        .reload(first.section("keys.web", "disabled = true").config())
        .unwrap();
    for (method, end) in [
        ("GET", ""),
        ("GET", "?stream=true"),
        ("POST", "/cancel"),
        ("DELETE", ""),
        ("POST", "/ticket"),
    ] {
        assert_eq!(
            status(
                &ann,
                &Request::new(method, format!("/v1/streams/{id}{end}"))
            )
            .await,
            401,
            "{method} {end}"
        );
    }
    assert_eq!(status(&proxy.client.with_key(KEY), &chat("m")).await, 401);
    let other = proxy.client.with_key(&signer.token("ann", &json!({})));
    assert_eq!(
        status(&other, &Request::new("GET", "/v1/models")).await,
        200,
        "a token without the key is not affected"
    );
    upstream.open(20);
    let received = running.received().await;
    assert!(
        received.is_success(),
        "a running stream continues: {received:?}"
    );
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn identifying_a_caller_is_measured() {
    use sluicegate::auth::{Auth, AuthRequest};
    let signer = Signer::rsa(0, "r");
    let pem = Signer::public_pem(0);
    let auth = format!(
        "mode = \"required\"\njwt = {{ public_key = \"\"\"{pem}\"\"\", audience = \"{AUDIENCE}\" }}"
    );
    let config = setup(&upstream().await, &auth).config();
    let auth = Auth::new(&config.auth, None).unwrap();
    let fields = |token: &str| {
        http::HeaderMap::from_iter([(
            http::header::AUTHORIZATION,
            format!("Bearer {token}").parse().unwrap(),
        )])
    };
    let (key, token) = (
        fields(KEY),
        fields(&signer.token("ann", &json!({"key": "web"}))),
    );
    let fresh: Vec<_> = (0..50)
        .map(|n| fields(&signer.token(&format!("user-{n}"), &json!({}))))
        .collect();
    let cost = async |all: &mut dyn Iterator<Item = &http::HeaderMap>| {
        let (begun, mut count) = (Instant::now(), 0);
        for headers in all {
            auth.identify(&AuthRequest {
                method: &http::Method::POST,
                headers,
                trusted_page: false,
            })
            .await
            .unwrap();
            count += 1;
        }
        begun.elapsed() / count
    };
    let of_key = cost(&mut std::iter::repeat_n(&key, 2000)).await;
    let of_token = cost(&mut std::iter::repeat_n(&token, 2000)).await;
    let of_new = cost(&mut fresh.iter()).await;
    println!(
        "identify: a key {of_key:?}, a known token {of_token:?}, a new token (RS256) {of_new:?}"
    );
}
