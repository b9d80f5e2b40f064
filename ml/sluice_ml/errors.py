"""What the pure part can refuse, in its own words: `ml` imports nothing of the platform.

Every error is final: the same input gives the same end. Whoever calls `ml` may translate them; the message already says
what was wrong, where and what to do.
"""

from __future__ import annotations


class MlError(Exception):
    """Base of every error that `ml` raises.

    Args:
        what: one sentence naming the thing that is wrong and the value found.
        where: column, days, model or file at fault.
        todo: the next step for the person who reads it.
    """

    def __init__(self, what: str, *, where: str, todo: str) -> None:
        self.what, self.where, self.todo = what, where, todo
        super().__init__(what, where, todo)

    def __str__(self) -> str:
        return f"{self.what} Where: {self.where}. Next: {self.todo}."

    def __reduce__(self):
        return _rebuild, (type(self), self.what, self.where, self.todo)


def _rebuild(cls: type[MlError], what: str, where: str, todo: str) -> MlError:
    return cls(what, where=where, todo=todo)


class RowsUnusableError(MlError):
    """The rows cannot be trained on, compared or monitored: columns, days or classes are missing."""


class ModelDamagedError(MlError):
    """A registered model's file does not match the hash recorded when it was trained."""


class ModelUnknownError(MlError):
    """The registry has no such model version."""


class ScoresInvalidError(MlError):
    """A model gave scores that are no numbers, for rows that it can hold."""


class RowsLeakError(MlError):
    """Training rows show the model its own test, or what was not known yet."""


class FeaturesUnsoundError(MlError):
    """Columns that no model should learn from, such as an id or a copy of the label."""
