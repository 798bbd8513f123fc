// @anthropic-ai/sdk, as published, against the real binary and the scripted upstream, over every wire.
//
//   python3 stack.py -- node messages.mjs [part of a test's name]
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';
import { betaTool } from '@anthropic-ai/sdk/helpers/beta/json-schema';
import { relay } from './relay.mjs';

const { SLUICEGATE_URL: URL, SLUICEGATE_KEY: KEY, UPSTREAM_URL: UPSTREAM } = process.env;
const WIRES = process.env.SLUICEGATE_WIRES.split(',');
// The APIs that count a prompt themselves, and what they say.
const COUNTING = ['anthropic', 'gemini'];
const COUNTED = 2095;
const MANY = 2000;
const PLACES = ['Zürich', 'Paris'];
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false };
const WEATHER = { name: 'weather', description: 'The weather.', input_schema: PARAMETERS };

const client = (options = {}) => new Anthropic({ baseURL: URL, apiKey: KEY, timeout: 20_000, maxRetries: 0, ...options });
const text = (count) => Array.from({ length: count }, (_, index) => `tok${index}${['', ' ', 'ü ', '€ ', '😀 '][index % 5]}`).join('');
const says = (tag, words = {}) => [{ role: 'user', content: `script tag=${tag} ${Object.entries(words).map((it) => it.join('=')).join(' ')}` }];
const asks = (model, tag, words, more = {}) => ({ model, max_tokens: 1000, messages: says(tag, words), ...more });
const said = (message) => message.content.map((block) => (block.type === 'text' ? block.text : '')).join('');
const deltas = (events) => events.flatMap((event) => (event.type === 'content_block_delta' ? [event.delta.text] : [])).join('');

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
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}
/** The message, by the SDK's own accumulator where it is streamed. */
const answer = (asking, streamed, body, options) =>
  streamed ? asking.messages.stream(body, options).finalMessage() : asking.messages.create(body, options);

