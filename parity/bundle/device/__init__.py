"""The parts of `run_on_device.py`: Python 3.7, NumPy, the runtime, nothing of parity. `parity.bundle.script` joins them.

Each part stands alone but for the names of the others, which it imports here and finds in the same file there.
"""
