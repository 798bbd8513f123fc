// `useChat` of the AI SDK, as published, in a real Chromium: a page of the proxy's own origin that knows only /v1/ui/chat.
//
//   python3 ../sdk/stack.py --open -- node usechat.mjs [part of a test's name]
//
// SHOT=… takes a picture of the page.
import assert from 'node:assert/strict';
import { build } from 'esbuild';
import { control, launch } from './chromium.mjs';

const BASE = process.env.SLUICEGATE_URL;
const WIRES = ['openai-chat', 'anthropic', 'gemini', 'bedrock', 'cohere'];
const WAIT = 20_000;
const STYLE = 'body{font:16px/1.4 system-ui;max-width:40rem;margin:1rem auto}li.user{font-weight:bold}.tool,.reasoning,small{color:#555}[role=alert]{color:#b00}';
const { outputFiles: [bundle] } = await build({
  entryPoints: ['usechat.jsx'], bundle: true, write: false, format: 'esm', jsx: 'automatic', logLevel: 'error', define: { 'process.env.NODE_ENV': '"production"' },
});
const html = `<!doctype html><html lang="en"><title>useChat</title><style>${STYLE}</style><div id="root"></div><script type="module" src="/app.js"></script></html>`;
const browser = await launch();

/** The page in a fresh profile, in a chat of its own. */
async function visit(model, { query = {} } = {}) {
  const context = await browser.newContext({ viewport: { width: 800, height: 600 } });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  const wrong = [];
  const seen = [];
  page.on('pageerror', (error) => wrong.push(error.stack));
  page.on('request', (request) => seen.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await page.route('**/app.html*', (route) => route.fulfill({ contentType: 'text/html', body: html }));
  await page.route('**/app.js', (route) => route.fulfill({ contentType: 'text/javascript', body: bundle.text }));
  const chat = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => (byte & 31).toString(32)).join('');
  await page.goto(`${BASE}/app.html?${new URLSearchParams({ chat, model, ...query })}`);
  await page.waitForSelector('form');
  return {
    page, chat, seen,
    text: () => page.evaluate(() => [...document.querySelectorAll('.assistant .text')].map((it) => it.textContent).join('')),
    grown: (length) => page.waitForFunction((length) => [...document.querySelectorAll('.assistant .text')].map((it) => it.textContent).join('').length > length, length),
    status: (status) => page.waitForSelector(`main[data-status="${status}"]`),
    say: async (text) => { await page.fill('input', text); await page.click('text=Send'); },
    posts: () => seen.filter((it) => it === 'POST /v1/ui/chat').length,
    close: async () => { await context.close(); assert.deepEqual(wrong, []); },
  };
}

const ended = async (tag, count = 1) => {
  const calls = await control('wait', { tag, ended: count });
  assert.equal(calls.length, count, `the upstream is asked ${count} times`);
  return calls;
};

