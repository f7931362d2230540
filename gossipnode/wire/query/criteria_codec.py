"""The criteria of a query, from the message to the core's values and back.

An operator or a value that the core has no form for is refused here. Whether criteria make sense is for
`core.query.criteria.check_criteria` to judge.
"""

from __future__ import annotations

from gossipnode.core.model.tag_value import NO_VALUE, TagValue
from gossipnode.core.query.criteria import Condition, Criteria, LogicalExpression, LogicalOp, MatchOption, Op
from gossipnode.wire.envelope.encode import encode
from gossipnode.wire.envelope.strict import decode
from gossipnode.wire.envelope.tables import chosen, present, scalar
from gossipnode.wire.generated.bp.banyandb.model import v1 as bp
from gossipnode.wire.generated.pb.banyandb.model.v1 import common_pb2 as model
from gossipnode.wire.property.payload_parse import parse
from gossipnode.wire.property.property_edit import set_tag_value, tag_value
from gossipnode.wire.wire_errors import WireError

_OPS = {op.value: op for op in Op}
_LOGICAL_OPS = {op.value: op for op in LogicalOp}
_ANY_OF_THE_PARTS = 0
_NO_OPTION = MatchOption()


def decode_criteria(message: bp.Criteria, path: str = "criteria") -> Criteria | None:
    """The core's criteria; None if the message is empty.

    An expression with one side missing becomes its other side, and needs no operator.

    Raises:
        WireError: an operator is missing or unknown, or a value is malformed; names the field under `path`.
    """
    name, value = chosen(message, "exp")
    if name == "condition":
        return _decode_condition(value, f"{path}.condition")
    return _decode_expression(value, f"{path}.le") if name == "le" else None


def _decode_expression(message: bp.LogicalExpression, path: str) -> Criteria:
    left, right = (
        None if (side := present(message, name)) is None else decode_criteria(side, f"{path}.{name}")
        for name in ("left", "right")
    )
    if left is None or right is None:
        side = left or right
        if side is None:
            raise WireError(f"{path}: has neither a left nor a right side")
        return side
    number = scalar(message, "op")
    op = _LOGICAL_OPS.get(number)
    if op is None:
        raise WireError(f"{path}.op: expected AND or OR, not {int(number)}")
    return LogicalExpression(op, left, right)


def _decode_condition(message: bp.Condition, path: str) -> Condition:
    number = scalar(message, "op")
    op = _OPS.get(number)
    if op is None:
        expected = ", ".join(known.name for known in Op)
        raise WireError(f"{path}.op: expected one of {expected}, not {int(number)}")
    value = present(message, "value")
    held = b"" if value is None else encode(value)
    return Condition(
        scalar(message, "name"),
        op,
        tag_value(parse(model.TagValue, held, f"{path}.value").message),
        _decode_option(present(message, "match_option"), path),
    )


def _decode_option(message: bp.ConditionMatchOption | None, path: str) -> MatchOption:
    if message is None:
        return _NO_OPTION
    number = scalar(message, "operator")
    operator = LogicalOp.OR if number == _ANY_OF_THE_PARTS else _LOGICAL_OPS.get(number)
    if operator is None:
        raise WireError(f"{path}.match_option.operator: expected AND or OR, not {int(number)}")
    return MatchOption(scalar(message, "analyzer") or "keyword", operator)


def encode_criteria(criteria: Criteria) -> bp.Criteria:
    """The message of the core's criteria.

    Raises:
        WireError: a value does not fit its field; names the tag.
    """
    if isinstance(criteria, LogicalExpression):
        expression = bp.LogicalExpression(op=bp.LogicalExpressionLogicalOp(criteria.op.value))
        if criteria.left is not None:
            expression.left = encode_criteria(criteria.left)
        if criteria.right is not None:
            expression.right = encode_criteria(criteria.right)
        return bp.Criteria(le=expression)
    condition = bp.Condition(name=criteria.name, op=bp.ConditionBinaryOp(criteria.op.value))
    if criteria.value is not NO_VALUE:
        condition.value = _encode_value(criteria.name, criteria.value)
    if criteria.match_option != MatchOption():
        condition.match_option = bp.ConditionMatchOption(
            analyzer=criteria.match_option.analyzer,
            operator=bp.ConditionMatchOptionOperator(criteria.match_option.operator.value),
        )
    return bp.Criteria(condition=condition)


def _encode_value(name: str, value: TagValue) -> bp.TagValue:
    message = model.TagValue()
    try:
        set_tag_value(message, value)
    except ValueError as fault:
        raise WireError(f"criteria: the value for tag {name[:80]!r}: {fault}") from None
    return decode(bp.TagValue, message.SerializeToString())
