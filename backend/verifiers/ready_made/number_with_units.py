"""A number within a tolerance, in any of several units."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

VERIFIER = ReadyMade(
    id="number-with-units",
    name="Number with tolerance and units",
    use="Measured and computed quantities: 1.5 km equals 1500 m, and a deviation of 1 % is accepted.",
    grader={"type": "number", "tolerance": "1%", "units": {"km": 1000.0, "m": 1.0, "cm": 0.01}},
    examples=(
        Example({"answer": "1.5 km"}, "The way is 1500 m long.", 1.0),
        Example({"answer": "1.5 km"}, "1.51 km", 1.0),
        Example({"answer": "1.5 km"}, "1.5 m", 0.0),
        Example({"answer": "1.5 km"}, "1.5", 0.0),
        Example({"answer": "12"}, "12.05", 1.0),
    ),
)
