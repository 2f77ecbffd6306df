import numpy as np

from shared.inference import novelty


def test_held_out_images_score_one_at_their_99th_percentile_and_strangers_more() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(60, 60)) * np.linspace(3, 0.1, 60)
    train, held_out, strangers = (rng.normal(size=(n, 60)) @ mixing.T for n in (400, 300, 50))
    fitted = novelty.fit(train, held_out)
    scores = fitted.score(held_out)
    assert np.quantile(scores, 0.99) == np.float64(1.0) or abs(np.quantile(scores, 0.99) - 1) < 1e-5
    assert np.median(fitted.score(strangers + 25 * rng.normal(size=60))) > 1.5


def test_more_features_than_images_give_the_same_score_as_the_full_covariance_would_order() -> None:
    """With fewer images than features the dual problem is solved; along a trained direction strangers show less."""
    rng = np.random.default_rng(1)
    direction = rng.normal(size=500)
    direction /= np.linalg.norm(direction)
    train = 5 * rng.normal(size=(80, 1)) * direction + 0.1 * rng.normal(size=(80, 500))
    fitted = novelty.fit(train, train[:20])
    off = rng.normal(size=500)
    off -= (off @ direction) * direction
    off /= np.linalg.norm(off)
    assert fitted.score(5 * off[None])[0] > 3 * fitted.score(5 * direction[None])[0]
