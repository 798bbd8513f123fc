"""boto3: AWS's own reader of event streams; it has no accumulator."""

import boto3
from botocore.config import Config

from heard import Heard, REASONS


class Reader:
    def __init__(self, url):
        config = Config(retries={"total_max_attempts": 1}, read_timeout=20)
        keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s", "region_name": "us-east-1"}
        self.client = boto3.session.Session().client("bedrock-runtime", endpoint_url=url, config=config, **keys)

    def read(self, model):
        heard = Heard()
        answer = self.client.converse_stream(modelId=model, messages=[{"role": "user", "content": [{"text": "x"}]}])
        for event in answer["stream"]:
            of_event(heard, heard.choice(), event)
        return heard


def of_event(heard, to, event):
    [(name, data)] = event.items()
    use = data.get("start", {}).get("toolUse")
    # Tools that the provider runs itself are not the client's to call.
    if use and use.get("type") != "server_tool_use":
        to.call(data["contentBlockIndex"], use["toolUseId"], use["name"])
    elif name == "contentBlockDelta":
        delta = data["delta"]
        to.text += delta.get("text", "")
        to.reasoning += delta.get("reasoningContent", {}).get("text", "")
        if "toolUse" in delta and data["contentBlockIndex"] in to.calls:
            to.call(data["contentBlockIndex"], arguments=delta["toolUse"]["input"])
    elif name == "messageStop":
        to.finish = REASONS.get(data["stopReason"], data["stopReason"])
    elif name == "metadata":
        told = data["usage"]
        cached, written = told.get("cacheReadInputTokens", 0), told.get("cacheWriteInputTokens", 0)
        heard.usage = {"input": told["inputTokens"] + cached + written, "output": told["outputTokens"], "cached": cached}
