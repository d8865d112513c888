"""A WSGI application without a framework: about 2,000 small blocks, each yielded on its own and without a length.

Many servers send each block in its own packet. PEP 3333 allows joining blocks as long as none is held back, and that is
what happens here: the first block leaves at once, those that follow quickly travel together.
"""

BLOCKS = 2000


def application(environ, start_response):
    """Count to BLOCKS, a line per block."""
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
        return []
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return count()


def count():
    for number in range(1, BLOCKS + 1):
        yield b"block %d\n" % number
