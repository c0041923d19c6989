"""Stand-alone scripts that execute policies in a process of their own, under any interpreter from Python 3.8 on.

They need NumPy and the runtime they drive, import nothing else of parity, and speak the protocol of `protocol.py`.
"""
