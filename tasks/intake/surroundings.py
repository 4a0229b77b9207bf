"""What stands around the complaint: greetings, closings, and remarks that must not be noted.

Relatives' illnesses are the hard ones: a symptom is named, but it is not the writer's.
"""

from __future__ import annotations

import random

from tasks.intake.pattern import expand

GREETINGS = (
    *expand("[hi|hello|hey|good morning|good evening|hi there|hello there|good afternoon][|, doctor|, doc]"),
    "dear doctor",
    "hello, hope you can help",
    "hi, quick question",
    "sorry to bother you",
    "hi, me again",
    "excuse me",
)
CLOSINGS = (
    *expand("[thanks|thank you|many thanks|thanks a lot|thanks in advance]"),
    "what should I do?",
    "can you help?",
    "please advise",
    "should I be worried?",
    "do I need to come in?",
    "can I get an appointment?",
    "what do you think it is?",
    "any advice?",
    "please call me back",
    "is this normal?",
)
_RELATIVES = (
    "mother",
    "father",
    "wife",
    "husband",
    "son",
    "daughter",
    "brother",
    "sister",
    "neighbour",
    "boss",
    "flatmate",
    "grandmother",
)
_THEIRS = (
    "a cough",
    "a fever",
    "a headache",
    "back pain",
    "a rash",
    "the flu",
    "a cold",
    "diarrhoea",
    "a sore throat",
    "asthma",
    "diabetes",
    "high blood pressure",
    "a bad knee",
    "toothache",
    "a stomach bug",
    "earache",
    "trouble sleeping",
    "chest pain",
)
_RELATIVE_FRAMES = (
    "my {r} had {t} last {w}",
    "my {r} has {t} too",
    "my {r} has {t}",
    "my {r} was ill with {t} last {w}",
    "I know my {r} had {t}",
    "my {r} took antibiotics for {t}",
    "my {r} is in bed with {t}",
    "my {r} gets {t} a lot",
    "my {r} keeps getting {t}",
)
_JOBS = (
    "teacher",
    "driver",
    "nurse",
    "cook",
    "builder",
    "student",
    "farmer",
    "shop assistant",
    "waiter",
    "cleaner",
    "programmer",
    "bus driver",
    "gardener",
    "plumber",
    "baker",
    "lawyer",
    "mechanic",
    "postman",
)
_AGES = ("I'm {a}", "I am {a} years old", "I'm {a} by the way", "{a} years old", "I'm a {a} year old {j}", "age {a}")
_AT_WORK = (
    "I work as a {j}",
    "I'm a {j}",
    "I've been a {j} for {y} years",
    "I used to be a {j}",
    "I'm training to be a {j}",
    "my job as a {j} is busy",
)
_PLAIN = (
    "I work nights",
    "I live alone",
    "we moved house last month",
    "I don't smoke",
    "I stopped smoking 2 years ago",
    "I have two kids",
    "I have a big exam next week",
    "I'm flying out on Friday",
    "work is stressful right now",
    "the weather has been awful",
    "I eat normally",
    "I walk the dog every day",
    "I play football on Sundays",
    "I have no allergies",
    "I drink a lot of coffee",
    "I was on holiday last week",
    "I have a cat",
    "I'm usually healthy",
    "I've never been in hospital",
    "I hope this is the right place",
    "my blood test last year was fine",
    "I had covid last year",
    "I'm on my feet all day",
    "I sit at a desk all day",
    "I retired last year",
)


def greeting(rng: random.Random) -> str:
    return rng.choice(GREETINGS)


def closing(rng: random.Random) -> str:
    return rng.choice(CLOSINGS)


def distractors(rng: random.Random, count: int) -> list[str]:
    """Remarks about the writer's life or somebody else's illness, each of another kind (four at most);
    the note takes nothing from them."""
    return [kind(rng) for kind in rng.sample((_relative, _relative, _age, _job, _life, _life), count)]


def _relative(rng: random.Random) -> str:
    text = rng.choice(_RELATIVE_FRAMES).replace("{r}", rng.choice(_RELATIVES)).replace("{t}", rng.choice(_THEIRS))
    return text.replace("{w}", rng.choice(("week", "month", "year", "winter")))


def _age(rng: random.Random) -> str:
    return rng.choice(_AGES).replace("{a}", str(rng.randint(18, 84))).replace("{j}", rng.choice(_JOBS))


def _job(rng: random.Random) -> str:
    return rng.choice(_AT_WORK).replace("{j}", rng.choice(_JOBS)).replace("{y}", str(rng.randint(3, 30)))


def _life(rng: random.Random) -> str:
    return rng.choice(_PLAIN)
