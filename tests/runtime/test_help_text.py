"""`--help` of every verb and command, as it is printed."""

import functools
import os
import re
import subprocess
import sys

import pytest
from parse_commands import ROOT, command_lines, problems, verbs

from vit_sentiment.runtime.help_text import EXIT_CODES, UNGROUPED

VERBS = verbs()
HEAVY = {"jax", "jaxlib", "flax", "grain", "orbax", "tensorflow_datasets", "tensorflow", "torch"}
OPTION = re.compile(r"^  (?:-\w, )?--(?:\[no\])?([\w.]+)", flags=re.M)


@functools.cache
def help_of(verb):
    """The process that printed the help of a verb, and the modules that it loaded."""
    module, *command = verb.split()
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['x', *{command}, '--help']\n"
        "try:\n"
        f"    runpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"
        "finally:\n"
        "    print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return done, set(done.stderr.split())


def paragraphs(verb):
    return help_of(verb)[0].stdout.strip().split("\n\n")


def test_verbs_and_commands_are_found():
    assert {"vit_sentiment.train", "vit_sentiment.study noise", "input_pipeline.build"} < set(VERBS)
    assert not {"checkpoints.weight_flags", "vit_sentiment.__init__"} & set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_exits_with_0_and_loads_nothing_heavy(verb):
    done, loaded = help_of(verb)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "absl" in loaded
    assert not HEAVY & loaded


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_a_sentence_the_usage_two_examples_and_the_exit_codes(verb):
    sentence, usage, examples, *_ = paragraphs(verb)
    assert sentence.endswith(".")
    assert not re.search(r"[.!?]\s", sentence)
    assert len(sentence.splitlines()) <= 2
    assert usage.startswith(f"Usage: python -m {verb} ")
    assert examples.startswith("Examples:\n")
    module, *command = verb.split()
    commands = [(name, words[: len(command)]) for name, words in command_lines(examples)]
    assert commands == [(module, command)] * 2
    assert help_of(verb)[0].stdout.endswith(f"\n\n{EXIT_CODES}\n")


@pytest.mark.parametrize("module", [verb for verb in VERBS if " " not in verb])
def test_examples_parse(module):
    commands = [
        words
        for verb in VERBS
        if verb.split()[0] == module
        for _, words in command_lines(paragraphs(verb)[2])
    ]
    assert problems(module, commands) == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_in_one_group(verb):
    groups = [text for text in paragraphs(verb) if OPTION.search(text)]
    left = [OPTION.findall(text) for text in groups if text.startswith(f"{UNGROUPED}:\n")]
    assert left == []
    names = OPTION.findall("\n".join(groups))
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("verb", ["train", "sweep", "cross_validate", "distill", "study noise"])
def test_help_tells_how_the_fields_of_a_config_are_set(verb):
    text = help_of(f"vit_sentiment.{verb}")[0].stdout
    assert "--config.FIELD=VALUE" in text
    assert "docs/config.md" in text
    assert "layer_norm_epsilon" not in text  # The default config is named, not printed.


def test_a_verb_with_commands_lists_them_beside_its_own_options():
    distill = help_of("vit_sentiment.distill")[0].stdout
    assert "Usage: python -m vit_sentiment.distill [COMMAND] [options]\n" in distill
    assert "\n  purge      Removes tweets from a dataset" in distill
    assert "\n  --tweets=TEXT" in distill
    study = help_of("vit_sentiment.study")[0].stdout
    assert "Usage: python -m vit_sentiment.study COMMAND [options]\n" in study
    assert "\n  noise   Compares ways of learning" in study
    assert "\n  --" not in study


VERB = '''
"""Does what it must.

  python -m verb --much=1 A
  python -m verb -k a

And more.
"""

from absl import flags
from ml_collections import config_flags

from vit_sentiment.runtime import startup

CONFIG = config_flags.DEFINE_config_file("config", None, "Recipe.")
KIND = flags.DEFINE_enum("kind", "a", ["a", "b"], "Which.", short_name="k")
MUCH = flags.DEFINE_float("much", None, "How much.", required=True)
COUNT = flags.DEFINE_integer("count", 3, "Word " * 30 + "end.", lower_bound=1)
NAMES = flags.DEFINE_list("names", ["x", "y"], "Of what.")
NONE = flags.DEFINE_list("none", [], "Of nothing.")
PART = flags.DEFINE_multi_string("part", None, "Each.")
ON = flags.DEFINE_bool("on", True, "Whether.")
OFF = flags.DEFINE_bool("off", False, "Whether not.")
LEFT = flags.DEFINE_string("left", "", "Left out.")
GROUPS = {"First": (MUCH, KIND, CONFIG, COUNT), "Second": (ON, OFF, NAMES, NONE, PART)}

startup.run(lambda *_: None, __doc__, arguments=("FILE", "MORE..."), groups=GROUPS)
'''

HELP = """
Does what it must.

Usage: python -m verb [options] FILE [MORE...]

Examples:
  python -m verb --much=1 A
  python -m verb -k a

First:
  --much=FLOAT            How much (required).
  -k, --kind=a|b          Which (default: a).
  --config=FILE.py[:ARG]  Recipe (required).
  --config.FIELD=VALUE    Changes a field of the config; docs/config.md explains every one.
  --count=INT
      Word Word Word Word Word Word Word Word Word Word Word Word Word Word Word Word Word Word Word
      Word Word Word Word Word Word Word Word Word Word Word end (default: 3).

Second:
  --[no]on         Whether (default: --on).
  --[no]off        Whether not.
  --names=A,B,...  Of what (default: x,y).
  --none=A,B,...   Of nothing.
  --part=TEXT      Each (may be repeated).

Options:
  --left=TEXT  Left out.

And more.
"""


def test_layout(tmp_path):
    (tmp_path / "verb.py").write_text(VERB.lstrip())
    done = subprocess.run(
        [sys.executable, "-m", "verb", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{HELP.lstrip()}\n{EXIT_CODES}\n"
