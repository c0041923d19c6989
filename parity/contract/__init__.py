"""What a policy takes and gives, as plain data. One file per format turns an artifact into a `Contract`.

Nothing that an artifact leaves out is filled with a library's current default: it stays None.
"""

from parity.contract.model import Contract, Normalization, Sampler, Window
from parity.contract.registry import ContractReader, read_contract

__all__ = ["Contract", "ContractReader", "Normalization", "Sampler", "Window", "read_contract"]
