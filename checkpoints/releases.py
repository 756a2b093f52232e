"""The catalogue of public checkpoints: what they are called, where they are and who says so.

Nothing here is guessed: each URL is named by the entry's `source`, and a size or hash that no
source publishes is not listed (`checkpoints.download` asks the server for the size, and keeps the
hash of what came first). `gs://BUCKET/FILE` of a source is written as the public
`https://storage.googleapis.com/BUCKET/FILE`.

The name of a release is the stem of its file; where two releases share it, the folder goes first.
"""

import dataclasses
import difflib
import pathlib

from vit_sentiment.runtime.errors import UserError


@dataclasses.dataclass(frozen=True)
class Release:
    """A published file of weights.

    Attributes:
      name: what a user types.
      file: its relative path in the cache, in a folder of files dropped by hand and on a mirror;
        the last part is the name that it was released under.
      url: where it is; None where no public file exists.
      architecture: of the image model, as in ViT-B/16.
      image_size: height and width in pixels that its position embeddings are for.
      description: training data and head, one line.
      source: the public file that names the URL (or, where there is none, the model).
      licence: of the weights, where the source states one.
    """

    name: str
    file: str
    url: str | None
    architecture: str
    image_size: int
    description: str
    source: str
    licence: str | None = None


_GOOGLE = "https://storage.googleapis.com/"
_VIT_README = "google-research/vision_transformer: README.md"
_VIT_URLS = "lukemelas/PyTorch-Pretrained-ViT: pytorch_pretrained_vit/configs.py"
_TIMM = "huggingface/pytorch-image-models: timm/models/vision_transformer.py"
_BIG_VISION = "google-research/big_vision: big_vision/models/vit.py"
_VIT_KERAS = "faustomorales/vit-keras: vit_keras/vit.py"
_T4SA = "fabiocarrara/cross-modal-visual-sentiment-analysis: README.md"
_SIGLIP = "google-research/big_vision: configs/proj/image_text/SigLIP_demo.ipynb"
_SIGLIP2 = "google-research/big_vision: configs/proj/image_text/README_siglip2.md"

_I21K = "ImageNet-21k; pre-logits (tanh) and a 21,843-way head of zeros"
_I21K_I1K = "ImageNet-21k, then ImageNet-2012; 1,000-way head"


def _architecture(size: str) -> str:
    """`B_16` as files write it to ViT-B/16."""
    return f"ViT-{size.replace('_', '/')}"


def _google(folder: str, size: str, image_size: int, source: str, suffix: str = "") -> Release:
    file = f"{folder}/ViT-{size}{suffix}.npz"
    return Release(
        # `+` is a blank to some servers, unless it is escaped.
        url=f"{_GOOGLE}vit_models/{file.replace('+', '%2B')}",
        name=file.removesuffix(".npz"),
        file=file,
        architecture=_architecture(size),
        image_size=image_size,
        description=_I21K if folder == "imagenet21k" else _I21K_I1K,
        source=source,
    )


def _augreg(size: str, augmentation: str, wd: str, do: str, sd: str, source: str) -> Release:
    stem = f"{size}-i21k-300ep-lr_0.001-aug_{augmentation}-wd_{wd}-do_{do}-sd_{sd}"
    return Release(
        name=stem,
        file=f"augreg/{stem}.npz",
        url=f"{_GOOGLE}vit_models/augreg/{stem}.npz",
        architecture=_architecture(size),
        image_size=224,
        description=(
            f"AugReg, ImageNet-21k; augmentation {augmentation}, weight decay {wd}, dropout {do}, "
            f"stochastic depth {sd}; 21,843-way head"
        ),
        source=source,
    )


def _vit_keras(size: str, data: str) -> Release:
    stem = f"ViT-{size}_{data}"
    return Release(
        name=stem,
        file=f"vit_keras/{stem}.npz",
        url=f"https://github.com/faustomorales/vit-keras/releases/download/dl/{stem}.npz",
        architecture=_architecture(size),
        image_size=224 if data == "imagenet21k" else 384,
        description=f"vit-keras' copy of Google's: {_I21K if data == 'imagenet21k' else _I21K_I1K}",
        source=_VIT_KERAS,
    )


def _t4sa(name: str, size: str, data: str, published: bool = True) -> Release:
    base = "https://github.com/fabiocarrara/cross-modal-visual-sentiment-analysis"
    return Release(
        name=name,
        file=f"t4sa/{name}.h5",
        url=f"{base}/releases/download/v0.1.0/{name}.h5" if published else None,
        architecture=_architecture(size),
        image_size=224 if size == "B_32" else 384,
        description=f"Keras, The Emotions of the Crowd: {data}; negative, neutral, positive",
        source=_T4SA,
    )


def _siglip(file: str, size: str, image_size: int) -> Release:
    version, source, licence = (
        ("siglip2", _SIGLIP2, "CC-BY-4.0")
        if file.startswith("siglip2")
        else ("siglip", _SIGLIP, None)
    )
    title, languages = {
        "siglip2": ("SigLIP 2", "multilingual"),
        "siglip": ("SigLIP", "multilingual" if "i18n" in file else "English"),
    }[version]
    return Release(
        name=file,
        file=f"{version}/{file}.npz",
        url=f"{_GOOGLE}big_vision/{version}/{file}.npz",
        architecture=_architecture(size),
        image_size=image_size,
        description=f"{title}, WebLI, {languages}; image and text tower, no head",
        source=source,
        licence=licence,
    )


_FOUR_SIZES = ("B_16", "B_32", "L_16", "L_32")

