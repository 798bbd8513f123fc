// The handbook's recipes for pages, and the one for curl, as they are printed; only the address is this server's.
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

/** A page of the server's own origin with this script. */
async function visit(script) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(60_000);
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(error.stack));
  const html = '<!doctype html><title>Recipe</title><div id="root"></div><pre id="out"></pre><button id="stop">Stop</button><script type="module" src="/app.js"></script>';
  await page.route('**/app.html', (route) => route.fulfill({ contentType: 'text/html', body: html }));
  await page.route('**/app.js', (route) => route.fulfill({ contentType: 'text/javascript', body: script }));
  await page.goto(`${BASE}/app.html`);
  const text = (selector) => page.evaluate((selector) => document.querySelector(selector)?.textContent ?? '', selector);
  return { page, text, close: async () => { await page.context().close(); assert.deepEqual(wrong, []); } };
}
const grown = (page, selector) => page.waitForFunction((selector) => document.querySelector(selector)?.textContent.length > 40, selector);
async function newest() {
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
    const v = await visit(bundle.text);
    await v.page.click('text=Ask');
    await grown(v.page, 'p:nth-of-type(2)');
    await v.page.click('main >> text=Stop');
    await v.page.waitForSelector('main[data-status=ready]');
    const told = await newest();
    assert.deepEqual([told.status, told.text], ['cancelled', await v.text('p:nth-of-type(2)')]);
    await v.close();
  },
  async eventsource() {
    const v = await visit(recipes.eventsource);
    await grown(v.page, '#out');
    await v.page.click('#stop');
    await v.page.waitForFunction(async () => (await (await fetch('/v1/streams?limit=1')).json()).data[0].status === 'cancelled');
    const told = await newest();
    await v.page.waitForFunction((text) => document.querySelector('#out').textContent === text, told.text);
    await v.close();
  },
  async client() {
    const v = await visit(`${recipes.client}\nwindow.told = { text, reason, usage };`);
    await grown(v.page, '#out');
    await v.page.click('#stop');
    await v.page.waitForFunction(() => window.told);
    const told = await v.page.evaluate(() => window.told);
    assert.deepEqual([told.reason, told.text], ['cancelled', await v.text('#out')]);
    assert.ok(told.usage.estimated);
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
