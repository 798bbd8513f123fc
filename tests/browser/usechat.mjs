// The AI SDK's published `useChat` in a real Chromium: a page of the proxy's own origin that uses
// /v1/ui/chat only.
//
//   python3 ../sdk/stack.py --open -- node usechat.mjs [part of a test's name]
//
// SHOT=FILE saves a screenshot of the page.
import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { control, launch } from './chromium.mjs';

const BASE = process.env.SLUICEGATE_URL;
const WIRES = ['openai-chat', 'anthropic', 'gemini', 'bedrock', 'cohere'];
const WAIT = 60_000;
const STYLE = 'body{font:16px/1.4 system-ui;max-width:40rem;margin:1rem auto}li.user{font-weight:bold}.tool,.reasoning,small{color:#555}[role=alert]{color:#b00}';
const { outputFiles: [bundle] } = await build({
  entryPoints: ['usechat.jsx'], bundle: true, write: false, format: 'esm', jsx: 'automatic', logLevel: 'error', define: { 'process.env.NODE_ENV': '"production"' },
});
const html = `<!doctype html><html lang="en"><title>useChat</title><style>${STYLE}</style><div id="root"></div><script type="module" src="/app.js"></script></html>`;
const browser = await launch();

/** Opens the page in a fresh profile, with a new chat. */
async function openPage(model, { query = {} } = {}) {
  const context = await browser.newContext({ viewport: { width: 800, height: 600 } });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  const errors = [];
  const requests = [];
  page.on('pageerror', (error) => errors.push(error.stack));
  page.on('request', (request) => requests.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await page.route('**/app.html*', (route) => route.fulfill({ contentType: 'text/html', body: html }));
  await page.route('**/app.js', (route) => route.fulfill({ contentType: 'text/javascript', body: bundle.text }));
  const chat = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte & 31).toString(32)).join('');
  await page.goto(`${BASE}/app.html?${new URLSearchParams({ chat, model, ...query })}`);
  await page.waitForSelector('form');
  return {
    page, chat, requests,
    text: () => page.evaluate(() => [...document.querySelectorAll('.assistant .text')].map((it) => it.textContent).join('')),
    longerThan: (length) => page.waitForFunction((length) => [...document.querySelectorAll('.assistant .text')].map((it) => it.textContent).join('').length > length, length),
    status: (status) => page.waitForSelector(`main[data-status="${status}"]`),
    send: async (text) => { await page.fill('input', text); await page.click('text=Send'); },
    posts: () => requests.filter((it) => it === 'POST /v1/ui/chat').length,
    close: async () => { await context.close(); assert.deepEqual(errors, []); },
  };
}

/** Waits for the end of `count` upstream calls with this tag and returns them. */
const waitEnded = async (tag, count = 1) => {
  const calls = await control('wait', { tag, ended: count });
  assert.equal(calls.length, count, `the upstream received ${calls.length} requests`);
  return calls;
};

