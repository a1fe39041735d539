"""How an answer looks: rich tables in the terminal, charts under one theme, a page that needs no network.

Input is the plain `scoville.study.answer.Answer`; nothing here computes economics.
Altair, vl_convert, jinja2 and rich are imported where they are used.
"""
