"""What a clinic decides about page and reports, read from TOML: blind-first or not, prevalence, where reports lie."""

from dataclasses import dataclass
from pathlib import Path

from shared import config
from verticals.medical.reading import frequency

DEFAULTS = Path(__file__).parent / "policy.toml"
ASSUMED = 0.03
"""Prevalence of a clinic that has not set its own."""


@dataclass(frozen=True)
class PagePolicy:
    """What the clinicians' page does.

    Attributes:
        blind_first: Whether a reader commits to a reading before the model's answer is shown.
        prevalence: Share of malignant and pre-malignant pictures among those of the clinic, below 1; 0 where the clinic
            has not set it.
        study_prevalence: The same among the pictures of the build; 0 where the folder of reports is to say it.
        reports: Folder that ``loupe structured-report`` wrote; empty for ``reports`` beside the review store.
        cases: Folder from which the paths of the build's pictures start; empty where they are not at hand.
    """

    blind_first: bool = False
    prevalence: float = 0.0
    study_prevalence: float = 0.0
    reports: str = ""
    cases: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.prevalence < 1:
            raise ValueError(f"prevalence is {self.prevalence}; allowed is 0 (not set) to below 1, e.g. 0.03")
        if not 0 <= self.study_prevalence < 1:
            raise ValueError(f"study_prevalence is {self.study_prevalence}; allowed is 0 (not known) to below 1")

    @property
    def clinic(self) -> frequency.Clinic:
        """The clinic's prevalence, or the one that is assumed and said to be."""
        return frequency.Clinic(self.prevalence or ASSUMED, assumed=not self.prevalence)

    def reports_beside(self, store: str) -> Path:
        """The folder of reports.

        Args:
            store: File or database URL of the review store.
        """
        if self.reports:
            return Path(self.reports)
        return (Path() if "://" in store else Path(store).parent) / "reports"


def load(file: str) -> PagePolicy:
    """The defaults, and the site's file over them; an empty name for the defaults alone.

    Raises:
        ConfigError: The file is not usable.
    """
    return config.load(PagePolicy, DEFAULTS, *([Path(file)] if file else []))
