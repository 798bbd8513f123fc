// The playground in a real Chromium, against a running Sluicegate whose model `demo` plays
// `demo/tour.rec`.
//
//   SLUICEGATE_URL=http://127.0.0.1:8484 node playground.mjs [part of a test's name]
//
// CHROMIUM names another browser. No test waits for a fixed time; each waits for a state of the
// page.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const BASE = new URL(process.env.SLUICEGATE_URL ?? 'http://127.0.0.1:8484/').href;
const WAIT = 60_000;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
});

/**
 * Opens the playground in a fresh profile and collects its errors. `close` asserts that there are
 * none.
 */
async function openPage({ hash = '', expectedErrors = 0, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: new URL(BASE).origin });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT);
  const errors = [];
  const posts = [];
  let rejected = 0;
  page.on('pageerror', (error) => errors.push(`uncaught: ${error.stack}`));
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return;
    // Chromium logs an error for each error status and each cut, so a test sets the number that it
    // causes.
    if (message.text().startsWith('Failed to load resource') && rejected++ < expectedErrors) return;
    errors.push(`${message.type()}: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(BASE) && !request.url().startsWith('data:')) errors.push(`outside request: ${request.url()}`);
    if (request.method() === 'POST') posts.push(request);
  });
  await page.goto(BASE + hash);
  await page.waitForFunction(() => !document.querySelector('#model').disabled);
  const state = (...states) => page.waitForFunction((states) => states.includes([...document.querySelectorAll('.answer')].at(-1)?.dataset.state), states);
  return {
    page, context, errors, posts, state,
    text: () => page.evaluate(() => [...document.querySelectorAll('.answer .prose')].at(-1)?.textContent ?? ''),
    longerThan: (length) => page.waitForFunction((length) => [...document.querySelectorAll('.answer .prose')].at(-1)?.textContent.length > length, length),
    status: () => page.textContent('#status'),
    ask: async (text) => { await page.fill('#message', text); await page.press('#message', 'Enter'); },
    choose: (model) => page.selectOption('#model', model),
    /** Returns the id of the newest stream, from the link that the page copies. */
    stream: async () => {
      await page.locator('.answer').last().getByText('Copy link to this stream').click();
      await page.waitForFunction(() => document.querySelector('#status').textContent.startsWith('Link copied'));
      return /#stream=(\w+)$/.exec(await page.evaluate(() => navigator.clipboard.readText()))[1];
    },
    close: async () => { await context.close(); assert.deepEqual(errors, []); },
  };
}

async function streamStatus(id) {
  const response = await fetch(new URL(`v1/streams/${id}`, BASE));
  assert.equal(response.status, 200);
  return response.json();
}

const tests = {
  async 'the first visit displays the introduction'() {
    const head = await fetch(BASE);
    assert.match(head.headers.get('content-security-policy'), /default-src 'none'.*frame-ancestors 'none'/);
    const v = await openPage();
    assert.ok(await v.page.isVisible('#welcome h1'));
    assert.ok(await v.page.isDisabled('#send'));
    assert.ok((await v.page.locator('#model option').allTextContents()).includes('demo'));
    await v.close();
  },

  async 'by keyboard alone: send, tokens arrive, stop'() {
    const v = await openPage();
    await v.choose('demo');
    await v.page.reload(); // the selected model is kept
    await v.page.waitForFunction(() => document.activeElement.id === 'message' && !document.querySelector('#model').disabled);
    assert.equal(await v.page.inputValue('#model'), 'demo');
    await v.page.keyboard.type('Give me');
    await v.page.keyboard.press('Shift+Enter');
    await v.page.keyboard.type('the tour.');
    await v.page.keyboard.press('Enter');
    await v.state('streaming');
    await v.longerThan(20);
    const early = await v.text();
    await v.longerThan(early.length + 20);
    assert.ok((await v.text()).startsWith(early));
    assert.equal(await v.page.textContent('.said'), 'Give me\nthe tour.');
    await v.page.keyboard.press('Escape');
    await v.state('cancelled');
    assert.equal(await v.status(), 'Cancelled');
    assert.equal(await v.page.evaluate(() => document.activeElement.id), 'message', 'the message field has the focus again');
    await v.page.keyboard.press('Shift+Tab');
    assert.equal(await v.page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), 'solid', 'focus is visible');
    await v.page.keyboard.press('Enter');
    await v.page.waitForFunction(() => document.querySelector('#status').textContent === 'Text copied.');
    assert.equal(await v.page.evaluate(() => navigator.clipboard.readText()), await v.text());
    const status = await streamStatus(await v.stream());
    assert.equal(status.status, 'cancelled');
    assert.ok(status.text.startsWith(await v.text()));
    assert.equal(v.posts.filter((post) => post.url().endsWith('/cancel')).length, 1);
    await v.close();
  },

  async 'Stopping… until the server has confirmed'() {
    const v = await openPage();
    let confirm;
    const held = new Promise((resolve) => { confirm = resolve; });
    await v.page.route('**/cancel', async (route) => { // the response is held back
      const response = await route.fetch();
      await held;
      await route.fulfill({ response });
    });
    await v.choose('demo');
    await v.ask('Give me the tour.');
    await v.state('streaming');
    const stream = await v.stream();
    await v.page.keyboard.press('Escape');
    await v.state('stopping');
    await v.page.waitForFunction(async (id) => (await (await fetch(`/v1/streams/${id}`)).json()).status === 'cancelled', stream);
    assert.equal(await v.status(), 'Stopping…', 'ended, but not confirmed yet');
    await v.page.reload();
    await v.state('cancelled');
    confirm();
    await v.close();
  },

  async 'stop before the first token'() {
    const v = await openPage();
    await v.choose('demo');
    await v.ask('Give me the tour.');
    await v.page.click('#stop');
    await v.state('cancelled');
    assert.equal(await v.text(), '');
    await v.close();
  },

  async 'a request contains the earlier turns'() {
    const v = await openPage();
    await v.choose('demo');
    await v.ask('One.');
    await v.longerThan(10);
    await v.page.keyboard.press('Escape');
    await v.state('cancelled');
    const reply = await v.text();
    await v.ask('Two.');
    await v.state('streaming');
    await v.page.keyboard.press('Escape');
    await v.state('cancelled');
    const bodies = v.posts.filter((post) => post.url().endsWith('/streams')).map((post) => post.postDataJSON());
    assert.deepEqual(bodies[1].messages, [
      { role: 'user', content: 'One.' }, { role: 'assistant', content: reply }, { role: 'user', content: 'Two.' },
    ]);
    await v.page.click('#fresh');
    assert.ok(await v.page.isVisible('#welcome'));
    assert.equal(await v.page.locator('.turn').count(), 0);
    await v.close();
  },

  async 'reloaded in mid-stream, and followed from a second browser: the same complete text'() {
    const v = await openPage();
    await v.choose('demo');
    await v.ask('Give me the tour.');
    await v.longerThan(60);
    const before = await v.text();
    const resumes = [];
    v.page.on('request', (request) => { if (/\/v1\/streams\/\w+$/.test(request.url())) resumes.push(request); });
    await v.page.reload();
    await v.state('streaming');
    assert.ok((await v.text()).startsWith(before), 'the text before the reload is restored');
    assert.match(resumes[0].headers()['last-event-id'], /^\w+\.\d+/);
    await v.longerThan(before.length + 40);
    const id = await v.stream();
    const second = await openPage({ hash: `#stream=${id}` });
    await second.longerThan(before.length);
    await Promise.all([v.state('complete'), second.state('complete')]);
    const complete = (await streamStatus(id)).text;
    assert.ok(complete.length > 1000);
    assert.equal(await v.text(), complete);
    assert.equal(await second.text(), complete);
    assert.equal(v.posts.length, 1, 'the page sends one request');
    const facts = await v.page.locator('.answer .meta').last().innerText();
    assert.match(facts, /first token \d+\.\d\d s/);
    assert.match(facts, /\d+ tokens\/s/);
    assert.match(facts, /\d+ tokens \(\d+ in, \d+ out\)/);
    assert.equal(await v.page.locator('.thoughts').getAttribute('open'), null, 'reasoning is folded');
    await v.page.reload();
    await v.state('complete');
    assert.equal(await v.text(), complete, 'a finished conversation survives a reload');
    await second.close();
    await v.close();
  },

  async 'stopped from a second browser'() {
    const v = await openPage();
    await v.choose('demo');
    await v.ask('Give me the tour.');
    await v.longerThan(20);
    const second = await openPage({ hash: `#stream=${await v.stream()}` });
    await second.longerThan(20);
    await second.page.click('#stop');
    await Promise.all([v.state('cancelled'), second.state('cancelled')]);
    assert.equal(await v.text(), await second.text());
    await second.close();
    await v.close();
  },

  async 'without a network the page reports it, and resumes when it is back'() {
    const v = await openPage({ expectedErrors: 50 });
    await v.choose('demo');
    const id = [];
    v.page.on('response', (response) => id.push(response.headers()['x-stream-id']));
    // The test cuts the first response after some events, and aborts every retry while `down`.
    let down = true;
    await v.page.route('**/v1/streams', async (route) => {
      const response = await fetch(route.request().url(), { method: 'POST', headers: route.request().headers(), body: route.request().postData() });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let body = '';
      while (!body.includes('event: text') || body.length < 4000) body += (await reader.read()).value;
      await reader.cancel();
      await route.fulfill({ status: 200, headers: { 'content-type': 'text/event-stream', 'x-stream-id': response.headers.get('x-stream-id') }, body });
    });
    await v.page.route(/\/v1\/streams\/\w+$/, (route) => (down ? route.abort('internetdisconnected') : route.continue()));
    await v.ask('Give me the tour.');
    await v.state('resuming');
    const before = await v.text();
    await v.page.waitForFunction(() => /Connection lost. Resuming, try [2-9]/.test(document.querySelector('#status').textContent));
    down = false;
    await v.page.evaluate(() => window.dispatchEvent(new Event('online')));
    await v.state('streaming');
    await v.longerThan(before.length + 20);
    await v.page.keyboard.press('Escape');
    await v.state('cancelled');
    const status = await streamStatus(id.find(Boolean));
    assert.ok(status.text.startsWith(await v.text()) && (await v.text()).startsWith(before), 'nothing is lost or repeated');
    await v.close();
  },

  async 'an error is displayed with its code'() {
    const v = await openPage({ expectedErrors: 1 });
    await v.page.evaluate(() => document.querySelector('#model').append(new Option('no-such-model')));
    await v.choose('no-such-model');
    await v.ask('Hello?');
    await v.state('failed');
    const fault = await v.page.innerText('.fault');
    assert.match(fault, /^model_not_found\n/);
    assert.match(fault, /no-such-model/);
    assert.match(fault, /request [\w.-]+$/);
    await v.choose('demo');
    await v.page.getByText('Try again').click();
    await v.state('streaming');
    assert.equal(await v.page.locator('.answer').count(), 1);
    await v.page.click('#stop');
    await v.state('cancelled');
    await v.close();
  },

  async 'an unknown stream is an error, not a wait'() {
    const v = await openPage({ hash: `#stream=${'a'.repeat(26)}`, expectedErrors: 1 });
    await v.state('failed');
    assert.match(await v.page.innerText('.fault'), /^stream_not_found\n/);
    await v.page.getByText('Start your own chat').click();
    await v.page.waitForSelector('#welcome:not([hidden])');
    await v.close();
  },

  async 'a model\'s text is never markup'() {
    const v = await openPage();
    const evil = '<img src=x onerror="document.title=\'owned\'">\n**<b>x</b>** `<i>`\n# <script>1</script>\n';
    const piece = (name, data) => `event: ${name}\r\ndata: ${JSON.stringify(data)}\r\n\r\n`;
    const body = '\ufeff' + piece('start', { stream: 'x'.repeat(26), model: evil, created: 1 }) + piece('reasoning', { delta: evil })
      + piece('text', { delta: evil }) + ': heartbeat\r' + piece('tool_call', { index: 0, id: evil, name: evil })
      + piece('tool_arguments', { index: 0, delta: evil }) + piece('error', { code: evil, message: evil, retryable: false })
      + piece('end', { reason: 'error', native_reason: null, usage: null });
    await v.page.route('**/v1/streams', (route) => route.fulfill({ status: 200, contentType: 'text/event-stream; charset=utf-8', body }));
    await v.ask('Hello.');
    await v.state('failed');
    assert.equal(await v.text(), evil);
    assert.equal(await v.page.textContent('.call pre'), evil);
    assert.equal(await v.page.textContent('.thoughts div'), evil);
    assert.equal(await v.page.textContent('.fault > code'), evil);
    assert.equal(await v.page.locator('main img, main i, main script').count(), 0);
    assert.equal(await v.page.title(), 'Sluicegate');
    await v.close();
  },

  async 'a key is requested, sent, and kept in this tab only'() {
    const v = await openPage({ expectedErrors: 2 });
    const sent = [];
    await v.page.route('**/v1/models', async (route) => {
      sent.push(await route.request().headerValue('authorization'));
      if (sent.at(-1) === 'Bearer sk-test') return route.continue();
      return route.fulfill({ status: 401, contentType: 'application/json', body: '{"error":{"code":"unauthenticated","message":"a key is needed"}}' });
    });
    await v.page.reload();
    await v.page.waitForSelector('#keys[open]');
    assert.equal(await v.page.textContent('#keys-why'), 'a key is needed');
    await v.page.keyboard.type('sk-test');
    await v.page.keyboard.press('Enter');
    await v.page.waitForFunction(() => !document.querySelector('#model').disabled);
    assert.deepEqual(sent, [null, 'Bearer sk-test']);
    assert.deepEqual(await v.page.evaluate(() => [Object.values(localStorage), document.cookie]), [[], '']);
    await v.page.click('#key');
    await v.page.click('#forget');
    await v.page.waitForSelector('#keys[open]'); // the page asks again because the server requires a key
    assert.equal(await v.page.evaluate(() => sessionStorage.getItem('sluicegate.key')), null);
    await v.close();
  },

  async 'on a phone, light and dark, nothing is wider than the screen'() {
    for (const colorScheme of ['light', 'dark']) {
      const v = await openPage({ viewport: { width: 375, height: 667 }, isMobile: true, hasTouch: true, colorScheme });
      const fits = () => v.page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth);
      assert.ok(await fits());
      for (const id of ['message', 'model']) {
        assert.ok(await v.page.evaluate((id) => parseFloat(getComputedStyle(document.getElementById(id)).fontSize), id) >= 16, `the font of ${id} is large enough that mobile browsers do not zoom in`);
      }
      await v.choose('demo');
      await v.page.fill('#message', `A word without end: ${'x'.repeat(200)}`);
      await v.page.tap('#send');
      await v.longerThan(80);
      assert.ok(await fits());
      await v.page.tap('#stop');
      await v.state('cancelled');
      assert.ok(await fits());
      await v.close();
    }
  },

  async 'parallel tool calls grow side by side'() {
    const v = await openPage();
    const known = await v.page.locator('#model option').allTextContents();
    assert.ok(known.includes('demo-tools'), 'the model list has `demo-tools`, which plays `demo/tools.rec`');
    await v.choose('demo-tools');
    await v.ask('A picnic?');
    await v.page.waitForFunction(() => [...document.querySelectorAll('.call pre')].filter((pre) => pre.textContent.length > 10).length === 2);
    await v.state('complete');
    for (const json of await v.page.locator('.call pre').allTextContents()) assert.equal(typeof JSON.parse(json), 'object');
    assert.equal(await v.status(), 'Waiting for tool results');
    await v.close();
  },
};

const selected = Object.entries(tests).filter(([name]) => name.includes(process.argv[2] ?? ''));
const failed = [];
// Three at a time, because tests mostly wait for the pace of a recording.
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
await browser.close();
console.log(`${selected.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length || !selected.length ? 1 : 0;
