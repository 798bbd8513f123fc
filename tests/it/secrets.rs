//! The request that an upstream receives, and the data it must never see.

use crate::rig::{Answer, Case, Pace, Request, Setup, Upstream, WireId, pairs};

/// Header fields about the client itself.
const OWN: [(&str, &str); 6] = [
    ("cookie", "session=secret"),
    ("x-api-key", "ann-0123456789abcdef"),
    ("x-forwarded-for", "203.0.113.9"),
    ("x-stainless-os", "Linux"),
    ("x-stream-id", "a-name-of-the-callers-own-0001"),
    ("forwarded", "for=203.0.113.9"),
];

#[tokio::test]
async fn the_upstream_gets_our_credential_and_no_client_data() {
    for (dialect, wire) in pairs() {
        let _case = Case::new(format!("{dialect:?} over {wire:?}"));
        let upstream = Upstream::start(Answer::tokens(1).script(wire, Pace::Flat)).await;
        let setup = Setup::new()
            .over(wire, &upstream)
            .section("auth", "mode = \"required\"");
        let proxy = setup
            .section(
                "keys.ann",
                "secret = \"ann-0123456789abcdef\"\nmodels = [\"*\"]",
            )
            .start()
            .await;
        let request = OWN.iter().fold(
            Request::chat(dialect, "m", true),
            |request, (name, value)| request.header(name, value),
        );
        let received = proxy
            .client
            .with_key("ann-0123456789abcdef")
            .ask(&request)
            .await
            .received()
            .await;
        assert!(received.is_success(), "{received:?}");
        let call = upstream.call(0);
        let (field, value) = match wire {
            WireId::Anthropic => ("x-api-key", "upstream-secret"),
            WireId::Gemini => ("x-goog-api-key", "upstream-secret"),
            _ => ("authorization", "Bearer upstream-secret"),
        };
        assert_eq!(call.header(field), Some(value));
        for (name, value) in OWN {
            assert!(
                call.header(name).is_none_or(|it| it != value),
                "{name} was sent upstream"
            );
            assert!(!call.line.contains(value));
        }
        assert_eq!(
            call.headers
                .iter()
                .filter(|(_, value)| value.contains("ann-0123456789abcdef"))
                .count(),
            0
        );
        assert_eq!(
            call.headers
                .iter()
                .filter(|(_, value)| value.contains("upstream-secret"))
                .count(),
            1
        );
        assert!(
            !call.line.contains("upstream-secret"),
            "a credential must not be in the path: {}",
            call.line
        );
    }
}
