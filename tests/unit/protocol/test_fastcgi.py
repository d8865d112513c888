"""FastCGI records become requests; what lies, is too large, or belongs to nobody is answered or refused."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator

import pytest

from uwsgi_deploy.errors import Aside, ProtocolError
from uwsgi_deploy.protocol.fastcgi import (
    ABORT_REQUEST,
    BEGIN_REQUEST,
    CANT_MPX_CONN,
    DATA,
    END_REQUEST,
    GET_VALUES,
    GET_VALUES_RESULT,
    PARAMS,
    REQUEST_COMPLETE,
    STDIN,
    STDOUT,
    UNKNOWN_ROLE,
    UNKNOWN_TYPE,
    FastCgiCodec,
    FastCgiFacts,
    StdinDecoder,
    decode_variables,
    encode_record,
    encode_request,
    encode_stream,
    encode_variables,
    read_record,
    whole_response,
)
from uwsgi_deploy.protocol.messages import RECORDS, RequestHead

VARIABLES = {"REQUEST_METHOD": "POST", "PATH_INFO": "/caf\xe9", "CONTENT_LENGTH": "5", "HTTP_COOKIE": "c" * 200}
BEGIN = encode_record(BEGIN_REQUEST, 1, b"\0\x01\0\0\0\0\0\0")


def padded(kind: int, number: int, content: bytes, padding: int) -> bytes:
    """A record with padding, which may be anything."""
    header = bytes((1, kind, number >> 8, number & 255, len(content) >> 8, len(content) & 255, padding, 0))
    return header + content + b"\xff" * padding


@pytest.fixture
def codec() -> FastCgiCodec:
    return FastCgiCodec({"SERVER_NAME": "here"}, max_head=1000)


def decoded(codec: FastCgiCodec, data: bytes) -> RequestHead:
    head = codec.decode(data)
    assert head is not None
    return head


def kinds(data: bytes) -> list[tuple[int, int]]:
    """Type and request id of each record."""
    found, at = [], 0
    while record := read_record(data, at):
        found.append((record.kind, record.request_id))
        at = record.end
    assert at == len(data)
    return found


def test_variables_survive() -> None:
    variables = {**VARIABLES, "EMPTY": "", "L" * 127: "v" * 128, "L" * 128: "v" * 70_000}
    assert decode_variables(encode_variables(variables)) == variables


def test_request_becomes_variables(codec: FastCgiCodec) -> None:
    data = encode_request(VARIABLES, b"hello", number=7, keep=True)
    environ, consumed, body, _, facts = decoded(codec, data)
    assert (environ["PATH_INFO"], environ["SERVER_NAME"], environ["CONTENT_LENGTH"]) == ("/caf\xe9", "here", "5")
    assert (body, data[consumed:]) == (RECORDS, encode_record(STDIN, 7, b"hello") + encode_record(STDIN, 7))
    assert isinstance(facts, FastCgiFacts)
    assert (facts.request_id, facts.expected, facts.keep, facts.is_http) == (7, 5, True, False)


@pytest.mark.parametrize("variables", [{}, {"CONTENT_LENGTH": ""}, {"CONTENT_LENGTH": "0"}])
def test_request_without_a_body_ends_with_its_empty_stdin(codec: FastCgiCodec, variables: dict[str, str]) -> None:
    data = encode_request(variables)
    environ, consumed, body, _, _ = decoded(codec, data + BEGIN)
    assert (body, consumed) == (0, len(data))
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert decoded(codec, data[:-1])[2] == RECORDS


def test_body_without_a_length_is_one_whose_end_tells(codec: FastCgiCodec) -> None:
    environ, *_ = decoded(codec, encode_request({"HTTP_TRANSFER_ENCODING": "Chunked"}, b"abc"))
    assert environ["HTTP_TRANSFER_ENCODING"] == "chunked"


def test_length_beside_chunks_is_the_length(codec: FastCgiCodec) -> None:
    environ, *_ = decoded(codec, encode_request({"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "3"}, b"abc"))
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_every_prefix_of_a_head_is_incomplete(codec: FastCgiCodec) -> None:
    """Records split anywhere, with padding."""
    block = encode_variables(VARIABLES)
    head = BEGIN + padded(PARAMS, 1, block[:50], 6) + padded(PARAMS, 1, block[50:], 255) + padded(PARAMS, 1, b"", 3)
    assert all(codec.decode(head[:size]) is None for size in range(len(head)))
    assert decoded(codec, head)[0]["PATH_INFO"] == "/caf\xe9"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n", 400),
        (b"\x02", 400),
        (encode_record(BEGIN_REQUEST, 1, b"\0\x01"), 400),
        (encode_record(BEGIN_REQUEST, 0, b"\0\x01\0\0\0\0\0\0"), 400),
        (BEGIN + encode_record(STDIN, 1, b"early"), 400),
        (BEGIN + BEGIN, 400),
        (BEGIN + encode_record(PARAMS, 1, b"\x05\x05short") + encode_record(PARAMS, 1), 400),
        (BEGIN + encode_record(PARAMS, 1, b"\x80\x00") + encode_record(PARAMS, 1), 400),
        (BEGIN + encode_record(PARAMS, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff") + encode_record(PARAMS, 1), 400),
        (BEGIN + encode_record(PARAMS, 1, b"\x00\x01v") + encode_record(PARAMS, 1), 400),
        (encode_request({"CONTENT_LENGTH": "5x"}), 400),
        (BEGIN + encode_record(PARAMS, 1, b"x" * 1001)[:8], 431),
        (BEGIN + b"\x34" + encode_record(PARAMS, 1, b"x" * 1001)[1:8], 400),
        (BEGIN + encode_record(PARAMS, 1, b"\x01\x00A") * 300, 431),
        (BEGIN + 2 * encode_record(PARAMS, 1, encode_variables({"A": "b" * 600})), 431),
    ],
)
def test_refused(codec: FastCgiCodec, data: bytes, status: int) -> None:
    with pytest.raises(ProtocolError) as error:
        codec.decode(data)
    assert error.value.status == status


def test_two_lengths_are_refused(codec: FastCgiCodec) -> None:
    block = encode_variables({"CONTENT_LENGTH": "5"}) + encode_variables({"CONTENT_LENGTH": "6"})
    with pytest.raises(ProtocolError, match="two different"):
        codec.decode(BEGIN + encode_record(PARAMS, 1, block) + encode_record(PARAMS, 1))


def aside(codec: FastCgiCodec, data: bytes) -> Aside:
    with pytest.raises(Aside) as raised:
        codec.decode(data)
    return raised.value


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("role", [2, 3, 99])
def test_other_roles_are_unknown(codec: FastCgiCodec, role: int, keep: bool) -> None:
    """The rest of the request is left out when the connection goes on."""
    answer = aside(codec, encode_request({}, number=3, role=role, keep=keep))
    assert kinds(answer.reply) == [(END_REQUEST, 3)]
    assert answer.reply[12] == UNKNOWN_ROLE
    assert answer.goes_on is keep
    rest = aside(codec, answer.rest)
    assert (rest.reply, rest.rest, rest.goes_on) == (b"", b"", True)


def test_values_are_told(codec: FastCgiCodec) -> None:
    asked = encode_variables({"FCGI_MPXS_CONNS": "", "FCGI_MAX_REQS": "", "NO": ""})
    answer = aside(codec, padded(GET_VALUES, 0, asked, 5) + BEGIN)
    record = read_record(answer.reply, 0)
    assert record is not None
    assert (record.kind, decode_variables(record.content)) == (GET_VALUES_RESULT, {"FCGI_MPXS_CONNS": "0"})
    assert (answer.rest, answer.goes_on) == (BEGIN, True)


def test_unknown_types_are_told(codec: FastCgiCodec) -> None:
    answer = aside(codec, encode_record(77, 0, b"what"))
    assert kinds(answer.reply) == [(UNKNOWN_TYPE, 0)]
    assert answer.reply[8] == 77


def test_values_are_told_inside_a_head(codec: FastCgiCodec) -> None:
    head = encode_request(VARIABLES, b"hello")
    middle = len(BEGIN)
    answer = aside(codec, head[:middle] + encode_record(GET_VALUES, 0) + head[middle:])
    assert kinds(answer.reply) == [(GET_VALUES_RESULT, 0)]
    assert answer.rest == head


def test_second_request_at_the_same_time_is_refused(codec: FastCgiCodec) -> None:
    """And what belongs to it is left out, so that the first one is served."""
    second = encode_request({"A": "b"}, b"body", number=2)
    first = encode_request(VARIABLES, b"hello", number=1)
    data = first[: len(BEGIN)] + second + first[len(BEGIN) :]
    answer = aside(codec, data)
    assert (kinds(answer.reply), answer.reply[12]) == ([(END_REQUEST, 2)], CANT_MPX_CONN)
    rest = answer.rest
    while rest != first:
        rest = aside(codec, rest).rest
    assert decoded(codec, rest)[2] == RECORDS


def test_aborted_head(codec: FastCgiCodec) -> None:
    answer = aside(codec, BEGIN + encode_record(PARAMS, 1, b"\x01\x01AB") + encode_record(ABORT_REQUEST, 1))
    assert (kinds(answer.reply), answer.reply[12]) == ([(END_REQUEST, 1)], REQUEST_COMPLETE)
    assert answer.goes_on is False


def test_records_of_what_is_over_are_left_out(codec: FastCgiCodec) -> None:
    stray = encode_record(ABORT_REQUEST, 1) + encode_record(STDIN, 4, b"x") + encode_record(DATA, 4)
    request = encode_request({})
    _, consumed, *_ = decoded(codec, stray + request)
    assert consumed == len(stray + request)
    assert aside(codec, stray).rest == b""


# --- the body ---------------------------------------------------------------------------------------------------------


def body_records() -> bytes:
    """Five bytes in three records, with padding, others' records, and management."""
    return b"".join(
        (
            padded(STDIN, 1, b"he", 6),
            encode_record(GET_VALUES, 0, encode_variables({"FCGI_MPXS_CONNS": ""})),
            encode_record(STDIN, 9, b"stray"),
            padded(DATA, 1, b"data", 1),
            encode_record(STDIN, 1, b"l"),
            encode_request({"A": "b"}, b"body", number=2),
            encode_record(STDIN, 1, b"lo"),
            padded(STDIN, 1, b"", 9),
        )
    )


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_body(step: int) -> None:
    decoder = StdinDecoder(1, 5)
    data = body_records() + BEGIN
    content = b""
    for at in range(0, len(data), step):
        if decoder.done:
            break
        content += b"".join(decoder.feed(data[at : at + step]))
    assert (content, decoder.done) == (b"hello", True)
    assert BEGIN.startswith(decoder.rest)
    assert kinds(decoder.replies) == [(GET_VALUES_RESULT, 0), (END_REQUEST, 2)]


