"""Mistakes in configs and in their fields, each told in one line."""

import pathlib
import sys

import pytest
from absl import flags
from ml_collections.config_flags import config_flags

from configs import common, t4sa
from vit_sentiment.runtime import config_errors, config_fields
from vit_sentiment.runtime.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
T4SA = "--config=configs/t4sa.py"


@pytest.fixture
def check(monkeypatch):
    """A function that checks a command line."""
    monkeypatch.chdir(ROOT)
    # ml_collections runs all files in one module, where a function of an earlier one may remain.
    monkeypatch.delitem(sys.modules, "config_config", raising=False)
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, flag_values=values, sys_argv=["verb"])
    return lambda *words: config_errors.check(values["config"], ["verb", *words])


def told(check, *words):
    with pytest.raises(UserError) as error:
        check(*words)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--config.optimiser.name=adamw", "unknown field 'optimiser'; nearest: optimizer.name"),
        ("--config.optimizer.nmae=adamw", "unknown field 'nmae'; nearest: optimizer.name"),
        ("--config.model.hiden_size=3", "unknown field 'hiden_size'; nearest: model.hidden_size"),
        ("--config.dropout=0.1", "unknown field 'dropout'; nearest: model.dropout"),
        ("--config.learning_rate=1",
         "unknown field 'learning_rate'; nearest: stages[0].learning_rate, "
         "stages[1].learning_rate"),
        ("--config.stages[0].epoch=1", "unknown field 'epoch'; nearest: stages[0].epochs"),
        ("--config.early_stopping.zzz=1",
         "unknown field 'zzz'; fields here: min_delta, patience"),
        ("--config.items=1", "unknown field 'items'; fields here: accumulate, "),
        ("--config.stages[7].epochs=1",
         "no such part of stages, which has 2: stages[0], stages[1]"),
        ("--config.stages.epochs=1",
         "no such part of stages, which has 2: stages[0], stages[1]"),
        ("--config.stages=1",
         "stages is a section; its fields are set one by one, as stages[0].epochs"),
        ("--config.early_stopping={'patience': 3}",
         "early_stopping is a section; its fields are set one by one, as "
         "early_stopping.min_delta"),
        ("--config.seed.x=3", "seed has no parts (now 0); it is set as a whole"),
        ("--config.model.image_size[0]=3",
         "model.image_size has no parts (now (384, 384)); it is set as a whole"),
        ("--config.=3", "'' is not a field's name"),
        ("--config.seed=abc", "expected a whole number (now 0), found 'abc'"),
        ("--config.seed=1.5", "expected a whole number (now 0), found '1.5'"),
        ("--config.model.patch_size=x", "expected a whole number (now None), found 'x'"),
        ("--config.ema_decay=high", "expected a number (now 0.0), found 'high'"),
        ("--config.data.shuffle=maybe", "expected True or False (now True), found 'maybe'"),
        ("--config.model.image_size=small",
         "expected a tuple (now (384, 384)), found 'small'"),
        ("--noconfig.data.shuffle=1", "write --config.data.shuffle=VALUE"),
        ("--noconfig.seed", "write --config.seed=VALUE"),
        ("--config.seed", "write --config.seed=VALUE"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_field_names_what_is_there(check, word, message):
    assert told(check, T4SA, word).startswith(f"{word}: {message}")


@pytest.mark.parametrize(
    "words",
    [
        ["--config.seed=3"],
        ["--config.seed", "3"],
        ["-config.seed=3"],
        ["--config.ema_decay=1"],
        ["--config.data.shuffle"],
        ["--noconfig.data.shuffle"],
        ["--config.data.shuffle=False"],
        ["--config.stages[-1].learning_rate=1e-3"],
        ["--config.model.patch_size=8"],
        ["--config.model.image_size=(32, 32)"],
        ["--config.loss.noise_matrix=((1, 0), (0, 1))"],
        ["--config.init_from="],
        ["--", "--config.sede=3"],
    ],
)
def test_what_is_right_passes(check, words):
    """It raises where a word is wrong, as the tests below see."""
    check(T4SA, *words)
    check("--config", "configs/t4sa.py:ViT_L16,original", *words)


def test_every_field_takes_its_own_value_as_text(check):
    """As a user would type it; so no field is of a type that cannot be set."""
    for name, value in config_fields.leaves(common.get_config()).items():
        if value is not None:
            check("--config=configs/common.py", f"--config.{name}={value}")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("configs/twets.py", "no such file; nearest: configs/tweets.py"),
        ("far/away.py", "no such file"),
        ("", "no such file"),
        ("configs", "no such file"),
        ("configs/demo.py:x", "takes no argument, found 'x'"),
        ("configs/tweets.py:smal", "expected no argument or `small`, found 'smal'"),
        ("configs/t4sa.py:ViT_B8",
         "expected MODEL, MODEL,original or MODEL,modern, MODEL one of B-T4SA_1.0_upd, "
         "B-T4SA_1.0_upd_filt, bal_flat_T4SA2.0, bal_T4SA2.0, ViT_B32, ViT_L32, ViT_B16, ViT_L16, "
         "found 'ViT_B8'"),
    ],
)  # fmt: skip
def test_a_wrong_file_or_argument_is_told(check, file, message):
    assert told(check, f"--config={file}", "--config.seed=1") == f"--config={file}: {message}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:\n", "SyntaxError at broken.py:1: invalid syntax"),
        ("import no_such_module\n", "ModuleNotFoundError at broken.py:1: No module named 'no_such"),
        ("def get_config():\n    return 1 / 0\n", "ZeroDivisionError at broken.py:2: division by"),
        ("def get_config():\n    return int('x')\n", "ValueError at broken.py:2: invalid literal"),
        ("def get_config():\n    raise ValueError('two\\nlines')\n", "ValueError at broken.py:2"),
        ("def get_config():\n    return open('far')\n", "[Errno 2] No such file or directory"),
        ("def get_config(size):\n    return size\n", "needs an argument, --config=broken.py:ARG"),
        ("def get_config():\n    return 3\n", "expected a ConfigDict of get_config, found int"),
        ("seed = 3\n", "has no get_config()"),
    ],
)  # fmt: skip
def test_a_config_file_that_fails_is_told_with_the_place(
    check, tmp_path, monkeypatch, text, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text(text)
    assert told(check, "--config=broken.py").startswith(f"--config=broken.py: {message}")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seed", "3", 3),
        ("seed", 3, 3),
        ("ema_decay", "1e-3", 0.001),
        ("ema_decay", 1, 1.0),
        ("data.shuffle", "false", False),
        ("data.shuffle", True, True),
        ("init_from", "", ""),
        ("model.patch_size", "8", 8),
        ("model.image_size", "(8, 16)", (8, 16)),
        ("model.image_size", [8, 16], (8, 16)),
        ("stages[1].epochs", 2, 2.0),
    ],
)
def test_values_become_the_type_of_their_field(name, value, expected):
    found = config_fields.convert(t4sa.get_config(), name, value)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1.0),
        ("seed", True),
        ("ema_decay", True),
        ("ema_decay", None),
        ("data.shuffle", 1),
        ("init_from", 3),
        ("model.image_size", 8),
        ("model.image_size", ("a", "b")),
    ],
)
def test_values_of_other_types_are_refused(name, value):
    with pytest.raises(UserError, match=r"expected .* \(now .*\), found "):
        config_fields.convert(common.get_config(), name, value)
