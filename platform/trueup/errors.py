"""Errors that name the thing, what came, what was expected and what to do next.

A `TrueupError` is for a person: the command line prints it without a traceback and exits with 2
(could not run). A check that ran and failed is not an error; it exits with 1.
"""

from __future__ import annotations


class TrueupError(Exception):
    """Something the caller can mend. `str(error)` is the whole message, hint included."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class InputError(TrueupError):
    """A value from outside (a request, a file, an option) that cannot be used. `field` says which."""

    def __init__(self, field: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class ContractError(TrueupError):
    """A definition that is not what a model, a log or a store was made for."""


class SourceError(TrueupError):
    """A data source that cannot be read, or that contradicts itself (two rows, one key, both clocks equal)."""


class StoreError(TrueupError):
    """An online or offline store that cannot be reached or answered something impossible."""


class UnavailableError(StoreError):
    """A store that cannot be reached now, or did not answer in time. The same request may succeed later."""


class ModelError(TrueupError):
    """A model, run or alias that cannot be found or used."""


class DatasetError(TrueupError):
    """A training snapshot that cannot be found, built or trusted."""


class GateError(TrueupError):
    """A verdict, a key or a promotion that cannot be used."""
