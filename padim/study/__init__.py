"""Studies: the comparison of many configurations on one or more data sets.

:mod:`~padim.study.plan` lists the configurations, :mod:`~padim.study.runner` fits and evaluates them,
:mod:`~padim.study.ranking` compares the results by :mod:`~padim.analysis.significance`, and
:mod:`~padim.study.report` writes them to files.
"""
