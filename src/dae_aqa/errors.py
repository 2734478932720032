"""The exceptions of the package: one tree, so that a caller can catch all of it or one room of it.

A message says what failed, what was expected, what was got, for which file, key or sample, and the
next step.
"""


class DaeAqaError(Exception):
    """Base of every error that a user can act on. Stages print its message and exit with 1."""


class ParamsError(DaeAqaError):
    """`params.yaml` has an unknown key, a wrong type or a value out of range."""


class OutputError(DaeAqaError):
    """A folder of the pipeline cannot be written to, or holds what must not be deleted."""


class AnnotationError(DaeAqaError):
    """An annotations table or a raw annotation release is damaged, inconsistent or incomplete."""


class DownloadError(DaeAqaError):
    """A file or a video could not be fetched."""


class VideoError(DaeAqaError):
    """A video is missing, unreadable, truncated or shorter than its annotations say."""


class FrameStoreError(DaeAqaError):
    """A packed sample is missing, damaged or of another layout than expected."""


class SplitError(DaeAqaError):
    """A split is empty, overlaps another one or names samples that do not exist."""


class ScoringError(DaeAqaError):
    """Judge marks do not fit the scoring rule they are given to."""


class ModelError(DaeAqaError):
    """A model, a checkpoint or pretrained weights do not fit what was asked for."""


class TrainingError(DaeAqaError):
    """Training cannot go on: non-finite loss, no memory, a checkpoint that cannot be resumed."""


class EvaluationError(DaeAqaError):
    """A metric or a report cannot be computed from the predictions at hand."""


class TrackingError(DaeAqaError):
    """The MLflow store cannot be opened or written."""


class ScoreInputError(DaeAqaError):
    """What is to be scored is described wrongly: a stretch, a table, or a file outside a folder."""
