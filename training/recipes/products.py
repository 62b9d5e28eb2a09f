"""Product search, learnt from shoppers' queries and the human labels of the Shopping Queries Dataset (ESCI)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial

from models.template import FieldFormat, Template
from training.data.lists import FieldList
from training.data.pool import PoolPlan
from training.data.source_files import SourceFiles
from training.judging.golden_set import HumanGrades
from training.policy.documents import POLICIES
from training.recipe import (
    Card,
    ClickModelPlan,
    DataPlan,
    EngagementPlan,
    EvaluationPlan,
    ExportPlan,
    HeadPlan,
    Recipe,
    TextPlan,
)
from training.recipes import minilm
from training.recipes.decisions import PRODUCTS
from training.sources import shop
from training.sources.esci import read_shop, shopping_grades
from training.sources.grade_files import with_regraded
from training.sources.judged import DATASETS, product_lists
from training.sources.simulated_clicks import attractiveness_of_texts, power_law, simulated_log

POLICY = POLICIES / "products.md"
TEMPLATE = Template(
    member=(FieldFormat(name="query"),),
    candidate=(
        FieldFormat(name="title"),
        FieldFormat(name="brand", label="brand"),
        FieldFormat(name="color", label="color"),
        FieldFormat(name="bullet_points"),
        FieldFormat(name="description"),
    ),
)

CARD = Card(
    title="Fitscore products student",
    intended_use=(
        "Ranking products for what a shopper typed (English): how well a product's title, brand, colour and text "
        "answer the query. A starting point to be trained further on a shop's own policy and grades, not a finished "
        "product."
    ),
    limits=(
        "It learnt from labels of about sixty queries, many of them hard on purpose ('without', 'not'), and is "
        "judged on about two dozen others, so that its intervals are wide. There it is no better than the cosine of "
        "its untouched backbone, and its probabilities are off (they were calibrated on sixteen queries that proved "
        "harder): sixty queries are too few to teach what the backbone does not know. Each label is one adjudicated "
        "opinion. That other queries' products do not fit was presumed, not judged. It knows nothing of price, "
        "stock, reviews, images or what people bought. Texts are cut at 32 tokens (query) and 128 (product). In the "
        "source `exact` only an exact match has a gain, which is not what the head states: read its AUC, not its "
        "calibration or kappa. No fairness audit by swapped names and ages was made: a query speaks of no person, "
        "and 'for women' rightly asks for other products."
    ),
    data=(
        "Amazon Shopping Queries (ESCI; Reddy et al., 2022; Apache-2.0), the subset in opensearch-project/"
        "search-relevance: 4,454 labels of 100 queries, split by query into 61, 16 and 23. Gains as the policy has "
        "them: exact 1, substitute 1/2, complement 1/4, irrelevant 0. No product that was judged for a held-out query "
        "was trained on.",
        "Phrases of three to six words of titles of the same products against product texts without titles, their own "
        "with gain 1: made, not judged.",
        "Whole titles against product texts, without labels: on these the teacher imitates its untouched backbone.",
        "Head click: a log SIMULATED over the same texts (shoppers click what fits, what has the query's words in its "
        "title and what is short; places are looked at by (1/place)^0.7). It shows how a second teacher is taught and "
        "weighed, says nothing of real people, and has no part in the default score.",
        "Backbone: all-MiniLM-L6-v2 (Apache-2.0), its embeddings left as they are.",
    ),
    attributions=(
        "Trained on the Shopping Queries Dataset (Amazon, Apache License 2.0), as published with "
        "opensearch-project/search-relevance (Apache License 2.0).",
        "Initialised from sentence-transformers/all-MiniLM-L6-v2, Apache License 2.0.",
    ),
    licence="Apache-2.0",
)
SCARF = {"query": "red wool scarf"}
HOSE = {"query": "garden hose 50 ft without fittings"}
EXAMPLES = (
    (SCARF, {"title": "Merino wool winter scarf, unisex", "color": "Cherry red"}),
    (SCARF, {"title": "Wool winter scarf, unisex", "color": "Navy"}),
    (SCARF, {"title": "Red wool yarn, 100 g ball", "brand": "Example Yarns"}),
    (HOSE, {"title": "Flexible garden hose, 50 ft, bare ends", "bullet_points": "Fits couplings of your own"}),
    (HOSE, {"title": "Ceramic plant pot with drainage hole", "description": "For balcony and garden"}),
)


def human_grades(data: SourceFiles) -> HumanGrades:
    """People's labels, and what people graded in `regrade.csv`."""
    return with_regraded(shopping_grades(data), data)


