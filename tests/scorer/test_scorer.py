"""The scorer: the same score as evaluation's, whatever the way; stretches; ensembles; notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from tests.scored_windows import (
    FRAMES,
    LAYOUT,
    expected_scores,
    small_trained_model,
    write_clip,
)

from dae_aqa import Clip, Score, Scorer, Stretch
from dae_aqa.errors import ModelError, ScoreInputError, VideoError
from dae_aqa.extraction.extract import extract_samples
from dae_aqa.extraction.options import ExtractOptions
from dae_aqa.inference.familiarity import TrainingFeatures
from dae_aqa.inference.predict import predict
from dae_aqa.inference.samples import select_samples
from dae_aqa.inference.trained_model import TrainedModel
from dae_aqa.packs.store import PackedSample
from dae_aqa.scorer import Limits
from dae_aqa.tables.predictions import build_predictions

SAMPLES = {"a": (0, 25, 3.1), "b": (3, 14, 2.2), "c": (8, 20, 1.6), "d": (2, 24, 2.8)}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("videos") / "01.mp4")


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    small_trained_model().save(path)
    return Scorer.load(path, device="cpu", num_threads=1)


def clips_of(video: Path) -> list[Clip]:
    return [
        Clip(
            video=video,
            stretch=Stretch(start_frame=start, end_frame=end),
            difficulty=difficulty,
            name=name,
        )
        for name, (start, end, difficulty) in SAMPLES.items()
    ]


def annotations() -> pd.DataFrame:
    rows = [
        {"sample_id": name, "video_id": "01", "start_frame": start, "end_frame": end}
        | {"difficulty": difficulty, "final_score": 50.0, "judge_scores": "", "action_class": ""}
        for name, (start, end, difficulty) in SAMPLES.items()
    ]
    return pd.DataFrame(rows)


def evaluated(trained: TrainedModel, video: Path, folder: Path) -> pd.DataFrame:
    """Return the predictions table that the stages make of the samples."""
    for name in ("frames", "cache"):
        (folder / name).mkdir()
    options = ExtractOptions(**dict(FRAMES), damaged="error", hwaccel=None, num_workers=1)
    extract_samples(
        annotations=annotations(),
        videos_dir=video.parent,
        frames_dir=folder / "frames",
        cache_dir=folder / "cache",
        options=options,
    )
    splits = pd.DataFrame({"sample_id": list(SAMPLES), "split": "test", "part": ""})
    samples = select_samples(
        annotations(), splits, split=("test",), scoring_rule=None, with_judges=False
    )
    feed = trained.feed(list(SAMPLES), frames_dir=folder / "frames", num_workers=0, cache=False)
    prediction = predict(
        trained.model,
        feed,
        performances=samples.performances,
        batch_size=3,
        precision="fp32",
        show_progress=False,
    )
    return build_predictions(
        samples=annotations(),
        mu_execution=prediction.mu_execution.numpy(),
        sigma_execution=prediction.sigma_execution.numpy(),
    ).set_index("sample_id")


def test_scores_are_those_of_evaluation_to_the_bit(
    scorer: Scorer, clip: Path, tmp_path: Path
) -> None:
    table = evaluated(small_trained_model(), clip, tmp_path)
    assert table["mu"].nunique() == len(SAMPLES)
    for num_workers in (1, 2):
        outcomes = list(scorer.score_many(clips_of(clip), num_workers=num_workers))
        for outcome in outcomes:
            score = outcome.score
            assert score is not None
            for name in ("mu", "sigma", "mu_execution", "sigma_execution"):
                assert getattr(score, name) == table.loc[score.name, name], (name, score.name)
    with PackedSample.open(tmp_path / "frames/b.zip") as pack:
        window = scorer.read(clips_of(clip)[1])
        assert list(window.images) == pack.read(LAYOUT.frame_indices.tolist())
        assert window.frame_numbers == tuple(range(3, 14))


def test_the_centre_of_the_frames_is_scored(scorer: Scorer, clip: Path) -> None:
    """By an oracle that cuts, normalises and multiplies by itself."""
    window = scorer.read(Clip(video=clip))
    frames = [cv2.imdecode(np.frombuffer(each, np.uint8), 1)[..., ::-1] for each in window.images]
    mu, sigma = expected_scores(small_trained_model(), np.stack(frames)[None], [3.2])
    score = scorer.score(clip, difficulty=3.2)
    assert score.mu == pytest.approx(mu[0], rel=1e-4)
    assert score.sigma == pytest.approx(sigma[0], rel=1e-4)
    low, high = score.interval(0.9)
    assert (low, high) == pytest.approx(
        (score.mu - 1.6448536 * score.sigma, score.mu + 1.6448536 * score.sigma)
    )


def same(one: Score, other: Score) -> bool:
    return one.to_dict() | {"name": ""} == other.to_dict() | {"name": ""}


@pytest.mark.parametrize(
    ("stretch", "first", "last"),
    [
        (Stretch(), 14, 24),
        (Stretch(end_seconds=1.5), 4, 14),
        (Stretch(end_seconds=1.5, start_seconds=0.5), 4, 14),
        (Stretch(end_frame=15), 4, 14),
        (Stretch(last_frames=11), 14, 24),
        (Stretch(last_frames=3, end_seconds=2.0), 9, 19),
    ],
)
def test_a_stretch_is_looked_at_from_its_end(
    stretch: Stretch, first: int, last: int, scorer: Scorer, clip: Path
) -> None:
    numbers = scorer.read(Clip(video=clip, stretch=stretch)).frame_numbers
    assert (numbers[0], numbers[-1], len(numbers)) == (first, last, 11)


def test_one_clip_by_one_as_many_together(scorer: Scorer, clip: Path) -> None:
    many = [outcome.score for outcome in scorer.score_many(clips_of(clip) * 7)]
    windows = [scorer.read(each) for each in clips_of(clip)]
    alone = scorer.score_windows(
        windows, difficulties=[dd for _, _, dd in SAMPLES.values()], names=list(SAMPLES)
    )
    for place, score in enumerate(many):
        assert score is not None
        assert same(score, alone[place % len(SAMPLES)])
        assert score.name == list(SAMPLES)[place % len(SAMPLES)]
    direct = scorer.score(clip, start=0.3, end=1.4, difficulty=2.2)
    assert (direct.mu, direct.sigma) == (alone[1].mu, alone[1].sigma)


def test_a_clip_that_fails_stops_no_other(scorer: Scorer, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    good = clips_of(clip)
    bad = [
        Clip(video=tmp_path / "text.mp4", difficulty=2.0),
        Clip(video=tmp_path / "none.mp4", difficulty=2.0),
        Clip(video=clip),
        Clip(video=clip, difficulty=-1.0),
        Clip(video=clip, difficulty=2.0, stretch=Stretch(start_frame=9, end_frame=9)),
        Clip(video=clip, difficulty=2.0, stretch=Stretch(start_frame=90)),
    ]
    mixed = [bad[0], good[0], *bad[1:4], good[1], *bad[4:]]
    outcomes = list(scorer.score_many(iter(mixed)))
    assert [outcome.clip for outcome in outcomes] == mixed
    assert [outcome.score is None for outcome in outcomes] == [clip not in good for clip in mixed]
    messages = [str(outcome.error) for outcome in outcomes if outcome.error is not None]
    for message, expected in zip(
        messages,
        [
            "cannot be opened",
            "no such video",
            "give it, e.g. 3.2",
            "must be a number > 0",
            "is empty",
            "is empty",
        ],
        strict=True,
    ):
        assert expected in message


def test_a_short_clip_repeats_its_first_frame_and_says_so(scorer: Scorer, tmp_path: Path) -> None:
    short = write_clip(tmp_path / "short.mp4", num_frames=4)
    score = scorer.score(short, difficulty=2.0)
    assert score.frame_numbers == (0,) * 7 + (0, 1, 2, 3)
    assert score.notes == ("the first frame of the video is repeated 7 times",)
    assert (score.start_seconds, score.end_seconds) == (0.0, 0.4)


def test_a_difficulty_beyond_training_is_noted(scorer: Scorer, clip: Path) -> None:
    assert scorer.score(clip, difficulty=3.5).notes == ()
    (note,) = scorer.score(clip, difficulty=3.6).notes
    assert note == "the difficulty 3.6 is outside that of the training samples, 1.5 to 3.5"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(max_seconds=2.0, max_frames=100, max_pixels=10_000), "lasts 2.5 s"),
        (Limits(max_seconds=9.0, max_frames=24, max_pixels=10_000), "25 frames"),
        (Limits(max_seconds=9.0, max_frames=100, max_pixels=1_919), "48×40 pixels"),
    ],
)
def test_limits_are_checked_before_decoding(
    limits: Limits, message: str, scorer: Scorer, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dae_aqa.scorer.window.encoded_frames", lambda *_, **__: 1 / 0)
    with pytest.raises(VideoError, match=message):
        scorer.read(Clip(video=clip), limits=limits)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start_seconds": 1.0, "start_frame": 3}, "the beginning of a clip is said more than"),
        ({"end_seconds": 1.0, "end_frame": 3}, "the end of a clip is said twice"),
        ({"start_seconds": -0.1}, r"start_seconds must be a number of at least 0, got -0\.1"),
        ({"end_seconds": float("nan")}, "end_seconds must be a number of at least 0, got nan"),
        ({"last_frames": 0}, "last_frames must be a number of at least 1, got 0"),
    ],
)
def test_a_stretch_that_makes_no_sense_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ScoreInputError, match=message):
        Stretch(**values)  # type: ignore[arg-type]


def test_an_ensemble_tells_its_two_parts_of_sigma(clip: Path) -> None:
    models = [small_trained_model(seed=seed) for seed in range(3)]
    one_by_one = [Scorer([model]).score(clip, difficulty=2.0) for model in models]
    both = Scorer(models).score(clip, difficulty=2.0)
    mu, sigma = (np.array([getattr(s, name) for s in one_by_one]) for name in ("mu", "sigma"))
    assert both.mu == pytest.approx(mu.mean())
    assert both.sigma_epistemic == pytest.approx(mu.std(), rel=1e-6)
    assert both.sigma_aleatoric == pytest.approx(np.sqrt((sigma**2).mean()), rel=1e-6)
    assert both.sigma == pytest.approx(np.hypot(both.sigma_aleatoric, both.sigma_epistemic))
    assert both.sigma == pytest.approx(float(both.distribution.sigma[0]), rel=1e-6)
    assert (one_by_one[0].sigma_aleatoric, one_by_one[0].sigma_epistemic) == (None, None)


def test_models_that_look_in_different_ways_make_no_ensemble() -> None:
    one, other = small_trained_model(), small_trained_model(layout=LAYOUT.replaced(stride=2))
    with pytest.raises(ModelError, match="look at videos in different ways"):
        Scorer([one, other])
    with pytest.raises(ModelError, match="does not say how frames are made"):
        Scorer([replace(one, usage=one.usage.replaced(frames=None))])
    with pytest.raises(ModelError, match="give at least one"):
        Scorer([])


def test_what_is_unlike_training_is_said(scorer: Scorer, clip: Path, tmp_path: Path) -> None:
    trained = small_trained_model()
    assert scorer.score(clip, difficulty=2.0).to_dict()["unlike_training"] is None
    (features,) = scorer._models[0]._features([scorer.read(Clip(video=clip))])
    around = features.mean(dim=0) + 1e-4 * torch.randn(9, features.shape[1])
    replace(trained, features=TrainingFeatures(around)).save(tmp_path / "model.pt")
    score = Scorer.load(tmp_path / "model.pt").score
    like = score(clip, difficulty=2.0)
    assert not like.is_unlike
    assert like.to_dict()["unlike_training"] is False
    unlike = score(write_clip(tmp_path / "black.mp4", black=True), difficulty=2.0)
    assert unlike.is_unlike
    assert unlike.familiarity is not None
    assert unlike.familiarity.percentile == 100.0


def test_the_description_names_model_file_and_frames(scorer: Scorer) -> None:
    told = scorer.describe()
    assert told["frames"] == FRAMES.model_dump(mode="json")
    assert told["clips"]["starts"] == [0, 3]
    (model,) = told["models"]
    assert model["file"] == "model.pt"
    assert len(model["sha256"]) == 64
    assert model["trained_on"]["num_samples"] == 9
    assert model["needs_difficulty"] is True
