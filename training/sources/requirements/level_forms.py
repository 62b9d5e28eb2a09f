# ruff: noqa: E501 - one row of a table a line
# fmt: off
"""How members and jobs say their level. Knows no grades.

Levels are half steps of jobs.md: 0 trainee, 1 junior, 2 own area, 3 senior, 4 leads a team, 5 runs a department,
6 answers for a function.
"""

from __future__ import annotations

from training.sources.requirements.limit_forms import WORDS
from training.sources.requirements.voice import Voice

TOP = 6
YEARS = {0: (0, 0), 1: (1, 2), 2: (3, 5), 3: (8, 13), 4: (8, 15), 5: (11, 16), 6: (13, 16)}
MEMBER_TITLES = {
    0: ("Trainee {t}", "{t}, first months", "Apprentice {t}", "Learning to be {a}", "{t} in training", "{t} trainee", "New to the trade: {t}"),
    1: ("Junior {t}", "{t}, second year", "{t} (junior)", "Early-career {t}"),
    2: ("{t}", "{t}", "{t}, own area", "Working as {a}", "{t}, on my own patch", "{t}"),
    3: ("Senior {t}", "{t}, senior grade", "Experienced {t}", "{t}, the one they call last", "Senior specialist, {t}", "Sr. {t}"),
    4: ("Lead {t}", "{t}, team lead", "Team leader, {t}", "Working lead, {t}", "{t} (team of {n})"),
    5: ("Department manager, {t}", "Manager over {t} teams", "{t}, now running the department", "Department head, {t}"),
    6: ("Director, {t} function", "Head of the whole {t} function", "VP, {t}"),
}
MEMBER_LEVEL = {
    0: (
        "started {m} months ago; a colleague checks everything I do", "first job, still under supervision", "in training since spring, nothing signed off alone yet",
        "I shadow a colleague and do small parts of the work", "just finished the course, no paid work so far", "{m} months in, always beside an instructor",
        "everything I do is countersigned; {m} months of it", "at the start: watching, helping, asking", "my mentor signs for me", "apprentice, first year, questions all day", "new since the summer, nothing alone so far", "a course, then {m} months of trial, still being shown",
    ),
    1: (
        "{y} years in; routine cases alone, the difficult ones with help", "{y} years; a senior looks over my results", "{y} years after training, simple cases are mine",
        "routine is mine, the rest goes to a senior; {y} years", "small tasks of my own, checked at the end; {y} years of that", "{y} years, simple jobs without help", "still junior: {y} years, a colleague reads all I send out", "{y} years; what is easy I do alone", "after {y} years I get the plain cases and a hand with others",
    ),
    2: (
        "{y} years; my own area, from start to finish", "I have handled my own area for {y} years and no one checks it", "{y} years, I decide in my own cases",
        "{y} years on my own; no staff, no one above my shoulder", "own area, own decisions, {y} years of it", "my patch for {y} years, start to end",
        "{y} years, fully on my own", "alone in my area, {y} years now", "I keep my own list and close my own cases; {y} years", "{y} years in the same job, independent, no reports", "full responsibility for my part since {y} years",
    ),
    3: (
        "{y} years; the hardest cases come to me and colleagues ask for advice", "{y} years, the one others ask; no staff", "for {y} years I have been given what others could not solve",
        "what is hard lands on my desk, {y} years of that; I lead no one", "{y} years, the last ones as the specialist whose word counts", "{y} years; reviewer of difficult cases, without staff", "last resort for odd cases, {y} years, no team", "{y} years deep in it; juniors bring me their questions, though none is mine", "I write the rules others work by; {y} years, no staff",
    ),
    4: (
        "I lead a team of {n} and work along", "{n} people report to me: rota, reviews, quality", "team of {n}, I plan their week and answer for their work",
        "{n} colleagues, their plans and their mistakes are mine", "{y} years, the last three leading {n} people", "leading {n}; still half of the day at the work itself", "{n} people, one rota, mine", "shift of {n} under me, and I lend a hand", "since last year {n} people look to me; I appraise and plan",
    ),
    5: (
        "I run a department of {b} through {k} team leads, with its budget", "{b} people, {k} team leads under me, own budget", "answerable for a department of {b} staff and its hiring",
        "{k} team leads and {b} staff are mine, budget included", "head of a department, {b} heads, {k} leads, one budget", "I hire, fire and budget for {b}, with {k} leads between us",
    ),
    6: (
        "I answer for the whole function: {h} people, all sites, strategy and budget", "{h} people through my managers; I sit on the management board", "the function is mine, {h} staff on all sites", "all sites, {h} people, and the numbers before the board", "I set the direction for {h} people and defend it upstairs",
    ),
}
MEMBER_OVERSTATED = ("Head of {t}, firm of three", "{t} and manager of nothing but my own desk", "Chief {t} of a two-person shop")
OVERSTATED_LEVEL = ("alone with the work, no staff, {y} years", "I do all of it myself, {y} years; no one reports to me")
SIGNS = {
    0: ("I already do the routine jobs alone on Saturdays", "lately trusted with simple cases on my own", "the instructor now only signs at the end"),
    1: ("took over a colleague's whole area for three months", "last year I ran my own project to the end", "I covered a full area during an absence, alone", "my senior hands me difficult cases now"),
    2: ("trained two juniors last year", "stood in for the team lead in summer", "led the move to the new system with two colleagues", "I mentor the newcomers", "showed three beginners the work"),
    3: ("stood in for the team lead for four months", "led a project group of four", "I have coached six colleagues and planned their rota", "deputy of the team lead since spring"),
    4: ("deputy of the department manager", "ran two teams at once while a post was open", "planned the department's budget last year"),
    5: ("stood in for the director for half a year", "led a programme across all sites"),
}
STEP_DOWN = (
    "I want to hand back the team: own work, no staff", "no staff responsibility any more, just the work itself", "looking for a post without people to lead", "back to the work, please; others may lead",
    "done with leading; a plain specialist post",
)
JOB_TITLES = {
    0: ("Trainee {t}", "Apprentice {t}", "{t} trainee", "{t}, starter post", "{t} (training place)"),
    1: ("Junior {t}", "{t} (junior)", "{t}, early career", "{t}, first job after training"),
    2: ("{t}", "{t}", "{t} (own area)", "{t}, independent", "{t}"),
    3: ("Senior {t}", "{t}, senior", "Senior specialist {t}", "{t}, expert grade"),
    4: ("Lead {t}", "Team lead, {t}", "{t} team leader", "{t} leading {n}"),
    5: ("Department manager, {t}", "Manager, {t} department", "{t} department head"),
    6: ("Director, {t} function", "Head of function, {t}"),
}
JOB_LEVEL = {
    0: (
        "no experience needed, we train you from scratch", "you learn beside an instructor", "under guidance at every step in the first year", "for people at the very beginning",
        "you start as a learner; a colleague signs off all you do", "training place: you watch, help and learn", "first steps with a mentor, no knowledge expected", "beginners welcome: you are shown everything", "we take learners; nothing is done alone in the first months",
    ),
    1: (
        "{y} year of experience; a senior checks your results", "you begin with routine cases, the difficult ones stay with others", "simple cases alone, help for the rest",
        "you have finished your training; a senior stays near", "for someone with {y} to two years behind them", "routine is yours, the hard part comes later; {y} year behind you", "you know the basics after {y} year; a colleague reads what you send", "easy cases first, {y} year behind you is plenty",
    ),
    2: (
        "you have your own area and decide in it alone", "{y} years of experience, then you work without supervision", "own cases from start to finish; no staff",
        "an area of your own; {y} years are enough", "at least {y} years; no one checks your work", "you work alone and report once a month; {y} years of practice", "your cases, your decisions, {y} years of practice", "independent work, no team to lead, {y} years wanted",
    ),
    3: (
        "you get the hardest cases and advise colleagues, no staff", "at least {y} years; you are the one others ask", "{y} years or more, last word on difficult cases, no one reports to you",
        "the difficult end of the work; {y} years behind you, no people to lead", "for a specialist with {y} years", "under {y} years it won't work: you solve what others cannot", "last resort for odd cases; {y} years, no team", "you set the rules that others work by; {y} years, without staff",
    ),
    4: (
        "you lead {n} people and work along", "{n} people report to you; you plan their week", "leading a team of {n}: rota, reviews, quality",
        "{n} colleagues look to you for plans and decisions", "you answer for the work of {n} colleagues", "a team of {n} is waiting for its lead", "a crew of {n}, one rota, yours", "shift of {n} under you, and you lend a hand",
    ),
    5: (
        "you run a department of {b} with {k} team leads and its budget", "{b} staff, {k} team leads report to you", "department of {b}: budget, hiring, results", "{k} team leads, {b} staff, one budget: yours", "you hire and budget for {b} people, with {k} leads in between", "head of a department of {b}",
    ),
    6: (
        "you answer for the whole function, {h} people on all sites", "seat on the management board; {h} staff through your managers", "strategy, budget and {h} people: the function is yours", "you set the direction for {h} people and defend it before the board", "all sites, {h} people, full responsibility",
    ),
}
JOB_OVERSTATED = ("Head of {t} (team of one)", "Manager, {t}", "Chief {t}")
JOB_OVERSTATED_LEVEL = ("you do the work yourself, no staff; {y} years of experience", "the only one here: own area, no one to lead; {y} years")
BESIDE = {
    0: ("a trainee in the first months", "a trainee", "an apprentice", "a trainee, new to the training place"),
    1: ("a junior with two years of routine cases", "a junior colleague", "a junior", "a junior, two years after training"),
    2: ("a colleague with an area of their own and four years", "a colleague with an area of their own", "someone with an own area", "a colleague alone on their own patch"),
    3: ("a senior specialist of eight years for the hardest cases", "a senior specialist", "an experienced senior", "a senior expert on what is hard"),
    4: ("a team lead of six people", "a team lead", "the lead of a team", "a team lead with six colleagues"),
    5: ("a department manager with three team leads and a budget", "a department manager", "the department head", "a department head with team leads"),
    6: ("a director of the whole function", "a director", "the head of the function", "the director of the function"),
}
BESIDE_FORMS = ("you work beside {}", "next desk: {}", "daily contact: {}", "you share the room with {}", "{} sits across from you", "colleague: {}")


