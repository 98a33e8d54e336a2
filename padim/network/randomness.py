"""Networks drawn by a generator of their own: torch's global one is neither seeded nor drawn from.

Layers draw their first weights from torch's global generator as soon as they are made. Seeding that, even if
it is put back afterwards, changes what every other thread of the program draws meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Let torch draw from a generator of this seed, in this thread and within the block.

    The numbers are those that it would draw after ``torch.manual_seed(seed)``.

    Raises:
        NotImplementedError: within the block, torch draws by a function that takes no generator.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    generator = torch.Generator().manual_seed(seed)

    class OwnGenerator(TorchDispatchMode):
        # One call of torch's, below its functions; ``kwargs`` names the generator where one was given.
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            kwargs = kwargs or {}
            if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is None:
                func = _with_generator(func)
                kwargs = {**kwargs, "generator": generator}
            return func(*args, **kwargs)

    with OwnGenerator():
        yield


def _with_generator(func):  # type: ignore[no-untyped-def]
    """The form of one of torch's operations that takes a generator."""
    if any(argument.name == "generator" for argument in func._schema.arguments):
        return func
    form = getattr(func.overloadpacket, "generator", None)
    if form is None:
        raise NotImplementedError(f"{func} draws from torch's global generator")
    return form
