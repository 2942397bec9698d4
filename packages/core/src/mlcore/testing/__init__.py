"""What plugin authors test with: suites that an implementation passes when it keeps its contract.

Each suite is a module of its own (`mlcore.testing.stores`), needs no test framework, and works with pytest.
"""
