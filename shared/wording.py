"""Numbers of things in words, written the same everywhere."""


def counted(count: int, noun: str) -> str:
    """``"1 group"``, ``"2 groups"``, ``"1,200 images"``: for nouns whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
