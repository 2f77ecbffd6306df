"""Items and counts in, the words a reviewer reads out; nothing that comes from a file is taken for markup."""

from html import escape

from shared.decide import percent
from shared.records import Verdict
from shared.review.items import NOT_EXAMINED, Item
from shared.review.order import Progress
from shared.review.view import View
from shared.taxonomy import Taxonomy


def name(taxonomy: Taxonomy, code: str) -> str:
    """What a person calls a label."""
    if code == NOT_EXAMINED:
        return "NOT EXAMINED"
    label = taxonomy.find(code)
    return label.name if label else code


def plain(text: str) -> str:
    """Text that Markdown shows as it is; file names have underscores and stars."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!|~<>$:&" else c for c in text)


def progress(done: Progress) -> str:
    """Count, pace and time left."""
    text = f"{done.done} of {done.total} done"
    if done.seconds_median is None or done.seconds_left is None:
        return text
    left = f"{done.seconds_left / 60:.0f} min" if done.seconds_left >= 90 else f"{done.seconds_left:.0f} s"
    return f"{text} · {done.seconds_median:.1f} s each · about {left} left"


def scale(view: View) -> str:
    """Magnification and place of a view."""
    ratio = view.magnification
    size = f"{ratio:.3g} : 1" if ratio >= 1 else f"1 : {1 / ratio:.3g}"
    return f"{size} · from {view.window.x0}, {view.window.y0} · image {view.size_wh[0]} × {view.size_wh[1]}"


def facts(item: Item) -> str:
    """The numbers beside the picture, as an HTML table; a number that is not known is not shown."""
    size = [f"{item.length_mm:.2f} mm"] if item.length_mm is not None else []
    size += [f"{item.area_mm2:.2f} mm²"] if item.area_mm2 is not None else []
    rows = {
        "probability · risk": f"{item.probability:.1%} · {item.risk:.1%}" if item.verdict is Verdict.FLAG else "",
        "length · area": " · ".join(size),
        "novelty": f"{item.novelty:.2f}" if item.novelty else "",
        "examined": percent(item.examined) if item.examined < 1 else "",
        "from": item.batch,
    }
    body = "".join(f"<tr><td>{key}</td><td>{escape(value)}</td></tr>" for key, value in rows.items() if value)
    return f"<table class='facts'>{body}</table>"
