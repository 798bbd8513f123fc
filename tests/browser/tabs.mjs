// Eight tabs of one browser stream at once over HTTP/2. Over HTTP/1.1 a browser opens only six
// connections.
//
//   python3 ../sdk/stack.py --open --tls -- node tabs.mjs
//
// The upstream pauses every stream after five tokens until the gate opens. The test opens it when
// all eight tabs have five tokens, so a tab that waited for the end of another one would wait
// forever.
import assert from 'node:assert/strict';
import { begin, control, follow, launch } from './chromium.mjs';

const URL = process.env.SLUICEGATE_URL;
const TABS = 8;
const TOKENS = 40;
const WAIT = 60_000;

/** Runs in a page: sends a request with fetch and records the answer into `window.received`. */
async function ask({ model, script }) {
  window.received = { text: '', ends: 0, stopped: false };
  const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: `script ${script}` }] });
  const response = await fetch('/v1/streams', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const read = async () => {
    let rest = '';
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      const events = (rest + piece).split('\n\n');
      rest = events.pop();
      for (const event of events) {
        if (/^event: text$/m.test(event)) window.received.text += JSON.parse(/^data: (.*)$/m.exec(event)[1]).delta;
        if (/^event: end$/m.test(event)) window.received.ends += 1;
      }
    }
    window.received.stopped = true;
  };
  // Not awaited, because the test watches `window.received`.
  read().catch((error) => { window.received.failed = String(error); });
}

/** Runs in a page: returns the protocols of its document and of its streams. */
const protocols = () => performance.getEntries()
  .filter((entry) => entry.entryType === 'navigation' || entry.name.includes('/v1/streams'))
  .map((entry) => entry.nextHopProtocol);

async function open(context, number) {
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  await page.goto(`${URL}/v1/models`);
  const options = { model: 'openai-chat', script: `tag=tab${number}x tokens=${TOKENS} gate=all` };
  // Tabs with even numbers read with fetch, the others with an EventSource.
  if (number % 2) await page.evaluate(follow, await page.evaluate(begin, options));
  else await page.evaluate(ask, options);
  return page;
}

const tests = {
  async 'all eight progress together'(pages) {
    await Promise.all(pages.map((page) => page.waitForFunction(() => window.received.text.includes('tok4'))));
    const early = await Promise.all(pages.map((page) => page.evaluate(() => window.received)));
    assert.ok(early.every((received) => !received.text.includes('tok5') && !received.ends), JSON.stringify(early));
    await control('gate', { name: 'all' });
    await Promise.all(pages.map((page) => page.waitForFunction(() => window.received.stopped)));
  },
  async 'each tab has its own complete answer'(pages) {
    for (const [number, page] of pages.entries()) {
      const [call, ...more] = await control('wait', { tag: `tab${number}x`, ended: 1 });
      const received = await page.evaluate(() => window.received);
      assert.deepEqual([more.length, received.text, received.ends, call.sent], [0, call.text, 1, TOKENS]);
    }
  },
  async 'all connections are HTTP/2'(pages) {
    for (const page of pages) {
      const used = await page.evaluate(protocols);
      assert.ok(used.length >= 2, `document and stream: ${used}`);
      assert.deepEqual(new Set(used), new Set(['h2']));
    }
  },
};

const browser = await launch('--ignore-certificate-errors');
const context = await browser.newContext({ ignoreHTTPSErrors: true });
const late = new Promise((_, reject) => {
  setTimeout(reject, WAIT, new Error(`the tabs did not open within ${WAIT} ms: one may wait for another`)).unref();
});
const opening = Array.from({ length: TABS }, (_, number) => open(context, number));
const pages = await Promise.race([Promise.all(opening), late]).catch((error) => {
  console.log(`FAILED  ${error.stack}\n0 passed, ${TABS} failed`);
  process.exit(1);
});
const failed = [];
for (const [name, test] of Object.entries(tests)) {
  try {
    await test(pages);
    console.log(`ok      ${name}`);
  } catch (error) {
    failed.push(name);
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
await browser.close();
console.log(`${Object.keys(tests).length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length ? 1 : 0;
