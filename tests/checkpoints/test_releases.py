import pathlib
import urllib.parse

import pytest

from checkpoints import releases
from vit_sentiment.runtime.errors import UserError

SIZES = ("B_16", "B_32", "L_16", "L_32")
T4SA = (
    "boosted_model", "ViT_L16", "ViT_L32", "ViT_B16", "ViT_B32", "merged_T4SA",
    "bal_flat_T4SA2.0", "bal_T4SA2.0", "unb_T4SA2.0", "B-T4SA_1.0_upd_filt", "B-T4SA_1.0_upd",
    "B-T4SA_1.0",
)  # fmt: skip
UNPUBLISHED = {"boosted_model", "merged_T4SA", "unb_T4SA2.0", "B-T4SA_1.0"}
ALL = {release.name: release for release in releases.RELEASES}


def test_names_and_files_are_unique():
    assert len(ALL) == len(releases.RELEASES)
    files = {release.file.lower() for release in releases.RELEASES}  # Some disks ignore case.
    assert len(files) == len(ALL)


@pytest.mark.parametrize("release", releases.RELEASES, ids=lambda release: release.name)
def test_an_entry_is_complete_and_its_url_leads_to_its_file(release):
    path = pathlib.PurePosixPath(release.file)
    assert len(path.parts) == 2
    assert path.suffix in (".npz", ".h5")
    assert release.name in (path.stem, str(path.with_suffix("")))
    assert release.architecture.startswith("ViT-")
    assert release.image_size % 8 == 0
    assert release.description
    assert "\n" not in release.description
    owner, _, where = release.source.partition("/")
    assert owner
    assert ": " in where
    if release.url is not None:
        url = urllib.parse.urlsplit(release.url)
        assert (url.scheme, url.query, url.fragment) == ("https", "", "")
        assert url.hostname in ("storage.googleapis.com", "github.com")
        assert urllib.parse.unquote(url.path).rpartition("/")[2] == path.name


@pytest.mark.parametrize("size", SIZES)
def test_every_file_of_google_and_vit_keras_is_listed(size):
    assert releases.find(f"imagenet21k/ViT-{size}").url == (
        f"https://storage.googleapis.com/vit_models/imagenet21k/ViT-{size}.npz"
    )
    assert releases.find(f"imagenet21k+imagenet2012/ViT-{size}").url == (
        f"https://storage.googleapis.com/vit_models/imagenet21k%2Bimagenet2012/ViT-{size}.npz"
    )
    for data in ("imagenet21k", "imagenet21k+imagenet2012"):
        assert releases.find(f"ViT-{size}_{data}").url == (
            f"https://github.com/faustomorales/vit-keras/releases/download/dl/ViT-{size}_{data}.npz"
        )


@pytest.mark.parametrize("size", ["Ti_16", "S_16", "S_32", "B_16", "B_32", "L_16"])
def test_every_size_of_augreg_is_listed(size):
    urls = [r.url for r in releases.RELEASES if r.file.startswith(f"augreg/{size}-i21k-300ep-")]
    assert urls
    for url in urls:
        assert url.startswith("https://storage.googleapis.com/vit_models/augreg/")


@pytest.mark.parametrize("name", T4SA)
def test_every_model_of_the_original_is_listed(name):
    release = releases.find(name)
    assert release.file == f"t4sa/{name}.h5"
    base = "https://github.com/fabiocarrara/cross-modal-visual-sentiment-analysis"
    url = f"{base}/releases/download/v0.1.0/{name}.h5"
    assert release.url == (None if name in UNPUBLISHED else url)
    size = {"boosted_model": "L/16", "ViT_L16": "L/16", "ViT_L32": "L/32", "ViT_B16": "B/16"}
    assert release.architecture == f"ViT-{size.get(name, 'B/32')}"
    assert release.image_size == (384 if name in size else 224)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ViT-B_16", ["imagenet21k/ViT-B_16", "imagenet21k+imagenet2012/ViT-B_16"]),
        ("imagenet21k/ViT-B_32.npz", ["imagenet21k/ViT-B_32"]),
        ("vit_b32", ["ViT_B32"]),
        ("bal_T4SA2", ["bal_T4SA2.0"]),
        ("siglip2-b16-224", ["siglip2_b16_224"]),
    ],
)
def test_an_unknown_name_gets_the_nearest(typed, meant):
    with pytest.raises(UserError, match="no such release; nearest: ") as error:
        releases.find(typed)
    for name in meant:
        assert f" {name}" in str(error.value)


def test_a_name_without_its_folder_is_known_where_only_one_has_it():
    assert releases.flat_name(releases.find("ViT_B32")) == "ViT_B32.h5"
    assert releases.flat_name(releases.find("imagenet21k/ViT-B_32")) is None
    assert releases.flat_name(releases.find("imagenet21k+imagenet2012/ViT-B_32")) is None
