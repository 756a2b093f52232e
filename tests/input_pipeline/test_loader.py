import dataclasses
import itertools

import numpy as np
import polars as pl
import pytest

from input_pipeline.loader import LoadSettings, evaluation_batches, num_batches, training_batches
from input_pipeline.sources import Source, open_source
from vit_sentiment.runtime.errors import UserError

ROWS = 13
SETTINGS = LoadSettings((8, 6), "uint8", "human_label", num_threads=0)


@dataclasses.dataclass(frozen=True)
class Memory:
    """Photos that hold their number, under both labels; the ones in `broken` do not decode."""

    photos: tuple[bytes, ...]
    broken: frozenset[int] = frozenset()

    def __len__(self):
        return len(self.photos)

    def __getitems__(self, numbers):
        return [
            {
                "image": b"broken" if number in self.broken else self.photos[number],
                "id": f"photo {number}",
                "group": str(number),
                "teacher_probs": np.array([0.25, 0.75, 0.0], np.float32),
                "teacher_label": number % 2,
                "human_label": 2,
            }
            for number in numbers
        ]


@pytest.fixture(scope="session")
def source(make_photo):
    return make_source(make_photo)


def make_source(make_photo, broken=()):
    data = Memory(tuple(make_photo(number) for number in range(ROWS)), frozenset(broken))
    index = pl.DataFrame({"id": [f"photo {number}" for number in range(ROWS)]})
    return Source("memory", "", ("negative", "neutral", "positive"), data, index)


def take(batches, count=None):
    with batches as iterator:
        return list(itertools.islice(iterator, count))


def train(source, count, settings=SETTINGS, **options):
    options = {"batch_size": 4, "seed": 7} | options
    return take(training_batches(source, settings, **options), count)


def order(batches):
    return np.concatenate([batch["index"] for batch in batches]).tolist()


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            assert one[key].dtype == other[key].dtype
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_a_batch_has_the_photos_that_its_index_names(source):
    for batch in train(source, 5):
        assert batch["image"].shape == (4, 8, 6, 3)
        assert (batch["image"] == batch["index"][:, None, None, None]).all()
        assert batch["mask"].all()
        kinds = {key: value.dtype for key, value in batch.items()}
        assert kinds == {
            "image": np.uint8, "label": np.int32, "probs": np.float32, "mask": np.bool_,
            "index": np.int64,
        }  # fmt: skip


def test_exact_mode_gives_float32(source):
    (batch,) = train(source, 1, dataclasses.replace(SETTINGS, pixel_mode="exact"))
    assert batch["image"].dtype == np.float32
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["index"])


def test_threads_do_not_change_anything(source):
    expected = train(source, 8)
    for threads in (1, 2, -1):
        settings = dataclasses.replace(SETTINGS, num_threads=threads)
        assert_equal(train(source, 8, settings), expected)


def test_workers_do_not_change_anything(dataset):
    settings = dataclasses.replace(SETTINGS, num_threads=1)
    written = open_source(str(dataset), "train")
    expected = train(written, 5, settings, start=2)
    settings = dataclasses.replace(settings, num_workers=2)
    assert_equal(train(written, 5, settings, start=2), expected)
    assert order(expected) == order(train(written, 7))[8:]


def test_the_order_is_a_function_of_the_seed(source):
    expected = order(train(source, 8))
    assert order(train(source, 8)) == expected
    assert order(train(source, 8, seed=8)) != expected


@pytest.mark.parametrize("start", [1, 3, 4, 11])
def test_starting_at_a_step_is_skipping_the_batches_before(source, start):
    assert_equal(train(source, 3, start=start), train(source, start + 3)[start:])


def test_slices_of_two_processes_make_the_batch_of_one(source):
    whole = train(source, 6)
    parts = [train(source, 6, process=process, processes=2) for process in range(2)]
    joined = [
        {key: np.concatenate([one[key], other[key]]) for key in one}
        for one, other in zip(*parts, strict=True)
    ]
    assert_equal(joined, whole)


