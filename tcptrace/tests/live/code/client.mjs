// Connects to the port it is given, prints its own end, reads to the end and keeps the connection;
// exits when its standard input ends.

import net from 'node:net';

function borrowConnection(port) {
  return net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
}

const socket = borrowConnection(Number(process.argv[2]));
socket.on('connect', () => console.log(`127.0.0.1:${socket.localPort}`));
socket.resume();
process.stdin.resume();
process.stdin.on('data', () => process.exit());
process.stdin.on('end', () => process.exit());
