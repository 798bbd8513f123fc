// The published openai-node against the real binary and the scripted upstream, over every wire.
//
//   python3 stack.py -- node node.mjs [part of a test's name]
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { relay } from './relay.mjs';

const { SLUICEGATE_URL: URL, SLUICEGATE_KEY: KEY, UPSTREAM_URL: UPSTREAM } = process.env;
const WIRES = process.env.SLUICEGATE_WIRES.split(',');
// Tokens of an answer that is too long to be finished in a test.
const MANY = 2000;
const PLACES = ['Zürich', 'Paris'];
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const WEATHER = { type: 'function', function: { name: 'weather', description: 'The weather.', parameters: PARAMETERS, strict: true } };

const client = (options = {}) => new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, timeout: 20_000, maxRetries: 0, ...options });
const text = (count) => Array.from({ length: count }, (_, index) => `tok${index}${['', ' ', 'ü ', '€ ', '😀 '][index % 5]}`).join('');
const scripted = (tag, words = {}) => [{ role: 'user', content: `script tag=${tag} ${Object.entries(words).map((it) => it.join('=')).join(' ')}` }];
const textOf = (chunks) => chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.delta.content ?? '').join('');

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
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
/** Returns the error of a promise. Asserts its exact class and the members that every error has. */
async function failure(kind, promise) {
  const error = await Promise.resolve(promise).then(() => assert.fail(`no ${kind.name}`), (error) => error);
  assert.equal(error.constructor, kind, error.stack);
  if (error.status) {
    assert.ok(error.requestID && error.error.message);
    for (const field of ['message', 'type', 'param', 'code']) assert.ok(field in error.error, field);
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
  async 'a stream'({ wire, tag }) {
    const chunks = await readAll(await client().chat.completions.create({ model: wire, messages: scripted(tag, { tokens: 20 }), stream: true }));
    assert.equal(textOf(chunks), text(20));
    assert.deepEqual(chunks.map((chunk) => chunk.choices[0].finish_reason), [...Array(chunks.length - 1).fill(null), 'stop']);
    assert.ok(chunks.every((chunk) => !chunk.usage), 'usage without include_usage');
  },
  async 'a non-streaming answer'({ wire, tag }) {
    const { data, response } = await client().chat.completions.create({ model: wire, messages: scripted(tag, { tokens: 20 }) }).withResponse();
    assert.equal(data.choices[0].message.content, text(20));
    assert.equal(data.choices[0].finish_reason, 'stop');
    assert.equal(data.usage.total_tokens, 31);
    assert.ok(response.headers.get('x-stream-id') && data._request_id);
  },
  async 'usage is sent if requested'({ wire, tag }) {
    const body = { model: wire, messages: scripted(tag), stream: true, stream_options: { include_usage: true } };
    const chunks = await readAll(await client().chat.completions.create(body));
    const last = chunks.pop();
    assert.deepEqual([last.choices, last.usage.prompt_tokens, last.usage.completion_tokens], [[], 11, 3]);
    assert.ok(chunks.every((chunk) => chunk.choices.length && !chunk.usage));
  },
  async 'the SDK ignores heartbeats'({ wire, tag }) {
    const body = { model: wire, messages: scripted(tag, { stall: 2400, tokens: 2, every: 700 }), stream: true };
    const chunks = await readAll(await client().chat.completions.create(body, { headers: { 'x-event-ids': 'true' } }));
    assert.equal(textOf(chunks), text(2));
    assert.ok(chunks.every((chunk) => chunk.id && chunk.choices.length));
  },
  async 'two parallel calls and the turn that answers them, streaming'({ wire, tag }) {
    const messages = scripted(tag, { tools: 1 });
    const body = { model: wire, messages, tools: [WEATHER], reasoning_effort: 'low' };
    const turn = async () => {
      const stream = client().chat.completions.stream(body);
      // Of members that it does not know, the SDK's accumulator keeps only the last value, so the
      // signed details are collected from the chunks.
      const details = [];
      stream.on('chunk', (chunk) => details.push(...(chunk.choices[0]?.delta.reasoning_details ?? [])));
      const choice = (await stream.finalChatCompletion()).choices[0];
      return { ...choice, message: { ...choice.message, ...(details.length && { reasoning_details: details }) } };
    };
    await twoTurns(turn, messages, { wire, tag });
  },
  async 'two parallel calls and the turn that answers them, non-streaming'({ wire, tag }) {
    const messages = scripted(tag, { tools: 1 });
    const body = { model: wire, messages, tools: [WEATHER], reasoning_effort: 'low' };
    await twoTurns(async () => (await client().chat.completions.create(body)).choices[0], messages, { wire, tag });
  },
  async 'tools run by the SDK'({ wire, tag }) {
    const cities = [];
    const run = ({ city }) => `sun ${cities.push(city) - 1}`;
    const weather = { type: 'function', function: { ...WEATHER.function, parse: JSON.parse, function: run } };
    const runner = client().chat.completions.runTools({ model: wire, messages: scripted(tag, { tools: 1 }), tools: [weather] });
    const final = await runner.finalContent();
    assert.deepEqual(cities, PLACES);
    assert.ok(final.includes('sun 0') && final.includes('sun 1'), final);
  },
  async 'aborted after five tokens'({ wire, tag }) {
    const stream = await client().chat.completions.create({ model: wire, messages: scripted(tag, { tokens: MANY, every: 10 }), stream: true });
    let tokens = 0;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content && ++tokens === 5) stream.controller.abort();
    }
    await assertClosed(tag, MANY / 4);
  },
  async 'closed by breaking out of the loop'({ wire, tag }) {
    const stream = await client().chat.completions.create({ model: wire, messages: scripted(tag, { tokens: MANY, every: 10 }), stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await assertClosed(tag, MANY / 4);
  },
  async 'a client timeout before the first token'({ wire, tag }) {
    for (const [at, stream] of [true, false].entries()) {
      const request = client({ timeout: 1000 }).chat.completions.create({ model: wire, messages: scripted(`${tag}${at}x`, { never: 'body' }), stream });
      await failure(OpenAI.APIConnectionTimeoutError, request);
      await assertClosed(`${tag}${at}x`, 0);
    }
  },
  async 'error statuses of the upstream'({ wire, tag }) {
    const table = [
      [400, OpenAI.BadRequestError, 400], [401, OpenAI.InternalServerError, 502], [404, OpenAI.NotFoundError, 404],
      [409, OpenAI.InternalServerError, 502], [429, OpenAI.RateLimitError, 429], [502, OpenAI.InternalServerError, 502],
      [504, OpenAI.InternalServerError, 502],
    ];
    for (const stream of [true, false]) {
      for (const [status, kind, ours] of table) {
        await keepBreakerClosed(wire);
        const error = await failure(kind, client().chat.completions.create({ model: wire, messages: scripted(tag, { status }), stream }));
        assert.equal(error.status, ours);
        if ([400, 404].includes(status)) assert.equal(error.error.message, `scripted refusal ${status}`);
      }
    }
  },
  async 'an upstream that never answers is 504'({ wire, tag }) {
    for (const never of ['head', 'body']) {
      const request = client().chat.completions.create({ model: `${wire}-hasty`, messages: scripted(tag, { never }), stream: true });
      const error = await failure(OpenAI.InternalServerError, request);
      assert.deepEqual([error.status, error.code], [504, 'upstream_timeout']);
    }
  },
  async 'an error in the first event is still a status'({ wire, tag }) {
    const error = await failure(OpenAI.InternalServerError, client().chat.completions.create({ model: wire, messages: scripted(tag, { error: 0 }), stream: true }));
    assert.equal(error.status, 502);
    assert.match(error.error.message, /scripted error/);
  },
  async 'an error follows the tokens before it'({ wire, tag }) {
    const chunks = [];
    const stream = await client().chat.completions.create({ model: wire, messages: scripted(tag, { tokens: 30, error: 20 }), stream: true });
    const error = await failure(OpenAI.APIError, (async () => { for await (const chunk of stream) chunks.push(chunk); })());
    assert.match(error.message, /scripted error/);
    assert.equal(textOf(chunks), text(20));
    assert.ok(chunks.every((chunk) => chunk.choices.every((choice) => choice.finish_reason === null)), 'the stream reports no success');
  },
  async 'the client does not retry after our retries'({ wire, tag }) {
    let requests = 0;
    const counting = (...request) => { requests += 1; return fetch(...request); };
    const body = { model: `${wire}-again`, messages: scripted(tag, { status: 500 }), stream: true };
    const error = await failure(OpenAI.InternalServerError, client({ maxRetries: 2, fetch: counting }).chat.completions.create(body));
    assert.equal(error.headers.get('x-should-retry'), 'false');
    assert.deepEqual([requests, (await calls(tag)).length], [1, 2]);
  },
  async 'a retry after a lost answer joins the running generation'({ wire, tag }) {
    for (const stream of [true, false]) {
      let lost = 2;
      const relayServer = await relay(URL, () => (lost-- > 0 ? 0 : null));
      const key = `${tag}${stream}x`;
      const body = { model: wire, messages: scripted(key, { tokens: 50, every: 5 }), stream };
      const api = client({ baseURL: `${relayServer.url}/v1`, maxRetries: 2 });
      const answer = await api.chat.completions.create(body, { headers: { 'Idempotency-Key': key } });
      assert.equal(stream ? textOf(await readAll(answer)) : answer.choices[0].message.content, text(50));
      assert.equal(relayServer.cuts, 2);
      assert.equal((await waitEnded(key)).end, 'done');
      relayServer.close();
    }
  },
  async 'another body under the same idempotency key is a conflict'({ wire, tag }) {
    const options = { headers: { 'Idempotency-Key': tag } };
    await client().chat.completions.create({ model: wire, messages: scripted(tag) }, options);
    const other = client({ maxRetries: 2 }).chat.completions.create({ model: wire, messages: scripted(tag, { tokens: 4 }) }, options);
    assert.equal((await failure(OpenAI.ConflictError, other)).code, 'idempotency_conflict');
    assert.equal((await calls(tag)).length, 1);
  },
};

async function twoTurns(turn, messages, { wire, tag }) {
  const first = await turn();
  assert.equal(first.finish_reason, 'tool_calls');
  const toolCalls = first.message.tool_calls;
  assert.deepEqual(toolCalls.map((call) => JSON.parse(call.function.arguments).city), PLACES);
  assert.equal(new Set(toolCalls.map((call) => call.id)).size, 2);
  messages.push(first.message, ...toolCalls.map((call, at) => ({ role: 'tool', tool_call_id: call.id, content: `sun ${at}` })));
  const { content } = (await turn()).message;
  for (const part of [...PLACES, 'sun 0', 'sun 1']) assert.ok(content.includes(part), content);
  assert.ok(content.indexOf('sun 0') < content.indexOf('Paris'));
  // The scripted upstream rejects a turn without its signature. Gemini's accepts a placeholder too,
  // so its signature is checked here.
  const [, second, ...more] = await calls(tag);
  assert.equal(more.length, 0, 'the upstream receives two requests');
  if (wire === 'gemini') assert.ok(JSON.stringify(second.body).includes('c2lnbmVkIGJ5IEdvb2dsZQ=='), 'the upstream receives its own signature');
}

const once = {
  async 'the models are listed'() {
    const names = [];
    for await (const model of client().models.list()) names.push(model.id);
    assert.deepEqual(names.sort(), [...WIRES.flatMap((wire) => [wire, `${wire}-again`, `${wire}-hasty`]), 'tour'].sort());
  },
  async 'a key is required'({ tag }) {
    for (const options of [{ apiKey: 'sk-wrong' }, { defaultHeaders: { Authorization: null } }]) {
      for (const stream of [true, false]) {
        const error = await failure(OpenAI.AuthenticationError, client(options).chat.completions.create({ model: 'gemini', messages: scripted(tag), stream }));
        assert.equal(error.code, 'unauthenticated');
      }
    }
    assert.deepEqual(await calls(tag), []);
  },
  async 'an unknown model'({ tag }) {
    const error = await failure(OpenAI.NotFoundError, client().chat.completions.create({ model: 'anthropik', messages: scripted(tag), stream: true }));
    assert.equal(error.code, 'model_not_found');
    assert.match(error.error.message, /anthropic/);
  },
  async 'a rate limit'({ tag }) {
    const api = client({ apiKey: 'sk-one-request' });
    await api.chat.completions.create({ model: 'gemini', messages: scripted(tag) });
    const error = await failure(OpenAI.RateLimitError, api.chat.completions.create({ model: 'gemini', messages: scripted(tag), stream: true }));
    assert.deepEqual([error.code, error.error.limit], ['rate_limited', 'key']);
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
      await test({ tag: `n${number}x` });
    } catch (error) {
      failed.push(name);
      console.log(`FAILED  ${name}\n${error.stack}`);
    }
  }
}
await Promise.all(Array.from({ length: 8 }, work));
console.log(`${tests.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length || !tests.length ? 1 : 0;
