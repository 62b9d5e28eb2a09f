"""The audit log: what was scored, for whom, by which model, with which result; proof against silent change.

Optional (FITSCORE_AUDIT). Ranking people for jobs is high-risk under the EU AI Act, which wants such records.
"""
