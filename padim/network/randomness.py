"""Random weights from a separate generator: torch's global generator is neither seeded nor used.

Layers draw their initial weights from torch's global generator when they are created. Seeding that generator,
even if its state is restored afterwards, changes the numbers that other threads of the program draw
meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Make torch draw from a separate generator with this seed, in this thread and within the block.

    The numbers are those that it would draw after ``torch.manual_seed(seed)``.

    Raises:
        NotImplementedError: within the block, torch draws with a function that has no generator argument.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    generator = torch.Generator().manual_seed(seed)

    class OwnGenerator(TorchDispatchMode):
        # Called for each low-level operation; ``kwargs`` contains the generator if the caller gave one.
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            kwargs = kwargs or {}
            if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
                func = _with_generator(func)
                kwargs = {**kwargs, "generator": generator}
            return func(*args, **kwargs)

    with OwnGenerator():
        yield


def _with_generator(func):  # type: ignore[no-untyped-def]
    """Return the overload of one of torch's operations that has a generator argument."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    form = getattr(func.overloadpacket, "generator", None)
    if form is None:
        raise NotImplementedError(f"{func} draws from torch's global generator")
    return form
