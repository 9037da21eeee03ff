"""The tests' own helpers."""

from tests.support import code_lines

SAMPLE = '''"""Doc
string."""

# comment
x = (1,

     2)  # three lines, two with code


def f():
    """Doc."""
    return x
'''


def test_code_lines_are_counted_right(tmp_path):
    file = tmp_path / "sample.py"
    file.write_text(SAMPLE)

    assert code_lines(file) == {5, 7, 10, 12}
