"""A threaded server whose two handlers read the end of file in two functions and keep the connection.

Prints its port as one line of JSON, with each handler's name and the line on which it reads.
A connection says by its first byte which of them is to read. Ends with its standard input.
"""

import inspect
import json
import socketserver
import sys
import threading

KEPT = []


def read_to_the_end(connection):
    while connection.recv(100):
        pass


def finish_orders(connection):
    connection.recv(100)  # here


def finish_invoices(connection):
    connection.recv(100)  # here


def serve_orders(connection):
    read_to_the_end(connection)


def serve_invoices(connection):
    read_to_the_end(connection)


HANDLERS = {
    b"o": finish_orders, b"i": finish_invoices,
    b"O": serve_orders, b"I": serve_invoices,
    b"c": lambda connection: connection.close(),
}


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        KEPT.append(self.request)
        HANDLERS[self.request.recv(1)](self.request)


class Server(socketserver.ThreadingTCPServer):
    def shutdown_request(self, request):
        """Never called to an end: that is the fault."""


def line_of(function):
    lines, first = inspect.getsourcelines(function)
    marked = [i for i, line in enumerate(lines) if "# here" in line or "read_to_the_end(" in line]
    return first + marked[0]


def main():
    server = Server(("127.0.0.1", 0), Handler)
    names = {key.decode(): [f.__name__, line_of(f)] for key, f in HANDLERS.items() if key != b"c"}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"port": server.server_address[1], "functions": names}), flush=True)
    sys.stdin.read()


main()
