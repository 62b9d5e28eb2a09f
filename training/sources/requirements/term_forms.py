# ruff: noqa: E501 - one row of a table a line
# fmt: off
"""What jobs and members say about terms of work. Forms only; the grades in the tables are those of jobs.md.

In each tuple of four or more forms every fourth is kept for tests (`voice.Voice`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Forms:
    """One kind of term: value -> forms of jobs; grades by value -> forms of members."""

    name: str
    values: Mapping[str, tuple[str, ...]]
    members: Mapping[tuple[int, ...], tuple[str, ...]]
    clashes: str = ""
    balanced: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


TWO_SIDED = (
    Forms(
        "nights",
        {
            "yes": (
                "nights by rota", "night shifts, one week in three", "rotating shifts, nights included", "every fourth week is a night week",
                "permanent night shift, 10 pm to 6 am", "early, late and night shifts in turn", "work through the night is part of the rota",
                "two nights a week", "on the ward from ten at night till six",
            ),
            "no": (
                "day shifts only", "no nights", "daytime hours, 7 to 3", "we close at six, so no night work", "the rota has no night shifts",
                "days; the night shift belongs to another crew", "early and late shifts, never nights", "daytime", "Monday to Friday, 8 to 4",
            ),
        },
        {
            (0, 4): (
                "no nights", "day shifts only, not negotiable", "I cannot work nights", "must be home at night", "nights are excluded", "nights: no",
                "I won't do night shifts again", "no more nights or lates", "not available after ten in the evening",
            ),
            (2, 4): ("I would rather not work nights", "ideally days only", "day shifts preferred", "would like to get away from night shifts", "if possible without nights"),
            (4, 2): ("I prefer nights", "ideally on nights", "night shifts preferred, I like the quiet", "nights suit me best, if there are any"),
            (4, 0): ("nights only, I have a day course", "night shift or nothing", "only jobs on the night shift", "I can only work at night"),
            (4, 4): ("nights or days, both fine", "any shift suits me"),
        },
        "shifts",
        {
            "yes": ("night shifts, no day shifts", "nights; the days belong to another crew", "you work nights, others the days"),
            "no": ("day shifts, no night shifts", "days; the nights belong to another crew", "you work days, others the nights"),
        },
    ),
    Forms(
        "weekends",
        {
            "yes": (
                "two weekends a month", "Saturdays and Sundays by rota", "weekend work is usual", "most Saturdays", "open seven days, so weekends in turn",
                "Friday to Monday, weekends included", "match days, so weekends",
            ),
            "no": (
                "Monday to Friday", "no weekend work", "weekends are free", "five days, never at weekends", "closed on Saturdays and Sundays", "a working week without weekends",
            ),
        },
        {
            (0, 4): (
                "no weekends", "weekends are out of the question", "I cannot work on Saturdays or Sundays", "weekends: not possible", "Monday to Friday only",
                "weekends belong to my course, no exceptions",
            ),
            (2, 4): ("I'd rather keep weekends free", "weekends off preferred", "ideally Monday to Friday", "free weekends would be nice"),
            (4, 2): ("weekend shifts preferred", "I like working Saturdays and Sundays, ideally those", "weekends preferred, weekdays if need be"),
            (4, 0): ("weekends only, I study during the week", "only Saturdays and Sundays", "weekdays are not possible, weekends only"),
            (4, 4): ("weekends are fine", "weekdays or weekends, as needed"),
        },
        "",
        {
            "yes": ("weekends, weekdays off", "you work Saturdays and Sundays, not weekdays"),
            "no": ("weekdays, weekends off", "you work weekdays, not Saturdays and Sundays"),
        },
    ),
    Forms(
        "contract",
        {
            "permanent": ("permanent contract", "permanent post", "unlimited contract", "permanent from the first day", "a permanent position", "no end date"),
            "fixed": (
                "fixed term, one year", "contract of nine months", "twelve-month contract, no extension", "maternity cover until March", "six months, parental cover",
                "two years, project-funded", "season from April to October", "seasonal, November to March", "summer only, June to August",
            ),
        },
        {
            (4, 0): ("permanent contract only", "only permanent posts", "no fixed-term contracts", "nothing temporary, please", "permanent or nothing", "done with contracts that end"),
            (4, 2): ("a permanent contract would be nice", "permanent preferred", "ideally permanent", "rather not temporary again"),
            (0, 4): ("temporary posts only, I move abroad in two years", "only limited contracts, at most two years", "nothing permanent, I leave in autumn next year"),
            (2, 4): ("I like contracts with an end date", "temporary work preferred", "ideally a project of limited length"),
            (4, 4): ("temporary or permanent, both fine", "contract form open"),
        },
        "",
        {
            "permanent": ("permanent, not temporary", "a permanent post, no fixed term"),
            "fixed": ("temporary, not permanent", "a fixed term, no permanent post"),
        },
    ),
    Forms(
        "hours",
        {
            "full": ("full-time, 40 hours", "full-time", "five full days", "a full week, nothing less", "38.5 hours a week, no part-time"),
            "later": ("full-time at first; part-time can be agreed after probation", "40 hours, fewer after the first six months if you like"),
            "part": ("part-time, 20 hours", "half-time, mornings", "three days a week", "part-time, afternoons", "24 hours a week"),
        },
        {
            (0, 3, 4): ("part-time only", "at most 24 hours a week", "three days a week, no more", "no full-time job", "half-time; full-time is not possible"),
            (2, 3, 4): ("part-time preferred", "ideally 20 to 25 hours", "would like to work less than full-time", "three days would be my favourite"),
            (4, 4, 0): ("full-time only", "no part-time offers", "forty hours or it does not pay", "it has to be a full week", "must be full-time"),
            (4, 4, 2): ("full-time preferred", "rather full-time", "ideally a full week"),
        },
        "",
        {
            "full": ("full-time, no part-time", "full-time (part-time posts are filled)"),
            "part": ("part-time, no full-time", "part-time (full-time posts are filled)"),
        },
    ),
    Forms(
        "mode",
        {
            "site": ("on site, five days a week", "full-time on site", "at our premises every day", "presence every day", "no home office", "always in the building"),
            "hybrid": ("hybrid, three office days", "two days at home, the rest in the office", "hybrid: Tuesday to Thursday on site", "half of the week at home"),
            "remote": ("fully remote", "work from home", "remote, all of it", "home office throughout, no office days", "you never have to come in"),
        },
        {
            (0, 0, 4): ("remote only", "only from home", "no office days at all", "home office, no exceptions", "must be fully remote"),
            (2, 2, 4): ("remote preferred", "would rather work from home", "ideally fully remote", "from home, if it can be had"),
            (2, 4, 4): ("one or two days at home would be nice", "some home office preferred", "ideally hybrid or remote"),
            (4, 0, 0): ("no working from home, I have no room for it", "on site only, no home office", "workplace outside my flat, every day"),
            (4, 2, 2): ("I prefer to be on site every day", "ideally on site, I like people around me", "rather on site than at home"),
            (4, 4, 4): ("office or home, both fine", "on site, hybrid, remote: all fine"),
        },
        "place days",
        {
            "site": ("on site, nothing from home", "you work on site, never at home", "all of it on site, none of it remote"),
            "remote": ("from home, nothing on site", "you work at home, never on site", "all of it remote, none of it on site"),
        },
    ),
    Forms(
        "shifts",
        {
            "yes": ("rotating shifts", "early and late shifts in turn", "three-shift operation", "a new shift every Monday", "shifts change every week"),
            "no": ("fixed hours, 8 to 4", "always the same hours", "no shift work", "the same eight hours each day", "one fixed shift all year"),
        },
        {
            (0, 4): ("no shift work", "fixed hours only", "changing shifts are not possible", "no rotating shifts, I have a standing appointment", "must have the same hours every week"),
            (2, 4): ("fixed hours preferred", "rather no shift work", "ideally the same hours each week"),
            (4, 2): ("I like rotating shifts", "shift work preferred, for the bonus"),
            (4, 0): ("rotating shifts only", "only jobs with changing shifts, fixed hours do not work for me"),
            (4, 4): ("shifts or fixed hours, both fine",),
        },
        "nights",
        {
            "yes": ("rotating shifts, no fixed hours", "your hours rotate, they are not fixed"),
            "no": ("fixed hours, no rotating shifts", "your hours are fixed, they do not rotate"),
        },
    ),
    Forms(
        "outdoors",
        {
            "yes": ("outdoors in all weathers", "outside all year", "most of the day outside", "in the yard, rain or shine"),
            "no": ("indoors", "inside, dry and warm", "all of it indoors", "you never have to go out"),
        },
        {
            (0, 4): ("no outdoor work", "indoors only", "nothing outside in winter, that is fixed"),
            (2, 4): ("rather indoors", "ideally inside"),
            (4, 2): ("I'd like to be outside", "outdoors preferred"),
            (4, 0): ("outdoor work only", "no indoor jobs, only outside"),
        },
        "",
        {"yes": ("outdoors, not indoors", "outside, never inside"), "no": ("indoors, not outdoors", "inside, never outside")},
    ),
    Forms(
        "travel",
        {
            "yes": ("you travel every week", "on the road, hotels three nights a week", "trips to sites all over the country", "away from Monday to Thursday", "frequent business trips"),
            "no": ("no travel", "one site, no trips", "you never have to travel", "everything happens here, no business trips"),
        },
        {
            (0, 4): ("no travel", "I cannot travel for work", "home every night, so no trips", "business trips are excluded", "no hotels, no trips"),
            (2, 4): ("rather no travel", "ideally without travel", "I'd like to stop travelling", "less travel than now, if possible"),
            (4, 2): ("would love to travel", "travel wanted, the more the better", "ideally on the road"),
            (4, 0): ("a travelling job or none", "only jobs on the road, no fixed site"),
            (4, 4): ("travel or no travel, both fine",),
        },
        "",
        {
            "yes": ("you travel; the job is not at one site", "trips every week, no fixed site"),
            "no": ("you do not travel; the job is at one site", "a fixed site, no trips every week"),
        },
    ),
)

ONE_SIDED = (
    Forms(
        "driving",
        {
            "yes": ("driving licence required", "you need a driving licence", "no bus out here: licence B is a must", "driving licence, as sites lie far apart", "valid driver's license, please"),
            "no": ("no driving, the tram stops at the door", "no driving licence needed", "reached by bus; no one drives", "no licence needed, we have drivers"),
        },
        {(0, 4): ("no driving licence", "I don't drive", "without a licence; the train brings me", "never took the driving test")},
    ),
    Forms(
        "driving",
        {"yes": ("driving licence required", "you need a driving licence", "licence B is a must, no bus out here", "a driving licence, since you visit sites")},
        {(4,): ("driving licence, own car", "licence B held", "I drive, clean licence", "licensed driver")},
    ),
    Forms(
        "permit",
        {
            "yes": ("right to work needed, no sponsorship", "we cannot sponsor visas", "valid work permit before the start", "no visa sponsorship", "work permit required; visas are not arranged"),
            "no": ("visa sponsorship offered", "we arrange the work permit", "sponsorship possible from day one", "work permit: we take care of it"),
        },
        {(0, 4): ("I need visa sponsorship", "sponsorship needed", "no work permit yet, an employer must apply for it", "my visa ends with this job, so a sponsor is needed")},
    ),
    Forms(
        "permit",
        {"yes": ("right to work needed, no sponsorship", "we cannot sponsor visas", "valid work permit before the start", "no visa sponsorship")},
        {(4,): ("unlimited work permit", "right to work, no sponsorship needed", "citizen, no visa needed", "permit in hand, valid for years")},
    ),
    Forms(
        "clearance",
        {
            "yes": ("security clearance required", "clearance is a must before the start", "only with a valid security clearance", "cleared staff only"),
            "no": ("no clearance needed", "open site, no clearance"),
        },
        {(0, 4): ("no security clearance, and I cannot get one", "I do not want to be vetted for clearance")},
    ),
    Forms(
        "clearance",
        {"yes": ("security clearance required", "clearance is a must before the start", "only with a valid security clearance", "cleared staff only")},
        {(4,): ("security clearance held, valid for four years", "vetted and cleared last year")},
    ),
    Forms(
        "heights",
        {"yes": ("work at heights", "ladders and scaffolds daily", "roofs, up to 20 m"), "no": ("all work on the ground", "no ladders, no heights")},
        {(0, 4): ("no work at heights", "nothing on ladders or roofs", "both feet on the ground, heights are excluded"), (2, 4): ("rather no ladders", "ideally no heights")},
    ),
    Forms(
        "overtime",
        {"yes": ("overtime in peak weeks", "expect overtime", "extra hours every month"), "no": ("no overtime", "hours end when the shift ends")},
        {(0, 4): ("no overtime", "I cannot stay longer than the shift"), (2, 4): ("rather no overtime", "little overtime preferred")},
    ),
)
