// Part of tcptrace's test corpus: a program that leaks TCP sockets on purpose, or half-closes them
// innocently, and says what is true.
//
//   leak.mjs --list   the cases, one a line: NAME leak|innocent
//   leak.mjs CASE     sets the case up on 127.0.0.1 and prints its truth, a line of JSON. At a line
//                     `end` on stdin it ends it and prints {"ended_by": HOW}: a word for all
//                     sockets, a list in their order where they differ, or null. When stdin ends it
//                     exits, and its children with it.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const HOST = '127.0.0.1';
const PACE_MS = 20;
const [FIN_WAIT2, CLOSE_WAIT] = ['05', '08'];

// ---- Sockets ----

async function listen(server) {
  server.listen(0, HOST);
  await once(server, 'listening');
  return server.address().port;
}

// Both ends of a connection to `server`, which listens no more.
async function connect(server, options = {}) {
  const port = await listen(server);
  const accepted = once(server, 'connection');
  const client = net.connect({ host: HOST, port, ...options });
  const [[socket]] = await Promise.all([accepted, once(client, 'connect')]);
  server.close();
  return { client, socket };
}

function endsOf(socket) {
  return { local: `${HOST}:${socket.localPort}`, remote: `${HOST}:${socket.remotePort}` };
}

function mirrored({ local, remote }) {
  return { local: remote, remote: local };
}

// The kernel's own word for a socket's state: node has none.
async function untilShown(ends, state) {
  const hex = (port, digits) => Number(port).toString(16).toUpperCase().padStart(digits, '0');
  const asShown = (address) => `0100007F:${hex(address.split(':')[1], 4)}`;
  const wanted = `${asShown(ends.local)} ${asShown(ends.remote)} ${state} `;
  while (!(await readFile('/proc/net/tcp', 'latin1')).includes(wanted)) await sleep(1);
}

// Brackets, in nanoseconds, the moment at which a socket comes into a state.
async function entering(ends, state, act) {
  const before = Date.now();
  act();
  await untilShown(ends, state);
  return { not_before_ns: `${before}000000`, not_after_ns: `${Date.now() + 1}000000` };
}

// ---- The protocol ----

// What is true of a socket that leaks, and of which `pid` is the only holder.
function truthOf(ends, state, verdict, when, pid, more = {}) {
  return {
    ...ends,
    state,
    verdict,
    blame: pid,
    holders: [pid],
    held_by: null,
    eof_read_by: null,
    eof_peeked_by: null,
    function: null, // It is libuv that reads.
    ...when,
    ...more,
  };
}

