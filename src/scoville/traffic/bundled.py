"""The traces that come with Scoville, and where each is from."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path


@dataclass(frozen=True)
class BundledTrace:
    """A file in traces/, with its origin and licence in words."""

    file: str
    format: str
    source: str

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return Path(str(resources.files("scoville.traffic") / "traces" / self.file))


BUNDLED: dict[str, BundledTrace] = {
    "azure-2023-conv": BundledTrace(
        "azure-2023-conv.csv.gz",
        "azure",
        "Azure/AzurePublicDataset, LLM inference trace 2023, conversation (CC-BY-4.0)",
    ),
    "mooncake-synthetic": BundledTrace(
        "mooncake-synthetic.jsonl.gz", "mooncake", "kvcache-ai/Mooncake, FAST25 synthetic trace (Apache-2.0)"
    ),
    "servegen-deepseek-r1": BundledTrace(
        "servegen-deepseek-r1.tar.gz", "servegen", "alibaba/ServeGen, client pool reason/deepseek-r1 (Apache-2.0)"
    ),
}
