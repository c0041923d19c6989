"""Why two policies differ: a named cause, from the artifacts themselves and from stored outputs."""

from parity.diagnose.explanation import Explanation, finding_of
from parity.diagnose.faults.unnormalization import Statistics, statistics_of, statistics_of_scale
from parity.diagnose.static import NORMALIZER, likely_cause, static_findings
from parity.diagnose.structure import fit_structure

__all__ = [
    "NORMALIZER",
    "Explanation",
    "Statistics",
    "finding_of",
    "fit_structure",
    "likely_cause",
    "static_findings",
    "statistics_of",
    "statistics_of_scale",
]
