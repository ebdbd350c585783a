"""The prompt families: their texts, and the kinds of lines that they ask for.

A changed text needs a new version: journals are keyed by it.
"""

from __future__ import annotations

from dataset_builder.prompts import PromptFamily, Sheet

# Kinds of job-ad lines, as in the column `style`.
REQUIREMENT = "requirement"
DUTY = "duty"
BULLET = "bullet"
TOOLS = "tools"
IMPLICIT = "implicit"
EXPLICIT = "explicit"
SENTENCE = "sentence"
STYLES = (REQUIREMENT, DUTY, BULLET, TOOLS, IMPLICIT, EXPLICIT, SENTENCE)
BULLET_STYLES = frozenset({BULLET, TOOLS})

_TASK = (
    "You write lines for job ads. Each line must need the given skill. Use concrete words from the work itself rather "
    "than the skill's name."
)

_STYLED = PromptFamily(
    name="styled",
    version="1.0",
    sheets=(
        Sheet(
            system=f"{_TASK} Answer with 4 numbered lines: requirement, duty, short bullet, sentence that implies it.",
            examples=(
                (
                    "Skill: manage budgets (Plan, monitor and report on the budget)",
                    "1. At least two years in a role in which you were responsible for what is spent.\n"
                    "2. You plan the yearly costs of our three clinics and explain differences to the board.\n"
                    "3. Cost planning and monthly financial reports\n"
                    "4. Our projects must never cost more than agreed, and you see to that.",
                ),
                (
                    "Skill: JavaScript (The techniques and principles of software development in JavaScript)",
                    "1. Solid knowledge of modern front-end programming, ideally with React.\n"
                    "2. You build the interactive parts of our web shop and review your colleagues' code.\n"
                    "3. ES6+, Node.js and unit tests in Jest\n"
                    "4. Visitors can sort and filter without loading the page again, thanks to what you write.",
                ),
            ),
            styles=(REQUIREMENT, DUTY, BULLET, IMPLICIT),
        ),
        Sheet(
            system=f"{_TASK} Answer with 4 numbered lines: full sentence, tools and methods, requirement, duty.",
            examples=(
                (
                    "Skill: care for animals (Feed and clean animals and watch over their health)",
                    "1. Our farm is home to forty horses, and your working day starts with feeding them.\n"
                    "2. Milking robots, feed plans, health records\n"
                    "3. Experience with cattle or dogs, on a farm, in a shelter or at a vet's practice.\n"
                    "4. Cleans the stables and reports signs of illness.",
                ),
                (
                    "Skill: contract law (Legal principles that govern written agreements between parties)",
                    "1. When a supplier does not deliver as promised, you tell our buyers what they can claim.\n"
                    "2. NDAs, service agreements, warranty clauses\n"
                    "3. Degree in law with a focus on commercial agreements.\n"
                    "4. Drafts terms with partners and negotiates changes before they are signed.",
                ),
            ),
            styles=(SENTENCE, TOOLS, REQUIREMENT, DUTY),
        ),
    ),
)

_PAPER = PromptFamily(
    name="paper",
    version="1.0",
    sheets=(
        Sheet(
            system=(
                "You write sentences as they stand in job ads. Write 10 different sentences, numbered 1 to 10, that "
                "each ask for the given skill. Do not always use the skill's name."
            ),
            examples=(),
            styles=(SENTENCE,) * 10,
        ),
    ),
)

_CO_MENTION = PromptFamily(
    name="co-mention",
    version="1.0",
    sheets=(
        Sheet(
            system=(
                "You write lines for job ads. Each line must need all the given skills at once, in concrete words "
                "from the work itself. Answer with 2 numbered lines: requirement, duty."
            ),
            examples=(
                (
                    "Skills: manage budgets (Plan, monitor and report on the budget); lead a team (Lead and motivate "
                    "a group of people)",
                    "1. You have headed a group of at least five people and were responsible for its costs.\n"
                    "2. Motivates our twelve nurses and plans what the ward may spend each year.",
                ),
                (
                    "Skills: JavaScript (The principles of software development in JavaScript); unit testing (Check "
                    "single parts of a program); use version control (Keep track of changes to code)",
                    "1. Solid front-end programming with React, Git and Jest.\n"
                    "2. You write the interactive parts of our shop, cover them with tests and merge them daily.",
                ),
            ),
            styles=(REQUIREMENT, DUTY),
            user="Skills: {skill}",
        ),
    ),
    skills_per_request=3,
)