def article(title: str) -> str:
    """'Accountant' -> 'an Accountant'."""
    return f"{'an' if title[:1].lower() in 'aeio' else 'a'} {title}"


def _fill(voice: Voice, form: str, level: int, title: str = "", *, least: bool = False) -> str:
    low, high = YEARS[level]
    years = low if least else voice.rng.randint(low, high)
    number = voice.rng.choice((str(years), WORDS[years]))
    team = voice.rng.randint(4, 8)
    text = form.format(
        t=title, a=article(title), y=number, m=voice.rng.choice(("three", "four", "five", "6", "7")),
        n=voice.rng.choice((str(team), WORDS[team])), b=voice.rng.choice((30, 35, 40, 45, 55)),
        k=voice.rng.choice(("three", "four", "five")), h=voice.rng.choice((150, 180, 220, 300)),
    )  # fmt: skip
    return text.replace("one years", "one year").replace("1 years", "1 year") if years == 1 else text


def member_headline(voice: Voice, title: str, level: int, *, level_named: bool) -> str:
    """The headline; `level_named` says that it names the level."""
    return _fill(voice, voice.pick(MEMBER_TITLES[level]) if level_named else "{t}", level, title)


def member_level(voice: Voice, level: int) -> str:
    return _fill(voice, voice.pick(MEMBER_LEVEL[level]), level)


def member_overstated(voice: Voice, title: str) -> tuple[str, str]:
    """Headline and experience of a member of level 2 whose title promises more."""
    return _fill(voice, voice.pick(MEMBER_OVERSTATED), 2, title), _fill(voice, voice.pick(OVERSTATED_LEVEL), 2)


def job_title(voice: Voice, title: str, level: int, *, level_named: bool) -> str:
    return _fill(voice, voice.pick(JOB_TITLES[level]) if level_named else "{t}", level, title, least=True)


def job_level(voice: Voice, level: int) -> str:
    return _fill(voice, voice.pick(JOB_LEVEL[level]), level, least=True)


def job_overstated(voice: Voice, title: str) -> tuple[str, str]:
    """Title and description of a job of level 2 whose title promises more."""
    return _fill(voice, voice.pick(JOB_OVERSTATED), 2, title), _fill(voice, voice.pick(JOB_OVERSTATED_LEVEL), 2, least=True)


def beside(voice: Voice, level: int) -> str:
    """A colleague of a level: a word about level that says nothing about the job's own."""
    return voice.pick(BESIDE_FORMS).format(voice.pick(BESIDE[level]))
