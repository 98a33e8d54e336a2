"""Load the arrays of a weights file into a torch network, after checking format, size and fit. Needs torch.

PaDiM uses a network only up to its deepest chosen layer, so a file may lack the arrays after it.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from padim.errors import BackboneError
from padim.text import megabytes

if TYPE_CHECKING:
    import torch

# A file may contain its arrays in float64, an optimiser's state, a larger classifier. It may take this many
# times the network's size and this many bytes more; a larger file is not a file of that network.
_TIMES, _MORE_BYTES = 8, 2**27
# The classifiers' names in the architectures of the registry. A file's arrays of these names are not used.
_HEADS = ("fc", "classifier", "_fc")


def read(path: Path, most_bytes: int = 2**31) -> dict[str, torch.Tensor]:
    """Read the arrays in a weights file, by name, without executing anything in it.

    ``.pth`` and ``.pt`` contain a state dict, ``.safetensors`` and ``.npz`` arrays with the same names.

    Args:
        path: the file.
        most_bytes: largest size of the unpacked content in bytes.

    Raises:
        BackboneError: the file is damaged, of another format, too large, or contains anything but arrays.
    """
    import torch

    try:
        _check_size(path, most_bytes)
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                content = {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}
        elif path.suffix.lower() == ".safetensors":
            content = _safetensors(path)
        else:
            content = torch.load(path, weights_only=True, map_location="cpu")
    except BackboneError:
        raise
    except (OSError, zipfile.BadZipFile) as error:
        raise BackboneError(f"{path}: the weights cannot be read ({error})") from error
    except Exception as error:
        # torch and NumPy raise about twenty unrelated types for files that are damaged or of another format.
        raise BackboneError(f"{path}: the file is damaged, or holds more than arrays of weights") from error
    # Training scripts save the network's state dict together with the optimiser's.
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(_is_array(value) for value in content.values()):
        raise BackboneError(f"{path}: the file holds something other than arrays of weights")
    return {str(name).removeprefix("module."): array for name, array in content.items()}


def _is_array(value: object) -> bool:
    """Return whether a value is a plain dense tensor: not sparse, nested, quantized or complex."""
    import torch

    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_nested or value.is_quantized or value.is_complex())
    )


def _check_size(path: Path, most_bytes: int) -> None:
    """Raise BackboneError if a zip file's directory declares more unpacked bytes than allowed.

    A small file can unpack to more than the memory. No reader reads more of an entry than the directory
    declares, so checking the declared sizes suffices.
    """
    if path.suffix.lower() != ".npz" and not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > most_bytes:
        raise BackboneError(
            f"{path}: unpacked it takes {megabytes(unpacked)}, and weights of this network "
            f"{megabytes(most_bytes)} at most"
        )


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise BackboneError(
            f"{path}: reading this format needs a package; run: pip install safetensors"
        ) from error
    arrays: dict[str, torch.Tensor] = load_file(path)
    return arrays


@dataclass(frozen=True)
class Used:
    """Arrays and batch norms that a network uses up to a layer.

    Attributes:
        keys: names in the state dict of all arrays in use.
        norms: name of the batch norm that directly follows a convolution, by the convolution's name.
    """

    keys: frozenset[str]
    norms: dict[str, str]


class _Reached(Exception):
    """Raised to end a forward pass at the deepest layer."""


def used(network: torch.nn.Module, deepest: str) -> Used:
    """Run a network in eval mode up to the module ``deepest`` and record which arrays take part."""
    import torch

    names: list[str] = []
    made_by: dict[int, str] = {}
    norms: dict[str, str] = {}
    # Keeps the tensors alive: an id is unique only as long as its object exists.
    alive: list[torch.Tensor] = []

    def watch(name: str, module: torch.nn.Module) -> torch.utils.hooks.RemovableHandle:
        def note(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            names.append(name)
            if isinstance(module, torch.nn.Conv2d):
                made_by[id(output)] = name
                alive.append(output)
            elif isinstance(module, torch.nn.BatchNorm2d) and id(inputs[0]) in made_by:
                norms[made_by[id(inputs[0])]] = name

        return module.register_forward_hook(note)

    def stop(*_: object) -> None:
        raise _Reached

    handles = [
        watch(name, module)
        for name, module in network.named_modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    handles.append(network.get_submodule(deepest).register_forward_hook(stop))
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, 64, 64))
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    owners = set(names)
    keys = [
        key
        for key in network.state_dict()
        if key.rpartition(".")[0] in owners and not key.endswith(".num_batches_tracked")
    ]
    return Used(frozenset(keys), norms)


def load(network: torch.nn.Module, name: str, deepest: str, path: Path) -> None:
    """Load the weights of a file into a network, as far as the module ``deepest`` needs them.

    A convolution with a bias that the network's convolution does not have means that its batch norm was
    folded into it: that norm becomes the identity plus the bias.

    Args:
        network: the network in eval mode; it is changed.
        name: name of the backbone for messages.
        deepest: path of the last module that is needed.
        path: the file.

    Raises:
        BackboneError: the file cannot be read, or belongs to another network.
    """
    import torch

    own = network.state_dict()
    n_bytes = sum(array.numel() * array.element_size() for array in own.values())
    arrays = read(path, _TIMES * n_bytes + _MORE_BYTES)
    needed = used(network, deepest)
    for convolution, norm in needed.norms.items():
        bias = f"{convolution}.bias"
        if bias in arrays and bias not in own:
            eps = network.get_submodule(norm).eps
            shift = arrays.pop(bias).float()
            arrays[f"{norm}.bias"] = shift
            arrays[f"{norm}.weight"] = torch.ones_like(shift)
            arrays[f"{norm}.running_mean"] = torch.zeros_like(shift)
            arrays[f"{norm}.running_var"] = torch.full_like(shift, 1 - eps)
    wrong = [key for key in own if key in needed.keys and key not in arrays]
    if not wrong:
        # A deeper network of the same family has all needed arrays and more, but it is another network.
        wrong = [
            key
            for key, array in arrays.items()
            if key.partition(".")[0] not in _HEADS and (key not in own or own[key].shape != array.shape)
        ]
    if wrong:
        key, others = wrong[0], len(wrong) - 1
        what = "missing" if key not in arrays else "of another size" if key in own else "not part of it"
        more = f", and {others} more do not fit" if others else ""
        raise BackboneError(
            f"{path}: these are not the weights of {name} up to {deepest} ({key} is {what}{more})"
        )
    usable = {key: array.float() for key, array in arrays.items() if key in needed.keys}
    for key, array in usable.items():
        if not bool(torch.isfinite(array).all()):
            raise BackboneError(f"{path}: {key} holds values that are not finite")
    network.load_state_dict(usable, strict=False)
