"""The kernel judge: lint, strict interpretation, proof of work, compile gate, static facts, verdict.

A grader imports from :mod:`ladder.kernel_judge.bridge`; ``ladder kernel FILE`` prints it all. Nothing here
imports Triton until a kernel is judged.
"""
