"""A scene in, the page's short texts as HTML out; everything that comes from files is escaped."""

import html
from collections.abc import Callable, Mapping
from typing import Any

from shared.review.items import Item
from shared.wording import counted
from verticals.agriculture.viewing.decks import OTHER, SPRAYED, SPRAYED_FILL
from verticals.agriculture.viewing.judging import Relabelling
from verticals.agriculture.viewing.prescriptions import litres
from verticals.agriculture.viewing.scenes import Scene

_NOTHING = 0.01
"""Share saved below which a person is told that nothing is."""
STYLE = """<style>
.stMainBlockContainer {padding: 0.7rem 1.2rem 0 1.2rem}
.stAppHeader {display: none}
.stVerticalBlock {gap: 0.45rem}
.stButton button {min-height: 2.1rem; padding: 0 0.5rem}
.line {font-variant-numeric: tabular-nums; font-size: 0.95rem}
.line b.not-examined {background: #333; color: #fff; padding: 0.1rem 0.5rem; border-radius: 0.2rem}
.legend {font-size: 0.82rem} .legend span {white-space: nowrap}
.line i {display: inline-block; width: 0.8rem; height: 0.8rem; margin: 0 0.3rem 0 0.9rem; border: 1px solid #555}
.line i.hatch {background: repeating-linear-gradient(45deg, #5a5a5a 0 4px, #ebebeb 4px 8px)}
table.facts {width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem}
table.facts td {border: none; padding: 0.05rem 0} table.facts td + td {text-align: right; font-weight: 600}
</style>"""


def head(on: Scene, judged: int) -> str:
    """The field in one line: what nobody looked at is always in it."""
    ha = on.hectares
    drawn = " &nbsp; <b>SYNTHETIC: drawn, not photographed</b>" if on.synthetic else ""
    return (
        f'<div class="line"><b>{html.escape(on.name)}</b> &nbsp; field {ha["field"]:.3f} ha &nbsp; examined '
        f'{ha["examined"]:.3f} ha &nbsp; <b class="not-examined">NOT EXAMINED {ha["not_examined"]:.3f} ha</b> &nbsp; '
        f"{len(on.items)} zones, {judged} judged{drawn}</div>"
    )


def legend(on: Scene, name: Callable[[str], str], judged: Mapping[str, float], *, sprayed: bool) -> str:
    """Colour and hectares of each label: cells of the model's class, and where people have changed it, as they judged.

    Args:
        on: The scene.
        name: Of a label, for people.
        judged: Of :func:`judging.hectares_as_judged`.
        sprayed: Whether sprayed ground is drawn.
    """
    parts = []
    for label in dict.fromkeys((*on.colours, *judged)):
        colour, told = on.colours.get(label, OTHER), name(label)
        area = f"{on.hectares[label]:.3f} ha" if label in on.colours else ""
        if label in judged:
            area += f"{' by the model, ' if area else ''}<b>{judged[label]:.3f} ha as judged</b>"
        parts.append(f'<i style="background: rgb{colour}"></i>{html.escape(told)} {area}')
    parts.append(f'<i class="hatch"></i>NOT EXAMINED {on.hectares["not_examined"]:.3f} ha')
    if sprayed:
        fill, line = f"rgba{(*SPRAYED, SPRAYED_FILL)}", f"rgb{SPRAYED}"
        parts.append(f'<i style="background: {fill}; border: 2px solid {line}"></i>sprayed (filled)')
    return f'<div class="line legend">{" ".join(f"<span>{part}</span>" for part in parts)}</div>'


def zone(row: Any, item: Item, label: str, name: Callable[[str], str]) -> str:
    """Class, probability with its interval, severity and area of a zone as a table.

    Args:
        row: Of the zones' table.
        item: The same zone in the review store.
        label: The label that stands: a person's, else the model's.
        name: Of a label, for people.
    """
    changed = f" (the model said {name(item.label)})" if label != item.label else ""
    facts = {
        "class": f"{name(label)}{changed}",
        f"mean probability of {name(item.label)}": f"{row.probability:.2f}",
        "95 % interval": f"{row.probability_low:.2f} to {row.probability_high:.2f}",
        "severity: diseased share of canopy": _severity(row.severity, item.label, label, name),
        "area on the ellipsoid": f"{row.area_ha:.4f} ha ({10_000 * row.area_ha:.0f} m²)",
    }
    cells = (f"<tr><td>{html.escape(k)}</td><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
    return f'<table class="facts">{"".join(cells)}</table>'


def _severity(share: float, said: str, label: str, name: Callable[[str], str]) -> str:
    """The model's severity, which is about what the model said and not about what a person says instead."""
    if share != share:
        return "not told"
    return f"{share:.0f} %" if said == label else f"not told of {name(label)} (for {name(said)}: {share:.0f} %)"


def sprayed(facts: Mapping[str, Any]) -> str:
    """What a prescription comes to, in a few lines; ``facts`` of :func:`prescriptions.facts`."""
    ha, recall = facts["hectares"], facts["expected_recall"]
    reached = "a share that the curve does not tell" if recall is None else f"{100 * recall:.0f} %"
    nothing = (
        " <b>This saves nothing:</b> so much recall asks for ground that is hardly likely to be diseased. Ask for "
        "less, or judge the zones."
        if facts["saved"] < _NOTHING
        else ""
    )
    return (
        f'<div class="line"><b>{ha["sprayed"]:.3f} ha</b> of {ha["broadcast"]:.3f} ha, {litres(facts["litres"])} of '
        f"{litres(facts['broadcast_litres'])}: <b>{100 * facts['saved']:.0f} % saved</b> from probability "
        f"{facts['threshold']:.2f} on; this machine's ceiling at 100 % recall is {100 * facts['ceiling']:.0f} %. "
        f"Expected to reach <b>{reached}</b> of the diseased area, by the map's own probabilities: not measured in the "
        f"field. NOT EXAMINED {ha['not_examined']:.3f} ha, of that unsprayed "
        f"{ha['not_examined_unsprayed']:.3f} ha: all that such a cell of the map touches, the map counts the cells "
        f"({facts['mapped_not_examined_ha']:.3f} ha).{nothing}</div>"
    )


def ordered(who: str, judged: int, count: int) -> str:
    """In whose name a prescription is exported, and how much of it a person has looked at."""
    looked = f"{judged} of {zones(count)} judged by a person"
    rest = "" if judged == count else "; the rest is the model's word alone"
    return f"Ordered by {who}: {looked}{rest}." if who else f"Say your name above: an order is signed. {looked}{rest}."


def exported(facts: Mapping[str, Any]) -> str:
    """Where the files are, and what was found about their terminal; of :func:`orders.order`."""
    name = facts["terminal"]
    checked = f"no reason found why {name} would refuse it" if name else "for a GIS; no terminal was asked"
    return f"Written to {facts['files']}, its figures to {facts['files']}.json. Terminal check: {checked}."


def zones(count: int) -> str:
    """A number of zones."""
    return counted(count, "zone")


def taken_back(count: int) -> str:
    """What became of a wish to take back the last verdict."""
    return f"Taken back: {zones(count)}" if count else "There is nothing to take back"


def relabelling(wish: Relabelling, name: Callable[[str], str]) -> str:
    """What a merge or split would do, on its button."""
    if not wish.open:
        return f"All {zones(wish.judged)} were judged before and stay"
    stay = f" ({wish.judged} judged before stay)" if wish.judged else ""
    return f"{'Split off' if wish.split else 'Merge'} {zones(len(wish.open))} into {name(wish.into)}{stay}"