/** The failure, which is exactly of that class, with what every failure carries. */
async function failure(kind, doing) {
  const error = await Promise.resolve(doing).then(() => assert.fail(`no ${kind.name}`), (error) => error);
  assert.equal(error.constructor, kind, error.stack);
  if (error.status) {
    assert.ok(error.requestID && error.apiMessage);
    assert.equal(error.error.request_id, error.requestID);
    assert.equal(error.errorCode, error.error.error.code);
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
  async 'a message'({ wire, tag }) {
    for (const streamed of [true, false]) {
      const message = await answer(client(), streamed, asks(wire, tag, { tokens: 20 }));
      assert.deepEqual([said(message), message.stop_reason, message.type], [text(20), 'end_turn', 'message']);
      assert.deepEqual([message.usage.input_tokens, message.usage.output_tokens], [11, 20]);
    }
  },
  async 'the events of a stream, and its head'({ wire, tag }) {
    const { data, response, request_id: id } = await client().messages.create(asks(wire, tag, { tokens: 20 }, { stream: true })).withResponse();
    const events = await all(data);
    assert.equal(deltas(events), text(20));
    assert.deepEqual([events[0].type, events.at(-2).type, events.at(-1).type], ['message_start', 'message_delta', 'message_stop']);
    assert.ok(id && response.headers.get('x-stream-id'));
  },
  async 'heartbeats are not noticed'({ wire, tag }) {
    const body = asks(wire, tag, { stall: 2400, tokens: 2, every: 700 }, { stream: true });
    const events = await all(await client().messages.create(body, { headers: { 'x-event-ids': 'true' } }));
    assert.equal(deltas(events), text(2));
    assert.ok(events.every((event) => event.type !== 'ping'));
  },
  async 'thinking'({ wire, tag }) {
    const body = asks(wire, tag, { think: 1, tokens: 5 }, { max_tokens: 4000, thinking: { type: 'enabled', budget_tokens: 2000 } });
    const heard = [];
    const stream = client().messages.stream(body).on('thinking', (words) => heard.push(words));
    const [thinking, ...kept] = (await stream.finalMessage()).content;
    const words = kept.pop();
    assert.deepEqual([thinking.type, words.text, heard.join('')], ['thinking', text(5), thinking.thinking]);
    assert.match(thinking.thinking, /^Two cities, two calls, says /);
    const marks = thinking.signature + kept.map((block) => block.data).join('');
    const signed = { 'openai-chat': /^$/, gemini: /^$/, anthropic: /^[A-Za-z0-9]+=*$/ }[wire] ?? new RegExp(`^sluicegate:${wire}:`);
    assert.match(marks, signed, 'only what the provider has signed is signed');
  },
  async 'two parallel calls and the turn that answers them'({ wire, tag }) {
    for (const [at, streamed] of [true, false].entries()) {
      const messages = says(`${tag}${at}x`, { tools: 1 });
      const body = { model: wire, max_tokens: 1000, messages, tools: [WEATHER], output_config: { effort: 'low' } };
      const first = await answer(client(), streamed, body);
      assert.equal(first.stop_reason, 'tool_use');
      const made = first.content.filter((block) => block.type === 'tool_use');
      assert.deepEqual(made.map((call) => call.input.city), PLACES);
      assert.equal(new Set(made.map((call) => call.id)).size, 2);
      const results = made.map((call, at) => ({ type: 'tool_result', tool_use_id: call.id, content: `sun ${at}` }));
      messages.push({ role: 'assistant', content: first.content }, { role: 'user', content: results });
      const words = said(await answer(client(), streamed, body));
      for (const part of [...PLACES, 'sun 0', 'sun 1']) assert.ok(words.includes(part), words);
      assert.ok(words.indexOf('sun 0') < words.indexOf('Paris'));
      // The upstream would have refused a turn without what it has signed.
      assert.equal((await calls(`${tag}${at}x`)).length, 2);
    }
  },
  async 'tools run by the SDK'({ wire, tag }) {
    for (const [at, stream] of [true, false].entries()) {
      const asked = [];
      const run = ({ city }) => `sun ${asked.push(city) - 1}`;
      const weather = betaTool({ name: 'weather', description: 'The weather.', inputSchema: PARAMETERS, run });
      const runner = client().beta.messages.toolRunner({ model: wire, max_tokens: 1000, messages: says(`${tag}${at}x`, { tools: 1 }), tools: [weather], stream });
      const words = said(await runner.runUntilDone());
      assert.deepEqual(asked, PLACES);
      assert.ok(words.includes('sun 0') && words.includes('sun 1'), words);
    }
  },
  async 'tokens are counted'({ wire, tag }) {
    const counted = await client().messages.countTokens({ model: wire, messages: says(tag), system: 'Be brief.' });
    if (COUNTING.includes(wire)) return assert.equal(counted.input_tokens, COUNTED);
    assert.ok(counted.input_tokens > 0 && counted.sluicegate.estimated);
  },
  async 'aborted after five tokens'({ wire, tag }) {
    const stream = client().messages.stream(asks(wire, tag, { tokens: MANY, every: 10 }));
    let seen = 0;
    stream.on('text', () => { if (++seen === 5) stream.abort(); });
    await failure(Anthropic.APIUserAbortError, stream.finalMessage());
    await closed(tag, MANY / 4);
  },
  async 'left by breaking out of the loop'({ wire, tag }) {
    const stream = await client().messages.create(asks(wire, tag, { tokens: MANY, every: 10 }, { stream: true }));
    for await (const event of stream) if (event.type === 'content_block_delta') break;
    await closed(tag, MANY / 4);
  },
  async 'given up before the first token'({ wire, tag }) {
    for (const [at, stream] of [true, false].entries()) {
      const asked = client({ timeout: 1000 }).messages.create(asks(wire, `${tag}${at}x`, { never: 'body' }, { stream }));
      await failure(Anthropic.APIConnectionTimeoutError, asked);
      await closed(`${tag}${at}x`, 0);
    }
  },
  async 'what the upstream refuses'({ wire, tag }) {
    const table = [
      [400, Anthropic.BadRequestError, 400], [401, Anthropic.InternalServerError, 502], [404, Anthropic.NotFoundError, 404],
      [409, Anthropic.InternalServerError, 502], [429, Anthropic.RateLimitError, 429], [502, Anthropic.InternalServerError, 502],
      [503, Anthropic.OverloadedError, 529], [529, Anthropic.OverloadedError, 529],
    ];
    for (const stream of [true, false]) {
      for (const [status, kind, ours] of table) {
        await calm(wire);
        const error = await failure(kind, client().messages.create(asks(wire, tag, { status }, { stream })));
        assert.equal(error.status, ours);
        if ([400, 404].includes(status)) assert.equal(error.apiMessage, `scripted refusal ${status}`);
      }
    }
  },
  async 'an upstream that never answers is 504'({ wire, tag }) {
    for (const never of ['head', 'body']) {
      const error = await failure(Anthropic.GatewayTimeoutError, client().messages.create(asks(`${wire}-hasty`, tag, { never }, { stream: true })));
      assert.deepEqual([error.errorCode, error.type], ['upstream_timeout', 'timeout_error']);
    }
  },
  async 'an error in the first event is still a status'({ wire, tag }) {
    const error = await failure(Anthropic.InternalServerError, client().messages.create(asks(wire, tag, { error: 0 }, { stream: true })));
    assert.equal(error.status, 502);
    assert.match(error.apiMessage, /scripted error/);
  },
  async 'an error after twenty tokens comes after twenty tokens'({ wire, tag }) {
    const events = [];
    const stream = await client().messages.create(asks(wire, tag, { tokens: 30, error: 20 }, { stream: true }));
    const error = await (async () => { for await (const event of stream) events.push(event); })().then(() => assert.fail('no error'), (error) => error);
    assert.ok(error instanceof Anthropic.APIError, error.stack);
    assert.equal(error.type, 'api_error');
    assert.match(error.message, /scripted error/);
    assert.equal(deltas(events), text(20));
    assert.ok(events.every((event) => !['message_delta', 'message_stop'].includes(event.type)), 'no success is told');
  },
  async 'our retries are not multiplied by the client\'s'({ wire, tag }) {
    let asked = 0;
    const counting = (...request) => { asked += 1; return fetch(...request); };
    const body = asks(`${wire}-again`, tag, { status: 500 }, { stream: true });
    const error = await failure(Anthropic.InternalServerError, client({ maxRetries: 2, fetch: counting }).messages.create(body));
    assert.equal(error.headers.get('x-should-retry'), 'false');
    assert.deepEqual([asked, (await calls(tag)).length], [1, 2]);
  },
  async 'a retry after a lost answer joins the running generation'({ wire, tag }) {
    for (const streamed of [true, false]) {
      let lost = 2;
      const between = await relay(URL, () => (lost-- > 0 ? 0 : null));
      const key = `${tag}${streamed}x`;
      const asking = client({ baseURL: between.url, maxRetries: 2 });
      const message = await answer(asking, streamed, asks(wire, key, { tokens: 50, every: 5 }), { headers: { 'Idempotency-Key': key } });
      assert.equal(said(message), text(50));
      assert.equal(between.cuts, 2);
      assert.equal((await ended(key)).end, 'done');
      between.close();
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
  async 'a key is needed'({ tag }) {
    for (const stream of [true, false]) {
      const error = await failure(Anthropic.AuthenticationError, client({ apiKey: 'sk-wrong' }).messages.create(asks('gemini', tag, {}, { stream })));
      assert.deepEqual([error.errorCode, error.type], ['unauthenticated', 'authentication_error']);
    }
    assert.deepEqual(await calls(tag), []);
  },
  async 'an unknown model'({ tag }) {
    const error = await failure(Anthropic.NotFoundError, client().messages.create(asks('anthropik', tag, {}, { stream: true })));
    assert.equal(error.errorCode, 'model_not_found');
    assert.match(error.apiMessage, /anthropic/);
  },
  async 'a limit'({ tag }) {
    const asking = client({ apiKey: 'sk-one-message' });
    await asking.messages.create(asks('gemini', tag));
    const error = await failure(Anthropic.RateLimitError, asking.messages.create(asks('gemini', tag, {}, { stream: true })));
    assert.deepEqual([error.errorCode, error.error.error.limit], ['rate_limited', 'key']);
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
