// Reads answers of /v1/ui/chat with the AI SDK's own transport and its own accumulator, as useChat does.
//
//   node ui.mjs            one question a line as JSON {id, url, model, prompt}, one answer a line
import { createInterface } from 'node:readline';
import { DefaultChatTransport, readUIMessageStream } from 'ai';

/** The chunks, with what the accumulator keeps to itself noted on the way. */
const noting = (told) =>
  new TransformStream({
    transform(chunk, controller) {
      if (chunk.type === 'finish') told.finish = chunk.finishReason;
      controller.enqueue(chunk);
    },
  });

async function read({ id, url, model, prompt }) {
  const told = { id, message: null, finish: null, failures: [] };
  try {
    const messages = [{ id: 'm1', role: 'user', parts: [{ type: 'text', text: prompt }] }];
    const transport = new DefaultChatTransport({ api: `${url}/v1/ui/chat`, body: { model } });
    const stream = await transport.sendMessages({ chatId: `chat-of-${prompt}`, messages, trigger: 'submit-message' });
    const onError = (error) => told.failures.push(error.message);
    for await (const message of readUIMessageStream({ stream: stream.pipeThrough(noting(told)), onError })) told.message = message;
  } catch (error) {
    told.failures.push(error.message || String(error));
  }
  console.log(JSON.stringify(told));
}

for await (const line of createInterface({ input: process.stdin })) read(JSON.parse(line));
