"""Which version is which entry's: equal content, lost answers, ids that an answer named, what a ledger says."""
