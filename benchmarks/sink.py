"""A server that throws everything away: what is left of a workload's costs is the load generator's own.

python -m benchmarks.sink PORT
"""

import contextlib
import re
import socket
import sys
import threading

BUFFER_BYTES = 1024 * 1024
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
CREATED = b"HTTP/1.1 201 Created\r\nLocation: /files/sink\r\nUpload-Offset: 0\r\nContent-Length: 0\r\n\r\n"
TAKEN = b"HTTP/1.1 204 No Content\r\nUpload-Offset: 0\r\n\r\n"


def serve(connection: socket.socket) -> None:
    """Answer the requests of one connection; bodies are cut off in the kernel and never copied."""
    data, buffer = b"", bytearray(BUFFER_BYTES)
    with connection:
        while True:
            while b"\r\n\r\n" not in data:
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            found = LENGTH.search(head)
            size = int(found[1]) if found else 0
            left, data = size - len(data[:size]), data[size:]
            while left > 0:
                left -= connection.recv_into(buffer, min(left, BUFFER_BYTES), socket.MSG_TRUNC) or left
            connection.sendall(CREATED if head.startswith(b"POST") else TAKEN)


def main() -> None:
    """Serve until killed."""
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
