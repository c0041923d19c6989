"""``acl.mdl`` of the double: models, their description, datasets, gears, execution."""

from __future__ import annotations

import numpy as np

from . import _file
from . import _state as state
from ._state import BAD_PARAMETER, NO_CONTEXT, OK, bare, status, value

_SLACK = 64  # an input may be that many bytes too short: the graph engine compares after aligning to 64


@value("mdl.load_from_file", context=True)
def load_from_file(path):
    code = _file.problem(path)
    if code:
        return 0, code
    model = {"file": _file.Described(path), "context": state.device.current, "gear": None}
    return state.device.make("model", model), OK


@status("mdl.unload", releases=True, context=True)
def unload(model):
    found = state.device.things["model"].get(model)
    if found and found["context"] != state.device.current:
        return NO_CONTEXT
    if any(d["model"] == model for d in state.device.things["desc"].values()):
        state.device.violation("wrong order: a model was unloaded before its description was destroyed")
    return state.device.destroy("model", model)


@bare("mdl.create_desc", 0)
def create_desc():
    return state.device.make("desc", {"model": None})


@status("mdl.get_desc")
def get_desc(desc, model):
    if state.device.get("desc", desc) is None:
        return BAD_PARAMETER
    if model not in state.device.things["model"]:
        return 145003
    state.device.things["desc"][desc]["model"] = model
    return OK


@status("mdl.destroy_desc", releases=True)
def destroy_desc(desc):
    return state.device.destroy("desc", desc)


def _of(desc):
    found = state.device.get("desc", desc)
    return state.device.get("model", found["model"]) if found else None


def _tensor(desc, side, index):
    model = _of(desc)
    tensors = getattr(model["file"], side + "s") if model else []
    return tensors[index] if 0 <= index < len(tensors) else None


def _name(tensor, side, index):
    """Return a name as the runtime tells it: those over 127 characters are replaced."""
    return tensor["name"] if len(tensor["name"]) <= 127 else f"acl_modelId_1_{side}_{index}"


@bare("mdl.get_num_inputs", 0)
def get_num_inputs(desc):
    model = _of(desc)
    return len(model["file"].inputs) if model else 0


@bare("mdl.get_num_outputs", 0)
def get_num_outputs(desc):
    model = _of(desc)
    return len(model["file"].outputs) if model else 0


def _dims(desc, side, index):
    tensor = _tensor(desc, side, index)
    if tensor is None:
        return {}, BAD_PARAMETER
    return {"name": _name(tensor, side, index), "dimCount": len(tensor["shape"]), "dims": list(tensor["shape"])}, OK


@value("mdl.get_input_dims", {})
def get_input_dims(desc, index):
    return _dims(desc, "input", index)


@value("mdl.get_output_dims", {})
def get_output_dims(desc, index):
    return _dims(desc, "output", index)


@value("mdl.get_cur_output_dims", {})
def get_cur_output_dims(desc, index):
    model = _of(desc)
    tensor = _tensor(desc, "output", index)
    if tensor is None:
        return {}, BAD_PARAMETER
    shape = model["file"].output_shapes(model["gear"])[index]
    return {"name": _name(tensor, "output", index), "dimCount": len(shape), "dims": list(shape)}, OK


def _size(desc, side, index):
    return _of(desc)["file"].size(side, index) if _tensor(desc, side, index) else 0


@bare("mdl.get_input_size_by_index", 0)
def get_input_size_by_index(desc, index):
    return _size(desc, "input", index)


@bare("mdl.get_output_size_by_index", 0)
def get_output_size_by_index(desc, index):
    return _size(desc, "output", index)


def _type(desc, side, index):
    tensor = _tensor(desc, side, index)
    return _file.TYPES[tensor["dtype"]] if tensor else -1


@bare("mdl.get_input_data_type", -1)
def get_input_data_type(desc, index):
    return _type(desc, "input", index)


@bare("mdl.get_output_data_type", -1)
def get_output_data_type(desc, index):
    return _type(desc, "output", index)


@bare("mdl.get_input_name_by_index", None)
def get_input_name_by_index(desc, index):
    tensor = _tensor(desc, "input", index)
    return _name(tensor, "input", index) if tensor else None


@bare("mdl.get_output_name_by_index", None)
def get_output_name_by_index(desc, index):
    tensor = _tensor(desc, "output", index)
    return _name(tensor, "output", index) if tensor else None


@bare("mdl.get_tensor_real_name", None)
def get_tensor_real_name(desc, name):
    model = _of(desc)
    for side in ("input", "output") if model else ():
        for i, tensor in enumerate(getattr(model["file"], side + "s")):
            if name in (tensor["name"], _name(tensor, side, i)):
                return tensor["name"]
    return None


@value("mdl.get_input_index_by_name")
def get_input_index_by_name(desc, name):
    names = [t["name"] for t in _of(desc)["file"].inputs]
    return (names.index(name), OK) if name in names else (0, BAD_PARAMETER)


# --------------------------------------------------------------------------------------------------------------- gears


def _gears(desc, kind):
    model = _of(desc)
    gears = model["file"].gears if model else None
    return [list(v) for v in gears["values"]] if gears and gears["kind"] == kind else []


@value("mdl.get_dynamic_batch", {})
def get_dynamic_batch(desc):
    found = [v[0] for v in _gears(desc, "batch")]
    return {"batchCount": len(found), "batch": found}, OK


@value("mdl.get_dynamic_hw", {})
def get_dynamic_hw(desc, index):
    found = _gears(desc, "image")
    return ({"hwCount": len(found), "hw": found}, OK) if index == -1 else ({}, BAD_PARAMETER)


