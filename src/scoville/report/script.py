"""The page's JavaScript, bundled while something else is computed."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType

_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_PROGRAM = f"import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle({_SNIPPET!r}).encode())"


class Script:
    """vega, vega-lite and vega-embed as one script that sets `vegaEmbed`, made by a process of its own.

    vl_convert takes two seconds of a core for it and holds the interpreter lock meanwhile, so a thread would not do.
    The work starts with the object; `text` waits for it. Leaving the `with` block ends the process, done or not.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        self._text = ""

    def text(self) -> str:
        """The script, safe to stand in a script element; made here where the process could not."""
        if not self._text:
            made = self._process.communicate()[0].decode()
            if self._process.returncode != 0:
                import vl_convert

                made = vl_convert.javascript_bundle(_SNIPPET)
            self._text = made.replace("\r\n", "\n").replace("</script", "<\\/script").replace("<!--", "<\\!--")
        return self._text

    def __enter__(self) -> Script:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()
