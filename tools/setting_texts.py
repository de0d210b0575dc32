"""The sentence that stands under each setting in the source, which Python does not keep."""

import ast
import inspect
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

from config.reference import Setting


def text_of(setting: Setting) -> str:
    """Return what a setting is, in one sentence; empty if nothing stands under it."""
    name = setting.path[-1]
    return next((texts[name] for texts in map(_texts, setting.section.__mro__) if name in texts), "")


@cache
def _texts(kind: type) -> dict[str, str]:
    """Return the texts under the fields of a class, without those that it inherits."""
    return dict(_found(ast.parse(inspect.getsource(kind)))) if kind.__module__.startswith("config.") else {}


def _found(tree: ast.Module) -> Iterator[tuple[str, str]]:
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    for field, below in pairwise(body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())
