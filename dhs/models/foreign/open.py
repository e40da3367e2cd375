"""`open_scorer`: a network from what a user writes behind ``--model``."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dhs import storage
from dhs.errors import DhsError, UsageError
from dhs.models.foreign.expects import Expects, read_expects
from dhs.models.foreign.scorer import Ensemble, ForeignScorer

FORMS = (
    "a checkpoint of `dhs train`; a TorchScript file (.pt, .ts); an exported program (.pt2); an ONNX file (.onnx); "
    "torchvision:ARCH@WEIGHTS or timm:ARCH@WEIGHTS; package.module:callable; several of them, separated by commas"
)


def open_scorer(spec: str | Path, expects: str | Path | Expects | None = None, precision: str = "float32"):
    """Open a network, ours or another's.

    Parameters
    ----------
    spec : str or Path
        A checkpoint of `dhs.train`; TorchScript; ``.pt2`` of `torch.export`; ``.onnx`` (needs onnxruntime);
        ``torchvision:resnet18@weights.pth`` or ``timm:NAME@weights.pth`` with one output, a state dict of tensors;
        ``package.module:callable``, taking (n, bands, y, x) float32 and giving (n,) scores. Several, separated by
        commas, are an ensemble whose logits are averaged.
    expects : str, Path or Expects, optional
        YAML with the keys of `Expects`. By default the file of that name beside the model, ``<model>.yaml``, where
        there is one; else nanomaggies in g, r, z as they are, and logits.
    precision : {"float32", "bfloat16"}
        Of our own networks.

    Returns
    -------
    object with ``logits(stamps, core_mask_px=None, sky_sigma=None)``

    Raises
    ------
    DhsError
        No such file, or not a network.
    UsageError
        None of the known forms.
    """
    text = str(spec)
    parts = [p.strip() for p in text.split(",") if p.strip()]
    if len(parts) > 1:
        return Ensemble([open_scorer(p, expects, precision) for p in parts])
    if (own := _ours(text)) is not None:
        return own(precision)
    wanted = expects if isinstance(expects, Expects) else _expects(text, expects)
    for claims, opened in _OPENERS:
        if claims(text):
            return opened(text, wanted)
    if ("/" in text or text.endswith(".pt")) and not storage.exists(text):
        raise DhsError(f"{text}: no such file. Check the path, or make the step that writes it.")
    raise UsageError(f"{text}: not a network that can be opened. Give {FORMS}.")


def identity(spec: str | Path) -> str:
    """SHA-256 of what a network is made of: its files; of a callable the module it lies in."""
    total = hashlib.sha256()
    for text in (p.strip() for p in str(spec).split(",")):
        if _is_callable(text):
            found = importlib.util.find_spec(text.partition(":")[0])
            path = found.origin if found is not None else None
        else:
            path = text.rpartition("@")[2] if _is_architecture(text) else text
        total.update(storage.read_bytes(path) if path else text.encode())
    return total.hexdigest()


def _ours(text: str) -> Callable | None:
    """How to open one of our own checkpoints; None where it is none."""
    if ":" in text.replace("://", "") or not text.endswith((".pt", ".pth")):
        return None
    from dhs.models import checkpoints
    from dhs.models.score import Scorer

    data = storage.read_bytes(text)
    if _is_torchscript(data):
        return None
    if not data.startswith(b"PK"):
        raise DhsError(f"{text}: not a network: neither a checkpoint nor TorchScript inside. Give {FORMS}.")
    try:
        checkpoints.load(text)
    except DhsError as error:
        raise DhsError(
            f"{error} A state dict of another network opens as torchvision:ARCH@{text} or timm:ARCH@{text}; a whole "
            "pickled module can't be opened safely: save it as TorchScript, .pt2 or ONNX."
        ) from None
    return lambda precision: Scorer(text, precision=precision)


def _expects(text: str, path: str | Path | None) -> Expects:
    if path is not None:
        return read_expects(path)
    beside = f"{text.rpartition('@')[2]}.yaml"
    return read_expects(beside) if ":" not in beside and os.path.isfile(beside) else Expects()


def _is_torchscript(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any("/code/" in name for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _of_module(name: str, module, expects: Expects, digest: str) -> ForeignScorer:
    """A `torch.nn.Module` on this machine's best device, with the features of a layer where one is found."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module = module.to(device)

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.tensor(images, device=device)).float().cpu().numpy()

    return ForeignScorer(name, run, expects, digest, _features(name, module, expects, device))


