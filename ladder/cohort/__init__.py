"""A course of many learners: publishing days into nbgrader, and grading what comes back.

``course`` writes the course; ``restore``, ``execute`` and ``grading`` are what nbgrader calls when
the instructor runs ``nbgrader autograde``; ``guard`` and ``scan`` keep the day's answer out of the
learner's kernel. Not called ``nbgrader``, so that this name means the package everywhere.

Places for what comes later: repair of broken submissions beside ``restore`` (before nbgrader reads
a notebook), the sandbox where ``execute`` starts its kernel, parallel runs above ``execute``.
"""
