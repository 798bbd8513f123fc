// What pages and their servers use beside the vendors' own SDKs, as published and in Node: the AI SDK's core with three of
// its providers, LangChain's ChatOpenAI, fetch-event-source; each over every wire.
//
//   python3 ../sdk/stack.py --open -- node sdks.mjs [part of a test's name]
import assert from 'node:assert/strict';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool as langchainTool } from '@langchain/core/tools';
import { ChatOpenAI } from '@langchain/openai';
import { isStepCount, streamText, tool } from 'ai';
import { z } from 'zod';
import { relay } from '../sdk/relay.mjs';
import { control } from './chromium.mjs';

const URL_ = process.env.SLUICEGATE_URL;
const WIRES = ['openai-chat', 'openai-responses', 'anthropic', 'gemini', 'bedrock', 'cohere'];
const settings = { baseURL: `${URL_}/v1`, apiKey: 'none' };
const PROVIDERS = {
  openai: (model) => createOpenAI(settings).chat(model),
  'openai responses': (model) => createOpenAI(settings)(model),
  'openai responses, nothing stored': (model) => createOpenAI(settings).responses(model),
  anthropic: (model) => createAnthropic(settings)(model),
  compatible: (model) => createOpenAICompatible({ ...settings, name: 'sluicegate', includeUsage: true })(model),
};
// By default this one names past items by their ids; else it brings them back itself.
const OPTIONS = { 'openai responses': { openai: { forceReasoning: true, reasoningEffort: 'low' } }, 'openai responses, nothing stored': { openai: { store: false } } };
// Models of ours are not in the SDK's lists, and it says so.
globalThis.AI_SDK_LOG_WARNINGS = false;
const city = z.object({ city: z.string() });

const ended = async (tag, count = 1) => {
  const calls = await control('wait', { tag, ended: count });
  assert.equal(calls.length, count, `the upstream is asked ${count} times`);
  return calls;
};
async function all(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}
const script = (tag, words) => `script tag=${tag} ${words}`;

const aiSdk = (make, providerOptions) => ({
  async 'text and usage'(wire, tag) {
    const result = streamText({ model: make(wire), prompt: script(tag, 'tokens=20'), maxRetries: 0, providerOptions, onError() {} });
    const pieces = await all(result.textStream);
    const [call] = await ended(tag);
    assert.equal(pieces.join(''), call.said);
    assert.ok(pieces.length > 10, 'it is streamed');
    assert.equal(await result.finishReason, 'stop');
    const usage = await result.usage;
    assert.deepEqual([usage.inputTokens, usage.outputTokens], [11, 20]);
  },
  async 'tools over two turns'(wire, tag) {
    const asked = [];
    const weather = tool({ description: 'The weather.', inputSchema: city, execute: ({ city }) => { asked.push(city); return `sun in ${city}`; } });
    const result = streamText({ model: make(wire), prompt: script(tag, 'tools=1'), tools: { weather }, stopWhen: isStepCount(3), maxRetries: 0, providerOptions, onError() {} });
    const text = await result.text;
    const calls = await ended(tag, 2);
    assert.deepEqual(asked, ['Zürich', 'Paris']);
    assert.equal(text, calls[1].said);
    assert.ok(text.includes('sun in Paris'), text);
    assert.equal((await result.steps).length, 2);
    if (wire !== 'openai-chat' && wire !== 'openai-responses') return;
    const sent = JSON.stringify(calls[1].body);
    assert.ok(!sent.includes('item_reference') && sent.includes('Zürich'), sent);
  },
  async 'aborted: the upstream is closed'(wire, tag) {
    const leaving = new AbortController();
    const result = streamText({ model: make(wire), prompt: script(tag, 'tokens=2000 every=5'), abortSignal: leaving.signal, maxRetries: 0, providerOptions, onError() {} });
    let length = 0;
    for await (const part of result.fullStream) {
      if (part.type === 'text-delta' && (length += part.text.length) > 40) leaving.abort();
    }
    const [call] = await ended(tag);
    assert.equal(call.end, 'closed');
  },
  async 'an error is an error'(wire, tag) {
    const errors = [];
    const result = streamText({ model: make(wire), prompt: script(tag, 'tokens=8 error=3'), maxRetries: 0, providerOptions, onError: ({ error }) => errors.push(error) });
    await result.consumeStream();
    assert.match(JSON.stringify(errors.map((error) => error.message ?? error)), /scripted error/);
  },
});

