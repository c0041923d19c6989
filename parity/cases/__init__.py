"""Deterministic inputs for a policy, from its contract alone or from the user's own observations.

`make_cases` gives the profiles `nominal` and `edge`, `cases_from_npz` gives `dataset`; `worst` is found by
`parity.search`.
"""

from parity.cases.caseset import CaseSet, batch_case, fingerprint
from parity.cases.dataset import cases_from_npz
from parity.cases.generate import make_cases

__all__ = ["CaseSet", "batch_case", "cases_from_npz", "fingerprint", "make_cases"]
