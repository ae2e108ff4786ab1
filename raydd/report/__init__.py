"""What people read from a study: the table of its trials, its confirmation, and a file to start from."""

from raydd.report import confirmation, study_file, trials

__all__ = ["confirmation", "study_file", "trials"]
