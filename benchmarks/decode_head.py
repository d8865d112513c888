"""What decoding a request head costs, by how much of it was seen before.

    python benchmarks/decode_head.py [--requests 5000]

Decoding is remembered per request line, header line and block of header lines (`uwsgi_deploy.protocol.http1`). Load
generators send one request again and again; this shows what clients cost that do not. Microseconds of processor time
per request, the least of five rounds.
"""

from __future__ import annotations

import argparse
import time

from uwsgi_deploy.protocol.http1 import Http1Codec

HEAD = """\
GET {path} HTTP/1.1
Host: 127.0.0.1:8000
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36{new}
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8{new}
Accept-Encoding: gzip, deflate, br{new}
Accept-Language: en-US,en;q=0.9{new}
Cookie: csrftoken=abcdefghijklmnopqrstuvwxyz0123456789; sessionid=0123456789abcdefghijklmnop{cookie}
Upgrade-Insecure-Requests: 1{new}
Sec-Fetch-Dest: document{new}
Sec-Fetch-Mode: navigate{new}

"""


def head(*, path: str = "/", cookie: str = "", new: str = "") -> bytes:
    return HEAD.format(path=path, cookie=cookie, new=new).replace("\n", "\r\n").encode()


def cost(requests: list[bytes]) -> float:
    rounds = []
    for _ in range(5):
        codec = Http1Codec({}, max_head=65536, max_line=16384, max_fields=256)
        began = time.process_time()
        for request in requests:
            codec.decode(request)
        rounds.append(time.process_time() - began)
    return min(rounds) / len(requests) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    count = parser.parse_args().requests
    numbers = [str(number) for number in range(count)]
    print(f"the same request again       {cost([head()] * count):6.1f} us")
    print(f"a new path each time         {cost([head(path='/' + n) for n in numbers]):6.1f} us")
    print(f"a new path and cookie        {cost([head(path='/' + n, cookie=n) for n in numbers]):6.1f} us")
    print(f"every line but Host is new   {cost([head(path='/' + n, cookie=n, new=n) for n in numbers]):6.1f} us")


if __name__ == "__main__":
    main()