@pytest.mark.parametrize(
    "data",
    [
        encode_record(STDIN, 1, b"toolong"),
        encode_record(STDIN, 1, b"few") + encode_record(STDIN, 1),
        encode_record(ABORT_REQUEST, 1),
        encode_record(PARAMS, 1),
        BEGIN,
        b"HTTP",
        encode_record(GET_VALUES, 0, encode_variables({"FCGI_MPXS_CONNS": ""})) * 300,
    ],
    ids=["more", "fewer", "abort", "params", "begin", "noise", "flood"],
)
def test_body_that_lies(data: bytes) -> None:
    with pytest.raises(ProtocolError) as error:
        StdinDecoder(1, 5).feed(data)
    assert error.value.status == 400


def test_body_without_a_length() -> None:
    decoder = StdinDecoder(1, -1)
    assert b"".join(decoder.feed(encode_stream(STDIN, 1, b"x" * 200_000) + encode_record(STDIN, 1))) == b"x" * 200_000
    assert decoder.done


# --- noise ------------------------------------------------------------------------------------------------------------


def outcome(codec: FastCgiCodec, data: bytes) -> tuple[object, ...] | None:
    """What becomes of this input: nothing yet, a refusal, or a head and its body, after all asides."""
    replies = b""
    while True:
        try:
            head = codec.decode(data)
        except Aside as found:
            replies, data = replies + found.reply, found.rest
            if not found.goes_on:
                return ("aside", replies)
            if not data:
                return None
        except ProtocolError as error:
            return ("refused", error.status)
        else:
            return None if head is None else ("head", head[0], head[2], replies)


