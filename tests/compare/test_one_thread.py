"""Linear algebra on one thread, and nothing of it left behind."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, numpy
from parity.compare.one_thread import one_thread
before = dict(os.environ)
from threadpoolctl import threadpool_info
os.environ.pop("KMP_DUPLICATE_LIB_OK", None)
several = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
with one_thread():
    inside = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
after = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
assert inside and set(inside) == {1}, inside
assert after == several, (several, after)
assert dict(os.environ) == before
"""


def test_one_thread_inside_as_many_as_before_outside() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "KMP_DUPLICATE_LIB_OK"}
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, env=environment)


def test_what_is_started_afterwards_inherits_nothing() -> None:
    lines = ["import os", "from parity.compare.one_thread import one_thread", "one_thread()"]
    program = "\n".join([*lines, "print('KMP_DUPLICATE_LIB_OK' in os.environ)"])
    environment = {k: v for k, v in os.environ.items() if k != "KMP_DUPLICATE_LIB_OK"}
    done = subprocess.run([sys.executable, "-c", program], check=True, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