const langchain = {
  async 'text and usage'(wire, tag) {
    const model = new ChatOpenAI({ model: wire, apiKey: 'none', configuration: { baseURL: settings.baseURL }, maxRetries: 0 });
    const chunks = await all(await model.stream([new HumanMessage(script(tag, 'tokens=20'))]));
    const whole = chunks.reduce((sum, chunk) => sum.concat(chunk));
    const [call] = await ended(tag);
    assert.equal(whole.text, call.said);
    assert.deepEqual([whole.usage_metadata.input_tokens, whole.usage_metadata.output_tokens], [11, 20]);
  },
  async 'tools over two turns'(wire, tag) {
    const weather = langchainTool(({ city }) => `sun in ${city}`, { name: 'weather', description: 'The weather.', schema: city });
    const model = new ChatOpenAI({ model: wire, apiKey: 'none', configuration: { baseURL: settings.baseURL }, maxRetries: 0 }).bindTools([weather]);
    const turns = [new HumanMessage(script(tag, 'tools=1'))];
    const said = await model.invoke(turns);
    assert.deepEqual(said.tool_calls.map((call) => call.args.city), ['Zürich', 'Paris']);
    const results = await Promise.all(said.tool_calls.map(async (call) => new ToolMessage({ tool_call_id: call.id, content: await weather.invoke(call.args) })));
    const last = await model.invoke([...turns, said, ...results]);
    const calls = await ended(tag, 2);
    assert.equal(last.text, calls[1].said);
  },
};

/** It was written for browsers, of which it wants these. */
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = await import('@microsoft/fetch-event-source');

const eventSource = {
  async 'cut: the POST that it repeats goes on behind the last event'(wire, tag) {
    const left = [900, 500];
    const between = await relay(URL_, (line) => (line.startsWith('POST /v1/streams') ? left.shift() : null));
    const ids = [];
    let text = '', posts = 0;
    const body = JSON.stringify({ model: wire, stream: true, messages: [{ role: 'user', content: script(tag, 'tokens=60 every=3') }] });
    const headers = { 'content-type': 'application/json' };
    const leaving = new AbortController();
    await fetchEventSource(`${between.url}/v1/streams`, {
      method: 'POST', headers, body, signal: leaving.signal,
      onopen: async (response) => { posts += 1; assert.equal(response.status, 200); },
      onmessage({ id, event, data }) {
        if (!event) return;
        ids.push(id);
        if (event === 'text') text += JSON.parse(data).delta;
        if (event === 'end') leaving.abort();
      },
      onclose() { if (!leaving.signal.aborted) throw new Error('cut'); },
      onerror() { return 20; },
    });
    between.close();
    const [call] = await ended(tag);
    assert.equal(text, call.said);
    assert.equal(new Set(ids).size, ids.length, 'no event comes twice');
    assert.deepEqual([posts, between.cuts], [3, 2]);
  },
};

const rooms = { ...Object.fromEntries(Object.entries(PROVIDERS).map(([name, make]) => [`ai-sdk ${name}`, aiSdk(make, OPTIONS[name])])), langchain, 'fetch-event-source': eventSource };
const tests = Object.entries(rooms).flatMap(([room, its], r) => WIRES.flatMap((wire) => Object.entries(its).map(([name, test], n) => [`${room}: ${name} (${wire})`, () => test(wire, `s${r}${n}${wire}x`)])));
const wanted = tests.filter(([name]) => name.includes(process.argv[2] ?? ''));
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
