"""Keys and clicks of one reviewer in, verdicts recorded out: each item once, with the time it took."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from shared.errors import DataError, ReviewError
from shared.records import Action, Review, Verdict
from shared.review import order, unchanged
from shared.review.items import Item
from shared.review.log import now
from shared.review.store import Store
from shared.review.view import Camera

Arrange = Callable[[Sequence[Item], Mapping[str, str]], list[Item]]
"""Items and when they came, by id (ISO 8601), in; the items in the order in which a person should see them out."""
LOOK_S = 0.3
"""A verdict sooner after the picture came up is a key pressed twice, not a look: simple visual reactions alone take
about a quarter of a second."""
LEASE_S = 600.0
"""How long an item is one reviewer's: a person who goes for coffee comes back to it, one who goes home does not keep
it."""


class Desk:
    """One session at the store.

    Every picture that comes up has a number, ``turn``; a key acts on the turn it was pressed in, or not at all.
    """

    def __init__(
        self,
        store: Store,
        *,
        severity: Mapping[str, int],
        ok_label: str = "OK",
        code: Callable[[str], str] = str,
        named: Callable[[str], str] = str,
        clock: Callable[[], float] = time.monotonic,
        arrange: Arrange | None = None,
    ) -> None:
        self.store = store
        self.reviewer = ""
        self.label: str | None = None
        self.camera = Camera()
        self.turn = 0
        self.message = ""
        self.visible = False
        self.items: list[Item] = []
        self.standing: dict[str, Review] = {}
        self.readings: dict[tuple[str, str], Review] = {}
        self.signed: dict[str, Review] = {}
        self.arrivals: dict[str, str] = {}
        self._arrange = arrange or (lambda items, _: order.ordered(items, self._weighed(items)))
        self._severity, self._ok_label, self._code, self._clock = severity, ok_label, code, clock
        self._named = named
        self._known_items, self._seq = -1, 0
        self._current: str | None = None
        self._skipped: set[str] = set()
        self._looked: dict[str, float] = {}
        self._since: float | None = None
        self._holder, self._held, self._held_until = "", "", float("-inf")
        self.elsewhere = 0

    def refresh(self) -> None:
        """Take in new items and the verdicts that others have recorded.

        Raises:
            ReviewError: The store does not answer.
        """
        count = self.store.count_items()
        if count != self._known_items:
            present = self.find(self._current)
            self.arrivals = self.store.arrivals()
            self.items = self._arrange(self.store.items(), self.arrivals)
            self._known_items = count
            if present is not None and present != self.find(present.id):
                self._turn_to(present.id)  # what is on the screen was renewed: it is looked at anew
        for review in self.store.reviews(after=self._seq):
            self._seq += 1
            if review.action is Action.UNDO:
                self.standing.pop(review.item, None)
            elif review.action is Action.READ:
                self.readings[review.item, review.reviewer] = review
            elif review.action is Action.SIGN:
                self.signed[review.item] = review
            else:
                self.standing[review.item] = review

    def rearrange(self, arrange: Arrange) -> None:
        """Put the items into another order; the present one stays on the screen."""
        self._arrange = arrange
        self.items = arrange(self.items, self.arrivals)

    def reading(self, item: Item) -> Review | None:
        """What this reviewer said of an item before its answer was shown."""
        return self.readings.get((item.id, self.reviewer))

    def upcoming(self) -> list[Item]:
        """The present item and those after it; what was skipped comes last.

        The present item is this reviewer's alone while it is on the screen. Empty where nothing waits, or where others
        have on their screens all that does (``elsewhere`` says how many).

        Raises:
            ReviewError: The store does not answer.
        """
        waiting = order.waiting(self.items, self.standing, label=self.label)
        waiting.sort(key=lambda item: item.id in self._skipped)
        present = [item for item in waiting if item.id == self._current]
        result = self._mine_first(present + [item for item in waiting if item.id != self._current])
        if (result[0].id if result else None) != self._current:
            self._turn_to(result[0].id if result else None)
        return result

    def _weighed(self, items: Iterable[Item]) -> dict[str, int]:
        codes = {item.label: self._code(item.label) for item in items}
        return {label: self._severity[code] for label, code in codes.items() if code in self._severity}

    def _mine_first(self, waiting: list[Item]) -> list[Item]:
        """The first item that nobody else has on the screen, then the rest; empty where others have all."""
        self.elsewhere = 0
        if self._holder not in ("", self.reviewer):
            self.store.release(self._holder)
            self._held_until = float("-inf")
        self._holder = self.reviewer
        if not self._holder:
            return waiting  # without a name nothing can be judged, so nothing is kept from others
        held = self._clock() < self._held_until - LEASE_S / 2
        for i, item in enumerate(waiting):
            mine = held and item.id == self._held == self._current
            if not mine and self.store.claim(item.id, self._holder, LEASE_S):
                mine, self._held, self._held_until = True, item.id, self._clock() + LEASE_S
            if mine:
                return [item, *waiting[:i], *waiting[i + 1 :]]
        self.elsewhere = len(waiting)
        return []

    def shown(self, *, visible: bool) -> None:
        """The page has shown the present item; from now on its time counts.

        Args:
            visible: Whether there was a picture to look at.
        """
        self.visible = visible
        if self._since is None:
            self._since = self._clock()

    def away(self) -> None:
        """The page shows something else: the present item's time stands still until it is shown again."""
        if self._current is not None and self._since is not None:
            self._looked[self._current], self._since = self._elapsed(), None

    def judge(self, turn: int, action: Action, label: str = "", note: str = "") -> bool:
        """Record a verdict on the present item.

        Args:
            turn: The turn in which the key was pressed.
            action: Confirm, reject (OK) or relabel.
            label: For a relabel: what it is.
            note: Free text.

        Returns:
            Whether it was recorded; if not, ``message`` says why.
        """
        item = self._pressed(turn)
        if item is None:
            return False
        found = self._code(item.label)
        if action is Action.RELABEL and label == found:
            action = Action.CONFIRM
        stands = {Action.CONFIRM: found, Action.REJECT: self._ok_label}.get(action, label)
        if stands == self._ok_label and not self._saw(item, "called OK"):
            return False
        review = Review(item.id, action, stands, self.reviewer, now(), self._elapsed(), note.strip())
        try:
            number = self.store.record(review, shown=item.digest)
        except ReviewError as error:
            return self._refused(error)
        self.message = f"Recorded as no. {number}: {self._named(stands)}, for {item.frame}"
        self._turn_to(None)
        return True

    def commit(self, turn: int, label: str, note: str, *, verdict: Action | None = None) -> bool:
        """Record a reading of the present item before its answer is shown; the item stays, in a new turn.

        Args:
            turn: The turn in which the key was pressed.
            label: What the reader takes it for.
            note: What else the reader said, as the vertical writes it.
            verdict: Where there is no answer to show: the reading is the verdict too, as this action.

        Returns:
            Whether it was recorded; if not, ``message`` says why.
        """
        item = self._pressed(turn)
        if item is None:
            return False
        if not self._saw(item, "read"):
            return False
        said = Review(item.id, Action.READ, label, self.reviewer, now(), self._elapsed(), note)
        try:
            alone = replace(said, action=verdict) if verdict is not None else None
            number = self.store.remark(said, shown=item.digest, verdict=alone)
        except ReviewError as error:
            return self._refused(error)
        self.readings[item.id, self.reviewer] = said
        self.message = f"Your reading is recorded as no. {number}"
        self._looked.pop(item.id, None)
        self._turn_to(item.id if verdict is None else None)
        return True

    def skip(self, turn: int) -> None:
        """Put the present item at the end, without a verdict."""
        item = self._pressed(turn)
        if item is None:
            return
        self._looked[item.id] = self._elapsed()
        self._skipped.add(item.id)
        if len(order.waiting(self.items, self.standing, label=self.label)) <= len(self._skipped):
            self._skipped = {item.id}
        self.message = f"Skipped without a verdict: {item.frame}"
        self._turn_to(None)

    def undo(self, turn: int) -> None:
        """Take back the reviewer's latest verdict and show that item again."""
        if turn != self.turn or not self.reviewer:
            return
        try:
            back = self.store.undo(self.reviewer, self._elapsed())
        except ReviewError as error:
            self.message = f"Not taken back: {error}"
            return
        if back is None:
            self.message = f"There is no verdict of {self.reviewer} to take back."
            return
        found = self.find(back.item)
        self.message = f"Taken back: {self._named(back.label)}, for {found.frame if found else back.item}"
        self.label = None if self.label not in (None, self._label_of(back.item)) else self.label
        self._turn_to(back.item)

    def find(self, item_id: str | None) -> Item | None:
        """An item by its id."""
        return next((item for item in self.items if item.id == item_id), None)

    def _label_of(self, item_id: str) -> str | None:
        item = self.find(item_id)
        return item.label if item else None

    def _pressed(self, turn: int) -> Item | None:
        """The present item, if the key was meant for it."""
        if turn != self.turn:
            return None
        if not self.reviewer:
            self.message = "Not recorded: give your name first."
            return None
        if self._since is None or self._clock() - self._since < LOOK_S:
            self.message = "Not recorded: the key came before the picture could be looked at."
            return None
        return self.find(self._current)

    def _saw(self, item: Item, what: str) -> bool:
        """Whether the person can have looked at the item's own picture; if not, ``message`` says why."""
        try:
            unchanged.check(item)
        except DataError as error:
            self.message = f"Not recorded: {error}"
            return False
        if not self.visible:
            self.message = f"Not recorded: what cannot be seen cannot be {what}."
        return self.visible

    def _refused(self, error: ReviewError) -> bool:
        self.message = f"Not recorded: {error}"
        self._known_items = -1  # an item that was renewed does not change their number
        return False

    def _elapsed(self) -> float:
        before = self._looked.get(self._current or "", 0.0)
        return round(before + (self._clock() - self._since if self._since is not None else 0.0), 3)

    def _turn_to(self, item_id: str | None) -> None:
        self.turn += 1
        self._current, self._since, self.visible = item_id, None, False
        item = self.find(item_id)
        unexamined = item is not None and item.verdict is Verdict.NOT_EXAMINED
        self.camera = Camera(whole=unexamined, outline=self.camera.outline)
