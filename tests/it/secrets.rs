//! What an upstream is sent, and what it must never see.

use crate::rig::{Ask, Pace, Say, Scene, Setup, Upstream, WireId, pairs};

/// What clients send about themselves.
const OWN: [(&str, &str); 6] = [
    ("cookie", "session=secret"),
    ("x-api-key", "ann-0123456789abcdef"),
    ("x-forwarded-for", "203.0.113.9"),
    ("x-stainless-os", "Linux"),
    ("x-stream-id", "a-name-of-the-callers-own-0001"),
    ("forwarded", "for=203.0.113.9"),
];

#[tokio::test]
async fn the_upstream_gets_our_credential_and_nothing_of_the_clients() {
    for (speech, wire) in pairs() {
        let _scene = Scene::of(format!("{speech:?} over {wire:?}"));
        let upstream = Upstream::start(Say::tokens(1).script(wire, Pace::Flat)).await;
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
        let ask = OWN
            .iter()
            .fold(Ask::chat(speech, "m", true), |ask, (name, value)| {
                ask.header(name, value)
            });
        let told = proxy
            .client
            .with_key("ann-0123456789abcdef")
            .ask(&ask)
            .await
            .told()
            .await;
        assert!(told.is_success(), "{told:?}");
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
                "{name} went upstream"
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
            "a credential never stands in a path: {}",
            call.line
        );
    }
}
