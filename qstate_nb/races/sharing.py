"""What the methods of a shared primitive do in an exploration: an op on its model, at a gate or at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qstate_nb.races.gates import Gate
from qstate_nb.races.primitives import Op, Primitive, acquire, release
from qstate_nb.races.world import World, current_root


async def wait_for_primitive(model: Primitive, name: str, op: Op, *args: Any) -> Any:
    """Run an op on a shared primitive, at a gate."""
    root = current_root.get()
    if root is None:
        return await getattr(type(model.real), name)(model.real, *args)
    gate = Gate("primitive", name, model, op, args)
    ready = root.world.loop.create_future()
    try:
        gate.subscribe(lambda: None if ready.done() else ready.set_result(None))
        await ready
    finally:
        gate.leave()
    gate.go_on()
    result, root.world.primitives[model] = _result(op, model, root.world, args)
    if op is acquire:
        root.holds.append(model)
    return result


def do_at_once(model: Primitive, name: str, op: Op, *args: Any) -> Any:
    """Run an op on a shared primitive that doesn't wait."""
    root = current_root.get()
    if root is None:
        return getattr(type(model.real), name)(model.real, *args)
    world = root.world
    try:
        result, content = _result(op, model, world, args)
    except Exception as error:
        if world.observer is not None:
            world.observer.did(model, name, op, args, error)
        raise
    if world.observer is not None:
        world.observer.did(model, name, op, args, result)
    world.primitives[model] = content
    if op is release and model in root.holds:
        root.holds.remove(model)
    return result


def _result(op: Op, model: Primitive, world: World, args: Sequence[Any]) -> tuple[Any, Any]:
    found = op(model, world.content(model), *args)
    assert found is not None, f"the gate of {op.__name__} was opened too early"
    return found


def condition_token() -> tuple[int, int]:
    """What tells one wait for a condition from another."""
    root = current_root.get()
    if root is None:
        return (-1, 0)
    root.waits += 1
    return (root.template.number, root.waits)
