// The browser of these tests, and what they ask the scripted upstream.
import { chromium } from 'playwright-core';

const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];

export const launch = (...args) => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [...QUIET, ...args] });

export async function control(what, query) {
  const answer = await fetch(`${process.env.UPSTREAM_URL}/control/${what}?${new URLSearchParams(query)}`, { signal: AbortSignal.timeout(30_000) });
  return answer.json();
}

/** In a page: starts a stream that nobody follows yet, and says where it is. */
export async function begin({ model, script }) {
  const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: `script ${script}` }] });
  const headers = { 'content-type': 'application/json', prefer: 'respond-async' };
  const answer = await fetch('/v1/streams', { method: 'POST', headers, body });
  if (answer.status !== 202) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.headers.get('location');
}

/** In a page: follows a stream with an EventSource, into `window.seen`, until that stops by itself. */
export function follow(location) {
  const seen = { text: '', ends: 0, opened: 0, stopped: false };
  window.seen = seen;
  const source = new EventSource(location);
  source.onopen = () => { seen.opened += 1; };
  source.addEventListener('text', (event) => { seen.text += JSON.parse(event.data).delta; });
  source.addEventListener('end', () => { seen.ends += 1; });
  source.onerror = () => { seen.stopped = source.readyState === EventSource.CLOSED; };
}
