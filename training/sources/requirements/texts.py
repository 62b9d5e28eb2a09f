"""Facts as texts: the fields of a member and of a job. Reads no grades."""

from __future__ import annotations

from models.template import Fields
from training.sources.requirements import level_forms as level_of
from training.sources.requirements import skill_forms as say
from training.sources.requirements.facts import Need, Needs, Person, Post
from training.sources.requirements.vocabulary import Occupation
from training.sources.requirements.voice import Voice


def _licence(voice: Voice, occupation: Occupation) -> str:
    return voice.rng.choice(occupation.licence.forms) if occupation.licence else "licence"


def member_fields(voice: Voice, person: Person) -> Fields:
    """headline, skills, experience, preferences."""
    level_named = voice.chance(0.7)
    level = voice.part("level")
    if person.overstated:
        headline, text = level_of.member_overstated(level, person.title)
        parts = [text]
    else:
        headline = level_of.member_headline(level, person.title, person.level, level_named=level_named)
        parts = [level_of.member_level(level, person.level)] if not level_named or voice.chance(0.65) else []
    if person.industry:
        parts.append(voice.pick(say.MEMBER_FIELD).format(person.industry))
    if person.ready:
        parts.append(voice.pick(level_of.SIGNS[person.level]))
    if person.licence is not None:
        forms = say.LICENCE_HELD if person.licence else say.LICENCE_LACKS
        parts.append(voice.pick(forms).format(_licence(voice, person.occupation)))
    shown = list(person.shown)
    voice.rng.shuffle(shown)
    done = [say.doing(voice, item, other=voice.chance(0.35)) for item in shown]
    parts += [voice.pick(say.TASKS_DONE).format(task) for task in person.tasks]
    if done:
        parts.append(voice.pick(say.SHOWN).format(say.series(done, "and")))
    parts += [voice.pick(say.MEMBER_LACKS).format(say.noun(item)) for item in person.lacks]
    if voice.chance(0.2):
        parts.append(voice.pick(say.MEMBER_NOISE))
    voice.rng.shuffle(parts)
    listed = [i.name for i in person.stated] + [voice.rng.choice(i.forms) for i in shown if voice.chance(0.35)]
    voice.rng.shuffle(listed)
    wishes = [voice.pick(stance.forms) for _, stance in person.stances]
    if person.seeks:
        wishes.append(voice.pick(level_of.STEP_DOWN))
    if voice.chance(0.2):
        wishes.append(voice.pick(say.PREFERENCE_NOISE))
    voice.rng.shuffle(wishes)
    if voice.chance(0.15):  # some write their wishes at the end of their story
        parts, wishes = [*parts, *wishes], []
    return {
        "headline": headline,
        "preferences": say.join(voice, wishes),
        "skills": listed,
        "experience": say.join(voice, parts),
    }


def _need(voice: Voice, need: Need) -> str:
    names = [say.noun(item) for item in need.items]
    if len(names) > 1:
        return voice.pick(say.ONE_OF).format(say.series(names, "or"))
    return voice.pick(say.COMPARABLE).format(names[0]) if need.comparable else names[0]


def _tasks(voice: Voice, tasks: tuple[str, ...]) -> list[str]:
    return [voice.pick(say.TASK).format(task) for task in tasks]


def _skills(voice: Voice, needs: Needs) -> list[str]:
    main, *others = needs.needs
    parts = [voice.pick(say.MAIN).format(_need(voice.part("main"), main))]
    further = [_need(voice.part(f"need {place}"), need) for place, need in enumerate(others)]
    if len(further) > 1 and voice.chance(0.6):
        all_of = voice.pick(say.ALL_OF) if len(further) == 2 else "{}"
        parts.append(voice.pick(say.NEED).format(all_of.format(say.series(further, "and"))))
    else:
        parts += [voice.part(f"form {place}").pick(say.NEED).format(text) for place, text in enumerate(further)]
    extra = voice.part("extra")
    more = [extra.pick(say.PLUS).format(say.noun(i)) for i in needs.plus]
    more += [extra.pick(say.UNUSED).format(say.noun(i)) for i in needs.unused]
    voice.part("order").rng.shuffle(more)
    return [*parts, *more]


def _field(voice: Voice, post: Post) -> str:
    if post.other_industry:
        return voice.pick(say.JOB_FIELD_BESIDE).format(a=post.industry, b=post.other_industry)
    return voice.pick(say.JOB_FIELD_DEMAND if post.demands_industry else say.JOB_FIELD).format(post.industry)


def _terms(voice: Voice, post: Post) -> list[str]:
    parts = []
    for kind, value in post.terms:
        forms = kind.balanced if kind.name in post.balanced else kind.values
        parts.append(voice.part(f"term {kind.name}").pick(forms[value]))
    noise = voice.part("term noise")
    if noise.chance(0.2):
        parts.append(noise.pick(say.TERM_NOISE))
    noise.rng.shuffle(parts)
    return parts


def job_fields(voice: Voice, post: Post) -> Fields:
    """title, skills, description, terms."""
    style = voice.part("style")
    level_named, level = style.chance(0.6), voice.part("level")
    if post.overstated:
        title, text = level_of.job_overstated(level, post.title)
        levels = [text]
    else:
        title = level_of.job_title(level, post.title, post.level, level_named=level_named)
        levels = [level_of.job_level(level, post.level)] if not level_named or style.chance(0.6) else []
    if post.beside is not None:
        levels.append(level_of.beside(voice.part("beside"), post.beside))
    skills = voice.part("skills")
    parts = _tasks(skills, post.tasks) if post.tasks else _skills(skills, post.needs)
    parts = [*levels, *parts] if style.chance(0.5) else [*parts, *levels]
    if post.needs.licence and post.occupation.licence:
        forms = say.LICENCE_NEEDED if post.needs.licence == "needed" else say.LICENCE_LATER
        licence = voice.part("licence")
        parts.append(licence.pick(forms).format(_licence(licence, post.occupation)))
    if post.industry:
        parts.insert(0, _field(voice.part("field"), post))
    if style.chance(0.2):
        parts.insert(style.rng.randint(0, len(parts)), style.pick(say.JOB_NOISE))
    terms = _terms(voice, post)
    if style.chance(0.15):  # some postings have no section for terms
        parts, terms = [*parts, *terms], []
    bare = not post.needs.plus and not post.needs.unused
    listed = [item.name for need in post.needs.needs for item in need.items] if bare and style.chance(0.4) else []
    glue = voice.part("glue")
    return {
        "title": title,
        "terms": say.join(glue, terms),
        "skills": listed,
        "description": say.join(glue, parts),
    }
