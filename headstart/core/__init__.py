"""The contracts: values and protocols that every other folder speaks in.

Nothing is re-exported here, so that a file which needs one value loads no more than that value.
"""
