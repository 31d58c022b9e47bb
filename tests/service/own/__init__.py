"""Tests on services of their own, before those on the one of all others: beside that one each would be slower."""
