"""Reads with boto3, AWS's own decoder of event streams. It has no accumulator."""

import boto3
from botocore.config import Config

from transcript import REASONS, Transcript


class Reader:
    def __init__(self, url):
        config = Config(retries={"total_max_attempts": 1}, read_timeout=20)
        keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
        self.client = boto3.session.Session().client("bedrock-runtime", endpoint_url=url, config=config, **keys)

    def read(self, model):
        transcript = Transcript()
        response = self.client.converse_stream(modelId=model, messages=[{"role": "user", "content": [{"text": "x"}]}])
        for event in response["stream"]:
            read_event(transcript, transcript.choice(), event)
        return transcript


def read_event(transcript, to, event):
    [(name, data)] = event.items()
    use = data.get("start", {}).get("toolUse")
    # The provider runs server tools itself, so the proxy does not report them as calls.
    if use and use.get("type") != "server_tool_use":
        to.add_call(data["contentBlockIndex"], use["toolUseId"], use["name"])
    elif name == "contentBlockDelta":
        delta = data["delta"]
        to.text += delta.get("text", "")
        to.reasoning += delta.get("reasoningContent", {}).get("text", "")
        if "toolUse" in delta and data["contentBlockIndex"] in to.calls:
            to.add_call(data["contentBlockIndex"], arguments=delta["toolUse"]["input"])
    elif name == "messageStop":
        to.finish = REASONS.get(data["stopReason"], data["stopReason"])
    elif name == "metadata":
        usage = data["usage"]
        cached, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
        transcript.usage = {"input": usage["inputTokens"] + cached + written, "output": usage["outputTokens"], "cached": cached}
