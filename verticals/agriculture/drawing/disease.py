"""Plants in, an epidemic out: which are infected by what, in clustered patches, and how their leaves are covered."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from verticals.agriculture.drawing.random_fields import Field, Rng, gaussian_field, grain
from verticals.agriculture.drawing.stand import Crowns, Places, pixels

LEAST_SEVERITY = 0.03
"""Share of leaf area that a plant at the edge of a patch has lost; below it nobody would see it from the air."""


@dataclass(frozen=True)
class Epidemic:
    """What each plant has.

    Attributes:
        disease: ``(n,)`` int8, index into the setting's diseases, -1 for a healthy plant.
        severity: ``(n,)`` float32, share of leaf area that is meant to be diseased, 0 to 1; what was drawn is measured.
    """

    disease: NDArray[np.int8]
    severity: Field


def spread(
    rng: Rng,
    places: Places,
    shape: tuple[int, int],
    gsd_m: float,
    *,
    kinds: int,
    share: float,
    patch_m: float,
    top: float,
) -> Epidemic:
    """Infect ``share`` of the plants in patches, each patch worst in its middle.

    One Gaussian random field for each disease, made normal over the plants so that all diseases are equally common; a
    plant is infected where its largest value is above the quantile that gives the share, so that a larger share with
    the same ``rng`` seed infects a superset of the plants: the later flight over one field.

    Args:
        rng: Source of randomness.
        places: ``(n, 2)`` of the plants in metres.
        shape: ``(H, W)`` of the raster in pixels.
        gsd_m: Metres per pixel.
        kinds: Number of diseases.
        share: Of plants that are infected, 0 to 1.
        patch_m: Correlation length of the patches in metres.
        top: Severity in the worst places, 0 to 1.
    """
    row, column = pixels(places, shape, gsd_m)
    fields = [gaussian_field(rng, shape, patch_m / gsd_m)[row, column] for _ in range(kinds)]
    unlike = np.exp(rng.normal(0, 0.35, len(places)))
    healthy = np.full(len(places), -1, np.int8), np.zeros(len(places), np.float32)
    if not kinds or not len(places) or share <= 0:
        return Epidemic(*healthy)
    scores = [ndtri((values.argsort().argsort() + 0.5) / len(values)) for values in fields]
    worst, kind = np.max(scores, 0), np.argmax(scores, 0).astype(np.int8)
    edge = float(np.quantile(worst, 1 - share))
    above = worst - edge
    severity = np.clip((LEAST_SEVERITY + 0.55 * top * np.maximum(above, 0)) * unlike, LEAST_SEVERITY, top)
    sick = above > 0
    return Epidemic(np.where(sick, kind, np.int8(-1)), np.where(sick, severity, 0).astype(np.float32))


def lesions(rng: Rng, severity: Field, size_px: float) -> Field:
    """Share of each pixel's leaf that is lesion, ``(H, W)`` float32, 0 to 1, where ``severity`` says how much.

    Standard normal noise of grains of the lesions' size is cut at the quantile of the local severity, softly: lesions
    smaller than a pixel only tint it.
    """
    z = grain(rng, severity.shape, size_px)
    # A table, because the normal quantile of every pixel would take as long as all the rest.
    steps = np.linspace(0, 1, 2049)
    cut = -ndtri(np.clip(steps, 1e-4, 1 - 1e-4)).astype(np.float32)
    limit = cut[np.rint(severity * 2048).astype(np.int32)]
    spot = 1 / (1 + np.exp(np.clip(-(z - limit) / 0.12, -30, 30)))
    return np.where(severity > 0, spot, 0).astype(np.float32)


def measured(crowns: Crowns, crop: NDArray[np.bool_], lesions: Mapping[str, Field], plants: int) -> Field:
    """Severity as it was drawn: per cent of each plant's visible leaf area that is lesion, ``(H, W)`` float32.

    NaN where no leaf of the crop is seen.

    Args:
        crowns: Of the crop.
        crop: ``(H, W)`` whether the pixel shows a leaf of the crop.
        lesions: By disease, ``(H, W)`` share of the pixel that is lesion.
        plants: Number of plants.
    """
    if not plants:
        return np.full(crop.shape, np.nan, np.float32)
    own = crowns.plant[crop]
    leaf = np.bincount(own, minlength=plants)
    sick = sum(
        (np.bincount(own, weights=lesion[crop], minlength=plants) for lesion in lesions.values()), np.zeros(plants)
    )
    percent = (100 * sick / np.maximum(leaf, 1)).astype(np.float32)
    return np.where(crop, percent[np.maximum(crowns.plant, 0)], np.float32(np.nan))


def yellowing(crowns: Crowns, epidemic: Epidemic, of: int) -> Field:
    """How yellow the leaves between the lesions of one disease are, ``(H, W)`` float32, 0 to 1."""
    chosen = np.where(epidemic.disease == of, np.clip(1.5 * epidemic.severity**0.8, 0, 1), 0).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(chosen[np.maximum(crowns.plant, 0)], (0, 0), 2.0), np.float32)
