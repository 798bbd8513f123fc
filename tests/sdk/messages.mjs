// The published @anthropic-ai/sdk against the real binary and the scripted upstream, over every
// wire.
//
//   python3 stack.py -- node messages.mjs [part of a test's name]
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import { relay } from './relay.mjs';

const { SLUICEGATE_URL: URL, SLUICEGATE_KEY: KEY, UPSTREAM_URL: UPSTREAM } = process.env;
const WIRES = process.env.SLUICEGATE_WIRES.split(',');
// The APIs that have an endpoint for token counts, and the count that they return.
const COUNTING = ['anthropic', 'gemini'];
const COUNTED = 2095;
// Tokens of an answer that is too long to be finished in a test.
const MANY = 2000;
const PLACES = ['Zürich', 'Paris'];
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const WEATHER = { name: 'weather', description: 'The weather.', input_schema: PARAMETERS };

const client = (options = {}) => new Anthropic({ baseURL: URL, apiKey: KEY, timeout: 20_000, maxRetries: 0, ...options });
const text = (count) => Array.from({ length: count }, (_, index) => `tok${index}${['', ' ', 'ü ', '€ ', '😀 '][index % 5]}`).join('');
const scripted = (tag, words = {}) => [{ role: 'user', content: `script tag=${tag} ${Object.entries(words).map((it) => it.join('=')).join(' ')}` }];
const requestFor = (model, tag, words, more = {}) => ({ model, max_tokens: 1000, messages: scripted(tag, words), ...more });
const textOf = (message) => message.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
const deltas = (events) => events.flatMap((event) => (event.type === 'content_block_delta' ? [event.delta.text] : [])).join('');

async function control(command, query) {
  const response = await fetch(`${UPSTREAM}/control/${command}?${new URLSearchParams(query)}`, { signal: AbortSignal.timeout(30_000) });
  return response.json();
}
const calls = (tag) => control('calls', { tag });
/** Waits for the end of the only upstream call with this tag and returns it. */
async function waitEnded(tag) {
  const found = await control('wait', { tag, ended: 1 });
  assert.equal(found.length, 1, 'the upstream receives one request');
  return found[0];
}
async function assertClosed(tag, maxTokens) {
  const call = await waitEnded(tag);
  assert.equal(call.end, 'closed');
  assert.ok(call.sent <= maxTokens, `${call.sent} tokens were sent, at most ${maxTokens} expected`);
}
async function readAll(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}
/** Returns the message. For a stream the SDK's own accumulator builds it. */
const answer = (api, streamed, body, options) =>
  streamed ? api.messages.stream(body, options).finalMessage() : api.messages.create(body, options);

/** Returns the error of a promise. Asserts its exact class and the members that every error has. */
async function failure(kind, promise) {
  const error = await Promise.resolve(promise).then(() => assert.fail(`no ${kind.name}`), (error) => error);
  assert.equal(error.constructor, kind, error.stack);
  if (error.status) {
    assert.ok(error.requestID && error.apiMessage);
    assert.equal(error.error.request_id, error.requestID);
    assert.equal(error.errorCode, error.error.error.code);
  }
  return error;
}

