"""One request: to the checked address, with the name in TLS, within bounds, whatever the receiver does."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from app.kit.clock import SystemClock
from app.webhooks.kept_connections import KeptConnections
from app.webhooks.name_lookup import NameLookup, resolve
from app.webhooks.posting import Posting
from tests.integration.webhooks.receiver import answer, drip, drip_headers, flood, hang, running_receiver
from tests.unit.webhooks.test_public_addresses import REFUSED

PUBLIC = "203.0.112.7"
"""Allowed, and never connected to: the dialer of these tests leads every connection to loopback."""


class RecordingDialer:
    """Records what it is asked to connect to, and connects to this machine instead."""

    def __init__(self, *, port: int = 0, peer: str | None = None) -> None:
        self.dialled: list[tuple[str, int]] = []
        self._port = port
        self._peer = peer

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None) -> httpcore.AsyncNetworkStream:
        self.dialled.append((host, port))
        stream = await httpcore.AnyIOBackend().connect_tcp("127.0.0.1", self._port or port, timeout=timeout)
        return _Renamed(stream, peer=self._peer or host)


class _Renamed(httpcore.AsyncNetworkStream):
    """A stream whose other side claims an address."""

    def __init__(self, stream: httpcore.AsyncNetworkStream, *, peer: str) -> None:
        self._stream = stream
        self._peer = peer
        self.read, self.write, self.aclose = stream.read, stream.write, stream.aclose  # type: ignore[method-assign]
        self.start_tls = stream.start_tls  # type: ignore[method-assign]

    def get_extra_info(self, info: str) -> Any:
        return (self._peer, 443) if info == "server_addr" else self._stream.get_extra_info(info)


class Names:
    """A name server: by name, the addresses of each lookup; the last one stays."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        answers = self._answers.get(host, [[host]])
        return answers.pop(0) if len(answers) > 1 else answers[0]


def posting(
    dialer: Any = None, *, names: Any = resolve, tls: ssl.SSLContext | None = None, allow_loopback: bool = True
) -> Posting:
    return Posting(
        names=NameLookup(names),
        dialer=dialer or httpcore.AnyIOBackend(),
        tls=tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        clock=SystemClock(),
        kept=KeptConnections(SystemClock()),
        allow_loopback=allow_loopback,
    )


async def send(one: Posting, url: str, *, total_s: float = 15.0) -> Any:
    return await one.send(url, headers={"webhook-id": "msg_1"}, body=b'{"a":1}', total_s=total_s)


async def test_a_request_arrives_as_it_was_given() -> None:
    """Method, body and headers; the answer has status, address and the beginning of the body."""
    async with running_receiver() as receiver:
        found = await send(posting(), receiver.url("/hook?x=1"))
    assert (found.http_status, found.address, found.error, found.body) == (200, "127.0.0.1", None, "ok")
    (request,) = receiver.requests
    assert (request.method, request.path, request.body) == ("POST", "/hook?x=1", b'{"a":1}')
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert "cookie" not in request.headers


@pytest.mark.parametrize("address", [one for one in REFUSED if one])
async def test_nothing_is_dialled_where_an_address_is_refused(address: str) -> None:
    """As the only answer for a name, and among good ones in either place."""
    dialer = RecordingDialer()
    for answers in ([address], [PUBLIC, address], [address, PUBLIC]):
        one = posting(dialer, names=Names(hook_example=[answers]), allow_loopback=False)
        found = await send(one, "https://hook.example/")
        assert found.error == "address_refused"
        assert address in found.body
    assert dialer.dialled == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "127.0.0.1"])
async def test_another_way_to_write_loopback_leads_nowhere(host: str) -> None:
    """The system's own resolver knows them all; the address decides."""
    dialer = RecordingDialer()
    found = await send(posting(dialer, allow_loopback=False), f"https://{host}/")
    assert found.error in {"address_refused", "url_refused", "name_not_found"}
    assert dialer.dialled == []