_IN_OCCUPATION = PromptFamily(
    name="in-occupation",
    version="1.1",
    sheets=(
        Sheet(
            system=(
                "You write lines for a job ad in the given field. Each line must need the given skill. Answer with 4 "
                "numbered lines: requirement of at most 8 words that names the skill, duty of at least 20 words, "
                "short bullet, sentence that implies it."
            ),
            examples=(
                (
                    "Skill: manage budgets (Plan, monitor and report on the budget)\nField: clinic manager",
                    "1. Experience in managing budgets of a clinic.\n"
                    "2. Together with the head nurses you decide each autumn what the wards may spend on staff, drugs "
                    "and equipment, and you tell the board every month where we stand.\n"
                    "3. Yearly cost plan and monthly financial report\n"
                    "4. If a new scanner turns out dearer than agreed, you find what else can wait until spring.",
                ),
                (
                    "Skill: JavaScript (The techniques and principles of software development in JavaScript)\n"
                    "Field: user interface developer",
                    "1. Strong command of modern JavaScript and React.\n"
                    "2. From the first sketch to the last bug fix you write the interactive parts of our booking pages "
                    "and keep them quick in every browser that our guests use.\n"
                    "3. TypeScript, Node.js, unit tests in Jest\n"
                    "4. Visitors can drag and sort their seats without loading the page again.",
                ),
            ),
            styles=(EXPLICIT, DUTY, BULLET, IMPLICIT),
            user="Skill: {skill}\nField: {occupation}",
        ),
    ),
    names_occupation=True,
)

# Real sentences share about half of the words of the skills that they are labelled with; `styled` asks for none.
_FULL_TASK = (
    "You write sentences for job ads. Each sentence must need the given skill and have 12 to 25 words. Say what is "
    "done, with what and for whom. Answer with 6 numbered sentences, built in different ways: the first three use "
    "words of the skill's name in other forms, the last three other words for it."
)

_FULL_SENTENCE = PromptFamily(
    name="full-sentence",
    version="1.0",
    sheets=(
        Sheet(
            system=_FULL_TASK,
            examples=(
                (
                    "Skill: manage budgets (Plan, monitor and report on the budget)",
                    "1. The ideal candidate has managed the budget of a clinic or school and can explain every "
                    "difference to its board.\n"
                    "2. You are in charge of budgeting for three wards, from the first plan in autumn to the final "
                    "report.\n"
                    "3. Strong budget management skills are a must, since our projects run on public money and are "
                    "audited yearly.\n"
                    "4. We need somebody who plans what may be spent on staff and drugs and watches it every "
                    "month.\n"
                    "5. Experience in cost planning and financial reporting, preferably in a hospital with several "
                    "departments.\n"
                    "6. Together with the head nurses you make sure that new equipment never costs more than was "
                    "agreed.",
                ),
                (
                    "Skill: JavaScript (The techniques and principles of software development in JavaScript)",
                    "1. Several years of programming in JavaScript for large websites, and a portfolio that you are "
                    "glad to show.\n"
                    "2. Our developers write clean JavaScript code and review each other's work before it reaches "
                    "customers.\n"
                    "3. You know JavaScript frameworks such as React or Vue well enough to choose between them for a "
                    "new shop.\n"
                    "4. Proven experience in front-end development, with modular scripts that run fast in every "
                    "browser.\n"
                    "5. You will build the interactive parts of our booking pages and test them with Jest.\n"
                    "6. Thanks to you visitors can filter and sort their seats without loading the page a second time.",
                ),
            ),
            styles=(REQUIREMENT, DUTY, EXPLICIT, SENTENCE, REQUIREMENT, IMPLICIT),
        ),
        Sheet(
            system=_FULL_TASK,
            examples=(
                (
                    "Skill: care for animals (Feed and clean animals and watch over their health)",
                    "1. You take care of the forty animals on our farm, feed them twice a day and keep their boxes "
                    "clean.\n"
                    "2. Candidates need experience in animal care, for instance from a shelter, a zoo or a vet's "
                    "practice.\n"
                    "3. Caring for sick or young animals at night and on weekends is part of this job.\n"
                    "4. We look for a person with a good eye for the health of horses, cattle and dogs.\n"
                    "5. Your working day starts with milking and feeding, and ends with a walk through all the "
                    "stables.\n"
                    "6. You tell the vet at once when a cow limps, stops eating or looks unwell.",
                ),
                (
                    "Skill: contract law (Legal principles that govern written agreements between parties)",
                    "1. A degree in law with a focus on contracts, and some years in the legal team of a trading "
                    "company.\n"
                    "2. You advise our buyers on the law of contracts when a supplier delivers late or not at all.\n"
                    "3. Sound contractual and legal knowledge is needed to draft terms that hold in court.\n"
                    "4. You negotiate agreements with partners abroad and see to it that each clause protects us.\n"
                    "5. Familiar with warranties, liability and termination, as they come up in service agreements.\n"
                    "6. Before anything is signed, the paper lands on your desk and you point out what may cost us "
                    "dearly.",
                ),
            ),
            styles=(DUTY, REQUIREMENT, EXPLICIT, REQUIREMENT, DUTY, IMPLICIT),
        ),
    ),
)

FAMILIES = {family.name: family for family in (_STYLED, _PAPER, _CO_MENTION, _IN_OCCUPATION, _FULL_SENTENCE)}
