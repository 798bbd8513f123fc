// Reads answers of /v1/ui/chat with the AI SDK's own transport and accumulator, as useChat does.
//
//   node ui.mjs
//
// Reads one request {id, url, model, prompt} per line of JSON and writes one result per line.
import { createInterface } from 'node:readline';
import { DefaultChatTransport, readUIMessageStream } from 'ai';

/**
 * Returns a stream that passes chunks on and records the finish reason, which the accumulator does
 * not expose.
 */
const recordFinish = (result) =>
  new TransformStream({
    transform(chunk, controller) {
      if (chunk.type === 'finish') result.finish = chunk.finishReason;
      controller.enqueue(chunk);
    },
  });

async function read({ id, url, model, prompt }) {
  const result = { id, message: null, finish: null, failures: [] };
  try {
    const messages = [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: prompt }] }];
    const transport = new DefaultChatTransport({ api: `${url}/v1/ui/chat`, body: { model } });
    const stream = await transport.sendMessages({ chatId: `chat-of-${prompt}`, messages, trigger: 'submit-message' });
    const onError = (error) => result.failures.push(error.message);
    for await (const message of readUIMessageStream({ stream: stream.pipeThrough(recordFinish(result)), onError })) result.message = message;
  } catch (error) {
    result.failures.push(error.message || String(error));
  }
  console.log(JSON.stringify(result));
}

for await (const line of createInterface({ input: process.stdin })) read(JSON.parse(line));
