"""Stories cut in two at the end of the sentence nearest to their middle, as pairs for `itera eval --retrieval`.

    python story_halves.py valid.txt 1000 > halves.tsv        (stories end with a line <|endoftext|>)"""

import re
import sys

stories = open(sys.argv[1], encoding="utf-8").read().split("<|endoftext|>")
stories = [" ".join(story.split()) for story in stories]
left = int(sys.argv[2])
for story in stories:
    ends = [end.end() for end in re.finditer(r"[.!?][\"']?\s", story)]
    if ends and left > 0:
        cut = min(ends, key=lambda end: abs(end - len(story) / 2))
        print(story[:cut].strip(), story[cut:].strip(), sep="\t")
        left -= 1
sys.exit(f"{left} stories are missing" if left else 0)