const perWire = {
  async 'a message and its answer'(wire, tag) {
    const v = await openPage(wire);
    await v.send(`script tag=${tag} tokens=30 every=3`);
    await v.page.waitForSelector('.usage');
    await v.status('ready');
    const [call] = await waitEnded(tag);
    assert.equal(await v.text(), call.text);
    assert.equal(await v.page.textContent('.usage'), '41 tokens');
    await v.close();
  },
  async 'a stop keeps the partial answer and closes the upstream'(wire, tag) {
    const v = await openPage(wire);
    await v.send(`script tag=${tag} tokens=2000 every=5`);
    await v.longerThan(40);
    // The button moves while the answer grows, so a click by its coordinates may never come to rest.
    await v.page.dispatchEvent('text=Stop', 'click');
    await v.status('ready');
    const [call] = await waitEnded(tag);
    assert.equal(call.end, 'closed');
    // A token in transit at the close may be on the page but not in the upstream's record, or the
    // reverse.
    const displayed = await v.text();
    assert.ok(displayed.length > 40 && (call.text.startsWith(displayed) || displayed.startsWith(call.text)), `${call.text.length} ${displayed.length}`);
    assert.equal(await v.page.locator('[role=alert]').count(), 0);
    await v.close();
  },
  async 'a reload in mid-stream continues the answer'(wire, tag) {
    const v = await openPage(wire);
    await v.send(`script tag=${tag} tokens=12 every=5 gate=${tag}`);
    await v.longerThan(10);
    await v.page.reload();
    await v.status('streaming');
    await control('gate', { name: tag });
    await v.status('ready');
    const [call] = await waitEnded(tag);
    assert.equal(await v.text(), call.text);
    assert.equal(await v.page.locator('.assistant').count(), 1);
    assert.equal(v.posts(), 1);
    assert.ok(v.requests.includes(`GET /v1/ui/chat/${v.chat}/stream`));
    // A finished answer that has been read to its end is not resumed.
    const resume = v.page.waitForResponse((response) => response.url().endsWith('/stream'));
    await v.page.reload();
    assert.equal((await resume).status(), 204);
    await v.status('ready');
    assert.equal(await v.text(), call.text);
    await v.close();
  },
  async 'an answer that ended during the reload is complete'(wire, tag) {
    const v = await openPage(wire);
    await v.send(`script tag=${tag} tokens=12 gate=${tag}`);
    await v.longerThan(10);
    const address = v.page.url();
    await v.page.goto('about:blank');
    await control('gate', { name: tag });
    const [call] = await waitEnded(tag);
    await v.page.goto(address);
    await v.page.waitForFunction((text) => [...document.querySelectorAll('.assistant .text')].map((it) => it.textContent).join('') === text, call.text);
    await v.status('ready');
    assert.equal(await v.page.locator('.assistant').count(), 1);
    await v.close();
  },
  async 'tools run in the page, and their results are sent'(wire, tag) {
    const v = await openPage(wire);
    await v.send(`script tag=${tag} tools=1`);
    await v.page.waitForFunction(() => document.querySelectorAll('.tool[data-state=output-available]').length === 2);
    await v.longerThan(0);
    await v.status('ready');
    const calls = await waitEnded(tag, 2);
    assert.equal(await v.text(), calls[1].text);
    assert.equal(await v.page.locator('.assistant').count(), 1, 'the second step belongs to the same message');
    for (const city of ['Zürich', 'Paris']) assert.ok((await v.text()).includes(`sun in ${city}`), await v.text());
    await v.close();
  },
  async 'an error is displayed'(wire, tag) {
    const v = await openPage(wire);
    await v.send(`script tag=${tag} tokens=8 error=3`);
    await v.status('error');
    assert.match(await v.page.textContent('[role=alert]'), /scripted error/);
    const [call] = await waitEnded(tag);
    assert.equal(await v.text(), call.text, 'the partial answer stays');
    await v.send(`script tag=${tag}b tokens=4`);
    await v.status('ready');
    assert.equal(await v.page.locator('[role=alert]').count(), 0);
    await v.close();
  },
};

const once = {
  async 'a rejection is displayed'() {
    const v = await openPage('no-such-model');
    await v.send('Hello?');
    await v.status('error');
    assert.match(await v.page.textContent('[role=alert]'), /no-such-model/);
    await v.close();
  },
  async 'reasoning is displayed separately'() {
    const v = await openPage('anthropic');
    await v.send('script tag=thought tokens=4 think=1');
    await v.page.waitForSelector('.usage');
    await v.status('ready');
    assert.ok((await v.page.textContent('.reasoning')).length > 0);
    await v.close();
  },
};

const all = [...WIRES.flatMap((wire) => Object.entries(perWire).map(([name, test], n) => [`${name} (${wire})`, () => test(wire, `u${n}${wire}x`)])), ...Object.entries(once)];
const selected = all.filter(([name]) => name.includes(process.argv[2] ?? ''));
const failed = [];
const queue = selected.values();
async function work() {
  for (const [name, test] of queue) {
    try {
      await test();
      console.log(`ok      ${name}`);
    } catch (error) {
      failed.push(name);
      console.log(`FAILED  ${name}\n${error.stack}`);
    }
  }
}
await Promise.all([work(), work(), work()]);
if (process.env.SHOT) {
  const v = await openPage('openai-chat');
  await v.send('script tag=shot tools=1');
  await v.longerThan(0);
  await v.status('ready');
  await v.page.screenshot({ path: process.env.SHOT });
  await v.close();
}
await browser.close();
console.log(`${selected.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length || !selected.length ? 1 : 0;
