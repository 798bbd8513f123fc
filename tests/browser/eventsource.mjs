// Fifty real EventSources, each cut at random bytes by a relay: every page has the whole answer, and the upstream was asked
// fifty times.
//
//   python3 ../sdk/stack.py --open -- node eventsource.mjs
//
// SEED=… has the same cuts again.
import assert from 'node:assert/strict';
import { relay } from '../sdk/relay.mjs';
import { begin, control, follow, launch } from './chromium.mjs';

const STREAMS = 50;
const TOKENS = 120;
const WAIT = 60_000;
const MODELS = ['openai-chat', 'anthropic', 'gemini'];
const SEED = Number(process.env.SEED ?? Math.trunc(Math.random() * 2 ** 32));
console.log(`SEED=${SEED}`);

/** mulberry32: the same numbers for the same seed. */
function dice(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

async function stream(context, number) {
  const roll = dice(SEED + number);
  const tag = `e${number}x`;
  // Everything counts: heads, chunk sizes, half a character. A cut after 0 bytes is an answer that never comes.
  const cuts = Array.from({ length: 1 + roll(3) }, () => roll(3000));
  const left = [...cuts];
  const between = await relay(process.env.SLUICEGATE_URL, (line) => (line.startsWith('GET /v1/streams/') ? left.shift() : null));
  const page = await context.newPage();
  try {
    page.setDefaultTimeout(WAIT);
    await page.goto(`${between.url}/v1/models`);
    const location = await page.evaluate(begin, { model: MODELS[number % 3], script: `tag=${tag} tokens=${TOKENS} every=5` });
    await page.evaluate(follow, location);
    await page.waitForFunction(() => window.seen.stopped);
    const seen = await page.evaluate(() => window.seen);
    const [call, ...more] = await control('wait', { tag, ended: 1 });
    assert.deepEqual([more.length, call.end, call.sent], [0, 'done', TOKENS]);
    assert.equal(seen.text, call.said);
    assert.equal(seen.ends, 1);
    assert.equal(between.cuts, cuts.length, 'every cut was made');
    return cuts.length;
  } catch (error) {
    error.stack = `stream ${number}, cuts after ${cuts} bytes (${left.length} not made): ${error.stack}`;
    throw error;
  } finally {
    await page.close();
    between.close();
  }
}

const browser = await launch();
const context = await browser.newContext();
const outcomes = await Promise.allSettled(Array.from({ length: STREAMS }, (_, number) => stream(context, number)));
await browser.close();
const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
for (const { reason } of failed) console.log(`FAILED  ${reason.stack}`);
const asked = (await control('calls', { tag: 'e' })).length;
if (asked !== STREAMS) console.log(`FAILED  the upstream was asked ${asked} times`);
console.log(`${outcomes.reduce((cuts, outcome) => cuts + (outcome.value ?? 0), 0)} cuts`);
console.log(`${STREAMS - failed.length} passed, ${failed.length + (asked !== STREAMS)} failed`);
process.exitCode = failed.length || asked !== STREAMS ? 1 : 0;
