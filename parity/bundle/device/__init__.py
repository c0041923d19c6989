"""The parts of `run_on_device.py`, joined by `parity.bundle.script`: Python 3.7, NumPy, the runtime, nothing of parity.

Each part stands alone but for the names of the others, which it imports here and finds in the same file there.
"""
