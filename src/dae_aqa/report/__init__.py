"""The HTML report: how good the model is, how sure it is, where it is wrong."""

from dae_aqa.report.inputs import KeptEpoch, ReportInputs
from dae_aqa.report.page import render_report, write_report
from dae_aqa.report.references import Reference

__all__ = ["KeptEpoch", "Reference", "ReportInputs", "render_report", "write_report"]
