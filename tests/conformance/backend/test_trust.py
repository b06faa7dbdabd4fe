"""Why no TLS connection comes about, in true words, whatever the options were."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conformance.backend.trust import Trust
from conformance.reference.backend.server import Embedded
from tests.foreign import servers

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not there")


def named(folder: Path, *words: str) -> Path:
    """Make a key and a self-signed certificate; return the certificate's file."""
    made = folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-subj", "/CN=x", "-addext", "basicConstraints=critical,CA:TRUE",
         "-keyout", str(folder / "key.pem"), "-out", str(made), *words],
        check=True, capture_output=True,
    )  # fmt: skip
    return made


@contextmanager
def listening(certificate: Path) -> Iterator[int]:
    """Serve a certificate; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with servers.Proxy(("127.0.0.1", 9), tls=context) as proxy:
        yield proxy.port


@pytest.mark.parametrize(
    ("words", "mine", "told"),
    [
        (["-days", "2", "-addext", "subjectAltName=DNS:api.example"], True, "for another name"),
        (["-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"], False, "did not sign"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told(
    tmp_path: Path, words: list[str], mine: bool, told: str
) -> None:
    """Another name, another day, another authority: each is told, and --ca is no remedy for all."""
    certificate = named(tmp_path, *words)
    (tmp_path / "other").mkdir()
    authority = certificate if mine else named(tmp_path / "other", "-days", "2")
    with listening(certificate) as port:
        said = Trust(ca=authority).refusal("127.0.0.1", port)
        assert told in said
        assert "give its authority with --ca" not in said
        assert "give its authority with --ca" in Trust().refusal("127.0.0.1", port) or mine


def test_a_certificate_of_another_day_is_called_that() -> None:
    """An expired certificate needs no authority but a new certificate."""
    why = ssl.SSLCertVerificationError("x")
    why.verify_code, why.verify_message = 10, "certificate has expired"
    assert "not valid today (certificate has expired)" in Trust()._untrusted("here", why)


def test_plain_http_behind_https_is_called_that() -> None:
    """A port that speaks no TLS is no matter of certificates."""
    with Embedded(["a-key-of-one", "a-key-of-two"]) as backend:
        port = int(backend.url.rpartition(":")[2])
        assert "does not speak TLS" in Trust().refusal("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert "refused" in Trust().refusal("127.0.0.1", port).lower()
