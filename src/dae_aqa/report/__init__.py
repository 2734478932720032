"""The HTML report: how good the model is, how sure it is, where it is wrong."""

from dae_aqa.report.inputs import ReportInputs, Thumbnails
from dae_aqa.report.page import render_report, write_report

__all__ = ["ReportInputs", "Thumbnails", "render_report", "write_report"]
