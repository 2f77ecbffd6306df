"""What the model saw in one picture in; pass, flag or NOT EXAMINED out, with the urgency that it suggests."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import config
from shared.policy import Policy
from shared.records import Decision, Finding, Verdict
from shared.vertical import Case, Seen
from verticals.medical import taxonomy
from verticals.medical.taxonomy import UNKNOWN, URGENCY, Node
from verticals.medical.triage import DISCLAIMER, RollUp, gravest, likeliest, likeliest_sought, node_of, roll_up

DEFAULT_POLICY = Path(__file__).parent / "policy.toml"
NO_TRIGGER = "no referral trigger found"
NOT_SCORED, QUALITY, NOTED = "not_scored", "quality", "noted"
"""What an ingest writes into a Sample's provenance: the sentence why it must not be scored and how to take it again;
``checked`` where its quality was looked at; and a sentence about faults that do not forbid a score."""
POSSIBLE, NOT_EXCLUDED = "possible", "not_excluded"
"""Facts of a decision: what it may be; and what is unlikely, but the build had too few cases to exclude it."""
CARRIED = (
    "lesion", "age_years", "sex", "body_site_name", "fitzpatrick", "device", "thickness_mm", "diameter_mm",
)  # fmt: skip
"""What else a decision carries of its Samples' provenance: the lesion's pseudonym, and what the report divides by."""
NO_FAULT, UNCHECKED = "checked, no fault noted", "image quality was not checked"
_NAMED = 5


@dataclass(frozen=True)
class MedicalPolicy(Policy):
    """What a clinic decides.

    Attributes:
        refer_urgency: Nothing passes that may be this urgent or more, 0 (same day) to 4.
        require_quality_check: Whether a picture whose quality was not checked counts as not examined. What would be
            flagged is flagged all the same.
        refer_uncertified: Probability, 0 to 1, from which a label counts as possible that is in every prediction set
            because the build had too few cases of it; 0: such a label refers every picture. The default is the share of
            a label's pictures that the sets of the others may miss.
    """

    refer_urgency: int = 2
    require_quality_check: bool = False
    refer_uncertified: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.refer_urgency <= 4:
            raise ValueError(f"refer_urgency is {self.refer_urgency}; allowed is 0 (same day) to 4 (everything)")
        if not 0 <= self.refer_uncertified <= 1:
            raise ValueError(f"refer_uncertified is {self.refer_uncertified}; allowed is 0 to 1")


@dataclass(frozen=True)
class _Look:
    """One scored picture: its masses, what it may be, why it is flagged, what it is called, and how urgent it is."""

    seen: Seen
    rolled: RollUp
    possible: tuple[Node, ...]
    unproven: tuple[Node, ...]  # too unlikely to count, although the build had too few cases to exclude them
    triggers: tuple[str, ...]
    named: Node
    urgent: Node


def decide(case: Case, policy_file: Path | None) -> Decision:
    """Decide about one picture, or the pictures of one acquisition.

    It passes only where all of it was scored, the probability of malignant and pre-malignant labels lies below the
    certified threshold, the prediction set holds nothing malignant, pre-malignant or urgent (a label that is in every
    set for want of cases counts from ``refer_uncertified``), and the picture is like those of the build. A picture
    below the quality gate gets no score. Every decision ends with the disclaimer.

    Args:
        case: Everything known about it.
        policy_file: The site's policy over the vertical's defaults, None for the defaults alone.

    Returns:
        With the facts ``patient`` (the Sample's group, a pseudonym) and :data:`CARRIED` where known, and ``quality``
        (what is said of the image quality, where any picture was seen). Unless nothing was examined also ``urgency`` (0
        same day to 4) with ``urgency_status`` (who answers for it), ``threshold`` (the risk from which it was flagged,
        absent where none is certified), and of the picture that the finding names first ``probabilities`` (by code of
        the taxonomy) and, where the bundle promises a prediction set about it, ``possible`` and ``not_excluded``: codes
        of the set that count, and of those that do not, since they are in every set for want of cases and less
        probable than ``refer_uncertified``.

    Raises:
        ConfigError: The policy is not usable.
    """
    policy = config.load_once(MedicalPolicy, DEFAULT_POLICY, *([policy_file] if policy_file else []))
    scored = [seen for seen in case.seen if not seen.sample.provenance.get(NOT_SCORED)]
    limit, doubt = _limit(case, policy)
    looks = [_look(seen, case, limit, doubt, policy) for seen in scored]
    looks.sort(key=lambda look: (look.urgent.gravity, -look.rolled.risk))
    flagged = [look for look in looks if look.triggers]
    unlooked = _not_looked_at(case, policy)
    fit = [seen for seen in scored if _checked(seen) or not policy.require_quality_check]
    examined = case.examined * len(fit) / len(case.seen) if case.seen else 0.0
    if not flagged and (unlooked or not looks):
        why = unlooked or ["not examined: nothing of it was seen, no score is given; take the picture again"]
        return Decision(case.frame, Verdict.NOT_EXAMINED, (*why, DISCLAIMER), (), examined, _known(case))
    if flagged:
        verdict, told, said = Verdict.FLAG, flagged, [*_said(flagged[0], len(case.seen)), *unlooked, *_remarks(case)]
    else:
        passed = _passed(looks[0], max(look.rolled.risk for look in looks), limit)
        verdict, told, said = Verdict.PASS, looks, [passed, *_remarks(case)]
    facts = _known(case) | _answered(told[0]) | ({} if doubt else {"threshold": limit})
    return Decision(case.frame, verdict, (*said, DISCLAIMER), (_finding(case, told, said),), examined, facts)


def _known(case: Case) -> dict[str, Any]:
    """What is known of the frame whatever the model says."""
    provenances = [seen.sample.provenance for seen in case.seen]
    facts = {name: next((p[name] for p in provenances if p.get(name) not in (None, "")), None) for name in CARRIED}
    facts["patient"] = next((seen.sample.group for seen in case.seen if seen.sample.group), None)
    whole = case.seen and case.examined >= 1
    below = [f"below the quality gate: {p[NOT_SCORED]}" for p in provenances if p.get(NOT_SCORED)]
    facts["quality"] = "; ".join([*below, *_remarks(case)]) or (NO_FAULT if whole else None)
    return {name: value for name, value in facts.items() if value is not None}


def _answered(look: _Look) -> dict[str, Any]:
    """What a program needs of the answer, so that it parses no sentence."""
    facts: dict[str, Any] = {
        "urgency": look.urgent.urgency,
        "urgency_status": look.urgent.tier_status,
        "probabilities": dict(look.rolled.labels),
    }
    if look.seen.possible is not None and look.named.code != UNKNOWN:
        facts[POSSIBLE] = [node.code for node in look.possible]
        facts[NOT_EXCLUDED] = [node.code for node in look.unproven]
    return facts


def _limit(case: Case, policy: MedicalPolicy) -> tuple[float, str]:
    """The risk from which a picture is flagged, and why nothing can pass, where that is so."""
    if not case.threshold:
        return 0.0, "the bundle certifies no threshold for malignant labels, so nothing passes by itself"
    words = list(case.seen[0].probabilities) if case.seen else []
    if set(case.unsought) != {word for word in words if not node_of(word).sought}:
        return 0.0, "the bundle's certificate is about other labels than the taxonomy seeks; build it again"
    return min(case.threshold, policy.threshold or case.threshold), ""


def _look(seen: Seen, case: Case, limit: float, doubt: str, policy: MedicalPolicy) -> _Look:
    rolled = roll_up(seen.probabilities)
    words = tuple(seen.probabilities) if seen.possible is None else seen.possible
    slight = {w for w in case.uncertified if seen.probabilities.get(w, 1.0) < policy.refer_uncertified}
    possible = _by_gravity(word for word in words if word not in slight)
    unproven = tuple(node for node in _by_gravity(w for w in words if w in slight) if node not in possible)
    foreign = not seen.novelty <= policy.novelty_limit  # also where it is not a number
    sought = likeliest_sought(rolled)
    grave = [node for node in possible if node.sought or node.urgency <= policy.refer_urgency]
    risky = not doubt and not rolled.risk < limit  # also where it is not a number
    triggers = tuple(_triggers(seen, rolled, limit, doubt, possible, grave, policy))
    unknown = taxonomy.nodes()[UNKNOWN]
    if foreign:
        named = unknown
    elif risky and sought is not None:
        named = sought
    else:
        named = grave[0] if seen.possible is not None and grave else likeliest(rolled)
    urgent = gravest([*possible, *([sought] if risky and sought else []), *([unknown] if foreign else [])] or [unknown])
    return _Look(seen, rolled, possible, unproven, triggers, named, urgent)


def _by_gravity(words: Iterable[str]) -> tuple[Node, ...]:
    return tuple(sorted({node_of(word) for word in words}, key=lambda node: node.gravity))


def _triggers(
    seen: Seen,
    rolled: RollUp,
    limit: float,
    doubt: str,
    possible: tuple[Node, ...],
    grave: list[Node],
    policy: MedicalPolicy,
) -> Iterator[str]:
    """Each ground on which this picture does not pass."""
    foreign = not seen.novelty <= policy.novelty_limit
    if foreign:
        yield (
            f"unlike the images of the build: novelty {seen.novelty:.2f}, limit {policy.novelty_limit:g}; "
            "no disease is named"
        )
    if doubt:
        yield doubt
    elif not rolled.risk < limit:
        yield f"malignant or pre-malignant with probability {rolled.risk:.3f}, flagged from {limit:.3g}"
    if foreign:
        return  # the set promises nothing about pictures of another kind
    if seen.possible is None:
        yield "the bundle promises no prediction set, so nothing can be excluded"
    elif not possible:
        yield "no label of the bundle would be usual with such probabilities"
    elif grave:
        yield f"the prediction set holds {_list(grave)}"


def _said(look: _Look, pictures: int) -> list[str]:
    """Urgency first, then why, then what it may be."""
    of = f" (gravest of {pictures} pictures)" if pictures > 1 else ""
    foreign = look.named.code == UNKNOWN
    like = "" if foreign else f", as for {look.urgent.name}"
    said = [f"suggested urgency: {_tier(look.urgent)}{like}{of}", *look.triggers]
    if look.seen.possible and look.possible and not foreign:
        said.append(_possible(look))
    return said


def _passed(look: _Look, risk: float, limit: float) -> str:
    return (
        f"{NO_TRIGGER}: malignant or pre-malignant with probability {risk:.3f}, below {limit:.3g}; {_possible(look)}; "
        f"suggested urgency: {_tier(look.urgent)}"
    )


def _possible(look: _Look) -> str:
    short = f"; unlikely, but the build had too few cases to exclude {_list(look.unproven)}" if look.unproven else ""
    return f"possible: {_list(look.possible)}{short}"


def _not_looked_at(case: Case, policy: MedicalPolicy) -> list[str]:
    """Why a part of it, or all, was not scored; empty where everything was."""
    said = [
        f"not examined: {seen.sample.provenance[NOT_SCORED]}; no score is given"
        for seen in case.seen
        if seen.sample.provenance.get(NOT_SCORED)
    ]
    if case.examined < policy.min_examined or not case.seen:
        why = "; ".join(p.what for p in case.problems[:3]) or "no reason was recorded, take the picture again"
        said.append(f"not examined: {1 - case.examined:.2%} of it ({why}); no score is given for that part")
    if policy.require_quality_check and not all(map(_checked, case.seen)):
        said.append(f"not examined: {UNCHECKED}, which this clinic requires; ingest it with loupe ingest medical")
    return said


def _remarks(case: Case) -> list[str]:
    noted = [f"noted: {seen.sample.provenance[NOTED]}" for seen in case.seen if seen.sample.provenance.get(NOTED)]
    return noted + ([] if all(map(_checked, case.seen)) else [UNCHECKED])


def _checked(seen: Seen) -> bool:
    return bool(seen.sample.provenance.get(QUALITY) or seen.sample.provenance.get(NOT_SCORED))


def _finding(case: Case, looks: list[_Look], said: list[str]) -> Finding:
    """One finding for the whole acquisition: a clinician judges the lesion, not each frame of it."""
    first = looks[0]
    foreign = first.named.code == UNKNOWN and UNKNOWN not in first.rolled.labels
    novelty = max(look.seen.novelty for look in looks)
    return Finding(
        frame=case.frame,
        label=first.named.code,
        probability=novelty / (1 + novelty) if foreign else first.rolled.labels[first.named.code],
        risk=max(look.rolled.risk for look in looks),
        samples=tuple(look.seen.sample.id for look in looks),
        novelty=novelty,
        why="; ".join([*said, DISCLAIMER]),
    )


def _tier(node: Node) -> str:
    return f"{URGENCY[node.urgency]} ({node.tier_status})"


def _list(nodes: list[Node] | tuple[Node, ...]) -> str:
    named = ", ".join(node.name for node in nodes[:_NAMED])
    return named if len(nodes) <= _NAMED else f"{named} and {len(nodes) - _NAMED} more"
