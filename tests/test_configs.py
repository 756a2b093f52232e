"""The files in configs/: what they resolve to, and that every field is documented."""

import difflib
import inspect

import config_files
import pytest

MAKE = f"if that is what you want: {config_files.COMMAND}"


def assert_same(found, path):
    expected = path.read_text() if path.exists() else ""
    name = str(path.relative_to(config_files.ROOT))
    lines = difflib.unified_diff(
        expected.splitlines(), found.splitlines(), name, "now", lineterm="", n=1
    )
    if difference := "\n".join(lines):
        pytest.fail(f"{difference}\n{MAKE}", pytrace=False)


@pytest.mark.parametrize(("name", "argument"), config_files.cases())
def test_a_config_resolves_to_its_golden_file(name, argument):
    file = config_files.cases()[name, argument]
    assert_same(config_files.resolved(name, argument), config_files.GOLDEN / file)


def test_every_config_has_golden_files_and_there_are_no_others():
    expected = {
        "common.json", "demo.json", "tweets.json", "tweets-small.json",
        "t4sa-ViT_B16.json", "t4sa-ViT_B16-original.json", "t4sa-ViT_B16-modern.json",
        "distill-default.json", "distill-merged.json",
    }  # fmt: skip
    files = {path.name for path in config_files.GOLDEN.glob("*.json")}
    assert files == set(config_files.cases().values())
    assert files >= expected


@pytest.mark.parametrize("name", config_files.modules())
def test_arguments_are_listed_documented_and_no_others_taken(name):
    module = config_files.modules()[name]
    parameters = inspect.signature(module.get_config).parameters
    assert bool(parameters) == hasattr(module, "ARGUMENTS")
    for argument in config_files.arguments(module):
        assert all(part in module.__doc__ for part in argument.split(","))
    if parameters:
        (parameter,) = parameters.values()
        assert parameter.default in module.ARGUMENTS
        with pytest.raises(ValueError, match=rf"^configs/{name}\.py: expected .*, found 'other'$"):
            module.get_config("other")


@pytest.mark.parametrize("base", config_files.BASES)
def test_every_field_has_a_comment_of_its_own(base):
    told, values = config_files.comments(base), config_files.defaults(base)
    assert set(values) <= set(told)
    assert [name for name in values if not told[name]] == []
    sections = set(told) - set(values)
    assert all(any(name.startswith((f"{s}.", f"{s}[")) for name in told) for s in sections)


def test_the_document_of_all_fields_is_made_from_the_comments():
    text = config_files.document()
    assert_same(text, config_files.DOCUMENT)
    told = text.count("\n| `")
    assert told == sum(len(config_files.defaults(base)) for base in config_files.BASES)
