//! Budgets of end users whom tokens name: each has its own, whatever key they share and whatever a
//! body says.

use serde_json::json;
use sluicegate::ledger::Payer;

use super::{Folder, asked, sum_of};
use crate::rig::issuer::{ISSUER, Signer};
use crate::rig::{Ask, Pace, Say, Scene, Setup, Speech, Upstream, Virtual, WireId, speeches};

const SECRET: &str = "a secret of thirty-two characters";

/// A key that users share by their tokens; an answer costs 0.4 of the 1 that each may spend.
fn setup(upstream: &Upstream, folder: &Folder) -> Setup {
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
async fn users_of_one_key_spend_their_own_and_a_restart_knows_it() {
    let _clock = Virtual::start();
    let (ann, bob) = (token("ann"), token("bob"));
    for speech in speeches() {
        let _scene = Scene::of(format!("{speech:?}"));
        let folder = Folder::new();
        let upstream = Upstream::start(Say::tokens(2).script(WireId::OpenaiChat, Pace::Flat)).await;
        let proxy = setup(&upstream, &folder).start().await;
        let ask = Ask::chat(speech, "m", true);
        for expected in [None, Some("user;period=month;used=80")] {
            let (status, reply, _) = asked(&proxy.client.with_key(&ann), &ask).await;
            assert_eq!((status, reply.header("x-budget-warning")), (200, expected));
        }
        // Whom a body names is nobody's word against a token.
        for ask in [
            &ask,
            &Ask::chat(Speech::Chat, "m", true).set("user", json!("bob")),
        ] {
            let (status, reply, body) = asked(&proxy.client.with_key(&ann), ask).await;
            let said = (status, &body["error"]["code"], &body["error"]["limit"]);
            assert_eq!(
                said,
                (429, &json!("budget_exceeded"), &json!("user")),
                "{body}"
            );
            assert_eq!(
                reply.header("x-should-retry"),
                Some("false"),
                "until the next month"
            );
        }
        assert_eq!(asked(&proxy.client.with_key(&bob), &ask).await.0, 200);
        proxy.at_rest().await;
        let spent = [payer("ann"), payer("bob"), Payer::Key("web".into())]
            .map(|payer| proxy.running.ledger().spent(&payer).1.to_string());
        assert_eq!(spent, ["0.8", "0.4", "1.2"]);
        assert_eq!(
            (sum_of(&proxy, &folder).0, upstream.count()),
            (3, 3),
            "nothing refused has a row, or reaches the upstream"
        );
        proxy.running.drain().await;
        folder.free().await;

        let proxy = setup(&upstream, &folder).start().await;
        let (status, _, body) = asked(&proxy.client.with_key(&ann), &ask).await;
        assert_eq!(
            (status, &body["error"]["limit"]),
            (429, &json!("user")),
            "{body}"
        );
        assert_eq!(
            asked(&proxy.client.with_key(&bob), &ask).await.0,
            200,
            "who has something left goes on"
        );
        assert_eq!(asked(&proxy.client.with_key(&bob), &ask).await.0, 429);
        let users: Vec<_> = folder
            .rows()
            .iter()
            .map(|row| row["user"].clone())
            .collect();
        assert_eq!(users[..3], ["ann", "ann", "bob"]);
    }
}
