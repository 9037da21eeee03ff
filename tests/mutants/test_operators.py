"""Which mistakes are made of a piece of source."""

import pytest

from tests.mutants.operators import mutants_of


def mistakes(tmp_path, source):
    """By statement, what becomes of it."""
    (tmp_path / "code.py").write_text(source, encoding="utf-8")
    found = {}
    for mutant in mutants_of(tmp_path, "code.py"):
        found.setdefault(mutant.old, set()).add(mutant.new)
    return found


@pytest.mark.parametrize(
    ("source", "new"),
    [
        ("x = a + b", {"x = a - b"}),
        ("x = a / b", {"x = a * b"}),
        ("x = -a", {"x = a"}),
        ("x = -1", {"x = 1", "x = 0", "x = -2"}),
        ("x = reshape(-1)", {"x = reshape(1)", "x = reshape(0)", "x = reshape(-2)"}),
        ("x = a.reshape(-1)", {"x = a", "x = a.reshape(1)", "x = a.reshape(0)"}),
        ("x = not a", {"x = a"}),
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a is None", {"x = a is not None"}),
        ("x = a and b", {"x = a or b", "x = a", "x = b"}),
        ("x = a if b else c", {"x = a", "x = c"}),
        ("x = 3", {"x = 4", "x = 2"}),
        ("x = 0.0", {"x = 1.0"}),
        ("x = True", {"x = False"}),
        ("x = 'f'", {"x = 'fx'"}),
        ("x = min(a, b)", {"x = max(a, b)"}),
        ("x = a.sum(axis=b)", {"x = a.sum()"}),
        ("x = wide(a)", {"x = a"}),
        ("x = a.astype(b)", {"x = a"}),
        ("x = a[b:c]", {"x = a[:c]", "x = a[b:]", "x = a"}),
        ("x = [a for a in b if c]", {"x = [a for a in b]"}),
        ("f(a)", {"pass"}),
        ("assert a", {"pass"}),
        ("x += y", {"pass", "x = y", "x -= y"}),
        ("x = x + y", {"x += y", "x = x - y"}),
        ("raise ValueError('words')", {"pass", "raise Exception('words')"}),
        ("if a: f", {"if True:", "if False:"}),
        ("for a in b: f", {"for a in ():"}),
        ("with a: f", {"if True:"}),
        ("with a as b: f", set()),
    ],
)
def test_the_mistakes_of_one_statement(tmp_path, source, new):
    assert mistakes(tmp_path, source).get(source.removesuffix(" f"), set()) == new


def test_what_says_nothing_has_no_mistakes(tmp_path):
    source = '"""Words."""\nfrom __future__ import annotations\nimport math\n__all__ = ["f"]\nx: int\n'
    assert mistakes(tmp_path, source) == {}


def test_returns_loops_handlers_and_clean_up(tmp_path):
    source = (
        "def f(x=1):\n"
        "    while x:\n"
        "        break\n"
        "    try:\n"
        "        return x\n"
        "    except ValueError:\n"
        "        return None\n"
        "    finally:\n"
        "        g()\n"
    )
    assert mistakes(tmp_path, source) == {
        "def f(x=1):": {"def f(x=2):", "def f(x=0):"},
        "while x:": {"while False:"},
        "break": {"continue"},
        "return x": {"return None"},
        "try:": {"try: finally: pass"},
        "except ValueError:": {"except ValueError: raise"},
        "g()": {"pass"},
    }


def test_an_assignment_is_left_out_where_the_name_has_a_value_before(tmp_path):
    source = "def f(x):\n    y = g(x)\n    y = g(y)\n    x = y\n    x.z = y\n    return h\n"
    found = mistakes(tmp_path, source)
    assert "y = g(x)" not in found
    assert found["y = g(y)"] == found["x = y"] == found["x.z = y"] == {"pass"}


def test_a_mutant_is_known_by_its_text_and_not_by_its_line(tmp_path):
    (tmp_path / "code.py").write_text("def f(a):\n    return a + 1\n", encoding="utf-8")
    before = {mutant.key: mutant.context for mutant in mutants_of(tmp_path, "code.py")}
    (tmp_path / "code.py").write_text("# more\n\n\nx = 3\n\ndef f(a):\n    return (a\n        + 1)\n", encoding="utf-8")
    after = {mutant.key: mutant.context for mutant in mutants_of(tmp_path, "code.py") if mutant.where}
    assert before == after
    assert ("code.py", "f", "return a + 1", "return a - 1") in before


def test_the_changed_code_is_the_original_with_one_change(tmp_path):
    (tmp_path / "code.py").write_text("def f(a):\n    b = a + 1\n    return b * 2\n", encoding="utf-8")
    results = {}
    for number, mutant in enumerate(mutants_of(tmp_path, "code.py")):
        fresh = mutants_of(tmp_path, "code.py")[number]  # the tree stays changed
        names = {}
        exec(fresh.code("code.py"), names)
        results[mutant.new] = names["f"](3)
    assert results == {
        "b = a - 1": 4, "b = a + 2": 10, "b = a + 0": 6, "return None": None, "return b / 2": 2, "return b * 3": 12,
        "return b * 1": 4,
    }  # fmt: skip
