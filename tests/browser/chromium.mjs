// Starts the browser of these tests, and controls the scripted upstream.
import { chromium } from 'playwright-core';

const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];

export const launch = (...args) => chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: [...QUIET, ...args] });

export async function control(command, query) {
  const response = await fetch(`${process.env.UPSTREAM_URL}/control/${command}?${new URLSearchParams(query)}`, { signal: AbortSignal.timeout(30_000) });
  return response.json();
}

/** Runs in a page: starts a stream without a reader and returns its location. */
export async function begin({ model, script }) {
  const body = JSON.stringify({ model, stream: true, messages: [{ role: 'user', content: `script ${script}` }] });
  const headers = { 'content-type': 'application/json', prefer: 'respond-async' };
  const response = await fetch('/v1/streams', { method: 'POST', headers, body });
  if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
  return response.headers.get('location');
}

/**
 * Runs in a page: follows a stream with an EventSource until it stops by itself. Records into
 * `window.received`.
 */
export function follow(location) {
  const received = { text: '', ends: 0, opened: 0, stopped: false };
  window.received = received;
  const source = new EventSource(location);
  source.onopen = () => { received.opened += 1; };
  source.addEventListener('text', (event) => { received.text += JSON.parse(event.data).delta; });
  source.addEventListener('end', () => { received.ends += 1; });
  source.onerror = () => { received.stopped = source.readyState === EventSource.CLOSED; };
}