/** Sends good requests between failing ones. Without them the target's breaker would open. */
async function keepBreakerClosed(wire) {
  for (const model of [wire, wire, wire, wire, `${wire}-hasty`, `${wire}-hasty`]) {
    const body = { model, stream: true, messages: scripted('breaker', { tokens: 1 }) };
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${KEY}` };
    const response = await fetch(`${URL}/v1/streams`, { method: 'POST', headers, body: JSON.stringify(body) });
    const answer = await response.text();
    assert.ok(!answer.includes('event: error'), `a good request failed: ${answer.slice(-500)}`);
  }
}

/** Tests that run once per wire. */
const perWire = {
  async 'a message'({ wire, tag }) {
    for (const streamed of [true, false]) {
      const message = await answer(client(), streamed, requestFor(wire, tag, { tokens: 20 }));
      assert.deepEqual([textOf(message), message.stop_reason, message.type], [text(20), 'end_turn', 'message']);
      assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [11, 20]);
    }
  },
  async 'the events and the headers of a stream'({ wire, tag }) {
    const { data, response, request_id: id } = await client().messages.create(requestFor(wire, tag, { tokens: 20 }, { stream: true })).withResponse();
    const events = await readAll(data);
    assert.equal(deltas(events), text(20));
    assert.deepEqual([events[0].type, events.at(-2).type, events.at(-1).type], ['message_start', 'message_delta', 'message_stop']);
    assert.ok(id && response.headers.get('x-stream-id'));
  },
  async 'the SDK ignores heartbeats'({ wire, tag }) {
    const body = requestFor(wire, tag, { stall: 2400, tokens: 2, every: 700 }, { stream: true });
    const events = await readAll(await client().messages.create(body, { headers: { 'x-event-ids': 'true' } }));
    assert.equal(deltas(events), text(2));
    assert.ok(events.every((event) => event.type !== 'ping'));
  },
  async 'thinking'({ wire, tag }) {
    const body = requestFor(wire, tag, { think: 1, tokens: 5 }, { max_tokens: 4000, thinking: { type: 'enabled', budget_tokens: 2000 } });
    const pieces = [];
    const stream = client().messages.stream(body).on('thinking', (piece) => pieces.push(piece));
    const [thinking, ...opaque] = (await stream.finalMessage()).content;
    const last = opaque.pop();
    assert.deepEqual([thinking.type, last.text, pieces.join('')], ['thinking', text(5), thinking.thinking]);
    assert.match(thinking.thinking, /^Two cities, two calls, says /);
    const signature = thinking.signature + opaque.map((block) => block.data).join('');
    const expected = { 'openai-chat': /^$/, gemini: /^$/, anthropic: /^[A-Za-z0-9]+=*$/ }[wire] ?? new RegExp(`^sluicegate:${wire}:`);
    assert.match(signature, expected, 'only signed reasoning has a signature');
  },
  async 'two parallel calls and the turn that answers them'({ wire, tag }) {
    for (const [at, streamed] of [true, false].entries()) {
      const messages = scripted(`${tag}${at}x`, { tools: 1 });
      const body = { model: wire, max_tokens: 1000, messages, tools: [WEATHER], output_config: { effort: 'low' } };
      const first = await answer(client(), streamed, body);
      assert.equal(first.stop_reason, 'tool_use');
      const toolCalls = first.content.filter((block) => block.type === 'tool_use');
      assert.deepEqual(toolCalls.map((call) => call.input.city), PLACES);
      assert.equal(new Set(toolCalls.map((call) => call.id)).size, 2);
      const results = toolCalls.map((call, at) => ({ type: 'tool_result', tool_use_id: call.id, content: `sun ${at}` }));
      messages.push({ role: 'assistant', content: first.content }, { role: 'user', content: results });
      const reply = textOf(await answer(client(), streamed, body));
      for (const part of [...PLACES, 'sun 0', 'sun 1']) assert.ok(reply.includes(part), reply);
      assert.ok(reply.indexOf('sun 0') < reply.indexOf('Paris'));
      // The scripted upstream rejects a turn without its signature.
      assert.equal((await calls(`${tag}${at}x`)).length, 2);
    }
  },
  async 'tools run by the SDK'({ wire, tag }) {
    for (const [at, stream] of [true, false].entries()) {
      const cities = [];
      const run = ({ city }) => `sun ${cities.push(city) - 1}`;
      const weather = betaTool({ name: 'weather', description: 'The weather.', inputSchema: PARAMETERS, run });
      const runner = client().beta.messages.toolRunner({ model: wire, max_tokens: 1000, messages: scripted(`${tag}${at}x`, { tools: 1 }), tools: [weather], stream });
      const reply = textOf(await runner.runUntilDone());
      assert.deepEqual(cities, PLACES);
      assert.ok(reply.includes('sun 0') && reply.includes('sun 1'), reply);
    }
  },
  async 'tokens are counted'({ wire, tag }) {
    const counted = await client().messages.countTokens({ model: wire, messages: scripted(tag), system: 'Be brief.' });
    if (COUNTING.includes(wire)) return assert.equal(counted.input_tokens, COUNTED);
    assert.ok(counted.input_tokens > 0 && counted.sluicegate.estimated);
  },
  async 'aborted after five tokens'({ wire, tag }) {
    const stream = client().messages.stream(requestFor(wire, tag, { tokens: MANY, every: 10 }));
    let tokens = 0;
    stream.on('text', () => { if (++tokens === 5) stream.abort(); });
    await failure(Anthropic.APIUserAbortError, stream.finalMessage());
    await assertClosed(tag, MANY / 4);
  },
  async 'closed by breaking out of the loop'({ wire, tag }) {
    const stream = await client().messages.create(requestFor(wire, tag, { tokens: MANY, every: 10 }, { stream: true }));
    for await (const event of stream) if (event.type === 'content_block_delta') break;
    await assertClosed(tag, MANY / 4);
  },
  async 'a client timeout before the first token'({ wire, tag }) {
    for (const [at, stream] of [true, false].entries()) {
      const request = client({ timeout: 1000 }).messages.create(requestFor(wire, `${tag}${at}x`, { never: 'body' }, { stream }));
      await failure(Anthropic.APIConnectionTimeoutError, request);
      await assertClosed(`${tag}${at}x`, 0);
    }
  },
  async 'error statuses of the upstream'({ wire, tag }) {
    const table = [
      [400, Anthropic.BadRequestError, 400], [401, Anthropic.InternalServerError, 502], [404, Anthropic.NotFoundError, 404],
      [409, Anthropic.InternalServerError, 502], [429, Anthropic.RateLimitError, 429], [502, Anthropic.InternalServerError, 502],
      [503, Anthropic.OverloadedError, 529], [529, Anthropic.OverloadedError, 529],
    ];
    for (const stream of [true, false]) {
      for (const [status, kind, ours] of table) {
        await keepBreakerClosed(wire);
        const error = await failure(kind, client().messages.create(requestFor(wire, tag, { status }, { stream })));
        assert.equal(error.status, ours);
        if ([400, 404].includes(status)) assert.equal(error.apiMessage, `scripted refusal ${status}`);
      }
    }
  },
  async 'an upstream that never answers is 504'({ wire, tag }) {
    for (const never of ['head', 'body']) {
      const error = await failure(Anthropic.GatewayTimeoutError, client().messages.create(requestFor(`${wire}-hasty`, tag, { never }, { stream: true })));
      assert.deepEqual([error.errorCode, error.type], ['upstream_timeout', 'timeout_error']);
    }
  },
  async 'an error in the first event is still a status'({ wire, tag }) {
    const error = await failure(Anthropic.InternalServerError, client().messages.create(requestFor(wire, tag, { error: 0 }, { stream: true })));
    assert.equal(error.status, 502);
    assert.match(error.apiMessage, /scripted error/);
  },
  async 'an error follows the tokens before it'({ wire, tag }) {
    const events = [];
    const stream = await client().messages.create(requestFor(wire, tag, { tokens: 30, error: 20 }, { stream: true }));
    const error = await (async () => { for await (const event of stream) events.push(event); })().then(() => assert.fail('no error'), (error) => error);
    assert.ok(error instanceof Anthropic.APIError, error.stack);
    assert.equal(error.type, 'api_error');
    assert.match(error.message, /scripted error/);
    assert.equal(deltas(events), text(20));
    assert.ok(events.every((event) => !['message_delta', 'message_stop'].includes(event.type)), 'the stream reports no success');
  },
  async 'the client does not retry after our retries'({ wire, tag }) {
    let requests = 0;
    const counting = (...request) => { requests += 1; return fetch(...request); };
    const body = requestFor(`${wire}-again`, tag, { status: 500 }, { stream: true });
    const error = await failure(Anthropic.InternalServerError, client({ maxRetries: 2, fetch: counting }).messages.create(body));
    assert.equal(error.headers.get('x-should-retry'), 'false');
    assert.deepEqual([requests, (await calls(tag)).length], [1, 2]);
  },
  async 'a retry after a lost answer joins the running generation'({ wire, tag }) {
    for (const streamed of [true, false]) {
      let lost = 2;
      const relayServer = await relay(URL, () => (lost-- > 0 ? 0 : null));
      const key = `${tag}${streamed}x`;
      const api = client({ baseURL: relayServer.url, maxRetries: 2 });
      const message = await answer(api, streamed, requestFor(wire, key, { tokens: 50, every: 5 }), { headers: { 'Idempotency-Key': key } });
      assert.equal(textOf(message), text(50));
      assert.equal(relayServer.cuts, 2);
      assert.equal((await waitEnded(key)).end, 'done');
      relayServer.close();
    }
  },
};

const once = {
  async 'the models are listed'() {
    const names = [...WIRES.flatMap((wire) => [wire, `${wire}-again`, `${wire}-hasty`]), 'tour'].sort();
    for (const query of [{}, { limit: 3 }]) {
      const found = [];
      for await (const model of client().models.list(query)) found.push(model.id);
      assert.deepEqual(found.sort(), names);
    }
    assert.equal((await client().models.retrieve('gemini')).display_name, 'gemini');
  },
  async 'a key is required'({ tag }) {
    for (const stream of [true, false]) {
      const error = await failure(Anthropic.AuthenticationError, client({ apiKey: 'sk-wrong' }).messages.create(requestFor('gemini', tag, {}, { stream })));
      assert.deepEqual([error.errorCode, error.type], ['unauthenticated', 'authentication_error']);
    }
    assert.deepEqual(await calls(tag), []);
  },
  async 'an unknown model'({ tag }) {
    const error = await failure(Anthropic.NotFoundError, client().messages.create(requestFor('anthropik', tag, {}, { stream: true })));
    assert.equal(error.errorCode, 'model_not_found');
    assert.match(error.apiMessage, /anthropic/);
  },
  async 'a rate limit'({ tag }) {
    const api = client({ apiKey: 'sk-one-message' });
    await api.messages.create(requestFor('gemini', tag));
    const error = await failure(Anthropic.RateLimitError, api.messages.create(requestFor('gemini', tag, {}, { stream: true })));
    assert.deepEqual([error.errorCode, error.error.error.limit], ['rate_limited', 'key']);
    assert.equal((await calls(tag)).length, 1);
  },
};

const tests = [
  ...Object.entries(once),
  ...Object.entries(perWire).flatMap(([name, test]) => WIRES.map((wire) => [`${name} [${wire}]`, (given) => test({ ...given, wire }).finally(() => keepBreakerClosed(wire))])),
].filter(([name]) => name.includes(process.argv[2] ?? ''));
const failed = [];
// Tests mostly wait, so several run at a time.
const queue = tests.entries();
async function work() {
  for (const [number, [name, test]] of queue) {
    try {
      await test({ tag: `m${number}x` });
    } catch (error) {
      failed.push(name);
      console.log(`FAILED  ${name}\n${error.stack}`);
    }
  }
}
await Promise.all(Array.from({ length: 8 }, work));
console.log(`${tests.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length || !tests.length ? 1 : 0;
