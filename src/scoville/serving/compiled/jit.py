"""numba's decorators as the simulator uses them, and how its hundred functions are compiled as one program.

By itself numba optimises every function with all that it calls, again for each of its callers: half a minute, most of
it the same work. Here functions that compiled code alone calls stay LLVM's text, as it comes from their source, until
the entry links all of them and has them optimised together, once. They go through those of numba's passes that
functions of integers and floats need, without objects, exceptions, closures and arrays; what numba finds out about the
type of one addition is kept for the thousands that follow.
"""

# numba has no types.
# mypy: disable-error-code="no-untyped-call,misc,no-any-return,method-assign,assignment,attr-defined"

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import numba
from numba import _dynfunc, types
from numba.core import cgutils, config, ir, lowering, typed_passes, untyped_passes
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase
from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from scoville.serving.compiled import records

# numba's cache on disk compares the file of the function that it loads, not those of the functions that it calls.
_STAMP = tuple((f.name, f.stat().st_mtime_ns, f.stat().st_size) for f in sorted(Path(__file__).parent.rglob("*.py")))
_OPTIONS: dict[str, Any] = {"boundscheck": False, "error_model": "numpy", "nogil": True, "no_rewrites": True}
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False}


def entry(function: Callable[..., Any]) -> Any:
    """Compiled when it is first called from Python, with all that it calls; kept on disk until a file here changes."""
    if config.DISABLE_JIT:  # the same source in plain Python, for whoever wants to step through it
        return function
    dispatcher = numba.njit(cache=True, pipeline_class=_EntryCompiler, **_OPTIONS)(function)
    dispatcher._cache._cache_file._source_stamp = _STAMP
    return dispatcher


def jit(function: Callable[..., Any]) -> Any:
    """Compiled for compiled callers; `.py_func` is the function itself."""
    return numba.njit(pipeline_class=_InnerCompiler, **_INNER)(function)


def inlined(function: Callable[..., Any]) -> Any:
    """As `jit`, for what is called from one hot place."""
    return numba.njit(forceinline=True, pipeline_class=_InnerCompiler, **_INNER)(function)


@intrinsic
def _pointer(typing: Any, array: Any) -> Any:
    """An array's memory without its shape and its owner: nothing is counted when it is handed on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def _width(typing: Any, number: Any) -> Any:
    """Binary digits of a number above 0: an instruction of the processor, where math.frexp is a call."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], cgutils.true_bit)
        return builder.sub(zeros.type(64), zeros)

    return types.int64(types.int64), generate


def _itself(array: Any) -> Any:
    return array


def _digits(number: Any) -> int:
    return int(number).bit_length()


pointer: Any = _itself if config.DISABLE_JIT else _pointer
width: Any = _digits if config.DISABLE_JIT else _width


# -- linking -----------------------------------------------------------------------------------------------------------


class _Inner(JITCodeLibrary):
    """The text of a function that compiled code calls, and the libraries of what it calls itself."""

    def add_ir_module(self, ir_module: Any) -> None:
        module = llvm.parse_assembly(cgutils.normalize_ir_text(str(ir_module)))
        module.name = ir_module.name
        self._final_module.link_in(module)

    def finalize(self) -> None:
        """Left to the entry."""
        self._finalized = True


class _Entry(JITCodeLibrary):
    """The entry and all that it calls, by itself or through others."""

    def finalize(self) -> None:
        libraries = dict.fromkeys(self._linking_libraries)
        found = list(libraries)
        while found:
            library = found.pop()
            if isinstance(library, _Inner):  # any other has what it calls in it
                more = [x for x in library._linking_libraries if x not in libraries]
                libraries.update(dict.fromkeys(more))
                found += more
        self._linking_libraries = list(libraries)
        super().finalize()

    def _optimize_final_module(self) -> None:
        """Once, where numba does it twice for the sake of counted references; there are no loops to be vectorised."""
        made = self._codegen._module_pass_manager(loop_vectorize=False, slp_vectorize=False)
        manager, *builder = made if isinstance(made, tuple) else (made,)  # newer versions of numba give both
        manager.run(self._final_module, *builder)


# -- passes ------------------------------------------------------------------------------------------------------------

_KNOWN: dict[Any, Any] = {}


