"""Google's ViT `.npz` checkpoints: ImageNet-21k, AugReg, +imagenet2012, big_vision and SigLIP.

They are flat dicts under names from before Linen; the tree in memory has the same arrays under
today's names, so reading is a rename (source: google-research/vision_transformer,
vit_jax/checkpoint.py). What we write has the released names again, with a model description
beside it, and is read by every tool that reads Google's files.
"""

import collections
import math
import os
import pathlib
import re
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from checkpoints import positions, trees
from checkpoints.described import Described
from vit_sentiment.models.classifier import Params, abstract_params
from vit_sentiment.models.description import ModelDescription
from vit_sentiment.runtime import files
from vit_sentiment.runtime.errors import UserError

_MOST_KEYS = 20
"""Keys of a foreign file that an error names."""

RENAMES = (
    ("LayerNorm_2/", "LayerNorm_1/"),
    ("MultiHeadDotProductAttention_1/", "MultiHeadDotProductAttention_0/"),
    ("MlpBlock_3/", "MlpBlock_0/"),
)
"""Name on disk, name in memory; below `Transformer/encoderblock_N/`."""

PREFIXES = ("opt/target/", "params/img/", "params/")
"""Of training states in vision_transformer, and of big_vision's models with and without a text
tower (source: timm, vision_transformer.py, `_load_weights`)."""

_STACKED = "Transformer/encoderblock/"
_BIG_VISION_POSITIONS = ("pos_embedding", "Transformer/pos_embedding")
"""big_vision's names, today's first, of positions that need no slot for the class token."""
_TOP_POOLING = ("probe", "LayerNorm_0/", "MlpBlock_0/", "MultiHeadDotProductAttention_0/")
"""What big_vision has below `MAPHead_0/` today."""
_BLOCK = re.compile(r"(Transformer/encoderblock_(\d+)/)(.*)")


def _rename(flat: Mapping[str, Any], renames: Iterable[tuple[str, str]]) -> trees.Flat:
    def new_name(name: str) -> str:
        match = _BLOCK.fullmatch(name)
        if match is None:
            return name
        rest = match[3]
        for old, new in renames:
            if rest.startswith(old):
                rest = new + rest.removeprefix(old)
                break
        return match[1] + rest

    return {new_name(name): value for name, value in flat.items()}


def to_disk_names(flat: Mapping[str, Any]) -> trees.Flat:
    """Names in memory to names on disk."""
    return _rename(flat, [(new, old) for old, new in RENAMES])


