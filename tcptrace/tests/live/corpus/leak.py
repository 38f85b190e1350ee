#!/usr/bin/env python3
"""Part of tcptrace's test corpus: a program that leaks TCP sockets on purpose, or half-closes them
innocently, and says what is true.

  leak.py --list   the cases, one a line: NAME leak|innocent
  leak.py CASE     sets the case up on 127.0.0.1 and prints its truth, a line of JSON. At a line
                   `end` on stdin it ends it and prints {"ended_by": HOW}: a word for all sockets,
                   a list in their order where they differ, or null. When stdin ends it exits, and
                   its children with it.
"""

import asyncio
import ctypes
import errno
import http.client
import http.server
import json
import multiprocessing
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback

ESTABLISHED, FIN_WAIT2, CLOSE, CLOSE_WAIT = 1, 5, 7, 8
REQUEST = b"request"
RESPONSE = b"response"
PACE = 0.02
PR_SET_PDEATHSIG = 1

CASES = {}


def leak(case):
    CASES[case.__name__] = (case, "leak")
    return case


def innocent(case):
    CASES[case.__name__] = (case, "innocent")
    return case


# ---- Sockets ----


def new_listener():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    return listener


def new_pair():
    """A connection with both ends in this process."""
    with new_listener() as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def ends_of(sock):
    local, remote = sock.getsockname(), sock.getpeername()
    return {"local": "%s:%d" % local, "remote": "%s:%d" % remote}


def mirrored(ends):
    return {"local": ends["remote"], "remote": ends["local"]}


