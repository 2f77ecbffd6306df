# /// script
# dependencies = ["scikit-learn==1.9.1", "numpy==2.4.6", "pillow==12.3.0"]
# ///
"""scikit-learn on pixels: 64 x 64 RGB, PCA, then logistic regression, an SVM or boosted trees, whichever is best in CV.

Cross-validation is over groups and by balanced accuracy, on training and validation images together. Candidates are
tried in order until half of the time is spent; the best is fitted on all of them.
"""

from exchange import Case, answer, elapsed, task  # isort: skip

from collections.abc import Iterator, Sequence

import numpy as np
import sklearn
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

SIDE = 64
FOLDS = 4
SEARCH = 0.5
"""Share of the budget for the search: one more candidate may be under way when it ends, and the last fit follows."""


def pixels(cases: Sequence[Case]) -> np.ndarray:
    rows = []
    for case in cases:
        with Image.open(case.path) as image:
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
        rows.append(np.asarray(small, np.float32).ravel() / 255)
    return np.stack(rows)


def candidates(most: int, seed: int) -> Iterator[tuple[str, Pipeline]]:
    """From the likeliest to the rest; ``most`` bounds the components of the PCA."""
    for components in (64, 128, 256, 32):
        kept = min(components, most)
        before = PCA(kept, whiten=True, random_state=seed)
        for c in (3.0, 30.0):
            yield f"PCA {kept}, SVC C={c:g}", make_pipeline(before, SVC(C=c, class_weight="balanced"))
        for c in (0.01, 0.1):
            logistic = LogisticRegression(C=c, class_weight="balanced", max_iter=500)
            yield f"PCA {kept}, logistic C={c:g}", make_pipeline(before, StandardScaler(), logistic)
        trees = HistGradientBoostingClassifier(max_iter=100, class_weight="balanced", random_state=seed)
        yield f"PCA {kept}, boosted trees", make_pipeline(PCA(kept, random_state=seed), trees)


def main() -> None:
    todo = task()
    known = [*todo.train, *todo.validation]
    x, y = pixels(known), np.array([c.label for c in known])
    groups = np.array([c.group for c in known])
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=todo.seed)
    tried: list[tuple[float, str, Pipeline]] = []
    for name, model in candidates(len(known) * (FOLDS - 1) // FOLDS - 1, todo.seed):
        scores = cross_val_score(model, x, y, groups=groups, cv=folds, scoring="balanced_accuracy")
        tried.append((float(scores.mean()), name, model))
        if todo.left < (1 - SEARCH) * todo.seconds:
            break
    _, name, model = max(tried, key=lambda entry: entry[0])
    model.fit(x, y)
    seconds = elapsed()
    answer(
        todo,
        model.predict(pixels(todo.test)).tolist(),
        version=sklearn.__version__,
        start="none (pixels)",
        trained_seconds=seconds,
        note=f"{name}, best of {len(tried)}",
    )


if __name__ == "__main__":
    main()
