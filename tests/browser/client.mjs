// The served /client.js in Node: through a relay that cuts connections, and against a server that
// sends errors.
//
//   python3 ../sdk/stack.py --open -- node client.mjs
//
// SEED=… repeats the cuts of an earlier run.
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

const chatRequest = (script, model = 'openai-chat') => ({ model, messages: [{ role: 'user', content: `script ${script}` }] });
const waitEnded = async (tag) => {
  const [call, ...more] = await control('wait', { tag, ended: 1 });
  assert.equal(more.length, 0, 'the upstream receives one request');
  return call;
};

/**
 * Starts a server that answers each request with the next function, and from then on with the last
 * one.
 */
async function scriptedServer(...answers) {
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
const reject = (status, headers, code = 'rate_limited') => (response) => response.writeHead(status, { 'x-request-id': 'r1', ...headers }).end(JSON.stringify({ error: { code, message: 'not now' } }));
const event = (name, data, id) => `${id ? `id: ${id}\n` : ''}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
const stream = (...pieces) => async (response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const piece of pieces) await new Promise((resolve) => { response.write(piece, () => setImmediate(resolve)); });
  response.end();
};
const completeStream = stream(event('start', { stream: 's', model: 'm' }, 's.0'), event('text', { delta: 'hi' }, 's.1'), event('end', { reason: 'stop', usage: null }, 's.2'));
const failure = async (promise) => promise.then(() => assert.fail('the promise did not fail'), (error) => error);

const tests = {
  async 'the client is small, and cached by its ETag'() {
    assert.ok(Number(served.headers.get('content-length')) < 6 * 1024);
    assert.equal(served.headers.get('content-type'), 'text/javascript; charset=utf-8');
    const again = await fetch(served.url, { headers: { 'if-none-match': served.headers.get('etag') } });
    assert.equal(again.status, 304);
  },
  async 'cut at many bytes: nothing is lost or repeated, and the upstream receives one request'() {
    const cutOnce = async (cut, n) => {
      const tag = `c${n}x`;
      const remaining = [cut, cut + 137];
      const relayServer = await relay(URL_, (line) => (/(POST|GET) \/v1\/streams/.test(line) ? remaining.shift() : null));
      const ids = [];
      const client = new Sluicegate({ url: `${relayServer.url}/v1/` });
      let reconnects = 0;
      const on = (name, data, id) => { if (name === 'reconnect') reconnects += 1; else if (name !== 'open') ids.push(id); };
      try {
        const answer = await client.start(chatRequest(`tag=${tag} tokens=40 every=2`, MODELS[n % 3]), { on });
        const call = await waitEnded(tag);
        assert.equal(answer.text, call.text);
        assert.equal(answer.reason, 'stop');
        assert.equal(answer.usage.output_tokens, 40);
        assert.equal(new Set(ids).size, ids.length, 'no event is repeated');
        assert.equal(reconnects, relayServer.cuts);
        assert.ok(relayServer.cuts >= 1);
      } catch (error) {
        error.stack = `cut after ${cut} bytes: ${error.stack}`;
        throw error;
      } finally {
        relayServer.close();
      }
    };
    const cuts = [...Array(24).keys()].map((n) => (n * 91 + (SEED % 91)) % 1800); // both cuts lie before the end
    for (let at = 0; at < cuts.length; at += 8) await Promise.all(cuts.slice(at, at + 8).map((cut, n) => cutOnce(cut, at + n)));
  },
  async 'tool calls and reasoning are accumulated'() {
    const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } } }];
    const answer = await new Sluicegate({ url: `${URL_}/v1/` }).start({ ...chatRequest('tag=tools tools=1 think=1', 'anthropic'), tools, reasoning_effort: 'low' });
    assert.equal(answer.reason, 'tool_calls');
    assert.deepEqual(answer.toolCalls.map((call) => [call.name, JSON.parse(call.arguments).city]), [['weather', 'Zürich'], ['weather', 'Paris']]);
    assert.ok(answer.reasoning.length > 0 && answer.toolCalls.every((call) => call.id));
  },
  async 'a cancel closes the upstream, and the answer reports it'() {
    const client = new Sluicegate({ url: `${URL_}/v1/` });
    const answer = client.start(chatRequest('tag=stop tokens=2000 every=5'), { on: (name) => { if (name === 'text') answer.cancel(); } });
    assert.equal((await answer).reason, 'cancelled');
    assert.equal((await waitEnded('stop')).end, 'closed');
    assert.equal((await client.status(answer.id)).status, 'cancelled');
  },
  async 'a cancel before the first token'() {
    const client = new Sluicegate({ url: `${URL_}/v1/` });
    const answer = client.start(chatRequest('tag=early tokens=2000 every=5 stall=1000'));
    await answer.cancel();
    assert.equal((await answer).reason, 'cancelled');
  },
  async 'aborted by its signal; another reader continues from the same position'() {
    const client = new Sluicegate({ url: `${URL_}/v1/` });
    const controller = new AbortController();
    let last, text = '';
    const on = (name, data, id) => {
      if (name !== 'text') return;
      [last, text] = [id, text + data.delta];
      if (text.length > 40) controller.abort();
    };
    const first = client.start(chatRequest('tag=left tokens=60 every=5'), { on, signal: controller.signal });
    assert.equal((await failure(first)).name, 'AbortError');
    const rest = await client.follow(first.id, { after: last });
    assert.equal(text + rest.text, (await waitEnded('left')).text);
    assert.equal((await client.follow(first.id)).text, text + rest.text);
  },
  async 'a rejection is a typed error, without a retry'() {
    const client = new Sluicegate({ url: `${URL_}/v1/` });
    const error = await failure(client.start(chatRequest('tag=none', 'no-such-model')));
    assert.ok(error instanceof SluicegateError && error.requestId);
    assert.deepEqual([error.code, error.status], ['model_not_found', 404]);
    assert.equal((await failure(client.follow(newId()))).code, 'stream_not_found');
    assert.equal(await client.cancel(newId()), null, 'a cancel before the POST is remembered');
  },
  async 'an error in the stream has its code and the partial answer'() {
    const error = await failure(new Sluicegate({ url: `${URL_}/v1/` }).start(chatRequest('tag=broken tokens=9 error=4')));
    assert.equal(error.code, 'upstream_error');
    assert.equal(error.answer.text, (await waitEnded('broken')).text);
  },
  async 'too many requests: the client waits for the time in Retry-After'() {
    const server = await scriptedServer(reject(429, { 'retry-after-ms': '400', 'retry-after': '9' }), reject(503, { 'retry-after': '1' }, 'overloaded'), completeStream);
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
  async 'a Retry-After beyond the limit fails at once'() {
    const server = await scriptedServer(reject(429, { 'retry-after': '3600' }));
    const error = await failure(new Sluicegate({ url: server.url }).start({ model: 'm', messages: [] }));
    assert.deepEqual([error.code, error.status, error.retryAfter, error.requestId, server.requests.length], ['rate_limited', 429, 3_600_000, 'r1', 1]);
    server.close();
  },
  async 'the client gives up if no response arrives'() {
    const server = await scriptedServer((response) => response.destroy());
    const error = await failure(new Sluicegate({ url: server.url, giveUp: 900 }).start({ model: 'm', messages: [] }));
    assert.deepEqual([error.code, error.status], ['connection_lost', 0]);
    assert.ok(server.requests.length > 1);
    server.close();
  },
  async 'without a head the POST is repeated; after some events a GET continues after the last'() {
    const server = await scriptedServer(
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
  async 'all line ends, comments and chunk boundaries'() {
    const text = '\ufeff: hello\r' + 'id: 1\revent: text\rdata: {"delta":\rdata: "ü😀"}\r\r' + event('text', { delta: 'b' }, '2') + ': beat\n' + event('end', { reason: 'stop', usage: { total_tokens: 1 } }, '3').replaceAll('\n', '\r\n');
    const bytes = Buffer.from(text);
    for (let at = 1; at < bytes.length; at += 3) {
      const server = await scriptedServer(stream(bytes.subarray(0, at), bytes.subarray(at)));
      const answer = await new Sluicegate({ url: server.url }).follow('x'.repeat(26));
      assert.deepEqual([answer.text, answer.usage.total_tokens], ['ü😀b', 1], `split at ${at}`);
      server.close();
    }
  },
  async 'an error of the page\'s callback is passed on'() {
    const server = await scriptedServer(completeStream);
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
