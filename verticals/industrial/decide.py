"""What the model saw on one part in, pass, flag or NOT EXAMINED out, by the rules of the site's policy."""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from shared import config, taxonomy
from shared.decide import decide as decide_whole
from shared.decide import risk, threshold, verdict
from shared.errors import ConfigError, DataError
from shared.policy import Policy
from shared.records import Decision, Finding
from shared.taxonomy import Taxonomy
from shared.vertical import Case
from verticals.industrial.merge import merge

DEFAULT_POLICY = Path(__file__).parent / "policy.toml"
LABELS = Path(__file__).parent / "labels.toml"
PART = "part"
"""Name of the fact that says which part a strip or image shows: several cameras may see one part."""
_SHOWN = 5


@dataclass(frozen=True)
class Accept:
    """Defects that a site lives with, as acceptance rules of type, size and number are written (compare VDA 16).

    A rule accepts a defect only where nothing else is likely in its tiles: a crack beside an acceptable grain of dust
    still flags the part.

    Attributes:
        type: Label, as code, name or alias of the vertical's labels.
        max_length_mm: Largest length that is acceptable.
        max_count: Largest number of such defects in one picture (strip or image).
    """

    type: str
    max_length_mm: float
    max_count: int = 1

    def __post_init__(self) -> None:
        try:
            label = _labels().resolve(self.type)
        except DataError as error:
            raise ConfigError(f"[[accept]] type: {error}") from error
        if label.ok:
            raise ConfigError(f"[[accept]] type: {self.type!r} means OK, which needs no rule; take it out")

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is of this type, by whichever of its words, of known size, and small enough."""
        alike = _labels().find(finding.label) == _labels().resolve(self.type)
        return alike and finding.length_mm is not None and finding.length_mm <= self.max_length_mm


@cache
def _labels() -> Taxonomy:
    return taxonomy.load(LABELS)


@dataclass(frozen=True)
class IndustrialPolicy(Policy):
    """What a plant decides.

    Attributes:
        accept: Defects that are acceptable; everything else that is found flags the part.
    """

    accept: tuple[Accept, ...] = ()


def decide(case: Case, policy_file: Path | None) -> Decision:
    """Decide about one strip or image; which part it shows goes with the decision where that is known.

    Args:
        case: Everything known about it.
        policy_file: The site's policy over the vertical's defaults, None for the defaults alone.

    Raises:
        ConfigError: The policy is not usable.
    """
    files = [DEFAULT_POLICY] + ([policy_file] if policy_file else [])
    decision = _decide(case, config.load_once(IndustrialPolicy, *files))
    return replace(decision, facts={PART: case.group}) if case.group else decision


def _decide(case: Case, policy: IndustrialPolicy) -> Decision:
    if all(seen.sample.window is None for seen in case.seen):
        return decide_whole(case, policy)
    limit = threshold(case, policy)
    findings = merge(case.seen, ok_label=case.ok_label, threshold=limit, novelty_limit=policy.novelty_limit)
    accepted = _accepted([f for f in findings if _nothing_else(f, case, limit, policy)], policy)
    grave = [replace(f, why=_sentence(f, limit)) for f in findings if f.id not in accepted]
    reasons = [f.why for f in grave[:_SHOWN]]
    if len(grave) > _SHOWN:
        reasons.append(f"and {len(grave) - _SHOWN} more defects")
    reasons += [f"accepted by rule: {rule}" for rule in accepted.values()]
    return verdict(case, policy, grave, reasons, accepted=bool(accepted))


def _nothing_else(finding: Finding, case: Case, limit: float, policy: Policy) -> bool:
    """Whether no tile of a finding is novel, or would be flagged if the finding's type were OK as well."""
    tiles = [seen for seen in case.seen if seen.sample.id in finding.samples]
    return all(
        risk(seen, case.ok_label) - seen.probabilities.get(finding.label, 0.0) < limit
        and seen.novelty <= policy.novelty_limit
        for seen in tiles
    )


def _accepted(findings: list[Finding], policy: IndustrialPolicy) -> dict[str, str]:
    """Findings that a rule accepts: small enough, of known size, and not more than the rule allows."""
    accepted: dict[str, str] = {}
    for rule in policy.accept:
        small = [f for f in findings if rule.covers(f)]
        if len(small) <= rule.max_count:
            accepted |= {
                f.id: f"{rule.type} up to {rule.max_length_mm:g} mm, {rule.max_count} in one picture" for f in small
            }
    return accepted


def _sentence(finding: Finding, limit: float) -> str:
    length = "" if finding.length_mm is None else f" {finding.length_mm:.1f} mm"
    at = f" at line {finding.region.y0}, column {finding.region.x0}" if finding.region else ""
    return f"{finding.label}{length}{at}: risk {finding.risk:.3f}, flagged from {limit:.3g}"