def lists(data: SourceFiles) -> Iterator[FieldList]:
    """All labelled lists of product search, each with its split."""
    esci = read_shop(data)
    yield from shop.training_lists(esci, copies=10, judged=12, others=4, seed=1)
    yield from shop.phrase_lists(esci, count=1200, candidates=8, seed=2)
    yield from shop.rehearsal_lists(esci, count=500, candidates=8, seed=3)
    for split in ("valid", "test"):
        yield from shop.judged_lists(esci, split)
        yield from shop.mixed_lists(esci, split, others=50, seed=4)
    yield from shop.exact_lists(esci, "test")


def log(data: SourceFiles) -> Iterator[FieldList]:
    """A simulated log over the same texts: the clicks published with this data are synthetic too."""
    esci = read_shop(data)
    shown = itertools.chain(
        shop.training_lists(esci, copies=12, judged=6, others=2, seed=5),
        shop.judged_lists(esci, "valid"),
        shop.mixed_lists(esci, "valid", others=20, seed=6),
        shop.judged_lists(esci, "test"),
        shop.mixed_lists(esci, "test", others=20, seed=6),
    )
    yield from simulated_log(shown, partial(attractiveness_of_texts, words_field="query"), power_law(200, 0.7), seed=7)


def recipe() -> Recipe:
    """MPNet reads pairs and teaches; the student compares items of MiniLM-L6's sides."""
    return Recipe(
        name="products",
        version="2",
        # The head of an action learnt from a simulation: no ranking should follow it unless a caller asks for it.
        heads=(
            HeadPlan("relevance", "how well the product answers the query: the expected overall grade / 4", 1.0),
            HeadPlan("kind", "whether it is what the query names: the expected grade / 4", 0.0),
            HeadPlan("attributes", "whether its properties are those asked for: the expected grade / 4", 0.0),
            HeadPlan("exclusions", "whether it is free of what the query rules out: the expected grade / 4", 0.0),
            HeadPlan("purpose", "whether it serves the use that the query has in mind: the expected grade / 4", 0.0),
            HeadPlan("click", "chance that a simulated shopper clicks, once they look", 0.0),
        ),
        text=TextPlan(template=TEMPLATE, member_tokens=32, candidate_tokens=128, backbone=minilm.backbone),
        data=DataPlan(
            policy=POLICY,
            human_grades=human_grades,
            lists=lists,
            judged=partial(product_lists, POLICY, DATASETS / "judged_products"),
        ),
        training=minilm.TRAINING,
        start=minilm.start_plan(steps=140),
        teacher=minilm.teacher_plan(apart=1500, together=0, pool=PoolPlan(members=500)),
        engagement=EngagementPlan(actions=("click",), log=log, teacher=ClickModelPlan(places=8)),
        student=minilm.item_student_plan(steps=1500, constructed=None, annotated_lists=200),
        sweep=minilm.sweep(steps=200),
        evaluation=EvaluationPlan(
            floors={"relevance/judged/ndcg@10": 0.8, "relevance/mixed/auc": 0.92},
            audited_lists=0,
            # Where only exact matches have a gain, what the policy grants to substitutes would look like a mistake.
            private_sources=frozenset({"exact"}),
        ),
        export=ExportPlan(card=CARD, examples=EXAMPLES, gpu_graph=False),
        decision=PRODUCTS,
    )
