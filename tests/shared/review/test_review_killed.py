import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from shared.review.items import Item
from shared.review.store import Store

WRITER = """
import sys
from shared.records import Action, Review
from shared.review.log import now
from shared.review.store import Store

store = Store.open(sys.argv[1])
standing = store.standing()
for item in store.items():
    if item.id not in standing:
        print(store.record(Review(item.id, Action.CONFIRM, "SCR", "Anna", now(), 1.0)), flush=True)
"""


@pytest.mark.long
def test_ten_kills_of_a_writer_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    store = Store.open(str(path))
    store.add_items(Item(f"i{n:05d}", "f", "", None, "SCR", 0.9, 0.9) for n in range(20_000))
    chance = random.Random(11)
    total = 0
    for _ in range(10):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        said = [writer.stdout.readline()]
        reader = threading.Thread(target=lambda out=writer.stdout, said=said: said.extend(out.readlines()))
        reader.start()
        time.sleep(chance.uniform(0, 0.3))
        os.kill(writer.pid, signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        reader.join()
        writer.stdout.close()
        acknowledged = [int(row) for row in said if row.endswith("\n")]
        assert acknowledged == list(range(total + 1, total + 1 + len(acknowledged)))
        store.verify()
        count = store.head().count
        assert acknowledged[-1] <= count <= acknowledged[-1] + 1
        total = count
    assert len(store.standing()) == total >= 10