@value("mdl.get_input_dynamic_gear_count")
def get_input_dynamic_gear_count(desc, index):
    return (len(_gears(desc, "dims")), OK) if index == -1 else (0, BAD_PARAMETER)


@value("mdl.get_input_dynamic_dims", [])
def get_input_dynamic_dims(desc, index, count):
    found = _gears(desc, "dims")
    if index != -1 or count != len(found):
        return [], BAD_PARAMETER
    return [{"name": "", "dimCount": len(v), "dims": v} for v in found], OK


def _set_gear(model, dataset, index, kind, gear):
    found, held = state.device.get("model", model), state.device.get("dataset", dataset)
    if found is None or held is None:
        return BAD_PARAMETER
    gears, inputs = found["file"].gears, found["file"].inputs
    if index >= len(inputs) or inputs[index]["name"] != _file.GEAR_INPUT or index >= len(held["buffers"]):
        return 145000
    if not gears or gears["kind"] != kind or list(gear) not in gears["values"]:
        return 145013
    block = state.device.block(state.device.get("data buffer", held["buffers"][index])["address"], 1)
    if block is None or block[0]["written"]:
        state.device.violation("filled the input of the gears, which the runtime fills")
    held["gear"] = found["gear"] = list(gear)
    return OK


@status("mdl.set_dynamic_batch_size")
def set_dynamic_batch_size(model, dataset, index, batch):
    return _set_gear(model, dataset, index, "batch", [batch])


@status("mdl.set_dynamic_hw_size")
def set_dynamic_hw_size(model, dataset, index, height, width):
    return _set_gear(model, dataset, index, "image", [height, width])


@status("mdl.set_input_dynamic_dims")
def set_input_dynamic_dims(model, dataset, index, dims):
    if dims["dimCount"] != len(dims["dims"]) or "name" not in dims:
        return BAD_PARAMETER
    return _set_gear(model, dataset, index, "dims", dims["dims"])


# ------------------------------------------------------------------------------------------------ datasets, execution


@bare("mdl.create_dataset", 0)
def create_dataset():
    return state.device.make("dataset", {"buffers": [], "gear": None, "context": state.device.current})


@status("mdl.destroy_dataset", releases=True)
def destroy_dataset(dataset):
    held = state.device.things["dataset"].get(dataset, {"buffers": []})
    if any(b in state.device.things["data buffer"] for b in held["buffers"]):
        state.device.violation("wrong order: a dataset was destroyed before its data buffers")
    return state.device.destroy("dataset", dataset)


@value("mdl.add_dataset_buffer")
def add_dataset_buffer(dataset, buffer):
    held = state.device.get("dataset", dataset)
    if held is None or state.device.get("data buffer", buffer) is None:
        return dataset, BAD_PARAMETER
    held["buffers"].append(buffer)
    return dataset, OK


@bare("mdl.get_dataset_num_buffers", 0)
def get_dataset_num_buffers(dataset):
    return len(state.device.get("dataset", dataset)["buffers"])


@bare("mdl.get_dataset_buffer", 0)
def get_dataset_buffer(dataset, index):
    return state.device.get("dataset", dataset)["buffers"][index]


@status("mdl.execute", context=True)
def execute(model, inputs, outputs):
    found = state.device.things["model"].get(model)
    if found is None:
        return 145003
    if found["context"] != state.device.current:
        state.device.violation("a model was executed in another context than it was loaded in")
        return NO_CONTEXT
    file = found["file"]
    given, taken = (_buffers(d) for d in (inputs, outputs))
    if given is None or taken is None or len(given) != len(file.inputs) or len(taken) != len(file.outputs):
        return BAD_PARAMETER
    if file.soc and file.soc != state.soc():
        return 507011
    gear = state.device.things["dataset"][inputs]["gear"]
    if file.gears and gear is None:
        return 145013
    arrays = _read(file, given, gear)
    if isinstance(arrays, int):
        return arrays
    return _write(file, taken, file.compute(arrays))


def _buffers(dataset):
    held = state.device.get("dataset", dataset)
    found = [state.device.get("data buffer", b) for b in held["buffers"]] if held else [None]
    return None if any(b is None for b in found) else found


def _read(file, given, gear):
    """Return the inputs as the device reads them: as many bytes as it takes, of whatever lies there."""
    arrays = []
    for i, shape in enumerate(file.shapes(gear)):
        tensor, buffer = file.inputs[i], given[i]
        dtype = _file.numpy_type(tensor["dtype"])
        due = tensor.get("bytes") or int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if not file.gears:  # with gears the graph engine compares nothing
            if buffer["size"] > due:
                state.device.message = f"[double] warning: input {i} has {buffer['size']} bytes, {due} are read"
                state.log({"warning": state.device.message})
            if buffer["size"] + _SLACK < due:
                return 145006
        data = state.device.read(buffer["address"], due)
        if data is None:
            return 507015
        array = np.frombuffer(data, dtype)
        arrays.append(array if tensor.get("bytes") else array.reshape(shape))
    return arrays


def _write(file, taken, arrays):
    """Write the outputs, but for those that the file says the device leaves alone."""
    name, _, last = (file.told.get("unwritten") or "").partition("/")
    for tensor, buffer, array in zip(file.outputs, taken, arrays):
        data = array.tobytes()
        if tensor["name"] == name:
            data = data[: -int(last) * array.itemsize] if last else b""
        if buffer["size"] < len(data):
            return 145006
        found = state.device.block(buffer["address"], max(len(data), 1))
        if found is None:
            return 507015
        block, offset = found
        block["bytes"][offset : offset + len(data)] = data
    return OK