def test_each_epoch_is_another_full_permutation(source):
    numbers = order(train(source, ROWS))  # Four epochs; batches straddle them.
    epochs = [tuple(numbers[k * ROWS : (k + 1) * ROWS]) for k in range(4)]
    assert all(sorted(epoch) == list(range(ROWS)) for epoch in epochs)
    assert len({*epochs, tuple(range(ROWS))}) == 5


def test_without_shuffling_the_order_is_the_datas(source):
    assert order(train(source, 5, shuffle=False)) == [k % ROWS for k in range(20)]


def test_a_batch_may_be_larger_than_the_data(source):
    numbers = order(train(source, 1, batch_size=2 * ROWS))
    assert sorted(numbers) == sorted([*range(ROWS)] * 2)


def test_evaluation_sees_every_row_once_and_pads_the_last_batch(source):
    batches = take(evaluation_batches(source, SETTINGS, batch_size=5))
    assert len(batches) == num_batches(ROWS, 5) == 3
    assert order(batches) == [*range(ROWS), -1, -1]
    last = batches[-1]
    assert last["mask"].tolist() == [True] * 3 + [False] * 2
    assert last["label"].tolist() == [2] * 3 + [-1] * 2
    assert not last["image"][3:].any()
    assert all(batch["mask"].all() for batch in batches[:-1])


@pytest.mark.parametrize(("rows", "batches"), [(1, 1), (5, 1), (6, 2), (10, 2)])
def test_num_batches(rows, batches):
    assert num_batches(rows, 5) == batches


def test_evaluation_slices_of_two_processes_make_the_batch_of_one(source):
    whole = take(evaluation_batches(source, SETTINGS, batch_size=4))
    parts = [
        take(evaluation_batches(source, SETTINGS, batch_size=4, process=p, processes=2))
        for p in range(2)
    ]
    assert [len(part) for part in parts] == [4, 4]
    for batch, one, other in zip(whole, *parts, strict=True):
        for key in batch:
            np.testing.assert_array_equal(np.concatenate([one[key], other[key]]), batch[key])


@pytest.mark.parametrize("threads", [0, 2])
def test_an_unreadable_photo_is_an_error_that_names_it(make_photo, threads):
    broken = make_source(make_photo, broken=[6])
    settings = dataclasses.replace(SETTINGS, num_threads=threads)
    with pytest.raises(UserError, match="'photo 6': not an image"):
        take(evaluation_batches(broken, settings, batch_size=4))


def test_an_unreadable_photo_is_a_masked_slot_and_moves_nothing(source, make_photo):
    settings = dataclasses.replace(SETTINGS, on_error="skip")
    broken = make_source(make_photo, broken=[6, 12])
    found, whole = train(broken, 5, settings), train(source, 5)
    assert order(found) == order(whole)
    for one, other in zip(found, whole, strict=True):
        hit = np.isin(other["index"], [6, 12])
        np.testing.assert_array_equal(one["mask"], ~hit)
        np.testing.assert_array_equal(one["image"][~hit], other["image"][~hit])
        assert not one["image"][hit].any()
    assert sum((~batch["mask"]).sum() for batch in found) == sum(k in (6, 12) for k in order(whole))


def test_a_photo_file_that_went_away_is_unreadable_too(table, photos):
    source = open_source(str(table))
    (photos / "neutral/04.png").unlink()
    settings = dataclasses.replace(SETTINGS, on_error="skip")
    (batch,) = take(evaluation_batches(source, settings, batch_size=9))
    assert batch["mask"].tolist() == [True] * 4 + [False] + [True] * 4
    with pytest.raises(UserError, match=r"04\.png"):
        take(evaluation_batches(source, SETTINGS, batch_size=9))


def test_a_human_label_is_never_in_a_batch_of_teacher_labels(source):
    settings = dataclasses.replace(SETTINGS, label="teacher_label")
    for batch in train(source, 7, settings):
        np.testing.assert_array_equal(batch["label"], batch["index"] % 2)
        np.testing.assert_array_equal(batch["probs"], [[0.25, 0.75, 0.0]] * 4)
        assert set(batch) == {"image", "label", "probs", "mask", "index"}


def test_a_teachers_label_is_never_in_a_batch_of_human_labels(source):
    for batch in train(source, 7):
        assert (batch["label"] == 2).all()
        assert not batch["probs"].any()
