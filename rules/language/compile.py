"""Compiles the rules of one gate to one plain Python function. Pure.

The module builds the function as a Python syntax tree. A text from the document never becomes a name or code in the
function. Texts and numbers are constants, and this module creates all names.

A condition has three possible results: true, false, or unknown. The result can be unknown only if a fact is missing. So
the module creates two expressions for each condition. `maybe` is false only if the condition is certainly false. `sure`
is true only if the condition is certainly true. If no fact of the condition can be missing at this gate, `maybe` and
`sure` are the same expression.
"""

import ast
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from rules.facts import Gate
from rules.language import local_time
from rules.language.compiled_types import CompiledRules, Evaluate
from rules.language.counter_types import Need
from rules.language.fact_catalogue import FACTS, FactSpec, percent_of_average, percent_passed_on
from rules.language.needed_counters import CounterName, comparisons, counter_names, needed_counters, rules_of_gates
from rules.language.needed_lists_and_markers import list_names, marker_kinds
from rules.language.rule_types import All, AnyOf, Comparison, Condition, Not, Rule, RuleSet, Trigger

_COMPARE: dict[str, type[ast.cmpop]] = {
    "above": ast.Gt,
    "at_least": ast.GtE,
    "below": ast.Lt,
    "at_most": ast.LtE,
    "equals": ast.Eq,
    "in": ast.In,
    "not_in": ast.NotIn,
}
_LOCAL_TIME: dict[str, Callable[..., Any]] = {
    "time_of_day": local_time.minute_of,
    "weekday": local_time.weekday_of,
    "date": local_time.date_of,
}
_UNREAD = ast.Constant(...)
"""The value of a local variable before its first use. No fact and no counter has this value."""
_TRUE = ast.Constant(True)


def compile_rules(rule_set: RuleSet, gate: Gate, *, with_rules_of: Collection[Gate] = ()) -> CompiledRules:
    """Returns one function for the live and shadow rules of a gate. The rule set must have passed the checks.

    The argument `with_rules_of` names further gates whose rules the function also evaluates. If a quote did not pass
    through this hub, the hub has not judged the quote. In this case, the function from `compile_rules(rule_set,
    "transfer", with_rules_of=["quote"])` judges the transfer by the rules of both gates.
    """
    rules = rules_of_gates(rule_set.rules, (gate, *with_rules_of))
    needs = needed_counters(rules)
    builder = _Builder(needs, gate, rule_set.time_zone)
    return CompiledRules(
        gate=gate,
        time_zone=rule_set.time_zone,
        rules=rules,
        evaluate=builder.function(rules),
        needs=tuple(needs.values()),
        needs_by_name=needs,
        lists=list_names(rules),
        markers=marker_kinds(rules),
    )


class _Pair(msgspec.Struct, frozen=True):
    maybe: ast.expr
    sure: ast.expr

    @property
    def is_known(self) -> bool:
        return self.maybe is self.sure


