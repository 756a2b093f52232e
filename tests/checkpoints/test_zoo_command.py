import hashlib
import json

import pytest
import verbs
from loopback import Reply

from checkpoints import published, releases

H5 = b"\x89HDF\r\n\x1a\n" + bytes(100)


@pytest.fixture
def zoo(capsys):
    """A function that runs the verb in this process: exit code, standard output, standard error."""

    def run_zoo(*args):
        code = verbs.run("checkpoints.zoo", *args, arguments=("NAME...",))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_zoo


def drop(folder, data=H5):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ViT_B32.h5").write_bytes(data)
    return folder / "ViT_B32.h5"


def test_a_user_gets_paths_on_stdout_and_the_rest_on_stderr(run, server, cache, npz):
    server.will(Reply(npz))
    names = ("imagenet21k/ViT-B_32", "ViT-B_16_imagenet21k")
    done = run("checkpoints.zoo", *names, f"--base_url={server.url}")
    assert done.returncode == 0, done.stderr
    paths = [cache / "imagenet21k/ViT-B_32.npz", cache / "vit_keras/ViT-B_16_imagenet21k.npz"]
    assert done.stdout.splitlines() == [str(path) for path in paths]
    assert [path.read_bytes() for path in paths] == [npz, npz]
    assert f"fetching {server.url}/imagenet21k/ViT-B_32.npz" in done.stderr
    assert "ViT-B_32.npz: 2/2 MB in" in done.stderr


def test_the_table_lists_all_and_says_what_is_here(zoo, cache, tmp_path):
    drop(cache / "t4sa")
    code, out, err = zoo()
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert code == 0
    assert set(rows) == {"name"} | {release.name for release in releases.RELEASES}
    assert rows["ViT_B32"].split()[:4] == ["ViT_B32", "ViT-B/32", "224", "cached"]
    assert " absent " in rows["ViT_L16"]
    assert " no public file " in rows["boosted_model"]
    for release in releases.RELEASES:
        assert rows[release.name].rstrip().endswith(release.source)
    assert str(cache) in err


def test_the_table_says_what_is_in_a_folder(zoo, cache, tmp_path):
    drop(tmp_path / "mine")
    _, out, _ = zoo(f"--folder={tmp_path / 'mine'}")
    (row,) = [line for line in out.splitlines() if line.startswith("ViT_B32 ")]
    assert " in --folder " in row


def test_json_is_the_catalogue(zoo, cache):
    path = drop(cache / "t4sa")
    code, out, err = zoo("--json")
    assert (code, err) == (0, "")
    entries = json.loads(out)
    assert [entry["name"] for entry in entries] == [r.name for r in releases.RELEASES]
    (entry,) = json.loads(zoo("--json", "ViT_B32")[1])
    assert entry["path"] == str(path)
    assert entry["url"] == releases.find("ViT_B32").url
    assert json.loads(zoo("--json", "ViT_L16")[1])[0]["path"] is None


def test_published_lists_the_twelve_models_of_the_original(zoo, cache):
    code, out, _ = zoo("--published")
    lines = out.splitlines()
    rows = {line.split()[0]: line for line in lines[1:13]}
    assert code == 0
    assert list(rows) == list(published.MODELS)
    for name, row in rows.items():
        model, low = published.MODELS[name], -1 if "B/32" not in row else 0
        assert row.split()[1:5] == [f"ViT-{model.variant}", str(model.image_size), f"[{low},", "1]"]
        assert model.training_set in row
        assert row.rstrip().endswith("downloads" if releases.find(name).url else "NAME=FILE")
    assert rows["ViT_L16"].split()[-5:] == ["87.8", "84.8", "81.9", "[1]", "downloads"]
    assert rows["B-T4SA_1.0"].split()[-5:-1] == ["81.18", "\N{EN DASH}", "\N{EN DASH}", "[2]"]
    assert [line[:3] for line in lines[13:]] == ["[1]", "[2]"]
    assert "fabiocarrara/cross-modal-visual-sentiment-analysis: README.md" in lines[13]


def test_published_tells_all_figures_as_json(zoo, cache):
    (entry,) = json.loads(zoo("--published", "--json", "bal_flat_T4SA2.0")[1])
    assert (entry["input_range"], entry["image_size"]) == ([0, 1], 224)
    assert entry["url"] == releases.find("bal_flat_T4SA2.0").url
    found = {(f["benchmark"], f["metric"], f["percent"]) for f in entry["figures"]}
    assert len(entry["figures"]) == 8
    assert {("3agree", "accuracy", 75.3), ("5agree", "auc_pos", 87.78)} < found


def test_verify_names_each_file_that_changed_and_goes_on(zoo, cache, npz):
    good = drop(cache / "t4sa")
    bad = cache / "vit_keras/ViT-B_32_imagenet21k.npz"
    bad.parent.mkdir()
    bad.write_bytes(npz)
    lines = [
        f"{hashlib.sha256(npz).hexdigest()}  {bad}",
        f"{hashlib.sha256(H5).hexdigest()}  {good}",
    ]
    code, out, _ = zoo("--verify")
    assert (code, out.splitlines()) == (0, lines)
    bad.write_bytes(npz + b"x")
    code, out, err = zoo("--verify")
    assert (code, out.splitlines()) == (1, lines[1:])
    assert any(line.startswith(f"{bad}: has sha256 ") for line in err.splitlines())
    assert err.splitlines()[-1].startswith("error: 1 of 2 files ")
    assert zoo("--verify", "ViT_B32")[0] == 0


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["ViT_B32", "ViT_B23"], ["ViT_B23: no such release", "ViT_B32"]),
        (["boosted_model"], ["boosted_model", "no public file"]),
        (["--verify", "--json"], ["--verify", "--json"]),
        (["--verify", "--published"], ["--verify", "--published"]),
        (["--published", "ViT_B23"], ["ViT_B23", "not a model of the original", "boosted_model"]),
        (["--timeout=0", "ViT_B32"], ["--timeout=0"]),
        (["--base_url=ftp://here", "ViT_B32"], ["ftp://here/t4sa/ViT_B32.h5", "http"]),
        (["--folder=never", "ViT_B32"], ["never: no such folder"]),
    ],
)
def test_a_mistake_is_told_in_one_line_and_nothing_is_fetched(zoo, cache, args, parts):
    code, out, err = zoo(*args)
    assert (code, out) == (1, "")
    *_, line = err.splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line
    assert not list(cache.rglob("*.h5"))
