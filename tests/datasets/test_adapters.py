"""Each dataset, from its section of params.yaml to videos and tables."""

import re
from pathlib import Path
from typing import Any

import pytest
from mtl_release import write_release
from simdive_options import simdive_options
from test_csv_table import write_video
from tests.test_architecture import imports_of

from dae_aqa import datasets
from dae_aqa.datasets import DATASETS
from dae_aqa.datasets.csv.options import CsvOptions
from dae_aqa.datasets.mtl_aqa.options import MtlAqaOptions
from dae_aqa.datasets.options import DatasetOptions, DownloadOptions
from dae_aqa.datasets.simdive import adapter
from dae_aqa.datasets.simdive.baselines import single_fault_baselines
from dae_aqa.datasets.simdive.generation import tables as simdive_tables
from dae_aqa.errors import DownloadError
from dae_aqa.tables.annotations import COLUMNS

DOWNLOAD = DownloadOptions(num_workers=1, num_retries=0, timeout_seconds=5.0, allow_missing=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository root that a queued experiment, running elsewhere, belongs to."""
    root = tmp_path / "root"
    elsewhere = tmp_path / "elsewhere"
    for folder in (root, elsewhere):
        folder.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.chdir(elsewhere)
    return root


def load(name: str, options: DatasetOptions, root: Path) -> tuple:
    """Do what the download stage does, with the folder of the videos for a result."""
    videos_dir = Path("videos")
    videos_dir.mkdir(exist_ok=True)
    tables = DATASETS[name].load(options, DOWNLOAD, videos_dir, root / ".cache")
    return tables, sorted(path.name for path in videos_dir.iterdir())


def test_csv(project: Path) -> None:
    write_video(project / "own" / "a.mp4", num_frames=12)
    (project / "scores.csv").write_text("sample_id,video,score\nx,a.mp4,7.5\n")
    options = CsvOptions(
        annotations_csv="scores.csv",
        videos_dir="own",
        frames_dir=None,
        min_score=0,
        max_score=10,
        frame_numbering="decoded",
        scoring_rule=None,
    )
    tables, videos = load("csv", options, project)
    assert tuple(tables.annotations.iloc[0])[:5] == ("x", "a", 0, 12, 7.5)
    assert videos == ["a.mp4"]


def test_mtl_aqa(project: Path) -> None:
    write_release(project / "release")
    (project / "own").mkdir()
    for name in ("1.mp4", "2.mp4"):
        (project / "own" / name).write_bytes(name.encode())
    options = MtlAqaOptions(
        annotations_source="release",
        frames_dir=None,
        released_window=False,
        videos_dir="own",
        video_list=None,
        video_format="best",
        frame_numbering="reference",
        scoring_rule="diving",
    )
    tables, videos = load("mtl_aqa", options, project)
    assert tuple(tables.annotations.columns) == COLUMNS
    assert len(tables.annotations) == 4
    assert videos == ["01.mp4", "02.mp4"]
    (project / "own" / "1.mp4").unlink()
    with pytest.raises(DownloadError, match="1 of 2 videos are missing"):
        load("mtl_aqa", options, project)


SIMDIVE = simdive_options(num_dives=2, dives_per_video=1, replay_probability=0.25)


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace the rendering, which has its own tests; give the folders that it wrote to."""
    used: list[Path] = []

    def generate(*, options: Any, videos_dir: Path, num_workers: int, progress: Any) -> tuple:
        assert num_workers == DOWNLOAD.num_workers
        assert (options.seed, options.replay_probability) == (SIMDIVE.seed, 0.25)
        annotations, truth = simdive_tables(options=options)
        videos_dir.mkdir(parents=True, exist_ok=True)
        for name in annotations["video_id"]:
            (videos_dir / f"{name}.mp4").write_bytes(b"rendered")
            progress()
        used.append(videos_dir)
        return annotations, truth

    monkeypatch.setattr(adapter, "generate", generate)
    return used


def test_simdive(project: Path, folders: list[Path]) -> None:
    tables, videos = load("simdive", SIMDIVE, project)
    assert videos == [f"{name}.mp4" for name in sorted(tables.annotations["video_id"])]
    assert len(videos) == 2
    assert set(tables.truth["sample_id"]) == set(tables.annotations["sample_id"])
    assert len(tables.notes) == len(tables.missing_videos) == 0


def test_simdive_keeps_what_it_rendered_apart_by_options_and_code(
    project: Path, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    load("simdive", SIMDIVE, project)
    load("simdive", SIMDIVE, project)
    load("simdive", SIMDIVE.replaced(crf=31), project)
    monkeypatch.setattr(adapter, "_source_code", lambda: "changed")
    load("simdive", SIMDIVE, project)
    assert all(project / ".cache" in folder.parents for folder in folders)
    first, again, other_options, other_code = folders
    assert again == first
    assert len({first, other_options, other_code}) == 3


def test_what_decides_the_pictures_is_part_of_the_caches_key() -> None:
    """And a new label in the report renders nothing anew."""
    folder = Path(adapter.__file__).parent
    package = "dae_aqa.datasets.simdive"
    used, queue = set(), [folder / "generation.py"]
    while queue:
        for name in sorted(imports_of(queue.pop())):
            path = folder / f"{name.removeprefix(f'{package}.')}.py"
            if name.startswith(f"{package}.") and path.is_file() and path not in used:
                used.add(path)
                queue.append(path)
    key = adapter._source_code()
    assert len(used) > 9
    assert all(path.read_text("utf-8") in key for path in used)
    assert "Difficulty alone" in (folder / "references.py").read_text("utf-8")
    assert "Difficulty alone" not in key
    assert "libx264" in key


def test_every_baseline_has_a_label() -> None:
    """The page would name one without by its key."""
    annotations, truth = simdive_tables(options=simdive_options(num_dives=20))
    baselines = single_fault_baselines(truth=truth, annotations=annotations)
    assert baselines.keys() == DATASETS["simdive"].baseline_labels.keys()


def test_published_results_are_those_of_the_papers() -> None:
    """Sources: arXiv 2111.11029 (DAE and its kin), 2006.07665 (USDL), 2108.07797 (CoRe)."""
    papers = {
        "Auto-Encoding Score Distribution": {"DAE": 0.9231, "DAE-MT": 0.9452, "DAE-CoRe": 0.9589},
        "Uncertainty-Aware Score Distribution": {"USDL": 0.9231, "MUSDL": 0.9273},
        "Group-aware Contrastive": {"CoRe": 0.9512},
    }
    published = DATASETS["mtl_aqa"].published
    assert {each.scale for each in published} == {"final"}
    for title, figures in papers.items():
        own = {each.label: each.rho for each in published if title in each.source}
        assert own == {f"{name}, published": rho for name, rho in figures.items()}
    assert len(published) == sum(map(len, papers.values()))


@pytest.mark.parametrize("name", DATASETS)
def test_the_citation_is_that_of_the_datasets_page(name: str) -> None:
    readme = Path(datasets.__file__).parent / name / "README.md"
    titles = re.findall(r"^ *title *= \{(.*)\},$", readme.read_text("utf-8"), flags=re.MULTILINE)
    assert len(titles) == (1 if DATASETS[name].citation else 0)
    assert all(title in DATASETS[name].citation for title in titles)
    assert any(dataset.citation for dataset in DATASETS.values())


def test_a_dataset_is_a_folder_and_a_line() -> None:
    folders = [path.parent for path in Path(datasets.__file__).parent.glob("*/__init__.py")]
    assert {folder.name for folder in folders} == set(DATASETS)
    for folder in folders:
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
        assert {"options.py", "README.md"} <= names
        assert any(name.startswith("recipes/") for name in names)
