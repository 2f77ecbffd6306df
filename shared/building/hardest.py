"""The held-out images that a person should see: those got wrong, those it was unsure of, and where it looked."""

import base64
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.building.candidates import Candidate
from shared.building.work import Part, Work
from shared.data import images
from shared.errors import DataError
from shared.inference import Runtime, explanation

MOST = 24
_THUMBNAIL = 128
_FOR_THE_PAGE_SECONDS = 3.0
"""Left of the budget when no further map is checked: the page has still to be written."""

Picture = NDArray[np.uint8]


def hardest(work: Work, candidate: Candidate, test: Part, runtime: Runtime | None = None) -> list[dict[str, Any]]:
    """The test images that the model got wrong most surely, then those it was least sure of, with small pictures.

    Args:
        work: The build; maps are left out where its time is up.
        candidate: The model.
        test: Images that nothing was learnt from.
        runtime: The written bundle; with it each picture gets its class map for what was answered, and a check of it.

    Returns:
        What :func:`shared.reporting.build_page.write` shows.
    """
    if not len(test.rows):
        return []
    probabilities = candidate.probabilities(test)
    predicted, sure = probabilities.argmax(1), probabilities.max(1)
    order = np.lexsort((np.where(predicted != test.y, -sure, sure), predicted == test.y))[:MOST]
    found = []
    for i in order.tolist():
        picture, answer = _picture(work, test, i), work.labels[predicted[i]]
        shown = {
            "path": test.rows[i].sample.path,
            "label": work.labels[test.y[i]],
            "predicted": answer,
            "probability": float(sure[i]),
            "thumbnail": "" if picture is None else _jpeg(_small(picture)),
        }
        if picture is not None and runtime is not None and work.deadline.left > _FOR_THE_PAGE_SECONDS:
            shown |= _where(runtime, picture, answer)
        found.append(shown)
    return found


def _where(runtime: Runtime, picture: Picture, answer: str) -> dict[str, Any]:
    """The class map of an answer over its picture, and whether the marked places matter more than others."""
    answers = runtime.predict([picture], class_map=True)
    assert answers.class_map is not None
    places = explanation.contrast(answers.class_map[0], runtime.labels.index(answer))
    checked = explanation.faithfulness(runtime, picture, places, answer)
    return {
        "map": _jpeg(explanation.overlay(_small(picture), places)),
        "telling": checked.telling,
        "believable": checked.believable,
        "over_chance": checked.score,
    }


def _picture(work: Work, part: Part, i: int) -> Picture | None:
    sample = part.rows[i].sample
    try:
        return images.read(work.manifest.file(sample), window=sample.window)
    except DataError:
        return None


def _small(picture: Picture) -> Picture:
    scale = _THUMBNAIL / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(picture: Picture) -> str:
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [int(cv2.IMWRITE_JPEG_QUALITY), 80])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode() if done else ""
