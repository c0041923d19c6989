"""Pickles that run something when they are loaded, by every opcode that can call, in every container of pickles.

They are made when a test runs and lie nowhere. What they run is `touch` of a module written beside the test, which
leaves a file; importing that module leaves another.
"""

from __future__ import annotations

import copyreg
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

GADGET = """
import pathlib
HERE = pathlib.Path(__file__).parent
(HERE / "imported").touch()
def touch(*args, **more):
    (HERE / "ran").touch()
    return {}
class New:
    def __new__(cls, *args, **more):
        touch()
        return object.__new__(cls)
class Methods:
    def __setstate__(self, state): touch()
    def __setitem__(self, key, value): touch()
    append = extend = add = touch
class Slots:
    __slots__ = ()
    def __setattr__(self, name, value): touch()
"""
MODULE = "parity_test_gadget"
EXTENSION = 0x70  # for private use (PEP 307)
MARKS = ("ran", "imported")


def gadget(folder: Path) -> None:
    """Write the module whose functions leave a mark."""
    (folder / f"{MODULE}.py").write_text(GADGET)


def text(value: str) -> bytes:
    """Return the opcodes that push a string."""
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def name(attribute: str) -> bytes:
    """Return GLOBAL of the gadget's attribute."""
    return f"c{MODULE}\n{attribute}\n".encode()


def bodies(folder: Path) -> dict[str, bytes]:
    """Return the opcodes between PROTO and STOP, by what they use; each leaves one object on the stack."""
    mark = str(folder / "ran")
    touch = f"__import__('pathlib').Path({mark!r}).touch()"
    methods = name("Methods") + b")\x81"
    stack_global = text(MODULE) + text("touch") + b"\x93"
    empty = b")"
    return {
        "REDUCE": name("touch") + empty + b"R",
        "REDUCE of STACK_GLOBAL": stack_global + empty + b"R",
        "REDUCE os.system": b"cos\nsystem\n" + text(f"touch '{mark}'") + b"\x85R",
        "REDUCE posix.system": b"cposix\nsystem\n" + text(f"touch '{mark}'") + b"\x85R",
        "REDUCE builtins.eval": b"cbuiltins\neval\n" + text(touch) + b"\x85R",
        "REDUCE builtins.exec": b"cbuiltins\nexec\n" + text(touch) + b"\x85R",
        "REDUCE __builtin__.eval": b"c__builtin__\neval\n" + text(touch) + b"\x85R",
        "REDUCE subprocess": b"csubprocess\ncall\n(" + text("touch") + text(mark) + b"l\x85R",
        "REDUCE map in a list": b"cbuiltins\nlist\ncbuiltins\nmap\n" + name("touch") + b"](K\x01e\x86R\x85R",
        "REDUCE getattr": b"cbuiltins\ngetattr\ncbuiltins\n__import__\n"
        + text(MODULE)
        + b"\x85R"
        + text("touch")
        + b"\x86R"
        + empty
        + b"R",
        "REDUCE partial": b"cfunctools\npartial\n" + name("touch") + b"\x85R" + empty + b"R",
        "INST": f"(i{MODULE}\ntouch\n".encode(),
        "OBJ": b"(" + name("touch") + b"o",
        "NEWOBJ": name("New") + empty + b"\x81",
        "NEWOBJ_EX": name("New") + empty + b"}" + text("k") + b"K\x01s\x92",
        "BUILD __setstate__": methods + b"K\x01b",
        "BUILD slots": name("Slots") + b")\x81N}" + text("k") + b"K\x01s\x86b",
        "APPEND": methods + b"K\x01a",
        "APPENDS": methods + b"(K\x01K\x02e",
        "ADDITEMS": methods + b"(K\x01\x90",
        "SETITEM": methods + b"K\x01K\x02s",
        "SETITEMS": methods + b"(K\x01K\x02u",
        "EXT1": b"\x82" + bytes([EXTENSION]) + empty + b"R",
        "EXT2": b"\x83" + EXTENSION.to_bytes(2, "little") + empty + b"R",
        "EXT4": b"\x84" + EXTENSION.to_bytes(4, "little") + empty + b"R",
        "PERSID": b"Pstorage\n",
        "BINPERSID": text("storage") + b"Q",
    }


