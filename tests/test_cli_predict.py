"""`minivit predict` with one file and with many: which files, in which form the answers come, and what bad files do."""

import csv
import errno
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minivit import cli, load_model, save_weights
from minivit.cli.predict import image_files
from minivit.errors import ConfigError, DataError, Notice

from .data.images_on_disk import write_picture
from .support import tiny_vit

CLASSES = ["cat, grey", 'the "dog"', "Zürich", "=1+1", "猫"]


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "model.npz"
    save_weights(tiny_vit(dtype=np.float32), path, header={"classes": CLASSES})
    return path


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Seven images in a folder with a subfolder, and a text; the working directory is beside them."""
    monkeypatch.chdir(tmp_path)
    for number in range(5):
        write_picture(tmp_path / "photos" / f"{number}.png", number)
    for number in (5, 6):
        write_picture(tmp_path / "photos" / "a, b" / f"ü{number}.png", number)
    (tmp_path / "photos" / "notes.txt").write_text("a note", encoding="utf-8")
    return tmp_path / "photos"


ALL = [f"photos/{n}.png" for n in range(5)] + [f"photos/a, b/ü{n}.png" for n in (5, 6)]


def predict(capsys, *arguments, status=0):
    capsys.readouterr()
    assert cli.main(["predict", *map(str, arguments)]) == status
    return capsys.readouterr()


def rows_of(text):
    return list(csv.reader(text.splitlines()))


def test_a_heic_image_of_a_folder_gets_a_row_that_says_what_to_install(without_heic, photos, weights, capsys):
    (photos / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    predict(capsys, "photos", "--weights", weights, "--csv", "answers.csv", status=1)
    header, *rows = rows_of(Path("answers.csv").read_text(encoding="utf-8"))
    assert len(rows) == 8
    (row,) = [row for row in rows if row[0].endswith("IMG_1.HEIC")]
    assert row[1] == "" and "pip install 'minivit[heic]'" in row[header.index("error")]
    said = predict(capsys, "photos", "--weights", weights, "--csv", "answers.csv", status=1)
    assert f"1 of 8 images could not be read ({Path('photos/IMG_1.HEIC')}): the column error says why\n" in said.err
    assert "answers: answers.csv, 7 images\n" in said.out


def test_only_image_sizes_are_suggested_for_patches_that_the_weights_have(photos, weights, capsys):
    said = predict(capsys, "photos/0.png", "--weights", weights, "--image-size", "10", status=2)
    assert said.err.endswith("patches of 4 pixels must divide the image size, not 10; 8 or 12 would do\n")


# -- which files ------------------------------------------------------------------------------------


def found(words):
    files, unusable = image_files(words)
    assert not unusable
    return files


def same(paths):
    return [os.path.normpath(path) for path in paths]


def test_a_folder_gives_its_images_and_those_of_its_subfolders_sorted(photos):
    with pytest.warns(Notice, match=r"photos: skipped 1 .txt"):
        assert same(found(["photos"])) == same(sorted(ALL))


def test_a_pattern_that_no_shell_replaced_is_replaced(photos):
    assert same(found(["photos/*.png"])) == same(ALL[:5])
    assert same(found(["photos/**/*.png"])) == same(sorted(ALL))
    assert same(found(["photos/[12].png", "photos/0.png"])) == same([ALL[1], ALL[2], ALL[0]])
    assert same(found(["photos/a*"])) == same(ALL[5:])  # a folder that a pattern matches


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(photos):
    write_picture(photos / "[1].png")
    assert found(["photos/[1].png"]) == ["photos/[1].png"]


def test_a_pattern_without_a_match_and_a_folder_without_images_are_refused(photos, tmp_path):
    with pytest.raises(ConfigError, match=r"no file matches photos/\*.jpg: give"):
        image_files(["photos/*.jpg"])
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.heic.txt").touch()
    with pytest.raises(DataError, match=r"texts holds no images .*: skipped 1 .txt"):
        image_files(["photos/1.png", "texts"])


# -- the answers -------------------------------------------------------------------------------------


def expected(files):
    return load_model("model.npz").predict(files)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_csv_has_a_row_for_each_file_in_order_with_what_the_model_says(photos, weights, capsys, size):
    said = predict(capsys, *ALL, "--weights", weights, "--csv", "out/answers.csv", "--top", 3, "--batch-size", size)

    assert said.out == f"answers: out/answers.csv, {len(ALL)} images\n"
    with Path("out/answers.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["file", "class", "probability", "class_2", "probability_2", "class_3", "probability_3", "error"]
    assert [row[0] for row in rows] == ALL
    for row, probabilities in zip(rows, expected(ALL), strict=True):
        order = np.argsort(-probabilities)[:3]
        assert row[1:7:2] == [CLASSES[k] for k in order]
        assert [float(cell) for cell in row[2:8:2]] == pytest.approx(probabilities[order].tolist(), rel=1e-4)
        assert row[-1] == ""


def test_csv_and_json_lines_on_standard_output(photos, weights, capsys):
    said = rows_of(predict(capsys, *ALL, "--weights", weights, "--csv", "-", "--top", 9).out)
    lines = predict(capsys, *ALL, "--weights", weights, "--json", "--top", 9).out.splitlines()

    assert len(said[0]) == 2 + 2 * len(CLASSES)  # no more columns than classes
    for row, line in zip(said[1:], lines, strict=True):
        answer = json.loads(line)
        assert (row[0], row[1:-1:2]) == (answer["image"], [one["class"] for one in answer["top"]])


def test_classes_of_one_name_are_told_apart_by_their_numbers(photos, tmp_path, capsys):
    names = ["crane", "ant", "crane", "bee", "cow"]  # some lists of ImageNet's names have a bird and a machine
    save_weights(tiny_vit(dtype=np.float32), tmp_path / "two.npz", header={"classes": names})
    save_weights(tiny_vit(dtype=np.float32), tmp_path / "numbers.npz", header={"classes": list("01234")})

    lines = [predict(capsys, "photos/0.png", "--weights", f"{name}.npz", "--json").out for name in ("two", "numbers")]

    numbers = [int(one["class"]) for one in json.loads(lines[1])["top"]]
    expected = ["crane (class 0)", "ant", "crane (class 2)", "bee", "cow"]
    assert [one["class"] for one in json.loads(lines[0])["top"]] == [expected[k] for k in numbers]


def test_names_that_no_table_may_hold_plainly_are_quoted(weights, tmp_path, capsys):
    if sys.platform == "win32":
        pytest.skip("Windows has no such names")
    odd = [tmp_path / 'a "b",\nc.png', tmp_path / os.fsdecode(b"caf\xe9.png")]
    try:
        for path in odd:
            write_picture(path)
    except OSError:
        pytest.skip("this file system has no such names")
    predict(capsys, *odd, "--weights", weights, "--csv", tmp_path / "answers.csv")

    with (tmp_path / "answers.csv").open(encoding="utf-8", newline="") as file:
        names = [row[0] for row in csv.reader(file)]
    assert names[1:] == [str(odd[0]), str(odd[1]).replace("\udce9", r"\udce9")]


def before_each_batch(monkeypatch, look):
    """Let `look` be called before the model computes a batch."""
    whole = type(load_model("model.npz")).predict

    def predict_after_a_look(self, pixels, *arguments, **options):
        look()
        return whole(self, pixels, *arguments, **options)

    monkeypatch.setattr("minivit.models.classifier.Classifier.predict", predict_after_a_look)


def test_rows_on_standard_output_are_there_before_the_next_batch_is_computed(photos, weights, capsys, monkeypatch):
    seen = []
    capsys.readouterr()
    before_each_batch(monkeypatch, lambda: seen.append(len(capsys.readouterr().out.splitlines())))
    assert cli.main(["predict", *ALL, "--weights", str(weights), "--csv", "-", "--batch-size", "2"]) == 0

    assert (seen[0] + seen[1], *seen[2:]) == (3, 2, 2)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_rows_in_a_pipe_are_there_before_the_next_batch_is_computed(photos, weights, capsys, monkeypatch):
    os.mkfifo("answers.csv")
    reader = os.open("answers.csv", os.O_RDONLY | os.O_NONBLOCK)
    seen = []
    try:
        before_each_batch(monkeypatch, lambda: seen.append(os.read(reader, 10_000).count(b"\n") if seen else None))
        predict(capsys, *ALL, "--weights", weights, "--csv", "answers.csv", "--batch-size", 2)
        seen.append(os.read(reader, 10_000).count(b"\n"))
    finally:
        os.close(reader)

    assert seen == [None, 3, 2, 2, 1]


def test_a_file_of_earlier_answers_stays_until_all_rows_are_there(photos, weights, capsys, monkeypatch):
    Path("answers.csv").write_text("earlier", encoding="utf-8")
    seen = []
    before_each_batch(monkeypatch, lambda: seen.append(Path("answers.csv").read_text(encoding="utf-8")))
    predict(capsys, *ALL, "--weights", weights, "--csv", "answers.csv", "--batch-size", 2)

    assert seen == ["earlier"] * 4
    assert len(rows_of(Path("answers.csv").read_text(encoding="utf-8"))) == 1 + len(ALL)


@pytest.mark.parametrize("batches", [0, 2])
def test_after_ctrl_c_the_rows_so_far_are_in_another_file(photos, weights, capsys, monkeypatch, batches):
    Path("answers.csv").write_text("earlier", encoding="utf-8")
    seen = []

    def interrupt():
        seen.append(1)
        if len(seen) > batches:
            raise KeyboardInterrupt

    before_each_batch(monkeypatch, interrupt)
    said = predict(capsys, *ALL, "--weights", weights, "--csv", "answers.csv", "--batch-size", 2, status=130)

    assert Path("answers.csv").read_text(encoding="utf-8") == "earlier"
    assert not list(Path().glob(".minivit-*"))
    if not batches:
        assert said.err == "minivit: interrupted\n" and not Path("answers.partial.csv").exists()
        return
    assert said.err == "minivit: answers so far: answers.partial.csv, 4 images\nminivit: interrupted\n"
    rows = rows_of(Path("answers.partial.csv").read_text(encoding="utf-8"))
    assert [row[0] for row in rows[1:]] == ALL[:4] and all(len(row) == len(rows[0]) for row in rows)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_after_ctrl_c_the_rows_in_a_pipe_are_not_kept_again(photos, weights, capsys, monkeypatch):
    os.mkfifo("answers.csv")
    reader = os.open("answers.csv", os.O_RDONLY | os.O_NONBLOCK)
    seen = []

    def interrupt():
        seen.append(1)
        if len(seen) > 2:
            raise KeyboardInterrupt

    try:
        before_each_batch(monkeypatch, interrupt)
        said = predict(capsys, *ALL, "--weights", weights, "--csv", "answers.csv", "--batch-size", 2, status=130)
    finally:
        os.close(reader)
    assert said.err == "minivit: interrupted\n"
    assert sorted(path.name for path in Path().iterdir()) == ["answers.csv", "model.npz", "photos"]


# -- bad files -----------------------------------------------------------------------------------------


def damage(photos):
    (photos / "0.png").write_bytes((photos / "0.png").read_bytes()[:60])
    (photos / "3.png").write_text("a text", encoding="utf-8")
    return ["photos/0.png", "photos/3.png", "photos/none.png"]


def test_a_bad_file_is_a_line_and_the_others_are_classified(photos, weights, capsys):
    bad = damage(photos)
    files = [*ALL, "photos/none.png"]

    said = predict(capsys, *files, "--weights", weights, "--csv", "-", "--batch-size", 3, status=1)
    rows = rows_of(said.out)
    assert said.err.startswith("minivit: 3 of 8 images could not be read (photos")
    assert [row[0] for row in rows[1:]] == files
    assert [row[0] for row in rows[1:] if row[-1]] == bad
    assert all(row[0] in row[-1] and set(row[1:-1]) == {""} for row in rows[1:] if row[-1])
    good = {row[0]: float(row[2]) for row in rows[1:] if not row[-1]}
    assert list(good.values()) == pytest.approx(expected(list(good)).max(axis=1).tolist(), rel=1e-4)

    lines = [
        json.loads(line)
        for line in predict(capsys, *files, "--weights", weights, "--json", status=1).out.split("\n")[:-1]
    ]
    assert [line["image"] for line in lines if "error" in line] == bad
    assert not any("error" in line and "top" in line for line in lines)

    table = predict(capsys, *files, "--weights", weights, status=1)
    assert [line for line in table.out.splitlines() if not line.startswith(" ")] == [f for f in files if f not in bad]
    errors = table.err.splitlines()
    assert len(errors) == 4 and all(name in line for name, line in zip(bad, errors, strict=False))


def test_if_no_file_can_be_read_the_status_is_2(photos, weights, capsys):
    bad = damage(photos)

    table = predict(capsys, *bad, "--weights", weights, status=2)
    assert table.out == "" and table.err.splitlines()[-1] == "minivit: 3 of 3 images could not be read"
    rows = rows_of(predict(capsys, *bad, "--weights", weights, "--csv", "-", status=2).out)
    assert [row[0] for row in rows[1:]] == bad
    assert predict(capsys, bad[0], "--weights", weights, status=2).err.count("\n") == 1


def test_a_path_that_the_system_refuses_is_a_line_and_the_others_are_classified(photos, weights, capsys, monkeypatch):
    """A folder without permission, here played since an administrator may read all; a file in one; too long a name."""
    (photos / "locked").mkdir()
    write_picture(Path("half") / "0.png")
    (Path("half") / "locked").mkdir()
    iterdir, status = Path.iterdir, os.stat

    def listed(path):
        if path.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return iterdir(path)

    def stat(path, *arguments, **options):
        if "locked" in Path(os.fsdecode(path) if not isinstance(path, int) else "").parts[:-1]:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return status(path, *arguments, **options)

    monkeypatch.setattr(Path, "iterdir", listed)
    monkeypatch.setattr(os, "stat", stat)
    long, odd = "x" * 300 + ".png", "[x]" * 100 + ".png"
    words = [ALL[0], "photos/locked", long, "half", "photos/locked/1.png", ALL[1]]
    said = predict(capsys, *words, "--weights", weights, "--json", "--batch-size", 4, status=1)
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["image"] for line in lines] == words
    assert [line["image"] for line in lines if "top" in line] == [ALL[0], ALL[1]]
    assert lines[1]["error"] == f"{Path('photos/locked')} cannot be read: Permission denied"
    assert lines[3]["error"] == f"{Path('half/locked')} cannot be read: Permission denied"
    assert "x.png" in lines[2]["error"]
    assert said.err == "minivit: 4 of 6 images could not be read\n"
    assert "no file matches" in predict(capsys, odd, "--weights", weights, status=2).err


@pytest.mark.skipif(sys.platform == "win32", reason="links need a permission there")
def test_a_link_to_itself_is_skipped_as_one_that_leads_nowhere(photos, weights, capsys):
    (photos / "loop.png").symlink_to("loop.png")
    (photos / "below.png").symlink_to("0.png/x.png")
    said = predict(capsys, "photos", "--weights", weights)
    assert said.err == "minivit: note: photos: skipped 2 links that lead nowhere, 1 .txt\n"


# -- mistakes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["photos/1.png", "answers.txt", "photos.CSV.gz"])
def test_a_csv_file_must_be_called_so_that_no_image_is_overwritten(photos, weights, capsys, name):
    before = (photos / "1.png").read_bytes()

    said = predict(capsys, "--csv", name, "photos/2.png", "--weights", weights, status=2)

    assert said.err == f"minivit: error: --csv must be a file that ends in .csv, or -, not {name}\n"
    assert (photos / "1.png").read_bytes() == before and not Path("answers.txt").exists()


@pytest.mark.parametrize(("option", "value"), [("--top", 0), ("--batch-size", 0), ("--batch-size", -3)])
def test_counts_below_1_are_refused(photos, weights, capsys, option, value):
    said = predict(capsys, "photos", "--weights", weights, option, value, status=2)
    assert said.err == f"minivit: error: {option} must be 1 or more, not {value}\n"


def test_json_and_csv_exclude_each_other(photos, weights, capsys):
    with pytest.raises(SystemExit):
        cli.main(["predict", "photos", "--weights", str(weights), "--json", "--csv", "x.csv"])
    assert "--csv" in capsys.readouterr().err and not Path("x.csv").exists()


def test_a_csv_file_that_cannot_be_written_is_named(photos, weights, capsys, monkeypatch):
    Path("folder.csv").mkdir()
    monkeypatch.setattr("minivit.models.classifier.Classifier.predict", None)  # it is told before the work
    for name in ("photos/1.png/x.csv", "folder.csv"):
        said = predict(capsys, "photos/1.png", "--weights", weights, "--csv", name, status=2)
        assert said.err.startswith(f"minivit: error: {name} cannot be written: ")
        assert said.err.endswith("; name another file (--csv)\n")


# -- many ----------------------------------------------------------------------------------------------


@pytest.fixture
def thousands(tmp_path):
    """1,500 images that hard links make from one file, and a model that sees each as 64 x 64 pixels."""
    first = write_picture(tmp_path / "many" / "0000.png")
    for number in range(1, 1500):
        try:
            os.link(first, tmp_path / "many" / f"{number:04}.png")
        except OSError:
            pytest.skip("this file system has no hard links")
    path = tmp_path / "larger.npz"
    save_weights(tiny_vit(dtype=np.float32, image_size=64, patch_size=32), path, header={"classes": CLASSES})
    return tmp_path / "many", path


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_files(thousands, tmp_path, capsys):
    """The pixels of a thousand more would take 12 MB."""
    many, weights = thousands
    first = [many / f"{number:04}.png" for number in range(500)]
    predict(capsys, *first, "--weights", weights)  # what imports and the first images take
    peaks = []
    for files in (first, [many]):
        tracemalloc.start()
        try:
            predict(capsys, *files, "--weights", weights, "--csv", tmp_path / "answers.csv")
            peaks.append(tracemalloc.get_traced_memory()[1])  # bytes
        finally:
            tracemalloc.stop()

    assert peaks[1] - peaks[0] < 3e6
    assert len((tmp_path / "answers.csv").read_text(encoding="utf-8").splitlines()) == 1501


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_a_reader_that_leaves_ends_the_command(thousands):
    many, weights = thousands
    command = f'"{sys.executable}" -m minivit predict "{many}" --weights "{weights}" --json'
    shell = f"{command} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (141, b"")
    assert len(done.stdout.splitlines()) == 1
