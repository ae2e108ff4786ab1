"""The report of a study, or of several, as one HTML file that needs nothing else, and the figures as PNGs."""

from raydd.report.page.write import FOLDER, PAGE, comparison_folder, write_comparison, write_report

__all__ = ["FOLDER", "PAGE", "comparison_folder", "write_comparison", "write_report"]
