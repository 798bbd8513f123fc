//! Budgets of end users identified by tokens: each user has a budget, whatever key they share and
//! whatever user a body names.

use serde_json::json;
use sluicegate::ledger::Payer;

use super::{LedgerFolder, ask_whole, checked_sum};
use crate::rig::issuer::{ISSUER, Signer};
use crate::rig::{
    Answer, Case, Dialect, Pace, Request, Setup, Upstream, VirtualClock, WireId, dialects,
};

const SECRET: &str = "a secret of thirty-two characters";

/// A proxy with a key that users share through tokens; an answer costs 0.4 of each user's budget of
/// 1.
fn setup(upstream: &Upstream, folder: &LedgerFolder) -> Setup {
    Setup::new()
        .over(WireId::OpenaiChat, upstream)
        .section(
            "auth",
            &format!(
                "mode = \"required\"\njwt = {{ secret = \"{SECRET}\", issuer = \"{ISSUER}\" }}"
            ),
        )
        .section(
            "keys.web",
            "secret = \"web-0123456789abcdef\"\nmodels = [\"*\"]",
        )
        .section("prices.\"up/*\"", "request = 0.4")
        .section("budgets", "user = { month = 1 }")
        .top(&format!("data_dir = {:?}", folder.0))
}

fn token(user: &str) -> String {
    Signer::secret(SECRET.as_bytes(), "s").token(user, &json!({"key": "web"}))
}

fn payer(user: &str) -> Payer {
    Payer::User {
        key: "web".into(),
        user: user.into(),
    }
}

#[tokio::test]
async fn users_of_one_key_have_their_own_budgets_which_survive_a_restart() {
    let _clock = VirtualClock::start();
    let (ann, bob) = (token("ann"), token("bob"));
    for dialect in dialects() {
        let _case = Case::new(format!("{dialect:?}"));
        let folder = LedgerFolder::new();
        let upstream =
            Upstream::start(Answer::tokens(2).script(WireId::OpenaiChat, Pace::Flat)).await;
        let proxy = setup(&upstream, &folder).start().await;
        let request = Request::chat(dialect, "m", true);
        for expected in [None, Some("user;period=month;used=80")] {
            let (status, reply, _) = ask_whole(&proxy.client.with_key(&ann), &request).await;
            assert_eq!((status, reply.header("x-budget-warning")), (200, expected));
        }
        // The user in a body does not override the user of a token.
        for request in [
            &request,
            &Request::chat(Dialect::Chat, "m", true).set("user", json!("bob")),
        ] {
            let (status, reply, body) = ask_whole(&proxy.client.with_key(&ann), request).await;
            let refusal = (status, &body["error"]["code"], &body["error"]["limit"]);
            assert_eq!(
                refusal,
                (429, &json!("budget_exceeded"), &json!("user")),
                "{body}"
            );
            assert_eq!(
                reply.header("x-should-retry"),
                Some("false"),
                "until the next month"
            );
        }
        assert_eq!(
            ask_whole(&proxy.client.with_key(&bob), &request).await.0,
            200
        );
        proxy.at_rest().await;
        let spent = [payer("ann"), payer("bob"), Payer::Key("web".into())]
            .map(|payer| proxy.running.ledger().spent(&payer).1.to_string());
        assert_eq!(spent, ["0.8", "0.4", "1.2"]);
        assert_eq!(
            (checked_sum(&proxy, &folder).0, upstream.count()),
            (3, 3),
            "no refused request has a row or reaches the upstream"
        );
        proxy.running.drain().await;
        folder.free().await;

        let proxy = setup(&upstream, &folder).start().await;
        let (status, _, body) = ask_whole(&proxy.client.with_key(&ann), &request).await;
        assert_eq!(
            (status, &body["error"]["limit"]),
            (429, &json!("user")),
            "{body}"
        );
        assert_eq!(
            ask_whole(&proxy.client.with_key(&bob), &request).await.0,
            200,
            "a user with budget left can continue"
        );
        assert_eq!(
            ask_whole(&proxy.client.with_key(&bob), &request).await.0,
            429
        );
        let users: Vec<_> = folder
            .rows()
            .iter()
            .map(|row| row["user"].clone())
            .collect();
        assert_eq!(users[..3], ["ann", "ann", "bob"]);
    }
}
