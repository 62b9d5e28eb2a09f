"""Lists of the set `requirements` as a held-out set: grades follow from the policy by construction."""

from __future__ import annotations

from training.data.held_out import ALL, HeldOutList, HeldOutSet
from training.data.lists import Split
from training.data.source_files import SourceFiles
from training.data.tables import read_table
from training.policy.policy import Policy
from training.sources.judged import DATASETS, graded_field_list, occupation_splits
from training.sources.requirements.drawing import requirement_lists
from training.sources.requirements.jobs import worlds

NEW_OCCUPATIONS, NEW_FORMS = "new occupations", "all new"
WORLDS: dict[Split, dict[str, str]] = {
    "valid": {NEW_OCCUPATIONS: "valid"},
    "test": {NEW_OCCUPATIONS: NEW_OCCUPATIONS, NEW_FORMS: NEW_FORMS},
}
SEED = 977


def requirements_set(data: SourceFiles, policy: Policy, split: Split, *, lists: int = 100) -> HeldOutSet:
    """Lists of held-out occupations, half of them in wordings and with items that training never has."""
    codes = [str(code) for code in read_table(DATASETS / "judged_jobs" / "members.parquet")["onet_soc_code"]]
    folder = data.path("onet").parent
    data.path("esco_v111"), data.path("esco_onet_crosswalk")  # recorded as read
    found = worlds(folder, policy, occupation_splits(codes))
    held_out = []
    names = WORLDS[split]
    for part, name in names.items():
        for index, each in enumerate(requirement_lists(found[name], lists // len(names), SEED)):
            graded = [(pair.fields, pair.grades) for pair in each.pairs]
            one = graded_field_list(policy, f"requirements/{part}/{index}", "requirements", split, each.member, graded)
            parts = {other: [other == part] * len(each.pairs) for other in names}
            held_out.append(HeldOutList(one, each.occupation, parts))
    return HeldOutSet(
        name="requirements",
        origin="made by rule",
        about="Texts composed from facts about member and job, so that the policy's own rule gives each grade.",
        lists=tuple(held_out),
        measures=("ndcg@10", "pairs in order", "auc top grade", "brier skill"),
        parts=(ALL, *names),
        graded_dimensions=policy.dimension_names,
    )
