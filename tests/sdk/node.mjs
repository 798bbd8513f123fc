// openai-node, as published, against the real binary and the scripted upstream, over every wire.
//
//   python3 stack.py -- node node.mjs [part of a test's name]
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import { relay } from './relay.mjs';

const { SLUICEGATE_URL: URL, SLUICEGATE_KEY: KEY, UPSTREAM_URL: UPSTREAM } = process.env;
const WIRES = process.env.SLUICEGATE_WIRES.split(',');
const MANY = 2000;
const PLACES = ['Zürich', 'Paris'];
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const WEATHER = { type: 'function', function: { name: 'weather', description: 'The weather.', parameters: PARAMETERS, strict: true } };

const client = (options = {}) => new OpenAI({ baseURL: `${URL}/v1`, apiKey: KEY, timeout: 20_000, maxRetries: 0, ...options });
const text = (count) => Array.from({ length: count }, (_, index) => `tok${index}${['', ' ', 'ü ', '€ ', '😀 '][index % 5]}`).join('');
const says = (tag, words = {}) => [{ role: 'user', content: `script tag=${tag} ${Object.entries(words).map((it) => it.join('=')).join(' ')}` }];
const said = (chunks) => chunks.flatMap((chunk) => chunk.choices).map((choice) => choice.delta.content ?? '').join('');

async function control(what, query) {
  const answer = await fetch(`${UPSTREAM}/control/${what}?${new URLSearchParams(query)}`, { signal: AbortSignal.timeout(30_000) });
  return answer.json();
}
const calls = (tag) => control('calls', { tag });
async function ended(tag) {
  const seen = await control('wait', { tag, ended: 1 });
  assert.equal(seen.length, 1, 'the upstream is asked once');
  return seen[0];
}
async function closed(tag, most) {
  const call = await ended(tag);
  assert.equal(call.end, 'closed');
  assert.ok(call.sent <= most, `${call.sent} tokens were sent`);
}
async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}
/** The failure, which is exactly of that class, with what every failure carries. */
async function failure(kind, doing) {
  const error = await Promise.resolve(doing).then(() => assert.fail(`no ${kind.name}`), (error) => error);
  assert.equal(error.constructor, kind, error.stack);
  if (error.status) {
    assert.ok(error.requestID && error.error.message);
    for (const field of ['message', 'type', 'param', 'code']) assert.ok(field in error.error, field);
  }
  return error;
}

