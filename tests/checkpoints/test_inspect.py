import numpy as np
import pytest
import verbs


def inspect(run, *args):
    return run("checkpoints.inspect", *args)


def start(*args):
    return verbs.run("checkpoints.inspect", *args, arguments=("FILE",))


def assert_one_error(done, *parts):
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    for part in parts:
        assert part in lines[0]


def test_says_what_a_file_is(run, golden):
    path = golden / "google_original/checkpoint.npz"
    done = inspect(run, path)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    with np.load(path) as file:
        count = sum(file[name].size for name in file.files)
        for name in file.files:
            (line,) = [line for line in lines if line.startswith(f"{name} ")]
            assert f" {file[name].shape} " in line
    assert f"parameters: {count:,}" in lines
    for line in ("hidden_size: 48", "num_heads: 4", "patch_size: 8", "num_layers: 2", "gelu: tanh"):
        assert line in lines
    assert any(line.startswith("assumed: tanh GELU") for line in lines)


def test_forward_gives_googles_outputs(run, google, tmp_path):
    path, expected = google
    np.save(tmp_path / "images.npy", expected["images"])
    out = tmp_path / "new" / "outputs.npz"
    done = inspect(run, path, f"--forward={tmp_path / 'images.npy'}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    with np.load(out) as found:
        assert set(found.files) == {"features", "logits"}
        for name in found.files:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5, rtol=0)


def test_forward_resizes_positions_to_the_images(google, tmp_path, capsys):
    path, expected = google
    np.save(tmp_path / "images.npy", expected["images_resized"])
    out = tmp_path / "outputs.npz"
    code = start(path, f"--forward={tmp_path / 'images.npy'}", f"--out={out}")
    assert code == 0
    assert "positions resized" in capsys.readouterr().err
    with np.load(out) as found:
        features = expected["features_resized"]
        np.testing.assert_allclose(found["features"], features, atol=1e-5, rtol=0)


def test_forward_takes_more_images_than_it_runs_at_a_time(golden, tmp_path):
    path = golden / "google_original/checkpoint.npz"
    with np.load(golden / "google_original/expected.npz") as file:
        expected = dict(file)
    np.save(tmp_path / "images.npy", np.tile(expected["images"], (9, 1, 1, 1))[:35])
    out = tmp_path / "outputs.npz"
    assert start(path, f"--forward={tmp_path / 'images.npy'}", f"--out={out}") == 0
    with np.load(out) as found:
        logits = np.tile(expected["logits"], (9, 1))[:35]
        np.testing.assert_allclose(found["logits"], logits, atol=1e-5, rtol=0)


def test_forward_needs_the_gelu_where_the_file_cannot_tell(run, golden, tmp_path):
    """The golden training's first loss, before any update, tells the right GELU."""
    path = golden / "keras_train/initial.npz"
    images, out = tmp_path / "images.npy", tmp_path / "outputs.npz"
    with np.load(golden / "keras_train/expected.npz") as file:
        np.save(images, file["images"][0])
        labels, weights = file["labels"][0], file["class_weights"]
        expected = file["full_losses"][0]
    command = [path, f"--forward={images}", f"--out={out}"]
    assert_one_error(inspect(run, *command), str(path), "pass --gelu")
    assert not out.exists()
    assert start(*command, "--gelu=exact") == 0
    with np.load(out) as file:
        logits = file["logits"].astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = 0.8 * np.eye(3)[labels] + 0.2 / 3
    loss = (-(targets * log_probs).sum(1) * weights[labels]).sum() / 8
    assert abs(loss - expected) < 1e-5


def write_images(folder, kind):
    path = folder / "images.npy"
    if kind == "text":
        path.write_text("no array")
    elif kind == "objects":
        np.save(path, np.array([{}]), allow_pickle=True)
    elif kind == "uint8":
        np.save(path, np.zeros((1, 32, 32, 3), np.uint8))
    elif kind == "two axes":
        np.save(path, np.zeros((32, 32), np.float32))
    elif kind == "size":
        np.save(path, np.zeros((1, 33, 32, 3), np.float32))
    return path


@pytest.mark.parametrize("kind", ["missing", "text", "objects", "uint8", "two axes", "size"])
def test_images_that_cannot_be_used_are_told_in_a_line(golden, tmp_path, kind, capsys):
    path = write_images(tmp_path, kind)
    args = [
        str(golden / "google_original/checkpoint.npz"),
        f"--forward={path}", f"--out={tmp_path / 'outputs.npz'}",
    ]  # fmt: skip
    code = start(*args)
    error = capsys.readouterr().err
    assert code == 1
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert ("images.npy" in error) or kind == "size"
    assert not (tmp_path / "outputs.npz").exists()


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["x.npz"], "x.npz: no such file"),
        (["x.npz", "--forward=images.npy"], "--forward and --out go together"),
        (["x.npz", "--image_size=32"], "--image_size: expected HEIGHTxWIDTH, found '32'"),
        (["."], "model.json"),
    ],
)
def test_wrong_arguments_are_told_in_a_line(capsys, args, part):
    assert start(*args) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert part in error
    assert len(error.splitlines()) == 1