const perWire = {
  async 'a message and its answer'(wire, tag) {
    const v = await visit(wire);
    await v.say(`script tag=${tag} tokens=30 every=3`);
    await v.page.waitForSelector('.usage');
    await v.status('ready');
    const [call] = await ended(tag);
    assert.equal(await v.text(), call.said);
    assert.equal(await v.page.textContent('.usage'), '41 tokens');
    await v.close();
  },
  async 'stopped: what came stays, and the upstream is closed'(wire, tag) {
    const v = await visit(wire);
    await v.say(`script tag=${tag} tokens=2000 every=5`);
    await v.grown(40);
    await v.page.click('text=Stop');
    await v.status('ready');
    const [call] = await ended(tag);
    assert.equal(call.end, 'closed');
    // A token that was on its way when the connection was closed may be on the page, and not in the upstream's account.
    const shown = await v.text();
    assert.ok(shown.length > 40 && (call.said.startsWith(shown) || shown.startsWith(call.said)), `${call.said.length} ${shown.length}`);
    assert.equal(await v.page.locator('[role=alert]').count(), 0);
    await v.close();
  },
  async 'reloaded in mid-stream: it goes on, whole'(wire, tag) {
    const v = await visit(wire);
    await v.say(`script tag=${tag} tokens=12 every=5 gate=${tag}`);
    await v.grown(10);
    await v.page.reload();
    await v.status('streaming');
    await control('gate', { name: tag });
    await v.status('ready');
    const [call] = await ended(tag);
    assert.equal(await v.text(), call.said);
    assert.equal(await v.page.locator('.assistant').count(), 1);
    assert.equal(v.posts(), 1);
    assert.ok(v.seen.includes(`GET /v1/ui/chat/${v.chat}/stream`));
    // Once it has been read to its end there is nothing to resume.
    const nothing = v.page.waitForResponse((response) => response.url().endsWith('/stream'));
    await v.page.reload();
    assert.equal((await nothing).status(), 204);
    await v.status('ready');
    assert.equal(await v.text(), call.said);
    await v.close();
  },
  async 'an answer that ended during the reload is there'(wire, tag) {
    const v = await visit(wire);
    await v.say(`script tag=${tag} tokens=12 gate=${tag}`);
    await v.grown(10);
    const address = v.page.url();
    await v.page.goto('about:blank');
    await control('gate', { name: tag });
    const [call] = await ended(tag);
    await v.page.goto(address);
    await v.page.waitForFunction((said) => [...document.querySelectorAll('.assistant .text')].map((it) => it.textContent).join('') === said, call.said);
    await v.status('ready');
    assert.equal(await v.page.locator('.assistant').count(), 1);
    await v.close();
  },
  async 'tools: called, run in the page, answered'(wire, tag) {
    const v = await visit(wire);
    await v.say(`script tag=${tag} tools=1`);
    await v.page.waitForFunction(() => document.querySelectorAll('.tool[data-state=output-available]').length === 2);
    await v.grown(0);
    await v.status('ready');
    const calls = await ended(tag, 2);
    assert.equal(await v.text(), calls[1].said);
    assert.equal(await v.page.locator('.assistant').count(), 1, 'the second step is of the same message');
    for (const city of ['Zürich', 'Paris']) assert.ok((await v.text()).includes(`sun in ${city}`), await v.text());
    await v.close();
  },
  async 'an error is shown'(wire, tag) {
    const v = await visit(wire);
    await v.say(`script tag=${tag} tokens=8 error=3`);
    await v.status('error');
    assert.match(await v.page.textContent('[role=alert]'), /scripted error/);
    const [call] = await ended(tag);
    assert.equal(await v.text(), call.said, 'what had come stays');
    await v.say(`script tag=${tag}b tokens=4`);
    await v.status('ready');
    assert.equal(await v.page.locator('[role=alert]').count(), 0);
    await v.close();
  },
};

const once = {
  async 'a refusal is shown'() {
    const v = await visit('no-such-model');
    await v.say('Hello?');
    await v.status('error');
    assert.match(await v.page.textContent('[role=alert]'), /no-such-model/);
    await v.close();
  },
  async 'a thought is shown apart'() {
    const v = await visit('anthropic');
    await v.say('script tag=thought tokens=4 think=1');
    await v.page.waitForSelector('.usage');
    await v.status('ready');
    assert.ok((await v.page.textContent('.reasoning')).length > 0);
    await v.close();
  },
};

const all = [...WIRES.flatMap((wire) => Object.entries(perWire).map(([name, test], n) => [`${name} (${wire})`, () => test(wire, `u${n}${wire}x`)])), ...Object.entries(once)];
const wanted = all.filter(([name]) => name.includes(process.argv[2] ?? ''));
const failed = [];
const queue = wanted.values();
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
  const v = await visit('openai-chat');
  await v.say('script tag=shot tools=1');
  await v.grown(0);
  await v.status('ready');
  await v.page.screenshot({ path: process.env.SHOT });
  await v.close();
}
await browser.close();
console.log(`${wanted.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length || !wanted.length ? 1 : 0;
