"""Writes prompts.jsonl: eight workers' prompts, each to a session whose ID follows from the worker's parameters.

    python examples/prompts.py > examples/prompts.jsonl

A worker that starts again computes the same session ID, and so goes on in the same conversation. The message IDs are
its own names for its prompts: whoever posts the file a second time gets the same answers, and nothing runs twice.
"""

import json
from collections.abc import Iterator
from typing import Any

from domain.ids import session_id_from

NAMESPACE = "promptq.examples"

WORKERS: list[tuple[dict[str, str], list[str]]] = [
    (
        {"worker": "guide", "city": "Lisboa"},
        [
            "Plan one slow day in Lisboa for somebody who dislikes queues.",
            "Replace the morning tram by a walk that ends with a view.",
            "Where along that walk is good coffee before nine?",
            "It may rain after lunch: name a museum that few people know.",
            "Write the day on a postcard, in forty words.",
        ],
    ),
    (
        {"worker": "reviewer", "repository": "harbor", "pull": "1482"},
        [
            "Review this change: the retry loop sleeps while it holds the lock.",
            "Which test would have caught it?",
            "Write that test so that it fails before the fix, and without sleeping.",
            "The author says that the lock is cheap. Answer kindly, with a number.",
            "Approve, and sum the discussion up in one sentence.",
        ],
    ),
    (
        {"worker": "translator", "from": "en", "to": "ja"},
        [
            "Translate for a museum label: “Please do not touch the whale.”",
            "鯨に触れないでください。 Is that too curt for a sign that children read?",
            "Give a warmer version in hiragana only.",
            "And one line for the gift shop: “Whales, from small to very small”.",
            "List the four translations with how each is read aloud.",
        ],
    ),
    (
        {"worker": "tutor", "subject": "tides", "pupil": "17"},
        [
            "Why are there two high tides a day and not one?",
            "But the Moon pulls only one way. What lifts the water on the far side?",
            "So why is high water fifty minutes later each day?",
            "Give me one exercise with numbers, and wait for my answer.",
            "I get 12 h 25 min. Is that right?",
        ],
    ),
    (
        {"worker": "cook", "kitchen": "allotment"},
        [
            "We have eleven courgettes, mint, and half a lemon. What is for dinner?",
            "One of us eats no gluten: which step changes?",
            "Scale it to nine people and two pans.",
            "What of it can be done the evening before?",
            "Make the shopping list, in the order of the market stalls.",
        ],
    ),
    (
        {"worker": "archivist", "box": "1911-07"},
        [
            "Date this letter: it mentions the coronation and “the hot July”.",
            "The postmark reads TORQ— and a 7. Which town is likely?",
            "Who is “the Commodore”, whom she will not name?",
            "List what we know, what we infer, and what we only wish.",
            "Write the catalogue entry, in the style of the last one.",
        ],
    ),
    (
        {"worker": "referee", "game": "chess", "board": "4"},
        [
            "White has flagged, and Black has only a bishop. What is the result?",
            "Is there any legal sequence that mates with that bishop?",
            "Then under which article is it a draw?",
            "White's captain appeals. What must I write down before the break?",
            "Draft the decision, two sentences, without adjectives.",
        ],
    ),
    (
        {"worker": "astronomer", "telescope": "0.4 m", "night": "2026-03-14"},
        [
            "Rank tonight's targets: M51, a comet at 18° altitude, and a variable star.",
            "Clouds until 23:40. Reorder them.",
            "How long must one exposure of the comet be, at most, to stay round?",
            "The guide star is lost at 01:12. Refocus or go on?",
            "Write the log of the night: times, targets, and what went wrong.",
        ],
    ),
]


def lines() -> Iterator[dict[str, Any]]:
    """Yield the prompts round by round: every worker's first, then every worker's second, and so on."""
    for turn in range(max(len(prompts) for _, prompts in WORKERS)):
        for parameters, prompts in WORKERS:
            yield {
                "session": session_id_from(NAMESPACE, parameters),
                "messageID": f"msg_{parameters['worker']}_{turn + 1}",
                "prompt": prompts[turn],
                "metadata": parameters,
            }


if __name__ == "__main__":
    for line in lines():
        print(json.dumps(line, ensure_ascii=False))
