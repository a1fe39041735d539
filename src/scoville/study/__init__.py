"""The whole question: a study file -> deployments, samples, prices, comparison -> an `Answer` of plain records."""

from scoville.study.answer import Answer
from scoville.study.question import QuestionFile, read_question
from scoville.study.run import answer

__all__ = ["Answer", "QuestionFile", "answer", "read_question"]
