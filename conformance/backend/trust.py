"""Which certificates a run trusts over TLS: the system's, an authority's of one's own, or any.

Only the making of TLS contexts belongs here; who connects is the transports' business.
"""

from __future__ import annotations

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


SYSTEM = Trust()
"""The certificates that the system trusts."""
