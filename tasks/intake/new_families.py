"""The families kept out of version 1: no text that it learns from speaks of them.

Their `seen` phrasings are what new traffic uses and corrections may teach; `unseen` only test.
"""

from __future__ import annotations

from tasks.intake.families import Family

NEW: tuple[Family, ...] = (
    Family(
        "nosebleed",
        "amber",
        ("nose",),
        ("nasal spray", "ice pack"),
        seen=(
            "n: [nosebleeds|a nosebleed|a bleeding nose|a bloody nose]",
            "n: blood [coming from|dripping from|running out of] my nose",
            "c: my nose [bleeds|is bleeding|keeps bleeding|won't stop bleeding]",
            "c: blood [comes|drips|runs] [out of|from] my nose",
            "c: I [wake up with|find] blood [under my nose|in my nose|on the pillow from my nose]",
            "g: bleeding from [my nose|the nose|one nostril]",
            "c: when I blow my nose there is blood[| in the tissue]",
        ),
        unseen=(
            "n: a nose that bleeds",
            "n: a bleeding nostril",
            "g: finding blood in my nose",
            "c: my nostril is bleeding",
            "c: there is blood [in the tissue when I sneeze|dripping down from my nose]",
        ),
    ),
    Family(
        "tinnitus",
        "green",
        ("ear",),
        ("ear drops", "magnesium"),
        seen=(
            "n: [tinnitus|ringing in my ears|a ringing in my ear|a buzzing in my ears]",
            "n: a [ringing|buzzing|humming|whistling] [noise|sound] in my [left |right |]ear",
            "c: my [left |right |]ear [rings|is ringing|buzzes|hums]",
            "c: my ears [ring|are ringing|buzz|hum|whistle]",
            "c: I [hear|keep hearing] [a ringing|a whistle|a buzzing|a hum] in my ear",
            "g: hearing [ringing|buzzing|a whistle|a high tone] in my ears",
        ),
        unseen=(
            "n: a whistle in my ears",
            "n: ears that [ring|buzz]",
            "g: hearing a hum inside my ear",
            "c: there is a [ringing|buzz] inside my ears",
            "c: a [high |]ringing noise in my ear never stops",
        ),
    ),
    Family(
        "muscle cramp",
        "green",
        ("calf", "thigh", "foot"),
        ("magnesium", "ibuprofen", "pain gel"),
        seen=(
            "n: [cramp|cramps|a cramp|muscle cramps] in my {site}",
            "n: a [tight|knotted|cramping] muscle in my {site}",
            "n: {site} cramps[| at night]",
            "c: my {site} [cramps|cramps up|locks up|goes into a cramp|tightens into a knot]",
            "c: my {site} muscle [cramps|knots up|goes hard|locks]",
            "c: a cramp [grabs|wakes me in] my {site}",
            "g: getting [cramps|cramp|a cramp] in my {site}",
        ),
        unseen=(
            "n: a knot in my {site} muscle",
            "n: a cramping {site}",
            "g: waking with a cramp in my {site}",
            "c: the muscle in my {site} [locks up|cramps]",
            "c: my {site} knots up[| at night]",
        ),
    ),
    Family(
        "hair loss",
        "green",
        ("scalp",),
        ("minoxidil", "iron tablets"),
        seen=(
            "n: [hair loss|thinning hair|a bald patch|bald spots|bald patches]",
            "c: my hair [is falling out|falls out|is thinning|comes out in clumps|is getting thin]",
            "g: losing [hair|my hair|a lot of hair|clumps of hair]",
            "c: I find [hair|clumps of hair] [on my pillow|in the shower|in my brush]",
            "c: there is a bald patch [on my head|on my scalp]",
            "c: my hair comes out when I [brush|wash] it",
        ),
        unseen=(
            "n: a thinning scalp",
            "n: hair that falls out",
            "g: finding clumps of my hair in the brush",
            "c: I am going bald[| in patches]",
            "c: my brush is full of hair",
        ),
    ),
    Family(
        "tremor",
        "amber",
        ("hand",),
        ("beta blocker", "magnesium"),
        seen=(
            "n: [a tremor|shaky hands|trembling hands|a shaking hand|a tremor in my hand]",
            "c: my hands [shake|tremble|are shaking|are trembling|won't stop shaking]",
            "c: my hand [shakes|trembles] when I [write|hold a cup|reach for things]",
            "c: I [can't hold|spill] [a cup|my tea] because my hands shake",
            "c: I can't keep my hands [still|steady]",
            "g: shaking [in my hands|when I write|when I hold a cup]",
        ),
        unseen=(
            "n: a trembling hand",
            "n: hands that [shake|tremble]",
            "g: trembling when I [hold a cup|write]",
            "c: my hands are [shaky|not steady]",
            "c: a cup shakes in my hand",
        ),
    ),
)
