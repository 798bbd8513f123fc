// Runs the handbook's recipes for pages and for curl unchanged, except for the server's address.
//
//   python3 ../sdk/stack.py --shipped -- node recipes.mjs
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { launch } from './chromium.mjs';

const BASE = process.env.SLUICEGATE_URL;
const root = new URL('../../', import.meta.url);
const pages = ['README.md', ...(await readdir(new URL('docs/', root))).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)];
const handbook = (await Promise.all(pages.map((page) => readFile(new URL(page, root), 'utf8')))).join('\n');
const recipes = Object.fromEntries([...handbook.matchAll(/<!-- recipe: (\w+) -->\n```\w+\n(.*?)```/gs)].map(([, name, code]) => [name, code.replaceAll('http://127.0.0.1:8484', BASE)]));
const browser = await launch();

/** Opens a page of the server's own origin with this script. */
async function openPage(script) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(60_000);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.stack));
  const html = '<!doctype html><title>Recipe</title><div id="root"></div><pre id="out"></pre><button id="stop">Stop</button><script type="module" src="/app.js"></script>';
  await page.route('**/app.html', (route) => route.fulfill({ contentType: 'text/html', body: html }));
  await page.route('**/app.js', (route) => route.fulfill({ contentType: 'text/javascript', body: script }));
  await page.goto(`${BASE}/app.html`);
  const text = (selector) => page.evaluate((selector) => document.querySelector(selector)?.textContent ?? '', selector);
  return { page, text, close: async () => { await page.context().close(); assert.deepEqual(errors, []); } };
}
const hasText = (page, selector) => page.waitForFunction((selector) => document.querySelector(selector)?.textContent.length > 40, selector);
/** Returns the status JSON of the newest stream. */
async function newestStream() {
  const { data: [stream] } = await (await fetch(`${BASE}/v1/streams?limit=1`)).json();
  return (await fetch(`${BASE}/v1/streams/${stream.id}`)).json();
}

const tests = {
  async curl() {
    const { stdout } = await promisify(execFile)('bash', ['-c', recipes.curl]);
    assert.match(stdout, /event: (text|reasoning)\n/);
    const name = /name=(\S+)/.exec(recipes.curl)[1];
    const status = await (await fetch(`${BASE}/v1/streams/${name}`)).json();
    assert.deepEqual([status.status, stdout.includes('"status":"cancelled"')], ['cancelled', true]);
  },
  async usechat() {
    const contents = `import { createRoot } from 'react-dom/client';\n${recipes.usechat}\ncreateRoot(document.getElementById('root')).render(<Chat id="${crypto.randomUUID()}" kept={[]} />);`;
    const stdin = { contents, loader: 'jsx', resolveDir: process.cwd() };
    const { outputFiles: [bundle] } = await build({ stdin, bundle: true, write: false, format: 'esm', jsx: 'automatic', logLevel: 'error', define: { 'process.env.NODE_ENV': '"production"' } });
    const v = await openPage(bundle.text);
    await v.page.click('text=Ask');
    await hasText(v.page, 'p:nth-of-type(2)');
    // The button moves while the answer grows, so a click by its coordinates may never come to rest.
    await v.page.dispatchEvent('main >> text=Stop', 'click');
    await v.page.waitForSelector('main[data-status=ready]');
    const status = await newestStream();
    assert.deepEqual([status.status, status.text], ['cancelled', await v.text('p:nth-of-type(2)')]);
    await v.close();
  },
  async eventsource() {
    const v = await openPage(recipes.eventsource);
    await hasText(v.page, '#out');
    await v.page.dispatchEvent('#stop', 'click');
    await v.page.waitForFunction(async () => (await (await fetch('/v1/streams?limit=1')).json()).data[0].status === 'cancelled');
    const status = await newestStream();
    await v.page.waitForFunction((text) => document.querySelector('#out').textContent === text, status.text);
    await v.close();
  },
  async client() {
    const v = await openPage(`${recipes.client}\nwindow.result = { text, reason, usage };`);
    await hasText(v.page, '#out');
    await v.page.dispatchEvent('#stop', 'click');
    await v.page.waitForFunction(() => window.result);
    const result = await v.page.evaluate(() => window.result);
    assert.deepEqual([result.reason, result.text], ['cancelled', await v.text('#out')]);
    assert.ok(result.usage.estimated);
    await v.close();
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    assert.ok(recipes[name], 'the handbook has this recipe');
    await test();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
await browser.close();
console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
