// A TCP relay that cuts what it carries back to the client after so many bytes of an answer.
import net from 'node:net';

/** `cutAfter(request)` is asked for each request by its first line: after how many bytes, or nothing. */
export async function relay(url, cutAfter) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  const told = { cuts: 0 };
  const server = net.createServer((client) => {
    const upstream = net.connect(Number(port), hostname);
    let left = null;
    let head = '';
    const end = () => { client.destroy(); upstream.destroy(); };
    for (const socket of [client, upstream]) {
      sockets.add(socket.setNoDelay(true));
      // A cut is an error or a close on either side; both ends of the relay go together.
      socket.on('error', end).on('close', () => { sockets.delete(socket); end(); });
    }
    client.on('data', (data) => {
      // A client of this relay writes a request's first line in one piece, and only when the last answer is whole.
      const line = /^[A-Z]+ \S+ HTTP\/1\.1\r\n/.exec(data.toString('latin1'));
      if (line) [left, head] = [cutAfter(line[0].trim()) ?? null, ''];
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (left === null) return client.write(data);
      const part = data.subarray(0, left);
      left -= part.length;
      if (!head.includes('\r\n\r\n')) head += part.toString('latin1');
      if (left > 0) return client.write(part);
      told.cuts += 1;
      left = null;
      upstream.destroy();
      // Chromium takes a plain head that just ends for a whole one, so there it is always a reset; else it is either.
      const reset = !head.includes('\r\n\r\n') || part.length % 2;
      return reset ? client.write(part, () => client.resetAndDestroy()) : client.end(part);
    });
    client.on('end', () => upstream.end());
    upstream.on('end', () => client.end());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    get cuts() { return told.cuts; },
    close: () => { for (const socket of sockets) socket.destroy(); server.close(); },
  };
}
