"""The tree of receipts is that of RFC 9162: its definition, written down word for word, is the oracle."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.receipts.salts import SALT_BYTES, salts
from jobs.receipts.tree import leaf, path, root, root_by_path, salted_leaves

#: The test vectors of the implementations of Certificate Transparency: leaves, and the root over the first n of them.
VECTORS = (
    ("", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
    ("00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
    ("10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
    ("2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
    ("3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
    ("40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
    ("5051525354555657", "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
    ("606162636465666768696a6b6c6d6e6f", "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def split(size: int) -> int:
    """Return the largest power of two smaller than a size."""
    return 1 << (size - 1).bit_length() - 1


def tree_hash(entries: list[bytes]) -> bytes:
    """MTH(D_n) of section 2.1.1."""
    if not entries:
        return sha256(b"")
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0])
    k = split(len(entries))
    return sha256(b"\x01" + tree_hash(entries[:k]) + tree_hash(entries[k:]))


def audit_path(m: int, entries: list[bytes]) -> list[bytes]:
    """PATH(m, D_n) of section 2.1.3.1."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*audit_path(m, entries[:k]), tree_hash(entries[k:])]
    return [*audit_path(m - k, entries[k:]), tree_hash(entries[:k])]


def some(count: int) -> list[bytes]:
    return [b"%d" % index for index in range(count)]


@pytest.mark.parametrize("count", range(1, 9))
def test_the_roots_are_those_of_the_test_vectors(count: int) -> None:
    assert root([leaf(bytes.fromhex(data)) for data, _ in VECTORS[:count]]).hex() == VECTORS[count - 1][1]


def test_a_tree_without_leaves_has_the_root_of_nothing() -> None:
    assert root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("count", [*range(1, 70), 127, 128, 129])
def test_roots_and_paths_are_those_of_the_definition(count: int) -> None:
    entries = some(count)
    leaves = list(map(leaf, entries))
    assert root(leaves) == tree_hash(entries)
    for index in {0, count // 3, count // 2, count - 1}:
        assert path(leaves, index) == audit_path(index, entries)


@given(st.integers(1, 40), st.integers(0, 4))
def test_roots_of_perfect_subtrees_stand_for_their_leaves(count: int, level: int) -> None:
    leaves, size = list(map(leaf, some(count))), 1 << level
    parts = [leaves[start : start + size] for start in range(0, count, size)]
    roots = list(map(root, parts))
    assert root(roots) == root(leaves)
    for index in range(count):
        part, place = divmod(index, size)
        assert [*path(parts[part], place), *path(roots, part)] == path(leaves, index)


@given(st.data())
def test_a_path_leads_to_the_root_from_its_own_place_alone(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, count - 1))
    leaves = list(map(leaf, some(count)))
    steps, top = path(leaves, index), root(leaves)
    assert root_by_path(leaves[index], index, count, steps) == top
    other = data.draw(st.integers(-1, count + 1).filter(lambda one: one != index))
    assert root_by_path(leaves[index], other, count, steps) != top
    assert root_by_path(leaves[index], index, count, [*steps, bytes(32)]) != top
    assert root_by_path(leaves[(index + 1) % count], index, count, steps) != top or count == 1
    if steps:
        gone = data.draw(st.integers(0, len(steps) - 1))
        assert root_by_path(leaves[index], index, count, [*steps[:gone], *steps[gone + 1 :]]) != top
        assert root_by_path(leaves[index], index, count, [*steps[:gone], bytes(32), *steps[gone + 1 :]]) != top


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**31), st.integers(1, 50))
def test_salts_do_not_depend_on_how_many_are_asked_for_at_a_time(seed: bytes, first: int, count: int) -> None:
    together = salts(seed, first, count)
    assert together == b"".join(salts(seed, first + at, 1) for at in range(count))
    assert len({together[at : at + SALT_BYTES] for at in range(0, len(together), SALT_BYTES)}) == count
    lines = some(count)
    assert salted_leaves(lines, together, SALT_BYTES) == [
        leaf(salts(seed, first + at, 1) + line) for at, line in enumerate(lines)
    ]


def test_a_salt_is_its_number_encrypted_under_the_seed() -> None:
    # As `openssl enc -aes-256-ecb -nopad` encrypts 0 and 1.
    assert salts(bytes(range(32)), 0, 2).hex() == "f29000b62a499fd0a9f39a6add2e7780f05d76ae4ab99fe5a6f69b3148c2363d"
