"""Holds a connection whose peer has ended its side: held.py CASE

Prints its port, then "held" once everything is as the case says. Obeys lines on standard input, and
ends with it.
"""

import os
import select
import signal
import socket
import sys


def say(text):
    print(text, flush=True)


def accept():
    listener = socket.create_server(("127.0.0.1", 0))
    say(listener.getsockname()[1])
    connection, _ = listener.accept()
    listener.close()
    return connection


def write(connection):
    """Twice: after a reset the first one is told of that."""
    try:
        for _ in range(2):
            try:
                connection.send(b"x")
            except ConnectionAbortedError:
                pass
    except OSError as error:
        say(type(error).__name__)


def obey(connection, **more):
    for line in sys.stdin:
        {"write": lambda: write(connection), **more}[line.strip()]()


def child_closes():
    connection = accept()
    child = os.fork()
    if child == 0:
        while connection.recv(4096):
            pass
        connection.close()
        os._exit(0)
    os.waitpid(child, 0)
    say("held")
    obey(connection)


def child_holds():
    connection = accept()
    read, there = os.pipe()
    if os.fork() == 0:
        # Until the parent ends.
        os.close(there)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    say("held")
    obey(connection)


def sigpipe_default():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    connection = accept()
    say("held")
    obey(connection)


def sigpipe_blocked():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
    connection = accept()
    say("held")
    obey(connection)


def edge_triggered():
    """Is told of the end of file, and does nothing about it. Another one asks for no events at all."""
    connection = accept()
    edge, none = select.epoll(), select.epoll()
    edge.register(connection, select.EPOLLIN | select.EPOLLET)
    none.register(connection, 0)
    edge.poll()
    say("held")

    def hang_ups():
        events = [event for loop in (edge, none) for _, event in loop.poll(0)]
        say(sum(event & select.EPOLLHUP > 0 for event in events))

    obey(connection, hang_ups=hang_ups)


{case.__name__: case for case in [
    child_closes,
    child_holds,
    sigpipe_default,
    sigpipe_blocked,
    edge_triggered,
]}[sys.argv[1]]()
