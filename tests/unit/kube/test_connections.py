"""A session that is closed leaves nothing behind, whatever the server does."""

import socket
import ssl
import threading
import time

import aiohttp
import pytest

from vmferry_kube import connections
from vmferry_kube.connections import ClosingConnector
from vmferry_lab.controlplane.certificates import Authority

PATIENCE = 60.0
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n.\r\n"
"""It goes on for ever."""


@pytest.fixture
def authority(tmp_path):
    """Whom both sides trust."""
    return Authority(tmp_path)


@pytest.fixture
def streams(authority):
    """Serves one stream by TLS; ends TLS, after so many seconds, when its client does, or never."""
    over = threading.Event()
    threads = []
    listener = socket.create_server(("127.0.0.1", 0))
    own = authority.for_host("server", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)

    def serve(answers_after):
        with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(65536)
            connection.sendall(STREAM)
            if answers_after is None:
                over.wait(PATIENCE)
                return
            assert connection.recv(1) == b"", "the client's end of TLS"
            time.sleep(answers_after)
            connection.unwrap()

    def start(answers_after):
        threads.append(threading.Thread(target=serve, args=(answers_after,)))
        threads[-1].start()
        return f"https://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    over.set()
    for each in threads:
        each.join(PATIENCE)
    listener.close()


async def closed_session(authority, url):
    """The socket of a stream, and the seconds that it took to close the session after kopf's manner."""
    tls = ssl.create_default_context(cafile=authority.files.certificate)
    session = aiohttp.ClientSession(connector=ClosingConnector(tls))
    response = await session.get(url)
    own = response.connection.transport.get_extra_info("socket")
    response.close()
    began = time.monotonic()
    await session.close()
    return own, time.monotonic() - began


async def test_a_stream_that_was_closed_before_its_session_is_waited_for(authority, streams):
    own, took = await closed_session(authority, streams(answers_after=0.3))
    assert own.fileno() == -1
    assert took >= 0.3


async def test_a_server_that_never_ends_tls_is_not_waited_for_long(authority, streams, monkeypatch):
    monkeypatch.setattr(connections, "GRACE", 0.2)
    own, took = await closed_session(authority, streams(answers_after=None))
    assert own.fileno() == -1
    assert took < 20
