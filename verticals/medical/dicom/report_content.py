"""A decision and the headers it is about in, the content tree of a measurement report (PS3.16 TID 1500) out.

Highdicom's image library refuses dermoscopic images, so that the sources are images of the measurement group.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import DataError, require
from shared.records import Decision, Finding, Verdict
from verticals.medical import taxonomy
from verticals.medical.decide import NOT_EXCLUDED, POSSIBLE
from verticals.medical.dicom.dicom_read import DERMOSCOPIC, PHOTOGRAPHIC
from verticals.medical.taxonomy import UNKNOWN, URGENCY, Malignancy, Node
from verticals.medical.triage import DISCLAIMER, roll_up

if TYPE_CHECKING:
    from pydicom import Dataset

SCHEME = "99DVVS"
"""Designator of the private coding scheme; its codes of diseases are those of ``labels.toml``."""
TRIAGE: Mapping[Verdict, tuple[str, str]] = {
    Verdict.FLAG: ("FLAG", "Needs a clinician's review"),
    Verdict.PASS: ("PASS", "No referral trigger found"),
    Verdict.NOT_EXAMINED: ("NOT-EXAMINED", "Not examined"),
}
"""Code and meaning of each verdict."""
STANDING = {
    "POSSIBLE": "Possible",
    "NOT-EXCLUDED": "Unlikely; too few cases in the build to exclude it",
    "OUTSIDE-SET": "Outside the prediction set",
}
"""Code and meaning of where a label stands; possible means what it means for the decision."""
LISTED = 0.01
"""Probability from which a label is listed in the differential."""
AGREES = 1e-4
"""How far the probabilities may lie from what the decision says; the graph computes in float32."""
LONG_STRING = 64
"""Characters that a value of VR LO holds (PS3.5 6.2)."""
_LATERALITY = {"R": "Right", "L": "Left", "B": "Bilateral", "U": "Unilateral"}
_PROCEDURE = {DERMOSCOPIC: "DermoscopicPhotography", PHOTOGRAPHIC: "PhotographyOfPatient"}


@dataclass(frozen=True)
class Algorithm:
    """The bundle that scored the pictures.

    Attributes:
        name: Its name, at most 64 characters.
        version: Its version, likewise.
        bundle_hash: SHA-256 of its card in hexadecimal, see :attr:`shared.inference.bundle.Bundle.hash`.
    """

    name: str
    version: str
    bundle_hash: str

    def __post_init__(self) -> None:
        for what in ("name", "version", "bundle_hash"):
            found = getattr(self, what)
            if not 0 < len(found) <= LONG_STRING or "\\" in found:
                raise DataError(f"{what} of the algorithm is {found!r}; allowed are 1 to 64 characters, no backslash")


@dataclass(frozen=True)
class AtClinic:
    """What a risk means where the picture was taken.

    Attributes:
        risk: The same evidence at the clinic's prevalence, 0 to 1; None where it cannot be carried over.
        said: Which prevalence each number rests on, for a person.
    """

    risk: float | None
    said: str


def content(
    decision: Decision,
    headers: list["Dataset"],
    algorithm: Algorithm,
    probabilities: Mapping[str, float] | None,
    frame: int | None,
    clinic: AtClinic | None,
) -> Any:
    """The root of the tree; arguments as for :func:`verticals.medical.dicom.structured_report.measurement_report`."""
    sr = require("highdicom.sr", extra="medical")
    codes = require("pydicom.sr.codedict", extra="medical").codes
    uid = require("pydicom.uid", extra="medical").generate_uid
    device = sr.ObserverContext(
        codes.DCM.Device,
        sr.DeviceObserverIdentifyingAttributes(
            uid=uid(entropy_srcs=["bundle", algorithm.bundle_hash]), name="Loupe", model_name=algorithm.name
        ),
    )
    procedure = _PROCEDURE.get(str(headers[0].SOPClassUID), "ImagingProcedure")
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=getattr(codes.SCT, procedure),
        imaging_measurements=[_group(decision, headers, algorithm, probabilities, frame, clinic)],
    )
    report[0].ContentSequence.append(_texts(decision, headers, clinic))
    return report


def _group(
    decision: Decision,
    headers: list["Dataset"],
    algorithm: Algorithm,
    probabilities: Mapping[str, float] | None,
    frame: int | None,
    clinic: AtClinic | None,
) -> Any:
    """TID 1501: what was seen of one lesion, with which algorithm, in which images."""
    sr = require("highdicom.sr", extra="medical")
    codes = require("pydicom.sr.codedict", extra="medical").codes
    finding = decision.findings[0] if decision.findings else None
    examined = decision.verdict is not Verdict.NOT_EXAMINED
    scored = finding if scores(decision) else None
    evaluations = [sr.QualitativeEvaluation(_own("TRIAGE", "Triage result"), _own(*TRIAGE[decision.verdict]))]
    if examined:
        evaluations.append(_urgency(decision))
    if scored is not None:
        evaluations += list(_differential(scored, probabilities, decision.facts))
    elif examined and finding is not None:
        evaluations.append(_label(taxonomy.nodes()[UNKNOWN], None, ""))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(headers[0]),
        finding_type=codes.SCT.Lesion if examined else None,
        algorithm_id=sr.AlgorithmIdentification(
            algorithm.name, algorithm.version, [f"SHA-256 of the bundle: {algorithm.bundle_hash}"], None, "loupe-vision"
        ),
        finding_sites=_sites(headers[0]),
        measurements=None if scored is None else list(_measurements(scored, probabilities, clinic)),
        qualitative_evaluations=evaluations,
        source_images=[
            sr.SourceImageForMeasurementGroup(h.SOPClassUID, h.SOPInstanceUID, None if frame is None else [frame])
            for h in headers
        ],
    )


def _urgency(decision: Decision) -> Any:
    """The suggested urgency with who answers for it."""
    sr = require("highdicom.sr", extra="medical")
    codes = require("pydicom.sr.codedict", extra="medical").codes
    urgency = decision.facts.get("urgency")
    if not isinstance(urgency, int) or not 0 <= urgency < len(URGENCY):
        raise DataError(
            f"{decision.frame}: the decision's fact 'urgency' is {urgency!r}, allowed is 0 to {len(URGENCY) - 1}; "
            "give a decision of the medical vertical, or run loupe predict again"
        )
    item = sr.QualitativeEvaluation(codes.SCT.Urgency, _own(f"URGENCY-{urgency}", URGENCY[urgency].capitalize()))
    status = f"Suggested; {decision.facts['urgency_status']}"
    has = sr.RelationshipTypeValues.HAS_PROPERTIES
    item[0].ContentSequence = sr.ContentSequence([sr.TextContentItem(codes.DCM.Comment, status, has)])
    return item


def scores(decision: Decision) -> bool:
    """Whether the decision's numbers are probabilities: something was examined, and it is like the build."""
    named = bool(decision.findings) and decision.findings[0].label != UNKNOWN
    return named and decision.verdict is not Verdict.NOT_EXAMINED


