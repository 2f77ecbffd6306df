from pathlib import Path

import pytest

from shared.errors import ConfigError
from verticals.agriculture.spraying import machine


def test_every_profile_of_the_package_loads_and_names_its_source() -> None:
    known = machine.profiles()
    assert {m.section_m for m in known.values()} == {0.5, 3.0, 12.0, 24.0}
    assert all(m.source for m in known.values())
    spot = machine.named("spot_50cm_1m_zone")
    assert (spot.section_m, spot.buffer_m) == (0.5, 1.0) and "AMAZONE" in spot.source


def test_a_file_of_ones_own_says_speed_and_times_and_gets_lengths(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\nboom_m = 21\nsection_m = 3\nspeed_km_h = 7.2\nmin_on_s = 0.5\nlatency_s = 0.25\n')
    own = machine.load(file)
    assert (own.sections, own.min_on_m, own.latency_m) == (7, 1.0, 0.5)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("boom_m = 20", "6.67 times section_m 3"),
        ("speed_km_h = 0", "speed_km_h is 0; allowed are 0.5 to 40 km/h"),
        ("buffer_m = 11.5", "allowed are 0 to 10 m"),
        ("buffr_m = 1", "did you mean 'buffer_m'"),
    ],
)
def test_a_machine_that_cannot_be_is_refused_with_what_is_allowed(tmp_path: Path, change: str, sentence: str) -> None:
    file = tmp_path / "own.toml"
    lines = ['name = "own"', "section_m = 3", change] + ([] if "boom_m" in change else ["boom_m = 21"])
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=sentence):
        machine.load(file)


def test_an_unknown_profile_is_told_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'nozzle_50cm'"):
        machine.named("nozzle_50")
