// Responses with the published openai-node against the real binary and the scripted upstream, over
// every wire.
//
//   python3 stack.py -- node responses.mjs [part of a test's name]
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const { SLUICEGATE_URL: URL, SLUICEGATE_KEY: KEY, UPSTREAM_URL: UPSTREAM } = process.env;
const WIRES = process.env.SLUICEGATE_WIRES.split(',');
const OWN = 'openai-responses';
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const WEATHER = { type: 'function', name: 'weather', description: 'The weather.', parameters: PARAMETERS, strict: true };

const client = () => new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, timeout: 20_000, maxRetries: 0 });
const text = (count) => Array.from({ length: count }, (_, index) => `tok${index}${['', ' ', 'ü ', '€ ', '😀 '][index % 5]}`).join('');
const requestFor = (model, tag, words = {}, more = {}) => ({ model, input: `script tag=${tag} ${Object.entries(words).map((it) => it.join('=')).join(' ')}`, ...more });
const answer = (streamed, body) => (streamed ? client().responses.stream(body).finalResponse() : client().responses.create(body));
const control = (command, query) => fetch(`${UPSTREAM}/control/${command}?${new URLSearchParams(query)}`).then((it) => it.json());

const perWire = {
  async 'a response'({ wire, tag }) {
    for (const streamed of [true, false]) {
      const response = await answer(streamed, requestFor(wire, tag, { tokens: 20 }));
      assert.deepEqual([response.output_text, response.status, response.usage.output_tokens], [text(20), 'completed', 20]);
    }
  },
  async 'tools over two turns'({ wire, tag }) {
    for (const streamed of [true, false]) {
      const first = await answer(streamed, requestFor(wire, tag, { tools: 1 }, { tools: [WEATHER] }));
      const calls = first.output.filter((item) => item.type === 'function_call');
      assert.equal(calls.length, 2);
      const input = calls.map((call) => ({ type: 'function_call_output', call_id: call.call_id, output: `${JSON.parse(call.arguments).city}: 20 degrees` }));
      const second = await answer(streamed, { model: wire, input, previous_response_id: first.id, tools: [WEATHER] });
      for (const call of calls) assert.ok(second.output_text.includes(JSON.parse(call.arguments).city), second.output_text);
      const items = [];
      for await (const item of client().responses.inputItems.list(second.id, { order: 'asc' })) items.push(item.type);
      assert.deepEqual(items.slice(-2), ['function_call_output', 'function_call_output']);
    }
  },
  async 'a background response, cut and resumed'({ wire, tag }) {
    const received = [];
    const stream = await client().responses.create(requestFor(wire, tag, { tokens: 20, gate: tag }, { background: true, stream: true }));
    for await (const event of stream) {
      received.push(event);
      if (event.type === 'response.output_text.delta') break;
    }
    await control('gate', { name: tag });
    const id = received[0].response.id;
    for await (const event of await client().responses.retrieve(id, { stream: true, starting_after: received.at(-1).sequence_number })) received.push(event);
    assert.deepEqual(received.map((event) => event.sequence_number), received.map((_, index) => index));
    assert.equal(received.flatMap((event) => (event.type === 'response.output_text.delta' ? [event.delta] : [])).join(''), text(20));
    assert.equal((await client().responses.retrieve(id)).output_text, text(20));
  },
  async 'cancelling and deleting a response'({ wire, tag }) {
    const { id } = await client().responses.create(requestFor(wire, tag, { tokens: 20, gate: tag }, { background: true }));
    assert.equal((await client().responses.cancel(id)).status, 'cancelled');
    await control('gate', { name: tag });
    await client().responses.delete(id);
    await assert.rejects(client().responses.retrieve(id), (error) => error instanceof OpenAI.NotFoundError && error.code === 'stream_not_found');
  },
  async 'errors before the head and after it'({ wire, tag }) {
    await assert.rejects(answer(false, requestFor(wire, `${tag}a`, { status: 429 })), OpenAI.RateLimitError);
    const events = [];
    const read = async () => {
      for await (const event of await client().responses.create(requestFor(wire, `${tag}b`, { tokens: 9, error: 3 }, { stream: true }))) events.push(event);
    };
    if (wire === OWN) {
      // The upstream's own `error` event passes unchanged, and the SDK throws it.
      await assert.rejects(read(), (error) => error instanceof OpenAI.APIError && /scripted error/.test(error.message));
    } else {
      await read();
      assert.equal(events.pop().type, 'response.failed');
    }
    assert.equal(events.flatMap((event) => (event.type === 'response.output_text.delta' ? [event.delta] : [])).join(''), text(3));
  },
  async 'a cancelled stream ends like a response'({ wire, tag }) {
    const events = [];
    let received = '';
    for await (const event of await client().responses.create(requestFor(wire, tag, { tokens: 2000, every: 10 }, { stream: true }))) {
      events.push(event);
      if (event.type !== 'response.output_text.delta') continue;
      if (!received) await client().responses.cancel(events[0].response.id);
      received += event.delta;
    }
    const ends = events.slice(-4);
    assert.deepEqual(ends.map((event) => event.type), ['response.output_text.done', 'response.content_part.done', 'response.output_item.done', 'response.incomplete']);
    assert.deepEqual([ends[0].text, ends[1].part.text, ends[2].item.content[0].text], [received, received, received]);
    assert.equal(ends[3].response.status, 'cancelled');
    assert.equal((await control('wait', { tag, ended: 1 }))[0].end, 'closed');
  },
};

const filter = process.argv[2] ?? '';
const tests = Object.entries(perWire).flatMap(([name, test]) => WIRES.map((wire) => [`${name} ${wire}`, wire, test])).filter(([name]) => name.includes(filter));
let [passed, failed] = [0, 0];
// Tests mostly wait, so several run at a time.
const queue = tests.entries();
async function work() {
  for (const [number, [name, wire, test]] of queue) {
    try {
      await test({ wire, tag: `r${number}x` });
      passed += 1;
    } catch (error) {
      failed += 1;
      console.error(`FAILED ${name}: ${error.stack}`);
    }
  }
}
await Promise.all(Array.from({ length: 6 }, work));
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed || !passed ? 1 : 0);
