"""Tables on the terminal show names as they are, whatever is in them."""

import pytest

from vit_sentiment.reporting.terminal import print_table


@pytest.mark.parametrize("name", ["[bold]x.jpg", "[/x].jpg", "br[a]ck.jpg", ":smile:.jpg"])
def test_what_looks_like_markup_is_text(name, capsys):
    print_table(("photo", "[red]"), [(name, 1.0)])
    header, row = capsys.readouterr().out.splitlines()
    assert row.split()[0] == name
    assert header.split()[1] == "[red]"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", r"a\nb"),
        ("a\x1b[31mb", r"a\x1b[31mb"),
        ("a\rb", r"a\rb"),
        ("a\x9bb", r"a\x9bb"),
        ("a\udcffb", r"a\udcffb"),
    ],
)
def test_control_characters_neither_break_lines_nor_reach_the_terminal(name, shown, capsys):
    print_table(("photo", "n"), [(name, 1), ("é 😀", 2)])
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split() == [shown, "1"]
    assert second.split() == ["é", "😀", "2"]