def _measurements(
    finding: Finding, probabilities: Mapping[str, float] | None, clinic: AtClinic | None
) -> Iterator[Any]:
    sr = require("highdicom.sr", extra="medical")
    codes = require("pydicom.sr.codedict", extra="medical").codes
    percent = codes.UCUM.Percent
    risk = _own("RISK", "Probability of malignant, pre-malignant or uncertain")
    yield sr.Measurement(risk, _percent(finding, finding.risk), percent)
    if clinic is not None and clinic.risk is not None:
        here = _own("RISK-CLINIC", "The same at the clinic's prevalence")
        yield sr.Measurement(here, _percent(finding, clinic.risk), percent)
    if probabilities is not None:
        cancer = roll_up(probabilities).malignancy[Malignancy.MALIGNANT]
        yield sr.Measurement(codes.DCM.ProbabilityOfCancer, _percent(finding, cancer), percent)


def _differential(
    finding: Finding, probabilities: Mapping[str, float] | None, facts: Mapping[str, Any]
) -> Iterator[Any]:
    """The labels, the likeliest first, of equals the graver; each with its certainty and its standing in the set."""
    masses = {finding.label: finding.probability}
    if probabilities is not None:
        masses = dict(roll_up(probabilities).labels)
        if not abs(masses.get(finding.label, -1.0) - finding.probability) <= AGREES:
            raise DataError(
                f"{finding.frame}: the decision says {finding.label} with probability {finding.probability:.4f}, and "
                f"the probabilities say {masses.get(finding.label)}; give those of the picture named first"
            )
    standing = {}
    if POSSIBLE in facts:
        standing = dict.fromkeys(masses, "OUTSIDE-SET") | dict.fromkeys(facts[POSSIBLE], "POSSIBLE")
        standing |= dict.fromkeys(facts[NOT_EXCLUDED], "NOT-EXCLUDED")
    in_set = {code for code, what in standing.items() if what != "OUTSIDE-SET"}
    listed = [code for code, mass in masses.items() if mass >= LISTED or code == finding.label or code in in_set]
    for node in sorted(map(taxonomy.resolve, listed), key=lambda node: (-masses[node.code], node.gravity)):
        yield _label(node, _percent(finding, masses[node.code]), standing.get(node.code, ""))


