// Published libraries other than the vendors' own SDKs, in Node, each over every wire: the AI SDK's
// core with three of its providers, LangChain's ChatOpenAI, and fetch-event-source.
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
// By default the Responses provider refers to earlier items by id; with `store: false` it sends
// them again.
const OPTIONS = { 'openai responses': { openai: { forceReasoning: true, reasoningEffort: 'low' } }, 'openai responses, nothing stored': { openai: { store: false } } };
// The SDK would warn that our model names are not in its lists.
globalThis.AI_SDK_LOG_WARNINGS = false;
const city = z.object({ city: z.string() });

/** Waits for the end of `count` upstream calls with this tag and returns them. */
const waitEnded = async (tag, count = 1) => {
  const calls = await control('wait', { tag, ended: count });
  assert.equal(calls.length, count, `the upstream received ${calls.length} requests`);
  return calls;
};
async function readAll(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}
const script = (tag, words) => `script tag=${tag} ${words}`;

const aiSdk = (make, providerOptions) => ({
  async 'text and usage'(wire, tag) {
    const result = streamText({ model: make(wire), prompt: script(tag, 'tokens=20'), maxRetries: 0, providerOptions, onError() {} });
    const pieces = await readAll(result.textStream);
    const [call] = await waitEnded(tag);
    assert.equal(pieces.join(''), call.text);
    assert.ok(pieces.length > 10, 'the text arrives in pieces');
    assert.equal(await result.finishReason, 'stop');
    const usage = await result.usage;
    assert.deepEqual([usage.inputTokens, usage.outputTokens], [11, 20]);
  },
  async 'tools over two turns'(wire, tag) {
    const cities = [];
    const weather = tool({ description: 'The weather.', inputSchema: city, execute: ({ city }) => { cities.push(city); return `sun in ${city}`; } });
    const result = streamText({ model: make(wire), prompt: script(tag, 'tools=1'), tools: { weather }, stopWhen: isStepCount(3), maxRetries: 0, providerOptions, onError() {} });
    const text = await result.text;
    const calls = await waitEnded(tag, 2);
    assert.deepEqual(cities, ['Zürich', 'Paris']);
    assert.equal(text, calls[1].text);
    assert.ok(text.includes('sun in Paris'), text);
    assert.equal((await result.steps).length, 2);
    if (wire !== 'openai-chat' && wire !== 'openai-responses') return;
    const sent = JSON.stringify(calls[1].body);
    assert.ok(!sent.includes('item_reference') && sent.includes('Zürich'), sent);
  },
  async 'an abort closes the upstream'(wire, tag) {
    const controller = new AbortController();
    const result = streamText({ model: make(wire), prompt: script(tag, 'tokens=2000 every=5'), abortSignal: controller.signal, maxRetries: 0, providerOptions, onError() {} });
    let length = 0;
    for await (const part of result.fullStream) {
      if (part.type === 'text-delta' && (length += part.text.length) > 40) controller.abort();
    }
    const [call] = await waitEnded(tag);
    assert.equal(call.end, 'closed');
  },
  async 'an error reaches onError'(wire, tag) {
    const errors = [];
    const result = streamText({ model: make(wire), prompt: script(tag, 'tokens=8 error=3'), maxRetries: 0, providerOptions, onError: ({ error }) => errors.push(error) });
    await result.consumeStream();
    assert.match(JSON.stringify(errors.map((error) => error.message ?? error)), /scripted error/);
  },
});

const langchain = {
  async 'text and usage'(wire, tag) {
    const model = new ChatOpenAI({ model: wire, apiKey: 'none', configuration: { baseURL: settings.baseURL }, maxRetries: 0 });
    const chunks = await readAll(await model.stream([new HumanMessage(script(tag, 'tokens=20'))]));
    const message = chunks.reduce((sum, chunk) => sum.concat(chunk));
    const [call] = await waitEnded(tag);
    assert.equal(message.text, call.text);
    assert.deepEqual([message.usage_metadata.input_tokens, message.usage_metadata.output_tokens], [11, 20]);
  },
  async 'tools over two turns'(wire, tag) {
    const weather = langchainTool(({ city }) => `sun in ${city}`, { name: 'weather', description: 'The weather.', schema: city });
    const model = new ChatOpenAI({ model: wire, apiKey: 'none', configuration: { baseURL: settings.baseURL }, maxRetries: 0 }).bindTools([weather]);
    const turns = [new HumanMessage(script(tag, 'tools=1'))];
    const first = await model.invoke(turns);
    assert.deepEqual(first.tool_calls.map((call) => call.args.city), ['Zürich', 'Paris']);
    const results = await Promise.all(first.tool_calls.map(async (call) => new ToolMessage({ tool_call_id: call.id, content: await weather.invoke(call.args) })));
    const last = await model.invoke([...turns, first, ...results]);
    const calls = await waitEnded(tag, 2);
    assert.equal(last.text, calls[1].text);
  },
};

// fetch-event-source is written for browsers and needs these globals.
globalThis.window = globalThis;
globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
const { fetchEventSource } = await import('@microsoft/fetch-event-source');

const eventSource = {
  async 'after a cut the repeated POST continues after the last event'(wire, tag) {
    const remaining = [900, 500];
    const relayServer = await relay(URL_, (line) => (line.startsWith('POST /v1/streams') ? remaining.shift() : null));
    const ids = [];
    let text = '', posts = 0;
    const body = JSON.stringify({ model: wire, stream: true, messages: [{ role: 'user', content: script(tag, 'tokens=60 every=3') }] });
    const headers = { 'content-type': 'application/json' };
    const controller = new AbortController();
    await fetchEventSource(`${relayServer.url}/v1/streams`, {
      method: 'POST', headers, body, signal: controller.signal,
      onopen: async (response) => { posts += 1; assert.equal(response.status, 200); },
      onmessage({ id, event, data }) {
        if (!event) return;
        ids.push(id);
        if (event === 'text') text += JSON.parse(data).delta;
        if (event === 'end') controller.abort();
      },
      onclose() { if (!controller.signal.aborted) throw new Error('cut'); },
      onerror() { return 20; },
    });
    relayServer.close();
    const [call] = await waitEnded(tag);
    assert.equal(text, call.text);
    assert.equal(new Set(ids).size, ids.length, 'no event is repeated');
    assert.deepEqual([posts, relayServer.cuts], [3, 2]);
  },
};

const suites = { ...Object.fromEntries(Object.entries(PROVIDERS).map(([name, make]) => [`ai-sdk ${name}`, aiSdk(make, OPTIONS[name])])), langchain, 'fetch-event-source': eventSource };
const tests = Object.entries(suites).flatMap(([suite, its], s) => WIRES.flatMap((wire) => Object.entries(its).map(([name, test], n) => [`${suite}: ${name} (${wire})`, () => test(wire, `s${s}${n}${wire}x`)])));
const selected = tests.filter(([name]) => name.includes(process.argv[2] ?? ''));
let failed = 0;
for (const [name, test] of selected) {
  try {
    await test();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
console.log(`${selected.length - failed} passed, ${failed} failed`);
process.exit(failed || !selected.length ? 1 : 0);
