"""A savings-recall curve in, its Vega-Lite chart out, with the machine's ceiling and the article's mark."""

from typing import Any

from verticals.agriculture.spraying.savings import ARTICLE_SAVED
from verticals.agriculture.viewing.prescriptions import Ground, Prescribed

_CURVE, _CEILING, _MARK, _CHOSEN = "#0072b2", "#009e73", "#999999", "#d55e00"


def savings(on: Ground, made: Prescribed) -> dict[str, Any]:
    """Expected recall across, share of broadcast saved upwards; both in per cent.

    Lines: the curve of this machine on this map, its ceiling, the article's figure. The point is what is chosen.
    """
    curve = [
        {"recall": 100 * p.recall, "saved": 100 * p.saved, "threshold": round(p.threshold, 3)} for p in on.curve.points
    ]
    lines: list[dict[str, Any]] = [
        {
            "saved": 100 * on.ceiling,
            "what": f"ceiling of this machine at 100 % recall: {100 * on.ceiling:.0f} %",
            "colour": _CEILING,
        },
        {
            "saved": 100 * ARTICLE_SAVED,
            "what": f"article: {100 * ARTICLE_SAVED:.0f} %, no machine named",
            "colour": _MARK,
        },
    ]
    x = {"field": "recall", "type": "quantitative", "title": "expected recall: diseased area sprayed, %"}
    y = {"field": "saved", "type": "quantitative", "title": "saved, %", "scale": {"domain": [0, 100]}}
    chosen = [] if made.recall is None else [{"recall": 100 * made.recall, "saved": 100 * made.plan.saved}]
    rule = {"field": "colour", "type": "nominal", "scale": None}
    return {
        "height": 230,
        "layer": [
            {
                "data": {"values": curve},
                "mark": {"type": "line", "color": _CURVE, "tooltip": True},
                "encoding": {"x": {**x, "scale": {"zero": False}}, "y": y},
            },
            {
                "data": {"values": lines},
                "mark": {"type": "rule", "strokeDash": [5, 3]},
                "encoding": {"y": y, "color": rule},
            },
            *(
                {
                    "data": {"values": [line]},
                    "mark": {"type": "text", "align": "left", "dx": 4, "dy": dy, "x": 0},
                    "encoding": {"y": y, "text": {"field": "what"}, "color": rule},
                }
                # Above the upper line and below the lower one, so that two near lines keep their words apart.
                for line, dy in zip(sorted(lines, key=lambda line: -line["saved"]), (-6, 8), strict=True)
            ),
            {
                "data": {"values": chosen},
                "mark": {"type": "point", "filled": True, "size": 110, "color": _CHOSEN},
                "encoding": {"x": x, "y": y},
            },
        ],
    }
