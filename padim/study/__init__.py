"""Studies: which of many configurations suits a part. :mod:`~padim.study.plan` says what is compared,
:mod:`~padim.study.runner` does it, :mod:`~padim.study.ranking` compares the results by
:mod:`~padim.analysis.significance`, and :mod:`~padim.study.report` writes them down.
"""
