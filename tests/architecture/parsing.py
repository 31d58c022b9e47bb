"""Python files, parsed."""

import ast
import gc


def parse(text: str) -> ast.Module:
    """Parse a file, without a garbage collection in the midst of it.

    What a collection runs may change the depth of the stack, which CPython 3.11 takes for an error of its parser:
    `SystemError: AST constructor recursion depth mismatch` (python/cpython#106905).
    """
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()
