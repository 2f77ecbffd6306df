"""A picture in, the reason why it shows nothing at all out."""

import numpy as np
from numpy.typing import NDArray


def why(picture: NDArray[np.uint8]) -> str | None:
    """Why nothing is seen in a picture: all its pixels have one value, as a dead or saturated camera gives them.

    A part of a picture may well be so (clipped background beside an object); a whole one never is.

    Args:
        picture: ``(height, width, channels)`` or ``(height, width)``, all of it.

    Returns:
        One sentence, None where something is to be seen.
    """
    first = picture[0, 0]
    # The first line settles it for nearly every picture, so that this costs nothing.
    if (picture[0] != first).any() or (picture != first).any():
        return None
    values = sorted({int(value) for value in np.atleast_1d(first)})
    value = f"the value {values[0]}" if len(values) == 1 else f"the colour {', '.join(str(v) for v in first)}"
    return (
        f"every pixel has {value}, so that nothing is seen: the camera is dead, covered or saturated, or no picture "
        "came into the file; take it again"
    )
