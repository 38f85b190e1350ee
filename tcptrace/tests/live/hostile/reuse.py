"""Starts a program with a pid that was another's: reuse.py PID PROGRAM [ARGUMENT]..."""

import ctypes
import os
import signal
import sys

SYS_CLONE3 = 435

libc = ctypes.CDLL(None, use_errno=True)


class CloneArguments(ctypes.Structure):
    """struct clone_args of linux/sched.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls",
        "set_tid", "set_tid_size", "cgroup",
    )]


def main():
    wanted = (ctypes.c_int * 1)(int(sys.argv[1]))
    arguments = CloneArguments(
        exit_signal=signal.SIGCHLD, set_tid=ctypes.addressof(wanted), set_tid_size=1)
    pid = libc.syscall(SYS_CLONE3, ctypes.byref(arguments), ctypes.sizeof(arguments))
    if pid == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    if pid < 0:
        raise OSError(ctypes.get_errno(), f"nobody can have the pid {wanted[0]}")
    os.waitpid(pid, 0)


main()
