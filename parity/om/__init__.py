"""Ascend's offline models (OM): read without CANN, without a protobuf runtime, memory-mapped; nothing is executed."""
