import numpy as np
import onnx
import pytest
from scipy.stats import beta, binom
from sklearn.decomposition import PCA

from shared.inference import novelty, runtime


def mixed(n: int, seed: int, features: int = 60) -> np.ndarray:
    mixing = np.random.default_rng(0).normal(size=(features, features)) * np.linspace(3, 0.1, features)
    return np.random.default_rng(seed).normal(size=(n, features)) @ mixing.T


def test_held_out_images_score_one_at_their_99th_percentile_and_strangers_more() -> None:
    train, held_out, strangers = mixed(400, 1), mixed(300, 2), mixed(50, 3)
    fitted = novelty.fit(train, held_out)
    assert np.quantile(fitted.score(held_out), 0.99) == pytest.approx(1, abs=1e-5)
    assert np.median(fitted.score(strangers + 25 * np.random.default_rng(4).normal(size=60))) > 1.5


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


@pytest.mark.parametrize(("n", "features"), [(300, 40), (50, 200)])
def test_the_main_directions_are_those_of_a_principal_component_analysis(n: int, features: int) -> None:
    z = mixed(n, 5, features)
    oracle = PCA(8, svd_solver="full").fit(z)
    directions, values, total = novelty.principal(z, 8)
    assert np.abs(np.sum(directions.T * oracle.components_, 1)) == pytest.approx(np.ones(8), abs=1e-9)
    assert values == pytest.approx(oracle.explained_variance_ * (n - 1) / n)
    assert values.sum() / total == pytest.approx(oracle.explained_variance_ratio_.sum())


def test_the_score_is_the_distance_under_the_modelled_covariance() -> None:
    train = mixed(400, 6)
    fitted = novelty.fit(train, mixed(100, 7), components=10)
    plain, variances = fitted.plain.astype(np.float64), fitted.deviations.astype(np.float64) ** 2
    along = plain @ np.diag(variances - fitted.residual_variance) @ plain.T
    covariance = fitted.residual_variance * np.eye(60) + along
    strangers = mixed(20, 8) + 3
    expected = np.sqrt(np.einsum("ij,jk,ik->i", strangers, np.linalg.inv(covariance), strangers)) / fitted.scale
    assert fitted.score(strangers) == pytest.approx(expected, rel=1e-4)


def test_one_projection_in_the_graph_is_enough() -> None:
    """The nodes a graph needs when it holds the unit directions once and the deviations beside them."""
    fitted = novelty.fit(mixed(400, 6), mixed(100, 7), components=10)
    strangers = (mixed(20, 8) + 3).astype(np.float32)
    node = onnx.helper.make_node
    nodes = [
        node("MatMul", ["z", "plain"], ["along"]),
        node("Mul", ["along", "inverse"], ["inside"]),
        node("ReduceSumSquare", ["inside", "axis"], ["inside2"], keepdims=0),
        node("ReduceSumSquare", ["along", "axis"], ["along2"], keepdims=0),
        node("ReduceSumSquare", ["z", "axis"], ["z2"], keepdims=0),
        node("Sub", ["z2", "along2"], ["outside"]),
        node("Relu", ["outside"], ["positive"]),
        node("Mul", ["positive", "residual"], ["outside2"]),
        node("Add", ["inside2", "outside2"], ["distance2"]),
        node("Sqrt", ["distance2"], ["distance"]),
        node("Mul", ["distance", "scale"], ["novelty"]),
    ]
    constants = {
        "plain": fitted.plain,
        "inverse": 1 / fitted.deviations,
        "residual": np.float32(1 / fitted.residual_variance),
        "scale": np.float32(1 / fitted.scale),
    }
    stored = [onnx.numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in constants.items()]
    stored.append(onnx.numpy_helper.from_array(np.array([1], np.int64), "axis"))
    real = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "novelty",
        [onnx.helper.make_tensor_value_info("z", real, ["n", 60])],
        [onnx.helper.make_tensor_value_info("novelty", real, ["n"])],
        stored,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    found = runtime.session(model.SerializeToString(), threads=1).run(None, {"z": strangers})[0]
    assert found == pytest.approx(fitted.score(strangers), rel=1e-4)


@pytest.mark.parametrize(("share", "needed"), [(0.05, 59), (0.02, 149), (0.01, 299)])
def test_a_limit_needs_the_well_known_number_of_groups(share: float, needed: int) -> None:
    scores = np.linspace(0.1, 1, needed)
    enough = novelty.reject_limit(scores, share=share)
    assert enough.more_needed == 0 and enough.limit == 1.0 and enough.share <= share
    short = novelty.reject_limit(scores[1:], share=share)
    assert short.more_needed == 1 and short.limit == 1.0 and f"{share:.1%} needs 1 more group" in str(short)
    assert short.share == pytest.approx(1 - 0.05 ** (1 / (needed - 1)))


def test_the_limit_rejects_more_than_promised_only_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    limits = np.array([novelty.reject_limit(rng.uniform(size=150), share=0.05).limit for _ in range(1000)])
    kept = (1 - limits <= 0.05).mean()  # scores are uniform: the share above the limit is 1 - limit
    # With 150 groups the third largest score is the limit, which keeps the promise with exactly this probability.
    exact = beta.sf(0.95, 148, 3)
    assert exact == pytest.approx(1 - binom.cdf(2, 150, 0.05)) and exact >= 0.95
    assert kept == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 1000))


def test_images_of_one_group_do_not_make_a_limit_safer() -> None:
    scores = np.linspace(0, 1, 300)
    found = novelty.reject_limit(scores, groups=[f"part {i % 6}" for i in range(300)])
    assert found.groups == 6 and found.images == 300 and found.limit == 1.0 and found.more_needed == 53
    assert "on 6 independent groups (300 images)" in str(found)


def test_without_held_out_images_nothing_is_rejected_and_nothing_promised() -> None:
    found = novelty.reject_limit(np.zeros(0))
    assert found.limit == np.inf and found.share == 1.0 and "59 groups are needed" in str(found)


def test_a_share_that_is_one_group_short_is_not_rounded_down_to_the_wanted_one() -> None:
    said = str(novelty.reject_limit(np.linspace(0.1, 1.0, 58), share=0.05))
    assert "rejects at most 5.1% of images" in said and "5.0% needs 1 more group" in said
