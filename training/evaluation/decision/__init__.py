"""The report that decides: systems on held-out sets, compared, with gates and one verdict."""
