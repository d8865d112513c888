"""Many listeners at once: `python crowd.py 2000 http://127.0.0.1:8000` joins the room, says something, and tells how
long it took until everybody had heard it. Standard library only.
"""

import asyncio
import json
import resource
import sys
import time
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

AT_ONCE = 200  # connections that are being opened; more would only wait in the server's queue


async def listen(host, port, opening, joined, text):
    """One listener: joins, and returns when it has heard the message with this text."""
    async with opening:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(f"GET /events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        await reader.readuntil(b"retry: 1000\n\n")
    joined.release()
    await reader.readuntil(text.encode())
    heard = time.monotonic()
    writer.close()
    return heard


def say(url, text):
    """Post a message; what the server answers."""
    body = json.dumps({"name": "crowd", "text": text}).encode()
    with urlopen(Request(f"{url}/messages", body, {"Content-Type": "application/json"}), timeout=60) as answer:
        return json.load(answer)


async def main(count, url):
    """Join, say, count."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    where = urlsplit(url)
    text = f"hello {count}, it is {time.time()}"
    opening, joined = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(0)
    started = time.monotonic()
    crowd = [asyncio.create_task(listen(where.hostname, where.port or 80, opening, joined, text)) for _ in range(count)]
    for _ in crowd:
        await joined.acquire()
    print(f"{count} listeners joined within {time.monotonic() - started:.1f} s")
    said = time.monotonic()
    answer = await asyncio.to_thread(say, url, text)
    heard = sorted(await asyncio.gather(*crowd))
    print(f"{len(heard)} of {answer['listeners']} heard it; the last one after {(heard[-1] - said) * 1000:.0f} ms")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2].rstrip("/")))
