"""Which certificates a run trusts over TLS: the system's, an authority's of one's own, or any.

The making of TLS contexts belongs here, and why one does not serve; all else of connecting is the
transports' business.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 15.0
"""Seconds that one answer of a backend may take, unless told otherwise."""


class TrustError(ValueError):
    """A file holds no certificate that can be trusted; the message says why."""


@dataclass(frozen=True)
class Trust:
    """What `--ca` and `--insecure` say."""

    ca: Path | None = None
    """File of certificate authorities, PEM; None: the system's."""
    insecure: bool = False
    """True where any certificate will do."""

    def context(self) -> ssl.SSLContext:
        """Return a client's TLS context. Raises TrustError."""
        try:
            made = ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
        except (ssl.SSLError, OSError) as why:
            raise TrustError(
                f"it holds no certificate in PEM ({why.strerror or why}); give the file of the "
                "certificate authority"
            ) from why
        if self.insecure:
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        return made

    def refusal(self, host: str, port: int, timeout: float = TIMEOUT) -> str:
        """Say in words why no TLS connection to a server comes about; it is asked once more."""
        try:
            with (
                socket.create_connection((host, port), timeout) as raw,
                self.context().wrap_socket(raw, server_hostname=host),
            ):
                return "it refused a TLS connection and now takes one; run it again"
        except ssl.SSLCertVerificationError as why:
            return self._untrusted(host, why)
        except ssl.SSLError as why:
            if why.reason in _NO_TLS:
                return "it does not speak TLS there; give an http:// base URL, or its TLS port"
            return f"no TLS connection comes about ({why.reason or why}); it may be too old for us"
        except OSError as why:
            return f"it ends TLS connections before they come about ({why.strerror or why})"

    def _untrusted(self, host: str, why: ssl.SSLCertVerificationError) -> str:
        """Say in words what is wrong with a certificate."""
        if why.verify_code in _OTHER_HOST:
            return (
                f"its certificate is for another name than {host} ({why.verify_message}); "
                "give the name that stands in it in --base-url"
            )
        if why.verify_code in _OTHER_TIME:
            return f"its certificate is not valid today ({why.verify_message}); it needs a new one"
        if self.ca is not None:
            return (
                f"the authority in --ca {self.ca} did not sign its certificate "
                f"({why.verify_message}); give the one that did"
            )
        said = f"its certificate is not trusted ({why.verify_message})"
        return f"{said}; give its authority with --ca"


_OTHER_HOST, _OTHER_TIME = (62, 63, 64), (9, 10)
"""X509_V_ERR_HOSTNAME_MISMATCH and its like; X509_V_ERR_CERT_NOT_YET_VALID, …_HAS_EXPIRED."""
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL",
           "PACKET_LENGTH_TOO_LONG")  # fmt: skip
"""How OpenSSL calls an answer that is no TLS."""

SYSTEM = Trust()
"""The certificates that the system trusts."""
