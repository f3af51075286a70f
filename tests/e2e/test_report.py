"""`recsvc report`: one file, its path on standard output, one line for a mistake."""

import shutil


def test_a_report_on_a_run(recsvc, ring, tmp_path):
    run = shutil.copytree(ring.run, tmp_path / "run")
    (run / "evaluation.json").unlink(missing_ok=True)
    outcome = recsvc("report", run)
    assert outcome.code == 0, outcome
    assert outcome.out == f"{run / 'report.html'}\n"
    assert "not evaluated yet" in outcome.err and (run / "evaluation.json").is_file()
    page = (run / "report.html").read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>") and "Number " in page and "Zoë" not in page
    again = recsvc("report", run, "--out", tmp_path / "again.html")
    assert again.code == 0 and again.out == f"{tmp_path / 'again.html'}\n" and "evaluat" not in again.err
    assert (tmp_path / "again.html").read_text("utf-8") == page


def test_mistakes_are_one_line(recsvc, ring, tmp_path, one_line):
    one_line(recsvc("report", tmp_path), r"not a run folder")
    one_line(recsvc("report", tmp_path / "missing"), r"not a run folder")
    one_line(recsvc("report", ring.run, "--out", tmp_path), r"--out .*cannot be written")
    one_line(recsvc("report", ring.run, "--out", tmp_path / "no" / "file.html"), r"--out .*cannot be written")
    unfinished = shutil.copytree(ring.run, tmp_path / "unfinished")
    (unfinished / "behaviour.json").unlink()
    one_line(recsvc("report", unfinished), r"no space is trained to its end; go on with")
    assert not (unfinished / "report.html").exists()
