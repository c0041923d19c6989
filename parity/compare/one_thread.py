"""Small products on one thread: more cost more than they give, and sums then round by how many there are."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which NumPy's linear algebra uses one thread, in this process and nowhere else.

    To import `threadpoolctl` sets KMP_DUPLICATE_LIB_OK, which no process that is started from here shall inherit.
    """
    before = os.environ.get("KMP_DUPLICATE_LIB_OK")
    from threadpoolctl import threadpool_limits

    if before is None:
        os.environ.pop("KMP_DUPLICATE_LIB_OK", None)
    limited: AbstractContextManager[Any] = threadpool_limits(1, "blas")
    return limited
