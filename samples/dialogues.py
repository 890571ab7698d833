"""What the sample recordings say: short two-speaker dialogues, written for this project.

What belongs here: the words and the pauses. What does not: voices, codecs and keys
(``make_samples.py``, the only caller). Every word is in the en-us dictionary of pocketsphinx;
there are no digits and no names of people or companies.
"""

from __future__ import annotations

# Speaker, milliseconds of silence before the turn (negative: the turn starts before the other
# speaker is done), words.
Turn = tuple[str, int, str]

DIALOGUES: dict[str, tuple[Turn, ...]] = {
    "delivery": (
        ("A", 300, "hello i am waiting for a package that should have been here yesterday"),
        ("B", 500, "the driver will be at your house this afternoon"),
    ),
    "appointment": (
        ("A", 300, "i would like to see the doctor today"),
        ("B", 600, "we have an open time after breakfast"),
    ),
    "insurance": (
        ("A", 300, "a tree fell on the roof of my car during the storm last night"),
        ("B", 450, "i am sorry to hear that was anybody hurt"),
        ("A", 550, "everybody is safe but the window is broken"),
        ("B", 500, "please send us some pictures and we will open a claim today"),
    ),
    "kitchen": (
        ("A", 300, "the water in the kitchen has been running all day"),
        ("B", 500, "please turn it off behind the washing machine"),
        ("A", 600, "i have done that but there is water under the table"),
        ("B", 400, "a plumber can be there before the end of the day"),
    ),
    "budget": (
        ("A", 300, "the numbers for this month look better than we expected"),
        ("B", 550, "yes but the cost of energy is still a problem"),
        ("A", 450, "then we should ask the people who work in that building"),
    ),
    "launch": (
        ("A", 300, "are we ready to show the new product to our customers"),
        ("B", 500, "the design is finished but we still have to test it next week"),
        ("A", 600, "then we should wait and give them something good"),
    ),
    "planning": (
        ("A", 300, "we have to move the meeting with the finance department to monday"),
        ("B", -300, "monday is a holiday so tuesday would be better for everyone"),
        ("A", 500, "please send everyone an invitation this afternoon"),
    ),
    "baker": (
        ("A", 300, "when did you decide to become a baker"),
        ("B", 600, "my mother made bread every sunday and i always wanted to help her"),
        ("A", 450, "what is difficult about your work"),
        ("B", 500, "we start in the middle of the night while everyone is asleep"),
    ),
    "teacher": (
        ("A", 300, "what do your students learn in the first year"),
        ("B", 500, "they read a lot of stories and then they write their own"),
        ("A", 600, "and what have they taught you in return"),
        ("B", 450, "that every question is worth the time it takes to answer"),
    ),
    "hotel": (
        ("A", 300, "we would like a quiet room with a view of the garden"),
        ("B", 500, "how many nights would you like to stay with us"),
        ("A", 450, "from friday until the end of the following week"),
        ("B", 600, "we have a large room on the second floor and breakfast is included"),
    ),
}
