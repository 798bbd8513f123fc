"""Each failure is the SDK's own exception for it, over every wire, streaming or not."""

import httpx2
import openai
import pytest

import stack as house
from asking import client, content, says, text

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


@pytest.fixture(params=[True, False], ids=["streamed", "whole"])
def streamed(request):
    return request.param


def failure(kind, asking, **options):
    with pytest.raises(openai.OpenAIError) as raised:
        asking.chat.completions.create(**options)
    assert type(raised.value) is kind, repr(raised.value)
    assert raised.value.request_id and raised.value.body["message"] and set(raised.value.body) >= {"message", "type", "param", "code"}
    return raised.value


@pytest.mark.parametrize("status, kind, ours, code", STATUSES, ids=[str(row[0]) for row in STATUSES])
def test_what_the_upstream_refuses(stack, wire, tag, streamed, status, kind, ours, code):
    error = failure(kind, client(stack), model=wire, messages=says(tag, status=status), stream=streamed)
    assert error.status_code == ours and (code is None or error.code == code), error.body
    if status in (400, 404, 422):
        assert error.body["message"] == f"scripted refusal {status}"
    if status == 429:
        assert error.body["limit"] == "provider" and error.response.headers["retry-after"]
    if status == 401:
        assert "scripted" not in error.body["message"], "what concerns our key is for the operator"


@pytest.mark.parametrize("never", ["head", "body"])
def test_an_upstream_that_never_answers(stack, wire, tag, streamed, never):
    # Of a whole answer over its own wire only the total clock runs (and connect).
    whole = wire == "openai-chat" and not streamed
    clock = "total" if whole else {"head": "headers", "body": "first_token"}[never]
    error = failure(openai.InternalServerError, client(stack), model=f"{wire}-hasty", messages=says(tag, never=never), stream=streamed)
    assert (error.status_code, error.code) == (504, "upstream_timeout")
    assert f"`{clock}` clock" in error.body["message"]
    assert stack.ended(tag)[0]["end"] == "closed"


def test_an_error_in_the_first_event_is_still_a_status(stack, wire, tag):
    error = failure(openai.InternalServerError, client(stack), model=wire, messages=says(tag, error=0), stream=True)
    assert (error.status_code, error.code) == (502, "upstream_error") and "scripted error" in error.body["message"]


def test_an_error_after_twenty_tokens_comes_after_twenty_tokens(stack, wire, tag):
    chunks = []
    with pytest.raises(openai.APIError) as raised:
        for chunk in client(stack).chat.completions.create(model=wire, messages=says(tag, tokens=30, error=20), stream=True):
            chunks.append(chunk)
    assert type(raised.value) is openai.APIError and "scripted error" in raised.value.message
    assert content(chunks) == text(20)
    assert all(choice.finish_reason is None for chunk in chunks for choice in chunk.choices), "no success is told"


def test_an_error_in_what_was_to_be_a_whole_answer(stack, wire, tag):
    error = failure(openai.InternalServerError, client(stack), model=wire, messages=says(tag, tokens=30, error=20))
    assert error.status_code == 502 and "scripted error" in error.body["message"]


@pytest.mark.parametrize("key", [openai.omit, "Bearer sk-wrong"], ids=["none", "wrong"])
def test_a_key_is_needed(stack, tag, streamed, key):
    headers = {"Authorization": key}
    error = failure(openai.AuthenticationError, client(stack), model="openai-chat", messages=says(tag), stream=streamed, extra_headers=headers)
    assert (error.status_code, error.code) == (401, "unauthenticated") and error.response.headers["www-authenticate"] == "Bearer"
    with pytest.raises(openai.AuthenticationError):
        client(stack).models.list(extra_headers=headers)
    assert stack.calls(tag) == []


def test_an_unknown_model(stack, tag, streamed):
    error = failure(openai.NotFoundError, client(stack), model="anthropik", messages=says(tag), stream=streamed)
    assert error.code == "model_not_found" and "anthropic" in error.body["message"]
    with pytest.raises(openai.NotFoundError):
        client(stack).models.retrieve("anthropik")


def test_a_request_that_makes_no_sense(stack, tag):
    error = failure(openai.BadRequestError, client(stack), model="openai-chat", messages=says(tag), extra_body={"stream": "yes"})
    assert error.code == "invalid_request" and "stream" in error.body["message"]


def test_a_limit(stack, tag):
    asking = client(stack, api_key=house.ONE_REQUEST)
    asking.chat.completions.create(model="openai-chat", messages=says(tag))
    error = failure(openai.RateLimitError, asking, model="openai-chat", messages=says(tag), stream=True)
    assert (error.code, error.body["limit"]) == ("rate_limited", "key") and 0 < int(error.response.headers["retry-after"]) <= 60
    assert len(stack.calls(tag)) == 1


def test_our_retries_are_not_multiplied_by_the_clients(stack, wire, tag, streamed):
    asked = []
    with httpx2.Client(event_hooks={"request": [asked.append]}) as http:
        asking = client(stack, max_retries=2, http_client=http)
        error = failure(openai.InternalServerError, asking, model=f"{wire}-again", messages=says(tag, status=500), stream=streamed)
    assert error.response.headers["x-should-retry"] == "false"
    assert len(asked) == 1, "the client is told that it is of no use"
    assert len(stack.calls(tag)) == 2, "once, and once again"


def test_the_client_retries_where_we_did_not(stack, tag):
    with pytest.raises(openai.InternalServerError):
        client(stack, max_retries=1).chat.completions.create(model="openai-chat", messages=says(tag, status=500))
    assert len(stack.calls(tag)) == 2
