"""The tree over a list, and proofs that something is in it."""

from hashlib import sha256

import pytest

from ci_migrate.approval.merkle import is_in, list_digest, proofs


def entries(count):
    return [f"entry {number}".encode() for number in range(count)]


def test_it_is_the_tree_of_rfc_9162():
    """As its section 2.1.1 defines it: split where the left part is the largest power of two."""

    def tree(found):
        if len(found) == 1:
            return sha256(b"\0" + found[0]).digest()
        left = 1 << (len(found) - 1).bit_length() - 1
        return sha256(b"\1" + tree(found[:left]) + tree(found[left:])).digest()

    for count in range(1, 40):
        assert list_digest(entries(count)) == tree(entries(count)).hex()


@pytest.mark.parametrize("count", [*range(1, 18), 31, 32, 33, 500])
def test_what_is_in_the_list_is_proven_and_nothing_else(count):
    found = entries(count)
    root, ways = list_digest(found), proofs(found)
    for number, (entry, way) in enumerate(zip(found, ways, strict=True)):
        assert is_in(entry, number, count, way, root)
        assert not is_in(entry + b"x", number, count, way, root)
        assert not is_in(entry, number, count, (*way, b"\0" * 32), root)
        if way:
            assert not is_in(entry, number, count, way[1:], root)
            assert not is_in(entry, number, count, (b"\0" * 32, *way[1:]), root)
            assert not is_in(entry, (number + 1) % count, count, way, root)
    for number, size in ((-1, count), (count, count), (0, 0)):
        assert not is_in(found[0], number, size, ways[0], root)


def test_a_node_is_no_entry():
    """The hash of an inner node, given as an entry, would be one of a shorter list."""
    found = entries(4)
    left = b"".join(sha256(b"\0" + one).digest() for one in found[:2])
    right = proofs(found)[0][1]
    assert not is_in(left, 0, 2, (right,), list_digest(found))
    assert not is_in(left, 0, 4, (right,), list_digest(found))


def test_any_change_of_the_list_is_another_digest():
    found = entries(9)
    others = [found[:-1], found[1:], [*found, found[-1]], [found[1], found[0], *found[2:]]]
    assert list_digest(found) not in {list_digest(other) for other in others}
