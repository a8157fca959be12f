"""Messages through a pipe from a process that is not trusted: with a limit of length, and one of time."""

import os
import select
import struct
import time
from multiprocessing.connection import Connection

HEAD = struct.Struct("!Q")  # the length of what follows, in bytes


def send(pipe: Connection, data: bytes | memoryview) -> None:
    """Write a message whole.  data: bytes, or a memoryview of bytes."""
    if os.name != "posix":
        pipe.send_bytes(data)
        return
    for part in (HEAD.pack(len(data)), data):
        left = memoryview(part)
        while left:
            left = left[os.write(pipe.fileno(), left) :]


def receive(pipe: Connection, most: int, seconds: float) -> bytes | bytearray:
    """The next message.

    ValueError when it announces more than `most` bytes, TimeoutError when it is not whole after `seconds`,
    EOFError when the other end is closed before.
    """
    if os.name != "posix":  # a pipe of Windows cannot be waited for in this way
        return pipe.recv_bytes(most)
    until = time.monotonic() + seconds
    [length] = HEAD.unpack(_read(pipe.fileno(), HEAD.size, until))
    if length > most:
        raise ValueError(f"a message of {length} bytes, expected {most} at most")
    return _read(pipe.fileno(), length, until)


def _read(pipe: int, count: int, until: float) -> bytearray:
    data, waiter = bytearray(count), select.poll()
    waiter.register(pipe, select.POLLIN)
    left = memoryview(data)
    while left:
        if not waiter.poll(max(0, int(1000 * (until - time.monotonic())))):
            raise TimeoutError("the message is not whole")
        taken = os.readv(pipe, [left])  # what is there: a pipe that has something does not block
        if not taken:
            raise EOFError("the message is not whole")
        left = left[taken:]
    return data
