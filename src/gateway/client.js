// Sluicegate's browser client: resumes a stream where its connection was cut.
//
//   const answer = new Sluicegate().start({ model: 'demo', messages }, { on: (name, data) => show(name, data) });
//   answer.cancel();                     // stops the generation, at the provider too
//   const { text } = await answer;

/** An error response or a failure. `status` is 0 if no response came; `answer` is the answer received so far. */
export class SluicegateError extends Error {
  constructor(code, message, more) {
    super(message);
    Object.assign(this, { code, status: 0, retryAfter: 0, answer: null, ...more });
  }
}

/** Returns an unguessable id of 130 random bits. */
export const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(26)), (byte) => (byte & 31).toString(32)).join('');

/**
 * @typedef {object} Options
 * @property {(name: string, data: object, id: ?string) => void} [on] called for each event; the client adds `open` and `reconnect`
 * @property {AbortSignal} [signal] stops reading; only `cancel` stops the generation
 * @property {string} [id] name of the stream, 22 to 64 characters of A-Z a-z 0-9 _ -
 * @property {string} [key] overrides the key of the client
 * @property {string} [after] last event id received
 * @property {number} [giveUp] milliseconds without an event before it fails
 */
export class Sluicegate {
  #cancelled = new Set();

  /** @param {{url?: string, key?: string | (() => ?string), giveUp?: number}} [options] `url` ends in /v1/ */
  constructor({ url = new URL('v1/', import.meta.url).href, key, giveUp = 60_000 } = {}) {
    Object.assign(this, { url, key, giveUp });
  }

  /** Starts a generation from a Chat Completions request; the same request with the same id joins the stream that it began. */
  start(request, options = {}) {
    return this.#answer(options.id ?? newId(), JSON.stringify({ ...request, stream: true }), options);
  }

  /** Follows an existing stream. */
  follow(id, options = {}) {
    return this.#answer(id, null, options);
  }

  /** Cancels a stream and returns its status; null if the request that starts it has not arrived yet: it will end cancelled. */
  async cancel(id, key) {
    this.#cancelled.add(id);
    const response = await this.call(`streams/${id}/cancel`, { method: 'POST', keepalive: true, key }).catch((error) => {
      if (error.status !== 404) throw error;
    });
    return response?.json() ?? null;
  }

  /** Returns the status of a stream. */
  async status(id, key) {
    return (await this.call('streams/' + id, { key })).json();
  }

  /** Sends one request; throws an error response as `SluicegateError`. */
  async call(path, { key = this.key, headers, ...options } = {}) {
    const secret = key?.call ? key() : key;
    const all = { ...headers, ...(secret && { Authorization: 'Bearer ' + secret }) };
    const response = await fetch(this.url + path, { cache: 'no-store', ...options, headers: all });
    if (!response.ok) throw await refusal(response);
    return response;
  }

  #answer(id, body, options) {
    const answer = this.#follow(id, body, options).finally(() => this.#cancelled.delete(id));
    return Object.assign(answer, { id, cancel: () => this.cancel(id, options.key) });
  }

  async #follow(id, body, { on = () => {}, signal, key, after: last, giveUp = this.giveUp }) {
    const answer = { id, text: '', reasoning: '', refusal: '', toolCalls: [], usage: null, reason: null };
    let tries = 0, since, requestId;
    for (;;) {
      // Until an event has come, the request is sent again: it joins the stream that it began, or begins it.
      const begin = body && !last && !this.#cancelled.has(id);
      const headers = { Accept: 'text/event-stream', ...(last && { 'Last-Event-ID': last }) };
      if (begin) Object.assign(headers, { 'Content-Type': 'application/json', 'x-stream-id': id });
      const asked = { key, signal, headers, ...(begin && { method: 'POST', body }) };
      let failure = new SluicegateError('connection_lost', 'The connection was lost.', { answer, requestId });
      const response = await this.call(begin ? 'streams' : 'streams/' + id, asked).catch((error) => {
        if (error.status < 500 && ![408, 425, 429].includes(error.status)) throw error;
        if (error.status) failure = error;
      });
      signal?.throwIfAborted();
      if (response) {
        requestId = response.headers.get('x-request-id');
        const fatal = (code, message) => new SluicegateError(code, message, { status: response.status, requestId, answer });
        if (!response.headers.get('content-type')?.startsWith('text/event-stream')) throw fatal('unexpected', 'Not an event stream.');
        on('open', { requestId, stream: response.headers.get('x-stream-id') });
        for await (const [name, text, at] of events(response.body, fatal)) {
          const data = JSON.parse(text);
          [tries, since, last] = [0, undefined, at || last];
          on(name, data, at);
          fold(answer, name, data);
          if (name === 'error') failure = fatal(data.code, data.message);
          if (name !== 'end') continue;
          if (data.reason === 'error') throw failure;
          return answer;
        }
        signal?.throwIfAborted();
      }
      since ??= Date.now();
      const wait = Math.max(failure.retryAfter, Math.min(250 * 2 ** tries++, 4000) * (0.75 + Math.random() / 2));
      if (Date.now() + wait - since > giveUp) throw failure;
      on('reconnect', { tries, wait, failure });
      await pause(wait, signal);
    }
  }
}

/** Adds an event to the answer; only the first choice is folded. */
function fold(answer, name, data) {
  if (data.choice > 0) return;
  if (name in answer && data.delta) answer[name] += data.delta;
  if (name === 'tool_call') answer.toolCalls[data.index] = { id: data.id, name: data.name, arguments: '' };
  const call = answer.toolCalls[data.index];
  if (call && name === 'tool_arguments') call.arguments += data.delta;
  if (name === 'end') Object.assign(answer, { reason: data.reason, usage: data.usage });
}

async function refusal(response) {
  const { status, statusText, headers } = response;
  const { error } = await response.json().catch(() => ({}));
  const after = headers.get('retry-after');
  const retryAfter = +headers.get('retry-after-ms') || after * 1000 || Date.parse(after) - Date.now() || 0;
  const requestId = headers.get('x-request-id');
  return new SluicegateError(error?.code ?? 'http_' + status, error?.message ?? statusText, { status, retryAfter, requestId });
}

/** Parses server-sent events as the standard defines them; a cut connection ends the iteration. */
async function* events(body, fatal) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const cut = () => ({ done: true });
  let rest = '', id = '', name = '', data = '';
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(cut);
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        const [, field, content] = /^([^:]*):? ?(.*)/s.exec(line);
        if (field === 'data') data += content + '\n';
        if (field === 'event') name = content;
        if (field === 'id') id = content;
        if (line || !data) continue;
        yield [name, data, id];
        name = data = '';
      }
      if (rest.length + data.length > 16 << 20) throw fatal('too_large', 'An event is over 16 MiB.');
    }
  } finally {
    reader.cancel().catch(cut);
  }
}

/** Waits; ends early when the network comes back. */
const pause = (ms, signal) => new Promise((resolve, reject) => {
  const end = () => {
    clearTimeout(timer);
    globalThis.removeEventListener?.('online', end);
    signal?.aborted ? reject(signal.reason) : resolve();
  };
  const timer = setTimeout(end, ms);
  globalThis.addEventListener?.('online', end);
  signal?.addEventListener('abort', end);
});