def to_memory_names(flat: Mapping[str, Any]) -> trees.Flat:
    """Names on disk to names in memory."""
    return _rename(flat, RENAMES)


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads the arrays under the names of Google's releases.

    Training states and big_vision's files have the same arrays under a prefix, under today's Linen
    numbers, or with the blocks stacked along a first axis (`nn.scan`); all come out alike.

    Raises:
      UserError: one line with the file's name, if it is missing, not a zip archive, truncated,
        or holds pickled objects, which are refused unread.
    """
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"PK" or not zipfile.is_zipfile(file):
                raise UserError(
                    f"{path}: not an .npz file (no complete zip archive): {_head(path)}"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                if len(set(archive.files)) < len(archive.files):
                    raise UserError(f"{path}: an array is in it twice")
                flat = {name: _numbers(path, name, archive[name]) for name in archive.files}
                return _released_names(flat)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: is a folder, expected an .npz file") from error
    except UserError:
        raise
    except Exception as error:
        # numpy, zipfile and zlib raise many types on damaged archives, and numpy a ValueError on
        # object arrays, since pickles are not allowed.
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: damaged or unsupported .npz file: {reason}") from error


def _released_names(flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    prefix = next((p for p in PREFIXES if any(name.startswith(p) for name in flat)), "")
    # What is not below the prefix is other state, such as the optimiser's.
    flat = {name.removeprefix(prefix): v for name, v in flat.items() if name.startswith(prefix)}
    unstacked: dict[str, np.ndarray] = {}
    for name, value in flat.items():
        if name.startswith(_STACKED) and value.ndim:
            rest = name.removeprefix(_STACKED)
            unstacked |= {f"{_STACKED[:-1]}_{i}/{rest}": layer for i, layer in enumerate(value)}
        else:
            unstacked[name] = value
    # Old names (source: big_vision, models/vit.py, `fix_old_checkpoints`).
    if "probe" in unstacked:
        unstacked = {
            f"MAPHead_0/{name}" if name.startswith(_TOP_POOLING) else name: value
            for name, value in unstacked.items()
        }
    for name in _BIG_VISION_POSITIONS:
        if name in unstacked:
            table = unstacked.pop(name)
            unstacked[positions.NAME] = _with_slot_as_needed(table, "cls" in unstacked)
    if any("/MlpBlock_0/" in name for name in unstacked if _BLOCK.fullmatch(name)):
        return to_disk_names(unstacked)
    return unstacked


def _with_slot_as_needed(table: np.ndarray, class_token: bool) -> np.ndarray:
    if table.ndim != 3:
        return table
    has_slot = not _is_square(table.shape[1]) and _is_square(table.shape[1] - 1)
    if class_token and not has_slot:
        # It is added after the positions there; nothing is added to it here.
        return np.pad(table, ((0, 0), (1, 0), (0, 0)))
    return table[:, 1:] if has_slot and not class_token else table


def _numbers(path: str | os.PathLike[str], name: str, value: Any) -> np.ndarray:
    """Weights are arrays of numbers; numpy hands out other members of the archive as bytes."""
    if not isinstance(value, np.ndarray):
        raise UserError(f"{path}: {name}: not an array, expected an archive of arrays alone")
    if value.dtype == np.dtype("V2"):  # numpy has no bfloat16 and saves it as two bytes.
        return value.view(jnp.bfloat16).astype(np.float32)
    if value.dtype.kind not in "fiu":
        raise UserError(f"{path}: {name}: expected numbers, found {value.dtype}")
    return value


def _head(path: str | os.PathLike[str]) -> str:
    with open(path, "rb") as file:
        start = file.read(8)
    if not start:
        return "the file is empty"
    if start.startswith(b"PK"):
        return "the archive is truncated"
    if start.startswith(b"\x80"):
        return "it is a pickle, which is never loaded"
    return f"it starts with {start!r}"


def description_path(path: str | os.PathLike[str]) -> pathlib.Path:
    """Where the model description of a weight file is: beside it, `.json` instead of `.npz`."""
    return pathlib.Path(path).with_suffix(".json")


def write(path: str | os.PathLike[str], params: Params, description: ModelDescription) -> None:
    """Writes `path` (.npz, released names) and the model description beside it (.json)."""
    host = jax.tree.map(np.asarray, params)
    # The description first: weights without one would be guessed at.
    write_description(path, trees.model_id(host), description)
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **to_disk_names(trees.flatten(host)))


def write_description(
    path: str | os.PathLike[str], model_id: str, description: ModelDescription
) -> None:
    """Writes the description of the weights in `path`, whose hash is `model_id`, beside them."""
    files.write_json(
        description_path(path), {"model_id": model_id, "description": description.to_json()}
    )


def describe(
    path: str | os.PathLike[str],
    flat: Mapping[str, np.ndarray],
    *,
    gelu: str | None = None,
    num_heads: int | None = None,
    image_size: tuple[int, int] | None = None,
) -> Described:
    """Says what the arrays `flat`, as `read` gives them, are.

    A description that `write` put beside the file is taken, if its `model_id` is the file's. Else
    sizes come from shapes and the rest from the conventions of Google's releases; `gelu`,
    `num_heads` and `image_size` fill in what neither tells and must not contradict it.

    Raises:
      UserError: if something is neither told nor given, or contradicts; every key that does not
        fit is named.
    """
    beside = description_path(path)
    if beside.exists():
        described = _described_beside(path, beside, flat)
    else:
        described = _described_by_shapes(path, flat, num_heads, image_size, gelu)
    given = {"gelu": gelu, "num_heads": num_heads, "image_size": image_size}
    for name, value in given.items():
        told = getattr(described.description, name)
        if value is not None and value != told and name not in described.unknown:
            raise UserError(f"{path}: --{name}={value} contradicts the file, which has {told}")
    return described


def _described_beside(
    path: str | os.PathLike[str], beside: pathlib.Path, flat: Mapping[str, np.ndarray]
) -> Described:
    saved = files.read_json(beside)
    if not isinstance(saved, dict) or set(saved) != {"model_id", "description"}:
        raise UserError(f"{beside}: expected the fields model_id and description")
    found = trees.model_id(trees.unflatten(to_memory_names(flat)))
    if saved["model_id"] != found:
        raise UserError(f"{beside}: describes weights {saved['model_id']}, {path} holds {found}")
    description = ModelDescription.from_json(saved["description"], str(beside))
    kind = "vit_sentiment .npz with its model description"
    return Described(kind, description, (f"everything from {beside.name}",))


def _most_common(values: Iterable[int], default: int) -> int:
    counts = collections.Counter(values)
    return counts.most_common(1)[0][0] if counts else default


def _width(shapes: Mapping[str, tuple[int, ...]], layer: str) -> int:
    """Output width of a Dense layer, 0 where there is none."""
    shape = shapes.get(f"{layer}/kernel") or shapes.get(f"{layer}/bias") or (0,)
    return shape[-1]


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number


def _described_by_shapes(
    path: str | os.PathLike[str],
    flat: Mapping[str, np.ndarray],
    num_heads: int | None,
    image_size: tuple[int, int] | None,
    gelu: str | None,
) -> Described:
    shapes = {name: np.shape(value) for name, value in flat.items()}
    try:
        description = description_from_shapes(
            shapes, num_heads=num_heads, image_size=image_size, gelu=gelu or "tanh"
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    kind, assumed, unknown = _conventions(flat, description, gelu)
    if description.classes:
        assumed = (*assumed, f"classes {', '.join(description.classes)} for three outputs")
    height, width = description.image_size
    derived = (
        f"sizes, patch and heads from shapes; {description.num_layers} blocks",
        f"image size {height}x{width} from {math.prod(description.grid)} positions",
    )
    return Described(kind, description, derived, assumed, unknown)


def description_from_shapes(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    num_heads: int | None,
    image_size: tuple[int, int] | None,
    gelu: str,
) -> ModelDescription:
    """The description that shapes of arrays under released names imply.

    Args:
      num_heads: needed where attention kernels are matrices.
      image_size: needed where the positions are not a square grid.

    Raises:
      UserError: one of the two is needed, or there are no encoder blocks.
    """
    blocks = [(int(m[2]), m[3], shapes[m[0]]) for m in map(_BLOCK.fullmatch, shapes) if m]
    if not blocks:
        keys = ", ".join(sorted(shapes)[:_MOST_KEYS]) or "none"
        if len(shapes) > _MOST_KEYS:
            keys += f" and {len(shapes) - _MOST_KEYS} more"
        raise UserError(
            "not a ViT checkpoint: expected encoder blocks such as "
            f"Transformer/encoderblock_0/LayerNorm_0/scale, found: {keys}"
        )
    # One wrong array must not hide the others: sizes are decided by the majority, then every
    # array is compared with what they imply.
    hidden = _most_common((s[-1] for _, k, s in blocks if k.startswith("LayerNorm") and s), 1)
    heads = _most_common(
        (s[1] for _, k, s in blocks if k.endswith(("query/kernel", "key/kernel")) and len(s) == 3),
        0,
    )
    if not heads:
        if num_heads is None:
            raise UserError(
                "the number of heads is not in the file (its attention kernels are "
                "matrices); pass --num_heads"
            )
        heads = num_heads
    patch_shape = shapes.get("embedding/kernel", ())
    patch = patch_shape[0] if len(patch_shape) == 4 else 1
    table = shapes.get(positions.NAME, ())
    slots = table[1] if len(table) == 3 else 1
    # A square grid and one more: the class token's slot, though the token itself is lost.
    class_token = "cls" in shapes or (not _is_square(slots) and _is_square(slots - 1))
    attention_pooling = any(name.startswith("MAPHead_0/") for name in shapes)
    tokens = max(1, slots - class_token)
    if image_size is None:
        side = math.isqrt(tokens)
        if not _is_square(tokens):
            raise UserError(
                f"{tokens} positions are not a square grid; pass --image_size=HEIGHTxWIDTH "
                "(in a config: init_image_size)"
            )
        image_size = (side * patch, side * patch)
    pre_logits, head_hidden = _width(shapes, "pre_logits"), _width(shapes, "head_hidden")
    output = _width(shapes, "head_out" if head_hidden else "head")
    three = output == 3
    numbers = {layer for layer, _, _ in blocks}
    return ModelDescription(
        image_size=image_size,
        patch_size=patch,
        hidden_size=hidden,
        # A gap is a missing block, but a wild number is a wrong name.
        num_layers=max(numbers) + 1 if max(numbers) < 2 * len(numbers) else len(numbers),
        num_heads=heads,
        mlp_size=_most_common((s[-1] for _, k, s in blocks if k.endswith("Dense_0/kernel")), 1),
        gelu=gelu,
        class_token=class_token,
        pooling="map" if attention_pooling else "cls" if class_token else "mean",
        representation_size=pre_logits or None,
        head_hidden=head_hidden or None,
        num_classes=output,
        classes=ModelDescription.classes if three else (),
    )


def _conventions(
    flat: Mapping[str, np.ndarray], d: ModelDescription, gelu: str | None
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    common = ("input range [-1, 1]", "LayerNorm epsilon 1e-6")
    if d.grid[0] == d.grid[1]:
        common = (*common, "square grid of positions")
    if d.pooling == "mean":
        common = (*common, "features are the mean of the patch tokens")
    if d.head_hidden:
        kind = f"ViT with a two-layer head ({d.head_hidden}, {d.num_classes})"
        if gelu is None:
            return kind, common, ("gelu",)
        return kind, common, ()
    if not d.class_token:
        head = f"{d.num_classes}-way head" if d.num_classes else "no head"
        kind = f"big_vision layout (no class token, {d.pooling} pooling, {head})"
    elif d.representation_size:
        kind = "ImageNet-21k original layout (pre_logits with tanh)"
    elif d.num_classes == 1000:
        kind = "imagenet21k+imagenet2012 layout (fine-tuned, 1000-way head)"
    elif d.num_classes:
        kind = "AugReg layout (head without pre_logits)"
    else:
        kind = "backbone without head"
    if d.num_classes and not np.any(flat.get("head/kernel", 0)):
        kind += "; the head is all zeros, as in the ImageNet-21k originals: its logits mean nothing"
    gelu_fact = f"{d.gelu} GELU" + ("" if gelu else ", as in Google's Flax models")
    return kind, (gelu_fact, *common), ()


def complete(flat: Mapping[str, Any], description: ModelDescription, where: str) -> Params:
    """Arrays under names in memory to the parameter tree of `description`; all of them must fit.

    Raises:
      UserError: see `check`.
    """
    check(flat, trees.flatten(abstract_params(description)), where)
    return trees.unflatten(flat)


def check(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Raises one UserError that lists every array that does not fit, under its released name."""
    trees.check(to_disk_names(found), to_disk_names(expected), where)


