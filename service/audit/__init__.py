"""The audit log: each scoring request with its caller, model and result. Any later change of the log is detectable.

Optional (FITSCORE_AUDIT). Ranking people for jobs is high-risk under the EU AI Act, which requires such records.
"""