# What a hostile body may be hidden in once a reader knows the constructors that torch and NumPy use.
def disguised(folder: Path) -> dict[str, bytes]:
    """Return bodies that call by way of what a reader of checkpoints knows."""
    call = bodies(folder)["REDUCE"]
    return {
        "an argument of a tensor": b"ctorch._utils\n_rebuild_tensor_v2\n(" + call + b"K\x00)))tR",
        "the storage of a tensor": b"ctorch._utils\n_rebuild_tensor_v2\n(" + call + b"QK\x00)))tR",
        "a type of a tensor": b"ctorch._tensor\n_rebuild_from_type_v2\n(" + name("touch") + name("New") + b")}tR",
        "an ordered dict of pairs": b"ccollections\nOrderedDict\n](" + text("a") + call + b"\x86e\x85R",
        "a default factory": b"ccollections\ndefaultdict\n" + name("touch") + b"\x85R",
        "an array's data": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t"
        + text("b")
        + b"tR(K\x01(K\x01t"
        + b"cnumpy\ndtype\n"
        + text("f4")
        + b"\x85R\x89"
        + call
        + b"tb",
        "a key": b"}" + call + b"K\x01s",
        "a path": b"cpathlib\nPosixPath\n" + call + b"\x85R",
    }


def program(body: bytes) -> bytes:
    """Return a whole pickle of a body."""
    return b"\x80\x02" + body + b"."  # protocol 2: Python 2 names count too


def in_state_dict(body: bytes) -> bytes:
    """Return a whole pickle of a checkpoint, with the body among its weights."""
    return b"\x80\x02}" + text("state_dict") + b"}" + text("w") + body + b"ss."


def _zip(entries: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        for entry, data in entries.items():
            z.writestr(entry, data)
    return buffer.getvalue()


def _legacy(body: bytes) -> bytes:
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    head = b"".join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, system))
    return head + in_state_dict(body) + pickle.dumps([], 2)


def _workspace(body: bytes) -> bytes:
    pickles = b"}" + text("global_step") + b"B" + len(program(body)).to_bytes(4, "little") + program(body) + b"s"
    weights = b"}" + text("model") + b"}s"
    root = b"\x80\x04}(" + text("cfg") + body + text("state_dicts") + weights + text("pickles") + pickles + b"u."
    return _zip({"archive/data.pkl": root, "archive/version": b"3\n"})


def _npz(body: bytes) -> bytes:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    return _zip({"w.npy": b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + program(body)})


def _pt2(body: bytes) -> bytes:
    config = {"config": {"w": {"path_name": "weight_0", "use_pickle": True, "is_param": True, "tensor_meta": None}}}
    return _zip(
        {
            "a/archive_format": b"pt2",
            "a/data/weights/model_weights_config.json": json.dumps(config).encode(),
            "a/data/weights/weight_0": program(body),
            "a/data/sample_inputs/model.pt": program(body),
        }
    )


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "pickle": program,
    "state_dict": in_state_dict,
    "torch zip": lambda b: _zip({"archive/data.pkl": in_state_dict(b), "archive/version": b"3\n"}),
    "legacy torch": _legacy,
    "workspace": _workspace,
    "torchscript": lambda b: _zip(
        {"a/data.pkl": program(b), "a/constants.pkl": program(b), "a/code/__torch__.py": b""}
    ),
    "npz": _npz,
    "pt2": _pt2,
}

# Loads every body with the real unpickler, in a process of its own, and says which left the mark.
REAL = f"""
import copyreg, json, pickle, sys, io, pathlib
folder = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(folder))
copyreg.add_extension({MODULE!r}, "touch", {EXTENSION})
class Unpickler(pickle.Unpickler):
    def persistent_load(self, pid):
        import {MODULE}
        return {MODULE}.touch()
ran = []
for name, data in json.load(sys.stdin).items():
    (folder / "ran").unlink(missing_ok=True)
    try:
        Unpickler(io.BytesIO(bytes.fromhex(data))).load()
    except Exception:
        pass
    if (folder / "ran").exists():
        ran.append(name)
print(json.dumps(ran))
"""


def register() -> None:
    """Make the extension code known to this process, as a hostile package might."""
    if copyreg._inverted_registry.get(EXTENSION) is None:  # type: ignore[attr-defined]
        copyreg.add_extension(MODULE, "touch", EXTENSION)
