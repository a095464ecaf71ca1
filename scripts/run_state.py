#!/usr/bin/env python3
"""Prints "finished" or "unfinished" for a run folder: has it logged its last iteration's evaluation?"""
import json
import sys


def main():
    folder = sys.argv[1]
    reached = -1
    with open(folder + "/config.json", encoding="utf-8") as file:
        iterations = json.load(file)["iterations"]
    try:
        with open(folder + "/log.jsonl", encoding="utf-8") as file:
            for line in file:
                try:
                    event = json.loads(line)
                except ValueError:
                    break  # the line that a crash cut short
                if event.get("event") == "eval":
                    reached = max(reached, event["iteration"])
    except FileNotFoundError:
        pass
    print("finished" if reached >= iterations else "unfinished")


if __name__ == "__main__":
    main()
