use super::server::Server;
use super::*;

fn entra(url: String) -> Credential {
    Credential::Entra(Entra {
        token_url: url,
        client_id: "the-client".into(),
        client_secret: "the~secret/&".to_owned().into(),
        scope: "https://cognitiveservices.azure.com/.default".into(),
    })
}

#[tokio::test]
async fn an_application_gets_its_token() {
    for given in [
        r#"{"token_type":"Bearer","expires_in":3599,"access_token":"t0ken"}"#,
        r#"{"expires_in":"3599","access_token":"t0ken"}"#,
    ] {
        let server = Server::always(200, given).await;
        let credential = obtain(entra(server.url("/tenant/oauth2/v2.0/token")), &[]).await;
        assert_eq!(token(&credential), "Bearer t0ken");
        let request = server.requests().remove(0);
        assert!(request.is("POST /tenant/oauth2/v2.0/token HTTP/1.1"));
        assert_eq!(
            request.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
        for (name, value) in [
            ("grant_type", "client_credentials"),
            ("client_id", "the-client"),
            ("client_secret", "the~secret/&"),
            ("scope", "https://cognitiveservices.azure.com/.default"),
        ] {
            assert_eq!(request.field(name).as_deref(), Some(value));
        }
    }
}

#[tokio::test]
async fn invalid_responses_are_reported_without_their_text() {
    for (status, body, expected) in [
        (
            401,
            r#"{"error":"invalid_client","error_description":"HOSTILE","error_codes":[7000215]}"#,
            "check `tenant_id`",
        ),
        (
            400,
            r#"{"error":"HOSTILE with spaces"}"#,
            "check `tenant_id`",
        ),
        (500, "HOSTILE", "check `tenant_id`"),
        (
            200,
            r#"{"access_token":["HOSTILE"]}"#,
            "did not answer with a credential",
        ),
        (
            200,
            r#"{"access_token":"HOSTILE\n"}"#,
            "did not answer with a credential",
        ),
        (302, "HOSTILE", "check `tenant_id`"),
    ] {
        let server = Server::always(status, body).await;
        let fault = fault(entra(server.url("/token")), &[]).await;
        assert!(
            fault.message.contains(expected) && !fault.message.contains("HOSTILE"),
            "{}",
            fault.message
        );
        assert!(!fault.message.contains("127.0.0.1"), "{}", fault.message);
    }
    let huge = Server::always(200, "x".repeat(70_000)).await;
    assert!(
        fault(entra(huge.url("/")), &[])
            .await
            .message
            .contains("more than")
    );
    let closed = entra("http://127.0.0.1:1/".into());
    assert!(
        fault(closed, &[])
            .await
            .message
            .contains("cannot be reached")
    );
}

#[tokio::test]
async fn a_rejected_token_is_fetched_again_and_a_valid_one_is_not() {
    let server = Server::always(200, r#"{"expires_in":3599,"access_token":"t0ken"}"#).await;
    let credentials = credentials(entra(server.url("/")), &[]);
    let credential = credentials.obtain(&client()).await.unwrap();
    credential.record_response(StatusCode::FORBIDDEN, &HeaderMap::new());
    credential.record_response(StatusCode::OK, &HeaderMap::new());
    credentials.obtain(&client()).await.unwrap();
    assert_eq!(server.requests().len(), 1);
    credential.record_response(StatusCode::UNAUTHORIZED, &HeaderMap::new());
    credentials.obtain(&client()).await.unwrap();
    assert_eq!(server.requests().len(), 2);
}
