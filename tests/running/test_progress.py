"""Progress where no bar can be: a line now and then, with what is left."""

from __future__ import annotations

import logging

import pytest

from dae_aqa.running import progress
from dae_aqa.running.progress import Progress, counted, duration, write_line


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A bare node, and the time there."""
    now = [100.0]
    monkeypatch.setattr(progress, "tqdm", None)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_line_every_ten_seconds_and_at_the_end(clock, caplog):
    with caplog.at_level(logging.INFO), Progress("train", total=10, unit="epoch", done=4) as bar:
        for _ in range(6):
            clock[0] += 6.0
            bar.advance(note="loss 0.5")
    assert [record.message for record in caplog.records] == [
        "train: 6 of 10 epochs, 24 s left; loss 0.5",
        "train: 8 of 10 epochs, 12 s left; loss 0.5",
        "train: 10 of 10 epochs, 0 s left; loss 0.5",
    ]


def test_bar_on_a_terminal_alone(monkeypatch, capsys, caplog):
    """In a file a bar would be thousands of carriage returns."""
    for is_terminal in (True, False):
        monkeypatch.setattr(progress.sys.stderr, "isatty", lambda there=is_terminal: there)
        with caplog.at_level(logging.INFO), Progress("train", total=2, unit="epoch") as bar:
            bar.advance()
            bar.advance()
        shown = capsys.readouterr().err
        assert ("\r" in shown) == is_terminal
        assert (caplog.messages == ["train: 2 of 2 epochs, 0 s left"]) == (not is_terminal)


def test_items_are_counted_when_they_are_done(clock, caplog):
    done = []
    with caplog.at_level(logging.INFO):
        for item in counted(["a", "b"], "copying videos", unit="video"):
            clock[0] += 11.0
            assert len(caplog.records) == len(done)
            done.append(item)
    assert done == ["a", "b"]
    assert caplog.messages == [
        "copying videos: 1 of 2 videos, 11 s left",
        "copying videos: 2 of 2 videos, 0 s left",
    ]


def test_nothing_is_shown_where_it_is_not_wanted(clock, caplog):
    with caplog.at_level(logging.INFO), Progress("x", total=1, unit="y", show=False) as bar:
        bar.advance()
    assert not caplog.records


def test_a_line_is_written_without_tqdm(clock, capsys):
    write_line("hello")
    assert capsys.readouterr().err == "hello\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (420, "7 min"), (12_000, "3 h 20 min")]
)
def test_durations_read_as_people_write_them(seconds, text):
    assert duration(seconds) == text