class _Builder:
    """Builds the Python function that evaluates the rules of one gate."""

    def __init__(self, needs: Mapping[CounterName, Need], gate: Gate, time_zone: str) -> None:
        self._gate = gate
        self._fields: dict[str, None] = {}
        self._locals: dict[Hashable, str] = {}
        self._globals: dict[str, Any] = {
            "percent_of_average": percent_of_average,
            "percent_passed_on": percent_passed_on,
            "time_zone": time_zone,
            **{f"read_{name}": read for name, read in _LOCAL_TIME.items()},
            **{f"need_{number}": need for number, need in enumerate(needs.values())},
        }
        self._need_names = {name: f"need_{number}" for number, name in enumerate(needs)}

    def function(self, rules: Sequence[Rule]) -> Evaluate:
        """Returns the function that evaluates the rules."""
        numbered = list(enumerate(rules))
        body = self._grouped(numbered, tuple(_FACT_OF_TRIGGER), ())
        function = ast.FunctionDef(
            name="evaluate",
            args=ast.arguments(
                posonlyargs=[], args=[ast.arg("facts"), ast.arg("get")], kwonlyargs=[], kw_defaults=[], defaults=[]
            ),
            body=[*self._prelude(), *body, ast.Return(_name("fired"))],
            decorator_list=[],
        )
        module = ast.Module(body=[function], type_ignores=[])
        _locate(module)
        exec(compile(module, "<rule set>", "exec"), self._globals)  # noqa: S102  a tree of our own making, no text
        evaluate: Evaluate = self._globals["evaluate"]
        return evaluate

    def _prelude(self) -> list[ast.stmt]:
        found: list[ast.stmt] = [
            _assign([field], ast.Attribute(_name("facts"), field, ast.Load())) for field in self._fields
        ]
        if self._locals:
            found.append(_assign(list(self._locals.values()), _UNREAD))
        found.append(_assign(["fired"], ast.List([], ast.Load())))
        return found

    # Rules with the same trigger share one test of the trigger.

    def _grouped(
        self, rules: Sequence[tuple[int, Rule]], parts: Sequence[str], sure: tuple[ast.expr, ...]
    ) -> list[ast.stmt]:
        if not parts:
            return [self._statement(number, rule, sure) for number, rule in rules]
        part = parts[0]

        def wanted_by(numbered: tuple[int, Rule]) -> list[str]:
            return sorted(getattr(numbered[1].when, part))

        found: list[ast.stmt] = []
        for wanted, group in groupby(sorted(rules, key=wanted_by), wanted_by):
            if not wanted:
                found += self._grouped(list(group), parts[1:], sure)
                continue
            test = self._trigger(part, frozenset(wanted))
            inner_sure = sure if test.is_known else (*sure, test.sure)
            found.append(ast.If(test.maybe, self._grouped(list(group), parts[1:], inner_sure), []))
        return found

    def _trigger(self, part: str, wanted: frozenset[str]) -> _Pair:
        fact = _FACT_OF_TRIGGER[part]
        return self._comparison(Comparison(fact, "in", wanted), Trigger())

    def _statement(self, number: int, rule: Rule, sure_triggers: tuple[ast.expr, ...]) -> ast.stmt:
        pair = self._condition(rule.whole_condition, rule.when)
        if pair.is_known and not sure_triggers:
            return _if(pair.sure, _fire(ast.Constant(number)))
        position = ast.IfExp(_and((*sure_triggers, pair.sure)), ast.Constant(number), ast.Constant(~number))
        return _if(pair.maybe, _fire(position))

    def _condition(self, condition: Condition, trigger: Trigger) -> _Pair:
        match condition:
            case Comparison():
                return self._comparison(condition, trigger)
            case Not(inner):
                pair = self._condition(inner, trigger)
                if pair.is_known:
                    return _known(ast.UnaryOp(ast.Not(), pair.sure))
                return _Pair(ast.UnaryOp(ast.Not(), pair.sure), ast.UnaryOp(ast.Not(), pair.maybe))
            case All(conditions):
                parts = _cheapest_first(_parts_of(conditions))
                return _joined(_and, [self._condition(each, trigger) for each in parts])
            case AnyOf(conditions):
                return _joined(_or, [self._condition(each, trigger) for each in _cheapest_first(conditions)])

    def _comparison(self, comparison: Comparison, trigger: Trigger) -> _Pair:
        spec = FACTS[comparison.fact]
        missing, value = self._missing(spec), self._value(comparison, spec, trigger)
        if spec.counters:
            missing = _is_none(value)
            value = _name(self._local(self._memo_key(comparison, spec, trigger)))
        test = _test(comparison, value, spec.optional)
        if missing is None:
            return _known(test)
        return _Pair(_or((missing, test)), _and((ast.UnaryOp(ast.Not(), missing), test)))

    def _missing(self, spec: FactSpec) -> ast.expr | None:
        """Returns the expression that tests whether a fact is missing.

        Returns None for a counter, and for a fact that is never missing at this gate.
        """
        match spec.missing:
            case "details":
                if self._gate == "transfer":
                    return ast.UnaryOp(ast.Not(), self._field("has_details"))
            case "payer" | "payee" | "payee_dfsp":
                return _is_none(self._field(spec.missing))
            case "quote":
                return _is_none(self._field("quoted_amount"))
        return None

    def _value(self, comparison: Comparison, spec: FactSpec, trigger: Trigger) -> ast.expr:
        if spec.counters:
            return self._counted(comparison, spec, trigger)
        if spec.name in _LOCAL_TIME:
            read = _call(f"read_{spec.name}", self._field("now"), _name("time_zone"))
            return self._read_once(spec.name, read)
        if spec.name == "extension":
            get = ast.Attribute(self._field("extensions"), "get", ast.Load())
            return ast.Call(get, [ast.Constant(comparison.key)], [])
        if spec.name == "equals_quote":
            pairs = (("amount", "quoted_amount"), ("currency", "quoted_currency"))
            return _and([_compare(self._field(own), ast.Eq, self._field(quoted)) for own, quoted in pairs])
        return self._field(spec.field)

    def _counted(self, comparison: Comparison, spec: FactSpec, trigger: Trigger) -> ast.expr:
        names = counter_names(comparison, trigger)
        if len(names) == 1:
            return self._read_once(names[0], self._read_counter(names[0], spec))
        counters = [self._read_once(name, self._read_counter(name, spec)) for name in names]
        amount = [self._field("amount")] if spec.name == "payer.percent_of_average" else []
        computed = _call(spec.name.replace("payer.", ""), *amount, *counters)
        return self._read_once(self._memo_key(comparison, spec, trigger), computed)

    def _read_counter(self, name: CounterName, spec: FactSpec) -> ast.expr:
        read = _call("get", _name(self._need_names[name]), _name("facts"))
        if name[0] != "original":
            return read
        none = ast.Constant(0 if spec.unit == "duration" else False)  # a refund can lack the id of the original payment
        named = ast.IfExp(_is_none(self._field("refund_of")), none, read)
        if self._gate != "transfer":
            return named
        return ast.IfExp(self._field("has_details"), named, ast.Constant(None))

    def _memo_key(self, comparison: Comparison, spec: FactSpec, trigger: Trigger) -> Hashable:
        names = counter_names(comparison, trigger)
        return names[0] if len(names) == 1 else (spec.name, *names)

    def _read_once(self, key: Hashable, read: ast.expr) -> ast.expr:
        """Returns an expression for a value. The compiled function stores the value in a local variable. The compiled
        function reads the value only once, when the first rule needs the value."""
        local = self._local(key)
        unread = _compare(_name(local), ast.Is, _UNREAD)
        return ast.IfExp(unread, ast.NamedExpr(ast.Name(local, ast.Store()), read), _name(local))

    def _local(self, key: Hashable) -> str:
        return self._locals.setdefault(key, f"local_{len(self._locals)}")

    def _field(self, field: str) -> ast.expr:
        self._fields[field] = None
        return _name(field)


