"""Unlabelled data, labelled data or a generator -> a new source: `door` opens, `guard` watches, `document`
writes."""
