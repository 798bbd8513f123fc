//! The operator's endpoints on the admin listener, and who counts as the operator.

use crate::raw::ask;
use crate::server::{TestServer, per_minute, settings};

const CANCEL: &str = "POST /api/streams/abc/cancel";
const NOTHING: &str = "Content-Length: 0";
/// With a proxy in between, a loopback peer address alone proves nothing.
const FORWARDED: &str = "X-Forwarded-For: 203.0.113.7";

#[tokio::test]
async fn this_machine_is_the_operator_and_a_page_is_not() {
    let server = TestServer::plain();
    let stopped = ask(server.admin, CANCEL, &[NOTHING]).await;
    assert_eq!(
        (stopped.status.as_u16(), &*stopped.body),
        (200, "abc stopped")
    );
    assert_eq!(
        ask(
            server.admin,
            CANCEL,
            &[NOTHING, "Origin: https://evil.example"]
        )
        .await
        .code(),
        "origin_not_allowed"
    );
    let wrong = ask(server.admin, "GET /api/streams/abc/cancel", &[]).await;
    assert_eq!((wrong.status.as_u16(), wrong.field("allow")), (405, "POST"));
    for path in [
        "POST /api/streams//cancel",
        "POST /api/streams/abc",
        "POST /api/streams/a/b/cancel",
        "GET /api/",
    ] {
        assert_eq!(
            ask(server.admin, path, &[NOTHING]).await.status,
            404,
            "{path}"
        );
    }
    assert!(
        !ask(server.clients, CANCEL, &[NOTHING])
            .await
            .body
            .contains("stopped"),
        "clients have no such path"
    );
}

#[tokio::test]
async fn a_forwarded_operator_request_needs_the_token() {
    let mut with_token = settings();
    with_token.admin_token = Some("hunter2-hunter2".into());
    let server = TestServer::open(&with_token, &per_minute(1));
    for credential in [
        "Authorization: Bearer hunter2-hunter2",
        "X-Api-Key: hunter2-hunter2",
    ] {
        assert_eq!(
            ask(server.admin, CANCEL, &[NOTHING, FORWARDED, credential])
                .await
                .status,
            200,
            "{credential}"
        );
    }
    for credential in [
        "Authorization: Bearer hunter2-hunter",
        "Authorization: hunter2-hunter2",
        "Cookie: admin_token=hunter2-hunter2",
    ] {
        let refused = ask(server.admin, CANCEL, &[NOTHING, FORWARDED, credential]).await;
        assert_eq!(
            (refused.status.as_u16(), refused.field("www-authenticate")),
            (401, "Bearer"),
            "{credential}"
        );
        assert!(!refused.body.contains("hunter2"));
    }
    assert_eq!(
        ask(server.admin, "GET /healthz", &[FORWARDED]).await.status,
        200
    );

    let without = TestServer::plain();
    assert_eq!(
        ask(
            without.admin,
            CANCEL,
            &[NOTHING, FORWARDED, "Authorization: Bearer "]
        )
        .await
        .status,
        401
    );
}

#[tokio::test]
async fn guesses_of_the_token_are_limited_and_the_operators_cancel_is_not() {
    let mut with_token = settings();
    with_token.admin_token = Some("hunter2-hunter2".into());
    let server = TestServer::open(&with_token, &per_minute(1000));
    let mut statuses = Vec::new();
    for _ in 0..70 {
        statuses.push(
            ask(
                server.admin,
                CANCEL,
                &[NOTHING, FORWARDED, "Authorization: Bearer guess"],
            )
            .await
            .status
            .as_u16(),
        );
    }
    assert_eq!(
        (statuses.first(), statuses.last()),
        (Some(&401), Some(&429))
    );
    assert_eq!(
        ask(server.admin, CANCEL, &[NOTHING]).await.status,
        200,
        "no limit refuses the operator's cancel"
    );
}
