"""How a callable is called: its parameters matched with the known signatures (signatures.py). Pure.

The parameters come from the source when a verifier is saved (entry_points.py), and from the callable itself in the
sandbox (worker/sandbox/callables.py), which has the last word.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from backend.errors import AppError
from backend.verifiers.signatures import SIGNATURES, Signature

OF_BATCH_TRAINERS = {
    "trainer_state": "the state of TRL's trainer",
    "completion_ids": "token ids",
    "completions_ids": "token ids",
    "prompt_ids": "token ids",
    "response_token_ids": "token ids",
    "log_extra": "TRL's logger",
    "log_metric": "TRL's logger",
    "environments": "TRL's environments",
}
"""Parameters of a batch function that only a trainer can fill; others are columns."""
ONLY_IN_A_TRAINER = OF_BATCH_TRAINERS | {
    "parser": "a parser of the verifiers library",
    "state": "the state of a rollout of the verifiers library",
}
"""Parameters that other trainers fill and a verifier here cannot have."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters that a callable still takes. `required` have no default; `every`: any other keyword is accepted."""

    positional: tuple[str, ...] = ()
    keyword_only: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    every: bool = False
    positional_only: frozenset[str] = frozenset()

    @property
    def accepted(self) -> tuple[str, ...]:
        """Those that can be given by name."""
        return tuple(name for name in (*self.positional, *self.keyword_only) if name not in self.positional_only)

    @property
    def shown(self) -> str:
        by_position = [name for name in self.positional if name in self.positional_only]
        by_name = [name for name in self.positional if name not in self.positional_only]
        slash, rest = ["/"] if by_position else [], ["**"] if self.every else []
        return ", ".join((*by_position, *slash, *by_name, *self.keyword_only, *rest))

    @property
    def generic(self) -> bool:
        """Whether it takes whatever it is given, as a wrapper does."""
        return self.every and not self.positional and not self.keyword_only

    def given(self, count: int, names: frozenset[str] = frozenset()) -> "Parameters":
        """Return what is left when the first `count` are given, and those of these `names` have a default."""
        first = set(self.positional[:count])
        return replace(
            self,
            positional=tuple(name for name in self.positional if name not in first),
            required=self.required - first - names,
        )

    def to_json(self) -> dict[str, object]:
        return {
            "positional": self.positional,
            "keyword_only": self.keyword_only,
            "required": sorted(self.required),
            "every": self.every,
            "positional_only": sorted(self.positional_only),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, object]) -> "Parameters":
        names = {name: value for name, value in fields.items() if isinstance(value, list)}
        return cls(
            positional=tuple(names["positional"]),
            keyword_only=tuple(names["keyword_only"]),
            required=frozenset(names["required"]),
            every=fields["every"] is True,
            positional_only=frozenset(names["positional_only"]),
        )


@dataclass(frozen=True, slots=True)
class Call:
    """What a signature gives a callable. `arguments`: parameter -> value (worker/sandbox/values.py), of those it
    accepts.
    """

    signature: Signature
    arguments: Mapping[str, str]
    required_columns: tuple[str, ...] = ()
    optional_columns: tuple[str, ...] = ()
    every_column: bool = False


def fitting(parameters: Parameters) -> Call | None:
    """Return the call by the first signature that fits, None if none does."""
    accepted, required = parameters.accepted, parameters.required
    if not required <= set(accepted):
        return None
    for signature in SIGNATURES:
        known = set(signature.arguments)
        if not signature.least <= set(accepted) or known.isdisjoint(accepted):
            continue
        if not signature.columns:
            if required <= known:
                return Call(signature, _arguments(signature, accepted))
        elif required.isdisjoint(OF_BATCH_TRAINERS):
            columns = [name for name in accepted if name not in known and name not in OF_BATCH_TRAINERS]
            return Call(
                signature,
                _arguments(signature, accepted),
                required_columns=tuple(name for name in columns if name in required),
                optional_columns=tuple(name for name in columns if name not in required),
                every_column=parameters.every,
            )
    return None


def require_fitting(parameters: Parameters, *, name: str, line: int) -> Call:
    """Return the call. Raises AppError(400) that names the parameter that nothing fills, or the known signatures."""
    call = fitting(parameters)
    if call is not None:
        return call
    called = f"Line {line}: '{name}({parameters.shown})'"
    for parameter in _only_in_a_trainer(parameters):
        raise AppError(
            f"{called} asks for '{parameter}', {ONLY_IN_A_TRAINER[parameter]}, which no verifier gets here: leave it "
            "out, or give it a default.",
            code="unknown_signature",
            param=parameter,
        )
    if parameters.positional[:1] == ("self",):
        raise AppError(
            f"{called} is a method without its object: call it on an instance, such as 'grade = Class().method'.",
            code="unknown_signature",
        )
    shown = ", ".join(signature.shown for signature in SIGNATURES)
    raise AppError(f"{called} has parameters that no known signature has; there are {shown}.", code="unknown_signature")


def _arguments(signature: Signature, accepted: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in signature.arguments.items() if name in accepted}


def _only_in_a_trainer(parameters: Parameters) -> Iterator[str]:
    yield from sorted(parameters.required & ONLY_IN_A_TRAINER.keys())