def noisy() -> Iterator[bytes]:
    source = random.Random(11)
    whole = encode_record(GET_VALUES, 0) + encode_request({"REQUEST_METHOD": "GET", "A": "b" * 150, "PATH_INFO": "/"})
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.choice((0, 1, 5, 255, source.randrange(256)))
        yield bytes(data)


def test_noise_is_refused_or_waited_for(codec: FastCgiCodec) -> None:
    """Nothing but the two exceptions comes of it, and it ends."""
    seen = {found[0] if (found := outcome(codec, data)) else None for data in noisy()}
    assert seen == {None, "refused", "head", "aside"}


def test_whole_and_byte_by_byte_agree(codec: FastCgiCodec) -> None:
    for data in noisy():
        found = next((found for size in range(1, len(data) + 1) if (found := outcome(codec, data[:size]))), None)
        whole = outcome(codec, data)
        if whole is not None and whole[0] == "head":  # whether an empty STDIN follows is not known before it has come
            assert found is not None
            assert found[:2] == whole[:2] or found[1].keys() - whole[1].keys() == {"HTTP_TRANSFER_ENCODING"}  # type: ignore[attr-defined]
        else:
            assert found == whole


def test_whole_response() -> None:
    response = whole_response(b"HTTP/1.1 504 Gateway Timeout\r\n\r\nlate", 5)
    assert kinds(response) == [(STDOUT, 5), (STDOUT, 5), (END_REQUEST, 5)]
    assert response[8:].startswith(b"Status: 504 Gateway Timeout\r\n\r\nlate")


def test_servers_without_such_sockets_load_none_of_it() -> None:
    code = (
        "import sys, uwsgi_deploy.worker.worker, uwsgi_deploy.worker.template, uwsgi_deploy.master.boot\n"
        "print([name for name in sys.modules if 'cgi' in name and name.startswith('uwsgi_deploy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
