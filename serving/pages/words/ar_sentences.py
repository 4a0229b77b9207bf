"""Arabic for what components say: the translations of `components.sentences`, by code."""

SENTENCES = {
    "complained": "قال {names} إنها خطأ",
    "unsure": "متوسط لوغاريتم الاحتمال {logprob}، من أدنى ما في الإصدار {version}",
    "invalid": "ليست إجابة سليمة لهذه المهمة",
    "differing": "اختلفت إجابات الإصدارات {versions} عن السؤال نفسه",
    "drawn": "سُحبت عشوائيًا",
    "secret": "يبدو أنها تحوي سرًّا: {secret}",
    "to_the_model": "الإجابة تخاطب النموذج: {speaks}",
    "contradicts": "تناقض الرأي {event} عن السؤال نفسه بقلم {rater}، وهو موثوق",
    "disreputable_trusted": "وافق {rater} الموثوقين في {agreed} من {compared} سؤالًا: دون {least} يقينًا",
    "disreputable_others": "وافق {rater} الآخرين في {agreed} من {compared} سؤالًا: دون {least} يقينًا",
    "burst": (
        "قال {rater} أكثر من {events} رأيًا خلال {seconds} ث (curate.trust.burst_events): وإن كان برنامجًا إجاباته "
        "صحيحة فمكانه curate.trusted_raters"
    ),
    "copies": "أعطى {rater} هذه الإجابة، أو ما يكاد يطابقها، عن {questions} سؤالًا مختلفًا",
    "trusted": "معامل كابا مع الناس {kappa} في {overlap} مبارزة، والصوت نفسه في الترتيبين في {consistency} من {both}",
    "one_order": "غير موثوق، لأنه لم يصوّت في أي مبارزة بالترتيبين",
    "inconsistent": (
        "غير موثوق، لأن صوته هو نفسه في الترتيبين في {consistency} فقط من المبارزات "
        "(arena.min_consistency هو {least}): يحكم على الموضع لا على الإجابة"
    ),
    "no_overlap": "غير موثوق، لأن الناس صوّتوا في {overlap} فقط من مبارزاته (arena.min_overlap هو {least})",
    "no_kappa": "غير موثوق، لأن الناس، أو هو، صوّتوا دائمًا الصوت نفسه، فلا يُعرف مدى اتفاقهم",
    "low_kappa": "غير موثوق، لأن معامل كابا مع الناس {kappa} (arena.min_kappa هو {least})",
    "never_met": "لم يلتقِ هؤلاء مباشرةً ولا عبر غيرهم، فلا تُقارن تقديراتهم: {parts}",
    "only_a_bound": "فاز إصدارٌ ما بكل صوت أمام البقية، أو خسر كل صوت: تقديره حدٌّ لا أكثر",
    "too_few": "أمثلة الهدف قليلة جدًا: {count}، ويلزم {least} على الأقل لإثبات شيء (promotion.min_target)",
    "better": (
        "أفضل في {set}: {before} ← {after}، المكسب {gain} (فترة {confidence} من {lower} إلى {upper}، {examples} مثالًا)"
    ),
    "gain_by_chance": (
        "قد يكون المكسب في {set} مصادفة: {before} ← {after}، المكسب {gain} (فترة {confidence} من {lower} إلى {upper}، "
        "{examples} مثالًا)؛ ما تحرّك من الصفوف قليل، واحتمال مثله مصادفةً {chance}"
    ),
    "no_gain": (
        "لم يثبت مكسب في {set}: {before} ← {after}، المكسب {gain} (فترة {confidence} من {lower} إلى {upper}، "
        "{examples} مثالًا)؛ يجب أن يزيد الحد الأدنى على 0"
    ),
    "loss_excluded": (
        "استُبعدت خسارة تزيد على {bound} في {set}: المكسب {gain} (فترة {confidence} من {lower} إلى {upper}، "
        "{examples} مثالًا)"
    ),
    "loss_proven": (
        "أسوأ في {set}: المكسب {gain} (فترة {confidence} من {lower} إلى {upper}، {examples} مثالًا)؛ ضاع أكثر من "
        "{bound} يقينًا"
    ),
    "loss_likely": (
        "أسوأ على الأرجح في {set}: المكسب {gain} (فترة {confidence} من {lower} إلى {upper}، {examples} مثالًا)؛ "
        "الخسارة نحو {bound} أو أكثر، ولن تغيّر صفوف أخرى ذلك غالبًا"
    ),
    "loss_not_excluded": (
        "لم يثبت شيء في {set}: المكسب {gain} (فترة {confidence} من {lower} إلى {upper}، {examples} مثالًا)؛ ليست هذه "
        "خسارة قدرها {bound}، لكن صفوفًا بهذه القلة لا تستبعدها"
    ),
    "fixed_hold": (
        "الحالات المُصلحة باقية: من {fixed} يجيب عنها البطل صوابًا فسد {broken} وأُصلح {mended} غيرها؛ يفسد {upper} "
        "على الأكثر (المسموح {limit})"
    ),
    "fixed_break": (
        "يُفسد من الحالات المُصلحة أكثر مما يُصلح: من {fixed} يجيب عنها البطل صوابًا فسد {broken} وأُصلح {mended} غيرها "
        "(نسبة ما يفسد {upper} على الأكثر، والمسموح {limit}): {ids}"
    ),
    "fixed_may_break": (
        "قد يفسد من الحالات المُصلحة أكثر مما يُسمح: من {fixed} يجيب عنها البطل صوابًا فسد {broken} وأُصلح {mended} "
        "غيرها (نسبة ما يفسد {upper} على الأكثر، والمسموح {limit}): {ids}"
    ),
    "critical_hold": "لم تفسد أي حالة من {cases} حالة حرجة",
    "critical_break": "يُفسد {count} من {cases} حالة حرجة لا يجوز أن يفسد منها شيء: {ids}",
    "nothing_lost": (
        "لم يضع شيء في {set}: {before} ← {after}، المكسب {gain} (فترة {confidence} من {lower} إلى {upper}، "
        "{examples} مثالًا)"
    ),
    "worse": (
        "أسوأ في {set}، أو لم يثبت غير ذلك: {before} ← {after}، المكسب {gain} (فترة {confidence} من {lower} إلى "
        "{upper}، {examples} مثالًا)؛ يجب أن يزيد الحد الأدنى على {least}"
    ),
    "no_guard": "لا مثال في أي مجموعة حارسة: لا يمكن إثبات أن شيئًا لم يُنسَ",
    "breaks": "يُفسد مجددًا {count} من {fixed} حالة مُصلحة: {ids}",
    "none_broken": "لم تفسد أي حالة من {fixed} حالة يجيب عنها البطل صوابًا",
    "plan_enough": (
        "{examples} صفًا من الاختبارات القديمة: تُرى كل خسارة قدرها {provable} أو أكثر؛ والمسموح بخسارته {bound} على "
        "الأكثر (promotion.delta)"
    ),
    "plan_few": (
        "{examples} صفًا من الاختبارات القديمة: لا يمكن استبعاد خسارة دون {provable}، لذلك يُسمح بخسارة {bound}؛ يكفي "
        "{needed} صفًا لتقليلها إلى {least}"
    ),
    "plan_too_few": (
        "{examples} صفًا فقط من الاختبارات القديمة: لا يمكن استبعاد خسارة دون {provable} والمسموح {bound} على الأكثر "
        "(promotion.delta)، فسيُرفض أكثر المرشّحين؛ يكفي {needed} صفًا"
    ),
    "plan_target": "{examples} صفًا من الملاحظات الجديدة للاختبار: قد لا يثبت مكسب دون {provable}",
    "plan_fixed": "{fixed} حالة مُصلحة: قد تفسد نسبة {limit} منها، ولا يجوز أن يفسد أكثر مما يُصلح",
    "need_corrections": "{count} تصحيحًا آخر من النوع نفسه",
    "need_corrections_one": "تصحيحٌ آخر من النوع نفسه",
    "need_guard_rows_one": "صفٌّ محجوز آخر من صفوف المهمة نفسها",
    "need_guard_rows": "{count} صفًّا محجوزًا آخر من صفوف المهمة نفسها",
    "need_look": "مراجعة شخصٍ للحالات {ids}",
    "unserved_one": "يكفي للحسم {need}",
    "unserved_two": "يكفي للحسم {need}، أو {other}",
    "unserved_three": "يكفي للحسم {need}، أو {other}، أو {own}",
    "unserved_none": "تتعلّمها الدورة القادمة من جديد مع ما يستجدّ",
    "introduced": "بُني من الصفر: يُقدَّم المرشّح ولا يُقارن ببطل",
    "parity": "لم يثبت أن التدريب والخدمة متطابقان: {what}",
    "quality_exact": "التطابق التام {mean} في {set}: {word}",
    "quality_similarity": "مقياس ROUGE-L هو {mean} في {set}: {word}",
    "poor": "رديء",
    "weak": "ضعيف",
    "fair": "مقبول",
    "good": "جيد",
    "beaten": "{word}؛ من يجب دائمًا بـ {answer} ينل {share}",
    "partly_valid": "{word}؛ السليم من الإجابات {share} فقط",
    "set_target": "تصحيحات هذه الدورة",
    "set_regression": "الإصلاحات السابقة",
    "set_critical": "الحالات الحرجة",
    "set_together": "كل الاختبارات القديمة معًا",
    "set_best": "كل الاختبارات القديمة منذ أفضل إصدار خدم",
    "set_replay": "الصفوف القديمة",
    "set_test": "النوع نفسه",
    "set_unseen": "صيغ لم تُرَ من قبل",
    "set_new": "عائلات جديدة",
    "set_new_unseen": "عائلات جديدة بصيغ لم تُرَ من قبل",
    "set_default": "الاختبار",
    "set_preferences": "تفضيلات محجوزة للاختبار",
    "promoted": "رُقّي، والسبب: {by}",
    "promoted_against": "رُقّي خلافًا للحكم، والسبب: {by}",
    "another_promoted": "لم يعد تجربة جزئية: رُقّي الإصدار {version}",
    "another_tried": "لم يعد تجربة جزئية: يُجرَّب الإصدار {version}",
    "rolled_back": "أُعيد منه إلى الإصدار {version}، والسبب: {by}",
    "brought_back": "أُعيد مكان الإصدار {version}، والسبب: {by}",
    "tried": "تجربة جزئية على {share} من الطلبات، والسبب: {by}",
    "refused": "رُفض: {why}",
    "withdrawn": "سُحب من التجربة الجزئية: {why}",
    "withdrawn_by": "سُحب من التجربة الجزئية، والسبب: {by}",
    "not_approved": "لم يوافق {by}",
    "not_approved_because": "لم يوافق {by}: {said}",
    "by_verdict": "الحكم",
    "by_verdict_and": "الحكم و{name}",
    "by_person": "قرار شخص",
    "by_first": "أنه الأول",
    "by_canary": "تجربته الجزئية: {why}",
    "fails_more": "يخفق أكثر: {own}؛ والبطل {other}",
    "fails_less": "يخفق أقل: {own}؛ والبطل {other}",
    "nothing_against": "لم يظهر ضده شيء في {answers} إجابة: {own}؛ والبطل {other}",
    "so_far": "{answers} من {wanted} إجابة: {own}؛ والبطل {other}",
    "failed": "أخفق في {share} من {answers} (من {lower} إلى {upper})",
    "no_answers": "لم يُجب بعد",
    "open_elsewhere": "هذه الإجابة مفتوحة الآن عند {reviewer}: خذ التالية",
    "not_open": "لم تعد هذه الإجابة مفتوحة لك: خذ التالية",
    "nothing_right": "يحتاج الإصلاح إلى الإجابة الصحيحة",
    "no_valid_answer": "ليست إجابة سليمة للمهمة {task}: {text}",
    "empty": "يجب ألا تكون الإجابة الصحيحة فارغة",
    "no_label": "{text} ليس من تصنيفات هذه المهمة، وهي: {labels}",
    "no_json": "ليس JSON سليمًا: {what}",
    "critical_full": (
        "بلغت الحالات الحرجة لهذه المهمة {count}، وهو أكثر ما يُسمح به (curate.critical_most): ألغِ علامة إحداها أولًا"
    ),
    "critical_unsure": "تحتاج الحالة الحرجة إلى إجابتها الصحيحة: اقبل الإجابة أو اكتب غيرها",
    "voted": "صوّت {voter} بـ {vote} على هذه المبارزة من قبل، والأصوات لا تُغيَّر",
}
"""What components say, by its code."""
