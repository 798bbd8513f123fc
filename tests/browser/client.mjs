// The client at /client.js, as it is served, in Node: behind a relay that cuts, and against a server that refuses.
//
//   python3 ../sdk/stack.py --open -- node client.mjs
//
// SEED=… has the same cuts again.
import assert from 'node:assert/strict';
import http from 'node:http';
import { relay } from '../sdk/relay.mjs';
import { control } from './chromium.mjs';

const URL_ = process.env.SLUICEGATE_URL;
const MODELS = ['openai-chat', 'anthropic', 'gemini'];
const SEED = Number(process.env.SEED ?? Math.trunc(Math.random() * 2 ** 32));
console.log(`SEED=${SEED}`);

const served = await fetch(`${URL_}/client.js`);
const { Sluicegate, SluicegateError, newId } = await import(`data:text/javascript,${encodeURIComponent(await served.text()).replaceAll('import.meta.url', '"http://unused/"')}`);

const says = (script, model = 'openai-chat') => ({ model, messages: [{ role: 'user', content: `script ${script}` }] });
const asked = async (tag) => {
  const [call, ...more] = await control('wait', { tag, ended: 1 });
  assert.equal(more.length, 0, 'the upstream is asked once');
  return call;
};

/** A server that answers each request by the next of these functions, the last one for ever. */
async function scripted(...answers) {
  const requests = [];
  const server = http.createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    requests.push({ line: `${request.method} ${request.url}`, headers: request.headers, body, at: Date.now() });
    await answers[Math.min(requests.length, answers.length) - 1](response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { requests, url: `http://127.0.0.1:${server.address().port}/v1/`, close: () => { server.closeAllConnections(); server.close(); } };
}
const refuse = (status, headers, code = 'rate_limited') => (response) => response.writeHead(status, { 'x-request-id': 'r1', ...headers }).end(JSON.stringify({ error: { code, message: 'not now' } }));
const event = (name, data, id) => `${id ? `id: ${id}\n` : ''}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const stream = (...pieces) => async (response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const piece of pieces) await new Promise((resolve) => { response.write(piece, () => setImmediate(resolve)); });
  response.end();
};
const whole = stream(event('start', { stream: 's', model: 'm' }, 's.0'), event('text', { delta: 'hi' }, 's.1'), event('end', { reason: 'stop', usage: null }, 's.2'));
const failure = async (promise) => promise.then(() => assert.fail('it did not fail'), (error) => error);

const tests = {
  async 'it is small, and cached by its tag'() {
    assert.ok(Number(served.headers.get('content-length')) < 6 * 1024);
    assert.equal(served.headers.get('content-type'), 'text/javascript; charset=utf-8');
    const again = await fetch(served.url, { headers: { 'if-none-match': served.headers.get('etag') } });
    assert.equal(again.status, 304);
  },
  async 'cut at many bytes: nothing is lost, nothing comes twice, the upstream is asked once'() {
    const cutOnce = async (cut, n) => {
      const tag = `c${n}x`;
      const left = [cut, cut + 137];
      const between = await relay(URL_, (line) => (/(POST|GET) \/v1\/streams/.test(line) ? left.shift() : null));
      const ids = [];
      const client = new Sluicegate({ url: `${between.url}/v1/` });
      let reconnects = 0;
      const on = (name, data, id) => { if (name === 'reconnect') reconnects += 1; else if (name !== 'open') ids.push(id); };
      try {
        const answer = await client.start(says(`tag=${tag} tokens=40 every=2`, MODELS[n % 3]), { on });
        const call = await asked(tag);
        assert.equal(answer.text, call.said);
        assert.equal(answer.reason, 'stop');
        assert.equal(answer.usage.output_tokens, 40);
        assert.equal(new Set(ids).size, ids.length, 'no event comes twice');
        assert.equal(reconnects, between.cuts);
        assert.ok(between.cuts >= 1);
      } catch (error) {
        error.stack = `cut after ${cut} bytes: ${error.stack}`;
        throw error;
      } finally {
        between.close();
      }
    };
    const cuts = [...Array(24).keys()].map((n) => (n * 91 + (SEED % 91)) % 1800); // both cuts come before the end
    for (let at = 0; at < cuts.length; at += 8) await Promise.all(cuts.slice(at, at + 8).map((cut, n) => cutOnce(cut, at + n)));
  },
  async 'tools and reasoning are put together'() {
    const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } }];
    const answer = await new Sluicegate({ url: `${URL_}/v1/` }).start({ ...says('tag=tools tools=1 think=1', 'anthropic'), tools, reasoning_effort: 'low' });
    assert.equal(answer.reason, 'tool_calls');
    assert.deepEqual(answer.toolCalls.map((call) => [call.name, JSON.parse(call.arguments).city]), [['weather', 'Zürich'], ['weather', 'Paris']]);
    assert.ok(answer.reasoning.length > 0 && answer.toolCalls.every((call) => call.id));
  },
  async 'cancelled: the upstream is closed, and the answer says so'() {
    const client = new Sluicegate({ url: `${URL_}/v1/` });
    const answer = client.start(says('tag=stop tokens=2000 every=5'), { on: (name) => { if (name === 'text') answer.cancel(); } });
    assert.equal((await answer).reason, 'cancelled');
    assert.equal((await asked('stop')).end, 'closed');
    assert.equal((await client.status(answer.id)).status, 'cancelled');
  },
  async 'cancelled before anything was sent'() {
    const client = new Sluicegate({ url: `${URL_}/v1/` });
    const answer = client.start(says('tag=early tokens=2000 every=5 stall=1000'));
    await answer.cancel();
    assert.equal((await answer).reason, 'cancelled');
  },
  async 'left by its signal; another reader goes on from where it was'() {
    const client = new Sluicegate({ url: `${URL_}/v1/` });
    const leaving = new AbortController();
    let last, text = '';
    const on = (name, data, id) => {
      if (name !== 'text') return;
      [last, text] = [id, text + data.delta];
      if (text.length > 40) leaving.abort();
    };
    const first = client.start(says('tag=left tokens=60 every=5'), { on, signal: leaving.signal });
    assert.equal((await failure(first)).name, 'AbortError');
    const rest = await client.follow(first.id, { after: last });
    assert.equal(text + rest.text, (await asked('left')).said);
    assert.equal((await client.follow(first.id)).text, text + rest.text);
  },
  async 'a refusal is typed, and not tried again'() {
    const client = new Sluicegate({ url: `${URL_}/v1/` });
    const error = await failure(client.start(says('tag=none', 'no-such-model')));
    assert.ok(error instanceof SluicegateError && error.requestId);
    assert.deepEqual([error.code, error.status], ['model_not_found', 404]);
    assert.equal((await failure(client.follow(newId()))).code, 'stream_not_found');
    assert.equal(await client.cancel(newId()), null, 'what has not come yet is cancelled when it comes');
  },
  async 'an error in the stream has its code, and what had come'() {
    const error = await failure(new Sluicegate({ url: `${URL_}/v1/` }).start(says('tag=broken tokens=9 error=4')));
    assert.equal(error.code, 'upstream_error');
    assert.equal(error.answer.text, (await asked('broken')).said);
  },
  async 'too many requests: it waits as long as it is told'() {
    const server = await scripted(refuse(429, { 'retry-after-ms': '400', 'retry-after': '9' }), refuse(503, { 'retry-after': '1' }, 'overloaded'), whole);
    const waits = [];
    const client = new Sluicegate({ url: server.url, key: () => 'k1' });
    const answer = await client.start({ model: 'm', messages: [] }, { on: (name, data) => { if (name === 'reconnect') waits.push([data.failure.code, data.wait]); } });
    assert.equal(answer.text, 'hi');
    assert.deepEqual(waits.map(([code]) => code), ['rate_limited', 'overloaded']);
    assert.ok(waits[0][1] === 400 && waits[1][1] === 1000, `${waits}`);
    const [first, ...again] = server.requests;
    for (const request of again) {
      assert.deepEqual([request.body, request.headers['x-stream-id']], [first.body, first.headers['x-stream-id']], 'the same request');
      assert.equal(request.headers.authorization, 'Bearer k1');
    }
    server.close();
  },
  async 'told to wait longer than it means to: it says so at once'() {
    const server = await scripted(refuse(429, { 'retry-after': '3600' }));
    const error = await failure(new Sluicegate({ url: server.url }).start({ model: 'm', messages: [] }));
    assert.deepEqual([error.code, error.status, error.retryAfter, error.requestId, server.requests.length], ['rate_limited', 429, 3_600_000, 'r1', 1]);
    server.close();
  },
  async 'gives up where nothing comes any more'() {
    const server = await scripted((response) => response.destroy());
    const error = await failure(new Sluicegate({ url: server.url, giveUp: 900 }).start({ model: 'm', messages: [] }));
    assert.deepEqual([error.code, error.status], ['connection_lost', 0]);
    assert.ok(server.requests.length > 1);
    server.close();
  },
  async 'no head came: the same POST again; some events came: a GET behind the last'() {
    const server = await scripted(
      (response) => response.destroy(),
      stream(event('start', { stream: 's', model: 'm' }, 's.0'), 'id: s.1\nevent: te'),
      stream(event('text', { delta: 'hi' }, 's.1').replaceAll('\n', '\r\n'), event('end', { reason: 'stop', usage: null }, 's.2')),
    );
    const id = newId();
    const answer = await new Sluicegate({ url: server.url }).start({ model: 'm', messages: [] }, { id });
    assert.equal(answer.text, 'hi');
    assert.deepEqual(server.requests.map((request) => request.line), ['POST /v1/streams', 'POST /v1/streams', `GET /v1/streams/${id}`]);
    assert.equal(server.requests[2].headers['last-event-id'], 's.0');
    server.close();
  },
  async 'line ends, comments and splits of every kind'() {
    const text = '\ufeff: hello\r' + 'id: 1\revent: text\rdata: {"delta":\rdata: "ü😀"}\r\r' + event('text', { delta: 'b' }, '2') + ': beat\n' + event('end', { reason: 'stop', usage: { total_tokens: 1 } }, '3').replaceAll('\n', '\r\n');
    const bytes = Buffer.from(text);
    for (let at = 1; at < bytes.length; at += 3) {
      const server = await scripted(stream(bytes.subarray(0, at), bytes.subarray(at)));
      const answer = await new Sluicegate({ url: server.url }).follow('x'.repeat(26));
      assert.deepEqual([answer.text, answer.usage.total_tokens], ['ü😀b', 1], `split at ${at}`);
      server.close();
    }
  },
  async 'what the page throws is the page\'s'() {
    const server = await scripted(whole);
    const error = await failure(new Sluicegate({ url: server.url }).start({}, { on: (name) => { if (name === 'text') throw new TypeError('mine'); } }));
    assert.deepEqual([error.message, server.requests.length], ['mine', 1]);
    server.close();
  },
};

const wanted = Object.entries(tests).filter(([name]) => name.includes(process.argv[2] ?? ''));
let failed = 0;
for (const [name, test] of wanted) {
  try {
    await test();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
console.log(`${wanted.length - failed} passed, ${failed} failed`);
process.exit(failed || !wanted.length ? 1 : 0);
