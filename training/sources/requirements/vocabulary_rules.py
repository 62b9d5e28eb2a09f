# ruff: noqa: E501 - one row of a table a line
"""What is taken from O*NET and ESCO into the set `requirements`, and what is left out; licences; verbs."""

from __future__ import annotations

import re

GENERIC = re.compile(
    r"spreadsheet|word process|office suite|electronic mail|presentation|personal computer|desktop comput|notebook comput|browser|operating system|printer|scanner|photocop"
    r"|telephone|phone|calculator|tablet|screwdriver|hammer|pliers|wrench|tape measure|glasses|goggles|gloves|ladder|instant messaging|conferenc|calendar|camera"
    r"|cloud-based|facsimile|fax|ruler|first aid|fire exting|ear plug|stethoscope|user interface and query|information retrieval|desktop communications|knife|knives|brush"
    r"|mask|apron|helmet|hard hat|boots|projector|televis|radio|clipboard|bags|cart|paging|clock|thermometer|flashlight|organizer",
    re.IGNORECASE,
)
NO_RELATIVES = re.compile(
    r"analytical or scientific|medical software|financial analysis|development environment|data base user|information retrieval|web page creation|specialty",
    re.IGNORECASE,
)
LEVEL_WORDS = re.compile(
    r"\b(senior|junior|lead|leader|leadman|head|chief|trainee|apprentice|assistant|helper|aide|manager|director|supervisor|superintendent|foreman|intern|master|student|boss|captain"
    r"|journeyman|executive|president|principal|entry|associate|coordinator|owner|managing|i|ii|iii|iv|resident|fellow|learner|beginner|professor|general|chair|dean|officer)\b",
    re.IGNORECASE,
)
LEVEL_TASKS = re.compile(
    r"supervis|train|direct|manag|lead|coordinat|assist|mentor|staff|subordinat|worker|hire|budget|apprentice|travel|instruct"
    r"|under the|employee|delegat|assign",
    re.IGNORECASE,
)
LEFT_OUT = re.compile(r"^(11-|55-|45-3)|^..-10|^(35-1|37-1|39-1|41-1|43-1|47-1|49-1|51-1|53-1|33-1)")


LICENCES = {
    "29-1141": ("registered nurse licence", "RN licence"),
    "29-1171": ("nurse practitioner licence",),
    "29-2061": ("practical nurse licence", "LPN licence"),
    "31-1131": ("nursing assistant certificate", "CNA card"),
    "29-1051": ("pharmacist's licence",),
    "29-2052": ("pharmacy technician registration",),
    "29-1123": ("physical therapist's licence",),
    "29-1122": ("occupational therapist's licence",),
    "29-1292": ("dental hygienist's licence",),
    "29-1021": ("dentist's licence",),
    "29-1131": ("veterinarian's licence",),
    "29-2034": ("radiographer's licence",),
    "29-2042": ("EMT certificate",),
    "29-2043": ("paramedic licence",),
    "31-9011": ("massage licence",),
    "47-2111": ("journeyman electrician's licence", "electrician's licence"),
    "47-2152": ("journeyman plumber's licence", "plumber's licence"),
    "49-9021": ("refrigerant handling certificate",),
    "51-4121": ("welder's certificate", "welding certificate"),
    "53-3032": ("class A commercial licence", "CDL class A"),
    "53-3033": ("class B commercial licence",),
    "53-3052": ("bus driver's licence",),
    "53-3053": ("taxi licence",),
    "53-7021": ("crane operator's certificate",),
    "53-7051": ("forklift licence",),
    "53-2011": ("airline transport pilot certificate",),
    "53-2012": ("commercial pilot certificate",),
    "53-2021": ("air traffic controller's licence",),
    "25-20": ("state teaching certificate", "teaching certificate"),
    "23-1011": ("bar admission",),
    "13-2011": ("CPA licence",),
    "41-9022": ("real estate licence",),
    "41-3021": ("insurance agent's licence",),
    "41-3031": ("securities licence",),
    "33-9032": ("guard licence", "guard card"),
    "39-5012": ("cosmetology licence",),
    "39-5011": ("barber's licence",),
    "37-2021": ("pest control licence",),
    "37-3012": ("pesticide applicator's licence",),
    "39-4031": ("funeral director's licence",),
    "17-2051": ("professional engineer's licence", "PE licence"),
    "17-1011": ("architect's registration",),
    "21-1023": ("social worker's licence",),
    "19-3033": ("psychologist's licence",),
    "47-5032": ("blaster's licence",),
}


NOT_VERBS = re.compile(r"^(principles|the|a|an|of|methods|types)\b|ing\b|^\w+(tion|ment|ness|ity|sis|als|ics|ards|s)\b")
DOUBLE = frozenset(
    """
    plan run cut get put stop fit trim set control program dig mop map spot tag wrap ship clip drag drip
    rig scan swim equip refer transfer submit admit permit commit occur prefer hem log pin chop dip
    strip snip tap grip skim pat rub dub
    """.split()
)


def gerund(phrase: str) -> str:
    """'operate nibbling equipment' -> 'operating nibbling equipment'; '' where the first word is no plain verb."""
    verb, _, rest = phrase.partition(" ")
    if (
        not rest
        or not verb.isalpha()
        or not verb.islower()
        or (NOT_VERBS.search(verb) and verb not in ("process", "assess", "dress", "discuss", "press"))
    ):
        return ""
    if verb in DOUBLE:
        stem = verb + verb[-1]
    elif verb.endswith("ie"):
        stem = verb[:-2] + "y"
    elif verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        stem = verb[:-1]
    else:
        stem = verb
    return f"{stem}ing {rest}"
