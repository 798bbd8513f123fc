// Fifty real EventSources, each cut at random bytes by a relay: every page receives the complete
// answer, and the upstream receives fifty requests.
//
//   python3 ../sdk/stack.py --open -- node eventsource.mjs
//
// SEED=… repeats the cuts of an earlier run.
import assert from 'node:assert/strict';
import { relay } from '../sdk/relay.mjs';
import { begin, control, follow, launch } from './chromium.mjs';

const STREAMS = 50;
const TOKENS = 120;
const WAIT = 60_000;
const MODELS = ['openai-chat', 'anthropic', 'gemini'];
const SEED = Number(process.env.SEED ?? Math.trunc(Math.random() * 2 ** 32));
console.log(`SEED=${SEED}`);

/** Returns a mulberry32 generator: the same numbers for the same seed. */
function seededRandom(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

async function stream(context, number) {
  const random = seededRandom(SEED + number);
  const tag = `e${number}x`;
  // A cut can fall into a head, a chunk size or a character. After 0 bytes no response arrives at
  // all.
  const cuts = Array.from({ length: 1 + random(3) }, () => random(3000));
  const remaining = [...cuts];
  const relayServer = await relay(process.env.SLUICEGATE_URL, (line) => (line.startsWith('GET /v1/streams/') ? remaining.shift() : null));
  const page = await context.newPage();
  try {
    page.setDefaultTimeout(WAIT);
    await page.goto(`${relayServer.url}/v1/models`);
    const location = await page.evaluate(begin, { model: MODELS[number % 3], script: `tag=${tag} tokens=${TOKENS} every=5` });
    await page.evaluate(follow, location);
    await page.waitForFunction(() => window.received.stopped);
    const received = await page.evaluate(() => window.received);
    const [call, ...more] = await control('wait', { tag, ended: 1 });
    assert.deepEqual([more.length, call.end, call.sent], [0, 'done', TOKENS]);
    assert.equal(received.text, call.text);
    assert.equal(received.ends, 1);
    assert.equal(relayServer.cuts, cuts.length, 'every cut was made');
    return cuts.length;
  } catch (error) {
    error.stack = `stream ${number}, cuts after ${cuts} bytes (${remaining.length} not made): ${error.stack}`;
    throw error;
  } finally {
    await page.close();
    relayServer.close();
  }
}

const browser = await launch();
const context = await browser.newContext();
const outcomes = await Promise.allSettled(Array.from({ length: STREAMS }, (_, number) => stream(context, number)));
await browser.close();
const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
for (const { reason } of failed) console.log(`FAILED  ${reason.stack}`);
const requests = (await control('calls', { tag: 'e' })).length;
if (requests !== STREAMS) console.log(`FAILED  the upstream received ${requests} requests, expected ${STREAMS}`);
console.log(`${outcomes.reduce((cuts, outcome) => cuts + (outcome.value ?? 0), 0)} cuts`);
console.log(`${STREAMS - failed.length} passed, ${failed.length + (requests !== STREAMS)} failed`);
process.exitCode = failed.length || requests !== STREAMS ? 1 : 0;