_FACT_OF_TRIGGER = {
    "currencies": "currency",
    "scenarios": "scenario",
    "payer_dfsps": "payer.dfsp",
    "payee_dfsps": "payee.dfsp",
}


def _locate(module: ast.Module) -> None:
    """Sets a line and a column on every node, because Python's compiler requires line and column.

    Several nodes of this tree share expressions. `ast.fix_missing_locations` would visit a shared expression once for
    each use.
    """
    left: list[ast.AST] = [module]
    seen: set[int] = set()
    while left:
        node = left.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, ast.expr | ast.stmt | ast.arg):
            node.lineno = node.end_lineno = 1
            node.col_offset = node.end_col_offset = 0
        left.extend(ast.iter_child_nodes(node))


def _test(comparison: Comparison, value: ast.expr, is_optional: bool) -> ast.expr:
    wanted = comparison.value
    match comparison.operator:
        case "present":
            return ast.UnaryOp(ast.Not(), _is_none(value))
        case "absent":
            return _is_none(value)
        case "true":
            return value
        case "false":
            return ast.UnaryOp(ast.Not(), value)
        case "between":
            return _between(value, wanted)
        case "not_between":
            return ast.UnaryOp(ast.Not(), _between(value, wanted))
        case "has_any":
            return ast.UnaryOp(ast.Not(), _is_disjoint(value, wanted))
        case "has_none":
            return _is_disjoint(value, wanted)
        case "has_all":
            return _compare(value, ast.GtE, _constant(wanted))
        case "lacks_any":
            return ast.UnaryOp(ast.Not(), _compare(value, ast.GtE, _constant(wanted)))
        case "in" | "not_in":
            assert isinstance(wanted, frozenset)
            if len(wanted) == 1:
                equal = ast.Eq if comparison.operator == "in" else ast.NotEq
                return _compare(value, equal, ast.Constant(next(iter(wanted))))
    test = _compare(value, _COMPARE[comparison.operator], _constant(wanted))
    if is_optional and comparison.operator not in ("in", "not_in"):
        return _and((ast.UnaryOp(ast.Not(), _is_none(value)), test))
    return test


