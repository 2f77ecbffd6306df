"""A secret key in, pseudonyms out: patients, UIDs and shifts of date that nobody can undo or link without the key.

Everything is HMAC-SHA-256 of a purpose and the value, so that the same patient gets the same pseudonym and the same
shift in every file and on every day, without a table of names that could be lost.
"""

import base64
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from shared.errors import ConfigError

_BYTES = 32
_LEAST_DAYS, _SPAN_DAYS = 30, 3650
"""Dates move back by a month to ten years, so that none lies in the future."""


@dataclass(frozen=True)
class Key:
    """The secret of one project or site; never printed.

    Attributes:
        secret: 32 random bytes.
    """

    secret: bytes = field(repr=False)

    def digest(self, purpose: str, *parts: str) -> bytes:
        """32 bytes that depend on the key, the purpose and each part."""
        text = b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in (purpose, *parts))
        return hmac.new(self.secret, text, hashlib.sha256).digest()


def load_key(path: Path) -> Key:
    """Read the key file, or make it on first use, readable by its owner alone.

    Keep it apart from the de-identified files: with both, and the originals' identifiers, pseudonyms can be linked.

    Raises:
        ConfigError: It cannot be read or made, others may read it, or it does not hold a key.
    """
    try:
        if not path.exists():
            _make(path)
        # Opened once, so that what is checked is what is read.
        with path.open("rb") as stream:
            mode, content = os.fstat(stream.fileno()).st_mode, stream.read(4096)
    except OSError as error:
        raise ConfigError(f"key file {path}: cannot be read or made ({error.strerror}); check the folder") from error
    if os.name == "posix" and mode & 0o077:
        raise ConfigError(
            f"key file {path}: its mode is {mode & 0o777:o}, allowed is 600; run chmod 600 on it, and think about "
            "who may have read it"
        )
    try:
        secret = bytes.fromhex(content.decode("ascii").strip())
    except (ValueError, UnicodeDecodeError):
        secret = b""
    if len(secret) != _BYTES:
        raise ConfigError(f"key file {path}: does not hold {2 * _BYTES} hexadecimal digits; name the right file")
    return Key(secret)


def _make(path: Path) -> None:
    """Written whole under another name and then linked: two first uses at once end with one key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        temporary.unlink(missing_ok=True)


def uid(key: Key, original: str) -> str:
    """The UID that stands for another: ``2.25.`` and a UUID of version 8 (RFC 9562) as a decimal number (X.667)."""
    raw = bytearray(key.digest("uid", original.strip(" \0"))[:16])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return f"2.25.{UUID(bytes=bytes(raw)).int}"


def patient(key: Key, patient_id: str, issuer: str = "") -> str:
    """The pseudonym of a patient, 14 characters."""
    return "P" + _letters(key.digest("patient", patient_id.strip(), issuer.strip()), 13)


def opaque(key: Key, purpose: str, text: str) -> str:
    """A name for anything else that must stay the same between files, 16 characters."""
    return _letters(key.digest(purpose, text.strip()), 16)


def days(key: Key, patient_id: str, issuer: str = "") -> int:
    """How far the dates of one patient move, in days; always back."""
    number = int.from_bytes(key.digest("days", patient_id.strip(), issuer.strip())[:8], "big")
    return -(_LEAST_DAYS + number % _SPAN_DAYS)


def _letters(digest: bytes, length: int) -> str:
    return base64.b32encode(digest).decode()[:length]
