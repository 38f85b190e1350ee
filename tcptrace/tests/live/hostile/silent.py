"""Mounts a file system that hardly answers, and becomes another program.

    silent.py PLACE USER PROGRAM [ARGUMENT]...

In the directory PLACE there is then a file `silent`, which can be opened and mapped and of which no byte
ever comes. Looking for any other name there takes for ever. To be started in a mount namespace of its own.
The protocol is that of linux/fuse.h.
"""

import ctypes
import os
import select
import struct
import sys

LOOKUP, GETATTR, OPEN, READ, INIT = 1, 3, 14, 15, 26
ENOSYS = 38
ROOT, FILE = 1, 2
DIRECTORY_MODE, FILE_MODE = 0o040755, 0o100444
# As long as anybody lives.
VALID = 1 << 30

libc = ctypes.CDLL(None, use_errno=True)


def attributes(node):
    mode = DIRECTORY_MODE if node == ROOT else FILE_MODE
    size, blocks, times, nanoseconds = 1 << 20, 0, (0, 0, 0), (0, 0, 0)
    links, user, group, device, block_size, flags = 1, 0, 0, 0, 4096, 0
    return struct.pack(
        "6Q10I", node, size, blocks, *times, *nanoseconds, mode, links, user, group, device,
        block_size, flags)


def answer(operation, node, name):
    """An error, and what is told; None if nothing is ever answered."""
    if operation == INIT:
        return 0, struct.pack("4I2H2I2H8I", 7, 31, 0, 0, 16, 12, 4096, 1, 0, 0, *(8 * [0]))
    if operation == GETATTR:
        return 0, struct.pack("QII", VALID, 0, 0) + attributes(node)
    if operation == LOOKUP and name == b"silent":
        return 0, struct.pack("4Q2I", FILE, 0, VALID, VALID, 0, 0) + attributes(FILE)
    if operation in (LOOKUP, READ):
        return None
    return -ENOSYS, b""


def serve(device):
    """Until standard input ends: a program that waits for an answer cannot even be killed."""
    while sys.stdin not in select.select([device, sys.stdin], [], [])[0]:
        request = os.read(device, 1 << 17)
        _, operation, unique, node = struct.unpack_from("IIQQ", request)
        told = answer(operation, node, request[40:].rstrip(b"\0"))
        if told is not None:
            error, body = told
            os.write(device, struct.pack("IiQ", 16 + len(body), error, unique) + body)


def main():
    place, user, program, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[3:]
    # PLACE may hide it.
    program = os.open(program, os.O_RDONLY | os.O_CLOEXEC)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode={DIRECTORY_MODE:o},user_id=0,group_id=0,allow_other"
    if libc.mount(b"silent", place.encode(), b"fuse", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"cannot mount at {place}")
    if os.fork() == 0:
        os.close(sys.stdout.fileno())
        serve(device)
        os._exit(0)
    os.setgid(user)
    os.setuid(user)
    # Of what is looked for where the environment says, something may be at PLACE.
    os.execve(program, arguments, {})


main()