@register_pass(mutates_CFG=False, analysis_only=False)
class _Positions(FunctionPass):
    """`L.FREE` and the like, a sixth of all there is to be compiled, become the integers that they are."""

    _name = "positions in records"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        for block in state.func_ir.blocks.values():
            modules: dict[str, ModuleType] = {}
            body = []
            for s in block.body:
                value = s.value if isinstance(s, ir.Assign) else None
                if isinstance(value, ir.Global) and getattr(value.value, "__package__", "") == records.__name__:
                    modules[s.target.name] = value.value
                    continue
                if isinstance(value, ir.Expr) and value.op == "getattr" and value.value.name in modules:
                    position = getattr(modules[value.value.name], value.attr)
                    state.func_ir._definitions[s.target.name] = [ir.Global(value.attr, position, value.loc)]
                    body.append(ir.Assign(state.func_ir._definitions[s.target.name][0], s.target, s.loc))
                    continue
                body.append(s)
            block.body = body
        return True


class _Typing:
    """numba's rules of types with a memory."""

    def __init__(self, rules: Any) -> None:
        self._rules = rules

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rules, name)

    def resolve_function_type(self, function: Any, args: Any, keywords: Any) -> Any:
        if isinstance(function, types.Dispatcher):  # else it is compiled anew for every constant that it is given
            args = [types.unliteral(a) for a in args]
        key = function, tuple(args), tuple(keywords.items())
        if key not in _KNOWN:
            _KNOWN[key] = self._rules.resolve_function_type(function, args, keywords)
        return _KNOWN[key]


@register_pass(mutates_CFG=True, analysis_only=False)
class _Types(typed_passes.NopythonTypeInference):
    _name = "types"

    def run_pass(self, state: Any) -> bool:
        rules, state.typingctx = state.typingctx, _Typing(state.typingctx)
        super().run_pass(state)
        state.typingctx = rules
        return True


class _Lower(lowering.Lower):
    def lower_binop(self, resty: Any, expr: Any, op: Any) -> Any:
        """As it is done for two variables; numba would first look for something special for constants, three times."""
        signature = self.fndesc.calltypes[expr]
        operands = [
            self.context.cast(self.builder, self.loadvar(x.name), self.typeof(x.name), wanted)
            for x, wanted in zip((expr.lhs, expr.rhs), signature.args, strict=True)
        ]
        key = op, signature.args
        if key not in _KNOWN:
            function = self.context.typing_context.resolve_value_type(op)
            _KNOWN[key] = function, function.get_call_type(self.context.typing_context, signature.args, {})
        implementation = self.context.get_function(*_KNOWN[key])
        result = implementation(self.builder, operands)
        return self.context.cast(self.builder, result, signature.return_type, resty)


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerInner(typed_passes.NativeLowering):
    _name = "lower what compiled code calls"
    lowering_class = _Lower

    def run_pass(self, state: Any) -> bool:
        state.library = _Inner(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.flags = state.flags.copy()
        state.flags.no_compile = True
        super().run_pass(state)
        lowered = state["cr"]
        # numba names compiled functions by what Python would call; nobody calls this one.
        about, keep = lowered.fndesc, (state.library,)
        name = _dynfunc.make_function(about.lookup_module(), about.qualname, "", 0, lowered.env, keep)
        state.targetctx.insert_user_function(name, about, [state.library])
        state["cr"] = lowered._replace(cfunc=name)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _LowerEntry(typed_passes.NativeLowering):
    _name = "lower the entry"
    lowering_class = _Lower

    def run_pass(self, state: Any) -> bool:
        state.library = _Entry(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


_FRONT = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    _Positions,
    untyped_passes.IRProcessing,
    untyped_passes.ReconstructSSA,
    _Types,
    typed_passes.PreLowerStripPhis,
)


def _pipelines(*passes: Any) -> list[Any]:
    manager = PassManager("scoville")
    for x in passes:
        manager.add_pass(x, x._name)
    manager.finalize()
    return [manager]


class _InnerCompiler(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        return _pipelines(*_FRONT, _LowerInner, typed_passes.NoPythonBackend)


class _EntryCompiler(CompilerBase):
    def define_pipelines(self) -> list[Any]:
        """With the deletions that its arrays, which are counted, need."""
        counted = typed_passes.IRLegalization, typed_passes.AnnotateTypes
        return _pipelines(*_FRONT, *counted, _LowerEntry, typed_passes.NoPythonBackend)
