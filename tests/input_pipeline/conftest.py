"""Small photos, tables of them and a dataset written from them."""

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

CLASSES = ("negative", "neutral", "positive")


def png(number: int) -> bytes:
    """A photo, 10 high and 12 wide, all of whose values are `number`."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((10, 12, 3), number, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_photos(root: pathlib.Path, count: int = 9) -> list[tuple[str, str]]:
    """Writes `<class>/<number>.png`, classes in turn; returns (path, class) of each."""
    rows = []
    for number in range(count):
        name = CLASSES[number % 3]
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / f"{number:02d}.png").write_bytes(png(number))
        rows.append((f"{name}/{number:02d}.png", name))
    return rows


def write_table(path: pathlib.Path, rows, header="path,label") -> pathlib.Path:
    """Writes a CSV, fields joined as they are."""
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


@pytest.fixture(scope="session")
def make_photo():
    """The function `png`."""
    return png


@pytest.fixture
def photos(tmp_path):
    """A folder with nine photos in three class folders, photo k all of value k."""
    write_photos(tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def table(photos):
    """Its table, `photos.csv`, in the order of the photos' values."""
    return write_table(photos / "photos.csv", _rows(photos))


def _rows(photos):
    files = sorted(photos.glob("*/*.png"), key=lambda file: file.name)
    return [(f"{file.parent.name}/{file.name}", file.parent.name) for file in files]


@pytest.fixture(scope="session")
def build():
    """A function that writes a `labelled_images` dataset and returns its folder."""
    from input_pipeline.builder import prepare
    from input_pipeline.labelled_images import labelled_images_dataset_builder as module

    def build_dataset(data_dir, splits, **config):
        config = module.LabelledImagesConfig(name="default", splits=splits, **config)
        return prepare(module.LabelledImages(config=config, data_dir=data_dir))

    return build_dataset


@pytest.fixture(scope="session")
def dataset(tmp_path_factory, build):
    """A written dataset: splits train (photos 0 to 8) and test (photos 5 to 8), human labels."""
    root = tmp_path_factory.mktemp("dataset")
    rows = write_photos(root)
    train = write_table(root / "train.csv", rows)
    test = write_table(root / "test.csv", rows[5:])
    return build(root / "data", {"train": str(train), "test": str(test)})