RELEASES: tuple[Release, ...] = (
    *(_google("imagenet21k", size, 224, _VIT_URLS) for size in (*_FOUR_SIZES, "H_14")),
    *(_google("imagenet21k+imagenet2012", size, 384, _VIT_URLS) for size in _FOUR_SIZES),
    *(
        _google("imagenet21k+imagenet2012", size, 224, _VIT_README, "-224")
        for size in ("B_16", "L_16")
    ),
    _augreg("Ti_16", "none", "0.03", "0.0", "0.0", _VIT_README),
    _augreg("S_32", "none", "0.1", "0.0", "0.0", _VIT_README),
    _augreg("S_32", "light1", "0.03", "0.0", "0.0", _TIMM),
    _augreg("S_16", "light1", "0.03", "0.0", "0.0", _VIT_README),
    _augreg("B_32", "light1", "0.1", "0.0", "0.0", _VIT_README),
    _augreg("B_32", "medium1", "0.03", "0.0", "0.0", _TIMM),
    _augreg("B_16", "medium1", "0.1", "0.0", "0.0", _VIT_README),
    _augreg("B_8", "medium1", "0.1", "0.0", "0.0", _TIMM),
    _augreg("B_8", "medium2", "0.1", "0.0", "0.0", _BIG_VISION),
    _augreg("L_16", "strong1", "0.1", "0.0", "0.0", _VIT_README),
    _augreg("L_16", "medium1", "0.1", "0.1", "0.1", _TIMM),
    *(_vit_keras(size, "imagenet21k") for size in _FOUR_SIZES),
    *(_vit_keras(size, "imagenet21k+imagenet2012") for size in _FOUR_SIZES),
    _t4sa("ViT_L16", "L_16", "T4SA 2.0 and B-T4SA 1.0"),
    _t4sa("ViT_L32", "L_32", "T4SA 2.0 and B-T4SA 1.0"),
    _t4sa("ViT_B16", "B_16", "T4SA 2.0 and B-T4SA 1.0"),
    _t4sa("ViT_B32", "B_32", "T4SA 2.0 and B-T4SA 1.0"),
    _t4sa("bal_T4SA2.0", "B_32", "T4SA 2.0, confidence over .90/.90/.70, balanced"),
    _t4sa("bal_flat_T4SA2.0", "B_32", "T4SA 2.0, confidence over .70, balanced"),
    _t4sa("B-T4SA_1.0_upd_filt", "B_32", "B-T4SA 1.0, new labels, confidence over .70"),
    _t4sa("B-T4SA_1.0_upd", "B_32", "B-T4SA 1.0, new labels"),
    _t4sa("boosted_model", "L_16", "training data not documented", published=False),
    _t4sa("merged_T4SA", "B_32", "T4SA 2.0 and B-T4SA 1.0 merged", published=False),
    _t4sa("unb_T4SA2.0", "B_32", "T4SA 2.0, confidence over .90/.90/.70", published=False),
    _t4sa("B-T4SA_1.0", "B_32", "B-T4SA 1.0", published=False),
    _siglip("webli_en_b16_224_63724782", "B_16", 224),
    _siglip("webli_en_b16_256_60500360", "B_16", 256),
    _siglip("webli_en_b16_384_68578854", "B_16", 384),
    _siglip("webli_en_b16_512_68580893", "B_16", 512),
    _siglip("webli_en_l16_256_60552751", "L_16", 256),
    _siglip("webli_en_l16_384_63634585", "L_16", 384),
    _siglip("webli_en_so400m_224_57633886", "So400m_14", 224),
    _siglip("webli_en_so400m_384_58765454", "So400m_14", 384),
    _siglip("webli_i18n_b16_256_66117334", "B_16", 256),
    _siglip("webli_i18n_so400m_16_256_78061115", "So400m_16", 256),
    _siglip("siglip2_b32_256", "B_32", 256),
    *(_siglip(f"siglip2_b16_{size}", "B_16", size) for size in (224, 256, 384, 512)),
    *(_siglip(f"siglip2_l16_{size}", "L_16", size) for size in (256, 384, 512)),
    *(_siglip(f"siglip2_so400m14_{size}", "So400m_14", size) for size in (224, 384)),
    *(_siglip(f"siglip2_so400m16_{size}", "So400m_16", size) for size in (256, 384, 512)),
    *(_siglip(f"siglip2_g-opt16_{size}", "g-opt_16", size) for size in (256, 384)),
)


def find(name: str) -> Release:
    """The release of this name; raises UserError with the nearest names where there is none."""
    for release in RELEASES:
        if release.name == name:
            return release
    nearest = sorted(RELEASES, key=lambda release: -_likeness(name, release.name))[:3]
    raise UserError(
        f"{name}: no such release; nearest: {', '.join(release.name for release in nearest)}; "
        "python -m checkpoints.zoo lists all"
    )


def _likeness(typed: str, name: str) -> float:
    """0 to 1; what is typed may lack the folder or have the file's ending."""
    typed = typed.lower().removesuffix(".npz").removesuffix(".h5")
    return max(
        difflib.SequenceMatcher(None, typed, other).ratio()
        for other in (name.lower(), name.lower().rpartition("/")[2])
    )


def flat_name(release: Release) -> str | None:
    """The file's name without folder; None where another release has the same."""
    name = pathlib.PurePosixPath(release.file).name
    same = [r for r in RELEASES if pathlib.PurePosixPath(r.file).name == name]
    return name if len(same) == 1 else None