def _label(node: Node, percent: float | None, standing: str) -> Any:
    """A label of the differential; its code in the taxonomy goes with it where a SNOMED CT code stands for it."""
    sr = require("highdicom.sr", extra="medical")
    codes = require("pydicom.sr.codedict", extra="medical").codes
    has = sr.RelationshipTypeValues.HAS_PROPERTIES
    own, standard = _own(node.code, node.name), _shipped(node)
    item = sr.QualitativeEvaluation(codes.DCM.DifferentialDiagnosisImpression, standard or own)
    properties = sr.ContentSequence()
    if percent is not None:
        certainty = codes.DCM.CertaintyOfFinding
        properties.append(sr.NumContentItem(certainty, percent, codes.UCUM.Percent, relationship_type=has))
    if standing:
        name = _own("STANDING", "Standing in the prediction set")
        properties.append(sr.CodeContentItem(name, _own(standing, STANDING[standing]), has))
    if standard is not None:
        properties.append(sr.CodeContentItem(_own("LABEL", "Label of the bundle"), own, has))
    if len(properties):
        item[0].ContentSequence = properties
    return item


def _shipped(node: Node) -> Any | None:
    """The SNOMED CT concept in the words of pydicom's copy of PS3.16; None where it has none for the label."""
    concepts = require("pydicom.sr._concepts_dict", extra="medical").concepts["SCT"]
    value = node.codes.get("SCT", "")
    found = next((codes[value][0] for codes in concepts.values() if value in codes), None)
    coded = require("highdicom.sr", extra="medical").CodedConcept
    return None if found is None else coded(value, "SCT", found)


def _percent(finding: Finding, probability: float) -> float:
    """A probability in percent, to a millionth of the whole."""
    if not (math.isfinite(probability) and -AGREES <= probability <= 1 + AGREES):
        raise DataError(f"{finding.frame}: a probability is {probability}; allowed is 0 to 1, check the bundle")
    return round(100 * min(max(probability, 0.0), 1.0), 4)


def _tracking(header: "Dataset") -> Any:
    """The lesion as the source tracks it; where it does not, the same UID for every report about this object."""
    sr = require("highdicom.sr", extra="medical")
    uid = require("pydicom.uid", extra="medical").generate_uid
    name = str(header.get("TrackingID", "")) or f"Lesion in {header.SOPInstanceUID}"
    return sr.TrackingIdentifier(
        str(header.get("TrackingUID", "")) or uid(entropy_srcs=["lesion", str(header.SOPInstanceUID)]), name
    )


def _sites(header: "Dataset") -> list[Any] | None:
    sr = require("highdicom.sr", extra="medical")
    codes = require("pydicom.sr.codedict", extra="medical").codes
    region = header.get("AnatomicRegionSequence")
    if not region or not region[0].get("CodeValue"):
        return None
    side = _LATERALITY.get(str(header.get("ImageLaterality", "") or header.get("Laterality", "")))
    where = sr.CodedConcept(region[0].CodeValue, region[0].CodingSchemeDesignator, region[0].CodeMeaning)
    return [sr.FindingSite(where, getattr(codes.SCT, side) if side else None)]


def _texts(decision: Decision, headers: list["Dataset"], clinic: AtClinic | None) -> Any:
    """Qualitative Evaluations of TID 1500: the disclaimer, what numbers rest on, image quality, then each reason."""
    sr = require("highdicom.sr", extra="medical")
    codes = require("pydicom.sr.codedict", extra="medical").codes
    contains = sr.RelationshipTypeValues.CONTAINS
    name = sr.CodedConcept("C0034375", "UMLS", "Qualitative Evaluations")
    container = sr.ContainerContentItem(name, is_content_continuous=False, relationship_type=contains)
    texts = [(_own("DISCLAIMER", "Limitation of use"), DISCLAIMER)]
    if clinic is not None and scores(decision):
        texts.append((_own("PREVALENCE", "What the probabilities rest on"), clinic.said))
    if decision.facts.get("quality"):
        texts.append((codes.DCM.ImageQuality, decision.facts["quality"]))
    texts += [(_own("REASON", "Reason of the triage result"), said) for said in decision.reasons if said != DISCLAIMER]
    if any("DRAWN" in (header.get("ImageType") or ()) for header in headers):
        texts.append((codes.DCM.Comment, "The picture was drawn and shows nobody."))
    container.ContentSequence = sr.ContentSequence([sr.TextContentItem(*text, contains) for text in texts])
    return container


def _own(code: str, meaning: str) -> Any:
    return require("highdicom.sr", extra="medical").CodedConcept(code, SCHEME, meaning)


def coding_scheme() -> Any:
    """The private coding scheme, so that a reader knows whose codes they are."""
    coding = require("highdicom.coding_schemes", extra="medical")
    return coding.CodingSchemeIdentificationItem(
        SCHEME, name="Loupe skin taxonomy", version=taxonomy.labels().version[:16], responsible_organization="Loupe"
    )
