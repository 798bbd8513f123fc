// A TCP relay that cuts the connection after a given number of response bytes.
import net from 'node:net';

/**
 * Starts a relay in front of `url`. For each request, `cutAfter` receives the first line and
 * returns the number of response bytes after which the connection is cut, or nothing for no cut.
 */
export async function relay(url, cutAfter) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  const counters = { cuts: 0 };
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname);
    let remaining = null;
    let head = '';
    const end = () => { client.destroy(); upstream.destroy(); };
    for (const socket of [client, upstream]) {
      sockets.add(socket.setNoDelay(true));
      // An error or a close on one side closes the other side too.
      socket.on('error', end).on('close', () => { sockets.delete(socket); end(); });
    }
    client.on('data', (data) => {
      // The clients write a request's first line in one piece, and only after the end of the last
      // response.
      const line = /^[A-Z]+ \S+ HTTP\/1\.1\r\n/.exec(data.toString('latin1'));
      if (line) [remaining, head] = [cutAfter(line[0].trim()) ?? null, ''];
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (remaining === null) return client.write(data);
      const part = data.subarray(0, remaining);
      remaining -= part.length;
      if (!head.includes('\r\n\r\n')) head += part.toString('latin1');
      if (remaining > 0) return client.write(part);
      counters.cuts += 1;
      remaining = null;
      upstream.destroy();
      // Chromium treats a head that ends early with a plain close as complete, so a cut there is
      // always a reset. Later cuts are a reset or a plain close, depending on the length.
      const reset = !head.includes('\r\n\r\n') || part.length % 2;
      return reset ? client.write(part, () => client.resetAndDestroy()) : client.end(part);
    });
    client.on('end', () => upstream.end());
    upstream.on('end', () => client.end());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    get cuts() { return counters.cuts; },
    close: () => { for (const socket of sockets) socket.destroy(); server.close(); },
  };
}
