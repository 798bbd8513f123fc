// Eight tabs of one browser stream at once over HTTP/2. Over HTTP/1.1 a browser opens only six connections.
//
//   python3 ../sdk/stack.py --open --tls -- node tabs.mjs
//
// The upstream pauses every stream after five tokens until the gate opens. The test opens it when all eight
// tabs have five tokens, so a tab that waited for the end of another one would wait forever.
import assert from 'node:assert/strict';
import { begin, control, follow, launch } from './chromium.mjs';

const URL = process.env.SLUICEGATE_URL;
const TABS = 8;
const TOKENS = 40;
const WAIT = 60_000;

/** Runs in a page: sends a request with fetch and records the answer into `window.seen`. */
async function ask({ model, script }) {
  window.seen = { text: '', ends: 0, stopped: false };
  const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: `script ${script}` }] });
  const response = await fetch('/v1/streams', { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const read = async () => {
    let rest = '';
    for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
      const events = (rest + piece).split('\n\n');
      rest = events.pop();
      for (const event of events) {
        if (/^event: text$/m.test(event)) window.seen.text += JSON.parse(/^data: (.*)$/m.exec(event)[1]).delta;
        if (/^event: end$/m.test(event)) window.seen.ends += 1;
      }
    }
    window.seen.stopped = true;
  };
  // Not awaited, because the test watches `window.seen`.
  read().catch((error) => { window.seen.failed = String(error); });
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
    await Promise.all(pages.map((page) => page.waitForFunction(() => window.seen.text.includes('tok4'))));
    const early = await Promise.all(pages.map((page) => page.evaluate(() => window.seen)));
    assert.ok(early.every((seen) => !seen.text.includes('tok5') && !seen.ends), JSON.stringify(early));
    await control('gate', { name: 'all' });
    await Promise.all(pages.map((page) => page.waitForFunction(() => window.seen.stopped)));
  },
  async 'each tab has its own complete answer'(pages) {
    for (const [number, page] of pages.entries()) {
      const [call, ...more] = await control('wait', { tag: `tab${number}x`, ended: 1 });
      const seen = await page.evaluate(() => window.seen);
      assert.deepEqual([more.length, seen.text, seen.ends, call.sent], [0, call.text, 1, TOKENS]);
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