function printTruth({ sockets = [], innocent = [] }) {
  // Nanoseconds since 1970 are beyond JavaScript's integers, though not beyond JSON's.
  const line = JSON.stringify({ sockets, innocent });
  console.log(line.replace(/(_ns":)"(\d+)"/g, '$1$2'));
}

let told;
const toldToEnd = new Promise((resolve) => (told = resolve));

function followStdin() {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', (line) => line === 'end' && told());
  lines.on('close', () => process.exit());
}

function ended(how) {
  console.log(JSON.stringify({ ended_by: how }));
}

async function destroy(socket) {
  socket.destroy();
  await once(socket, 'close');
}

// ---- Leaks ----

async function eofReadAllowHalfOpen() {
  const server = net.createServer({ allowHalfOpen: true });
  server.on('connection', (socket) => socket.on('data', () => {}));
  const { client, socket } = await connect(server);
  const eof = once(socket, 'end');
  client.write('request');
  await once(socket, 'data');
  const ends = endsOf(socket);
  const when = await entering(ends, CLOSE_WAIT, () => client.destroy());
  await eof;
  const more = { eof_read_by: process.pid };
  printTruth({ sockets: [truthOf(ends, 'CLOSE_WAIT', 'eof_read', when, process.pid, more)] });
  await toldToEnd;
  await destroy(socket);
  ended('closed');
}

// Accepted to be handed on later: pauseOnConnect is what keeps libuv from reading. After pause()
// it reads on, up to the end of file, until the stream's buffer is full.
async function parkedConnection(data) {
  const server = net.createServer({ pauseOnConnect: true });
  const { client, socket } = await connect(server);
  if (data) await new Promise((sent) => client.write(data, sent));
  const ends = endsOf(socket);
  const when = await entering(ends, CLOSE_WAIT, () => client.destroy());
  return { socket, ends, when };
}

async function eofUnreadPaused() {
  const { socket, ends, when } = await parkedConnection();
  printTruth({ sockets: [truthOf(ends, 'CLOSE_WAIT', 'eof_unread', when, process.pid)] });
  await toldToEnd;
  await destroy(socket);
  ended('closed');
}

async function dataUnreadPaused() {
  const { socket, ends, when } = await parkedConnection('request');
  printTruth({ sockets: [truthOf(ends, 'CLOSE_WAIT', 'data_unread', when, process.pid)] });
  await toldToEnd;
  await destroy(socket);
  ended('closed_with_reset');
}

// The server of `endNotClosed`, in a process of its own.
async function playSilentServer() {
  // The parent may be gone at any time, and already be.
  process.on('disconnect', () => process.exit());
  if (!process.connected) process.exit();
  const tell = (what) => process.send(what, () => {});
  const server = net.createServer({ allowHalfOpen: true });
  const accepted = once(server, 'connection');
  tell(await listen(server));
  const [socket] = await accepted;
  server.close();
  socket.resume();
  await once(socket, 'end');
  tell('end of file');
  await once(process, 'message');
  await destroy(socket);
}

async function endNotClosed() {
  const child = fork(process.argv[1], [SILENT_SERVER]);
  const [port] = await once(child, 'message');
  const client = net.connect({ host: HOST, port });
  client.resume();
  await once(client, 'connect');
  const ends = endsOf(client);
  const eof = once(child, 'message');
  const when = await entering(ends, FIN_WAIT2, () => client.end('request'));
  await eof;
  const more = { eof_read_by: child.pid };
  printTruth({
    sockets: [
      truthOf(ends, 'FIN_WAIT2', 'peer_not_closing', when, child.pid, { holders: [process.pid] }),
      truthOf(mirrored(ends), 'CLOSE_WAIT', 'eof_read', when, child.pid, more),
    ],
  });
  await toldToEnd;
  child.send('close');
  await once(client, 'close');
  ended(['peer_closed', 'closed']);
}

// ---- Innocent ----

async function streaming() {
  const server = net.createServer({ allowHalfOpen: true });
  const { client, socket } = await connect(server, { allowHalfOpen: true });
  client.resume();
  socket.resume();
  client.end('request');
  await once(socket, 'end');
  const ticks = setInterval(() => socket.write('tick'), PACE_MS);
  const ends = endsOf(client);
  await untilShown(ends, FIN_WAIT2);
  printTruth({ innocent: [ends, mirrored(ends)] });
  await toldToEnd;
  clearInterval(ticks);
  socket.end();
  await once(client, 'close');
  ended(null);
}

async function httpKeepalive() {
  const server = http.createServer((_, response) => response.end('response'));
  server.keepAliveTimeout = 0; // None: five seconds would end what is to be idle.
  const port = await listen(server);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const [response] = await once(http.get({ host: HOST, port, agent }), 'response');
  const ends = endsOf(response.socket);
  response.resume();
  await once(response, 'end');
  printTruth({ innocent: [ends, mirrored(ends)] });
  await toldToEnd;
  agent.destroy();
  server.close();
  await once(server, 'close');
  ended(null);
}

// ----

const CASES = {
  eof_read_allow_half_open: ['leak', eofReadAllowHalfOpen],
  eof_unread_paused: ['leak', eofUnreadPaused],
  data_unread_paused: ['leak', dataUnreadPaused],
  end_not_closed: ['leak', endNotClosed],
  streaming: ['innocent', streaming],
  http_keepalive: ['innocent', httpKeepalive],
};
const SILENT_SERVER = '--silent-server';

const [, program, wanted] = process.argv;
if (wanted === '--list') {
  for (const [name, [kind]] of Object.entries(CASES)) console.log(name, kind);
} else if (wanted === SILENT_SERVER) {
  await playSilentServer();
} else if (Object.hasOwn(CASES, wanted)) {
  followStdin();
  await CASES[wanted][1]();
} else {
  console.error(`usage: ${program} --list | CASE`);
  process.exitCode = 2;
}
