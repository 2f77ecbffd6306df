"""The ladder to whole numbers of 8 bits: each rung gives back some of what the one before it lost, at some cost.

1. Every layer, ranges from the training images.
2. Biases, and the head's means and deviations, re-estimated: costs neither bytes nor time.
3. The head taught the parent's answers on rounded features: neither.
4. The layers with most rounding noise left in float32: bytes and time.
5. The network trained for a while as if it were rounded already, by what its parent says: minutes.

The driver stops at the first rung that keeps the limits, and refuses where none does.
"""

from collections.abc import Iterator

from shared.building.candidates import Candidate
from shared.compression import head_recovery, whole_number_training
from shared.compression.ladder import Ladder
from shared.compression.parent import Parent
from shared.compression.recipe import Compression


def rungs(parent: Parent, recipe: Compression) -> Iterator[Candidate]:
    """Candidates in whole numbers, see above.

    Args:
        parent: The larger model; it is not in whole numbers yet.
        recipe: Its ``quantize``.

    Raises:
        ExportError: The parent's graph cannot be put into whole numbers.
        MissingDependency: The engine asked for is not installed.
    """
    if recipe.quantize.engine == "nncf":
        from shared.compression import nncf_engine

        yield nncf_engine.candidate(parent, recipe)
        return
    ladder = Ladder.of(parent, recipe)
    yield ladder.rung("int8", ladder.plain)
    fixed = ladder.fixed(())
    known = ladder.features(fixed)
    head = head_recovery.standardised(parent, known)
    yield ladder.rung("int8, biases re-estimated", fixed, known=known, head=head)
    taught = head_recovery.taught(parent, head, known)
    yield ladder.rung("int8, biases re-estimated, head taught by the parent", fixed, known=known, head=taught)
    for share in recipe.quantize.left_out:
        worst = ladder.worst(share)
        body = ladder.fixed(worst)
        known = ladder.features(body)
        head = head_recovery.taught(parent, head_recovery.standardised(parent, known), known)
        yield ladder.rung("int8, biases re-estimated, head taught by the parent", body, worst, known=known, head=head)
    if recipe.quantize.recovery:
        yield from whole_number_training.rungs(parent, recipe)