async def test_a_name_that_is_bound_anew_between_check_and_connection_changes_nothing() -> None:
    """It is resolved once, and the literal address that was checked is dialled."""
    names, dialer = Names(hook_example=[[PUBLIC], ["127.0.0.1"]]), RecordingDialer(port=1)
    found = await send(posting(dialer, names=names, allow_loopback=False), "https://hook.example/")
    assert found.error == "connect"
    assert (dialer.dialled, names.asked) == ([(PUBLIC, 443)], ["hook.example"])
    again = await send(posting(dialer, names=names, allow_loopback=False), "https://hook.example/")
    assert again.error == "address_refused"
    assert len(dialer.dialled) == 1


async def test_the_switch_for_loopback_opens_no_way_around_it() -> None:
    """A name that the switch allows must lead to this machine; a public name must not."""
    dialer = RecordingDialer()
    there = await send(posting(dialer, names=Names(localhost=[["10.0.0.1"]])), "http://localhost:8080/")
    here = await send(posting(dialer, names=Names(hook_example=[["127.0.0.1"]])), "https://hook.example/")
    assert (there.error, here.error, dialer.dialled) == ("address_refused", "address_refused", [])


async def test_a_connection_that_ends_at_another_address_is_not_used() -> None:
    """Where something on the way redirects it: nothing is written."""
    async with running_receiver() as receiver:
        dialer = RecordingDialer(port=receiver.port, peer="10.1.2.3")
        found = await send(posting(dialer, names=Names(hook_example=[[PUBLIC]])), "https://hook.example/")
    assert (found.error, receiver.requests) == ("address_refused", [])
    assert "10.1.2.3" in found.body


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_is_not_followed(status: int) -> None:
    """Wherever it leads: to the metadata of a cloud, or to the receiver itself."""
    async with running_receiver() as receiver:
        for where in ("http://169.254.169.254/latest/meta-data", receiver.url("/elsewhere")):
            receiver.behaviour = answer(status, headers=f"Location: {where}\r\n")
            found = await send(posting(), receiver.url())
            assert (found.http_status, found.error) == (status, "http_status")
    assert [one.path for one in receiver.requests] == ["/hook", "/hook"]


@pytest.mark.parametrize("behaviour", [drip, drip_headers, hang])
async def test_no_answer_takes_longer_than_its_bound(behaviour: Any) -> None:
    """A byte now and then makes each read short; the bound is on the whole."""
    async with running_receiver() as receiver:
        receiver.behaviour = behaviour
        begun = time.monotonic()
        found = await send(posting(), receiver.url(), total_s=0.6)
    assert found.error == "timeout"
    assert time.monotonic() - begun < 2.0


async def test_little_of_a_long_answer_is_read() -> None:
    """Four KiB of ten megabytes, and one is kept; the status counts."""
    async with running_receiver() as receiver:
        receiver.behaviour = flood
        found = await send(posting(), receiver.url())
    assert (found.http_status, found.error, found.body) == (200, None, "y" * 1024)


@pytest.mark.parametrize(
    "headers", ["".join(f"X-{n}: y\r\n" for n in range(70)), "X: " + "y" * 20_000 + "\r\n"], ids=["many", "long"]
)
async def test_an_answer_with_too_many_headers_is_a_failure(headers: str) -> None:
    """Sixty-four, and sixteen KiB."""
    async with running_receiver() as receiver:
        receiver.behaviour = answer(200, headers=headers)
        found = await send(posting(), receiver.url())
    assert found.error == "too_large"


