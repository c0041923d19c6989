"""Ascend's numbers for element types, formats, precision modes and implementation modes, as the names that parity uses.

Sources: aclDataType and aclFormat in Ascend's public documentation of pyACL; the DataType enum of ge_ir.proto
(mindspore-ai/graphengine, Apache-2.0), which is another one; fe::PrecisionMode of CANN's public graph engine.
"""

from __future__ import annotations

_SUB_BYTE_AND_FLOAT8 = ("hifloat8", "float8_e5m2", "float8_e4m3", "float8_e8m0", "float6_e3m2", "float6_e2m3")

# aclDataType: in the model's in/out info, in attributes that hold a type.
ACL_DTYPES: dict[int, str] = {
    0: "float32",
    1: "float16",
    2: "int8",
    3: "int32",
    4: "uint8",
    6: "int16",
    7: "uint16",
    8: "uint32",
    9: "int64",
    10: "uint64",
    11: "float64",
    12: "bool",
    13: "str",
    16: "complex64",
    17: "complex128",
    18: "int8",  # 18 to 22 are "quantized" integers, stored as plain ones
    19: "int16",
    20: "int32",
    21: "uint8",
    22: "uint16",
    27: "bfloat16",
    29: "int4",
    30: "uint1",
    31: "int2",
    32: "uint2",
    33: "complex32",
    **dict(enumerate(_SUB_BYTE_AND_FLOAT8, start=34)),
    40: "float4_e2m1",
    41: "float4_e1m2",
}
# DataType of ge_ir.proto: in the descriptors of the graph.
GRAPH_DTYPES: dict[int, str] = {
    0: "undefined",
    1: "float32",
    2: "float16",
    3: "int8",
    4: "uint8",
    5: "int16",
    6: "uint16",
    7: "int32",
    8: "int64",
    9: "uint32",
    10: "uint64",
    11: "bool",
    12: "float64",
    13: "str",
    16: "complex64",
    17: "complex128",
    18: "int8",
    19: "int16",
    20: "int32",
    21: "uint8",
    22: "uint16",
    27: "bfloat16",
    28: "int4",
    29: "uint1",
    30: "int2",
    31: "uint2",
    32: "complex32",
    **dict(enumerate(_SUB_BYTE_AND_FLOAT8, start=33)),
    39: "float4_e2m1",
    40: "float4_e1m2",
}
# NumPy's type that holds one element; bfloat16 comes as its bits. What is missing cannot be read as an array.
NUMPY: dict[str, str] = {
    "float32": "<f4",
    "float16": "<f2",
    "bfloat16": "<u2",
    "float64": "<f8",
    "int8": "|i1",
    "uint8": "|u1",
    "int16": "<i2",
    "uint16": "<u2",
    "int32": "<i4",
    "uint32": "<u4",
    "int64": "<i8",
    "uint64": "<u8",
    "bool": "|b1",
    "complex64": "<c8",
    "complex128": "<c16",
}
FORMATS: dict[int, str] = {
    0: "NCHW",
    1: "NHWC",
    2: "ND",
    3: "NC1HWC0",
    4: "FRACTAL_Z",
    12: "NC1HWC0_C04",
    13: "FRACTAL_Z_C04",
    14: "CHWN",
    16: "HWCN",
    27: "NDHWC",
    29: "FRACTAL_NZ",
    30: "NCDHW",
    31: "DHWCN",
    32: "NDC1HWC0",
    33: "FRACTAL_Z_3D",
    34: "CN",
    35: "NC",
    47: "NCL",
    50: "FRACTAL_NZ_C0_16",
    51: "FRACTAL_NZ_C0_32",
}
PRECISION_MODES: dict[int, str] = {
    0: "force_fp16",
    1: "allow_fp32_to_fp16",
    2: "mix_fp16",
    3: "must_keep_origin",
    4: "force_fp32",
    5: "force_lowerprecision",
    6: "allow_fp32_to_bf16",
    7: "allow_fp32_to_lowprecision",
    8: "mix_bf16",
    9: "cube_hif8",
    10: "mixed_hif8",
}
# What `atc --precision_mode` and `--precision_mode_v2` may say, where it is not the name itself.
PRECISION_WORDS: dict[str, str] = {
    "fp16": "force_fp16",
    "origin": "must_keep_origin",
    "must_keep_origin_dtype": "must_keep_origin",
    "allow_mix_precision": "mix_fp16",
    "allow_mix_precision_fp16": "mix_fp16",
    "mixed_float16": "mix_fp16",
    "allow_mix_precision_bf16": "mix_bf16",
    "mixed_bfloat16": "mix_bf16",
    "cube_fp16in_fp32out": "force_fp32",
}
# Bits of the attribute _op_impl_mode_enum.
MODES: dict[int, str] = {
    0x1: "default",
    0x2: "high_performance",
    0x4: "high_precision",
    0x8: "super_performance",
    0x10: "support_out_of_bound_index",
    0x20: "fp32_execution",
    0x40: "hf32_execution",
}
PARTITIONS: dict[int, str] = {
    0: "model_definition",
    1: "weights",
    2: "task_info",
    3: "tbe_kernels",
    4: "custom_aicpu_kernels",
    5: "shared_objects",
    6: "flow_model",
    7: "flow_submodel",
    8: "in_out_info",
    9: "static_tasks",
    10: "dynamic_tasks",
    11: "task_parameters",
    12: "tiling",
    20: "pre_model_description",
    21: "pre_model_tasks",
    22: "pre_kernel_arguments",
    23: "pre_model_weights",
    24: "bundle",
    25: "bundle_variables",
    26: "custom_operators",
}


def named(table: dict[int, str], number: int) -> str:
    """Return the name of a number, or ``unknown-<number>``."""
    return table.get(number, f"unknown-{number}")


def modes_of(bits: int) -> tuple[str, ...]:
    """Return the implementation modes that an operator's bits name; what is not known as ``unknown-<bit>``."""
    return tuple(MODES.get(1 << i, f"unknown-{1 << i:#x}") for i in range(max(bits, 0).bit_length()) if bits >> i & 1)