def _features(name: str, module, expects: Expects, device) -> Callable | None:
    """Images to the output of the named layer, or to the input of the last linear one."""
    import torch

    layers = dict(module.named_modules())
    if expects.layer is not None and expects.layer not in layers:
        raise UsageError(f"{name}: no layer {expects.layer!r}; it has {', '.join(n for n in layers if n)[:400]}")
    kind = "Linear"
    last = [n for n, m in layers.items() if getattr(m, "original_name", type(m).__name__) == kind]
    chosen = expects.layer or (last[-1] if last else None)
    if chosen is None or isinstance(module, torch.jit.ScriptModule):
        return None  # a script takes no hooks
    caught: list = []

    def hook(_, inputs, output):
        caught.append(output if expects.layer else inputs[0])

    def run(images: np.ndarray) -> np.ndarray:
        handle = layers[chosen].register_forward_hook(hook)
        try:
            with torch.inference_mode():
                module(torch.tensor(images, device=device))
        finally:
            handle.remove()
        found = caught.pop()
        return (found.mean(dim=(2, 3)) if found.ndim == 4 else found.flatten(1)).float().cpu().numpy()

    return run


def _torchscript(text: str, expects: Expects) -> ForeignScorer:
    import torch

    data = storage.read_bytes(text)
    try:
        module = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
    except RuntimeError as error:
        raise DhsError(
            f"{text}: not a readable TorchScript file ({str(error).splitlines()[0]}). Save it again."
        ) from None
    return _of_module(Path(text).name, module, expects, _sha256(data))


def _exported(text: str, expects: Expects) -> ForeignScorer:
    import torch

    data = storage.read_bytes(text)
    try:
        module = torch.export.load(io.BytesIO(data)).module()
    except Exception as error:  # several kinds for a damaged archive
        raise DhsError(
            f"{text}: not a readable exported program ({type(error).__name__}: {error}). Export it again."
        ) from None
    return _of_module(Path(text).name, module, expects, _sha256(data))


def _onnx(text: str, expects: Expects) -> ForeignScorer:
    try:
        import onnxruntime
    except ImportError:
        raise UsageError("an ONNX model needs onnxruntime: pip install 'dark-halo-scope[onnx]'") from None
    data = storage.read_bytes(text)
    try:
        session = onnxruntime.InferenceSession(data, providers=onnxruntime.get_available_providers())
    except Exception as error:  # onnxruntime's own kinds
        raise DhsError(f"{text}: not a readable ONNX model ({str(error).splitlines()[0]}). Export it again.") from None
    entry = session.get_inputs()[0]
    first = entry.shape[0] if entry.shape else None
    fixed = first if isinstance(first, int) and first > 0 else None

    def run(images: np.ndarray) -> np.ndarray:
        return session.run(None, {entry.name: images})[0]

    return ForeignScorer(Path(text).name, run, expects, _sha256(data), batch=fixed)


def _architecture(text: str, expects: Expects) -> ForeignScorer:
    import torch

    library, _, rest = text.partition(":")
    arch, _, weights = rest.partition("@")
    if not weights:
        raise UsageError(f"{text}: give its weights too, {library}:{arch or 'ARCH'}@weights.pth; none are downloaded.")
    data = storage.read_bytes(weights)
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and runtime errors alike
        raise DhsError(f"{weights}: not a state dict of tensors ({type(error).__name__}). Save state_dict().") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    module = _blank(library, arch, len(expects.bands), 2 if expects.output.startswith("two") else 1)
    try:
        module.load_state_dict(state)
    except (RuntimeError, AttributeError) as error:
        last = str(error).strip().splitlines()[-1].strip()
        raise DhsError(f"{weights}: not the weights of {library}'s {arch} with one output ({last}).") from None
    return _of_module(f"{library}:{arch}", module.eval(), expects, _sha256(data))


def _blank(library: str, arch: str, channels: int, outputs: int):
    if library == "timm":
        try:
            import timm
        except ImportError:
            raise UsageError("a timm architecture needs timm: pip install timm") from None
        if arch not in timm.list_models():
            raise UsageError(f"timm has no architecture {arch!r}")
        return timm.create_model(arch, pretrained=False, in_chans=channels, num_classes=outputs)
    from torchvision import models

    if arch not in models.list_models():
        raise UsageError(f"torchvision has no architecture {arch!r}")
    return models.get_model(arch, weights=None, num_classes=outputs)


def _callable(text: str, expects: Expects) -> ForeignScorer:
    module, _, name = text.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{text}: {error}. Give package.module:callable, importable from here.") from None
    if not callable(found):
        raise UsageError(f"{text}: {type(found).__name__}, which can't be called")
    return ForeignScorer(text, found, expects)


def _is_architecture(text: str) -> bool:
    return text.startswith(("torchvision:", "timm:"))


def _is_callable(text: str) -> bool:
    module, colon, name = text.partition(":")
    return bool(colon) and name.isidentifier() and all(p.isidentifier() for p in module.split("."))


_OPENERS: tuple[tuple[Callable[[str], bool], Callable[[str, Expects], ForeignScorer]], ...] = (
    (_is_architecture, _architecture),
    (lambda text: text.endswith(".onnx"), _onnx),
    (lambda text: text.endswith(".pt2"), _exported),
    (lambda text: text.endswith((".pt", ".pth", ".ts", ".torchscript")), _torchscript),
    (_is_callable, _callable),
)