def state_of(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def wait_for_state(sock, state):
    while state_of(sock) != state:
        time.sleep(0.001)


def wait_until_shown(ends, state):
    """The same for a socket of which nobody has a descriptor."""

    def as_shown(address):
        host, port = address.split(":")
        return "%08X:%04X" % (struct.unpack("=I", socket.inet_aton(host))[0], int(port))

    wanted = "%s %s %02X" % (as_shown(ends["local"]), as_shown(ends["remote"]), state)
    while True:
        with open("/proc/net/tcp") as table:
            if any(wanted in line for line in table):
                return
        time.sleep(0.001)


def reset_at_close(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class When:
    """Brackets the moment at which something happens inside a `with`."""

    def __enter__(self):
        self.not_before_ns = time.time_ns()
        return self

    def __exit__(self, *_):
        self.not_after_ns = time.time_ns()


def client_leaves(client, server):
    with When() as when:
        client.close()
        wait_for_state(server, CLOSE_WAIT)
    return when


# ---- What servers do ----


def handle_request(conn):
    """Reads up to the end of file."""
    while conn.recv(4096):
        pass


def fill_send_buffer(conn):
    conn.setblocking(False)
    try:
        while True:
            conn.send(bytes(4096))
    except BlockingIOError:
        conn.setblocking(True)


# ---- Other processes ----


def die_with(parent):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Actor:
    """A process that plays `part` and hears and tells a byte at a time, at both ends."""

    def __init__(self, part, *args):
        parent = os.getpid()
        self.line, line = socket.socketpair()
        self.pid = os.fork()
        if self.pid:
            line.close()
            return
        try:
            die_with(parent)
            self.line.close()
            self.line = line
            part(self, *args)
        except Exception:
            # What a parent that is gone does not hear is no error.
            if os.getppid() == parent:
                traceback.print_exc()
        finally:
            os._exit(0)

    def tell(self):
        self.line.sendall(b".")

    def hear(self):
        if not self.line.recv(1):
            sys.exit("the other process is gone")

    def wait(self):
        os.waitpid(self.pid, 0)


# ---- The protocol ----


def socket_truth(ends, state, verdict, when, pid, **more):
    """What is true of a socket that leaks, and of which `pid` is the only holder."""
    truth = {
        **ends,
        "state": state,
        "verdict": verdict,
        "blame": pid,
        "holders": [pid],
        "held_by": None,
        "eof_read_by": None,
        "eof_peeked_by": None,
        "function": None,
        "not_before_ns": when.not_before_ns,
        "not_after_ns": when.not_after_ns,
    }
    return {**truth, **more}


def hurry(on):
    """Nothing here takes long: what does has failed."""
    signal.alarm(20 if on else 0)


def print_truth(*leaks, innocent=()):
    print(json.dumps({"sockets": leaks, "innocent": innocent}), flush=True)
    hurry(False)


def told_to_end(seconds=None):
    """Whether `end` comes within that time."""
    if not select.select([0], [], [], seconds)[0]:
        return False
    if not os.read(0, 16):
        os._exit(0)
    hurry(True)
    return True


def print_ended(how):
    print(json.dumps({"ended_by": how}), flush=True)
    hurry(False)


def ended(how):
    print_ended(how)
    while os.read(0, 16):
        pass
    os._exit(0)


def exit_as_end():
    print_ended("process_exit")
    os._exit(0)


# ---- Leaks ----


@leak
def eof_read():
    client, server = new_pair()
    client.sendall(REQUEST)
    ends, when = ends_of(server), client_leaves(client, server)
    handle_request(server)
    pid = os.getpid()
    more = {"eof_read_by": pid, "function": "handle_request"}
    print_truth(socket_truth(ends, "CLOSE_WAIT", "eof_read", when, pid, **more))
    told_to_end()
    exit_as_end()


@leak
def drained_splice():
    """The end of file is taken out by splice, which no recv shows."""
    client, server = new_pair()
    ends, when = ends_of(server), client_leaves(client, server)
    _, into = os.pipe()
    if ctypes.CDLL(None).splice(server.fileno(), None, into, None, 4096, 0) != 0:
        sys.exit("splice did not come to the end of file")
    print_truth(socket_truth(ends, "CLOSE_WAIT", "drained", when, os.getpid()))
    told_to_end()
    server.close()
    ended("closed")


@leak
def orphan():
    client, server = new_pair()
    ends = ends_of(client)
    with When() as closed:
        when = client_leaves(client, server)
        wait_until_shown(ends, FIN_WAIT2)
    kept = socket_truth(mirrored(ends), "CLOSE_WAIT", "eof_unread", when, os.getpid())
    nobodys = socket_truth(ends, "FIN_WAIT2", "orphan", closed, None, holders=[])
    print_truth(nobodys, kept)
    told_to_end()
    server.close()
    ended(["peer_closed", "closed"])


class Pool:
    """Connections that are kept for the next request, and not looked at before that."""

    def __init__(self, address):
        self.address = address
        self.idle = []

    def borrow(self):
        return self.idle.pop() if self.idle else socket.create_connection(self.address)

    def give_back(self, conn):
        self.idle.append(conn)


@leak
def eof_unread_pool():
    listener = new_listener()
    pool = Pool(listener.getsockname())
    conn = pool.borrow()
    server = listener.accept()[0]
    listener.close()
    conn.sendall(REQUEST)
    server.recv(len(REQUEST), socket.MSG_WAITALL)
    server.sendall(RESPONSE)
    conn.recv(len(RESPONSE), socket.MSG_WAITALL)
    pool.give_back(conn)
    ends, when = ends_of(conn), client_leaves(server, conn)
    print_truth(socket_truth(ends, "CLOSE_WAIT", "eof_unread", when, os.getpid()))
    told_to_end()
    conn = pool.borrow()
    # Nobody is left to take it: what comes back is a reset.
    conn.sendall(REQUEST)
    wait_for_state(conn, CLOSE)
    conn.close()
    ended("reset_by_peer")


@leak
def data_unread():
    client, server = new_pair()
    client.sendall(REQUEST)
    ends, when = ends_of(server), client_leaves(client, server)
    print_truth(socket_truth(ends, "CLOSE_WAIT", "data_unread", when, os.getpid()))
    told_to_end()
    server.close()
    ended("closed_with_reset")


def other_work(parent, client, theirs, ours):
    die_with(parent)
    client.close()
    theirs.close()
    ours.send(None)
    ours.recv()


@leak
def shared_fd_multiprocessing():
    client, server = new_pair()
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    worker = fork.Process(target=other_work, args=(os.getpid(), client, ours, theirs))
    worker.start()
    theirs.close()
    ours.recv()
    client.sendall(REQUEST)
    ends, when = ends_of(server), client_leaves(client, server)
    handle_request(server)
    server.close()
    more = {"eof_read_by": os.getpid(), "function": "handle_request"}
    print_truth(socket_truth(ends, "CLOSE_WAIT", "shared_fd", when, worker.pid, **more))
    told_to_end()
    ours.send(None)
    worker.join()
    ended("process_exit")


@leak
def not_accepted():
    listener = new_listener()
    client = socket.create_connection(listener.getsockname())
    ends = mirrored(ends_of(client))
    client.sendall(REQUEST)
    with When() as when:
        client.close()
        wait_until_shown(ends, CLOSE_WAIT)
    pid = os.getpid()
    print_truth(socket_truth(ends, "CLOSE_WAIT", "not_accepted", when, pid, holders=[]))
    told_to_end()
    listener.close()
    ended("listener_closed")


def play_deaf_client(parent, listener):
    """Takes only little, is done sending at a word, and leaves at another."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(listener.getsockname())
    listener.close()
    parent.hear()
    client.shutdown(socket.SHUT_WR)
    wait_for_state(client, FIN_WAIT2)
    parent.tell()
    parent.hear()
    client.close()
    parent.tell()
    parent.hear()


@leak
def send_blocked():
    listener = new_listener()
    client = Actor(play_deaf_client, listener)
    server = listener.accept()[0]
    listener.close()
    fill_send_buffer(server)
    with When() as when:
        client.tell()
        client.hear()
    pid, ends = os.getpid(), ends_of(server)
    print_truth(
        socket_truth(ends, "CLOSE_WAIT", "send_blocked", when, pid),
        socket_truth(
            mirrored(ends), "FIN_WAIT2", "peer_not_closing", when, pid, holders=[client.pid]
        ),
    )
    told_to_end()
    # It leaves with data unread.
    client.tell()
    client.hear()
    wait_for_state(server, CLOSE)
    server.close()
    ended(["reset_by_peer", "closed_with_reset"])


def play_silent_server(parent, listener):
    """Reads the end of file and keeps the connection until it exits."""
    server = listener.accept()[0]
    listener.close()
    handle_request(server)
    parent.tell()
    parent.hear()
    # Returning would close it.
    os._exit(0)


@leak
def peer_not_closing():
    listener = new_listener()
    server = Actor(play_silent_server, listener)
    client = socket.create_connection(listener.getsockname())
    listener.close()
    client.sendall(REQUEST)
    with When() as when:
        client.shutdown(socket.SHUT_WR)
        wait_for_state(client, FIN_WAIT2)
        server.hear()
    ends = ends_of(client)
    more = {"eof_read_by": server.pid, "function": "handle_request"}
    print_truth(
        socket_truth(
            ends, "FIN_WAIT2", "peer_not_closing", when, server.pid, holders=[os.getpid()]
        ),
        socket_truth(mirrored(ends), "CLOSE_WAIT", "eof_read", when, server.pid, **more),
    )
    told_to_end()
    server.tell()
    server.wait()
    wait_for_state(client, CLOSE)
    client.close()
    ended(["peer_closed", "process_exit"])


@leak
def closed_not_released():
    client, server = new_pair()
    ends = ends_of(server)
    reset_at_close(client)
    with When() as when:
        client.close()
        wait_for_state(server, CLOSE)
    try:
        handle_request(server)
    except ConnectionResetError:
        # This is where it ought to close.
        pass
    print_truth(socket_truth(ends, "CLOSE", "closed_not_released", when, os.getpid()))
    told_to_end()
    exit_as_end()


class HalfOpen(asyncio.Protocol):
    """Keeps its transport at the end of file, and never closes it."""

    def __init__(self, deeds):
        self.deeds = deeds

    def connection_made(self, transport):
        self.deeds.made.set_result(transport)

    def eof_received(self):
        self.deeds.eof.set_result(None)
        return True

    def connection_lost(self, _):
        self.deeds.lost.set_result(None)


class Deeds:
    def __init__(self):
        loop = asyncio.get_running_loop()
        self.made, self.eof, self.lost = (loop.create_future() for _ in range(3))


@leak
def asyncio_half_open():
    async def serve():
        loop = asyncio.get_running_loop()
        deeds = Deeds()
        listener = await loop.create_server(lambda: HalfOpen(deeds), "127.0.0.1", 0)
        client = socket.create_connection(listener.sockets[0].getsockname())
        transport = await deeds.made
        listener.close()
        server = transport.get_extra_info("socket")
        ends, when = ends_of(server), client_leaves(client, server)
        await deeds.eof
        # asyncio's own code reads: no function of this file does.
        pid = os.getpid()
        print_truth(socket_truth(ends, "CLOSE_WAIT", "eof_read", when, pid, eof_read_by=pid))
        await loop.run_in_executor(None, told_to_end)
        transport.close()
        await deeds.lost
        while server.fileno() != -1:
            await asyncio.sleep(0)

    asyncio.run(serve())
    ended("closed")


# ---- Innocent ----


def play_half_closed_client(parent, listener):
    with socket.create_connection(listener.getsockname()) as client:
        listener.close()
        client.sendall(REQUEST)
        client.shutdown(socket.SHUT_WR)
        wait_for_state(client, FIN_WAIT2)
        parent.tell()
        handle_request(client)
    parent.tell()
    parent.hear()


@innocent
def streaming():
    listener = new_listener()
    client = Actor(play_half_closed_client, listener)
    server = listener.accept()[0]
    listener.close()
    handle_request(server)
    client.hear()
    print_truth(innocent=[ends_of(server), mirrored(ends_of(server))])
    while True:
        server.sendall(b"tick")
        if told_to_end(PACE):
            break
    server.close()
    client.hear()
    ended(None)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(RESPONSE)))
        self.end_headers()
        self.wfile.write(RESPONSE)

    def log_message(self, *_):
        pass


@innocent
def http_keepalive():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = http.client.HTTPConnection(*server.server_address)
    client.request("GET", "/")
    client.getresponse().read()
    ends = ends_of(client.sock)
    print_truth(innocent=[ends, mirrored(ends)])
    told_to_end()
    client.close()
    server.shutdown()
    server.server_close()
    ended(None)


def main():
    wanted = sys.argv[1] if len(sys.argv) == 2 else ""
    if wanted == "--list":
        for name, (_, kind) in CASES.items():
            print(name, kind)
    elif wanted in CASES:
        hurry(True)
        CASES[wanted][0]()
    else:
        sys.exit(f"usage: {sys.argv[0]} --list | CASE")


if __name__ == "__main__":
    main()
