"""What the model saw in one tile or picture in; spray, scout, pass or NOT EXAMINED out, by the site's policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from shared import config
from shared.policy import Policy
from shared.records import Decision, Finding, Verdict
from shared.vertical import Case, Seen
from verticals.agriculture.taxonomy import terms
from verticals.agriculture.taxonomy.terms import ABIOTIC, NOT_A_LEAF, UNKNOWN, Kind, Term

DEFAULT_POLICY = Path(__file__).parent / "policy.toml"
_SHOWN = 5
_OF_FAMILY = {"fungal": "fungus", "oomycete": "oomycete", "bacterial": "bacterium", "viral": "virus", "weed": "weed"}
"""Kind of agent where a label names a group or family and no single agent."""


class Treatment(StrEnum):
    """What is done with a place; the first word of every decision's first reason."""

    SPRAY = "spray"
    SCOUT = "scout"
    """Somebody walks there."""
    LEAVE = "leave"


@dataclass(frozen=True)
class AgriculturePolicy(Policy):
    """What a farm decides.

    Attributes:
        spray_from: Probability (0 to 1) of the likeliest condition from which a flagged place is sprayed and not
            walked.
        min_severity: Least severity (0 to 4) of a condition that is sprayed.
        not_examined: What is done with what nobody saw: ``scout``, ``spray`` or ``leave``. It is NOT EXAMINED in any
            case.
        spray_kinds: Kinds of agents that a spray reaches.
    """

    spray_from: float = 0.5
    min_severity: int = 2
    not_examined: str = Treatment.SCOUT.value
    spray_kinds: tuple[str, ...] = ("fungus", "oomycete", "mite", "weed")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.spray_from <= 1:
            raise ValueError(f"spray_from is {self.spray_from}; allowed is 0 to 1")
        if not 0 <= self.min_severity <= 4:
            raise ValueError(f"min_severity is {self.min_severity}; allowed is 0 to 4")
        if self.not_examined not in list(Treatment):
            raise ValueError(f"not_examined is {self.not_examined!r}; allowed are {', '.join(Treatment)}")
        kinds = {agent.kind for agent in terms.agents().values()}
        if not set(self.spray_kinds) <= kinds:
            raise ValueError(f"spray_kinds are {', '.join(self.spray_kinds)}; allowed are {', '.join(sorted(kinds))}")


@dataclass(frozen=True)
class _Look:
    """One Sample judged: what it is called, its risk, what is done, and why (empty: nothing is)."""

    seen: Seen
    term: Term | None
    code: str
    probability: float
    risk: float
    treatment: Treatment
    why: str


def read_policy(file: Path | None) -> AgriculturePolicy:
    """The site's policy over the vertical's defaults, None for the defaults alone.

    Raises:
        ConfigError: The policy is not usable.
    """
    return config.load_once(AgriculturePolicy, DEFAULT_POLICY, *([file] if file else []))


def treatment(decision: Decision) -> Treatment:
    """What is done with the place that a decision is about."""
    word = decision.reasons[0].partition(":")[0] if decision.reasons else ""
    return Treatment(word) if word in list(Treatment) else Treatment.LEAVE


def decide(case: Case, policy_file: Path | None) -> Decision:
    """Decide about one tile of a map, one frame of a drone or one photograph.

    It passes only where enough of it was seen, the probability of everything sought lies below the certified
    threshold, and it does not look like a stress that somebody should walk to. What is unlike the pictures of the
    build is NOT EXAMINED, as on a map: what the bundle says about it holds for nothing.
    A flagged place is sprayed where the likeliest condition is likely enough, grave enough, and caused by something
    that a spray reaches; else it is walked. The first reason begins with what is done, see :class:`Treatment`.

    Args:
        case: Everything known about it.
        policy_file: The site's policy over the vertical's defaults, None for the defaults alone.

    Raises:
        ConfigError: The policy is not usable.
    """
    policy = read_policy(policy_file)
    limit, doubt = _limit(case, policy)
    strange = [_foreign(seen, case, policy) for seen in case.seen if not seen.novelty <= _reach(seen, case, policy)]
    known = [seen for seen in case.seen if seen.novelty <= _reach(seen, case, policy)]
    blind = [seen for seen in known if _is_blind(seen)]
    looks = [_look(seen, limit, doubt, policy) for seen in known if not _is_blind(seen)]
    flagged = sorted((look for look in looks if look.why), key=lambda look: (look.treatment != "spray", -look.risk))
    unseen = [*_unseen(case, policy, blind), *(f"{look.treatment}: {look.why}" for look in strange[:_SHOWN])]
    examined = case.examined * len(looks) / len(case.seen) if case.seen else 0.0
    if flagged:
        reasons = [f"{look.treatment}: {look.why}" for look in flagged[:_SHOWN]]
        reasons += [f"and {len(flagged) - _SHOWN} more places"] if len(flagged) > _SHOWN else []
        found = tuple(_finding(case, look) for look in (*flagged, *strange))
        return Decision(case.frame, Verdict.FLAG, (*reasons, *unseen), found, examined)
    found = tuple(_finding(case, look) for look in (strange or looks[:1]))
    if unseen or not looks:
        why = unseen or [f"{policy.not_examined}: not examined: nothing of it was seen"]
        return Decision(case.frame, Verdict.NOT_EXAMINED, tuple(why), found, examined)
    highest = max(look.risk for look in looks)
    said = f"leave: examined; highest probability of anything sought {highest:.3g}, below {limit:.3g}"
    return Decision(case.frame, Verdict.PASS, (said,), found, examined)