def _between(value: ast.expr, bounds: Any) -> ast.expr:
    start, end = _constant(bounds[0]), _constant(bounds[1])
    if bounds[0] < bounds[1]:
        return ast.Compare(start, [ast.LtE(), ast.Lt()], [value, end])
    return _or((_compare(value, ast.GtE, start), _compare(value, ast.Lt, end)))


def _is_disjoint(value: ast.expr, texts: Any) -> ast.expr:
    return ast.Call(ast.Attribute(value, "isdisjoint", ast.Load()), [_constant(texts)], [])


def _parts_of(conditions: Iterable[Condition]) -> Iterator[Condition]:
    """Yields the conditions that must all be true, and those inside an inner `All` one by one.

    A hold that exempts known payees has such an inner `All`.
    """
    for each in conditions:
        if isinstance(each, All):
            yield from _parts_of(each.conditions)
        else:
            yield each


def _cheapest_first(conditions: Iterable[Condition]) -> list[Condition]:
    """Sorts conditions by cost. So the function reads a counter only if the cheaper conditions have not already decided
    the result."""
    return sorted(conditions, key=lambda each: sum(FACTS[part.fact].cost_ns for part in comparisons(each)))


def _known(test: ast.expr) -> _Pair:
    return _Pair(test, test)


def _joined(join: Callable[[Sequence[ast.expr]], ast.expr], pairs: Sequence[_Pair]) -> _Pair:
    maybe = join([pair.maybe for pair in pairs])
    return _known(maybe) if all(pair.is_known for pair in pairs) else _Pair(maybe, join([pair.sure for pair in pairs]))


def _and(tests: Sequence[ast.expr]) -> ast.expr:
    parts = [test for test in tests if test is not _TRUE]
    if not parts:
        return _TRUE
    return parts[0] if len(parts) == 1 else ast.BoolOp(ast.And(), parts)


def _or(tests: Sequence[ast.expr]) -> ast.expr:
    return tests[0] if len(tests) == 1 else ast.BoolOp(ast.Or(), list(tests))


def _if(test: ast.expr, statement: ast.stmt) -> ast.stmt:
    return statement if test is _TRUE else ast.If(test, [statement], [])


def _fire(position: ast.expr) -> ast.stmt:
    return ast.Expr(ast.Call(ast.Attribute(_name("fired"), "append", ast.Load()), [position], []))


def _compare(left: ast.expr, operator: type[ast.cmpop], right: ast.expr) -> ast.expr:
    return ast.Compare(left, [operator()], [right])


def _is_none(value: ast.expr) -> ast.expr:
    return _compare(value, ast.Is, ast.Constant(None))


def _call(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(_name(function), list(arguments), [])


def _constant(value: Any) -> ast.expr:
    return ast.Constant(value)


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load())


def _assign(names: Sequence[str], value: ast.expr) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store()) for name in names], value)