/** Good answers between those that fail, or the target's breaker would open. */
async function calm(wire) {
  for (const model of [wire, wire, wire, wire, `${wire}-hasty`, `${wire}-hasty`]) {
    const body = { model, stream: true, messages: says('calm', { tokens: 1 }) };
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${KEY}` };
    const answer = await fetch(`${URL}/v1/streams`, { method: 'POST', headers, body: JSON.stringify(body) });
    assert.ok(!(await answer.text()).includes('event: error'), 'the breaker is open already');
  }
}

/** Tests that are done for each wire. */
const perWire = {
  async 'a stream'({ wire, tag }) {
    const chunks = await all(await client().chat.completions.create({ model: wire, messages: says(tag, { tokens: 20 }), stream: true }));
    assert.equal(said(chunks), text(20));
    assert.deepEqual(chunks.map((chunk) => chunk.choices[0].finish_reason), [...Array(chunks.length - 1).fill(null), 'stop']);
    assert.ok(chunks.every((chunk) => !chunk.usage), 'nobody asked for usage');
  },
  async 'a whole answer'({ wire, tag }) {
    const { data, response } = await client().chat.completions.create({ model: wire, messages: says(tag, { tokens: 20 }) }).withResponse();
    assert.equal(data.choices[0].message.content, text(20));
    assert.equal(data.choices[0].finish_reason, 'stop');
    assert.equal(data.usage.total_tokens, 31);
    assert.ok(response.headers.get('x-stream-id') && data._request_id);
  },
  async 'usage where it is asked for'({ wire, tag }) {
    const body = { model: wire, messages: says(tag), stream: true, stream_options: { include_usage: true } };
    const chunks = await all(await client().chat.completions.create(body));
    const last = chunks.pop();
    assert.deepEqual([last.choices, last.usage.prompt_tokens, last.usage.completion_tokens], [[], 11, 3]);
    assert.ok(chunks.every((chunk) => chunk.choices.length && !chunk.usage));
  },
  async 'heartbeats are not noticed'({ wire, tag }) {
    const body = { model: wire, messages: says(tag, { stall: 2400, tokens: 2, every: 700 }), stream: true };
    const chunks = await all(await client().chat.completions.create(body, { headers: { 'x-event-ids': 'true' } }));
    assert.equal(said(chunks), text(2));
    assert.ok(chunks.every((chunk) => chunk.id && chunk.choices.length));
  },
  async 'two parallel calls and the turn that answers them, streamed'({ wire, tag }) {
    const messages = says(tag, { tools: 1 });
    const body = { model: wire, messages, tools: [WEATHER], reasoning_effort: 'low' };
    const turn = async () => {
      const stream = client().chat.completions.stream(body);
      // What the SDK's accumulator does not know of it keeps only as last seen: what is signed is taken from the chunks.
      const details = [];
      stream.on('chunk', (chunk) => details.push(...(chunk.choices[0]?.delta.reasoning_details ?? [])));
      const choice = (await stream.finalChatCompletion()).choices[0];
      return { ...choice, message: { ...choice.message, ...(details.length && { reasoning_details: details }) } };
    };
    await twoTurns(turn, messages, { wire, tag });
  },
  async 'two parallel calls and the turn that answers them, whole'({ wire, tag }) {
    const messages = says(tag, { tools: 1 });
    const body = { model: wire, messages, tools: [WEATHER], reasoning_effort: 'low' };
    await twoTurns(async () => (await client().chat.completions.create(body)).choices[0], messages, { wire, tag });
  },
  async 'tools run by the SDK'({ wire, tag }) {
    const asked = [];
    const run = ({ city }) => `sun ${asked.push(city) - 1}`;
    const weather = { type: 'function', function: { ...WEATHER.function, parse: JSON.parse, function: run } };
    const runner = client().chat.completions.runTools({ model: wire, messages: says(tag, { tools: 1 }), tools: [weather] });
    const final = await runner.finalContent();
    assert.deepEqual(asked, PLACES);
    assert.ok(final.includes('sun 0') && final.includes('sun 1'), final);
  },
  async 'aborted after five tokens'({ wire, tag }) {
    const stream = await client().chat.completions.create({ model: wire, messages: says(tag, { tokens: MANY, every: 10 }), stream: true });
    let seen = 0;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content && ++seen === 5) stream.controller.abort();
    }
    await closed(tag, MANY / 4);
  },
  async 'left by breaking out of the loop'({ wire, tag }) {
    const stream = await client().chat.completions.create({ model: wire, messages: says(tag, { tokens: MANY, every: 10 }), stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
    await closed(tag, MANY / 4);
  },
  async 'given up before the first token'({ wire, tag }) {
    for (const [at, stream] of [true, false].entries()) {
      const asked = client({ timeout: 1000 }).chat.completions.create({ model: wire, messages: says(`${tag}${at}x`, { never: 'body' }), stream });
      await failure(OpenAI.APIConnectionTimeoutError, asked);
      await closed(`${tag}${at}x`, 0);
    }
  },
  async 'what the upstream refuses'({ wire, tag }) {
    const table = [
      [400, OpenAI.BadRequestError, 400], [401, OpenAI.InternalServerError, 502], [404, OpenAI.NotFoundError, 404],
      [409, OpenAI.InternalServerError, 502], [429, OpenAI.RateLimitError, 429], [502, OpenAI.InternalServerError, 502],
      [504, OpenAI.InternalServerError, 502],
    ];
    for (const stream of [true, false]) {
      for (const [status, kind, ours] of table) {
        await calm(wire);
        const error = await failure(kind, client().chat.completions.create({ model: wire, messages: says(tag, { status }), stream }));
        assert.equal(error.status, ours);
        if ([400, 404].includes(status)) assert.equal(error.error.message, `scripted refusal ${status}`);
      }
    }
  },
  async 'an upstream that never answers is 504'({ wire, tag }) {
    for (const never of ['head', 'body']) {
      const asked = client().chat.completions.create({ model: `${wire}-hasty`, messages: says(tag, { never }), stream: true });
      const error = await failure(OpenAI.InternalServerError, asked);
      assert.deepEqual([error.status, error.code], [504, 'upstream_timeout']);
    }
  },
  async 'an error in the first event is still a status'({ wire, tag }) {
    const error = await failure(OpenAI.InternalServerError, client().chat.completions.create({ model: wire, messages: says(tag, { error: 0 }), stream: true }));
    assert.equal(error.status, 502);
    assert.match(error.error.message, /scripted error/);
  },
  async 'an error after twenty tokens comes after twenty tokens'({ wire, tag }) {
    const chunks = [];
    const stream = await client().chat.completions.create({ model: wire, messages: says(tag, { tokens: 30, error: 20 }), stream: true });
    const error = await failure(OpenAI.APIError, (async () => { for await (const chunk of stream) chunks.push(chunk); })());
    assert.match(error.message, /scripted error/);
    assert.equal(said(chunks), text(20));
    assert.ok(chunks.every((chunk) => chunk.choices.every((choice) => choice.finish_reason === null)), 'no success is told');
  },
  async 'our retries are not multiplied by the client\'s'({ wire, tag }) {
    let asked = 0;
    const counting = (...request) => { asked += 1; return fetch(...request); };
    const body = { model: `${wire}-again`, messages: says(tag, { status: 500 }), stream: true };
    const error = await failure(OpenAI.InternalServerError, client({ maxRetries: 2, fetch: counting }).chat.completions.create(body));
    assert.equal(error.headers.get('x-should-retry'), 'false');
    assert.deepEqual([asked, (await calls(tag)).length], [1, 2]);
  },
  async 'a retry after a lost answer joins the running generation'({ wire, tag }) {
    for (const stream of [true, false]) {
      let lost = 2;
      const between = await relay(URL, () => (lost-- > 0 ? 0 : null));
      const key = `${tag}${stream}x`;
      const body = { model: wire, messages: says(key, { tokens: 50, every: 5 }), stream };
      const asking = client({ baseURL: `${between.url}/v1`, maxRetries: 2 });
      const answer = await asking.chat.completions.create(body, { headers: { 'Idempotency-Key': key } });
      assert.equal(stream ? said(await all(answer)) : answer.choices[0].message.content, text(50));
      assert.equal(between.cuts, 2);
      assert.equal((await ended(key)).end, 'done');
      between.close();
    }
  },
  async 'another body under the same idempotency key is a conflict'({ wire, tag }) {
    const options = { headers: { 'Idempotency-Key': tag } };
    await client().chat.completions.create({ model: wire, messages: says(tag) }, options);
    const other = client({ maxRetries: 2 }).chat.completions.create({ model: wire, messages: says(tag, { tokens: 4 }) }, options);
    assert.equal((await failure(OpenAI.ConflictError, other)).code, 'idempotency_conflict');
    assert.equal((await calls(tag)).length, 1);
  },
};

async function twoTurns(turn, messages, { wire, tag }) {
  const first = await turn();
  assert.equal(first.finish_reason, 'tool_calls');
  const made = first.message.tool_calls;
  assert.deepEqual(made.map((call) => JSON.parse(call.function.arguments).city), PLACES);
  assert.equal(new Set(made.map((call) => call.id)).size, 2);
  messages.push(first.message, ...made.map((call, at) => ({ role: 'tool', tool_call_id: call.id, content: `sun ${at}` })));
  const { content } = (await turn()).message;
  for (const part of [...PLACES, 'sun 0', 'sun 1']) assert.ok(content.includes(part), content);
  assert.ok(content.indexOf('sun 0') < content.indexOf('Paris'));
  // The upstreams refuse a turn without what they have signed; Gemini's takes a stand-in as well, where nobody kept it.
  const [, second, ...more] = await calls(tag);
  assert.equal(more.length, 0, 'the upstream is asked twice');
  if (wire === 'gemini') assert.ok(JSON.stringify(second.body).includes('c2lnbmVkIGJ5IEdvb2dsZQ=='), 'its own signature comes back');
}

const once = {
  async 'the models are listed'() {
    const names = [];
    for await (const model of client().models.list()) names.push(model.id);
    assert.deepEqual(names.sort(), [...WIRES.flatMap((wire) => [wire, `${wire}-again`, `${wire}-hasty`]), 'tour'].sort());
  },
  async 'a key is needed'({ tag }) {
    for (const options of [{ apiKey: 'sk-wrong' }, { defaultHeaders: { Authorization: null } }]) {
      for (const stream of [true, false]) {
        const error = await failure(OpenAI.AuthenticationError, client(options).chat.completions.create({ model: 'gemini', messages: says(tag), stream }));
        assert.equal(error.code, 'unauthenticated');
      }
    }
    assert.deepEqual(await calls(tag), []);
  },
  async 'an unknown model'({ tag }) {
    const error = await failure(OpenAI.NotFoundError, client().chat.completions.create({ model: 'anthropik', messages: says(tag), stream: true }));
    assert.equal(error.code, 'model_not_found');
    assert.match(error.error.message, /anthropic/);
  },
  async 'a limit'({ tag }) {
    const asking = client({ apiKey: 'sk-one-request' });
    await asking.chat.completions.create({ model: 'gemini', messages: says(tag) });
    const error = await failure(OpenAI.RateLimitError, asking.chat.completions.create({ model: 'gemini', messages: says(tag), stream: true }));
    assert.deepEqual([error.code, error.error.limit], ['rate_limited', 'key']);
    assert.equal((await calls(tag)).length, 1);
  },
};

const tests = [
  ...Object.entries(once),
  ...Object.entries(perWire).flatMap(([name, test]) => WIRES.map((wire) => [`${name} [${wire}]`, (given) => test({ ...given, wire }).finally(() => calm(wire))])),
].filter(([name]) => name.includes(process.argv[2] ?? ''));
const failed = [];
// Some at a time: most of a test is waiting.
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
