"""The rule tables of an invented company, and chains of look-ups through them.

A *fact* is one line of a table: ``(subject, relation) -> value``. A *chain* starts at an item and follows relations
from value to value; only the last value is the answer. Every fact also has one *decoy*, its value in the outdated
edition. This module defines the tables, the text of questions and solutions, and the split into training and held-out
chains; it trains nothing.
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

Fact: TypeAlias = tuple[str, str]
"""Subject and relation: the key of one line of the handbook."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ENTITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "item": _names(
        "anvil axle beaker blower boiler bracket burner cable chisel clamp compass coupler dryer filter flange funnel "
        "gasket hammer heater hinge hoist kettle ladder lathe magnet mixer nozzle pallet piston pulley sensor spindle "
        "switch turbine valve winch"
    ),
    "category": _names(
        "abrasives bearings casting drives electrics fasteners glassware hydraulics lifting optics plumbing seals "
        "tooling ventilation"
    ),
    "supplier": _names(
        "Aldous Brenner Corvin Dunmore Eskil Farrow Gantry Holbein Ivarsen Jessop Kestrel Lindqvist Morrow Norden"
    ),
    "warehouse": _names("Ashford Bexley Calder Dalton Elmwood Foxhill Granby Harrow Ilford Kelso"),
    "buyer": _names("Agnes Bruno Clara Doris Edgar Felix Greta Hugo Irene Jonas"),
    "region": _names("alpine baltic coastal delta eastern fenland gulf highland inland jura"),
    "contract": _names("annual blanket consignment dedicated exclusive framework guaranteed hourly indexed joint"),
    "duty": _names("amber bronze copper denim ebony fawn golden hazel indigo jade"),
    "tier": _names("clerk foreman planner steward warden deputy manager director"),
    "cycle": _names("daily weekly monthly quarterly spring summer autumn winter"),
    "seal": _names("anchor badger crane dolphin eagle falcon griffin heron"),
    "form": _names("alpha beta gamma kappa lambda omega sigma theta"),
}
"""Names by kind. No name is used twice, so a name determines its kind."""

RELATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "item": ("category", "supplier"),
    "category": ("duty", "warehouse", "buyer"),
    "supplier": ("region", "contract", "buyer"),
    "duty": ("tier", "cycle"),
    "warehouse": ("tier", "cycle"),
    "buyer": ("tier", "cycle"),
    "region": ("tier", "cycle"),
    "contract": ("tier", "cycle"),
    "tier": ("seal",),
    "cycle": ("form",),
}
"""The tables of each kind. A relation is named after the kind of its values."""

ENDS: Final = ("tier", "cycle", "seal", "form")
"""Relations that a chain may end with: the first two after three look-ups, the others after four."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A question: where to start and which relations to follow, in this order."""

    item: str
    relations: tuple[str, ...]

    @property
    def question(self) -> str:
        """The question's text."""
        first, *others = self.relations
        steps = "".join(f", then the {relation}" for relation in others)
        return f"Start at {self.item}. Look up the {first}{steps}."


@dataclass(frozen=True, slots=True)
class Handbook:
    """The true facts, and the decoy of each."""

    facts: Mapping[Fact, str]
    decoys: Mapping[Fact, str]

    def walk(self, chain: Chain) -> list[Fact]:
        """Return the facts that the right solution of a chain uses, in order."""
        subject, used = chain.item, []
        for relation in chain.relations:
            used.append((subject, relation))
            subject = self.facts[subject, relation]
        return used

    def answer(self, chain: Chain) -> str:
        """Return the last value of a chain."""
        return self.facts[self.walk(chain)[-1]]

    def solution(self, chain: Chain) -> str:
        """Write the right reasoning, in the form that a model should produce."""
        return narrate((subject, relation, self.facts[subject, relation]) for subject, relation in self.walk(chain))

    def outdated_solution(self, chain: Chain, rng: random.Random) -> str:
        """Write the reasoning by an outdated edition: each fact is right or its decoy, with equal probability."""
        subject, steps = chain.item, []
        for relation in chain.relations:
            edition = self.facts if rng.random() < 0.5 else self.decoys
            value = edition[subject, relation]
            steps.append((subject, relation, value))
            subject = value
        return narrate(steps)


def narrate(steps: Iterable[tuple[str, str, str]]) -> str:
    """Write look-ups as sentences, one per line, with the last value repeated as the answer."""
    lines, value = [], ""
    for subject, relation, value in steps:
        lines.append(f"The {relation} of {subject} is {value}.")
    return "\n".join([*lines, f"Answer: {value}"])


def write_handbook(rng: random.Random) -> Handbook:
    """Generate the tables. The values of a table are used equally often, as far as possible."""
    facts: dict[Fact, str] = {}
    decoys: dict[Fact, str] = {}
    for kind, relations in RELATIONS.items():
        for relation in relations:
            subjects, values = ENTITIES[kind], ENTITIES[relation]
            spread = [values[i % len(values)] for i in range(len(subjects))]
            rng.shuffle(spread)
            for subject, value in zip(subjects, spread, strict=True):
                facts[subject, relation] = value
                decoys[subject, relation] = rng.choice([other for other in values if other != value])
    return Handbook(facts=facts, decoys=decoys)


def routes(kind: str = "item") -> Iterator[tuple[str, ...]]:
    """Enumerate the paths from a kind to one of `ENDS`, of three or four relations."""
    for relation in RELATIONS.get(kind, ()):
        if relation in ENDS:
            yield (relation,)
        for rest in routes(relation):
            yield (relation, *rest)


def every_chain() -> list[Chain]:
    """List all possible chains, in a fixed order."""
    return [Chain(item, route) for item in ENTITIES["item"] for route in routes()]


def split_chains(
    handbook: Handbook, *, train: int, held_out: int, rng: random.Random
) -> tuple[list[Chain], list[Chain]]:
    """Split chains into training and held-out ones: disjoint, and the training chains cover all held-out facts.

    ValueError if there are too few chains, or too few whose facts the training chains cover.
    """
    chains = every_chain()
    rng.shuffle(chains)
    if train + held_out > len(chains):
        raise ValueError(f"train + held_out is {train + held_out}, but there are only {len(chains)} chains")
    train_chains = chains[:train]
    known = {fact for chain in train_chains for fact in handbook.walk(chain)}
    covered = [chain for chain in chains[train:] if known.issuperset(handbook.walk(chain))]
    if len(covered) < held_out:
        raise ValueError(
            f"only {len(covered)} chains use facts of the {train} training chains, but held_out is {held_out}"
        )
    return train_chains, covered[:held_out]
