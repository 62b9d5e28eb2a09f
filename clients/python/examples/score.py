"""Score three candidates, two of them stored. Usage: python score.py [URL]."""

import sys

from fitscore_client import Candidate, Client, DeadlineExceeded, Problem, RetryBudget, RetryPolicy

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
member = {"headline": "Data engineer", "skills": ["python", "spark", "airflow"]}
jobs = [
    Candidate("j-1", {"title": "Senior data engineer", "description": "Own our data platform and its pipelines."}),
    Candidate("j-3", {"title": "Pastry chef", "description": "Bake for a small hotel."}),
]

with Client(url, budget_s=5, policy=RetryPolicy(budget=RetryBudget())) as client:
    client.upsert(jobs, ttl_s=3600, on_progress=lambda done: print(f"{done.upserted} stored, {done.left} left"))
    try:
        answer = client.score(member, [Candidate("j-1"), Candidate("j-2", "Database administrator"), Candidate("j-3")])
    except DeadlineExceeded:
        sys.exit("no scores in time")
    except Problem as problem:
        sys.exit(f"{problem}: {problem.detail}")
    for each in answer.best_first():
        print(f"{each.id} {each.score:.3f}")
