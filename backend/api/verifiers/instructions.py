"""`/v1/verifiers/instructions`: instructions to the model that ask for the form that a verifier reads."""

from typing import Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from backend.api.http.bodies import RequestBody
from backend.api.http.dependencies import Database
from backend.api.http.operations import stores_nothing
from backend.api.http.rights import VerifiersRead
from backend.core.settings.measuring import MAX_EXAMPLES
from backend.jobs.create import require_file
from backend.jobs.examples import choose_examples, example_of
from backend.verifiers.instructions import fitting, instructions, worked_examples
from backend.verifiers.saved import resolve_grader
from backend.verifiers.specs import spec_json

router = APIRouter(prefix="/verifiers", tags=["verifiers"])


class InstructionsRequest(RequestBody):
    grader: dict[str, Any] = Field(description='A grader object, or {"type": "saved", "id", "version"?}.')
    training_file: str | None = Field(None, max_length=200, description="File from which examples are chosen.")
    examples: int = Field(0, ge=0, le=MAX_EXAMPLES, description="Number of rows to show as examples.")
    seed: int = Field(0, ge=0, lt=2**31, description="The job's seed.")


class InstructionObject(BaseModel):
    """A template. `fits`: whether it asks for the form that the verifier reads."""

    code: str
    title: str
    text: str
    fits: bool


class InstructionsObject(BaseModel):
    """Templates of instructions, the one that fits first. `examples` is a text to append to an instruction, of the rows
    `example_rows`, which then have to be named in the job's setting of that name.
    """

    object: Literal["verifier.instructions"] = "verifier.instructions"
    data: list[InstructionObject]
    examples: str
    example_rows: list[int]


@router.post("/instructions", dependencies=[Depends(stores_nothing)])
def suggest_instructions(body: InstructionsRequest, caller: VerifiersRead, session: Database) -> InstructionsObject:
    """Suggest instructions for a verifier, with rows of a file as examples if requested."""
    spec, _verifier = resolve_grader(session, body.grader, project=caller.project, param="grader")
    grader, chosen = spec_json(spec), []
    if body.training_file is not None:
        file = require_file(session, body.training_file, project=caller.project, param="training_file")
        chosen = choose_examples(session, file, count=body.examples, seed=body.seed)
    fits = fitting(grader)
    found = [
        InstructionObject(code=each.code, title=each.title, text=each.text, fits=each.code == fits)
        for each in instructions(grader)
    ]
    return InstructionsObject(
        data=sorted(found, key=lambda each: not each.fits),
        examples=worked_examples([example for row in chosen if (example := example_of(row))], grader),
        example_rows=[row.number for row in chosen],
    )
