"""Says what a weight file is, and runs images through it.

  python -m checkpoints.inspect ViT-B_32.npz
  python -m checkpoints.inspect ViT-B_32.npz --forward=images.npy --out=outputs.npz

Prints kind, model description, what is derived and what is assumed, parameters and keys. With
--forward it runs images that are already in the model's input range, and writes `features` and, for
a model with a head, `logits` (`probs` where the model masks them).

FILE is an .npz checkpoint in Google's or big_vision's layout, a Keras .h5 of vit-keras, a Hugging
Face folder (ViT, SigLIP) or the workdir of a training run.
"""

from absl import flags

from checkpoints import weight_flags
from vit_sentiment.runtime import startup
from vit_sentiment.runtime.errors import UserError

FORWARD = flags.DEFINE_string("forward", None, "Images .npy: float32 [N, H, W, 3].")
OUT = flags.DEFINE_string("out", None, "Where --forward writes its .npz.")
flags.adopt_module_key_flags(weight_flags)

GROUPS = {
    "Model": weight_flags.GROUP,
    "Data": (FORWARD,),
    "Results": (OUT,),
}

BATCH = 32


def main(file: str) -> None:
    if (FORWARD.value is None) != (OUT.value is None):
        raise UserError("--forward and --out go together")
    described, params = _read(file)
    if FORWARD.value is None:
        _print(file, described, params)
    else:
        _forward(file, described, params)


def _read(file: str):
    from checkpoints import formats

    restored = formats.restore(file, **weight_flags.hints())
    return restored.described, restored.params


def _print(file: str, described, params) -> None:
    import numpy as np

    from checkpoints import google_npz, trees
    from checkpoints.described import ask_for
    from vit_sentiment.models.classifier import count_parameters

    print(f"file: {file}\nkind: {described.kind}")
    values = described.description.to_json()
    values.get("calibration", {}).pop("coverage", None)  # Fifty points, for a figure.
    for name, value in values.items():
        print(f"  {name}: {'unknown' if name in described.unknown else value}")
    for title in ("derived", "assumed"):
        print(f"{title}: {'; '.join(getattr(described, title)) or 'nothing'}")
    if described.unknown:
        print(f"unknown: {ask_for(described)} to --forward")
    if bad := sum(int(np.sum(~np.isfinite(v))) for v in trees.flatten(params).values()):
        print(f"warning: {bad} values are not finite")
    print(f"model_id: {trees.model_id(params)}\nparameters: {count_parameters(params):,}\nkeys:")
    flat = google_npz.to_disk_names(trees.flatten(params))
    width = max(len(name) for name in flat)
    for name, value in sorted(flat.items()):
        print(f"  {name:{width}}  {value.shape!s:22} {value.dtype}")


def _forward(file: str, described, params) -> None:
    import jax
    import numpy as np

    from checkpoints import formats, positions
    from vit_sentiment.inference import forward
    from vit_sentiment.runtime import files
    from vit_sentiment.runtime.progress import say

    formats.require_known(described, file)
    images = _images(FORWARD.value)
    description = described.description
    size = images.shape[1:3]
    if size != description.image_size:
        old = description.grid
        params, description = positions.for_size(params, description, size)
        new = description.grid
        say(f"positions resized from {old[0]}x{old[1]} to {new[0]}x{new[1]} for {size} images")
    params = jax.device_put(params)
    run = jax.jit(lambda params, batch: forward.outputs(description, params, batch))
    parts = [run(params, images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    result = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    # Logits say it all, but for a mask on the probabilities.
    result.pop("probs" if description.output_mask is None else "logits", None)
    with files.replacing(OUT.value) as temporary, open(temporary, "wb") as out:
        np.savez(out, **result)
    print(f"wrote {OUT.value}: {', '.join(f'{k} {v.shape}' for k, v in result.items())}")


def _images(path: str):
    import numpy as np

    try:
        images = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UserError(f"--forward: {path}: no such file") from error
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"--forward: {path}: not a readable .npy file of numbers") from error
    if not isinstance(images, np.ndarray) or images.ndim != 4 or images.shape[-1] != 3:
        raise UserError(f"--forward: {path}: expected an array [N, H, W, 3]")
    if images.dtype != np.float32 or not len(images):
        raise UserError(
            f"--forward: {path}: expected float32 [N, H, W, 3] with N > 0 in the model's input "
            f"range, found {images.dtype} {images.shape}"
        )
    return images


if __name__ == "__main__":
    startup.run(main, __doc__, arguments=("FILE",), groups=GROUPS)