async def test_an_answer_that_is_no_http_is_a_failure() -> None:
    """And so is none at all: no port, no name, a closed connection."""
    async with running_receiver() as receiver:

        async def garbage(writer: Any) -> None:
            writer.write(b"220 mail.example ESMTP\r\n\r\n")

        async def nothing(writer: Any) -> None:
            writer.close()

        receiver.behaviour = garbage
        assert (await send(posting(), receiver.url())).error == "protocol"
        receiver.behaviour = nothing
        assert (await send(posting(), receiver.url())).error in {"protocol", "connection_lost"}
        port = receiver.port

    def no_name(host: str) -> Sequence[str]:
        raise OSError("unknown")

    assert (await send(posting(), f"http://127.0.0.1:{port}/")).error == "connect"
    assert (await send(posting(names=no_name), "https://hook.example/")).error == "name_not_found"
    assert (await send(posting(allow_loopback=False), f"http://127.0.0.1:{port}/")).error == "url_refused"


async def test_an_error_that_no_rule_expects_is_a_failed_delivery() -> None:
    """It ends neither the loop that delivers nor the service."""

    class Broken:
        async def connect_tcp(self, host: str, port: int, timeout: float | None = None) -> httpcore.AsyncNetworkStream:
            raise RuntimeError("broken")

    assert (await send(posting(Broken()), "http://127.0.0.1:9/")).error == "unexpected"


async def test_a_name_server_that_hangs_delays_its_own_name_alone() -> None:
    """Requests for its name share one lookup, in a thread that no other name needs."""
    asked = []

    def slow(host: str) -> Sequence[str]:
        asked.append(host)
        if host == "slow.example":
            time.sleep(0.5)
        return [PUBLIC]

    names = NameLookup(slow)
    begun = time.monotonic()
    waiting = [asyncio.create_task(names.addresses("slow.example")) for _ in range(50)]
    await asyncio.sleep(0)
    assert await names.addresses("fast.example") == [PUBLIC]
    assert time.monotonic() - begun < 0.4
    assert await asyncio.gather(*waiting) == [[PUBLIC]] * 50
    assert asked.count("slow.example") == 1


async def test_the_retry_after_of_the_receiver_is_read() -> None:
    """In seconds; what is no number is ignored."""
    async with running_receiver() as receiver:
        receiver.behaviour = answer(503, headers="Retry-After: 17\r\n")
        assert (await send(posting(), receiver.url())).retry_after_s == 17.0
        receiver.behaviour = answer(503, headers="Retry-After: tomorrow\r\n")
        assert (await send(posting(), receiver.url())).retry_after_s is None


async def test_the_certificate_must_be_of_the_name_although_an_address_is_dialled(tmp_path: Path) -> None:
    """The name goes in the TLS handshake; another name's certificate is refused before anything is sent."""
    authority = Authority()
    seen: list[str | None] = []
    server = authority.server_context(tmp_path, "hook.example")
    server.sni_callback = lambda sock, name, context: seen.append(name)
    client = authority.client_context()
    names = Names(hook_example=[[PUBLIC]], other_example=[[PUBLIC]])
    async with running_receiver(tls=server) as receiver:
        one = posting(RecordingDialer(port=receiver.port), names=names, tls=client)
        good = await send(one, "https://hook.example:8443/")
        bad = await send(one, "https://other.example/")
        unknown = await send(
            posting(RecordingDialer(port=receiver.port), names=names),
            "https://hook.example/",
        )
    assert (good.http_status, good.address) == (200, PUBLIC)
    assert (bad.error, unknown.error) == ("tls", "tls")
    assert seen == ["hook.example", "other.example", "hook.example"]
    assert [one.headers["host"] for one in receiver.requests] == ["hook.example:8443"]


class Authority:
    """Signs certificates for a test."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        self._certificate = self._sign(
            self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=0)
        )

    def client_context(self) -> ssl.SSLContext:
        pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def server_context(self, directory: Path, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
        certificate = self._sign(name, key.public_key(), x509.SubjectAlternativeName([x509.DNSName(host)]))
        path = directory / "server.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _sign(self, name: x509.Name, key: Any, extension: x509.ExtensionType) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(extension, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def test_the_public_address_of_these_tests_is_one() -> None:
    """Else the tests above would prove nothing."""
    assert ip_address(PUBLIC).is_global