def with_heads(flat: Mapping[str, np.ndarray], d: ModelDescription) -> trees.Flat:
    """Attention kernels stored as matrices get their head axis; elements keep their order."""
    heads, width = d.num_heads, d.hidden_size // d.num_heads
    shapes = {
        "kernel": (d.hidden_size, heads, width),
        "bias": (heads, width),
        "out/kernel": (heads, width, d.hidden_size),
    }

    def fit(name: str, value: np.ndarray) -> np.ndarray:
        if "/MultiHeadDotProductAttention_" not in name or name.endswith("out/bias"):
            return value
        want = shapes["out/kernel" if "/out/" in name else name.rpartition("/")[2]]
        fits = math.prod(want) == value.size and value.ndim == len(want) - 1
        return value.reshape(want) if fits else value

    return {name: fit(name, value).astype(np.float32) for name, value in flat.items()}


def read_described(
    path: str | os.PathLike[str],
    *,
    gelu: str | None = None,
    num_heads: int | None = None,
    image_size: tuple[int, int] | None = None,
    fallback_heads: int | None = None,
) -> tuple[Described, trees.Flat]:
    """Reads a file: what it says of its model, and its arrays under their names in memory.

    Args:
      gelu, num_heads, image_size: see `describe`.
      fallback_heads: taken where neither the file nor `num_heads` tells.
    """
    flat = read(path)
    if num_heads is None and any(v.ndim < 3 for k, v in flat.items() if k.endswith("query/kernel")):
        num_heads = fallback_heads
    described = describe(path, flat, gelu=gelu, num_heads=num_heads, image_size=image_size)
    return described, to_memory_names(with_heads(flat, described.description))
