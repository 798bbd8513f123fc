"""openai-python raises its own exception for each failure, over every wire, streaming or not."""

import httpx2
import openai
import pytest

import stack as harness
from clients import client, content, scripted, text

STATUSES = [
    (400, openai.BadRequestError, 400, "invalid_request"),
    (401, openai.InternalServerError, 502, "upstream_auth"),
    (404, openai.NotFoundError, 404, None),
    (409, openai.InternalServerError, 502, "upstream_error"),
    (422, openai.UnprocessableEntityError, 422, None),
    (429, openai.RateLimitError, 429, "rate_limited"),
    (502, openai.InternalServerError, 502, "upstream_error"),
    (503, openai.InternalServerError, 503, "overloaded"),
    (504, openai.InternalServerError, 502, "upstream_error"),
]


@pytest.fixture(params=[True, False], ids=["streaming", "non-streaming"])
def streamed(request):
    return request.param


def failure(kind, api, **options):
    with pytest.raises(openai.OpenAIError) as raised:
        api.chat.completions.create(**options)
    assert type(raised.value) is kind, repr(raised.value)
    assert raised.value.request_id and raised.value.body["message"] and set(raised.value.body) >= {"message", "type", "param", "code"}
    return raised.value


@pytest.mark.parametrize("status, kind, ours, code", STATUSES, ids=[str(row[0]) for row in STATUSES])
def test_an_error_status_of_the_upstream(stack, wire, tag, streamed, status, kind, ours, code):
    error = failure(kind, client(stack), model=wire, messages=scripted(tag, status=status), stream=streamed)
    assert error.status_code == ours and (code is None or error.code == code), error.body
    if status in (400, 404, 422):
        assert error.body["message"] == f"scripted refusal {status}"
    if status == 429:
        assert error.body["limit"] == "provider" and error.response.headers["retry-after"]
    if status == 401:
        assert "scripted" not in error.body["message"], "errors about our key are for the operator only"


@pytest.mark.parametrize("never", ["head", "body"])
def test_an_upstream_that_never_answers(stack, wire, tag, streamed, never):
    # A non-streaming request over the dialect's own wire has only the clocks `connect` and `total`.
    lossless = wire == "openai-chat" and not streamed
    clock = "total" if lossless else {"head": "headers", "body": "first_token"}[never]
    error = failure(openai.InternalServerError, client(stack), model=f"{wire}-hasty", messages=scripted(tag, never=never), stream=streamed)
    assert (error.status_code, error.code) == (504, "upstream_timeout")
    assert f"`{clock}` clock" in error.body["message"]
    assert stack.wait_ended(tag)[0]["end"] == "closed"


def test_an_error_in_the_first_event_is_still_a_status(stack, wire, tag):
    error = failure(openai.InternalServerError, client(stack), model=wire, messages=scripted(tag, error=0), stream=True)
    assert (error.status_code, error.code) == (502, "upstream_error") and "scripted error" in error.body["message"]


def test_an_error_follows_the_tokens_before_it(stack, wire, tag):
    chunks = []
    with pytest.raises(openai.APIError) as raised:
        for chunk in client(stack).chat.completions.create(model=wire, messages=scripted(tag, tokens=30, error=20), stream=True):
            chunks.append(chunk)
    assert type(raised.value) is openai.APIError and "scripted error" in raised.value.message
    assert content(chunks) == text(20)
    assert all(choice.finish_reason is None for chunk in chunks for choice in chunk.choices), "the stream reports no success"


def test_an_error_in_a_non_streaming_answer(stack, wire, tag):
    error = failure(openai.InternalServerError, client(stack), model=wire, messages=scripted(tag, tokens=30, error=20))
    assert error.status_code == 502 and "scripted error" in error.body["message"]


@pytest.mark.parametrize("key", [openai.omit, "Bearer sk-wrong"], ids=["none", "wrong"])
def test_a_key_is_required(stack, tag, streamed, key):
    headers = {"Authorization": key}
    error = failure(openai.AuthenticationError, client(stack), model="openai-chat", messages=scripted(tag), stream=streamed, extra_headers=headers)
    assert (error.status_code, error.code) == (401, "unauthenticated") and error.response.headers["www-authenticate"] == "Bearer"
    with pytest.raises(openai.AuthenticationError):
        client(stack).models.list(extra_headers=headers)
    assert stack.calls(tag) == []


def test_an_unknown_model(stack, tag, streamed):
    error = failure(openai.NotFoundError, client(stack), model="anthropik", messages=scripted(tag), stream=streamed)
    assert error.code == "model_not_found" and "anthropic" in error.body["message"]
    with pytest.raises(openai.NotFoundError):
        client(stack).models.retrieve("anthropik")


def test_an_invalid_request(stack, tag):
    error = failure(openai.BadRequestError, client(stack), model="openai-chat", messages=scripted(tag), extra_body={"stream": "yes"})
    assert error.code == "invalid_request" and "stream" in error.body["message"]


def test_a_rate_limit(stack, tag):
    api = client(stack, api_key=harness.ONE_REQUEST)
    api.chat.completions.create(model="openai-chat", messages=scripted(tag))
    error = failure(openai.RateLimitError, api, model="openai-chat", messages=scripted(tag), stream=True)
    assert (error.code, error.body["limit"]) == ("rate_limited", "key") and 0 < int(error.response.headers["retry-after"]) <= 60
    assert len(stack.calls(tag)) == 1


def test_the_client_does_not_retry_after_our_retries(stack, wire, tag, streamed):
    requests = []
    with httpx2.Client(event_hooks={"request": [requests.append]}) as http:
        api = client(stack, max_retries=2, http_client=http)
        error = failure(openai.InternalServerError, api, model=f"{wire}-again", messages=scripted(tag, status=500), stream=streamed)
    assert error.response.headers["x-should-retry"] == "false"
    assert len(requests) == 1, "x-should-retry stops the client"
    assert len(stack.calls(tag)) == 2, "one attempt and one retry"


def test_the_client_retries_if_we_did_not(stack, tag):
    with pytest.raises(openai.InternalServerError):
        client(stack, max_retries=1).chat.completions.create(model="openai-chat", messages=scripted(tag, status=500))
    assert len(stack.calls(tag)) == 2