def _limit(case: Case, policy: AgriculturePolicy) -> tuple[float, str]:
    """The risk from which a place is flagged, and why nothing can pass, where that is so."""
    if not case.threshold:
        return 0.0, "the bundle certifies no threshold, so nothing passes by itself"
    words = list(case.seen[0].probabilities) if case.seen else []
    if case.seen and set(case.unsought) != {word for word in words if not _is_sought(word)}:
        return 0.0, "the bundle's certificate is about other labels than the taxonomy seeks; build it again"
    return min(case.threshold, policy.threshold or case.threshold), ""


def _look(seen: Seen, limit: float, doubt: str, policy: AgriculturePolicy) -> _Look:
    sought = {word: p for word, p in seen.probabilities.items() if _is_sought(word)}
    risk = sum(sought.values())
    word = max(sought, key=lambda w: sought[w]) if sought else ""
    term, probability = terms.find(word), sought.get(word, 0.0)
    said = term.name if term else word
    if doubt or not risk < limit:  # also where it is not a number
        done, because = _treatment(term, probability, policy)
        why = f"{said} with probability {probability:.2f}{because}; risk {risk:.3f}, flagged from {limit:.3g}"
        return _Look(
            seen, term, term.code if term else word, probability, risk, done, f"{why}; {doubt}" if doubt else why
        )
    best = max(seen.probabilities, key=lambda w: seen.probabilities[w])
    usual = terms.find(best)
    code, likely = (usual.code if usual else best), seen.probabilities[best]
    if usual is not None and ABIOTIC in (usual.code, usual.family):
        return _Look(seen, usual, code, likely, risk, Treatment.SCOUT, f"{usual.name} with probability {likely:.2f}")
    return _Look(seen, usual, code, likely, risk, Treatment.LEAVE, "")


def _reach(seen: Seen, case: Case, policy: AgriculturePolicy) -> float:
    """Novelty up to which the bundle is believed: the policy's, of a tile of a raster the bundle's where it is lower.

    The same ground has one answer as a tile and on a map (:func:`viewing.field_maps.make`). A photograph of a leaf
    from another camera is less like those of the build, which a site has to decide.
    """
    if case.novelty_limit is None or "field_m2" not in seen.sample.provenance:
        return policy.novelty_limit
    return min(policy.novelty_limit, case.novelty_limit)


def _foreign(seen: Seen, case: Case, policy: AgriculturePolicy) -> _Look:
    """What is unlike the pictures of the build, also where its novelty is not a number."""
    told = f"novelty {seen.novelty:.2f}, limit {_reach(seen, case, policy):.3g}"
    why = f"not examined: unlike the images of the build: {told}"
    share, risk = seen.novelty / (1 + seen.novelty), sum(p for w, p in seen.probabilities.items() if _is_sought(w))
    return _Look(seen, terms.resolve(UNKNOWN), UNKNOWN, share, risk, Treatment(policy.not_examined), why)


def unreached(term: Term | None, policy: AgriculturePolicy) -> str:
    """Why a condition is walked and never sprayed, however likely it is; empty where a spray of the site reaches it."""
    if term is None or term.kind is Kind.UNKNOWN:
        return "which nobody has named"
    kind = agent_kind(term)
    if kind not in policy.spray_kinds:
        return f"which no spray of this site reaches ({kind or 'no agent is known'})"
    if term.severity < policy.min_severity:
        return f"severity {term.severity} of 4, sprayed from {policy.min_severity}"
    return ""


def agent_kind(term: Term) -> str:
    """Kind of what causes a condition, e.g. ``fungus``; empty where none is known."""
    return term.agent.kind if term.agent else _OF_FAMILY.get(term.family, "")


def _treatment(term: Term | None, probability: float, policy: AgriculturePolicy) -> tuple[Treatment, str]:
    """What is done about a condition, and why it is not sprayed where it is not."""
    why = unreached(term, policy)
    if not why and not probability >= policy.spray_from:
        why = f"sprayed from {policy.spray_from:g}"
    return (Treatment.SCOUT, f", {why}") if why else (Treatment.SPRAY, "")


def _is_sought(word: str) -> bool:
    term = terms.find(word)
    return term is None or term.sought


def _is_blind(seen: Seen) -> bool:
    """Whether the picture most likely shows no plant at all."""
    best = max(seen.probabilities, key=lambda word: seen.probabilities[word], default="")
    term = terms.find(best)
    return term is not None and term.code == NOT_A_LEAF


def _unseen(case: Case, policy: AgriculturePolicy, blind: Sequence[Seen]) -> list[str]:
    """What was not examined and what is done with it; empty where enough was."""
    said = []
    if case.examined < policy.min_examined or not case.seen:
        why = "; ".join(p.what for p in case.problems[:3]) or "not flown or not readable"
        said.append(f"{policy.not_examined}: {1 - case.examined:.1%} of it is not examined ({why})")
    if blind:
        said.append(f"{Treatment.SCOUT}: {len(blind)} of {len(case.seen)} pictures show no plant; take them again")
    return said


def _finding(case: Case, look: _Look) -> Finding:
    """The place as a finding; of a map's tile the area is that of the field in it."""
    sample = look.seen.sample
    core = sample.core or sample.window
    field_m2, scale = sample.provenance.get("field_m2"), sample.mm_per_px
    area_mm2 = float(field_m2) * 1e6 if field_m2 is not None else None
    if area_mm2 is None and scale is not None and core is not None:
        area_mm2 = core.width * scale[0] * core.height * scale[1]
    several = len(case.seen) > 1 and sample.window is not None and sample.core is not None
    return Finding(
        frame=case.frame,
        label=look.code,
        probability=look.probability,
        risk=look.risk,
        region=sample.core.shifted(*sample.origin) if several and sample.core else None,
        area_mm2=area_mm2,
        samples=(sample.id,),
        novelty=look.seen.novelty,
        why=f"{look.treatment}: {look.why}" if look.why else "",
    )
