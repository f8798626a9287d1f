"""The word list, held against fingerprints that others have published with their words."""

from __future__ import annotations

import pytest

from qcall.agreement.sas import EVEN, ODD, words


@pytest.mark.parametrize("column", [EVEN, ODD], ids=["even", "odd"])
def test_a_column_is_256_different_words_almost_in_order(column: tuple[str, ...]) -> None:
    assert len({word.lower() for word in column}) == 256
    places = [column.index(word) for word in sorted(column, key=str.lower)]
    # As published, "applicant" comes before "Apollo".
    assert sum(place != wanted for wanted, place in enumerate(places)) == (2 if column is ODD else 0)


@pytest.mark.parametrize(
    ("value", "spoken"),
    [
        (  # the example of the PGPfone manual
            "E58294F2E9A227486E8B061B31CC528FD7FA3F19",
            "topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa afflict"
            " bravado chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless",
        ),
        (
            "D1D464C004F00FB5C9A4C8D8E433E7FB7FF56256",
            "stairway souvenir flytrap recipe adrift upcoming artist positive spearhead Pandora spaniel"
            " stupendous tonic concurrent transit Wichita lockup visitor flagpole escapade",
        ),
        (
            "EA5B81C564988C73EE90DEE9BAF1E07233CDE511",
            "Trojan exodus minnow resistor flytrap narrative offload hurricane tycoon millionaire tactics"
            " ultimate shadow vacancy tapeworm holiness chisel sandalwood topmost Babylon",
        ),
    ],
)
def test_published_fingerprints_read_as_published(value: str, spoken: str) -> None:
    assert words(bytes.fromhex(value)) == tuple(spoken.split())


def test_four_bytes_are_four_words() -> None:
    assert words(bytes(4)) == ("aardvark", "adroitness", "aardvark", "adroitness")
