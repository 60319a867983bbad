"""Every error that the tool raises on purpose.

LadderError                 message says what happened and what to do next
├── CurriculumError         curriculum.yaml, a roadmap or a manifest is wrong (file and line)
├── LessonError             a lesson, solution or grader does not fit together
├── ContentError            a day, exercise or check that does not exist was asked for
├── WireError               an observation that may not cross the process border
├── WorkError               the learner's folder is not in a state to do what was asked
├── KernelFileError         a kernel's file cannot be judged
├── DataError               a data set could not be had whole and verified
└── CheckFailed             a check failed while LADDER_STRICT=1 (solved notebooks in CI)
"""


class LadderError(Exception):
    """Base of all; the command line prints it without a traceback and exits 2."""


class CurriculumError(LadderError): ...


class LessonError(LadderError): ...


class ContentError(LadderError): ...


class WireError(LadderError): ...


class WorkError(LadderError): ...


class KernelFileError(LadderError): ...


class DataError(LadderError): ...


class CheckFailed(LadderError): ...
