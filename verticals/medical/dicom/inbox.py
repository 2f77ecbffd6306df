"""A DICOM storage provider (C-STORE and C-ECHO SCP): objects from the network in, whole files in a folder out.

What is accepted is settled at negotiation: the SOP classes of photographs of the skin, in every transfer syntax. Any
other class (CT, SR, ECG ...) is refused there with result 3, abstract syntax not supported, and not received and put
aside: so the sender knows which objects it must send elsewhere, its images in the same association still go through,
and nothing is acknowledged that nobody would look at. That is what a PACS expects of a conformance statement.

Statuses (PS3.4 B.2.3): 0000 stored, or put in quarantine beside a different object of the same UID; A700 the disk
refuses; A900 the data set is not what the command says; C000 it cannot be parsed. Nothing but 0000 means it is kept.
An association that sends a larger object than allowed is aborted.
"""

import ipaddress
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import ConfigError, DataError, require
from verticals.medical.dicom import keep

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.events import Event

SOP_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.77.1.4": "VL Photographic Image Storage",
    "1.2.840.10008.5.1.4.1.1.77.1.4.1": "Video Photographic Image Storage",
    "1.2.840.10008.5.1.4.1.1.77.1.7": "Dermoscopic Photography Image Storage",
    "1.2.840.10008.5.1.4.1.1.7": "Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.1": "Multi-frame Single Bit Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.2": "Multi-frame Grayscale Byte Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.3": "Multi-frame Grayscale Word Secondary Capture Image Storage",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture Image Storage",
}
MAX_BYTES = 2**29
"""Largest object that is received, 512 MiB: each is held in memory until it is on disk."""
_ASSOCIATIONS = 32
_STORED, _NO_RESOURCES, _MISMATCH, _NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000

log = logging.getLogger(__name__)


@contextmanager
def listening(
    folder: Path,
    port: int,
    ae_title: str,
    *,
    allowed: Collection[str] | None,
    host: str = "127.0.0.1",
    max_bytes: int = MAX_BYTES,
) -> Iterator[int]:
    """Receive into a folder while the block runs.

    One server per folder. An AE title is a name and no proof: beyond this machine, put the inbox behind a firewall or
    a TLS tunnel.

    Args:
        folder: Of the inbox; made where it is missing.
        port: TCP port, 0 for any that is free.
        ae_title: Ours; a sender that calls another title is refused. At most 16 characters.
        allowed: AE titles that may send; None for anyone, which is only allowed on this machine's own address.
        host: Address to listen at.
        max_bytes: Largest object that is received.

    Yields:
        The port.

    Raises:
        ConfigError: The port is taken or no port, a title is not one, or anyone might send from elsewhere.
    """
    ae = _entity(ae_title, allowed, host)
    keep.prepare(folder)
    events = require("pynetdicom", extra="medical").evt
    sizes = _Sizes(max_bytes)
    handlers: list[Any] = [
        (events.EVT_C_STORE, _store, [folder, sizes]),
        (events.EVT_C_ECHO, lambda event: _STORED),
        (events.EVT_DATA_RECV, sizes.count),
        (events.EVT_CONN_CLOSE, sizes.forget),
    ]
    try:
        server = ae.start_server((host, port), block=False, evt_handlers=handlers)
    except (OSError, OverflowError) as error:  # taken or forbidden; no port at all
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"{host}:{port}: cannot listen there ({why}); choose another port") from error
    assert server is not None
    number = int(server.server_address[1])
    log.info("inbox %s listens at %s:%d", ae_title, host, number)
    try:
        yield number
    finally:
        ae.shutdown()
        log.info("inbox %s has stopped", ae_title)


class _Sizes:
    """Bytes that each association has sent since its last whole object."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._sent: dict[Any, int] = {}
        self._aborted: set[Any] = set()

    def count(self, event: "Event") -> None:
        sent = self._sent[event.assoc] = self._sent.get(event.assoc, 0) + len(event.data)
        if sent > self.limit and event.assoc not in self._aborted:
            self._aborted.add(event.assoc)
            log.warning("an object of more than %d bytes; its association is aborted", self.limit)
            event.assoc.abort(block=False)

    def start_again(self, event: "Event") -> None:
        self._sent[event.assoc] = 0

    def forget(self, event: "Event") -> None:
        self._sent.pop(event.assoc, None)
        self._aborted.discard(event.assoc)


def _entity(ae_title: str, allowed: Collection[str] | None, host: str) -> "ApplicationEntity":
    pynetdicom = require("pynetdicom", extra="medical")
    for title in (ae_title, *(allowed or ())):
        if not 1 <= len(title.strip()) <= 16 or not title.isascii() or "\\" in title or not title.isprintable():
            raise ConfigError(f"AE title {title!r}: allowed are 1 to 16 printable ASCII characters without backslash")
    if allowed is None and not _is_loopback(host):
        raise ConfigError(f"inbox at {host}: anyone on the network could send; name the AE titles that are allowed")
    if allowed is not None and not allowed:
        raise ConfigError("the list of AE titles that may send is empty; name at least one")
    ae: ApplicationEntity = pynetdicom.AE(ae_title=ae_title)
    ae.maximum_associations = _ASSOCIATIONS
    ae.require_called_aet = True
    if allowed is not None:
        ae.require_calling_aet = list(allowed)
    for sop_class in SOP_CLASSES:
        ae.add_supported_context(sop_class, pynetdicom.ALL_TRANSFER_SYNTAXES)
    ae.add_supported_context("1.2.840.10008.1.1")
    return ae


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _store(event: "Event", folder: Path, sizes: _Sizes) -> int:
    """Answer one C-STORE request; the answer is given after the object is on disk."""
    sizes.start_again(event)
    request: Any = event.request
    claimed = str(request.AffectedSOPInstanceUID)
    sender = str(event.assoc.requestor.ae_title).strip()
    where = keep.name(claimed)
    try:
        data = event.encoded_dataset()
        found = keep.identity(data)
    except DataError as error:
        log.warning("%s from %s is not kept: %s", where, sender, error)
        return _NOT_UNDERSTOOD
    if found != keep.Identity(str(request.AffectedSOPClassUID), claimed):
        log.warning("%s from %s is not kept: its data set has other UIDs than the command", where, sender)
        return _MISMATCH
    try:
        kept = keep.keep(folder, data, claimed, sender)
    except OSError as error:
        log.error("%s from %s is not kept: %s", where, sender, error.strerror)
        return _NO_RESOURCES
    log.log(logging.WARNING if kept is keep.Kept.QUARANTINED else logging.INFO, "%s from %s: %s", where, sender, kept)
    return _STORED
