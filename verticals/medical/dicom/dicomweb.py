"""A DICOMweb archive asked, read into the inbox's folder, and written to (PS3.18: QIDO-RS, WADO-RS, STOW-RS).

Objects that come in go the same way as those that a modality sends: checked, one file per SOP Instance UID, a differing
duplicate in quarantine. Sentences hold no address of a request, because queries carry names and numbers of patients.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from shared.errors import ConfigError, DataError, Problem, require
from verticals.medical.dicom import keep
from verticals.medical.dicom.inbox import SOP_CLASSES
from verticals.medical.privacy.deidentify import silence

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMwebClient

_ANY_SYNTAX = (("application/dicom", "*"),)
"""As it is stored: an archive that may choose the transfer syntax would decode and perhaps change the pixels."""
_TIMEOUT_S = (10.0, 300.0)
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Series:
    """One series that an archive holds.

    Attributes:
        study: Study Instance UID.
        series: Series Instance UID.
        modality: As stored, e.g. ``"DMS"``.
        instances: Number of objects, None where the archive does not say.
    """

    study: str
    series: str
    modality: str
    instances: int | None


@dataclass(frozen=True)
class Transfer:
    """What a transfer did.

    Attributes:
        kept: Objects by where they went (``stored``, ``known``, ``quarantined``), or ``sent``.
        problems: Objects that were left out, and why.
    """

    kept: Mapping[str, int]
    problems: tuple[Problem, ...] = ()


def connect(url: str, *, headers: Mapping[str, str] | None = None, plain_http: bool = False) -> "DICOMwebClient":
    """A client for the archive at ``url``.

    Args:
        url: Root of the service, e.g. ``"https://pacs.example/dicom-web"``.
        headers: Sent with each request, e.g. an ``Authorization``.
        plain_http: Allow http to another machine; everything sent can then be read on the way.

    Raises:
        ConfigError: The address is not one, holds a password, or is not encrypted.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("the DICOMweb address is no http or https address; give one like https://host/dicom-web")
    if parts.username or parts.password:
        raise ConfigError("the DICOMweb address holds a name or password; give them as an Authorization header")
    if parts.scheme == "http" and not plain_http and not _is_loopback(parts.hostname):
        raise ConfigError(
            f"http to {parts.hostname} could be read by others on the way; use https, or allow plain http"
        )
    module = require("dicomweb_client.api", extra="medical")
    # At INFO the library logs the addresses of requests.
    logging.getLogger("dicomweb_client").setLevel(logging.WARNING)
    client: DICOMwebClient = module.DICOMwebClient(url.rstrip("/"), headers=dict(headers or {}), timeout=_TIMEOUT_S)
    client.set_http_retry_params(retry=True, max_attempts=3)
    return client


def query(
    client: "DICOMwebClient", *, modality: str = "", since: date | None = None, patient_id: str = ""
) -> tuple[Series, ...]:
    """Series that the archive holds.

    Args:
        client: Of :func:`connect`.
        modality: E.g. ``"XC"`` or ``"DMS"``; empty for any.
        since: Earliest Study Date.
        patient_id: Patient ID; empty for any.

    Raises:
        DataError: The archive refuses, or does not answer.
    """
    from pydicom import Dataset

    asked = {"Modality": modality, "StudyDate": f"{since:%Y%m%d}-" if since else "", "PatientID": patient_id}
    filters = {key: value for key, value in asked.items() if value}
    fields = ["StudyInstanceUID", "SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances"]
    found = _asked("query", lambda: client.search_for_series(search_filters=filters, fields=fields, get_remaining=True))
    series = []
    with silence("of the archive's answer cannot be understood"):
        for match in found:
            one = Dataset.from_json(match)
            number = one.get("NumberOfSeriesRelatedInstances")
            count = None if number is None else int(number)
            series.append(Series(one.StudyInstanceUID, one.SeriesInstanceUID, str(one.get("Modality", "")), count))
    return tuple(series)


def retrieve(client: "DICOMwebClient", series: Series, folder: Path) -> Transfer:
    """Read one series into the folder of the inbox; an object that fails leaves the others.

    Args:
        client: Of :func:`connect`.
        series: Of :func:`query`.
        folder: Of the inbox; made where it is missing.

    Returns:
        Objects by where they went; a Problem names an object by the file name that it would have had.

    Raises:
        DataError: The archive does not list the series.
        OSError: The disk refuses.
    """
    from pydicom import Dataset

    keep.make_folders(folder)
    listed = _asked("query", lambda: client.search_for_instances(series.study, series.series, get_remaining=True))
    counts: Counter[str] = Counter()
    problems = []
    for match in listed:
        instance = str(Dataset.from_json(match).SOPInstanceUID)
        try:
            counts[_fetch(client, series, instance, folder)] += 1
        except DataError as error:
            problems.append(Problem(keep.name(instance), str(error)))
    return Transfer(dict(counts), tuple(problems))


def _fetch(client: "DICOMwebClient", series: Series, instance: str, folder: Path) -> keep.Kept:
    from pydicom.uid import UID

    got = _asked(
        "retrieve", lambda: client.retrieve_instance(series.study, series.series, instance, media_types=_ANY_SYNTAX)
    )
    stream = BytesIO()
    with silence("cannot be written"):
        got.save_as(stream, enforce_file_format=True)
    data = stream.getvalue()
    found = keep.identity(data)
    if found.sop_instance != instance:
        raise DataError("the archive sent another object than was asked for; it is not kept")
    if found.sop_class not in SOP_CLASSES:
        kind = UID(found.sop_class).name
        raise DataError(f"the object is of SOP class {kind}; only photographs and secondary captures are taken")
    return keep.keep(folder, data, instance, "DICOMweb")


def store(client: "DICOMwebClient", files: Iterable[Path]) -> Transfer:
    """Send files to the archive, one after the other; a file that fails leaves the others.

    Returns:
        How many were sent; a Problem names a file by its number in the order given.
    """
    pydicom = require("pydicom", extra="medical")
    sent, problems = 0, []
    for number, file in enumerate(files, 1):
        try:
            with silence("cannot be read"):
                dataset = pydicom.dcmread(file)
            answer = _asked("store", partial(client.store_instances, [dataset]))
            if answer.get("FailedSOPSequence"):
                reason = int(answer.FailedSOPSequence[0].get("FailureReason", 0))
                raise DataError(f"the archive does not take the object (failure reason {reason:04X} of PS3.18 I.2.2)")
            sent += 1
        except DataError as error:
            problems.append(Problem(f"file {number}", str(error)))
    return Transfer({"sent": sent}, tuple(problems))


def _asked(what: str, request: Callable[[], Answer]) -> Answer:
    """The archive's answer; what goes wrong becomes a sentence without address, name or number."""
    requests = require("requests", extra="medical")
    try:
        return request()
    except requests.exceptions.HTTPError as error:
        status = error.response.status_code if error.response is not None else "unknown"
        raise DataError(f"the archive answers a {what} with HTTP status {status}; ask its administrator") from None
    except requests.exceptions.RequestException as error:
        raise DataError(
            f"the archive does not answer a {what} ({type(error).__name__}); check its address and that it runs"
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
