"""What a vertical says of its review page: its words, and what it puts in place of the page's own parts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.review.desk import Arrange, Desk
from shared.review.items import Item
from shared.taxonomy import Taxonomy


@dataclass(frozen=True)
class Words:
    """How a vertical calls things.

    Attributes:
        frame: One thing that is decided about.
        how_to_get_items: One line for an empty store.
        note: A sentence that stands on the page at all times; empty for none.
        agree: Before the name of a label that a person confirms.
        nothing: What a person says who sees nothing of concern in the picture.
        inspected: The same of what the machine has not examined.
        nothing_code: What such a verdict is recorded as where the taxonomy has no OK label.
        another: Any other label.
        headline: What stands above everything else of an item, from the item and its label's name; then the reasons
            stand before the numbers. None for the name.
        short: Names for the narrow keys 1 to 9, by code; the label's name where there is none.
    """

    frame: str = "Image"
    how_to_get_items: str = ""
    note: str = ""
    agree: str = "It is"
    nothing: str = "OK: nothing there"
    inspected: str = "OK: I inspected the part itself"
    nothing_code: str = "OK"
    another: str = "Another type"
    headline: Callable[[Item, str], str] | None = None
    short: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """What every part of the page needs."""

    desk: Desk
    taxonomy: Taxonomy
    words: Words
    digits: Sequence[str]
    canvas_wh: tuple[int, int]
    parts: "Parts"


@dataclass(frozen=True)
class Parts:
    """What a vertical puts beside or in place of the page's own parts; what is None stays as it is.

    Attributes:
        arrange: Order of the items.
        hidden: Whether answers are hidden now, so that the page offers no filter by them.
        top: More keys in the top line.
        instead: Another screen in place of picture and panel; says whether it drew one.
        view: The item whose picture is drawn when an item is looked at, e.g. the same with a map over it.
        panel: What stands beside the picture, from the item and whether its picture could be drawn; says whether it
            drew it.
    """

    arrange: Arrange | None = None
    hidden: Callable[[], bool] | None = None
    top: Callable[[Page], None] | None = None
    instead: Callable[[Page], bool] | None = None
    view: Callable[[Page, Item], Item] | None = None
    panel: Callable[[Page, Item, bool], bool] | None = None
