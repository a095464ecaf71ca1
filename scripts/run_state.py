#!/usr/bin/env python3
"""Prints how a run folder stands.

finished: its last iteration is evaluated; diverged: its last logged loss is not finite; else unfinished.
"""
import json
import sys


def events(folder):
    """The lines of the log, up to one that a crash cut short."""
    try:
        with open(folder + "/log.jsonl", encoding="utf-8") as file:
            for line in file:
                try:
                    yield json.loads(line)
                except ValueError:
                    return
    except FileNotFoundError:
        return


def state(folder):
    with open(folder + "/config.json", encoding="utf-8") as file:
        iterations = json.load(file)["iterations"]
    evaluated, diverged = -1, False
    for event in events(folder):
        if event.get("event") == "eval":
            evaluated = max(evaluated, event["iteration"])
        elif event.get("event") == "step":
            diverged = event["loss"] is None
    if diverged:
        return "diverged"
    return "finished" if evaluated >= iterations else "unfinished"


if __name__ == "__main__":
    print(state(sys.argv[1]))
