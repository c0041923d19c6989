"""Predicts whether a graph survives float16: labelled PREDICTED wherever it appears, and never able to pass anything.

Float16 has 11 bits for a number's digits and ends at 65504; below 2⁻¹⁴ it loses digits, below 2⁻²⁵ all is 0. A graph is
run on a release's own cases twice, in float32 and with every value that a device would hold in float16 rounded to it,
and looked at value by value. No device computes exactly so (sums inside an operation, fast versions of Exp, Softmax or
LayerNorm, chips that end at 65504 instead of infinity), so this names where to look and proves nothing.

Sources: IEEE 754 binary16; `atc --precision_mode` and `--keep_dtype` in Huawei's ATC documentation (CANN 8.0), overflow
modes in its `set_device_sat_mode`.
"""
