"""Numbers and names in words, written the same everywhere."""

import re


def counted(count: int, noun: str) -> str:
    """``"1 group"``, ``"2 groups"``, ``"1,200 images"``: for nouns whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def spoken(key: str) -> str:
    """The key of a fact as a person reads it: ``area_saved_at_95_recall`` is ``"area saved at 95 % recall"``."""
    return re.sub(r"\bat (\d+) (?=recall)", r"at \1 % ", key.replace("_", " "))
